"""How much of what costs money is used in one day (UTC): kept in memory, so a restart begins anew."""

from collections.abc import Callable
from typing import Final

from ..errors import ProviderError
from ..reason import Reason

_DAY_SECONDS: Final = 86_400


class DailyBudget:
    """So many of something a day. Threads that use it at the same moment may go over it by what they ask for."""

    def __init__(self, most: int, what: str, now: Callable[[], float]) -> None:
        """``what`` names the setting, for the words of the refusal; ``now`` returns Unix time."""
        self._most = most
        self._what = what
        self._now = now
        self._day = 0
        self._used = 0

    def require(self) -> None:
        """Raise ProviderError (rate limited) when nothing is left of today's."""
        if self._used_today() >= self._most:
            raise ProviderError(Reason.RATE_LIMITED, f"{self._what} {self._most} is used up until midnight UTC")

    def use(self, count: int) -> None:
        """Count what was used."""
        self._used = self._used_today() + count

    def _used_today(self) -> int:
        day = int(self._now() // _DAY_SECONDS)
        if day != self._day:
            self._day, self._used = day, 0
        return self._used
