"""TLS in front of a connection: what is asked of a client, the handshake, and the limits of it.

asyncio would give a client 60 seconds for a handshake, and count nobody who is in one.
"""

import asyncio
import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.secret import Secret

from ..wording import words_of_os
from .webconfig import Pem, TlsSettings

_IP: Final = "IP Address"  # as ssl calls it


@dataclass(frozen=True, slots=True)
class Encryption:
    """What new connections need."""

    context: ssl.SSLContext
    client_sans: frozenset[str]

    def allows(self, certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a client with this certificate, which is verified already, may connect."""
        if not self.client_sans:
            return True
        names = (certificate or {}).get("subjectAltName", ())
        return any(_canonical(kind, name) in self.client_sans for kind, name in names)


def _canonical(kind: str, name: str) -> str:
    return str(ipaddress.ip_address(name.strip())) if kind == _IP else name


def build_encryption(settings: TlsSettings) -> Encryption:
    """Return what new connections need, from the files as they are now.

    Raises ValueError, in the user's words, for what cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = settings.oldest
    context.maximum_version = settings.newest
    context.options |= ssl.OP_NO_RENEGOTIATION  # costs us more than who asks for it
    if not settings.prefers_own_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.ciphers:
        context.set_ciphers(":".join(settings.ciphers))
    if settings.curve is not None:
        context.set_ecdh_curve(settings.curve)
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, settings.certificate, settings.key)
    if settings.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED if settings.requires_client else ssl.CERT_OPTIONAL
        _load_client_ca(context, settings.client_ca)
    return Encryption(context, frozenset(map(_canonical_if_address, settings.client_sans)))


def _canonical_if_address(name: str) -> str:
    try:
        return _canonical(_IP, name)
    except ValueError:
        return name


def _load_chain(context: ssl.SSLContext, certificate: Pem, key: Pem) -> None:
    where, key_where = _where(certificate, "cert"), _where(key, "key")
    if "-----BEGIN CERTIFICATE-----" not in _text(certificate, where):
        msg = f"{where}: holds no certificate in PEM form"
        raise ValueError(msg)
    key_text = _text(key, key_where)
    if "PRIVATE KEY-----" not in key_text:
        msg = f"{key_where}: holds no private key in PEM form"
        raise ValueError(msg)
    if "ENCRYPTED" in key_text:  # OpenSSL would ask for its password at the terminal
        msg = f"{key_where}: is encrypted, and there is nobody to ask for its password"
        raise ValueError(msg)
    with _as_file(certificate) as certificate_file, _as_file(key) as key_file:
        try:
            context.load_cert_chain(certificate_file, key_file, password="")
        except ssl.SSLError as problem:
            words = "do not belong together" if "MISMATCH" in (problem.reason or "") else "cannot be used together"
            msg = f"{where} and {key_where.rpartition('.')[2]}: {words}{_reason(problem)}"
            raise ValueError(msg) from None


def _load_client_ca(context: ssl.SSLContext, client_ca: Pem) -> None:
    where = _where(client_ca, "client_ca")
    text = _text(client_ca, where)
    try:
        context.load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as problem:
        msg = f"{where}: holds no CA certificate in PEM form{_reason(problem)}"
        raise ValueError(msg) from None


def _reason(problem: Exception) -> str:
    reason = getattr(problem, "reason", None)
    return f" ({reason.lower().replace('_', ' ')})" if reason else ""


def _where(pem: Pem, name: str) -> str:
    return f"tls_server_config.{name}_file" if isinstance(pem, Path) else f"tls_server_config.{name}"


def _text(pem: Pem, where: str) -> str:
    if isinstance(pem, Secret):
        return pem.reveal()
    try:
        return pem.read_bytes().decode("ascii", errors="ignore")  # what is not ASCII can only be a comment
    except (OSError, ValueError) as problem:
        words = words_of_os(problem) if isinstance(problem, OSError) else "not a file name"
        msg = f"{where}: cannot be read: {words}"
        raise ValueError(msg) from None


@contextmanager
def _as_file(pem: Pem) -> Iterator[Path]:
    """Give a file, which ``ssl`` insists on: a short-lived one, for our user alone, for text."""
    if isinstance(pem, Path):
        yield pem
        return
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".pem") as file:
        file.write(pem.reveal())
        file.flush()
        yield Path(file.name)


class Handshakes:
    """Those that are under way: only so many, and who has had the most time goes first."""

    def __init__(self, *, seconds: float, most: int, end_seconds: float) -> None:
        self.seconds: Final = seconds
        self.end_seconds: Final = end_seconds  # from the end of an answer until the client has taken it
        self._most = most
        self._under_way: dict[Handshake, None] = {}  # in the order of their beginning

    def begin(self, handshake: "Handshake") -> None:
        """Count one more."""
        self._under_way[handshake] = None
        if len(self._under_way) > self._most:
            next(iter(self._under_way)).abort()

    def end(self, handshake: "Handshake") -> None:
        """Count one less."""
        self._under_way.pop(handshake, None)


class Handshake(asyncio.Protocol):
    """Makes a connection a private one, then hands it to the protocol that ``build`` gives for what is beneath."""

    def __init__(
        self, encryption: Encryption, handshakes: Handshakes, build: Callable[[asyncio.Transport], asyncio.Protocol]
    ) -> None:
        self._encryption = encryption
        self._handshakes = handshakes
        self._build = build
        self._early: list[bytes] = []  # came with the end of the handshake
        self._is_at_end = False
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._transport = transport
        transport.pause_reading()  # what comes is for TLS
        self._handshakes.begin(self)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def data_received(self, data: bytes) -> None:
        """Keep what the protocol to come is to have."""
        self._early.append(data)

    def eof_received(self) -> None:
        """Note that the client has said all."""
        self._is_at_end = True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """Note that nobody is there."""
        self._is_lost = True
        self._handshakes.end(self)

    def abort(self) -> None:
        """Let the client go."""
        self._handshakes.end(self)
        self._transport.abort()

    async def _run(self) -> None:
        try:
            private = await asyncio.get_running_loop().start_tls(
                self._transport,
                self,
                self._encryption.context,
                server_side=True,
                ssl_handshake_timeout=self._handshakes.seconds,
                ssl_shutdown_timeout=self._handshakes.end_seconds,
            )
        except OSError:  # of every kind: no TLS, no certificate, too slow, gone
            self._transport.abort()
            return
        finally:
            self._handshakes.end(self)
        if private is None or self._is_lost:  # gone as soon as it was there
            return
        if not self._encryption.allows(private.get_extra_info("peercert")):
            private.abort()
            return
        protocol = self._build(self._transport)
        private.set_protocol(protocol)
        protocol.connection_made(private)
        for data in self._early:
            protocol.data_received(data)
        if self._is_at_end:
            protocol.eof_received()
