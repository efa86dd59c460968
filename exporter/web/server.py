"""Serves web applications with uvicorn: binds addresses, runs until a signal, stops within seconds."""

import asyncio
import errno
import ipaddress
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .connection import Connection, Limits, limited
from .guards import Guards, WithHeaders
from .protection import Protection
from .tls import Encryption, Handshake, Handshakes

_log: Final = logging.getLogger("exporter.web")

_BACKLOG: Final = 128
_STOP_SECONDS: Final = 2  # for answers under way
_ADDRESS: Final = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:\[\]]*)):(?P<port>\d{1,5})")
_FORMS: Final = 'must be host:port, such as "127.0.0.1:10687", "[::1]:10687" or ":10687" for all interfaces'


class WebError(Exception):
    """The listener cannot be set up as asked; the text says why and what to do."""


def parse_address(address: str) -> tuple[str, int]:
    """Return host, empty for all interfaces, and port. Raises WebError."""
    match = _ADDRESS.fullmatch(address)
    if match is None or int(match["port"]) > 65535 or match["bracketed"] == "":
        raise WebError(f'"{address}": {_FORMS}')
    return match["bracketed"] or match["plain"], int(match["port"])


def bind(address: str, *, option: str = "--web.listen-address") -> socket.socket:
    """Return a listening socket for ``host:port``; ``:port`` means all interfaces, port 0 any free port.

    Raises WebError when there can be none, with the advice to give another ``option``.
    """
    host, port = parse_address(address)
    remedy = f"give another {option}"
    if not host:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        return _listen(address, family, ("", port), remedy=remedy)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise WebError(f"{address}: unknown host; {remedy}") from None
    family, _, _, _, target = min(found, key=lambda entry: entry[0] != socket.AF_INET)  # IPv4 where there is both
    return _listen(address, family, target, remedy=remedy)


def _listen(
    address: str, family: int, target: tuple[str | int, ...] | tuple[int, bytes], *, remedy: str
) -> socket.socket:
    # asyncio sets TCP_NODELAY only on connections of a socket that names its protocol; without it every answer
    # on a kept connection waits for the client's delayed acknowledgement, 40 ms on Linux
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            only = target[0] not in ("", "::")
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(only or not socket.has_dualstack_ipv6()))
        listener.bind(target)
        listener.listen(_BACKLOG)  # at once: a port that is only bound can still be taken by somebody else
    except OSError as problem:
        listener.close()
        raise WebError(f"{address}: {_words(problem, remedy)}") from None
    return listener


def _words(problem: OSError, remedy: str) -> str:
    match problem.errno:
        case errno.EADDRINUSE:
            return f"already in use; stop what listens there, or {remedy}"
        case errno.EACCES | errno.EPERM:
            return f"permission denied; {remedy}, with a port above 1023"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return f"not an address of this machine; {remedy}"
        case code:
            why = os.strerror(code).lower() if code else type(problem).__name__
            return f"cannot be listened on: {why}; {remedy}"


def url_of(listener: socket.socket, protection: Protection | None = None) -> str:
    """Return the address that a person on this machine opens in a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("", "0.0.0.0", "::"):
        host = "localhost"
    scheme = "http" if protection is None or protection.encryption is None else "https"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn on sockets that listen already: it leaves signals to its caller and says when it answers."""

    def __init__(
        self,
        app: ASGIApp,
        sockets: Sequence[socket.socket],
        *,
        protocol: type[HttpToolsProtocol],
        keep_alive_seconds: int,
        date_header: bool = True,
        on_stop: Callable[[], object] = lambda: None,
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
        encryption: Callable[[], Encryption | None] = lambda: None,
        handshakes: Handshakes | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # each warning is about what a stranger sent
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=date_header,
                backlog=_BACKLOG,
                timeout_keep_alive=keep_alive_seconds,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        self._sockets = list(sockets)
        self._on_stop = on_stop  # called in the loop before answers under way are waited for
        self._beside = beside  # runs in the loop as long as the server does
        self._task: asyncio.Task[None] | None = None
        self._encryption = encryption  # as it is for a new connection
        self._protocol = protocol
        self._handshakes = handshakes or _handshakes(Limits())
        self.answers: Final = threading.Event()  # or never will: see ``started``

    def serve_until_stopped(self) -> None:
        """Return when ``should_exit`` has been set and the connections are closed, or their time is up."""
        try:
            self.run(sockets=self._sockets)
        finally:
            self.answers.set()

    def start_thread(self, name: str) -> threading.Thread:
        """Serve in a thread of its own; return it once the server answers, or has given up."""
        thread = threading.Thread(target=self.serve_until_stopped, name=name, daemon=True)
        thread.start()
        self.answers.wait()
        return thread

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer."""
        if self._encryption() is None:
            await super().startup(sockets)
        else:
            await super().startup([])
            await self._start_encrypted(sockets or [])
        if self._beside is not None:
            self._task = asyncio.create_task(self._beside())
        self.answers.set()

    async def _start_encrypted(self, sockets: Sequence[socket.socket]) -> None:
        def build(beneath: asyncio.Transport) -> asyncio.Protocol:
            connection = self._protocol(
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )
            if isinstance(connection, Connection):
                connection.beneath = beneath
            return connection

        def handshake() -> asyncio.Protocol:
            encryption = self._encryption()
            assert encryption is not None  # noqa: S101  # it is not turned off while we listen
            return Handshake(encryption, self._handshakes, build)

        loop = asyncio.get_running_loop()
        self.servers += [await loop.create_server(handshake, sock=each, backlog=_BACKLOG) for each in sockets]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let answers under way end, then drop the connections of clients that do not take theirs."""
        self._on_stop()
        if self._task is not None:
            self._task.cancel()
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.abort()
            else:
                connection.transport.abort()
        await asyncio.sleep(0)  # for the transports to close

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take no signal: uvicorn would raise it again after its end, and kill the process by it."""
        yield


def _guarded(app: ASGIApp, sockets: Sequence[socket.socket], limits: Limits, protection: Protection | None) -> Server:
    loopback = [listener.getsockname()[:2] for listener in sockets if _is_loopback(listener)]
    guards = Guards(app, loopback) if protection is None else Guards(app, loopback, lambda: protection.headers)
    return _server(guards, sockets, limits, protection)


def _bare(app: ASGIApp, sockets: Sequence[socket.socket], limits: Limits, protection: Protection | None) -> Server:
    if protection is not None:
        app = WithHeaders(app, lambda: protection.headers)
    return _server(app, sockets, limits, protection)


def _server(app: ASGIApp, sockets: Sequence[socket.socket], limits: Limits, protection: Protection | None) -> Server:
    return Server(
        app,
        sockets,
        protocol=limited(limits),
        keep_alive_seconds=limits.keep_alive_seconds,
        beside=None if protection is None else protection.watch,
        encryption=(lambda: None) if protection is None else lambda: protection.encryption,
        handshakes=_handshakes(limits),
    )


def _handshakes(limits: Limits) -> Handshakes:
    return Handshakes(seconds=limits.request_seconds, most=limits.connections, end_seconds=limits.answer_seconds)


def _is_loopback(listener: socket.socket) -> bool:
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def serve(
    app: ASGIApp,
    sockets: Sequence[socket.socket],
    *,
    on_hangup: Callable[[], object],
    protection: Protection | None = None,
) -> None:
    """Serve in the main thread until SIGINT or SIGTERM, then end within seconds, whatever clients do.

    SIGHUP calls ``on_hangup`` in a thread of its own. The sockets are closed at the end.
    """
    server = _guarded(app, sockets, Limits(), protection)

    def stop(_: int, __: FrameType | None) -> None:
        server.force_exit = server.should_exit  # the second time: at once
        server.should_exit = True

    def hang_up(_: int, __: FrameType | None) -> None:
        threading.Thread(target=on_hangup, name="hangup", daemon=True).start()

    for listener in sockets:
        _log.info("listening", extra={"url": url_of(listener, protection)})
    with _handlers({signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: hang_up}):
        server.serve_until_stopped()
    _log.info("stopped listening")


@contextmanager
def _handlers(handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ThreadedServer:
    """The same server in a thread, from ``with`` to its end, beside whatever else the process does."""

    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        limits: Limits | None = None,
        *,
        guarded: bool = True,
        protection: Protection | None = None,
    ) -> None:
        """Without guards there are no security headers, no check of Host and no log: for what no browser asks."""
        self.url: Final = url_of(listener, protection)
        build = _guarded if guarded else _bare
        self._server = build(app, [listener], limits or Limits(), protection)

    def __enter__(self) -> Self:
        self._thread = self._server.start_thread("web")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
