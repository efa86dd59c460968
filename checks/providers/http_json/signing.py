"""How signatures and their keys are written."""

from base64 import b64decode
from enum import StrEnum


class Encoding(StrEnum):
    """How bytes are written."""

    HEX = "hex"
    BASE64 = "base64"


class KeyEncoding(StrEnum):
    """What a key is as it is given."""

    TEXT = "text"
    HEX = "hex"
    BASE64 = "base64"


class Digest(StrEnum):
    """What a signature is made with."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA512 = "sha512"


def decode_key(key: str, encoding: KeyEncoding) -> bytes:
    """Return the bytes of a key. Raises ValueError for one that is not written as it should be."""
    try:
        if encoding is KeyEncoding.HEX:
            return bytes.fromhex(key)
        return b64decode(key, validate=True) if encoding is KeyEncoding.BASE64 else key.encode()
    except ValueError:
        msg = f"the key that signs is not {encoding}"
        raise ValueError(msg) from None
