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
_PAGES_A_RUN: Final = 40  # twice a minute leaves room in the 100 requests a minute that are answered
_Z: Final = 3.0  # a chance of about one in a thousand
_LOW: Final = 0.7  # of the usual share of typed codes
_HARDLY: Final = 0.25  # of the share elsewhere, where nothing is known of what is usual
_SURGE: Final = 3.0  # times the usual number of codes: who gets none asks for another, and days have a busy hour
_MOSTLY: Final = 0.7  # of the codes that were not typed
_SOME: Final = 20  # codes that tell whether others are well
_LEAST_HISTORY: Final = 200  # codes that tell what is usual


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


_Scope = tuple[str, ...]  # (), (country,) or (country, operator)


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

    @property
    def upper_ratio(self) -> float:
        """The upper end of the Wilson score interval for the ratio."""
        n, p, z2 = self.attempts, self.ratio, _Z * _Z
        return (p + z2 / (2 * n) + _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)

    def plus(self, one: Conversion) -> "_Sum":
        return _Sum(self.converted + one.converted, self.unconverted + one.unconverted, self.unarrived + one.unarrived)

    def minus(self, part: "_Sum") -> "_Sum":
        return _Sum(
            self.converted - part.converted, self.unconverted - part.unconverted, self.unarrived - part.unarrived
        )


_NONE: Final = _Sum()


@dataclass(frozen=True, slots=True)
class _Fault:
    """A scope in which too few codes are typed."""

    scope: _Scope
    seen: _Sum
    bound: float  # the least share of typed codes that is no fault
    words: str  # where the bound comes from

    @property
    def missing(self) -> float:
        return self.bound * self.seen.attempts - self.seen.converted

    def explains(self, wider: "_Fault") -> bool:
        """Whether it is all that is wrong with a wider scope: there are others in that, and they are well."""
        is_within = self.scope[: len(wider.scope)] == wider.scope and self.scope != wider.scope
        others = wider.seen.minus(self.seen)
        return is_within and others.attempts >= _SOME and others.ratio >= wider.bound


def check_conversion(client: ConversionClient, settings: ConversionSettings, past: Past) -> CheckResult:
    """Pass when as many codes are typed as usual, in all and in each country and at each operator with enough codes.

    Raises ProviderError when the attempts cannot be read or the book not be written; what was read is kept.
    """
    now = past.now.timestamp()
    behind_seconds = _read(client, settings, past, now)
    decided = (now - CODE_LIFE_SECONDS) // _HOUR * _HOUR + _HOUR
    begin = (now - settings.window) // _HOUR * _HOUR
    recent = _sums(past.book.conversions(begin, decided))
    known_since = max(past.book.conversions_begin() or begin, begin - _HISTORY_SECONDS)
    usual = _sums(past.book.conversions(known_since, begin))
    fault = _find_fault(recent, usual, settings)
    if fault is None:
        reason, detail = Reason.OK, _words(recent.get((), _NONE), settings)
    else:
        windows = max(1.0, (begin - known_since) / (now - begin))
        reason, detail = _explain(fault, usual, windows, settings)
    if behind_seconds:
        detail += f"; what became of the codes of the last {format_duration(behind_seconds)} is still to be read"
    return CheckResult(reason=reason, detail=detail)


def _read(client: ConversionClient, settings: ConversionSettings, past: Past, now: float) -> float:
    """Read the attempts hour by hour, the oldest first; return how many seconds are left to later runs."""
    read_until = past.book.attempts_read_until()
    begin = now - settings.window if read_until is None else min(read_until, now) - _OVERLAP_SECONDS
    begin = max(begin, now - _OLDEST_SECONDS)
    pages = 0
    while begin < now and pages < _PAGES_A_RUN:
        end = min(begin + _HOUR, now)
        for attempts in client.read_attempts(since=begin, until=end):
            past.book.take_attempts(attempts, now=now)
            pages += 1
        past.book.take_attempts((), now=now, read_until=end)
        begin = end
    return math.ceil((now - begin) / 60) * 60.0


def _sums(conversions: Sequence[Conversion]) -> Mapping[_Scope, _Sum]:
    sums: dict[_Scope, _Sum] = {}
    for one in conversions:
        scopes: tuple[_Scope, ...] = ((), (one.country,), (one.country, one.operator))
        for scope in scopes:
            sums[scope] = sums.get(scope, _NONE).plus(one)
    return sums


def _find_fault(
    recent: Mapping[_Scope, _Sum], usual: Mapping[_Scope, _Sum], settings: ConversionSettings
) -> _Fault | None:
    """Return the widest fault, narrowed down to where it comes from."""
    faults = []
    for scope, seen in recent.items():
        bound, words = _bound(scope, usual, settings)
        if seen.attempts >= settings.min_attempts and seen.upper_ratio < bound:
            faults.append(_Fault(scope, seen, bound, words))
    if not faults:
        return None
    found = min(faults, key=lambda fault: (len(fault.scope), -fault.missing))
    while narrower := [fault for fault in faults if fault.explains(found)]:
        found = min(narrower, key=lambda fault: (len(fault.scope), -fault.missing))
    return found


def _bound(scope: _Scope, usual: Mapping[_Scope, _Sum], settings: ConversionSettings) -> tuple[float, str]:
    """Return the least share of typed codes that is no fault, 0 when that cannot be told, and where it comes from."""
    here, everywhere = usual.get(scope, _NONE), usual.get((), _NONE)
    if settings.min_ratio is not None:
        return settings.min_ratio, f"min_ratio is {settings.min_ratio:.0%}"
    if here.attempts >= _LEAST_HISTORY:
        return _LOW * here.ratio, f"{here.ratio:.0%} is usual"
    if everywhere.attempts >= _LEAST_HISTORY:
        return _HARDLY * everywhere.ratio, f"{everywhere.ratio:.0%} is usual elsewhere"
    return 0.0, ""


def _explain(
    fault: _Fault, usual: Mapping[_Scope, _Sum], windows: float, settings: ConversionSettings
) -> tuple[Reason, str]:
    """Return why so few codes are typed; the usual codes are those of so many ``windows``."""
    seen = fault.seen
    where = f" to {' '.join(reversed(fault.scope))}" if fault.scope else ""
    detail = f"{seen.converted} of {seen.attempts} codes{where} were typed in {format_duration(settings.window)}"
    detail += f"; {fault.words}"
    if seen.unconverted < _MOSTLY * (seen.unconverted + seen.unarrived):
        return Reason.DELIVERY_FAILING, f"{detail}; {seen.unarrived} did not arrive"
    expected = usual.get(fault.scope, _NONE).attempts / windows
    has_history = usual.get((), _NONE).attempts >= _LEAST_HISTORY
    if has_history and seen.attempts > _SURGE * expected:
        return Reason.SMS_PUMPING, f"{detail}; {expected:.0f} codes are usual"
    return Reason.RECEIPTS_FALSE, f"{detail}; {seen.unconverted} are said to have arrived"


def _words(seen: _Sum, settings: ConversionSettings) -> str:
    window = format_duration(settings.window)
    if seen.attempts < settings.min_attempts:
        return f"{seen.attempts} codes in {window}: too few to judge"
    return f"{seen.converted} of {seen.attempts} codes in {window} were typed ({seen.ratio:.0%})"
