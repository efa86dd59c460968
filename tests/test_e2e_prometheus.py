"""The whole chain: sandbox, exporter and a real Prometheus. What each fault becomes there: test_e2e_pages.py."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from checks.kinds import KINDS
from checks.reason import Reason
from exporter.demo import notifications, write_sandbox_config
from exporter.families import FAMILIES
from exporter.sandbox.credentials import build_credentials
from exporter.sandbox.faults import FAULTS
from exporter.sandbox.server import Sandbox
from tests.processes import answers, exporter, free_port, running, wait_for
from tests.repo import require_program

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

SEEN_BY = {
    "credentials_rejected": "credentials",
    "permission_missing": "credentials",
    "account_suspended": "account",
    "account_restricted": "account",
    "balance_exhausted": "balance",
    "balance_low": "balance",
    "sender_invalid": "senders",
    "sender_unregistered": "senders",
    "country_not_permitted": "senders",
    "provider_outage": "service-status",
    "provider_degraded": "service-status",
    "rate_limited": "credentials",
    "unreachable": "credentials",
    "timeout": "credentials",
    "bad_response": "credentials",
    "provider_missing": "enablement",
    "provider_disabled": "enablement",
    "provider_incomplete": "enablement",
    "provider_is_test": "enablement",
    "template_missing": "enablement",
}
# Messages that have arrived stay so, and some checks take their time: a command that runs one of them sees these.
SEEN_ONCE = {
    "delivery_failing": "delivery",
    "delivery_slow": "delivery",
    "no_traffic": "delivery",
    "client_2fa_disabled": "client-readiness",
    "client_phone_unconfirmed": "client-readiness",
    "server_clock_skewed": "clock",
}
# A single check signs no client in: which codes were used is known to what goes on running.
SEEN_BY_DEMO = ("code_rejected", "wrong_code_accepted")
# These show as a reason that has a fault of its own, too.
SEEN_ONCE_AS = {
    "back_office_down": ("enablement", Reason.PROVIDER_OUTAGE),
    "back_office_unreachable": ("enablement", Reason.UNREACHABLE),
    "back_office_timeout": ("enablement", Reason.TIMEOUT),
    "back_office_rejects": ("enablement", Reason.CREDENTIALS_REJECTED),
    "host_clock_skewed": ("clock", Reason.SERVER_CLOCK_SKEWED),
    "ntp_unsynchronised": ("clock", Reason.UNREACHABLE),
}
# The detector of operator faults knows these by the evidence of many messages; one of them is enough here.
DETECTED = {
    "operator_blocking",
    "operator_blocking_partial",
    "operator_silent",
    "operator_delay",
    "provider_partial_outage",
    "provider_slow",
    "receipts_false",
    "receipts_missing",
    "sms_pumping",
}
NOT_A_REASON = {
    "maintenance",
    "operator_blocking_partial",
    "operator_silent",
    "provider_partial_outage",
    "provider_slow",
}
# A sandbox that speaks plain HTTP has no TLS to break (that is in the transport's tests), no fault makes a defect
# of our own, and the phone of the canary has nothing wrong.
WITHOUT_FAULT = {
    Reason.OK,
    Reason.TLS_FAILED,
    Reason.INTERNAL,
    Reason.RECIPIENT_INVALID,
    Reason.RECIPIENT_UNREACHABLE,
    Reason.RECIPIENT_OPTED_OUT,
    Reason.RECIPIENT_LANDLINE,
    Reason.RECIPIENT_BLOCKED,
    Reason.TOO_MANY_ATTEMPTS,
}
# Known once there is a baseline.
LEARNT = {"twofa_verdict", "twofa_evidence_threshold", "twofa_baseline_ratio", "twofa_totp_accepted_steps"}
OF_FAULTS = {"twofa_sms_route_fault"}
SLOW_KINDS = {"conversion", "client_readiness", "totp_login", "clock"}


@dataclass(frozen=True)
class Chain:
    sandbox: Sandbox
    exporter_url: str
    prometheus_url: str
    checks: int  # how many are configured

    def query(self, promql: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.prometheus_url}/api/v1/query", params={"query": promql}, timeout=5).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def all_pass(self) -> bool:
        return len(self.query("twofa_check_success == 1")) == self.checks


def quick(config: Path) -> None:
    """Let checks run several times a second; but a canary is sent once, and some take their time."""
    document = yaml.safe_load(config.read_text())
    for check in document["checks"].values():
        if check["type"] == "canary":
            check["interval"] = "1h"
        elif check["type"] not in SLOW_KINDS:
            check |= {"interval": "300ms", "timeout": "2s"}
    document["routes"] = [{"countries": "*", "providers": ["twilio"]}]
    config.write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    program = require_program("prometheus")
    port, public_port, prometheus_port = free_port(), free_port(), free_port()
    callback_url = f"http://127.0.0.1:{public_port}/callbacks/twilio"
    token = build_credentials(1).auth_token
    posted = notifications(callback_url, f"http://127.0.0.1:{port}", token)
    with Sandbox(notifications=posted) as sandbox:
        config = folder / "exporter.yml"
        write_sandbox_config(sandbox, config, callback_url=callback_url)
        quick(config)
        listen = f"--public.listen-address=127.0.0.1:{public_port}"
        with exporter(config, folder, "--log.level=warn", listen, port=port) as exporter_url:
            scrape = {
                "job_name": "twofa-exporter",
                "scrape_interval": "200ms",
                "scrape_timeout": "200ms",
                "static_configs": [{"targets": [exporter_url.removeprefix("http://")]}],
            }
            (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [scrape]}))
            command = [
                program,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{prometheus_port}",
            ]
            with running(command, folder / "prometheus.log"):
                url = f"http://127.0.0.1:{prometheus_port}"
                wait_for(lambda: answers(f"{url}/-/ready"))
                checks = len(yaml.safe_load(config.read_text())["checks"])
                made = Chain(sandbox, exporter_url, url, checks)
                wait_for(made.all_pass, seconds=60)
                yield made


def test_every_metric_is_there_with_its_type(chain: Chain) -> None:
    answer = requests.get(f"{chain.prometheus_url}/api/v1/metadata", timeout=5).json()
    types = {name: entries[0]["type"] for name, entries in answer["data"].items()}
    for family in FAMILIES.values():
        if family.name in LEARNT | OF_FAULTS:
            continue
        assert types[family.described_name] == family.type.value
        suffix = "_bucket" if family.type.value == "histogram" else ""
        assert chain.query(f"{family.name}{suffix}"), family.name


def test_quantiles_of_delivery_can_be_asked_for(chain: Chain) -> None:
    promql = "histogram_quantile(0.9, sum by (le) (twofa_message_delivery_seconds_bucket{source='log'}))"
    (sample,) = chain.query(promql)
    assert 2 < float(sample["value"][1]) < 60


def test_promtool_is_content_with_a_scrape(chain: Chain) -> None:
    promtool = require_program("promtool")
    text = requests.get(f"{chain.exporter_url}/metrics", timeout=5).content
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


def test_maintenance_is_no_outage(chain: Chain) -> None:
    chain.sandbox.set_fault("maintenance")
    try:
        wait_for(lambda: chain.query('twofa_provider_service_state{state="under_maintenance"} == 1'))
        assert chain.query('twofa_check_reason{check="service-status", reason="ok"} == 1')
    finally:
        chain.sandbox.clear_fault("maintenance")


def test_there_is_a_fault_for_each_reason_that_the_checks_can_see() -> None:
    assert set(SEEN_BY) | set(SEEN_ONCE) | set(SEEN_BY_DEMO) | set(SEEN_ONCE_AS) | DETECTED | NOT_A_REASON == set(
        FAULTS
    )
    can_be_seen = {reason for kind in KINDS.values() for reason in kind.reasons}
    faults = (set(SEEN_BY) | set(SEEN_ONCE) | set(SEEN_BY_DEMO) | DETECTED) - NOT_A_REASON
    assert {Reason(fault) for fault in faults} == can_be_seen - WITHOUT_FAULT
