"""How much of what costs money was used on one day (UTC), in a note that a restart does not forget."""

import threading
from datetime import UTC, datetime
from typing import Final

from .notebook import Notebook

_counting: Final = threading.Lock()  # several counters may have the same note


class DailyCount:
    """One count, which begins anew each day. Safe to use from several threads.

    Each method takes the time as Unix time and may raise StorageUnavailableError.
    """

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    def used(self, now: float) -> int:
        """Return how much of today's is used. A clock that is set back brings nothing of an earlier day back."""
        return self._read(now)[1]

    def use(self, count: int, now: float, *, most: float = float("inf")) -> bool:
        """Count what is used, and return True; when ``most`` is used up already, count nothing and return False."""
        with _counting:
            day, used = self._read(now)
            if used >= most:
                return False
            self._notebook.write(f"{day} {used + count}")
            return True

    def _read(self, now: float) -> tuple[str, int]:
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        day, _, count = (self._notebook.read() or "").partition(" ")
        return (day, int(count)) if day >= today and count.isdecimal() else (today, 0)
