"""What an outcome is worth, and how points add up at a node."""

import pytest

from checks.messages.detector import DetectorSettings, Scope
from checks.messages.detector.node import Climb, Move, Node
from checks.messages.detector.sessions import Look, Session
from checks.messages.detector.signatures import (
    HYPOTHESES,
    LEAVES,
    SIGNATURES,
    Hypothesis,
    Normal,
    Outcome,
    points_of,
)

SETTINGS = DetectorSettings()
HOUR = 3600.0


def normal(**shares: float) -> Normal:
    """Return what is normal where all else arrives fast."""
    leaves = [max(1e-6, shares.get(leaf.label, 0.0)) for leaf in LEAVES]
    leaves[Outcome.FAST] = 1.0 - sum(leaves[1:])
    return Normal(leaves, pending=leaves[Outcome.LATE] + leaves[Outcome.LOST], typed=(0.8,) * 4)


@pytest.mark.parametrize("usual", [normal(), normal(lost=0.6), normal(slow=0.9), normal(blocked=0.5, late=0.3)])
def test_no_session_is_worth_more_than_the_limits(usual: Normal) -> None:
    for worth in points_of(usual):
        for hypothesis, points in zip(HYPOTHESES, worth, strict=True):
            is_named = hypothesis in (Hypothesis.ACCOUNT_STOPPED, Hypothesis.COUNTRY_OFF)
            assert -6.0 <= points <= (7.0 if is_named else 5.0)


def test_signatures_are_whole() -> None:
    for hypothesis, signature in SIGNATURES.items():
        if signature.leaves:
            assert sum(signature.leaves.values()) == pytest.approx(1.0), hypothesis


def test_what_is_usual_at_an_operator_is_worth_less_there() -> None:
    blocked = HYPOTHESES.index(Hypothesis.BLOCKED)
    rare = points_of(normal(blocked=0.01))[Outcome.BLOCKED][blocked]
    usual = points_of(normal(blocked=0.1))[Outcome.BLOCKED][blocked]
    assert rare > usual + 2


def test_an_operator_that_is_always_slow_is_no_slower_for_it() -> None:
    delayed = HYPOTHESES.index(Hypothesis.DELAYED)
    assert points_of(normal(slow=0.1, late=0.01))[Outcome.SLOW][delayed] > 0.5
    assert points_of(normal(slow=0.6, late=0.2))[Outcome.SLOW][delayed] < 0


def look(at: float, after: Outcome) -> Look:
    return Look(at, Session(b"recipient", at, 0), -1, after, after)


def test_points_add_up_and_lose_half_of_their_weight_in_a_half_life() -> None:
    node = Node(Scope.OPERATOR)
    bad, good = Move((4.0,), (0,)), Move((-1.0,), ())
    node.add(look(0.0, Outcome.BLOCKED), bad, SETTINGS)
    node.add(look(12 * HOUR, Outcome.BLOCKED), bad, SETTINGS)
    assert node.climbs[0].score == pytest.approx(6.0)
    node.add(look(12 * HOUR, Outcome.FAST), good, SETTINGS)
    assert node.climbs[0].score == pytest.approx(5.0)
    assert node.scores(24 * HOUR, SETTINGS.half_life)[0] == pytest.approx(2.5)
    assert node.climbs[0].tally[Outcome.BLOCKED] == 2


def test_a_score_does_not_fall_below_nothing() -> None:
    node = Node(Scope.OPERATOR)
    node.add(look(0.0, Outcome.FAST), Move((-3.0,), ()), SETTINGS)
    node.add(look(1.0, Outcome.BLOCKED), Move((2.0,), (0,)), SETTINGS)
    node.add(look(2.0, Outcome.FAST), Move((-3.0,), ()), SETTINGS)
    assert not node.climbs
    node.add(look(3.0, Outcome.BLOCKED), Move((2.0,), (0,)), SETTINGS)
    assert node.climbs[0].score == 2.0


def test_what_a_narrower_node_contributed_goes_when_its_fault_is_over() -> None:
    node = Node(Scope.COUNTRY)
    for turn in range(5):
        node.add(look(float(turn), Outcome.BLOCKED), Move((4.0, 1.0), (0, 1)), SETTINGS)
    before = node.climbs[0].score
    node.relieve({number: Climb(15.0, 15.0, 0.0, 0.0) for number in range(3)})
    assert node.climbs[0].score == node.climbs[0].peak == pytest.approx(before - 15.0)
    assert list(node.climbs) == [0]


@pytest.mark.parametrize(("bad_of_ten", "healthy_looks"), [(10, 4), (5, 11), (3, 20)])
def test_a_mild_fault_takes_longer_to_be_over_than_a_severe_one(bad_of_ten: int, healthy_looks: int) -> None:
    node = Node(Scope.OPERATOR, threshold=10.0)
    bad, good = Move((5.0,), (0,)), Move((-0.1,), ())
    for turn in range(201):
        is_bad = turn * bad_of_ten % 10 < bad_of_ten
        node.add(look(float(turn), Outcome.BLOCKED), bad if is_bad else good, SETTINGS)
    over = [list(node.add(look(201.0, Outcome.FAST), good, SETTINGS)) for _ in range(healthy_looks)]
    assert over == [[]] * (healthy_looks - 1) + [[0]]
