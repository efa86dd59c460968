"""The message ledger: every message is counted once for each status that it reaches.

A message is known by a keyed hash of its id. Its status only moves forward, so the order, repetition and
overlap of readings do not matter. The functions work inside a transaction of the caller's.
"""

import hashlib
import sqlite3
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from checks.messages import Receipt, Status, reached
from checks.reason import Reason
from checks.result import MessageLog

from .snapshot import LATENCY_BOUNDS, Latency, Route, Tally

SCHEMA: Final = """
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

KEPT: Final = timedelta(days=8)  # a reading goes back for a day at the most before the last one
UNKNOWN_CODE: Final = "unknown"  # stands for every code that the vendor's table does not know
OTHER_CODE: Final = "other"
_MAX_CODES: Final = 100  # labels for one target, first come; codes beyond count as OTHER_CODE
_HASH_BYTES: Final = 16
_SQL_VARIABLES: Final = 500  # in one statement


@dataclass(slots=True)
class Change:
    """What one reading of a log adds to a tally."""

    code_labels: set[str]  # those in use so far
    messages: Counter[tuple[Route, Status]] = field(default_factory=Counter)
    failures: Counter[tuple[Route, Reason]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    latencies: defaultdict[Route, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: defaultdict[tuple[Route, int], float] = field(default_factory=lambda: defaultdict(float))
    unmapped: int = 0

    def add(self, receipt: Receipt, statuses: Iterable[Status]) -> None:
        """Count one message for the statuses that it newly reached."""
        route = Route(receipt.country, receipt.operator)
        for status in statuses:
            self.messages[route, status] += 1
            if status is Status.DELIVERED and receipt.delivery_seconds is not None:
                bucket = bisect_left(LATENCY_BOUNDS, receipt.delivery_seconds)
                self.latencies[route][bucket] += 1
                self.seconds[route, bucket] += receipt.delivery_seconds
            if status in (Status.UNDELIVERED, Status.FAILED):
                self.failures[route, receipt.reason or Reason.DELIVERY_FAILING] += 1
                self._add_code(receipt)

    def _add_code(self, receipt: Receipt) -> None:
        if receipt.code is None:
            return
        label = receipt.code if receipt.code_is_mapped else UNKNOWN_CODE
        if label not in self.code_labels and len(self.code_labels) >= _MAX_CODES:
            label = OTHER_CODE
        self.code_labels.add(label)
        self.codes[label] += 1
        if not receipt.code_is_mapped:
            self.unmapped += 1

    def added_to(self, tally: Tally) -> Tally:
        """Return ``tally`` with this change. In a first reading nothing is new: all of it is history."""
        known = {route for route, _ in tally.messages}
        latency = dict(tally.latency)
        for route, counts in self.latencies.items():
            seconds = sum(self.seconds[route, bucket] for bucket in counts)
            latency[route] = latency.get(route, Latency()).plus(counts, seconds)
        return Tally(
            messages=Counter(tally.messages) + self.messages,
            failures=Counter(tally.failures) + self.failures,
            codes=Counter(tally.codes) + self.codes,
            latency=latency,
            new_routes=frozenset(route for route, _ in self.messages) - known if known else frozenset(),
            new_codes=frozenset(self.codes) - frozenset(tally.codes) if known else frozenset(),
        )


def count(db: sqlite3.Connection, key: bytes, target: str, log: MessageLog) -> Change:
    """Write what is new in ``log`` and return it. Raises sqlite3.Error."""
    latest: dict[bytes, Receipt] = {}
    for receipt in log.receipts:
        id_hash = _hash(key, receipt.message_id)
        if id_hash not in latest or receipt.status.rank > latest[id_hash].status.rank:
            latest[id_hash] = receipt
    known = _known_statuses(db, target, list(latest))
    labels = db.execute("SELECT code FROM code_counts WHERE target = ?", (target,))
    change = Change({code for (code,) in labels})
    moved = []
    for id_hash, receipt in latest.items():
        statuses = reached(known.get(id_hash), receipt.status)
        if statuses:
            change.add(receipt, statuses)
            moved.append((target, id_hash, receipt.created_at.timestamp(), receipt.status.value))
    db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status", moved)
    _write(db, target, change)
    return change


def prune(db: sqlite3.Connection) -> None:
    """Forget messages that no reading will bring again. Raises sqlite3.Error.

    Old is what is old in the log's own time: the wall clock may have jumped, and a log may not have been
    read for long.
    """
    db.execute(
        "DELETE FROM messages WHERE created_at < (SELECT read_until - ? FROM logs WHERE logs.target = messages.target)",
        (KEPT.total_seconds(),),
    )


def load(db: sqlite3.Connection) -> dict[str, Tally]:
    """Return the tally of every target. Raises sqlite3.Error."""
    messages: defaultdict[str, dict[tuple[Route, Status], int]] = defaultdict(dict)
    for target, country, operator, status, total in db.execute("SELECT * FROM message_counts"):
        messages[target][Route(country, operator), Status(status)] = total
    failures: defaultdict[str, dict[tuple[Route, Reason], int]] = defaultdict(dict)
    for target, country, operator, reason, total in db.execute("SELECT * FROM failure_counts"):
        failures[target][Route(country, operator), Reason(reason)] = total
    codes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for target, code, total in db.execute("SELECT * FROM code_counts"):
        codes[target][code] = total
    latency: defaultdict[str, dict[Route, Latency]] = defaultdict(dict)
    for target, country, operator, bucket, total, seconds in db.execute("SELECT * FROM latencies"):
        route = Route(country, operator)
        latency[target][route] = latency[target].get(route, Latency()).plus({bucket: total}, seconds)
    return {
        target: Tally(
            messages=messages[target],
            failures=failures[target],
            codes=codes[target],
            latency=latency[target],
        )
        for target in list(messages)
    }


def _write(db: sqlite3.Connection, target: str, change: Change) -> None:
    add = "ON CONFLICT DO UPDATE SET total = total + excluded.total"
    db.executemany(
        f"INSERT INTO message_counts VALUES (?, ?, ?, ?, ?) {add}",
        [(target, r.country, r.operator, status.value, n) for (r, status), n in change.messages.items()],
    )
    db.executemany(
        f"INSERT INTO failure_counts VALUES (?, ?, ?, ?, ?) {add}",
        [(target, r.country, r.operator, reason.value, n) for (r, reason), n in change.failures.items()],
    )
    db.executemany(
        f"INSERT INTO code_counts VALUES (?, ?, ?) {add}",
        [(target, code, n) for code, n in change.codes.items()],
    )
    db.executemany(
        f"INSERT INTO latencies VALUES (?, ?, ?, ?, ?, ?) {add}, seconds = seconds + excluded.seconds",
        [
            (target, route.country, route.operator, bucket, n, change.seconds[route, bucket])
            for route, counts in change.latencies.items()
            for bucket, n in counts.items()
        ],
    )


def _known_statuses(db: sqlite3.Connection, target: str, hashes: Sequence[bytes]) -> Mapping[bytes, Status]:
    known: dict[bytes, Status] = {}
    for start in range(0, len(hashes), _SQL_VARIABLES):
        part = hashes[start : start + _SQL_VARIABLES]
        marks = ", ".join("?" * len(part))
        rows = db.execute(
            f"SELECT id_hash, status FROM messages WHERE target = ? AND id_hash IN ({marks})",  # question marks
            (target, *part),
        )
        known |= {id_hash: Status(status) for id_hash, status in rows}
    return known


def _hash(key: bytes, message_id: str) -> bytes:
    return hashlib.blake2b(message_id.encode(), key=key, digest_size=_HASH_BYTES).digest()
