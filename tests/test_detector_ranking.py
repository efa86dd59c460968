"""Which scope a fault is named at, from scores that are there."""

import math

from checks.messages.detector.node import Climb, Node
from checks.messages.detector.ranking import Ranking
from checks.messages.detector.signatures import HYPOTHESES, LEAVES, Hypothesis, Normal
from checks.messages.detector.verdict import Scope

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
