"""The check `senders`."""

import pytest
from pydantic import ValidationError

from checks.clients import CountryPermissions, Sender
from checks.reason import Reason
from checks.result import CheckResult, RefusedCountry
from checks.senders import SendersSettings, check_senders
from tests.fakes import FakeClient

NUMBER, SERVICE = "+14155550100", "MG0"
SETTINGS = SendersSettings(target="twilio", numbers=(NUMBER,), messaging_services=(SERVICE,), countries=("US", "DE"))


def check(
    *,
    number: Sender | None = None,
    service: Sender | None = None,
    permissions: CountryPermissions | None = None,
) -> CheckResult:
    client = FakeClient(
        senders={
            NUMBER: number or Sender(label="+1********00"),
            SERVICE: service or Sender(label="MG0", pool_size=2),
        },
        permissions=permissions or CountryPermissions(),
    )
    return check_senders(client, SETTINGS)


def test_usable_senders_pass() -> None:
    result = check()
    assert (result.reason, result.detail) == (Reason.OK, "2 senders usable")


@pytest.mark.parametrize(
    ("number", "detail"),
    [
        (Sender(label="n", exists=False), "n is not in this account"),
        (Sender(label="n", sends_sms=False), "n cannot send SMS"),
        (Sender(label="n", pool_size=0), "n has no sender in its pool"),
    ],
)
def test_a_sender_that_cannot_send_is_invalid(number: Sender, detail: str) -> None:
    result = check(number=number)
    assert (result.reason, result.detail) == (Reason.SENDER_INVALID, detail)


def test_a_missing_registration_is_told_apart() -> None:
    result = check(service=Sender(label="MG0", pool_size=1, registration_problem="the A2P campaign is FAILED"))
    assert (result.reason, result.detail) == (Reason.SENDER_UNREGISTERED, "MG0: the A2P campaign is FAILED")


def test_a_country_that_is_switched_off_is_named() -> None:
    result = check(permissions=CountryPermissions(refused=("DE",)))
    assert (result.reason, result.detail) == (Reason.COUNTRY_NOT_PERMITTED, "sending to DE is switched off")
    assert result.measured == (RefusedCountry(country="DE"),)


def test_the_worst_reason_leads_and_the_detail_names_all() -> None:
    result = check(
        number=Sender(label="n", exists=False),
        service=Sender(label="MG0", registration_problem="the A2P campaign is FAILED"),
        permissions=CountryPermissions(refused=("DE",)),
    )
    assert result.reason is Reason.SENDER_INVALID
    assert result.detail == ("n is not in this account; MG0: the A2P campaign is FAILED; sending to DE is switched off")
    assert result.measured == (RefusedCountry(country="DE"),)


def test_what_cannot_be_read_is_said_and_not_guessed() -> None:
    result = check(
        number=Sender(label="n", unreadable=("toll-free verification",)),
        permissions=CountryPermissions(readable=False),
    )
    assert result.reason is Reason.OK
    assert result.detail == "2 senders usable; not readable: n: toll-free verification; country permissions"


def test_nothing_to_check_is_a_configuration_error() -> None:
    with pytest.raises(ValidationError, match="needs numbers, messaging_services or countries"):
        SendersSettings(target="twilio")
