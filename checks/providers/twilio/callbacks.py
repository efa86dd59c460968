"""Twilio's posts: status callbacks (a form each) and Event Streams (JSON, many events at once).

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status: no callback comes for the first status,
their order is not kept, and new properties come without notice, so that the signature is over all that is there.
https://www.twilio.com/docs/events/event-types/messaging/outbound-message: the schema Messaging.MessageStatus.
https://www.twilio.com/docs/events/faq/at-least-once-delivery: events are sent again for four hours, in any order.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...messages import UNKNOWN_OPERATOR, Receipt, Source, Status
from ...messages.operator import operator_by_mcc_mnc, origin_of
from ...reason import Reason
from ...secret import Secret
from ..networks import Networks
from ..posts import parse_form
from .answers import parse_code
from .log import MESSAGE_SID, STATUSES, Failure
from .settings import CallbackSettings
from .signature import SETTINGS, SHA1, SIGNATURE, SignedUrl, algorithm_of

_MOST_EVENTS: Final = 1000
_EVENTS: Final = "com.twilio.messaging.message."
_MOST_SECONDS_APART: Final = 2 * 86_400.0  # an event and its arrival: later is a replay, earlier is no time at all
_CHANNEL: Final = ":"  # "whatsapp:+49…"
_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)
_BEGINNING: Final = frozenset({"accepted", "queued"})  # their events tell when the message came about


class _Event(msgspec.Struct):
    """A CloudEvent (https://github.com/cloudevents/spec, version 1.0), as far as we need it."""

    type: str
    data: msgspec.Raw = msgspec.Raw()


class _MessageStatus(msgspec.Struct, rename="camel"):
    """What an event says of a message."""

    message_sid: str
    account_sid: str
    timestamp: str
    message_status: str
    to: str = ""
    error_code: str | int | None = None
    mcc: str | int | None = None
    mnc: str | int | None = None


class Callbacks:
    """Reads the posts for one account. Safe to use from several threads."""

    def __init__(
        self,
        settings: CallbackSettings,
        *,
        account_sid: str,
        auth_token: Secret,
        failure: Failure,
    ) -> None:
        self._url = SignedUrl(settings.public_url)
        self._account_sid = account_sid
        self._token = auth_token.reveal().encode()
        self._shared_key = None if settings.shared_key is None else settings.shared_key.reveal().encode()
        self._failure = failure
        self._networks = Networks()

    def read(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a post. Raises CallbackRefusedError."""
        signature = callback.headers.get(SIGNATURE)
        if not signature:
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        algorithm = algorithm_of(callback.headers.get(SETTINGS, ""))
        secret = self._token if algorithm == SHA1 else self._shared_key
        if algorithm is None or secret is None:
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        if callback.headers.get("content-type", "").partition(";")[0].strip().lower().endswith("json"):
            if not self._url.is_signed_body(secret, callback.query, callback.body, signature, algorithm):
                raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
            return self._receipts_of_events(callback.body, callback.at)
        fields = parse_form(callback.body)
        if not self._url.is_signed_form(secret, callback.query, fields, signature, algorithm):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        return self._receipts_of_form(dict(fields), callback.at)

    def _receipts_of_form(self, form: dict[str, str], at: float) -> Sequence[Receipt]:
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        if not MESSAGE_SID.fullmatch(sid):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        if form.get("AccountSid") != self._account_sid:
            raise CallbackRefusedError(CallbackOutcome.WRONG_ACCOUNT)
        status = STATUSES.get(form.get("MessageStatus") or form.get("SmsStatus", ""))
        if status is None:  # inbound, or new: to refuse it would make Twilio send it again
            return ()
        return (self._receipt(sid, status, form.get("To", ""), form.get("ErrorCode"), at=at, source=Source.CALLBACK),)

    def _receipts_of_events(self, body: bytes, arrived_at: float) -> Sequence[Receipt]:
        try:
            events = _events.decode(body)
            said = [_message_status.decode(event.data) for event in events if event.type.startswith(_EVENTS)]
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
        if len(events) > _MOST_EVENTS:
            raise CallbackRefusedError(CallbackOutcome.TOO_LARGE)
        receipts = (self._receipt_of_event(each, arrived_at) for each in said)
        return [receipt for receipt in receipts if receipt is not None]

    def _receipt_of_event(self, event: _MessageStatus, arrived_at: float) -> Receipt | None:
        if not MESSAGE_SID.fullmatch(event.message_sid):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        if event.account_sid != self._account_sid:
            raise CallbackRefusedError(CallbackOutcome.WRONG_ACCOUNT)
        word = event.message_status.lower()
        status = STATUSES.get(word)
        if status is None:
            return None
        at = _parse_time(event.timestamp)
        if abs(at - arrived_at) > _MOST_SECONDS_APART:
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        return self._receipt(
            event.message_sid,
            status,
            event.to,
            event.error_code,
            at=at,
            created_at=at if word in _BEGINNING else None,
            network=operator_by_mcc_mnc(_digits(event.mcc, 3), _digits(event.mnc, 2)),
            source=Source.EVENT_STREAM,
        )

    def _receipt(
        self,
        sid: str,
        status: Status,
        to: str,
        error_code: str | int | None,
        *,
        at: float,
        source: Source,
        created_at: float | None = None,
        network: str = UNKNOWN_OPERATOR,
    ) -> Receipt:
        number = to.rpartition(_CHANNEL)[2]
        is_number = number[:1] == "+" and number[1:].isdigit() and number.isascii()
        country, operator_by_plan = origin_of(number if is_number else "")
        reason, code, is_mapped = None, None, True
        if status in _FAILURES:
            code = parse_code(error_code)
            reason, is_mapped = (Reason.DELIVERY_FAILING, True) if code is None else self._failure(code)
        return Receipt(
            message_id=sid,
            status=status,
            at=at,
            created_at=created_at,
            recipient=number if is_number else "",
            country=country,
            operator=self._networks.name(network, operator_by_plan),
            reason=reason,
            code=None if code is None else str(code),
            code_is_mapped=is_mapped,
            source=source,
        )


_events: Final = msgspec.json.Decoder(list[_Event])
_message_status: Final = msgspec.json.Decoder(_MessageStatus)


def _digits(value: str | int | None, width: int) -> str:
    """Return a code of a network as it is written; a number has lost its leading zero."""
    return "" if value is None else str(value).zfill(width)


def _parse_time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (ValueError, OverflowError):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
