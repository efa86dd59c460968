"""How far one message has come, and what one reading of a log or one callback says about it."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from ..reason import Reason

UNKNOWN_OPERATOR: Final = "unknown"


class Status(StrEnum):
    """Where a message is. Four claims stay apart: the API took it, it left, the operator says it arrived."""

    ACCEPTED = "accepted"  # taken by the provider's API: queued, scheduled or choosing a sender
    SENT = "sent"  # handed to the operator; nothing is known of the phone
    RECEIPT_MISSING = "receipt_missing"  # sent long ago, and still no receipt: neither success nor failure
    DELIVERED = "delivered"  # the operator claims that it arrived
    UNDELIVERED = "undelivered"  # the operator says that it did not arrive
    FAILED = "failed"  # never left the provider
    CANCELED = "canceled"  # withdrawn by the sender

    @property
    def rank(self) -> int:
        """How far along this is: a status never goes back to a lower rank."""
        return _RANKS[self]

    @property
    def is_final(self) -> bool:
        """Whether no later status is expected."""
        return _RANKS[self] == _FINAL


_FINAL: Final = 3
_RANKS: Final[Mapping[Status, int]] = MappingProxyType(
    {
        Status.ACCEPTED: 0,
        Status.SENT: 1,
        Status.RECEIPT_MISSING: 2,
        Status.DELIVERED: _FINAL,
        Status.UNDELIVERED: _FINAL,
        Status.FAILED: _FINAL,
        Status.CANCELED: _FINAL,
    }
)

_PATHS: Final[Mapping[Status, tuple[Status, ...]]] = MappingProxyType(
    {
        Status.ACCEPTED: (Status.ACCEPTED,),
        Status.SENT: (Status.ACCEPTED, Status.SENT),
        Status.RECEIPT_MISSING: (Status.ACCEPTED, Status.SENT, Status.RECEIPT_MISSING),
        Status.DELIVERED: (Status.ACCEPTED, Status.SENT, Status.DELIVERED),
        Status.UNDELIVERED: (Status.ACCEPTED, Status.SENT, Status.UNDELIVERED),
        Status.FAILED: (Status.ACCEPTED, Status.FAILED),
        Status.CANCELED: (Status.ACCEPTED, Status.CANCELED),
    }
)


def reached(before: Status | None, now: Status) -> tuple[Status, ...]:
    """Return the statuses that a message newly reaches when it goes from ``before`` to ``now``.

    A message first seen as delivered has also been accepted and sent, so that counting what is returned
    gives the same totals however often, and in whatever order, a message is read. ``before`` is ``None``
    for a message not seen yet; a step backwards or sideways returns nothing.
    """
    if before is None:
        return _PATHS[now]
    if now.rank <= before.rank:
        return ()
    known = _PATHS[before]
    return tuple(status for status in _PATHS[now] if status not in known)


FAILURE_REASONS: Final = (
    Reason.ACCOUNT_SUSPENDED,
    Reason.ACCOUNT_RESTRICTED,
    Reason.BALANCE_EXHAUSTED,
    Reason.SENDER_INVALID,
    Reason.SENDER_UNREGISTERED,
    Reason.COUNTRY_NOT_PERMITTED,
    Reason.PROVIDER_OUTAGE,
    Reason.RATE_LIMITED,
    Reason.OPERATOR_BLOCKING,
    Reason.DELIVERY_FAILING,
    Reason.DELIVERY_SLOW,
    Reason.SMS_PUMPING,
    Reason.RECIPIENT_INVALID,
    Reason.RECIPIENT_UNREACHABLE,
    Reason.RECIPIENT_OPTED_OUT,
    Reason.RECIPIENT_LANDLINE,
    Reason.RECIPIENT_BLOCKED,
)
"""Why one message may not arrive, as the vendors' tables have it; these counters exist from the start."""


class Source(StrEnum):
    """Who told of a receipt, and so what its times are worth."""

    LOG = "log"  # the provider's message log: whole seconds, an upper bound
    CALLBACK = "callback"  # a status callback: our own clock when it arrived
    EVENT_STREAM = "event_stream"  # the provider's clock, in milliseconds
    LATE_EVENT = "late_event"  # may come days late, as its provider says: it tells what happened, and not when


class Receipt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One reading of one message. Times are Unix time.

    ``recipient`` is in memory only: the ledger keeps a keyed hash of it, and it never shows in a repr.
    """

    message_id: str  # the provider's; storage keeps only a keyed hash of it
    status: Status
    at: float  # when the message came to this status, as well as the source can tell
    created_at: float | None = None  # None: the source does not tell
    recipient: str = ""  # E.164; "" where the provider no longer has it
    country: str  # ISO 3166 alpha-2, or UNKNOWN_COUNTRY
    operator: str = UNKNOWN_OPERATOR
    reason: Reason | None = None  # why it failed; None unless undelivered or failed
    code: str | None = None  # the vendor's error code
    code_is_mapped: bool = True  # False: the vendor's table has no row for `code`
    delivery_seconds: float | None = None  # created to delivered; None when not delivered or not known
    source: Source = Source.LOG

    def __repr__(self) -> str:
        told = f"{self.status} at {self.at:.0f}, {self.country}, {self.operator}, code {self.code}"
        return f"Receipt({self.message_id}: {told})"
