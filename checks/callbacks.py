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
    UNVERIFIABLE = "unverifiable"  # what would prove it cannot be fetched now
    WRONG_ACCOUNT = "wrong_account"
    MALFORMED = "malformed"
    REPLAYED = "replayed"  # its signed time is not of now: an old post once more, or a clock that is wrong
    TOO_LARGE = "too_large"
    INCOMPLETE = "incomplete"  # its sender went away, or was too slow
    UNKNOWN_TARGET = "unknown_target"
    OVERLOADED = "overloaded"  # more than the database can take
    STORAGE_UNAVAILABLE = "storage_unavailable"
    INTERNAL = "internal"  # a defect of ours
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
    peer: str | None = None  # the address that it came from, which may be a proxy's; None: not known


@runtime_checkable
class CallbackClient(Protocol):
    """Can tell a genuine post of its provider from others, and what it says."""

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a post; none when it is genuine and says nothing of ours.

        Raises CallbackRefusedError. Calls nobody and takes no time, unless it is an ``AskingCallbackClient``.
        """

    @property
    def takes_callbacks(self) -> bool:
        """Whether posts are expected: without a public URL none can be believed."""

    @property
    def signed_headers(self) -> Sequence[str]:
        """The names, in lower case, of the headers that prove a post genuine: they are sent on with it."""

    @property
    def forward_to(self) -> str | None:
        """Where a genuine post is sent on to, as it came; None for nowhere."""


@runtime_checkable
class AskingCallbackClient(Protocol):
    """Has to ask its provider now and then before it can believe a post."""

    def has_to_ask(self, callback: Callback) -> bool:
        """Return whether ``read_callback`` will take its time, a few seconds at most. Calls nobody itself."""


@runtime_checkable
class QueryCallbackClient(Protocol):
    """Its provider calls back with GET too: a callback without a body, whose query says it all."""

    @property
    def takes_queries(self) -> bool:
        """Whether GET is answered."""
