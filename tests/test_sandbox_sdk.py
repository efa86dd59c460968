"""Twilio's own SDK works against the sandbox as against Twilio."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException

from exporter.sandbox import Sandbox
from tests.contract.sdk import LocalHttpClient, build_client


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def http(sandbox: Sandbox) -> Iterator[LocalHttpClient]:
    transport = LocalHttpClient(sandbox.url)
    yield transport
    transport.close()


@pytest.fixture
def client(sandbox: Sandbox, http: LocalHttpClient) -> Any:
    return build_client(http, sandbox.credentials.account_sid, sandbox.credentials.auth_token)


@pytest.fixture
def key_client(sandbox: Sandbox, http: LocalHttpClient) -> Any:
    known = sandbox.credentials
    return build_client(http, known.api_key_sid, known.api_key_secret, known.account_sid)


def test_the_account_and_its_subaccount(client: Any, sandbox: Sandbox) -> None:
    account = client.api.v2010.accounts(sandbox.credentials.account_sid).fetch()
    assert (account.status, account.type, account.sid) == ("active", "Full", sandbox.credentials.account_sid)
    assert len(client.api.v2010.accounts.list()) == 2


def test_the_balance(client: Any) -> None:
    balance = client.balance.fetch()
    assert (float(balance.balance) > 100, balance.currency) == (True, "USD")


def test_the_usage(client: Any) -> None:
    (all_time,) = client.usage.records.all_time.list(category="totalprice")
    days = client.usage.records.daily.list(category="totalprice")
    assert all_time.price == sum(each.price for each in days) > Decimal(0)
    (today,) = client.usage.records.today.list(category="sms-outbound")
    assert today.start_date == today.end_date == datetime.now(UTC).date()


def test_the_messages_listed_and_streamed(client: Any) -> None:
    newest = client.messages.list(limit=120, page_size=50)
    assert len({each.sid for each in newest}) == 120
    streamed = list(client.messages.stream(page_size=1000))
    assert {each.sid for each in newest} <= {each.sid for each in streamed}
    assert len({each.sid for each in streamed}) == len(streamed) > 1000


def test_the_messages_since_a_day(client: Any) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = client.messages.list(date_sent_after=midnight, limit=5)
    assert found
    assert all(each.date_sent >= midnight for each in found)


def test_a_message_sent_and_fetched(client: Any, sandbox: Sandbox) -> None:
    sent = client.messages.create(
        to="+447415123456", messaging_service_sid=sandbox.credentials.messaging_service_sid, body="1"
    )
    assert (sent.status, client.messages(sent.sid).fetch().to) == ("accepted", "+447415123456")


def test_the_numbers(client: Any, sandbox: Sandbox) -> None:
    (number,) = client.incoming_phone_numbers.list(phone_number=sandbox.credentials.long_code)
    assert (number.status, number.capabilities["sms"]) == ("in-use", True)
    assert client.short_codes.list() == []


def test_the_services_and_their_pools(client: Any, sandbox: Sandbox) -> None:
    (service,) = client.messaging.v1.services.list()
    assert (service.sid, service.usecase) == (sandbox.credentials.messaging_service_sid, "verification")
    pool = client.messaging.v1.services(service.sid)
    assert len(pool.phone_numbers.list()) == 2
    assert pool.short_codes.list() == []
    assert [each.alpha_sender for each in pool.alpha_senders.list()] == ["SANDBOX"]
    (campaign,) = pool.us_app_to_person.list()
    assert (campaign.campaign_status, campaign.us_app_to_person_usecase) == ("VERIFIED", "2FA")


def test_the_registrations(client: Any) -> None:
    assert [each.status for each in client.messaging.v1.brand_registrations.list()] == ["APPROVED"]
    assert [each.status for each in client.messaging.v1.tollfree_verifications.list()] == ["TWILIO_APPROVED"]
    assert [each.status for each in client.trusthub.v1.customer_profiles.list()] == ["twilio-approved"]


def test_the_geo_permissions(client: Any) -> None:
    found = client.accounts.v1.messaging_geopermissions.fetch(country_code="GB,US").permissions
    assert {each["country_code"]: each["enabled"] for each in found} == {"GB": True, "US": True}


def test_the_verification_attempts_and_their_summary(client: Any) -> None:
    attempts = client.verify.v2.verification_attempts.list(limit=75, page_size=50)
    assert len({each.sid for each in attempts}) == 75
    assert client.verify.v2.verification_attempts_summary().fetch().total_attempts >= 75
    assert [each.code_length for each in client.verify.v2.services.list()] == [6]


def test_the_keys(client: Any, sandbox: Sandbox) -> None:
    known = sandbox.credentials
    assert [each.sid for each in client.keys.list()] == [known.api_key_sid, known.restricted_key_sid]


def test_a_standard_key_works_but_for_the_account(key_client: Any, sandbox: Sandbox) -> None:
    assert key_client.messages.list(limit=1)
    with pytest.raises(TwilioRestException) as error:
        key_client.api.v2010.accounts(sandbox.credentials.account_sid).fetch()
    assert (error.value.status, error.value.code) == (401, 20003)
    with pytest.raises(TwilioException, match="Unable to fetch page"):
        key_client.keys.list()


def test_the_sdk_reads_the_error_of_a_refused_message(client: Any) -> None:
    with pytest.raises(TwilioRestException) as error:
        client.messages.create(to="+447415123456", from_="+12025550199", body="1")
    assert (error.value.status, error.value.code) == (400, 21606)
