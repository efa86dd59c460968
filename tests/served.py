"""A running exporter for the tests of the web listener: real storage and metrics, results as the test says."""

import http.client
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry

from checks.kinds import KINDS
from checks.providers.twilio import TwilioSettings
from checks.reason import Reason
from checks.result import Balance, CheckResult, CheckRun, Measured
from checks.secret import Secret
from exporter.config import Config, ConfiguredCheck
from exporter.diagnosing import Known
from exporter.meters import Meters
from exporter.metrics import TwofaCollector, build_registry
from exporter.storage import Storage
from exporter.web.connection import Limits
from exporter.web.internal import build_internal
from exporter.web.server import Server, ThreadedServer, bind
from tests.processes import wait_for

NOW = datetime(2026, 11, 24, 7, 30, 0, tzinfo=UTC)

ALL_KINDS = {
    "credentials": {},
    "account": {},
    "balance": {},
    "senders": {"countries": ("DE", "GB")},
    "service_status": {},
    "delivery": {},
}


def twilio_settings() -> TwilioSettings:
    return TwilioSettings(type="twilio", account_sid=f"AC{'0' * 32}", auth_token=Secret("not-a-token"))


def build_config(
    kinds: Mapping[str, Mapping[str, object]] = ALL_KINDS, targets: Sequence[str] = ("twilio-eu",)
) -> Config:
    """A configuration with one check of each kind for each target, called ``target-kind``."""
    return Config(
        targets={target: twilio_settings() for target in targets},
        checks={
            name: ConfiguredCheck(
                name=name, kind_name=kind, settings=KINDS[kind].settings.model_validate({"target": target, **fields})
            )
            for target in targets
            for kind, fields in kinds.items()
            for name in [f"{target}-{kind}".replace("_", "-")]
        },
    )


def run_of(
    check: ConfiguredCheck,
    reason: Reason = Reason.OK,
    detail: str = "",
    *,
    at: datetime = NOW,
    took: float = 0.2,
    measured: tuple[Measured, ...] = (),
) -> CheckRun:
    """A run of a check that ended at ``at``."""
    return CheckRun(
        check=check.name,
        kind=check.kind_name,
        target=check.target,
        result=CheckResult(reason=reason, detail=detail, measured=measured),
        started_at=at - timedelta(seconds=took),
        finished_at=at,
        duration_seconds=took,
    )


def usd(amount: float) -> tuple[Measured, ...]:
    """A measured balance."""
    return (Balance(amount=amount, currency="USD"),)


@dataclass
class FakeApp:
    """What the pages need of the running exporter; a test sets what it likes."""

    config: Config = field(default_factory=build_config)
    meters: Meters = field(default_factory=Meters)
    version: str = "1.2.3"
    healthy: bool = True
    ready: bool = True
    leading: bool = True
    problems: tuple[str, ...] = ()
    reloads: int = 0
    storage: Storage = field(init=False)
    registry: CollectorRegistry = field(init=False)

    def __post_init__(self) -> None:
        self.storage = Storage.in_memory(self.meters)
        self.registry = build_registry(TwofaCollector(lambda: self.config, self.storage, self.meters))

    def known(self) -> Known:
        return Known(config=self.config, clients={}, checks=lambda _: self.storage.checks(), alarms={})

    def is_healthy(self) -> bool:
        return self.healthy

    def is_ready(self) -> bool:
        return self.ready

    def leads(self) -> bool:
        return self.leading

    def reload(self) -> tuple[str, ...]:
        self.reloads += 1
        return self.problems

    def record(self, name: str, reason: Reason = Reason.OK, detail: str = "", **more: object) -> None:
        """Record a run of a configured check."""
        self.storage.record(run_of(self.config.checks[name], reason, detail, **more))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Served:
    """A server that runs for a test."""

    url: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def ask(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """Send one request with just these headers and Host, unless that is given."""
        given = dict(headers or {})
        with closing(http.client.HTTPConnection(*self.address, timeout=20)) as connection:
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )

    def connect(self) -> socket.socket:
        """Open a connection and send nothing."""
        return socket.create_connection(self.address, timeout=20)


def accepted(server: Server, client: socket.socket) -> socket.socket:
    """The server's end of a client's connection."""

    def found() -> list[socket.socket]:
        transports = [connection.transport for connection in list(server.server_state.connections)]
        ours = [each for each in transports if each.get_extra_info("peername") == client.getsockname()]
        return [each.get_extra_info("socket") for each in ours]

    (end,) = wait_for(found)
    return end


@contextmanager
def serving(
    app: FakeApp, *, address: str = "127.0.0.1:0", telemetry_path: str = "/metrics", limits: Limits | None = None
) -> Iterator[Served]:
    """Serve the pages of ``app`` on a real socket."""
    pages = build_internal(app, telemetry_path=telemetry_path)
    with closing(app.storage), ThreadedServer(pages, bind(address), limits) as server:
        yield Served(server.url)
