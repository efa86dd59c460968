"""How a log goes on behind a page, for each kind of paging that vendors have."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...errors import BadResponseError
from ..bookmarks import Patterns
from .settings import AuthKind, HttpJsonSettings, PagingKind, PagingSettings

_LINK: Final = "link"
_BEFORE: Final = "before"  # of timestamp: the end of the span that is left

_PATTERNS: Final[Mapping[PagingKind, Patterns]] = {
    PagingKind.NONE: {},
    PagingKind.PAGE: {"page": re.compile(r"[1-9]\d{0,5}", re.ASCII)},
    PagingKind.OFFSET: {"offset": re.compile(r"[1-9]\d{0,8}", re.ASCII)},
    PagingKind.CURSOR: {"cursor": re.compile(r"[\w=+/.:~-]{1,1000}", re.ASCII)},
    PagingKind.LINK: {_LINK: re.compile(r"/[\w/.?&=%:+~,@-]{0,1500}", re.ASCII)},
    PagingKind.TIMESTAMP: {_BEFORE: re.compile(r"\d{1,12}", re.ASCII)},
}

Cursor = Mapping[str, str]
"""Where in its pages a reading is; empty at the first one."""


class Paging:
    """The pages of one log."""

    def __init__(self, settings: PagingSettings, whole: HttpJsonSettings) -> None:
        self._settings = settings
        self._base = whole.base_url or ""
        self._secrets = list(whole.revealed().values())
        self._auth_params = set(whole.auth.params) if whole.auth.kind in (AuthKind.QUERY, AuthKind.HMAC) else set()
        self.patterns: Final = _PATTERNS[settings.kind]

    def params(self, cursor: Cursor) -> Mapping[str, str]:
        """Return what the query of a page has besides."""
        kind, param = self._settings.kind, self._settings.param or ""
        if kind is PagingKind.PAGE:
            return {param: cursor.get("page", str(self._settings.first))}
        if kind is PagingKind.OFFSET:
            return {param: cursor.get("offset", "0")}
        return {param: cursor["cursor"]} if kind is PagingKind.CURSOR and cursor else {}

    @staticmethod
    def link(cursor: Cursor) -> str | None:
        """Return path and query of a page that is named by a link."""
        return cursor.get(_LINK)

    @staticmethod
    def before(cursor: Cursor) -> float | None:
        """Return where the span of a page ends, when its beginning has been read from the end on."""
        return float(cursor[_BEFORE]) if _BEFORE in cursor else None

    def following(
        self, cursor: Cursor, payload: Any, rows: Sequence[Any], oldest: float | None, until: float | None
    ) -> Cursor:
        """Return where the next page is, empty when there is none.

        ``oldest`` is when the oldest message of the page was created, ``until`` the end of the span that was asked
        for. Raises BadResponseError for pages that go in a circle, or to another host.
        """
        settings = self._settings
        if settings.kind is PagingKind.NONE or not rows or not self._goes_on(payload, rows):
            return {}
        found = self._next(cursor, payload, rows, oldest, until)
        if found and found == cursor:
            raise BadResponseError("the message log pages in a circle")
        return found

    def _goes_on(self, payload: Any, rows: Sequence[Any]) -> bool:
        settings = self._settings
        if settings.more_when is not None:
            return settings.more_when.is_true(payload)
        return settings.size is None or len(rows) >= settings.size

    def _next(
        self, cursor: Cursor, payload: Any, rows: Sequence[Any], oldest: float | None, until: float | None
    ) -> Cursor:
        settings = self._settings
        match settings.kind:
            case PagingKind.PAGE:
                return {"page": str(int(cursor.get("page", settings.first)) + 1)}
            case PagingKind.OFFSET:
                return {"offset": str(int(cursor.get("offset", "0")) + len(rows))}
            case PagingKind.TIMESTAMP:
                if oldest is None or until is None:
                    return {}
                # Those of the second that the page ended in may go on; where it holds one second alone, on it goes.
                return {_BEFORE: str(int(min(math.ceil(oldest) + 1, until - 1)))}
            case PagingKind.CURSOR | PagingKind.LINK:
                found = None if settings.next is None else settings.next.find(payload)
                if found in (None, "", False):
                    return {}
                if type(found) is not str and type(found) is not int:
                    raise BadResponseError("the next page of the message log has no name")
                return {"cursor": str(found)} if settings.kind is PagingKind.CURSOR else {_LINK: self._link(str(found))}
            case PagingKind.NONE:
                return {}

    def _link(self, found: str) -> str:
        """Return a link below the base, without what shows who asks: bookmarks are kept."""
        base = urlsplit(self._base)
        try:
            parts = urlsplit(found)
        except ValueError:
            raise BadResponseError("the next page of the message log has no name") from None
        is_elsewhere = parts.netloc and (parts.netloc.lower() != base.netloc.lower() or parts.scheme != base.scheme)
        if is_elsewhere or (parts.scheme and not parts.netloc):
            raise BadResponseError("the next page of the message log is on another host")
        path = parts.path
        if base.path and path.startswith(f"{base.path}/"):
            path = path.removeprefix(base.path)
        elif base.path and parts.netloc:
            raise BadResponseError("the next page of the message log is not below base_url")
        if not path.startswith("/") or ".." in path.split("/"):
            raise BadResponseError("the next page of the message log has no name")
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in self._auth_params]
        try:
            link = f"{path}?{urlencode(query)}" if query else path
        except UnicodeEncodeError:
            raise BadResponseError("the next page of the message log has no name") from None
        if any(secret in link or secret in dict(query).values() for secret in self._secrets):
            raise BadResponseError("the next page of the message log would show a secret")
        return link
