"""Time-based one-time codes as RFC 6238 has them and authenticator apps make them: SHA-1, six digits, 30 seconds."""

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

import pyotp

from .secret import Secret

STEP_SECONDS: Final = 30
"""RFC 6238, section 4.1; the only step that Google Authenticator knows."""
CODE_DIGITS: Final = 6

_SEPARATORS: Final = str.maketrans("", "", " -")
_LEAST_BYTES: Final = 8  # RFC 4226 wants 16; shorter ones are in use


class _Totp(pyotp.TOTP):
    """A generator that takes a key as short as platforms hand out; the library wants 14 bytes since its version 2.12.

    Ten bytes, sixteen letters, are what the example of the apps' own format has (JBSWY3DPEHPK3PXP), and in wide use:
    https://github.com/google/google-authenticator/wiki/Key-Uri-Format.
    """

    def byte_secret(self) -> bytes:
        """Return the key. Raises binascii.Error for what is no Base32."""
        return base64.b32decode(self.secret + "=" * (-len(self.secret) % 8))


def _normal(secret: Secret) -> str:
    return secret.reveal().translate(_SEPARATORS).rstrip("=").upper()


def is_secret(secret: Secret) -> bool:
    """Return whether it is Base32 (RFC 4648) of a plausible length, in groups and small letters or not."""
    try:
        return len(_Totp(_normal(secret)).byte_secret()) >= _LEAST_BYTES
    except (binascii.Error, ValueError):
        return False


def step_at(now: float) -> int:
    """Return the number of the time step at a Unix time."""
    return int(now // STEP_SECONDS)


def code_of(secret: Secret, step: int) -> str:
    """Return the code of a time step. Raises ValueError for what ``is_secret`` refuses, and for a step before 1970."""
    if not is_secret(secret):
        msg = "not a TOTP secret"
        raise ValueError(msg)
    return _Totp(_normal(secret)).generate_otp(step)


def matching_step(secret: Secret, code: str, steps: Iterable[int]) -> int | None:
    """Return the first of ``steps`` whose code it is; None when it is of none. Compares in constant time.

    Steps before 1970 have no code. Raises ValueError for what ``is_secret`` refuses.
    """
    given = code.encode(errors="replace")
    here = (step for step in steps if step >= 0)
    return next((step for step in here if hmac.compare_digest(code_of(secret, step).encode(), given)), None)


def wrong_code(secret: Secret, around: int, reach: int) -> str:
    """Return a random code that is of no time step within ``reach`` of ``around``.

    Raises ValueError for what ``is_secret`` refuses.
    """
    right = {code_of(secret, step) for step in range(max(0, around - reach), around + reach + 1)}
    while True:
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"
        if code not in right:
            return code
