"""What the sandbox remembers of verifications that its users check: how often, and which were right."""

import re
from typing import Final

from .credentials import derive_hex

CODE: Final = re.compile(r"\d+")
MOST_KEPT: Final = 10_000


class Verifications:
    """Checks of codes, by the SID of the message that carried the code. The oldest are forgotten."""

    def __init__(self) -> None:
        self._checks: dict[str, int] = {}
        self._approved: dict[str, float] = {}

    def checks(self, sid: str) -> int:
        """Return how often a code was checked."""
        return self._checks.get(sid, 0)

    def approved_at(self, sid: str) -> float | None:
        """Return when the right code was given, epoch seconds; None when it was not."""
        return self._approved.get(sid)

    def note_check(self, sid: str, *, approved_at: float | None) -> None:
        """Note a check; one of the right code has a time, epoch seconds."""
        self._checks[sid] = self.checks(sid) + 1
        if approved_at is not None:
            self._approved[sid] = approved_at
        for kept in (self._checks, self._approved):
            if len(kept) > MOST_KEPT:
                kept.pop(next(iter(kept)))


def draw_code(seed: int, to: str, now: float) -> str:
    """Return the six digits of a verification that starts now."""
    return f"{int(derive_hex('code', seed, to, now), 16) % 1_000_000:06d}"


def code_in(body: str) -> str | None:
    """Return the code that a message carries; None when it carries none."""
    found = CODE.search(body)
    return found[0] if found else None
