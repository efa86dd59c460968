"""One reason that explains what a client sees, with what speaks for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ..reason import Owner, Reason


class Confidence(StrEnum):
    """How sure a finding is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One piece of evidence."""

    text: str
    at: datetime | None = None  # aware, UTC


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A reason, how sure it is and why."""

    reason: Reason
    confidence: Confidence
    evidence: Sequence[Line]

    @property
    def owner(self) -> Owner:
        """Who can act."""
        return self.reason.row.owner

    @property
    def next_step(self) -> str:
        """What to do first."""
        return self.reason.row.next_step
