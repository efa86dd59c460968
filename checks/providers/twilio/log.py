"""Pages of the message log, turned into receipts. What cannot be understood is left out and told once."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from ...errors import BadResponseError
from ...messages import Receipt, Status
from ...messages.operator import origin_of
from ...reason import Reason
from ..observer import Observer
from ..rows import Seen
from .answers import parse_code
from .sdk import PAGE_SIZE

# https://support.twilio.com/hc/en-us/articles/223134347 and twilio-oai (Message.status). A code that arrived
# in part is no code, and a message that was read had arrived.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
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
_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)
_OUTBOUND: Final = frozenset({"outbound-api", "outbound-call", "outbound-reply"})
_INBOUND: Final = "inbound"

_SLACK_SECONDS: Final = 60.0
_OLD_IN_A_ROW: Final = 100
_SOME_ROWS: Final = 5
_MOST_DIGITS: Final = 20

Failure = Callable[[int], tuple[Reason, bool]]
"""Returns why a message with an error code failed, and whether that is known."""


class Row(msgspec.Struct, gc=False):
    """What we need of a message (twilio-oai: Message)."""

    sid: str
    status: str
    direction: str
    date_created: str
    date_sent: str | None = None
    date_updated: str | None = None
    error_code: Any = None
    to: Any = None


class _Page(msgspec.Struct):
    messages: list[Row]
    next_page_uri: str | None = None


class _LoosePage(msgspec.Struct):
    messages: list[dict[str, Any]]
    next_page_uri: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedPage:
    """A page, as far as it can be understood."""

    receipts: Sequence[Receipt]
    reached: float | None  # Unix time; None: no row has a date
    next_page_uri: str | None


class MessageLog:
    """Understands the message log. Safe to use from several threads."""

    def __init__(self, observer: Observer, failure: Failure) -> None:
        self._observer = observer
        self._failure = failure
        self._unreadable = Seen()

    def parse_page(self, body: bytes, *, since: float, until: float) -> ParsedPage:
        """Return the receipts of a page for messages created from ``since`` on and before ``until`` (Unix time).

        The log is documented as newest first, but not by which date, and a scheduled message carries an old
        creation date among new ones. So a message is old when both its dates are, and the page tells how far
        it reaches by the last hundred. Behind a hundred old ones in a row nothing is read.

        A message that cannot be understood (no date, a status that is not documented) is left out and told
        to the observer, once and unless it is old, so that it costs neither the log nor goes unnoticed. A page
        of some messages on which none can be understood is a BadResponseError, as is one of another shape.
        """
        rows, next_page_uri = _decode(body)
        if len(rows) > PAGE_SIZE:
            raise BadResponseError("Twilio gives more messages than asked for")
        receipts: list[Receipt] = []
        read, understood, old_in_a_row, old_before = 0, 0, 0, since - _SLACK_SECONDS
        for row in rows:
            read += 1
            try:
                created_at = _created_at(row)
                is_old = created_at < old_before and _last_at(row, created_at) < old_before
                old_in_a_row = old_in_a_row + 1 if is_old else 0
                if not isinstance(row, Row):
                    raise BadResponseError("a message is not of the documented shape")
                if since <= created_at < until and row.direction != _INBOUND:
                    receipts.append(self._receipt(row, created_at))
            except BadResponseError:
                if not old_in_a_row:  # without a date it is as old as the one before it
                    self._note_unreadable(row)
                continue
            understood += 1
            if old_in_a_row >= _OLD_IN_A_ROW:
                break
        if not understood and len(rows) >= _SOME_ROWS:
            raise BadResponseError("Twilio's message log cannot be understood")
        return ParsedPage(receipts, _reached(rows[max(0, read - _OLD_IN_A_ROW) : read]), next_page_uri)

    def _receipt(self, row: Row, created_at: float) -> Receipt:
        """Return what a row of an outbound message says.

        ``delivery_seconds`` is date_updated less date_created: in steps of a second, and an upper bound,
        since Twilio changes a message after its delivery too (twilio-oai: Message).
        """
        status = STATUSES.get(row.status)
        if status is None or row.direction not in _OUTBOUND:
            raise BadResponseError("a message has an unknown status or direction")
        if not MESSAGE_SID.fullmatch(row.sid):
            raise BadResponseError("a message has a malformed SID")
        reason, code, is_mapped = None, None, True
        if status in _FAILURES:
            code = parse_code(row.error_code)
            reason, is_mapped = (Reason.DELIVERY_FAILING, True) if code is None else self._failure(code)
        number = row.to if isinstance(row.to, str) and row.to.startswith("+") else _number(row.to)
        country, operator = origin_of(number)
        updated_at = parse_time(row.date_updated)
        is_timed = row.status == "delivered" and updated_at is not None  # "read" moves date_updated on
        at = _last_at(row, created_at) if updated_at is None else updated_at
        return Receipt(
            message_id=row.sid,
            status=status,
            at=at,
            created_at=created_at,
            recipient=number if number[1:].isdigit() and number.isascii() else "",
            country=country,
            operator=operator,
            reason=reason,
            code=None if code is None else str(code),
            code_is_mapped=is_mapped,
            delivery_seconds=None if not is_timed else at - created_at if at > created_at else 0.0,
        )

    def _note_unreadable(self, row: "Row | Mapping[str, Any]") -> None:
        thing = msgspec.structs.asdict(row) if isinstance(row, Row) else row
        sid = thing.get("sid")
        is_told_by_sid = isinstance(sid, str) and MESSAGE_SID.fullmatch(sid)
        if self._unreadable.add(sid if is_told_by_sid else thing):
            self._observer.message_unreadable()


_pages: Final = msgspec.json.Decoder(_Page)


def _decode(body: bytes) -> tuple[Sequence[Row | Mapping[str, Any]], str | None]:
    """Return the rows of a page and where the next one is. A row that is of another shape stays a mapping.

    Only the fields that are needed are decoded, all at once; where that fails for one row, each by itself.
    """
    try:
        page = _pages.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _decode_by_row(body)
    return page.messages, page.next_page_uri


def _decode_by_row(body: bytes) -> tuple[Sequence[Row | Mapping[str, Any]], str | None]:
    try:  # the decoder of the standard library takes halves of surrogate pairs, which texts cut in two end with
        page = msgspec.convert(json.loads(body, parse_int=_parse_integer), _LoosePage)
    except (msgspec.ValidationError, ValueError, RecursionError):
        raise BadResponseError("Twilio's answer is not of the documented shape") from None
    return [_row(row) for row in page.messages], page.next_page_uri


def _parse_integer(text: str) -> int | None:
    return int(text) if len(text) < _MOST_DIGITS else None


def _row(row: Mapping[str, Any]) -> Row | Mapping[str, Any]:
    try:
        return msgspec.convert(row, Row)
    except msgspec.ValidationError:
        return row


def _created_at(row: Row | Mapping[str, Any]) -> float:
    """Return when a message was created (Unix time). Raises BadResponseError when it does not tell."""
    value = row.date_created if isinstance(row, Row) else row.get("date_created")
    created_at = parse_time(value)
    if created_at is None:
        raise BadResponseError("a message has no date")
    return created_at


def _last_at(row: Row | Mapping[str, Any], created_at: float) -> float:
    """Return the later of created and sent."""
    sent_at = parse_time(row.date_sent if isinstance(row, Row) else row.get("date_sent"))
    return created_at if sent_at is None else max(created_at, sent_at)


def _reached(rows: Sequence[Row | Mapping[str, Any]]) -> float | None:
    """Return how far back the log is read when these rows were the last ones; None when none of them has a date."""
    dates = []
    for row in rows:
        with suppress(BadResponseError):
            dates.append(_last_at(row, _created_at(row)))
    return max(dates) + _SLACK_SECONDS if dates else None


def _number(recipient: Any) -> str:
    """Return the recipient's number, as far as the log still has it; it may have a channel ("whatsapp:") before it."""
    return recipient.rpartition(":")[2] if isinstance(recipient, str) else ""


# Dates are most of the work. Messages share their seconds, and seconds share their days.

_DAY: Final = slice(5, 16)
_SHAPE: Final = re.compile(
    r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} ([01]\d|2[0-3]):([0-5]\d):([0-5]\d) \+0000", re.ASCII
)
_MOST_TIMES: Final = 8192
_times: dict[str, float] = {}
_days: dict[str, float] = {}


def parse_time(value: Any) -> float | None:
    """Return the Unix time of an RFC 2822 date, None where there is none. Raises BadResponseError for another thing."""
    if isinstance(value, str):
        return _times.get(value) or _parse_new_time(value)
    if value is None:
        return None
    raise BadResponseError("a message has a date that is none")


def _parse_new_time(value: str) -> float | None:
    if not value:
        return None
    found = _SHAPE.fullmatch(value)
    if found is None:
        return _parse_odd_time(value)
    day = value[_DAY]
    begins_at = _days.get(day)
    if begins_at is None:
        begins_at = _parse_odd_time(f"Thu, {day} 00:00:00 +0000")
        if len(_days) >= _MOST_TIMES:
            _days.clear()
        _days[day] = begins_at
    if len(_times) >= _MOST_TIMES:
        _times.clear()
    moment = begins_at + 3600 * int(found[1]) + 60 * int(found[2]) + int(found[3])
    _times[value] = moment
    return moment


def _parse_odd_time(value: str) -> float:
    try:
        moment = parsedate_to_datetime(value)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        raise BadResponseError("a message has a date that is none") from None
