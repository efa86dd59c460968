"""The sandbox's status page: an Atlassian Statuspage that follows the faults."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from exporter.sandbox import Sandbox

DOCUMENTS = {
    "summary": {"page", "components", "incidents", "scheduled_maintenances", "status"},
    "status": {"page", "status"},
    "components": {"page", "components"},
    "incidents": {"page", "incidents"},
    "incidents/unresolved": {"page", "incidents"},
    "scheduled-maintenances": {"page", "scheduled_maintenances"},
    "scheduled-maintenances/active": {"page", "scheduled_maintenances"},
    "scheduled-maintenances/upcoming": {"page", "scheduled_maintenances"},
}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    for fault in ("provider_outage", "provider_degraded", "maintenance", "unreachable"):
        running.clear_fault(fault)


def read(sandbox: Sandbox, document: str = "summary") -> Any:
    return requests.get(f"{sandbox.statuspage_url}/api/v2/{document}.json", timeout=5).json()


def statuses(sandbox: Sandbox) -> dict[str, str]:
    return {each["name"]: each["status"] for each in read(sandbox)["components"]}


@pytest.mark.parametrize(("document", "keys"), DOCUMENTS.items())
def test_a_document_has_its_parts(sandbox: Sandbox, document: str, keys: set[str]) -> None:
    answer = read(sandbox, document)
    assert set(answer) == keys
    assert (answer["page"]["name"], answer["page"]["url"]) == ("Sandbox Twilio", sandbox.statuspage_url)


def test_normally_all_is_well_but_for_a_component_that_nobody_needs(sandbox: Sandbox) -> None:
    seen = statuses(sandbox)
    assert seen.pop("Fax") == "degraded_performance"
    assert set(seen.values()) == {"operational"}
    assert read(sandbox)["status"]["indicator"] == "minor"
    assert read(sandbox)["incidents"] == []
    assert [each["status"] for each in read(sandbox, "incidents")["incidents"]] == ["resolved"]


@pytest.mark.parametrize(
    ("fault", "sms", "indicator", "impact"),
    [
        ("provider_outage", "major_outage", "critical", "critical"),
        ("provider_degraded", "degraded_performance", "major", "minor"),
    ],
)
def test_a_fault_of_the_provider_is_an_incident_until_it_is_cleared(
    sandbox: Sandbox, fault: str, sms: str, indicator: str, impact: str
) -> None:
    sandbox.set_fault(fault)
    (incident,) = read(sandbox, "incidents/unresolved")["incidents"]
    assert (incident["impact"], incident["status"]) == (impact, "investigating")
    assert "SMS" in {each["name"] for each in incident["components"]}
    assert incident["incident_updates"][0]["affected_components"][0]["old_status"] == "operational"
    assert (statuses(sandbox)["SMS"], read(sandbox)["status"]["indicator"]) == (sms, indicator)
    sandbox.clear_fault(fault)
    assert statuses(sandbox)["SMS"] == "operational"
    assert read(sandbox)["incidents"] == []


def test_a_group_is_as_bad_as_its_worst_member(sandbox: Sandbox) -> None:
    sandbox.set_fault("provider_outage")
    assert statuses(sandbox)["Programmable Messaging"] == "major_outage"
    assert statuses(sandbox)["Voice"] == "operational"
    components = {each["name"]: each for each in read(sandbox)["components"]}
    assert components["SMS"]["group_id"] == components["Programmable Messaging"]["id"]
    assert components["Programmable Messaging"]["group"] is True


def test_maintenance_is_not_an_incident(sandbox: Sandbox) -> None:
    sandbox.set_fault("maintenance")
    assert statuses(sandbox)["SMS"] == "under_maintenance"
    (event,) = read(sandbox, "scheduled-maintenances/active")["scheduled_maintenances"]
    assert (event["status"], event["impact"]) == ("in_progress", "maintenance")
    assert event["scheduled_for"] < event["scheduled_until"]
    assert read(sandbox)["incidents"] == []


def test_the_worse_of_two_faults_shows(sandbox: Sandbox) -> None:
    sandbox.set_fault("provider_degraded")
    sandbox.set_fault("provider_outage")
    assert statuses(sandbox)["Verify"] == "major_outage"
    assert len(read(sandbox)["incidents"]) == 2


def test_the_page_stays_up_when_the_api_is_unreachable(sandbox: Sandbox) -> None:
    sandbox.set_fault("unreachable")
    assert statuses(sandbox)["SMS"] == "operational"
