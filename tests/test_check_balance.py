"""The check `balance`: amount, runway, surge, top-ups and what is not known."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from checks.balance import BalanceSettings, check_balance
from checks.clients import Money, RecentSpend
from checks.past import BalanceReading
from checks.reason import Reason
from checks.result import Balance, CheckResult, Spend
from tests.fakes import NOW, FakeClient, past

SETTINGS = BalanceSettings(target="twilio", min_amount=20.0, min_runway="1d")
HOUR = timedelta(hours=1)


def euros(amount: float) -> Money:
    return Money(amount=amount, currency="EUR")


def spent(total: float, *, today: float = 0.0, yesterday: float = 0.0) -> RecentSpend:
    return RecentSpend(total=euros(total), today=today, yesterday=yesterday)


def check(
    amount: float, *readings: BalanceReading, spend: RecentSpend | None = None, settings: BalanceSettings = SETTINGS
) -> CheckResult:
    client = FakeClient(balance=euros(amount), spend=spend)
    return check_balance(client, settings, replace(past(), balances=readings))


def reading(at: datetime, amount: float, spent_total: float | None = None) -> BalanceReading:
    return BalanceReading(at=at, amount=amount, currency="EUR", spent_total=spent_total)


def runway(result: CheckResult) -> float | None:
    return next(part.runway_seconds for part in result.measured if isinstance(part, Balance))


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (-0.01, Reason.BALANCE_EXHAUSTED),
        (0.0, Reason.BALANCE_EXHAUSTED),
        (0.01, Reason.BALANCE_LOW),
        (19.99, Reason.BALANCE_LOW),
        (20.0, Reason.OK),
    ],
)
def test_the_amount_is_judged_on_both_sides_of_each_bound(amount: float, reason: Reason) -> None:
    assert check(amount).reason is reason


def test_a_sub_account_has_no_balance_of_its_own_and_none_is_measured() -> None:
    result = check_balance(FakeClient(balance=None), SETTINGS, past())
    assert result.reason is Reason.OK
    assert result.measured == ()


def test_the_runway_is_unknown_without_usage_records_and_24_hours_of_readings() -> None:
    result = check(100.0, reading(NOW - 23 * HOUR, 200.0))
    assert runway(result) is None
    assert result.reason is Reason.OK


def test_the_runway_comes_from_the_decline_when_usage_records_cannot_be_read() -> None:
    result = check(100.0, reading(NOW - 24 * HOUR, 148.0))
    assert runway(result) == pytest.approx(100 / 48 * 86400)


def test_a_jump_up_is_a_top_up_and_not_negative_spend() -> None:
    result = check(
        100.0,
        reading(NOW - 24 * HOUR, 30.0),
        reading(NOW - 12 * HOUR, 10.0),
        reading(NOW - 11 * HOUR, 110.0),  # topped up
    )
    assert runway(result) == pytest.approx(100 / 30 * 86400)


def test_usage_records_outweigh_the_decline() -> None:
    result = check(100.0, reading(NOW - 24 * HOUR, 100.0, 500.0), spend=spent(550.0))
    assert runway(result) == pytest.approx(100 / 50 * 86400)


def test_a_reading_without_usage_records_is_bridged_by_the_decline() -> None:
    result = check(
        100.0,
        reading(NOW - 24 * HOUR, 150.0, 500.0),
        reading(NOW - 12 * HOUR, 130.0, None),
        spend=spent(550.0),
    )
    assert runway(result) == pytest.approx(100 / 50 * 86400)


def test_spend_of_the_day_is_estimated_from_calendar_days_until_readings_cover_it() -> None:
    result = check(100.0, spend=spent(900.0, today=10.0, yesterday=30.0))  # noon: half of yesterday counts
    assert runway(result) == pytest.approx(100 / 25 * 86400)


def test_a_short_runway_is_a_low_balance() -> None:
    result = check(100.0, spend=spent(900.0, today=150.0))
    assert result.reason is Reason.BALANCE_LOW
    assert result.detail == "balance 100.00 EUR lasts for 16.0 h at the current spend, less than min_runway 1d"


def test_a_runway_of_exactly_the_minimum_passes() -> None:
    assert check(100.0, spend=spent(900.0, today=100.0)).reason is Reason.OK


def test_no_spend_means_no_end_in_sight_and_not_an_infinite_number() -> None:
    result = check(100.0, spend=spent(900.0))
    assert runway(result) is None


def test_a_surge_over_last_week_shortens_the_runway() -> None:
    quiet = [reading(NOW - timedelta(days=8) + hours * HOUR, 0.0, 10.0 * hours) for hours in range(8 * 24 - 1)]
    until_two_hours_ago = quiet[-1].spent_total or 0.0
    surging = spent(until_two_hours_ago + 120.0)  # 120 in the last 2 h, 20 in the same hours a week ago
    result = check(1000.0, *quiet, spend=surging)
    steady_per_day = 240.0
    assert runway(result) == pytest.approx(1000 / (steady_per_day * 6) * 86400, rel=0.1)


def test_last_weeks_rhythm_alone_is_no_surge() -> None:
    quiet = [reading(NOW - timedelta(days=8) + hours * HOUR, 0.0, 10.0 * hours) for hours in range(8 * 24)]
    result = check(1000.0, *quiet, spend=spent(10.0 * 8 * 24))
    assert runway(result) == pytest.approx(1000 / 240 * 86400, rel=0.01)


def test_balance_and_spend_are_measured() -> None:
    result = check(100.0, spend=spent(900.0))
    assert result.measured == (
        Balance(amount=100.0, currency="EUR", runway_seconds=None),
        Spend(total=900.0, currency="EUR"),
    )
