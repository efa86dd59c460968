"""The delivery model: messages, receipts and how far a message has come. Pure, without I/O."""

from .country import UNKNOWN_COUNTRY, country_of, mask_number
from .receipt import FAILURE_REASONS, Receipt, Status, reached

__all__ = ["FAILURE_REASONS", "UNKNOWN_COUNTRY", "Receipt", "Status", "country_of", "mask_number", "reached"]
