"""The delivery model: messages, receipts and how far a message has come. Pure, without I/O."""

from .country import UNKNOWN_COUNTRY, country_of, mask_number
from .movement import Confirmation, Movement
from .receipt import FAILURE_REASONS, UNKNOWN_OPERATOR, Receipt, Source, Status, reached

__all__ = [
    "FAILURE_REASONS",
    "UNKNOWN_COUNTRY",
    "UNKNOWN_OPERATOR",
    "Confirmation",
    "Movement",
    "Receipt",
    "Source",
    "Status",
    "country_of",
    "mask_number",
    "reached",
]
