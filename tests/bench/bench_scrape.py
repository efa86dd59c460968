"""Scrapes: the text of many series beside prometheus_client's, whole scrapes beside a Go program's, and who else waits.

The Go program is Debian's prometheus-pushgateway, which holds the same series and answers the same requests. All values
are formatted for every scrape, as if each had changed.
"""

import http.client
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from checks.messages import FAILURE_REASONS, Source, Status
from checks.messages.detector import Scope, Verdict
from checks.reason import Reason
from exporter.families import FAMILIES
from exporter.meters import Meters
from exporter.metrics import Samples, Series, TwofaCollector, build_registry
from exporter.snapshot import LATENCY_BOUNDS, Evidence, Latency, Route, Snapshot, Tally
from exporter.storage import Storage
from exporter.web.exposition import OPENMETRICS, compress, render
from exporter.web.rendering import Renderer
from tests.bench.measure import (
    Goals,
    cpu_seconds,
    free_port,
    interleaved_medians,
    processor_seconds,
    running,
    seconds_until_answered,
)
from tests.served import FakeApp, build_config, serving

ROUNDS: Final = 5
SCRAPES: Final = 20  # of each server in each round
SCRAPERS: Final = 8
TICK_SECONDS: Final = 0.005
TWELVE_BUCKETS: Final = (1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800)  # and one for all above
ROUTES: Final = 177  # with all their statuses, reasons and buckets: ten thousand series
PUSHGATEWAY: Final = "prometheus-pushgateway"
TARGET: Final = "twilio-eu"
PROMETHEUS_3: Final = {
    "Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "Accept-Encoding": "gzip",
}


# ---- the text


@dataclass(eq=False)
class Held(Collector):
    """A registry of what it was given."""

    metrics: Sequence[Metric] = field(default_factory=list)

    def collect(self) -> Sequence[Metric]:
        """Return it."""
        return self.metrics


def verdict_labels(count: int) -> list[dict[str, str]]:
    """Six labels a series, of which one differs."""
    same = {"target": TARGET, "scope": "operator", "reason": "operator_blocking", "severity": "page"}
    return [{**same, "country": f"C{number % 90}", "operator": f"Operator Number {number}"} for number in range(count)]


def gauges(count: int) -> tuple[CollectorRegistry, Samples]:
    """The same gauges for both sides, with values of 16 or 17 digits."""
    dice, family = random.Random(7), FAMILIES["twofa_verdict"]
    registry, samples = CollectorRegistry(), Samples()
    gauge = Gauge(family.name, family.help, family.labels, registry=registry)
    for labels in verdict_labels(count):
        value = dice.random() * 1000
        gauge.labels(**labels).set(value)
        samples.add(family.name, value, **labels)
    return registry, samples


def histograms(count: int) -> tuple[CollectorRegistry, Series]:
    """The same histograms for both sides: 12 buckets each, filled by 5 times."""
    dice, family = random.Random(7), FAMILIES["twofa_message_delivery_seconds"]
    registry, series = CollectorRegistry(), Series(family, TWELVE_BUCKETS)
    histogram = Histogram(family.name, family.help, family.labels, buckets=TWELVE_BUCKETS, registry=registry)
    for number in range(count):
        labels = (TARGET, f"C{number % 90}", f"Operator Number {number}", "log")
        child, counts, total = histogram.labels(*labels), [0] * (len(TWELVE_BUCKETS) + 1), 0.0
        for _ in range(5):
            seconds = dice.lognormvariate(2, 1)
            child.observe(seconds)
            counts[sum(seconds > bound for bound in TWELVE_BUCKETS)] += 1
            total += seconds
        series.labels.append(labels)
        series.latencies.append(Latency(tuple(counts), total))
    return registry, series


def numbers(body: bytes) -> list[tuple[str, float]]:
    """Series and value of each line of a body; its other lines, too."""
    lines = [line.rpartition(" ") for line in body.decode().splitlines()]
    return [(series, 0.0 if series.startswith("#") else float(value)) for series, _, value in lines]


def measure_text(goals: Goals, name: str, registry: CollectorRegistry, series: Sequence[Metric], goal: float) -> None:
    """Both formats by both sides, which must say the same."""
    renderer, held = Renderer(), Held(series)
    formats: Mapping[str, tuple[Callable[[Any], bytes], Callable[[Any], bytes]]] = {
        "text": (generate_latest, renderer.text),
        "OpenMetrics": (generate_openmetrics, renderer.openmetrics),
    }
    for format_, (library, ours) in formats.items():
        if numbers(ours(held)) != numbers(library(registry)):
            raise RuntimeError(f"{name}: the two sides differ")
        slow, fast = interleaved_medians(
            ROUNDS, partial(cpu_seconds, partial(library, registry)), partial(cpu_seconds, partial(ours, held))
        )
        goals.report(
            f"{name}, {format_}: generate_latest / ours",
            slow / fast,
            at_least=goal,
            unit="x",
            ours=f"{fast * 1000:.1f} ms",
            peer=f"{slow * 1000:.0f} ms",
        )


# ---- whole scrapes


def snapshot_of_messages() -> Snapshot:
    """What storage knows after messages by many routes: counters and histograms."""
    routes = [Route(f"C{number % 90}", f"Operator Number {number}") for number in range(ROUTES)]
    buckets = len(LATENCY_BOUNDS) + 1
    tally = Tally(
        messages={(route, status): 7 * number for number, route in enumerate(routes) for status in Status},
        failures={(route, reason): number for number, route in enumerate(routes) for reason in FAILURE_REASONS},
        latency={
            (route, Source.LOG): Latency(tuple(range(number, number + buckets)), number + 0.123)
            for number, route in enumerate(routes)
        },
    )
    return Snapshot(tallies={TARGET: tally})


def snapshot_of_verdicts(count: int) -> Snapshot:
    """What storage knows when the detector says much: gauges."""
    verdicts = [
        Verdict(
            scope=Scope.OPERATOR,
            country=labels["country"],
            operator=labels["operator"],
            reason=Reason.OPERATOR_BLOCKING,
            score=18.0,
            threshold=15.5,
            since=0.0,
            evidence="",
        )
        for labels in verdict_labels(count)
    ]
    return Snapshot(evidence={TARGET: Evidence(verdicts=verdicts)})


def collector_of(snapshot: Snapshot) -> TwofaCollector:
    """The exporter's collector on a storage that always knows the same."""
    config = build_config()
    messages = SimpleNamespace(scraped=lambda _: None)
    storage = SimpleNamespace(snapshot=lambda: snapshot, messages=messages)
    return TwofaCollector(lambda: config, cast("Storage", storage), Meters())


SNAPSHOTS: Final[Mapping[str, Callable[[], Snapshot]]] = {
    "messages and their histograms": snapshot_of_messages,
    "gauges": partial(snapshot_of_verdicts, 10_000),
}


def serve(pipe: Connection, of: str) -> None:
    """Serve the exporter's pages until the pipe is closed; tell the address through it."""
    app = FakeApp()
    app.registry = build_registry(collector_of(SNAPSHOTS[of]()))
    with serving(app) as served:
        pipe.send(served.address)
        while not pipe.poll(0.1):
            pass


@dataclass(frozen=True)
class Server:
    """A server to scrape."""

    host: str
    port: int
    pid: int

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is kept."""
        return http.client.HTTPConnection(self.host, self.port, timeout=60)


@contextmanager
def our_server(of: str) -> Iterator[Server]:
    """The exporter in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, of), daemon=True)
    process.start()
    host, port = ours.recv()
    assert process.pid is not None
    try:
        yield Server(host, port, process.pid)
    finally:
        ours.send("stop")
        process.join()


@contextmanager
def pushgateway(folder: Path, of: str) -> Iterator[Server]:
    """The Go program, holding what the exporter shows of this snapshot, on one processor as ours is."""
    port = free_port()
    command = ["env", "GOMAXPROCS=1", PUSHGATEWAY, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with running(command, log=folder / f"{port}.log") as process:
        seconds_until_answered(f"http://127.0.0.1:{port}/-/ready", process=process)
        body = Renderer().text(Held(list(collector_of(SNAPSHOTS[of]()).collect())))
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("PUT", "/metrics/job/twofa-exporter", body)
            if (answer := connection.getresponse()).status != 200:
                raise RuntimeError(f"{PUSHGATEWAY} answered {answer.status}: {answer.read()!r}")
            answer.read()
        yield Server("127.0.0.1", port, process.pid)


def scrape(connections: Sequence[http.client.HTTPConnection]) -> int:
    """Ask on all connections at once, then take all answers; return the bytes of one."""
    for connection in connections:
        connection.request("GET", "/metrics", headers=PROMETHEUS_3)
    size = 0
    for connection in connections:
        answer = connection.getresponse()
        size = len(answer.read())
        if answer.status != 200 or answer.getheader("Content-Encoding") != "gzip":
            raise RuntimeError(f"answered {answer.status}")
    return size


def cpu_a_scrape(server: Server, connections: Sequence[http.client.HTTPConnection]) -> float:
    """The server's processor time for one round of scrapes, in ms."""
    before = processor_seconds(server.pid)
    for _ in range(SCRAPES):
        scrape(connections)
    return (processor_seconds(server.pid) - before) / SCRAPES * 1000


def measure_against_go(goals: Goals, folder: Path) -> None:
    """CPU of a scrape of ten thousand series, with the headers of Prometheus 3."""
    for of in SNAPSHOTS:
        name = f"CPU a scrape, 10 k of {of}: ours / Go"
        if shutil.which(PUSHGATEWAY) is None:
            goals.skip(name, f"{PUSHGATEWAY} is not installed")
            continue
        with ExitStack() as stack:
            servers = [stack.enter_context(our_server(of)), stack.enter_context(pushgateway(folder, of))]
            connections = [[stack.enter_context(closing(server.connect()))] for server in servers]
            for each in connections:
                scrape(each)
            ours, theirs = interleaved_medians(
                ROUNDS, *(partial(cpu_a_scrape, *pair) for pair in zip(servers, connections, strict=True))
            )
        goals.report(name, ours / theirs, at_most=1, unit="x", ours=f"{ours:.1f} ms", peer=f"{theirs:.1f} ms")


def measure_many_scrapers(goals: Goals) -> None:
    """CPU of eight scrapes at once against that of one."""
    with ExitStack() as stack:
        server = stack.enter_context(our_server("gauges"))
        connections = [stack.enter_context(closing(server.connect())) for _ in range(SCRAPERS)]
        scrape(connections)
        one, many = interleaved_medians(
            ROUNDS, partial(cpu_a_scrape, server, connections[:1]), partial(cpu_a_scrape, server, connections)
        )
    goals.report(
        f"CPU of {SCRAPERS} scrapers at once / of one, 10 k",
        many / one,
        at_most=2,
        unit="x",
        ours=f"{many:.1f} ms",
        peer=f"{one:.1f} ms",
    )


# ---- who else waits


def lateness(work: Callable[[], object]) -> list[float]:
    """How late another thread was at each of its ticks while work was done, in ms.

    What it waited for a processor, because other processes had all of them, is not in it.
    """
    late: list[float] = []
    ended = threading.Event()

    def tick() -> None:
        own = threading.get_native_id()
        while not ended.is_set():
            before, due = milliseconds_without_processor(own), time.perf_counter() + TICK_SECONDS
            time.sleep(TICK_SECONDS)
            late_by = (time.perf_counter() - due) * 1000
            late.append(max(0.0, late_by - (milliseconds_without_processor(own) - before)))

    thread = threading.Thread(target=tick)
    thread.start()
    work()
    ended.set()
    thread.join()
    return late


def milliseconds_without_processor(thread: int) -> float:
    """How long a thread of this process could have run and had no processor, so far (Linux; elsewhere 0)."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e6
    except FileNotFoundError:
        return 0.0


def measure_lateness(goals: Goals) -> None:
    """Another thread while a hundred thousand series are collected, rendered and compressed."""
    registry, renderer = build_registry(collector_of(snapshot_of_verdicts(100_000))), Renderer()

    def fast() -> bytes:
        return compress(render(registry, OPENMETRICS, (), renderer))

    def slow() -> bytes:
        return compress(OPENMETRICS.generate(registry))

    fast()
    ours = [late for _ in range(4 * ROUNDS) for late in lateness(fast)]
    theirs = lateness(slow)
    p99, of_library = (statistics.quantiles(each, n=100)[98] for each in (ours, theirs))
    goals.report(
        "another thread is late during a scrape of 100 k, p99",
        p99,
        at_most=15,
        unit="ms",
        ours=f"worst {max(ours):.1f} ms",
        peer=f"p99 {of_library:.1f}, worst {max(theirs):.1f} ms",
    )


def main() -> int:
    """Measure, print, and say by the exit code whether every goal was met."""
    disable_created_metrics()
    goals = Goals()
    for count in (10_000, 100_000):
        registry, samples = gauges(count)
        measure_text(goals, f"{count // 1000} k gauges", registry, list(samples.metrics()), 10)
    registry, series = histograms(1000)
    measure_text(goals, "1 k histograms of 12 buckets", registry, [series], 30)
    del registry, samples, series
    with tempfile.TemporaryDirectory(prefix="twofa-bench-") as name:
        measure_against_go(goals, Path(name))
    measure_many_scrapers(goals)
    measure_lateness(goals)
    return goals.exit_code()


if __name__ == "__main__":
    sys.exit(main())
