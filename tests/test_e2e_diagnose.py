"""Each fault of the sandbox, one client of it, and the question why no code comes: the right reason stands first."""

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyotp
import pytest
import requests
import yaml

from checks.reason import Reason
from exporter.app import App
from exporter.asking import read_code
from exporter.demo import CANARY, warm, write_sandbox_config
from exporter.diagnosing import Diagnostician, Question
from exporter.meters import Meters
from exporter.runner import run_check
from exporter.sandbox import Client
from exporter.sandbox.faults import Place
from exporter.sandbox.geography import find_operator
from exporter.sandbox.server import Sandbox
from exporter.sandbox.world import client_number
from exporter.storage import Storage
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind
from tests import stub_server as stubs
from tests.stub_server import Exchange, StubServer

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e of questions")]

UNKNOWN_CLIENT = "999999"


@dataclass
class Office:
    """A sandbox and an exporter that is asked about its clients."""

    sandbox: Sandbox
    app: App
    clock: Callable[[], float]

    def refresh(self, *names: str) -> None:
        """Let checks run now, as their schedule will."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._run, names or self.app.config.checks))

    def _run(self, name: str) -> None:
        config = self.app.config
        check = config.checks[name]
        now = datetime.fromtimestamp(self.clock(), UTC)
        past = self.app.storage.past(name, check.target, now, config.identities())
        self.app.storage.record(run_check(check, self.app.client(check.target), past))

    def sign_in(self, client: Client, times: int = 1) -> None:
        """Let a client ask for codes."""
        for _ in range(times):
            url = f"{self.sandbox.url}/sandbox/clients/{client.id}/sign-in"
            requests.post(url, timeout=5).raise_for_status()

    def reasons(self, question: Question, timeout: float = 10.0) -> Sequence[Reason]:
        """The reasons that explain what a client sees, the best first."""
        diagnosis = Diagnostician(timeout).answer(question, self.app.known())
        return [finding.reason for finding in diagnosis.findings]


@contextmanager
def office(
    folder: Path,
    *faults: str,
    history_hours: float = 2.0,
    speed: float = 1.0,
    clock: Callable[[], float] = time.time,
    callback_url: str | None = None,
) -> Iterator[Office]:
    meters = Meters()
    with Sandbox(faults=faults, history_hours=history_hours, speed=speed, clock=clock) as sandbox:
        path = folder / "exporter.yml"
        write_sandbox_config(sandbox, path, callback_url=callback_url)
        app = App.load(path, lambda: Storage.open(folder / "exporter.db", meters), meters)
        app.storage.messages.watch(app.config.detectors())
        if history_hours > 24:
            warm(app, folder)
        try:
            yield Office(sandbox, app, clock)
        finally:
            app.stop()


Answers = dict[str, tuple[Reason, Reason]]
"""The right reason and the given one, by scenario."""


@pytest.fixture(scope="module")
def answers() -> Answers:
    return {}


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office(tmp_path_factory.mktemp("office")) as made:
        made.refresh()
        yield made


def live(of: Office) -> None:
    """Read what was sent meanwhile, and which codes were typed."""
    of.refresh("conversion")
    of.refresh("delivery")


def about(name: str, **more: Any) -> Callable[[Office], Question]:
    """Ask about a persona."""
    return lambda of: Question(client=str(of.sandbox.client(name).id), **more)


def at(country_code: str, name: str) -> Callable[[Office], Question]:
    """Ask about a number of an operator."""
    country, operator = find_operator(country_code, name)
    return lambda _: Question(phone=client_number(country, operator, 3))


def with_code(name: str, *, seconds: float = 0.0, secret: str | None = None) -> Callable[[Office], Question]:
    """Ask about a persona who reads a code from a phone whose clock is off."""

    def ask(of: Office) -> Question:
        own = of.sandbox.client(name).totp_secret
        code = pyotp.TOTP(own).at(int(time.time() + seconds))
        match = read_code(code, io.BytesIO((secret or own).encode() + b"\n"))
        return Question(client=str(of.sandbox.client(name).id), code=match)

    return ask


@dataclass(frozen=True)
class Scenario:
    """What is wrong, and who asks."""

    ask: Callable[[Office], Question] = field(default_factory=lambda: about("sms"))
    fault: str | None = None
    refresh: Sequence[str] = ()  # checks that have run since
    signs_in: str | None = None  # a persona who asks for codes first
    times: int = 1
    timeout: float = 10.0  # of the question
    expected: Reason | None = None  # the fault's own name unless given


# What the published runbook names: these have to be told apart, whatever else is.
SEEDED: Mapping[str, Scenario] = {
    "provider disabled": Scenario(fault="provider_disabled", refresh=["enablement"]),
    "provider incomplete": Scenario(fault="provider_incomplete", refresh=["enablement"]),
    "wrong credentials": Scenario(
        fault="credentials_rejected", refresh=["credentials", "balance", "account", "senders", "delivery"]
    ),
    "no balance": Scenario(fault="balance_exhausted", refresh=["balance", "account"]),
    "provider down": Scenario(fault="provider_outage", refresh=["service-status", "credentials", "delivery"]),
    "client has no 2FA": Scenario(ask=about("no_2fa"), expected=Reason.CLIENT_2FA_DISABLED),
    "phone unconfirmed": Scenario(ask=about("unconfirmed"), expected=Reason.CLIENT_PHONE_UNCONFIRMED),
    "device clock wrong": Scenario(ask=with_code("google", seconds=-94), expected=Reason.DEVICE_CLOCK_SKEWED),
    "server clock wrong": Scenario(ask=about("google"), fault="server_clock_skewed", refresh=["clock"]),
    "lost device": Scenario(ask=about("google", is_device_lost=True), expected=Reason.DEVICE_LOST),
}
OTHERS: Mapping[str, Scenario] = {
    "nothing": Scenario(signs_in="sms", expected=Reason.OK),
    "an app alone": Scenario(ask=about("google"), fault="balance_exhausted", expected=Reason.OK),
    "no such client": Scenario(ask=lambda _: Question(client=UNKNOWN_CLIENT), expected=Reason.CLIENT_UNKNOWN),
    "provider missing": Scenario(fault="provider_missing", refresh=["enablement"]),
    "provider is a test": Scenario(fault="provider_is_test", refresh=["enablement"]),
    "no template": Scenario(fault="template_missing", refresh=["enablement"]),
    "account suspended": Scenario(fault="account_suspended", refresh=["account", "balance", "credentials"]),
    "trial account": Scenario(fault="account_restricted", refresh=["account"]),
    "balance low": Scenario(fault="balance_low", refresh=["balance"]),
    "sender gone": Scenario(fault="sender_invalid", refresh=["senders"]),
    "sender unregistered": Scenario(fault="sender_unregistered", refresh=["senders"]),
    "country off": Scenario(fault="country_not_permitted", refresh=["senders"]),
    "a right missing": Scenario(fault="permission_missing", refresh=["credentials", "delivery"]),
    "provider degraded": Scenario(fault="provider_degraded", refresh=["service-status"]),
    "too many requests": Scenario(fault="rate_limited", refresh=["credentials", "balance"]),
    "no way to the provider": Scenario(fault="unreachable", refresh=["credentials", "delivery"]),
    "no answer from the provider": Scenario(fault="timeout", timeout=1.0),
    "nonsense from the provider": Scenario(fault="bad_response", refresh=["credentials", "delivery"]),
    "opted out": Scenario(ask=about("opted_out"), signs_in="opted_out", expected=Reason.RECIPIENT_OPTED_OUT),
    "landline": Scenario(ask=about("landline"), signs_in="landline", expected=Reason.RECIPIENT_LANDLINE),
    "no such number": Scenario(ask=about("invalid"), signs_in="invalid", expected=Reason.RECIPIENT_INVALID),
    "phone off": Scenario(ask=about("unreachable"), signs_in="unreachable", expected=Reason.RECIPIENT_UNREACHABLE),
    "phone refuses": Scenario(ask=about("blocked"), signs_in="blocked", expected=Reason.RECIPIENT_BLOCKED),
    "asked too often": Scenario(ask=about("both"), signs_in="both", times=6, expected=Reason.TOO_MANY_ATTEMPTS),
    "another secret": Scenario(ask=with_code("google", secret=pyotp.random_base32()), expected=Reason.SECRET_MISMATCH),
    "a used code": Scenario(ask=with_code("google"), expected=Reason.CODE_REPLAYED),
}
# These leave traces in an exporter: each has a sandbox of its own.
OF_ALL_MESSAGES: Mapping[str, Scenario] = {
    "deliveries fail": Scenario(fault="delivery_failing"),
    "deliveries are slow": Scenario(fault="delivery_slow"),
    "no traffic": Scenario(fault="no_traffic"),
}
# These are told by many messages to one operator, and by what was normal there.
AT_AN_OPERATOR: Mapping[Place, Scenario] = {
    Place("GB", "EE"): Scenario(fault="operator_blocking", ask=about("sms")),
    Place("GB", "O2"): Scenario(fault="operator_delay", ask=at("GB", "O2")),
    Place("DE", "T-Mobile"): Scenario(fault="receipts_false", ask=at("DE", "T-Mobile")),
    Place("DE", "O2"): Scenario(fault="receipts_missing", ask=at("DE", "O2")),
    Place("IN", "Airtel"): Scenario(fault="sms_pumping", ask=at("IN", "Airtel")),
}
HEALTHY_SECONDS = (*range(6 * 3600, 2400, -3600), 2400)  # ago: the last is when the faults begin
AT_THE_PLATFORM: Mapping[str, Scenario] = {
    "right codes refused": Scenario(ask=about("google"), fault="code_rejected", refresh=["totp-login"]),
    "wrong codes pass": Scenario(ask=about("google"), fault="wrong_code_accepted", refresh=["totp-login"]),
}


def first_reason(of: Office, scenario: Scenario) -> Reason:
    if scenario.fault is not None:
        of.sandbox.set_fault(scenario.fault)
    if scenario.refresh:
        of.refresh(*scenario.refresh)
    try:
        if scenario.signs_in is not None:
            client = of.sandbox.client(scenario.signs_in)
            of.sign_in(client, scenario.times)
            time.sleep(1.5 if scenario.times == 1 else 0.0)  # for the message to come to its end
        return of.reasons(scenario.ask(of), scenario.timeout)[0]
    finally:
        if scenario.fault is not None:
            of.sandbox.clear_fault(scenario.fault)
        if scenario.refresh:
            of.refresh(*scenario.refresh)


def expected(scenario: Scenario) -> Reason:
    return scenario.expected or Reason(str(scenario.fault))


SCENARIOS: Sequence[Mapping[Any, Scenario]] = (SEEDED, OTHERS, OF_ALL_MESSAGES, AT_AN_OPERATOR, AT_THE_PLATFORM)
SEEDED_AT_OPERATORS = ("operator_blocking", "operator_delay")  # which the runbook names too
NOT_IN_A_SANDBOX: Mapping[Reason, str] = {
    Reason.TLS_FAILED: "the sandbox speaks no TLS",
    Reason.INTERNAL: "a defect of our own, not of the world",
}


def test_each_reason_is_what_some_scenario_has_to_be_told_as() -> None:
    told = {expected(scenario) for each in SCENARIOS for scenario in each.values()}
    assert told == set(Reason) - NOT_IN_A_SANDBOX.keys()


@pytest.mark.parametrize("name", [*SEEDED, *OTHERS])
def test_the_right_reason_stands_first(healthy: Office, answers: Answers, name: str) -> None:
    scenario = {**SEEDED, **OTHERS}[name]
    given = first_reason(healthy, scenario)
    answers[name] = expected(scenario), given
    assert given is expected(scenario)


def test_no_balance_stands_first_when_a_test_message_is_refused_too(tmp_path: Path) -> None:
    with office(tmp_path, "balance_exhausted", callback_url="http://127.0.0.1:9/callbacks/twilio") as of:
        of.refresh("balance", "account", CANARY)
        assert of.app.storage.checks()[CANARY].last.result.reason is Reason.ACCOUNT_SUSPENDED
        assert of.reasons(about("sms")(of))[0] is Reason.BALANCE_EXHAUSTED


@pytest.mark.parametrize("name", AT_THE_PLATFORM)
def test_a_fault_of_the_platform_stands_first(tmp_path: Path, answers: Answers, name: str) -> None:
    scenario = AT_THE_PLATFORM[name]
    with office(tmp_path, str(scenario.fault)) as of:
        of.refresh(*scenario.refresh)
        given = of.reasons(scenario.ask(of))[0]
    answers[name] = expected(scenario), given
    assert given is expected(scenario)


@pytest.mark.parametrize("name", OF_ALL_MESSAGES)
def test_a_fault_of_all_messages_stands_first(tmp_path: Path, answers: Answers, name: str) -> None:
    scenario = OF_ALL_MESSAGES[name]
    with office(tmp_path, str(scenario.fault)) as of:
        of.refresh("delivery")
        given = of.reasons(scenario.ask(of))[0]
    answers[name] = expected(scenario), given
    assert given is expected(scenario)


@pytest.fixture(scope="module")
def of_operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Faults at some operators, half an hour old, after a while without."""
    ago = [float(HEALTHY_SECONDS[0])]
    folder = tmp_path_factory.mktemp("operators")
    with office(folder, history_hours=48, speed=5, clock=lambda: time.time() - ago[0]) as made:
        for ago[0] in HEALTHY_SECONDS:
            live(made)
        for place, scenario in AT_AN_OPERATOR.items():
            made.sandbox.set_fault(str(scenario.fault), place)
        ago[0] = 0.0
        live(made)
        live(made)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("place", AT_AN_OPERATOR, ids=lambda place: f"{place.country} {place.operator}")
def test_a_fault_at_an_operator_stands_first(of_operators: Office, answers: Answers, place: Place) -> None:
    scenario = AT_AN_OPERATOR[place]
    given = of_operators.reasons(scenario.ask(of_operators))[0]
    answers[str(scenario.fault)] = expected(scenario), given
    assert given is expected(scenario)


@pytest.mark.slow
def test_a_fault_at_an_operator_is_none_of_another_ones_clients(of_operators: Office) -> None:
    elsewhere = {Reason.OPERATOR_BLOCKING, Reason.OPERATOR_DELAY, Reason.RECEIPTS_MISSING}
    assert not elsewhere & set(of_operators.reasons(about("both")(of_operators)))


PROVIDER_SECONDS = 1.0
ANSWER_SECONDS = 1.5


@contextmanager
def slowed(url: str) -> Iterator[str]:
    """A way to a server on which each answer takes as long as one of a provider far away."""

    def pass_on(exchange: Exchange) -> None:
        exchange.stopped.wait(PROVIDER_SECONDS)
        asked = exchange.request
        authorization = {"Authorization": asked.headers["authorization"]}
        there = requests.request(asked.method, url + asked.target, headers=authorization, data=asked.body, timeout=5)
        stubs.answer(there.content, status=there.status_code, headers={"Content-Type": "application/json"})(exchange)

    with StubServer() as relay:
        relay.everywhere(pass_on)
        yield relay.url


def test_a_question_about_a_client_takes_little_longer_than_the_provider(healthy: Office, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    write_sandbox_config(healthy.sandbox, path)
    document = yaml.safe_load(path.read_text())
    with slowed(healthy.sandbox.url) as relay:
        document["providers"]["twilio"]["base_url"] = relay
        path.write_text(yaml.safe_dump(document))
        meters = Meters()
        app = App.load(path, lambda: Storage.in_memory(meters), meters)
        try:
            with ThreadedServer(build_internal(app), bind("127.0.0.1:0")) as server:
                begin = time.perf_counter()
                client = {"client": str(healthy.sandbox.client("sms").id)}
                answer = requests.post(f"{server.url}/api/v1/diagnose", json=client, timeout=10)
                took = time.perf_counter() - begin
        finally:
            app.stop()
    assert answer.status_code == 200
    assert {"2FA", "messages", "verifications"} <= answer.json()["facts"].keys()
    missing = {each["what"] for each in answer.json()["missing"]}
    assert {what for what in missing if not what.startswith("check ")} == set()
    assert PROVIDER_SECONDS <= took < ANSWER_SECONDS


def test_the_confusion_matrix_is_diagonal(request: pytest.FixtureRequest, answers: Answers) -> None:
    """Print what was called what, of all that was asked before; of the whole file, where all of it ran."""
    names = [item.name for item in request.session.items if item.path == request.path]
    asked = [name for name in names if "_stands_first[" in name]
    assert asked
    assert len(answers) == len(asked)
    if len(asked) == sum(map(len, SCENARIOS)):
        assert {*SEEDED, *SEEDED_AT_OPERATORS} <= answers.keys()
    width = max(len(name) for name in answers)
    print()
    for name, (right, given) in sorted(answers.items()):
        print(f"{name:{width}}  {right:24}  {given if given is not right else '·'}")
    assert [name for name, (right, given) in answers.items() if given is not right] == []
