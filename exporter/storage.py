"""The database: last results, the history of runs, and every message counted once.

SQLite in WAL mode. One transaction holds a run and all that it counted, so that a kill at any moment
leaves either all of it or nothing. No phone number, text or name is written; a message is known by a
keyed hash of its id, and the key lives in another file.
"""

import logging
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from pydantic import TypeAdapter

from checks.balance import HISTORY as BALANCE_HISTORY
from checks.past import BalanceReading, Past
from checks.reason import Outcome, Reason
from checks.result import Balance, CheckResult, CheckRun, MessageLog, ServiceComponent, Spend

from . import ledger
from .database import Database, StorageError, words_of
from .meters import Meters
from .snapshot import CheckState, Snapshot, Tally

_log: Final = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
_KEPT_RUNS: Final = 100  # of each check; as many failed ones are kept beside them
_PRUNE_EVERY: Final = 50  # recorded runs

_SCHEMA: Final = """
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
"""

# A text that SQLite cannot store is a defect of ours elsewhere, but no reason to lose the result.
_WRITE_ERRORS: Final = (sqlite3.Error, UnicodeEncodeError, OverflowError)

_NONE_YET: Final[Mapping[Outcome, int]] = MappingProxyType(dict.fromkeys(Outcome, 0))

_Stored = Balance | Spend | ServiceComponent
_MEASURED: Final[TypeAdapter[tuple[_Stored, ...]]] = TypeAdapter(tuple[_Stored, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One row of the history."""

    finished_at: datetime  # aware, UTC
    duration_seconds: float
    reason: Reason
    detail: str


class Storage:
    """Results in memory, backed by the database. Any thread may call any method."""

    def __init__(self, database: Database, meters: Meters) -> None:
        self._database = database
        self._db = database.writer
        self._meters = meters
        self._lock = threading.Lock()  # of the snapshot and of the connection that writes
        self._reading = self._lock if database.reader is database.writer else threading.Lock()
        self._usable = True
        self._recorded = 0
        self._wanted: Mapping[str, tuple[str, str]] | None = None
        self._snapshot = self._load()

    @classmethod
    def in_memory(cls, meters: Meters) -> Self:
        """Return a storage that forgets everything with the process."""
        return cls(Database.in_memory(_SCHEMA + ledger.SCHEMA), meters)

    @classmethod
    def open(cls, path: Path, meters: Meters) -> Self:
        """Open or make the database at ``path``.

        Raises StorageError when it cannot be used.
        """
        database = Database.open(path, _SCHEMA + ledger.SCHEMA, SCHEMA_VERSION)
        try:
            return cls(database, meters)
        except sqlite3.Error as problem:
            refusal = StorageError(f"{path}: cannot be used: {words_of(problem)}")
        except ValueError:  # a word or a shape of another version
            refusal = StorageError(
                f"{path}: holds what this version does not know; run the version that wrote it, or give another"
                " --storage.path"
            )
        database.close()
        raise refusal

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        return self._snapshot

    def close(self) -> None:
        """Write everything back and let another process use the database."""
        with self._lock, self._reading if self._reading is not self._lock else nullcontext():
            self._database.close()

    def record(self, run: CheckRun) -> None:
        """Keep a run and count what it read, once. A run of a check that is no longer wanted is dropped.

        When the database cannot be written the result is known in memory alone, nothing of it is counted,
        its messages are left to be read again, and the failure is counted and logged.
        """
        with self._lock:
            if self._wanted is not None and self._wanted.get(run.check) != (run.kind, run.target):
                return
            before = self._snapshot
            known = before.checks.get(run.check)
            state = _next_state(known, run)
            log = next((part for part in run.result.measured if isinstance(part, MessageLog)), None)
            change: ledger.Change | None = None
            try:
                with self._database.transaction():
                    change = None if log is None else self._count(run.target, log)
                    self._write(run, state)
            except _WRITE_ERRORS as problem:
                self._failed(problem)
                change = None
                state = replace(state, outcomes=_NONE_YET if known is None else known.outcomes)
            else:
                self._succeeded()
            tallies = before.tallies
            if change is not None:
                tally = change.added_to(tallies.get(run.target, Tally()))
                tallies = MappingProxyType({**tallies, run.target: tally})
                if change.unmapped:
                    self._meters.codes_unmapped(run.target, change.unmapped)
            checks = MappingProxyType({**before.checks, run.check: state})
            self._snapshot = Snapshot(checks=checks, tallies=tallies)

    def past(self, target: str, now: datetime) -> Past:
        """Return what checks of ``target`` may know of earlier runs: nothing, when the database cannot be read."""
        try:
            return self._past(target, now)
        except sqlite3.Error as problem:
            self._failed(problem)
            return Past(now=now)

    def _past(self, target: str, now: datetime) -> Past:
        with self._lock:
            readings = self._db.execute(
                "SELECT at, amount, spent_total, currency FROM balances"
                " WHERE target = ? AND at >= ? AND at < ? ORDER BY at",
                (target, (now - BALANCE_HISTORY).timestamp(), now.timestamp()),
            ).fetchall()
            log = self._db.execute("SELECT read_until FROM logs WHERE target = ?", (target,)).fetchone()
        return Past(
            now=now,
            balances=tuple(
                BalanceReading(at=_moment(at), amount=amount, currency=currency, spent_total=spent_total)
                for at, amount, spent_total, currency in readings
            ),
            log_read_until=None if log is None else _moment(log[0]),
        )

    def recent_runs(self, check: str, *, passed: bool | None = None, limit: int = 10) -> Sequence[PastRun]:
        """Return the latest runs of a check, newest first; failed ones outlast the others."""
        wanted = (0, 1) if passed is None else (int(passed),)
        with self._reading:
            rows = self._database.reader.execute(
                "SELECT finished_at, duration_seconds, reason, detail FROM runs"
                " WHERE name = ? AND passed IN (?, ?) ORDER BY id DESC LIMIT ?",
                (check, wanted[0], wanted[-1], limit),
            ).fetchall()
        return [
            PastRun(finished_at=_moment(at), duration_seconds=took, reason=Reason(reason), detail=detail)
            for at, took, reason, detail in rows
        ]

    def recent_values(self, check: str, *, limit: int = 100) -> Sequence[float]:
        """Return what a check lately measured, oldest first: a balance, a delivery time or its own duration."""
        with self._reading:
            rows = self._database.reader.execute(
                "SELECT value FROM runs WHERE name = ? AND value IS NOT NULL ORDER BY id DESC LIMIT ?",
                (check, limit),
            ).fetchall()
        return [value for (value,) in reversed(rows)]

    def keep_only(self, checks: Mapping[str, tuple[str, str]]) -> None:
        """Forget the results of checks that are not among ``checks``, given as name -> (kind, target).

        Runs of others that are still under way are dropped when they end. Counts of messages stay: a target
        that comes back goes on from where it was.
        """
        with self._lock:
            self._wanted = dict(checks)
            snapshot = self._snapshot
            gone = [
                name
                for name, state in snapshot.checks.items()
                if checks.get(name) != (state.last.kind, state.last.target)
            ]
            if not gone:
                return
            try:
                with self._database.transaction():
                    for name in gone:
                        self._db.execute("DELETE FROM checks WHERE name = ?", (name,))
                        self._db.execute("DELETE FROM runs WHERE name = ?", (name,))
            except sqlite3.Error as problem:
                self._failed(problem)
            kept = {name: state for name, state in snapshot.checks.items() if name not in gone}
            self._snapshot = Snapshot(checks=MappingProxyType(kept), tallies=snapshot.tallies)

    def _write(self, run: CheckRun, state: CheckState) -> None:
        result = run.result
        stored = tuple(part for part in result.measured if isinstance(part, _Stored))
        finished_at = run.finished_at.timestamp()
        self._db.execute(
            "INSERT OR REPLACE INTO checks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run.check,
                run.kind,
                run.target,
                result.reason.value,
                result.detail,
                _MEASURED.dump_json(stored).decode(),
                run.started_at.timestamp(),
                finished_at,
                run.duration_seconds,
                state.reason_since.timestamp(),
                None if state.last_success_at is None else state.last_success_at.timestamp(),
                *(state.outcomes[outcome] for outcome in Outcome),
            ),
        )
        passed = result.outcome is Outcome.PASS
        self._db.execute(
            "INSERT INTO runs (name, finished_at, duration_seconds, reason, detail, passed, value)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                run.check,
                finished_at,
                run.duration_seconds,
                result.reason.value,
                result.detail,
                passed,
                _value(run),
            ),
        )
        self._write_balance(run, finished_at)
        self._recorded += 1
        if self._recorded % _PRUNE_EVERY == 0:
            self._prune(finished_at)

    def _write_balance(self, run: CheckRun, finished_at: float) -> None:
        spent = next((part.total for part in run.result.measured if isinstance(part, Spend)), None)
        for part in run.result.measured:
            if isinstance(part, Balance):
                # readings from a clock that was ahead would be mixed in when time catches up with them
                self._db.execute("DELETE FROM balances WHERE target = ? AND at > ?", (run.target, finished_at))
                self._db.execute(
                    "INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?, ?)",
                    (run.target, finished_at, part.currency, part.amount, spent),
                )

    def _count(self, target: str, log: MessageLog) -> ledger.Change:
        change = ledger.count(self._db, self._database.key, target, log)
        self._db.execute("INSERT OR REPLACE INTO logs VALUES (?, ?)", (target, log.read_until.timestamp()))
        return change

    def _prune(self, now: float) -> None:
        for (name,) in self._db.execute("SELECT name FROM checks").fetchall():
            for passed in (0, 1):
                self._db.execute(
                    "DELETE FROM runs WHERE name = ? AND passed = ? AND id <= (SELECT id FROM runs"
                    " WHERE name = ? AND passed = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                    (name, passed, name, passed, _KEPT_RUNS),
                )
        self._db.execute("DELETE FROM balances WHERE at < ?", (now - BALANCE_HISTORY.total_seconds() - 86400,))
        ledger.prune(self._db)

    def _failed(self, problem: Exception) -> None:
        self._meters.storage_error()
        if self._usable:
            self._usable = False
            _log.error("database not usable: results are kept in memory only", extra={"problem": words_of(problem)})

    def _succeeded(self) -> None:
        if not self._usable:
            self._usable = True
            _log.info("database usable again")

    def _load(self) -> Snapshot:
        checks = {state.last.check: state for state in map(_state, self._db.execute("SELECT * FROM checks"))}
        return Snapshot(checks=MappingProxyType(checks), tallies=MappingProxyType(ledger.load(self._db)))


def _next_state(before: CheckState | None, run: CheckRun) -> CheckState:
    outcome = run.result.outcome
    outcomes = dict(_NONE_YET if before is None else before.outcomes)
    outcomes[outcome] += 1
    last_success_at = None if before is None else before.last_success_at
    unchanged = before is not None and before.last.result.reason is run.result.reason
    return CheckState(
        last=run,
        reason_since=before.reason_since if before is not None and unchanged else run.finished_at,
        last_success_at=run.finished_at if outcome is Outcome.PASS else last_success_at,
        outcomes=MappingProxyType(outcomes),
    )


def _value(run: CheckRun) -> float | None:
    for part in run.result.measured:
        if isinstance(part, Balance):
            return part.amount
        if isinstance(part, MessageLog):
            return part.latency_seconds
    return run.duration_seconds if run.result.outcome is Outcome.PASS else None


def _state(row: tuple[str | float | int | None, ...]) -> CheckState:
    (
        name,
        kind,
        target,
        reason,
        detail,
        measured,
        started_at,
        finished_at,
        duration,
        since,
        success,
        *outcomes,
    ) = row
    result = CheckResult(
        reason=Reason(str(reason)), detail=str(detail), measured=_MEASURED.validate_json(str(measured))
    )
    run = CheckRun(
        check=str(name),
        kind=str(kind),
        target=str(target),
        result=result,
        started_at=_moment(started_at),
        finished_at=_moment(finished_at),
        duration_seconds=_number(duration),
    )
    return CheckState(
        last=run,
        reason_since=_moment(since),
        last_success_at=None if success is None else _moment(success),
        outcomes=MappingProxyType(
            {outcome: int(_number(count)) for outcome, count in zip(Outcome, outcomes, strict=True)}
        ),
    )


def _moment(timestamp: str | float | None) -> datetime:
    return datetime.fromtimestamp(_number(timestamp), UTC)


def _number(value: str | float | None) -> float:
    if value is None:
        raise StorageError("the database holds no number where one must be")
    return float(value)
