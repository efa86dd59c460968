"""A real HTTP server on a free loopback port: canned answers, every way to misbehave, and a record of requests.

with StubServer() as stub:
    stub.on("/v1/things", answer({"things": []}))
    stub.on("/v1/slow", hang())
    ...
    assert stub.requests[0].query == {"PageSize": ["1"]}
"""

import contextlib
import gzip
import io
import json
import socket
import ssl
import struct
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    target: str  # as it stood in the request line
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    @property
    def basic_auth(self) -> tuple[str, str] | None:
        scheme, _, value = self.headers.get("authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        user, _, password = b64decode(value).decode().partition(":")
        return user, password


@dataclass(slots=True)
class Exchange:
    """One request with the connection that it came on."""

    request: Request
    socket: socket.socket
    stopped: threading.Event
    keep_alive: bool = field(default=False)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)


Behaviour = Callable[[Exchange], None]


class StubServer:
    """Serves until ``close``. Paths without a behaviour are answered by ``default``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.default: Behaviour = answer({"code": 20404, "message": "not found", "status": 404}, status=404)
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._tls = tls
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="stub-accept")
        self._acceptor.start()

    @property
    def netloc(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.netloc}"

    def on(self, path: str, *behaviours: Behaviour) -> None:
        """Behave so at a path: one after the other, the last one for good."""
        with self._lock:
            self._behaviours[path] = list(behaviours)

    def everywhere(self, behaviour: Behaviour) -> None:
        """Forget all paths and behave so at each."""
        with self._lock:
            self._behaviours.clear()
            self.default = behaviour

    def close(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for connection in self._sockets:
                _shut_down(connection)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), name="stub-serve")
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        connection = plain
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(plain, server_side=True)
                with self._lock:
                    self._sockets.add(connection)
            with connection.makefile("rb") as stream:
                while not self._stopped.is_set() and self._serve_one(connection, stream):
                    pass
        except (OSError, ValueError):
            pass  # the client left, or does not trust us: nothing of ours to report
        finally:
            with self._lock:
                self._sockets -= {plain, connection}
            connection.close()
            plain.close()

    def _serve_one(self, connection: socket.socket, stream: io.BufferedReader) -> bool:
        request = _read_request(stream)
        if request is None:
            return False
        exchange = Exchange(request, connection, self._stopped)
        self._next_behaviour(request)(exchange)
        return exchange.keep_alive

    def _next_behaviour(self, request: Request) -> Behaviour:
        with self._lock:
            self.requests.append(request)
            behaviours = self._behaviours.get(request.path)
            if not behaviours:
                return self.default
            return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]


def _shut_down(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


def _read_request(stream: io.BufferedReader) -> Request | None:
    first = stream.readline().decode("latin-1").split()
    if len(first) != 3:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method=first[0], target=first[1], headers=headers, body=body)


# What it may answer.


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer properly: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(exchange: Exchange) -> None:
        exchange.keep_alive = True
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content))} | dict(headers or {})
        exchange.send(head(status, fields) + content)

    return behave


def answer_by(choose: Callable[[Request], Any]) -> Behaviour:
    """Answer with the JSON that a function makes of the request."""

    def behave(exchange: Exchange) -> None:
        answer(choose(exchange.request))(exchange)

    return behave


def head(status: int, fields: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send_raw(data: bytes) -> Behaviour:
    """Send these bytes and close."""
    return lambda exchange: exchange.send(data)


# How it may misbehave.


def hang() -> Behaviour:
    """Never answer."""

    def behave(exchange: Exchange) -> None:
        exchange.stopped.wait(60)

    return behave


def drip(data: bytes, *, seconds_between: float = 0.1) -> Behaviour:
    """Send one byte at a time, again and again from the start."""

    def behave(exchange: Exchange) -> None:
        while True:
            for position in range(len(data)):
                exchange.send(data[position : position + 1])
                if exchange.stopped.wait(seconds_between):
                    return

    return behave


def drip_headers() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n")
        drip(b"X-Slow: yes\r\n")(exchange)

    return behave


def drip_body() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(head(200, {"Content-Length": "1000000", "Content-Type": "application/json"}))
        drip(b" ")(exchange)

    return behave


def drip_chunks() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(head(200, {"Transfer-Encoding": "chunked"}))
        drip(b"1\r\n \r\n")(exchange)

    return behave


def reset() -> Behaviour:
    """Break the connection with RST."""

    def behave(exchange: Exchange) -> None:
        exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        exchange.socket.close()

    return behave


def close_silently() -> Behaviour:
    """Close without a byte."""
    return lambda _: None


def truncated(data: bytes) -> Behaviour:
    """Announce twice as much as is sent."""
    return send_raw(head(200, {"Content-Length": str(2 * len(data))}) + data)


def endless_chunk_header() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(head(200, {"Transfer-Encoding": "chunked"}))
        while not exchange.stopped.is_set():
            exchange.send(b"0" * 65536)

    return behave


def endless_trailers() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(head(200, {"Transfer-Encoding": "chunked"}) + b"2\r\n{}\r\n0\r\n")
        while not exchange.stopped.is_set():
            exchange.send(b"A: b\r\n" * 10000)

    return behave


def endless_headers() -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not exchange.stopped.is_set():
            exchange.send(b"a" * 65536)

    return behave


def big_body(size_bytes: int) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        exchange.send(head(200, {"Content-Length": str(size_bytes)}))
        for _ in range(size_bytes // 65536):
            exchange.send(b" " * 65536)

    return behave


def gzip_bomb(size_bytes: int = 1 << 30, *, times: int = 1) -> Behaviour:
    """Send about a thousandth of ``size_bytes`` that unpacks to all of them; packed again, far less."""
    member = 1 << 26  # a gzip file may have many members (RFC 1952 section 2.2): one is packed, then repeated
    packed = gzip.compress(b" " * member) * (size_bytes // member)
    for _ in range(times - 1):
        packed = gzip.compress(packed)
    return answer(packed, headers={"Content-Encoding": ", ".join(["gzip"] * times)})


def gzipped(body: Any) -> Behaviour:
    return answer(gzip.compress(json.dumps(body).encode()), headers={"Content-Encoding": "gzip"})


def redirect(where: str) -> Behaviour:
    return answer(b"", status=302, headers={"Location": where})
