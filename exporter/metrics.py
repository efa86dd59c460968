"""The one mapping from what is known to samples."""

import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from importlib.metadata import version
from itertools import accumulate
from operator import itemgetter
from typing import Final, assert_never

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric, Sample
from prometheus_client.registry import Collector

from checks.canary import CanarySettings
from checks.messages import FAILURE_REASONS, Source, Status
from checks.messages.detector import NodeReading, Verdict
from checks.reason import Outcome
from checks.result import (
    AcceptedSteps,
    Balance,
    CheckRun,
    ClientShare,
    ClockOffset,
    DeliveryTime,
    ProviderEnabled,
    RefusedCountry,
    ServiceComponent,
    ServiceState,
    Spend,
)
from checks.settings import BackOfficeSettings

from .canaries import LEGS
from .config import Config, ConfiguredCheck
from .families import FAMILIES, Family, MetricType
from .meters import MeterReadings, Meters
from .readiness import Usability, count_usable, judge_routes
from .runner import Defect, contained
from .shard import Shard
from .snapshot import LATENCY_BOUNDS, Canaries, CheckState, Evidence, Latency, Snapshot, Tally
from .storage import Storage
from .verifier import STEP_WORDS

_VERSION: Final = version("twofa-exporter")
_ALONE: Final = Shard()


class Series(Metric):
    """One family, its label values and readings side by side: what a scrape of many series is written from.

    It is a metric of prometheus_client, too, whose samples are built for who asks for them.
    """

    def __init__(self, family: Family, bounds: Sequence[float] = LATENCY_BOUNDS) -> None:
        """``bounds`` are the upper bounds of a histogram's buckets but the last, which has none."""
        super().__init__(family.described_name, family.help, family.type.value)
        del self.samples  # an attribute there would hide the property here
        self.family: Final = family
        self.pick: Final = _picker(family.labels)
        self.bounds: Final = (*bounds, math.inf)
        self.labels: Final[list[tuple[str, ...]]] = []  # values, in the order of the family's labels
        self.values: Final[list[float]] = []  # of each of ``labels``, unless the family is a histogram
        self.latencies: Final[list[Latency]] = []  # of each of ``labels``, if it is one

    @cached_property
    def samples(self) -> list[Sample]:  # type: ignore[override]  # read by the library's encoders, never written
        """What prometheus_client calls samples; nothing may be added to the family after that."""
        names, name = self.family.labels, self.family.name
        if self.family.type is not MetricType.HISTOGRAM:
            pairs = zip(self.labels, self.values, strict=True)
            return [Sample(name, dict(zip(names, labels, strict=True)), value) for labels, value in pairs]
        samples = []
        for labels, latency in zip(self.labels, self.latencies, strict=True):
            of_series = dict(zip(names, labels, strict=True))
            totals = tuple(accumulate(latency.counts))
            for bound, total in zip(self.bounds, totals, strict=True):
                samples.append(Sample(f"{name}_bucket", {**of_series, "le": bound_text(bound)}, total))
            samples.append(Sample(f"{name}_count", of_series, totals[-1]))
            samples.append(Sample(f"{name}_sum", of_series, latency.total_seconds))
        return samples


@cache
def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, str]], tuple[str, ...]]:
    """Return what takes the values of labels in the order of their names, and raises KeyError for one that lacks."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda labels: tuple([labels[name] for name in names])


def bound_text(bound: float) -> str:
    """Return the ``le`` label of a bucket."""
    return "+Inf" if bound == math.inf else str(float(bound))


class Samples:
    """Collects samples of known families; wrong labels are impossible, not merely unlikely."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}

    def add(self, name: str, value: float, **labels: str) -> None:
        """Add one sample. Raises KeyError for an unknown family, ValueError for a wrong set of labels."""
        series = self._of(name, labels)
        series.values.append(float(value))

    def add_histogram(self, name: str, latency: Latency, **labels: str) -> None:
        """Add one histogram with the bounds of ``LATENCY_BOUNDS``. Raises as ``add`` does."""
        series = self._of(name, labels)
        series.latencies.append(latency)

    def extend(self, other: "Samples") -> None:
        """Add all of another collection's samples."""
        for name, series in other._series.items():
            known = self._series.setdefault(name, series)
            if known is not series:
                known.labels.extend(series.labels)
                known.values.extend(series.values)
                known.latencies.extend(series.latencies)

    def metrics(self) -> Iterator[Series]:
        """Yield the families that have samples, in the order of the table."""
        return (self._series[name] for name in FAMILIES if name in self._series)

    def _of(self, name: str, labels: Mapping[str, str]) -> Series:
        """Return a family's series, one longer by these labels."""
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Series(FAMILIES[name])
        try:
            values = series.pick(labels)
        except KeyError:
            values = ()
        if len(values) != len(labels):
            msg = f"{name} has the labels {series.family.labels}, not {tuple(labels)}"
            raise ValueError(msg)
        series.labels.append(values)
        return series


def _empty(family: Family) -> Metric:
    return Metric(family.described_name, family.help, family.type.value)


class TwofaCollector(Collector):
    """Turns the present snapshot into metrics. Reads memory only; one bad part never loses the scrape."""

    def __init__(
        self,
        config: Callable[[], Config],
        storage: Storage,
        meters: Meters,
        *,
        leads: Callable[[], bool] = lambda: True,
        shard: Shard = _ALONE,
    ) -> None:
        """``leads`` says whether checks run here: one that stands by has metrics of its own alone."""
        self._leads = leads
        self._shard = shard
        self._config = config
        self._storage = storage
        self._meters = meters

    def describe(self) -> Iterable[Metric]:
        """Return every family without samples, so that the registry knows all names."""
        return [_empty(family) for family in FAMILIES.values()]

    def collect(self) -> Iterator[Series]:
        """Yield the families of this moment."""
        config, readings, leads = self._config(), self._meters.read(), self._leads()
        of_exporter: list[Callable[[Samples], None]] = [
            partial(_add_exporter, readings=readings, config=config),
            partial(_add_replica, leads=leads, shard=self._shard),
        ]
        if not leads:
            yield from _build({"exporter": of_exporter})
            return
        snapshot = self._storage.snapshot()
        parts: dict[str, list[Callable[[Samples], None]]] = {
            "checks": [
                partial(_add_check, check=check, state=snapshot.checks.get(check.name))
                for check in config.checks.values()
            ],
            "providers": [partial(_add_providers, config=config, snapshot=snapshot)],
            "routes": [partial(_add_routes, config=config, snapshot=snapshot)],
            "messages": [
                partial(_add_tally, target=target, tally=tally)
                for target, tally in snapshot.tallies.items()
                if target in config.providers
            ],
            "evidence": [
                partial(_add_evidence, target=target, evidence=evidence)
                for target, evidence in snapshot.evidence.items()
                if target in config.providers
            ],
            "canaries": [
                partial(_add_canaries, check=check, canaries=snapshot.canaries.get(check.name, Canaries()))
                for check in config.checks.values()
                if isinstance(check.settings, CanarySettings)
            ],
            "exporter": of_exporter,
        }
        yield from _build(parts)
        self._storage.messages.scraped(snapshot.tallies)


def _build(parts: Mapping[str, Sequence[Callable[[Samples], None]]]) -> Iterator[Series]:
    """Return the families of named groups, and whether each group could be built as a whole."""
    samples = Samples()
    for name, builders in parts.items():
        built = [_built(build) for build in builders]
        for part in built:
            if part is not None:
                samples.extend(part)
        samples.add("twofa_exporter_collector_success", float(None not in built), collector=name)
    return samples.metrics()


def _built(build: Callable[[Samples], None]) -> Samples | None:
    """Return the samples of one part, or None when a defect of ours kept them from being built."""
    samples = Samples()
    return None if isinstance(contained(lambda: build(samples)), Defect) else samples


def _add_check(samples: Samples, check: ConfiguredCheck, state: CheckState | None) -> None:
    of_check = {"check": check.name, "kind": check.kind_name, "target": check.target}
    samples.add("twofa_check_info", 1, **of_check)
    samples.add("twofa_check_interval_seconds", check.settings.interval, **of_check)
    for outcome in Outcome:
        runs = 0 if state is None else state.outcomes[outcome]
        samples.add("twofa_check_runs_total", runs, outcome=outcome.value, **of_check)
    if state is None:
        return
    run = state.last
    samples.add("twofa_check_success", float(run.result.outcome is Outcome.PASS), **of_check)
    given = run.result.reason
    for reason in dict.fromkeys((*check.kind.reasons, given)):
        samples.add("twofa_check_reason", float(reason is given), reason=reason.value, **of_check)
    samples.add("twofa_check_duration_seconds", run.duration_seconds, **of_check)
    samples.add("twofa_check_last_run_timestamp_seconds", run.finished_at.timestamp(), **of_check)
    if state.last_success_at is not None:
        at = state.last_success_at.timestamp()
        samples.add("twofa_check_last_success_timestamp_seconds", at, **of_check)
    _add_measured(samples, run)


def _add_measured(samples: Samples, run: CheckRun) -> None:
    for measured in run.result.measured:
        match measured:
            case Balance():
                samples.add("twofa_provider_balance", measured.amount, target=run.target, currency=measured.currency)
                if measured.runway_seconds is not None:
                    runway = measured.runway_seconds
                    samples.add("twofa_provider_balance_runway_seconds", runway, target=run.target)
            case Spend():
                samples.add(
                    "twofa_provider_spend_total",
                    measured.total,
                    target=run.target,
                    currency=measured.currency,
                )
            case ServiceComponent():
                for state in ServiceState:
                    samples.add(
                        "twofa_provider_service_state",
                        float(measured.state is state),
                        target=run.target,
                        component=measured.component,
                        state=state.value,
                    )
            case DeliveryTime():
                pass  # the histogram of the messages says it better
            case ClockOffset():
                samples.add(
                    "twofa_clock_offset_seconds", measured.seconds, check=run.check, source=measured.source.value
                )
            case AcceptedSteps():
                samples.add("twofa_totp_accepted_steps", measured.steps, check=run.check, target=run.target)
            case ProviderEnabled():
                enabled = float(measured.is_enabled)
                samples.add("twofa_backoffice_provider_enabled", enabled, target=run.target, provider=measured.provider)
            case RefusedCountry():
                pass  # the routes say it
            case ClientShare():
                of_share = {"target": run.target, "methods": measured.methods.value}
                samples.add("twofa_clients_sampled", measured.clients, **of_share)
                samples.add("twofa_clients_sampled_without_phone", measured.without_phone, **of_share)
            case _:
                assert_never(measured)


def _add_providers(samples: Samples, config: Config, snapshot: Snapshot) -> None:
    for name, settings in config.providers.items():
        samples.add("twofa_provider_info", 1, target=name, vendor=settings.type)
    for name, office in config.targets.items():
        if isinstance(office, BackOfficeSettings):
            samples.add("twofa_backoffice_info", 1, target=name, vendor=office.type)
            if office.verifier_events is not None:
                steps = snapshot.verifier.get(name, {})
                for step in STEP_WORDS:
                    samples.add("twofa_totp_attempts_total", steps.get(step, 0), target=name, step=step)
    usable = count_usable(config, snapshot)
    if usable is not None:
        samples.add("twofa_sms_providers_usable", usable)


def _add_routes(samples: Samples, config: Config, snapshot: Snapshot) -> None:
    for judged in judge_routes(config, snapshot):
        for state in Usability:
            samples.add("twofa_sms_routes", judged.count(state), country=judged.country, state=state.value)
        for target, readiness in judged.providers.items():
            for reason in readiness.faults:
                samples.add("twofa_sms_route_fault", 1, country=judged.country, target=target, reason=reason.value)


def _add_tally(samples: Samples, target: str, tally: Tally) -> None:
    """Add one target's messages; every status and reason of a route that is known starts at 0."""
    failure_reasons = dict.fromkeys((*FAILURE_REASONS, *(reason for _, reason in tally.failures)))
    sources = dict.fromkeys((Source.LOG, *sorted(source for _, source in tally.latency)))
    for route in dict.fromkeys(route for route, _ in tally.messages):
        of_route = {"target": target, "country": route.country, "operator": route.operator}
        shown = Tally() if route in tally.new_routes else tally
        for status in Status:
            total = shown.messages.get((route, status), 0)
            samples.add("twofa_messages_total", total, status=status.value, **of_route)
        for reason in failure_reasons:
            total = shown.failures.get((route, reason), 0)
            samples.add("twofa_message_failures_total", total, reason=reason.value, **of_route)
        for source in sources:
            latency = shown.latency.get((route, source), Latency())
            samples.add_histogram("twofa_message_delivery_seconds", latency, source=source.value, **of_route)
    for country in sorted({country for country, _ in tally.verifications}):
        for result in ("converted", "unconverted"):
            total = tally.verifications.get((country, result), 0)
            samples.add("twofa_verifications_total", total, target=target, country=country, result=result)
    if tally.read_until is not None:
        samples.add("twofa_log_read_until_timestamp_seconds", tally.read_until, target=target)
    for code, total in tally.codes.items():
        shown_total = 0 if code in tally.new_codes else total
        samples.add("twofa_message_error_codes_total", shown_total, target=target, code=code)


def _add_evidence(samples: Samples, target: str, evidence: Evidence) -> None:
    for node in evidence.readings:
        of_node = _labels_of(target, node)
        if math.isfinite(node.threshold):
            samples.add("twofa_evidence_threshold", node.threshold, **of_node)
        for hypothesis, score in node.scores.items():
            samples.add("twofa_evidence_score", score, hypothesis=hypothesis.value, **of_node)
        for hypothesis, total in node.gains.items():
            samples.add("twofa_evidence_gain_total", total, hypothesis=hypothesis.value, **of_node)
        for hypothesis, total in node.losses.items():
            samples.add("twofa_evidence_loss_total", total, hypothesis=hypothesis.value, **of_node)
        for outcome, ratio in node.baseline.items():
            samples.add("twofa_baseline_ratio", ratio, outcome=outcome, **of_node)
    for verdict in evidence.verdicts:
        severity = "page" if verdict.pages else "ticket"
        samples.add("twofa_verdict", 1, reason=verdict.reason.value, severity=severity, **_labels_of(target, verdict))


def _add_canaries(samples: Samples, check: ConfiguredCheck, canaries: Canaries) -> None:
    of_check = {"check": check.name, "target": check.target}
    for reason in dict.fromkeys((*check.kind.reasons, *canaries.runs)):
        samples.add("twofa_canary_runs_total", canaries.runs.get(reason, 0), reason=reason.value, **of_check)
    for currency, total in canaries.spend.items():
        samples.add("twofa_canary_spend_total", total, currency=currency, **of_check)
    for leg in LEGS:
        samples.add_histogram("twofa_canary_delivery_seconds", canaries.legs.get(leg, Latency()), leg=leg, **of_check)


def _labels_of(target: str, node: NodeReading | Verdict) -> dict[str, str]:
    return {"target": target, "scope": node.scope.value, "country": node.country, "operator": node.operator}


def _add_exporter(samples: Samples, readings: MeterReadings, config: Config) -> None:
    samples.add(
        "twofa_exporter_build_info",
        1,
        version=_VERSION,
        python_version=platform.python_version(),
    )
    samples.add("twofa_exporter_config_last_reload_successful", float(readings.reload_succeeded))
    if readings.reload_succeeded_at is not None:
        at = readings.reload_succeeded_at.timestamp()
        samples.add("twofa_exporter_config_last_reload_success_timestamp_seconds", at)
    for event, count in readings.scheduler_events.items():
        samples.add("twofa_exporter_scheduler_events_total", count, event=event.value)
    samples.add("twofa_exporter_scheduler_threads", readings.scheduler_threads)
    samples.add("twofa_exporter_scheduler_busy_seconds_total", readings.scheduler_busy_seconds)
    samples.add("twofa_exporter_storage_errors_total", readings.storage_errors)
    for target, count in readings.unmapped_codes.items():
        if target in config.providers:
            samples.add("twofa_exporter_unmapped_codes_total", count, target=target)
    for target, count in readings.unreadable_messages.items():
        if target in config.providers:
            samples.add("twofa_exporter_unreadable_messages_total", count, target=target)
    for (target, of_callback), count in readings.callbacks.items():
        if target in config.providers or not target:
            samples.add("twofa_exporter_callbacks_total", count, target=target, outcome=of_callback.value)
    for (target, of_forward), count in readings.forwards.items():
        if target in config.providers:
            samples.add("twofa_exporter_forwards_total", count, target=target, outcome=of_forward.value)
    for (target, of_code), count in readings.confirmations.items():
        if target in config.providers:
            samples.add("twofa_exporter_confirmations_total", count, target=target, outcome=of_code.value)
    for (target, of_event), count in readings.verifier_events.items():
        if target in config.targets:
            samples.add("twofa_exporter_verifier_events_total", count, target=target, outcome=of_event.value)
    for of_diagnosis, count in readings.diagnoses.items():
        samples.add("twofa_exporter_diagnoses_total", count, outcome=of_diagnosis.value)
    for (target, outcome), count in readings.http_requests.items():
        if target in config.targets:
            samples.add("twofa_exporter_http_requests_total", count, target=target, outcome=outcome)


def _add_replica(samples: Samples, leads: bool, shard: Shard) -> None:
    samples.add("twofa_exporter_leader", float(leads))
    samples.add("twofa_exporter_shards", shard.count, shard=str(shard.number))


def build_registry(collector: TwofaCollector) -> CollectorRegistry:
    """Return a registry of its own with our collector and those of the process."""
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
