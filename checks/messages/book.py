"""The book of one target's messages, as the checks see it: what is read so far, what is new, what it means.

The exporter keeps the book (in its database); a check reads the provider's log into it page by page, so that
memory does not grow with what there is to read.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from .detector import Suspicion, Verdict
from .receipt import Receipt


class Gap(msgspec.Struct, frozen=True):
    """A stretch of the log that is still to be read. Times are Unix time, by creation of the messages."""

    since: float
    until: float
    resume: str | None = None  # the client's own bookmark of how far a reading of this gap has come


class Reading(msgspec.Struct, frozen=True):
    """How far a target's log has been read, in the log's own time."""

    read_until: float | None = None  # Unix time; None: never
    gaps: tuple[Gap, ...] = ()  # the oldest first
    swept_at: float | None = None  # when late changes were last looked for


class Recent(msgspec.Struct, frozen=True):
    """Messages created lately, each counted once."""

    messages: int
    delivered: int
    failed: Mapping[tuple[str, str], int]  # by country and code, failures that no single client can mend
    waiting: int  # sent, without a receipt for longer than the window of receipts
    latency_seconds: float | None  # 90 % of those delivered took no longer
    newest_at: float | None  # Unix time: when the newest message of all was created


class LogBook(Protocol):
    """What a reader of the log needs of a book. Any thread may call any method."""

    def reading(self) -> Reading:
        """Return how far the log has been read."""

    def take(
        self, receipts: Sequence[Receipt], *, reading: Reading | None = None, known_until: float | None = None
    ) -> None:
        """Count what is new in ``receipts`` and note how far the log has been read, both or neither; durable on return.

        ``known_until`` is Unix time: every message created and every status reached before it is known now.
        Raises StorageUnavailableError when it cannot be written.
        """


class Book(LogBook, Protocol):
    """One target's messages. Any thread may call any method."""

    def expire(self, sent_before: float) -> None:
        """Count messages sent before then (Unix time) that still have no receipt, each once.

        Raises StorageUnavailableError when it cannot be written.
        """

    def recent(self, since: float, *, overdue_before: float) -> Recent:
        """Return what is known of the messages created at or after ``since`` (Unix time)."""

    def suspicions(self) -> Sequence[Suspicion]:
        """Return what the detector suspects, with more than half of the evidence that a verdict takes."""

    def note_probe(self, country: str, operator: str, *, arrived: bool) -> None:
        """Let a test message that went by a suspected route be evidence.

        Raises StorageUnavailableError when it cannot be written.
        """

    def verdicts(self) -> Sequence[Verdict]:
        """Return what the detector of operator faults says now, the worst first."""

    def explained_until(self) -> float:
        """Return when the latest fault ended that the detector had named (Unix time); 0 when there was none."""
