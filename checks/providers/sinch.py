"""Sinch: the SMS REST API of one service plan (batches, delivery reports, signed callbacks) and the status page.

Facts are from developers.sinch.com/docs/sms and community.sinch.com (read 2026-11), from a copy of Sinch's
documentation of 2020 (github.com/vvscode/docs 037e481) and from Sinch's library sinch 2.3.0 for Python; each is named
where it is used. This API tells of no balance, price, network or state of the account.

Unverified: by which time delivery reports are filtered (the documentation says when "messages" were "received": that
time is asked for, and an hour more for the case that it is the report's), which codes of operators they carry, that
callbacks are signed as that library has it, that they carry each status, and what a refused send answers.
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import nan
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from ..back_office import Identifier
from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..clients import CanaryStatus, LogPage, ServiceStatus
from ..errors import BadResponseError
from ..messages import Receipt, Source, Status
from ..secret import Secret
from ..settings import Count, ProviderSettings, SecretSetting, Url
from .causes import Cause, CodeRow, Codes, ErrorCodes, code_table, parse_code
from .fields import Fields, parse_number
from .json_api import Answer, JsonApi
from .observer import Observer
from .posts import ForwardSettings, refuse_replay
from .rows import Receipts, Row
from .statuspage import StatuspageClient
from .windows import Span, Windows

SINCH_DOMAINS: Final = ("sinch.com",)

_NAME: Final = "Sinch"
_BATCH_ID: Final = re.compile(r"[\w-]{4,64}", re.ASCII)


class SinchCallbackSettings(ForwardSettings):
    """How to believe Sinch's callbacks: of batches that are sent with delivery_report per_recipient or full."""

    signing_secret: SecretSetting = Field(
        description="the secret of the HMAC authentication of callbacks, which Sinch's support sets up"
    )


class SinchSettings(ProviderSettings):
    """How to reach a service plan of Sinch's SMS REST API. A page of its log, 1000 messages, takes dozens of calls."""

    type: Literal["sinch"] = Field(description="the vendor")
    service_plan_id: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")] = Field(
        description="the service plan, from the dashboard; each sees its own messages alone"
    )
    api_token: SecretSetting = Field(description="the API token of the service plan, from the dashboard")
    region: Literal["us", "eu", "au", "br", "ca"] = Field("us", description="where the service plan is")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Sinch: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field("https://status.sinch.com", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        20, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    callbacks: SinchCallbackSettings | None = Field(
        None, description="signed delivery reports, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: of a message as "408", of the API as its word',
    )

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the service plan."""
        return {Identifier.ACCOUNT: frozenset({Secret(self.service_plan_id)})}


_REST: Final = "developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports, as in sinch-sdk-java"
_OLDER: Final = "the same page as of 2020 (vvscode/docs 037e481, sms-rest-delivery-reports.md)"
_SMPP: Final = "unverified in reports: developers.sinch.com/docs/sms/smpp/error-codes as of 2020 (vvscode/docs 0656a7f)"
_HTTP: Final = "developers.sinch.com/docs/sms/api-reference/status-codes, rows as of 2020 (vvscode/docs 037e481)"
_HELP: Final = "community.sinch.com/t5/SMS/Common-SMS-HTTP-Statuses-and-Codes-Explained/ta-p/14163"

# Codes below 100 are left out: of 1 to 54 the pages of 2020 and of 2026 say different things.
# fmt: off
ERROR_CODES: Final[Mapping[str, CodeRow]] = code_table(
    (Cause.NO_ROUTE, _OLDER, [402]),
    (Cause.PROVIDER_ERROR, _OLDER, [403]),  # internal error
    (Cause.UNREACHABLE_TEMPORARY, _OLDER, [404]),  # "temporary delivery failure"
    (Cause.INVALID_REQUEST, _OLDER, [405]),  # a parameter of the text has no value for the recipient
    (Cause.TIMEOUT, _OLDER, [406]),
    (Cause.UNKNOWN, _REST, [407]),  # cancelled by the user
    (Cause.CARRIER_BLOCKED, _REST, [408]),  # the SMSC rejected it, and would again
    (Cause.SENDER_UNKNOWN, _REST, [410]),  # no default originator for the recipient
    (Cause.INVALID_REQUEST, _REST, [411]),  # more parts than the sender allowed
    (Cause.COUNTRY_BLOCKED, _REST, [412]),  # unprovisioned region
    (Cause.ACCOUNT_SUSPENDED, _REST, [413]),  # blocked, "potentially out of credits"
    (Cause.INVALID_DESTINATION, _SMPP, [100, 108, 300, 301, 302, 303]),
    (Cause.UNREACHABLE_PERMANENT, _SMPP, [150]),  # unknown to the home register
    (Cause.UNREACHABLE_TEMPORARY, _SMPP, [153, 158, 159, 200, 201, 202, 203, 210]),  # absent, memory full, busy
    (Cause.UNSUPPORTED_DESTINATION, _SMPP, [152, 154, 204, 212]),  # no SMS service, not equipped for it
    (Cause.SUBSCRIBER_BARRED, _SMPP, [151, 205, 206, 254, 255, 256, 257]),  # barred, illegal, barring lists
    (Cause.NETWORK_ERROR, _SMPP, [*range(101, 108), *range(109, 113), *range(155, 158), *range(160, 163)]),
    (Cause.NETWORK_ERROR, _SMPP, [207, 208, 209, 211, 213, 214, 215]),
    (Cause.PROVIDER_ERROR, _SMPP, [113, 163, 216]),  # "exception (internal)"
    (Cause.SENDER_UNKNOWN, _SMPP, [310, 311, 312]),  # invalid source address
    (Cause.RATE_LIMITED, _SMPP, [360]),  # the queue is full
    (Cause.UNKNOWN, _SMPP, [114, 164, 217, 399]),
    (Cause.INVALID_REQUEST, _HTTP, ["syntax_invalid_json", "syntax_invalid_parameter_format"]),
    (Cause.INVALID_REQUEST, _HTTP, ["syntax_constraint_violation", "unknown_group", "missing_callback_url"]),
    (Cause.SENDER_UNKNOWN, _HTTP, ["unknown_campaign"]),  # of another originator
    (Cause.ACCOUNT_SUSPENDED, _HELP, ["blocked_account"]),
    (Cause.UNSUPPORTED_DESTINATION, _HELP, ["illegal_number_type"]),
)
# fmt: on

# The page of _REST; libraries write them in capital letters. Of Unknown neither success nor failure is known, so such a
# message waits for a receipt like any other.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "queued": Status.ACCEPTED,
        "dispatched": Status.SENT,
        "unknown": Status.SENT,
        "delivered": Status.DELIVERED,
        "failed": Status.UNDELIVERED,
        "deleted": Status.UNDELIVERED,  # by an SMSC elsewhere
        "aborted": Status.FAILED,  # before it reached the SMSC
        "expired": Status.FAILED,  # the same
        "rejected": Status.FAILED,  # by the SMSC
        "cancelled": Status.CANCELED,
    }
)
_CAUSES: Final = MappingProxyType({"expired": Cause.TIMEOUT, "deleted": Cause.INVALID_DESTINATION})

_PAGE_SIZE: Final = 100  # the most: sms-rest-batches-endpoint.md
_MOST_BATCH_PAGES: Final = 10  # ours, of one page of the log: so that one search for reports serves many messages
_MOST_REPORT_PAGES: Final = 100  # ours, for one page of the log
_LATE_SECONDS: Final = 3600.0  # ours: so long after its message a report is looked for
_KEPT_SECONDS: Final = 14 * 86_400.0  # batches "created in the last 14 days"
_LONGEST_SECONDS: Final = 86_400.0  # ours: a span's pages stay few
_CURSOR: Final = MappingProxyType(
    {"page": re.compile(r"\d{1,7}", re.ASCII), "before": re.compile(r"\d{1,9}", re.ASCII)}
)
_PROMPT_SECONDS: Final = 1.0  # a batch to be sent so soon after it was created is not a scheduled one

_SIGNATURE: Final = "x-sinch-webhook-signature"
_NONCE: Final = "x-sinch-webhook-signature-nonce"
_TIMESTAMP: Final = "x-sinch-webhook-signature-timestamp"
_ALGORITHM: Final = "x-sinch-webhook-signature-algorithm"
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)
# developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks: the last retry comes so long after the first attempt.
# Whether a retry is signed anew is not told.
_RETRIES_SECONDS: Final = 81_920.0 + 300.0
_REPORT: Final = "recipient_delivery_report_sms"
_BATCH_REPORT: Final = "delivery_report_sms"


class SinchClient:
    """One service plan. Safe to use from several threads."""

    signed_headers: Final[Sequence[str]] = (_SIGNATURE, _NONCE, _TIMESTAMP, _ALGORITHM)

    def __init__(self, settings: SinchSettings, *, observer: Observer | None = None) -> None:
        codes = Codes(ERROR_CODES, settings.error_codes)
        host = f"{settings.region}.sms.api.sinch.com"
        self._token = settings.api_token
        self._plan = f"https://{host}/xms/v1/{settings.service_plan_id}"
        self._api = JsonApi(_NAME, (host,), settings, codes=codes, code_of=_code_of_a_refusal, observer=observer)
        self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        self._receipts = Receipts(codes, observer)
        self._windows = Windows(_NAME, longest_seconds=_LONGEST_SECONDS, cursor=_CURSOR)
        self._secret = None if settings.callbacks is None else settings.callbacks.signing_secret
        self.takes_callbacks: Final = settings.callbacks is not None
        self.forward_to: Final = None if settings.callbacks is None else settings.callbacks.forward_to

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._page.close()

    def verify_credentials(self) -> None:
        """Ask for one batch, which costs nothing: the token is of one service plan, and may do all of it."""
        self._ask("GET", "/batches", params={"page": "0", "page_size": "1"}).fields.rows("batches")

    def fetch_service_status(self) -> ServiceStatus:
        """Return what Sinch's status page says."""
        return self._page.fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the messages created at or after ``since`` and before ``until``.

        Batches tell when messages were created, and finished delivery reports what became of them: one without a report
        has left, as far as can be told. Pages have numbers: what is new moves others to later pages, and leaves no gap.
        """
        span = self._windows.first(since, until, self._api.now()) if resume is None else self._windows.parse(resume)
        batches, cursor, answer = self._read_batches(span)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = self._windows.first(since, until, self._api.now())
            batches, cursor, answer = self._read_batches(span)
        return LogPage(
            receipts=self._receipts.of_page(
                list(_entries(batches, self._read_reports(batches, span))),
                self._read_entry,
                vendor=_NAME,
                since=max(since, span.since),
                until=span.until if until is None else min(until, span.until),
            ),
            resume=self._windows.following(span, max(since, self._api.now() - _KEPT_SECONDS), cursor),
            reached=self._windows.reached(span, cursor),
            at=answer.at,
        )

    def _read_batches(self, span: Span) -> tuple[Sequence[Any], Mapping[str, str], Answer]:
        """Return some batches of a span, each once, where to go on, and the last answer."""
        rows, cursor, answer = self._read_list("batches", span, most_pages=_MOST_BATCH_PAGES)
        batches = {str(row.get("id")) if isinstance(row, dict) else repr(row): row for row in rows}
        return list(batches.values()), cursor, answer

    def _read_reports(self, batches: Sequence[Any], span: Span) -> Mapping[tuple[str, str], Any]:
        """Return the reports on batches by batch and recipient, for each message the one that is furthest."""
        moments = [created for batch in batches if span.since <= (created := _created(batch)) < span.until]
        if not moments:
            return {}
        sought = Span(since=min(moments), until=max(moments) + _LATE_SECONDS)
        rows, cursor, _ = self._read_list("delivery_reports", sought, most_pages=_MOST_REPORT_PAGES)
        if cursor:
            raise BadResponseError("Sinch has too many delivery reports to be read: let it post them as callbacks")
        reports: dict[tuple[str, str], Any] = {}
        for row in rows:
            if isinstance(row, dict):
                key = str(row.get("batch_id")), parse_number(row.get("recipient"))
                reports[key] = max(reports.get(key, row), row, key=_rank)
        return reports

    def _read_list(self, name: str, span: Span, *, most_pages: int) -> tuple[Sequence[Any], Mapping[str, str], Answer]:
        """Return rows of a list from where the span goes on, the cursor of those behind them, and the last answer.

        How many a page has is for Sinch to say: the last one is known by how many there are in all.
        """
        first, told = (int(span.cursor.get(part, "0")) for part in ("page", "before"))
        query = {"start_date": _date(span.since), "end_date": _date(span.until), "page_size": str(_PAGE_SIZE)}
        read: list[Any] = []
        for number in range(first, first + most_pages):
            answer = self._ask("GET", f"/{name}", params={**query, "page": str(number)}, yields=True)
            listing = answer.fields
            if listing.number("page") != number:
                raise BadResponseError("Sinch's message log gives another page than asked for")
            rows = listing.rows(name)
            read += rows
            told += len(rows)
            if not rows or told >= listing.number("count"):
                return read, {}, answer
        return read, {"page": str(first + most_pages), "before": str(told)}, answer

    def _ask(self, method: str, path: str, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self._token.reveal()}"}
        return self._api.ask(method, self._plan + path, headers=headers, **more)

    def _read_entry(self, entry: Any) -> Row:
        """Return what is known of one recipient of a batch.

        A message is delivered when its report was made, in milliseconds and an upper bound: operator_status_at is in
        whole minutes (developers.sinch.com/docs/sms/tutorials/node-sdk/delivery-reports/list).
        """
        fields = Fields(entry, _NAME, "message")
        batch, number = fields.inner("batch"), fields.text("recipient")
        batch_id, created_at = batch.text("id", _BATCH_ID), batch.moment("created_at")
        send_at = batch.optional_moment("send_at")
        if fields.get("report") is None:
            is_withdrawn = batch.get("canceled") is True
            return Row(
                message_id=self._message_id(batch_id, number),
                status=Status.CANCELED if is_withdrawn else Status.SENT,
                at=created_at,
                created_at=created_at,
                number=number,
            )
        is_prompt = send_at is None or send_at <= created_at + _PROMPT_SECONDS
        return self._row_of_report(fields.inner("report"), created_at=created_at, is_timed=is_prompt)

    def _row_of_report(self, report: Fields, *, created_at: float | None = None, is_timed: bool = False) -> Row:
        """Return what a report on one recipient says."""
        number = parse_number(report.get("recipient"))
        return Row(
            message_id=self._message_id(report.text("batch_id", _BATCH_ID), number),
            status=_status(report),
            at=report.moment("at"),
            created_at=created_at,
            number=number,
            code=_code(report.get("code")),
            cause=_cause(report),
            is_timed=is_timed,
        )

    def _message_id(self, batch_id: str, number: str) -> str:
        """Return the id of a message, of which a batch has one for each recipient: it tells the number to nobody."""
        digest = hmac.digest(self._token.reveal().encode(), f"{batch_id}/{number}".encode(), "sha256")
        return f"{batch_id}.{digest[:8].hex()}"

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return the id of its batch. ``sender`` is a number or a name."""
        batch = {
            "type": "mt_text",
            "from": sender.removeprefix("+"),
            "to": [to.removeprefix("+")],
            "body": text,
            "delivery_report": "none",
            "expire_at": _date(self._api.now() + validity_seconds),
        }
        return self._ask("POST", "/batches", json=batch).fields.text("id", _BATCH_ID)

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far the one message of a batch has come. What it costs is not told."""
        if not _BATCH_ID.fullmatch(message_id):
            raise BadResponseError("Sinch gives no batch such an id")
        answer = self._ask("GET", f"/batches/{message_id}/delivery_report", params={"type": "full"}).fields
        statuses = answer.rows("statuses")
        if not statuses:
            return CanaryStatus(status=Status.ACCEPTED)
        if len(statuses) > 1 or answer.text("batch_id") != message_id:
            raise BadResponseError("Sinch tells of another message")
        told = Fields(statuses[0], _NAME, "status")
        status, code = _status(told), _code(told.get("code"))
        if status not in (Status.UNDELIVERED, Status.FAILED, Status.CANCELED):
            return CanaryStatus(status=status)
        return CanaryStatus(status=status, reason=self._receipts.why(code, _cause(told))[0], code=code)

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a callback: one, or those of a full report on a batch. Raises CallbackRefusedError.

        The secret is of one service plan, so what it signed is of that. The nonce is not remembered: what comes again
        may be a retry, and counts once.
        """
        if self._secret is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        signature, nonce, timestamp = (callback.headers.get(name, "") for name in (_SIGNATURE, _NONCE, _TIMESTAMP))
        if not signature or not nonce or not timestamp:
            raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
        if not is_signed(callback.body, signature, nonce=nonce, timestamp=timestamp, secret=self._secret):
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        if not _SECONDS.fullmatch(timestamp):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        refuse_replay(float(timestamp), callback, within_seconds=_RETRIES_SECONDS)
        try:
            reports = list(_reports_of(json.loads(callback.body), callback.at))
            return [self._receipts.of(self._row_of_report(each), Source.CALLBACK) for each in reports]
        except (ValueError, RecursionError, BadResponseError):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None


def is_signed(body: bytes, signature: str, *, nonce: str, timestamp: str, secret: Secret) -> bool:
    """Return whether a post is signed: HMAC-SHA256 over body.nonce.timestamp, in base64.

    The header that names an algorithm is not heeded: a post does not choose how it is verified.
    domains/authentication/sinch_events/v1/authentication_validation.py of sinch 2.3.0, by sms_sinch_event.py.
    """
    signed = b".".join((body, *(part.encode(errors="surrogatepass") for part in (nonce, timestamp))))
    expected = b64encode(hmac.digest(secret.reveal().encode(), signed, "sha256"))
    return hmac.compare_digest(expected, signature.encode(errors="surrogatepass"))


def _reports_of(event: Any, at: float) -> Iterator[Fields]:
    """Yield the reports on recipients in what was posted; of an inbound message, a summary or a new word there is none.

    To refuse what is new would make Sinch send it again. A report on a batch has no time but that of its arrival.
    """
    fields = Fields(event, _NAME, "callback")
    if fields.get("type") == _BATCH_REPORT:
        for told in fields.rows("statuses"):
            recipients = told.get("recipients") if _has_status(told) else None
            moment = datetime.fromtimestamp(at, UTC).isoformat()
            for recipient in recipients if isinstance(recipients, list) else ():
                yield Fields({**told, "batch_id": fields.get("batch_id"), "recipient": recipient, "at": moment}, _NAME)
    elif fields.get("type") == _REPORT and _has_status(event):
        yield fields


def _has_status(told: Any) -> bool:
    return isinstance(told, dict) and str(told.get("status")).lower() in STATUSES


def _entries(batches: Sequence[Any], reports: Mapping[tuple[str, str], Any]) -> Iterator[Any]:
    """Yield a batch once for each recipient: those that it names, and those of its groups once there is a report."""
    reported: dict[str, list[str]] = {}
    for batch_id, number in reports:
        reported.setdefault(batch_id, []).append(number)
    for batch in batches:
        to = batch.get("to") if isinstance(batch, dict) else None
        if not isinstance(to, list):
            yield batch  # is not understood
            continue
        batch_id = str(batch.get("id"))
        named = (number for recipient in to if (number := parse_number(recipient)))
        for number in dict.fromkeys((*named, *reported.get(batch_id, ()))):
            yield {"batch": batch, "recipient": number, "report": reports.get((batch_id, number))}


def _created(batch: Any) -> float:
    """Return when a batch was created, NaN where that cannot be understood."""
    try:
        return Fields(batch, _NAME, "batch").moment("created_at")
    except BadResponseError:
        return nan


def _rank(report: Any) -> tuple[int, str]:
    """Return how far along a report is, and when it was made."""
    status = STATUSES.get(str(report.get("status")).lower())
    return (-1 if status is None else status.rank), str(report.get("at"))


def _status(told: Fields) -> Status:
    status = STATUSES.get(told.text("status").lower())
    if status is None:
        raise BadResponseError("a message has an unknown status")
    return status


def _cause(told: Fields) -> Cause:
    return _CAUSES.get(told.text("status").lower(), Cause.UNKNOWN)


def _code(value: Any) -> str | None:
    code = parse_code(value)
    return None if code == "0" else code  # no error, or a failure of which nothing is known


def _code_of_a_refusal(payload: Any) -> str | None:
    """Return the word in an answer that refuses; numbers there are HTTP's, and would be taken for those of messages."""
    code = parse_code(payload.get("code")) if isinstance(payload, dict) else None
    return None if code is None or code.isdigit() else code


def _date(moment: float) -> str:
    """Return a moment as YYYY-MM-DDThh:mm:ss.SSSZ."""
    return datetime.fromtimestamp(max(0.0, moment), UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
