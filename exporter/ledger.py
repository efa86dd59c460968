"""The message ledger: every message is counted once for each status that it reaches.

A message is known by a keyed hash of its id. Its status only moves forward, so the order, repetition and
overlap of readings, callbacks and events do not matter. The functions work inside a transaction of the
caller's.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from checks.messages import UNKNOWN_COUNTRY, Movement, Receipt, Source, Status, reached
from checks.reason import Reason

from .buckets import Buckets
from .snapshot import Route
from .statements import add, replace

if TYPE_CHECKING:
    from .database import Connection  # it counts in the meters, which know what comes of a verifier's events

SCHEMA: Final = """
CREATE TABLE messages (
    target TEXT NOT NULL, id_hash BLOB NOT NULL, created_at REAL NOT NULL, status TEXT NOT NULL,
    created_is_known INTEGER NOT NULL, status_at REAL NOT NULL, source TEXT NOT NULL,
    country TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT, code TEXT, delivery_seconds REAL,
    recipient BLOB NOT NULL,
    PRIMARY KEY (target, id_hash)
) WITHOUT ROWID;
CREATE INDEX messages_by_age ON messages (target, created_at);
CREATE INDEX messages_waiting ON messages (target, created_at) WHERE status = 'sent';
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
    target TEXT NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, source TEXT NOT NULL,
    bucket INTEGER NOT NULL, total INTEGER NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (target, country, operator, source, bucket)
) WITHOUT ROWID;
"""

KEPT: Final = timedelta(days=4)  # before the oldest moment of the log that is still to be read
UNKNOWN_CODE: Final = "unknown"  # stands for every code that the vendor's table does not know
OTHER_CODE: Final = "other"
_MAX_CODES: Final = 100  # labels for one target, first come; codes beyond count as OTHER_CODE
_HASH_BYTES: Final = 16
_SQL_VARIABLES: Final = 500  # in one statement


@dataclass(slots=True)
class Counts:
    """Messages of one target, each counted once for every status that it reached."""

    messages: Counter[tuple[Route, Status]] = field(default_factory=Counter)
    failures: Counter[tuple[Route, Reason]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    latencies: defaultdict[tuple[Route, Source], Buckets] = field(default_factory=lambda: defaultdict(Buckets))

    def forget(self, route: Route) -> None:
        """Drop all counts of a route."""
        _drop(self.messages, route)
        _drop(self.failures, route)
        _drop(self.latencies, route)

    def update(self, other: "Counts") -> None:
        """Add all that ``other`` counted."""
        self.messages.update(other.messages)
        self.failures.update(other.failures)
        self.codes.update(other.codes)
        for key, buckets in other.latencies.items():
            self.latencies[key].update(buckets)


@dataclass(slots=True)
class Change:
    """What a batch of receipts adds."""

    counts: Counts = field(default_factory=Counts)
    movements: list[Movement] = field(default_factory=list)
    unmapped: int = 0  # error codes that the vendor's table does not know


class _Row(NamedTuple):
    """What is known of one message."""

    target: str
    id_hash: bytes
    created_at: float
    status: Status
    created_is_known: bool
    status_at: float
    source: Source
    country: str
    operator: str
    reason: Reason | None
    code: str | None
    delivery_seconds: float | None
    recipient: bytes


@dataclass(frozen=True, slots=True)
class Ledger:
    """Counts the receipts of one target."""

    target: str
    key: bytes
    label: Callable[[str, str], str]  # country and operator -> the operator's label, of which there are few
    codes: set[str]  # the labels of codes in use

    def count(self, db: "Connection", receipts: Iterable[Receipt]) -> Change:
        """Write what is new in ``receipts`` and return it. Raises one of DATABASE_ERRORS."""
        by_message: dict[bytes, list[Receipt]] = {}
        for receipt in receipts:
            by_message.setdefault(keyed_hash(self.key, receipt.message_id), []).append(receipt)
        known = _known(db, self.target, list(by_message))
        change = Change()
        moved = []
        for id_hash, told in by_message.items():
            before = known.get(id_hash)
            after = self._next(change, before, id_hash, told[0] if len(told) == 1 else _furthest(told))
            if after is not before:
                moved.append(after)
        db.executemany(_KEEP, moved)
        _write(db, self.target, change.counts)
        return change

    def expire(self, db: "Connection", sent_before: float) -> Change:
        """Count messages sent before then (Unix time) that still have no receipt. Raises one of DATABASE_ERRORS."""
        change = Change()
        missing = db.execute(
            "SELECT id_hash, country, operator FROM messages WHERE target = ? AND status = 'sent' AND created_at < ?",
            (self.target, sent_before),
        ).fetchall()
        for _, country, operator in missing:
            change.counts.messages[Route(country, self.label(country, operator)), Status.RECEIPT_MISSING] += 1
        db.executemany(
            "UPDATE messages SET status = 'receipt_missing' WHERE target = ? AND id_hash = ?",
            [(self.target, id_hash) for id_hash, _, _ in missing],
        )
        _write(db, self.target, change.counts)
        return change

    def _next(self, change: Change, row: _Row | None, id_hash: bytes, receipt: Receipt) -> _Row:
        """Return the row after a receipt; the same one when it tells nothing new."""
        statuses = reached(None if row is None else row.status, receipt.status)
        if row is None:
            created_at = receipt.at if receipt.created_at is None else receipt.created_at
            known = receipt.created_at is not None
            country, operator = receipt.country, receipt.operator
        else:
            known = row.created_is_known or receipt.created_at is not None
            told = None if row.created_is_known else receipt.created_at
            created_at = row.created_at if told is None else told
            country = receipt.country if row.country == UNKNOWN_COUNTRY else row.country
            operator = row.operator
            if not statuses:
                return row if known == row.created_is_known else self._dated(change, row, created_at)
        route = Route(country, self.label(country, operator))
        for status in statuses:
            change.counts.messages[route, status] += 1
        if receipt.status in _FAILURES:
            self._count_failure(change, route, receipt)
        seconds = None
        if receipt.status is Status.DELIVERED:
            seconds = receipt.delivery_seconds
            if seconds is None and known and receipt.source in _TIMELY:
                seconds = max(0.0, receipt.at - created_at)
            if seconds is not None:
                change.counts.latencies[route, receipt.source].observe(seconds)
        recipient = _recipient_hash(self.key, receipt) or (b"" if row is None else row.recipient)
        movement = Movement(
            id_hash,
            recipient,
            created_at,
            country,
            route.operator,
            receipt.status,
            receipt.at,
            receipt.reason,
            receipt.code,
            seconds,
        )
        if receipt.source is not Source.LATE_EVENT:
            change.movements.append(movement)
        return _Row(
            self.target,
            id_hash,
            created_at,
            receipt.status,
            known,
            receipt.at,
            receipt.source,
            country,
            operator,
            receipt.reason,
            receipt.code,
            seconds,
            recipient,
        )

    def _dated(self, change: Change, row: _Row, created_at: float) -> _Row:
        """Return the row with its date of creation, which only now is known."""
        seconds = row.delivery_seconds
        if row.status is Status.DELIVERED and seconds is None and row.source in _TIMELY:
            seconds = max(0.0, row.status_at - created_at)
            route = Route(row.country, self.label(row.country, row.operator))
            change.counts.latencies[route, row.source].observe(seconds)
        return row._replace(created_at=created_at, created_is_known=True, delivery_seconds=seconds)

    def _count_failure(self, change: Change, route: Route, receipt: Receipt) -> None:
        change.counts.failures[route, receipt.reason or Reason.DELIVERY_FAILING] += 1
        if receipt.code is None:
            return
        label = receipt.code if receipt.code_is_mapped else UNKNOWN_CODE
        if label not in self.codes and len(self.codes) >= _MAX_CODES:
            label = OTHER_CODE
        self.codes.add(label)
        change.counts.codes[label] += 1
        change.unmapped += not receipt.code_is_mapped


_FAILURES: Final = frozenset({Status.UNDELIVERED, Status.FAILED})
_TIMELY: Final = frozenset({Source.CALLBACK, Source.EVENT_STREAM})

_KEEP: Final = replace(
    "messages",
    "target, id_hash",
    "created_at, status, created_is_known, status_at, source, country, operator, reason, code, delivery_seconds,"
    " recipient",
)


def _furthest(told: Sequence[Receipt]) -> Receipt:
    """Return the receipt of the furthest status, with the date of creation from whichever knows it."""
    furthest = max(told, key=lambda receipt: receipt.status.rank)
    if furthest.created_at is not None:
        return furthest
    created_at = next((receipt.created_at for receipt in told if receipt.created_at is not None), None)
    return msgspec.structs.replace(furthest, created_at=created_at)


def _drop(counts: MutableMapping[Any, Any], route: Route) -> None:
    for key in [key for key in counts if key[0] == route]:
        del counts[key]


def prune(db: "Connection", target: str, before: float) -> None:
    """Forget messages created before then (Unix time), which no reading will bring again.

    Raises one of DATABASE_ERRORS.
    """
    db.execute("DELETE FROM messages WHERE target = ? AND created_at < ?", (target, before))


def forget_route(db: "Connection", target: str, route: Route) -> None:
    """Drop the counts of a route whose operator has no label any more. Raises one of DATABASE_ERRORS."""
    for table in ("message_counts", "failure_counts", "latencies"):
        db.execute(f"DELETE FROM {table} WHERE target = ? AND country = ? AND operator = ?", (target, *route))


def load(db: "Connection") -> dict[str, Counts]:
    """Return the counts of every target. Raises one of DATABASE_ERRORS."""
    loaded: defaultdict[str, Counts] = defaultdict(Counts)
    for target, country, operator, status, total in db.execute("SELECT * FROM message_counts"):
        loaded[target].messages[Route(country, operator), Status(status)] = total
    for target, country, operator, reason, total in db.execute("SELECT * FROM failure_counts"):
        loaded[target].failures[Route(country, operator), Reason(reason)] = total
    for target, code, total in db.execute("SELECT * FROM code_counts"):
        loaded[target].codes[code] = total
    for target, country, operator, source, bucket, total, seconds in db.execute("SELECT * FROM latencies"):
        key = (Route(country, operator), Source(source))
        loaded[target].latencies[key].add(bucket, total, seconds)
    return dict(loaded)


def movement_of(key: bytes, receipt: Receipt) -> Movement:
    """Return a receipt as it may be written to disk, without asking whether it is news."""
    return Movement(
        keyed_hash(key, receipt.message_id),
        _recipient_hash(key, receipt),
        receipt.at if receipt.created_at is None else receipt.created_at,
        receipt.country,
        receipt.operator,
        receipt.status,
        receipt.at,
        receipt.reason,
        receipt.code,
        receipt.delivery_seconds,
    )


def _recipient_hash(key: bytes, receipt: Receipt) -> bytes:
    return keyed_hash(key, receipt.recipient) if receipt.recipient else b""


def keyed_hash(key: bytes, text: str) -> bytes:
    """Return what stands for a message id or a phone number wherever it must be recognised again."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), key=key, digest_size=_HASH_BYTES).digest()


def _write(db: "Connection", target: str, counts: Counts) -> None:
    db.executemany(
        add("message_counts", "target, country, operator, status", "total"),
        [(target, r.country, r.operator, status.value, n) for (r, status), n in counts.messages.items()],
    )
    db.executemany(
        add("failure_counts", "target, country, operator, reason", "total"),
        [(target, r.country, r.operator, reason.value, n) for (r, reason), n in counts.failures.items()],
    )
    db.executemany(
        add("code_counts", "target, code", "total"),
        [(target, code, n) for code, n in counts.codes.items()],
    )
    db.executemany(
        add("latencies", "target, country, operator, source, bucket", "total, seconds"),
        [
            (target, route.country, route.operator, source.value, bucket, n, seconds)
            for (route, source), buckets in counts.latencies.items()
            for bucket, n, seconds in buckets.filled()
        ],
    )


def _known(db: "Connection", target: str, hashes: Sequence[bytes]) -> Mapping[bytes, _Row]:
    known: dict[bytes, _Row] = {}
    for start in range(0, len(hashes), _SQL_VARIABLES):
        part = hashes[start : start + _SQL_VARIABLES]
        marks = ", ".join("?" * len(part))  # question marks
        for columns in db.execute(
            "SELECT target, id_hash, created_at, status, created_is_known, status_at, source, country, operator,"
            f" reason, code, delivery_seconds, recipient FROM messages WHERE target = ? AND id_hash IN ({marks})",
            (target, *part),
        ):
            row = _Row(*columns)
            known[row.id_hash] = row._replace(
                status=Status(row.status),
                created_is_known=bool(row.created_is_known),
                source=Source(row.source),
                reason=None if row.reason is None else Reason(row.reason),
            )
    return known
