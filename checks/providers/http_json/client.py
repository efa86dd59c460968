"""One account of a provider that the configuration describes. Safe to use from several threads."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...clients import Account, AccountState, CanaryStatus, LogPage, Money, ServiceStatus
from ...errors import BadResponseError, ProviderError
from ...messages import Receipt
from ...reason import Reason
from ..bookmarks import parse_bookmark, write_bookmark
from ..causes import codes_of
from ..fields import Fields
from ..http import Reply
from ..json_api import JsonApi
from ..observer import Observer
from ..rows import Receipts, Row
from ..statuspage import StatuspageClient
from ..windows import Span, Windows
from .asking import Requests
from .paging import Cursor, Paging
from .reading import NAME, RowReader, code_in, read_id
from .settings import CallbackFormat, EndpointSettings, HttpJsonSettings, MessagesEndpoint
from .templates import Value
from .webhook import Webhook

T = TypeVar("T")

_MOST_TEXT_BYTES: Final = 4096  # of an answer that is no JSON: a regular expression may be slow on more
_UNNAMED: Final = "unnamed"  # the code of a refusal that tells none


@dataclass(frozen=True, slots=True)
class _Heard:
    """An answer before anybody has said whether it refuses."""

    status: int
    payload: Any = field(repr=False)  # None where a refusal is not of the shape of answers


class HttpJsonClient:
    """One account. What its settings have no endpoint for, it must not be asked: ``HttpJsonSettings.lacks``."""

    def __init__(self, settings: HttpJsonSettings, *, observer: Observer | None = None) -> None:
        self._settings = settings
        self._ends = settings.endpoints
        self._api = JsonApi(
            NAME,
            (urlsplit(settings.base_url or "").netloc,),
            settings,
            codes=codes_of(settings.error.reasons),
            code_of=self._code_of_a_refusal,
            public_only=settings.public_only(settings.base_url or ""),
            observer=observer,
        )
        self._requests = Requests(settings, observer=observer)
        self._page = None
        if settings.status_page is not None:
            self._page = StatuspageClient(settings.status_page, timeout_seconds=settings.timeout, observer=observer)
        codes = codes_of(settings.reasons)
        self._receipts = Receipts(codes, observer)
        messages, message, callbacks = self._ends.messages, self._ends.message, settings.callbacks
        self._log = None if messages is None else _Log(messages, settings)
        self._rows = None if messages is None else RowReader(settings, messages.fields, settings.times, codes)
        self._one = self._rows
        if message is not None and message.fields is not None:
            self._one = RowReader(settings, message.fields, settings.times, codes)
        self._webhook = None
        if callbacks is not None:
            reader = RowReader(settings, callbacks.fields, callbacks.times or settings.times, codes)
            self._webhook = Webhook(callbacks, reader, self._receipts)
        self.takes_callbacks: Final = callbacks is not None
        self.takes_queries: Final = callbacks is not None and callbacks.format is CallbackFormat.QUERY
        self.forward_to: Final = None if callbacks is None else callbacks.forward_to
        self.signed_headers: Final[Sequence[str]] = () if self._webhook is None else self._webhook.signed_headers

    def close(self) -> None:
        """Close the idle connections."""
        self._api.close()
        self._requests.close()
        if self._page is not None:
            self._page.close()

    def verify_credentials(self) -> None:
        """Make the call that every good key may make."""
        endpoint = _there(self._ends.credentials, "endpoints.credentials")
        payload, _ = self._ask(endpoint, {})
        if endpoint.ok_when is not None and not endpoint.ok_when.is_true(payload):
            raise BadResponseError(f"{NAME} does not say that the credentials are good")

    def fetch_account(self) -> Account:
        """Return whether the account may send."""
        endpoint = _there(self._ends.account, "endpoints.account")
        payload, _ = self._ask(endpoint, {})
        if endpoint.suspended_when is not None and endpoint.suspended_when.is_true(payload):
            return Account(state=AccountState.SUSPENDED)
        if not endpoint.active_when.is_true(payload):
            raise BadResponseError(f"{NAME} does not say whether the account is in use")
        is_restricted = endpoint.restricted_when is not None and endpoint.restricted_when.is_true(payload)
        return Account(
            state=AccountState.ACTIVE,
            restriction="the account is a trial" if is_restricted else None,
            unreadable=("whether it is suspended",) if endpoint.suspended_when is None else (),
        )

    def fetch_balance(self) -> Money | None:
        """Return the balance; None for an account that pays later."""
        endpoint = _there(self._ends.balance, "endpoints.balance")
        payload, _ = self._ask(endpoint, {})
        if endpoint.pays_later_when is not None and endpoint.pays_later_when.is_true(payload):
            return None
        told = Fields({"amount": endpoint.amount.find(payload), "currency": endpoint.currency.find(payload)}, NAME)
        return Money(amount=told.number("amount"), currency=told.currency("currency"))

    def fetch_spend(self) -> None:
        """Return None: what was spent is told by the decline of the balance."""

    def fetch_service_status(self) -> ServiceStatus:
        """Return what the status page says."""
        return _there(self._page, "status_page").fetch_service_status()

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the messages created at or after ``since`` and before ``until``."""
        log = _there(self._log, "endpoints.messages")
        return self._read_span(log, since, until, resume) if log.is_by_time else self._walk(log, since, until, resume)

    def _read_span(self, log: "_Log", since: float, until: float | None, resume: str | None) -> LogPage:
        windows = log.windows
        span = windows.first(since, until, self._api.now()) if resume is None else windows.parse(resume)
        payload, at = self._ask_for_span(log, span)
        if resume is None and until is None and self._api.now() > span.until:  # its clock is ahead of what we took
            span = windows.first(since, until, self._api.now())
            payload, at = self._ask_for_span(log, span)
        rows = log.rows(payload)
        oldest = self._oldest(rows)
        cursor = log.paging.following(span.cursor, payload, rows, oldest, log.paging.before(span.cursor) or span.until)
        if log.endpoint.newest_first and oldest is not None and oldest < span.since:
            cursor = {}  # what follows is older
        reached = windows.reached(span, cursor)
        if log.endpoint.newest_first and oldest is not None:
            reached = max(span.since, min(reached, oldest))
        return LogPage(
            receipts=self._receipts_of(
                log, rows, since=max(since, span.since), until=span.until if until is None else min(until, span.until)
            ),
            resume=windows.following(span, since, cursor),
            reached=reached,
            at=at,
        )

    def _ask_for_span(self, log: "_Log", span: Span) -> tuple[Any, float | None]:
        edge, before = log.endpoint.edge, log.paging.before(span.cursor)
        values = {"from": max(0.0, span.since - edge), "until": (span.until if before is None else before) + edge}
        return self._ask(log.endpoint, values, cursor=span.cursor, paging=log.paging, yields=True)

    def _walk(self, log: "_Log", since: float, until: float | None, resume: str | None) -> LogPage:
        """Return a page of a log that takes no times: from its newest message on."""
        patterns = log.paging.patterns
        cursor: Cursor = {}
        if resume is not None:
            cursor = parse_bookmark(resume, patterns, NAME)
        payload, at = self._ask(log.endpoint, {}, cursor=cursor, paging=log.paging, yields=True)
        rows = log.rows(payload)
        oldest = self._oldest(rows)
        following = log.paging.following(cursor, payload, rows, oldest, None)
        return LogPage(
            receipts=self._receipts_of(log, rows, since=since, until=float("inf") if until is None else until),
            resume=write_bookmark(following, patterns, NAME) if following else None,
            reached=oldest,
            at=at,
        )

    def _oldest(self, rows: Sequence[Any]) -> float | None:
        reader = _there(self._rows, "endpoints.messages")
        return min((moment for row in rows if (moment := reader.created_at(row)) is not None), default=None)

    def _receipts_of(self, log: "_Log", rows: Sequence[Any], *, since: float, until: float) -> Sequence[Receipt]:
        reader, only_when = _there(self._rows, "endpoints.messages"), log.endpoint.only_when

        def read(row: Any) -> Row | None:
            return None if only_when is not None and not only_when.is_true(row) else reader.read(row)

        return self._receipts.of_page(rows, read, vendor=NAME, since=since, until=until)

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id."""
        endpoint = _there(self._ends.send, "endpoints.send")
        values: Mapping[str, Value] = {
            "to": to,
            "to_digits": to.removeprefix("+"),
            "sender": sender,
            "sender_digits": sender.removeprefix("+"),
            "text": text,
            "validity_seconds": str(validity_seconds),
            "validity_minutes": str(-(-validity_seconds // 60)),
        }
        payload, _ = self._ask(endpoint, values)
        return read_id(endpoint.message_id.find(payload))

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come."""
        endpoint = _there(self._ends.message, "endpoints.message")
        reader = _there(self._one, "endpoints.message.fields")
        payload, at = self._ask(endpoint, {"id": message_id})
        item = endpoint.item.find(payload)
        if not isinstance(item, dict):
            raise BadResponseError(f"{NAME} does not tell of the message")
        row, price = reader.read(item, at=self._api.now() if at is None else at), reader.price(item)
        if row.message_id != message_id:
            raise BadResponseError(f"{NAME} tells of another message")
        receipt = self._receipts.of(row)
        return CanaryStatus(
            status=row.status,
            reason=receipt.reason,
            code=receipt.code,
            cost=None if price is None else price.amount,
            currency=None if price is None else price.currency,
        )

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a callback. Raises CallbackRefusedError."""
        if self._webhook is None:
            raise CallbackRefusedError(CallbackOutcome.UNKNOWN_TARGET)
        return self._webhook.read(callback)

    def _ask(
        self,
        endpoint: EndpointSettings,
        values: Mapping[str, Value],
        *,
        cursor: Cursor | None = None,
        paging: Paging | None = None,
        yields: bool = False,
    ) -> tuple[Any, float | None]:
        """Return the answer of an endpoint, and the provider's clock. Raises ProviderError."""
        at_page = {} if cursor is None else cursor
        filled = self._requests.fill(
            endpoint.request,
            values,
            now=self._api.now(),
            more=None if paging is None else paging.params(at_page),
            link=None if paging is None else paging.link(at_page),
        )
        try:
            answer = self._api.ask(
                filled.method,
                filled.url,
                body=filled.body,
                headers=filled.headers,
                body_limit_bytes=self._settings.max_answer_bytes,
                yields=yields,
                decode=_decoder(endpoint),
            )
        except ProviderError as error:
            if error.reason is Reason.CREDENTIALS_REJECTED:
                self._requests.forget_token()
            raise
        heard: _Heard = answer.payload
        refused = endpoint.refused
        if refused is not None and refused.when.is_true(heard.payload):
            code = None if refused.code is None else self._code(refused.code.find(heard.payload))
            raise self._api.refused(heard.status, code or _UNNAMED)
        return heard.payload, answer.at

    def _code_of_a_refusal(self, heard: _Heard) -> str | None:
        """Return the code of an answer that refuses; one of our own for an HTTP status that the settings name."""
        error = self._settings.error
        if error.when is not None and error.code is not None and heard.payload is not None:
            try:
                refuses = error.when.is_true(heard.payload)
                code = self._code(error.code.find(heard.payload)) if refuses else None
            except BadResponseError:  # not of the shape that refusals have
                refuses, code = False, None
            by_status = self._by_status(heard.status)
            if refuses and (code in error.reasons or by_status is None):
                return code or _UNNAMED
        return self._by_status(heard.status)

    def _by_status(self, status: int) -> str | None:
        named = f"http-{status}"
        return named if named in self._settings.error.reasons else None

    def _code(self, value: Any) -> str | None:
        return code_in(value, self._settings.error.reasons)


class _Log:
    """The endpoint of the message log, and how to go through it."""

    def __init__(self, endpoint: MessagesEndpoint, settings: HttpJsonSettings) -> None:
        self.endpoint: Final = endpoint
        self.is_by_time: Final = endpoint.is_by_time
        self.paging: Final = Paging(endpoint.paging, settings)
        self.windows: Final = Windows(NAME, longest_seconds=endpoint.longest_span, cursor=self.paging.patterns)

    def rows(self, payload: Any) -> Sequence[Any]:
        """Return the rows of an answer. Raises BadResponseError when there is no list."""
        empty_when = self.endpoint.empty_when
        if empty_when is not None and empty_when.is_true(payload):
            return ()
        rows = self.endpoint.items.find(payload)
        if not isinstance(rows, list):
            raise BadResponseError(f"{NAME}'s message log is not where endpoints.messages.items says")
        return rows


def _decoder(endpoint: EndpointSettings) -> Any:
    pattern = None if endpoint.text is None else re.compile(endpoint.text)

    def decode(reply: Reply) -> _Heard:
        is_success = 200 <= reply.status < 300
        try:
            if pattern is None:
                return _Heard(reply.status, reply.json())
            match = pattern.search(reply.body[:_MOST_TEXT_BYTES].decode("utf-8", "replace"))
            if match is None:
                raise BadResponseError("the answer is not the text that was expected")
            return _Heard(reply.status, match.groupdict())
        except BadResponseError:
            if is_success:
                raise
            return _Heard(reply.status, None)

    return decode


def _there(thing: T | None, name: str) -> T:
    if thing is None:
        raise ProviderError(Reason.INTERNAL, f"{name} is not configured")
    return thing
