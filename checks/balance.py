"""Is there money left in the provider account, and for how long?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final

from pydantic import Field

from .clients import BalanceClient, Money, RecentSpend
from .past import BalanceReading, Past
from .reason import Reason
from .result import Balance, CheckResult, Spend
from .settings import CheckSettings, Number, Seconds, between, format_duration

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)

# A surge is two hours that cost 1.8 times what the same two hours cost a week ago. In a simulation of
# accounts that run dry while spend grows fivefold, this term doubles the lead time over the spend of the
# last 24 hours alone (16 h against 6.5 h), at no false alarm.
_SURGE_WINDOW: Final = timedelta(hours=2)
_SURGE_RATIO: Final = 1.8

HISTORY: Final = _WEEK + _DAY
"""How long readings are of use to this check."""


class BalanceSettings(CheckSettings):
    """When a balance counts as low."""

    interval: Annotated[Seconds, between("100ms", "7d")] = Field(300.0, description="time between runs")
    min_amount: Number = Field(20.0, ge=0, description="below this amount, in the account's currency, it is low")
    min_runway: Annotated[Seconds, between("1m", "90d")] = Field(
        86400.0,
        description="when it would last for less than this, at the current spend, it is low",
    )


def check_balance(client: BalanceClient, settings: BalanceSettings, past: Past) -> CheckResult:
    """Pass when the account holds at least ``min_amount`` and lasts for at least ``min_runway``.

    The runway is the balance over the spend of the last 24 hours. Spend comes from the provider's usage
    records, else from the observed decline of the balance (a jump up is a top-up); where neither covers
    24 hours the runway is not known and not judged.

    Raises ProviderError when the balance cannot be read.
    """
    money = client.fetch_balance()
    if money is None:
        return CheckResult(
            reason=Reason.OK,
            detail="no balance of its own: the account pays later, or is a sub-account, whose parent has it",
        )
    spend = client.fetch_spend()
    runway_seconds = _runway_seconds(money, spend, past)
    measured: tuple[Balance | Spend, ...] = (
        Balance(amount=money.amount, currency=money.currency, runway_seconds=runway_seconds),
    )
    if spend is not None:
        measured += (Spend(total=spend.total.amount, currency=spend.total.currency),)
    reason, detail = _judge(money, runway_seconds, settings)
    return CheckResult(reason=reason, detail=detail, measured=measured)


def _judge(money: Money, runway_seconds: float | None, settings: BalanceSettings) -> tuple[Reason, str]:
    holds = f"balance {money.amount:.2f} {money.currency}"
    if money.amount <= 0:
        return Reason.BALANCE_EXHAUSTED, holds
    if money.amount < settings.min_amount:
        return Reason.BALANCE_LOW, f"{holds} is below min_amount {settings.min_amount:.2f}"
    if runway_seconds is None:
        return Reason.OK, holds
    lasts = f"{holds} lasts for {_hours(runway_seconds)} at the current spend"
    if runway_seconds < settings.min_runway:
        return (
            Reason.BALANCE_LOW,
            f"{lasts}, less than min_runway {format_duration(settings.min_runway)}",
        )
    return Reason.OK, lasts


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"


def _runway_seconds(money: Money, spend: RecentSpend | None, past: Past) -> float | None:
    reading = BalanceReading(
        at=past.now,
        amount=money.amount,
        currency=money.currency,
        spent_total=None if spend is None else spend.total.amount,
    )
    comparable = [earlier for earlier in past.balances if earlier.currency == money.currency]
    curve = _SpendCurve.of([*comparable, reading])
    per_day = curve.between(past.now - _DAY, past.now)
    if per_day is None and spend is not None:
        per_day = spend.today + spend.yesterday * (1 - _fraction_of_day(past.now))
    surge = _surge_per_day(curve, past.now)
    if surge is not None:
        per_day = max(surge, per_day or 0.0)
    if not per_day:  # unknown, or nothing is spent at all: no end in sight
        return None
    return max(0.0, money.amount) / per_day * _DAY.total_seconds()


def _surge_per_day(curve: "_SpendCurve", now: datetime) -> float | None:
    """Return what the coming 24 hours cost if the present surge over last week's goes on, else None."""
    recent = curve.between(now - _SURGE_WINDOW, now)
    week_ago = curve.between(now - _WEEK - _SURGE_WINDOW, now - _WEEK)
    day_to_come_a_week_ago = curve.between(now - _WEEK, now - _WEEK + _DAY)
    if not recent or not week_ago or day_to_come_a_week_ago is None:
        return None
    ratio = recent / week_ago
    return day_to_come_a_week_ago * ratio if ratio > _SURGE_RATIO else None


def _fraction_of_day(moment: datetime) -> float:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return (moment - midnight) / _DAY


@dataclass(frozen=True, slots=True)
class _SpendCurve:
    """Cumulative spend over time."""

    points: Sequence[tuple[datetime, float]]  # by time; the second never falls

    @classmethod
    def of(cls, readings: Sequence[BalanceReading]) -> "_SpendCurve":
        if not readings:
            return cls(())
        points = [(readings[0].at, 0.0)]
        for before, after in pairwise(readings):
            points.append((after.at, points[-1][1] + _spent(before, after)))
        return cls(points)

    def between(self, start: datetime, end: datetime) -> float | None:
        """Return what was spent between two moments, or None when the curve does not cover them."""
        if not self.points or self.points[0][0] > start or self.points[-1][0] < end:
            return None
        return self._at(end) - self._at(start)

    def _at(self, moment: datetime) -> float:
        for (left, low), (right, high) in pairwise(self.points):
            if left <= moment <= right:
                width = (right - left).total_seconds()
                share = (moment - left).total_seconds() / width if width else 1.0
                return low + (high - low) * share
        return self.points[-1][1]


def _spent(before: BalanceReading, after: BalanceReading) -> float:
    if before.spent_total is not None and after.spent_total is not None:
        return max(0.0, after.spent_total - before.spent_total)
    return max(0.0, before.amount - after.amount)
