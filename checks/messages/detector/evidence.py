"""The evidence of a verdict in words: one line with counts, and what is normal."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from .baseline import sessions_in
from .ranking import Finding, expected_sessions, judged_sessions
from .signatures import TYPED, UNTYPED, Hypothesis, Outcome
from .verdict import Scope

_DAY: Final = 86_400.0
_FAILURES: Final = range(Outcome.LOST + 1, Outcome.PENDING)
_LATE: Final = (Outcome.PENDING, Outcome.LATE, Outcome.LATE_UNTYPED, Outcome.LATE_TYPED)
_LOST: Final = (Outcome.LOST, Outcome.LOST_UNTYPED, Outcome.LOST_TYPED)
_CODES_SHOWN: Final = 2


def evidence_of(finding: Finding) -> str:
    """Return what was seen since the evidence began, such as
    ``7 of 7 recipients at MTN-NG (NG) since 14:02 UTC got 30007; healthy rate 0.5 %``.
    """
    match finding.hypothesis:
        case Hypothesis.SILENT | Hypothesis.RECEIPTS_LOST:
            return _without_receipts(finding)
        case Hypothesis.DELAYED:
            late = (*_LATE, *_LOST)
            return (
                f"{_share_of(finding, late)} took longer than expected;"
                f" healthy rate {_healthy(finding, (Outcome.LATE, Outcome.LOST))}"
            )
        case Hypothesis.UNCONVERTED:
            return _untyped(finding)
        case _:
            return f"{_share_of(finding, _FAILURES)} got {_codes(finding)}; healthy rate {_healthy(finding, _FAILURES)}"


def _without_receipts(finding: Finding) -> str:
    tally = finding.climb.tally
    said = f"{_share_of(finding, (*_LOST, Outcome.PENDING))} got no receipt; healthy rate"
    said += f" {_healthy(finding, (Outcome.LOST,))}"
    typed, untyped = tally[Outcome.LOST_TYPED], tally[Outcome.LOST_UNTYPED]
    if typed + untyped:
        return f"{said}; {typed} of {typed + untyped} of them typed the code, {_typed(finding)} do so normally"
    if finding.climb.resent:
        return f"{said}; {finding.climb.resent} of them asked for another code"
    return f"{said}; whether they got the code is not known"


def _untyped(finding: Finding) -> str:
    tally = finding.climb.tally
    typed = sum(tally[TYPED:])
    return (
        f"{typed} of {sum(tally[UNTYPED:])} recipients {_where(finding)} typed the code that they are said to have"
        f" got; {_typed(finding)} do so normally; {judged_sessions(finding)} messages where"
        f" {expected_sessions(finding):.0f} are usual"
    )


def _share_of(finding: Finding, outcomes: Iterable[int]) -> str:
    tally = finding.climb.tally
    return f"{sum(tally[outcome] for outcome in outcomes)} of {sum(tally)} recipients {_where(finding)}"


def _where(finding: Finding) -> str:
    node = finding.node
    since = datetime.fromtimestamp(finding.climb.since, UTC)
    time = f"{since:%H:%M} UTC" if finding.judged_until - finding.climb.since < _DAY else f"{since:%Y-%m-%d %H:%M} UTC"
    match node.scope:
        case Scope.OPERATOR:
            place = f"at {node.operator} ({node.country})"
        case Scope.COUNTRY:
            place = f"in {node.country}"
        case Scope.PROVIDER:
            place = "everywhere"
    return f"{place} since {time}"


def _codes(finding: Finding) -> str:
    failures = sorted(finding.climb.failures.items(), key=lambda each: -each[1])
    codes = [code or "no code" for (_, code), _ in failures[:_CODES_SHOWN]]
    if len(failures) > _CODES_SHOWN:
        codes.append("others")
    return " or ".join(codes)


def _healthy(finding: Finding, outcomes: Iterable[int]) -> str:
    total = finding.node.history.total
    sessions = sessions_in(total)
    if not sessions:
        return "not known"
    return _percent(sum(total[outcome] for outcome in outcomes) / sessions)


def _typed(finding: Finding) -> str:
    total = finding.node.history.total
    typed, untyped = sum(total[TYPED:]), sum(total[UNTYPED:TYPED])
    return _percent(typed / (typed + untyped)) if typed + untyped else "an unknown share"


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.995 else "100 %"
