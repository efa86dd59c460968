"""The book of one target's messages, as a check is given it."""

from collections.abc import Sequence
from dataclasses import dataclass

from checks.messages import Receipt
from checks.messages.book import Reading, Recent
from checks.messages.detector import Suspicion, Verdict
from checks.messages.verification import Attempt, Conversion, TypedCode

from .messages import Messages


@dataclass(frozen=True, slots=True)
class TargetBook:
    """``checks.messages.book.Book`` on the database."""

    messages: Messages
    target: str

    def reading(self) -> Reading:
        """Return how far the log has been read."""
        return self.messages.reading(self.target)

    def take(
        self, receipts: Sequence[Receipt], *, reading: Reading | None = None, known_until: float | None = None
    ) -> None:
        """Count what is new in ``receipts``; durable on return. Raises StorageUnavailableError."""
        self.messages.take(self.target, receipts, reading=reading, known_until=known_until)

    def expire(self, sent_before: float) -> None:
        """Count messages sent before then that still have no receipt. Raises StorageUnavailableError."""
        self.messages.expire(self.target, sent_before)

    def recent(self, since: float, *, overdue_before: float) -> Recent:
        """Return what is known of the messages created at or after ``since`` (Unix time)."""
        return self.messages.recent(self.target, since, overdue_before=overdue_before)

    def attempts_read_until(self) -> float | None:
        """Return how far the attempts have been read (Unix time). Raises StorageUnavailableError."""
        return self.messages.attempts_read_until(self.target)

    def take_attempts(self, attempts: Sequence[Attempt], *, now: float, read_until: float | None = None) -> None:
        """Count each attempt once; durable on return. Raises StorageUnavailableError."""
        self.messages.take_attempts(self.target, attempts, now=now, read_until=read_until)

    def confirm(self, codes: Sequence[TypedCode]) -> int:
        """Count what the application tells; return how many are of unknown messages. Raises StorageUnavailableError."""
        return self.messages.confirm(self.target, codes)

    def conversions_begin(self) -> float | None:
        """Return since when the results of codes are known. Raises StorageUnavailableError."""
        return self.messages.conversions_begin(self.target)

    def conversions(self, since: float, until: float) -> Sequence[Conversion]:
        """Return what became of the codes of whole hours. Raises StorageUnavailableError."""
        return self.messages.conversions(self.target, since, until)

    def suspicions(self) -> Sequence[Suspicion]:
        """Return what the detector suspects."""
        return self.messages.suspicions(self.target)

    def note_probe(self, country: str, operator: str, *, arrived: bool) -> None:
        """Let a test message be evidence; durable on return. Raises StorageUnavailableError."""
        self.messages.note_probe(self.target, country, operator, arrived=arrived)

    def verdicts(self) -> Sequence[Verdict]:
        """Return what the detector of operator faults says now, the worst first."""
        return self.messages.verdicts(self.target)

    def explained_until(self) -> float:
        """Return when the latest fault ended that the detector had named (Unix time); 0 when there was none."""
        return self.messages.explained_until(self.target)
