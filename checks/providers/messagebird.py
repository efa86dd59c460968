"""MessageBird's classic REST API (rest.messagebird.com): balance, message log, sending, signed status reports.

Facts are from developers.messagebird.com and docs.bird.com (read 2026-11), from MessageBird's own libraries (Python
2.2.0, Go, PHP and Java) and from their test data; each is named where it is used. No machine-readable document is
published. Unverified: that the log takes ``from``, ``until`` and pages of more than 20, what order it is in, and
every field of a status report behind ``statusDatetime``. Keys have no permissions and accounts no state to be read.
"""

import base64
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import Field

from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import CanaryStatus, LogPage, Money, ServiceStatus
from ..errors import BadResponseError
from ..messages import Receipt, Source, Status
from ..secret import Secret
from ..settings import Count, ProviderSettings, SecretSetting, Url
from .bird import BIRD_DOMAINS, BIRD_STATUS_PAGE
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .json_api import Answer, JsonApi
from .observer import Observer
from .posts import ForwardSettings, parse_form, refuse_replay
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

MESSAGEBIRD_DOMAINS: Final = ("messagebird.com", *BIRD_DOMAINS)

_NAME: Final = "MessageBird"
_HOST: Final = "rest.messagebird.com"
_MESSAGES: Final = f"https://{_HOST}/messages"

_MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z]{6,64}", re.ASCII)
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)


class MessageBirdCallbackSettings(ForwardSettings):
    """How to believe MessageBird's status reports. It reports only messages that are sent with a reference."""

    public_url: Url = Field(
        description="the status report URL as MessageBird was given it: it is part of the signature; its path ends in"
        " /callbacks/ and the provider's name, unless a proxy says otherwise"
    )
    signing_key: SecretSetting = Field(description="the signing key of the account, from the dashboard; no access key")


class MessageBirdSettings(ProviderSettings):
    """How to reach a MessageBird account by its classic REST API, which is not the new API of Bird."""

    type: Literal["messagebird"] = Field(description="the vendor")
    access_key: SecretSetting = Field(description="a live access key of the account, from the dashboard")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to MessageBird: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field(
        BIRD_STATUS_PAGE, description='the Statuspage to read; this API is its component "SMS - API"'
    )
    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second; MessageBird takes 50"
    )
    log_page_size: Count = Field(
        100, ge=10, le=1000, description="messages asked for in one page of the log; how many it gives is undocumented"
    )
    callbacks: MessageBirdCallbackSettings | None = Field(
        None, description="signed status reports, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: statusErrorCode as "34", of the API as "api-25"',
    )


_BIRD: Final = "docs.bird.com: SMS Platform Extended Error Codes (of statusErrorCode), 2026-11"
_MAP: Final = "3GPP TS 29.002, whose error numbers these are; MessageBird's page names their kin, not this one"
_SAME: Final = "unverified: another vendor's table of the same EC_ names and numbers"
_API: Final = "ResponseError of messagebird/php-rest-api 015a378"
_API_PARAMETER: Final = "parameter of an error: tests of messagebird/messagebird-nodejs and magento2-messagebird"
_API_PREFIX: Final = "api-"  # errors of the API and of a message share their numbers


# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.INVALID_DESTINATION, _BIRD, [1, 2, 3, 5, 10]),  # subscriber, base station, MSC, bearer service: not known
    (Cause.UNREACHABLE_TEMPORARY, _BIRD, [8, 26, 27, 31]),  # roaming, handover, absent, busy
    (Cause.UNREACHABLE_PERMANENT, _BIRD, [9]),  # illegal subscriber
    (Cause.UNSUPPORTED_DESTINATION, _BIRD, [11]),  # the teleservice is not provisioned
    (Cause.SUBSCRIBER_BARRED, _BIRD, [12]),  # named EC_CALL_BARRED there, illegal equipment in MAP
    (Cause.NETWORK_ERROR, _BIRD, [34]),  # system failure
    (Cause.UNREACHABLE_TEMPORARY, _MAP, [6, 32, 33]),  # absent for SMS, delivery failure, waiting list full
    (Cause.SUBSCRIBER_BARRED, _MAP, [13]),  # call barred
    (Cause.UNSUPPORTED_DESTINATION, _MAP, [21]),  # facility not supported
    (Cause.NETWORK_ERROR, _MAP, [35, 36, 51]),  # data missing, unexpected value, resource limitation
    (Cause.UNKNOWN, _SAME, [255]),
    (Cause.UNREACHABLE_TEMPORARY, _SAME, [256]),  # the memory of the phone is full
    (Cause.AUTH_FAILED, _API, ["api-2"]),  # request not allowed
    (Cause.INVALID_REQUEST, _API, ["api-9", "api-10", "api-20"]),  # missing, invalid, not found
    (Cause.INSUFFICIENT_BALANCE, _API, ["api-25"]),
    (Cause.INVALID_DESTINATION, _API_PARAMETER, ["api-9-recipients", "api-10-recipients"]),
    (Cause.SENDER_UNKNOWN, _API_PARAMETER, ["api-9-originator", "api-10-originator"]),
)
# fmt: on

# developers.messagebird.com/api/sms-messaging: status of a recipient. There is no word for one that never left.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "scheduled": Status.ACCEPTED,
        "sent": Status.SENT,
        "buffered": Status.SENT,
        "delivered": Status.DELIVERED,
        "expired": Status.UNDELIVERED,
        "delivery_failed": Status.UNDELIVERED,
    }
)

# developers.messagebird.com/api/balance: names of these, ISO 4217 of all others, and credits, which are no money.
_CURRENCIES: Final = MappingProxyType({"euros": "EUR", "pounds": "GBP", "dollars": "USD"})
_CREDITS: Final = "credits"

_CURSOR: Final = MappingProxyType({"offset": re.compile(r"\d{1,9}", re.ASCII)})
_LONGEST_SECONDS: Final = 86_400.0  # ours: a span's offsets stay small
_EDGE_SECONDS: Final = 1.0  # asked for beyond a span: whether its ends belong to it is not documented

_SIGNATURE: Final = "messagebird-signature-jwt"
# request_validator.py of messagebird 2.2.0: HMAC alone, so that no token can choose "none" or a public key.
_DIGESTS: Final = MappingProxyType({"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"})
_ISSUER: Final = "MessageBird"
_JWT: Final = re.compile(r"(([\w-]{1,1000})\.([\w-]{1,4000}))\.([\w-]{1,100})", re.ASCII)
_SKEW_SECONDS: Final = 60.0  # of our clock against theirs; tokens live for a minute


class MessageBirdClient:
    """One MessageBird account. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (_SIGNATURE,)
    takes_queries: Final = True  # support.messagebird.com 360001869258: status reports are GET requests

    def __init__(self, settings: MessageBirdSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        self._key = settings.access_key
        self._page_size = settings.log_page_size
        self._api = JsonApi(_NAME, (_HOST,), settings, codes=codes, code_of=_code_of_an_error, observer=observer)
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_LONGEST_SECONDS, cursor=_CURSOR)
        self._callbacks = settings.callbacks
        self.takes_callbacks: Final = settings.callbacks is not None
        self.forward_to: Final = None if settings.callbacks is None else settings.callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Read the balance, which costs nothing and which any key may do."""
        self._ask_balance()

    def fetch_balance(self) -> Money | None:
        """Return the balance, None for an account that pays later: MessageBird tells 0 of it.

        Raises BadResponseError for one in credits: what they are worth is not told.
        """
        balance, unit, amount = self._ask_balance()
        if balance.get("payment") == "postpaid":
            return None
        if unit == _CREDITS:
            raise BadResponseError("MessageBird tells this account's balance in credits, which are no money")
        return Money(amount=amount, currency=_CURRENCIES.get(unit) or balance.currency("type"))

    def fetch_spend(self) -> None:
        """Return None: MessageBird has no usage records."""

    def _ask_balance(self) -> tuple[Fields, str, float]:
        """Return the balance, its unit and its amount: developers.messagebird.com/api/balance."""
        balance = self._ask("GET", f"https://{_HOST}/balance").fields
        return balance, balance.text("type"), balance.number("amount")

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Bird's status page says."""
        return self._page.fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the outbound messages created at or after ``since`` and before ``until``.

        Messages come in no documented order, so the log is read span by span, the newest first, and within a span
        by offset: one that is created meanwhile moves others to the next page, never to one that was read.
        """
        span = self._windows.first(since, until, self._api.now()) if resume is None else self._windows.parse(resume)
        answer = self._ask_for_span(span)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            answer = self._ask_for_span(span)
        offset = int(span.cursor.get("offset", "0"))
        listing = answer.fields
        if listing.number("offset") != offset:
            raise BadResponseError("MessageBird's message log gives another page than asked for")
        messages = listing.rows("items")
        reached = offset + len(messages)
        cursor = {"offset": str(reached)} if messages and reached < listing.number("totalCount") else {}
        return LogPage(
            receipts=self._receipts.of_page(
                [entry for message in messages for entry in self._entries(message)],
                self._read_entry,
                vendor=_NAME,
                since=max(since, span.since),
                until=span.until if until is None else min(until, span.until),
            ),
            resume=self._windows.following(span, since, cursor),
            reached=self._windows.reached(span, cursor),
            at=answer.at,
        )

    def _ask_for_span(self, span: Span) -> Answer:
        query = {
            "direction": "mt",
            "from": _date(span.since - _EDGE_SECONDS),
            "until": _date(span.until + _EDGE_SECONDS),
            "limit": str(self._page_size),
            "offset": span.cursor.get("offset", "0"),
        }
        return self._ask("GET", _MESSAGES, params=query, yields=True)

    def _ask(self, method: str, url: str, **more: Any) -> Answer:
        return self._api.ask(method, url, headers={"Authorization": f"AccessKey {self._key.reveal()}"}, **more)

    def _entries(self, message: Any) -> Iterator[Any]:
        """Yield a message once for each of its recipients.

        Status reports name the message alone. So one recipient, of the lowest number, has the message's own id, and
        a report meets it; the others have an id that tells their number to nobody.
        """
        recipients = message.get("recipients") if isinstance(message, dict) else None
        items = recipients.get("items") if isinstance(recipients, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            yield message  # is not understood
            return
        for place, item in enumerate(sorted(items, key=lambda item: str(item.get("recipient")))):
            yield {"message": message, "recipient": item, "is_first": place == 0}

    def _read_entry(self, entry: Any) -> Row | None:
        """Return what an entry says of one recipient; None for an inbound message.

        The shape is that of tests/Integration/Messages/get-list-response.json, messagebird/php-rest-api 26068f6.
        A message is delivered at the time of its status: an upper bound, in steps of a second.
        """
        fields = Fields(entry, _NAME, "message")
        message, recipient = fields.inner("message"), fields.inner("recipient")
        if message.get("direction") == "mo":
            return None
        status = STATUSES.get(recipient.text("status"))
        if status is None:
            raise BadResponseError("a message has an unknown status")
        message_id, number = message.text("id", _MESSAGE_ID), parse_number(recipient.get("recipient"))
        created_at, status_at = message.moment("createdDatetime"), recipient.optional_moment("statusDatetime")
        return Row(
            message_id=message_id if fields.get("is_first") is True else f"{message_id}-{self._digest(number)}",
            status=status,
            at=created_at if status_at is None else status_at,
            created_at=created_at,
            number=number,
            mcc_mnc=_mcc_mnc(recipient.get("mccmnc")),
            code=_code(recipient.get("statusErrorCode")),
            cause=_cause(recipient.text("status")),
            is_timed=status_at is not None and message.get("scheduledDatetime") is None,
        )

    def _digest(self, number: str) -> str:
        return hmac.digest(self._key.reveal().encode(), number.encode(), "sha256")[:8].hex()

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. ``sender`` is a number or a name."""
        message = {
            "originator": sender.removeprefix("+"),
            "recipients": [to.removeprefix("+")],
            "body": text,
            "datacoding": "auto",
            "validity": validity_seconds,
        }
        return self._ask("POST", _MESSAGES, json=message).fields.text("id", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, by its entry in the log."""
        message = self._ask("GET", f"{_MESSAGES}/{quote(message_id, safe='')}").payload
        entries = list(self._entries(message))
        row = self._read_entry(entries[0]) if len(entries) == 1 else None
        if row is None or row.message_id != message_id:
            raise BadResponseError("MessageBird tells of another message")
        receipt = self._receipts.of(row)
        price = entries[0]["recipient"].get("price")
        is_priced = isinstance(price, dict) and price.get("amount") is not None
        return CanaryStatus(
            status=row.status,
            reason=receipt.reason,
            code=receipt.code,
            cost=Fields(price, _NAME, "price").number("amount") if is_priced else None,
            currency=Fields(price, _NAME, "price").currency("currency") if is_priced else None,
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in a status report. Raises CallbackRefusedError.

        All that it says stands in the query, which is signed with the URL. ``jti`` is not remembered: what comes again
        within the minute of a token may be a repeat of what was not kept, and counts once.
        """
        if self._callbacks is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        token = callback.headers.get(_SIGNATURE)
        if not token:
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        url = self._callbacks.public_url + (f"?{callback.query}" if callback.query else "")
        claims = verified_claims(token, self._callbacks.signing_key, url, callback.body)
        if claims is None:
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        signed_at = _claimed_time(claims, "nbf")
        lifetime_seconds = max(0.0, _claimed_time(claims, "exp") - signed_at)
        refuse_replay(signed_at, callback, within_seconds=lifetime_seconds + _SKEW_SECONDS)
        pairs = parse_form(callback.query.encode(errors="surrogatepass"))
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        status = STATUSES.get(fields.get("status", ""))
        if status is None:  # an inbound message, or a new word: to refuse it would make MessageBird send it again
            return ()
        if not _MESSAGE_ID.fullmatch(fields.get("id", "")):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        row = Row(
            message_id=fields["id"],
            status=status,
            at=callback.at,
            number=parse_number(fields.get("recipient", "").strip()),  # a bare plus sign is read as a space
            mcc_mnc=_mcc_mnc(fields.get("mccmnc")),
            code=_code(fields.get("statusErrorCode")),
            cause=_cause(fields["status"]),
        )
        return (self._receipts.of(row, Source.CALLBACK),)


def verified_claims(token: str, key: Secret, url: str, body: bytes) -> Mapping[str, Any] | None:
    """Return the claims of a JSON Web Token (RFC 7519) that MessageBird signed for this URL and body; None for others.

    The rules are those of request_validator.py of messagebird 2.2.0 but for the times, which are left to the caller:
    the token says what the URL and the body hash to, and says nothing of a body where there is none.
    """
    parts = _JWT.fullmatch(token)
    if parts is None:
        return None
    signed, head, payload, signature = parts.groups()
    algorithm = (_parse_part(head) or {}).get("alg")
    digest = _DIGESTS.get(algorithm) if isinstance(algorithm, str) else None
    if digest is None:
        return None
    expected = base64.urlsafe_b64encode(hmac.digest(key.reveal().encode(), signed.encode(), digest)).rstrip(b"=")
    if not hmac.compare_digest(expected, signature.encode()):
        return None
    claims = _parse_part(payload)
    if claims is None or claims.get("iss") != _ISSUER:
        return None
    body_hash = sha256(body).hexdigest() if body else None
    url_hash = sha256(url.encode(errors="surrogatepass")).hexdigest()
    is_for_this = claims.get("url_hash") == url_hash and claims.get("payload_hash") in (body_hash, body_hash or "")
    return claims if is_for_this else None


def _parse_part(part: str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _claimed_time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    return float(value)


def _code_of_an_error(payload: Any) -> str | None:
    """Return the code of the first error, with the parameter that it is about where that says more."""
    errors = payload.get("errors") if isinstance(payload, dict) else None
    for error in errors if isinstance(errors, list) else ():
        code = parse_code(error.get("code")) if isinstance(error, dict) else None
        if code is not None:
            named = f"{_API_PREFIX}{code}-{error.get('parameter')}"
            return named if named in ERROR_CODES else f"{_API_PREFIX}{code}"
    return None


def _code(value: Any) -> str | None:
    code = parse_code(value)
    return None if code == "0" else code  # EC_NO_ERROR: a failure of which nothing is known


def _cause(status: str) -> Cause:
    return Cause.TIMEOUT if status == "expired" else Cause.UNKNOWN


def _mcc_mnc(value: Any) -> str:
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and _MCC_MNC.fullmatch(text) else ""


def _date(moment: float) -> str:
    return datetime.fromtimestamp(max(0.0, moment), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
