"""What a check may know of earlier runs and of the time, handed to it as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .canary_desk import CanaryDesk
from .messages.book import Book
from .messages.verification import VerificationBook


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceReading:
    """Money in and money spent on an account at one moment."""

    at: datetime  # aware, UTC
    amount: float
    currency: str  # ISO 4217
    spent_total: float | None  # since the account's beginning; None when it could not be read


class MessageBook(Book, VerificationBook, Protocol):
    """All that is kept of one target's messages and codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The time of this run and what earlier runs left behind."""

    now: datetime  # aware, UTC
    book: MessageBook  # of this target's messages
    desk: CanaryDesk  # of this check's test messages
    balances: Sequence[BalanceReading] = ()  # this target's, oldest first
