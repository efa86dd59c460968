"""The reader of the message log: whatever happens, each message is taken and no run reads more than it may."""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Barrier, Lock
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.clients import LogPage
from checks.errors import BadResponseError, UnreachableError
from checks.messages import Receipt, Status
from checks.messages.book import Gap, Reading, Recent
from checks.messages.detector import Verdict
from checks.messages.reading import ReadingReport, ReadingSettings, read_log
from checks.messages.windows import Window, read_windows

NOW: Final = 1_795_000_000.0
MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86400.0
YEAR: Final = 365 * DAY


@dataclass(slots=True)
class Log:
    """A provider's log: messages by creation, the newest first, a few on a page."""

    page_size: int = 10
    tells_time: bool = True
    messages: list[Receipt] = field(default_factory=list)  # the oldest first
    now: float = NOW
    pages: int = 0
    forgotten: str | None = None  # a bookmark

    def send(self, *, at: float | None = None, status: Status = Status.SENT) -> str:
        created_at = self.now if at is None else at
        name = f"m{len(self.messages)}"
        receipt = Receipt(message_id=name, status=status, at=created_at, created_at=created_at, country="DE")
        place = bisect_left(self.messages, created_at + 0.001, key=lambda one: one.created_at or 0.0)
        self.messages.insert(place, receipt)
        return name

    def finish(self, name: str, status: Status = Status.DELIVERED) -> None:
        for place, one in enumerate(self.messages):
            if one.message_id == name:
                self.messages[place] = msgspec.structs.replace(one, status=status, at=self.now)

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        self.pages += 1
        rows = [one for one in reversed(self.messages) if until is None or (one.created_at or 0.0) < until]
        if resume is not None:
            if resume == self.forgotten:
                raise BadResponseError("no such page")
            names = [one.message_id for one in rows]
            whole = [one.message_id for one in reversed(self.messages)]
            behind = set(whole[: whole.index(resume) + 1])
            rows = rows[sum(name in behind for name in names) :]
        shown, more = rows[: self.page_size], rows[self.page_size :]
        return LogPage(
            receipts=[one for one in shown if (one.created_at or 0.0) >= since],
            resume=shown[-1].message_id if more else None,
            reached=shown[-1].created_at if shown else None,
            at=self.now if self.tells_time else None,
        )


@dataclass(slots=True)
class MemoryBook:
    """A book that remembers, and that is as durable as the test lets it be."""

    statuses: dict[str, Status] = field(default_factory=dict)
    kept: Reading = field(default_factory=Reading)
    known_until: float | None = None
    unknown: set[str] = field(default_factory=set)  # what was claimed to be known and was not
    log: Log | None = None

    def reading(self) -> Reading:
        return self.kept

    def take(
        self, receipts: Sequence[Receipt], *, reading: Reading | None = None, known_until: float | None = None
    ) -> None:
        for one in receipts:
            before = self.statuses.get(one.message_id)
            if before is None or one.status.rank > before.rank:
                self.statuses[one.message_id] = one.status
        if reading is not None:
            self.kept = msgspec.json.decode(msgspec.json.encode(reading), type=Reading)  # as it comes from disk
        if known_until is not None:
            self.known_until = known_until
            if self.log is not None:
                begun = min(
                    (one.created_at or 0.0 for one in self.log.messages if one.message_id in self.statuses), default=0.0
                )
                self.unknown |= {
                    one.message_id
                    for one in self.log.messages
                    if begun <= (one.created_at or 0.0) < known_until and one.message_id not in self.statuses
                }

    def expire(self, sent_before: float) -> None:
        raise NotImplementedError

    def recent(self, since: float, *, overdue_before: float) -> Recent:
        raise NotImplementedError

    def verdicts(self) -> Sequence[Verdict]:
        raise NotImplementedError


SETTINGS: Final = ReadingSettings(max_pages=4, overlap="10m")


def run(log: Log, book: MemoryBook, *, now: float | None = None, limits: ReadingSettings = SETTINGS) -> ReadingReport:
    """Run once; fail when it reads more pages than it may."""
    before = log.pages
    report = read_log(log, book, limits, log.now if now is None else now)
    assert log.pages - before == report.pages <= limits.max_pages
    return report


def started(log: Log) -> MemoryBook:
    book = MemoryBook(log=log)
    run(log, book)
    return book


def catch_up(log: Log, book: MemoryBook, *, limits: ReadingSettings = SETTINGS) -> int:
    """Run, a minute apart, until nothing is left; return how many runs that took."""
    for runs in range(1, 2000):
        run(log, book, limits=limits)
        if not book.kept.gaps:
            return runs
        log.now += MINUTE
    raise AssertionError("the reading never ends")


def test_the_first_reading_begins_two_overlaps_ago() -> None:
    log = Log()
    old, new = log.send(at=NOW - 21 * MINUTE), log.send(at=NOW - 19 * MINUTE)
    book = started(log)
    assert set(book.statuses) == {new}
    assert old not in book.statuses


def test_only_what_is_new_or_may_change_is_read_again() -> None:
    log = Log()
    book = started(log)
    for _ in range(30):
        log.now += MINUTE
        log.send()
        report = run(log, book)
    assert (report.pages, report.messages, report.behind_seconds) == (2, 12, 0.0)


def test_a_status_within_the_overlap_is_seen_at_once() -> None:
    log = Log()
    book = started(log)
    name = log.send()
    run(log, book)
    log.now += 9 * MINUTE
    log.finish(name)
    run(log, book)
    assert book.statuses[name] is Status.DELIVERED


def test_a_late_status_is_seen_by_the_next_search() -> None:
    log = Log()
    book = started(log)
    log.now += 13 * HOUR  # the first search goes no further back than the first reading
    names = [log.send() for _ in range(100)]
    catch_up(log, book)
    log.now += 11 * HOUR
    for name in names:
        log.finish(name)
    log.send()
    runs = catch_up(log, book)
    assert set(book.statuses.values()) == {Status.DELIVERED, Status.SENT}
    assert [book.statuses[name] for name in names] == [Status.DELIVERED] * 100
    assert runs > 2  # within the allowance of each run


def test_a_search_for_late_changes_takes_nothing_from_before_the_first_reading() -> None:
    log = Log()
    for minutes in range(0, 24 * 60, 10):
        log.send(at=NOW - minutes * MINUTE)
    book = started(log)
    seen = set(book.statuses)
    for _ in range(30):
        log.now += HOUR
        catch_up(log, book)
    assert set(book.statuses) == seen


def test_what_is_known_stays_known_during_a_search_for_late_changes() -> None:
    log = Log()
    book = started(log)
    is_searching = set()
    for _ in range(300):
        log.now += 3 * MINUTE
        log.send()
        report = run(log, book)
        assert (book.known_until, report.behind_seconds) == (log.now - 5, 0.0)
        is_searching.add(bool(book.kept.gaps))
    assert is_searching == {False, True}


def test_after_an_outage_now_is_known_first_and_then_the_oldest_gap() -> None:
    log = Log()
    book = started(log)
    names = []
    for _ in range(200):
        log.now += MINUTE
        names.append(log.send())
    report = run(log, book)
    assert names[-1] in book.statuses
    assert report.behind_seconds > 0
    assert book.known_until is not None
    assert book.known_until <= NOW
    first = book.kept.gaps
    for _ in range(100):
        log.now += 0.1
        names.append(log.send())
    run(log, book)
    assert len(first) == 1
    assert len(book.kept.gaps) == 2
    assert book.kept.gaps[0].until < first[0].until  # the older one went on
    assert book.kept.gaps[0].since == first[0].since
    catch_up(log, book)
    assert set(book.statuses) == set(names)
    assert book.known_until == log.now - 5


def test_a_reading_that_breaks_off_goes_on_where_it_was() -> None:
    log = Log()
    book = started(log)
    names = []
    for _ in range(30):
        log.now += MINUTE
        names.append(log.send())

    @dataclass
    class Breaking:
        left: int

        def read_page(self, **asked: Any) -> LogPage:
            self.left -= 1
            if self.left < 0:
                raise UnreachableError("gone")
            return log.read_page(**asked)

    with pytest.raises(UnreachableError):
        read_log(Breaking(1), book, SETTINGS, log.now)
    assert set(book.statuses) == set(names[20:])
    assert len(book.kept.gaps) == 1
    run(log, book)
    assert set(book.statuses) == set(names)
    assert not book.kept.gaps


def test_a_gap_whose_bookmark_is_gone_is_asked_for_by_date() -> None:
    log = Log()
    book = started(log)
    names = []
    for _ in range(100):
        log.now += MINUTE
        names.append(log.send())
    run(log, book)
    (gap,) = book.kept.gaps
    log.forgotten = gap.resume
    run(log, book)
    assert [each.resume for each in book.kept.gaps] != [gap.resume]
    catch_up(log, book)
    assert set(book.statuses) == set(names)


def test_a_log_that_pages_in_a_circle_ends() -> None:
    class Circle:
        pages = 0

        def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
            self.pages += 1
            return LogPage(receipts=(), resume="b" if resume == "a" else "a", reached=None)

    circle = Circle()
    with pytest.raises(BadResponseError, match=r"^the message log pages in a circle$"):
        read_log(circle, MemoryBook(), ReadingSettings(max_pages=1000), NOW)
    assert circle.pages == 3


def test_what_is_too_old_after_an_outage_is_left_out() -> None:
    log = Log()
    book = started(log)
    log.now += 10 * DAY
    lost, kept = log.send(at=log.now - 8 * DAY), log.send(at=log.now - 6 * DAY)
    catch_up(log, book)
    assert set(book.statuses) == {kept}
    assert lost not in book.statuses


def test_a_gap_that_became_too_old_is_left_out() -> None:
    log = Log()
    book = started(log)
    book.kept = Reading(NOW, (Gap(NOW - 9 * DAY, NOW - 8 * DAY, "m0"), Gap(NOW - 8 * DAY, NOW - DAY)), NOW)
    run(log, book)
    assert not book.kept.gaps


@pytest.mark.parametrize("jump", [-YEAR, -2 * DAY, -2 * HOUR, 2 * HOUR, 2 * DAY, YEAR])
def test_a_jump_of_our_clock_loses_nothing(jump: float) -> None:
    log = Log()
    book = started(log)
    names = []
    for minute in range(60):
        log.now += MINUTE
        names.append(log.send())
        report = run(log, book, now=log.now + (jump if 10 <= minute < 40 else 0.0))
        assert abs(report.now - log.now) <= MINUTE
    assert set(book.statuses) == set(names)
    assert not book.kept.gaps


@pytest.mark.parametrize("jump", [-YEAR, -2 * DAY, 2 * DAY, YEAR])
def test_a_jump_of_our_clock_loses_nothing_where_the_log_tells_no_time(jump: float) -> None:
    log = Log(tells_time=False)
    book = started(log)
    names = []
    for minute in range(60):
        log.now += MINUTE
        names.append(log.send())
        report = run(log, book, now=log.now + (jump if 10 <= minute < 13 else 0.0))
        assert jump > 0 or report.now >= log.now - 2 * MINUTE
    assert set(book.statuses) == set(names)


def test_a_message_with_an_absurd_date_moves_nothing() -> None:
    log = Log()
    book = started(log)
    log.send(at=NOW + YEAR)
    names = []
    for _ in range(30):
        log.now += MINUTE
        names.append(log.send())
        run(log, book)
    assert set(names) <= set(book.statuses)
    assert book.kept.read_until is not None
    assert book.kept.read_until <= log.now


def test_nothing_is_claimed_to_be_known_behind_pages_of_absurd_dates() -> None:
    log = Log()
    book = started(log)
    log.now += HOUR
    log.send()
    for _ in range(50):
        log.send(at=NOW + YEAR)
    run(log, book)
    assert (book.known_until, book.kept.read_until) == (NOW - 5, NOW - 10 * MINUTE)


def test_a_late_status_on_the_newest_page_is_seen() -> None:
    log = Log()
    book = started(log)
    name = log.send()
    run(log, book)
    log.now += 11 * HOUR
    log.send()
    run(log, book)
    log.finish(name)
    log.now += 2 * HOUR
    run(log, book)
    assert book.statuses[name] is Status.DELIVERED


def test_a_search_that_was_in_the_future_is_made_again() -> None:
    log = Log()
    book = started(log)
    name = log.send()
    run(log, book)
    book.kept = msgspec.structs.replace(book.kept, swept_at=NOW + YEAR)
    log.now += HOUR
    log.finish(name)
    run(log, book)
    assert book.statuses[name] is Status.DELIVERED
    assert book.kept.swept_at == log.now


def test_a_page_that_reaches_less_far_than_the_one_before_takes_nothing_back() -> None:
    reached = iter([NOW - HOUR, NOW, NOW])

    class Disorderly:
        pages = 0

        def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
            self.pages += 1
            return LogPage(receipts=(), resume=f"page {self.pages}", reached=next(reached))

    log = Disorderly()
    book = MemoryBook(kept=Reading(NOW - 3 * HOUR, (), NOW))
    read_log(log, book, ReadingSettings(max_pages=3), NOW)
    assert [gap.until for gap in book.kept.gaps] == [NOW - HOUR]


def test_a_page_without_any_date_leaves_a_gap_that_can_be_kept() -> None:
    class Undated:
        def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
            return LogPage(receipts=(), resume=f"{resume}+", reached=None)

    book = MemoryBook(kept=Reading(NOW - HOUR, (), NOW - 2 * HOUR))
    report = read_log(Undated(), book, ReadingSettings(max_pages=2), NOW)
    assert (report.pages, book.known_until) == (2, None)
    assert [gap.until for gap in book.kept.gaps] == [NOW + HOUR]


def test_an_empty_log_is_known() -> None:
    log = Log()
    book = started(log)
    log.now += DAY
    report = run(log, book)
    assert (report.now, report.pages, report.messages, report.behind_seconds) == (log.now, 1, 0, 0.0)
    assert book.known_until == log.now - 5


STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.sampled_from([MINUTE, 10 * MINUTE, HOUR, 6 * HOUR])),
        st.tuples(st.just("finish"), st.integers(0, 30)),
        st.tuples(st.just("run"), st.sampled_from([0.0, 0.0, 0.0, -YEAR, -HOUR, HOUR, YEAR])),
        st.tuples(st.just("allow"), st.integers(2, 12)),
        st.tuples(st.just("break"), st.integers(0, 3)),
    ),
    min_size=5,
    max_size=60,
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_every_message_is_taken_in_the_end(steps: list[tuple[str, Any]]) -> None:
    log = Log()
    book = started(log)
    limits = SETTINGS
    sent: dict[str, float] = {}
    for step, amount in steps:
        match step:
            case "send":
                for number in range(amount):
                    log.now += number % 2  # two in each second
                    sent[log.send()] = log.now
            case "wait":
                log.now += amount
            case "finish":
                waiting = [name for name, at in sent.items() if log.now - at < 12 * HOUR]
                for name in waiting[:amount]:
                    log.finish(name)
            case "run":
                run(log, book, now=log.now + amount, limits=limits)
            case "allow":
                limits = ReadingSettings(max_pages=amount, overlap="10m")
            case _:
                broken = Interrupted(log, amount)
                with suppress(UnreachableError):
                    read_log(broken, book, limits, log.now)
    catch_up(log, book, limits=limits)
    assert set(book.statuses) == set(sent)
    assert book.unknown == set()
    for _ in range(15):  # the first search for late changes waits for half a day
        log.now += HOUR
        catch_up(log, book, limits=limits)
    assert book.statuses == {one.message_id: one.status for one in log.messages}


@dataclass(slots=True)
class Interrupted:
    """A log that breaks off after some pages."""

    log: Log
    pages: int

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        self.pages -= 1
        if self.pages < 0:
            raise UnreachableError("gone")
        return self.log.read_page(since=since, until=until, resume=resume)


def test_many_gaps_become_few() -> None:
    log = Log()
    book = started(log)
    limits = ReadingSettings(max_pages=2, overlap="10m")
    sent = set()
    for _ in range(60):
        log.now += 20 * MINUTE
        sent |= {log.send(at=log.now - 60 + number) for number in range(40)}
        run(log, book, limits=limits)
    assert len(book.kept.gaps) <= 20
    catch_up(log, book)
    assert set(book.statuses) == sent


@pytest.mark.parametrize("wrong", [{"max_pages": 1}, {"overlap": "1s"}, {"catch_up": "31d"}, {"late_changes": "1m"}])
def test_settings_have_bounds(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ReadingSettings.model_validate(wrong)


# ---- windows


caller: Final = ContextVar("caller", default="nobody")


@dataclass(slots=True)
class Stretches:
    """A log of which each window has three pages."""

    meet: Barrier | None = None
    lock: Any = field(default_factory=Lock)
    held: int = 0
    most: int = 0
    fails_at: float | None = None
    reached: float | None = None
    seen: set[str] = field(default_factory=set)

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        self.seen.add(caller.get())
        with self.lock:
            self.held += 1
            self.most = max(self.most, self.held)
        if self.meet is not None:
            self.meet.wait(timeout=10)
        if since == self.fails_at:
            raise UnreachableError("gone")
        page = int(resume or 0)
        one = Receipt(message_id=f"{since}/{page}", status=Status.SENT, at=since, created_at=since, country="DE")
        return LogPage(receipts=[one], resume=str(page + 1) if page < 2 else None, reached=self.reached)


def test_windows_are_read_side_by_side() -> None:
    log = Stretches(meet=Barrier(8))  # nobody passes before eight are there
    windows = [Window(DAY * day, DAY * (day + 1)) for day in range(8)]
    read = [(window.since, page.receipts[0].message_id, window.resume) for window, page in read_windows(log, windows)]
    assert sorted(read, key=lambda each: each[:2]) == [
        (DAY * day, f"{DAY * day}/{page}", str(page + 1) if page < 2 else None) for day in range(8) for page in range(3)
    ]


def test_no_more_pages_are_held_than_there_are_workers() -> None:
    log = Stretches()
    windows = [Window(DAY * day, DAY * (day + 1)) for day in range(20)]
    taken = 0
    for _ in read_windows(log, windows, workers=3):
        with log.lock:
            log.held -= 1
        taken += 1
    assert taken == 60
    assert log.most <= 4  # three under way, and the one in our hands


def test_a_window_that_cannot_be_read_ends_the_reading() -> None:
    log = Stretches(fails_at=DAY)
    with pytest.raises(UnreachableError):
        list(read_windows(log, [Window(DAY * day, DAY * (day + 1)) for day in range(3)], workers=2))


def test_a_window_goes_on_behind_its_bookmark() -> None:
    read = [page.receipts[0].message_id for _, page in read_windows(Stretches(), [Window(0.0, DAY, "2")])]
    assert read == ["0.0/2"]


def test_a_window_ends_where_a_page_reaches_behind_it() -> None:
    windows = [Window(DAY, 2 * DAY), Window(HOUR, DAY)]
    read = [(window.since, window.resume) for window, _ in read_windows(Stretches(reached=DAY - 1), windows, workers=1)]
    assert read == [(DAY, None), (HOUR, "1"), (HOUR, "2"), (HOUR, None)]


def test_what_holds_around_the_caller_holds_in_its_threads() -> None:
    log = Stretches()
    token = caller.set("me")
    assert len(list(read_windows(log, [Window(0.0, DAY)]))) == 3
    caller.reset(token)
    assert log.seen == {"me"}
