"""The server's side of an authenticator app: which codes it takes."""

from typing import Final

import pyotp

STEP_SECONDS: Final = 30
WINDOW_STEPS: Final = 1
"""On either side of the server's clock: RFC 6238, section 5.2."""


class CodeCheck:
    """Takes the codes of one secret, each of them once and none that is older than one taken before."""

    def __init__(self, secret: str) -> None:
        """``secret`` is base32."""
        self._totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
        self._last_step = -1

    def take(self, code: str, now: float) -> bool:
        """Return whether the code is right at that time, epoch seconds; it is used up then."""
        here = int(now // STEP_SECONDS)
        for step in range(max(here - WINDOW_STEPS, self._last_step + 1), here + WINDOW_STEPS + 1):
            if self._totp.at(step * STEP_SECONDS) == code:
                self._last_step = step
                return True
        return False
