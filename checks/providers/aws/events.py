"""Events of End User Messaging SMS: what one says of a message.

Source: docs.aws.amazon.com/sms-voice/latest/userguide/configuration-sets-event-format.html, read 2026-11. The same
page says that events may take up to 72 hours and should not be used to notice a delay: none of their times is taken
for one, which is what ``Source.LATE_EVENT`` says.
"""

import json
import re
from dataclasses import dataclass
from typing import Final

from ...callbacks import CallbackOutcome, CallbackRefusedError
from ...errors import BadResponseError
from ...messages import UNKNOWN_COUNTRY, Status
from ..causes import Cause
from ..fields import Fields, parse_number
from ..rows import Row
from .calls import NAME
from .codes import STATUSES

CURRENCY: Final = "USD"

MESSAGE_ID: Final = re.compile(r"[0-9A-Za-z-]{6,64}", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{2}", re.ASCII)
_DIGITS: Final = re.compile(r"\d{2,3}", re.ASCII)
_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)


@dataclass(frozen=True, slots=True)
class Event:
    """What an event says of one message."""

    row: Row
    price: float | None  # in USD; None: not told


def parse_event(message: str) -> Event | None:
    """Return what an event says; None for one of no SMS, or of a type that is new. Raises CallbackRefusedError."""
    try:
        fields = Fields(json.loads(message), NAME, "event")
        kind = fields.get("eventType")
        status = STATUSES.get(kind) if isinstance(kind, str) else None
        if status is None:  # of voice, media, a registration; to refuse it would make SNS send it again
            return None
        return Event(_row(fields, fields.text("eventType"), status), _price(fields))
    except (ValueError, RecursionError, BadResponseError):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None


def _row(fields: Fields, kind: str, status: Status) -> Row:
    country = fields.get("isoCountryCode")
    mcc, mnc = fields.get("mcc"), fields.get("mnc")
    has_network = all(isinstance(each, str) and _DIGITS.fullmatch(each) for each in (mcc, mnc)) and len(mcc) == 3
    return Row(
        message_id=fields.text("messageId", MESSAGE_ID),
        status=status,
        at=fields.number("eventTimestamp") / 1000,
        created_at=fields.number("messageRequestTimestamp") / 1000,
        number=parse_number(fields.get("destinationPhoneNumber")),
        country=country if isinstance(country, str) and _COUNTRY.fullmatch(country) else UNKNOWN_COUNTRY,
        mcc_mnc=f"{mcc}{mnc}" if has_network else "",
        code=kind if status in _FAILURES else None,
        cause=Cause.UNKNOWN,
    )


def _price(fields: Fields) -> float | None:
    return None if fields.get("totalMessagePrice") is None else fields.number("totalMessagePrice")
