"""Remembers, in little memory, whose phones messages have reached."""

from typing import Final

import msgspec

_SMALLEST: Final = 8192  # recipients in the first filter; each further one holds twice as many, up to the largest
_LARGEST: Final = 2_097_152
_MOST_BYTES: Final = 8_000_000  # in all filters
_BITS_EACH: Final = 10  # with the four hashes of each: 1.2 % of strangers look familiar


class Filter(msgspec.Struct):
    """A Bloom filter (Bloom 1970)."""

    capacity: int
    bits: bytearray
    added: int = 0
    latest: float = 0.0  # Unix time


class ReachedRecipients:
    """A bounded memory of recipients by their keyed hashes. It forgets those of long ago, the oldest first."""

    def __init__(self, kept_for: float, filters: list[Filter] | None = None) -> None:
        self._kept_for = kept_for
        self.filters = filters or [_new(_SMALLEST)]

    def add(self, recipient: bytes, at: float) -> None:
        """Remember a recipient."""
        newest = self.filters[-1]
        newest.latest = max(newest.latest, at)
        bits = newest.bits
        is_new = False
        for place in _places(recipient, newest):
            bit = 1 << (place & 7)
            if not bits[place >> 3] & bit:
                bits[place >> 3] |= bit
                is_new = True
        if not is_new:
            return
        newest.added += 1
        if newest.added >= newest.capacity:
            self.filters.append(_new(min(_LARGEST, 2 * newest.capacity)))
            self._forget(at)

    def __contains__(self, recipient: bytes) -> bool:
        return any(
            all(each.bits[place >> 3] & (1 << (place & 7)) for place in _places(recipient, each))
            for each in self.filters
        )

    def _forget(self, at: float) -> None:
        while len(self.filters) > 1 and (
            self.filters[0].latest < at - self._kept_for or sum(len(each.bits) for each in self.filters) > _MOST_BYTES
        ):
            del self.filters[0]


def _new(capacity: int) -> Filter:
    return Filter(capacity, bytearray(capacity * _BITS_EACH // 8))


def _places(recipient: bytes, target: Filter) -> tuple[int, ...]:
    """Return bit numbers by double hashing (Kirsch and Mitzenmacher 2006); a keyed hash is random enough."""
    place = int.from_bytes(recipient[:8], "little")
    step = int.from_bytes(recipient[8:16], "little") | 1
    size = len(target.bits) * 8
    return place % size, (place + step) % size, (place + 2 * step) % size, (place + 3 * step) % size
