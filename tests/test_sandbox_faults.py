"""Every fault, seen over HTTP as a check would see it, and gone when it is cleared."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from exporter.sandbox import FAULTS, Sandbox

START = 1_800_000_000.0
RECENT_SECONDS = 30 * 60
CANARY = "+447415999999"
"""Whom these tests send to; no client has the number."""


class Clock:
    """Stands still until it is told otherwise."""

    now = START

    def __call__(self) -> float:
        return self.now


class Observer:
    """Asks the sandbox what a check asks, with the Auth Token."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self._auth = (sandbox.credentials.account_sid, sandbox.credentials.auth_token)

    def ask(self, path: str, *, method: str = "GET", **options: Any) -> requests.Response:
        """The answer to one call; `~` stands for the account's path."""
        account = f"/2010-04-01/Accounts/{self.sandbox.credentials.account_sid}"
        url = self.sandbox.url + path.replace("~", account)
        return requests.request(method, url, auth=self._auth, timeout=options.pop("timeout", 5), **options)

    def error(self, path: str, **options: Any) -> tuple[int, int] | None:
        """Status and code of a refused call; None when it was answered."""
        answer = self.ask(path, **options)
        return None if answer.ok else (answer.status_code, answer.json()["code"])

    def send(self, **form: str) -> tuple[int, int] | None:
        """What is wrong with sending a message; None when nothing is."""
        known = self.sandbox.credentials
        data = {"To": CANARY, "From": known.toll_free, "Body": "1", **form}
        return self.error("~/Messages.json", method="POST", data=data)

    def recent(self) -> list[dict[str, Any]]:
        """The messages of the last half hour."""
        rows = self.ask("~/Messages.json", params={"PageSize": 1000}).json()["messages"]
        return [each for each in rows if self.age(each) <= RECENT_SECONDS]

    def age(self, message: dict[str, Any]) -> float:
        """Seconds since the message was created."""
        return self.clock.now - parsedate_to_datetime(message["date_created"]).timestamp()

    def failure_ratio(self) -> float:
        """Of the recent messages that are closed, how many failed."""
        closed = [e for e in self.recent() if e["status"] in ("delivered", "undelivered", "failed")]
        assert len(closed) > 20
        return [each["status"] for each in closed].count("undelivered") / len(closed)

    def ninetieth_seconds(self) -> float:
        """How long nine in ten of the recent delivered messages took at most."""
        delivered = [each for each in self.recent() if each["status"] == "delivered"]
        assert len(delivered) > 20
        latencies: list[float] = sorted(
            (parsedate_to_datetime(e["date_updated"]) - parsedate_to_datetime(e["date_created"])).total_seconds()
            for e in delivered
        )
        return latencies[int(0.9 * len(latencies))]

    def component(self, name: str) -> str:
        """The status of a component of the status page."""
        components = self.ask("/statuspage/api/v2/summary.json").json()["components"]
        return str({each["name"]: each["status"] for each in components}[name])


@pytest.fixture(scope="module")
def running() -> Iterator[Observer]:
    clock = Clock()
    with Sandbox(clock=clock) as sandbox:
        yield Observer(sandbox, clock)


@pytest.fixture
def observer(running: Observer) -> Iterator[Observer]:
    yield running
    for fault in FAULTS:
        running.sandbox.clear_fault(fault)


def rejects_credentials(seen: Observer) -> bool:
    return {seen.error(path) for path in ("~.json", "~/Messages.json", "/v2/Attempts")} == {(401, 20003)}


def misses_permission(seen: Observer) -> bool:
    answer = seen.ask("~/Messages.json")
    return (
        seen.error("~/Messages.json") == (401, 70051)
        and "twilio/messaging/messages/list" in answer.json()["message"]
        and seen.error("~/Balance.json") is None
    )


def is_suspended(seen: Observer) -> bool:
    others = {seen.error(path) for path in ("~/Balance.json", "~/Messages.json", "/v1/Services")}
    account = seen.ask("~.json").json()
    return (account["status"], others) == ("suspended", {(403, 20403)})


def is_trial(seen: Observer) -> bool:
    account = seen.ask("~.json").json()
    return (account["type"], seen.send()) == ("Trial", (400, 21608))


def has_no_money(seen: Observer) -> bool:
    return float(seen.ask("~/Balance.json").json()["balance"]) <= 0 and seen.send() == (403, 20005)


def has_little_money(seen: Observer) -> bool:
    return ("balance", "1.50") in seen.ask("~/Balance.json").json().items()


def has_lost_the_sender(seen: Observer) -> bool:
    known = seen.sandbox.credentials
    numbers = seen.ask("~/IncomingPhoneNumbers.json").json()["incoming_phone_numbers"]
    pool = seen.ask(f"/v1/Services/{known.messaging_service_sid}/PhoneNumbers").json()["phone_numbers"]
    return (
        known.long_code not in {each["phone_number"] for each in numbers}
        and pool == []
        and seen.send(From=known.long_code) == (400, 21606)
        and seen.send(From="", MessagingServiceSid=known.messaging_service_sid) == (400, 21704)
    )


def is_unregistered(seen: Observer) -> bool:
    service = seen.sandbox.credentials.messaging_service_sid
    (campaign,) = seen.ask(f"/v1/Services/{service}/Compliance/Usa2p").json()["compliance"]
    (tollfree,) = seen.ask("/v1/Tollfree/Verifications").json()["verifications"]
    return (
        (campaign["campaign_status"], tollfree["status"]) == ("FAILED", "TWILIO_REJECTED")
        and bool(campaign["errors"])
        and bool(tollfree["rejection_reason"])
    )


def has_a_country_off(seen: Observer) -> bool:
    permissions = seen.ask("/v1/Messaging/GeoPermissions?CountryCode=GB,DE").json()["permissions"]
    enabled = {each["country_code"]: each["enabled"] for each in permissions}
    return enabled == {"GB": False, "DE": True} and seen.send() == (400, 21408)


def is_out(seen: Observer) -> bool:
    return seen.error("~.json") == (503, 20503) and seen.component("SMS") == "major_outage"


def is_degraded(seen: Observer) -> bool:
    return seen.error("~.json") is None and seen.component("SMS") == "degraded_performance"


def is_limited(seen: Observer) -> bool:
    answer = seen.ask("/v1/Services")
    return (
        seen.error("/v1/Services") == (429, 20429)
        and answer.headers.get("Retry-After") == "1"
        and int(answer.headers["Twilio-Concurrent-Requests"]) > 1
    )


def fails_to_deliver(seen: Observer) -> bool:
    return seen.failure_ratio() > 0.5


def delivers_slowly(seen: Observer) -> bool:
    return seen.ninetieth_seconds() > 60


def has_no_traffic(seen: Observer) -> bool:
    return {each["to"] for each in seen.recent()} <= {CANARY} and len(
        seen.ask("~/Messages.json").json()["messages"]
    ) == 50


def is_unreachable(seen: Observer) -> bool:
    try:
        seen.ask("~.json")
    except requests.ConnectionError:
        return seen.ask("/sandbox/healthy").ok
    return False


def hangs(seen: Observer) -> bool:
    try:
        seen.ask("~.json", timeout=0.3)
    except requests.ReadTimeout:
        return seen.ask("/sandbox/healthy").ok
    return False


def answers_with_a_page(seen: Observer) -> bool:
    answer = seen.ask("~.json")
    return answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")


def is_maintained(seen: Observer) -> bool:
    return seen.component("SMS") == "under_maintenance"


SYMPTOMS: dict[str, Callable[[Observer], bool]] = {
    "credentials_rejected": rejects_credentials,
    "permission_missing": misses_permission,
    "account_suspended": is_suspended,
    "account_restricted": is_trial,
    "balance_exhausted": has_no_money,
    "balance_low": has_little_money,
    "sender_invalid": has_lost_the_sender,
    "sender_unregistered": is_unregistered,
    "country_not_permitted": has_a_country_off,
    "provider_outage": is_out,
    "provider_degraded": is_degraded,
    "rate_limited": is_limited,
    "delivery_failing": fails_to_deliver,
    "delivery_slow": delivers_slowly,
    "no_traffic": has_no_traffic,
    "unreachable": is_unreachable,
    "timeout": hangs,
    "bad_response": answers_with_a_page,
    "maintenance": is_maintained,
}


def test_every_fault_has_its_symptom_here() -> None:
    assert SYMPTOMS.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows_at_once_and_is_gone_when_cleared(observer: Observer, fault: str) -> None:
    has_symptom = SYMPTOMS[fault]
    assert not has_symptom(observer)
    observer.sandbox.set_fault(fault)
    assert has_symptom(observer)
    observer.sandbox.clear_fault(fault)
    assert not has_symptom(observer)


@pytest.mark.parametrize("fault", ["delivery_failing", "delivery_slow", "no_traffic"])
def test_a_traffic_fault_goes_on_and_leaves_no_trace(observer: Observer, fault: str) -> None:
    has_symptom = SYMPTOMS[fault]
    observer.sandbox.set_fault(fault)
    observer.clock.now += 2 * 3600
    assert has_symptom(observer)
    observer.sandbox.clear_fault(fault)
    assert not has_symptom(observer)
    assert observer.failure_ratio() < 0.1
    assert observer.ninetieth_seconds() < 30


def test_a_failing_delivery_has_the_codes_of_a_blocking_operator(observer: Observer) -> None:
    observer.sandbox.set_fault("delivery_failing")
    codes = [each["error_code"] for each in observer.recent() if each["status"] == "undelivered"]
    assert {30003, 30007, 30008} <= set(codes)


def test_failing_deliveries_are_not_typed(observer: Observer) -> None:
    def conversion() -> float:
        since = datetime.fromtimestamp(observer.clock.now - RECENT_SECONDS, UTC).isoformat()
        summary = observer.ask("/v2/Attempts/Summary", params={"DateCreatedAfter": since}).json()
        return float(summary["conversion_rate_percentage"])

    healthy = conversion()
    observer.sandbox.set_fault("delivery_failing")
    assert conversion() < 0.6 * healthy


def test_faults_can_be_on_together(observer: Observer) -> None:
    for fault in ("balance_low", "account_restricted", "delivery_failing", "provider_degraded"):
        observer.sandbox.set_fault(fault)
    for fault in ("balance_low", "account_restricted", "delivery_failing", "provider_degraded"):
        assert SYMPTOMS[fault](observer), fault


@pytest.mark.parametrize("fault", ["credentials_rejected", "account_suspended", "bad_response", "rate_limited"])
def test_a_fault_of_the_api_leaves_the_status_page_alone(observer: Observer, fault: str) -> None:
    observer.sandbox.set_fault(fault)
    assert observer.component("SMS") == "operational"


def test_a_message_sent_by_the_api_is_seen_without_traffic(observer: Observer) -> None:
    observer.sandbox.set_fault("no_traffic")
    before = len(observer.recent())
    assert observer.send() is None
    assert [each["to"] for each in observer.recent()] == [CANARY] * (before + 1)
