"""What the platform's verifier told of TOTP attempts: counts by step, in slots of five minutes and of all time.

Nothing of an attempt is kept but the step that its code matched. A batch that is sent again is known by its id.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from checks.totp_steps import Slot

from .ledger import keyed_hash
from .statements import add

if TYPE_CHECKING:
    from .database import Database  # it counts in the meters, which know the outcomes below

SCHEMA: Final = """
CREATE TABLE verifier_slots (
    target TEXT NOT NULL, slot INTEGER NOT NULL, step TEXT NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (target, slot, step)
) WITHOUT ROWID;
CREATE TABLE verifier_counts (
    target TEXT NOT NULL, step TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (target, step)
) WITHOUT ROWID;
CREATE TABLE verifier_batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, batch BLOB NOT NULL, UNIQUE (target, batch)
);
CREATE INDEX verifier_batches_by_age ON verifier_batches (target, number);
"""

SLOT_SECONDS: Final = 300
KEPT_SECONDS: Final = 15 * 86_400
KEPT_BATCHES: Final = 1000
"""The batches of a target that are recognised when they come again."""

FURTHEST_STEP: Final = 60
"""Steps further off are not looked for: it is for diagnosis alone, and each step more is a chance to match falsely."""

_NONE: Final = "none"
_REPLAYED: Final = "replayed"
_LEAST: Final = "-3-or-less"
_MOST: Final = "3-or-more"
_BETWEEN: Final = ("-2", "-1", "0", "1", "2")

STEP_WORDS: Final = (_LEAST, *_BETWEEN, _MOST, _NONE, _REPLAYED)
"""Every word for a step in the counts of all time: few, as each is a label's value."""


class VerifierEventOutcome(StrEnum):
    """What came of a request with events."""

    TAKEN = "taken"
    UNAUTHORIZED = "unauthorized"
    MALFORMED = "malformed"
    STORAGE_UNAVAILABLE = "storage_unavailable"


@dataclass(frozen=True, slots=True)
class VerifierEvent:
    """One attempt of any client."""

    at: float  # Unix time
    step: int | None  # that the code matched: 0 the server's own, -1 the one before; None: it matched none
    used: bool  # whether that step was used already

    @property
    def kept_step(self) -> str:
        """What is counted in a slot."""
        if self.used:
            return _REPLAYED
        return _NONE if self.step is None else str(self.step)


def step_word(kept_step: str) -> str:
    """Return the word, of a few, that stands for a step in the counts of all time."""
    if kept_step in STEP_WORDS:
        return kept_step
    return _LEAST if int(kept_step) < 0 else _MOST


class VerifierStore:
    """The events of all targets. Any thread may call any method."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._totals: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def forget(self) -> None:
        """Know nothing any more, for who holds the database's lock."""
        self._totals.clear()

    def load(self) -> None:
        """Know what the database holds, for who holds its lock. Raises one of DATABASE_ERRORS."""
        self.forget()
        for target, step, total in self._database.writer.execute("SELECT target, step, total FROM verifier_counts"):
            self._totals[target][step] = total

    def take(self, target: str, events: Sequence[VerifierEvent], *, batch: str = "") -> None:
        """Count events durably, all or none; those of a ``batch`` that was taken before are not counted again.

        Raises StorageUnavailableError.
        """
        slots = Counter((math.floor(event.at / SLOT_SECONDS), event.kept_step) for event in events)
        totals: Counter[str] = Counter()
        for (_, step), count in slots.items():
            totals[step_word(step)] += count
        with self._database.lock:
            with self._database.written() as db:
                if batch:
                    cursor = db.execute(
                        "INSERT INTO verifier_batches (target, batch) VALUES (?, ?) ON CONFLICT DO NOTHING",
                        (target, keyed_hash(self._database.key, batch)),
                    )
                    if cursor.rowcount == 0:
                        return
                    db.execute(
                        "DELETE FROM verifier_batches WHERE target = ? AND number <="
                        " (SELECT number FROM verifier_batches WHERE target = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                        (target, target, KEPT_BATCHES),
                    )
                db.executemany(
                    add("verifier_slots", "target, slot, step", "total"),
                    [(target, slot, step, count) for (slot, step), count in slots.items()],
                )
                db.executemany(
                    add("verifier_counts", "target, step", "total"),
                    [(target, word, count) for word, count in totals.items()],
                )
            self._totals[target].update(totals)

    def prune(self, now: float) -> None:
        """Forget the slots that began more than 15 days before ``now`` (Unix time), for who holds the database's lock.

        Raises StorageUnavailableError.
        """
        with self._database.written() as db:
            db.execute("DELETE FROM verifier_slots WHERE slot < ?", ((now - KEPT_SECONDS) // SLOT_SECONDS,))

    def book(self, target: str) -> "Book":
        """Return what a check of one target may read."""
        return Book(self._database, target)

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return the attempts of all time by target and word of ``STEP_WORDS``."""
        with self._database.lock:
            return MappingProxyType(
                {target: MappingProxyType(dict(by_step)) for target, by_step in self._totals.items()}
            )


@dataclass(frozen=True, slots=True)
class Book:
    """``checks.totp_steps.VerifierBook`` on the database."""

    database: "Database"
    target: str

    def slots(self, since: float) -> Sequence[Slot]:
        """See ``checks.totp_steps.VerifierBook``."""
        with self.database.lock, self.database.read() as db:
            rows = db.execute(
                "SELECT slot, step, total FROM verifier_slots WHERE target = ? AND slot >= ? ORDER BY slot",
                (self.target, math.ceil(since / SLOT_SECONDS)),
            ).fetchall()
        totals: defaultdict[int, dict[str, int]] = defaultdict(dict)
        for slot, step, total in rows:
            totals[slot][step] = total
        return [_slot(slot, by_step) for slot, by_step in totals.items()]


def _slot(number: int, totals: Mapping[str, int]) -> Slot:
    return Slot(
        at=float(number * SLOT_SECONDS),
        steps={int(step): total for step, total in totals.items() if step not in (_NONE, _REPLAYED)},
        unmatched=totals.get(_NONE, 0),
        replayed=totals.get(_REPLAYED, 0),
    )
