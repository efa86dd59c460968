"""Everything on one machine with no account: sandbox, exporter and, where installed, Prometheus and Alertmanager."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from checks.result import CheckRun

from . import config as configuration
from .app import App, run_once
from .meters import Meters
from .report import summary
from .sandbox.faults import UnknownFaultError
from .sandbox.geography import COUNTRIES
from .sandbox.server import Sandbox, SandboxError
from .storage import Storage
from .terminal import console_for_stdout, table
from .web.internal import build_internal
from .web.server import WebError, bind, serve, url_of

_INTERVAL: Final = "5s"
_PREFERRED_SANDBOX_PORT: Final = 10688
_PREFERRED_PROMETHEUS_PORT: Final = 9090
_PREFERRED_ALERTMANAGER_PORT: Final = 9093
_STOP_SECONDS: Final = 5


class DemoError(Exception):
    """The demo cannot run; the text says why."""


def write_sandbox_config(sandbox: Sandbox, path: Path) -> None:
    """Write a configuration for a running sandbox, and its token into a file beside it."""
    token = path.with_suffix(".token")
    token.unlink(missing_ok=True)  # an old one may be readable by others
    token.touch(mode=0o600)
    token.write_text(sandbox.credentials.auth_token, encoding="utf-8")
    path.write_text(configuration.dump(_document(sandbox, token.name)), encoding="utf-8")


def _document(sandbox: Sandbox, token_file: str) -> dict[str, Any]:
    target = {"target": "twilio", "interval": _INTERVAL}
    return {
        "providers": {
            "twilio": {
                "type": "twilio",
                "account_sid": sandbox.credentials.account_sid,
                "auth_token": {"file": token_file},
                "base_url": sandbox.url,
                "status_page": f"{sandbox.url}/statuspage",
            }
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
        },
    }


def run_demo_once(*, faults: Sequence[str], seed: int, speed: float) -> list[CheckRun]:
    """Run every check once against a sandbox and return the runs. Raises DemoError."""
    with ExitStack() as stack:
        _, config_path = _start_sandbox(stack, faults, seed, speed)
        meters = Meters()
        return run_once(configuration.load(config_path), Storage.in_memory(meters), meters)


def run_demo(*, faults: Sequence[str], listen_address: str, seed: int, speed: float, companions: bool) -> None:
    """Run everything until interrupted. Raises DemoError."""
    with ExitStack() as stack:
        try:
            listener = bind(listen_address)
        except WebError as error:
            raise DemoError(str(error)) from None
        stack.callback(listener.close)
        sandbox, config_path = _start_sandbox(stack, faults, seed, speed)
        meters = Meters()
        folder = config_path.parent
        app = App.load(config_path, lambda: Storage.open(folder / "demo.db", meters), meters)
        url = url_of(listener)
        links = {"status page": f"{url}/", "metrics": f"{url}/metrics"}
        if companions:
            links |= _start_companions(stack, folder, listener)
        links["sandbox"] = f"{sandbox.url}/sandbox/faults"
        app.start()
        stack.callback(app.stop)
        with _display(app, links, sandbox):
            serve(build_internal(app), [listener], on_hangup=_end_demo)


def _end_demo() -> None:
    """End as on Ctrl-C: the terminal is gone, and nobody will look at what is left running."""
    os.kill(os.getpid(), signal.SIGTERM)


def _start_sandbox(stack: ExitStack, faults: Sequence[str], seed: int, speed: float) -> tuple[Sandbox, Path]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twofa-exporter-demo-")))
    try:
        sandbox = Sandbox(port=_free_port(_PREFERRED_SANDBOX_PORT), faults=faults, seed=seed, speed=speed)
    except (SandboxError, UnknownFaultError) as error:
        raise DemoError(str(error)) from None
    stack.enter_context(sandbox)
    config_path = folder / "twofa-exporter.yml"
    write_sandbox_config(sandbox, config_path)
    return sandbox, config_path


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


def _start_companions(stack: ExitStack, folder: Path, listener: socket.socket) -> dict[str, str]:
    """Start what is installed; return where each can be seen, or how to get it."""
    alertmanager = _Companion(
        "Alertmanager", ("alertmanager", "prometheus-alertmanager"), _free_port(_PREFERRED_ALERTMANAGER_PORT)
    )
    prometheus = _Companion("Prometheus", ("prometheus",), _free_port(_PREFERRED_PROMETHEUS_PORT))
    (folder / "prometheus.yml").write_text(
        configuration.dump(_prometheus_document(listener, alertmanager)), encoding="utf-8"
    )
    arguments = {
        alertmanager: [
            f"--config.file={alerts_folder() / 'alertmanager.demo.yml'}",
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


def _prometheus_document(listener: socket.socket, alertmanager: _Companion) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(alerts_folder() / "twofa.rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
        "scrape_configs": [
            {
                "job_name": "twofa-exporter",
                "static_configs": [{"targets": [url_of(listener).removeprefix("http://")]}],
            }
        ],
    }


def alerts_folder() -> Path:
    """Return the folder of the alert rules: inside the installed package, or at the top of a checkout."""
    packaged = Path(str(files("exporter"))) / "alerts"
    return packaged if packaged.is_dir() else packaged.parent.parent / "alerts"


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
        states = app.storage.snapshot().checks
        runs = [states[name].last for name in app.config.checks if name in states]
        parts: list[RenderableType] = []
        if len(runs) < len(app.config.checks):
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
