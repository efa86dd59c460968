"""Backfill: days of log become warm baselines and blocks that the real promtool makes and reads."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from checks.clients import LogPage
from checks.errors import UnreachableError
from checks.messages import Receipt, Status
from checks.messages.book import Reading
from checks.reason import Reason
from exporter.backfill import BackfillReport, backfill
from exporter.meters import Meters
from exporter.openmetrics import LabelError, parse_labels
from exporter.storage import Storage
from tests.fakes import receipt
from tests.repo import require_program

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
FIRST_DAY = datetime(2026, 3, 8, tzinfo=UTC).timestamp()
HOUR = 3600.0


def logged(number: int, at: float, status: Status = Status.DELIVERED) -> Receipt:
    return msgspec.structs.replace(
        receipt(
            number,
            status,
            operator="O2",
            reason=Reason.OPERATOR_BLOCKING if status is Status.UNDELIVERED else None,
        ),
        created_at=at,
        at=at + 5,
    )


@dataclass
class DayLog:
    """A log of pages of two messages; fails when told to."""

    receipts: Sequence[Receipt]
    pages_before_failure: int = 1000
    asked: list[tuple[float, str | None]] = field(default_factory=list)

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        if len(self.asked) >= self.pages_before_failure:
            raise UnreachableError("no route")
        self.asked.append((since, resume))
        assert until is not None
        of_day = sorted(
            (one for one in self.receipts if one.created_at is not None and since <= one.created_at < until),
            key=lambda one: -(one.created_at or 0),
        )
        start = int(resume or 0)
        page = of_day[start : start + 2]
        more = start + 2 < len(of_day)
        return LogPage(
            receipts=page,
            resume=str(start + 2) if more else None,
            reached=page[-1].created_at if page else None,
        )


def parts_of(folder: Path) -> Path:
    (parts,) = folder.glob("out.om.twilio-*.parts")
    return parts


MESSAGES = [
    *(logged(n, FIRST_DAY + n * HOUR) for n in range(6)),
    *(logged(100 + n, FIRST_DAY + 30 * HOUR + n, Status.UNDELIVERED) for n in range(4)),
]


@pytest.fixture
def storage() -> Storage:
    return Storage.in_memory(Meters())


def run(client: DayLog, storage: Storage, output: Path) -> BackfillReport:
    return backfill(
        client,
        storage.messages,
        "twilio",
        days=2,
        now=NOW,
        output=output,
        step_seconds=3600,
        labels=(("job", "twofa"),),
    )


def test_promtool_makes_blocks_of_the_file_and_finds_the_counts_in_them(storage: Storage, tmp_path: Path) -> None:
    promtool = require_program("promtool")
    output = tmp_path / "out.om"
    assert run(DayLog(MESSAGES), storage, output) == BackfillReport(messages=10, days=2, warmed=True)
    blocks = tmp_path / "blocks"
    subprocess.run([promtool, "tsdb", "create-blocks-from", "openmetrics", output, blocks], check=True, timeout=60)
    (blocks / "wal").mkdir()  # Prometheus makes one; promtool wants to see it
    dump = subprocess.run(
        [promtool, "tsdb", "dump", blocks], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    last = {}
    for line in dump.splitlines():
        of_line, value, _ = line.rsplit(" ", 2)
        last[of_line] = float(value)

    def series(name: str, **labels: str) -> str:
        of_series = {"__name__": name, "country": "DE", "job": "twofa", "operator": "O2", "target": "twilio", **labels}
        return "{" + ", ".join(f'{label}="{of_series[label]}"' for label in sorted(of_series)) + "}"

    assert last[series("twofa_messages_total", status="delivered")] == 6
    assert last[series("twofa_messages_total", status="accepted")] == 10
    assert last[series("twofa_message_failures_total", reason="operator_blocking")] == 4
    assert last[series("twofa_message_delivery_seconds_bucket", source="log", le="5.0")] == 6
    assert last[series("twofa_message_delivery_seconds_sum", source="log")] == 24


def test_an_interrupted_backfill_goes_on_where_it_was(storage: Storage, tmp_path: Path) -> None:
    output = tmp_path / "out.om"
    broken = DayLog(MESSAGES, pages_before_failure=3)
    with pytest.raises(UnreachableError):
        run(broken, storage, output)
    assert not output.exists()
    whole = DayLog(MESSAGES)
    assert run(whole, storage, output).messages == 10
    assert not set(whole.asked) & set(broken.asked[:2])  # what was kept is not read again
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.om"]


def test_a_line_cut_off_by_a_kill_is_read_again(storage: Storage, tmp_path: Path) -> None:
    output = tmp_path / "out.om"
    with pytest.raises(UnreachableError):
        run(DayLog(MESSAGES, pages_before_failure=3), storage, output)
    parts = sorted(parts_of(tmp_path).iterdir())
    parts[0].write_bytes(parts[0].read_bytes()[:-20])
    assert run(DayLog(MESSAGES), storage, output).messages == 10


def test_what_is_spooled_holds_neither_ids_nor_numbers(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        run(DayLog(MESSAGES, pages_before_failure=3), storage, tmp_path / "out.om")
    spooled = b"".join(path.read_bytes() for path in parts_of(tmp_path).iterdir())
    assert b"delivered" in spooled
    assert not any(one.message_id.encode() in spooled or one.recipient.encode() in spooled for one in MESSAGES)


def test_the_detector_learns_the_past_and_the_counters_do_not(storage: Storage, tmp_path: Path) -> None:
    run(DayLog(MESSAGES), storage, tmp_path / "out.om")
    assert storage.messages.warm_until("twilio") == FIRST_DAY + 48 * HOUR
    assert not storage.snapshot().tallies["twilio"].messages


def test_a_target_whose_log_is_being_read_keeps_its_own_baselines(storage: Storage, tmp_path: Path) -> None:
    storage.book("twilio").take([], reading=Reading(read_until=(NOW - timedelta(minutes=1)).timestamp()))
    assert run(DayLog(MESSAGES), storage, tmp_path / "out.om").warmed is False


def test_labels_are_parsed_or_refused() -> None:
    assert parse_labels(["job=twofa", "instance=a=b"]) == (("job", "twofa"), ("instance", "a=b"))
    for wrong in ("job", "1=x", "status=x"):
        with pytest.raises(LabelError, match="must be name=value"):
            parse_labels([wrong])
