"""Plivo: the Account and Message APIs, and signed status callbacks.

Facts are from Plivo's documentation (docs.plivo.com and www.plivo.com/docs, read 2026-11), its help pages
(support.plivo.com) and its library plivo-python 4.63.0; each is named where it is used. No machine-readable document
of the API is published.

Not verified, and marked where it is used: what the log and the callbacks do at the edges of what is documented, the
codes 451 and 910, that the status callbacks of messages carry the V3 signature (the documentation of voice says so and
names them, that of messaging names the older V2 alone), and that their times are in UTC.
"""

import hmac
import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from ..back_office import Identifier
from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import Account, AccountState, CanaryStatus, LogPage, Money, ServiceStatus
from ..errors import BadResponseError
from ..messages import UNKNOWN_COUNTRY, Receipt, Source, Status
from ..secret import Secret
from ..settings import Count, Seconds, SecretSetting, Url, between
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_moment, parse_number
from .json_api import Answer, JsonApi
from .log_pace import PacedLogSettings
from .observer import Observer
from .posts import ForwardSettings, parse_fields, refuse_replay
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

PLIVO_DOMAINS: Final = ("plivo.com",)

_NAME: Final = "Plivo"
_API: Final = "api.plivo.com"
_CURRENCY: Final = "USD"  # docs.plivo.com/docs/account/api/account/the-account-object: "credits in USD"; never told

_AUTH_ID = Annotated[str, Field(pattern=r"^MA[A-Z0-9]{18}$")]  # plivo-python: is_mainaccount_id
_MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z-]{6,64}", re.ASCII)
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)


class PlivoCallbackSettings(ForwardSettings):
    """How to believe what Plivo posts to us: the application gives the URL with each message, as url, method POST."""

    public_url: Url = Field(
        description="the URL that Plivo was given, without a slash at its end: it is part of the signature; its path"
        " ends in /callbacks/ and the provider's name, unless a proxy says otherwise"
    )


class PlivoSettings(PacedLogSettings):
    """How to reach a Plivo account. Its log comes in pages of 20 and tells no delivery times: prefer callbacks.

    At Plivo's own limit of 20 pages a minute a log of more than some 30 messages a minute cannot be followed.
    """

    why_paced: ClassVar[str] = "Plivo answers few requests for its message log"

    type: Literal["plivo"] = Field(description="the vendor")
    auth_id: _AUTH_ID = Field(description="the Auth ID of the main account, from the console")
    auth_token: SecretSetting = Field(description="the account's Auth Token, which signs callbacks too")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Plivo: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field("https://status.plivo.com", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    log_interval: Annotated[Seconds, between("1s", "1d")] = Field(
        60.0,
        description="a delivery check may not run more often than this: Plivo answers 20 requests for its log a minute,"
        " unless it has raised that for the account, and a run makes up to max_pages",
    )
    callbacks: PlivoCallbackSettings | None = Field(
        None, description="signed status callbacks, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description="error codes of messages that mean another reason than built in, such as 30",
    )

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the Auth ID."""
        return {Identifier.ACCOUNT: frozenset({Secret(self.auth_id)})}


_CODES: Final = "plivo.com/docs/messaging/troubleshooting/error-codes"
_EXPIRY: Final = "support.plivo.com/hc/en-us/articles/14814454609561 (message expiry)"
_GEO: Final = "docs.plivo.com/docs/faq/messaging/sms (geo permissions)"
_CREDIT: Final = "support.plivo.com/support/solutions/articles/17000088423 (insufficient balance)"
_CALLER: Final = "support.plivo.com/hc/en-us/sections/360008204432 (caller ID is not allowed)"
_HEARSAY: Final = "unverified: not in Plivo's documentation"

_NO_CREDIT: Final = "insufficient-credit"  # our own names for words of a refusal: it has no codes
_NO_SENDER: Final = "caller-id-not-allowed"
_CODE_OF_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "insufficient credit": _NO_CREDIT,
        "this caller id is not allowed for outbound message": _NO_SENDER,
    }
)

# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.CONTENT_REJECTED, _CODES, [10, 110]),  # invalid message, too long
    (Cause.NETWORK_ERROR, _CODES, [20]),
    (Cause.CARRIER_BLOCKED, _CODES, [30, 100]),  # spam detected, prohibited by the carrier
    (Cause.SENDER_REJECTED, _CODES, [40, 201]),  # invalid source number, US toll-free to Canada
    (Cause.INVALID_DESTINATION, _CODES, [50]),
    (Cause.NO_ROUTE, _CODES, [60, 90]),  # loop, no route
    (Cause.UNREACHABLE_PERMANENT, _CODES, [70]),
    (Cause.UNREACHABLE_TEMPORARY, _CODES, [80]),
    (Cause.RECIPIENT_OPTED_OUT, _CODES, [200]),  # STOP
    (Cause.TIMEOUT, _EXPIRY, [420]),  # too long in Plivo's queue
    (Cause.COUNTRY_BLOCKED, _GEO, [450]),
    (Cause.FRAUD_BLOCKED, _HEARSAY, [451]),
    (Cause.INSUFFICIENT_BALANCE, _CREDIT, [900, _NO_CREDIT]),
    (Cause.ACCOUNT_SUSPENDED, _HEARSAY, [910]),
    (Cause.UNKNOWN, _CODES, [1000]),
    (Cause.SENDER_UNKNOWN, _CALLER, [_NO_SENDER]),
)
# fmt: on

# www.plivo.com/docs/sms/api/message/the-message-object; "rejected" is of an older version of the callbacks' page. A
# message whose carrier sends no receipt stays "sent", and waits for one like any other.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "queued": Status.ACCEPTED,
        "sent": Status.SENT,
        "delivered": Status.DELIVERED,
        "read": Status.DELIVERED,
        "undelivered": Status.UNDELIVERED,
        "failed": Status.FAILED,
        "rejected": Status.FAILED,
    }
)

_PAGE_SIZE: Final = 20  # www.plivo.com/docs/sms/api/message/list-all-messages: the most
_CURSOR: Final = MappingProxyType({"offset": re.compile(r"[1-9]\d{0,6}", re.ASCII)})
_LONGEST_SECONDS: Final = 6 * 3600.0  # no limit is documented; what is old is asked for without deep offsets

_SHORTEST_EXPIRY_SECONDS: Final = 5  # see _EXPIRY
_LONGEST_EXPIRY_SECONDS: Final = 10_799

_V3: Final = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")  # by the token of the account, of the main account
_NONCE: Final = "x-plivo-signature-v3-nonce"
_V2: Final = ("x-plivo-signature-v2", "x-plivo-signature-ma-v2", "x-plivo-signature-v2-nonce")

_TIMES: Final = ("MessageTime", "QueuedTime", "SentTime", "DeliveryReportTime")  # of a callback, as far as it has come

# A message stays in the queue for three hours (see _EXPIRY), which a callback that it failed may not tell, and what we
# do not take comes three times more within seven minutes: support.plivo.com/hc/en-us/articles/360041344652.
_OLDEST_SECONDS: Final = 4 * 3600.0


class PlivoClient:
    """One Plivo account. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (*_V3, _NONCE, *_V2)

    def __init__(self, settings: PlivoSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        self._auth_id = settings.auth_id
        self._token = settings.auth_token
        self._account = f"https://{_API}/v1/Account/{settings.auth_id}/"  # without the last slash it is another URL
        self._api = JsonApi(_NAME, (_API,), settings, codes=codes, code_of=_code_of_a_refusal, observer=observer)
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_LONGEST_SECONDS, cursor=_CURSOR)
        self._public_url = None if settings.callbacks is None else settings.callbacks.public_url
        self.takes_callbacks: Final = settings.callbacks is not None
        self.forward_to: Final = None if settings.callbacks is None else settings.callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Read the account. Wrong keys are told in plain text, with HTTP 401."""
        self._fetch_account()

    def fetch_account(self) -> Account:
        """Return whether the account is a free trial; Plivo does not tell whether it is suspended."""
        is_trial = self._fetch_account().text("account_type") == "developer"
        return Account(
            state=AccountState.ACTIVE,
            restriction="the account is a free trial" if is_trial else None,
            unreadable=("whether it is suspended",),
        )

    def fetch_balance(self) -> Money | None:
        """Return the credits; None for an account that pays afterwards, whose credits say nothing of what it may do."""
        account = self._fetch_account()
        if account.get("billing_mode") == "postpaid":
            return None
        return Money(amount=account.number("cash_credits"), currency=_CURRENCY)

    def fetch_spend(self) -> None:
        """Return None: Plivo has no usage records by the day."""

    def _fetch_account(self) -> Fields:
        account = self._ask("GET", self._account).fields
        if account.text("auth_id") != self._auth_id:
            raise BadResponseError("Plivo tells of another account")
        return account

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Plivo's status page says."""
        return self._page.fetch_service_status()

    def _ask(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | None = None,
        yields: bool = False,
    ) -> Answer:
        return self._api.ask(
            method, url, params=params, json=json, auth=(self._auth_id, self._token.reveal()), yields=yields
        )

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the outbound messages initiated at or after ``since`` and before ``until``.

        Rows are counted off from the newest of a span of time. A message that is new meanwhile makes one come twice,
        and none is left out.
        """
        span = self._windows.first(since, until, self._api.now()) if resume is None else self._windows.parse(resume)
        answer = self._ask_for_span(span)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            answer = self._ask_for_span(span)
        rows = answer.fields.rows("objects")
        read = int(span.cursor.get("offset", "0")) + len(rows)
        is_last = not rows or read >= answer.fields.inner("meta").number("total_count")
        cursor = {} if is_last else {"offset": str(read)}
        return LogPage(
            receipts=self._receipts.of_page(
                rows, self._read_row, vendor=_NAME, since=since, until=float("inf") if until is None else until
            ),
            resume=self._windows.following(span, since, cursor),
            reached=max(span.since, min(self._windows.reached(span, cursor), _oldest(rows))),
            at=answer.at,
        )

    def _ask_for_span(self, span: Span) -> Answer:
        """Return a page of a span: without one Plivo would tell of the last 24 hours alone."""
        query = {
            "limit": str(_PAGE_SIZE),
            "message_direction": "outbound",
            "message_time__gte": _date(span.since),
            "message_time__lt": _date(span.until),
        }
        return self._ask("GET", f"{self._account}Message/", params={**query, **span.cursor}, yields=True)

    def _read_row(self, row: Any) -> Row | None:
        """Return what a message detail record says; None for one that is not of an outbound message.

        It has one time alone, when the message was initiated.
        """
        fields = Fields(row, _NAME, "record")
        if fields.get("message_direction") == "inbound":
            return None
        status = STATUSES.get(fields.text("message_state"))
        if status is None:
            raise BadResponseError("a record has an unknown state")
        created_at, country = fields.moment("message_time"), fields.get("destination_country_iso2")
        return Row(
            message_id=fields.text("message_uuid", _MESSAGE_ID),
            status=status,
            at=created_at,
            created_at=created_at,
            number=parse_number(fields.get("to_number")),
            country=country if isinstance(country, str) and _COUNTRY.fullmatch(country) else UNKNOWN_COUNTRY,
            mcc_mnc=_mcc_mnc(fields.get("mcc"), fields.get("mnc")),
            code=_code(fields.get("error_code")),
        )

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. ``sender`` is a number or a name."""
        message = {
            "src": sender.removeprefix("+"),
            "dst": to.removeprefix("+"),
            "text": text,
            "type": "sms",
            "message_expiry": min(max(validity_seconds, _SHORTEST_EXPIRY_SECONDS), _LONGEST_EXPIRY_SECONDS),
        }
        ids = self._ask("POST", f"{self._account}Message/", json=message).fields.rows("message_uuid")
        if len(ids) != 1:
            raise BadResponseError("Plivo does not tell of one message")
        return Fields({"message_uuid": ids[0]}, _NAME, "message").text("message_uuid", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, by its record."""
        answer = self._ask("GET", f"{self._account}Message/{message_id}/")
        fields, row = answer.fields, self._read_row(answer.payload)
        if row is None or row.message_id != message_id:
            raise BadResponseError("Plivo tells of another message")
        receipt = self._receipts.of(row)
        cost = 0.0 if fields.get("total_amount") in (None, "") else fields.number("total_amount")
        return CanaryStatus(
            status=row.status,
            reason=receipt.reason,
            code=receipt.code,
            cost=cost if cost > 0 else None,  # one that is queued has no price yet
            currency=_CURRENCY if cost > 0 else None,
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in a status callback. Raises CallbackRefusedError.

        docs.plivo.com/docs/messaging/api/message/message-status-callbacks. Callbacks come in any order, which their
        Sequence tells; as a message never goes back to an earlier status, nothing hangs on it. The signed times keep
        a post from being used again later. A nonce that was seen is no reason to refuse: whether a post that is sent
        again has a new one is not documented.
        """
        if self._public_url is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        signatures = [each for name in _V3 for each in callback.headers.get(name, "").split(",") if each.strip()]
        nonce = callback.headers.get(_NONCE, "")
        if not signatures or not nonce:  # the older V2 signs neither body nor query
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        fields = parse_fields(callback)
        signed = signed_text(self._public_url, callback.query, fields, nonce)
        if not is_signed(signed, self._token, signatures):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        status = STATUSES.get(fields.get("Status", ""))
        if status is None:  # an inbound message, or a new word: to refuse it would make Plivo send it again
            return ()
        if not _MESSAGE_ID.fullmatch(fields.get("MessageUUID", "")):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        times = {name: _moment(fields, name) for name in _TIMES if fields.get(name)}
        if _TIMES[0] not in times:
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        told_at = max(times.values())
        refuse_replay(told_at, callback, within_seconds=_OLDEST_SECONDS)
        is_timed = _TIMES[-1] in times
        row = Row(
            message_id=fields["MessageUUID"],
            status=status,
            at=callback.at if status is Status.DELIVERED and not is_timed else told_at,
            created_at=times[_TIMES[0]],
            number=parse_number(fields.get("To")),
            mcc_mnc=_mcc_mnc(fields.get("MCC"), fields.get("MNC")),
            code=_code(fields.get("ErrorCode")),
            is_timed=is_timed,
        )
        return (self._receipts.of(row, Source.CALLBACK),)


def signed_text(url: str, query: str, fields: Mapping[str, str], nonce: str) -> str:
    """Return what version 3 signs: the URL, its query sorted, the fields sorted and run together, and the nonce.

    docs.plivo.com/docs/voice/concepts/signature-validation; where the separators stand is as in plivo-python 4.63.0
    (utils/signature_v3.py), which is what the tests hold it against.
    """
    parts = urlsplit(url)
    asked = "&".join(f"{name}={value}" for name, value in sorted(parse_qsl(query, keep_blank_values=True)))
    posted = "".join(name + fields[name] for name in sorted(fields))
    mark = "?" if asked or posted else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{mark}{asked}{'.' if asked and posted else ''}{posted}.{nonce}"


def is_signed(text: str, token: Secret, signatures: Sequence[str]) -> bool:
    """Return whether one of the signatures is that of a text: the account may have several tokens, each signs."""
    digest = hmac.digest(token.reveal().encode(), text.encode(errors="surrogatepass"), "sha256")
    expected = b2a_base64(digest, newline=False)
    return any(hmac.compare_digest(expected, each.strip().encode(errors="surrogatepass")) for each in signatures)


def _code_of_a_refusal(payload: Any) -> str | None:
    """Return our name for a refusal that is told in known words (docs.plivo.com/docs/messaging/api/response)."""
    words = payload.get("error") if isinstance(payload, dict) else None
    return _CODE_OF_WORDS.get(words.strip().rstrip(".").lower()) if isinstance(words, str) else None


def _code(value: Any) -> str | None:
    """Return the code of a failure: "000" is none, and leading zeros say nothing."""
    code = parse_code(value)
    return None if code is None else code.lstrip("0") or None


def _mcc_mnc(mcc: Any, mnc: Any) -> str:
    codes = f"{mcc}{mnc}"
    return codes if _MCC_MNC.fullmatch(codes) else ""


def _moment(fields: Mapping[str, str], name: str) -> float:
    """Return a time of a callback as Unix time. It has no offset; that it is UTC is not documented."""
    try:
        return parse_moment(fields[name])
    except ValueError:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None


def _oldest(rows: Sequence[Any]) -> float:
    """Return the time of the last row when the rows come the newest first; infinite when they do not.

    That they do is documented for other lists of Plivo's (www.plivo.com/docs/number-masking/api/pagination).
    """
    try:
        times = [parse_moment(row["message_time"]) for row in rows]
    except (KeyError, TypeError, ValueError):
        return float("inf")
    return times[-1] if times and times == sorted(times, reverse=True) else float("inf")


def _date(moment: float) -> str:
    """Return a time as filters take it: UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S")
