"""Reading a log that is asked for by spans of time, whose rows come in any order: from span to span, the newest first.

The first span is short, as most readings want no more than what is new; those behind it grow.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .bookmarks import Patterns, parse_bookmark, write_bookmark

_FIRST_SECONDS: Final = 1800.0
_GROWTH: Final = 2.0
_AHEAD_SECONDS: Final = 60.0  # the newest span ends so long after now: clocks tick apart
_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span of time, and where in its pages to go on. Unix time, whole seconds."""

    since: float
    until: float
    cursor: Mapping[str, str] = field(default_factory=dict)  # empty: at its first page


class Windows:
    """Cuts the time that is asked for into spans, for one vendor."""

    def __init__(self, vendor: str, *, longest_seconds: float, cursor: Patterns) -> None:
        """Take the longest span that the vendor answers, and all that a cursor within a span may hold."""
        self._vendor = vendor
        self._longest_seconds = longest_seconds
        self._patterns: Patterns = {"since": _SECONDS, "until": _SECONDS, **cursor}

    def first(self, since: float, until: float | None, now: float) -> Span:
        """Return the newest span before ``until``, or before now; ``now`` is by the vendor's clock."""
        end = math.ceil(now + _AHEAD_SECONDS) if until is None else math.ceil(until)
        length = _FIRST_SECONDS if until is None else self._longest_seconds
        return self._span(since, float(end), length)

    def parse(self, bookmark: str) -> Span:
        """Return the span that a bookmark stands for. Raises BadResponseError."""
        values = dict(parse_bookmark(bookmark, self._patterns, self._vendor))
        since, until = float(values.pop("since", "0")), float(values.pop("until", "0"))
        return Span(since=since, until=min(until, since + self._longest_seconds), cursor=values)

    def following(self, span: Span, since: float, cursor: Mapping[str, str]) -> str | None:
        """Return the bookmark of what comes after a page: the next one of the span, or the span before it.

        None when all from ``since`` on has been read.
        """
        if not cursor:
            if span.since <= since:
                return None
            span = self._span(since, span.since, _GROWTH * (span.until - span.since))
        values = {"since": str(int(span.since)), "until": str(int(span.until)), **cursor}
        return write_bookmark(values, self._patterns, self._vendor)

    @staticmethod
    def reached(span: Span, cursor: Mapping[str, str]) -> float:
        """Return when no page to come has a younger message: rows of one span come in any order."""
        return span.until if cursor else span.since

    def _span(self, since: float, until: float, length: float) -> Span:
        begin = max(math.floor(since), until - min(length, self._longest_seconds), 0.0)
        return Span(since=float(min(begin, until - 1.0)), until=until)
