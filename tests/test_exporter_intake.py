"""The intake: who is answered knows that the receipt is on disk, and many share one commit."""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from checks.messages import Receipt, Source, Status
from exporter.intake import Intake, OverloadedError
from exporter.meters import Meters
from exporter.storage import Storage


def receipt(number: int) -> Receipt:
    return Receipt(
        message_id=f"SM{number:032x}",
        status=Status.DELIVERED,
        at=1_774_000_000.0 + number,
        country="DE",
        recipient="+4915112345678",
        source=Source.CALLBACK,
    )


@dataclass
class Kept:
    """An intake that runs, and what another connection sees in its database."""

    intake: Intake
    storage: Storage
    path: Path

    def count(self, table: str) -> int:
        """Return the rows of a table that are committed."""
        with sqlite3.connect(self.path) as other:
            (rows,) = other.execute(f"SELECT count(*) FROM {table}").fetchone()
        other.close()
        return int(rows)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    storage = Storage.open(tmp_path / "x.db", Meters())
    intake = Intake(storage.messages)
    intake.start()
    yield Kept(intake, storage, tmp_path / "x.db")
    intake.stop()
    storage.close()


def keep_while_writes_wait(
    kept: Kept, posts: Sequence[Sequence[Receipt]], *, gone: int | None = None
) -> list[bool | BaseException]:
    """Hand in posts while the commit of one more is held up; return what came of each. One sender may be ``gone``."""

    async def hand_in() -> list[bool | BaseException]:
        with kept.storage._database.lock:
            first = asyncio.create_task(kept.intake.keep("twilio", [receipt(0)]))
            await asyncio.sleep(0)
            while kept.intake._waiting:  # noqa: ASYNC110  # the thread has not taken it yet
                await asyncio.sleep(0.001)
            tasks = [asyncio.create_task(kept.intake.keep("twilio", post)) for post in posts]
            await asyncio.sleep(0)
            if gone is not None:
                tasks[gone].cancel()
        assert await first
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(hand_in())


def test_a_receipt_is_committed_before_its_sender_is_answered(kept: Kept) -> None:
    for number in range(5):
        assert asyncio.run(kept.intake.keep("twilio", [receipt(number)]))
        assert kept.count("messages") == number + 1


def test_what_arrives_during_a_commit_shares_the_next_one(kept: Kept) -> None:
    assert keep_while_writes_wait(kept, [[receipt(n)] for n in range(1, 501)]) == [True] * 500
    assert kept.count("messages") == 501
    assert kept.count("journal") == 2  # each commit of receipts writes one row here


def test_more_than_can_wait_is_turned_away_at_once_and_the_rest_is_kept(kept: Kept) -> None:
    posts = [[receipt(1 + 1000 * post + n) for n in range(1000)] for post in range(11)]
    *kept_ones, last = keep_while_writes_wait(kept, posts)
    assert kept_ones == [True] * 10
    assert isinstance(last, OverloadedError)
    assert kept.count("messages") == 10_001


def test_a_sender_that_has_gone_keeps_nobody_from_an_answer(kept: Kept) -> None:
    before, gone, after = keep_while_writes_wait(kept, [[receipt(n)] for n in (1, 2, 3)], gone=1)
    assert (before, after) == (True, True)
    assert isinstance(gone, asyncio.CancelledError)


def test_what_one_post_holds_is_not_the_end_of_the_others(kept: Kept) -> None:
    poison = msgspec.structs.replace(receipt(2), status="no status at all")
    assert keep_while_writes_wait(kept, [[receipt(1)], [poison], [receipt(3)]]) == [True, False, True]
    assert kept.count("messages") == 3


def test_every_target_has_its_own_book(kept: Kept) -> None:
    async def send() -> list[bool]:
        return await asyncio.gather(*(kept.intake.keep(name, [receipt(1)]) for name in ("one", "two")))

    assert asyncio.run(send()) == [True, True]
    assert kept.count("messages") == 2


def test_what_cannot_be_written_is_told_as_such_and_taken_later(kept: Kept) -> None:
    writer = kept.storage._db
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as it does on a full disk
    assert not asyncio.run(kept.intake.keep("twilio", [receipt(n) for n in range(5000)]))
    assert kept.count("messages") == 0
    writer.execute("PRAGMA max_page_count = 1000000")
    assert asyncio.run(kept.intake.keep("twilio", [receipt(1)]))
    assert kept.count("messages") == 1


def test_the_end_writes_what_waits_and_takes_nothing_more(tmp_path: Path) -> None:
    storage = Storage.open(tmp_path / "x.db", Meters())
    intake = Intake(storage.messages)

    async def send_and_stop() -> list[bool]:
        tasks = [asyncio.create_task(intake.keep("twilio", [receipt(n)])) for n in range(100)]
        await asyncio.sleep(0)
        intake.start()
        intake.stop()
        with pytest.raises(OverloadedError):
            await intake.keep("twilio", [receipt(100)])
        return await asyncio.gather(*tasks)

    assert asyncio.run(send_and_stop()) == [True] * 100
    storage.close()
