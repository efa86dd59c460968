"""Where a page of the message log is: first pages by date, later ones by a bookmark that may be kept on disk."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...errors import BadResponseError
from .. import bookmarks
from .sdk import PAGE_SIZE

_DAY: Final = r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?"
_MOST_LETTERS: Final = 512

# All that a bookmark may hold: twilio-oai, ListMessage. Numbers (To, From) are never asked for, and what a token
# looks like is told by the examples there: letters, then the SID of a message.
_PARAMETERS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "PageSize": re.compile(r"\d{1,4}", re.ASCII),
        "Page": re.compile(r"\d{1,9}", re.ASCII),
        "PageToken": re.compile(r"[A-Z]{2}[\w-]{1,128}", re.ASCII),
        "DateSent": re.compile(_DAY, re.ASCII),
        "DateSent<": re.compile(_DAY, re.ASCII),
        "DateSent>": re.compile(_DAY, re.ASCII),
    }
)


def first_query(since: float, until: float | None, *, page_size: int = PAGE_SIZE) -> str:
    """Return the query of the newest page, or of the newest one that may hold what was created before ``until``.

    The filters are documented for dates only, and go by the date of sending: a day more on either side is asked for.
    """
    query = {"PageSize": str(page_size)}
    if until is not None:
        query |= {"DateSent<": _day(until, 1), "DateSent>": _day(since, -1)}
    return urlencode(query)


def bookmark_of(next_page_uri: str | None, log_path: str) -> str | None:
    """Return what to remember of the next page, None when there is none.

    Raises BadResponseError for a page of something else than the log at ``log_path``. A host is never followed.
    """
    if next_page_uri is None:
        return None
    try:
        parts = urlsplit(next_page_uri[: 4 * _MOST_LETTERS])
        given = parse_qsl(parts.query, max_num_fields=20)
    except ValueError:
        raise BadResponseError("Twilio's message log pages to a URL that is none") from None
    if parts.netloc or parts.path.lower() != log_path.lower():
        raise BadResponseError("Twilio's message log pages out of itself")
    return parse_bookmark(urlencode([pair for pair in given if pair[0] in _PARAMETERS]))


def parse_bookmark(bookmark: str) -> str:
    """Return the query that a bookmark stands for. Raises BadResponseError for one that we cannot have written."""
    return urlencode(bookmarks.parse_bookmark(bookmark, _PARAMETERS, "Twilio"))


def _day(moment: float, days_later: int) -> str:
    try:
        return (datetime.fromtimestamp(moment, UTC) + timedelta(days=days_later)).date().isoformat()
    except (OverflowError, ValueError, OSError):
        raise BadResponseError("Twilio's message log knows no such day") from None
