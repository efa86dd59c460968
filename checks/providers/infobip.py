"""Infobip: message log, SMS API and the balance of the account.

Facts are from Infobip's OpenAPI documents (sms 3.210.0, account-management 3.245.1, copies at
github.com/api-evangelist/infobip, openapi/_original) and from infobip.com/docs, read 2026-11; each is named where it is
used.

``GET /sms/3/reports`` is never called: it hands each report out once, and so would take it from the application.

Not verified: what the log answers beyond its 48 hours, whether the ends of a span of it belong to it, that a price is
of one part of a message, and the address of the status page. Delivery reports are not taken: they can be signed by HMAC
(Subscriptions API), but no document says by which header and over what.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from ..clients import CanaryStatus, LogPage, Money, ServiceStatus
from ..errors import BadResponseError, PermissionMissingError
from ..messages import Status
from ..settings import Count, ProviderSettings, SecretSetting, Url
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .http import BODY_LIMIT_BYTES
from .json_api import Answer, JsonApi
from .observer import Observer
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

INFOBIP_DOMAINS: Final = ("infobip.com",)

_NAME: Final = "Infobip"

_MESSAGE_ID: Final = re.compile(r"[\w.:-]{1,200}", re.ASCII)  # the sender of a message may choose it
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)

# x-scopes of each call, without the broader ones that do as well.
_READ_LOG: Final = "sms:logs:read"
_SEND: Final = "sms:message:send"
_READ_BALANCE: Final = "account-management:manage"


class InfobipSettings(ProviderSettings):
    """How to reach an Infobip account. Its API key needs the scope sms:logs:read; for a canary sms:message:send too.

    A balance check wants account-management:manage, which may change the account: leave it out if that is too much.
    """

    type: Literal["infobip"] = Field(description="the vendor")
    api_key: SecretSetting = Field(description="the API key, from the web interface")
    base_url: Url = Field(
        description='the account\'s own base URL, from the web interface, such as "https://xyz1.api.infobip.com"'
    )
    status_page: Url = Field("https://status.infobip.com", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        2,
        ge=1,
        le=1000,
        description="no more than this many API calls begin in one second; Infobip answers 120 for the log in a minute",
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: id of an error as "6", of a status as "status-12"',
    )


_PAGE: Final = "infobip.com/docs/essentials/api-essentials/response-status-and-error-codes"
_ERROR: Final = f"error codes (general) of {_PAGE}"
_STATUS: Final = f"status codes (general) of {_PAGE}"
_API: Final = "responses of Infobip's OpenAPI document 3.210.0 (ApiError, ApiException)"
_STATUS_PREFIX: Final = "status-"  # the ids of statuses and of errors share their numbers


def _status(*ids: int) -> Sequence[str]:
    return [f"{_STATUS_PREFIX}{each}" for each in ids]


# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.INVALID_DESTINATION, _ERROR, [1, 5, 351, 352]),  # subscriber unknown, not identified, address invalid
    (Cause.UNREACHABLE_TEMPORARY, _ERROR, [2, 6, 24, 27, 31, 32, 33, 256, 628, 2048]),  # absent, busy, memory full
    (Cause.UNREACHABLE_PERMANENT, _ERROR, [7, 629, 3041]),  # equipment unknown, unable to receive, deactivated
    (Cause.UNSUPPORTED_DESTINATION, _ERROR, [10, 11, 21, 568]),  # SMS not provisioned or not supported
    (Cause.SUBSCRIBER_BARRED, _ERROR, [8, 9, 12, 13, 15, 569, 581]),  # roaming, illegal, barred, no credit
    (Cause.RECIPIENT_OPTED_OUT, _ERROR, [573, 603, 2050, 2052]),  # blocked by the user, STOP, do not disturb, blocklist
    (Cause.CARRIER_BLOCKED, _ERROR, [560, 561, 564, 566, 607, 632]),  # blocked, spam, rejected by the operator
    (Cause.CONTENT_REJECTED, _ERROR, [71, 355, 2051]),  # alphabet unknown, text too long, text blocklisted
    (Cause.SENDER_REJECTED, _ERROR, [368, 375, 488, 562, 563, 571, 572, 594, 2053]),  # not provisioned or verified
    (Cause.FRAUD_BLOCKED, _ERROR, [608, 609]),  # Signals
    (Cause.ACCOUNT_RESTRICTED, _ERROR, [577, 578, 579, 580]),  # limits of a demo account
    (Cause.COUNTRY_BLOCKED, _ERROR, [592]),  # the account is not provisioned for the network
    (Cause.NO_ROUTE, _ERROR, [345, 597, 1152, 1153]),  # operator not found, no address that reaches it, no translation
    (Cause.RATE_LIMITED, _ERROR, [541, 4103, 4104, 5492]),  # campaign's limit, flooding, the same message again
    (Cause.QUOTA_EXCEEDED, _ERROR, [542, 4099, 4202]),  # daily quota, monthly limit, 10DLC limit
    (Cause.ACCOUNT_SUSPENDED, _ERROR, [433]),  # account access denied
    (Cause.INVALID_REQUEST, _ERROR, [323]),
    (Cause.NETWORK_ERROR, _ERROR, [34, 51, *range(500, 510), 630, 631]),  # failures and protocol errors of operators
    (Cause.NETWORK_ERROR, _ERROR, [*range(1024, 1152), *range(1154, 1167), *range(1281, 1797)]),  # dialogues, SS7
    (Cause.PROVIDER_ERROR, _ERROR, [4097]),  # failed at the platform
    (Cause.TIMEOUT, _ERROR, [811, 4098, 4100, 4101]),  # validity ended
    (Cause.UNKNOWN, _ERROR, [255, 633, 810, 815]),
    (Cause.INVALID_DESTINATION, _STATUS, _status(8, 51, 52)),  # prefix, none, invalid
    (Cause.RECIPIENT_OPTED_OUT, _STATUS, _status(10, 14)),  # do not disturb, blocklist
    (Cause.CARRIER_BLOCKED, _STATUS, _status(4)),  # rejected by the operator
    (Cause.CONTENT_REJECTED, _STATUS, _status(24, 25)),  # user data header, too long
    (Cause.SENDER_UNKNOWN, _STATUS, _status(11)),  # not registered on the account
    (Cause.SENDER_REJECTED, _STATUS, _status(13)),  # blocklisted
    (Cause.FRAUD_BLOCKED, _STATUS, _status(87)),  # Signals
    (Cause.COUNTRY_BLOCKED, _STATUS, _status(6)),  # the network is not covered, or not set up on the account
    (Cause.ACCOUNT_RESTRICTED, _STATUS, _status(18)),  # the account may send to a single number, for testing
    (Cause.NO_ROUTE, _STATUS, _status(19)),
    (Cause.RATE_LIMITED, _STATUS, _status(20)),  # flooding
    (Cause.INSUFFICIENT_BALANCE, _STATUS, _status(12, 17)),  # no credits, credits expired
    (Cause.INVALID_REQUEST, _STATUS, _status(23)),  # the message id is there twice
    (Cause.PROVIDER_ERROR, _STATUS, _status(21, 100)),  # system error, rejected by the platform
    (Cause.TIMEOUT, _STATUS, _status(15)),
    (Cause.UNKNOWN, _STATUS, _status(9, 31, 98)),  # not delivered, not sent, cancelled
    (Cause.AUTH_FAILED, _API, ["E401", "UNAUTHORIZED"]),
    (Cause.PERMISSION_MISSING, _API, ["E403", "FORBIDDEN"]),
    (Cause.RATE_LIMITED, _API, ["E429", "TOO_MANY_REQUESTS"]),
    (Cause.PROVIDER_ERROR, _API, ["E500", "GENERAL_ERROR"]),
    (Cause.INVALID_REQUEST, _API, ["E400", "BAD_REQUEST", "NOT_FOUND"]),
)
# fmt: on

# By id, never by the group: DELIVERED_TO_OPERATOR (2) is of the group "delivered", and says nothing of the phone
# (infobip.com/docs/developer-resources/api-fundamentals/message-status-codes). Of EXPIRED_DLR_UNKNOWN (29) neither
# success nor failure is known, so it waits for a receipt like a message without one.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        **dict.fromkeys(("7", "26"), Status.ACCEPTED),
        **dict.fromkeys(("2", "3", "29"), Status.SENT),
        "5": Status.DELIVERED,
        **dict.fromkeys(("4", "9", "15"), Status.UNDELIVERED),
        **dict.fromkeys(("6", "8", "10", "11", "12", "13", "14", "17", "18", "19", "20", "21"), Status.FAILED),
        **dict.fromkeys(("23", "24", "25", "31", "51", "52", "87", "100"), Status.FAILED),
        "98": Status.CANCELED,
    }
)
# Of an id that is new to us: pending, undeliverable, delivered (to whom is not known), expired, rejected.
_STATUS_OF_GROUP: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "1": Status.ACCEPTED,
        "2": Status.UNDELIVERED,
        "3": Status.SENT,
        "4": Status.UNDELIVERED,
        "5": Status.FAILED,
    }
)
_NOT_ON_ITS_WAY: Final = (Status.UNDELIVERED, Status.FAILED, Status.CANCELED)

_CURSOR: Final = MappingProxyType({"cursor": re.compile(r"[\w=+/.:~-]{1,1500}", re.ASCII)})  # opaque to us
_KEPT_SECONDS: Final = 48 * 3600.0  # the log: "generated in the last 48 hours"
_PAGE_SIZE: Final = 1000  # the most that limit may be
_PAGE_LIMIT_BYTES: Final = 2 * BODY_LIMIT_BYTES  # a page has the texts of its messages
_MILLISECOND: Final = 0.001

_LONGEST_VALIDITY_SECONDS: Final = 48 * 3600  # ValidityPeriod


class InfobipClient:
    """One Infobip account. Safe to use from several threads."""

    def __init__(self, settings: InfobipSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        self._key = settings.api_key
        self._host = urlsplit(settings.base_url).netloc
        self._api = JsonApi(_NAME, (self._host,), settings, codes=codes, code_of=_code_of_refusal, observer=observer)
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_KEPT_SECONDS, cursor=_CURSOR)
        self._has_answered = False

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Ask for one row of the log, which costs nothing: no call is open to every key."""
        self._ask_log({"limit": "1"})

    def fetch_balance(self) -> Money:
        """Return the balance. Raises PermissionMissingError for a key that may not read it, as most need not."""
        answer = self._ask("GET", "/account/1/balance", scope=_READ_BALANCE).fields
        return Money(amount=answer.number("balance"), currency=answer.currency("currency"))

    def fetch_spend(self) -> None:
        """Return None: what was spent is told by no call that we know."""

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Infobip's status page says."""
        return self._page.fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the messages sent at or after ``since`` and before ``until``.

        The order within a span is not documented, so the log is read span by span, the newest first. It goes back 48
        hours: of older messages there is nothing to read.
        """
        span = None if resume is None else self._windows.parse(resume)
        is_newest = resume is None and until is None
        kept_since = since if is_newest else max(since, self._oldest())
        if span is None:
            span = self._windows.first(kept_since, until, self._api.now())
        if not is_newest and span.until <= kept_since:
            return LogPage(receipts=(), resume=None, reached=since)
        answer = self._ask_for_span(span)
        if is_newest and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            answer = self._ask_for_span(span)
        rows, cursor = answer.fields.rows("results"), _cursor_of(answer.fields)
        if cursor and cursor == span.cursor:
            raise BadResponseError("Infobip's message log pages in a circle")
        return LogPage(
            receipts=self._receipts.of_page(
                rows,
                self._read_row,
                vendor=_NAME,
                since=max(since, span.since),
                until=span.until if until is None else min(until, span.until),
            ),
            resume=self._windows.following(span, max(since, self._oldest()), cursor),
            reached=self._windows.reached(span, cursor),
            at=answer.at,
        )

    def _oldest(self) -> float:
        """Return how far back the log goes, by Infobip's clock (Unix time)."""
        if not self._has_answered:
            self.verify_credentials()
        return self._api.now() - _KEPT_SECONDS

    def _ask_for_span(self, span: Span) -> Answer:
        """Ask for a page of a span: messages sent "after" its beginning, so from a millisecond before it on."""
        query = {
            "sentSince": _date(span.since - _MILLISECOND),
            "sentUntil": _date(span.until),
            "limit": str(_PAGE_SIZE),
            "useCursor": "true",
            **span.cursor,
        }
        return self._ask_log(query, yields=True)

    def _ask_log(self, query: Mapping[str, str], *, yields: bool = False) -> Answer:
        answer = self._ask("GET", "/sms/3/logs", scope=_READ_LOG, params=query, yields=yields)
        answer.fields.rows("results")
        self._has_answered = True
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        yields: bool = False,
    ) -> Answer:
        try:
            return self._api.ask(
                method,
                f"https://{self._host}{path}",
                params=params,
                json=json,
                headers={"Authorization": f"App {self._key.reveal()}"},
                body_limit_bytes=_PAGE_LIMIT_BYTES,
                yields=yields,
            )
        except PermissionMissingError as error:
            raise PermissionMissingError(f"the API key lacks the scope {scope}", code=error.code) from None

    def _read_row(self, record: Any) -> Row:
        """Return what a row of the log says (sms: Log). A message is delivered when Infobip was done with it."""
        fields = Fields(record, _NAME, "message")
        status_id, status = _read_status(fields.inner("status"))
        sent_at, done_at = fields.moment("sentAt"), fields.optional_moment("doneAt")
        network, error = fields.get("mccMnc"), fields.get("error")
        code = parse_code(error.get("id")) if isinstance(error, dict) else None
        of_status = f"{_STATUS_PREFIX}{status_id}" if status in _NOT_ON_ITS_WAY else None
        meaning = ERROR_CODES.get(of_status or "")
        return Row(
            message_id=fields.text("messageId", _MESSAGE_ID),
            status=status,
            at=sent_at if done_at is None else done_at,
            created_at=sent_at,
            number=parse_number(fields.get("destination")),
            mcc_mnc=network if isinstance(network, str) and _MCC_MNC.fullmatch(network) else "",
            code=of_status if code in (None, "0") else code,
            cause=Cause.UNKNOWN if meaning is None else meaning.cause,
            is_timed=done_at is not None,
        )

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. ``sender`` is a number or a name."""
        message = {
            "sender": sender.removeprefix("+"),
            "destinations": [{"to": to.removeprefix("+")}],
            "content": {"text": text},
            "options": {
                "validityPeriod": {"amount": min(validity_seconds, _LONGEST_VALIDITY_SECONDS), "timeUnit": "SECONDS"}
            },
        }
        answer = self._ask("POST", "/sms/3/messages", scope=_SEND, json={"messages": [message]})
        told = answer.fields.rows("messages")
        if len(told) != 1:
            raise BadResponseError("Infobip does not tell of one message")
        return Fields(told[0], _NAME, "message").text("messageId", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, by its row of the log: it may take a while to be there."""
        rows = self._ask_log({"messageId": message_id, "limit": "1"}).fields.rows("results")
        if not rows:
            return CanaryStatus(status=Status.ACCEPTED)
        row = self._read_row(rows[0])
        if row.message_id != message_id:
            raise BadResponseError("Infobip tells of another message")
        receipt = self._receipts.of(row)
        fields = Fields(rows[0], _NAME, "message")
        price = None if fields.get("price") is None else fields.inner("price")
        is_withdrawn = row.status is Status.CANCELED
        return CanaryStatus(
            status=row.status,
            reason=self._receipts.why(row.code, row.cause)[0] if is_withdrawn else receipt.reason,
            code=receipt.code,
            cost=None if price is None else price.number("pricePerMessage") * fields.number("messageCount"),
            currency=None if price is None else price.currency("currency"),
        )


def _cursor_of(answer: Fields) -> Mapping[str, str]:
    """Return where to go on in a span; nothing on its last page, which has no next cursor, or no row any more."""
    cursor = None if answer.get("cursor") is None else answer.inner("cursor")
    if cursor is None or cursor.get("nextCursor") in (None, "") or not answer.rows("results"):
        return {}
    return {"cursor": cursor.text("nextCursor", _CURSOR["cursor"])}


def _read_status(fields: Fields) -> tuple[str, Status]:
    """Return the id and the status that it means. Raises BadResponseError for one that is not known, nor its group."""
    status_id, group = parse_code(fields.get("id")), parse_code(fields.get("groupId"))
    status = STATUSES.get(status_id or "") or _STATUS_OF_GROUP.get(group or "")
    if status_id is None or status is None:
        raise BadResponseError("a message has an unknown status")
    return status_id, status


def _code_of_refusal(payload: Any) -> str | None:
    """Return the code in an answer that refuses: ApiError, ApiException, or the status of a message that was refused.

    The last comes with HTTP 200 (SmsResponseEnvelope).
    """
    if not isinstance(payload, dict):
        return None
    if "errorCode" in payload:
        return parse_code(payload["errorCode"])
    error = payload.get("requestError")
    exception = error.get("serviceException") if isinstance(error, dict) else None
    if isinstance(exception, dict):
        return parse_code(exception.get("messageId"))
    messages = payload.get("messages")
    for message in messages if isinstance(messages, list) else ():
        status = message.get("status") if isinstance(message, dict) else None
        try:
            status_id, meaning = _read_status(Fields(status, _NAME))
        except BadResponseError:
            continue
        if meaning in _NOT_ON_ITS_WAY:
            return f"{_STATUS_PREFIX}{status_id}"
    return None


def _date(moment: float) -> str:
    """Return yyyy-MM-dd'T'HH:mm:ss.SSSZ, whose offset has no colon."""
    milliseconds = round(moment * 1000)
    day = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{day}.{milliseconds % 1000:03d}+0000"
