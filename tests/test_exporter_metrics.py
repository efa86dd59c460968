"""The metrics: the whole exposition of a fixed state, and that wrong samples cannot be made."""

import os
import re
import subprocess
from datetime import timedelta
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from checks.callbacks import CallbackOutcome
from checks.canary_desk import Legs, Limits
from checks.messages import Receipt, Status
from checks.messages.book import Reading
from checks.messages.detector import Hypothesis, NodeReading, Scope, Verdict
from checks.messages.verification import TypedCode
from checks.reason import Reason
from checks.result import (
    AcceptedSteps,
    Balance,
    ClientShare,
    ClockOffset,
    ClockSource,
    DeliveryTime,
    Measured,
    MethodGroup,
    ProviderEnabled,
    RefusedCountry,
    ServiceComponent,
    ServiceState,
    Spend,
)
from exporter import config as configuration
from exporter import metrics
from exporter.config import Config
from exporter.families import FAMILIES, MetricType
from exporter.meters import DiagnosisOutcome, Meters, SchedulerEvent
from exporter.metrics import Samples, TwofaCollector, build_registry
from exporter.routes import RouteSettings
from exporter.snapshot import Evidence
from exporter.storage import Storage
from exporter.verifier import VerifierEvent
from tests.fakes import NOW, receipt, run
from tests.repo import ROOT, require_program

GOLDEN = ROOT / "tests" / "golden" / "metrics.prom"
EXAMPLE = ROOT / "examples" / "twofa-exporter.yaml"
BACK_OFFICE_EXAMPLE = ROOT / "examples" / "back-office.yaml"
NUMBER = "+14155550100"
RESERVED_LABELS = {"job", "instance", "service", "endpoint", "pod", "namespace", "container"}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    for name in re.findall(r"env: (\w+)", BACK_OFFICE_EXAMPLE.read_text()):
        monkeypatch.setenv(name, "JBSWY3DPEHPK3PXP")
    one, two = configuration.load(EXAMPLE), configuration.load(BACK_OFFICE_EXAMPLE)
    routes = (
        RouteSettings(countries=("US",), providers=("twilio",)),
        RouteSettings.model_validate({"countries": "*", "providers": ["twilio"]}),
    )
    return Config(targets={**one.targets, **two.targets}, checks={**one.checks, **two.checks}, routes=routes)


EVIDENCE = Evidence(
    readings=(
        NodeReading(
            scope=Scope.OPERATOR,
            country="US",
            operator="AT&T",
            threshold=15.5,
            scores={Hypothesis.BLOCKED: 18.0},
            gains={Hypothesis.BLOCKED: 20.25},
            losses={Hypothesis.BLOCKED: 2.25},
            baseline={"fast": 0.9, "lost": 0.1},
        ),
    ),
    verdicts=(
        Verdict(
            scope=Scope.OPERATOR,
            country="US",
            operator="AT&T",
            reason=Reason.OPERATOR_BLOCKING,
            score=18.0,
            threshold=15.5,
            since=NOW.timestamp(),
            evidence="4 of 4 recipients",
        ),
    ),
)


def a_registry(config: Config, monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    meters = Meters()
    meters.config_loaded(True, NOW)
    meters.scheduler_event(SchedulerEvent.MISSED)
    meters.scheduler_threads(512)
    meters.scheduler_busy(1.5)
    observer = meters.observer("twilio", ("ok", "timeout"))
    observer.request_done("ok")
    storage = Storage.in_memory(meters)
    storage.record(run(check="credentials", kind="credentials"))
    storage.record(run(Reason.ACCOUNT_RESTRICTED, check="account", kind="account"))
    balance = Balance(amount=12.5, currency="USD", runway_seconds=3600.0)
    storage.record(run(Reason.OK, balance, Spend(total=987.65, currency="USD"), at=NOW - timedelta(minutes=5)))
    storage.record(run(Reason.BALANCE_LOW, balance, Spend(total=990.0, currency="USD")))
    storage.record(
        run(
            Reason.OK,
            ServiceComponent(component='SMS "text" \\ <b>', state=ServiceState.UNDER_MAINTENANCE),
            check="service-status",
            kind="service_status",
        )
    )
    storage.book("twilio").take(
        [
            receipt(1, delivery_seconds=5.0),
            receipt(2, Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30007"),
            receipt(3, Status.SENT, country="US", operator="AT&T"),
            receipt(4, Status.FAILED, country="US", code="77777", code_is_mapped=False),
        ],
        reading=Reading(read_until=NOW.timestamp()),
        known_until=NOW.timestamp(),
    )
    storage.record(run(check="delivery", kind="delivery"))
    enabled = ProviderEnabled(provider="Twilio", is_enabled=True)
    storage.record(run(Reason.OK, enabled, target="b2core", check="enablement", kind="enablement"))
    share = ClientShare(methods=MethodGroup.SMS, clients=31, without_phone=2)
    storage.record(run(Reason.OK, share, target="b2core", check="client-readiness", kind="client_readiness"))
    storage.record(
        run(
            Reason.WRONG_CODE_ACCEPTED,
            AcceptedSteps(steps=1),
            target="b2core",
            check="totp-login",
            kind="totp_login",
        )
    )
    offset = ClockOffset(seconds=-0.25, source=ClockSource.HOST)
    storage.record(run(Reason.OK, offset, target="time", check="clock", kind="clock"))
    meters.expect_verifier_events("b2core")
    storage.verifier.take("b2core", [VerifierEvent(at=NOW.timestamp(), step=-1, used=False)])
    meters.diagnosis(DiagnosisOutcome.ANSWERED)
    meters.expect_callbacks("twilio")
    meters.callback("", CallbackOutcome.UNKNOWN_TARGET)
    meters.expect_confirmations("twilio")
    typed = TypedCode(recipient="+4915112345678", at=NOW.timestamp())
    storage.book("twilio").confirm([typed])
    desk = storage.canaries.desk("canary")
    limits = Limits(max_sends=9, max_cost=9.0, currency="USD")
    number = desk.reserve("+4915112345678", 0.1, limits, now=NOW.timestamp(), busy_until=NOW.timestamp())
    assert isinstance(number, int)
    desk.settle(number, cost=0.11, reason=Reason.OK, detail="", legs=Legs(accepted=0.25, delivered=4.5))
    monkeypatch.setattr(storage.messages, "evidence", lambda: {"twilio": EVIDENCE})
    registry = CollectorRegistry()
    registry.register(TwofaCollector(lambda: config, storage, meters))
    return registry


def exposition(registry: CollectorRegistry) -> str:
    text = generate_latest(registry).decode()
    return re.sub(r'(python_version|version)="[^"]*"', r'\1="…"', text)


def test_the_exposition_of_a_fixed_state_is_the_golden_one(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = exposition(a_registry(config, monkeypatch))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_the_golden_exposition_shows_every_family(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {family.name for family in a_registry(config, monkeypatch).collect()}
    assert shown == {family.described_name for family in FAMILIES.values()}


def test_openmetrics_parses_and_holds_no_created_series(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = generate_openmetrics(a_registry(config, monkeypatch)).decode()
    families = list(text_string_to_metric_families(text))
    assert {family.name for family in families} == {family.described_name for family in FAMILIES.values()}
    assert "_created" not in text


def test_promtool_finds_nothing_to_complain_of(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    promtool = require_program("promtool")
    text = generate_latest(a_registry(config, monkeypatch))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_a_scrape_can_be_restricted_to_names(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    restricted = a_registry(config, monkeypatch).restricted_registry(["twofa_provider_balance"])
    assert [family.name for family in restricted.collect()] == ["twofa_provider_balance"]


def test_names_and_labels_keep_to_the_conventions() -> None:
    for family in FAMILIES.values():
        assert family.name.startswith("twofa_")
        assert family.name.endswith("_total") == (family.type is MetricType.COUNTER)
        assert not RESERVED_LABELS & set(family.labels)
        assert family.help.endswith(".")


def test_an_unknown_family_and_wrong_labels_are_refused() -> None:
    samples = Samples()
    with pytest.raises(KeyError):
        samples.add("twofa_nonsense", 1)
    with pytest.raises(ValueError, match="has the labels"):
        samples.add("twofa_provider_balance", 1, target="twilio")
    with pytest.raises(ValueError, match="has the labels"):
        samples.add("twofa_sms_providers_usable", 1, target="twilio")


def test_a_check_that_never_ran_shows_in_info_and_nowhere_as_success(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = exposition(a_registry(config, monkeypatch))
    assert 'twofa_check_info{check="senders",kind="senders",target="twilio"} 1.0' in text
    assert 'twofa_check_success{check="senders"' not in text
    assert 'twofa_check_runs_total{check="senders",kind="senders",outcome="fail",target="twilio"} 0.0' in text


def test_exactly_one_reason_of_a_check_is_true(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    text = exposition(a_registry(config, monkeypatch))
    reasons = re.findall(r'twofa_check_reason\{check="balance".*reason="(\w+)".*\} (\S+)', text)
    assert [name for name, value in reasons if value == "1.0"] == ["balance_low"]
    assert ("timeout", "0.0") in reasons


def test_a_failed_run_drops_the_values_of_the_run_before(config: Config) -> None:
    meters = Meters()
    storage = Storage.in_memory(meters)
    storage.record(run(Reason.OK, Balance(amount=12.5, currency="USD")))
    storage.record(run(Reason.TIMEOUT))
    registry = CollectorRegistry()
    registry.register(TwofaCollector(lambda: config, storage, meters))
    assert "twofa_provider_balance{" not in exposition(registry)


def test_a_provider_is_usable_when_a_check_was_answered_and_nothing_stops_codes(config: Config) -> None:
    def usable(*reasons: Reason) -> str:
        storage = Storage.in_memory(Meters())
        for check, reason in zip(("credentials", "balance"), reasons, strict=False):
            storage.record(run(reason, check=check, kind=check))
        registry = CollectorRegistry()
        registry.register(TwofaCollector(lambda: config, storage, Meters()))
        found = re.search(r"^twofa_sms_providers_usable (\S+)$", exposition(registry), re.MULTILINE)
        return "absent" if found is None else found[1]

    assert usable() == "absent"
    assert usable(Reason.OK, Reason.OK) == "1.0"
    assert usable(Reason.OK, Reason.TIMEOUT) == "1.0"
    assert usable(Reason.OK, Reason.BALANCE_LOW) == "1.0"
    assert usable(Reason.OK, Reason.BALANCE_EXHAUSTED) == "0.0"
    assert usable(Reason.TIMEOUT) == "0.0"


def test_a_status_page_does_not_make_an_unreachable_provider_usable(config: Config) -> None:
    storage = Storage.in_memory(Meters())
    storage.record(run(Reason.UNREACHABLE, check="credentials", kind="credentials"))
    storage.record(run(Reason.OK, check="service-status", kind="service_status"))
    registry = CollectorRegistry()
    registry.register(TwofaCollector(lambda: config, storage, Meters()))
    assert "twofa_sms_providers_usable 0.0" in exposition(registry)


def test_what_is_no_longer_configured_is_not_exported(config: Config) -> None:
    meters = Meters()
    meters.observer("gone", ("ok",)).message_unreadable()
    storage = Storage.in_memory(meters)
    storage.book("gone").take([receipt(1)])
    registry = CollectorRegistry()
    registry.register(TwofaCollector(lambda: config, storage, meters))
    assert 'target="gone"' not in exposition(registry)


def test_a_defect_in_one_part_leaves_the_others_and_is_shown(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(NUMBER)

    monkeypatch.setattr(metrics, "_add_tally", broken)
    text = exposition(a_registry(config, monkeypatch))
    assert 'twofa_exporter_collector_success{collector="messages"} 0.0' in text
    assert 'twofa_exporter_collector_success{collector="checks"} 1.0' in text
    assert "twofa_provider_balance{" in text
    assert "twofa_messages_total{" not in text
    assert "Traceback" in caplog.text
    assert NUMBER not in caplog.text


MEASURED: dict[type, tuple[str, Measured]] = {
    Balance: ("twofa_provider_balance", Balance(amount=1.0, currency="EUR")),
    Spend: ("twofa_provider_spend_total", Spend(total=1.0, currency="EUR")),
    ServiceComponent: (
        "twofa_provider_service_state",
        ServiceComponent(component="SMS", state=ServiceState.OPERATIONAL),
    ),
    ClockOffset: ("twofa_clock_offset_seconds", ClockOffset(seconds=1.0, source=ClockSource.PLATFORM)),
    AcceptedSteps: ("twofa_totp_accepted_steps", AcceptedSteps(steps=1)),
    ProviderEnabled: ("twofa_backoffice_provider_enabled", ProviderEnabled(provider="Twilio", is_enabled=False)),
    ClientShare: ("twofa_clients_sampled", ClientShare(methods=MethodGroup.BOTH, clients=3)),
}
SAID_OTHERWISE = {DeliveryTime, RefusedCountry}  # by the histogram of the messages, and by the routes


def test_every_measured_value_becomes_a_metric(config: Config) -> None:
    assert set(MEASURED) | SAID_OTHERWISE == set(get_args(Measured))
    for name, measured in MEASURED.values():
        storage = Storage.in_memory(Meters())
        storage.record(run(Reason.OK, measured))
        registry = CollectorRegistry()
        registry.register(TwofaCollector(lambda: config, storage, Meters()))
        assert f"{name}{{" in exposition(registry)
        storage.close()


def test_a_country_and_a_code_seen_for_the_first_time_are_born_at_0(config: Config) -> None:
    storage = Storage.in_memory(Meters())
    registry = CollectorRegistry()
    registry.register(TwofaCollector(lambda: config, storage, Meters()))

    def read(*receipts: Receipt) -> tuple[str, str]:
        storage.book("twilio").take(receipts, reading=Reading(read_until=NOW.timestamp()))
        text = exposition(registry)
        messages = re.findall(r'twofa_messages_total\{country="FR".*status="undelivered".*\} (\S+)', text)
        codes = re.findall(r'twofa_message_error_codes_total\{code="30008".*\} (\S+)', text)
        return ("".join(messages) or "absent", "".join(codes) or "absent")

    french = receipt(2, Status.UNDELIVERED, country="FR", reason=Reason.DELIVERY_FAILING, code="30008")
    more = receipt(3, Status.UNDELIVERED, country="FR", reason=Reason.DELIVERY_FAILING, code="30008")
    assert read(receipt(1)) == ("absent", "absent")
    assert 'twofa_messages_total{country="DE",operator="unknown",status="delivered",target="twilio"} 1.0' in exposition(
        registry
    )  # the first reading is history
    assert read(receipt(1), french) == ("0.0", "0.0")
    assert read(receipt(1), french) == ("1.0", "1.0")
    assert read(receipt(1), french, more) == ("2.0", "2.0")


def test_process_metrics_are_there_and_no_name_twice(config: Config) -> None:
    storage = Storage.in_memory(Meters())
    registry = build_registry(TwofaCollector(lambda: config, storage, Meters()))
    names = [family.name for family in registry.collect()]
    assert "process_resident_memory_bytes" in names
    assert len(names) == len(set(names))
