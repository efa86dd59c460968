"""The database: what survives, what is counted once, what happens when it cannot be used."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from checks.errors import StorageUnavailableError
from checks.messages import Receipt, Source, Status, reached
from checks.messages.book import Gap, Reading
from checks.reason import Outcome, Reason
from checks.result import Balance, RefusedCountry, ServiceComponent, ServiceState, Spend
from exporter.database import StorageError
from exporter.meters import Meters
from exporter.migrations import MIGRATIONS
from exporter.snapshot import LATENCY_BOUNDS, Route, Tally
from exporter.storage import Storage
from tests.fakes import NOW, receipt, run
from tests.postgresql_server import BOTH, open_leading

DE = Route("DE", "unknown")


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def file_storage(tmp_path: Path, meters: Meters) -> Iterator[Storage]:
    opened = Storage.open(tmp_path / "x.db", meters)
    yield opened
    opened.close()


@pytest.fixture(params=BOTH)
def storage(request: pytest.FixtureRequest, meters: Meters) -> Iterator[Storage]:
    if request.param == "sqlite":
        opened = request.getfixturevalue("file_storage")
        yield opened
        return
    opened = open_leading(request.getfixturevalue("postgresql").new_database(), meters)
    yield opened
    opened.close()


def read_log(storage: Storage, *receipts: Receipt, until: datetime = NOW) -> None:
    storage.book("twilio").take(receipts, reading=Reading(read_until=until.timestamp()))


def messages(tally: Tally, route: Route = DE) -> dict[str, int]:
    return {status.value: n for (of_route, status), n in tally.messages.items() if of_route == route}


def test_a_restart_knows_what_it_knew(tmp_path: Path, meters: Meters) -> None:
    path = tmp_path / "x.db"
    first = Storage.open(path, meters)
    first.record(
        run(Reason.OK, Balance(amount=7.5, currency="EUR", runway_seconds=90.0), Spend(total=3.0, currency="EUR"))
    )
    first.record(
        run(Reason.BALANCE_LOW, Balance(amount=2.5, currency="EUR"), detail="low", at=NOW + timedelta(minutes=1))
    )
    first.record(
        run(
            Reason.OK,
            ServiceComponent(component="SMS", state=ServiceState.OPERATIONAL),
            RefusedCountry(country="NG"),
            check="status",
            kind="service_status",
        )
    )
    read_log(first, receipt(1), receipt(2, Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30007"))
    before = first.snapshot()
    first.close()
    second = Storage.open(path, meters)
    try:
        after = second.snapshot()
        assert after.checks["balance"] == before.checks["balance"]
        assert after.checks["status"] == before.checks["status"]
        assert after.tallies == before.tallies
        assert after.checks["balance"].outcomes == {Outcome.PASS: 1, Outcome.FAIL: 1, Outcome.ERROR: 0}
        assert after.checks["balance"].last_success_at == NOW
    finally:
        second.close()


def test_the_time_of_a_reason_is_that_of_its_first_run_in_a_row(storage: Storage) -> None:
    for minute, reason in enumerate((Reason.OK, Reason.BALANCE_LOW, Reason.BALANCE_LOW)):
        storage.record(run(reason, at=NOW + timedelta(minutes=minute)))
    assert storage.snapshot().checks["balance"].reason_since == NOW + timedelta(minutes=1)


def test_a_message_is_counted_once_for_each_status_however_often_it_is_read(storage: Storage) -> None:
    read_log(storage, receipt(1, Status.ACCEPTED), receipt(2, Status.SENT))
    read_log(storage, receipt(1, Status.DELIVERED, delivery_seconds=7.0), receipt(2, Status.SENT))
    read_log(storage, receipt(1, Status.DELIVERED, delivery_seconds=9.0), receipt(2, Status.DELIVERED))
    tally = storage.snapshot().tallies["twilio"]
    assert messages(tally) == {"accepted": 2, "sent": 2, "delivered": 2}
    latency = tally.latency[DE, Source.LOG]
    assert sum(latency.counts) == 2
    assert latency.total_seconds == 11.0  # 7 of the first, 4 of the second: later readings change nothing


@pytest.mark.parametrize(("source", "is_timed"), [(Source.CALLBACK, True), (Source.LATE_EVENT, False)])
def test_what_may_come_days_late_is_counted_and_not_timed(storage: Storage, source: Source, is_timed: bool) -> None:
    now = NOW.timestamp()
    for number, created_at in ((1, None), (1, now - 60), (2, now - 60)):  # of the first the date is told later
        told = replace(receipt(number), at=now, created_at=created_at, delivery_seconds=None, source=source)
        storage.messages.take("twilio", [told])
    tally = storage.snapshot().tallies["twilio"]
    assert messages(tally) == {"accepted": 2, "sent": 2, "delivered": 2}
    assert sum(sum(latency.counts) for latency in tally.latency.values()) == (2 if is_timed else 0)
    assert (storage.messages.known_until("twilio") > 0) is is_timed
    journal = storage._db.execute("SELECT input FROM journal").fetchall()
    assert any(msgspec.msgpack.decode(step)[0] for (step,) in journal) is is_timed  # what the detector gets


def test_the_same_message_twice_in_one_reading_counts_once(storage: Storage) -> None:
    read_log(storage, receipt(1, Status.DELIVERED), receipt(1, Status.DELIVERED))
    assert messages(storage.snapshot().tallies["twilio"]) == {"accepted": 1, "sent": 1, "delivered": 1}


def test_failures_count_by_reason_and_code_and_unknown_codes_are_reported(storage: Storage, meters: Meters) -> None:
    read_log(
        storage,
        receipt(1, Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30007"),
        receipt(2, Status.FAILED, reason=Reason.DELIVERY_FAILING, code="99999", code_is_mapped=False),
        receipt(3, Status.UNDELIVERED),
    )
    tally = storage.snapshot().tallies["twilio"]
    assert {reason: n for (_, reason), n in tally.failures.items()} == {
        Reason.OPERATOR_BLOCKING: 1,
        Reason.DELIVERY_FAILING: 2,
    }
    assert tally.codes == {"30007": 1, "unknown": 1}
    assert meters.read().unmapped_codes == {"twilio": 1}


def test_code_labels_stay_bounded_under_invented_codes(storage: Storage) -> None:
    read_log(
        storage,
        *(receipt(n, Status.UNDELIVERED, reason=Reason.DELIVERY_FAILING, code=str(40000 + n)) for n in range(500)),
    )
    codes = storage.snapshot().tallies["twilio"].codes
    assert len(codes) == 101
    assert codes["other"] == 400


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (1.0, 0), (1.5, 1), (2.0, 1), (3600.0, 29), (3601.0, 30)])
def test_a_latency_falls_into_the_bucket_whose_bound_it_does_not_exceed(
    storage: Storage, seconds: float, bucket: int
) -> None:
    read_log(storage, receipt(1, delivery_seconds=seconds))
    counts = storage.snapshot().tallies["twilio"].latency[DE, Source.LOG].counts
    assert [index for index, count in enumerate(counts) if count] == [bucket]
    assert len(counts) == len(LATENCY_BOUNDS) + 1


readings = st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(Status))), max_size=8), max_size=6)


@given(readings)
@settings(max_examples=60, deadline=None)
def test_counts_do_not_depend_on_how_a_log_is_cut_into_readings(parts: Sequence[Sequence[tuple[int, Status]]]) -> None:
    storage = Storage.in_memory(Meters())
    truth: dict[int, Status] = {}
    expected: dict[Status, int] = {}
    for part in parts:
        read_log(storage, *(receipt(number, status) for number, status in reversed(part)))
        furthest: dict[int, Status] = {}
        for number, status in part:
            if number not in furthest or status.rank >= furthest[number].rank:
                furthest[number] = status
        for number, status in furthest.items():
            for step in reached(truth.get(number), status):
                expected[step] = expected.get(step, 0) + 1
            if truth.get(number) is None or status.rank > truth[number].rank:
                truth[number] = status
    tally = storage.snapshot().tallies.get("twilio", Tally())
    storage.close()
    assert {status: n for (_, status), n in tally.messages.items()} == expected


def test_the_past_holds_this_targets_balances(storage: Storage) -> None:
    storage.record(run(Reason.OK, Balance(amount=1.0, currency="USD"), at=NOW - timedelta(hours=3)))
    storage.record(
        run(
            Reason.OK,
            Balance(amount=2.0, currency="EUR"),
            Spend(total=9.0, currency="EUR"),
            at=NOW - timedelta(hours=2),
        )
    )
    storage.record(run(Reason.OK, Balance(amount=3.0, currency="EUR"), target="other", check="b2"))
    past = storage.past("balance", "twilio", NOW)
    found = [(reading.amount, reading.currency, reading.spent_total) for reading in past.balances]
    assert found == [(1.0, "USD", None), (2.0, "EUR", 9.0)]


def test_how_far_the_log_was_read_survives_a_restart(tmp_path: Path, meters: Meters) -> None:
    storage = Storage.open(tmp_path / "x.db", meters)
    assert storage.book("twilio").reading() == Reading()
    reading = Reading(read_until=1000.0, gaps=(Gap(since=1.0, until=2.0, resume="page"),), swept_at=900.0)
    storage.book("twilio").take([receipt(1)], reading=reading)
    storage.close()
    storage = Storage.open(tmp_path / "x.db", meters)
    assert storage.book("twilio").reading() == reading
    storage.close()


def test_failed_runs_are_kept_after_they_roll_out_of_the_rest(storage: Storage) -> None:
    storage.record(run(Reason.BALANCE_LOW, detail="the one that failed"))
    for n in range(260):
        storage.record(run(at=NOW + timedelta(seconds=n)))
    assert [past.detail for past in storage.recent_runs("balance", passed=False)] == ["the one that failed"]
    assert len(storage.recent_runs("balance", limit=1000)) < 200
    assert all(past.reason is Reason.OK for past in storage.recent_runs("balance", limit=5))


def test_values_for_the_sparkline_are_the_balances_oldest_first(storage: Storage) -> None:
    for amount in (3.0, 2.0, 1.0):
        storage.record(run(Reason.OK, Balance(amount=amount, currency="EUR")))
    assert storage.recent_values("balance") == [3.0, 2.0, 1.0]


def test_readings_of_a_clock_that_was_ahead_are_dropped(storage: Storage) -> None:
    storage.record(run(Reason.OK, Balance(amount=1.0, currency="EUR"), at=NOW + timedelta(hours=2)))
    storage.record(run(Reason.OK, Balance(amount=2.0, currency="EUR"), at=NOW))
    later = storage.past("balance", "twilio", NOW + timedelta(hours=3))
    assert [reading.amount for reading in later.balances] == [2.0]


def record_many(storage: Storage, at: datetime, count: int = 60) -> None:
    for second in range(count):  # enough to prune
        storage.record(run(at=at + timedelta(seconds=second)))


@pytest.mark.parametrize("jump", [timedelta(days=9), timedelta(days=365)])
def test_a_message_is_recognised_after_a_long_gap_and_after_a_jump_of_the_clock(
    storage: Storage, jump: timedelta
) -> None:
    messages_read = [receipt(n) for n in range(100)]
    read_log(storage, *messages_read)
    record_many(storage, NOW + jump)
    read_log(storage, *messages_read)
    assert messages(storage.snapshot().tallies["twilio"])["delivered"] == 100


def test_messages_older_than_any_reading_are_forgotten(storage: Storage) -> None:
    read_log(storage, receipt(1))
    read_log(storage, until=NOW + timedelta(days=9))
    record_many(storage, NOW)
    assert storage._db.execute("SELECT count(*) FROM messages").fetchone() == (0,)
    assert messages(storage.snapshot().tallies["twilio"])["delivered"] == 1  # its count stays


def test_a_target_that_comes_back_goes_on_from_where_it_was(tmp_path: Path, meters: Meters) -> None:
    storage = Storage.open(tmp_path / "x.db", meters)
    read_log(storage, receipt(1), receipt(2))
    storage.keep_only({"other": ("balance", "other")})
    storage.keep_only({"delivery": ("delivery", "twilio")})
    read_log(storage, receipt(2), receipt(3))
    storage.close()
    storage = Storage.open(tmp_path / "x.db", meters)
    assert messages(storage.snapshot().tallies["twilio"])["delivered"] == 3
    storage.close()


def test_a_run_that_ends_after_its_check_was_removed_leaves_no_trace(storage: Storage) -> None:
    storage.keep_only({"balance": ("balance", "twilio")})
    storage.record(run(check="other"))
    assert storage.snapshot().checks == {}
    storage.record(run())
    assert list(storage.snapshot().checks) == ["balance"]


def test_a_lost_key_is_refused_as_long_as_messages_depend_on_it(tmp_path: Path, meters: Meters) -> None:
    path = tmp_path / "x.db"
    Storage.open(path, meters).close()
    key = tmp_path / "x.db.key"
    key.unlink()
    storage = Storage.open(path, meters)  # nothing depends on it yet
    read_log(storage, receipt(1))
    storage.close()
    key.unlink()
    with pytest.raises(StorageError) as caught:
        Storage.open(path, meters)
    assert str(caught.value) == f"{key}: is missing; restore it, or remove {path} to start anew"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE checks SET reason = 'a_reason_to_come'",
        """UPDATE checks SET measured = '[{"unheard": "of"}]'""",
        "UPDATE message_counts SET status = 'read' WHERE status = 'sent'",
    ],
)
def test_words_of_another_version_are_refused(change: str, tmp_path: Path, meters: Meters) -> None:
    path = tmp_path / "x.db"
    storage = Storage.open(path, meters)
    storage.record(run())
    read_log(storage, receipt(1))
    storage._db.execute(change)
    storage.close()
    with pytest.raises(StorageError, match="holds what this version does not know"):
        Storage.open(path, meters)


def test_a_text_that_cannot_be_stored_loses_no_result(storage: Storage, meters: Meters) -> None:
    storage.record(run(Reason.BALANCE_LOW, detail="\ud800"))
    assert storage.snapshot().checks["balance"].last.result.reason is Reason.BALANCE_LOW
    assert meters.read().storage_errors == 1


def test_history_can_be_read_while_a_write_waits(tmp_path: Path, file_storage: Storage) -> None:
    storage = file_storage
    storage.record(run())
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer = threading.Thread(target=lambda: storage.record(run()))
    writer.start()
    began = time.monotonic()
    assert len(storage.recent_runs("balance")) == 1
    assert time.monotonic() - began < 2  # a write waits for five seconds
    other.execute("ROLLBACK")
    other.close()
    writer.join()


def test_a_check_that_left_the_configuration_is_forgotten(storage: Storage) -> None:
    storage.record(run())
    storage.keep_only({"other": ("balance", "twilio")})
    assert storage.snapshot().checks == {}
    assert storage.recent_runs("balance") == []


def test_neither_message_ids_nor_numbers_reach_the_disk(tmp_path: Path, meters: Meters) -> None:
    path = tmp_path / "x.db"
    opened = Storage.open(path, meters)
    read_log(opened, receipt(0xABCDEF))
    opened.close()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert receipt(0xABCDEF).message_id.encode() not in written
    assert b"delivered" in written


def test_the_key_stands_outside_the_database_and_is_for_its_owner_only(tmp_path: Path, file_storage: Storage) -> None:
    key = tmp_path / "x.db.key"
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o077 == 0


def test_a_second_process_is_refused(tmp_path: Path, file_storage: Storage) -> None:
    with pytest.raises(StorageError) as caught:
        Storage.open(tmp_path / "x.db", Meters())
    assert str(caught.value) == (
        f"{tmp_path}/x.db: is in use by another twofa-exporter; stop it, or give another --storage.path"
    )


def test_a_database_from_a_newer_version_is_refused(tmp_path: Path) -> None:
    path, newer = tmp_path / "x.db", len(MIGRATIONS) + 2
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {newer}")
    db.close()
    with pytest.raises(StorageError) as caught:
        Storage.open(path, Meters())
    assert str(caught.value) == (
        f"{path}: was written by a newer version (schema {newer}, this version knows {newer - 1}); run that version,"
        " or give another --storage.path"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_bytes(b"not a database" * 1000), "file is not a database"),
    ],
    ids=["another file"],
)
def test_what_is_no_database_is_refused(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    make(path)  # type: ignore[operator]
    with pytest.raises(StorageError, match=words):
        Storage.open(path, Meters())


def test_a_folder_is_refused_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"is a folder; --storage\.path names a file"):
        Storage.open(tmp_path, Meters())
    assert not Path(f"{tmp_path}.lock").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/x.db: cannot be used: (not a directory|file exists)"):
        Storage.open(tmp_path / "file" / "x.db", Meters())


def test_a_damaged_key_is_refused(tmp_path: Path, meters: Meters) -> None:
    Storage.open(tmp_path / "x.db", meters).close()
    (tmp_path / "x.db.key").write_bytes(b"short")
    with pytest.raises(StorageError, match=r"x\.db\.key: must hold 32 bytes, holds 5"):
        Storage.open(tmp_path / "x.db", meters)


def test_a_full_disk_is_counted_and_loses_no_message(tmp_path: Path, meters: Meters) -> None:
    storage = Storage.open(tmp_path / "x.db", meters)
    (pages,) = storage._db.execute("PRAGMA page_count").fetchone()
    storage._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as it does on a full disk
    many = [receipt(n) for n in range(2000)]
    with pytest.raises(StorageUnavailableError, match="cannot be written: database or disk is full"):
        read_log(storage, *many)
    assert meters.read().storage_errors == 1
    assert storage.snapshot().tallies["twilio"] == Tally()  # not counted, so that the next reading counts it
    storage.record(run(detail="x" * 100_000))
    assert storage.snapshot().checks["balance"].last.result.reason is Reason.OK  # known in memory
    assert sum(storage.snapshot().checks["balance"].outcomes.values()) == 0  # a restart would not know of it
    storage._db.execute("PRAGMA max_page_count = 1000000")
    read_log(storage, *many)
    assert messages(storage.snapshot().tallies["twilio"])["delivered"] == 2000
    storage.close()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from exporter.meters import Meters
from exporter.storage import Storage
from checks.reason import Reason
from checks.messages.book import Reading
from checks.result import Balance
from tests.fakes import NOW, receipt, run
storage = Storage.open(Path({path!r}), Meters())
print("ready", flush=True)
number = int(sys.argv[1])
while True:
    reading = Reading(read_until=NOW.timestamp())
    storage.book("twilio").take([receipt(n) for n in range(number, number + 20)], reading=reading)
    storage.record(run(Reason.OK, check="delivery", kind="delivery"))
    storage.record(run(Reason.OK, Balance(amount=float(number), currency="EUR")))
    number += 10
"""


@pytest.mark.slow
def test_fifty_kills_during_writes_corrupt_nothing_and_count_nothing_twice(tmp_path: Path, meters: Meters) -> None:
    path = tmp_path / "x.db"
    root = str(Path(__file__).resolve().parent.parent)
    script = WRITER.format(root=root, path=str(path))
    runs_before, next_number = 0, 0
    for round_ in range(50):
        writer = subprocess.Popen(
            [sys.executable, "-c", script, str(next_number)], stdout=subprocess.PIPE, env={**os.environ}
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        writer.stdout.close()
        try:
            writer.wait(0.002 * (round_ % 17))
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        storage = Storage.open(path, meters)
        try:
            assert storage._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (ids,) = storage._db.execute("SELECT count(*) FROM messages").fetchone()
            tally = storage.snapshot().tallies.get("twilio", Tally())
            assert messages(tally).get("delivered", 0) == ids
            assert sum(latency.counts[3] for latency in tally.latency.values()) == ids
            state = storage.snapshot().checks.get("delivery")
            runs = 0 if state is None else sum(state.outcomes.values())
            assert runs >= runs_before
            runs_before, next_number = runs, ids
        finally:
            storage.close()
    assert runs_before > 50
