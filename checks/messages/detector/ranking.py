"""From scores to verdicts: each fault is named once, with its scope and its reason."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from ...reason import Reason
from .baseline import day_share
from .node import Climb, Node
from .signatures import HYPOTHESES, OUTCOME_OF, TYPED, UNTYPED, Hypothesis, Outcome, points_of
from .verdict import Scope

CLOSE: Final = 3.0  # points: what chance adds in the rest of a wider node's traffic
_SURGE: Final = 3.0  # times the ordinary traffic, which pumping is taken to be
_ASKED_AGAIN: Final = (0.37, 0.05)
"""Share of clients who ask for another code when it is missing (truecheck.co, "the true cost of failed OTP delivery";
a vendor's figure), and when it arrived (a guess)."""
_DOUBTFUL: Final = 2.0  # points that a larger claim must be ahead of a lesser one

QUIET: Final = frozenset({Hypothesis.RECEIPTS_LOST, Hypothesis.NUMBERS_WRONG})
"""Hypotheses of which no client comes to harm, or only those with the wrong numbers: a ticket, never a page."""

NO_ARRIVAL: Final = (
    Hypothesis.BLOCKED,
    Hypothesis.PARTLY_BLOCKED,
    Hypothesis.SILENT,
    Hypothesis.PROVIDER_DOWN,
    Hypothesis.SENDER_REFUSED,
)
"""Hypotheses under which a test message does not arrive either."""

_H = Hypothesis
NEVER_AT: Final[Mapping[Scope, frozenset[int]]] = {
    scope: frozenset(HYPOTHESES.index(each) for each in never)
    for scope, never in {
        Scope.OPERATOR: (_H.COUNTRY_OFF, _H.ACCOUNT_STOPPED),
        Scope.COUNTRY: (_H.ACCOUNT_STOPPED,),
        Scope.PROVIDER: (_H.COUNTRY_OFF, _H.UNCONVERTED),
    }.items()
}
"""What is by its nature no fault of such a scope. When nobody types a code any more, nobody tells of them."""


class Finding(NamedTuple):
    """The best explanation at one node."""

    node: Node
    hypothesis: Hypothesis
    climb: Climb
    score: float
    hours: Sequence[float]  # the rhythm of the day that its traffic follows
    judged_until: float  # Unix time: sessions begun later are not judged in full


class Ranking:
    """Looks for what exceeds its threshold, at one moment (Unix time)."""

    def __init__(self, now: float, half_life: float, second_look: float, above: float) -> None:
        self._now = now
        self._half_life = half_life
        self._judged_until = now - second_look
        self._above = above

    def search(self, provider: Node, countries: Mapping[str, Node], operators: Iterable[Node]) -> list[Finding]:
        """Return what exceeds its threshold, in the scope that explains it best; the worst first."""
        parts: dict[str, list[Finding]] = {country: [] for country in countries}
        for operator in operators:
            if operator.climbs:
                finding = self._best(operator, countries[operator.country].history.hours)
                if finding is not None and self._exceeds(finding):
                    parts[operator.country].append(finding)
        narrower: list[Finding] = []
        for country, node in countries.items():
            narrower += self._widest(self._best(node, node.history.hours), parts[country])
        findings = self._widest(self._best(provider, provider.history.hours), narrower)
        return sorted(findings, key=lambda each: each.score - each.node.threshold, reverse=True)

    def _exceeds(self, finding: Finding) -> bool:
        return finding.climb.is_verdict or finding.score > finding.node.threshold * self._above

    def _widest(self, whole: Finding | None, parts: list[Finding]) -> list[Finding]:
        """Return the whole where it explains more than any part, else the parts."""
        if whole is None:
            return parts
        if not self._exceeds(whole) and all(part.climb.since < whole.climb.since for part in parts):
            return parts  # no part is of what the whole shows
        if any(part.climb.peak >= whole.score - CLOSE for part in parts):
            return parts
        return [whole]

    def _best(self, node: Node, hours: Sequence[float]) -> Finding | None:
        """Return what explains best what a node shows; None when there is nothing to explain."""
        scores = node.scores(self._now, self._half_life)
        for number in NEVER_AT[node.scope]:
            scores.pop(number, None)
        if not scores:
            return None
        number = max(scores, key=lambda each: scores[each])
        climb, score = node.climbs[number], scores[number]
        if climb.is_verdict or score > node.threshold * self._above:
            number = likeliest(node, climb, scores)
        return Finding(node, HYPOTHESES[number], climb, score, hours, self._judged_until)


def likeliest(node: Node, climb: Climb, among: Iterable[int]) -> int:
    """Return the hypothesis under which the outcomes since a climb began are likeliest, without any clipping."""
    if node.normal is None:
        raise ValueError("a node without a baseline has no scores")
    points = points_of(node.normal, is_clipped=False)
    seen = [(outcome, count) for outcome, count in enumerate(climb.tally) if count > 0]

    def likelihood(hypothesis: int) -> float:
        own = _resends_for_no_arrival(climb) - _DOUBTFUL if HYPOTHESES[hypothesis] is Hypothesis.SILENT else 0.0
        return own + sum(points[outcome][hypothesis] * count for outcome, count in seen)

    return max(among, key=likelihood)


def _resends_for_no_arrival(climb: Climb) -> float:
    """Return the points that clients who ask for another code, and who do not, give to codes that do not arrive."""
    unanswered = climb.tally[Outcome.LOST] + sum(climb.tally[UNTYPED:TYPED])
    asked = min(climb.resent, unanswered)
    missing, arrived = _ASKED_AGAIN
    return asked * math.log(missing / arrived) + (unanswered - asked) * math.log((1 - missing) / (1 - arrived))


class Naming(NamedTuple):
    """How a verdict names a reason."""

    pages: bool
    has_place: bool = True  # at an operator or in a country, too; False: of the whole provider only


def reason_of(finding: Finding) -> Reason:
    """Return what is wrong in the words of the whole product."""
    scope = finding.node.scope
    match finding.hypothesis:
        case Hypothesis.BLOCKED | Hypothesis.PARTLY_BLOCKED | Hypothesis.PROVIDER_DOWN:
            return _reason_of_failures(finding)
        case Hypothesis.SILENT:
            return Reason.DELIVERY_FAILING if scope is Scope.PROVIDER else Reason.OPERATOR_BLOCKING
        case Hypothesis.DELAYED:
            return Reason.OPERATOR_DELAY if scope is Scope.OPERATOR else Reason.DELIVERY_SLOW
        case Hypothesis.RECEIPTS_LOST:
            return Reason.RECEIPTS_MISSING
        case Hypothesis.UNCONVERTED:
            return Reason.SMS_PUMPING if has_surged(finding) else Reason.RECEIPTS_FALSE
        case Hypothesis.NUMBERS_WRONG:
            return Reason.RECIPIENT_INVALID
        case Hypothesis.ACCOUNT_STOPPED:
            return _told(finding, Outcome.ACCOUNT) or Reason.ACCOUNT_SUSPENDED
        case Hypothesis.COUNTRY_OFF:
            return Reason.COUNTRY_NOT_PERMITTED
        case Hypothesis.SENDER_REFUSED:
            return _told(finding, Outcome.SENDER) or Reason.SENDER_UNREGISTERED
        case Hypothesis.PUMPED:
            return Reason.SMS_PUMPING


NAMED: Final[Mapping[Reason, Naming]] = MappingProxyType(
    {
        **{
            reason: Naming(pages=True, has_place=seen is Outcome.SENDER)
            for reason, seen in OUTCOME_OF.items()
            if seen in {Outcome.ACCOUNT, Outcome.SENDER}
        },
        Reason.PROVIDER_OUTAGE: Naming(pages=True),
        Reason.COUNTRY_NOT_PERMITTED: Naming(pages=True),
        Reason.OPERATOR_BLOCKING: Naming(pages=True),
        Reason.OPERATOR_DELAY: Naming(pages=True),
        Reason.DELIVERY_FAILING: Naming(pages=True),
        Reason.DELIVERY_SLOW: Naming(pages=True),
        Reason.RECEIPTS_FALSE: Naming(pages=True),
        Reason.SMS_PUMPING: Naming(pages=True),
        Reason.RECEIPTS_MISSING: Naming(pages=False),
        Reason.RECIPIENT_INVALID: Naming(pages=False),
    }
)
"""Every reason that ``reason_of`` can give."""


def _reason_of_failures(finding: Finding) -> Reason:
    tally = finding.climb.tally
    operators = tally[Outcome.BLOCKED] + tally[Outcome.REFUSED] + tally[Outcome.NUMBER_GONE]
    provider = tally[Outcome.PROVIDER]
    others = tally[Outcome.FAILING] + tally[Outcome.UNREACHABLE]
    if finding.node.scope is Scope.OPERATOR:
        return Reason.PROVIDER_OUTAGE if provider > operators + others else Reason.OPERATOR_BLOCKING
    if operators >= provider + others:
        return Reason.OPERATOR_BLOCKING
    return Reason.PROVIDER_OUTAGE if provider > others else Reason.DELIVERY_FAILING


def _told(finding: Finding, outcome: Outcome) -> Reason | None:
    """Return the reason that the provider itself gave most often, of those that count as an outcome."""
    told: Counter[Reason] = Counter()
    for (reason, _), count in finding.climb.failures.items():
        if reason and OUTCOME_OF.get(Reason(reason)) is outcome:
            told[Reason(reason)] += count
    return max(told, key=lambda each: told[each], default=None)


def judged_sessions(finding: Finding) -> int:
    """Return how many sessions since the climb began were judged in full, typed codes and all."""
    return sum(finding.climb.tally[UNTYPED:])


def expected_sessions(finding: Finding) -> float:
    """Return how many that would be on an ordinary day."""
    return finding.node.history.a_day() * day_share(finding.hours, finding.climb.since, finding.judged_until)


def has_surged(finding: Finding) -> bool:
    """Return whether it is likelier a burst, of which nobody misses a code, than ordinary clients without one.

    The volume counts by a Poisson likelihood ratio.
    """
    within = judged_sessions(finding) - 2  # the first and the last bound the time, whatever the traffic
    surge = within * math.log(_SURGE) - (_SURGE - 1) * expected_sessions(finding)
    return surge > _resends_for_no_arrival(finding.climb)
