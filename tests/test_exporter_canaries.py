"""The day's money and what came of test messages: through kills, restarts and clocks that are set."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.canary_desk import LastCanary, Legs, Limits, Refusal
from checks.errors import StorageUnavailableError
from checks.reason import Reason
from exporter.meters import Meters
from exporter.storage import Storage
from tests.fakes import NOW
from tests.postgresql_server import BOTH, open_leading
from tests.repo import ROOT

PHONE, OTHER_PHONE = "+4915112345678", "+2348031234567"
NOW_UNIX = NOW.timestamp()
DAY = 86_400.0
MANY = Limits(max_sends=9, max_cost=9.0, currency="USD")


@pytest.fixture(params=BOTH)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "sqlite":
        opened = Storage.open(tmp_path / "x.db", Meters())
    else:
        opened = open_leading(request.getfixturevalue("postgresql").new_database(), Meters())
    yield opened
    opened.close()


def reserve(
    storage: Storage, limits: Limits = MANY, *, cost: float = 0.1, now: float = NOW_UNIX, to: str = PHONE
) -> int | Refusal:
    return storage.canaries.desk("canary").reserve(to, cost, limits, now=now, busy_until=now + 600)


def settle(storage: Storage, number: int | Refusal, *, cost: float = 0.1, reason: Reason = Reason.OK) -> None:
    assert isinstance(number, int)
    legs = Legs(accepted=0.2, sent=1.0, delivered=4.0)
    storage.canaries.desk("canary").settle(number, cost=cost, reason=reason, detail="as told", legs=legs)


def test_a_limit_can_be_used_to_the_last_cent(storage: Storage) -> None:
    limits = Limits(max_sends=9, max_cost=0.3, currency="USD")
    for _ in range(3):
        settle(storage, reserve(storage, limits))
    assert reserve(storage, limits) is Refusal.COST


def test_the_real_price_takes_the_place_of_the_estimate(storage: Storage) -> None:
    limits = Limits(max_sends=9, max_cost=0.1, currency="USD")
    settle(storage, reserve(storage, limits), cost=0.04)
    assert reserve(storage, limits, cost=0.06) is not Refusal.COST
    assert reserve(storage, limits, cost=0.01, to=OTHER_PHONE) is Refusal.COST


def test_checks_have_a_limit_each(storage: Storage) -> None:
    one = Limits(max_sends=1, max_cost=9.0, currency="USD")
    settle(storage, reserve(storage, one))
    assert reserve(storage, one) is Refusal.SENDS
    other = storage.canaries.desk("other")
    assert isinstance(other.reserve(PHONE, 0.1, one, now=NOW_UNIX, busy_until=NOW_UNIX), int)


def test_a_new_day_has_new_money_and_a_clock_that_goes_back_has_not(storage: Storage) -> None:
    limits = Limits(max_sends=1, max_cost=9.0, currency="USD")
    settle(storage, reserve(storage, limits))
    assert reserve(storage, limits, now=NOW_UNIX - DAY) is Refusal.SENDS
    settle(storage, reserve(storage, limits, now=NOW_UNIX + DAY))
    assert reserve(storage, limits, now=NOW_UNIX) is Refusal.SENDS


def test_the_last_answer_is_that_of_a_message_that_has_come_to_its_end(storage: Storage) -> None:
    desk = storage.canaries.desk("canary")
    assert (desk.last(PHONE), desk.last_to(PHONE)) == (None, None)
    settle(storage, reserve(storage), reason=Reason.DELIVERY_SLOW)
    reserve(storage, now=NOW_UNIX + 60)
    assert desk.last(PHONE) == LastCanary(at=NOW_UNIX, reason=Reason.DELIVERY_SLOW, detail="as told")
    assert desk.last_to(PHONE) == NOW_UNIX + 60
    assert (desk.last(OTHER_PHONE), desk.last_to(OTHER_PHONE)) == (None, None)


def test_one_message_at_a_time_is_on_its_way_to_a_recipient(storage: Storage) -> None:
    number = reserve(storage)
    assert reserve(storage, now=NOW_UNIX + 599) is Refusal.IN_FLIGHT
    assert isinstance(reserve(storage, to=OTHER_PHONE), int)
    settle(storage, number)
    assert isinstance(reserve(storage, now=NOW_UNIX + 1), int)
    assert isinstance(reserve(storage, now=NOW_UNIX + 602), int)  # the one before has not come to an end in time


KILLED = """
import os, signal, sys
from pathlib import Path
from checks.canary_desk import Limits
from exporter.meters import Meters
from exporter.storage import Storage

desk = Storage.open(Path(sys.argv[1]), Meters()).canaries.desk("canary")
for number in range(int(sys.argv[2])):
    desk.reserve(f"+4915112345{number:03}", 0.1, Limits(max_sends=9, max_cost=9.0, currency="USD"),
                 now=float(sys.argv[3]), busy_until=float(sys.argv[3]) + 600)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_reserved_before_a_kill_is_spent(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    command = [sys.executable, "-c", KILLED, str(path), "3", str(NOW_UNIX)]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=30).returncode == -9
    storage = Storage.open(path, Meters())
    counts = storage.canaries.counts()["canary"]
    assert counts.runs == {}
    assert counts.spend == pytest.approx({"USD": 0.3})
    limits = Limits(max_sends=4, max_cost=9.0, currency="USD")
    settle(storage, reserve(storage, limits))
    assert reserve(storage, limits) is Refusal.SENDS
    assert reserve(storage, Limits(max_sends=9, max_cost=0.45, currency="USD")) is Refusal.COST
    storage.close()


def test_counts_never_go_back_and_survive_a_restart(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "x.db", Meters())
    number = reserve(storage)
    assert storage.canaries.counts() == {}  # it may still cost less
    settle(storage, number, cost=0.07)
    settle(storage, number, cost=5.0)  # it has come to its end once
    settle(storage, reserve(storage), cost=0.05, reason=Reason.OPERATOR_BLOCKING)
    before = storage.canaries.counts()
    counts = before["canary"]
    assert counts.runs == {Reason.OK: 1, Reason.OPERATOR_BLOCKING: 1}
    assert counts.spend == {"USD": pytest.approx(0.12)}
    assert {leg: sum(latency.counts) for leg, latency in counts.legs.items()} == dict.fromkeys(
        ("accepted", "sent", "delivered"), 2
    )
    seconds = {leg: latency.total_seconds for leg, latency in counts.legs.items()}
    assert seconds == pytest.approx({"accepted": 0.4, "sent": 2.0, "delivered": 8.0})
    storage.close()
    storage = Storage.open(tmp_path / "x.db", Meters())
    assert storage.canaries.counts() == before
    storage.close()


def test_what_cannot_be_written_down_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "x.db", Meters())
    other = sqlite3.connect(tmp_path / "x.db")
    other.execute("DROP TABLE canaries")
    other.commit()
    other.close()
    with pytest.raises(StorageUnavailableError):
        reserve(storage)
    storage.close()


def test_no_number_is_written_to_disk(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "x.db", Meters())
    settle(storage, reserve(storage))
    storage.close()
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert PHONE[1:].encode() not in written
    assert b"as told" in written


def test_references_that_are_awaited_are_few(storage: Storage) -> None:
    desk = storage.canaries.desk("canary")
    for number in range(150):
        desk.expect(f"{number:08x}")
    assert not storage.canaries.received("canary", f"{1:08x}")
    assert not storage.canaries.received("other", f"{149:08x}")
    assert storage.canaries.received("canary", f"{149:08x}")
    first = desk.received_after(f"{149:08x}")
    assert first is not None
    storage.canaries.received("canary", f"{149:08x}")
    assert desk.received_after(f"{149:08x}") == first
