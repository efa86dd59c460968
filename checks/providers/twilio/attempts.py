"""Verification attempts: which codes were typed, by country and operator.

https://www.twilio.com/docs/verify/api/list-verification-attempts and twilio-oai (verify v2, Attempts), read 2026-11:
attempts are kept for 30 days, and no more than 100 requests a minute are answered.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from phonenumbers import SUPPORTED_REGIONS

from ...errors import BadResponseError
from ...messages import UNKNOWN_COUNTRY, UNKNOWN_OPERATOR
from ...messages.country import E164
from ...messages.operator import operator_by_mcc_mnc, operator_label, origin_of
from ...messages.verification import CODE_LIFE_SECONDS, Attempt
from ..http import Reply
from ..limiter import RateLimiter
from ..observer import Observer
from ..rows import Seen
from .sdk import PAGE_SIZE

PATH: Final = "/v2/Attempts"
REQUESTS_A_MINUTE: Final = 90

_SID: Final = re.compile(r"VL[0-9a-fA-F]{32}")
_TOKEN: Final = re.compile(r"[\w.=-]{1,256}", re.ASCII)
_MOST_PAGES: Final = 1000
_SOME_ROWS: Final = 5
_PATIENCE_SECONDS: Final = 10.0


class _Page(msgspec.Struct):
    attempts: list[dict[str, Any]]
    meta: dict[str, Any]


class Attempts:
    """Reads the attempts of one account. Safe to use from several threads."""

    def __init__(self, ask: Callable[[str], Reply], limiter: RateLimiter, observer: Observer) -> None:
        """``ask`` makes one request with a query and raises ProviderError when it is refused."""
        self._ask = ask
        self._limiter = limiter
        self._observer = observer
        self._unreadable = Seen()

    def read(self, *, since: float, until: float) -> Iterator[Sequence[Attempt]]:
        """Yield the attempts by SMS created from ``since`` on and before ``until`` (Unix time), page by page.

        The filters are not documented to include their bounds, and go by the second: a second more is asked for on
        either side, and what is too much is cut away here. One that cannot be understood is left out and told to
        the observer, once. Raises ProviderError.
        """
        query = {
            "PageSize": str(PAGE_SIZE),
            "Channel": "sms",
            "DateCreatedAfter": _iso(since - 1),
            "DateCreatedBefore": _iso(until + 1),
        }
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            self._limiter.wait(monotonic() + _PATIENCE_SECONDS)
            page = _decode(self._ask(urlencode(query)).body)
            rows = [row for row in page.attempts if _is_sms(row)]
            attempts = [attempt for row in rows if (attempt := self._attempt(row)) is not None]
            if not attempts and len(rows) >= _SOME_ROWS:
                raise BadResponseError("Twilio's verification attempts cannot be understood")
            yield [attempt for attempt in attempts if since <= attempt.created_at < until]
            following = _next(page.meta)
            if following is None:
                return
            if following["PageToken"] in seen:
                raise BadResponseError("Twilio's verification attempts page in a circle")
            seen.add(following["PageToken"])
            query |= following
        raise BadResponseError("Twilio's verification attempts have no end")

    def find(self, number: str, *, since: float) -> Sequence[Attempt]:
        """Return the latest attempts by SMS for a number, newest first; a page of them. Raises ProviderError."""
        self._limiter.wait(monotonic() + _PATIENCE_SECONDS)
        query = {"PageSize": "50", "Channel": "sms", "ChannelData.To": number, "DateCreatedAfter": _iso(since - 1)}
        rows = _decode(self._ask(urlencode(query)).body).attempts
        found = [attempt for row in rows if _is_sms(row) and (attempt := self._attempt(row)) is not None]
        return sorted(
            (each for each in found if each.recipient == number), key=lambda each: each.created_at, reverse=True
        )

    def _attempt(self, row: dict[str, Any]) -> Attempt | None:
        try:
            return _parse(row)
        except BadResponseError:
            sid = row.get("sid")  # an attempt is read again until it is decided
            if self._unreadable.add(sid if isinstance(sid, str) and _SID.fullmatch(sid) else row):
                self._observer.message_unreadable()
            return None


def _decode(body: bytes) -> _Page:
    try:
        return msgspec.json.decode(body, type=_Page)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise BadResponseError("Twilio's answer is not of the documented shape") from None


def _is_sms(row: dict[str, Any]) -> bool:
    channel = row.get("channel")
    return not isinstance(channel, str) or channel.lower() == "sms"


def _parse(row: dict[str, Any]) -> Attempt:
    sid, status, data = row.get("sid"), row.get("conversion_status"), row.get("channel_data")
    is_sound = isinstance(sid, str) and _SID.fullmatch(sid) and isinstance(data, dict)
    if not is_sound or status not in ("converted", "unconverted"):
        raise BadResponseError("an attempt is not of the documented shape")
    assert isinstance(data, dict)  # noqa: S101  # for the type checker
    recipient = data.get("to")
    number = recipient if isinstance(recipient, str) and E164.fullmatch(recipient) else ""
    country, operator_by_plan = origin_of(number)
    created_at = _parse_time(row.get("date_created"))
    return Attempt(
        attempt_id=str(sid),
        created_at=created_at,
        converted_at=_converted_at(row, created_at) if status == "converted" else None,
        has_arrived=data.get("message_status") in ("delivered", "read"),
        recipient=number,
        country=_country(data) if country == UNKNOWN_COUNTRY else country,
        operator=_operator(data, operator_by_plan),
    )


def _converted_at(row: dict[str, Any], created_at: float) -> float:
    """Return when the code was typed, at the latest: an attempt also changes when its message does."""
    return min(max(created_at, _parse_time(row.get("date_updated"))), created_at + CODE_LIFE_SECONDS)


def _country(data: dict[str, Any]) -> str:
    country = data.get("country")
    return country if isinstance(country, str) and country in SUPPORTED_REGIONS else UNKNOWN_COUNTRY


def _operator(data: dict[str, Any], by_plan: str) -> str:
    """Return what the provider says: the operator's name, else the codes of its network; else what the plan says."""
    carrier, mcc, mnc = data.get("carrier"), data.get("mcc"), data.get("mnc")
    if isinstance(carrier, str) and (label := operator_label(carrier)) != UNKNOWN_OPERATOR:
        return label
    if isinstance(mcc, str) and isinstance(mnc, str):
        label = operator_by_mcc_mnc(mcc, mnc)
        if label != UNKNOWN_OPERATOR:
            return label
    return by_plan


def _next(meta: dict[str, Any]) -> dict[str, str] | None:
    """Return the parameters of the next page. Its host and path are not followed."""
    url = meta.get("next_page_url")
    if url is None:
        return None
    try:
        given = dict(parse_qsl(urlsplit(url).query, max_num_fields=20))
    except (ValueError, TypeError, AttributeError):
        given = {}
    token = given.get("PageToken", "")
    if not _TOKEN.fullmatch(token):
        raise BadResponseError("Twilio's verification attempts page to nowhere")
    page = given.get("Page", "")
    return {"PageToken": token} | ({"Page": page} if page.isascii() and page.isdigit() else {})


def _parse_time(value: Any) -> float:
    try:
        moment = datetime.fromisoformat(value)
        return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise BadResponseError("an attempt has a date that is none") from None


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
