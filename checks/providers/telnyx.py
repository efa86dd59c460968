"""Telnyx: Messaging API, detail records (its message log) and the balance of the account.

Facts are from Telnyx's OpenAPI document (github.com/team-telnyx/openapi 12de4dd, 2026-07-16, version 2.0.0) and from
developers.telnyx.com and support.telnyx.com, read 2026-11; each is named where it is used. Unverified, and so the
wire is: that the filters of the log heed the time of day (all examples are dates), that it is sorted as asked (others
saw voice records keep their own order, the newest first: a page is looked at before it is believed), which statuses
a message on its way has there, and that one is there at once.
"""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from math import inf
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import CanaryStatus, LogPage, Money, ServiceStatus
from ..errors import BadResponseError, PermissionMissingError
from ..messages import UNKNOWN_COUNTRY, Receipt, Source, Status
from ..settings import Count, Seconds, SecretSetting, Url, between
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .json_api import Answer, JsonApi
from .log_pace import PacedLogSettings
from .observer import Observer
from .posts import ForwardSettings, refuse_replay
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

TELNYX_DOMAINS: Final = ("telnyx.com",)

_NAME: Final = "Telnyx"
_HOST: Final = "api.telnyx.com"
_API: Final = f"https://{_HOST}/v2"

_MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z-]{6,64}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_DIGITS: Final = re.compile(r"\d{2,3}", re.ASCII)
_UUID: Final = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


class TelnyxCallbackSettings(ForwardSettings):
    """How to believe what Telnyx posts to us: the webhooks of a messaging profile."""

    public_key: Annotated[str, Field(pattern=r"^[0-9A-Za-z+/]{43}=$")] = Field(
        description="the public key of the account, from the portal, in base64; it is no secret"
    )


class TelnyxSettings(PacedLogSettings):
    """How to reach a Telnyx account. Its message log comes in pages of 50, and few of them a minute."""

    # Some 40 requests of /detail_records in a minute are answered, in calendar minutes, without Retry-After: measured
    # by others on 2026-07-21 and not documented.
    why_paced: ClassVar[str] = "Telnyx limits how often its message log is read"

    type: Literal["telnyx"] = Field(description="the vendor")
    api_key: SecretSetting = Field(description="an API key of the account, from the portal")
    messaging_profile_id: Annotated[str, Field(pattern=_UUID)] | None = Field(
        None, description="the messaging profile that a canary is sent with; a sender that is a name needs it"
    )
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Telnyx: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field("https://status.telnyx.com", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    log_interval: Annotated[Seconds, between("20s", "1d")] = Field(
        60.0,
        description="a delivery check may not run more often than this: Telnyx answers some 40 pages of its message"
        " log in a minute, and one run reads max_pages of 50 messages",
    )
    callbacks: TelnyxCallbackSettings | None = Field(
        None, description="signed webhooks, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict, description='codes that mean another reason than built in, such as "40008"'
    )


_GENERAL: Final = "https://developers.telnyx.com/development/api-fundamentals/api-errors"
_ACCOUNT: Final = "https://support.telnyx.com/en/articles/6505121-telnyx-messaging-error-codes: account level"
_MESSAGING: Final = "https://support.telnyx.com/en/articles/6505121-telnyx-messaging-error-codes: delivery"
_DELIVERY: Final = "https://developers.telnyx.com/docs/messaging/messages/error-codes"

_NOT_AUTHORISED: Final = "10010"

# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.AUTH_FAILED, _GENERAL, [10009]),
    (Cause.AUTH_FAILED, _ACCOUNT, [20002, 20006]),  # key revoked, token expired
    (Cause.PERMISSION_MISSING, _GENERAL, [_NOT_AUTHORISED]),
    (Cause.RATE_LIMITED, _GENERAL, [10011]),
    (Cause.INVALID_DESTINATION, _GENERAL, [10002, 10016]),  # no phone number, not E.164
    (Cause.INVALID_REQUEST, _GENERAL, [10003, 10004, 10005, 10006, 10015]),  # URL, missing, not found, id, bad
    (Cause.PROVIDER_ERROR, _GENERAL, [10007, 10008]),  # unexpected, timed out
    (Cause.ACCOUNT_SUSPENDED, _ACCOUNT, [20012, 20013]),  # inactive (perhaps without money), blocked
    (Cause.ACCOUNT_RESTRICTED, _ACCOUNT, [20014, 20015, 20016, 20017]),  # not verified, feature not enabled
    (Cause.INSUFFICIENT_BALANCE, _ACCOUNT, [20100]),
    (Cause.UNSUPPORTED_DESTINATION, _DELIVERY, [40001]),  # a landline or not routable
    (Cause.CARRIER_BLOCKED, _DELIVERY, [40002, 40003, 40004]),  # spam for now, for good; rejected
    (Cause.TIMEOUT, _DELIVERY, [40005, 40014]),  # expired on its way, in the queue
    (Cause.UNREACHABLE_TEMPORARY, _DELIVERY, [40006]),  # the recipient's server is unavailable
    (Cause.NO_ROUTE, "https://developers.telnyx.com/docs/v1/messaging/messaging-error-codes", [40007]),  # a loop
    (Cause.UNKNOWN, _DELIVERY, [40008]),  # "a general purpose undeliverable message": says nothing of the number
    (Cause.CONTENT_REJECTED, _DELIVERY, [40009, 40015]),  # invalid body, Telnyx's own spam filter
    (Cause.RATE_LIMITED, _DELIVERY, [40011]),  # upstream
    (Cause.INVALID_DESTINATION, _DELIVERY, [40012]),
    (Cause.SENDER_REJECTED, _DELIVERY, [40013]),
    (Cause.SENDER_REJECTED, _MESSAGING, [40010, 40150, 40329]),  # 10DLC or toll-free number not registered, verified
    (Cause.QUOTA_EXCEEDED, _MESSAGING, [40016, 40018]),  # T-Mobile's and AT&T's limits
    (Cause.CARRIER_BLOCKED, _MESSAGING, [40017]),  # spam to AT&T
    (Cause.SENDER_UNKNOWN, _MESSAGING, [40100, 40151]),  # not enabled for messages, or not yet
    (Cause.RECIPIENT_OPTED_OUT, _MESSAGING, [40300]),  # STOP
    (Cause.UNSUPPORTED_DESTINATION, _MESSAGING, [40301, 40319]),  # not a type of message for that number
    (Cause.INVALID_REQUEST, _MESSAGING, [40302, 40304, 40308, 40316, 40317, 40328]),  # content, size, MMS
    (Cause.SENDER_UNKNOWN, _MESSAGING, [40305, 40306]),  # not on the profile, alpha sender not configured
    (Cause.COUNTRY_BLOCKED, _MESSAGING, [40309]),  # not in the profile's list of destinations
    (Cause.INVALID_DESTINATION, _MESSAGING, [40310]),
    (Cause.AUTH_FAILED, _MESSAGING, [40311, 40313]),  # secret of the profile
    (Cause.SENDER_UNKNOWN, _MESSAGING, [40312, 40315, 40320, 40321]),  # profile off or empty, number unfit, not yet
    (Cause.ACCOUNT_RESTRICTED, _MESSAGING, [40314]),  # messaging is disabled on the account
    (Cause.RATE_LIMITED, _MESSAGING, [40318]),  # the queue is full
    (Cause.CONTENT_REJECTED, _MESSAGING, [40322]),
)
# fmt: on

# Of detail records: MessageDetailRecord.status, and https://support.telnyx.com/en/articles/1130611 for those on their
# way. Of messages and webhooks: OutboundMessagePayload.to.status. That no receipt came, or none that says anything, is
# neither a success nor a failure: such a message waits like any other that was sent.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "queued": Status.ACCEPTED,
        "sending": Status.ACCEPTED,  # not yet handed over
        "sent": Status.SENT,
        "delivering": Status.SENT,
        "dlr_unconfirmed": Status.SENT,
        "dlr_timeout": Status.SENT,
        "delivery_unconfirmed": Status.SENT,
        "delivered": Status.DELIVERED,
        "failed": Status.UNDELIVERED,
        "undelivered": Status.UNDELIVERED,
        "delivery_failed": Status.UNDELIVERED,
        "expired": Status.UNDELIVERED,
        "gw_timeout": Status.FAILED,
        "gw_reject": Status.FAILED,
        "sending_failed": Status.FAILED,
        "canceled": Status.CANCELED,
        "cancelled": Status.CANCELED,
    }
)

_PAGE_SIZE: Final = 50  # the most: SearchDetailRecords, page[size]
_CURSOR: Final = MappingProxyType({"page": re.compile(r"[1-9]\d{0,5}", re.ASCII), "open": re.compile("1")})
_LONGEST_SECONDS: Final = 86_400.0  # ours: how deep one may page is not documented

_TIMESTAMP: Final = "telnyx-timestamp"
_SIGNATURE: Final = "telnyx-signature-ed25519"
_SIGNATURE_LETTERS: Final = re.compile(r"[0-9A-Za-z+/]{86}==", re.ASCII)  # 64 bytes
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)
_TOLERANCE_SECONDS: Final = 300.0  # that of Telnyx's own libraries
_SENT: Final = "message.sent"
_EVENTS: Final = (_SENT, "message.finalized")


class TelnyxClient:
    """One Telnyx account. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (_TIMESTAMP, _SIGNATURE)

    def __init__(self, settings: TelnyxSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        self._key = settings.api_key
        self._profile_id = settings.messaging_profile_id
        self._api = JsonApi(_NAME, (_HOST,), settings, codes=codes, code_of=_code_of_a_refusal, observer=observer)
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_LONGEST_SECONDS, cursor=_CURSOR)
        callbacks = settings.callbacks
        self._is_signed = None if callbacks is None else build_verifier(callbacks.public_key)
        self.takes_callbacks: Final = callbacks is not None
        self.forward_to: Final = None if callbacks is None else callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Read the balance. A key that may not is a good key all the same, when Telnyx says so."""
        try:
            self._fetch_balance()
        except PermissionMissingError as error:
            if error.code != _NOT_AUTHORISED:
                raise

    def fetch_balance(self) -> Money | None:
        """Return the available credit: what may still be spent, the balance and the credit limit together.

        The balance of an account that pays afterwards is below zero while all is well; without a credit limit both
        are the same.
        """
        balance = self._fetch_balance()
        return Money(amount=balance.number("available_credit"), currency=balance.currency("currency"))

    def fetch_spend(self) -> None:
        """Return None: Telnyx has no usage records since the beginning of an account."""

    def _fetch_balance(self) -> Fields:
        """Return the balance: UserBalance. Its amounts are text."""
        return self._ask("GET", "/balance").fields.inner("data")

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Telnyx's status page says."""
        return self._page.fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the outbound messages created at or after ``since`` and before ``until``.

        Pages have numbers, so the log is read span by span, the newest first. The newest one is left open on all its
        pages, so that nothing new is missed: what is new moves older messages to later pages, and leaves no gap.
        """
        span = self._windows.first(since, until, self._api.now()) if resume is None else self._windows.parse(resume)
        is_open = "open" in span.cursor if resume is not None else until is None
        answer = self._ask_for_span(span, is_open=is_open)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            answer = self._ask_for_span(span, is_open=is_open)
        rows = answer.fields.rows("data")
        cursor = _following(answer.fields.inner("meta"), span, is_open=is_open) if rows else {}
        reached = self._windows.reached(span, cursor)
        return LogPage(
            receipts=self._receipts.of_page(
                rows, self._read_record, vendor=_NAME, since=since, until=inf if until is None else until
            ),
            resume=self._windows.following(span, since, cursor),
            reached=min(reached, _oldest(rows)) if cursor else reached,
            at=answer.at,
        )

    def _ask_for_span(self, span: Span, *, is_open: bool) -> Answer:
        query = {
            "filter[record_type]": "messaging",
            "filter[direction]": "outbound",
            "filter[created_at][gte]": _date(span.since),
            "sort": "-created_at",
            "page[number]": _page_of(span),
            "page[size]": str(_PAGE_SIZE),
        }
        if not is_open:
            query["filter[created_at][lt]"] = _date(span.until)
        return self._ask("GET", "/detail_records", params=query, yields=True)

    def _read_record(self, record: Any) -> Row | None:
        """Return what a record says (MessageDetailRecord); None for one that is not of an outbound message.

        A message was delivered when Telnyx completed it: in whole seconds, and an upper bound.
        """
        fields = Fields(record, _NAME, "record")
        if fields.get("direction") == "inbound":
            return None
        word = fields.get("status")
        if not word:
            word = "sent" if fields.get("sent_at") else "queued"
        country = fields.get("country_code")
        return _row(
            message_id=fields.text("uuid", _MESSAGE_ID),
            word=word,
            fields=fields,
            created_at=fields.moment("created_at"),
            number=fields.get("cld"),
            country=country if isinstance(country, str) and _COUNTRY.fullmatch(country) else UNKNOWN_COUNTRY,
            mcc_mnc=_network(fields.get("mcc"), fields.get("mnc")),
        )

    def send_canary(
        self,
        *,
        to: str,
        sender: str,
        text: str,
        validity_seconds: int,  # noqa: ARG002  # Telnyx takes none: CreateMessageRequest
    ) -> str:
        """Send one message, once, and return its id. ``sender`` is a number or, with a profile, a name."""
        message = {"from": sender, "to": to, "text": text, "type": "SMS"}
        if self._profile_id is not None:
            message["messaging_profile_id"] = self._profile_id
        return self._ask("POST", "/messages", json=message).fields.inner("data").text("id", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come."""
        if not _MESSAGE_ID.fullmatch(message_id):
            raise BadResponseError("Telnyx gives no message such an id")
        message = self._ask("GET", f"/messages/{message_id}").fields.inner("data")
        row = _row_of_message(message)
        if row is None or row.message_id != message_id:
            raise BadResponseError("Telnyx tells of another message")
        receipt = self._receipts.of(row)
        cost = Fields(message.get("cost") or {}, _NAME, "cost")
        is_priced = cost.get("amount") not in (None, "")
        return CanaryStatus(
            status=row.status,
            reason=self._receipts.why(row.code, row.cause)[0] if row.status is Status.CANCELED else receipt.reason,
            code=receipt.code,
            cost=cost.number("amount") if is_priced else None,
            currency=cost.currency("currency") if is_priced else None,
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in a webhook of Telnyx's. Raises CallbackRefusedError.

        https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks. The key is of one account, so what it
        signed is of that account. Both times of a delivery are by Telnyx's clock, in milliseconds.
        """
        if self._is_signed is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        timestamp, signature = (callback.headers.get(name, "") for name in self.signed_headers)
        if not timestamp or not signature:
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        if not _SECONDS.fullmatch(timestamp) or not _SIGNATURE_LETTERS.fullmatch(signature):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        if not self._is_signed(f"{timestamp}|".encode() + callback.body, b64decode(signature)):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        refuse_replay(float(timestamp), callback, within_seconds=_TOLERANCE_SECONDS)
        try:
            row = _row_of_event(json.loads(callback.body))
        except (ValueError, RecursionError, BadResponseError):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
        return () if row is None else (self._receipts.of(row, Source.CALLBACK),)

    def _ask(self, method: str, path: str, **more: Any) -> Answer:
        return self._api.ask(method, _API + path, headers={"Authorization": f"Bearer {self._key.reveal()}"}, **more)


def build_verifier(public_key: str) -> Callable[[bytes, bytes], bool]:
    """Return what tells whether bytes are signed by that account: Ed25519 over them, the key in base64."""
    # It costs 7 MB, which only a receiver of Telnyx's webhooks pays.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    key = Ed25519PublicKey.from_public_bytes(b64decode(public_key))

    def is_signed(signed: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return is_signed


def _row_of_event(event: Any) -> Row | None:
    """Return what a webhook says; None for one that is not of an outbound message's way, or in words that are new."""
    data = Fields(event, _NAME, "webhook").inner("data")
    kind = data.get("event_type")
    if kind not in _EVENTS:
        return None
    try:
        return _row_of_message(data.inner("payload"), told_at=data.moment("occurred_at"), is_sent=kind == _SENT)
    except _NewWordError:  # to refuse it would make Telnyx send it again
        return None


def _row_of_message(message: Fields, *, told_at: float | None = None, is_sent: bool = False) -> Row | None:
    """Return what a message says (OutboundMessagePayload); None for an inbound one and one to several recipients."""
    recipients = message.rows("to") if message.get("direction") != "inbound" else ()
    if len(recipients) != 1:
        return None
    recipient = Fields(recipients[0], _NAME, "recipient")
    return _row(
        message_id=message.text("id", _MESSAGE_ID),
        word=recipient.get("status"),
        fields=message,
        created_at=message.optional_moment("received_at"),
        number=recipient.get("phone_number"),
        told_at=told_at,
        is_sent=is_sent,
    )


class _NewWordError(BadResponseError):
    """A status that no document names."""


def _row(
    *,
    message_id: str,
    word: Any,
    fields: Fields,
    created_at: float | None,
    number: Any,
    country: str = UNKNOWN_COUNTRY,
    mcc_mnc: str = "",
    told_at: float | None = None,
    is_sent: bool = False,
) -> Row:
    """Return what a record and a message say in the same words; ``told_at`` is when Telnyx told of it."""
    status = STATUSES.get(word.lower()) if isinstance(word, str) else None
    if status is None:
        raise _NewWordError("a message has an unknown status")
    if is_sent and status is Status.ACCEPTED:  # the event is documented with this status, and says more
        status = Status.SENT
    sent_at, completed_at = fields.optional_moment("sent_at"), fields.optional_moment("completed_at")
    moments = (completed_at if status.is_final else None, told_at, sent_at if status is not Status.ACCEPTED else None)
    at = next((moment for moment in (*moments, created_at) if moment is not None), None)
    if at is None:
        raise BadResponseError("a message has no time")
    return Row(
        message_id=message_id,
        status=status,
        at=at,
        created_at=created_at,
        number=parse_number(number),
        country=country,
        mcc_mnc=mcc_mnc,
        code=_first_code(fields.get("errors")),
        cause=Cause.TIMEOUT if word == "expired" else Cause.UNKNOWN,
        is_timed=completed_at is not None,
    )


def _first_code(errors: Any) -> str | None:
    """Return the first code of a list: text in a record, objects elsewhere (MessagingError)."""
    for error in errors if isinstance(errors, list) else ():
        code = parse_code(error.get("code") if isinstance(error, dict) else error)
        if code is not None:
            return code
    return None


def _code_of_a_refusal(payload: Any) -> str | None:
    """Return the code that stands in an answer that refuses: Errors."""
    return _first_code(payload.get("errors")) if isinstance(payload, dict) else None


def _page_of(span: Span) -> str:
    return span.cursor.get("page", "1")


def _following(meta: Fields, span: Span, *, is_open: bool) -> Mapping[str, str]:
    """Return the cursor of the next page, nothing behind the last: PaginationMeta."""
    page = int(_page_of(span))
    if meta.number("page_number") != page:
        raise BadResponseError("Telnyx's message log pages in a circle")
    if page >= meta.number("total_pages"):
        return {}
    return {"page": str(page + 1), **({"open": "1"} if is_open else {})}


def _oldest(rows: Sequence[Any]) -> float:
    """Return when the last row was created where they are the newest first, as asked; else infinity."""
    try:
        moments = [Fields(row, _NAME, "record").moment("created_at") for row in rows]
    except BadResponseError:
        return inf
    is_newest_first = all(newer >= older for newer, older in pairwise(moments))
    return moments[-1] if moments and is_newest_first else inf


def _network(mcc: Any, mnc: Any) -> str:
    are_codes = all(isinstance(code, str) and _DIGITS.fullmatch(code) for code in (mcc, mnc))
    return f"{mcc}{mnc}" if are_codes and len(mcc) == 3 else ""


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
