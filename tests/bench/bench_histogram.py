"""Delivery times: how well a percentile is read from the buckets, and what counting costs, beside prometheus_client.

The percentile is read as Prometheus reads it, from the text of a scrape; the times are log-normal, of every median and
spread that puts their 99th percentile between 4 and 600 seconds.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from checks.messages import Source
from exporter.buckets import Buckets
from exporter.ledger import Counts
from exporter.metrics import Samples
from exporter.snapshot import LATENCY_BOUNDS, Route
from exporter.web.rendering import Renderer
from tests.bench.measure import Goals, cpu_seconds, interleaved_medians

MEDIANS: Final = (2, 3, 4, 6, 8, 12, 15)  # seconds
SPREADS: Final = (0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
MESSAGES: Final = 100_000  # of each distribution
OBSERVED: Final = 200_000
ROUNDS: Final = 9
NAME: Final = "twofa_message_delivery_seconds"
LABELS: Final = {"target": "twilio", "country": "DE", "operator": "O2", "source": "log"}


class Shown(Collector):
    """A registry of these samples."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def collect(self) -> Sequence[Metric]:
        """Return the families."""
        return list(self._samples.metrics())


def read_quantile(quantile: float, buckets: Buckets) -> float:
    """Return what PromQL's ``histogram_quantile`` makes of a scrape of these buckets."""
    samples = Samples()
    samples.add_histogram(NAME, buckets.latency(), **LABELS)
    (family,) = text_string_to_metric_families(Renderer().text(Shown(samples)).decode())
    totals = {float(one.labels["le"]): one.value for one in family.samples if one.name == f"{NAME}_bucket"}
    rank, below, before = quantile * totals[math.inf], 0.0, 0.0
    for bound, total in sorted(totals.items()):
        if total >= rank:
            return before if bound == math.inf else before + (bound - before) * (rank - below) / (total - below)
        below, before = total, bound
    raise AssertionError


def measure_accuracy(goals: Goals) -> None:
    """The 99th percentile by the buckets against that of the times themselves."""
    dice = random.Random(7)
    errors = []
    for median in MEDIANS:
        for spread in SPREADS:
            times = sorted(dice.lognormvariate(math.log(median), spread) for _ in range(MESSAGES))
            p99 = times[round(0.99 * MESSAGES) - 1]
            if not 4 <= p99 <= 600:
                continue
            buckets = Buckets()
            for seconds in times:
                buckets.observe(seconds)
            errors.append(100 * abs(read_quantile(0.99, buckets) / p99 - 1))
    goals.report(f"p99 of {len(errors)} distributions, worst error", max(errors), at_most=5, unit="%")
    goals.report("the same, median error", statistics.median(errors), unit="%")
    goals.report("series of a route and source", len(LATENCY_BOUNDS) + 3, unit="")


def nanoseconds(observe: Callable[[float], object], times: Sequence[float]) -> float:
    """How long one call takes, in ns of processor time."""

    def all_of_them() -> None:
        for seconds in times:
            observe(seconds)

    return cpu_seconds(all_of_them) / len(times) * 1e9


def measure_cost(goals: Goals) -> None:
    """One more delivery, where the series is at hand and where it must be found."""
    dice = random.Random(7)
    times = [dice.lognormvariate(math.log(6), 0.8) for _ in range(OBSERVED)]
    histogram = Histogram("x", "X.", list(LABELS), buckets=LATENCY_BOUNDS, registry=CollectorRegistry())
    child, buckets, counts = histogram.labels(**LABELS), Buckets(), Counts()
    route, values = Route("DE", "O2"), tuple(LABELS.values())

    def observe_theirs(seconds: float) -> None:
        histogram.labels(*values).observe(seconds)

    def observe_ours(seconds: float) -> None:
        counts.latencies[route, Source.LOG].observe(seconds)

    theirs, ours, theirs_found, ours_found = interleaved_medians(
        ROUNDS,
        lambda: nanoseconds(child.observe, times),
        lambda: nanoseconds(buckets.observe, times),
        lambda: nanoseconds(observe_theirs, times),
        lambda: nanoseconds(observe_ours, times),
    )
    goals.report(
        "Histogram.observe / ours", theirs / ours, at_least=3, unit="x", ours=f"{ours:.0f} ns", peer=f"{theirs:.0f} ns"
    )
    goals.report(
        "Histogram.labels().observe / ours",
        theirs_found / ours_found,
        at_least=3,
        unit="x",
        ours=f"{ours_found:.0f} ns",
        peer=f"{theirs_found:.0f} ns",
    )


def main() -> int:
    """Measure, print, and say by the exit code whether every goal was met."""
    goals = Goals()
    measure_accuracy(goals)
    measure_cost(goals)
    return goals.exit_code()


if __name__ == "__main__":
    raise SystemExit(main())
