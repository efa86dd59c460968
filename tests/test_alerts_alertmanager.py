"""The Alertmanager example: each alert reaches who it is for, and a cause mutes what follows from it, nothing else."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.reason import Outcome, Owner, Reason
from tests.alert_cases import ALERTS, OPERATOR, RULES, cause_cases, load_alerts, name_of, reasons_that_alert
from tests.processes import answers, free_port, running, wait_for
from tests.repo import ROOT, PrometheusPrograms, require_prometheus
from tests.stub_server import Request, StubServer, answer_by

EXAMPLE = ALERTS / "alertmanager.example.yml"
RECEIVERS = {"critical": "page", "warning": "tickets", "info": "nobody"}
DELIVERY_SYMPTOMS = {"TwoFACodesNotDelivered", "TwoFACodesTooLate", "TwoFADeliveryBudgetBurn"}
ROUTES = {"TwoFANoUsableRoute", "TwoFALastUsableRoute"}
SYMPTOMS = DELIVERY_SYMPTOMS | {"TwoFATotpCodesRefused", "TwoFATrafficStopped"}

CAUSES = {name_of(reason) for reason in reasons_that_alert()}

Labels = Mapping[str, str]


@pytest.fixture(params=[None, 3], ids=["the-oldest", "beside-prometheus-3"])
def programs(request: pytest.FixtureRequest) -> PrometheusPrograms:
    return require_prometheus(request.param)


@cache
def example() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return loaded


# --- Alertmanager's own tools


def amtool(programs: PrometheusPrograms, *arguments: str) -> str:
    finished = subprocess.run(
        [programs.amtool, *arguments], check=False, cwd=ALERTS, capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_alertmanager_accepts_the_configuration(programs: PrometheusPrograms) -> None:
    assert "SUCCESS" in amtool(programs, "check-config", EXAMPLE.name)


def test_every_alert_reaches_who_it_is_for(programs: PrometheusPrograms) -> None:
    def route(alert: tuple[str, str]) -> str:
        name, severity = alert
        labels = (f"alertname={name}", f"severity={severity}", "target=twilio-eu")
        said = amtool(programs, "config", "routes", "test", f"--config.file={EXAMPLE.name}", *labels)
        return said.splitlines()[-1]

    alerts = sorted({(rule["alert"], rule["labels"]["severity"]) for rule in load_alerts()})
    with ThreadPoolExecutor(4) as pool:
        reached = dict(zip(alerts, pool.map(route, alerts), strict=True))
    expected = {alert: RECEIVERS[alert[1]] for alert in alerts}
    expected["TwoFAWatchdog", "info"] = "dead-mans-switch"
    assert reached == expected


def test_the_routes_are_verified_as_a_person_would(programs: PrometheusPrograms) -> None:
    arguments = ("config", "routes", "test", f"--config.file={EXAMPLE.name}")
    amtool(programs, *arguments, "--verify.receivers=page", "severity=critical", "alertname=TwoFABalanceExhausted")
    with pytest.raises(AssertionError):
        amtool(programs, *arguments, "--verify.receivers=page", "severity=warning", "alertname=TwoFABalanceLow")


def test_amlint_finds_nothing() -> None:
    # The receivers are the user's to fill in.
    command = [str(Path(sys.executable).with_name("amlint")), "check", "--strict", "--ignore", "empty-receiver"]
    finished = subprocess.run(
        [*command, "--format", "json", "--rules", "alerts/twofa.rules.yml", "alerts/alertmanager.example.yml"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    findings = json.loads(finished.stdout)
    assert {finding["code"] for finding in findings} <= {"alert-hits-default-receiver"}  # tickets are the default


# --- the receivers, as a user turns them on


SINCE = {"telegram_configs": (0, 26), "msteamsv2_configs": (0, 28)}
"""The blocks that older versions of Alertmanager do not load."""


def with_receivers(folder: Path, version: tuple[int, ...]) -> dict[str, Any]:
    """The example with every block that this Alertmanager loads turned on, its secrets in files of a folder.

    Sentences between the blocks stay comments.
    """
    text = re.sub(r"^    # (\w+_configs:| .*)", r"    \1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    for file in re.findall(r"(?<=_file: )/etc/alertmanager/\S+", text):
        secret = folder / Path(file).name
        secret.write_text("secret")
        text = text.replace(file, str(secret))
    loaded: dict[str, Any] = yaml.safe_load(text)
    for receiver in loaded["receivers"]:
        for block, since in SINCE.items():
            if version < since:
                receiver.pop(block, None)
    return loaded


def version_of(programs: PrometheusPrograms) -> tuple[int, ...]:
    match = re.search(r"version (\d+)\.(\d+)", amtool(programs, "--version"))
    assert match is not None
    return int(match[1]), int(match[2])


def blocks_of(configuration: Mapping[str, Any]) -> set[str]:
    return {key for receiver in configuration["receivers"] for key in receiver if key != "name"}


def test_the_blocks_of_receivers_load(programs: PrometheusPrograms, tmp_path: Path) -> None:
    version = version_of(programs)
    configuration = with_receivers(tmp_path, version)
    always = {f"{service}_configs" for service in ("pagerduty", "opsgenie", "slack", "email", "webhook")}
    assert blocks_of(configuration) == always | {block for block, since in SINCE.items() if since <= version}
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(configuration))
    assert "SUCCESS" in amtool(programs, "check-config", str(file))


def test_a_block_says_which_alertmanager_it_needs() -> None:
    blocks = re.split(r"^    # (?=\w+_configs:)", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    said = {
        block.partition(":")[0]: (int(match[1]), int(match[2]))
        for block in blocks
        if (match := re.search(r"Alertmanager (\d+)\.(\d+) or newer", block))
    }
    assert said == SINCE


def told(programs: PrometheusPrograms, folder: Path, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """What each service is told by a real Alertmanager when these alerts begin together, as the JSON that it takes."""
    said: dict[str, Any] = {}

    def take(request: Request) -> dict[str, Any]:
        said[request.path.split("/")[1]] = json.loads(request.body)
        return {"ok": True, "result": {"message_id": 1, "chat": {"id": 1}}}  # as Telegram answers

    configuration = with_receivers(folder, version_of(programs))
    configuration["route"]["group_wait"] = "500ms"
    for receiver in configuration["receivers"]:
        receiver.pop("email_configs", None)
        receiver.pop("webhook_configs", None)  # takes no templates
    services = {block.removesuffix("_configs") for block in blocks_of(configuration)}
    url = f"http://127.0.0.1:{free_port()}"
    file = folder / "alertmanager.yml"
    options = (f"--config.file={file}", f"--storage.path={folder / 'data'}", "--cluster.listen-address=")
    command = [programs.alertmanager, *options, f"--web.listen-address={url.removeprefix('http://')}"]
    with StubServer() as server:
        server.everywhere(answer_by(take))
        configuration["global"] |= {
            "pagerduty_url": f"{server.url}/pagerduty",
            "opsgenie_api_url": f"{server.url}/opsgenie/",
            "telegram_api_url": f"{server.url}/telegram",
        }
        (folder / "slack.url").write_text(f"{server.url}/slack")
        (folder / "teams.url").write_text(f"{server.url}/msteamsv2")
        file.write_text(yaml.safe_dump(configuration))
        with running(command, folder / "alertmanager.log"):
            wait_for(lambda: answers(f"{url}/-/ready"))
            requests.post(f"{url}/api/v2/alerts", json=alerts, timeout=10).raise_for_status()
            wait_for(lambda: said.keys() >= services)
    return said


def test_what_receivers_say_is_whole_for_two_alerts_at_once(programs: PrometheusPrograms, tmp_path: Path) -> None:
    """What the alerts of a group do not have in common is in no `CommonAnnotations`: of those would come a blank."""
    labels = (
        cause("operator_blocking", "twilio", **OPERATOR),
        cause("operator_blocking", "twilio", **(OPERATOR | {"operator": "1&1"})),
        cause("rate_limited", "twilio", "warning"),
        cause("permission_missing", "twilio", "warning"),
    )
    annotations = [
        {
            "summary": f"Summary of {each['reason']}.",
            "description": f"Description {number}.",
            "runbook_url": f"http://runbooks/{number}",
            "dashboard_url": f"http://grafana/{number}",
        }
        for number, each in enumerate(labels)
    ]
    said = told(
        programs,
        tmp_path,
        [{"labels": each, "annotations": notes} for each, notes in zip(labels, annotations, strict=True)],
    )
    # The first of a group is so in an order of Alertmanager's own.
    pagerduty, opsgenie, slack = said["pagerduty"], said["opsgenie"], said["slack"]["attachments"][0]
    assert pagerduty["payload"]["summary"] == "Summary of operator_blocking. (and more)"
    assert pagerduty["links"][0]["href"] in {"http://grafana/0", "http://grafana/1"}
    details = pagerduty["payload"]["custom_details"]
    assert sorted(details["description"].split("Description ")) == ["", "0. ", "1. "]
    assert details["runbook"] in {"http://runbooks/0", "http://runbooks/1"}
    assert opsgenie["message"] == "Summary of operator_blocking. (and more)"
    whole = ["", "0. http://runbooks/0", "1. http://runbooks/1"]
    assert sorted(part.strip() for part in opsgenie["description"].split("Description ")) == whole
    tickets = ["", "Description 2. http://runbooks/2", "Description 3. http://runbooks/3"]
    assert re.fullmatch(r"Summary of (rate_limited|permission_missing)\.", slack["title"])
    assert sorted(slack["text"].split("\n")) == tickets
    if "telegram" in said:
        assert all(f"http://runbooks/{number}" in said["telegram"]["text"] for number in (0, 1))
    if "msteamsv2" in said:
        assert all(each in json.dumps(said["msteamsv2"]) for each in ("Summary of ", *tickets))


# --- inhibition


@dataclass(frozen=True)
class Matcher:
    label: str
    operator: str
    value: str

    def matches(self, labels: Labels) -> bool:
        has = labels.get(self.label, "")
        found = re.fullmatch(self.value, has) is not None if "~" in self.operator else self.value == has
        return found is not self.operator.startswith("!")


def parse_matcher(text: str) -> Matcher:
    match = re.fullmatch(r'(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*?)"?', text)
    assert match is not None, text
    return Matcher(match[1], match[2], match[3])


@dataclass(frozen=True)
class Inhibition:
    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Labels, target: Labels) -> bool:
        """As Alertmanager decides; of two alerts that both match both sides, neither mutes the other."""
        if not (matches(self.source, source) and matches(self.target, target)):
            return False
        if matches(self.target, source) and matches(self.source, target):
            return False
        return all(source.get(label, "") == target.get(label, "") for label in self.equal)


def matches(matchers: tuple[Matcher, ...], labels: Labels) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)


@cache
def inhibitions() -> tuple[Inhibition, ...]:
    return tuple(
        Inhibition(
            tuple(map(parse_matcher, rule["source_matchers"])),
            tuple(map(parse_matcher, rule["target_matchers"])),
            tuple(rule["equal"]),
        )
        for rule in example()["inhibit_rules"]
    )


def mutes(source: Labels, target: Labels) -> bool:
    return any(inhibition.mutes(source, target) for inhibition in inhibitions())


@cache
def names_and_severities() -> set[tuple[str, str]]:
    return {(rule["alert"], rule["labels"]["severity"]) for rule in load_alerts()}


def alert(name: str, severity: str = "critical", **labels: str) -> dict[str, str]:
    assert (name, severity) in names_and_severities()
    return {"alertname": name, "severity": severity, "job": "twofa-exporter", **labels}


def cause(reason: str, target: str, severity: str = "critical", **place: str) -> dict[str, str]:
    return alert(name_of(Reason(reason)), severity, reason=reason, target=target, **place)


def elsewhere(labels: Labels) -> dict[str, str]:
    """The alert of another job: what one exporter knows says nothing of what another watches."""
    return {**labels, "job": "another-job"}


def no_route(target: str, reason: str, country: str = "DE") -> dict[str, str]:
    return alert("TwoFANoUsableRoute", target=target, reason=reason, country=country)


def last_route(target: str, reason: str, country: str = "DE") -> dict[str, str]:
    return alert("TwoFALastUsableRoute", "warning", target=target, reason=reason, country=country)


COUNTRY = {"scope": "country", "country": "DE"}

MUTED = [
    # a cause, and what follows from it
    (cause("balance_exhausted", "twilio"), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("balance_exhausted", "twilio"), alert("TwoFADeliveryBudgetBurn", target="twilio")),
    (cause("balance_exhausted", "twilio"), alert("TwoFADeliveryBudgetBurn", "warning", target="twilio")),
    (cause("balance_exhausted", "twilio"), cause("balance_low", "twilio", "warning")),
    (cause("balance_exhausted", "twilio"), cause("balance_low", "twilio")),
    (cause("balance_exhausted", "twilio"), cause("delivery_failing", "twilio")),
    (cause("balance_exhausted", "twilio"), cause("operator_blocking", "twilio", **OPERATOR)),
    (cause("credentials_rejected", "twilio"), cause("permission_missing", "twilio", "warning")),
    (cause("provider_outage", "twilio"), cause("timeout", "twilio", "warning")),
    (cause("provider_outage", "twilio"), cause("provider_degraded", "twilio", "warning")),
    (cause("country_not_permitted", "twilio"), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("sender_invalid", "twilio"), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("operator_delay", "twilio", **OPERATOR), alert("TwoFACodesTooLate", target="twilio")),
    (cause("operator_blocking", "twilio", **COUNTRY), alert("TwoFADeliveryBudgetBurn", target="twilio")),
    (cause("operator_blocking", "twilio", **OPERATOR), alert("TwoFADeliveryBudgetBurn", "warning", target="twilio")),
    (cause("balance_exhausted", "twilio"), alert("TwoFATrafficStopped", target="twilio")),
    (cause("delivery_slow", "twilio"), alert("TwoFACodesTooLate", target="twilio")),
    (cause("no_traffic", "twilio"), alert("TwoFATrafficStopped", target="twilio")),
    # a page and its ticket
    (cause("credentials_rejected", "twilio"), cause("credentials_rejected", "twilio", "warning")),
    (cause("balance_low", "twilio"), cause("balance_low", "twilio", "warning")),
    (alert("TwoFADeliveryBudgetBurn", target="twilio"), alert("TwoFADeliveryBudgetBurn", "warning", target="twilio")),
    # everywhere, in a country, at an operator
    (cause("operator_blocking", "twilio"), cause("operator_blocking", "twilio", **OPERATOR)),
    (cause("delivery_failing", "twilio"), cause("operator_blocking", "twilio", **COUNTRY)),
    (cause("sender_invalid", "twilio"), cause("sender_invalid", "twilio", **OPERATOR)),
    (cause("delivery_failing", "twilio", **COUNTRY), cause("operator_blocking", "twilio", **OPERATOR)),
    # the back office hands no codes out
    (cause("provider_disabled", "b2core"), cause("no_traffic", "twilio")),
    (cause("provider_disabled", "b2core"), alert("TwoFATrafficStopped", target="twilio")),
    (cause("template_missing", "b2core"), alert("TwoFATrafficStopped", target="twilio")),
    # no usable provider, and what makes it so
    (
        cause("credentials_rejected", "twilio"),
        alert("TwoFANoUsableProvider", target="twilio", reason="credentials_rejected"),
    ),
    (alert("TwoFANoUsableProvider", target="twilio", reason="unreachable"), cause("unreachable", "twilio", "warning")),
    # no route to a country, and what makes it so
    (alert("TwoFANoUsableProvider", target="twilio", reason="unreachable"), no_route("vonage", "timeout")),
    (cause("balance_exhausted", "twilio"), no_route("twilio", "balance_exhausted")),
    (cause("sender_invalid", "twilio"), no_route("twilio", "sender_invalid")),
    (cause("balance_exhausted", "twilio"), no_route("twilio", "country_not_permitted")),
    (cause("operator_blocking", "twilio"), no_route("twilio", "operator_blocking")),
    (cause("operator_blocking", "twilio", **COUNTRY), no_route("twilio", "operator_blocking")),
    (cause("provider_disabled", "b2core"), no_route("twilio", "provider_disabled")),
    (no_route("twilio", "unreachable"), cause("unreachable", "twilio", "warning")),
    (cause("balance_exhausted", "twilio"), last_route("twilio", "balance_exhausted")),
    (cause("operator_blocking", "twilio", **COUNTRY), last_route("twilio", "operator_blocking")),
    (cause("provider_disabled", "b2core"), last_route("twilio", "provider_disabled")),
    (no_route("twilio", "unreachable"), last_route("twilio", "unreachable", country="GB")),
    # a wrong clock
    (cause("server_clock_skewed", "clock"), cause("code_rejected", "b2core")),
    (cause("server_clock_skewed", "clock"), alert("TwoFATotpCodesRefused", target="b2core")),
    (cause("code_rejected", "b2core"), alert("TwoFATotpCodesRefused", target="b2core")),
    # what cannot be asked is not read
    (cause("timeout", "twilio", "warning"), alert("TwoFALogNotRead", "warning", target="twilio", instance="a")),
    # an exporter that is down
    (alert("TwoFAExporterDown"), alert("TwoFASchedulerEvents", "warning", instance="a", event="overlap")),
    (alert("TwoFAExporterDown"), alert("TwoFAExporterDown", "warning", instance="a")),
    (
        alert("TwoFAExporterDown", "warning", instance="a"),
        alert("TwoFACollectorFailing", "warning", instance="a", collector="checks"),
    ),
]

HEARD = [
    # another site
    (cause("provider_disabled", "b2core"), elsewhere(cause("no_traffic", "twilio"))),
    (cause("server_clock_skewed", "clock"), elsewhere(cause("code_rejected", "b2core"))),
    (cause("balance_exhausted", "twilio"), elsewhere(alert("TwoFACodesNotDelivered", target="twilio"))),
    (alert("TwoFAExporterDown"), elsewhere(alert("TwoFASchedulerEvents", "warning", instance="a", event="overlap"))),
    # another target
    (cause("code_rejected", "b2core"), alert("TwoFATotpCodesRefused", target="other-office")),
    (cause("balance_exhausted", "twilio"), alert("TwoFATrafficStopped", target="vonage")),
    (cause("timeout", "b2core", "warning"), alert("TwoFALogNotRead", "warning", target="twilio", instance="a")),
    (cause("balance_exhausted", "twilio"), alert("TwoFACodesNotDelivered", target="vonage")),
    (cause("balance_exhausted", "twilio"), cause("no_traffic", "vonage")),
    (cause("credentials_rejected", "twilio"), cause("credentials_rejected", "b2core", "warning")),
    (cause("provider_outage", "twilio"), cause("unreachable", "b2core", "warning")),
    (cause("code_rejected", "b2core"), alert("TwoFACodesNotDelivered", target="twilio")),
    # another place
    (cause("operator_blocking", "twilio", **OPERATOR), cause("operator_blocking", "twilio", **COUNTRY)),
    (
        cause("operator_blocking", "twilio", **COUNTRY),
        cause("operator_blocking", "twilio", **(OPERATOR | {"country": "GB"})),
    ),
    (
        cause("provider_outage", "twilio", **OPERATOR),
        cause("operator_blocking", "twilio", **(OPERATOR | {"operator": "1&1"})),
    ),
    (cause("sender_invalid", "twilio", **COUNTRY), cause("delivery_failing", "twilio")),
    (cause("provider_outage", "twilio", **OPERATOR), cause("unreachable", "twilio", "warning")),
    # what is wrong at a place does not stop everything
    (cause("operator_blocking", "twilio", **OPERATOR), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("operator_blocking", "twilio", **COUNTRY), alert("TwoFATrafficStopped", target="twilio")),
    (cause("delivery_failing", "twilio"), alert("TwoFATrafficStopped", target="twilio")),
    (cause("operator_delay", "twilio", **COUNTRY), cause("sms_pumping", "twilio", **OPERATOR)),
    (cause("sms_pumping", "twilio", **COUNTRY), cause("operator_blocking", "twilio", **OPERATOR)),
    (cause("sms_pumping", "twilio", **OPERATOR), alert("TwoFADeliveryBudgetBurn", target="twilio")),
    # nor a sender that is one of several
    (cause("sender_invalid", "twilio"), cause("operator_blocking", "twilio", **OPERATOR)),
    (cause("sender_invalid", "twilio"), cause("delivery_failing", "twilio")),
    (cause("sender_invalid", "twilio"), cause("unreachable", "twilio", "warning")),
    (cause("sender_invalid", "twilio"), alert("TwoFATrafficStopped", target="twilio")),
    # no cause of it
    (cause("template_missing", "b2core"), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("code_rejected", "b2core"), alert("TwoFACodesTooLate", target="b2core")),
    (cause("wrong_code_accepted", "b2core"), alert("TwoFATotpCodesRefused", target="b2core")),
    (cause("internal", "twilio", "warning"), alert("TwoFALogNotRead", "warning", target="twilio", instance="a")),
    (cause("balance_low", "twilio"), alert("TwoFACodesNotDelivered", target="twilio")),
    (cause("balance_exhausted", "twilio"), cause("sms_pumping", "twilio")),
    (cause("delivery_failing", "twilio"), cause("sms_pumping", "twilio", **COUNTRY)),
    (cause("balance_exhausted", "twilio"), cause("internal", "twilio", "warning")),
    (cause("provider_disabled", "b2core"), cause("balance_exhausted", "twilio")),
    (cause("provider_disabled", "b2core"), cause("delivery_failing", "twilio")),
    (cause("server_clock_skewed", "clock"), cause("wrong_code_accepted", "b2core")),
    # both are causes
    (cause("balance_exhausted", "twilio"), cause("credentials_rejected", "twilio")),
    (cause("credentials_rejected", "twilio"), cause("balance_exhausted", "twilio")),
    # a ticket never mutes a page, nor a symptom its cause
    (cause("credentials_rejected", "twilio", "warning"), cause("credentials_rejected", "twilio")),
    (cause("delivery_failing", "twilio", "warning"), alert("TwoFACodesNotDelivered", target="twilio")),
    (alert("TwoFACodesNotDelivered", target="twilio"), cause("balance_exhausted", "twilio")),
    # no usable provider for another reason, or of another
    (cause("sms_pumping", "twilio"), alert("TwoFANoUsableProvider", target="twilio", reason="unreachable")),
    (
        alert("TwoFANoUsableProvider", target="twilio", reason="provider_outage"),
        cause("provider_outage", "twilio", **OPERATOR),
    ),
    (
        cause("credentials_rejected", "twilio"),
        alert("TwoFANoUsableProvider", target="vonage", reason="credentials_rejected"),
    ),
    # a route by another provider, for another reason, to another country, at one operator
    (cause("balance_exhausted", "twilio"), no_route("vonage", "unreachable")),
    (cause("balance_exhausted", "twilio"), no_route("vonage", "balance_exhausted")),
    (cause("balance_exhausted", "twilio"), elsewhere(no_route("twilio", "balance_exhausted"))),
    (cause("delivery_failing", "twilio"), no_route("twilio", "country_not_permitted")),
    (cause("operator_blocking", "twilio", **COUNTRY), no_route("twilio", "operator_blocking", country="GB")),
    (cause("operator_blocking", "twilio", **OPERATOR), no_route("twilio", "operator_blocking")),
    (cause("operator_blocking", "twilio", **COUNTRY), last_route("twilio", "operator_blocking", country="GB")),
    (cause("provider_disabled", "b2core"), no_route("twilio", "timeout")),
    # a ticket does not say it, and a country's routes are no cause
    (cause("country_not_permitted", "twilio", "warning"), no_route("twilio", "country_not_permitted")),
    (cause("unreachable", "twilio", "warning"), last_route("twilio", "unreachable")),
    (last_route("twilio", "unreachable"), no_route("twilio", "unreachable")),
    (no_route("twilio", "balance_exhausted"), cause("balance_exhausted", "twilio")),
    (no_route("twilio", "balance_exhausted"), alert("TwoFACodesNotDelivered", target="twilio")),
    (no_route("twilio", "balance_exhausted"), cause("delivery_failing", "twilio")),
    (
        no_route("twilio", "unreachable"),
        alert("TwoFANoUsableProvider", target="twilio", reason="unreachable"),
    ),
    # another exporter, and the dead man's switch
    (
        alert("TwoFAExporterDown", "warning", instance="a"),
        alert("TwoFACheckStale", "warning", instance="b", target="twilio"),
    ),
    (alert("TwoFAExporterDown"), alert("TwoFAWatchdog", "info")),
]


def pair(labels: Labels) -> str:
    place = labels.get("operator") or labels.get("country")
    return "-".join(filter(None, (labels["alertname"], labels["severity"], labels.get("target"), place)))


@pytest.mark.parametrize(("source", "target"), MUTED, ids=pair)
def test_what_follows_from_a_cause_is_muted(source: Labels, target: Labels) -> None:
    assert mutes(source, target)


@pytest.mark.parametrize(("source", "target"), HEARD, ids=pair)
def test_what_does_not_follow_from_it_is_heard(source: Labels, target: Labels) -> None:
    assert not mutes(source, target)


@cache
def every_alert() -> tuple[dict[str, str], ...]:
    """Everything that can fire, at a provider and a back office: any of them may say anything."""
    targets = ("twilio", "b2core")
    said = {(case.reason, case.severity, tuple(case.place.items())) for case in cause_cases()}
    found = [
        cause(reason, target, severity, **dict(place)) for reason, severity, place in sorted(said) for target in targets
    ]
    for rule, target in product(load_alerts(), targets):
        name, severity = rule["alert"], rule["labels"]["severity"]
        if name == "TwoFANoUsableProvider":
            reasons = "|".join(re.findall(r'reason=~"([^"]+)"', rule["expr"])).split("|")
            found += [alert(name, severity, target=target, reason=reason) for reason in dict.fromkeys(reasons)]
        elif name in ROUTES:
            found += [
                alert(name, severity, target=target, reason=reason, country=country)
                for reason, country in product(sorted(KEEPS_FROM_A_COUNTRY), ("DE", "GB", "other"))
            ]
        elif "reason" not in rule["labels"]:
            # of what several exporters tell of, and of all of them, there is one alert
            found.append(alert(name, severity, target=target, **({} if severity == "critical" else {"instance": "a"})))
        elif name == "TwoFABalanceLow" and severity == "critical":
            found.append(cause("balance_low", target, severity))
    return tuple(found)


@cache
def muted_by() -> tuple[tuple[dict[str, str], dict[str, str]], ...]:
    """Every pair of these of which the first mutes the second."""
    alerts = every_alert()
    found = []
    for inhibition in inhibitions():
        sources = [labels for labels in alerts if matches(inhibition.source, labels)]
        targets = [labels for labels in alerts if matches(inhibition.target, labels)]
        found += [pair for pair in product(sources, targets) if inhibition.mutes(*pair)]
    return tuple(found)


def test_a_page_is_muted_by_a_page_only() -> None:
    for source, target in muted_by():
        assert source["severity"] == "critical" or target["severity"] != "critical", (source, target)


def test_no_set_of_alerts_mutes_itself_away() -> None:
    """Who mutes whom has no circle: whatever fires at once, something stays, and a page where there was one.

    A muted alert mutes others still, so that a circle of them would be silent.
    """
    above: dict[str, set[str]] = {}
    for source, target in muted_by():
        above.setdefault(json.dumps(target), set()).add(json.dumps(source))
    order = TopologicalSorter(above)
    order.prepare()  # raises CycleError


def test_every_equal_names_the_job() -> None:
    assert all("job" in inhibition.equal for inhibition in inhibitions())


def test_a_cause_mutes_the_symptoms_of_its_target_that_it_explains() -> None:
    for source in every_alert():
        if source["alertname"] in CAUSES:
            muted = {name for name in SYMPTOMS if mutes(source, alert(name, target=source["target"]))}
            assert muted == (explained_by(source) if source["severity"] == "critical" else set()), source


def explained_by(page: Labels) -> set[str]:
    """The symptoms of its target that the page of a cause explains."""
    reason = page["reason"]
    if page.get("scope"):
        of_a_country = {"TwoFACodesNotDelivered"} if page["scope"] == "country" else set()
        late = {"TwoFACodesTooLate", "TwoFADeliveryBudgetBurn"}
        return set() if reason == "sms_pumping" else late | of_a_country
    symptoms = set(DELIVERY_SYMPTOMS) if reason in SPOILS_DELIVERY else set()
    if reason in STOPS_TRAFFIC | HANDS_NOTHING_OUT:  # the latter of its whole job
        symptoms.add("TwoFATrafficStopped")
    if reason in {"code_rejected", "server_clock_skewed"}:
        symptoms.add("TwoFATotpCodesRefused")
    return symptoms


def test_only_what_is_about_all_targets_mutes_symptoms_of_others() -> None:
    found = {
        (source["reason"], name)
        for source in every_alert()
        for name in SYMPTOMS
        if source["alertname"] in CAUSES and mutes(source, alert(name, target="another"))
    }
    expected = {(reason, "TwoFATrafficStopped") for reason in HANDS_NOTHING_OUT}
    assert found == expected | {("server_clock_skewed", "TwoFATotpCodesRefused")}


def test_these_mute_nothing_but_their_own_ticket() -> None:
    """Somebody robs us, somebody gets in, the money lasts for hours: none explains what else is seen."""
    for source, target in muted_by():
        if source.get("reason") in {"sms_pumping", "wrong_code_accepted", "balance_low"}:
            assert target["alertname"] == source["alertname"], (source, target)
        if target.get("reason") == "sms_pumping":
            assert source["alertname"] == target["alertname"], (source, target)


def test_the_symptoms_are_those_of_the_rules() -> None:
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]}
    assert {rule["alert"] for rule in groups["twofa.symptoms"]} == SYMPTOMS | ROUTES | {"TwoFANoUsableProvider"}


# --- the lists of reasons follow from the tables of the product


ABOUT_PROVIDERS = {name: kind for name, kind in KINDS.items() if not kind.asks_back_office and name != "clock"}
JUDGES_OF_DELIVERY = {"delivery", "conversion", "canary"}
HANDS_NOTHING_OUT = {
    reason.value for reason in Reason if reason.row.stops_codes and reason.row.owner is Owner.BACK_OFFICE
}
STOPS_A_PROVIDER = {
    reason.value
    for kind in ABOUT_PROVIDERS.values()
    for reason in kind.reasons
    if reason.row.stops_codes
    and not {name for name, each in KINDS.items() if reason in each.reasons} <= JUDGES_OF_DELIVERY
}
FOLLOWS = {
    reason.value
    for giver in (*(kind.reasons for kind in ABOUT_PROVIDERS.values()), NAMED)
    for reason in giver
    if reason.outcome is not Outcome.PASS
    and reason.row.owner is not Owner.CLIENT  # of one test message, or of wrong numbers
    and reason not in {Reason.SMS_PUMPING, Reason.INTERNAL}  # somebody robs us; a defect of ours
} - STOPS_A_PROVIDER
STOPS_EVERY_CODE = STOPS_A_PROVIDER - {"sender_invalid"}  # may be one sender of several
SPOILS_DELIVERY = STOPS_A_PROVIDER | {
    reason.value for reason, naming in NAMED.items() if naming.pages and reason is not Reason.SMS_PUMPING
}
STOPS_TRAFFIC = (STOPS_EVERY_CODE - {"account_restricted"}) | {"no_traffic"}  # that takes verified numbers
KEEPS_FROM_ASKING = {
    reason.value for reason in KINDS["credentials"].reasons if reason not in {Reason.OK, Reason.INTERNAL}
}
KEEPS_FROM_A_COUNTRY = {
    reason.value
    for kind in KINDS.values()
    for reason in kind.reasons
    if kind.stops_codes(reason) or (kind.asks_provider and reason.outcome is Outcome.ERROR)
} | {reason.value for reason, naming in NAMED.items() if naming.pages and reason is not Reason.SMS_PUMPING}
MAY_BE_EVERYWHERE = {
    reason.value
    for reason, naming in NAMED.items()
    if naming.pages and naming.has_place and reason.row.owner in {Owner.OPERATOR, Owner.PROVIDER}
}


def test_the_lists_of_reasons_are_those_of_the_tables() -> None:
    def lists(side: Iterable[tuple[Matcher, ...]]) -> list[list[str]]:
        values = [matcher.value for matchers in side for matcher in matchers if matcher.label == "reason"]
        return [sorted(value.split("|")) for value in values if "|" in value]

    assert lists(inhibition.source for inhibition in inhibitions()) == [
        sorted(STOPS_EVERY_CODE),
        sorted(MAY_BE_EVERYWHERE),
        sorted(HANDS_NOTHING_OUT),
        sorted(HANDS_NOTHING_OUT),
        sorted(SPOILS_DELIVERY),
        sorted(STOPS_TRAFFIC),
        sorted(HANDS_NOTHING_OUT),
        sorted(KEEPS_FROM_ASKING),
    ]
    assert lists(inhibition.target for inhibition in inhibitions()) == [sorted(FOLLOWS)]


def test_the_names_in_the_rules_are_those_of_alerts() -> None:
    names = {rule["alert"] for rule in load_alerts()}
    matchers = [matcher for each in inhibitions() for matcher in (*each.source, *each.target)]
    used = {name for matcher in matchers if matcher.label == "alertname" for name in matcher.value.split("|")}
    assert used
    assert used <= names
