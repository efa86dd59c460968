"""Callbacks of a provider that the configuration describes: whether to believe them, and what they say."""

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error as BinasciiError
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from ...callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ...errors import BadResponseError
from ...messages import Receipt, Source
from ...secret import Secret
from ..posts import parse_form, refuse_replay
from ..rows import Receipts
from .reading import RowReader, UnknownStatusError
from .settings import CallbackFormat, HttpJsonCallbackSettings, VerifyKind, VerifySettings
from .signing import Encoding, decode_key

_MOST_ROWS: Final = 1000
_AUTHORIZATION: Final = "authorization"


class Webhook:
    """The callbacks of one account."""

    def __init__(self, settings: HttpJsonCallbackSettings, reader: RowReader, receipts: Receipts) -> None:
        self._settings = settings
        self._verify = settings.verify
        self._key = decode_key(_revealed(self._verify.key), self._verify.key_encoding)
        self._reader = reader
        self._receipts = receipts

    @property
    def signed_headers(self) -> Sequence[str]:
        """The names of the headers that prove a post genuine."""
        verify = self._verify
        named = (_AUTHORIZATION if verify.kind is VerifyKind.BASIC else verify.header, verify.timestamp_header)
        return tuple(name.lower() for name in named if name is not None)

    def read(self, callback: Callback) -> Sequence[Receipt]:
        """Return the receipts in a post, without those of a status that is not known: it would only come again.

        Raises CallbackRefusedError. Where nothing signs a time, an old post that comes again says nothing new: a
        message counts once for each status.
        """
        _refuse_strangers(callback, self._verify)
        _refuse_forged(callback, self._verify, self._key)
        try:
            found = self._settings.items.find(_payload(callback, self._settings.format))
            rows = found if isinstance(found, list) else [found]
            if not all(isinstance(row, dict) for row in rows) or len(rows) > _MOST_ROWS:
                raise CallbackRefusedError(CallbackOutcome.MALFORMED)
            return [receipt for row in rows if (receipt := self._read(row, callback.at)) is not None]
        except BadResponseError:
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None

    def _read(self, row: Any, at: float) -> Receipt | None:
        try:
            return self._receipts.of(self._reader.read(row, at=at), Source.CALLBACK)
        except UnknownStatusError:
            return None


def _payload(callback: Callback, form: CallbackFormat) -> Any:
    if form is CallbackFormat.JSON:
        try:
            return json.loads(callback.body)
        except (ValueError, RecursionError):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
    raw = callback.body
    if form is CallbackFormat.QUERY:
        raw = callback.query.encode(errors="surrogatepass")
    pairs = parse_form(raw)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    return fields


def _refuse_strangers(callback: Callback, verify: VerifySettings) -> None:
    """Raise CallbackRefusedError for a post from an address that may not post."""
    if not verify.networks:
        return
    told = callback.peer or ""
    if verify.address_header is not None:
        told = callback.headers.get(verify.address_header.lower(), "").rpartition(",")[2]
    try:
        address = ip_address(told.strip())
    except ValueError:
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE) from None
    address = getattr(address, "ipv4_mapped", None) or address
    if not any(address in network for network in verify.networks):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)


def _refuse_forged(callback: Callback, verify: VerifySettings, key: bytes) -> None:
    """Raise CallbackRefusedError for a post that does not show what a genuine one does."""
    match verify.kind:
        case VerifyKind.HMAC:
            _refuse_unsigned(callback, verify, key)
        case VerifyKind.BASIC:
            scheme, _, value = callback.headers.get(_AUTHORIZATION, "").partition(" ")
            if scheme.lower() != "basic":
                raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
            expected = b64encode(f"{_revealed(verify.username)}:{_revealed(verify.password)}".encode()).decode()
            _refuse_other(value, expected)
        case VerifyKind.TOKEN:
            value = callback.headers.get((verify.header or "").lower(), "")
            _refuse_other(value.removeprefix("Bearer "), _revealed(verify.token))
        case VerifyKind.IP:
            fields = dict(parse_form(callback.query.encode(errors="surrogatepass")))
            _refuse_other(fields.get(verify.param or "", ""), _revealed(verify.token))


def _refuse_other(given: str, expected: str) -> None:
    if not given:
        raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
    if not expected or not hmac.compare_digest(given.encode(errors="surrogatepass"), expected.encode()):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)


def _refuse_unsigned(callback: Callback, verify: VerifySettings, key: bytes) -> None:
    given = callback.headers.get((verify.header or "").lower(), "")
    if not given:
        raise CallbackRefusedError(CallbackOutcome.UNSIGNED)
    timestamp = ""
    if verify.timestamp_header is not None:
        timestamp = callback.headers.get(verify.timestamp_header.lower(), "")
        if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    told = {"body": callback.body.decode("latin-1"), "query": callback.query, "timestamp": timestamp}
    text = verify.string_to_sign.fill(told, "UTC").encode("latin-1", "replace")
    try:
        written = given.removeprefix(verify.prefix)
        shown = bytes.fromhex(written) if verify.encoding is Encoding.HEX else b64decode(written, validate=True)
    except (BinasciiError, ValueError):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE) from None
    if not hmac.compare_digest(shown, hmac.digest(key, text, verify.algorithm)):
        raise CallbackRefusedError(CallbackOutcome.BAD_SIGNATURE)
    if timestamp:
        refuse_replay(float(timestamp), callback, within_seconds=verify.max_age)


def _revealed(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()
