"""Everything on one machine with no account: sandbox, exporter and, where installed, Prometheus and Alertmanager."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from checks.errors import ProviderError
from checks.kinds import KINDS
from checks.result import CheckRun
from checks.secret import Secret
from checks.settings import Pace, format_duration
from checks.targets import SECTIONS

from . import config as configuration
from . import documents, presets
from .app import App, run_once
from .backfill import backfill
from .config import ConfigError
from .export import ALERTMANAGER, RULES, Site, rule_files
from .meters import Meters
from .report import summary
from .sandbox.credentials import build_credentials
from .sandbox.faults import UnknownFaultError
from .sandbox.geography import COUNTRIES
from .sandbox.notifier import Notifications
from .sandbox.server import DEFAULT_HISTORY_HOURS, Sandbox, SandboxError
from .shipped import JOB, RUNBOOKS_PATH, alerts_folder
from .storage import Storage
from .terminal import console_for_stdout, table
from .web.clock import PAGE_PATH
from .web.internal import build_internal
from .web.protection import Protection
from .web.public import serve_public
from .web.server import ThreadedServer, WebError, bind, serve, url_of

CANARY: Final = "canary"
PHONE: Final = "+447415999999"  # of no client of the sandbox

_INTERVAL: Final = "5s"
_CANARY_INTERVAL: Final = "30s"
_READINESS_INTERVAL: Final = "15s"
_TOTP_INTERVAL: Final = "35s"
_CLOCK_INTERVAL: Final = "10s"
_HISTORY_HOURS: Final = 48  # a whole day (UTC), for the baselines
_PREFERRED_SANDBOX_PORT: Final = 10688
_PREFERRED_PROMETHEUS_PORT: Final = 9090
_PREFERRED_ALERTMANAGER_PORT: Final = 9093
_STOP_SECONDS: Final = 5
_VENDOR_INTERVAL_SECONDS: Final = 60.0  # or as often as the vendor lets itself be asked
_VENDOR_CHECKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "credentials": {},
    "account": {},
    "balance": {"min_amount": 10},
    "delivery": {},
}
"""Those that need to be told nothing of the account, and send nothing."""


class DemoError(Exception):
    """The demo cannot run; the text says why."""


def write_sandbox_config(sandbox: Sandbox, path: Path, *, callback_url: str | None = None) -> None:
    """Write a configuration for a running sandbox, and its token into a file beside it.

    With a URL for callbacks it has all that needs an exporter that serves: callbacks, confirmations, a canary.
    """
    secrets = _write_secrets(sandbox, path)
    document = _document(sandbox, secrets)
    if callback_url is not None:
        document["providers"]["twilio"] |= {
            "callbacks": {"public_url": callback_url},
            "confirmations": {"token": {"file": secrets["token"]}},
        }
        document["back_offices"]["b2core"] |= {  # one sign-in a process: a code is good for one
            "email": sandbox.credentials.b2core_email,
            "password": {"file": secrets["totp-password"]},
            "totp_secret": {"file": secrets["totp"]},
            "verifier_events": {"token": {"file": secrets["token"]}},
        }
        document["checks"]["verifier"] = {"type": "verifier", "target": "b2core", "interval": _INTERVAL}
        document["checks"][CANARY] = {
            "type": "canary",
            "target": "twilio",
            "interval": _CANARY_INTERVAL,
            "recipients": [{"number": PHONE, "tells": True}],
            "receive_token": {"file": secrets["token"]},
            "sender": sandbox.credentials.toll_free,
            "cost_per_message": 0.06,
            "max_cost_per_day": 5,
            "max_sends_per_day": 100,
            "currency": "USD",
        }
    path.write_text(documents.dump(document), encoding="utf-8")


def write_vendor_config(sandbox: Sandbox, vendor: str, path: Path) -> None:
    """Write a configuration for the account behind a vendor's wire, and each of its secrets into a file beside it.

    Raises LookupError for a vendor whose wire the sandbox does not speak.
    """
    given = sandbox.provider_settings(vendor)
    spec = SECTIONS["providers"].types[given["type"]]
    settings = spec.settings.model_validate(given, context=presets.CONTEXT)
    paces = settings.paces()
    checks = {
        kind: {"type": kind, "target": vendor, "interval": _interval(paces.get(kind)), **more}
        for kind, more in _VENDOR_CHECKS.items()
        if spec.implements(KINDS[kind].needs, settings)
    }
    document = {"providers": {vendor: _without_secrets(given, path)}, "checks": checks}
    path.write_text(documents.dump(document), encoding="utf-8")


def _interval(pace: Pace | None) -> str:
    return format_duration(_VENDOR_INTERVAL_SECONDS if pace is None else max(_VENDOR_INTERVAL_SECONDS, pace.seconds))


def _without_secrets(settings: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return settings whose secrets are files."""
    plain: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Secret):
            plain[name] = {"file": _write_files({name: value.reveal()}, path)[name]}
        else:
            plain[name] = _without_secrets(value, path) if isinstance(value, Mapping) else value
    return plain


def notifications(callback_url: str, internal_url: str, token: str) -> Notifications:
    """Return what the sandbox posts to an exporter, along a way that is not perfect."""
    return Notifications(
        callback_url=callback_url,
        disorder=0.1,
        repeats=0.05,
        loss=0.02,
        phones=(PHONE,),
        phone_url=f"{internal_url}/api/v1/canary/{CANARY}/received",
        phone_token=token,
    )


def _write_secrets(sandbox: Sandbox, path: Path) -> Mapping[str, str]:
    """Write each secret into a file of its own beside the configuration; return the names of the files."""
    canary = sandbox.client("canary")
    secrets = {
        "token": sandbox.credentials.auth_token,
        "password": sandbox.credentials.b2core_plain_password,
        "totp-password": sandbox.credentials.b2core_password,
        "totp": sandbox.credentials.b2core_totp_secret,
        "canary-password": canary.password,
        "canary-totp": canary.totp_secret,
    }
    return _write_files(secrets, path)


def _write_files(secrets: Mapping[str, str], path: Path) -> Mapping[str, str]:
    files = {}
    for name, secret in secrets.items():
        file = path.with_suffix(f".{name}")
        file.unlink(missing_ok=True)  # an old one may be readable by others
        file.touch(mode=0o600)
        file.write_text(secret, encoding="utf-8")
        files[name] = file.name
    return files


def _document(sandbox: Sandbox, secrets: Mapping[str, str]) -> dict[str, Any]:
    target = {"target": "twilio", "interval": _INTERVAL}
    office = {"target": "b2core", "interval": _INTERVAL}
    return {
        "providers": {
            "twilio": {
                "type": "twilio",
                "account_sid": sandbox.credentials.account_sid,
                "auth_token": {"file": secrets["token"]},
                "base_url": sandbox.url,
                "status_page": f"{sandbox.url}/statuspage",
            }
        },
        "back_offices": {
            "b2core": {
                "type": "b2core",
                "url": sandbox.b2core_url,
                "email": sandbox.credentials.b2core_plain_email,
                "password": {"file": secrets["password"]},
            }
        },
        "clocks": {
            "time": {"type": "ntp", "servers": [sandbox.ntp_address], "platform_url": f"{sandbox.b2core_url}/api/v2"}
        },
        "checks": {
            "credentials": {"type": "credentials", **target},
            "account": {"type": "account", **target},
            "balance": {"type": "balance", **target, "min_amount": 20},
            "senders": {
                "type": "senders",
                **target,
                "numbers": [sandbox.credentials.long_code, sandbox.credentials.toll_free],
                "messaging_services": [sandbox.credentials.messaging_service_sid],
                "countries": [country.code for country in COUNTRIES],
            },
            "service-status": {"type": "service_status", **target},
            "delivery": {"type": "delivery", **target, "no_traffic_after": "10m"},
            "conversion": {"type": "conversion", **target},
            "enablement": {"type": "enablement", **office, "provider": "twilio-main", "compare_with": "twilio"},
            "client-readiness": {
                "type": "client_readiness",
                **office,
                "interval": _READINESS_INTERVAL,
                "min_clients": 50,
            },
            "totp-login": {
                "type": "totp_login",
                **office,
                "interval": _TOTP_INTERVAL,
                "email": sandbox.client("canary").email,
                "password": {"file": secrets["canary-password"]},
                "totp_secret": {"file": secrets["canary-totp"]},
            },
            "clock": {"type": "clock", "target": "time", "interval": _CLOCK_INTERVAL},
        },
        "diagnose": {"max_lookups_per_day": 100},
    }


def run_demo_once(*, faults: Sequence[str], seed: int, speed: float) -> list[CheckRun]:
    """Run every check once against a sandbox and return the runs. Raises DemoError."""
    with ExitStack() as stack:
        _, config_path = _start_sandbox(stack, faults, seed, speed)
        meters = Meters()
        return run_once(configuration.load(config_path), Storage.in_memory(meters), meters)


def run_demo(
    *,
    faults: Sequence[str],
    listen_address: str,
    seed: int,
    speed: float,
    companions: bool,
    web_config: Path | None = None,
) -> None:
    """Run everything until interrupted. Raises DemoError.

    With a web configuration the demo's own programs have a second listener on loopback without any: their certificates
    and passwords are nobody's.
    """
    with ExitStack() as stack:
        try:
            protection = None if web_config is None else Protection(web_config)
            listener = bind(listen_address)
        except ConfigError as error:
            raise DemoError("\n".join(error.problems)) from None
        except WebError as error:
            raise DemoError(str(error)) from None
        stack.callback(listener.close)
        inner = listener if protection is None else stack.enter_context(closing(bind("127.0.0.1:0")))
        public = stack.enter_context(closing(bind("127.0.0.1:0")))
        url, callback_url = url_of(listener, protection), f"{url_of(public)}/callbacks/twilio"
        sandbox, config_path = _start_sandbox(stack, faults, seed, speed, _Served(url_of(inner), callback_url))
        meters = Meters()
        folder = config_path.parent
        app = App.load(config_path, lambda: Storage.open(folder / "demo.db", meters), meters)
        warm(app, folder)
        links = {
            "status page": f"{url}/",
            "diagnose": f"{url}/diagnose",
            "metrics": f"{url}/metrics",
            "clock page": f"{url_of(public)}{PAGE_PATH}",
        }
        if companions:
            links |= _start_companions(stack, folder, inner, f"{url}{RUNBOOKS_PATH}")
        links["sandbox"] = f"{sandbox.url}/sandbox/faults"
        app.start()
        stack.callback(app.stop)
        stack.enter_context(serve_public(public, app.callback_clients, app.storage.messages, meters, app.true_time))
        if protection is not None:
            stack.enter_context(ThreadedServer(build_internal(app), inner))
        with _display(app, links, sandbox):
            serve(build_internal(app, protection=protection), [listener], on_hangup=_end_demo, protection=protection)


def _end_demo() -> None:
    """End as on Ctrl-C: the terminal is gone, and nobody will look at what is left running."""
    os.kill(os.getpid(), signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class _Served:
    """Where the demo's exporter listens."""

    internal_url: str
    callback_url: str


def _start_sandbox(
    stack: ExitStack, faults: Sequence[str], seed: int, speed: float, served: _Served | None = None
) -> tuple[Sandbox, Path]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twofa-exporter-demo-")))
    token = build_credentials(seed).auth_token
    try:
        sandbox = Sandbox(
            port=_free_port(_PREFERRED_SANDBOX_PORT),
            faults=faults,
            seed=seed,
            speed=speed,
            history_hours=DEFAULT_HISTORY_HOURS if served is None else _HISTORY_HOURS,
            notifications=None if served is None else notifications(served.callback_url, served.internal_url, token),
        )
    except (SandboxError, UnknownFaultError) as error:
        raise DemoError(str(error)) from None
    stack.enter_context(sandbox)
    config_path = folder / "twofa-exporter.yml"
    write_sandbox_config(sandbox, config_path, callback_url=None if served is None else served.callback_url)
    return sandbox, config_path


def warm(app: App, folder: Path) -> None:
    """Let the detector learn from yesterday. Where the log cannot be read, a fault wants it so."""
    with suppress(ProviderError):
        backfill(
            app.client("twilio"),
            app.storage.messages,
            "twilio",
            days=1,
            now=datetime.now(UTC),
            output=folder / "yesterday.om",
            step_seconds=300,
        )


@dataclass(frozen=True, slots=True)
class _Companion:
    """A program that the demo runs beside itself."""

    label: str
    programs: tuple[str, ...]  # names, the first that is installed is taken; Debian prefixes Alertmanager's
    port: int

    def program(self) -> str | None:
        return next((found for name in self.programs if (found := shutil.which(name))), None)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def _start_companions(stack: ExitStack, folder: Path, listener: socket.socket, runbooks_url: str) -> dict[str, str]:
    """Start what is installed; return where each can be seen, or how to get it."""
    alertmanager = _Companion(
        "Alertmanager", ("alertmanager", "prometheus-alertmanager"), _free_port(_PREFERRED_ALERTMANAGER_PORT)
    )
    prometheus = _Companion("Prometheus", ("prometheus",), _free_port(_PREFERRED_PROMETHEUS_PORT))
    rules = folder / RULES
    rules.write_text(rule_files(Site(runbooks=runbooks_url))[RULES], encoding="utf-8")
    (folder / "alertmanager.yml").write_text(documents.dump(_alertmanager_document()), encoding="utf-8")
    (folder / "prometheus.yml").write_text(
        documents.dump(_prometheus_document(listener, alertmanager, rules)), encoding="utf-8"
    )
    arguments = {
        alertmanager: [
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={alertmanager.address}",
            "--cluster.listen-address=",
        ],
        prometheus: [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={prometheus.address}",
        ],
    }
    links = {}
    for companion, options in arguments.items():
        program = companion.program()
        if program is None:
            links[companion.label] = "not installed; see the README"
            continue
        log = stack.enter_context((folder / f"{companion.label}.log").open("wb"))
        process = subprocess.Popen([program, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603  # found on PATH, our own options
        stack.callback(_end, process)
        links[companion.label] = f"http://{companion.address}/"
    return links


def _alertmanager_document() -> dict[str, Any]:
    """Return the example that is shipped, with less patience. It shows alerts on its own page and tells nobody."""
    document: dict[str, Any] = documents.read(alerts_folder() / ALERTMANAGER)
    document["route"] |= {"group_wait": "5s", "group_interval": "5s"}
    return document


def _prometheus_document(listener: socket.socket, alertmanager: _Companion, rules: Path) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
        "scrape_configs": [
            {
                "job_name": JOB,
                "static_configs": [{"targets": [url_of(listener).removeprefix("http://")]}],
            }
        ],
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise DemoError("no free port on 127.0.0.1")


@contextmanager
def _display(app: App, links: dict[str, str], sandbox: Sandbox) -> Iterator[None]:
    """Show the links and a table that follows the checks; on a pipe, the table once."""
    console = console_for_stdout()

    def render() -> RenderableType:
        states = app.storage.checks()
        runs = [states[name].last for name in app.config.checks if name in states]
        parts: list[RenderableType] = []
        if not app.is_ready():
            parts.append(Text(f"{len(runs)} of {len(app.config.checks)} checks have run"))
        else:
            parts += [table(runs), Text(), Text(summary(runs))]
        parts += [Text(), Text(_hint(sandbox), style="dim")]
        return Group(*parts)

    if console.is_terminal:
        with Live(get_renderable=lambda: Group(_links(links), Text(), render()), console=console, refresh_per_second=2):
            yield
        return
    console.print(_links(links))
    console.print()
    sys.stdout.flush()
    stopped = threading.Event()
    printer = threading.Thread(target=_print_once_ready, args=(app, console, render, stopped), daemon=True)
    printer.start()
    try:
        yield
    finally:
        stopped.set()
        printer.join()


def _print_once_ready(
    app: App, console: Console, render: Callable[[], RenderableType], stopped: threading.Event
) -> None:
    while not app.is_ready():
        if stopped.wait(0.1):
            return
    console.print(render())
    sys.stdout.flush()


def _links(links: dict[str, str]) -> Text:
    width = max(map(len, links))
    return Text("\n".join(f"{label:<{width}}  {target}" for label, target in links.items()))


def _hint(sandbox: Sandbox) -> str:
    return (
        f"try: curl -X PUT {sandbox.url}/sandbox/faults/balance_exhausted\n"
        f"back: curl -X DELETE {sandbox.url}/sandbox/faults/balance_exhausted\nCtrl-C ends it all"
    )
