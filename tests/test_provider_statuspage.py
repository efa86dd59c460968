"""The Statuspage client: what it makes of a page, and that a page out of reach is no outage."""

from collections.abc import Iterator
from typing import Any

import pytest

from checks.clients import Incident, IncidentImpact, ServiceStatus
from checks.errors import BadResponseError, UnreachableError
from checks.providers.http import Http, origin_of
from checks.providers.statuspage import StatuspageClient
from checks.result import ServiceComponent, ServiceState
from tests import stub_server as stubs
from tests.stub_server import StubServer

PATH = "/page/api/v2/summary.json"


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def client(stub: StubServer) -> Iterator[StatuspageClient]:
    url = f"{stub.url}/page"
    http = Http({stub.netloc: origin_of(url)}, timeout_seconds=5)
    yield StatuspageClient(url, http)
    http.close()


def component(name: str, status: str = "operational", **more: Any) -> dict[str, Any]:
    return {"id": "x1", "name": name, "status": status, "group": False, "group_id": None, **more}


def summary(components: list[Any], incidents: list[Any] | None = None) -> dict[str, Any]:
    """Shaped like https://status.twilio.com/api/v2/summary.json."""
    return {
        "page": {"id": "gpkpyklzq55q", "name": "Twilio", "url": "https://status.twilio.com"},
        "status": {"indicator": "none", "description": "All Systems Operational"},
        "components": components,
        "incidents": incidents or [],
        "scheduled_maintenances": [],
    }


def test_a_page_is_read(stub: StubServer, client: StatuspageClient) -> None:
    stub.on(
        PATH,
        stubs.answer(
            summary(
                [
                    component("SMS", "degraded_performance", group_id="g"),
                    component("Verify"),
                    component("Messaging", "major_outage", group=True),
                ],
                [
                    {
                        "name": "Delays to DE",
                        "status": "investigating",
                        "impact": "major",
                        "components": [component("SMS"), component("SMS")],
                        "incident_updates": [],
                    },
                    {"name": "Planned", "status": "in_progress", "impact": "maintenance", "components": []},
                    {"name": "Over", "status": "resolved", "impact": "critical", "components": []},
                ],
            )
        ),
    )
    assert client.fetch_service_status() == ServiceStatus(
        components=(
            ServiceComponent(component="SMS", state=ServiceState.DEGRADED_PERFORMANCE),
            ServiceComponent(component="Verify", state=ServiceState.OPERATIONAL),
        ),
        incidents=(
            Incident(name="Delays to DE", impact=IncidentImpact.MAJOR, components=("SMS",)),
            Incident(name="Planned", impact=IncidentImpact.NONE, components=()),
        ),
    )


@pytest.mark.parametrize("state", ServiceState)
def test_every_documented_state_is_known(state: ServiceState, stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component("SMS", state)])))
    assert client.fetch_service_status().components == (ServiceComponent(component="SMS", state=state),)


@pytest.mark.parametrize("order", [1, -1])
def test_components_of_one_name_become_the_worst(order: int, stub: StubServer, client: StatuspageClient) -> None:
    twins = [component("SMS", "under_maintenance"), component("SMS", "partial_outage")][::order]
    stub.on(PATH, stubs.answer(summary(twins)))
    assert client.fetch_service_status().components == (
        ServiceComponent(component="SMS", state=ServiceState.PARTIAL_OUTAGE),
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("SMS\x1b[31m\x00\u202e, Germany\n", "SMS[31m, Germany"),
        ("x" * 500, "x" * 80),
        ("\x07", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_names_are_made_harmless(name: str, shown: str, stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component(name)])))
    assert [part.component for part in client.fetch_service_status().components] == [shown]


def test_the_number_of_components_is_limited(stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component(f"part {number}") for number in range(5000)])))
    assert len(client.fetch_service_status().components) == 1000


@pytest.mark.parametrize(
    ("behaviour", "detail"),
    [
        (stubs.answer({}, status=500), "the status page answers HTTP 500"),
        (stubs.answer(b"<html>", status=503), "the status page answers HTTP 503"),
        (stubs.answer({}, status=404), "the status page answers HTTP 404"),
        (stubs.answer({}, status=401), "the status page answers HTTP 401"),
        (stubs.answer({}, status=429), "the status page answers HTTP 429"),
        (stubs.answer({}, status=202), "the status page answers HTTP 202"),
        (stubs.answer(b"<html>"), "the status page: the answer is not JSON"),
        (stubs.big_body(10 << 20), "the status page: the answer is too large"),
        (
            stubs.redirect("https://www.atlassian.com/"),
            "the status page: answered with a redirect, which is not followed",
        ),
    ],
)
def test_a_page_out_of_reach_is_no_outage(
    behaviour: stubs.Behaviour, detail: str, stub: StubServer, client: StatuspageClient
) -> None:
    stub.on(PATH, behaviour)
    with pytest.raises(UnreachableError) as caught:
        client.fetch_service_status()
    assert str(caught.value) == detail


@pytest.mark.parametrize(
    "page",
    [
        [],
        None,
        "summary",
        {},
        {"components": []},
        {"incidents": []},
        {"components": {}, "incidents": []},
        {"components": ["SMS"], "incidents": []},
        {"components": [component("SMS", "on_fire")], "incidents": []},
        {"components": [{"name": "SMS"}], "incidents": []},
        {"components": [{"name": 5, "status": "operational"}], "incidents": []},
        {"components": [{"status": "operational"}], "incidents": []},
        {"components": [component("SMS", ["operational"])], "incidents": []},  # type: ignore[arg-type]
        {"components": [], "incidents": 5},
        {"components": [], "incidents": [{"name": "x", "impact": "huge", "components": []}]},
        {"components": [], "incidents": [{"name": "x", "impact": [], "components": []}]},
        {"components": [], "incidents": [{"name": "x", "impact": "major", "components": "SMS"}]},
        {"components": [], "incidents": [{"name": "x", "impact": "major", "components": [None]}]},
    ],
)
def test_another_shape_is_a_bad_response(page: Any, stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(page))
    with pytest.raises(BadResponseError, match=r"^the status page "):
        client.fetch_service_status()


def test_an_incident_does_not_show_its_text() -> None:
    incident = Incident(name="call +4915112345678", impact=IncidentImpact.MINOR, components=())
    assert "4915112345678" not in repr(incident)
