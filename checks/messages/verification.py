"""Did the client type the code? What a provider's verification service, or the application itself, tells of it."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

CODE_LIFE_SECONDS: Final = 600.0
"""After this a code that was not typed never will be: NIST SP 800-63B-4, section 3.1.3.2."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One code that a verification service sent. Times are Unix time."""

    attempt_id: str  # the provider's; storage keeps only a keyed hash of it
    created_at: float
    converted_at: float | None  # when the right code was typed; None: not yet, or never
    has_arrived: bool  # the operator claims that the message was delivered
    recipient: str  # E.164; "" where the provider no longer has it
    country: str  # ISO 3166 alpha-2, or UNKNOWN_COUNTRY
    operator: str

    def __repr__(self) -> str:
        return f"Attempt({self.attempt_id}: {self.country}, {self.operator}, converted at {self.converted_at})"


class TypedCode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the application tells of one code: of a message, or of what it sent to a number."""

    message_id: str = ""
    recipient: str = ""  # E.164
    at: float  # Unix time
    typed: bool = True  # False: the client gave up, or the code ran out

    def __repr__(self) -> str:
        return f"TypedCode({self.message_id}: typed {self.typed} at {self.at:.0f})"


class Conversion(msgspec.Struct, frozen=True):
    """Codes to one operator that were typed, and those that never will be."""

    country: str
    operator: str
    converted: int
    unconverted: int  # although the operator claims that the message arrived
    unarrived: int  # not typed, and no message was said to have arrived


class VerificationBook(Protocol):
    """One target's codes. Any thread may call any method; what it takes is durable when it returns.

    Each method may raise StorageUnavailableError.
    """

    def attempts_read_until(self) -> float | None:
        """Return how far the attempts have been read (Unix time), None for never."""

    def take_attempts(self, attempts: Sequence[Attempt], *, now: float, read_until: float | None = None) -> None:
        """Count each attempt once: as converted, or as unconverted when its code has run out."""

    def confirm(self, codes: Sequence[TypedCode]) -> int:
        """Count what the application tells, each once; return how many are about a message that we do not know."""

    def conversions_begin(self) -> float | None:
        """Return since when (Unix time) the results of codes are known, None when none is."""

    def conversions(self, since: float, until: float) -> Sequence[Conversion]:
        """Return what became of the codes sent in whole hours from ``since`` on and before ``until`` (Unix time)."""
