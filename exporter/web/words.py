"""Times, amounts and counts for a reader."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment, three times."""

    iso: str  # for machines
    clock: str  # UTC; with the date when it is another day's
    ago: str  # how long ago, without the word "ago"


def moment(at: datetime, now: datetime) -> Moment:
    """Return a moment as seen from ``now``."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    same_day = at.date() == now.date()
    return Moment(
        iso=at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        clock=f"{at:%H:%M:%S} UTC" if same_day else f"{at:%Y-%m-%d %H:%M} UTC",
        ago=span(max(0.0, float(int((now - at).total_seconds())))),
    )


def span(seconds: float) -> str:
    """Return a length of time in the unit that suits it, such as ``"12 min"``."""
    if 0 < seconds < 0.9995:
        return f"{max(1, round(seconds * 1000))} ms"
    if seconds < 9.95 and seconds != int(seconds):
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{int(seconds)} s"
    if seconds < 10 * _MINUTE and int(seconds) % _MINUTE:
        return f"{int(seconds) // _MINUTE} min {int(seconds) % _MINUTE} s"
    if seconds < 2 * _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        hours, rest = divmod(int(seconds), _HOUR)
        return f"{hours} h {rest // _MINUTE} min" if rest >= _MINUTE else f"{hours} h"
    return f"{seconds // _DAY:.0f} days"


def amount(value: float, currency: str) -> str:
    """Return an amount of money, such as ``"1,250.00 USD"``."""
    return f"{value:,.2f} {currency}"


def counted(count: int, noun: str) -> str:
    """Return a count and its noun, in the plural where it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str]) -> str:
    """Return names as a sentence lists them: ``"a, b and c"``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
