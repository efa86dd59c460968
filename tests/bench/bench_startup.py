"""How long the command and the server take to start, and how much memory the idle server holds."""

import sys
import tempfile
from pathlib import Path

from tests.bench.measure import (
    COMMAND,
    Goals,
    free_port,
    interleaved_medians,
    resident_megabytes,
    running,
    sandbox,
    seconds_of,
    seconds_until_answered,
)

VERSION_RUNS = 15
SERVE_RUNS = 5
IDLE_SCRAPES = 20


def measure_version(goals: Goals) -> None:
    """``--version`` against the bare interpreter of the same environment."""
    bare, version = interleaved_medians(
        VERSION_RUNS,
        lambda: seconds_of([sys.executable, "-c", "pass"]),
        lambda: seconds_of([COMMAND, "--version"]),
    )
    print(f"python -c pass {bare * 1000:.0f} ms, twofa-exporter --version {version * 1000:.0f} ms")
    goals.report("--version, compared with python -c pass", version / bare, at_most=6, unit="x")


def start_server(config: Path, folder: Path) -> tuple[float, float]:
    """Seconds from the start of ``serve`` to its first answered scrape, and megabytes once it idles."""
    port = free_port()
    command: list[str | Path] = [COMMAND, "serve", "--config.file", config]
    command += ["--web.listen-address", f"127.0.0.1:{port}", "--storage.path", folder / "twofa.db"]
    with running(command, log=folder / "serve.log") as process:
        first_scrape = seconds_until_answered(f"http://127.0.0.1:{port}/metrics", process=process)
        # every check has run once: all that is loaded late is loaded now
        seconds_until_answered(f"http://127.0.0.1:{port}/-/ready", process=process)
        for _ in range(IDLE_SCRAPES):
            seconds_until_answered(f"http://127.0.0.1:{port}/metrics", process=process)
        return first_scrape, resident_megabytes(process.pid)


def measure_serve(goals: Goals) -> None:
    """``serve`` with a new database each time."""
    megabytes: list[float] = []
    with tempfile.TemporaryDirectory(prefix="twofa-bench-") as name, sandbox(Path(name)) as config:

        def first_scrape() -> float:
            with tempfile.TemporaryDirectory(prefix="twofa-bench-") as folder:
                seconds, resident = start_server(config, Path(folder))
            megabytes.append(resident)
            return seconds

        (seconds,) = interleaved_medians(SERVE_RUNS, first_scrape)
    goals.report("serve, to the first answered scrape", seconds, at_most=1.5, unit="s")
    goals.report("serve, resident memory once every check ran", max(megabytes), at_most=70, unit="MB")


def main() -> int:
    """Measure, print, and say by the exit code whether every goal was met."""
    goals = Goals()
    measure_version(goals)
    measure_serve(goals)
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
