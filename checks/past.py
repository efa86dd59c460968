"""What a check may know of earlier runs and of the time, handed to it as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceReading:
    """Money in and money spent on an account at one moment."""

    at: datetime  # aware, UTC
    amount: float
    currency: str  # ISO 4217
    spent_total: float | None  # since the account's beginning; None when it could not be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The time of this run and what earlier runs left behind."""

    now: datetime  # aware, UTC
    balances: Sequence[BalanceReading] = ()  # this target's, oldest first
    log_read_until: datetime | None = None  # aware, UTC; None: this target's log was never read
