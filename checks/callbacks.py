"""What a provider posts to us about its messages, before anybody has said that it is true."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from .messages.receipt import Receipt


class CallbackOutcome(StrEnum):
    """What came of one post."""

    ACCEPTED = "accepted"  # its receipts are in the database
    IGNORED = "ignored"  # genuine, and not about a message that we sent or a status that we know
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad_signature"
    WRONG_ACCOUNT = "wrong_account"
    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    INCOMPLETE = "incomplete"  # its sender went away, or was too slow
    UNKNOWN_TARGET = "unknown_target"
    OVERLOADED = "overloaded"  # more than the database can take
    STORAGE_UNAVAILABLE = "storage_unavailable"
    STANDBY = "standby"  # another of several exporters takes posts


class CallbackRefusedError(Exception):
    """A post is not to be believed or not to be understood; nothing of it is used."""

    def __init__(self, outcome: CallbackOutcome) -> None:
        super().__init__(outcome.value)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Callback:
    """One post as it came: every byte of it from outside."""

    query: str
    headers: Mapping[str, str]  # names in lower case; of one that is repeated the last
    body: bytes
    at: float  # Unix time of its arrival, by our clock


@runtime_checkable
class CallbackClient(Protocol):
    """Can tell a genuine post of its provider from others, and what it says."""

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a post; none when it is genuine and says nothing of ours.

        Raises CallbackRefusedError. Calls nobody and takes no time.
        """

    @property
    def takes_callbacks(self) -> bool:
        """Whether posts are expected: without a public URL none can be believed."""

    @property
    def forward_to(self) -> str | None:
        """Where a genuine post is sent on to, as it came; None for nowhere."""
