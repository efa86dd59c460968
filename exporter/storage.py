"""The database: last results, the history of runs, and every message counted once.

SQLite in WAL mode, or a PostgreSQL that several exporters share, of which one leads. One transaction holds a run and
all that it counted, so that a kill at any moment leaves either all of it or nothing. No phone number, text or name is
written; a message is known by a keyed hash of its id, and the key lives in another place.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from pydantic import TypeAdapter

from checks.balance import HISTORY as BALANCE_HISTORY
from checks.errors import StorageUnavailableError
from checks.messages.detector import DetectorSettings
from checks.past import BalanceReading, Past, ProviderIdentity
from checks.reason import Outcome, Reason
from checks.result import (
    AcceptedSteps,
    Balance,
    CheckResult,
    CheckRun,
    ClientShare,
    ClockOffset,
    DeliveryTime,
    ProviderEnabled,
    RefusedCountry,
    ServiceComponent,
    Spend,
)

from . import canaries, ledger, messages, notes, verifications, verifier
from .book import TargetBook
from .canaries import CanaryStore
from .database import DATABASE_ERRORS, WRITE_ERRORS, Database, StorageError, words_of
from .lease import Lease
from .messages import Messages
from .meters import Meters
from .migrations import MIGRATIONS
from .notes import CheckNotebook
from .shard import Shard
from .snapshot import CheckState, Snapshot
from .statements import replace as written_over
from .storage_settings import StorageSettings
from .verifier import VerifierStore

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
"""

SCHEMA: Final = "".join(
    (
        _SCHEMA,
        ledger.SCHEMA,
        verifications.SCHEMA,
        messages.SCHEMA,
        canaries.SCHEMA,
        notes.SCHEMA,
        verifier.SCHEMA,
    )
)

_KEEP_STATE: Final = written_over(
    "checks",
    "name",
    "kind, target, reason, detail, measured, started_at, finished_at, duration_seconds, reason_since, last_success_at,"
    " passes, fails, errors",
)

_NO_IDENTITIES: Final[Mapping[str, ProviderIdentity]] = MappingProxyType({})
_NONE_YET: Final[Mapping[Outcome, int]] = MappingProxyType(dict.fromkeys(Outcome, 0))

_Stored = (
    Balance | Spend | ServiceComponent | ClockOffset | AcceptedSteps | ProviderEnabled | RefusedCountry | ClientShare
)
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
        self.messages: Final = Messages(database, meters)
        self.canaries: Final = CanaryStore(database)
        self.verifier: Final = VerifierStore(database)
        self._database = database
        self._db = database.writer
        self._lock = database.lock  # of the states, too
        self._reading = self._lock if database.reader is database.writer else threading.Lock()
        self._recorded = 0
        self._wanted: Mapping[str, tuple[str, str]] | None = None
        self._states: dict[str, CheckState] = {}  # copied for who reads, not for each run: there may be thousands

    @classmethod
    def in_memory(cls, meters: Meters) -> Self:
        """Return a storage that forgets everything with the process."""
        storage = cls(Database.in_memory(SCHEMA, meters), meters)
        storage.load()
        return storage

    @classmethod
    def open(cls, path: Path, meters: Meters) -> Self:
        """Open or make the database at ``path``.

        Raises StorageError when it cannot be used.
        """
        database = Database.open(path, SCHEMA, MIGRATIONS, meters)
        storage = cls(database, meters)
        try:
            storage.load()
        except DATABASE_ERRORS as problem:
            refusal = StorageError(f"{path}: cannot be used: {words_of(problem)}")
        except ValueError:  # a word or a shape of another version
            refusal = StorageError(
                f"{path}: holds what this version does not know; run the version that wrote it, or give another"
                " --storage.path"
            )
        else:
            return storage
        database.close()
        raise refusal

    @classmethod
    def open_shared(cls, settings: StorageSettings, shard: Shard, meters: Meters) -> Self:
        """Open a database that other exporters use too: it holds nothing before ``load`` under the lease.

        Raises StorageError when it cannot be used; one that cannot be reached yet is no reason.
        """
        from .postgresql import open_shared  # noqa: PLC0415  # its driver is an extra

        return cls(open_shared(settings, shard, SCHEMA, MIGRATIONS, meters), meters)

    @classmethod
    def open_leading(cls, settings: StorageSettings, detectors: Mapping[str, DetectorSettings], meters: Meters) -> Self:
        """Open a shared database and lead at once. Raises StorageError when it cannot be used, or another one leads."""
        storage = cls.open_shared(settings, Shard(), meters)
        storage.messages.watch(detectors)
        lease = storage.lease
        assert lease is not None  # noqa: S101  # a shared database has one
        try:
            if not lease.take():
                raise StorageError("storage.url: an exporter that uses it runs, and leads; stop all that do")
            storage.load()
            lease.start(lambda: None, lambda: None)
        except DATABASE_ERRORS as problem:
            refusal = StorageError(f"storage.url: cannot be used: {words_of(problem)}")
        except ValueError:
            refusal = StorageError("storage.url: holds what this version does not know; run the version that wrote it")
        except StorageError as problem:
            refusal = problem
        else:
            return storage
        storage.close()
        raise refusal

    @property
    def lease(self) -> Lease | None:
        """What says who of several exporters leads; None where there is one alone."""
        return self._database.lease

    def load(self) -> None:
        """Know what the database holds; where it is shared, the lease must be held, and what is known may be written.

        Raises one of DATABASE_ERRORS, StorageError, and ValueError for a word or a shape of another version.
        """
        with self._lock:
            self._database.lead()
            self.messages.load()
            self.canaries.load()
            self.verifier.load()
            self._states = dict(self._load())
            if self.lease is not None:  # else the settings of the detectors are not known yet
                self.messages.replay()

    def forget(self) -> None:
        """Know nothing any more: another exporter goes on from here."""
        with self._lock:
            self.messages.forget()
            self.canaries.forget()
            self.verifier.forget()
            self._states = {}

    def checks(self) -> Mapping[str, CheckState]:
        """Return the results of the checks alone, which cost little to have."""
        return MappingProxyType(self._states.copy())  # in one step, as a run may be recorded meanwhile

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        return Snapshot(
            checks=self.checks(),
            tallies=self.messages.tallies(),
            evidence=self.messages.evidence(),
            canaries=self.canaries.counts(),
            verifier=self.verifier.counts(),
        )

    def notebook(self, name: str) -> CheckNotebook:
        """Return the note of a check, or of what else keeps one."""
        return CheckNotebook(self._database, name)

    def book(self, target: str) -> TargetBook:
        """Return the book of one target's messages."""
        return TargetBook(self.messages, target)

    def close(self) -> None:
        """Write everything back and let another process use the database."""
        with suppress(*DATABASE_ERRORS):  # without it the next start replays a little more
            self.messages.close()
        with self._lock, self._reading if self._reading is not self._lock else nullcontext():
            self._database.close()

    def record(self, run: CheckRun) -> None:
        """Keep a run. A run of a check that is no longer wanted is dropped.

        When the database cannot be written the result is known in memory alone, and the failure is counted
        and logged.
        """
        with self._lock:
            if self._wanted is not None and self._wanted.get(run.check) != (run.kind, run.target):
                return
            known = self._states.get(run.check)
            state = _next_state(known, run)
            try:
                with self._database.light_transaction():
                    self._write(run, state)
            except WRITE_ERRORS as problem:
                self._database.failed(problem)
                state = replace(state, outcomes=_NONE_YET if known is None else known.outcomes)
            else:
                self._database.succeeded()
            self._states[run.check] = state
            self._recorded += 1
            if self._recorded % _PRUNE_EVERY == 0:
                self._prune(run.finished_at.timestamp())

    def past(
        self, check: str, target: str, now: datetime, identities: Mapping[str, ProviderIdentity] = _NO_IDENTITIES
    ) -> Past:
        """Return what a check of ``target`` may know: of earlier runs little, when the database cannot be read."""
        try:
            balances = self._balances(target, now)
        except DATABASE_ERRORS as problem:
            self._database.failed(problem)
            balances = ()
        return Past(
            now=now,
            balances=balances,
            book=self.book(target),
            desk=self.canaries.desk(check),
            notebook=self.notebook(check),
            verifier=self.verifier.book(target),
            identities=identities,
        )

    def _balances(self, target: str, now: datetime) -> tuple[BalanceReading, ...]:
        with self._lock:
            readings = self._db.execute(
                "SELECT at, amount, spent_total, currency FROM balances"
                " WHERE target = ? AND at >= ? AND at < ? ORDER BY at",
                (target, (now - BALANCE_HISTORY).timestamp(), now.timestamp()),
            ).fetchall()
        return tuple(
            BalanceReading(at=_moment(at), amount=amount, currency=currency, spent_total=spent_total)
            for at, amount, spent_total, currency in readings
        )

    def recent_runs(self, check: str, *, passed: bool | None = None, limit: int = 10) -> Sequence[PastRun]:
        """Return the latest runs of a check, newest first; failed ones outlast the others."""
        if not self._states:  # there are none, or another exporter leads and shows them
            return []
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
        if not self._states:
            return []
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
            gone = [
                name for name, state in self._states.items() if checks.get(name) != (state.last.kind, state.last.target)
            ]
            if not gone:
                return
            try:
                with self._database.transaction():
                    for name in gone:
                        self._db.execute("DELETE FROM checks WHERE name = ?", (name,))
                        self._db.execute("DELETE FROM runs WHERE name = ?", (name,))
                        self._db.execute("DELETE FROM notes WHERE name = ?", (name,))
            except DATABASE_ERRORS as problem:
                self._database.failed(problem)
            kept = {name: state for name, state in self._states.items() if name not in gone}
            self._states = kept

    def _write(self, run: CheckRun, state: CheckState) -> None:
        result = run.result
        stored = tuple(part for part in result.measured if isinstance(part, _Stored))
        finished_at = run.finished_at.timestamp()
        self._db.execute(
            _KEEP_STATE,
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

    def _write_balance(self, run: CheckRun, finished_at: float) -> None:
        spent = next((part.total for part in run.result.measured if isinstance(part, Spend)), None)
        for part in run.result.measured:
            if isinstance(part, Balance):
                # readings from a clock that was ahead would be mixed in when time catches up with them
                self._db.execute("DELETE FROM balances WHERE target = ? AND at > ?", (run.target, finished_at))
                self._db.execute(
                    written_over("balances", "target, at", "currency, amount, spent_total"),
                    (run.target, finished_at, part.currency, part.amount, spent),
                )

    def _prune(self, now: float) -> None:
        try:
            with self._database.transaction():
                for (name,) in self._db.execute("SELECT name FROM checks").fetchall():
                    for passed in (0, 1):
                        self._db.execute(
                            "DELETE FROM runs WHERE name = ? AND passed = ? AND id <= (SELECT id FROM runs"
                            " WHERE name = ? AND passed = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                            (name, passed, name, passed, _KEPT_RUNS),
                        )
                self._db.execute("DELETE FROM balances WHERE at < ?", (now - BALANCE_HISTORY.total_seconds() - 86400,))
            self.messages.prune()
            with suppress(StorageUnavailableError):  # has been counted and logged
                self.verifier.prune(now)
        except WRITE_ERRORS as problem:
            self._database.failed(problem)

    def _load(self) -> Mapping[str, CheckState]:
        return MappingProxyType(
            {state.last.check: state for state in map(_state, self._db.execute("SELECT * FROM checks"))}
        )


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
        if isinstance(part, DeliveryTime):
            return part.seconds
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
