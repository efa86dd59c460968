"""History as OpenMetrics with timestamps, as ``promtool tsdb create-blocks-from openmetrics`` reads it."""

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from checks.messages import Movement, Source, Status, reached
from checks.reason import Reason

from .families import FAMILIES, Family
from .operators import OperatorLabels
from .snapshot import LATENCY_BOUNDS, Route

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS: Final = frozenset({"target", "country", "operator", "status", "reason", "source", "le"})

_FAILURES: Final = (Status.UNDELIVERED, Status.FAILED)


class History:
    """What the counters of one target's messages would have shown, had they been scraped then.

    A message counts as accepted and sent when it was created, and for its last status when it came to it.
    """

    def __init__(self, target: str, since: float, until: float, step_seconds: float) -> None:
        """``since`` and ``until`` are Unix time."""
        self.messages = 0
        self.target = target
        self._since = since
        self._step = step_seconds
        self.steps = math.ceil((until - since) / step_seconds) + 1
        self._labels = OperatorLabels(())
        self.statuses: defaultdict[tuple[Route, Status], Counter[int]] = defaultdict(Counter)
        self.failures: defaultdict[tuple[Route, Reason], Counter[int]] = defaultdict(Counter)
        self.buckets: defaultdict[tuple[Route, int], Counter[int]] = defaultdict(Counter)
        self.seconds: defaultdict[Route, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))

    def add(self, movements: Iterable[Movement]) -> None:
        """Count messages, each of which must be added once."""
        for movement in movements:
            self.messages += 1
            route = Route(movement.country, self._labels.label(movement.country, movement.operator))
            created, last = self._step_of(movement.created_at), self._step_of(movement.at)
            for status in reached(None, movement.status):
                is_last = status is movement.status and status.is_final
                self.statuses[route, status][last if is_last else created] += 1
            if movement.status in _FAILURES:
                self.failures[route, movement.reason or Reason.DELIVERY_FAILING][last] += 1
            if (took := movement.delivery_seconds) is not None:
                self.buckets[route, bisect_left(LATENCY_BOUNDS, took)][last] += 1
                self.seconds[route][last] += took

    def time_of(self, step: int) -> float:
        """Return the Unix time of a step."""
        return self._since + step * self._step

    def _step_of(self, at: float) -> int:
        return min(self.steps - 1, max(0, math.ceil((at - self._since) / self._step)))


class LabelError(ValueError):
    """An extra label is none; the text says which and what is accepted."""


def parse_labels(given: Iterable[str]) -> Sequence[tuple[str, str]]:
    """Return labels from ``name=value``. Raises LabelError."""
    labels = {}
    for text in given:
        name, is_there, value = text.partition("=")
        if not is_there or not _LABEL.fullmatch(name) or name.startswith("__") or name in _OWN_LABELS:
            msg = f"--label {text}: must be name=value, the name not one of {', '.join(sorted(_OWN_LABELS))}"
            raise LabelError(msg)
        labels[name] = value
    return tuple(labels.items())


def write_history(history: History, path: Path, labels: Sequence[tuple[str, str]] = ()) -> None:
    """Write a history to a file, whole or not at all. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        for lines in (_messages(history, labels), _failures(history, labels), _latencies(history, labels)):
            file.writelines(lines)
        file.write("# EOF\n")
    draft.rename(path)


def _messages(history: History, labels: Sequence[tuple[str, str]]) -> Iterator[str]:
    family = FAMILIES["twofa_messages_total"]
    yield from _head(family)
    for (route, status), counts in sorted(history.statuses.items()):
        of_series = (*_of_route(history, route), ("status", status.value), *labels)
        yield from _counter(history, family.name, of_series, counts)


def _failures(history: History, labels: Sequence[tuple[str, str]]) -> Iterator[str]:
    family = FAMILIES["twofa_message_failures_total"]
    yield from _head(family)
    for (route, reason), counts in sorted(history.failures.items()):
        of_series = (*_of_route(history, route), ("reason", reason.value), *labels)
        yield from _counter(history, family.name, of_series, counts)


def _latencies(history: History, labels: Sequence[tuple[str, str]]) -> Iterator[str]:
    family = FAMILIES["twofa_message_delivery_seconds"]
    yield from _head(family)
    for route in sorted(history.seconds):
        of_series = (*_of_route(history, route), ("source", Source.LOG.value), *labels)
        cumulative: Counter[int] = Counter()
        for bucket, bound in enumerate((*LATENCY_BOUNDS, math.inf)):
            cumulative.update(history.buckets.get((route, bucket), {}))
            le = "+Inf" if bound == math.inf else str(float(bound))
            yield from _counter(history, f"{family.name}_bucket", (*of_series, ("le", le)), cumulative)
        yield from _counter(history, f"{family.name}_count", of_series, cumulative)
        yield from _counter(history, f"{family.name}_sum", of_series, history.seconds[route])


def _head(family: Family) -> Iterator[str]:
    yield f"# HELP {family.described_name} {_escaped(family.help)}\n"
    yield f"# TYPE {family.described_name} {family.type.value}\n"


def _of_route(history: History, route: Route) -> tuple[tuple[str, str], ...]:
    return ("target", history.target), ("country", route.country), ("operator", route.operator)


def _counter(
    history: History, name: str, labels: Sequence[tuple[str, str]], increases: "Counter[int] | defaultdict[int, float]"
) -> Iterator[str]:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels)
    series = f"{name}{{{pairs}}}"
    total = 0.0
    for step in range(history.steps):
        total += increases.get(step, 0)
        yield f"{series} {total!r} {history.time_of(step):.3f}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
