"""Whether a webhook is signed by Twilio: the verdict of the SDK's ``RequestValidator``, in constant time and faster.

``X-Twilio-Signature`` is the base64 of an HMAC over the URL that Twilio was given and, for a form, the name and
value of each field, sorted, each once (https://www.twilio.com/docs/usage/webhooks/webhooks-security; the rules are
those of twilio-python 9.13, request_validator.py, against which the tests hold this file). A JSON body is not signed
itself: its SHA-256 stands in the URL's query, as ``bodySHA256``.
"""

import hmac
from binascii import b2a_base64
from collections.abc import Iterable
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

SIGNATURE: Final = "x-twilio-signature"
SETTINGS: Final = "x-twilio-webhooks-signature-settings"  # key=…,algorithm=HMAC_SHA256: signed with a shared key

IDEMPOTENCY: Final = "i-twilio-idempotency-token"  # the same when a post is sent again

SHA1: Final = "HMAC_SHA1"
_DIGESTS: Final = {SHA1: "sha1", "HMAC_SHA256": "sha256"}


def algorithm_of(settings: str) -> str | None:
    """Return the algorithm that the settings header names, that of the Auth Token when it names none.

    None for one that is not known.
    """
    named = SHA1
    for part in settings.split(","):
        name, separator, value = part.partition("=")
        if separator and name.strip() == "algorithm" and value.strip():
            named = value.strip().upper()
            break
    return named if named in _DIGESTS else None


class SignedUrl:
    """One public URL, with and without its port: Twilio signs the one or the other."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for a URL that is none."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.netloc.split(":")[0] if parts.port else parts.netloc
        self._forms = tuple(
            urlunsplit(parts._replace(netloc=netloc)).encode()
            for netloc in (host, parts.netloc if parts.port else f"{host}:{port}")
        )

    def is_signed_form(
        self, secret: bytes, query: str, fields: Iterable[tuple[str, str]], signature: str, algorithm: str
    ) -> bool:
        """Return whether ``signature`` is that of this URL with ``query`` and of a form's decoded fields."""
        signed = "".join([name + value for name, value in sorted(set(fields))])
        return self._is_signed(secret, query, signed, signature, algorithm)

    def is_signed_body(self, secret: bytes, query: str, body: bytes, signature: str, algorithm: str) -> bool:
        """Return whether ``signature`` is that of this URL with ``query``, and the query holds the hash of ``body``."""
        hashes = parse_qs(query).get("bodySHA256", [""])
        is_of_body = hmac.compare_digest(hashes[0].encode(errors="surrogatepass"), sha256(body).hexdigest().encode())
        return is_of_body and self._is_signed(secret, query, "", signature, algorithm)

    def _is_signed(self, secret: bytes, query: str, signed: str, signature: str, algorithm: str) -> bool:
        digest = _DIGESTS[algorithm]
        given = signature.encode(errors="surrogatepass")
        text = (f"?{query}{signed}" if query else signed).encode(errors="surrogatepass")
        return any(
            hmac.compare_digest(b2a_base64(hmac.digest(secret, form + text, digest), newline=False), given)
            for form in self._forms
        )
