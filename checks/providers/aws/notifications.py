"""What SNS posts to an HTTPS subscription: whether it is from AWS, of now and of the topic that we wait for.

Sources: docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html (what is signed, and how),
/sns-message-and-json-formats.html (the fields) and /sns-message-delivery-retries.html (an HTTPS endpoint is tried
again for an hour at most), read 2026-11. That the names of certificates are of letters and digits is only seen.
"""

import json
import re
from base64 import b64decode
from binascii import Error as BinasciiError
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...errors import ProviderError
from ...reason import Reason
from ..fields import parse_moment
from ..limiter import RateLimiter
from ..posts import refuse_replay

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

NOTIFICATION: Final = "Notification"
SUBSCRIPTION: Final = "SubscriptionConfirmation"
UNSUBSCRIPTION: Final = "UnsubscribeConfirmation"

_ASKED: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final[Mapping[str, tuple[str, ...]]] = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    SUBSCRIPTION: _ASKED,
    UNSUBSCRIPTION: _ASKED,
}
_MAY_BE_MISSING: Final = "Subject"
_HASHES: Final = ("1", "2")  # versions of the signature: SHA-1, which is SNS's default, and SHA-256

_RETRIES_SECONDS: Final = 3600.0 + 300.0
_MOST_CERTIFICATES: Final = 8
_MOST_FETCHES: Final = 10  # in one second: anybody can make us ask
_PATIENCE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A post of SNS, before anybody has said that it is true."""

    kind: str
    topic_arn: str
    message: str
    token: str  # of a subscription that is to be confirmed
    told_at: float  # Unix time
    signed: bytes
    signature: bytes
    version: str
    certificate_url: str


def parse_notification(callback: Callback) -> Notification:
    """Return what stands in a post. Raises CallbackRefusedError."""
    try:
        fields: Any = json.loads(callback.body)
    except (ValueError, RecursionError):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
    if not isinstance(fields, dict):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    if not fields.get("Signature") or not fields.get("SigningCertURL"):  # raw message delivery has neither
        raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
    kind = fields.get("Type")
    names = _SIGNED.get(kind) if isinstance(kind, str) else None
    if names is None:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    names = tuple(name for name in names if name != _MAY_BE_MISSING or fields.get(name) is not None)
    wanted = (*names, "Signature", "SignatureVersion", "SigningCertURL")
    texts = {name: text for name in wanted if isinstance(text := fields.get(name), str)}
    if len(texts) < len(wanted):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    try:
        return Notification(
            kind=texts["Type"],
            topic_arn=texts["TopicArn"],
            message=texts["Message"],
            token=texts.get("Token", ""),
            told_at=parse_moment(texts["Timestamp"]),
            signed="".join(f"{name}\n{texts[name]}\n" for name in names).encode(),
            signature=b64decode(texts["Signature"], validate=True),
            version=texts["SignatureVersion"],
            certificate_url=texts["SigningCertURL"],
        )
    except (BinasciiError, ValueError):  # UnicodeEncodeError of lone surrogates is one
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None


class Certificates:
    """SNS's certificates, each fetched once. Any thread may use it."""

    def __init__(self, host: str, fetch: Callable[[str], bytes]) -> None:
        """``host`` is the only one that is believed; ``fetch`` returns what it has at a path, or raises ProviderError.

        A certificate is worth no more than the connection that brought it: TLS, to that host.
        """
        self._url = re.compile(rf"https://{re.escape(host)}(/SimpleNotificationService-[0-9A-Za-z]{{1,64}}\.pem)")
        self._fetch = fetch
        self._limiter = RateLimiter(_MOST_FETCHES)
        self._keys: dict[str, RSAPublicKey] = {}

    def has_to_fetch(self, url: str) -> bool:
        """Return whether the certificate is of the right kind and not known yet."""
        return url not in self._keys and self._url.fullmatch(url) is not None

    def require_signed(self, post: Notification, callback: Callback) -> None:
        """Raise CallbackRefusedError unless a post is SNS's and of now."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA1, SHA256  # noqa: PLC0415

        if post.version not in _HASHES:
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        refuse_replay(post.told_at, callback, within_seconds=_RETRIES_SECONDS)
        hashed = SHA1() if post.version == "1" else SHA256()  # noqa: S303  the topic's owner may choose
        try:
            self._key(post.certificate_url, callback.at).verify(post.signature, post.signed, PKCS1v15(), hashed)
        except InvalidSignature:
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE) from None

    def _key(self, url: str, now: float) -> "RSAPublicKey":
        known = self._keys.get(url)
        if known is not None:
            return known
        found = self._url.fullmatch(url)
        if found is None:
            raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
        try:
            self._limiter.wait(monotonic() + _PATIENCE_SECONDS)
            pem = self._fetch(found[1])
        except ProviderError as error:
            is_refused = error.reason in (Reason.BAD_RESPONSE, Reason.PERMISSION_MISSING)  # there is none of that name
            outcome = CallbackOutcome.BAD_SIGNATURE if is_refused else CallbackOutcome.UNVERIFIABLE
            raise CallbackRefusedError(outcome) from None
        key = _key_of(pem, now)
        if len(self._keys) >= _MOST_CERTIFICATES:
            self._keys = {}
        self._keys[url] = key
        return key


def _key_of(pem: bytes, now: float) -> "RSAPublicKey":
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415

    try:
        certificate = load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE) from None
    moment = datetime.fromtimestamp(now, UTC)
    is_valid = certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc
    if not is_valid or not isinstance(key, RSAPublicKey):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
    return key
