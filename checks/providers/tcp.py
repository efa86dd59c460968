"""One TCP or TLS connection, all of it within one deadline, and every fault of it turned into our errors.

The transport of what does not speak HTTP. It retries nothing and logs nothing.
"""

import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final, Self, TypeVar

from ..errors import DeadlineExceededError, ProviderError, TLSFailedError, UnreachableError
from .http import environment_bundle

_T = TypeVar("_T")

_FAULTS: Final[Sequence[tuple[type[OSError], Callable[[str], ProviderError], str]]] = (
    (TimeoutError, DeadlineExceededError, "no complete answer came in time"),
    (ssl.SSLCertVerificationError, TLSFailedError, "the certificate is not trusted"),
    (ssl.SSLError, TLSFailedError, "no secure connection could be made"),
    (socket.gaierror, UnreachableError, "the host name has no address"),
    (ConnectionRefusedError, UnreachableError, "the connection was refused"),
    (ConnectionError, UnreachableError, "the connection broke before the answer was complete"),
    (OSError, UnreachableError, "no connection could be made"),
)
"""The first row that an error is of says what happened."""


def build_tls_context(
    *, ca_file: str | None = None, certificate_file: str | None = None, key_file: str | None = None
) -> ssl.SSLContext:
    """Return a context that demands a trusted certificate for the right name.

    Trusted is who a CA of ``ca_file`` has signed, of the environment's bundle without it. The key of our own
    certificate may stand in its file. Raises ValueError for a file that cannot be used.
    """
    bundle = environment_bundle() if ca_file is None else ca_file
    is_folder = Path(bundle).is_dir()
    try:
        context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    except OSError:
        msg = f'the CA bundle "{bundle}" cannot be read'
        raise ValueError(msg) from None
    if certificate_file is not None:
        try:  # without a password given, OpenSSL asks for that of a key on the terminal, and waits
            context.load_cert_chain(certificate_file, key_file, password=lambda: "")
        except OSError:
            msg = f'the certificate "{certificate_file}" cannot be used: it and its key must be PEM without a password'
            raise ValueError(msg) from None
    return context


class Connection:
    """A connection to one host; closed by its user."""

    def __init__(self, sock: socket.socket, ends_at: float) -> None:
        self.ends_at = ends_at  # by the monotonic clock, of every call; its user may move it
        self._sock = sock

    @classmethod
    def open(cls, host: str, port: int, *, ends_at: float, tls: ssl.SSLContext | None = None) -> Self:
        """Connect to the first address that answers; each gets its share of the time left.

        Only the resolver cannot be interrupted. Raises ProviderError: unreachable, timeout, tls_failed.
        """
        return _attempt(lambda: cls(_connect(host, port, ends_at, tls), ends_at))

    def send(self, data: bytes) -> None:
        """Send all of it."""

        def step() -> None:
            self._sock.settimeout(_left(self.ends_at))
            self._sock.sendall(data)

        _attempt(step)

    def receive(self, count: int) -> bytes:
        """Return exactly so many bytes. Raises UnreachableError when they end before."""
        parts: list[bytes] = []

        def step() -> bytes:
            self._sock.settimeout(_left(self.ends_at))
            return self._sock.recv(count)

        while count > 0:
            part = _attempt(step)
            if not part:
                raise UnreachableError("the connection was closed before the answer was complete")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Close it, whatever is still under way."""
        self._sock.close()


def _attempt(step: Callable[[], _T]) -> _T:
    try:
        return step()
    except OSError as error:
        fault = next(build(detail) for kind, build, detail in _FAULTS if isinstance(error, kind))
    raise fault  # outside the handler: what is raised must not drag the error along


def _left(ends_at: float) -> float:
    left = ends_at - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(host: str, port: int, ends_at: float, tls: ssl.SSLContext | None) -> socket.socket:
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that no host name can have
        raise socket.gaierror from None
    problem: OSError = socket.gaierror()
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(ends_at) / (len(addresses) - position))
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = error
            continue
        return sock if tls is None else _secure(sock, host, ends_at, tls)
    raise problem


def _secure(sock: socket.socket, host: str, ends_at: float, tls: ssl.SSLContext) -> socket.socket:
    try:  # the handshake is one operation for the timeout, however often the server drips
        sock.settimeout(_left(ends_at))
        return tls.wrap_socket(sock, server_hostname=host)
    except OSError:
        sock.close()
        raise
