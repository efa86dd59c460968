"""The running sandbox: Twilio, its status page, a back office and the controls on one loopback port, and a clock."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..web.server import Server, WebError, bind
from .account import Account
from .b2core import DEFAULT_TOKEN_SECONDS, B2core
from .b2core import PREFIX as B2CORE_PREFIX
from .b2core_office import Office
from .clients import Client, Clients
from .connections import HANG_UP
from .control import build_control
from .credentials import Credentials, build_credentials
from .dates import Dated
from .emulator import Ground
from .faults import Place, Switches
from .geography import find_operator
from .links import LinkServer
from .notifier import Notifications, Notifier
from .ntp import TimeServer
from .statuspage import PREFIX as STATUSPAGE_PREFIX
from .statuspage import build_statuspage
from .vendors import EMULATORS, LINKS
from .world import kept_seconds

DEFAULT_HISTORY_HOURS: Final = 6.0
DEFAULT_HOST: Final = "127.0.0.1"
KEEP_ALIVE_SECONDS: Final = 75
"""Longer than checks usually wait, so that clients stay connected."""


class SandboxError(Exception):
    """The sandbox cannot be started as asked; the message says why."""


class Sandbox:
    """A sandbox that serves from its construction until `close`, in a thread of its own.

    `speed` multiplies how many messages arrive, 20,000 a day at 1; above 1 it also turns the day's rhythm of quiet
    nights and busy afternoons, so that a day of it takes 24 minutes at 60. Nothing else is faster: dates are of the
    real clock, and receipts, prices and typed codes take as long as ever. The log's times are whole seconds:
    latencies of a sixtieth would all be 0 there.

    A fault strikes the messages that are created while it is on, and what happened to those stays when it is cleared:
    what a reader has been told is never taken back. One of `faults` has been on for a while at the start.

    `notifications` says what is posted to whom; without it only the StatusCallback of a message is heeded.

    `history_hours` is how much traffic there has been at the start; `token_seconds` is how long access tokens of the
    back office live. Raises SandboxError for a host
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
        notifications: Notifications | None = None,
        token_seconds: float = DEFAULT_TOKEN_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.credentials: Credentials = build_credentials(seed)
        self._switches = Switches(faults, clock=clock, kept_seconds=kept_seconds(speed))
        self._host = "127.0.0.1" if host == "localhost" else host
        self._socket = _bind(self._host, port, allow_remote=allow_remote)
        self._port: int = self._socket.getsockname()[1]
        self._time_socket = _bind_time(self._socket)
        self._time_port: int = self._time_socket.getsockname()[1]
        self._link_sockets = {vendor: _bind(self._host, 0, allow_remote=allow_remote) for vendor in LINKS}
        self._link_ports: dict[str, int] = {name: each.getsockname()[1] for name, each in self._link_sockets.items()}
        self._clients = Clients(seed)
        open_account = partial(
            Account,
            credentials=self.credentials,
            switches=self._switches,
            seed=seed,
            now=clock(),
            history_seconds=history_hours * 3600,
        )
        main = open_account(speed=speed, fates=self._clients.fates)
        child = open_account(speed=0.0, parent_sid=main.sid)
        self._account = main
        notifier = Notifier(main, notifications or Notifications(), clock)
        closing = asyncio.Event()  # held requests are dropped before the others are waited for
        office = Office(account=main, clients=self._clients, clock=clock)
        b2core = B2core(office, token_seconds=token_seconds, closing=closing)
        time_server = TimeServer(self._time_socket, self._switches, clock)
        ground = Ground(account=main, child=child, clock=clock, closing=closing)
        link_servers = [LinkServer(self._link_sockets[name], link.build(ground)) for name, link in LINKS.items()]
        routes = [
            build_control(self.credentials, self._switches, b2core, self._clients, seed=seed, speed=speed),
            build_statuspage(self._switches, clock),
            b2core.mount,
            *_mounts(ground),
        ]
        self._server = Server(
            Dated(Starlette(routes=routes), clock),
            [self._socket],
            protocol=_Protocol,
            keep_alive_seconds=KEEP_ALIVE_SECONDS,
            date_header=False,  # each part has its own clock
            on_stop=closing.set,
            beside=partial(_run_together, notifier.run, time_server.run, *(each.run for each in link_servers)),
        )
        self._thread = self._server.start_thread("sandbox")
        if not self._server.started:
            self.close()
            raise SandboxError(f"the sandbox did not start on {self.url}")

    @property
    def url(self) -> str:
        """The origin that stands for every Twilio host."""
        return f"http://{_authority(self._host, self._port)}"

    def provider_settings(self, vendor: str, *, callback_url: str | None = None) -> dict[str, Any]:
        """Return the entry of a configuration for the account behind a vendor's wire; its secrets are ``Secret``.

        With a URL for callbacks it believes the posts of the sandbox. Raises LookupError for a vendor that is none.
        """
        if vendor in LINKS:
            own = LINKS[vendor].settings(self._account)
            return {"type": vendor, **own, "host": self._host, "port": self._link_ports[vendor]}
        emulator = EMULATORS[vendor]
        settings = {
            "type": vendor,
            **emulator.settings(self._account),
            "base_url": self.url + emulator.prefix,
            **({"status_page": self.statuspage_url} if emulator.has_status_page else {}),
        }
        if callback_url is not None:
            settings["callbacks"] = {
                **emulator.callback_settings(self._account),
                **({"public_url": callback_url} if emulator.signs_url else {}),
            }
        return settings

    @property
    def account(self) -> Account:
        """The account behind every vendor's wire: what a reader of any of them should find."""
        return self._account

    @property
    def statuspage_url(self) -> str:
        """The root of the status page."""
        return self.url + STATUSPAGE_PREFIX

    @property
    def b2core_url(self) -> str:
        """The host of the back office, as its documentation calls what all paths are relative to."""
        return self.url + B2CORE_PREFIX

    @property
    def ntp_address(self) -> str:
        """Host and UDP port of the time server."""
        return _authority(self._host, self._time_port)

    @property
    def link_addresses(self) -> dict[str, str]:
        """Host and TCP port of each vendor that speaks no HTTP."""
        return {vendor: _authority(self._host, port) for vendor, port in self._link_ports.items()}

    def client(self, name: str) -> Client:
        """Return a persona of the back office. Raises LookupError for a name that is none."""
        return self._clients.persona(name)

    def set_fault(self, name: str, place: Place | None = None) -> None:
        """Switch a fault on, one of an operator at ``place``.

        Raises UnknownFaultError for a name that is none, PlaceError for a fault that strikes everywhere and
        LookupError for an operator that is none.
        """
        if place is not None:
            find_operator(place.country, place.operator)
        self._switches.set(name, place)

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
        self._time_socket.close()
        for listener in self._link_sockets.values():
            listener.close()

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
    notifications: Notifications | None = None,
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
        notifications=notifications,
    ) as sandbox:
        on_ready(sandbox)
        with suppress(KeyboardInterrupt):
            sandbox.wait()


def _bind(host: str, port: int, *, allow_remote: bool) -> socket.socket:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SandboxError(f'host must be an IP address or "localhost", got "{host}"') from None
    if not is_loopback and not allow_remote:
        raise SandboxError(f'host must be a loopback address, got "{host}": anybody could read it')
    try:
        return bind(_authority(host, port), option="--port")
    except WebError as error:
        raise SandboxError(str(error)) from None


def _bind_time(listener: socket.socket) -> socket.socket:
    """Return a UDP socket on the address of a listener: on its port where that is free, or else on any."""
    host, port, *_ = listener.getsockname()
    udp = socket.socket(listener.family, socket.SOCK_DGRAM)
    try:
        udp.bind((host, port))
    except OSError:
        udp.bind((host, 0))
    return udp


def _mounts(ground: Ground) -> list[Mount]:
    """Return every vendor below its prefix, the one at the root last: it takes what is left."""
    emulators = sorted(EMULATORS.values(), key=lambda emulator: emulator.prefix, reverse=True)
    return [Mount(emulator.prefix, app=emulator.build(ground)) for emulator in emulators]


async def _run_together(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(part())


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Protocol(HttpToolsProtocol):
    """Gives requests the means to drop their connection, which ASGI has not."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: Any = self.scope
        scope["extensions"] = {HANG_UP: self.transport.abort}
