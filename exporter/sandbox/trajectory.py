"""What becomes of one message on a normal day: drawn once, when it is created."""

import math
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate
from random import Random
from typing import Final

from .geography import Country, Operator
from .message import Message

LATENCY_SIGMA: Final = 0.85
RECEIPT_SECONDS: Final = 0.4
FAILED_BEFORE_SEND: Final = 0.0015
SHARE_THAT_TYPES: Final = 0.84

# Async codes of messages on a normal day: docs https://www.twilio.com/docs/api/errors/<code>.
UNDELIVERED_CODES: Final = (30003, 30005, 30008, 30006, 30007, 30004, 30017)
UNDELIVERED_WEIGHTS: Final = tuple(accumulate((38, 22, 14, 10, 8, 5, 3)))
FAILED_CODES: Final = (21610, 30036)
"""Of messages that never leave Twilio."""
DOOM_SECONDS: Final = (0.3, 0.8)
"""Until a message that must fail is sent, and is closed."""


def draw_message(
    rng: Random,
    *,
    to: str,
    home: tuple[Country, Operator] | None,
    created: float,
    sender: str,
    service_sid: str | None,
    body: str | None = None,
) -> Message:
    """Return a message with its whole fate: one with a `body` of its own has good luck, others carry codes."""
    country, operator = home or (None, None)
    text = f"Your code is {rng.randrange(1_000_000):06d}" if body is None else body
    segments = count_segments(text)
    handed_over = created + 0.2 + rng.expovariate(2.0)
    median = operator.median_seconds if operator else 4.0
    on_handset = handed_over + median * math.exp(rng.gauss(0, LATENCY_SIGMA))
    sent: float | None = handed_over
    arrived: float | None = on_handset
    closed: float | None = on_handset + RECEIPT_SECONDS
    status, code = "delivered", None
    fate = rng.random()
    if body is None and fate < FAILED_BEFORE_SEND:
        status, code = "failed", rng.choice(FAILED_CODES)
        sent, arrived, closed = None, None, handed_over
    elif body is None and operator and fate < FAILED_BEFORE_SEND + operator.failure_share:
        status, code = "undelivered", _pick_code(rng)
        arrived = None
    elif body is None and operator and rng.random() < operator.lost_receipt_share:
        closed = None
    return Message(
        sid=f"SM{rng.getrandbits(128):032x}",
        to=to,
        sender=sender,
        service_sid=service_sid,
        created=created,
        sent=sent,
        arrived=arrived,
        closed=closed,
        last_status=status,
        error_code=code,
        body=text,
        segments=segments,
        price_micros=segments * (country.price_micros if country else 8_300),
        country=country,
        operator=operator,
        types_code=rng.random() < SHARE_THAT_TYPES,
        organic=body is None,
        is_attempt=body is None,
    )


def doom(message: Message, code: int) -> Message:
    """Return the message as it ends with that error code, within a second."""
    sent, closed = (message.created + seconds for seconds in DOOM_SECONDS)
    if code in FAILED_CODES:
        return replace(message, sent=None, arrived=None, closed=sent, last_status="failed", error_code=code)
    return replace(message, sent=sent, arrived=None, closed=closed, last_status="undelivered", error_code=code)


def count_segments(body: str) -> int:
    """Return how many SMS the text takes (3GPP TS 23.038: 160/153 GSM, 70/67 UCS-2)."""
    single, joined = (160, 153) if body.isascii() else (70, 67)
    return 1 if len(body) <= single else math.ceil(len(body) / joined)


def _pick_code(rng: Random) -> int:
    draw = rng.random() * UNDELIVERED_WEIGHTS[-1]
    return UNDELIVERED_CODES[bisect_right(UNDELIVERED_WEIGHTS, draw)]
