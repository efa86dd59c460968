"""A clock that is read in whole seconds, and how far it is ahead to a fraction of one.

Each reading says that the offset is within a second and the time of a round trip; readings that are taken where the
other clock is about to tick share the least, and what they share is the answer.

A server that makes its date once a second, instead of for each answer, seems up to a second slow.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from time import time
from typing import Final

from ..providers.http import seconds_left

_TICK: Final = 1.0  # seconds: the resolution of a date
_MOST_READINGS: Final = 8
_NARROW_ENOUGH: Final = 0.1  # seconds of uncertainty
_SPARE_SECONDS: Final = 1.0  # for one more reading, before the deadline


@dataclass(frozen=True, slots=True, kw_only=True)
class DateReading:
    """One reading. Times are Unix seconds."""

    asked_at: float  # by our clock
    answered_at: float  # by our clock
    date: float  # by the other clock, some time in between, without its fraction

    @property
    def low(self) -> float:
        """The least that the other clock can be ahead."""
        return self.date - self.answered_at

    @property
    def high(self) -> float:
        """The most that the other clock can be ahead."""
        return self.date + _TICK - self.asked_at


class Narrowing:
    """What readings have in common."""

    def __init__(self) -> None:
        self._readings: list[DateReading] = []

    @property
    def readings(self) -> int:
        """How many readings there are."""
        return len(self._readings)

    @property
    def least_delay(self) -> float:
        """Seconds of the quickest round trip; 0 before there is a reading."""
        return min((reading.answered_at - reading.asked_at for reading in self._readings), default=0.0)

    @property
    def offset_seconds(self) -> float:
        """How far the other clock is ahead."""
        low, high = self._bounds()
        return (low + high) / 2

    @property
    def uncertainty_seconds(self) -> float:
        """The true offset is within this of it; infinite before there is a reading."""
        low, high = self._bounds()
        return (high - low) / 2

    def add(self, reading: DateReading) -> None:
        """Add a reading."""
        self._readings.append(reading)

    def pause(self, now: float) -> float:
        """Return the seconds to wait at ``now`` so that the next reading halves what is still possible."""
        if not self._readings:
            return 0.0
        other = now + self.offset_seconds + self.least_delay / 2
        return math.ceil(other) - other

    def _bounds(self) -> tuple[float, float]:
        if not self._readings:
            return -math.inf, math.inf
        low, high = max(each.low for each in self._readings), min(each.high for each in self._readings)
        if low <= high:
            return low, high
        # A date that is made once a second is up to a second old: at the least the clock is ahead as it says.
        if low <= high + _TICK:
            return low, high + _TICK
        # One of the clocks was set meanwhile.
        return min(each.low for each in self._readings), max(each.high for each in self._readings)


def narrow(read: Callable[[], DateReading], *, wait: Callable[[float], None]) -> Narrowing:
    """Read until the offset is known well enough, eight times at the most, and not beyond the ``deadline`` around it.

    Each reading is timed so that it halves what is still possible. Raises what ``read`` raises.
    """
    narrowing = Narrowing()
    while narrowing.readings < _MOST_READINGS:
        pause = narrowing.pause(time())
        if narrowing.readings and seconds_left() < pause + _SPARE_SECONDS:
            break
        wait(pause)
        narrowing.add(read())
        if narrowing.uncertainty_seconds <= max(_NARROW_ENOUGH, narrowing.least_delay):
            break
    return narrowing


def read_date(headers: Mapping[str, str]) -> float | None:
    """Return the Date header as Unix time; None when there is none, or a cache answered (RFC 9111 section 5.1)."""
    if headers.get("Age", "0").strip() not in ("", "0"):
        return None
    try:
        moment = parsedate_to_datetime(headers.get("Date", ""))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
