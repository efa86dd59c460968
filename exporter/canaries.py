"""Test messages: the day's money, what came of each, and what the handset told. The first two survive a restart.

A message is written down with its cost before it is sent. One that a kill left without an end counts as spent.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from checks.canary_desk import LastCanary, Legs, Limits, Refusal, Route
from checks.reason import Reason

from .buckets import Buckets
from .database import Database
from .ledger import keyed_hash
from .snapshot import Canaries

SCHEMA: Final = """
CREATE TABLE canaries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, day TEXT NOT NULL, recipient BLOB NOT NULL,
    sent_at REAL NOT NULL, busy_until REAL NOT NULL, cost REAL NOT NULL, currency TEXT NOT NULL,
    reason TEXT, detail TEXT, accepted REAL, sent REAL, delivered REAL, received REAL
);
CREATE INDEX canaries_by_day ON canaries (name, day);
CREATE INDEX canaries_by_recipient ON canaries (name, recipient, sent_at);
"""

LEGS: Final = ("accepted", "sent", "delivered", "received")
_EXPECTED_SECONDS: Final = 3600.0
_MOST_EXPECTED: Final = 100
_ROUNDING: Final = 1e-9  # of sums of money


class CanaryStore:
    """The test messages of all checks. Any thread may call any method."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._handset = threading.Lock()
        self._expected: dict[tuple[str, str], float] = {}  # check and reference -> since when, monotonic
        self._received: dict[tuple[str, str], float] = {}  # check and reference -> seconds after it was expected
        self._probes: defaultdict[str, dict[Route, float]] = defaultdict(dict)  # by check, Unix time
        self._totals: defaultdict[str, _Totals] = defaultdict(_Totals)  # by check

    def stop(self) -> None:
        """Let no test message be waited for any more."""
        self._stopping.set()

    def forget(self) -> None:
        """Know nothing of what was sent any more, for who holds the database's lock."""
        self._totals.clear()

    def load(self) -> None:
        """Know what the database holds, for who holds its lock; test messages are waited for again.

        Raises one of DATABASE_ERRORS, and ValueError for a reason of another version.
        """
        self.forget()
        for check, reason, cost, currency, *legs in self._database.writer.execute(
            "SELECT name, reason, cost, currency, accepted, sent, delivered, received FROM canaries"
        ):
            self._totals[check].add(None if reason is None else Reason(reason), cost, currency, legs)
        self._stopping.clear()

    def is_stopping(self) -> bool:
        """See ``checks.canary_desk.CanaryDesk``."""
        return self._stopping.is_set()

    def desk(self, check: str) -> "Desk":
        """Return what one check may use."""
        return Desk(self, check)

    def reserve(
        self, check: str, recipient: str, cost: float, limits: Limits, *, now: float, busy_until: float
    ) -> int | Refusal:
        """See ``checks.canary_desk.CanaryDesk``."""
        recipient_hash = keyed_hash(self._database.key, recipient)
        with self._database.lock, self._database.written() as db:
            (last_day,) = db.execute("SELECT max(day) FROM canaries WHERE name = ?", (check,)).fetchone()
            # a clock that goes back does not bring the money of an earlier day back
            day = max(datetime.fromtimestamp(now, UTC).date().isoformat(), last_day or "")
            sends, spent = db.execute(
                "SELECT count(*), coalesce(sum(cost), 0) FROM canaries WHERE name = ? AND day = ?", (check, day)
            ).fetchone()
            (in_flight,) = db.execute(
                "SELECT count(*) FROM canaries WHERE recipient = ? AND reason IS NULL AND busy_until > ?"
                " AND sent_at <= ?",
                (recipient_hash, now, now),
            ).fetchone()
            if in_flight:
                return Refusal.IN_FLIGHT
            if sends >= limits.max_sends:
                return Refusal.SENDS
            if spent + cost > limits.max_cost + _ROUNDING:
                return Refusal.COST
            (number,) = db.execute(
                "INSERT INTO canaries (name, day, recipient, sent_at, busy_until, cost, currency)"
                " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (check, day, recipient_hash, now, busy_until, cost, limits.currency),
            ).fetchone()
            return int(number)

    def settle(self, number: int, *, cost: float, reason: Reason, detail: str, legs: Legs) -> None:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._database.lock, self._database.written() as db:
            row = db.execute(
                "UPDATE canaries SET cost = ?, reason = ?, detail = ?, accepted = ?, sent = ?, delivered = ?,"
                " received = ? WHERE id = ? AND reason IS NULL RETURNING name, currency",
                (cost, reason.value, detail, *(asdict(legs)[leg] for leg in LEGS), number),
            ).fetchone()
        if row is not None:
            check, currency = row
            with self._database.lock:
                self._totals[check].add(reason, cost, currency, [asdict(legs)[leg] for leg in LEGS])

    def last(self, check: str, recipient: str) -> LastCanary | None:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._database.lock, self._database.read() as db:
            row = db.execute(
                "SELECT sent_at, reason, detail FROM canaries WHERE name = ? AND recipient = ?"
                " AND reason IS NOT NULL ORDER BY id DESC LIMIT 1",
                (check, keyed_hash(self._database.key, recipient)),
            ).fetchone()
        return None if row is None else LastCanary(at=row[0], reason=Reason(row[1]), detail=row[2])

    def last_to(self, check: str, recipient: str) -> float | None:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._database.lock, self._database.read() as db:
            (at,) = db.execute(
                "SELECT max(sent_at) FROM canaries WHERE name = ? AND recipient = ?",
                (check, keyed_hash(self._database.key, recipient)),
            ).fetchone()
        return None if at is None else float(at)

    def probes(self, check: str) -> Mapping[Route, float]:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._handset:
            return dict(self._probes[check])

    def note_probe(self, check: str, route: Route, at: float) -> None:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._handset:
            self._probes[check][route] = at

    def expect(self, check: str, reference: str) -> None:
        """See ``checks.canary_desk.CanaryDesk``."""
        now = time.monotonic()
        with self._handset:
            old = [key for key, since in self._expected.items() if since < now - _EXPECTED_SECONDS]
            for key in {*old, *list(self._expected)[:-_MOST_EXPECTED]}:
                del self._expected[key]
                self._received.pop(key, None)
            self._expected[check, reference] = now

    def received(self, check: str, text: str) -> bool:
        """Note that the handset has got a text; return whether it is one that was sent."""
        now, text = time.monotonic(), text.lower()
        with self._handset:
            for key, since in self._expected.items():
                if key[0] == check and key[1] in text:
                    self._received.setdefault(key, now - since)
                    return True
        return False

    def received_after(self, check: str, reference: str) -> float | None:
        """See ``checks.canary_desk.CanaryDesk``."""
        with self._handset:
            return self._received.get((check, reference))

    def counts(self) -> Mapping[str, Canaries]:
        """Return what came of the test messages of each check, and what they cost."""
        with self._database.lock:
            return MappingProxyType({check: totals.counts() for check, totals in self._totals.items()})


@dataclass(slots=True)
class _Totals:
    """The sums of one check. What is on its way is not in it: it may still cost less, and a counter never goes back."""

    runs: Counter[Reason] = field(default_factory=Counter)
    spend: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))  # by currency
    legs: defaultdict[str, Buckets] = field(default_factory=lambda: defaultdict(Buckets))

    def add(self, reason: Reason | None, cost: float, currency: str, legs: Sequence[float | None]) -> None:
        """Count one message; ``reason`` is None for one that a kill left without an end."""
        if reason is not None:
            self.runs[reason] += 1
        self.spend[currency] += cost
        for leg, seconds in zip(LEGS, legs, strict=True):
            if seconds is not None:
                self.legs[leg].observe(seconds)

    def counts(self) -> Canaries:
        """Return a copy that does not change."""
        legs = {leg: buckets.latency() for leg, buckets in self.legs.items()}
        return Canaries(runs=dict(self.runs), spend=dict(self.spend), legs=legs)


@dataclass(frozen=True, slots=True)
class Desk:
    """``checks.canary_desk.CanaryDesk`` on the database."""

    store: CanaryStore
    check: str

    def reserve(self, recipient: str, cost: float, limits: Limits, *, now: float, busy_until: float) -> int | Refusal:
        """Take the cost of one message out of the day's money, durably. Raises StorageUnavailableError."""
        return self.store.reserve(self.check, recipient, cost, limits, now=now, busy_until=busy_until)

    def settle(self, number: int, *, cost: float, reason: Reason, detail: str, legs: Legs) -> None:
        """Note what came of a message. Raises StorageUnavailableError."""
        self.store.settle(number, cost=cost, reason=reason, detail=detail, legs=legs)

    def last(self, recipient: str) -> LastCanary | None:
        """Return what the latest message to a recipient said. Raises StorageUnavailableError."""
        return self.store.last(self.check, recipient)

    def last_to(self, recipient: str) -> float | None:
        """Return when the latest message to a recipient was sent. Raises StorageUnavailableError."""
        return self.store.last_to(self.check, recipient)

    def probes(self) -> Mapping[Route, float]:
        """Return when each suspected route was last probed by this process."""
        return self.store.probes(self.check)

    def note_probe(self, route: Route, *, at: float) -> None:
        """Note that a suspected route is probed now."""
        self.store.note_probe(self.check, route, at)

    def is_stopping(self) -> bool:
        """Return whether nothing is waited for any more."""
        return self.store.is_stopping()

    def expect(self, reference: str) -> None:
        """Let the handset's posts be searched for a reference."""
        self.store.expect(self.check, reference)

    def received_after(self, reference: str) -> float | None:
        """Return how many seconds after ``expect`` the handset told of the reference."""
        return self.store.received_after(self.check, reference)
