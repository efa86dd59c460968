"""The B2CORE client: one sign-in for everybody, what it makes of answers, and that no answer breaks or betrays it."""

import json
import re
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.back_office import (
    BackOffice,
    Client,
    ClientPage,
    ClientPhone,
    Identifier,
    Method,
    SignIn,
    SmsProvider,
    SmsTemplate,
    TotpSignInClient,
)
from checks.backoffices.b2core import B2CoreClient, B2CoreSettings, session
from checks.errors import BadResponseError, DeadlineExceededError, PermissionMissingError, ProviderError
from checks.providers import http, limiter
from checks.providers.http import deadline
from checks.providers.observer import NoObserver
from checks.reason import Reason
from checks.secret import Secret
from checks.totp import code_of, step_at, wrong_code
from exporter.sandbox.server import Sandbox
from tests import stub_server as stubs
from tests.spoiling import anything, spoiled
from tests.stub_server import Behaviour, Exchange, Request, StubServer, answer, answer_by, hang

API: Final = "/api/v2"
MY: Final = f"{API}/my"
SIGN_IN: Final = f"{API}/signin"
CONFIRM: Final = f"{API}/2fa/confirm"
REFRESH: Final = f"{API}/refresh"
PROVIDERS: Final = f"{API}/confirmations/providers"
PROVIDER: Final = f"{PROVIDERS}/7"
SCHEMA: Final = f"{PROVIDERS}/types/Twilio/settings"
TEMPLATES: Final = f"{API}/confirmations/templates"
CLIENTS: Final = f"{API}/clients"
METHODS: Final = f"{CLIENTS}/101/2fa"
PHONES: Final = f"{API}/phones"

EMAIL: Final = "canary-user@example.com"
PASSWORD: Final = "canary-password"
TOTP_SECRET: Final = "JBSWY3DPEHPK3PXPCANARY234567ABCD"
ACCESS: Final = "canary-access"
SECOND_ACCESS: Final = "canary-second-access"
REFRESHER: Final = "canary-refresh"
CHALLENGE: Final = "canary-challenge"
CLIENT_EMAIL: Final = "canary-client@example.com"
CLIENT_PASSWORD: Final = "canary-client-password"
CLIENT_ACCESS: Final = "canary-client-access"
CODE: Final = "739155"
NUMBER: Final = "+14155550100"
SID: Final = "AC" + "c" * 32
CANARIES: Final = (
    "canary", TOTP_SECRET, CODE, NUMBER.removeprefix("+"), SID, "15005550006",
)  # fmt: skip


class Outcomes(NoObserver):
    """Keeps how every request ended."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def request_done(self, outcome: str) -> None:
        self.seen.append(outcome)


class Clock:
    """Time that passes as usual from five seconds into a time step on, and leaps when it is slept or told to."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._began = time.monotonic()
        self.set_by = 0.0  # what somebody set the wall clock forward
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def time(self) -> float:
        return 30.0 * 60_000_000 + 5.0 + self.set_by + self.monotonic() - self._began

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.leap(seconds)

    def leap(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the client goes by."""
    clock = Clock()
    for module in (session, limiter, http):
        monkeypatch.setattr(module, "monotonic", clock.monotonic)
    monkeypatch.setattr(session, "time", clock.time)
    monkeypatch.setattr(session, "sleep", clock.sleep)
    return clock


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0) as running:
        yield running


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def client(stub: StubServer) -> Iterator[B2CoreClient]:
    """Return a client with a ready token."""
    reader = build(stub.url, token=Secret(ACCESS))
    yield reader
    reader.close()


def build(url: str, observer: Outcomes | None = None, **more: Any) -> B2CoreClient:
    settings = {"timeout": "5s", "max_requests_per_second": 1000, **more}
    return B2CoreClient(B2CoreSettings(type="b2core", url=url, **settings), observer=observer)


def build_signing_in(stub: StubServer, **more: Any) -> B2CoreClient:
    return build(stub.url, email=EMAIL, password=Secret(PASSWORD), **more)


def of_sandbox(sandbox: Sandbox, observer: Outcomes | None = None, *, plain: bool = False) -> B2CoreClient:
    own = sandbox.credentials
    if plain:
        return build(
            sandbox.b2core_url, observer, email=own.b2core_plain_email, password=Secret(own.b2core_plain_password)
        )
    return build(
        sandbox.b2core_url,
        observer,
        email=own.b2core_email,
        password=Secret(own.b2core_password),
        totp_secret=Secret(own.b2core_totp_secret),
    )


def token(value: str, seconds: float = 3600.0) -> dict[str, str]:
    created = datetime(2026, 1, 1, tzinfo=UTC)
    expires = created + timedelta(seconds=seconds)
    return {"token": value, "createdAt": created.isoformat(), "expiresAt": expires.isoformat()}


def tokens(access: str = ACCESS, seconds: float = 3600.0) -> dict[str, Any]:
    return {"2faRequired": False, "accessToken": token(access, seconds), "refreshToken": token(REFRESHER, 86400.0)}


def asks_code(method: Any = "google") -> dict[str, Any]:
    return {"2faRequired": True, "2faDetails": {**token(CHALLENGE), "provider": method}}


def listed(*entries: Any) -> Behaviour:
    return answer({"total": 1, "data": list(entries)})


def sent(stub: StubServer, path: str) -> list[Request]:
    return [request for request in stub.requests if request.path == path]


def bearers(stub: StubServer, path: str) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in sent(stub, path)]


def failure(question: Callable[[], Any]) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        question()
    return caught.value


# The protocol and the settings.


def test_it_is_a_back_office_and_signs_clients_in(client: B2CoreClient) -> None:
    back_office: BackOffice = client
    signs_in: TotpSignInClient = client
    assert (back_office, signs_in) == (client, client)


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"email": EMAIL},
        {"password": Secret(PASSWORD)},
        {"email": EMAIL, "token": Secret(ACCESS)},
        {"email": EMAIL, "password": Secret(PASSWORD), "token": Secret(ACCESS)},
        {"token": Secret(ACCESS), "totp_secret": Secret(TOTP_SECRET)},
        {"email": EMAIL, "password": Secret(PASSWORD), "totp_secret": Secret("canary, no base32!")},
    ],
)
def test_anything_but_one_way_to_authenticate_is_refused_without_quoting_it(credentials: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        B2CoreSettings(type="b2core", url="https://backoffice.example.com", **credentials)
    assert "canary" not in str(caught.value)


# The sign-in, against the sandbox.


def test_many_threads_and_calls_share_one_sign_in_with_a_code_of_the_app(sandbox: Sandbox) -> None:
    outcomes = Outcomes()
    client = of_sandbox(sandbox, outcomes)
    together = threading.Barrier(8)

    def ask(_: int) -> Sequence[SmsTemplate]:
        together.wait()
        return [*client.fetch_sms_templates(), *client.fetch_sms_templates()]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert answers == [[SmsTemplate(name="default", carries_code=True)] * 2] * 8
    assert outcomes.seen == [Reason.OK] * (2 + 16)
    client.close()


def test_a_user_without_a_second_factor_signs_in_with_one_request(sandbox: Sandbox) -> None:
    outcomes = Outcomes()
    client = of_sandbox(sandbox, outcomes, plain=True)
    assert [each.name for each in client.fetch_sms_templates()] == ["default"]
    assert outcomes.seen == [Reason.OK] * 2
    client.close()


def test_tokens_are_refreshed_before_they_expire_and_nobody_signs_in_again() -> None:
    outcomes = Outcomes()
    with Sandbox(history_hours=0, token_seconds=1) as sandbox:
        client = of_sandbox(sandbox, outcomes)
        asked, give_up_at = 0, time.monotonic() + 10
        while len(outcomes.seen) < asked + 2 + 2:  # sign-in and code, then two refreshments
            assert time.monotonic() < give_up_at
            client.fetch_sms_templates()
            asked += 1
            time.sleep(0.02)
        client.close()
    assert set(outcomes.seen) == {Reason.OK}


def test_a_wrong_password_is_tried_once_and_then_rested(sandbox: Sandbox) -> None:
    outcomes = Outcomes()
    client = build(
        sandbox.b2core_url, outcomes, email=sandbox.credentials.b2core_email, password=Secret("wrong-password")
    )
    for _ in range(4):
        assert failure(client.fetch_sms_templates).reason is Reason.CREDENTIALS_REJECTED
    assert outcomes.seen == [Reason.CREDENTIALS_REJECTED]
    client.close()


def test_too_many_sign_ins_are_told_from_a_wrong_password(sandbox: Sandbox) -> None:
    for _ in range(5):
        of_sandbox(sandbox, plain=True).fetch_sms_templates()
    client = of_sandbox(sandbox, plain=True)
    assert failure(client.fetch_sms_templates).reason is Reason.RATE_LIMITED
    client.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("back_office_rejects", Reason.CREDENTIALS_REJECTED),
        ("back_office_down", Reason.PROVIDER_OUTAGE),
        ("back_office_unreachable", Reason.UNREACHABLE),
        ("back_office_timeout", Reason.TIMEOUT),
    ],
)
def test_a_fault_of_the_back_office_is_told_before_and_after_the_sign_in(
    sandbox: Sandbox, fault: str, reason: Reason
) -> None:
    first, second = of_sandbox(sandbox, plain=True), of_sandbox(sandbox)
    first.fetch_sms_templates()
    sandbox.set_fault(fault)
    for client in (first, second):
        with deadline(0.3):
            assert failure(client.fetch_sms_templates).reason is reason
    sandbox.clear_fault(fault)
    if fault != "back_office_rejects":
        assert [list(client.fetch_sms_templates()) for client in (first, second)] == [
            [SmsTemplate(name="default", carries_code=True)]
        ] * 2
    first.close()
    second.close()


def test_a_ready_token_signs_nobody_in(sandbox: Sandbox) -> None:
    own = sandbox.credentials
    body = {"email": own.b2core_plain_email, "password": own.b2core_plain_password}
    reply = requests.post(f"{sandbox.b2core_url}{SIGN_IN}", json=body, timeout=5).json()
    outcomes = Outcomes()
    client = build(sandbox.b2core_url, outcomes, token=Secret(reply["accessToken"]["token"]))
    client.fetch_sms_templates()
    assert outcomes.seen == [Reason.OK]
    client.close()


def test_a_ready_token_that_is_refused_is_neither_renewed_nor_tried_again(sandbox: Sandbox) -> None:
    outcomes = Outcomes()
    client = build(sandbox.b2core_url, outcomes, token=Secret("stale"))
    error = failure(client.fetch_sms_templates)
    assert (error.reason, str(error)) == (
        Reason.CREDENTIALS_REJECTED,
        "the back office refuses the token for confirmations",
    )
    assert outcomes.seen == [Reason.CREDENTIALS_REJECTED]
    client.close()


# The sign-in, request by request.


def test_password_challenge_code_and_token_are_sent_as_documented(stub: StubServer) -> None:
    stub.on(SIGN_IN, answer(asks_code()))
    stub.on(CONFIRM, answer(tokens()))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub, totp_secret=Secret(TOTP_SECRET))
    before = step_at(time.time())
    client.fetch_sms_templates()
    (first, second, third) = stub.requests
    assert (first.method, json.loads(first.body)) == ("POST", {"email": EMAIL, "password": PASSWORD})
    codes = [code_of(Secret(TOTP_SECRET), step) for step in range(before, step_at(time.time()) + 1)]
    assert json.loads(second.body) in [{"token": CHALLENGE, "code": code} for code in codes]
    assert third.headers["authorization"] == f"Bearer {ACCESS}"
    assert {first.headers.get("authorization"), second.headers.get("authorization")} == {None}
    client.close()


def sent_steps(stub: StubServer, clock: Clock) -> list[int]:
    """Return the time step of each code that was sent, counted from now."""
    here = step_at(clock.time())
    steps = {code_of(Secret(TOTP_SECRET), step): step - here for step in range(here - 20, here + 140)}
    return [steps[json.loads(request.body)["code"]] for request in sent(stub, CONFIRM)]


def build_for_codes(stub: StubServer, *confirmed: Behaviour) -> B2CoreClient:
    stub.on(SIGN_IN, answer(asks_code()))
    stub.on(CONFIRM, *confirmed)
    stub.on(TEMPLATES, listed())
    return build_signing_in(stub, totp_secret=Secret(TOTP_SECRET))


EXPIRED: Final = answer({"accessToken": token(ACCESS, 0.000001)})
"""A token that calls for a sign-in at the next call."""


def test_no_code_is_sent_twice_nor_further_ahead_than_one_step(stub: StubServer, clock: Clock) -> None:
    client = build_for_codes(stub, EXPIRED)
    client.fetch_sms_templates()
    client.fetch_sms_templates()
    assert (sent_steps(stub, clock), clock.slept) == ([0, 1], [])
    client.fetch_sms_templates()
    assert sent_steps(stub, clock) == [-1, 0, 1]
    assert clock.slept == [pytest.approx(25, abs=4)]
    client.close()


def test_without_time_to_wait_for_an_unused_code_nobody_signs_in_and_nobody_rests(
    stub: StubServer, clock: Clock
) -> None:
    client = build_for_codes(stub, EXPIRED)
    client.fetch_sms_templates()
    client.fetch_sms_templates()
    for _ in range(2):
        with deadline(20):
            assert failure(client.fetch_sms_templates).reason is Reason.TIMEOUT
    assert (len(sent(stub, SIGN_IN)), len(sent(stub, CONFIRM)), clock.slept) == (2, 2, [])
    clock.leap(30)
    client.fetch_sms_templates()
    assert sent_steps(stub, clock) == [-1, 0, 1]
    client.close()


def test_codes_of_a_clock_that_was_set_back_are_forgotten(stub: StubServer, clock: Clock) -> None:
    client = build_for_codes(stub, EXPIRED)
    clock.set_by = 3600.0
    client.fetch_sms_templates()
    clock.set_by = 0.0
    client.fetch_sms_templates()
    assert (sent_steps(stub, clock)[-1], clock.slept) == (0, [])
    client.close()


def test_a_token_refused_meanwhile_is_renewed_once(stub: StubServer, clock: Clock) -> None:
    stub.on(SIGN_IN, answer(tokens()))
    stub.on(REFRESH, answer(tokens(SECOND_ACCESS)))
    stub.on(TEMPLATES, listed(), answer({}, status=401), listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    clock.leap(60)
    client.fetch_sms_templates()
    assert bearers(stub, TEMPLATES) == [ACCESS, ACCESS, SECOND_ACCESS]
    (refresh,) = sent(stub, REFRESH)
    assert json.loads(refresh.body) == {"refreshToken": REFRESHER}
    assert len(sent(stub, SIGN_IN)) == 1
    client.close()


def test_a_new_token_that_is_refused_too_is_not_renewed_again(stub: StubServer, clock: Clock) -> None:
    stub.on(SIGN_IN, answer(tokens()))
    stub.on(REFRESH, answer(tokens(SECOND_ACCESS)))
    stub.on(TEMPLATES, listed(), answer({}, status=401))
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    clock.leap(60)
    assert failure(client.fetch_sms_templates).reason is Reason.CREDENTIALS_REJECTED
    assert bearers(stub, TEMPLATES) == [ACCESS, ACCESS, SECOND_ACCESS]
    client.close()


def test_a_path_that_refuses_a_new_token_costs_no_sign_in_and_leaves_the_token_to_others(
    stub: StubServer, clock: Clock
) -> None:
    stub.on(SIGN_IN, answer({"accessToken": token(ACCESS)}))
    stub.on(TEMPLATES, listed())
    stub.on(CLIENTS, answer({}, status=401))
    client = build_signing_in(stub)
    for _ in range(3):
        error = failure(lambda: client.read_clients(resume=None, limit=1))
        words = "the back office refuses the token for clients"
        assert (error.reason, str(error)) == (Reason.CREDENTIALS_REJECTED, words)
        client.fetch_sms_templates()
        clock.leap(15)
    assert bearers(stub, TEMPLATES) == [ACCESS] * 3
    assert len(sent(stub, SIGN_IN)) == 1
    client.close()


def test_a_token_is_renewed_when_a_tenth_of_its_life_is_left_and_not_before(stub: StubServer, clock: Clock) -> None:
    stub.on(SIGN_IN, answer(tokens(seconds=1000.0)))
    stub.on(REFRESH, answer(tokens(SECOND_ACCESS)))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    clock.leap(890)
    client.fetch_sms_templates()
    clock.leap(20)
    client.fetch_sms_templates()
    assert bearers(stub, TEMPLATES) == [ACCESS, ACCESS, SECOND_ACCESS]
    client.close()


def test_threads_whose_token_is_refused_renew_it_once_for_all(stub: StubServer, clock: Clock) -> None:
    together = threading.Barrier(4)

    def refuse_first(exchange: Exchange) -> None:
        if exchange.request.headers["authorization"].endswith(SECOND_ACCESS):
            listed()(exchange)
            return
        together.wait(5)
        answer({}, status=401)(exchange)

    stub.on(SIGN_IN, answer(tokens()))
    stub.on(REFRESH, answer(tokens(SECOND_ACCESS)))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    clock.leap(60)
    stub.on(TEMPLATES, refuse_first)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.fetch_sms_templates(), range(4)))
    assert len(sent(stub, REFRESH)) == 1
    client.close()


def test_a_refresh_token_that_is_refused_gives_way_to_a_sign_in(stub: StubServer, clock: Clock) -> None:
    stub.on(SIGN_IN, answer(tokens()), answer(tokens(SECOND_ACCESS)))
    stub.on(REFRESH, answer({}, status=401))
    stub.on(TEMPLATES, listed(), answer({}, status=401), listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    clock.leap(60)
    client.fetch_sms_templates()
    assert bearers(stub, TEMPLATES) == [ACCESS, ACCESS, SECOND_ACCESS]
    client.close()


def test_a_refresh_token_outlives_an_outage(stub: StubServer) -> None:
    stub.on(SIGN_IN, answer(tokens(seconds=0.000001)))
    stub.on(REFRESH, answer({}, status=503), answer(tokens(SECOND_ACCESS)))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    assert failure(client.fetch_sms_templates).reason is Reason.PROVIDER_OUTAGE
    client.fetch_sms_templates()
    assert (len(sent(stub, SIGN_IN)), bearers(stub, TEMPLATES)) == (1, [ACCESS, SECOND_ACCESS])
    client.close()


def test_a_refused_sign_in_is_one_request_and_says_when_it_is_tried_again(stub: StubServer) -> None:
    stub.on(SIGN_IN, answer({"message": PASSWORD}, status=401))
    client = build_signing_in(stub)
    refusal = "the back office refuses the service user's e-mail or password"
    assert str(failure(client.fetch_sms_templates)) == refusal
    now = datetime.now(UTC)
    told = re.fullmatch(
        rf"{refusal}; not tried again before (\d\d):(\d\d) UTC, lest it be locked",
        str(failure(client.fetch_sms_templates)),
    )
    assert told is not None
    minutes = (60 * int(told[1]) + int(told[2]) - 60 * now.hour - now.minute) % 1440
    assert minutes in (14, 15)
    assert len(stub.requests) == 1
    client.close()


def test_each_refusal_doubles_the_rest_and_a_success_ends_that(stub: StubServer, clock: Clock) -> None:
    stub.on(SIGN_IN, *[answer({}, status=401)] * 2, answer(tokens(seconds=1)), answer({}, status=401))
    stub.on(REFRESH, answer({}, status=401))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    counts = []
    for pause in (0.0, 890.0, 20.0, 1780.0, 30.0, 100.0, 890.0, 20.0):
        clock.leap(pause)
        _, error = ask(client.fetch_sms_templates)
        assert error is None or error.reason is Reason.CREDENTIALS_REJECTED
        counts.append((len(sent(stub, SIGN_IN)), error is None))
    refused, accepted = False, True
    assert counts == [
        (1, refused), (1, refused), (2, refused), (2, refused), (3, accepted), (4, refused), (4, refused), (5, refused)
    ]  # fmt: skip
    client.close()


REFUSED_CODE: Final = (
    "the back office refuses the service user's code: a wrong secret or clock, or another program took it"
)


def test_a_refused_code_is_followed_by_that_of_the_next_step_once_its_time_has_come(
    stub: StubServer, clock: Clock
) -> None:
    client = build_for_codes(stub, answer({}, status=422), answer(tokens()))
    client.fetch_sms_templates()
    assert sent_steps(stub, clock) == [-1, 0]
    assert clock.slept == [pytest.approx(25, abs=4)]
    assert [request.path for request in stub.requests] == [SIGN_IN, CONFIRM, SIGN_IN, CONFIRM, TEMPLATES]
    client.close()


def test_a_refused_code_that_was_taken_early_is_followed_by_one_that_is_not(stub: StubServer, clock: Clock) -> None:
    client = build_for_codes(stub, EXPIRED, answer({}, status=422), answer(tokens()))
    client.fetch_sms_templates()
    client.fetch_sms_templates()
    assert sent_steps(stub, clock) == [-2, -1, 0]
    assert clock.slept == [pytest.approx(55, abs=4)]
    client.close()


def test_a_second_code_that_is_refused_too_is_the_last_one_for_two_minutes(stub: StubServer, clock: Clock) -> None:
    client = build_for_codes(stub, answer({}, status=422))
    error = failure(client.fetch_sms_templates)
    assert (error.reason, str(error)) == (Reason.CREDENTIALS_REJECTED, REFUSED_CODE)
    assert len(sent(stub, CONFIRM)) == 2
    clock.leap(110)
    assert str(failure(client.fetch_sms_templates)).startswith(f"{REFUSED_CODE}; not tried again before ")
    assert len(sent(stub, CONFIRM)) == 2
    for pause, codes in ((20, 4), (230, 4), (20, 6)):
        clock.leap(pause)
        assert failure(client.fetch_sms_templates).reason is Reason.CREDENTIALS_REJECTED
        assert len(sent(stub, CONFIRM)) == codes
    client.close()


def test_without_time_for_another_code_a_refused_one_is_the_last_one_for_two_minutes(
    stub: StubServer, clock: Clock
) -> None:
    client = build_for_codes(stub, answer({}, status=422), answer(tokens()))
    with deadline(20):
        error = failure(client.fetch_sms_templates)
    assert (error.reason, str(error)) == (Reason.CREDENTIALS_REJECTED, REFUSED_CODE)
    clock.leap(110)
    assert failure(client.fetch_sms_templates).reason is Reason.CREDENTIALS_REJECTED
    assert ([request.path for request in stub.requests], clock.slept) == ([SIGN_IN, CONFIRM], [])
    clock.leap(20)
    client.fetch_sms_templates()
    client.close()


@pytest.mark.parametrize(
    ("signed_in", "confirmed", "reason"),
    [
        (answer({}), None, Reason.BAD_RESPONSE),
        (answer(b"<html>"), None, Reason.BAD_RESPONSE),
        (answer({}, status=404), None, Reason.BAD_RESPONSE),
        (answer({"2faRequired": True}), None, Reason.BAD_RESPONSE),
        (answer(asks_code()), answer({}), Reason.BAD_RESPONSE),
        (answer(asks_code()), answer(b"<html>"), Reason.BAD_RESPONSE),
        (answer(asks_code()), answer({}, status=404), Reason.BAD_RESPONSE),
        (answer(asks_code()), answer({}, status=503), Reason.PROVIDER_OUTAGE),
        (answer(asks_code()), stubs.reset(), Reason.UNREACHABLE),
    ],
)
def test_a_sign_in_that_was_answered_and_never_ends_is_rested_for_two_minutes(
    stub: StubServer, clock: Clock, signed_in: Behaviour, confirmed: Behaviour | None, reason: Reason
) -> None:
    stub.on(SIGN_IN, signed_in)
    stub.on(CONFIRM, confirmed or hang())
    client = build_signing_in(stub, totp_secret=Secret(TOTP_SECRET))
    for pause, tried in ((0, 1), (0, 1), (110, 1), (20, 2), (230, 2), (20, 3)):
        clock.leap(pause)
        assert failure(client.fetch_sms_templates).reason is reason
        assert len(sent(stub, SIGN_IN)) == tried
    client.close()


@pytest.mark.parametrize("lost", [answer({}, status=503), stubs.reset()])
def test_a_sign_in_that_was_not_answered_is_not_rested(stub: StubServer, lost: Behaviour) -> None:
    stub.on(SIGN_IN, lost, lost, answer(tokens()))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    for _ in range(2):
        assert failure(client.fetch_sms_templates).reason in (Reason.PROVIDER_OUTAGE, Reason.UNREACHABLE)
    client.fetch_sms_templates()
    client.close()


def test_a_rest_that_the_back_office_asks_for_ends_when_it_says_so(stub: StubServer) -> None:
    stub.on(SIGN_IN, answer({}, status=429, headers={"Retry-After": "1"}), answer(tokens()))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    began, give_up_at = time.monotonic(), time.monotonic() + 10
    while (error := ask(client.fetch_sms_templates)[1]) is not None:
        assert error.reason is Reason.RATE_LIMITED
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    assert time.monotonic() - began >= 1
    assert len(sent(stub, SIGN_IN)) == 2
    client.close()


@pytest.mark.parametrize("wish", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_no_back_office_makes_us_rest_for_longer_than_four_hours(stub: StubServer, clock: Clock, wish: str) -> None:
    stub.on(SIGN_IN, answer({}, status=429, headers={"Retry-After": wish}), answer(tokens()))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    for _ in range(2):
        assert failure(client.fetch_sms_templates).reason is Reason.RATE_LIMITED
    clock.leap(4 * 3600 + 1)
    client.fetch_sms_templates()
    client.close()


@pytest.mark.parametrize(("method", "secret"), [("email", None), ("email", TOTP_SECRET), ("Email", TOTP_SECRET)])
def test_a_code_by_email_is_said_to_be_no_way_in(stub: StubServer, method: str, secret: str | None) -> None:
    stub.on(SIGN_IN, answer(asks_code(method)))
    client = build_signing_in(stub, totp_secret=None if secret is None else Secret(secret))
    error = failure(client.fetch_sms_templates)
    words = (
        "at sign-in the back office sends a code by e-mail; use a service user with an authenticator app, or a token"
    )
    assert (error.reason, str(error)) == (Reason.PERMISSION_MISSING, words)
    for question in (
        client.fetch_sms_templates,
        lambda: client.fetch_client("101"),
        lambda: client.find_clients(NUMBER),
    ):
        again = failure(question)
        assert (again.reason, str(again).startswith(f"{words}; not tried again before ")) == (error.reason, True)
    assert len(stub.requests) == 1
    client.close()


def test_a_code_that_we_have_no_secret_for_is_said_to_need_one(stub: StubServer) -> None:
    stub.on(SIGN_IN, answer(asks_code()))
    client = build_signing_in(stub)
    error = failure(client.fetch_sms_templates)
    assert (error.reason, "no totp_secret is set" in str(error)) == (Reason.PERMISSION_MISSING, True)
    client.close()


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({}, 200, Reason.BAD_RESPONSE),
        ([], 200, Reason.BAD_RESPONSE),
        (b"<html>", 200, Reason.BAD_RESPONSE),
        ({"2faRequired": True}, 200, Reason.BAD_RESPONSE),
        ({"2faRequired": True, "2faDetails": CHALLENGE}, 200, Reason.BAD_RESPONSE),
        ({"accessToken": {"token": "two words"}}, 200, Reason.BAD_RESPONSE),
        ({"accessToken": {"token": "a\r\nX-Evil: 1"}}, 200, Reason.BAD_RESPONSE),
        ({}, 404, Reason.BAD_RESPONSE),
        ({}, 502, Reason.PROVIDER_OUTAGE),
        ({}, 403, Reason.CREDENTIALS_REJECTED),
    ],
)
def test_a_sign_in_that_gives_no_token_is_one_reason(stub: StubServer, body: Any, status: int, reason: Reason) -> None:
    stub.on(SIGN_IN, answer(body, status=status))
    client = build_signing_in(stub, totp_secret=Secret(TOTP_SECRET))
    assert failure(client.fetch_sms_templates).reason is reason
    client.close()


@pytest.mark.parametrize(
    "answered",
    [
        tokens(),
        {"data": tokens()},
        {"accessToken": ACCESS},
        {"accessToken": {"token": ACCESS, "createdAt": None, "expiresAt": "2022"}},
        {"2faRequired": "0", "accessToken": {"token": ACCESS, "expiresAt": "2022-01-01T00:00:00+00:00"}},
    ],
)
def test_a_token_is_found_wherever_it_may_stand(stub: StubServer, answered: Any) -> None:
    stub.on(SIGN_IN, answer(answered))
    stub.on(TEMPLATES, listed())
    client = build_signing_in(stub)
    client.fetch_sms_templates()
    client.fetch_sms_templates()
    assert bearers(stub, TEMPLATES) == [ACCESS, ACCESS]
    client.close()


def test_a_back_office_that_is_down_is_asked_to_sign_in_five_times_a_minute_within_the_deadline(
    stub: StubServer,
) -> None:
    stub.on(SIGN_IN, answer({}, status=503))
    client = build_signing_in(stub, timeout="2m")
    for _ in range(5):
        assert failure(client.fetch_sms_templates).reason is Reason.PROVIDER_OUTAGE
    began = time.monotonic()
    with deadline(0.2):
        assert isinstance(failure(client.fetch_sms_templates), DeadlineExceededError)
    assert time.monotonic() - began < 5
    assert len(stub.requests) == 5
    client.close()


# A client's own sign-in.


def sign_in(client: B2CoreClient, sandbox: Sandbox, name: str, code: str = "", password: str = "") -> SignIn:
    persona = sandbox.client(name)
    right = code_of(Secret(persona.totp_secret), step_at(time.time()))
    return client.sign_in(email=persona.email, password=Secret(password or persona.password), code=code or right)


def test_a_right_code_is_accepted_once(sandbox: Sandbox) -> None:
    client = of_sandbox(sandbox)
    code = code_of(Secret(sandbox.client("canary").totp_secret), step_at(time.time()))
    assert sign_in(client, sandbox, "canary", code) is SignIn.ACCEPTED
    assert sign_in(client, sandbox, "canary", code) is SignIn.CODE_REFUSED
    assert sign_in(client, sandbox, "both") is SignIn.ACCEPTED
    client.close()


def test_what_is_wrong_at_a_clients_sign_in_is_told_apart(sandbox: Sandbox) -> None:
    client = of_sandbox(sandbox)
    wrong = wrong_code(Secret(sandbox.client("canary").totp_secret), step_at(time.time()), 5)
    assert sign_in(client, sandbox, "canary", password="wrong") is SignIn.PASSWORD_REFUSED
    assert sign_in(client, sandbox, "no_2fa") is SignIn.CODE_NOT_ASKED
    assert [sign_in(client, sandbox, "canary", wrong) for _ in range(6)] == [SignIn.CODE_REFUSED] * 5 + [SignIn.LOCKED]
    assert sign_in(client, sandbox, "canary") is SignIn.LOCKED
    assert len(client.fetch_sms_templates()) == 1
    assert isinstance(failure(lambda: sign_in(client, sandbox, "sms")), BadResponseError)
    client.close()


def test_faults_of_the_platforms_codes_are_seen(sandbox: Sandbox) -> None:
    client = of_sandbox(sandbox)
    sandbox.set_fault("wrong_code_accepted")
    wrong = wrong_code(Secret(sandbox.client("canary").totp_secret), step_at(time.time()), 5)
    assert sign_in(client, sandbox, "canary", wrong) is SignIn.ACCEPTED
    sandbox.clear_fault("wrong_code_accepted")
    sandbox.set_fault("code_rejected")
    assert sign_in(client, sandbox, "canary") is SignIn.CODE_REFUSED
    client.close()


def step(done: bool = False, code: int = 200, data: Any = None) -> dict[str, Any]:
    return {"code": code, "done": done, "uuid": "0a-b1", "workflow": "signin", "data": data or {}}


def ended(access: str = CLIENT_ACCESS) -> dict[str, Any]:
    return step(done=True, code=202, data={"accessToken": token(access)})


def serve_front(stub: StubServer) -> None:
    stub.on(f"{MY}/signin/wizard", answer(step(data={"recaptcha": {"enabled": False}})))
    stub.on(f"{MY}/signin", answer(step()))
    stub.on(f"{MY}/signin/2fa", answer(step()))
    stub.on(f"{MY}/2fa/google", answer(ended()))
    stub.on(f"{MY}/signout", answer(b"", status=200))


def enter(client: B2CoreClient) -> SignIn:
    return client.sign_in(email=CLIENT_EMAIL, password=Secret(CLIENT_PASSWORD), code=CODE)


def test_a_clients_sign_in_goes_step_by_step_and_ends_with_a_sign_out(stub: StubServer, client: B2CoreClient) -> None:
    serve_front(stub)
    assert enter(client) is SignIn.ACCEPTED
    wizard, *posts, out = stub.requests
    assert (wizard.method, wizard.path) == ("GET", f"{MY}/signin/wizard")
    bodies = [(request.path.removeprefix(MY), json.loads(request.body)) for request in posts]
    fingerprint = bodies[0][1].pop("device_fingerprint")
    assert re.fullmatch("[0-9a-f]{32}", fingerprint)
    assert bodies == [
        ("/signin", {"uuid": "0a-b1", "email": CLIENT_EMAIL, "password": CLIENT_PASSWORD}),
        ("/signin/2fa", {"uuid": "0a-b1", "type": "google"}),
        ("/2fa/google", {"uuid": "0a-b1", "code": CODE}),
    ]
    assert (out.path, out.headers["authorization"]) == (f"{MY}/signout", f"Bearer {CLIENT_ACCESS}")
    assert all("authorization" not in request.headers for request in (wizard, *posts))


def test_the_client_facing_api_may_have_a_host_of_its_own(stub: StubServer) -> None:
    serve_front(stub)
    with StubServer() as office:
        client = build(office.url, token=Secret(ACCESS), client_url=stub.url)
        assert enter(client) is SignIn.ACCEPTED
        client.close()
        assert office.requests == []


@pytest.mark.parametrize("last", [answer({}, status=503), stubs.reset(), hang()])
def test_a_sign_out_that_fails_does_not_hide_what_came_of_the_sign_in(stub: StubServer, last: Behaviour) -> None:
    serve_front(stub)
    stub.on(f"{MY}/signout", last)
    client = build(stub.url, token=Secret(ACCESS), timeout="300ms")
    assert enter(client) is SignIn.ACCEPTED
    client.close()


@pytest.mark.parametrize("enabled", [True, 1, "1", "true"])
def test_a_captcha_is_said_to_be_in_the_way_before_the_password_is_sent(
    stub: StubServer, client: B2CoreClient, enabled: Any
) -> None:
    serve_front(stub)
    stub.on(f"{MY}/signin/wizard", answer(step(data={"recaptcha": {"enabled": enabled}})))
    error = failure(lambda: enter(client))
    assert isinstance(error, PermissionMissingError)
    assert "captcha" in str(error)
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [
        (f"{MY}/signin", 401, SignIn.PASSWORD_REFUSED),
        (f"{MY}/signin", 422, SignIn.PASSWORD_REFUSED),
        (f"{MY}/signin", 423, SignIn.LOCKED),
        (f"{MY}/signin", 429, SignIn.LOCKED),
        (f"{MY}/signin/2fa", 409, SignIn.ACCEPTED),
        (f"{MY}/2fa/google", 400, SignIn.CODE_REFUSED),
        (f"{MY}/2fa/google", 422, SignIn.CODE_REFUSED),
        (f"{MY}/2fa/google", 429, SignIn.LOCKED),
    ],
)
def test_each_status_of_a_clients_sign_in_is_one_outcome(
    stub: StubServer, client: B2CoreClient, path: str, status: int, outcome: SignIn
) -> None:
    serve_front(stub)
    stub.on(path, answer({"message": CLIENT_EMAIL}, status=status))
    assert enter(client) is outcome


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (f"{MY}/signin/wizard", {}, 200, Reason.BAD_RESPONSE),
        (f"{MY}/signin/wizard", {"uuid": "../../x"}, 200, Reason.BAD_RESPONSE),
        (f"{MY}/signin/wizard", {"uuid": 5}, 200, Reason.BAD_RESPONSE),
        (f"{MY}/signin/wizard", {}, 401, Reason.BAD_RESPONSE),
        (f"{MY}/signin/wizard", {}, 429, Reason.RATE_LIMITED),
        (f"{MY}/signin", [], 200, Reason.BAD_RESPONSE),
        (f"{MY}/signin", {}, 500, Reason.PROVIDER_OUTAGE),
        (f"{MY}/2fa/google", step(), 200, Reason.BAD_RESPONSE),
        (f"{MY}/2fa/google", {}, 409, Reason.BAD_RESPONSE),
    ],
)
def test_a_clients_sign_in_that_is_not_as_documented_is_an_error_and_no_outcome(
    stub: StubServer, client: B2CoreClient, path: str, body: Any, status: int, reason: Reason
) -> None:
    serve_front(stub)
    stub.on(path, answer(body, status=status))
    assert failure(lambda: enter(client)).reason is reason


# SMS providers and templates.

TWILIO: Final = {"id": 7, "provider": "Twilio", "name": "twilio-main", "caption": "Twilio", "isEnabled": True}
SETTINGS: Final = {"account_sid": SID, "auth_token": "********", "from": "+15005550006"}
DEMANDS: Final = [
    {"name": "account_sid", "required": True},
    {"name": "auth_token", "required": 1},
    {"name": "from", "required": "1"},
    {"name": "messaging_service_sid", "required": False},
]
WHOLE: Final = SmsProvider(
    name="twilio-main",
    vendor="twilio",
    is_enabled=True,
    identifiers={Identifier.ACCOUNT: Secret(SID), Identifier.SENDER: Secret("+15005550006")},
)


def fetch_provider(
    stub: StubServer, client: B2CoreClient, entry: Any = TWILIO, *, shown: Any = SETTINGS, demands: Any = DEMANDS
) -> SmsProvider:
    stub.on(PROVIDERS, listed(entry))
    stub.on(PROVIDER, answer({**TWILIO, "settings": shown}))
    stub.on(SCHEMA, answer(demands if isinstance(demands, Mapping | bytes) else {"total": 1, "data": demands}))
    (provider,) = client.fetch_sms_providers()
    return provider


def test_the_sandboxs_providers_are_read_with_their_settings(sandbox: Sandbox) -> None:
    client, own = of_sandbox(sandbox), sandbox.credentials
    identifiers = {Identifier.ACCOUNT: Secret(own.account_sid), Identifier.SENDER: Secret(own.long_code)}
    assert list(client.fetch_sms_providers()) == [
        SmsProvider(name="twilio-main", vendor="twilio", is_enabled=True, identifiers=identifiers),
        SmsProvider(name="fake", vendor="fake", is_enabled=False, delivers=False),
    ]
    sandbox.set_fault("provider_incomplete")
    assert [each.missing for each in client.fetch_sms_providers()] == [("auth_token", "from"), ()]
    client.close()


def test_a_total_that_lies_is_not_believed(stub: StubServer, client: B2CoreClient) -> None:
    off = {**TWILIO, "isEnabled": False}
    for total in (1, 0, "many", None):
        stub.on(PROVIDERS, answer({"total": total, "data": [off, {**off, "name": "second"}]}))
        assert [each.name for each in client.fetch_sms_providers()] == ["twilio-main", "second"]


@pytest.mark.parametrize(
    ("written", "is_enabled"),
    [
        (True, True),
        (1, True),
        ("1", True),
        ("True", True),
        (False, False),
        (0, False),
        ("0", False),
        ("false", False),
        (None, None),
        (2, None),
        ("maybe", None),
        ([True], None),
    ],
)
def test_flags_are_understood_however_they_are_spelled(
    stub: StubServer, client: B2CoreClient, written: Any, is_enabled: bool | None
) -> None:
    assert fetch_provider(stub, client, {**TWILIO, "isEnabled": written}).is_enabled is is_enabled
    entry = {key: value for key, value in TWILIO.items() if key != "isEnabled"}
    assert fetch_provider(stub, client, {**entry, "enabled": written}).is_enabled is is_enabled


@pytest.mark.parametrize(
    "shown",
    [
        SETTINGS,
        [{"name": name, "value": value} for name, value in SETTINGS.items()],
        [{"key": name, "value": value} for name, value in SETTINGS.items()],
        [{"name": None, "key": name, "value": value} for name, value in SETTINGS.items()],
        [{"name": name, "value": value} for name, value in SETTINGS.items()] + [None, {"value": 1}, {"name": [1]}],
        {"accountSid": SID, "AuthToken": "x", "From": " +1 (500) 555-0006 "},
    ],
)
def test_settings_may_be_a_list_or_an_object(stub: StubServer, client: B2CoreClient, shown: Any) -> None:
    assert fetch_provider(stub, client, shown=shown) == WHOLE


@pytest.mark.parametrize("masked", ["********", "AC**********12", "\u2022\u2022\u2022\u2022", "AC\u20261234"])
def test_a_masked_setting_is_filled_and_compared_with_nothing(
    stub: StubServer, client: B2CoreClient, masked: str
) -> None:
    provider = fetch_provider(stub, client, shown={**SETTINGS, "account_sid": masked})
    assert provider.missing == ()
    assert dict(provider.identifiers) == {Identifier.SENDER: Secret("+15005550006")}


@pytest.mark.parametrize("empty", ["", "  ", [], {}])
def test_a_demanded_setting_that_is_empty_is_missing(stub: StubServer, client: B2CoreClient, empty: Any) -> None:
    provider = fetch_provider(stub, client, shown={**SETTINGS, "from": empty})
    assert (provider.missing, provider.unreadable) == (("from",), ())


def test_a_demanded_setting_that_is_absent_or_null_is_unreadable_and_not_missing(
    stub: StubServer, client: B2CoreClient
) -> None:
    without = {name: value for name, value in SETTINGS.items() if name != "auth_token"}
    as_list = [{"key": name, "value": without.get(name)} for name in SETTINGS]
    for shown in (without, {**without, "auth_token": None}, as_list):
        assert fetch_provider(stub, client, shown=shown) == replace(WHOLE, unreadable=("its setting auth_token",))
    provider = fetch_provider(stub, client, shown={**without, "from": ""})
    assert (provider.missing, provider.unreadable) == (("from",), ("its setting auth_token",))


@pytest.mark.parametrize("shown", [[], {}, None, "none", [None, {"value": 1}, {"name": [1]}], [["from", "x"]]])
def test_settings_of_which_nothing_is_understood_are_unreadable(
    stub: StubServer, client: B2CoreClient, shown: Any
) -> None:
    assert fetch_provider(stub, client, shown=shown) == replace(WHOLE, unreadable=("its settings",), identifiers={})


@pytest.mark.parametrize(
    "demands",
    [
        [{"name": "from", "rules": "required|string"}],
        [{"name": "from", "rules": ["required", {}]}],
        [{"key": "from", "isRequired": "true"}],
        [{"name": "from", "required": True}, "strange", {"name": 5, "required": True}],
    ],
)
def test_what_a_type_demands_is_understood_in_several_forms(
    stub: StubServer, client: B2CoreClient, demands: Any
) -> None:
    assert fetch_provider(stub, client, shown={**SETTINGS, "from": ""}, demands=demands).missing == ("from",)


@pytest.mark.parametrize(
    "demands",
    [
        [{"field": "from"}],
        [{"name": "from"}, {"name": "account_sid"}],
        ["from"],
        {"from": {"required": True}},
        {"data": "from"},
        {"data": {"from": {"type": "string"}}},
    ],
)
def test_a_form_of_demands_that_we_do_not_know_is_said_to_be_unreadable(
    stub: StubServer, client: B2CoreClient, demands: Any
) -> None:
    provider = fetch_provider(stub, client, shown={"from": ""}, demands=demands)
    assert (provider.missing, provider.unreadable) == ((), ("what its type demands",))


@pytest.mark.parametrize("status", [403, 404])
def test_what_these_credentials_may_not_read_is_said_and_not_guessed(
    stub: StubServer, client: B2CoreClient, status: int
) -> None:
    fetch_provider(stub, client)
    stub.on(SCHEMA, answer({}, status=status))
    (provider,) = client.fetch_sms_providers()
    assert provider == replace(WHOLE, unreadable=("what its type demands",))
    stub.on(PROVIDER, answer({}, status=status))
    (provider,) = client.fetch_sms_providers()
    assert provider == replace(WHOLE, unreadable=("its settings",), identifiers={})
    stub.on(PROVIDER, answer(TWILIO))
    (provider,) = client.fetch_sms_providers()
    assert provider.unreadable == ("its settings",)


def test_the_settings_of_a_provider_that_is_off_are_not_asked_for(stub: StubServer, client: B2CoreClient) -> None:
    fetch_provider(stub, client, {**TWILIO, "isEnabled": False})
    fetch_provider(stub, client, {**TWILIO, "provider": "Fake"})
    assert {request.path for request in stub.requests} == {PROVIDERS}


def test_a_type_is_asked_once_for_all_its_providers(stub: StubServer, client: B2CoreClient) -> None:
    fetch_provider(stub, client)
    stub.on(PROVIDERS, listed(TWILIO, TWILIO, TWILIO))
    stub.requests.clear()
    assert list(client.fetch_sms_providers()) == [WHOLE] * 3
    assert len(sent(stub, SCHEMA)) == 1


@pytest.mark.parametrize("entry", [{}, {"id": "7/../8"}, {"provider": "../x", "id": 7}, {"name": "", "id": True}])
def test_a_provider_without_most_keys_is_still_one(stub: StubServer, client: B2CoreClient, entry: Any) -> None:
    provider = fetch_provider(stub, client, {**entry, "isEnabled": True})
    assert (provider.is_enabled, bool(provider.unreadable), provider.name) == (True, True, provider.name or "unnamed")
    assert {request.path for request in stub.requests} <= {PROVIDERS, PROVIDER}


def test_a_phone_number_in_a_providers_name_is_not_shown(stub: StubServer, client: B2CoreClient) -> None:
    assert fetch_provider(stub, client, {**TWILIO, "name": f"main {NUMBER}\x1b[31m"}).name == "main ***[31m"


@pytest.mark.parametrize(
    ("entry", "template"),
    [
        ({"name": "default", "text": "Code: %CODE%."}, SmsTemplate(name="default", carries_code=True)),
        ({"name": "default", "body": "<b>%CODE%</b>"}, SmsTemplate(name="default", carries_code=True)),
        ({"name": "default", "text": "Code: %code%."}, SmsTemplate(name="default", carries_code=False)),
        ({"caption": "2FA", "text": None}, SmsTemplate(name="2FA", carries_code=False)),
        ({}, SmsTemplate(name="unnamed", carries_code=False)),
    ],
)
def test_a_template_tells_its_name_and_whether_it_carries_a_code(
    stub: StubServer, client: B2CoreClient, entry: Any, template: SmsTemplate
) -> None:
    stub.on(TEMPLATES, listed(entry))
    assert list(client.fetch_sms_templates()) == [template]


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (403, Reason.PERMISSION_MISSING, "the service user may not read confirmations"),
        (404, Reason.BAD_RESPONSE, "the back office has no such thing"),
        (418, Reason.BAD_RESPONSE, "the back office answers HTTP 418"),
        (429, Reason.RATE_LIMITED, "the back office answers HTTP 429"),
        (503, Reason.PROVIDER_OUTAGE, "the back office answers HTTP 503"),
    ],
)
def test_each_refusal_of_a_list_is_one_reason(
    stub: StubServer, client: B2CoreClient, status: int, reason: Reason, words: str
) -> None:
    stub.on(TEMPLATES, answer({"message": NUMBER}, status=status))
    error = failure(client.fetch_sms_templates)
    assert (error.reason, str(error)) == (reason, words)


# Lists.


def serve_pages(stub: StubServer, path: str, entries: Sequence[Any], most: int) -> None:
    """Serve a list of which no page is longer than ``most``, whatever is asked for."""

    def page(request: Request) -> Any:
        start, limit = int(request.query["offset"][0]), int(request.query["limit"][0])
        return {"total": 1, "data": entries[start : start + min(limit, most)]}

    stub.on(path, answer_by(page))


@pytest.mark.parametrize(("count", "most"), [(0, 100), (9, 100), (25, 10), (30, 10), (100, 100), (250, 100)])
def test_a_list_is_read_to_its_end_however_short_its_pages_are(
    stub: StubServer, client: B2CoreClient, count: int, most: int
) -> None:
    serve_pages(stub, TEMPLATES, [{"id": number, "name": f"text-{number}"} for number in range(count)], most)
    assert [each.name for each in client.fetch_sms_templates()] == [f"text-{number}" for number in range(count)]


def test_a_list_without_ids_is_read_to_its_end_as_well(stub: StubServer, client: B2CoreClient) -> None:
    serve_pages(stub, TEMPLATES, [{"name": f"text-{number}", "parts": []} for number in range(25)], 10)
    assert len(client.fetch_sms_templates()) == 25


def test_providers_and_phones_are_read_beyond_one_page(stub: StubServer, client: B2CoreClient) -> None:
    off = [{**TWILIO, "id": number, "name": f"sender-{number}", "isEnabled": False} for number in range(25)]
    serve_pages(stub, PROVIDERS, off, 10)
    assert [each.name for each in client.fetch_sms_providers()] == [each["name"] for each in off]
    phones = [{"id": number, "clientId": number, "number": f"+141555501{number:02}"} for number in range(25)]
    serve_pages(stub, PHONES, phones, 10)
    assert list(client.find_clients("+14155550124")) == ["24"]
    stub.on(METHODS, listed())
    serve_pages(stub, PHONES, [{**phone, "clientId": 101} for phone in phones], 10)
    found = client.fetch_client("101")
    assert found is not None
    assert [phone.number for phone in found.phones or ()] == [each["number"] for each in phones]


@pytest.mark.parametrize("named_by", ["id", "name"])
def test_a_page_that_comes_again_is_the_end(stub: StubServer, client: B2CoreClient, named_by: str) -> None:
    stub.on(TEMPLATES, listed(*({named_by: f"text-{number}", "parts": []} for number in range(12))))
    assert len(client.fetch_sms_templates()) == 12
    assert [request.query["offset"] for request in stub.requests] == [["0"], ["12"]]


def test_a_list_without_an_end_is_left(stub: StubServer, client: B2CoreClient) -> None:
    stub.on(TEMPLATES, answer_by(lambda asked: [{"id": f"{asked.query['offset'][0]}-{at}"} for at in range(10)]))
    assert len(client.fetch_sms_templates()) == 100
    assert len(stub.requests) == 10


# Clients.


def test_every_persona_is_read_as_it_is(sandbox: Sandbox) -> None:
    client = of_sandbox(sandbox)

    def read(name: str) -> tuple[Any, Any]:
        persona = sandbox.client(name)
        found = client.fetch_client(str(persona.id))
        assert found is not None
        assert [phone.number for phone in found.phones or ()] == [persona.number]
        return {method for method, is_on in found.methods.items() if is_on}, found.has_confirmed_phone

    assert read("sms") == ({Method.SMS}, True)
    assert read("google") == ({Method.TOTP}, True)
    assert read("both") == ({Method.SMS, Method.TOTP}, True)
    assert read("no_2fa") == (set(), True)
    assert read("unconfirmed") == ({Method.SMS}, False)
    client.close()


def test_a_client_is_found_by_number_and_an_unknown_one_is_none(sandbox: Sandbox) -> None:
    client, persona = of_sandbox(sandbox), sandbox.client("landline")
    assert list(client.find_clients(persona.number)) == [str(persona.id)]
    assert list(client.find_clients("+12025550000")) == []
    assert client.fetch_client("999999") is None
    client.close()


@pytest.mark.parametrize(
    "client_id", ["", ".", "..", "../1", "1/2", "1?x=1", "1#", "%2e%2e", "1\n", "1 ", "\u0661", "1" * 65]
)
def test_an_id_that_is_unsafe_in_a_path_is_nobodys_and_is_not_sent(
    stub: StubServer, client: B2CoreClient, client_id: str
) -> None:
    assert client.fetch_client(client_id) is None
    assert stub.requests == []


@pytest.mark.parametrize("limit", [100, 250, 1000])
def test_all_clients_are_read_once_however_many_are_asked_for(sandbox: Sandbox, limit: int) -> None:
    """The sandbox gives no more than 100 entries at once, and does not say so."""
    client = of_sandbox(sandbox)
    ids: list[str] = []
    resume = None
    for _ in range(20):
        page = client.read_clients(resume=resume, limit=limit)
        ids += page.ids
        resume = page.resume
        if resume is None:
            break
    assert ids == [str(number) for number in range(1, 1201)]
    client.close()


def test_more_entries_than_were_asked_for_are_left_for_later(stub: StubServer, client: B2CoreClient) -> None:
    stub.on(CLIENTS, listed(*({"id": number} for number in range(1, 10))))
    assert client.read_clients(resume=None, limit=4) == ClientPage(ids=["1", "2", "3", "4"], resume="4")


def test_clients_are_asked_for_eldest_first_from_where_the_last_page_ended(
    stub: StubServer, client: B2CoreClient
) -> None:
    stub.on(CLIENTS, listed({"id": 5}, {"clientId": "6"}))
    assert client.read_clients(resume="4", limit=2) == ClientPage(ids=["5", "6"], resume="6")
    (request,) = stub.requests
    assert request.query == {"limit": ["2"], "offset": ["4"], "sort_by": ["createTime"], "sort_order": ["asc"]}


@pytest.mark.parametrize("resume", ["", "-1", "1e3", "x", "9" * 40, "\u0661", "1&limit=9"])
def test_a_place_that_is_none_is_the_beginning(stub: StubServer, client: B2CoreClient, resume: str) -> None:
    stub.on(CLIENTS, listed())
    assert client.read_clients(resume=resume, limit=2) == ClientPage(ids=[], resume=None)
    assert stub.requests[0].query["offset"] == ["0"]


def serve_client(stub: StubServer, methods: Sequence[Any], phones: Sequence[Any] = ()) -> None:
    stub.on(METHODS, listed(*methods))
    stub.on(PHONES, listed(*phones))


@pytest.mark.parametrize(
    ("entries", "methods"),
    [
        ([{"name": "SMS", "isEnabled": 1}, {"name": "google", "isEnabled": "0"}], {"sms": True, "totp": False}),
        ([{"name": "sms", "isEnabled": True}], {"sms": True}),
        ([{"name": "sms"}, {"isEnabled": True}, {"name": 5, "isEnabled": True}, None, []], {}),
        ([{"name": "email", "isEnabled": True}], {"other": True}),
        ([{"name": "sms", "isEnabled": True}, {"name": "SMS", "isEnabled": False}], {"sms": True}),
        ([], {}),
    ],
)
def test_methods_are_known_in_any_spelling_and_unknown_when_not_told(
    stub: StubServer, client: B2CoreClient, entries: Any, methods: Any
) -> None:
    serve_client(stub, entries)
    assert client.fetch_client("101") == Client(methods=methods, phones=())


@pytest.mark.parametrize(
    ("entry", "phones"),
    [
        ({"clientId": 101, "number": NUMBER, "confirmed": "1"}, [ClientPhone(number=NUMBER, is_confirmed=True)]),
        ({"clientId": "101", "phone": "1 (415) 555-0100"}, [ClientPhone(number=NUMBER, is_confirmed=None)]),
        ({"client_id": 101, "number": NUMBER, "isConfirmed": 0}, [ClientPhone(number=NUMBER, is_confirmed=False)]),
        ({"number": NUMBER}, [ClientPhone(number=NUMBER, is_confirmed=None)]),
        (
            {"clientId": None, "client_id": 101, "number": None, "phone": NUMBER, "confirmed": None, "isConfirmed": 1},
            [ClientPhone(number=NUMBER, is_confirmed=True)],
        ),
        ({"number": NUMBER, "confirmed": 0, "isConfirmed": 1}, [ClientPhone(number=NUMBER, is_confirmed=False)]),
        ({"number": 14155550100, "confirmed": True}, [ClientPhone(number="", is_confirmed=True)]),
        ({"number": "call me", "confirmed": True}, [ClientPhone(number="", is_confirmed=True)]),
    ],
)  # fmt: skip
def test_phones_are_the_clients_own_in_one_form(
    stub: StubServer, client: B2CoreClient, entry: Any, phones: Any
) -> None:
    serve_client(stub, [], [entry])
    assert client.fetch_client("101") == Client(methods={}, phones=tuple(phones))
    assert sent(stub, PHONES)[0].query["filter[clientId]"] == ["101"]


def test_phones_that_may_not_be_read_are_unknown_and_not_absent(stub: StubServer, client: B2CoreClient) -> None:
    serve_client(stub, [{"name": "sms", "isEnabled": True}])
    stub.on(PHONES, answer({"message": NUMBER}, status=403))
    found = client.fetch_client("101")
    assert found == Client(methods={Method.SMS: True}, phones=None, unreadable=("phones",))
    assert found.has_confirmed_phone is None
    assert str(failure(lambda: client.find_clients(NUMBER))) == "the service user may not read phones"


@pytest.mark.parametrize("count", [1, 100])
def test_phones_that_are_all_of_others_tell_nothing_of_the_client_and_are_read_no_further(
    stub: StubServer, client: B2CoreClient, count: int
) -> None:
    serve_client(stub, [], [{"id": at, "clientId": 102, "number": NUMBER, "confirmed": True} for at in range(count)])
    assert client.fetch_client("101") == Client(methods={}, phones=None, unreadable=("phones",))
    assert len(sent(stub, PHONES)) == 1


def test_the_clients_own_phones_are_picked_from_among_those_of_others(stub: StubServer, client: B2CoreClient) -> None:
    others = [{"id": at, "clientId": 1010 + at, "number": NUMBER, "confirmed": True} for at in range(5)]
    serve_client(stub, [], [*others, {"id": 9, "clientId": 101, "number": NUMBER, "confirmed": False}])
    assert client.fetch_client("101") == Client(methods={}, phones=(ClientPhone(number=NUMBER, is_confirmed=False),))


def test_only_owners_of_the_very_number_are_found_and_each_once(stub: StubServer, client: B2CoreClient) -> None:
    others = [{"clientId": 3, "number": "+14155550101"}, {"number": NUMBER}, {"clientId": "4/5", "number": NUMBER}]
    serve_client(stub, [], [{"clientId": 2, "number": NUMBER}, *others, {"clientId": "2", "number": NUMBER}])
    assert list(client.find_clients(NUMBER)) == ["2"]
    assert stub.requests[0].query["filter[number]"] == [NUMBER]


# Nothing personal or secret is told.

_GOOD: Final[Mapping[str, Any]] = {
    SIGN_IN: asks_code(),
    CONFIRM: tokens(seconds=0.000001),
    REFRESH: tokens(SECOND_ACCESS, seconds=0.000001),
    PROVIDERS: {"total": 1, "data": [TWILIO, {**TWILIO, "provider": "Fake", "isEnabled": 0}]},
    PROVIDER: {**TWILIO, "settings": SETTINGS},
    SCHEMA: {"total": 1, "data": DEMANDS},
    TEMPLATES: {"total": 1, "data": [{"name": "default", "text": f"Call {NUMBER}: %CODE%"}]},
    CLIENTS: {"total": 1, "data": [{"id": 101, "email": CLIENT_EMAIL}, {"id": 102}]},
    METHODS: {"total": 1, "data": [{"name": "SMS", "isEnabled": True}, {"name": "google", "isEnabled": 1}]},
    PHONES: {"data": [{"id": 1, "clientId": 101, "number": NUMBER, "confirmed": True}]},
    f"{MY}/signin/wizard": step(data={"recaptcha": {"enabled": False}}),
    f"{MY}/signin": step(),
    f"{MY}/signin/2fa": step(),
    f"{MY}/2fa/google": ended(),
    f"{MY}/signout": {},
}


def build_for_good(stub: StubServer) -> B2CoreClient:
    for path, good in _GOOD.items():
        stub.on(path, answer(good))
    return build_signing_in(stub, totp_secret=Secret(TOTP_SECRET))


def questions(client: B2CoreClient) -> Sequence[tuple[Callable[[], Any], Any]]:
    """Return every question with the declared type of its answer."""
    asked = (
        client.fetch_sms_providers,
        client.fetch_sms_templates,
        lambda: client.read_clients(resume=None, limit=2),
        lambda: client.fetch_client("101"),
        lambda: client.find_clients(NUMBER),
        lambda: enter(client),
    )
    of = (Sequence[SmsProvider], Sequence[SmsTemplate], ClientPage, Client | None, Sequence[str], SignIn)
    return list(zip(asked, of, strict=True))


def assert_tells_nothing(*shown: object) -> None:
    for one in shown:
        text = repr(one) + str(one)
        if isinstance(one, BaseException):
            text += "".join(repr(each) for each in _chain(one))
        assert not [canary for canary in CANARIES if canary in text]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def test_no_answer_of_ours_shows_a_number_an_address_or_a_secret(stub: StubServer) -> None:
    client = build_for_good(stub)
    answers = [question() for question, _ in questions(client)]
    assert_tells_nothing(client, *answers)
    assert answers[5] is SignIn.ACCEPTED
    client.close()


_EVERYTHING: Final = {
    "code": 1,
    "message": " ".join((EMAIL, PASSWORD, ACCESS, REFRESHER, CHALLENGE, CODE, NUMBER, SID, TOTP_SECRET, CLIENT_EMAIL)),
}


@pytest.mark.parametrize("status", [200, 401, 403, 404, 422, 429, 500])
@pytest.mark.parametrize("body", [_EVERYTHING, json.dumps(_EVERYTHING).encode() + b"!"])
@pytest.mark.usefixtures("clock")
def test_no_error_quotes_what_the_back_office_says(stub: StubServer, status: int, body: Any) -> None:
    for path in _GOOD:
        client = build_for_good(stub)
        stub.on(path, answer(body, status=status))
        for question, _ in questions(client):
            result, error = ask(question)
            assert_tells_nothing(result, *filter(None, [error]))
        client.close()


# Fuzz: good answers in which any part is something else.

_STRANGERS: Final = ["data", "enabled", "rules", "config", "stranger"]
_ANYTHING: Final = anything(
    ["\ud800", "101", NUMBER, "\u0661", "9" * 5000, "9999-12-31T23:59:59-12:00", "google", "email"]
)


@st.composite
def spoiled_path(draw: st.DrawFn) -> tuple[str, Any]:
    path = draw(st.sampled_from(list(_GOOD)))
    return path, draw(spoiled(_GOOD[path], _ANYTHING, _STRANGERS))


def ask(question: Callable[[], Any]) -> tuple[Any, ProviderError | None]:
    try:
        return question(), None
    except ProviderError as error:
        return None, error


def assert_is(value: Any, declared: Any) -> None:
    """Assert that a value, and all that is in it, is of the type that it is declared to be."""
    kind, parts = get_origin(declared), get_args(declared)
    if kind in (Union, types.UnionType):
        declared = next((part for part in parts if part is not type(None)), None) if value is not None else type(None)
        assert_is(value, declared)
    elif kind is not None and issubclass(kind, Mapping):
        assert isinstance(value, Mapping)
        for key, part in value.items():
            assert_is(key, parts[0])
            assert_is(part, parts[1])
    elif kind is not None:
        assert isinstance(value, tuple if kind is tuple else Sequence)
        assert not isinstance(value, str)
        for part in value:
            assert_is(part, parts[0])
    else:
        assert type(value) is declared
        if isinstance(value, Enum):
            return
        if is_dataclass(value):
            hints = get_type_hints(type(value))
            for each in fields(value):
                assert_is(getattr(value, each.name), hints[each.name])
        elif isinstance(value, Secret):
            assert type(value.reveal()) is str
        elif isinstance(value, str):
            value.encode()  # can be shown and sent


def assert_sane(result: Any) -> None:
    match result:
        case Client(phones=phones):
            assert all(re.fullmatch(r"(\+[1-9][0-9]{6,14})?", phone.number) for phone in phones or ())
        case ClientPage(ids=ids, resume=resume):
            assert all(re.fullmatch("[0-9A-Za-z_-]{1,64}", each) for each in ids)
            assert resume is None or resume.isdigit()
        case [*parts]:
            assert all(not isinstance(part, SmsProvider) or 0 < len(part.name) <= 80 for part in parts)
        case _:
            pass


@pytest.mark.usefixtures("clock")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answered=spoiled_path())
@example(answered=(PROVIDER, {"settings": [{"name": json.loads("[" * 400 + "]" * 400)}]}))
@example(answered=(METHODS, json.loads('{"data":' * 300 + "{}" + "}" * 300)))
def test_no_answer_raises_anything_else_or_is_taken_for_what_it_is_not(
    stub: StubServer, answered: tuple[str, Any]
) -> None:
    client = build_for_good(stub)
    path, body = answered
    stub.on(path, answer(body))
    for question, declared in questions(client):
        result, error = ask(question)
        if error is None:
            assert_is(result, declared)
            assert_sane(result)
        else:
            assert_tells_nothing(error)
    client.close()


@pytest.mark.usefixtures("clock")
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(list(_GOOD)),
    status=st.sampled_from([201, 202, 400, 401, 402, 403, 404, 405, 409, 418, 422, 423, 429, 500, 503, 599]),
    retry_after=st.sampled_from(["", "0", "-1", "9" * 20, "soon", "Fri, 31 Dec 9999 23:59:59 GMT"]),
    body=_ANYTHING,
)
def test_no_refusal_raises_anything_else(stub: StubServer, path: str, status: int, retry_after: str, body: Any) -> None:
    client = build_for_good(stub)
    stub.on(CONFIRM, answer(tokens()))

    def refuse(exchange: Exchange) -> None:
        content = json.dumps(body).encode()
        exchange.keep_alive = True
        head = f"HTTP/1.1 {status} So\r\nContent-Length: {len(content)}\r\nRetry-After: {retry_after}\r\n\r\n"
        exchange.send(head.encode() + content)

    stub.on(path, refuse)
    for question, declared in questions(client):
        result, error = ask(question)
        if error is None:
            assert_is(result, declared)
    client.close()


@pytest.mark.parametrize("body", [b"", b"\xff", b"nul", b"[" * 100_000, b"NaN", b"9" * 5000, b"{}" * 2, b"1", b'"x"'])
def test_a_body_that_is_no_object_is_a_bad_response_everywhere(stub: StubServer, body: bytes) -> None:
    client = build_for_good(stub)
    client.fetch_sms_templates()
    for path in (REFRESH, PROVIDERS, TEMPLATES, CLIENTS, METHODS, PHONES, f"{MY}/signin/wizard", f"{MY}/signin"):
        stub.on(path, answer(body))
    stub.on(REFRESH, answer(tokens()))
    for question, _ in questions(client):
        assert isinstance(failure(question), BadResponseError)
    client.close()


def test_a_page_is_cut_by_the_request_and_not_by_its_total(stub: StubServer, client: B2CoreClient) -> None:
    """An installation that heeds ``limit`` and ``offset`` and whose total is always 1."""
    everybody = [{"id": number} for number in range(7)]

    def page(request: Request) -> Any:
        start, limit = int(request.query["offset"][0]), int(request.query["limit"][0])
        return {"total": 1, "data": everybody[start : start + limit]}

    stub.on(CLIENTS, answer_by(page))
    assert client.read_clients(resume=None, limit=5).resume == "5"
    assert client.read_clients(resume="5", limit=5) == ClientPage(ids=["5", "6"], resume=None)
