"""How many requests in a span of time are answered."""

import math
from collections import deque


class Limit:
    """So many requests in so many seconds, whenever these begin."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._seconds = seconds
        self._taken: deque[float] = deque(maxlen=requests)

    def take(self, now: float) -> int:
        """Take a request at that time, epoch seconds; return 0, or after how many seconds the next one can be taken."""
        if len(self._taken) == self._taken.maxlen:
            wait = self._taken[0] + self._seconds - now
            if 0 < wait <= self._seconds:
                return math.ceil(wait)
        self._taken.append(now)
        return 0
