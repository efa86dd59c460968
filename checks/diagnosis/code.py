"""At which time step would a client's code have been right?

The secret is used here and forgotten. It is the client's own: whoever has it can sign in.
"""

from typing import Final

from ..secret import Secret
from ..totp import matching_step, step_at
from .evidence import CodeMatch

TRIED_STEPS: Final = 240
"""Steps to either side, two hours: a device whose zone was set by hand instead of its time is off by whole hours.
A wrong secret matches one of them by chance once in some two thousand times."""


def match_code(secret: Secret, code: str, now: float) -> CodeMatch:
    """Return at which step the code is right, the nearest to now first (Unix time).

    Raises ValueError for what is no TOTP secret.
    """
    present = step_at(now)
    nearest_first = sorted(range(-TRIED_STEPS, TRIED_STEPS + 1), key=abs)
    found = matching_step(secret, code, (present + step for step in nearest_first))
    return CodeMatch(step=None if found is None else found - present, tried=TRIED_STEPS)
