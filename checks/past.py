"""What a check may know beside its target, handed to it: the time, earlier runs and what else is configured."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from .back_office import Identifier
from .canary_desk import CanaryDesk
from .messages.book import Book
from .messages.verification import VerificationBook
from .notebook import Notebook
from .secret import Secret
from .totp_steps import VerifierBook

ProviderIdentity = Mapping[Identifier, Collection[Secret]]
"""What one of our providers is known by; empty where nothing is configured."""


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
    """The time of this run, what earlier runs left behind, and what the configuration's providers are known by."""

    now: datetime  # aware, UTC
    book: MessageBook  # of this target's messages
    desk: CanaryDesk  # of this check's test messages
    notebook: Notebook  # of this check
    verifier: VerifierBook  # of this target's codes
    identities: Mapping[str, ProviderIdentity] = field(default_factory=lambda: MappingProxyType({}))  # by provider
    balances: Sequence[BalanceReading] = ()  # this target's, oldest first
