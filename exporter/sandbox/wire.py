"""How Twilio writes things: errors, dates, pages. The one place that knows the envelopes.

Source: OpenAPI documents of Twilio (twilio/twilio-oai 2.6.7), and
https://www.twilio.com/docs/usage/twilios-response, read 2026-11-24.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from .account import Account

API_VERSION: Final = "2010-04-01"
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1000

Json = Mapping[str, Any]


class TwilioError(Exception):
    """An answer in Twilio's error envelope."""

    def __init__(self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers

    def to_response(self) -> JSONResponse:
        """Return the answer as it goes over the wire."""
        payload = {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return JSONResponse(payload, self.status, self.headers)


def not_found(path: str) -> TwilioError:
    """Return the answer for a resource that does not exist."""
    return TwilioError(404, 20404, f"The requested resource {path} was not found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of an authenticated caller, with the account that it is about."""

    request: Request
    account: Account
    child: Account  # the account's subaccount
    now: float  # epoch seconds
    form: Mapping[str, str]  # of a POST

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters in the URL."""
        return self.request.query_params

    @property
    def path(self) -> str:
        """The path that was asked for."""
        return self.request.url.path

    @property
    def origin(self) -> str:
        """Scheme, host and port under which the caller reaches us."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}"

    def path_param(self, name: str) -> str:
        """Return a part of the path that the route names."""
        return str(self.request.path_params[name])

    def date_param(self, name: str) -> float | None:
        """Return the parameter as epoch seconds; None when it is not there.

        Accepts a day (its midnight, UTC), and a time by ISO 8601 or RFC 2822. Raises TwilioError for anything else.
        """
        text = self.query.get(name)
        if not text:
            return None
        try:
            moment = _parse_time(text)
        except (ValueError, OverflowError):
            raise TwilioError(400, 20001, f"Invalid date in parameter {name}") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _parse_time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def parse_form(body: bytes) -> Mapping[str, str]:
    """Return the fields of a form; of a repeated one the last."""
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in fields.items()}


@lru_cache(maxsize=16_384)
def _rfc2822(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


@lru_cache(maxsize=16_384)
def _iso8601(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc2822(time: float) -> str:
    """Return epoch seconds as the 2010 API writes them: `Thu, 24 Aug 2023 05:01:45 +0000`."""
    return _rfc2822(int(time))


def iso8601(time: float) -> str:
    """Return epoch seconds as the product APIs write them: `2015-07-30T20:00:00Z`."""
    return _iso8601(int(time))


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page the caller wants. A token names the last SID of the page before."""

    size: int
    number: int
    after: str | None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "PageRequest":
        """Read PageSize, Page and PageToken. Raises TwilioError for what is no number."""
        try:
            size = int(query.get("PageSize", DEFAULT_PAGE_SIZE))
            number = int(query.get("Page", 0))
        except ValueError:
            raise TwilioError(400, 20001, "Page and PageSize must be numbers") from None
        if not 1 <= size <= MAX_PAGE_SIZE or number < 0:
            raise TwilioError(400, 20001, f"PageSize must be between 1 and {MAX_PAGE_SIZE}")
        token = query.get("PageToken")
        return cls(size, number, token[2:] if token else None)


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one page and where the next begins."""

    rows: list[Json]
    asked: PageRequest
    next_after: str | None

    def uri(self, call: Call, *, number: int, after: str | None) -> str:
        """Return the relative URI of a page of the same list."""
        paging = {"PageSize": str(self.asked.size), "Page": str(number)}
        if after:
            paging["PageToken"] = f"PA{after}"
        kept = [(k, v) for k, v in call.query.items() if k not in (*paging, "PageToken")]
        return f"{call.path}?{urlencode([*kept, *paging.items()])}"

    def next_uri(self, call: Call) -> str | None:
        """Return the relative URI of the next page; None on the last."""
        if self.next_after is None:
            return None
        return self.uri(call, number=self.asked.number + 1, after=self.next_after)


Row = TypeVar("Row")


def cut_page(
    asked: PageRequest,
    items: Iterable[Row],
    render: Callable[[Row], Json],
    key: Callable[[Row], str],
) -> Page:
    """Return the page that begins with the first item."""
    taken = list(islice(items, asked.size + 1))
    shown = taken[: asked.size]
    more = key(shown[-1]) if len(taken) > len(shown) else None
    return Page([render(each) for each in shown], asked, more)


def after_sid(rows: Iterable[Json], sid: str | None) -> Iterator[Json]:
    """Yield the rows behind the one with that SID, or all of them for None."""
    found = sid is None
    for row in rows:
        if found:
            yield row
        found = found or row["sid"] == sid


def list_2010(call: Call, key: str, page: Page) -> Json:
    """Return the list envelope of the 2010 API: relative URIs. We do not page backwards."""
    start = page.asked.number * page.asked.size
    return {
        "first_page_uri": page.uri(call, number=0, after=None),
        "end": start + max(len(page.rows) - 1, 0),
        "previous_page_uri": None,
        key: page.rows,
        "uri": page.uri(call, number=page.asked.number, after=page.asked.after),
        "page_size": page.asked.size,
        "start": start,
        "next_page_uri": page.next_uri(call),
        "page": page.asked.number,
    }


def list_product(call: Call, key: str, page: Page) -> Json:
    """Return the list envelope of the product APIs: absolute URLs. We do not page backwards."""
    next_uri = page.next_uri(call)
    here = page.uri(call, number=page.asked.number, after=page.asked.after)
    return {
        key: page.rows,
        "meta": {
            "key": key,
            "page": page.asked.number,
            "page_size": page.asked.size,
            "first_page_url": call.origin + page.uri(call, number=0, after=None),
            "previous_page_url": None,
            "url": call.origin + here,
            "next_page_url": call.origin + next_uri if next_uri else None,
        },
    }


def whole_list_2010(call: Call, key: str, rows: Iterable[Json]) -> Json:
    """Return a page of a short list of the 2010 API, whose rows have a `sid`."""
    return list_2010(call, key, _cut_rows(call, rows))


def whole_list_product(call: Call, key: str, rows: Iterable[Json]) -> Json:
    """Return a page of a short list of a product API, whose rows have a `sid`."""
    return list_product(call, key, _cut_rows(call, rows))


def _cut_rows(call: Call, rows: Iterable[Json]) -> Page:
    asked = PageRequest.parse(call.query)
    return cut_page(asked, after_sid(rows, asked.after), lambda row: row, lambda row: row["sid"])
