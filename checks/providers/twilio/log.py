"""Rows of the message log, turned into receipts without the number that they were sent to."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final

from ...errors import BadResponseError
from ...messages import Receipt, Status, country_of
from ...reason import Reason
from .answers import parse_code, parse_text

# https://support.twilio.com/hc/en-us/articles/223134347 and twilio-oai (Message.status). A code that arrived
# in part is no code, and a message that was read had arrived.
_STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "accepted": Status.ACCEPTED,
        "scheduled": Status.ACCEPTED,
        "queued": Status.ACCEPTED,
        "sending": Status.ACCEPTED,
        "sent": Status.SENT,
        "delivered": Status.DELIVERED,
        "read": Status.DELIVERED,
        "undelivered": Status.UNDELIVERED,
        "partially_delivered": Status.UNDELIVERED,
        "failed": Status.FAILED,
        "canceled": Status.CANCELED,
    }
)

MESSAGE_SID: Final = re.compile(r"(SM|MM)[0-9a-fA-F]{32}")
_OUTBOUND: Final = ("outbound-api", "outbound-call", "outbound-reply")
_INBOUND: Final = "inbound"


@dataclass(frozen=True, slots=True)
class MessageDates:
    """When a message came about (aware, UTC)."""

    created_at: datetime
    last_at: datetime  # the later of created and sent


def parse_dates(row: Mapping[str, Any]) -> MessageDates:
    """Return the dates of a row. Raises BadResponseError for one without."""
    created_at = parse_moment(row.get("date_created"))
    if created_at is None:
        raise BadResponseError("a message has no date")
    sent_at = parse_moment(row.get("date_sent"))
    return MessageDates(created_at, created_at if sent_at is None else max(created_at, sent_at))


def parse_receipt(
    row: Mapping[str, Any], created_at: datetime, failure: Callable[[int], tuple[Reason, bool]]
) -> Receipt | None:
    """Return what a row of the log says, None for an inbound message."""
    if row.get("direction") == _INBOUND:
        return None
    message_id = parse_text(row.get("sid"), "message SID")
    if not MESSAGE_SID.fullmatch(message_id):
        raise BadResponseError("a message has a malformed SID")
    status = _STATUSES.get(parse_text(row.get("status"), "message status"))
    if status is None or row.get("direction") not in _OUTBOUND:
        raise BadResponseError("a message has an unknown status or direction")
    reason, code, is_mapped = None, None, True
    if status in (Status.UNDELIVERED, Status.FAILED):
        code = parse_code(row.get("error_code"))
        reason, is_mapped = (Reason.DELIVERY_FAILING, True) if code is None else failure(code)
    return Receipt(
        message_id=message_id,
        status=status,
        created_at=created_at,
        country=country_of(_recipient(row)),
        reason=reason,
        code=None if code is None else str(code),
        code_is_mapped=is_mapped,
        delivery_seconds=_delivery_seconds(row, created_at),
    )


class Seen:
    """Remembers things for a while: the last few thousand."""

    _MOST: Final = 5000

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._older: set[int] = set()

    def add(self, thing: Any) -> bool:
        """Remember a thing of JSON; return whether it is new."""
        digest = hash(json.dumps(thing, sort_keys=True))
        if digest in self._recent or digest in self._older:
            return False
        self._recent.add(digest)
        if len(self._recent) >= self._MOST:
            self._recent, self._older = set(), self._recent
        return True


def _recipient(row: Mapping[str, Any]) -> str:
    """Return the recipient's number, as far as the log still has it; it may have a channel ("whatsapp:") before it."""
    recipient = row.get("to")
    return recipient if isinstance(recipient, str) else ""


def _delivery_seconds(row: Mapping[str, Any], created_at: datetime) -> float | None:
    if row.get("status") != "delivered":  # "read" moves date_updated on
        return None
    updated_at = parse_moment(row.get("date_updated"))
    return None if updated_at is None else max(0.0, (updated_at - created_at).total_seconds())


def parse_moment(value: Any) -> datetime | None:
    """Return an RFC 2822 date, None when there is none."""
    if value is None or value == "":
        return None
    try:
        moment = parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        raise BadResponseError("a message has a date that is none") from None
