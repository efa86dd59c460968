"""A histogram that is being filled: the one place where a delivery time finds its bucket."""

from bisect import bisect_left
from typing import Final

from .snapshot import LATENCY_BOUNDS, Latency

_BUCKETS: Final = len(LATENCY_BOUNDS) + 1
_BOUNDS: Final = tuple(map(float, LATENCY_BOUNDS))  # a float is compared with floats twice as fast as with integers


class Buckets:
    """Counts and sums of seconds by bucket of ``LATENCY_BOUNDS``, and one more for all above. Has no lock."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts: Final = [0] * _BUCKETS
        self.seconds: Final = [0.0] * _BUCKETS

    def observe(self, seconds: float) -> None:
        """Count one delivery."""
        bucket = bisect_left(_BOUNDS, seconds)
        self.counts[bucket] += 1
        self.seconds[bucket] += seconds

    def add(self, bucket: int, total: int, seconds: float) -> None:
        """Count as many deliveries of one bucket, which took so long together."""
        self.counts[bucket] += total
        self.seconds[bucket] += seconds

    def update(self, other: "Buckets") -> None:
        """Add all that ``other`` counted."""
        for bucket, total, seconds in other.filled():
            self.add(bucket, total, seconds)

    def filled(self) -> list[tuple[int, int, float]]:
        """Return number, count and seconds of each bucket that is not empty."""
        return [(bucket, total, self.seconds[bucket]) for bucket, total in enumerate(self.counts) if total]

    def latency(self) -> Latency:
        """Return a copy that does not change."""
        return Latency(tuple(self.counts), sum(self.seconds))
