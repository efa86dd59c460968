"""Vonage (once Nexmo): SMS API, Reports API and the balance of the account.

Facts are from Vonage's OpenAPI documents (github.com/Nexmo/api-specification ad04200, 2021-07: account 1.0.3,
sms 1.0.10, reports 2.1.17) and from developer.vonage.com, read 2026-11; each is named where it is used.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import md5
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from ..back_office import Identifier
from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import CanaryStatus, LogPage, Money, ServiceStatus
from ..errors import BadResponseError
from ..messages import UNKNOWN_COUNTRY, Receipt, Source, Status
from ..notebook import Notebook
from ..secret import Secret
from ..settings import Count, Seconds, SecretSetting, Url, between
from .budget import DailyBudget
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .http import BODY_LIMIT_BYTES
from .json_api import Answer, JsonApi
from .log_pace import PacedLogSettings
from .observer import Observer
from .posts import ForwardSettings, parse_fields, refuse_replay
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

VONAGE_DOMAINS: Final = ("nexmo.com", "vonage.com")

_NAME: Final = "Vonage"
_REST: Final = "rest.nexmo.com"
_API: Final = "api.nexmo.com"
_REPORTS: Final = f"https://{_API}/v2/reports/records"

_API_KEY = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{8}$")]  # reports.yml: account_id has 8 characters
_MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z-]{6,64}", re.ASCII)
_MCC_MNC: Final = re.compile(r"\d{5,6}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)

SignatureMethod = Literal["md5hash", "md5", "sha1", "sha256", "sha512"]


class VonageCallbackSettings(ForwardSettings):
    """How to believe what Vonage posts to us: its delivery receipts, set to POST or POST-JSON in the dashboard."""

    signature_secret: SecretSetting = Field(description="the signature secret of the account, from the dashboard")
    signature_method: SignatureMethod = Field(
        "md5hash", description="the signature method of the account; md5hash is Vonage's own default, sha256 is better"
    )


class VonageSettings(PacedLogSettings):
    """How to reach a Vonage account. Its message log is billed by the record: read it seldom, and prefer callbacks."""

    why_paced: ClassVar[str] = "Vonage bills its message log by the record"

    type: Literal["vonage"] = Field(description="the vendor")
    api_key: _API_KEY = Field(description="the account's API key, from the dashboard")
    api_secret: SecretSetting = Field(description="the account's API secret")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Vonage: a proxy, a sandbox, a test double"
    )
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = Field(
        "EUR", description="of the balance, which Vonage tells without one; its documents say EUR"
    )
    status_page: Url = Field("https://vonageapi.statuspage.io", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    log_interval: Annotated[Seconds, between("1m", "1d")] = Field(
        900.0, description="a delivery check may not run more often than this, as each record that it reads is billed"
    )
    max_log_records_per_day: Count = Field(
        100_000,
        ge=1000,
        le=100_000_000,
        description="no more records are read in one day (UTC); a message is read several times while it may change."
        " serve and backfill count together and over restarts, check and provider probe each begin anew",
    )
    callbacks: VonageCallbackSettings | None = Field(
        None, description="signed delivery receipts, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: err-code as "6", the status of a send as "send-9"',
    )

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the API key."""
        return {Identifier.ACCOUNT: frozenset({Secret(self.api_key)})}


_DLR: Final = "err-code of delivery receipts: the .NET SDK of Vonage (DlrStatus) and its page on delivery receipts"
_SEND: Final = "x-errors of sms.yml 1.0.10, github.com/Nexmo/api-specification ad04200"
_SEND_PREFIX: Final = "send-"  # the status of a send and the err-code of a receipt share their numbers


def _send(*statuses: int) -> Sequence[str]:
    return [f"{_SEND_PREFIX}{status}" for status in statuses]


# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.UNKNOWN, _DLR, [1, 99]),  # unknown, general
    (Cause.UNREACHABLE_TEMPORARY, _DLR, [2, 7, 12]),  # absent for a while, handset busy, unreachable
    (Cause.UNREACHABLE_PERMANENT, _DLR, [3]),  # absent for good
    (Cause.SUBSCRIBER_BARRED, _DLR, [4, 13, 15]),  # barred by the user, by age, prepaid without funds
    (Cause.NETWORK_ERROR, _DLR, [5, 8]),  # number portability, network error
    (Cause.CARRIER_BLOCKED, _DLR, [6, 14]),  # anti-spam, blocked by the carrier
    (Cause.INVALID_DESTINATION, _DLR, [9]),  # illegal number
    (Cause.CONTENT_REJECTED, _DLR, [10, 52]),  # illegal message, content filter
    (Cause.NO_ROUTE, _DLR, [11]),  # unroutable
    (Cause.QUOTA_EXCEEDED, _DLR, [16]),  # quota of the gateway
    (Cause.SENDER_REJECTED, _DLR, [50, 51]),  # entity and header filters of India
    (Cause.RECIPIENT_OPTED_OUT, _DLR, [53]),  # consent filter
    (Cause.COUNTRY_BLOCKED, _DLR, [54]),  # a regulation
    (Cause.RATE_LIMITED, _SEND, _send(1, 10)),  # throttled, too many binds
    (Cause.INVALID_REQUEST, _SEND, _send(2, 3, 12, 22, 23)),  # missing, invalid, too long, network code, callback URL
    (Cause.AUTH_FAILED, _SEND, _send(4, 14, 32)),  # credentials, signature, both at once
    (Cause.PROVIDER_ERROR, _SEND, _send(5)),
    (Cause.INVALID_DESTINATION, _SEND, _send(6, 33)),  # unknown prefix, number deactivated
    (Cause.RECIPIENT_OPTED_OUT, _SEND, _send(7)),  # the number is barred
    (Cause.ACCOUNT_SUSPENDED, _SEND, _send(8)),
    (Cause.INSUFFICIENT_BALANCE, _SEND, _send(9)),
    (Cause.ACCOUNT_RESTRICTED, _SEND, _send(11, 29)),  # not enabled for HTTP, demo mode
    (Cause.SENDER_UNKNOWN, _SEND, _send(15)),
)
# fmt: on

# reports.yml (sms_status and the filter), sms.yml (DeliveryReceipt). "accepted" and "buffered" are the operator's
# words; "unknown" is neither a success nor a failure, so it waits for a receipt like a message without one.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "accepted": Status.SENT,
        "buffered": Status.SENT,
        "unknown": Status.SENT,
        "delivered": Status.DELIVERED,
        "failed": Status.UNDELIVERED,
        "expired": Status.UNDELIVERED,
        "rejected": Status.FAILED,
        "deleted": Status.CANCELED,
    }
)

# https://developer.vonage.com/en/reports/guides/how-to-handle-pagination: opaque to us, and encrypted (iv).
_CURSOR: Final = MappingProxyType({name: re.compile(r"[\w=+/-]{1,1500}", re.ASCII) for name in ("cursor", "iv")})
_LONGEST_SECONDS: Final = 86_400.0  # reports.yml: date_end is no more than 24 hours later
_PAGE_LIMIT_BYTES: Final = 2 * BODY_LIMIT_BYTES  # of 1000 records

_RETRIES_SECONDS: Final = 25 * 3600.0  # sms.yml: what is not taken is sent again for 24 hours

_LEAST_VALIDITY_SECONDS: Final = 20  # sms.yml: ttl
_CANARY_PACE_SECONDS: Final = 60.0


class VonageClient:
    """One Vonage account. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = ()  # the signature stands among the fields
    canary_pace_seconds: Final = _CANARY_PACE_SECONDS

    def __init__(self, settings: VonageSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        self._key = settings.api_key
        self._secret = settings.api_secret
        self._currency = settings.currency
        self._api = JsonApi(
            _NAME, (_REST, _API), settings, codes=codes, code_of=_code_of_a_refused_send, observer=observer
        )
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_LONGEST_SECONDS, cursor=_CURSOR)
        self._budget = DailyBudget(settings.max_log_records_per_day, "max_log_records_per_day", self._api.now)
        self._callbacks = settings.callbacks
        self.takes_callbacks: Final = settings.callbacks is not None
        self.forward_to: Final = None if settings.callbacks is None else settings.callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def keep_count_in(self, notebook: Notebook) -> None:
        """Count the records that are read in a note."""
        self._budget.keep_in(notebook)

    def verify_credentials(self) -> None:
        """Read the balance, which costs nothing and which any key may do."""
        self._fetch_balance()

    def fetch_balance(self) -> Money | None:
        """Return the balance."""
        return Money(amount=self._fetch_balance(), currency=self._currency)

    def fetch_spend(self) -> None:
        """Return None: Vonage has no usage records that are free."""

    def _fetch_balance(self) -> float:
        """Return the balance: account.yml. The keys stand in the query, which nobody logs or quotes."""
        query = {"api_key": self._key, "api_secret": self._secret.reveal()}
        return self._api.ask("GET", f"https://{_REST}/account/get-balance", params=query).fields.number("value")

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Vonage's status page says."""
        return self._page.fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the outbound messages received at or after ``since`` and before ``until``.

        Records of a span come in no documented order, so the log is read span by span, the newest first. Each record
        is billed: raises ProviderError (rate limited) when the day's are used up.
        """
        span = self._windows.first(since, until, self._api.now()) if resume is None else self._windows.parse(resume)
        answer = self._ask_for_span(span)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            answer = self._ask_for_span(span)
        report = answer.fields
        cursor = {}
        if report.get("request_status") == "TRUNCATED":
            cursor = {name: report.text(name, pattern) for name, pattern in _CURSOR.items()}
        if cursor and cursor == span.cursor:
            raise BadResponseError("Vonage's message log pages in a circle")
        return LogPage(
            receipts=self._receipts.of_page(
                report.rows("records"),
                self._read_record,
                vendor=_NAME,
                since=since,
                until=float("inf") if until is None else until,
            ),
            resume=self._windows.following(span, since, cursor),
            reached=self._windows.reached(span, cursor),
            at=answer.at,
        )

    def _ask_for_span(self, span: Span) -> Answer:
        return self._ask_reports({"date_start": _date(span.since), "date_end": _date(span.until), **span.cursor})

    def _ask_reports(self, query: Mapping[str, str]) -> Answer:
        self._budget.require()
        answer = self._api.ask(
            "GET",
            _REPORTS,
            params={"account_id": self._key, "product": "SMS", "direction": "outbound", **query},
            auth=(self._key, self._secret.reveal()),
            body_limit_bytes=_PAGE_LIMIT_BYTES,
            yields=True,
        )
        self._budget.use(len(answer.fields.rows("records")))
        return answer

    def _read_record(self, record: Any) -> Row | None:
        """Return what a record says (reports.yml: csv_sms_outbound); None for one that is not of an outbound message.

        A message is delivered when Vonage finalised it: an upper bound, in steps of a second.
        """
        fields = Fields(record, _NAME, "record")
        if fields.get("direction") == "inbound":
            return None
        status = STATUSES.get(fields.text("status"))
        if status is None:
            raise BadResponseError("a record has an unknown status")
        created_at, finalized_at = fields.moment("date_received"), fields.optional_moment("date_finalized")
        country, network = fields.get("country"), fields.get("network")
        is_country = isinstance(country, str) and _COUNTRY.fullmatch(country)
        return Row(
            message_id=fields.text("message_id", _MESSAGE_ID),
            status=status,
            at=created_at if finalized_at is None else finalized_at,
            created_at=created_at,
            number=parse_number(fields.get("to")),
            country=country if is_country else UNKNOWN_COUNTRY,
            mcc_mnc=network if isinstance(network, str) and _MCC_MNC.fullmatch(network) else "",
            code=_code(fields.get("error_code")),
            cause=_cause(fields.text("status")),
            is_timed=finalized_at is not None,
        )

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. ``sender`` is a number or a name."""
        form = {
            "api_key": self._key,
            "api_secret": self._secret.reveal(),
            "from": sender.removeprefix("+"),
            "to": to.removeprefix("+"),
            "text": text,
            "ttl": str(1000 * max(validity_seconds, _LEAST_VALIDITY_SECONDS)),
        }
        parts = self._api.ask("POST", f"https://{_REST}/sms/json", data=form).fields.rows("messages")
        if len(parts) != 1:
            raise BadResponseError("Vonage does not tell of one message")
        return Fields(parts[0], _NAME, "message").text("message-id", _MESSAGE_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come, by its record: one is billed. It may take a while to be there."""
        report = self._ask_reports({"id": message_id}).fields
        records, look_up = report.rows("records"), _price(report, "price")
        if not records:
            return CanaryStatus(status=Status.ACCEPTED, look_up=look_up)
        row = self._read_record(records[0])
        if row is None or row.message_id != message_id:
            raise BadResponseError("Vonage tells of another message")
        receipt = self._receipts.of(row)
        price = _price(Fields(records[0], _NAME, "record"), "total_price")
        is_delivered = row.status is Status.DELIVERED
        return CanaryStatus(
            status=row.status,
            reason=self._receipts.why(row.code, row.cause)[0] if row.status is Status.CANCELED else receipt.reason,
            code=receipt.code,
            cost=None if price is None else price.amount,
            currency=None if price is None else price.currency,
            is_timely=row.is_timed or not is_delivered,  # we ask seldom: when we hear of it is no measure
            delivered_seconds=receipt.delivery_seconds if is_delivered else None,
            look_up=look_up,
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipt in a delivery receipt of Vonage's (sms.yml: DeliveryReceipt). Raises CallbackRefusedError.

        ``scts`` is in whole minutes, so a message came to its status when the post arrived.
        """
        if self._callbacks is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        fields = parse_fields(callback)
        if not fields.get("sig"):
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        if not is_signed(fields, self._callbacks.signature_secret, self._callbacks.signature_method):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        if not re.fullmatch(r"\d{1,12}", fields.get("timestamp", ""), re.ASCII):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        refuse_replay(float(fields["timestamp"]), callback, within_seconds=_RETRIES_SECONDS)
        if fields.get("api-key") != self._key:
            raise CallbackRefusedError(CallbackOutcome.WRONG_ACCOUNT)
        status = STATUSES.get(fields.get("status", ""))
        if status is None:  # an inbound message, or a new word: to refuse it would make Vonage send it again
            return ()
        if not _MESSAGE_ID.fullmatch(fields.get("messageId", "")):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        network = fields.get("network-code", "")
        row = Row(
            message_id=fields["messageId"],
            status=status,
            at=callback.at,
            number=parse_number(fields.get("msisdn")),
            mcc_mnc=network if _MCC_MNC.fullmatch(network) else "",
            code=_code(fields.get("err-code")),
            cause=_cause(fields["status"]),
        )
        return (self._receipts.of(row, Source.CALLBACK),)


def is_signed(fields: Mapping[str, str], secret: Secret, method: SignatureMethod) -> bool:
    """Return whether ``sig`` is the signature over all other fields.

    https://developer.vonage.com/en/getting-started/concepts/signing-messages: sorted by name, as &name=value with
    each & and = of a value replaced by _; hashed with the secret behind it (md5hash), or by HMAC with it as the key.
    """
    others = sorted((name, value) for name, value in fields.items() if name != "sig")
    text = "".join(f"&{name}={value.replace('&', '_').replace('=', '_')}" for name, value in others)
    signed = text.encode(errors="surrogatepass")
    key = secret.reveal().encode()
    if method == "md5hash":
        digest = md5(signed + key, usedforsecurity=False).hexdigest()  # Vonage's own default: the user may choose
    else:
        digest = hmac.new(key, signed, method).hexdigest()
    return hmac.compare_digest(digest.encode(), fields.get("sig", "").lower().encode(errors="surrogatepass"))


def _code_of_a_refused_send(payload: Any) -> str | None:
    """Return the status of the first part that was refused: HTTP says 200 to it (sms.yml: ErrorMessage)."""
    parts = payload.get("messages") if isinstance(payload, dict) else None
    for part in parts if isinstance(parts, list) else ():
        status = parse_code(part.get("status")) if isinstance(part, dict) else None
        if status not in (None, "0"):
            return f"{_SEND_PREFIX}{status}"
    return None


def _price(fields: Fields, name: str) -> Money | None:
    """Return what a record says its message cost, or what a report says that it costs itself."""
    if fields.get(name) in (None, ""):
        return None
    return Money(amount=fields.number(name), currency=fields.currency("currency"))


def _code(value: Any) -> str | None:
    code = parse_code(value)
    return None if code == "0" else code


def _cause(status: str) -> Cause:
    return Cause.TIMEOUT if status == "expired" else Cause.UNKNOWN


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
