"""The books of messages: the log, callbacks and events together, kills in between, hostile labels."""

import math
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from checks.messages import Receipt, Source, Status, reached
from checks.messages.book import Reading
from checks.messages.detector import DetectorSettings
from checks.messages.verification import Attempt
from checks.reason import Reason
from exporter import config
from exporter.meters import Meters
from exporter.metrics import TwofaCollector, build_registry
from exporter.operators import MOST_OPERATORS, OTHER_OPERATOR, OperatorLabels
from exporter.snapshot import LATENCY_BOUNDS, Route, Tally
from exporter.storage import Storage
from tests.fakes import NOW, receipt
from tests.postgresql_server import BOTH, open_leading

NOW_UNIX = NOW.timestamp()
DE = Route("DE", "unknown")


def callback(number: int, status: Status, at: float, source: Source = Source.CALLBACK) -> Receipt:
    """Return what a status callback tells: no date of creation."""
    return msgspec.structs.replace(
        receipt(number, status),
        at=at,
        created_at=None,
        delivery_seconds=None,
        source=source,
    )


def statuses(storage: Storage) -> dict[str, int]:
    tally = storage.snapshot().tallies.get("twilio", Tally())
    totals: Counter[str] = Counter()
    for (_, status), total in tally.messages.items():
        totals[status.value] += total
    return dict(totals)


def latencies(storage: Storage) -> dict[str, tuple[int, float]]:
    tally = storage.snapshot().tallies["twilio"]
    return {
        source.value: (sum(latency.counts), latency.total_seconds) for (_, source), latency in tally.latency.items()
    }


@pytest.fixture(params=BOTH)
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    if request.param == "sqlite":
        yield Storage.in_memory(Meters())
        return
    opened = open_leading(request.getfixturevalue("postgresql").new_database(), Meters())
    yield opened
    opened.close()


def test_a_callback_after_the_log_is_timed_from_the_creation_that_the_log_told(storage: Storage) -> None:
    book = storage.book("twilio")
    sent = receipt(1, Status.SENT)
    assert sent.created_at is not None
    book.take([sent], reading=Reading(read_until=NOW_UNIX))
    book.take([callback(1, Status.DELIVERED, sent.created_at + 6.25)])
    assert latencies(storage) == {"callback": (1, 6.25)}


def test_a_callback_before_the_log_is_timed_once_the_log_tells_the_creation(storage: Storage) -> None:
    book = storage.book("twilio")
    logged = receipt(1, Status.DELIVERED, delivery_seconds=9.0)
    assert logged.created_at is not None
    book.take([callback(1, Status.DELIVERED, logged.created_at + 6.25)])
    assert latencies(storage) == {}
    for _ in range(2):
        book.take([logged], reading=Reading(read_until=NOW_UNIX))
    assert latencies(storage) == {"callback": (1, 6.25)}
    assert statuses(storage) == {"accepted": 1, "sent": 1, "delivered": 1}


def test_a_message_without_a_receipt_is_counted_once_and_may_still_arrive(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take([receipt(1, Status.SENT, minutes_ago=20), receipt(2, Status.SENT, minutes_ago=5)])
    for _ in range(2):
        book.expire(NOW_UNIX - 900)
    assert statuses(storage) == {"accepted": 2, "sent": 2, "receipt_missing": 1}
    book.take([receipt(1, Status.SENT, minutes_ago=20), receipt(1, minutes_ago=20, delivery_seconds=1100)])
    assert statuses(storage) == {"accepted": 2, "sent": 2, "receipt_missing": 1, "delivered": 1}


def test_recent_messages_leave_out_failures_that_only_one_client_can_mend(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take(
        [
            receipt(1),
            receipt(2, Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30007"),
            receipt(3, Status.UNDELIVERED, reason=Reason.RECIPIENT_OPTED_OUT, code="21610"),
            receipt(4, Status.SENT, minutes_ago=20),
            receipt(5, minutes_ago=60),
        ]
    )
    recent = book.recent(NOW_UNIX - 1800, overdue_before=NOW_UNIX - 900)
    assert (recent.messages, recent.delivered, recent.waiting) == (4, 1, 1)
    assert dict(recent.failed) == {("DE", "30007"): 1}
    assert (recent.latency_seconds, recent.newest_at) == (4.0, NOW_UNIX - 60)


def test_a_route_that_is_new_is_0_in_its_first_scrape(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take([receipt(1)], reading=Reading(read_until=NOW_UNIX))  # all of the first reading is history
    book.take([receipt(2, country="NG"), receipt(3, country="NG")])
    first = storage.snapshot().tallies
    book.take([receipt(4, country="FR")])
    storage.messages.scraped(first)
    assert first["twilio"].new_routes == {Route("NG", "unknown")}
    assert storage.snapshot().tallies["twilio"].new_routes == {Route("FR", "unknown")}


FATES = (
    (Status.ACCEPTED, Status.SENT, Status.DELIVERED),
    (Status.ACCEPTED, Status.SENT, Status.UNDELIVERED),
    (Status.ACCEPTED, Status.FAILED),
    (Status.ACCEPTED, Status.SENT),
)
events = st.integers(0, 7).flatmap(
    lambda number: st.tuples(
        st.just(number), st.sampled_from(FATES[number % len(FATES)]), st.sampled_from(list(Source))
    )
)
batches = st.lists(st.tuples(st.lists(events, max_size=10), st.booleans()), max_size=8)


@given(batches)
@settings(max_examples=40, deadline=None)
def test_any_order_repetition_and_mixture_with_kills_in_between_counts_the_truth(
    tmp_path_factory: pytest.TempPathFactory, parts: Sequence[tuple[Sequence[tuple[int, Status, Source]], bool]]
) -> None:
    path = tmp_path_factory.mktemp("books") / "x.db"
    storage = Storage.open(path, Meters())
    furthest: dict[int, Status] = {}
    for told, killed in parts:
        batch = [
            receipt(number, status) if source is Source.LOG else callback(number, status, NOW_UNIX - 50, source=source)
            for number, status, source in told
        ]
        storage.book("twilio").take(batch)
        storage.book("twilio").take(batch)  # everything comes twice
        for number, status, _ in sorted(told, key=lambda event: event[1].rank):
            if number not in furthest or status.rank > furthest[number].rank:
                furthest[number] = status
        if killed:
            storage = reopened_after_kill(storage, path)
    truth = Counter(step.value for status in furthest.values() for step in reached(None, status))
    assert statuses(storage) == dict(truth)
    storage.close()
    shutil.rmtree(path.parent)


def reopened_after_kill(storage: Storage, path: Path) -> Storage:
    """Return a storage on what a kill would leave; the old one has no chance to write anything more."""
    copy = path.parent / f"{path.name}.killed"
    for suffix in ("", "-wal", ".key"):
        if Path(f"{path}{suffix}").exists():
            shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
    storage.close()
    for suffix in ("", "-wal", "-shm", ".key"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
        if Path(f"{copy}{suffix}").exists():
            Path(f"{copy}{suffix}").rename(f"{path}{suffix}")
    return Storage.open(path, Meters())


def test_after_a_kill_the_detector_has_exactly_the_scores_that_it_had(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    storage = Storage.open(path, Meters())
    for hour in range(80):
        began = NOW_UNIX - 3600 * (80 - hour)
        blocked = hour > 76
        batch = [
            msgspec.structs.replace(
                receipt(hour * 100 + n, operator="O2"),
                created_at=began + 30 * n,
                at=began + 30 * n + 5,
                **(
                    {"status": Status.UNDELIVERED, "code": "30007", "reason": Reason.OPERATOR_BLOCKING}
                    if blocked
                    else {}
                ),
            )
            for n in range(100)
        ]
        storage.book("twilio").take(batch, known_until=began + 3600)
    before = storage.messages.evidence()["twilio"]
    assert [verdict.reason for verdict in before.verdicts] == [Reason.OPERATOR_BLOCKING]
    storage = reopened_after_kill(storage, path)
    assert storage.messages.evidence()["twilio"] == before
    storage.close()
    storage = Storage.open(path, Meters())  # from the state that was written down
    assert storage.messages.evidence()["twilio"] == before
    storage.close()


def test_hostile_traffic_leaves_the_number_of_series_bounded(tmp_path: Path) -> None:
    storage = Storage.in_memory(Meters())
    loaded = config_of_one_provider(tmp_path)
    registry = build_registry(TwofaCollector(lambda: loaded, storage, Meters()))
    countries = ["DE", "NG", "US", "FR", "IN"]
    sizes = []
    for flood in range(2):
        for start in range(0, 10_000, 1000):
            storage.book("twilio").take(
                [
                    receipt(
                        flood * 10_000 + n,
                        Status.UNDELIVERED,
                        country=countries[n % 5],
                        operator=f"operator {flood} {n}",
                        code=str(100_000 + n),
                        reason=Reason.DELIVERY_FAILING,
                    )
                    for n in range(start, start + 1000)
                ],
                known_until=NOW_UNIX + flood,
            )
        storage.messages.prune()
        generate_latest(registry)
        sizes.append(len([line for line in generate_latest(registry).splitlines() if not line.startswith(b"#")]))
    assert sizes[1] < 1.3 * sizes[0]
    routes = {route for route, _ in storage.snapshot().tallies["twilio"].messages}
    assert len(routes) <= MOST_OPERATORS + len(countries)
    assert sizes[1] < 40_000


def config_of_one_provider(tmp_path: Path) -> config.Config:
    path = tmp_path / "c.yaml"
    path.write_text(
        "providers: {twilio: {type: twilio, account_sid: AC00000000000000000000000000000000,"
        f" auth_token: {{file: {tmp_path}/token}}}}}}\n"
        "checks: {delivery: {type: delivery, target: twilio}}\n"
    )
    (tmp_path / "token").write_text("x" * 32)
    return config.load(path)


def test_places_for_operators_go_to_whoever_comes_first_and_stay_with_them() -> None:
    labels = OperatorLabels([], most=2)
    assert [labels.label("DE", name) for name in "abc"] == ["a", "b", OTHER_OPERATOR]
    again = OperatorLabels([Route("DE", "a"), Route("DE", "b"), Route("DE", OTHER_OPERATOR)], most=2)
    assert [again.label("DE", name) for name in "cba"] == [OTHER_OPERATOR, "b", "a"]


def test_the_unknown_operator_takes_no_place() -> None:
    labels = OperatorLabels([], most=1)
    assert [labels.label("DE", name) for name in ("unknown", "a", "other")] == ["unknown", "a", "other"]


@pytest.mark.parametrize(("messages", "label"), [(22, OTHER_OPERATOR), (23, "big")])
def test_a_place_is_lost_only_to_one_with_by_far_more_messages(messages: int, label: str) -> None:
    labels = OperatorLabels([], most=1)
    for name, count in (("small", 11), ("big", messages)):
        for _ in range(count):
            labels.label("DE", name)
    labels.rank()
    assert labels.label("DE", "big") == label


VERSION_1 = """
CREATE TABLE checks (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, target TEXT NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, measured TEXT NOT NULL,
    started_at REAL NOT NULL, finished_at REAL NOT NULL, duration_seconds REAL NOT NULL,
    reason_since REAL NOT NULL, last_success_at REAL,
    passes INTEGER NOT NULL, fails INTEGER NOT NULL, errors INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, finished_at REAL NOT NULL, duration_seconds REAL NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, passed INTEGER NOT NULL, value REAL
);
CREATE INDEX runs_by_check ON runs (name, passed, id);
CREATE TABLE balances (
    target TEXT NOT NULL, at REAL NOT NULL, currency TEXT NOT NULL, amount REAL NOT NULL, spent_total REAL,
    PRIMARY KEY (target, at)
) WITHOUT ROWID;
CREATE TABLE logs (target TEXT PRIMARY KEY, read_until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE messages (
    target TEXT NOT NULL, id_hash BLOB NOT NULL, created_at REAL NOT NULL, status TEXT NOT NULL,
    PRIMARY KEY (target, id_hash)
) WITHOUT ROWID;
CREATE INDEX messages_by_age ON messages (created_at);
CREATE TABLE message_counts (
    target TEXT NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, status TEXT NOT NULL,
    total INTEGER NOT NULL, PRIMARY KEY (target, country, operator, status)
) WITHOUT ROWID;
CREATE TABLE failure_counts (
    target TEXT NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL,
    total INTEGER NOT NULL, PRIMARY KEY (target, country, operator, reason)
) WITHOUT ROWID;
CREATE TABLE code_counts (
    target TEXT NOT NULL, code TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (target, code)
) WITHOUT ROWID;
CREATE TABLE latencies (
    target TEXT NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, bucket INTEGER NOT NULL,
    total INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (target, country, operator, bucket)
) WITHOUT ROWID;
"""


def test_a_migrated_database_is_like_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as db:
        db.executescript(f"{VERSION_1} PRAGMA user_version = 1;")
    db.close()
    Storage.open(path, Meters()).close()
    Storage.open(tmp_path / "new.db", Meters()).close()
    shapes = [shape_of(name) for name in (path, tmp_path / "new.db")]
    assert shapes[0] == shapes[1]


def shape_of(path: Path) -> object:
    with sqlite3.connect(path) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        columns = {
            table: sorted((name, kind, key) for _, name, kind, _, _, key in db.execute(f"PRAGMA table_info({table})"))
            for table in tables
        }
        indexes = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()
    db.close()
    return columns, indexes


def test_a_database_of_the_first_version_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    created_at = receipt(1).created_at
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1)
        db.execute("INSERT INTO message_counts VALUES ('twilio', 'DE', 'unknown', 'delivered', 5)")
        db.execute("INSERT INTO latencies VALUES ('twilio', 'DE', 'unknown', 3, 5, 20.0)")
        db.execute("INSERT INTO logs VALUES ('twilio', ?)", (created_at,))
        db.execute("PRAGMA user_version = 1")
    db.close()
    storage = Storage.open(path, Meters())
    assert storage.book("twilio").reading() == Reading(read_until=created_at)
    storage.book("twilio").take([receipt(1), receipt(2)])
    assert statuses(storage)["delivered"] == 7
    assert latencies(storage) == {"log": (7, 28.0)}
    storage.close()


def test_the_log_counts_as_read_when_nothing_new_was_in_it(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take((receipt(1),), reading=Reading(read_until=NOW_UNIX - 7200))
    assert storage.snapshot().tallies["twilio"].read_until is None  # the rest of it is on pages to come
    quiet = Reading(read_until=NOW_UNIX - 7200)
    book.take((), reading=quiet, known_until=NOW_UNIX - 5)
    assert storage.snapshot().tallies["twilio"].read_until == NOW_UNIX - 5
    book.take((), reading=quiet)
    assert storage.snapshot().tallies["twilio"].read_until == NOW_UNIX - 5


BOUNDS_OF_VERSION = {  # of the schema; what was counted around a bound that is new stays below the next higher one
    3: (
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        10,
        12,
        15,
        18,
        22,
        27,
        33,
        40,
        50,
        60,
        75,
        90,
        120,
        180,
        300,
        600,
        1800,
        3600,
        math.inf,
    ),
    4: (
        *(1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 30, 33, 40, 50, 60, 75, 90, 120, 180, 300, 600, 1800, 3600),
        math.inf,
    ),
}


@pytest.mark.parametrize("version", BOUNDS_OF_VERSION)
def test_delivery_times_stay_in_their_buckets_when_a_bound_is_added(version: int, tmp_path: Path) -> None:
    path, bounds = tmp_path / "x.db", BOUNDS_OF_VERSION[version]
    Storage.open(path, Meters()).close()
    with sqlite3.connect(path) as db:
        for bucket in range(len(bounds)):
            row = ("twilio", "DE", "unknown", "log", bucket, bucket + 1, 100.0)
            db.execute("INSERT INTO latencies VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    storage = Storage.open(path, Meters())
    (latency,) = storage.snapshot().tallies["twilio"].latency.values()
    shown = dict(zip((*LATENCY_BOUNDS, math.inf), latency.counts, strict=True))
    assert {bound: count for bound, count in shown.items() if count} == {
        bound: bucket + 1 for bucket, bound in enumerate(bounds)
    }
    assert latency.total_seconds == 100.0 * len(bounds)
    storage.close()


def attempt(number: int, *, created_at: float, typed: bool = True) -> Attempt:
    return Attempt(
        attempt_id=f"VL{number:032x}",
        created_at=created_at,
        converted_at=created_at + 20 if typed else None,
        has_arrived=True,
        recipient=receipt(number).recipient,
        country="DE",
        operator="O2",
    )


def test_the_detector_waits_for_the_typed_codes_and_not_for_long(storage: Storage) -> None:
    book, messages = storage.book("twilio"), storage.messages
    reading = Reading(read_until=NOW_UNIX)
    book.take([], reading=reading, known_until=NOW_UNIX)
    book.take_attempts([], now=NOW_UNIX, read_until=NOW_UNIX + 30)
    book.take([], reading=reading, known_until=NOW_UNIX + 60)
    assert messages.known_until("twilio") == NOW_UNIX + 30
    book.take([], reading=reading, known_until=NOW_UNIX + 400)  # the attempts are not read any more
    assert messages.known_until("twilio") == NOW_UNIX + 400


def test_typed_codes_are_told_when_all_of_a_reading_are_known(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take([receipt(1, minutes_ago=1)], reading=Reading(read_until=NOW_UNIX), known_until=NOW_UNIX - 50)
    page = [attempt(1, created_at=NOW_UNIX - 60)]
    book.take_attempts(page, now=NOW_UNIX)
    assert storage._db.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    book.take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX)
    assert storage._db.execute("SELECT count(*) FROM journal").fetchone() == (2,)
    assert storage.snapshot().tallies["twilio"].verifications == {("DE", "converted"): 1}


def test_verifications_survive_a_restart_and_count_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    for _ in range(2):
        storage = Storage.open(path, Meters())
        old = [attempt(n, created_at=NOW_UNIX - 900, typed=n % 2 == 0) for n in range(10)]
        storage.book("twilio").take_attempts(old, now=NOW_UNIX, read_until=NOW_UNIX)
        tally = storage.snapshot().tallies["twilio"]
        assert tally.verifications == {("DE", "converted"): 5, ("DE", "unconverted"): 5}
        assert storage.book("twilio").attempts_read_until() == NOW_UNIX
        storage.close()


def test_typed_codes_of_a_reading_that_a_kill_cut_off_are_told_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    storage = Storage.open(path, Meters())
    storage.book("twilio").take_attempts([attempt(1, created_at=NOW_UNIX - 60)], now=NOW_UNIX)
    storage = reopened_after_kill(storage, path)
    page = [attempt(1, created_at=NOW_UNIX - 60)]
    storage.book("twilio").take_attempts(page, now=NOW_UNIX)
    storage.book("twilio").take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX)
    (journalled,) = storage._db.execute("SELECT input FROM journal").fetchone()
    assert msgspec.msgpack.decode(journalled)[1]  # the confirmation
    storage.close()


def test_codes_are_counted_once_while_the_attempts_lag_behind_the_log(storage: Storage) -> None:
    book, lag = storage.book("twilio"), 5 * 86_400
    book.take([receipt(1)], reading=Reading(read_until=NOW_UNIX), known_until=NOW_UNIX)
    for _ in range(2):
        old = [attempt(1, created_at=NOW_UNIX - lag)]
        book.take_attempts(old, now=NOW_UNIX, read_until=NOW_UNIX - lag)
        storage.messages.prune()
    assert storage.snapshot().tallies["twilio"].verifications == {("DE", "converted"): 1}


def test_a_restart_knows_how_far_the_attempts_were_read(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    storage = Storage.open(path, Meters())
    storage.book("twilio").take_attempts((), now=NOW_UNIX, read_until=NOW_UNIX)
    storage.close()
    storage = Storage.open(path, Meters())
    book = storage.book("twilio")
    book.take([], reading=Reading(read_until=NOW_UNIX), known_until=NOW_UNIX + 60)
    assert storage.messages.known_until("twilio") == NOW_UNIX
    storage.close()


def test_a_replay_has_the_settings_of_the_detector(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    wanted = {"twilio": DetectorSettings.model_validate({"second_look": "10m", "session": "20m"})}
    storage = Storage.open(path, Meters())
    storage.messages.watch(wanted)
    for minute in range(0, 600, 10):
        at = NOW_UNIX + 60 * minute
        late = msgspec.structs.replace(receipt(minute), created_at=at, at=at + 400)
        storage.book("twilio").take([late], known_until=at + 600)
    before = storage.messages.evidence()["twilio"]
    storage = reopened_after_kill(storage, path)
    storage.messages.watch(wanted)
    assert storage.messages.evidence()["twilio"] == before
    storage.close()


def test_callbacks_move_the_time_on_when_the_log_is_not_read_any_more(storage: Storage) -> None:
    book = storage.book("twilio")
    book.take([], reading=Reading(read_until=NOW_UNIX), known_until=NOW_UNIX)
    book.take([callback(1, Status.DELIVERED, NOW_UNIX + 300)])
    assert storage.messages.known_until("twilio") == NOW_UNIX
    book.take([callback(2, Status.DELIVERED, NOW_UNIX + 1000)])
    assert storage.messages.known_until("twilio") == NOW_UNIX + 998
