"""The running sandbox: Twilio, its status page and the controls on one loopback port."""

import asyncio
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .account import Account
from .control import build_control
from .credentials import Credentials, build_credentials
from .faults import Switches
from .statuspage import PREFIX as STATUSPAGE_PREFIX
from .statuspage import build_statuspage
from .twilio import HANG_UP, build_twilio

DEFAULT_HISTORY_HOURS: Final = 6.0
DEFAULT_HOST: Final = "127.0.0.1"


class SandboxError(Exception):
    """The sandbox cannot be started as asked; the message says why."""


class Sandbox:
    """A sandbox that serves from its construction until `close`, in a thread of its own.

    `speed` multiplies how many messages arrive, 20,000 a day at 1; it does not touch the clock.
    `history_hours` is how much traffic there has been at the start. Raises SandboxError for a host
    that is not loopback, unless `allow_remote`, and UnknownFaultError for a fault that is none.
    """

    def __init__(
        self,
        *,
        host: str = DEFAULT_HOST,
        port: int = 0,
        seed: int = 1,
        speed: float = 1.0,
        history_hours: float = DEFAULT_HISTORY_HOURS,
        faults: Iterable[str] = (),
        allow_remote: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials: Credentials = build_credentials(seed)
        self._switches = Switches(faults, clock=clock)
        self._server = _Server(
            lambda closing: _build_app(
                credentials=self.credentials,
                switches=self._switches,
                seed=seed,
                speed=speed,
                history_hours=history_hours,
                clock=clock,
                closing=closing,
            )
        )
        self._socket = _bind(host, port, allow_remote=allow_remote)
        self._host = "127.0.0.1" if host == "localhost" else host
        self._port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="sandbox", daemon=True)
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            self.close()
            raise SandboxError(f"the sandbox did not start on {self.url}")

    @property
    def url(self) -> str:
        """The origin that stands for every Twilio host."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def statuspage_url(self) -> str:
        """The root of the status page."""
        return self.url + STATUSPAGE_PREFIX

    def set_fault(self, name: str) -> None:
        """Switch a fault on. Raises UnknownFaultError for a name that is none."""
        self._switches.set(name)

    def clear_fault(self, name: str) -> None:
        """Switch a fault off. Raises UnknownFaultError for a name that is none."""
        self._switches.clear(name)

    def wait(self) -> None:
        """Return when the sandbox is closed."""
        self._thread.join()

    def close(self) -> None:
        """Drop the connections and free the port. A second call does nothing."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def run(
    *,
    host: str = DEFAULT_HOST,
    port: int = 0,
    seed: int = 1,
    speed: float = 1.0,
    history_hours: float = DEFAULT_HISTORY_HOURS,
    faults: Iterable[str] = (),
    allow_remote: bool = False,
    on_ready: Callable[[Sandbox], None] = lambda _: None,
) -> None:
    """Serve until interrupted; `on_ready` is told once the sandbox answers.

    Raises what `Sandbox` raises.
    """
    with Sandbox(
        host=host,
        port=port,
        seed=seed,
        speed=speed,
        history_hours=history_hours,
        faults=faults,
        allow_remote=allow_remote,
    ) as sandbox:
        on_ready(sandbox)
        with suppress(KeyboardInterrupt):
            sandbox.wait()


def _build_app(
    *,
    credentials: Credentials,
    switches: Switches,
    seed: int,
    speed: float,
    history_hours: float,
    clock: Callable[[], float],
    closing: asyncio.Event,
) -> ASGIApp:
    now = clock()

    def open_account(*, speed: float, parent_sid: str | None) -> Account:
        return Account(
            credentials=credentials,
            switches=switches,
            seed=seed,
            now=now,
            history_seconds=history_hours * 3600,
            speed=speed,
            parent_sid=parent_sid,
        )

    main = open_account(speed=speed, parent_sid=None)
    child = open_account(speed=0.0, parent_sid=credentials.account_sid)
    return Starlette(
        routes=[
            build_control(credentials, switches),
            build_statuspage(switches, clock),
            Mount("", app=build_twilio(main=main, child=child, clock=clock, closing=closing)),
        ]
    )


def _bind(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise SandboxError(f'host must be an IP address or "localhost", got "{host}"') from None
    if not is_loopback and not allow_remote:
        raise SandboxError(f'host must be a loopback address, got "{host}": anybody could read it')
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named, which socket.create_server does not
    # do; without it every answer on a kept connection waits 40 ms for the acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise SandboxError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


class _Protocol(HttpToolsProtocol):
    """Gives requests the means to drop their connection, which ASGI has not."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {HANG_UP: self.transport.abort}


class _Server(uvicorn.Server):
    """Tells when it is ready, and drops held requests before it waits for the others."""

    def __init__(self, build_app: Callable[[asyncio.Event], ASGIApp]) -> None:
        self._closing = asyncio.Event()
        self.ready = threading.Event()  # or it has given up: see `started`
        app: Any = build_app(self._closing)
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)
