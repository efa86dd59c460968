"""Every fault, seen over HTTP as a check would see it, and gone when it is cleared."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any

import pytest
import requests

from exporter.sandbox import FAULTS, Sandbox
from exporter.sandbox.effects import AT_ONE_OPERATOR
from exporter.sandbox.faults import AT_AN_OPERATOR, OF_THE_BACK_OFFICE, OF_TIME, Place

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


@pytest.fixture
def fresh() -> Iterator[Observer]:
    """A sandbox of the test's own, whose clock it moves."""
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.75) as sandbox:
        yield Observer(sandbox, clock)


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


def queues_for_long(seen: Observer) -> bool:
    sent = [each for each in seen.recent() if each["date_sent"] is not None]
    waits = [seconds_between(each, "date_created", "date_sent") for each in sent]
    return seen.ninetieth_seconds() > 60 and sum(wait > 10 for wait in waits) > 0.5 * len(waits)


def loses_some(seen: Observer) -> bool:
    recent = [each for each in seen.recent() if seen.age(each) > 120]
    lost = [each["error_code"] for each in recent if each["error_code"] in (30500, 30001)]
    stuck = [each for each in recent if each["status"] == "accepted"]
    return set(lost) == {30500, 30001} and 0.2 < (len(lost) + len(stuck)) / len(recent) < 0.4 and bool(stuck)


def has_no_traffic(seen: Observer) -> bool:
    return {each["to"] for each in seen.recent()} <= {CANARY} and len(
        seen.ask("~/Messages.json").json()["messages"]
    ) == 50


def seconds_between(message: dict[str, Any], first: str, last: str) -> float:
    return (parsedate_to_datetime(message[last]) - parsedate_to_datetime(message[first])).total_seconds()


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
    "unreachable": is_unreachable,
    "timeout": hangs,
    "bad_response": answers_with_a_page,
    "maintenance": is_maintained,
}


EE = Place("GB", "EE")
OPERATOR = "country=GB&operator=EE"


def at_ee(seen: Observer) -> list[dict[str, Any]]:
    """The recent messages to the busiest operator that have had time to arrive."""
    return [each for each in seen.recent() if each["to"].startswith("+447415") and seen.age(each) > 120]


def share(messages: list[dict[str, Any]], is_so: Callable[[dict[str, Any]], bool]) -> float:
    assert len(messages) > 10
    return sum(map(is_so, messages)) / len(messages)


def typed_at_ee(seen: Observer) -> float:
    since = datetime.fromtimestamp(seen.clock.now - RECENT_SECONDS, UTC).isoformat()
    answer = seen.ask("/v2/Attempts", params={"PageSize": 1000, "DateCreatedAfter": since})
    attempts = [each for each in answer.json()["attempts"] if each["channel_data"]["to"].startswith("+447415")]
    return share(attempts, lambda each: each["conversion_status"] == "converted")


def blocked(seen: Observer) -> float:
    return share(at_ee(seen), lambda each: each["error_code"] == 30007)


def without_receipt(seen: Observer) -> float:
    return share(at_ee(seen), lambda each: each["status"] == "sent")


def claimed(seen: Observer) -> float:
    return share(at_ee(seen), lambda each: each["status"] == "delivered")


def took_long(seen: Observer) -> float:
    return share(
        [each for each in at_ee(seen) if each["status"] == "delivered"],
        lambda each: seconds_between(each, "date_created", "date_updated") > 20,
    )


def is_pumped(seen: Observer) -> bool:
    numbers = sorted({int(each["to"][1:]) for each in at_ee(seen)})
    in_a_row = sum(after - before == 1 for before, after in pairwise(numbers))
    return in_a_row > 300 and typed_at_ee(seen) < 0.5 and claimed(seen) > 0.9


TRAFFIC_SYMPTOMS: dict[str, Callable[[Observer], bool]] = {
    "delivery_failing": fails_to_deliver,
    "delivery_slow": delivers_slowly,
    "provider_slow": queues_for_long,
    "provider_partial_outage": loses_some,
    "no_traffic": has_no_traffic,
}
OPERATOR_SYMPTOMS: dict[str, Callable[[Observer], bool]] = {
    "operator_blocking": lambda seen: blocked(seen) > 0.95,
    "operator_blocking_partial": lambda seen: 0.15 < blocked(seen) < 0.5,
    "operator_silent": lambda seen: without_receipt(seen) > 0.95 and typed_at_ee(seen) == 0,
    "operator_delay": lambda seen: took_long(seen) > 0.5,
    "receipts_false": lambda seen: claimed(seen) > 0.95 and typed_at_ee(seen) == 0,
    "receipts_missing": lambda seen: without_receipt(seen) > 0.9 and typed_at_ee(seen) > 0.5,
    "sms_pumping": is_pumped,
}


def test_every_fault_has_its_symptom_here() -> None:
    elsewhere = OF_THE_BACK_OFFICE.keys() | OF_TIME.keys()  # theirs are in test_sandbox_b2core.py and _ntp.py
    assert SYMPTOMS.keys() | TRAFFIC_SYMPTOMS.keys() | OPERATOR_SYMPTOMS.keys() == FAULTS.keys() - elsewhere
    assert OPERATOR_SYMPTOMS.keys() == AT_AN_OPERATOR.keys() == AT_ONE_OPERATOR.keys() | {"sms_pumping"}


@pytest.mark.parametrize("fault", SYMPTOMS)
def test_a_fault_shows_at_once_and_is_gone_when_cleared(observer: Observer, fault: str) -> None:
    has_symptom = SYMPTOMS[fault]
    assert not has_symptom(observer)
    observer.sandbox.set_fault(fault)
    assert has_symptom(observer)
    observer.sandbox.clear_fault(fault)
    assert not has_symptom(observer)


@pytest.mark.parametrize("fault", TRAFFIC_SYMPTOMS)
def test_a_fault_of_the_traffic_strikes_what_is_sent_while_it_is_on(fresh: Observer, fault: str) -> None:
    has_symptom = TRAFFIC_SYMPTOMS[fault]
    assert not has_symptom(fresh)
    fresh.sandbox.set_fault(fault)
    assert not has_symptom(fresh)
    fresh.clock.now += 2 * RECENT_SECONDS
    assert has_symptom(fresh)
    fresh.sandbox.clear_fault(fault)
    fresh.clock.now += 2 * RECENT_SECONDS
    assert not has_symptom(fresh)
    assert fresh.failure_ratio() < 0.1
    assert fresh.ninetieth_seconds() < 30


@pytest.mark.parametrize("fault", OPERATOR_SYMPTOMS)
def test_a_fault_of_an_operator_shows_at_it_alone_and_is_gone_when_cleared(fresh: Observer, fault: str) -> None:
    has_symptom = OPERATOR_SYMPTOMS[fault]
    assert not has_symptom(fresh)
    fresh.sandbox.set_fault(fault)
    fresh.clock.now += RECENT_SECONDS + 60
    assert not has_symptom(fresh)
    fresh.ask(f"/sandbox/faults/{fault}?{OPERATOR}", method="PUT").raise_for_status()
    fresh.clock.now += RECENT_SECONDS + 60
    assert has_symptom(fresh)
    fresh.sandbox.clear_fault(fault)
    fresh.clock.now += RECENT_SECONDS + 60
    assert not has_symptom(fresh)


@pytest.mark.parametrize("fault", [*TRAFFIC_SYMPTOMS, *OPERATOR_SYMPTOMS])
def test_a_fault_of_the_traffic_from_the_start_has_been_on_for_a_while(fault: str) -> None:
    clock = Clock()
    with Sandbox(clock=clock, faults=[fault], history_hours=2.0) as sandbox:
        seen = Observer(sandbox, clock)
        if fault in TRAFFIC_SYMPTOMS:
            assert TRAFFIC_SYMPTOMS[fault](seen)
        else:
            (place,) = (each["place"] for each in faults_of(seen) if each["name"] == fault)
            assert place == {"country": "NG", "operator": "MTN"}


def faults_of(seen: Observer) -> list[dict[str, Any]]:
    faults: list[dict[str, Any]] = seen.ask("/sandbox/faults").json()["faults"]
    return faults


def test_a_fault_moves_to_the_operator_that_is_asked_for_last(fresh: Observer) -> None:
    fresh.ask(f"/sandbox/faults/operator_blocking?{OPERATOR}", method="PUT").raise_for_status()
    (shown,) = (each for each in faults_of(fresh) if each["name"] == "operator_blocking")
    assert (shown["active"], shown["place"]) == (True, {"country": "GB", "operator": "EE"})
    fresh.clock.now += RECENT_SECONDS
    fresh.ask("/sandbox/faults/operator_blocking", method="PUT").raise_for_status()  # on already, and stays there
    assert blocked(fresh) > 0.95
    fresh.ask("/sandbox/faults/operator_blocking?country=DE&operator=O2", method="PUT").raise_for_status()
    fresh.clock.now += RECENT_SECONDS + 60
    assert blocked(fresh) < 0.1


@pytest.mark.parametrize("query", ["country=GB&operator=Nobody", "country=GB", "operator=EE", "country=&operator="])
def test_a_place_that_is_none_is_refused(observer: Observer, query: str) -> None:
    answer = observer.ask(f"/sandbox/faults/operator_blocking?{query}", method="PUT")
    assert answer.status_code == 404
    assert {"country": "GB", "operator": "EE"} in answer.json()["known"]
    assert not any(each["active"] for each in faults_of(observer))


def test_a_place_for_a_fault_that_strikes_everywhere_is_refused(observer: Observer) -> None:
    answer = observer.ask(f"/sandbox/faults/delivery_slow?{OPERATOR}", method="PUT")
    assert (answer.status_code, answer.json()["known"]) == (400, sorted(AT_AN_OPERATOR))


def test_an_operator_that_is_none_is_refused_by_the_sandbox_itself(observer: Observer) -> None:
    with pytest.raises(LookupError, match="no operator Nobody in GB"):
        observer.sandbox.set_fault("operator_blocking", Place("GB", "Nobody"))


def test_messages_to_a_country_that_is_off_fail_before_they_are_sent(fresh: Observer) -> None:
    fresh.sandbox.set_fault("country_not_permitted")
    fresh.clock.now += RECENT_SECONDS + 60
    by_country = {
        prefix: [each for each in fresh.recent() if each["to"].startswith(prefix) and fresh.age(each) > 5]
        for prefix in ("+44", "+49")
    }
    assert {(e["status"], e["error_code"], e["date_sent"]) for e in by_country["+44"]} == {("failed", 21408, None)}
    assert 21408 not in {each["error_code"] for each in by_country["+49"]}


RANKS = {"queued": 0, "accepted": 0, "sent": 1, "delivered": 2, "undelivered": 2, "failed": 2}


@pytest.mark.parametrize("seed", range(3))
def test_what_a_reader_was_told_is_never_taken_back(seed: int) -> None:
    dice, clock = random.Random(seed), Clock()
    faults = ["country_not_permitted", *TRAFFIC_SYMPTOMS, *OPERATOR_SYMPTOMS]
    told: dict[str, tuple[str, int | None]] = {}
    typed: set[str] = set()
    with Sandbox(clock=clock, history_hours=0.2, seed=seed) as sandbox:
        seen = Observer(sandbox, clock)
        for _ in range(40):
            clock.now += dice.uniform(5, 120)
            fault = dice.choice(faults)
            if dice.random() < 0.5:
                sandbox.set_fault(fault, EE if fault in AT_AN_OPERATOR else None)
            else:
                sandbox.clear_fault(fault)
            rows = seen.ask("~/Messages.json", params={"PageSize": 1000}).json()["messages"]
            now = {each["sid"]: (each["status"], each["error_code"]) for each in rows}
            assert len(rows) == 1000 or told.keys() <= now.keys()
            for sid in told.keys() & now.keys():
                before, after = told[sid], now[sid]
                assert after == before or RANKS[after[0]] > RANKS[before[0]]
            attempts = seen.ask("/v2/Attempts", params={"PageSize": 1000}).json()["attempts"]
            typed_now = {each["sid"] for each in attempts if each["conversion_status"] == "converted"}
            assert len(attempts) == 1000 or typed <= typed_now
            told, typed = now, typed_now
    assert {status for status, _ in told.values()} >= {"sent", "delivered", "undelivered", "failed"}


def test_usage_under_a_fault_is_of_the_messages_that_are_there(fresh: Observer) -> None:
    def used() -> int:
        records = fresh.ask("~/Usage/Records/AllTime.json", params={"Category": "sms"}).json()["usage_records"]
        return int(records[0]["count"])

    before = used()
    fresh.sandbox.set_fault("no_traffic")
    fresh.clock.now += RECENT_SECONDS
    assert used() == before


def test_a_failing_delivery_has_the_codes_of_a_blocking_operator(fresh: Observer) -> None:
    fresh.sandbox.set_fault("delivery_failing")
    fresh.clock.now += RECENT_SECONDS
    codes = [each["error_code"] for each in fresh.recent() if each["status"] == "undelivered"]
    assert {30003, 30007, 30008} <= set(codes)


def test_failing_deliveries_are_not_typed(fresh: Observer) -> None:
    def conversion() -> float:
        since = datetime.fromtimestamp(fresh.clock.now - RECENT_SECONDS, UTC).isoformat()
        summary = fresh.ask("/v2/Attempts/Summary", params={"DateCreatedAfter": since}).json()
        return float(summary["conversion_rate_percentage"])

    healthy = conversion()
    fresh.sandbox.set_fault("delivery_failing")
    fresh.clock.now += RECENT_SECONDS
    assert conversion() < 0.6 * healthy


def test_faults_can_be_on_together(fresh: Observer) -> None:
    faults = ("balance_low", "account_restricted", "delivery_failing", "provider_degraded")
    for fault in faults:
        fresh.sandbox.set_fault(fault)
    fresh.clock.now += 2 * RECENT_SECONDS
    for fault in faults:
        assert (SYMPTOMS | TRAFFIC_SYMPTOMS)[fault](fresh), fault


@pytest.mark.parametrize("fault", ["credentials_rejected", "account_suspended", "bad_response", "rate_limited"])
def test_a_fault_of_the_api_leaves_the_status_page_alone(observer: Observer, fault: str) -> None:
    observer.sandbox.set_fault(fault)
    assert observer.component("SMS") == "operational"


def test_a_message_sent_by_the_api_is_seen_without_traffic(fresh: Observer) -> None:
    fresh.sandbox.set_fault("no_traffic")
    fresh.clock.now += 2 * RECENT_SECONDS
    assert fresh.send() is None
    assert [each["to"] for each in fresh.recent()] == [CANARY]


def test_a_message_sent_by_the_api_is_struck_too(fresh: Observer) -> None:
    fresh.sandbox.set_fault("operator_blocking", EE)
    fresh.clock.now += 1
    assert fresh.send() is None
    fresh.clock.now += 60
    (message,) = (each for each in fresh.recent() if each["to"] == CANARY)
    assert (message["status"], message["error_code"]) == ("undelivered", 30007)
