"""What a fault does to a message that is created while it is on.

It is decided by when the message was created, and so once and for all: what a reader has been told of a message is
never taken back, whatever is switched on and off later.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from .faults import Place, Switches
from .geography import UNPERMITTED_COUNTRY
from .message import Message

FAILING_PERCENT: Final = 60
PARTIAL_PERCENT: Final = 30
SLOW_FACTOR: Final = 10.0
RECEIPT_SECONDS: Final = 5.0
"""From the send to a receipt that had not come."""

# https://www.twilio.com/docs/api/errors/<code>
BLOCKED_CODE: Final = 30007
FAILING_CODES: Final = (BLOCKED_CODE, 30003, 30008)
OUTAGE_CODES: Final = (30001, 30500, None)  # None: it stays queued
UNPERMITTED_CODE: Final = 21408


def fail(message: Message) -> Message:
    """Return the message as it is while deliveries fail: most of them are undelivered."""
    if message.noise % 100 >= FAILING_PERCENT:
        return message
    return _undelivered(message, FAILING_CODES[message.noise % len(FAILING_CODES)])


def delay(message: Message) -> Message:
    """Return the message as it is while deliveries are slow."""
    sent = message.sent
    if sent is None:
        return message

    def later(time: float | None) -> float | None:
        return None if time is None else sent + (time - sent) * SLOW_FACTOR

    return replace(message, arrived=later(message.arrived), closed=later(message.closed))


def queue(message: Message) -> Message:
    """Return the message as it waits in the provider's queue for as long as makes the whole ten times as long."""
    end = message.closed or message.arrived
    if message.sent is None or end is None:
        return message
    wait = (end - message.created) * (SLOW_FACTOR - 1)

    def later(time: float | None) -> float | None:
        return None if time is None else time + wait

    return replace(message, sent=message.sent + wait, arrived=later(message.arrived), closed=later(message.closed))


def block(message: Message) -> Message:
    """Return the message as its operator blocks it and says so."""
    return _undelivered(message, BLOCKED_CODE)


def block_partly(message: Message) -> Message:
    """Return the message as an operator treats it that blocks three in ten."""
    return block(message) if message.noise % 100 < PARTIAL_PERCENT else message


def drop(message: Message) -> Message:
    """Return the message as its operator drops it and says nothing."""
    return message if message.sent is None else replace(message, arrived=None, closed=None)


def lie(message: Message) -> Message:
    """Return the message as its operator drops it and claims that it arrived."""
    if message.sent is None:
        return message
    claimed = message.closed or message.sent + RECEIPT_SECONDS
    return replace(message, arrived=None, closed=claimed, last_status="delivered", error_code=None)


def lose_receipt(message: Message) -> Message:
    """Return the message as it arrives without a receipt."""
    return message if message.sent is None else replace(message, closed=None)


def break_partly(message: Message) -> Message:
    """Return the message as it is while the provider loses three in ten."""
    if message.noise % 100 >= PARTIAL_PERCENT:
        return message
    code = OUTAGE_CODES[message.noise % len(OUTAGE_CODES)]
    if code is None:
        return replace(message, sent=None, arrived=None, closed=None)
    return _failed(message, code)


def forbid(message: Message) -> Message:
    """Return the message as it fails while the geo permission of its country is off."""
    is_there = message.country is not None and message.country.code == UNPERMITTED_COUNTRY
    return _failed(message, UNPERMITTED_CODE) if is_there else message


Effect = Callable[[Message], Message]
EVERYWHERE: Final[Mapping[str, Effect]] = {
    "delivery_failing": fail,
    "delivery_slow": delay,
    "provider_slow": queue,
    "provider_partial_outage": break_partly,
    "country_not_permitted": forbid,
}
AT_ONE_OPERATOR: Final[Mapping[str, Effect]] = {
    "operator_blocking": block,
    "operator_blocking_partial": block_partly,
    "operator_silent": drop,
    "operator_delay": delay,
    "receipts_false": lie,
    "receipts_missing": lose_receipt,
}


def under_faults(message: Message, switches: Switches) -> Message | None:
    """Return the message with what the faults do to it; None when a fault keeps it from being sent at all."""
    if switches.are_untouched:
        return message
    if message.organic and switches.period_at("no_traffic", message.created) is not None:
        return None
    for fault, effect in EVERYWHERE.items():
        if switches.period_at(fault, message.created) is not None:
            message = effect(message)
    for fault, effect in AT_ONE_OPERATOR.items():
        period = switches.period_at(fault, message.created)
        if period is not None and _is_at(period.place, message):
            message = effect(message)
    return message


def _is_at(place: Place, message: Message) -> bool:
    country, operator = message.country, message.operator
    if country is None or operator is None:
        return False
    return (country.code, operator.name) == (place.country, place.operator)


def _undelivered(message: Message, code: int) -> Message:
    if message.sent is None:
        return message
    closed = message.closed or message.sent + RECEIPT_SECONDS
    return replace(message, arrived=None, closed=closed, last_status="undelivered", error_code=code)


def _failed(message: Message, code: int) -> Message:
    closed = message.sent or message.closed
    return replace(message, sent=None, arrived=None, closed=closed, last_status="failed", error_code=code)
