"""A listener with a web configuration, and clients of every kind for it."""

import http.client
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt

from exporter.web.connection import Limits
from exporter.web.internal import build_internal
from exporter.web.protection import Protection
from exporter.web.server import ThreadedServer, bind
from tests.certificates import Certificates
from tests.served import Answer, FakeApp

CERT = "cert_file: server.crt, key_file: server.key"
TLS = f"tls_server_config: {{{CERT}}}\n"
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


@dataclass
class Listener:
    """A server for a test."""

    url: str
    folder: Path
    app: FakeApp
    protection: Protection
    server: ThreadedServer
    certificates: Certificates = field(init=False)

    def __post_init__(self) -> None:
        self.certificates = Certificates(self.folder)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def write(self, text: str) -> None:
        (self.folder / "web.yml").write_text(text, encoding="utf-8")

    def context(self, client: str | None = None) -> ssl.SSLContext:
        """What a client needs that trusts our CA; ``client`` names its own certificate."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        if client is not None:
            context.load_cert_chain(*self.certificates.pair(client))
        return context

    def connect(self) -> socket.socket:
        """Open a connection and send nothing."""
        return socket.create_connection(self.address, timeout=20)

    @contextmanager
    def private(self, context: ssl.SSLContext | None = None) -> Iterator[ssl.SSLSocket]:
        """Open a connection and shake hands."""
        wrapping = context or self.context()
        with self.connect() as plain, wrapping.wrap_socket(plain, server_hostname="localhost") as client:
            yield client

    def ask(
        self,
        path: str = "/-/healthy",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        client: str | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        host, port = self.address
        connection = (
            http.client.HTTPSConnection(host, port, timeout=20, context=context or self.context(client))
            if self.url.startswith("https")
            else http.client.HTTPConnection(host, port, timeout=20)
        )
        with closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )


@contextmanager
def protected(
    folder: Path, text: str, *, app: FakeApp | None = None, limits: Limits | None = None
) -> Iterator[Listener]:
    """Serve with this web configuration, beside the certificates of a folder."""
    path = folder / "web.yml"
    path.write_text(text, encoding="utf-8")
    app, protection = app or FakeApp(), Protection(path)
    site = build_internal(app, protection=protection)
    with (
        closing(app.storage),
        ThreadedServer(site, bind("127.0.0.1:0"), limits, protection=protection) as server,
    ):
        yield Listener(server.url, folder, app, protection, server)
