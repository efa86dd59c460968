"""The whole chain: sandbox, exporter and a real Prometheus; each fault is seen by PromQL, and its end too."""

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
from exporter.demo import write_sandbox_config
from exporter.metrics import FAMILIES
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
    "delivery_failing": "delivery",
    "delivery_slow": "delivery",
    "no_traffic": "delivery",
    "unreachable": "credentials",
    "timeout": "credentials",
    "bad_response": "credentials",
}
NOT_A_REASON = {"maintenance"}
# A sandbox that speaks plain HTTP has no TLS to break (that is in the transport's tests), and no fault
# makes a defect of our own.
WITHOUT_FAULT = {Reason.OK, Reason.TLS_FAILED, Reason.INTERNAL}


@dataclass(frozen=True)
class Chain:
    sandbox: Sandbox
    exporter_url: str
    prometheus_url: str

    def query(self, promql: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.prometheus_url}/api/v1/query", params={"query": promql}, timeout=5).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def all_pass(self) -> bool:
        return len(self.query("twofa_check_success == 1")) == len(KINDS)


def quick(config: Path) -> None:
    """Let a configuration's checks run several times a second."""
    document = yaml.safe_load(config.read_text())
    for check in document["checks"].values():
        check |= {"interval": "300ms", "timeout": "2s"}
    config.write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    program = require_program("prometheus")
    folder = tmp_path_factory.mktemp("chain")
    with Sandbox() as sandbox:
        config = folder / "exporter.yml"
        write_sandbox_config(sandbox, config)
        quick(config)
        with exporter(config, folder, "--log.level=warn") as exporter_url:
            port = free_port()
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
                f"--web.listen-address=127.0.0.1:{port}",
            ]
            with running(command, folder / "prometheus.log"):
                url = f"http://127.0.0.1:{port}"
                wait_for(lambda: answers(f"{url}/-/ready"))
                made = Chain(sandbox, exporter_url, url)
                wait_for(made.all_pass, seconds=30)
                yield made


def test_every_metric_is_there_with_its_type(chain: Chain) -> None:
    answer = requests.get(f"{chain.prometheus_url}/api/v1/metadata", timeout=5).json()
    types = {name: entries[0]["type"] for name, entries in answer["data"].items()}
    for family in FAMILIES.values():
        assert types[family.described_name] == family.type.value
        suffix = "_bucket" if family.type.value == "histogram" else ""
        assert chain.query(f"{family.name}{suffix}"), family.name


def test_quantiles_of_delivery_can_be_asked_for(chain: Chain) -> None:
    promql = "histogram_quantile(0.9, sum by (le) (twofa_message_delivery_seconds_bucket))"
    (sample,) = chain.query(promql)
    assert 2 < float(sample["value"][1]) < 60


def test_promtool_is_content_with_a_scrape(chain: Chain) -> None:
    promtool = require_program("promtool")
    text = requests.get(f"{chain.exporter_url}/metrics", timeout=5).content
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.parametrize("fault", SEEN_BY)
def test_a_fault_is_seen_with_its_reason_and_so_is_its_end(chain: Chain, fault: str) -> None:
    wait_for(chain.all_pass)
    requests.put(f"{chain.sandbox.url}/sandbox/faults/{fault}", timeout=5).raise_for_status()
    try:
        promql = f'twofa_check_reason{{check="{SEEN_BY[fault]}", reason="{fault}"}} == 1'
        wait_for(lambda: chain.query(promql))
    finally:
        requests.delete(f"{chain.sandbox.url}/sandbox/faults/{fault}", timeout=5).raise_for_status()
    wait_for(chain.all_pass)


def test_maintenance_is_no_outage(chain: Chain) -> None:
    chain.sandbox.set_fault("maintenance")
    try:
        wait_for(lambda: chain.query('twofa_provider_service_state{state="under_maintenance"} == 1'))
        assert chain.query('twofa_check_reason{check="service-status", reason="ok"} == 1')
    finally:
        chain.sandbox.clear_fault("maintenance")


def test_there_is_a_fault_for_each_reason_that_the_checks_can_see() -> None:
    assert set(SEEN_BY) | NOT_A_REASON == set(FAULTS)
    can_be_seen = {reason for kind in KINDS.values() for reason in kind.reasons}
    assert {Reason(fault) for fault in SEEN_BY} == can_be_seen - WITHOUT_FAULT
