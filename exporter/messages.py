"""The books of all targets' messages: what was counted, how far the log is read, and the detector that watches.

What a batch of receipts changes is one transaction: counts, cursor and the detector's input are written together
or not at all. The detector itself lives in memory. Its input is kept in a journal until its state is written down,
so that after a kill it goes on with exactly the scores that it had.
"""

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import msgspec

from checks.messages import Confirmation, Movement, Receipt, Source
from checks.messages.book import Reading, Recent
from checks.messages.detector import Detector, DetectorSettings, Suspicion, Verdict
from checks.messages.verification import Attempt, Conversion, TypedCode
from checks.reason import Owner, Reason

from . import ledger, verifications
from .database import DATABASE_ERRORS, Connection, Database
from .ledger import Counts, Ledger
from .meters import Meters
from .operators import OperatorLabels
from .runner import Defect, contained
from .snapshot import Evidence, Route, Tally
from .statements import replace
from .verifications import Verifications

_log: Final = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE readings (target TEXT PRIMARY KEY, reading TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE detectors (target TEXT PRIMARY KEY, journal_id INTEGER NOT NULL, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, input BLOB NOT NULL);
"""

_JOURNAL_LIMIT: Final = 20_000  # movements; replaying so many takes less than a second
_RANK_EVERY: Final = 86_400.0  # seconds, in the log's own time
_PATIENCE_SECONDS: Final = 120.0  # of the detector with the verification attempts
_LOG_PATIENCE_SECONDS: Final = 600.0  # without the log, before callbacks alone must do
_CALLBACK_SLACK: Final = 2.0  # seconds: callbacks overtake each other


class _Probe(msgspec.Struct, frozen=True, array_like=True):
    """A test message that went by a suspected route."""

    country: str
    operator: str
    arrived: bool


class _Input(msgspec.Struct, frozen=True, array_like=True):
    """One step of the detector."""

    movements: list[Movement]
    confirmations: list[Confirmation]
    known_until: float
    probe: _Probe | None = None
    typed_until: float | None = None  # None: typed codes are told at once, or never


@dataclass(slots=True)
class _Target:
    """What is in memory of one target."""

    counts: Counts
    ledger: Ledger
    labels: OperatorLabels
    reading: Reading
    detector: Detector
    settings: DetectorSettings
    verifications: Verifications
    verified: Counter[tuple[str, str]] = field(default_factory=Counter)  # by country and label
    known_until: float = 0.0  # Unix time
    log_read_until: float | None = None  # Unix time: all messages of the log until then are known; None: not read yet
    journalled: int = 0  # movements
    attempts_until: float | None = None  # Unix time: how far the verification attempts were read
    ranked_at: float = 0.0  # Unix time
    new_routes: set[Route] = field(default_factory=set)
    new_codes: set[str] = field(default_factory=set)


class Messages:
    """Counts the messages of every target. Any thread may call any method."""

    def __init__(self, database: Database, meters: Meters) -> None:
        self._database = database
        self._meters = meters
        self._loaded: dict[str, _Target] = {}
        self._is_replayed = True  # there is nothing in memory to add to
        self._settings: Mapping[str, DetectorSettings] = {}
        self._tallies: dict[str, Tally] = {}

    def watch(self, settings: Mapping[str, DetectorSettings]) -> None:
        """Use these settings for the detectors, by target; what a detector has learnt is kept."""
        with self._database.lock:
            self._settings = dict(settings)
            for name, target in self._loaded.items():
                wanted = self._settings_of(name)
                if wanted != target.settings:
                    target.detector = Detector.load(wanted, target.detector.dump())
                    target.settings = wanted

    def reading(self, target: str) -> Reading:
        """Return how far the log has been read."""
        with self._database.lock:
            known = self._targets.get(target)
            return Reading() if known is None else known.reading

    def take(
        self,
        target: str,
        receipts: Sequence[Receipt],
        *,
        reading: Reading | None = None,
        known_until: float | None = None,
    ) -> None:
        """Count what is new and note how far the log was read; see ``checks.messages.book.Book``.

        Raises StorageUnavailableError.
        """
        with self._database.lock:
            known = self._target(target)
            with self._database.written() as db:
                change = known.ledger.count(db, receipts)
                if reading is not None:
                    db.execute(
                        replace("readings", "target", "reading"),
                        (target, msgspec.json.encode(reading).decode()),
                    )
                step = _Input(
                    change.movements,
                    [],
                    self._known_until(known, receipts, known_until),
                    typed_until=known.attempts_until,
                )
                self._write_down(db, target, step)
            is_history = known.reading.read_until is None and reading is not None
            if not is_history:
                known.new_routes |= {route for route, _ in change.counts.messages} - _routes(known.counts)
                known.new_codes |= change.counts.codes.keys() - known.counts.codes.keys()
            known.counts.update(change.counts)
            if reading is not None:
                known.reading = reading
                if known_until is not None:
                    known.log_read_until = known_until
            self._tallies.pop(target, None)
            if change.unmapped:
                self._meters.codes_unmapped(target, change.unmapped)
            self._advance(target, known, step)

    @property
    def key(self) -> bytes:
        """The key of the hashes that stand for message ids and recipients."""
        return self._database.key

    def known_until(self, target: str) -> float:
        """Return until when (Unix time) the detector has judged what there is; 0 for never."""
        with self._database.lock:
            known = self._targets.get(target)
            return 0.0 if known is None else known.known_until

    def warm_until(self, target: str) -> float | None:
        """Return until when (Unix time) the detector knows the past, None once the log itself is being read."""
        with self._database.lock:
            known = self._targets.get(target)
            if known is None:
                return 0.0
            return known.known_until if known.reading.read_until is None else None

    def warm(self, target: str, movements: Sequence[Movement], *, known_until: float) -> None:
        """Let the detector learn from the past; nothing is counted. Raises StorageUnavailableError."""
        with self._database.lock:
            known = self._target(target)
            labelled = [
                msgspec.structs.replace(movement, operator=known.labels.label(movement.country, movement.operator))
                for movement in movements
            ]
            step = _Input(labelled, [], known_until)
            with self._database.written() as db:
                self._write_down(db, target, step)
            self._advance(target, known, step)

    def attempts_read_until(self, target: str) -> float | None:
        """Return how far the verification attempts were read (Unix time). Raises StorageUnavailableError."""
        with self._database.lock, self._database.read() as db:
            found = db.execute("SELECT read_until FROM attempt_readings WHERE target = ?", (target,)).fetchone()
            return None if found is None else float(found[0])

    def take_attempts(
        self, target: str, attempts: Sequence[Attempt], *, now: float, read_until: float | None = None
    ) -> None:
        """Count attempts; see ``checks.messages.verification.VerificationBook``. Raises StorageUnavailableError."""

        def take(known: _Target, db: Connection) -> verifications.Change:
            change = known.verifications.take(db, attempts, now)
            if read_until is not None:  # the newest came first: only all of them tell who did not type
                change.confirmations = known.verifications.told(db, read_until)
            return change

        self._verify(target, take, attempts_until=read_until)

    def confirm(self, target: str, codes: Sequence[TypedCode]) -> int:
        """Count what the application tells; return how many are of unknown messages. Raises StorageUnavailableError."""
        return self._verify(target, lambda known, db: known.verifications.confirm(db, codes)).unknown

    def conversions_begin(self, target: str) -> float | None:
        """Return since when the results of codes are known. Raises StorageUnavailableError."""
        with self._database.lock, self._database.read() as db:
            return self._target(target).verifications.begin(db)

    def conversions(self, target: str, since: float, until: float) -> Sequence[Conversion]:
        """Return what became of the codes of whole hours. Raises StorageUnavailableError."""
        with self._database.lock, self._database.read() as db:
            return self._target(target).verifications.conversions(db, since, until)

    def _verify(
        self,
        name: str,
        work: Callable[[_Target, Connection], verifications.Change],
        *,
        attempts_until: float | None = None,
    ) -> verifications.Change:
        with self._database.lock:
            known = self._target(name)
            with self._database.written() as db:
                change = work(known, db)
                until = known.attempts_until if attempts_until is None else attempts_until
                step = _Input([], change.confirmations, known.known_until, typed_until=until)
                if change.confirmations:
                    self._write_down(db, name, step)
            known.verified.update(change.counts)
            known.attempts_until = until
            self._tallies.pop(name, None)
            if change.confirmations:
                self._advance(name, known, step)
            return change

    def expire(self, target: str, sent_before: float) -> None:
        """Count messages sent before then (Unix time) that still have no receipt. Raises StorageUnavailableError."""
        with self._database.lock:
            known = self._target(target)
            with self._database.written() as db:
                change = known.ledger.expire(db, sent_before)
            known.counts.update(change.counts)
            self._tallies.pop(target, None)

    def recent(self, target: str, since: float, *, overdue_before: float) -> Recent:
        """Return what is known of the messages created at or after ``since`` (Unix time)."""
        with self._database.lock, self._database.read() as db:
            (newest,) = db.execute("SELECT max(created_at) FROM messages WHERE target = ?", (target,)).fetchone()
            rows = db.execute(
                "SELECT status, country, code, reason, delivery_seconds, created_at FROM messages"
                " WHERE target = ? AND created_at >= ?",
                (target, since),
            ).fetchall()
        failed: defaultdict[tuple[str, str], int] = defaultdict(int)
        delivered = waiting = 0
        seconds = []
        for status, country, code, reason, took, created_at in rows:
            match status:
                case "delivered":
                    delivered += 1
                    if took is not None:
                        seconds.append(took)
                case "undelivered" | "failed" if reason not in _OF_ONE_CLIENT:
                    failed[country, code or "none"] += 1
                case "sent" | "receipt_missing" if created_at < overdue_before:
                    waiting += 1
        seconds.sort()
        return Recent(
            messages=len(rows),
            delivered=delivered,
            failed=MappingProxyType(dict(failed)),
            waiting=waiting,
            latency_seconds=seconds[min(len(seconds) - 1, int(len(seconds) * _LATENCY_QUANTILE))] if seconds else None,
            newest_at=newest,
        )

    def verdicts(self, target: str) -> Sequence[Verdict]:
        """Return what the detector says now, the worst first."""
        with self._database.lock:
            known = self._targets.get(target)
            return () if known is None else known.detector.verdicts()

    def explained_until(self, target: str) -> float:
        """Return when the latest fault ended that the detector had named (Unix time); 0 when there was none."""
        with self._database.lock:
            known = self._targets.get(target)
            return 0.0 if known is None else known.detector.explained_until()

    def suspicions(self, target: str) -> Sequence[Suspicion]:
        """Return the nodes above half their threshold."""
        with self._database.lock:
            known = self._targets.get(target)
            return () if known is None else known.detector.suspicions()

    def note_probe(self, target: str, country: str, operator: str, *, arrived: bool) -> None:
        """Let a test message by a suspected route be evidence. Raises StorageUnavailableError."""
        with self._database.lock:
            known = self._target(target)
            step = _Input([], [], known.known_until, _Probe(country, operator, arrived))
            with self._database.written() as db:
                self._write_down(db, target, step)
            self._advance(target, known, step)

    def tallies(self) -> Mapping[str, Tally]:
        """Return the counts of every target."""
        with self._database.lock:
            for name, target in self._targets.items():
                if name not in self._tallies:
                    self._tallies[name] = _tally(target)
            return MappingProxyType(dict(self._tallies))

    def scraped(self, tallies: Mapping[str, Tally]) -> None:
        """Note that Prometheus has seen these: what was new in them no longer is."""
        with self._database.lock:
            for name, tally in tallies.items():
                target = self._targets.get(name)
                if target is not None and (tally.new_routes or tally.new_codes):
                    target.new_routes -= tally.new_routes
                    target.new_codes -= tally.new_codes
                    self._tallies.pop(name, None)

    def evidence(self) -> Mapping[str, Evidence]:
        """Return what the detectors say."""
        with self._database.lock:
            return MappingProxyType({name: _evidence(target.detector) for name, target in self._targets.items()})

    def prune(self) -> None:
        """Forget what no reading will bring again, and give labels to the busiest operators.

        Raises one of DATABASE_ERRORS.

        Old is what is old in the log's own time: the wall clock may have jumped, and a log may not have been
        read for long.
        """
        for name, target in self._targets.items():
            latest = max(target.reading.read_until or 0.0, target.known_until)
            oldest = min((gap.since for gap in target.reading.gaps), default=latest or None)
            with self._database.transaction() as db:
                if oldest is not None:
                    ledger.prune(db, name, oldest - ledger.KEPT.total_seconds())
                verifications.prune(db, name, target.attempts_until)
                if target.known_until >= target.ranked_at + _RANK_EVERY:
                    self._rank_operators(db, name, target)

    def _rank_operators(self, db: Connection, name: str, target: _Target) -> None:
        if target.ranked_at:  # else too little is known yet
            for route in target.labels.rank():
                ledger.forget_route(db, name, route)
                target.counts.forget(route)
            self._tallies.pop(name, None)
        target.ranked_at = target.known_until

    def close(self) -> None:
        """Write the detectors down, so that the next start is quick. Raises one of DATABASE_ERRORS."""
        with self._database.lock:
            for name, target in self._targets.items():
                self._save_detector(name, target)

    @property
    def _targets(self) -> dict[str, _Target]:
        """All targets. At the first use, when the settings are known, the journal is replayed into the detectors."""
        self.replay()
        return self._loaded

    def replay(self) -> None:
        """Let the detectors take what is in the journal, for who holds the lock. Raises one of DATABASE_ERRORS."""
        if not self._is_replayed:
            self._is_replayed = True
            for name, blob in self._database.writer.execute("SELECT target, input FROM journal ORDER BY id"):
                self._advance(name, self._of(name), msgspec.msgpack.decode(blob, type=_Input), replayed=True)

    def _target(self, name: str) -> _Target:
        _ = self._targets
        return self._of(name)

    def _of(self, name: str) -> _Target:
        known = self._loaded.get(name)
        if known is None:
            known = self._loaded[name] = self._build(name, Counts())
        return known

    def _build(self, name: str, counts: Counts) -> _Target:
        labels = OperatorLabels(_routes(counts))
        settings = self._settings_of(name)
        return _Target(
            counts=counts,
            ledger=Ledger(name, self._database.key, labels.label, set(counts.codes)),
            labels=labels,
            reading=Reading(),
            detector=Detector(settings),
            settings=settings,
            verifications=Verifications(name, self._database.key, labels.label),
        )

    def _settings_of(self, name: str) -> DetectorSettings:
        return self._settings.get(name) or DetectorSettings()

    def _known_until(self, target: _Target, receipts: Sequence[Receipt], known_until: float | None) -> float:
        """Return until when all is known. Where the log is not read, or not any more, callbacks move the time on."""
        if known_until is None:
            by_callbacks = [receipt.at for receipt in receipts if receipt.source is Source.CALLBACK]
            moment = max(by_callbacks, default=0.0) - _CALLBACK_SLACK
            is_read = target.reading.read_until is not None and moment < target.known_until + _LOG_PATIENCE_SECONDS
            known_until = 0.0 if is_read else moment
        attempts_until = target.attempts_until
        if attempts_until is not None and known_until - _PATIENCE_SECONDS < attempts_until:
            known_until = min(known_until, attempts_until)  # a code may have been typed, and not be known yet
        return max(target.known_until, known_until)

    def _write_down(self, db: Connection, name: str, step: _Input) -> None:
        db.execute("INSERT INTO journal (target, input) VALUES (?, ?)", (name, msgspec.msgpack.encode(step)))

    def _advance(self, name: str, target: _Target, step: _Input, *, replayed: bool = False) -> None:
        target.known_until = step.known_until
        done = contained(lambda: _take_step(target.detector, step))
        if isinstance(done, Defect):
            _log.error("detector begins anew after a defect", extra={"target": name, "problem": done.name})
            target.detector = Detector(target.settings)
        target.journalled += len(step.movements) + len(step.confirmations) + 1
        if target.journalled >= _JOURNAL_LIMIT and not replayed:
            try:
                self._save_detector(name, target)
            except DATABASE_ERRORS as problem:  # what was taken is written: the journal only stays longer
                self._database.failed(problem)

    def _save_detector(self, name: str, target: _Target) -> None:
        with self._database.transaction() as db:
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM journal WHERE target = ?", (name,)).fetchone()
            state = msgspec.msgpack.encode((target.known_until, target.detector.dump()))
            db.execute(replace("detectors", "target", "journal_id, state"), (name, last, state))
            db.execute("DELETE FROM journal WHERE target = ? AND id <= ?", (name, last))
        target.journalled = 0

    def forget(self) -> None:
        """Know nothing any more but the settings, for who holds the database's lock."""
        self._loaded.clear()
        self._tallies.clear()
        self._is_replayed = True

    def load(self) -> None:
        """Know what the database holds, for who holds its lock.

        Raises one of DATABASE_ERRORS, and ValueError when it does not hold what it should.
        """
        self.forget()
        self._is_replayed = False
        db = self._database.writer
        for name, counts in ledger.load(db).items():
            self._loaded[name] = self._build(name, counts)
        for name, verified in verifications.load(db).items():
            self._of(name).verified = verified
        for name, read_until in db.execute("SELECT target, read_until FROM attempt_readings"):
            self._of(name).attempts_until = read_until
        for name, reading in db.execute("SELECT target, reading FROM readings"):
            self._of(name).reading = msgspec.json.decode(reading, type=Reading)
        for name, state in db.execute("SELECT target, state FROM detectors"):
            target = self._of(name)
            target.known_until, dump = msgspec.msgpack.decode(state, type=tuple[float, bytes])
            target.detector = Detector.load(target.settings, dump)


_LATENCY_QUANTILE: Final = 0.9  # operators' own contracts are written for 90 % of the traffic

_OF_ONE_CLIENT: Final = frozenset(reason.value for reason in Reason if reason.row.owner is Owner.CLIENT)


def _take_step(detector: Detector, step: _Input) -> None:
    typed_until = math.inf if step.typed_until is None else step.typed_until
    detector.advance(
        step.movements,
        confirmations=step.confirmations,
        known_until=step.known_until,
        typed_until=typed_until,
    )
    if step.probe is not None:
        detector.note_probe(step.probe.country, step.probe.operator, arrived=step.probe.arrived)


def _evidence(detector: Detector) -> Evidence:
    """Return what a detector says; nothing when a defect of it keeps it from speaking."""
    said = contained(lambda: Evidence(readings=tuple(detector.readings()), verdicts=detector.verdicts()))
    return Evidence() if isinstance(said, Defect) else said


def _routes(counts: Counts) -> set[Route]:
    return {route for route, _ in counts.messages}


def _tally(target: _Target) -> Tally:
    counts = target.counts
    return Tally(
        messages=dict(counts.messages),
        failures=dict(counts.failures),
        codes=dict(counts.codes),
        latency={key: buckets.latency() for key, buckets in counts.latencies.items()},
        read_until=target.log_read_until,
        verifications=dict(target.verified),
        new_routes=frozenset(target.new_routes),
        new_codes=frozenset(target.new_codes),
    )
