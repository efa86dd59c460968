"""Which scope a fault is named at, from scores that are there."""

import math
from collections.abc import Iterator
from itertools import combinations_with_replacement, product

from checks.messages.detector.baseline import DAY_HOURS
from checks.messages.detector.node import Climb, Node
from checks.messages.detector.ranking import NAMED, QUIET, Finding, Ranking, reason_of
from checks.messages.detector.signatures import (
    HYPOTHESES,
    LEAVES,
    OUTCOME_OF,
    Hypothesis,
    Normal,
    Outcome,
)
from checks.messages.detector.verdict import Scope
from checks.reason import Reason

NOW = 10_000.0
HALF_LIFE = 43_200.0
BLOCKED = HYPOTHESES.index(Hypothesis.BLOCKED)
NORMAL = Normal([1 / len(LEAVES)] * len(LEAVES), 0.1, [0.8] * 4)


def node(scope: Scope, *, score: float, threshold: float, since: float, is_verdict: bool = False) -> Node:
    country = "" if scope is Scope.PROVIDER else "GB"
    operator = "EE" if scope is Scope.OPERATOR else ""
    climb = Climb(score, score, since, since, is_verdict=is_verdict)
    return Node(scope, country, operator, threshold, NOW, {BLOCKED: climb}, NORMAL)


def named(provider: Node, operator: Node) -> list[Scope]:
    country = Node(Scope.COUNTRY, "GB", threshold=math.inf, at=NOW, normal=NORMAL)
    ranking = Ranking(NOW, HALF_LIFE, 180.0, 1.0)
    return [finding.node.scope for finding in ranking.search(provider, {"GB": country}, [operator])]


def test_a_fault_that_has_just_begun_is_named_at_the_scope_that_shows_more_of_it() -> None:
    operator = node(Scope.OPERATOR, score=11.0, threshold=10.7, since=NOW - 60, is_verdict=True)
    provider = node(Scope.PROVIDER, score=15.0, threshold=16.7, since=NOW - 90)
    assert named(provider, operator) == [Scope.PROVIDER]


def test_an_old_fault_of_an_operator_does_not_make_one_of_the_provider_out_of_less_than_that_takes() -> None:
    operator = node(Scope.OPERATOR, score=4.0, threshold=10.7, since=NOW - 9000, is_verdict=True)
    provider = node(Scope.PROVIDER, score=9.1, threshold=16.7, since=NOW - 90)
    assert named(provider, operator) == [Scope.OPERATOR]


def test_beside_an_old_fault_of_an_operator_one_of_the_provider_is_named_when_it_shows_enough() -> None:
    operator = node(Scope.OPERATOR, score=4.0, threshold=10.7, since=NOW - 9000, is_verdict=True)
    provider = node(Scope.PROVIDER, score=17.0, threshold=16.7, since=NOW - 90)
    assert named(provider, operator) == [Scope.PROVIDER]


def findings() -> Iterator[Finding]:
    """Every hypothesis at every scope, with every pair of outcomes, every failure told and with and without a surge."""
    tallies = list(combinations_with_replacement(Outcome, 2))
    for hypothesis, scope, (first, second) in product(Hypothesis, Scope, tallies):
        tally = [0] * len(Outcome)
        tally[first] += 60
        tally[second] += 50
        yield finding(hypothesis, scope, Climb(9.0, 9.0, 0.0, 0.0, tally=tally))
    for hypothesis, scope, reason in product(Hypothesis, Scope, OUTCOME_OF):
        tally = [0] * len(Outcome)
        tally[OUTCOME_OF[reason]] = 9
        told = {(reason.value, "30001"): 9, ("", "unmapped"): 20}
        yield finding(hypothesis, scope, Climb(9.0, 9.0, 0.0, 0.0, tally=tally, failures=told))


def finding(hypothesis: Hypothesis, scope: Scope, climb: Climb) -> Finding:
    country = "" if scope is Scope.PROVIDER else "GB"
    operator = "EE" if scope is Scope.OPERATOR else ""
    return Finding(Node(scope, country, operator, normal=NORMAL), hypothesis, climb, 9.0, [1.0] * DAY_HOURS, 3600.0)


def can_be(hypothesis: Hypothesis, scope: Scope) -> bool:
    """Whether a fault is of such a scope at all: an account is the provider's, a country's switch is no operator's."""
    match hypothesis:
        case Hypothesis.ACCOUNT_STOPPED:
            return scope is Scope.PROVIDER
        case Hypothesis.COUNTRY_OFF:
            return scope is Scope.COUNTRY
        case Hypothesis.UNCONVERTED:
            return scope is not Scope.PROVIDER
        case _:
            return True


def test_the_reasons_that_are_said_to_be_named_are_those_that_are() -> None:
    pages: dict[Reason, set[bool]] = {}
    scopes: dict[Reason, set[Scope]] = {}
    for each in findings():
        if can_be(each.hypothesis, each.node.scope):
            reason = reason_of(each)
            pages.setdefault(reason, set()).add(each.hypothesis not in QUIET)
            scopes.setdefault(reason, set()).add(each.node.scope)
    assert pages == {reason: {naming.pages} for reason, naming in NAMED.items()}
    assert {reason: found != {Scope.PROVIDER} for reason, found in scopes.items()} == {
        reason: naming.has_place for reason, naming in NAMED.items()
    }


def test_a_surge_and_its_absence_are_among_them() -> None:
    unconverted = {reason_of(each) for each in findings() if each.hypothesis is Hypothesis.UNCONVERTED}
    assert unconverted == {Reason.SMS_PUMPING, Reason.RECEIPTS_FALSE}
