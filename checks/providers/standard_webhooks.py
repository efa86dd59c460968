"""Posts that are signed as https://www.standardwebhooks.com says (read 2026-11): an HMAC over id, time and body.

Each attempt to post is signed with its own time, so that what comes late is a replay.
"""

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..secret import Secret
from ..settings import SecretSetting
from .posts import refuse_replay

HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")

_SECONDS: Final = re.compile(r"\d{1,12}", re.ASCII)
_MOST_SIGNATURES: Final = 10  # two while a secret is rotated
_TOLERANCE_SECONDS: Final = 300.0  # that of the reference libraries


def _is_decodable(secret: Secret) -> Secret:
    if not decode_secret(secret):
        raise PydanticCustomError("signing_secret", 'must be a signing secret, "whsec_" and base64 behind it')
    return secret


SigningSecret = Annotated[SecretSetting, AfterValidator(_is_decodable)]
"""A secret that ``decode_secret`` can read."""


def decode_secret(secret: Secret) -> bytes:
    """Return the key that a signing secret stands for; nothing for what is none."""
    try:
        return b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def refuse_unsigned(callback: Callback, key: bytes) -> None:
    """Raise CallbackRefusedError for a post that is not signed with the key, or not now."""
    post_id, timestamp, signatures = (callback.headers.get(name, "") for name in HEADERS)
    if not post_id or not timestamp or not signatures:
        raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
    signed = f"{post_id}.{timestamp}.".encode(errors="surrogatepass") + callback.body
    expected = f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}".encode()
    given = signatures.encode(errors="surrogatepass").split()[:_MOST_SIGNATURES]
    if not _SECONDS.fullmatch(timestamp) or not any(hmac.compare_digest(each, expected) for each in given):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
    refuse_replay(float(timestamp), callback, within_seconds=_TOLERANCE_SECONDS)
