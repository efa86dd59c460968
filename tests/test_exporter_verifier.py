"""What the verifier told: counted once, kept through restarts, bounded in size and words."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from checks.errors import StorageUnavailableError
from checks.totp_steps import Slot
from exporter import ledger
from exporter.database import Database
from exporter.meters import Meters
from exporter.verifier import KEPT_BATCHES, SCHEMA, VerifierEvent, VerifierStore

AT = 1_772_366_400.0  # 2026-03-01 12:00 UTC, the beginning of a slot
DAY = 86_400.0


def open_database(path: Path) -> Database:
    return Database.open(path / "x.db", ledger.SCHEMA + SCHEMA, (), Meters())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(open_database(tmp_path)) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> VerifierStore:
    return VerifierStore(database)


def event(step: int | None = 0, *, at: float = AT, used: bool = False) -> VerifierEvent:
    return VerifierEvent(at=at, step=step, used=used)


def test_attempts_are_counted_by_step_in_slots_of_five_minutes(store: VerifierStore) -> None:
    first = [event(0), event(-1, at=AT + 299.9), event(-1), event(None), event(None), event(-1, used=True), event(7)]
    store.take("platform", [event(1, at=AT + 300), *first])
    store.take("platform", [event(-1)])
    store.take("other", [event(2)])
    assert store.book("platform").slots(AT) == [
        Slot(at=AT, steps={0: 1, -1: 3, 7: 1}, unmatched=2, replayed=1),
        Slot(at=AT + 300, steps={1: 1}, unmatched=0, replayed=0),
    ]


def test_a_book_begins_where_it_is_asked_to(store: VerifierStore) -> None:
    store.take("platform", [event(at=AT), event(at=AT + 300), event(at=AT + 600)])
    assert [slot.at for slot in store.book("platform").slots(AT + 1)] == [AT + 300, AT + 600]
    assert store.book("unheard of").slots(0) == []


def test_the_counts_of_all_time_have_few_words(store: VerifierStore) -> None:
    store.take("platform", [event(step) for step in range(-60, 61)])
    store.take("platform", [event(None), event(0, used=True), event(-9, used=True)])
    assert store.counts() == {
        "platform": {
            "-3-or-less": 58,
            "-2": 1,
            "-1": 1,
            "0": 1,
            "1": 1,
            "2": 1,
            "3-or-more": 58,
            "none": 1,
            "replayed": 2,
        }
    }


def test_all_is_there_after_a_restart(tmp_path: Path) -> None:
    with closing(open_database(tmp_path)) as database:
        VerifierStore(database).take("platform", [event(-1), event(None)], batch="b1")
    with closing(open_database(tmp_path)) as database:
        store = VerifierStore(database)
        store.load()
        store.take("platform", [event(-1)], batch="b1")
        assert store.counts() == {"platform": {"-1": 1, "none": 1}}
        assert store.book("platform").slots(0) == [Slot(at=AT, steps={-1: 1}, unmatched=1, replayed=0)]


def test_a_batch_that_comes_again_is_counted_once(store: VerifierStore) -> None:
    for batch in ("b1", "b1", "b2", "", ""):
        store.take("platform", [event()], batch=batch)
    store.take("other", [event()], batch="b1")
    assert store.counts() == {"platform": {"0": 4}, "other": {"0": 1}}


def test_the_last_thousand_batches_are_recognised(store: VerifierStore, database: Database) -> None:
    store.take("other", [event()], batch="b0")
    for number in range(KEPT_BATCHES + 1):
        store.take("platform", [], batch=f"b{number}")
    rows = database.writer.execute("SELECT target, count(*) FROM verifier_batches GROUP BY target").fetchall()
    assert rows == [("other", 1), ("platform", KEPT_BATCHES)]
    store.take("platform", [event()], batch="b1")
    assert store.counts()["platform"] == {}
    store.take("platform", [event()], batch="b0")
    assert store.counts()["platform"] == {"0": 1}


def test_no_batch_id_is_written_as_it_is(store: VerifierStore, tmp_path: Path) -> None:
    store.take("platform", [event()], batch="client-4711")
    assert not [path for path in tmp_path.iterdir() if b"client-4711" in path.read_bytes()]


def test_what_is_older_than_fifteen_days_is_forgotten_but_not_its_count(
    store: VerifierStore, database: Database
) -> None:
    store.take("platform", [event(at=AT), event(at=AT + 300)])
    with database.lock:
        store.prune(AT + 15 * DAY + 300)
    assert [slot.at for slot in store.book("platform").slots(0)] == [AT + 300]
    assert store.counts() == {"platform": {"0": 2}}


def test_what_cannot_be_written_is_not_counted(store: VerifierStore, database: Database) -> None:
    database.writer.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageUnavailableError):
        store.take("platform", [event()], batch="b1")
    assert store.counts() == {}
    database.writer.execute("PRAGMA query_only = OFF")
    store.take("platform", [event()], batch="b1")
    assert store.counts() == {"platform": {"0": 1}}


def test_a_batch_is_kept_as_a_whole_or_not_at_all(store: VerifierStore, database: Database) -> None:
    database.writer.execute("DROP TABLE verifier_counts")
    with pytest.raises(StorageUnavailableError):
        store.take("platform", [event()], batch="b1")
    assert store.book("platform").slots(0) == []
    assert database.writer.execute("SELECT count(*) FROM verifier_batches").fetchone() == (0,)


def test_a_book_that_cannot_be_read_says_so(store: VerifierStore, database: Database) -> None:
    database.writer.execute("DROP TABLE verifier_slots")
    with pytest.raises(StorageUnavailableError):
        store.book("platform").slots(0)
