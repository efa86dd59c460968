"""What the ledger passes on once it has told news from repetition: the input of the operator-fault detector."""

import msgspec

from ..reason import Reason
from .receipt import Status


class Movement(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A message that newly came to a status. Times are Unix time; ids and recipients are keyed hashes.

    A message that is first seen when it has already arrived moves once: to delivered.
    """

    message: bytes
    recipient: bytes  # b"" where it is not known
    created_at: float
    country: str
    operator: str
    status: Status
    at: float
    reason: Reason | None = None  # why it failed
    code: str | None = None  # the vendor's error code
    delivery_seconds: float | None = None  # created to delivered; None when not delivered or not known


class Confirmation(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A client typed the code that went to this recipient. ``at`` is Unix time."""

    recipient: bytes
    at: float
