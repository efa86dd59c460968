"""How often one provider is asked: one limiter a target, for its checks and the reader of its log alike."""

import math
from collections import deque
from email.utils import parsedate_to_datetime
from threading import Condition
from time import monotonic
from typing import Final

from ..errors import DeadlineExceededError, ProviderError
from ..reason import Reason

_MOST_PATIENCE_SECONDS: Final = 60.0  # a provider that asks for more is asked again after that


class RateLimiter:
    """Lets no more than so many requests begin in any one window, and none while the provider asks for quiet.

    Any thread may use it. Who yields goes behind everybody who does not.
    """

    def __init__(self, requests: int, *, window_seconds: float = 1.0) -> None:
        self._window_seconds = window_seconds
        self._begun: deque[float] = deque(maxlen=requests)  # the last ones, by the monotonic clock
        self._quiet_until = -math.inf
        self._waiting = 0  # of those that do not yield
        self._changed = Condition()

    def wait(self, ends_at: float, *, yields: bool = False) -> None:
        """Return as soon as a request may begin. ``ends_at`` is by the monotonic clock.

        Raises DeadlineExceededError when that is not before ``ends_at``, and ProviderError (rate limited) when it
        is the provider that asks for quiet until then; both at once, not at the end.
        """
        with self._changed:
            if not yields:
                self._waiting += 1
            try:
                while (pause := self._pause(monotonic(), ends_at, yields=yields)) > 0:
                    self._changed.wait(pause)
                self._begun.append(monotonic())
            finally:
                if not yields:
                    self._waiting -= 1
                    self._changed.notify_all()

    def keep_quiet(self, seconds: float) -> None:
        """Let no request begin for so long, a minute at most."""
        with self._changed:
            self._quiet_until = max(self._quiet_until, monotonic() + min(seconds, _MOST_PATIENCE_SECONDS))

    def _pause(self, now: float, ends_at: float, *, yields: bool) -> float:
        """Return for how many seconds to wait before looking again; 0 when a request may begin."""
        if self._quiet_until >= ends_at:
            raise ProviderError(Reason.RATE_LIMITED, "the provider asked for fewer requests a moment ago")
        free_at = self._begun[0] + self._window_seconds if len(self._begun) == self._begun.maxlen else now
        starts_at = max(free_at, self._quiet_until)
        if starts_at >= ends_at or now >= ends_at:
            raise DeadlineExceededError("no time was left to ask")
        if yields and self._waiting:
            return ends_at - now  # those who do not yield wake it up
        return starts_at - now


def parse_retry_after(value: str, now: float) -> float:
    """Return the seconds that a Retry-After header asks to wait (RFC 9110 section 10.2.3); 0 for one that is none.

    ``now`` is Unix time: the header may name a date.
    """
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return 0.0
