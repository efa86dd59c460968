"""What a canary needs of the exporter: money, with a limit that a restart does not forget, and a handset that tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .reason import Reason


class Refusal(StrEnum):
    """Why nothing may be sent now. The values are words for a human."""

    SENDS = "the day's sends are used up"
    COST = "the day's money is used up"
    IN_FLIGHT = "the last one is still on its way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a canary may cost in one day, UTC."""

    max_sends: int
    max_cost: float
    currency: str  # ISO 4217


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """How long each leg of one test message took, in seconds from its sending; None: did not happen, or not seen."""

    accepted: float | None = None  # the provider's API took it
    sent: float | None = None  # the provider says that it handed it to the operator
    delivered: float | None = None  # the operator claims that it arrived
    received: float | None = None  # our own handset has it


Route = tuple[str, str]
"""Country and operator, each "" where it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LastCanary:
    """What the latest test message to a recipient said."""

    at: float  # Unix time
    reason: Reason
    detail: str


class CanaryDesk(Protocol):
    """The canaries of one check. Any thread may call any method; what it takes and settles is durable on return.

    Each method but those of probes, of the handset and of the end may raise StorageUnavailableError.
    """

    def reserve(self, recipient: str, cost: float, limits: Limits, *, now: float, busy_until: float) -> int | Refusal:
        """Take the cost of one message out of the day's money before it is sent; return what names it, or why not.

        No other message goes to the recipient before it is settled or ``busy_until`` (Unix time) has passed.
        """

    def settle(self, number: int, *, cost: float, reason: Reason, detail: str, legs: Legs) -> None:
        """Note what came of a message, and what it really cost."""

    def last(self, recipient: str) -> LastCanary | None:
        """Return what the latest message to a recipient said, None when none has come to its end."""

    def last_to(self, recipient: str) -> float | None:
        """Return when (Unix time) the latest message to a recipient was sent, None for never."""

    def probes(self) -> Mapping[Route, float]:
        """Return when (Unix time) each suspected route was last probed, as far as this process knows."""

    def note_probe(self, route: Route, *, at: float) -> None:
        """Note that a suspected route is probed now. This is all that a restart forgets."""

    def is_stopping(self) -> bool:
        """Return whether the process is about to end: nothing is waited for any more."""

    def expect(self, reference: str) -> None:
        """Let the handset's posts be searched for a reference from now on."""

    def received_after(self, reference: str) -> float | None:
        """Return how many seconds after ``expect`` the handset told of the reference, None as long as it did not."""
