"""Reading a provider's message log into the book: what is new, what may still change, what an outage left behind.

All times are those of the log itself, as far as it can be helped: our clock may jump, the log's does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from pydantic import Field

from ..clients import LogPage, MessageLogClient
from ..errors import BadResponseError, ProviderError
from ..reason import Reason
from ..settings import Count, Seconds, Settings, between
from .book import Gap, LogBook, Reading
from .receipt import Receipt

_LOG_DELAY_SECONDS: Final = 5.0  # a message may show in the log so long after its creation
_RESOLUTION_SECONDS: Final = 1.0  # of times in a log; more messages of the second that was reached may follow
_MAX_CLOCK_DIFFERENCE_SECONDS: Final = 3600.0  # a message from further ahead is no guide to how far we have read
_MOST_GAPS: Final = 20
_LATE: Final = "late "  # begins the bookmark of a gap that is known, and read once more for late changes


class ReadingSettings(Settings):
    """How much of the log is read, and how often again."""

    max_pages: Count = Field(
        20, ge=2, le=1000, description="pages of the message log, of up to 1000 messages, that one run may read"
    )
    overlap: Annotated[Seconds, between("1m", "6h")] = Field(
        600.0, description="messages younger than this are read again at each run, as they still change"
    )
    late_changes: Annotated[Seconds, between("10m", "3d")] = Field(
        43200.0, description="messages may change for so long; now and then they are read again for that"
    )
    late_changes_every: Annotated[Seconds, between("1m", "1d")] = Field(
        3600.0, description="time between two searches for late changes"
    )
    catch_up: Annotated[Seconds, between("1h", "30d")] = Field(
        604800.0, description="after an outage so much of the log is read; older messages are left out"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingReport:
    """What one run has read."""

    now: float  # Unix time in the log's own time
    pages: int
    messages: int
    behind_seconds: float  # how much of the log is still to be read, in whole minutes; 0 when all is known


def read_log(client: MessageLogClient, book: LogBook, settings: ReadingSettings, now: float) -> ReadingReport:
    """Read on in the log and hand each page to the book at once; ``now`` is our clock, Unix time.

    The newest pages come first, back to where the last run ended and ``overlap`` further. What the allowance
    of pages leaves out becomes a gap, which later runs read on, the oldest first. Every
    ``late_changes_every`` all messages that may still change are read again in the same way.

    Raises ProviderError when the log cannot be read, and what the book raises; all pages before that are kept.
    """
    run = _Run(client, book, settings)
    run.read_head(now)
    run.read_gaps()
    return run.report()


class _Run:
    """One run: what is left of its allowance, and how far the log is read."""

    def __init__(self, client: MessageLogClient, book: LogBook, settings: ReadingSettings) -> None:
        self._client = client
        self._book = book
        self._settings = settings
        self._reading = book.reading()
        self._pages = 0
        self._messages = 0
        self._now = 0.0

    def report(self) -> ReadingReport:
        behind = sum(gap.until - gap.since for gap in _holes(self._reading))
        return ReadingReport(
            now=self._now, pages=self._pages, messages=self._messages, behind_seconds=math.ceil(behind / 60) * 60.0
        )

    def read_head(self, now: float) -> None:
        """Read the newest pages, back to the last run and the overlap before it; leave gaps half of the allowance."""
        settings, before = self._settings, self._reading
        allowance = settings.max_pages // 2 if before.gaps else settings.max_pages
        earliest = min(moment for moment in (now, before.read_until, before.swept_at) if moment is not None)
        page = self._fetch(earliest - max(settings.overlap, settings.late_changes))
        self._now = _present(page, now, before.read_until)
        known = self._known(before)
        begin = known - settings.overlap
        search_since = self._search_since(known)
        since = begin if search_since is None else min(begin, search_since)
        read_until = max(known, _newest(page, max(known, self._now)))
        gaps = _still_wanted(before.gaps, self._now - settings.catch_up)
        walk = _Walk(reached=self._now + _MAX_CLOCK_DIFFERENCE_SECONDS)
        while True:
            walk.follow(page)
            is_incomplete = walk.reaches_less_far_than(known - _LOG_DELAY_SECONDS)
            if is_incomplete and read_until > known:
                hole = Gap(known - _LOG_DELAY_SECONDS, walk.reached, walk.resume)
                self._take(page, since, Reading(read_until, _with_hole(gaps, hole), before.swept_at))
            else:
                self._take(page, since, Reading(read_until, gaps, before.swept_at), is_incomplete=is_incomplete)
            if not walk.reaches_less_far_than(begin) or self._pages >= allowance:
                break
            page = self._fetch(since, resume=walk.resume)
        if before.swept_at is None:
            # The first search goes back to the first reading and not before it, so it has to wait.
            self._note_search(self._reading.gaps, begin + settings.late_changes)
        elif search_since is not None and not self._reading.gaps:
            rest = Gap(search_since, walk.reached, f"{_LATE}{walk.resume}")
            self._note_search((rest,) if walk.reaches_less_far_than(search_since) else (), self._now)

    def _known(self, before: Reading) -> float:
        """Return until when all messages are known, gaps aside. The first reading begins two overlaps ago."""
        if before.read_until is None:
            return self._now - self._settings.overlap
        return min(max(before.read_until, self._now - self._settings.catch_up), self._now)

    def _search_since(self, known: float) -> float | None:
        """Return back to when to search for late changes now, None when it is not time for it.

        What was final at the last search still is, so it is enough to go back from that one.
        """
        settings, swept_at = self._settings, self._reading.swept_at
        if swept_at is None:
            return None
        if swept_at > self._now + settings.late_changes:  # no search of ours was then
            swept_at = known
        elif swept_at > self._now - settings.late_changes_every:
            return None
        return max(swept_at - settings.late_changes, self._now - settings.catch_up)

    def _note_search(self, gaps: tuple[Gap, ...], swept_at: float) -> None:
        self._note(Reading(self._reading.read_until, gaps, swept_at))

    def read_gaps(self) -> None:
        """Read on in the gaps, with what is left of the allowance: what is unknown first, and the oldest of that."""
        while self._reading.gaps and self._pages < self._settings.max_pages:
            self._read_gap(min(self._reading.gaps, key=lambda gap: (_is_late(gap), gap.since)))

    def _read_gap(self, gap: Gap) -> None:
        walk = _Walk(reached=gap.until, resume=_bookmark(gap))
        while self._pages < self._settings.max_pages:
            try:
                page = self._fetch(gap.since, until=gap.until + _RESOLUTION_SECONDS, resume=walk.resume)
            except ProviderError as error:
                if walk.resume is None or error.reason is not Reason.BAD_RESPONSE:
                    raise
                # Bookmarks age. Without it, the rest of the gap is asked for by date.
                self._note(self._with_gap(gap, _moved(gap, walk.reached, None)))
                return
            walk.follow(page)
            rest = _moved(gap, walk.reached, walk.resume) if walk.reaches_less_far_than(gap.since) else None
            self._take(page, gap.since, self._with_gap(gap, rest))
            if rest is None:
                return
            gap = rest

    def _with_gap(self, gap: Gap, rest: Gap | None) -> Reading:
        """Return the reading with ``rest`` in place of a gap."""
        others = [rest if each == gap else each for each in self._reading.gaps]
        gaps = tuple(each for each in others if each is not None)
        return Reading(self._reading.read_until, gaps, self._reading.swept_at)

    def _fetch(self, since: float, *, until: float | None = None, resume: str | None = None) -> LogPage:
        self._pages += 1
        return self._client.read_page(since=since, until=until, resume=resume)

    def _take(self, page: LogPage, since: float, reading: Reading, *, is_incomplete: bool = False) -> None:
        """Hand a page to the book; ``is_incomplete`` says that what is missing stands in no gap."""
        receipts = [receipt for receipt in page.receipts if receipt.created_at is None or receipt.created_at >= since]
        self._messages += len(receipts)
        self._reading = reading
        known_until = min((gap.since for gap in _holes(reading)), default=self._now - _LOG_DELAY_SECONDS)
        self._book.take(receipts, reading=reading, known_until=None if is_incomplete else known_until)

    def _note(self, reading: Reading) -> None:
        self._reading = reading
        self._book.take((), reading=reading)


class _Walk:
    """From page to page, towards older messages."""

    def __init__(self, *, reached: float, resume: str | None = None) -> None:
        self.reached = reached
        self.resume = resume
        self._been_at = {resume}

    def follow(self, page: LogPage) -> None:
        """Go on to the next page. Raises BadResponseError when it was there before."""
        if page.reached is not None:
            self.reached = min(self.reached, page.reached)
        self.resume = page.resume
        if page.resume is not None and page.resume in self._been_at:
            raise BadResponseError("the message log pages in a circle")
        self._been_at.add(page.resume)

    def reaches_less_far_than(self, since: float) -> bool:
        """Return whether messages of ``since`` or later may be on pages to come."""
        return self.resume is not None and self.reached >= since


def _present(page: LogPage, now: float, read_until: float | None) -> float:
    """Return the time of the log: of our clock, the provider's and the newest message whichever lies in the middle.

    Where the provider tells no time ours holds, unless the log is ahead of it.
    """
    newest = max(_created(page.receipts), default=read_until)
    if newest is None:
        return now
    if page.at is not None:
        return sorted((now, page.at, newest))[1]
    if newest <= now + _MAX_CLOCK_DIFFERENCE_SECONDS:
        return now
    return sorted((now, newest, now if read_until is None else read_until))[1]


def _newest(page: LogPage, now: float) -> float:
    """Return the newest moment of a page that is no guess: a message may have an absurd date."""
    moments = [*_created(page.receipts), -math.inf if page.reached is None else page.reached]
    latest = now + _MAX_CLOCK_DIFFERENCE_SECONDS
    return max((moment for moment in moments if moment <= latest), default=-math.inf)


def _created(receipts: Sequence[Receipt]) -> Sequence[float]:
    return [receipt.created_at for receipt in receipts if receipt.created_at is not None]


def _is_late(gap: Gap) -> bool:
    return gap.resume is not None and gap.resume.startswith(_LATE)


def _bookmark(gap: Gap) -> str | None:
    return (gap.resume or "").removeprefix(_LATE) or None


def _moved(gap: Gap, reached: float, resume: str | None) -> Gap:
    mark = f"{_LATE}{resume or ''}" if _is_late(gap) else resume
    return Gap(gap.since, min(gap.until, reached), mark)


def _holes(reading: Reading) -> Sequence[Gap]:
    return [gap for gap in reading.gaps if not _is_late(gap)]


def _still_wanted(gaps: Sequence[Gap], since: float) -> tuple[Gap, ...]:
    return tuple(msgspec.structs.replace(gap, since=max(gap.since, since)) for gap in gaps if gap.until > since)


def _with_hole(gaps: tuple[Gap, ...], hole: Gap) -> tuple[Gap, ...]:
    """Return the gaps with one more. When there are many, the newest two become one, what is read between them too."""
    if len(gaps) < _MOST_GAPS:
        return (*gaps, hole)
    newest = max((gap for gap in gaps if not _is_late(gap)), key=lambda gap: gap.since)
    merged = Gap(min(newest.since, hole.since), hole.until, hole.resume)
    return (*(gap for gap in gaps if gap != newest), merged)
