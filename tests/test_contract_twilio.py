"""The sandbox, and our calls, against Twilio's own OpenAPI documents: Prism stands in between."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from twilio.base.exceptions import TwilioException, TwilioRestException

from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.secret import Secret
from exporter.sandbox import Credentials, Sandbox
from exporter.sandbox.account import Account
from exporter.sandbox.twilio import ENDPOINTS
from tests.contract.prism import HOME, proxy, require_prism
from tests.contract.sdk import LocalHttpClient, build_client
from tests.contract.spec import write_spec

pytestmark = pytest.mark.contract


class Clock:
    """Ours, or ahead of it."""

    ahead_seconds = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_seconds


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock, history_hours=2.0) as running_sandbox:
        yield running_sandbox


@pytest.fixture(scope="module")
def origin(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = require_prism()
    folder = tmp_path_factory.mktemp("contract")
    spec = write_spec(HOME, folder / "twilio.json")
    with proxy(node, spec, sandbox.url, folder / "prism.log") as url:
        yield url


@pytest.fixture(scope="module")
def http(origin: str) -> Iterator[LocalHttpClient]:
    transport = LocalHttpClient(origin, timeout_seconds=30.0)
    yield transport
    transport.close()


@pytest.fixture
def client(sandbox: Sandbox, http: LocalHttpClient) -> Any:
    return build_client(http, sandbox.credentials.account_sid, sandbox.credentials.auth_token)


def create_message(client: Any, known: Credentials) -> Any:
    return client.messages.create(
        to="+447415123456",
        messaging_service_sid=known.messaging_service_sid,
        body="Your code is 000000",
        validity_period=60,
        risk_check="disable",
    )


def pool(client: Any, known: Credentials) -> Any:
    return client.messaging.v1.services(known.messaging_service_sid)


LAST_DIGITS = count(100_000)  # one number gets five codes in ten minutes


def start_verification(client: Any, known: Credentials) -> Any:
    verifications = client.verify.v2.services(known.verify_service_sid).verifications
    return verifications.create(to=f"+447415{next(LAST_DIGITS)}", channel="sms")


def check_verification(client: Any, known: Credentials) -> Any:
    started = start_verification(client, known)
    code = client.messages(f"SM{started.sid[2:]}").fetch().body[-6:]
    checks = client.verify.v2.services(known.verify_service_sid).verification_checks
    checked = checks.create(code=code, verification_sid=started.sid)
    assert (started.status, checked.status, checked.valid) == ("pending", "approved", True)
    return checked


# Everything that the exporter asks of Twilio, and what its users ask.
CALLS: dict[str, Callable[[Any, Credentials], Any]] = {
    "account": lambda c, known: c.api.v2010.accounts(known.account_sid).fetch(),
    "accounts": lambda c, _: c.api.v2010.accounts.list(),
    "balance": lambda c, _: c.balance.fetch(),
    "keys": lambda c, _: c.keys.list(),
    "usage": lambda c, _: c.usage.records.list(category="sms"),
    "usage of all time": lambda c, _: c.usage.records.all_time.list(category="totalprice"),
    "usage of today": lambda c, _: c.usage.records.today.list(),
    "usage of yesterday": lambda c, _: c.usage.records.yesterday.list(category="totalprice"),
    "usage of this month": lambda c, _: c.usage.records.this_month.list(category="totalprice"),
    "usage by day": lambda c, _: c.usage.records.daily.list(category="totalprice", limit=70, page_size=50),
    "numbers": lambda c, known: c.incoming_phone_numbers.list(phone_number=known.long_code),
    "short codes": lambda c, _: c.short_codes.list() or ["none"],
    "messages": lambda c, _: c.messages.list(limit=120, page_size=50),
    "messages since": lambda c, _: c.messages.list(date_sent_after=datetime(2020, 1, 1, tzinfo=UTC), limit=5),
    "messages of a day": lambda c, _: c.messages.list(date_sent=datetime.now(UTC).date(), limit=5),
    "messages to": lambda c, _: c.messages.list(to=c.messages.list(limit=1)[0].to, limit=5),
    "message": lambda c, known: c.messages(create_message(c, known).sid).fetch(),
    "message of the traffic": lambda c, _: c.messages(c.messages.list(limit=1)[0].sid).fetch(),
    "services": lambda c, _: c.messaging.v1.services.list(),
    "service": lambda c, known: pool(c, known).fetch(),
    "pool of numbers": lambda c, known: pool(c, known).phone_numbers.list(),
    "pool of short codes": lambda c, known: pool(c, known).short_codes.list() or ["none"],
    "pool of names": lambda c, known: pool(c, known).alpha_senders.list(),
    "pool of names by country": lambda c, known: pool(c, known).destination_alpha_senders.list() or ["none"],
    "campaigns": lambda c, known: pool(c, known).us_app_to_person.list(),
    "brands": lambda c, _: c.messaging.v1.brand_registrations.list(),
    "toll-free": lambda c, _: c.messaging.v1.tollfree_verifications.list(),
    "geo permissions": lambda c, _: c.accounts.v1.messaging_geopermissions.fetch(country_code="GB,US").permissions,
    "customer profiles": lambda c, _: c.trusthub.v1.customer_profiles.list(),
    "verify services": lambda c, _: c.verify.v2.services.list(),
    "start of a verification": start_verification,
    "check of a verification": check_verification,
    "attempts": lambda c, _: c.verify.v2.verification_attempts.list(limit=60, page_size=50),
    "attempts of a time": lambda c, _: c.verify.v2.verification_attempts.list(
        date_created_after=datetime(2020, 1, 1, tzinfo=UTC), country="GB", channel="sms", limit=5
    ),
    "look-up": lambda c, known: c.lookups.v2.phone_numbers(known.long_code).fetch(fields="line_type_intelligence"),
    "summary": lambda c, _: c.verify.v2.verification_attempts_summary().fetch(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_and_its_answer_keep_the_contract(
    client: Any, sandbox: Sandbox, http: LocalHttpClient, call: Callable[[Any, Credentials], Any]
) -> None:
    http.seen.clear()
    assert call(client, sandbox.credentials)
    assert http.seen
    for method, path, status, headers in http.seen:
        assert "sl-violations" not in headers, f"{method} {path}: {headers['sl-violations']}"
        assert status in (200, 201)


# Each method of our own client that asks Twilio something.
OWN_CALLS: dict[str, Callable[[TwilioClient, Credentials], object]] = {
    "fetch_account": lambda c, _: c.fetch_account(),
    "fetch_balance": lambda c, _: c.fetch_balance(),
    "fetch_spend": lambda c, _: c.fetch_spend(),
    "fetch_number": lambda c, known: c.fetch_number(known.toll_free),
    "fetch_messaging_service": lambda c, known: c.fetch_messaging_service(
        known.messaging_service_sid, countries=["US"]
    ),
    "fetch_country_permissions": lambda c, _: c.fetch_country_permissions(["GB", "US"]),
    "read_page": lambda c, _: c.read_page(since=time.time() - 3600, until=time.time()).receipts,
    "read_attempts": lambda c, _: list(c.read_attempts(since=time.time() - 3600, until=time.time())),
    "find_messages": lambda c, _: c.find_messages(c.read_page(since=0.0).receipts[0].recipient, limit=5),
    "find_message": lambda c, _: c.find_message(c.read_page(since=0.0).receipts[0].message_id),
    "find_attempts": lambda c, _: c.find_attempts(
        next(c.read_attempts(since=0.0, until=time.time()))[0].recipient, since=0.0
    ),
    "look_up_number": lambda c, known: c.look_up_number(known.long_code),
    "send_canary": lambda c, known: c.send_canary(
        to="+4915112345678", sender=known.long_code, text="a test", validity_seconds=300
    ),
}


@pytest.mark.parametrize("call", OWN_CALLS.values(), ids=OWN_CALLS)
def test_what_our_own_client_asks_keeps_the_contract(
    origin: str, sandbox: Sandbox, call: Callable[[TwilioClient, Credentials], object]
) -> None:
    known = sandbox.credentials
    settings = TwilioSettings(
        type="twilio",
        account_sid=known.account_sid,
        auth_token=Secret(known.auth_token),
        base_url=origin,
        timeout="30s",
    )
    with closing(TwilioClient(settings)) as client:
        client.verify_credentials()
        assert call(client, known)


@pytest.mark.parametrize("fault", ["sender_unregistered", "account_restricted", "sender_invalid", "balance_exhausted"])
def test_an_account_in_trouble_keeps_the_contract(client: Any, sandbox: Sandbox, fault: str) -> None:
    sandbox.set_fault(fault)
    try:
        for name in ("account", "balance", "campaigns", "toll-free", "pool of short codes"):
            assert CALLS[name](client, sandbox.credentials), name
        pool(client, sandbox.credentials).phone_numbers.list()
    finally:
        sandbox.clear_fault(fault)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("delivery_failing", "undelivered"),
        ("provider_partial_outage", "failed"),
        ("country_not_permitted", "failed"),
        ("provider_slow", "accepted"),
    ],
)
def test_messages_in_trouble_keep_the_contract(
    client: Any, sandbox: Sandbox, clock: Clock, fault: str, status: str
) -> None:
    sandbox.set_fault(fault)
    clock.ahead_seconds += 600
    try:
        assert status in {each.status for each in client.messages.list(limit=100, page_size=100)}
        assert client.verify.v2.verification_attempts.list(limit=100, page_size=100)
    finally:
        sandbox.clear_fault(fault)


def test_the_calls_reach_every_endpoint_of_the_sandbox(client: Any, sandbox: Sandbox, http: LocalHttpClient) -> None:
    http.seen.clear()
    for call in CALLS.values():
        call(client, sandbox.credentials)
    known = sandbox.credentials
    seen = {(method, path) for method, path, _, _ in http.seen}
    message = next(path for _, path in seen if "/Messages/SM" in path)
    names = {
        "{account}": known.account_sid,
        "{service}": known.messaging_service_sid,
        "{verify_service}": known.verify_service_sid,
        "{period}": "Daily",
        "{number}": known.long_code,
        "{sid}": message.rsplit("/", 1)[1].removesuffix(".json"),
    }

    def fill(path: str) -> str:
        for name, value in names.items():
            path = path.replace(name, value)
        return path

    assert {(each.method, fill(each.path)) for each in ENDPOINTS} - seen == set()


def test_an_answer_that_breaks_the_contract_is_found(
    client: Any, sandbox: Sandbox, http: LocalHttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Account, "status", property(lambda _: "melancholic"))
    with pytest.raises(TwilioRestException):
        CALLS["account"](client, sandbox.credentials)
    _, _, status, headers = http.seen[-1]
    assert (status, headers["content-type"]) == (500, "application/problem+json")
    assert "status" in headers["sl-violations"]


def test_a_call_that_breaks_the_contract_is_found(client: Any) -> None:
    with pytest.raises(TwilioException) as error:
        client.messages.list(page_size=5000)
    assert error.value.args[1].status_code == 422
