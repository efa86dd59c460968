"""Do clients type the codes they are sent? The one question that no operator can answer with a false receipt.

The verdict is a plain one, guarded by counts: the detector of operator faults, which hears of each typed code too,
does the finer work.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from .clients import ConversionClient
from .messages.verification import CODE_LIFE_SECONDS, Conversion
from .past import Past
from .reason import Reason
from .result import CheckResult
from .settings import CheckSettings, Count, Number, Seconds, between, format_duration

_HISTORY_SECONDS: Final = 14 * 86_400.0
_OLDEST_SECONDS: Final = 29 * 86_400.0  # attempts are kept for 30 days
_OVERLAP_SECONDS: Final = CODE_LIFE_SECONDS + 300.0  # attempts change until their code has run out
_HOUR: Final = 3600.0
_Z: Final = 3.0  # a chance of about one in a thousand
_LOST: Final = 0.7  # of the usual share: what must be missed for it to be a fault
_SURGE: Final = 2.0
_MOSTLY: Final = 0.7
_LEAST_HISTORY: Final = 200


class ConversionSettings(CheckSettings):
    """When too few codes are typed."""

    interval: Annotated[Seconds, between("100ms", "7d")] = Field(30.0, description="time between runs")
    window: Annotated[Seconds, between("1h", "1d")] = Field(
        7200.0, description="codes sent in this time are judged together, in whole hours"
    )
    min_attempts: Count = Field(50, ge=10, description="with fewer codes in the window nothing is judged")
    min_ratio: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="a smaller share of typed codes, 0 to 1, is a fault; by default 70 % of what was usual in the"
        " last 14 days",
    )


@dataclass(frozen=True, slots=True)
class _Sum:
    """All codes of one scope."""

    converted: int = 0
    unconverted: int = 0
    unarrived: int = 0

    @property
    def attempts(self) -> int:
        return self.converted + self.unconverted + self.unarrived

    @property
    def ratio(self) -> float:
        return self.converted / self.attempts if self.attempts else 0.0

    def plus(self, one: Conversion) -> "_Sum":
        return _Sum(self.converted + one.converted, self.unconverted + one.unconverted, self.unarrived + one.unarrived)


_Scope = tuple[str, ...]  # (), (country,) or (country, operator)


def check_conversion(client: ConversionClient, settings: ConversionSettings, past: Past) -> CheckResult:
    """Pass when as many codes are typed as usual, in all and in each country and at each operator with enough codes.

    Raises ProviderError when the attempts cannot be read or the book not be written; what was read is kept.
    """
    now = past.now.timestamp()
    _read(client, settings, past, now)
    decided = (now - CODE_LIFE_SECONDS) // _HOUR * _HOUR + _HOUR
    begin = (now - settings.window) // _HOUR * _HOUR
    recent = _sums(past.book.conversions(begin, decided))
    known_since = max(past.book.conversions_begin() or begin, begin - _HISTORY_SECONDS)
    usual = _sums(past.book.conversions(known_since, begin))
    share_of_history = (now - begin) / max(_HOUR, begin - known_since)
    for scope, seen in sorted(recent.items(), key=lambda item: (len(item[0]), -item[1].attempts)):
        fault = _judge(scope, seen, usual.get(scope, _Sum()), share_of_history, settings)
        if fault is not None:
            return fault
    return CheckResult(reason=Reason.OK, detail=_words(recent.get((), _Sum()), settings))


def _read(client: ConversionClient, settings: ConversionSettings, past: Past, now: float) -> None:
    read_until = past.book.attempts_read_until()
    since = now - settings.window if read_until is None else min(read_until, now) - _OVERLAP_SECONDS
    for attempts in client.read_attempts(since=max(since, now - _OLDEST_SECONDS), until=now):
        past.book.take_attempts(attempts, now=now)
    past.book.take_attempts((), now=now, read_until=now)


def _sums(conversions: Sequence[Conversion]) -> Mapping[_Scope, _Sum]:
    sums: dict[_Scope, _Sum] = {}
    for one in conversions:
        scopes: tuple[_Scope, ...] = ((), (one.country,), (one.country, one.operator))
        for scope in scopes:
            sums[scope] = sums.get(scope, _Sum()).plus(one)
    return sums


def _judge(
    scope: _Scope, seen: _Sum, usual: _Sum, share_of_history: float, settings: ConversionSettings
) -> CheckResult | None:
    if seen.attempts < settings.min_attempts:
        return None
    if settings.min_ratio is not None:
        bound, words = settings.min_ratio, f"min_ratio is {settings.min_ratio:.0%}"
    elif usual.attempts >= _LEAST_HISTORY:
        bound, words = _LOST * usual.ratio, f"{usual.ratio:.0%} is usual"
    else:
        return None
    if _upper_bound(seen) >= bound:
        return None
    expected = usual.attempts * share_of_history
    where = f" to {' '.join(reversed(scope))}" if scope else ""
    detail = (
        f"{seen.converted} of {seen.attempts} codes{where} were typed in {format_duration(settings.window)}; {words}"
    )
    if usual.attempts >= _LEAST_HISTORY and seen.attempts > _SURGE * expected:
        return CheckResult(reason=Reason.SMS_PUMPING, detail=f"{detail}; {expected:.0f} codes are usual")
    if seen.unconverted >= _MOSTLY * (seen.unconverted + seen.unarrived):
        return CheckResult(
            reason=Reason.RECEIPTS_FALSE, detail=f"{detail}; {seen.unconverted} are said to have arrived"
        )
    return CheckResult(reason=Reason.DELIVERY_FAILING, detail=f"{detail}; {seen.unarrived} did not arrive")


def _upper_bound(seen: _Sum) -> float:
    """Return the upper end of the Wilson score interval for the share of typed codes."""
    n, p, z2 = seen.attempts, seen.ratio, _Z * _Z
    return (p + z2 / (2 * n) + _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)


def _words(seen: _Sum, settings: ConversionSettings) -> str:
    window = format_duration(settings.window)
    if seen.attempts < settings.min_attempts:
        return f"{seen.attempts} codes in {window}: too few to judge"
    return f"{seen.converted} of {seen.attempts} codes in {window} were typed ({seen.ratio:.0%})"
