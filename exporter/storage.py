"""The database: last results, the history of runs, and every message counted once.

SQLite in WAL mode. One transaction holds a run and all that it counted, so that a kill at any moment
leaves either all of it or nothing. No phone number, text or name is written; a message is known by a
keyed hash of its id, and the key lives in another file.
"""

import fcntl
import logging
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from .meters import Meters
from .snapshot import CheckState, Snapshot, Tally

_log: Final = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
_KEPT_RUNS: Final = 100  # of each check; as many failed ones are kept beside them
_KEY_BYTES: Final = 32
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

_Stored = Balance | Spend | ServiceComponent
_MEASURED: Final[TypeAdapter[tuple[_Stored, ...]]] = TypeAdapter(tuple[_Stored, ...])


class StorageError(Exception):
    """The database cannot be used; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One row of the history."""

    finished_at: datetime  # aware, UTC
    duration_seconds: float
    reason: Reason
    detail: str


class Storage:
    """Results in memory, backed by the database. Any thread may call any method."""

    def __init__(self, connection: sqlite3.Connection, key: bytes, lock_file: int | None, meters: Meters) -> None:
        self._db = connection
        self._key = key
        self._lock_file = lock_file
        self._meters = meters
        self._lock = threading.Lock()
        self._usable = True
        self._recorded = 0
        self._snapshot = self._load()

    @classmethod
    def in_memory(cls, meters: Meters) -> Self:
        """Return a storage that forgets everything with the process."""
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        connection.executescript(_SCHEMA + ledger.SCHEMA)
        return cls(connection, secrets.token_bytes(_KEY_BYTES), None, meters)

    @classmethod
    def open(cls, path: Path, meters: Meters) -> Self:
        """Open or make the database at ``path``; its key file and lock file stand beside it.

        Raises StorageError when it cannot be used.
        """
        lock_file = _lock(path)
        try:
            return cls(_open_database(path), _load_key(path), lock_file, meters)
        except (sqlite3.Error, StorageError, OSError) as problem:
            os.close(lock_file)
            if isinstance(problem, StorageError):
                raise
            raise StorageError(f"{path}: cannot be used: {_words(problem)}") from None

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        return self._snapshot

    def close(self) -> None:
        """Write everything back and let another process use the database."""
        with self._lock:
            self._db.close()
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    def record(self, run: CheckRun) -> None:
        """Keep a run and count what it read, once.

        When the database cannot be written the run is kept in memory, its messages are left to be read
        again, and the failure is counted and logged.
        """
        with self._lock:
            before = self._snapshot
            state = _next_state(before.checks.get(run.check), run)
            log = next((part for part in run.result.measured if isinstance(part, MessageLog)), None)
            try:
                with _transaction(self._db):
                    change = None if log is None else self._count(run.target, log)
                    self._write(run, state)
            except sqlite3.Error as problem:
                self._failed(problem)
                change = None
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
                "SELECT at, amount, spent_total, currency FROM balances WHERE target = ? AND at >= ? ORDER BY at",
                (target, (now - BALANCE_HISTORY).timestamp()),
            ).fetchall()
            log = self._db.execute("SELECT read_until FROM logs WHERE target = ?", (target,)).fetchone()
        return Past(
            now=now,
            balances=tuple(
                BalanceReading(at=_moment(at), amount=amount, spent_total=spent_total)
                for at, amount, spent_total, currency in readings
                if currency == readings[-1][3] and at < now.timestamp()
            ),
            log_read_until=None if log is None else _moment(log[0]),
        )

    def recent_runs(self, check: str, *, passed: bool | None = None, limit: int = 10) -> Sequence[PastRun]:
        """Return the latest runs of a check, newest first; failed ones outlast the others."""
        wanted = (0, 1) if passed is None else (int(passed),)
        with self._lock:
            rows = self._db.execute(
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
        with self._lock:
            rows = self._db.execute(
                "SELECT value FROM runs WHERE name = ? AND value IS NOT NULL ORDER BY id DESC LIMIT ?",
                (check, limit),
            ).fetchall()
        return [value for (value,) in reversed(rows)]

    def keep_only(self, checks: Mapping[str, tuple[str, str]]) -> None:
        """Forget checks that are not among ``checks``, given as name -> (kind, target)."""
        with self._lock:
            snapshot = self._snapshot
            gone = [
                name
                for name, state in snapshot.checks.items()
                if checks.get(name) != (state.last.kind, state.last.target)
            ]
            if not gone:
                return
            try:
                with _transaction(self._db):
                    for name in gone:
                        self._db.execute("DELETE FROM checks WHERE name = ?", (name,))
                        self._db.execute("DELETE FROM runs WHERE name = ?", (name,))
            except sqlite3.Error as problem:
                self._failed(problem)
            kept = {name: state for name, state in snapshot.checks.items() if name not in gone}
            targets = {target for _, target in checks.values()}
            self._snapshot = Snapshot(
                checks=MappingProxyType(kept),
                tallies=MappingProxyType({k: v for k, v in snapshot.tallies.items() if k in targets}),
            )

    # --- writing -----------------------------------------------------------------------------------

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
                self._db.execute(
                    "INSERT OR REPLACE INTO balances VALUES (?, ?, ?, ?, ?)",
                    (run.target, finished_at, part.currency, part.amount, spent),
                )

    def _count(self, target: str, log: MessageLog) -> ledger.Change:
        change = ledger.count(self._db, self._key, target, log)
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
        ledger.prune(self._db, now)

    def _failed(self, problem: sqlite3.Error) -> None:
        self._meters.storage_error()
        if self._usable:
            self._usable = False
            _log.error("database not usable: results are kept in memory only", extra={"problem": _words(problem)})

    def _succeeded(self) -> None:
        if not self._usable:
            self._usable = True
            _log.info("database usable again")

    # --- loading -----------------------------------------------------------------------------------

    def _load(self) -> Snapshot:
        checks = {state.last.check: state for state in map(_state, self._db.execute("SELECT * FROM checks"))}
        return Snapshot(checks=MappingProxyType(checks), tallies=MappingProxyType(ledger.load(self._db)))


def _next_state(before: CheckState | None, run: CheckRun) -> CheckState:
    outcome = run.result.outcome
    outcomes = dict.fromkeys(Outcome, 0) if before is None else dict(before.outcomes)
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


# --- the files -------------------------------------------------------------------------------------


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    committed = False
    try:
        yield
        db.execute("COMMIT")
        committed = True
    finally:
        if not committed:
            with suppress(sqlite3.Error):  # the first error is the one to tell
                db.execute("ROLLBACK")


def _open_database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise StorageError(
                f"{path}: was written by a newer version (schema {version}, this version knows"
                f" {SCHEMA_VERSION}); run that version, or give another --storage.path"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last runs, never corrupt
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA} {ledger.SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
    except (sqlite3.Error, StorageError):
        connection.close()
        raise
    return connection


def _lock(path: Path) -> int:
    """Keep a second process from counting into the database; the kernel frees the lock on any exit."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise StorageError(f"{path}: cannot be used: {_words(problem)}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StorageError(
            f"{path}: is in use by another twofa-exporter; stop it, or give another --storage.path"
        ) from None
    return descriptor


def _load_key(path: Path) -> bytes:
    """Return the key of the message hashes, made at first use, from the file beside the database."""
    key_path = Path(f"{path}.key")
    if not key_path.exists():
        draft = Path(f"{key_path}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(key_path)  # whole or not at all, whenever we are killed
    key = key_path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise StorageError(
            f"{key_path}: must hold {_KEY_BYTES} bytes, holds {len(key)}; restore it, or remove it and {path}"
        )
    return key


def _words(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror.lower()
    return str(problem).lower()
