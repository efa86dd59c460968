"""A Prometheus that holds a bad day: every metric, what the rules record of them, and their alerts.

    python -m tests.incident FOLDER    # until Ctrl-C; the data are in FOLDER/tsdb and end now

What happens is in ``tests/incident_story.py``. Here it is scraped, moved to the present and loaded.
"""

import argparse
import math
import random
import subprocess
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import requests
import yaml
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric

from tests.incident_story import END, STEP_SECONDS, Story
from tests.processes import ROOT, answers, free_port, running, wait_for
from tests.repo import require_program

HOURS: Final = 26
"""How long it lasts, unless told: more than a day, as rules compare with yesterday."""

RULES: Final = ROOT / "alerts" / "twofa.rules.yml"
ADDED: Final = {"job": "twofa-exporter", "instance": "127.0.0.1:10687"}
"""The labels that Prometheus adds to what it scrapes."""

SECOND: Final = "127.0.0.1:10688"

Labels = tuple[tuple[str, str], ...]
_Samples: TypeAlias = (
    "tuple[array[float], array[float]]"  # when, in Unix time, and the values: numbers, as they are many
)


def write_incident(path: Path, *, end: float, hours: int = HOURS, doubled_hours: float = 0) -> None:
    """Write the incident as OpenMetrics; its last sample is at ``end``, in Unix time.

    In the last of its hours a second exporter, ``SECOND``, sees the same as the first.
    """
    story, tape = Story(hours=hours), _Tape(shift=end - END)
    for steps_left in range(hours * 3600 // STEP_SECONDS, -1, -1):
        at = END - steps_left * STEP_SECONDS
        story.advance(at)
        tape.scrape(story, at)
    tape.write(path, doubled_since=end - doubled_hours * 3600)


class _Tape:
    """What Prometheus would have scraped."""

    def __init__(self, *, shift: float) -> None:
        """``shift`` is how many seconds later it shall have happened."""
        self._shift = shift
        self._types: dict[str, str] = {}
        self._series: dict[str, dict[tuple[str, Labels], _Samples]] = {}  # by family, then by name and labels
        registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self._process = list(registry.collect())
        self._rng = random.Random(1)

    def scrape(self, story: Story, at: float) -> None:
        """Record all series of this moment, and those that Prometheus makes itself."""
        metrics = [] if story.is_down else [*story.collector.collect(), *self._of_process(story, at)]
        scraped = sum(len(metric.samples) for metric in metrics)
        for name, value in (
            ("up", float(not story.is_down)),
            ("scrape_duration_seconds", 0.03 + self._rng.random() / 100),
            ("scrape_samples_scraped", scraped),
            ("scrape_samples_post_metric_relabeling", scraped),
            ("scrape_series_added", 0),
        ):
            metrics.append(metric := Metric(name, "", "gauge"))
            metric.add_sample(name, {}, value)
        for metric in metrics:
            self._types[metric.name] = metric.type
            family = self._series.setdefault(metric.name, {})
            for sample in metric.samples:
                value = sample.value + self._shift if _is_moment(sample.name) else sample.value
                key = sample.name, tuple(sample.labels.items())
                samples = family.get(key) or family.setdefault(key, (array("d"), array("d")))
                samples[0].append(at + self._shift)
                samples[1].append(value)

    def _of_process(self, story: Story, at: float) -> Iterator[Metric]:
        """Yield the metrics of a process that began when the story says. Those of the test are of another."""
        age = at - story.started_at
        told = {
            "process_start_time_seconds": story.started_at,
            "process_cpu_seconds_total": age * 0.02,
            "process_resident_memory_bytes": 82e6 + age * 40 + self._rng.random() * 1e6,
            "process_open_fds": 31 + self._rng.randrange(6),
        }
        for known in self._process:
            metric = Metric(known.name, known.documentation, known.type)
            for sample in known.samples:
                value = told.get(sample.name, sample.value + (age / 60 if known.type == "counter" else 0))
                metric.add_sample(sample.name, sample.labels, value)
            yield metric

    def write(self, path: Path, *, doubled_since: float) -> None:
        """Write all, family by family and series by series."""
        with path.open("w", encoding="utf-8") as file:
            for family, series in self._series.items():
                file.write(f"# TYPE {family} {self._types[family]}\n")
                for (name, labels), samples in series.items():
                    start = f"{name}{_labelled({**dict(labels), **ADDED})} "
                    file.writelines(f"{start}{value!r} {at:.3f}\n" for at, value in zip(*samples, strict=True))
                    since = bisect_right(samples[0], doubled_since)
                    start = f"{name}{_labelled({**dict(labels), **ADDED, 'instance': SECOND})} "
                    last = zip(*(each[since:] for each in samples), strict=True)
                    file.writelines(f"{start}{value!r} {at:.3f}\n" for at, value in last)
            file.write("# EOF\n")


def _is_moment(name: str) -> bool:
    return name.endswith(("_timestamp_seconds", "_start_time_seconds"))


def _labelled(labels: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in labels.items()}
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"


@dataclass(frozen=True, slots=True)
class Incident:
    """A running Prometheus that has seen it all."""

    url: str
    start: float  # Unix time
    end: float

    def query(self, promql: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Return what an instant query gives, at the end unless told. Raises AssertionError for a refusal."""
        return self._result("query", query=promql, time=self.end if at is None else at)

    def query_range(
        self, promql: str, *, step: float = STEP_SECONDS, hours: float | None = None
    ) -> list[dict[str, Any]]:
        """Return what a query gives over the last hours, of all unless told. Raises AssertionError for a refusal."""
        start = self.start if hours is None else self.end - hours * 3600
        return self._result("query_range", query=promql, start=start, end=self.end, step=step)

    def series(self, selector: str) -> list[dict[str, str]]:
        """Return the labels of what there ever was. Raises AssertionError for a refusal."""
        asked = {"match[]": selector, "start": self.start, "end": self.end}
        found: list[dict[str, str]] = self._answer("series", **asked)
        return found

    def _result(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        result: list[dict[str, Any]] = self._answer(path, **parameters)["result"]
        return result

    def _answer(self, path: str, **parameters: Any) -> Any:
        answer = requests.post(f"{self.url}/api/v1/{path}", data=parameters, timeout=30).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]


@contextmanager
def told(
    folder: Path, *, rules: Path = RULES, hours: int = HOURS, end: float | None = None, doubled_hours: float = 0
) -> Iterator[Incident]:
    """Run a Prometheus that holds the incident, and what the rules of a file would have recorded and alerted.

    It ends now, unless told when, in Unix time. A second exporter joins in for the last ``doubled_hours``.
    """
    if end is None:
        end = float(time.time() // STEP_SECONDS * STEP_SECONDS)
    incident = Incident("", end - hours * 3600, end)
    history = folder / "incident.om"
    write_incident(history, end=end, hours=hours, doubled_hours=doubled_hours)
    _import(history, folder)
    for level in _levels(rules):
        with _prometheus(folder, incident) as unfinished:
            samples = [each for rule in level for each in _evaluated(unfinished, rule)]
        (folder / "rules.om").write_text("".join([*samples, "# EOF\n"]))
        _import(folder / "rules.om", folder)
    with _prometheus(folder, incident) as finished:
        yield finished


def _levels(rules: Path) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the rules of a file: first those that need no other, then what needs only those, and so on."""
    left = [rule for group in yaml.safe_load(rules.read_text())["groups"] for rule in group["rules"]]
    while left:
        missing = {rule["record"] for rule in left if "record" in rule}
        level = [rule for rule in left if not any(name in rule["expr"] for name in missing)]
        assert level, missing
        left = [rule for rule in left if rule not in level]
        yield level


def _import(history: Path, folder: Path) -> None:
    # One block for all: promtool reads the whole file anew for each.
    longest = "--max-block-duration=162h"
    _promtool("tsdb", "create-blocks-from", "openmetrics", longest, str(history), str(folder / "tsdb"))
    history.unlink()  # 250 MB


def _promtool(*arguments: str) -> None:
    done = subprocess.run([require_program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or done.stdout


@contextmanager
def _prometheus(folder: Path, incident: Incident) -> Iterator[Incident]:
    (folder / "prometheus.yml").write_text("{}")
    address = f"127.0.0.1:{free_port()}"
    command = [
        require_program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
    ]
    with running(command, folder / "prometheus.log"):
        wait_for(lambda: answers(f"http://{address}/-/ready"))
        yield Incident(f"http://{address}", incident.start, incident.end)


def _evaluated(incident: Incident, rule: Mapping[str, Any]) -> Iterator[str]:
    """Yield what Prometheus would have kept of a rule, as OpenMetrics; of the past it does not do so itself."""
    held = _seconds(rule.get("for", "0s"))
    for series in incident.query_range(rule["expr"]):
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        labels |= _expanded(rule.get("labels", {}), labels)
        if "record" in rule:
            yield from (f"{rule['record']}{_labelled(labels)} {value} {at:.3f}\n" for at, value in series["values"])
            continue
        since = before = -math.inf
        for at, _ in series["values"]:
            since = at if at > before + STEP_SECONDS else since
            before = at
            state = "firing" if at - since >= held else "pending"
            of_alert = {"alertname": rule["alert"], "alertstate": state, **labels}
            yield f"ALERTS{_labelled(of_alert)} 1 {at:.3f}\n"


def _seconds(duration: str) -> float:
    """Return the seconds of a duration of one unit, such as 10m."""
    return float(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[duration[-1]]


def _expanded(labels: Mapping[str, str], kept: Mapping[str, str]) -> dict[str, str]:
    """Return a rule's own labels; of templates only plain ones are understood."""

    def expand(text: str) -> str:
        for label, found in kept.items():
            text = text.replace(f"{{{{ $labels.{label} }}}}", found)
        assert "{{" not in text, text
        return text

    return {name: expand(value) for name, value in labels.items()}


def main() -> None:
    """Make the data and run Prometheus on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with told(folder) as incident:
        print(f"{incident.url}/graph from {incident.start:.0f} to {incident.end:.0f}", flush=True)
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
