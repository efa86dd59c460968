"""Codes that were typed and codes that were not, each counted once. Works inside a transaction of the caller's."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from checks.messages import UNKNOWN_COUNTRY, UNKNOWN_OPERATOR, Confirmation
from checks.messages.operator import origin_of
from checks.messages.verification import CODE_LIFE_SECONDS, Attempt, Conversion, TypedCode

from .database import Connection
from .ledger import keyed_hash
from .statements import add, replace

SCHEMA: Final = """
CREATE TABLE verifications (
    target TEXT NOT NULL, id_hash BLOB NOT NULL, created_at REAL NOT NULL,
    PRIMARY KEY (target, id_hash)
) WITHOUT ROWID;
CREATE INDEX verifications_by_age ON verifications (target, created_at);
CREATE TABLE verification_hours (
    target TEXT NOT NULL, hour INTEGER NOT NULL, country TEXT NOT NULL, operator TEXT NOT NULL, result TEXT NOT NULL,
    total INTEGER NOT NULL, PRIMARY KEY (target, hour, country, operator, result)
) WITHOUT ROWID;
CREATE TABLE verification_counts (
    target TEXT NOT NULL, country TEXT NOT NULL, result TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (target, country, result)
) WITHOUT ROWID;
CREATE TABLE typed_codes (target TEXT NOT NULL, recipient BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE attempt_readings (target TEXT PRIMARY KEY, read_until REAL NOT NULL) WITHOUT ROWID;
"""

KEPT_SECONDS: Final = 2 * 86_400.0
KEPT_HOURS_SECONDS: Final = 16 * 86_400.0
_HOUR: Final = 3600


class Result(StrEnum):
    """What became of a code."""

    CONVERTED = "converted"
    UNCONVERTED = "unconverted"  # although the operator claims that the message arrived
    UNARRIVED = "unarrived"  # not typed, and no message was said to have arrived

    @property
    def label(self) -> str:
        """The result as a label: typed or not."""
        return Result.CONVERTED.value if self is Result.CONVERTED else Result.UNCONVERTED.value


@dataclass(slots=True)
class Change:
    """What a batch adds."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by country and label
    hours: Counter[tuple[int, str, str, Result]] = field(default_factory=Counter)
    confirmations: list[Confirmation] = field(default_factory=list)
    unknown: int = 0  # codes of messages that are not in the ledger

    def add(self, created_at: float, country: str, operator: str, result: Result) -> None:
        """Count one code."""
        self.counts[country, result.label] += 1
        self.hours[int(created_at // _HOUR), country, operator, result] += 1


@dataclass(frozen=True, slots=True)
class Verifications:
    """Counts the codes of one target."""

    target: str
    key: bytes
    label: Callable[[str, str], str]  # country and operator -> the operator's label, of which there are few

    def take(self, db: Connection, attempts: Iterable[Attempt], now: float) -> Change:
        """Count the attempts that are decided and were not counted yet. Raises one of DATABASE_ERRORS."""
        change = Change()
        for attempt in attempts:
            id_hash = keyed_hash(self.key, attempt.attempt_id)
            is_decided = attempt.converted_at is not None or attempt.created_at < now - CODE_LIFE_SECONDS
            if not is_decided or not self._is_new(db, id_hash, attempt.created_at):
                continue
            operator = self.label(attempt.country, attempt.operator)
            if attempt.converted_at is not None:
                result = Result.CONVERTED
                if attempt.recipient:
                    change.confirmations.append(
                        Confirmation(keyed_hash(self.key, attempt.recipient), attempt.converted_at)
                    )
            else:
                result = Result.UNCONVERTED if attempt.has_arrived else Result.UNARRIVED
            change.add(attempt.created_at, attempt.country, operator, result)
        self._write(db, change)
        db.executemany(
            "INSERT INTO typed_codes VALUES (?, ?, ?)",
            [(self.target, told.recipient, told.at) for told in change.confirmations],
        )
        change.confirmations = []
        return change

    def told(self, db: Connection, read_until: float) -> list[Confirmation]:
        """End a reading of the attempts: return all that it told of typed codes. Raises one of DATABASE_ERRORS."""
        db.execute(replace("attempt_readings", "target", "read_until"), (self.target, read_until))
        rows = db.execute("SELECT recipient, at FROM typed_codes WHERE target = ?", (self.target,)).fetchall()
        db.execute("DELETE FROM typed_codes WHERE target = ?", (self.target,))
        return [Confirmation(recipient, at) for recipient, at in rows]

    def confirm(self, db: Connection, codes: Iterable[TypedCode]) -> Change:
        """Count what the application tells, each code once. Raises one of DATABASE_ERRORS."""
        change = Change()
        for code in codes:
            recipient, country, operator, status = self._origin(db, code)
            change.unknown += status is None
            subject = code.message_id or f"{code.recipient}/{code.at}"
            if not self._is_new(db, keyed_hash(self.key, f"typed/{subject}"), code.at):
                continue
            if code.typed:
                result = Result.CONVERTED
                if recipient:
                    change.confirmations.append(Confirmation(recipient, code.at))
            else:
                result = Result.UNCONVERTED if status == "delivered" else Result.UNARRIVED
            change.add(code.at, country, self.label(country, operator), result)
        self._write(db, change)
        return change

    def begin(self, db: Connection) -> float | None:
        """Return the beginning (Unix time) of the first hour that is known. Raises one of DATABASE_ERRORS."""
        (hour,) = db.execute("SELECT min(hour) FROM verification_hours WHERE target = ?", (self.target,)).fetchone()
        return None if hour is None else float(hour * _HOUR)

    def conversions(self, db: Connection, since: float, until: float) -> Sequence[Conversion]:
        """Return what became of the codes of whole hours. Raises one of DATABASE_ERRORS."""
        rows = db.execute(
            "SELECT country, operator, result, CAST(sum(total) AS BIGINT) FROM verification_hours"
            " WHERE target = ? AND hour >= ? AND hour < ? GROUP BY country, operator, result",
            (self.target, since // _HOUR, until // _HOUR),
        )
        totals: defaultdict[tuple[str, str], Counter[Result]] = defaultdict(Counter)
        for country, operator, result, total in rows:
            totals[country, operator][Result(result)] = total
        return [
            Conversion(country, operator, each[Result.CONVERTED], each[Result.UNCONVERTED], each[Result.UNARRIVED])
            for (country, operator), each in totals.items()
        ]

    def _is_new(self, db: Connection, id_hash: bytes, created_at: float) -> bool:
        cursor = db.execute(
            "INSERT INTO verifications VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (self.target, id_hash, created_at)
        )
        return cursor.rowcount == 1

    def _origin(self, db: Connection, code: TypedCode) -> tuple[bytes, str, str, str | None]:
        """Return recipient (hashed), country, operator and status of the message of a code, as far as it is known."""
        if code.message_id:
            row = db.execute(
                "SELECT recipient, country, operator, status FROM messages WHERE target = ? AND id_hash = ?",
                (self.target, keyed_hash(self.key, code.message_id)),
            ).fetchone()
            return row or (b"", UNKNOWN_COUNTRY, UNKNOWN_OPERATOR, None)
        country, operator = origin_of(code.recipient)
        return keyed_hash(self.key, code.recipient), country, operator, "delivered"

    def _write(self, db: Connection, change: Change) -> None:
        db.executemany(
            add("verification_counts", "target, country, result", "total"),
            [(self.target, country, label, total) for (country, label), total in change.counts.items()],
        )
        db.executemany(
            add("verification_hours", "target, hour, country, operator, result", "total"),
            [
                (self.target, hour, country, operator, result.value, total)
                for (hour, country, operator, result), total in change.hours.items()
            ],
        )


def load(db: Connection) -> dict[str, Counter[tuple[str, str]]]:
    """Return the counts of every target, by country and label. Raises one of DATABASE_ERRORS."""
    loaded: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
    for target, country, label, total in db.execute("SELECT * FROM verification_counts"):
        loaded[target][country, label] = total
    return dict(loaded)


def prune(db: Connection, target: str, read_until: float | None) -> None:
    """Forget what no reading will bring again; ``read_until`` is how far the attempts are read (Unix time).

    Where none are read, the latest code that the application told of is the time. Raises one of DATABASE_ERRORS.
    """
    now = read_until
    if now is None:
        (now,) = db.execute("SELECT max(created_at) FROM verifications WHERE target = ?", (target,)).fetchone()
    if now is None:
        return
    db.execute("DELETE FROM verifications WHERE target = ? AND created_at < ?", (target, now - KEPT_SECONDS))
    hour = (now - KEPT_HOURS_SECONDS) // _HOUR
    db.execute("DELETE FROM verification_hours WHERE target = ? AND hour < ?", (target, hour))
