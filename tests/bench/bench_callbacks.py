"""Callbacks: ours with the signature checked and the receipt on disk, beside the documented way without any storing.

The documented way is Flask with the SDK's ``RequestValidator`` on gunicorn's threads, installed into a throw-away
environment. Requests a second per core are requests by the processor time of the server's processes.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.bench.measure import Goals, free_port, processor_seconds, running
from tests.flood import EXPORTER, Flood, pour, requests_of, write_config
from tests.webhooks import AUTH_TOKEN, PUBLIC_URL

ROUNDS, SECONDS, CONNECTIONS = 5, 3.0, 16
RATIO_GOAL, P99_GOAL_MS = 2.5, 50.0

FLASK_APP: Final = f"""
from flask import Flask, request
from twilio.request_validator import RequestValidator

app = Flask(__name__)
validator = RequestValidator({AUTH_TOKEN!r})

@app.post("/callbacks/twilio")
def callback():
    if not validator.validate({PUBLIC_URL!r}, request.form, request.headers.get("X-Twilio-Signature", "")):
        return "", 403
    return "", 204
"""


@contextmanager
def ours(folder: Path) -> Iterator[tuple[int, int]]:
    """Serve; yield port and pid."""
    write_config(folder)
    port = free_port()
    command: list[str | Path] = [
        EXPORTER,
        "serve",
        f"--config.file={folder / 'exporter.yaml'}",
        f"--storage.path={folder / 'x.db'}",
        "--web.listen-address=127.0.0.1:0",
        f"--public.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(command, log=folder / "ours.log") as process:
        wait_until_it_listens(port)
        yield port, process.pid


@contextmanager
def theirs(folder: Path) -> Iterator[tuple[int, int]]:
    """Install and serve Flask; yield port and pid. Raises CalledProcessError when it cannot be installed."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    packages = ["flask>=3,<4", "gunicorn>=23", "twilio>=9.6,<10"]
    subprocess.run([environment / "bin" / "pip", "install", "-q", *packages], check=True, capture_output=True)
    (folder / "flask_app.py").write_text(FLASK_APP)
    port = free_port()
    command: list[str | Path] = [
        environment / "bin" / "gunicorn",
        f"--chdir={folder}",
        f"--bind=127.0.0.1:{port}",
        "--worker-class=gthread",
        "--workers=1",
        "--threads=16",
        "--keep-alive=60",
        "flask_app:app",
    ]
    with running(command, log=folder / "theirs.log") as process:
        wait_until_it_listens(port)
        yield port, process.pid


def wait_until_it_listens(port: int) -> None:
    """Return once a server takes connections. Raises TimeoutError."""
    ends_at = time.monotonic() + 20
    while time.monotonic() < ends_at:
        with suppress(OSError):
            asyncio.run(pour(Flood(), port, seconds=0, connections=1))
            return
        time.sleep(0.05)
    raise TimeoutError


def measure(port: int, pid: int, first: int) -> tuple[float, float, float]:
    """Return requests a second per core, requests a second, and the 99th percentile in ms."""
    flood = Flood(sources=requests_of(first))
    before = processor_seconds(pid)
    asyncio.run(pour(flood, port, seconds=SECONDS, connections=CONNECTIONS))
    used = processor_seconds(pid) - before
    if flood.refused:
        raise RuntimeError(f"{flood.refused} requests were refused")
    p99 = statistics.quantiles(flood.latencies, n=100)[98] * 1000
    return len(flood.acknowledged) / used, len(flood.acknowledged) / SECONDS, p99


def main() -> int:
    goals = Goals()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        our_port, our_pid = stack.enter_context(ours(folder))
        try:
            servers = {"ours": (our_port, our_pid), "flask": stack.enter_context(theirs(folder))}
        except subprocess.CalledProcessError:
            goals.skip("callbacks a second per core", "flask and gunicorn cannot be installed here")
            return goals.exit_code()
        results: dict[str, list[tuple[float, float, float]]] = {server: [] for server in servers}
        for round_ in range(ROUNDS):
            for server, (port, pid) in servers.items():
                results[server].append(measure(port, pid, 1 + round_ * 10**7))
    medians = {
        server: [statistics.median(values) for values in zip(*taken, strict=True)] for server, taken in results.items()
    }
    for server, (per_core, a_second, p99) in medians.items():
        print(f"callbacks, {server:<5}: {per_core:7.0f} a second per core, {a_second:7.0f} a second, p99 {p99:5.1f} ms")
    ratio, p99 = medians["ours"][0] / medians["flask"][0], medians["ours"][2]
    sides = {name: f"{values[0]:,.0f}/s" for name, values in medians.items()}
    goals.report(
        "callbacks a second per core / Flask's",
        ratio,
        at_least=RATIO_GOAL,
        unit="x",
        ours=sides["ours"],
        peer=sides["flask"],
    )
    goals.report(f"p99 of a callback, {CONNECTIONS} connections", p99, at_most=P99_GOAL_MS, unit="ms")
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
