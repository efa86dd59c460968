"""How urgent what stands is: as the alerts weigh it, by who says it and what."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Final

from checks.kinds import KINDS, CheckKind
from checks.messages.detector import NAMED
from checks.reason import Outcome, Reason, Severity

from .queries import Selectors
from .words import BAD, GOOD, RUNWAY_PAGES_BELOW, UNKNOWN, WARN, Word, words


class Urgency(IntEnum):
    """How urgent a reason is that stands somewhere. Its number stands for it in graphs and sorts tables."""

    NONE = 0
    ANSWER_MISSING = 1
    WORKING_HOURS = 2
    NOW = 3


_WORDS: Final[Mapping[Urgency, Word]] = {
    Urgency.NOW: ("Act now", BAD),
    Urgency.WORKING_HOURS: ("In working hours", WARN),
    Urgency.ANSWER_MISSING: ("Could not find out", UNKNOWN),
    Urgency.NONE: ("None", GOOD),
}
URGENCY_WORDS: Final = words({str(urgency.value): word for urgency, word in _WORDS.items()})
COLOURS: Final = {urgency: colour for urgency, (_, colour) in _WORDS.items()}
_OF_SEVERITY: Final = {Severity.CRITICAL: Urgency.NOW, Severity.WARNING: Urgency.WORKING_HOURS}
_BAD: Final = (Urgency.NOW, Urgency.WORKING_HOURS, Urgency.ANSWER_MISSING)


def of_check(kind: CheckKind, reason: Reason) -> Urgency:
    """Return how urgent it is that a check gives a reason."""
    match reason.outcome:
        case Outcome.PASS:
            return Urgency.NONE
        case Outcome.ERROR:
            return Urgency.ANSWER_MISSING
        case Outcome.FAIL:
            return _OF_SEVERITY[kind.severity(reason)]


def of_verdict(reason: Reason) -> Urgency:
    """Return how urgent it is that the detector names a reason."""
    return Urgency.NOW if NAMED[reason].pages else Urgency.WORKING_HOURS


def standing(selectors: Selectors, urgency: Urgency) -> list[str]:
    """Return the expressions of all that stands with that urgency."""
    found = [*given(selectors, urgency), *named(selectors, urgency)]
    return [*found, runs_out(selectors)] if urgency is Urgency.NOW else found


def given(selectors: Selectors, urgency: Urgency, kinds: Iterable[str] = KINDS) -> list[str]:
    """Return the expressions of what checks of these kinds give with that urgency."""
    return [f"{selectors('twofa_check_reason', *each)} == 1" for each in _matchers(urgency, list(kinds))]


def named(selectors: Selectors, urgency: Urgency) -> list[str]:
    """Return the expression, if any, of what the detector names with that urgency."""
    reasons = [reason for reason in NAMED if of_verdict(reason) is urgency]
    return [selectors("twofa_verdict", f'reason=~"{"|".join(reasons)}"')] if reasons else []


def runs_out(selectors: Selectors) -> str:
    """Return where the money is gone in a few hours: the check calls it low, the alert pages."""
    runway = f"min by (target) ({selectors('twofa_provider_balance_runway_seconds')}) < {RUNWAY_PAGES_BELOW}"
    return f'label_replace({runway}, "reason", "{Reason.BALANCE_LOW}", "target", ".*") * 0 + 1'


def weighed(by: str, found: Callable[[Urgency], list[str]]) -> str:
    """Return the urgency of what was found, the highest by these labels."""
    return " or ".join(
        f"max by ({by}) ({' or '.join(expressions)}) * {urgency.value}"
        for urgency in _BAD
        if (expressions := found(urgency))
    )


def _matchers(urgency: Urgency, kinds: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield the matchers of what these kinds give with that urgency: as few as there are different sets of kinds."""
    groups: dict[tuple[str, ...], list[Reason]] = {}
    for reason in Reason:
        givers = [name for name in kinds if reason in KINDS[name].reasons]
        giving = tuple(name for name in givers if of_check(KINDS[name], reason) is urgency)
        if giving:
            everybody = giving == tuple(name for name, kind in KINDS.items() if reason in kind.reasons)
            groups.setdefault(() if everybody else giving, []).append(reason)
    for giving, reasons in groups.items():
        of_kinds = (f'kind=~"{"|".join(giving)}"',) if giving else ()
        yield *of_kinds, f'reason=~"{"|".join(reasons)}"'
