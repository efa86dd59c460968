"""How much of what costs money may be used in one day (UTC)."""

from collections.abc import Callable

from ..daily_count import DailyCount
from ..errors import ProviderError
from ..notebook import Notebook
from ..reason import Reason


class _Memory:
    """A note that ends with the process."""

    def __init__(self) -> None:
        self._note: str | None = None

    def read(self) -> str | None:
        """Return the note."""
        return self._note

    def write(self, note: str) -> None:
        """Replace the note."""
        self._note = note


class DailyBudget:
    """So many of something a day. Threads that use it at the same moment may go over it by what they ask for.

    Its count ends with the process unless it is given a note that does not.
    """

    def __init__(self, most: int, what: str, now: Callable[[], float]) -> None:
        """``what`` names the setting, for the words of the refusal; ``now`` returns Unix time."""
        self._most = most
        self._what = what
        self._now = now
        self._count = DailyCount(_Memory())

    def keep_in(self, notebook: Notebook) -> None:
        """Count in a note from now on."""
        self._count = DailyCount(notebook)

    def require(self) -> None:
        """Raise ProviderError (rate limited) when nothing is left of today's, StorageUnavailableError unless known."""
        if self._count.used(self._now()) >= self._most:
            raise ProviderError(
                Reason.RATE_LIMITED,
                f"our own limit {self._what} {self._most} is used up until midnight UTC; the provider refuses nothing",
            )

    def use(self, count: int) -> None:
        """Count what was used. Raises StorageUnavailableError."""
        self._count.use(count, self._now())
