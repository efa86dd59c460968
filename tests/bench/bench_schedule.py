"""Ten thousand checks a minute of 300 ms each: a thousand accounts with ten checks in one process.

It is the whole exporter but its web server: configuration file, clients, schedule, database. The provider is a server
on loopback, in a process of its own, that takes 300 ms for each answer. Beside it runs APScheduler as it comes, with
its ten threads, for what it leaves out.
"""

import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from apscheduler.events import EVENT_JOB_MISSED
from apscheduler.schedulers.background import BackgroundScheduler

from exporter import app as exporter_app
from exporter.app import App, settle
from exporter.logs import LogFormat, LogLevel, configure
from exporter.meters import Meters, SchedulerEvent
from exporter.scheduler import Scheduler
from exporter.storage import Storage
from tests.bench.measure import Goals, resident_megabytes

ACCOUNTS: Final = 1000
CHECKS_AN_ACCOUNT: Final = 10
INTERVAL_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 0.3
TURNS: Final = 2  # the first runs are spread over one interval, so that the second is like all that follow
PEER_SECONDS: Final = 20.0

BODY: Final = b'{"messages": [], "next_page_uri": null, "page": 0, "page_size": 1}'
ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


# ---- the provider


class Slow(asyncio.Protocol):
    """Answers each request after 300 ms; each comes in one piece, none has a body."""

    connections = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Slow.connections += 1
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._transport.write, ANSWER)


def serve(pipe: Connection) -> None:
    """Serve until the process ends; tell how many connections there were whenever that is asked."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Slow, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        loop.add_reader(pipe.fileno(), lambda: pipe.send((pipe.recv(), Slow.connections)[1]))
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def provider() -> Iterator[tuple[str, Callable[[], int]]]:
    """A slow provider; yields its URL and what tells the connections that were made to it."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()

    def connections() -> int:
        ours.send(None)
        count: int = ours.recv()
        return count

    try:
        yield f"http://127.0.0.1:{ours.recv()}", connections
    finally:
        process.terminate()
        process.join()


# ---- the exporter


def write_config(path: Path, url: str) -> None:
    """Write the accounts and their checks."""
    lines = ["providers:"]
    for account in range(ACCOUNTS):
        lines += [
            f"  a{account}:",
            "    type: twilio",
            f"    account_sid: AC{account:032x}",
            "    auth_token: {env: BENCH_TOKEN}",
            f"    base_url: {url}",
            f"    status_page: {url}",
        ]
    lines.append("checks:")
    for account in range(ACCOUNTS):
        lines += [
            f"  a{account}-{number}: {{type: credentials, target: a{account}, interval: {INTERVAL_SECONDS:.0f}s}}"
            for number in range(CHECKS_AN_ACCOUNT)
        ]
    path.write_text("\n".join(lines))


class Timed(Scheduler):
    """Notes how late each run begins."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.late: list[tuple[float, float]] = []  # when it began, and how late
        self.runs: Counter[str] = Counter()

    def _start(self, name: str, due_at: datetime | None = None) -> None:
        began = datetime.now(UTC)
        if due_at is not None:
            self.late.append((time.monotonic(), (began - due_at).total_seconds()))
        super()._start(name, due_at)
        self.runs[name] += 1


def measure_exporter(goals: Goals, folder: Path) -> None:
    """Run the exporter for two intervals."""
    with provider() as (url, connections):
        write_config(folder / "big.yml", url)
        meters = Meters()
        used = time.process_time()
        app = App.load(folder / "big.yml", lambda: Storage.open(folder / "big.db", meters), meters)
        settle()
        app.start()
        scheduler = app._scheduler
        assert isinstance(scheduler, Timed)
        start_used = time.process_time() - used
        try:
            second_turn = time.monotonic() + INTERVAL_SECONDS * (TURNS - 1)
            before = time.process_time()
            time.sleep(INTERVAL_SECONDS * TURNS + 2)
            used = time.process_time() - before
            runs = scheduler.runs.copy()
            late = [seconds for at, seconds in scheduler.late if at >= second_turn]
        finally:
            app.stop()
        count = ACCOUNTS * CHECKS_AN_ACCOUNT
        states = app.storage.snapshot().checks
        failed = [name for name, state in states.items() if state.last.result.reason != "ok"]
        events = meters.read().scheduler_events
        made = connections()
    p50, p99 = statistics.median(late), statistics.quantiles(late, n=100)[98]
    print(
        f"{count} checks, {sum(runs.values())} runs in {INTERVAL_SECONDS * TURNS:.0f} s:"
        f" {used / sum(runs.values()) * 1000:.2f} ms of processor each, {used / INTERVAL_SECONDS / TURNS:.0%} of one,"
        f" {made} connections, {resident_megabytes(os.getpid()):.0f} MB; start lag p50 {p50 * 1000:.1f} ms,"
        f" p99 {p99 * 1000:.1f} ms, worst {max(late) * 1000:.0f} ms; start {start_used:.2f} s of processor",
        flush=True,
    )
    lost = sum(events[event] for event in SchedulerEvent) + sum(
        runs[f"a{a}-{n}"] == 0 for a in range(ACCOUNTS) for n in range(CHECKS_AN_ACCOUNT)
    )
    goals.report("10,000 checks a minute, runs missed", lost, at_most=0, unit="")
    goals.report("  checks that did not pass", len(failed), at_most=0, unit="")
    goals.report("  start lag, 99th percentile", p99 * 1000, at_most=100, unit="ms")
    goals.report("  from nothing to scheduled, processor", start_used, at_most=2, unit="s")
    goals.report("  connections, for each run of a check", made / sum(runs.values()), at_most=0.1, unit="")


def measure_peer() -> None:
    """Let APScheduler, as it comes, run as many functions that take as long."""
    missed, ran = Counter[int](), Counter[int]()
    peer = BackgroundScheduler(timezone=UTC)
    peer.add_listener(lambda event: missed.update([event.code]), EVENT_JOB_MISSED)

    def run(_: int) -> None:
        time.sleep(ANSWER_SECONDS)
        ran[0] += 1

    begin = datetime.now(UTC)
    count = ACCOUNTS * CHECKS_AN_ACCOUNT
    for number in range(count):
        first = begin + timedelta(seconds=2 + INTERVAL_SECONDS * number / count)
        peer.add_job(run, "interval", args=(number,), seconds=INTERVAL_SECONDS, next_run_time=first)
    peer.start()
    time.sleep(PEER_SECONDS)
    peer.shutdown(wait=False)
    share = missed.total() / max(1, missed.total() + ran.total())
    print(f"  APScheduler with its own ten threads misses {share:.0%}")


def main() -> int:
    """Measure, print, and say by the exit code whether every goal was met."""
    goals = Goals()
    os.environ["BENCH_TOKEN"] = "token"
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # a log line for each run
    configure(LogLevel.INFO, LogFormat.LOGFMT)
    sys.stderr = sys.__stderr__
    exporter_app.Scheduler = Timed  # type: ignore[attr-defined]
    memory = Path("/dev/shm")  # a disk that others write to is not what is measured
    with tempfile.TemporaryDirectory(prefix="twofa-bench-", dir=memory if memory.is_dir() else None) as folder:
        measure_exporter(goals, Path(folder))
    measure_peer()
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
