"""Who leads: one at a time, the next one when the first is gone, and nothing is written by one that was."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from checks.canary_desk import Limits, Refusal
from checks.errors import StorageUnavailableError
from checks.messages.book import Reading
from exporter.database import ServerError, StorageError
from exporter.intake import Intake
from exporter.lease import Lease
from exporter.meters import Meters
from exporter.shard import Shard
from exporter.storage import Storage
from tests.fakes import NOW, receipt, run
from tests.postgresql_server import GROUP, Server, Shared
from tests.processes import wait_for

pytestmark = GROUP

LIMITS = Limits(max_sends=1, max_cost=1.0, currency="USD")


@pytest.fixture
def shared(postgresql: Server) -> Shared:
    return postgresql.new_database()


@pytest.fixture
def opened(shared: Shared) -> Iterator[Callable[..., Storage]]:
    """Open the database as one more exporter."""
    with ExitStack() as stack:

        def open_one(lease: float = 30.0) -> Storage:
            storage = Storage.open_shared(shared.settings(lease=lease), Shard(), Meters())
            stack.callback(storage.close)
            return storage

        yield open_one


def lease_of(storage: Storage) -> Lease:
    assert storage.lease is not None
    return storage.lease


def lead(storage: Storage) -> None:
    assert lease_of(storage).take()
    storage.load()


def let_it_run_out(shared: Shared) -> None:
    shared.query("UPDATE twofa.lease SET expires_at = clock_timestamp()")


def take(storage: Storage, *numbers: int) -> None:
    storage.book("twilio").take([receipt(n) for n in numbers], reading=Reading(read_until=NOW.timestamp()))


def delivered(storage: Storage) -> int:
    tally = storage.snapshot().tallies.get("twilio")
    return 0 if tally is None else sum(n for (_, status), n in tally.messages.items() if status == "delivered")


def test_one_leads_and_the_next_one_goes_on_from_where_it_was(opened: Callable[[], Storage], shared: Shared) -> None:
    first, second = opened(), opened()
    lead(first)
    take(first, 1, 2)
    first.record(run())
    assert not lease_of(second).take()
    let_it_run_out(shared)
    lead(second)
    take(second, 2, 3)
    assert delivered(second) == 3
    assert second.checks()["balance"] == first.checks()["balance"]
    assert [row[0] for row in shared.query("SELECT epoch FROM twofa.lease")] == [2]


def test_one_that_stands_by_writes_nothing(opened: Callable[[], Storage], shared: Shared) -> None:
    first, second = opened(), opened()
    lead(first)
    second.record(run())
    with pytest.raises(StorageUnavailableError, match="this exporter does not lead"):
        take(second, 1)
    assert second._database.meters.read().storage_errors == 0  # nothing is wrong with the database
    assert shared.query("SELECT (SELECT count(*) FROM twofa.checks), (SELECT count(*) FROM twofa.messages)") == [(0, 0)]


def test_one_that_led_and_does_not_know_yet_that_it_no_longer_does_writes_nothing(
    opened: Callable[[], Storage], shared: Shared
) -> None:
    first, second = opened(), opened()
    lead(first)
    take(first, 1)
    let_it_run_out(shared)
    lead(second)
    with pytest.raises(StorageUnavailableError, match="another exporter leads now"):
        take(first, 2)
    assert lease_of(first).epoch is None  # and so it learns of it
    first.record(run())
    desk = first.canaries.desk("canary")
    with pytest.raises(StorageUnavailableError):
        desk.reserve("+4915112345678", 0.1, LIMITS, now=1000.0, busy_until=1600.0)
    counts = "SELECT (SELECT count(*) FROM twofa.%s), (SELECT count(*) FROM twofa.%s), (SELECT count(*) FROM twofa.%s)"
    assert shared.query(counts.replace("%s", "{}").format("messages", "checks", "canaries")) == [(1, 0, 0)]


def test_a_canary_that_was_reserved_is_not_sent_by_the_next_one(opened: Callable[[], Storage], shared: Shared) -> None:
    first, second = opened(), opened()
    lead(first)
    to_send = {"now": 1000.0, "busy_until": 1600.0}
    assert isinstance(first.canaries.desk("canary").reserve("+491511", 0.1, LIMITS, **to_send), int)
    let_it_run_out(shared)
    lead(second)
    again = second.canaries.desk("canary").reserve("+491511", 0.1, LIMITS, **to_send)
    assert again is Refusal.IN_FLIGHT


def test_the_next_one_waits_for_what_is_being_written(opened: Callable[[], Storage], shared: Shared) -> None:
    first, second = opened(), opened()
    lead(first)
    let_it_run_out(shared)
    taken = threading.Thread(target=lambda: lead(second))
    with first._database.lock, first._database.transaction() as db:
        db.execute("INSERT INTO notes VALUES (?, ?)", ("a", "written"))
        taken.start()
        time.sleep(0.3)
        assert lease_of(second).epoch is None
    taken.join()
    assert second.notebook("a").read() == "written"


def test_a_long_transaction_does_not_keep_the_lease_from_being_renewed(
    opened: Callable[[], Storage], shared: Shared
) -> None:
    first = opened()
    lead(first)
    expires = "SELECT expires_at FROM twofa.lease"
    before = shared.query(expires)
    with first._database.lock, first._database.transaction():
        lease_of(first)._renew()
    assert lease_of(first).epoch == 1
    assert shared.query(expires) > before


def test_a_transaction_that_could_not_begin_is_no_obstacle_to_the_next(
    opened: Callable[[], Storage], shared: Shared
) -> None:
    storage = opened()
    lead(storage)
    refusals: list[Exception] = []

    def try_to_take() -> None:
        try:
            take(storage, 1)
        except StorageUnavailableError as refusal:
            refusals.append(refusal)

    waiting = threading.Thread(target=try_to_take)
    with shared.server.connect(shared.name) as other, other.transaction():
        other.execute("SELECT 1 FROM twofa.lease FOR UPDATE")
        waiting.start()
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for(lambda: shared.query(cancel))
        waiting.join()
    assert len(refusals) == 1
    take(storage, 1)
    assert delivered(storage) == 1


def _leads(storage: Storage) -> bool:
    try:
        take(storage)
    except StorageUnavailableError:
        return False
    return True


def test_a_transaction_that_falls_silent_does_not_keep_the_next_one_waiting(
    opened: Callable[..., Storage], shared: Shared
) -> None:
    first, second = opened(lease=2.0), opened(lease=2.0)
    lead(first)
    first._database.writer.begin()
    let_it_run_out(shared)
    began = time.monotonic()
    wait_for(lambda: _taken(second), seconds=10)
    assert time.monotonic() - began < 4
    with pytest.raises(ServerError):
        first._database.writer.commit()


def _taken(storage: Storage) -> bool:
    try:
        return lease_of(storage).take()
    except ServerError:  # it waits no longer than a third of a lease
        return False


def test_what_may_or_may_not_have_been_kept_is_loaded_anew(opened: Callable[[], Storage]) -> None:
    storage = opened()
    lead(storage)
    take(storage, 1)
    writer = storage._database.writer

    def commit_and_break() -> None:
        connection = writer._open  # type: ignore[attr-defined]
        connection.execute("COMMIT")
        connection.close()  # before the answer is seen
        type(writer).commit(writer)

    writer.commit = commit_and_break  # type: ignore[method-assign]
    with pytest.raises(StorageUnavailableError):
        take(storage, 2)
    del writer.commit
    assert delivered(storage) == 1
    with pytest.raises(StorageUnavailableError):
        take(storage, 3)  # not before it is known what there is
    lead(storage)  # at once
    take(storage, 2, 3)
    assert delivered(storage) == 3


def test_who_stops_lets_the_next_one_lead_at_once(opened: Callable[[], Storage]) -> None:
    first, second = opened(), opened()
    leading = threading.Event()
    lease_of(first).start(first.load, lambda: None)
    wait_for(lambda: _leads(first))
    lease_of(second).start(leading.set, lambda: None)
    assert not leading.wait(1.5)
    first.close()
    assert leading.wait(5)


def test_a_restart_of_the_server_costs_nothing(postgresql: Server, opened: Callable[..., Storage]) -> None:
    storage = opened(lease=30.0)
    lost = threading.Event()
    lease_of(storage).start(storage.load, lost.set)
    wait_for(lambda: _leads(storage))
    postgresql.stop(how=signal.SIGQUIT)
    postgresql.start()
    take(storage, 1)  # nobody has used the connection since
    postgresql.stop(how=signal.SIGQUIT)
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        take(storage, 2)
    postgresql.start()
    take(storage, 1, 2)
    assert delivered(storage) == 2
    assert not lost.is_set()


def test_who_cannot_reach_the_server_for_the_time_of_a_lease_stands_by_and_comes_back(
    postgresql: Server, opened: Callable[..., Storage]
) -> None:
    storage = opened(lease=2.0)
    lost = threading.Event()

    def stand_by() -> None:
        storage.forget()
        lost.set()

    lease_of(storage).start(storage.load, stand_by)
    wait_for(lambda: _leads(storage))
    take(storage, 1)
    postgresql.stop()
    assert lost.wait(10)
    assert delivered(storage) == 0
    postgresql.start()
    wait_for(lambda: _leads(storage))
    assert delivered(storage) == 1


def test_who_cannot_load_leaves_the_lease_to_others(opened: Callable[..., Storage], shared: Shared) -> None:
    first, second = opened(lease=3.0), opened(lease=3.0)

    def refuse() -> None:
        raise StorageError("holds what this version does not know")

    lease_of(first).start(refuse, lambda: None)
    wait_for(lambda: shared.query("SELECT holder, epoch FROM twofa.lease") == [("", 1)])
    time.sleep(1.5)  # it would have looked again
    assert shared.query("SELECT epoch FROM twofa.lease") == [(1,)]
    lease_of(second).start(second.load, lambda: None)
    wait_for(lambda: _leads(second))


def test_callbacks_through_crashes_of_the_server_are_all_there_and_counted_once(
    postgresql: Server, opened: Callable[..., Storage], shared: Shared
) -> None:
    storage = opened(lease=5.0)
    lease_of(storage).start(storage.load, storage.forget)
    wait_for(lambda: _leads(storage))
    total, crashes = 600, 2
    acknowledged: set[int] = set()
    refused = 0

    async def post(intake: Intake, numbers: Iterator[int]) -> None:
        nonlocal refused
        for number in numbers:
            while not await intake.keep("twilio", [receipt(number)]):
                refused += 1
                await asyncio.sleep(0.05)
            acknowledged.add(number)

    async def flood() -> None:
        intake = Intake(storage.messages)
        intake.start()
        numbers = iter(range(total))
        posts = [asyncio.create_task(post(intake, numbers)) for _ in range(8)]
        for crash in range(crashes):
            enough = total * (crash + 1) // (crashes + 1)
            await asyncio.to_thread(wait_for, lambda enough=enough: len(acknowledged) >= enough)
            await asyncio.to_thread(postgresql.stop, how=signal.SIGQUIT)
            await asyncio.to_thread(postgresql.start)
        await asyncio.gather(*posts)
        intake.stop()

    asyncio.run(flood())
    assert refused >= crashes
    assert len(acknowledged) == total
    assert shared.query("SELECT count(*) FROM twofa.messages") == [(total,)]
    assert delivered(storage) == total
