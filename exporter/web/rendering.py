"""Many series as text, fast: what never changes of a line is written once, and each scrape formats the values alone.

The body is to the byte what prometheus_client writes of the same metrics, but for the counts of histograms, which are
whole numbers here. The library writes the metrics that are not ours. To do without this module, let
``exposition.render`` use the library's encoders for everything.
"""

import math
from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate, chain
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..families import Family, MetricType
from ..metrics import Series, bound_text
from ..snapshot import Latency

# Other threads wait while one call of C runs over all that it was given, and the memory allocator hands out small
# pieces again and again, but large ones as fresh pages.
_LINES_AT_ONCE: Final = 500
_SLACK: Final = 1000  # lines that nothing needs any more, and that are not worth to write the others again

_EXPONENTS_FROM: Final = 1e6  # Go writes 1e+06, Python 1000000.0


class _Heads(dict[tuple[str, ...], tuple[str, ...]]):
    """What never changes of a family's lines: all before the value, by the values of its labels."""

    def __init__(self, series: Series) -> None:
        super().__init__()
        self.family: Final = series.family
        self.bounds: Final = series.bounds

    def __missing__(self, values: tuple[str, ...]) -> tuple[str, ...]:
        name, labels = self.family.name, dict(zip(self.family.labels, values, strict=True))
        if self.family.type is MetricType.HISTOGRAM:
            buckets = [_series(f"{name}_bucket", {**labels, "le": bound_text(bound)}) for bound in self.bounds]
            lines = (*buckets, _series(f"{name}_count", labels), _series(f"{name}_sum", labels))
        else:
            lines = (_series(name, labels),)
        heads = self[values] = tuple(f"\n{line} " for line in lines)
        return heads


def _series(name: str, labels: dict[str, str]) -> str:
    if not labels:
        return name
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class Renderer:
    """Writes metrics, and keeps what it will need again. Any thread may call any method."""

    def __init__(self) -> None:
        self._heads: dict[str, _Heads] = {}  # by family

    def text(self, registry: Collector) -> bytes:
        """Return the metrics in Prometheus' text format 0.0.4."""
        body = BytesIO()
        for metric in registry.collect():
            if isinstance(metric, Series):
                family = metric.family
                described = family.help.replace("\\", "\\\\").replace("\n", "\\n")
                body.write(_head(family.name, described, family))
                self._write(metric, body)
            else:
                body.write(generate_text(_Single(metric)))
        return body.getvalue()

    def openmetrics(self, registry: Collector) -> bytes:
        """Return the metrics in OpenMetrics 1.0.0."""
        body = BytesIO()
        for metric in registry.collect():
            if isinstance(metric, Series):
                family = metric.family
                body.write(_head(family.described_name, _escaped(family.help), family))
                self._write(metric, body)
            else:
                library: bytes = generate_openmetrics(_Single(metric))
                body.write(library.removesuffix(b"# EOF\n"))
        body.write(b"# EOF\n")
        return body.getvalue()

    def _write(self, series: Series, body: BytesIO) -> None:
        """Write the lines of a family in pieces, between which other threads have their turn."""
        name = series.family.name
        heads = self._heads.get(name)
        if heads is None or len(heads) > 2 * len(series.labels) + _SLACK or heads.bounds != series.bounds:
            heads = self._heads[name] = _Heads(series)
        is_histogram = series.family.type is MetricType.HISTOGRAM
        size = max(1, _LINES_AT_ONCE // (len(series.bounds) + 2)) if is_histogram else _LINES_AT_ONCE
        for start in range(0, len(series.labels), size):
            piece = slice(start, start + size)
            texts = _of_histograms(series.latencies[piece]) if is_histogram else _texts(series.values[piece])
            parts = [""] * (2 * len(texts))
            parts[::2] = chain.from_iterable(map(heads.__getitem__, series.labels[piece]))
            parts[1::2] = texts
            body.write("".join(parts).encode())
        body.write(b"\n")


def _of_histograms(latencies: Sequence[Latency]) -> list[str]:
    """Return the values of histograms: of each bucket, then count and sum."""
    sums = _texts([float(latency.total_seconds) for latency in latencies])
    texts: list[str] = []
    for latency, seconds in zip(latencies, sums, strict=True):
        texts += map(repr, accumulate(latency.counts))
        texts += (texts[-1], seconds)
    return texts


def _texts(values: Sequence[float]) -> list[str]:
    """Return numbers as the library writes them."""
    lowest, exponents_from = -math.inf, _EXPONENTS_FROM
    return [repr(value) if lowest < value < exponents_from else floatToGoString(value) for value in values]


def _head(name: str, described: str, family: Family) -> bytes:
    return f"# HELP {name} {described}\n# TYPE {name} {family.type.value}".encode()


class _Single(Collector):
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> list[Metric]:
        """Return the metric."""
        return [self._metric]
