"""Real programs for tests: started on free loopback ports, stopped by pid."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import requests

COMMAND = (sys.executable, "-m", "exporter")
ROOT = Path(__file__).resolve().parent.parent

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], T], *, seconds: float = 20, every: float = 0.02) -> T:
    """Return the first true value of ``condition``; fails with its last value when none comes in time."""
    ends_at = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < ends_at, f"did not happen within {seconds} s: {value!r}"
        time.sleep(every)
    return value


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


@contextmanager
def running(
    command: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends, all that it prints in ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=ROOT, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run_command(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``twofa-exporter`` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env
    )


@contextmanager
def exporter(config: Path, folder: Path, *arguments: str, port: int | None = None) -> Iterator[str]:
    """Run ``twofa-exporter serve`` and yield its URL once every check has run."""
    port = free_port() if port is None else port
    command = [
        *COMMAND,
        "serve",
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.path={folder / 'exporter.db'}",
        *arguments,
    ]
    url = f"http://127.0.0.1:{port}"
    log = folder / "exporter.log"
    with running(command, log) as process:
        wait_for(lambda: process.poll() is not None or answers(f"{url}/-/ready"))
        assert process.poll() is None, log.read_text()
        yield url
