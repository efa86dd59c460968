"""The Statuspage client: what it makes of a page, and that a page out of reach is no outage."""

import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.clients import Incident, IncidentImpact, ServiceStatus
from checks.errors import BadResponseError, UnreachableError
from checks.providers.statuspage import StatuspageClient, _name
from checks.reason import Reason
from checks.result import ServiceComponent, ServiceState
from tests import stub_server as stubs
from tests.stub_server import StubServer

PATH = "/page/api/v2/summary.json"


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


class Outcomes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def request_done(self, outcome: str) -> None:
        self.seen.append(outcome)

    def code_unmapped(self, code: str) -> None:
        raise NotImplementedError

    def message_unreadable(self) -> None:
        raise NotImplementedError


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def client(stub: StubServer, outcomes: Outcomes) -> Iterator[StatuspageClient]:
    reader = StatuspageClient(f"{stub.url}/page", timeout_seconds=5, observer=outcomes)
    yield reader
    reader.close()


def component(name: str, status: Any = "operational", **more: Any) -> dict[str, Any]:
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
        ("SMS \ud800\udfff", "SMS"),
        ("Desk +4915112345678", "Desk ***"),
        ("Desk 1234567, Messaging", "Desk ***, Messaging"),
        ("Desk +49 (0) 151 / 1234-5678 SMS", "Desk *** SMS"),
        ("Desk +49\u200b151\x0012345678", "Desk ***"),
        ("Desk \u0664\u0669\u0661\u0665\u0661\u0661\u0662\u0663", "Desk ***"),
        ("x" * 75 + "+4915112345678", "x" * 75 + "***"),
        ("SMS 123456, shard 2 of 10, eu1", "SMS 123456, shard 2 of 10, eu1"),
    ],
)
def test_names_are_made_harmless(name: str, shown: str, stub: StubServer, client: StatuspageClient) -> None:
    incident = {"name": name, "status": "monitoring", "impact": "minor", "components": [component(name)]}
    stub.on(PATH, stubs.answer(summary([component(name), component(name, "on_fire")], [incident])))
    assert client.fetch_service_status() == ServiceStatus(
        components=(ServiceComponent(component=shown, state=ServiceState.OPERATIONAL),),
        incidents=(Incident(name=shown, impact=IncidentImpact.MINOR, components=(shown,)),),
        not_understood=(shown,),
    )


@given(st.text(max_size=200))
def test_any_name_is_harmless(name: str) -> None:
    shown = _name({"name": name})
    assert 0 < len(shown) <= 80
    assert [letter for letter in shown if unicodedata.category(letter)[0] == "C"] == []


# What is not documented is not understood, and costs no other component.


@pytest.mark.parametrize("state", ["on_fire", "OPERATIONAL", "", None, 5, ["operational"], {}])
def test_an_unknown_state_is_told_by_name(state: Any, stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component("Fax", state), component("Voice", state), component("SMS")])))
    assert client.fetch_service_status() == ServiceStatus(
        components=(ServiceComponent(component="SMS", state=ServiceState.OPERATIONAL),),
        incidents=(),
        not_understood=("Fax", "Voice"),
    )


def test_a_component_without_a_state_is_not_understood(stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([{"name": "Fax"}])))
    assert client.fetch_service_status() == ServiceStatus(components=(), incidents=(), not_understood=("Fax",))


def test_an_unknown_state_does_not_hide_the_known_one_of_a_twin(stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component("SMS", "major_outage"), component("SMS", "on_fire")])))
    assert client.fetch_service_status() == ServiceStatus(
        components=(ServiceComponent(component="SMS", state=ServiceState.MAJOR_OUTAGE),),
        incidents=(),
        not_understood=("SMS",),
    )


def test_the_state_of_a_group_does_not_matter(stub: StubServer, client: StatuspageClient) -> None:
    stub.on(PATH, stubs.answer(summary([component("Messaging", "on_fire", group=True), component("SMS")])))
    assert client.fetch_service_status().not_understood == ()


@pytest.mark.parametrize("impact", ["huge", "", None, 5, [], {}])
@pytest.mark.parametrize(
    ("touched", "names"), [(["Fax", "Voice"], ("Fax", "Voice")), ([], ("Fax", "Voice", "SMS"))], ids=["some", "all"]
)
def test_an_unknown_impact_is_told_by_the_components_that_it_touches(
    impact: Any, touched: list[str], names: tuple[str, ...], stub: StubServer, client: StatuspageClient
) -> None:
    odd = {"name": "x", "status": "investigating", "impact": impact, "components": [component(one) for one in touched]}
    known = {"name": "y", "status": "investigating", "impact": "minor", "components": [component("SMS")]}
    stub.on(PATH, stubs.answer(summary([component("Fax"), component("Voice"), component("SMS")], [odd, known])))
    status = client.fetch_service_status()
    assert status.not_understood == names
    assert status.incidents == (Incident(name="y", impact=IncidentImpact.MINOR, components=("SMS",)),)
    assert len(status.components) == 3


def test_an_unknown_impact_of_what_is_over_does_not_matter(stub: StubServer, client: StatuspageClient) -> None:
    over = {"name": "x", "status": "resolved", "impact": "huge", "components": []}
    stub.on(PATH, stubs.answer(summary([component("SMS")], [over])))
    assert client.fetch_service_status().not_understood == ()


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
    ("behaviour", "outcome"),
    [
        (stubs.answer(summary([])), Reason.OK),
        (stubs.answer({}, status=500), Reason.UNREACHABLE),
        (stubs.answer(b"<html>", status=503), Reason.UNREACHABLE),
        (stubs.answer({}, status=401), Reason.UNREACHABLE),
        (stubs.answer({}, status=403), Reason.UNREACHABLE),
        (stubs.answer({}, status=404), Reason.UNREACHABLE),
        (stubs.answer({}, status=429), Reason.UNREACHABLE),
        (stubs.redirect("https://www.atlassian.com/"), Reason.UNREACHABLE),
        (stubs.reset(), Reason.UNREACHABLE),
        (stubs.answer({}, status=408), Reason.TIMEOUT),
    ],
)
def test_no_request_for_a_page_is_counted_against_the_provider(
    behaviour: stubs.Behaviour, outcome: Reason, stub: StubServer, client: StatuspageClient, outcomes: Outcomes
) -> None:
    stub.on(PATH, behaviour)
    with suppress(UnreachableError):
        client.fetch_service_status()
    assert outcomes.seen == [outcome]


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
        {"components": [{"name": 5, "status": "operational"}], "incidents": []},
        {"components": [{"status": "operational"}], "incidents": []},
        {"components": [], "incidents": 5},
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
