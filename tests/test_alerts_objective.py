"""The objective of delivery: every number of its rules follows from one, and no rule waits for what cannot happen."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.objective import burn_rate, seconds_of
from tests.alert_cases import load_alerts, load_rules

PAIRS = [(0.02, "1h", "5m"), (0.05, "6h", "30m"), (0.10, "1d", "2h"), (0.10, "3d", "6h")]
"""Share of the budget, long and short window: chapter 5 of the Site Reliability Workbook."""


def recordings() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in load_rules() if "record" in rule}


def objective() -> float:
    match = re.fullmatch(r"vector\((0\.\d+)\)", recordings()["twofa:delivery_objective:ratio"])
    assert match is not None
    return float(match[1])


@pytest.mark.parametrize(
    ("share", "long", "expected"), [(0.02, "1h", 14.4), (0.05, "6h", 6.0), (0.1, "1d", 3.0), (0.1, "3d", 1.0)]
)
def test_the_rates_of_a_strict_objective_are_those_of_the_workbook(share: float, long: str, expected: float) -> None:
    assert burn_rate(share, long, 0.99) == pytest.approx(expected)


def test_a_rate_that_could_not_be_reached_is_lowered() -> None:
    assert 14.4 * (1 - 0.9) > 1  # more than all messages late
    assert burn_rate(0.02, "1h", 0.9) == pytest.approx(7.5)  # three of four
    assert burn_rate(0.02, "1h", 0.5) == pytest.approx(1.5)


@given(st.floats(0.5, 0.999))
def test_whatever_the_objective_every_rate_can_be_reached(objective: float) -> None:
    budget = 1 - objective
    rates = [burn_rate(share, long, objective) for share, long, _ in PAIRS]
    assert all(0 < rate * budget < 1 for rate in rates)
    assert rates == sorted(rates, reverse=True)  # the longer, the slower
    assert rates[-1] == pytest.approx(1.0)  # and slower than the budget lasts is no alert


@pytest.mark.parametrize("objective", [0.0, 1.0, -0.1, 1.5, 99.0, math.nan, math.inf])
def test_an_objective_that_leaves_no_budget_is_refused(objective: float) -> None:
    with pytest.raises(ValueError, match=r"^objective: must be above 0 and below 1, got "):
        burn_rate(0.02, "1h", objective)


@pytest.mark.parametrize(("window", "seconds"), [("5m", 300), ("30m", 1800), ("6h", 21_600), ("3d", 259_200)])
def test_a_window_has_seconds(window: str, seconds: int) -> None:
    assert seconds_of(window) == seconds


def test_the_rules_follow_from_the_objective() -> None:
    found = {}
    for rule in load_alerts():
        if rule["alert"] == "TwoFADeliveryBudgetBurn":
            for branch in rule["expr"].split("\nor\n"):
                limits = re.findall(r"ratio_rate(\w+) > ([\d.]+)", branch)
                guards = re.findall(r"rate5m\[(\w+)\]\) \* (\d+) >= (\d+)", branch)
                found[rule["labels"]["severity"], *(window for window, _ in limits)] = (
                    [float(limit) for _, limit in limits],
                    guards,
                )
    expected = {}
    for (share, long, short), severity in zip(PAIRS, ["critical", "critical", "warning", "warning"], strict=True):
        limit = round(burn_rate(share, long, objective()) * (1 - objective()), 6)
        expected[severity, long, short] = ([limit, limit], [(short, str(seconds_of(short)), "20")])
    assert found == expected


def test_the_budget_in_the_words_is_that_of_the_objective() -> None:
    (share,) = {
        re.findall(r"where (\d+)% may not", rule["annotations"]["description"])[0]
        for rule in load_alerts()
        if rule["alert"] == "TwoFADeliveryBudgetBurn"
    }
    assert int(share) == pytest.approx(100 * (1 - objective()))


def test_every_window_is_recorded_once_the_shortest_first_and_averages_what_is_recorded_before() -> None:
    names = list(recordings())
    windows = [name.partition("ratio_rate")[2] for name in names if "ratio_rate" in name]
    assert windows == sorted(windows, key=seconds_of)
    assert set(windows) == {window for _, long, short in PAIRS for window in (long, short)} | {"30d"}
    for number, name in enumerate(names):
        used = re.findall(r"target:\w+:\w+", recordings()[name])
        assert all(each in names[:number] for each in used), name
        assert set(re.findall(r"\[(\w+)\]", recordings()[name])) <= {"5m", name.partition("ratio_rate")[2]}
