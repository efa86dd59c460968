"""The check `service_status`."""

import pytest

from checks.clients import Incident, IncidentImpact, ServiceStatus
from checks.errors import UnreachableError
from checks.reason import Reason
from checks.result import CheckResult, ServiceComponent, ServiceState
from checks.service_status import ServiceStatusSettings, check_service_status
from tests.fakes import FakeClient

SMS = ServiceComponent(component="SMS", state=ServiceState.OPERATIONAL)
FAX = ServiceComponent(component="Fax", state=ServiceState.MAJOR_OUTAGE)


def check(*components: ServiceComponent, incidents: tuple[Incident, ...] = ()) -> CheckResult:
    client = FakeClient(status=ServiceStatus(components=components, incidents=incidents))
    return check_service_status(client, ServiceStatusSettings(target="twilio"))


def sms(state: ServiceState) -> ServiceComponent:
    return ServiceComponent(component="SMS", state=state)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (ServiceState.OPERATIONAL, Reason.OK),
        (ServiceState.UNDER_MAINTENANCE, Reason.OK),
        (ServiceState.DEGRADED_PERFORMANCE, Reason.PROVIDER_DEGRADED),
        (ServiceState.PARTIAL_OUTAGE, Reason.PROVIDER_DEGRADED),
        (ServiceState.MAJOR_OUTAGE, Reason.PROVIDER_OUTAGE),
    ],
)
def test_each_state_has_its_reason(state: ServiceState, reason: Reason) -> None:
    result = check(sms(state))
    assert result.reason is reason
    assert result.measured == (sms(state),)


def test_components_that_are_not_watched_do_not_count_and_are_not_measured() -> None:
    result = check(SMS, FAX)
    assert (result.reason, result.measured) == (Reason.OK, (SMS,))


@pytest.mark.parametrize(
    ("impact", "reason"),
    [
        (IncidentImpact.NONE, Reason.OK),
        (IncidentImpact.MINOR, Reason.PROVIDER_DEGRADED),
        (IncidentImpact.MAJOR, Reason.PROVIDER_DEGRADED),
        (IncidentImpact.CRITICAL, Reason.PROVIDER_OUTAGE),
    ],
)
@pytest.mark.parametrize("names", [("SMS", "Fax"), ()])
def test_an_incident_on_a_watched_component_or_on_none_counts(
    impact: IncidentImpact, reason: Reason, names: tuple[str, ...]
) -> None:
    assert check(SMS, incidents=(Incident(name="x", impact=impact, components=names),)).reason is reason


def test_an_incident_elsewhere_does_not_count() -> None:
    incident = Incident(name="x", impact=IncidentImpact.CRITICAL, components=("Fax",))
    assert check(SMS, incidents=(incident,)).reason is Reason.OK


def test_the_free_text_of_an_incident_is_not_repeated() -> None:
    incident = Incident(name="call +14155550100", impact=IncidentImpact.MINOR, components=())
    result = check(SMS, incidents=(incident,))
    assert "+1415" not in result.detail
    assert result.detail == "1 unresolved, worst impact minor"


def test_a_page_without_a_watched_component_is_not_understood() -> None:
    result = check(FAX)
    assert (result.reason, result.measured) == (Reason.BAD_RESPONSE, ())


def test_only_a_watched_component_in_an_unknown_state_makes_the_page_not_understood() -> None:
    def with_unclear(name: str) -> CheckResult:
        status = ServiceStatus(components=(SMS,), incidents=(), not_understood=(name,))
        return check_service_status(FakeClient(status=status), ServiceStatusSettings(target="twilio"))

    result = with_unclear("Verify")
    assert (result.reason, result.detail) == (Reason.BAD_RESPONSE, "the page gives Verify an unknown state")
    assert with_unclear("Fax").reason is Reason.OK


def test_at_most_fifty_components_become_series() -> None:
    many = [ServiceComponent(component=f"SMS {n}", state=ServiceState.OPERATIONAL) for n in range(60)]
    assert len(check(*many).measured) == 50


def test_a_component_beyond_them_is_judged_and_measured_when_it_is_bad() -> None:
    many = [ServiceComponent(component=f"SMS {n}", state=ServiceState.OPERATIONAL) for n in range(60)]
    result = check(
        *many, *(ServiceComponent(component=f"Verify {n}", state=ServiceState.MAJOR_OUTAGE) for n in range(7))
    )
    assert result.reason is Reason.PROVIDER_OUTAGE
    assert result.measured[0] == ServiceComponent(component="Verify 0", state=ServiceState.MAJOR_OUTAGE)
    assert len(result.measured) == 50
    assert result.detail.endswith("Verify 4 is major outage; 2 more")


def test_a_page_that_cannot_be_read_says_nothing_of_the_provider() -> None:
    client = FakeClient(status=UnreachableError("the status page cannot be read"))
    with pytest.raises(UnreachableError):
        check_service_status(client, ServiceStatusSettings(target="twilio"))
