"""What the benchmarks share: real processes, medians and goals."""

import contextlib
import gc
import math
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.report import Result, figure, record

COMMAND = Path(sys.executable).parent / "twofa-exporter"
SANDBOX_LINE = re.compile(r"sandbox listening on (http://127\.0\.0\.1:\d+)")


@dataclass(slots=True)
class Goals:
    """Prints each measured value beside its goal and remembers whether all were met."""

    missed: list[str] = field(default_factory=list)

    def report(
        self,
        name: str,
        value: float,
        *,
        unit: str,
        at_most: float = math.inf,
        at_least: float = -math.inf,
        ours: str = "",
        peer: str = "",
    ) -> None:
        """Print one line and keep it for docs/BENCHMARKS.md; a value beyond a bound is a missed goal.

        ``ours`` and ``peer`` say what a ratio is of. Without a bound it is a figure without a goal.
        """
        bounds = (("<=", at_most), (">=", at_least))
        goal = " and ".join(f"{sign} {figure(bound, unit)}" for sign, bound in bounds if math.isfinite(bound))
        met = at_least <= value <= at_most
        verdict = f"goal {goal:<10} {'ok' if met else 'MISSED'}" if goal else ""
        sides = f"  ({ours} against {peer})" if peer else ""
        print(f"{name:<44} {value:8.2f} {unit:<3} {verdict}{sides}", flush=True)
        record(Result(name=name, value=value, unit=unit, goal=goal, met=met, ours=ours, peer=peer))
        if not met:
            self.missed.append(name)

    def skip(self, name: str, why: str) -> None:
        """Say loudly that something was not measured."""
        print(f"{name:<44} SKIPPED: {why}", flush=True)
        record(Result(name=name, skipped=why))

    def exit_code(self) -> int:
        """0 when every goal was met, otherwise 1."""
        return 1 if self.missed else 0


def seconds_of(command: Sequence[str | Path], *, accepted: frozenset[int] = frozenset({0})) -> float:
    """How long the command takes from start to exit, in seconds.

    Raises RuntimeError when it exits with a code that is not accepted: a failing command is fast.
    """
    started = time.perf_counter()
    finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    took = time.perf_counter() - started
    if finished.returncode not in accepted:
        raise RuntimeError(f"{command} exited with {finished.returncode}: {finished.stderr or finished.stdout}")
    return took


def interleaved_medians(runs: int, *measures: Callable[[], float]) -> list[float]:
    """The median of each measure; taken in turns, so that a slow moment of the machine hits all alike."""
    values: list[list[float]] = [[] for _ in measures]
    for _ in range(runs):
        for measure, taken in zip(measures, values, strict=True):
            taken.append(measure())
    return [statistics.median(taken) for taken in values]


def cpu_seconds(work: Callable[[], object]) -> float:
    """How much processor time of this process one call takes, in seconds; what was garbage before is not in it."""
    gc.collect()
    started = time.process_time()
    work()
    return time.process_time() - started


def processor_seconds(pid: int) -> float:
    """The processor time of a process and its children so far, in seconds, in steps of 10 ms (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    total = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                total += processor_seconds(int(child))
    return total


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def seconds_until_answered(url: str, *, process: subprocess.Popen[str], timeout_seconds: float = 30) -> float:
    """How long until the URL answers 200, in seconds from now.

    Raises RuntimeError when the process exits before that, and TimeoutError.
    """
    started = time.perf_counter()
    while (waited := time.perf_counter() - started) < timeout_seconds:
        if process.poll() is not None:
            raise RuntimeError(f"exited with {process.returncode} before it answered {url}")
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                response.read()
                return time.perf_counter() - started
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.005)
    raise TimeoutError(f"{url} did not answer 200 within {waited:.0f} s")


@contextlib.contextmanager
def running(command: Sequence[str | Path], *, log: Path, stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """The process of a command, its output in ``log``; ended when the block ends.

    ``stdout=subprocess.PIPE`` takes standard output out of the log, for the block to read.
    """
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(command, stdout=stdout or output, stderr=output, text=True) as process,
    ):
        try:
            yield process
        except Exception as error:
            error.add_note(f"{log.name}: {log.read_text(encoding='utf-8') or 'empty'}")
            raise
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextlib.contextmanager
def sandbox(folder: Path) -> Iterator[Path]:
    """A running sandbox; yields the path of an exporter config that uses it."""
    config = folder / "twofa.yaml"
    command: list[str | Path] = [COMMAND, "sandbox", "--port", "0", "--write-config", config]
    with running(command, log=folder / "sandbox.log", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        # readline() ends when the line comes or the process does
        if not SANDBOX_LINE.match(line := process.stdout.readline()):
            raise RuntimeError(f"the sandbox said {line!r}")
        yield config


def resident_megabytes(pid: int) -> float:
    """The memory of a process that is in RAM, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        kibibytes = re.search(r"^VmRSS:\s+(\d+) kB", status.read_text(encoding="ascii"), flags=re.MULTILINE)
        assert kibibytes is not None
        return int(kibibytes[1]) * 1024 / 1e6
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True, text=True)
    return int(shown.stdout) * 1024 / 1e6
