"""The account's money: a balance that falls with the traffic, and what was used on which day.

All amounts are integers, millionths of a US dollar, so that the records add up to the last digit.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from .message import Message

CURRENCY: Final = "USD"
OPENING_DAYS: Final = 14
"""The balance at the start, in days of normal spend."""
RECHARGE_BELOW_DAYS: Final = 9
"""When auto-recharge fills the balance up again, as Twilio's does."""
ACCOUNT_AGE_DAYS: Final = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """What was sent and charged in some span of time."""

    messages: int = 0
    segments: int = 0
    micros: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.messages + other.messages,
            self.segments + other.segments,
            self.micros + other.micros,
        )


class Wallet:
    """Charges messages, day by day (UTC).

    The time between the account's birth and the start of the traffic is filled with normal days.
    """

    def __init__(self, *, start: float, messages_a_day: float, micros_a_day: float) -> None:
        self._start = datetime.fromtimestamp(start, UTC)
        self._messages_a_day = messages_a_day
        self._micros_a_day = round(micros_a_day)
        self._days: dict[date, Tally] = defaultdict(Tally)
        self.micros = OPENING_DAYS * self._micros_a_day
        self.born = self._start.date() - timedelta(days=ACCOUNT_AGE_DAYS)

    def record(self, messages: Iterable[Message]) -> int:
        """Enter the messages that leave Twilio, the others are free; return their price."""
        price = 0
        for message in messages:
            if message.sent is not None:
                day = datetime.fromtimestamp(message.created, UTC).date()
                self._days[day] += Tally(1, message.segments, message.price_micros)
                price += message.price_micros
        return price

    def charge(self, messages: Iterable[Message]) -> None:
        """Enter the messages and pay for them, recharging when the balance gets low."""
        self.micros -= self.record(messages)
        if self.micros < RECHARGE_BELOW_DAYS * self._micros_a_day:
            self.micros = OPENING_DAYS * self._micros_a_day

    def used(self, first: date, last: date) -> Tally:
        """Return what was used from the first to the last day, both included."""
        total = Tally()
        for offset in range((last - max(first, self.born)).days + 1):
            day = max(first, self.born) + timedelta(days=offset)
            total += self._days.get(day, Tally()) + self._before_start(day)
        return total

    def _before_start(self, day: date) -> Tally:
        midnight = datetime.combine(day, datetime.min.time(), UTC)
        share = min(max((self._start - midnight) / timedelta(days=1), 0.0), 1.0)
        count = round(self._messages_a_day * share)
        return Tally(count, count, round(self._micros_a_day * share))


def format_micros(micros: int, *, digits: int) -> str:
    """Return the amount as the decimal string that Twilio sends."""
    return f"{micros / 1_000_000:.{digits}f}"
