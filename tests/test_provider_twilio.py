"""Twilio: what each call asks, what it makes of the documented answers, and the traps of keys and codes."""

import json
import logging
import math
import subprocess
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.clients import Account, AccountState, CountryPermissions, LogPage, Money, RecentSpend, Sender
from checks.errors import BadResponseError, DeadlineExceededError, NotFoundError, PermissionMissingError, ProviderError
from checks.messages import Receipt, Status, mask_number
from checks.providers import PROVIDERS
from checks.providers.http import deadline
from checks.providers.rows import Seen
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.providers.twilio.answers import parse_number
from checks.providers.twilio.codes import ERROR_CODES, LIST, PAGE, error_page
from checks.providers.twilio.log import parse_time
from checks.providers.twilio.paging import parse_bookmark
from checks.reason import Reason
from checks.secret import Secret
from checks.targets import build_client
from exporter.sandbox import Sandbox
from tests import stub_server as stubs
from tests.stub_server import StubServer

SID: Final = "AC" + "a" * 32
PARENT: Final = "AC" + "b" * 32
KEY: Final = "SK" + "b" * 32
SERVICE: Final = "MG" + "c" * 32
PRIMARY: Final = "RN6433641899984f951173ef1738c3bdd0"
SECONDARY: Final = "RNdfbf3fae0e1107f8aded0e7cead80bf5"
TOKEN: Final = "canary-token-51d0"
NUMBER: Final = "+4915112345678"
TOLL_FREE: Final = "+18335550123"
NOW: Final = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)

CREATED: Final = (NOW - timedelta(minutes=5)).timestamp()

ACCOUNT: Final = f"/2010-04-01/Accounts/{SID}.json"
BALANCE: Final = f"/2010-04-01/Accounts/{SID}/Balance.json"
MESSAGES: Final = f"/2010-04-01/Accounts/{SID}/Messages.json"
NUMBERS: Final = f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json"
ALL_TIME: Final = f"/2010-04-01/Accounts/{SID}/Usage/Records/AllTime.json"
DAILY: Final = f"/2010-04-01/Accounts/{SID}/Usage/Records/Daily.json"
PROFILES: Final = "/v1/CustomerProfiles"
SERVICES: Final = f"/v1/Services/{SERVICE}"
CAMPAIGNS: Final = f"{SERVICES}/Compliance/Usa2p"
VERIFICATIONS: Final = "/v1/Tollfree/Verifications"
COUNTRIES: Final = "/v1/Messaging/GeoPermissions"


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.unmapped: list[str] = []
        self.unreadable = 0

    def request_done(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def code_unmapped(self, code: str) -> None:
        self.unmapped.append(code)

    def message_unreadable(self) -> None:
        self.unreadable += 1


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def notes() -> Notes:
    return Notes()


Build = Callable[..., TwilioClient]


@pytest.fixture
def build(stub: StubServer, notes: Notes) -> Iterator[Build]:
    made: list[TwilioClient] = []

    def make(**settings: Any) -> TwilioClient:
        by_key = "api_key" in settings
        mine: dict[str, Any] = {} if by_key else {"auth_token": Secret(TOKEN)}
        mine |= {"type": "twilio", "account_sid": SID, "base_url": stub.url, "status_page": f"{stub.url}/status"}
        client = TwilioClient(TwilioSettings.model_validate(mine | settings), observer=notes, now=lambda: NOW)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(build: Build) -> TwilioClient:
    return build()


def by_key(build: Build) -> TwilioClient:
    return build(api_key=KEY, api_key_secret=Secret(TOKEN))


def refusal(status: int, code: int, message: str = "no") -> stubs.Behaviour:
    """Answer in the envelope of the 2010 API: https://www.twilio.com/docs/usage/twilios-response."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return stubs.answer({"code": code, "message": message, "more_info": more, "status": status}, status=status)


def listing(key: str, *items: Any, following: str | None = None) -> stubs.Behaviour:
    """Answer with one page of a list of the 2010 API."""
    return stubs.answer({key: list(items), "next_page_uri": following, "page": 0, "page_size": 50, "uri": "/x"})


def modern(key: str, *items: Any, following: str | None = None) -> stubs.Behaviour:
    """Answer with one page of a list of the newer APIs, which name pages by absolute URLs."""
    return stubs.answer({key: list(items), "meta": {"key": key, "page": 0, "next_page_url": following}})


def mail_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S +0000")


def message(*, ago: timedelta = timedelta(minutes=5), **changes: Any) -> dict[str, Any]:
    """Return a message as twilio-oai describes it."""
    created = NOW - ago
    return {
        "account_sid": SID,
        "api_version": "2010-04-01",
        "body": "Your code is 123456",
        "date_created": mail_date(created),
        "date_sent": mail_date(created + timedelta(seconds=1)),
        "date_updated": mail_date(created + timedelta(seconds=7)),
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": "+18005550100",
        "messaging_service_sid": SERVICE,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": "SM" + "1" * 32,
        "status": "delivered",
        "subresource_uris": {},
        "to": NUMBER,
        "uri": "/x",
    } | changes


def sid(number: int) -> str:
    return f"SM{number:032x}"


def receipt(**changes: Any) -> Receipt:
    plain = Receipt(
        message_id="SM" + "1" * 32,
        status=Status.DELIVERED,
        at=CREATED + 7,
        created_at=CREATED,
        recipient=NUMBER,
        country="DE",
        operator="T-Mobile",
        delivery_seconds=7.0,
    )
    return msgspec.structs.replace(plain, **changes)


def read(client: TwilioClient, since: datetime = NOW - timedelta(hours=1)) -> list[Receipt]:
    """Read on from page to page until one reaches back to ``since``."""
    receipts: list[Receipt] = []
    resume = None
    while True:
        page = client.read_page(since=since.timestamp(), resume=resume)
        receipts += page.receipts
        resume = page.resume
        if resume is None or (page.reached is not None and page.reached < since.timestamp()):
            return receipts


def paths(stub: StubServer) -> list[str]:
    return [request.path for request in stub.requests]


# ---- credentials


def test_credentials_are_verified_by_reading_one_message(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages"))
    client.verify_credentials()
    (request,) = stub.requests
    assert (request.method, request.path, request.query) == ("GET", MESSAGES, {"PageSize": ["1"]})
    assert request.basic_auth == (SID, TOKEN)


def test_an_api_key_signs_in_with_its_own_name(stub: StubServer, build: Build) -> None:
    stub.on(MESSAGES, listing("messages", message()))
    by_key(build).verify_credentials()
    assert stub.requests[0].basic_auth == (KEY, TOKEN)
    assert stub.requests[0].path == MESSAGES


@pytest.mark.parametrize(
    ("behaviour", "reason", "detail"),
    [
        (refusal(401, 20003), Reason.CREDENTIALS_REJECTED, "Twilio answers HTTP 401, code 20003"),
        (
            refusal(401, 70051, "Authorization failed"),
            Reason.CREDENTIALS_REJECTED,
            "Twilio answers HTTP 401, code 70051",
        ),
        (
            refusal(401, 70051, "required permission twilio/messaging/messages/list is missing"),
            Reason.PERMISSION_MISSING,
            "the key lacks the permission twilio/messaging/messages/list",
        ),
        (
            refusal(403, 70051, "The required permission 'twilio/trusthub/customer-profiles/list' is missing."),
            Reason.PERMISSION_MISSING,
            "the key lacks the permission twilio/trusthub/customer-profiles/list",
        ),
        (
            refusal(401, 20003, "required permission twilio/messaging/messages/list is missing"),
            Reason.CREDENTIALS_REJECTED,
            "Twilio answers HTTP 401, code 20003",
        ),
        (
            refusal(500, 20500, "required permission twilio/messaging/messages/list is missing"),
            Reason.PROVIDER_OUTAGE,
            "Twilio answers HTTP 500, code 20500",
        ),
        (
            refusal(500, 70051, "required permission twilio/messaging/messages/list is missing"),
            Reason.PROVIDER_OUTAGE,
            "Twilio answers HTTP 500, code 70051",
        ),
        (refusal(503, 20003), Reason.PROVIDER_OUTAGE, "Twilio answers HTTP 503, code 20003"),
        (refusal(403, 20403), Reason.ACCOUNT_SUSPENDED, "Twilio answers HTTP 403, code 20403"),
        (refusal(401, 20005), Reason.ACCOUNT_SUSPENDED, "Twilio answers HTTP 401, code 20005"),
        (refusal(403, 20008), Reason.CREDENTIALS_REJECTED, "Twilio answers HTTP 403, code 20008"),
        (refusal(403, 20006), Reason.PERMISSION_MISSING, "Twilio answers HTTP 403, code 20006"),
        (refusal(429, 20429), Reason.RATE_LIMITED, "Twilio answers HTTP 429, code 20429"),
        (refusal(500, 20500), Reason.PROVIDER_OUTAGE, "Twilio answers HTTP 500, code 20500"),
        (refusal(400, 20001), Reason.INTERNAL, "Twilio answers HTTP 400, code 20001"),
        (refusal(404, 20404), Reason.BAD_RESPONSE, "Twilio answers HTTP 404, code 20404"),
        (
            stubs.answer({"type": "x", "title": "x", "code": 20003, "detail": "x", "status": 401}, status=401),
            Reason.CREDENTIALS_REJECTED,
            "Twilio answers HTTP 401, code 20003",
        ),
        (
            stubs.answer({"code": "20003"}, status=401),
            Reason.CREDENTIALS_REJECTED,
            "Twilio answers HTTP 401, code 20003",
        ),
        (stubs.answer({"code": 9**99}, status=401), Reason.CREDENTIALS_REJECTED, "Twilio answers HTTP 401"),
        (stubs.answer({"code": True}, status=429), Reason.RATE_LIMITED, "Twilio answers HTTP 429"),
        (stubs.answer([20003], status=403), Reason.PERMISSION_MISSING, "Twilio answers HTTP 403"),
    ],
)
def test_a_refusal_has_its_reason(
    behaviour: stubs.Behaviour, reason: Reason, detail: str, stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    stub.on(MESSAGES, behaviour)
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (reason, detail)
    assert isinstance(caught.value, PermissionMissingError) == (reason is Reason.PERMISSION_MISSING)
    assert notes.unmapped == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, Reason.BAD_RESPONSE),
        (404, Reason.BAD_RESPONSE),
        (401, Reason.CREDENTIALS_REJECTED),
        (503, Reason.PROVIDER_OUTAGE),
    ],
)
def test_an_unknown_code_counts_and_takes_the_reason_of_its_status(
    status: int, reason: Reason, stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    stub.on(MESSAGES, refusal(status, 99999))
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (reason, "99999")
    assert notes.unmapped == ["99999"]


@pytest.mark.parametrize(
    "sentence",
    [
        f"required permission {NUMBER} {TOKEN} is missing",
        f"required permission {NUMBER} is missing",
        f"required permission {NUMBER[1:]} is missing",
        f"required permission twilio/{NUMBER} is missing",
        f"required permission twilio/{NUMBER[1:]} is missing",
        f"required permission twilio/messages/{NUMBER[1:]}/list is missing",
        "required permission twilio/49-15-11-23-45-67-8 is missing",
        "required permission twilio/4/9/1/5/1/1/2 is missing",
        "required permission twilio/messaging/123 is missing",
        f"required permission twilio/{TOKEN}@example.com is missing",
        "required permission twilio/Canary is missing",
        "required permission twilio/\ud800 is missing",
        f"required permission twilio/messages/list {NUMBER} is missing",
        f"required permission twilio/messages/list\n{NUMBER} is missing",
        f"required permission twilio/{'x' * 101} is missing",
        "required permission canary/messages/list is missing",
    ],
)
def test_nothing_but_a_permission_is_quoted(sentence: str, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, refusal(401, 70051, sentence))
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (
        Reason.CREDENTIALS_REJECTED,
        "Twilio answers HTTP 401, code 70051",
    )


def test_a_permission_may_have_a_version_in_it(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, refusal(401, 70051, "required permission twilio/lookup_v2/a2p-10/list is missing"))
    with pytest.raises(PermissionMissingError, match=r"^the key lacks the permission twilio/lookup_v2/a2p-10/list$"):
        client.verify_credentials()


def test_settings_override_a_code(stub: StubServer, build: Build, notes: Notes) -> None:
    stub.on(MESSAGES, refusal(401, 20003), refusal(500, 20500), refusal(400, 99999))
    client = build(error_codes={20003: "account_suspended", 20500: "sender_invalid", 99999: "permission_missing"})
    reasons = []
    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        reasons.append((type(caught.value), caught.value.reason))
    assert reasons == [
        (ProviderError, Reason.ACCOUNT_SUSPENDED),
        (ProviderError, Reason.SENDER_INVALID),
        (PermissionMissingError, Reason.PERMISSION_MISSING),
    ]
    assert notes.unmapped == []


def test_absence_is_absence_whatever_the_settings_say_of_its_code(stub: StubServer, build: Build, notes: Notes) -> None:
    client = build(error_codes={20404: "provider_outage"})
    stub.on(ACCOUNT, account(owner_account_sid=PARENT))
    assert client.fetch_balance() is None
    assert client.fetch_messaging_service(SERVICE, countries=[]) == Sender(label=SERVICE, exists=False)
    assert notes.unmapped == []


def test_every_request_is_counted(stub: StubServer, client: TwilioClient, notes: Notes) -> None:
    stub.on(MESSAGES, listing("messages"), refusal(429, 20429))
    page = stubs.answer({"components": [], "incidents": []})
    stub.on("/status/api/v2/summary.json", page, stubs.answer({}, status=503))
    client.verify_credentials()
    client.fetch_service_status()
    with pytest.raises(ProviderError):
        client.verify_credentials()
    with pytest.raises(ProviderError):
        client.fetch_service_status()
    assert notes.outcomes == ["ok", "ok", "rate_limited", "unreachable"]


def test_the_answer_to_the_smallest_question_is_small(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(body="x" * (5 << 20))))
    with pytest.raises(BadResponseError, match=r"^the answer is too large$"):
        client.verify_credentials()
    assert read(client) == [receipt()]
    with pytest.raises(BadResponseError, match=r"^the answer is too large$"):
        client.verify_credentials()


# ---- account


def account(status: str = "active", kind: str = "Full", **changes: Any) -> stubs.Behaviour:
    plain = {"sid": SID, "owner_account_sid": SID, "status": status, "type": kind, "auth_token": "canary-in-payload"}
    return stubs.answer(plain | changes)


def test_an_account_in_use(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, account())
    stub.on(PROFILES, modern("results", profile("draft"), profile()))
    assert client.fetch_account() == Account(state=AccountState.ACTIVE)


def profile(status: str = "twilio-approved", policy: str | None = PRIMARY) -> dict[str, Any]:
    return {"sid": "BU" + "e" * 32, "account_sid": SID, "policy_sid": policy, "status": status}


@pytest.mark.parametrize(
    "profiles",
    [
        [],
        [profile("draft")],
        [profile("twilio-rejected"), profile("in-review"), profile("pending-review")],
        [profile("twilio-rejected"), profile("twilio-approved", SECONDARY)],
        [profile("draft", SECONDARY)],
    ],
)
@pytest.mark.parametrize("owner", [SID, None, "", 7])
def test_an_account_without_an_approved_profile(
    profiles: list[Any], owner: Any, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(ACCOUNT, account(owner_account_sid=owner))
    stub.on(PROFILES, modern("results", *profiles))
    assert client.fetch_account() == Account(
        state=AccountState.ACTIVE,
        restriction="no compliance profile is approved, so it sends to verified numbers only",
    )


@pytest.mark.parametrize(
    "profiles",
    [
        [profile()],
        [profile("draft"), profile("twilio-approved", "RN" + "f" * 32)],
        [profile("twilio-approved", None)],
        [profile(), profile("twilio-rejected", SECONDARY)],
        [profile("twilio-rejected", SECONDARY), profile("twilio-approved", SECONDARY)],
    ],
)
def test_an_account_with_an_approved_profile(profiles: list[Any], stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, account())
    stub.on(PROFILES, modern("results", *profiles))
    assert client.fetch_account() == Account(state=AccountState.ACTIVE)


def test_the_profile_of_a_sub_account_is_its_parents(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, account(owner_account_sid=PARENT))
    assert client.fetch_account() == Account(
        state=AccountState.ACTIVE, unreadable=("compliance profile: the parent account's",)
    )
    assert paths(stub) == [ACCOUNT]


def test_a_trial_account(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, account(kind="Trial"))
    assert client.fetch_account() == Account(
        state=AccountState.ACTIVE, restriction="a trial account sends to verified numbers only"
    )


@pytest.mark.parametrize("state", [AccountState.SUSPENDED, AccountState.CLOSED])
def test_an_account_out_of_use(state: AccountState, stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, account(status=state))
    assert client.fetch_account() == Account(state=state)
    assert paths(stub) == [ACCOUNT]


@pytest.mark.parametrize("body", [{"status": "odd"}, {"status": 5}, {"status": "active", "type": None}])
def test_an_account_that_cannot_be_understood(body: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, stubs.answer(body))
    with pytest.raises(BadResponseError):
        client.fetch_account()


@pytest.mark.parametrize(
    "behaviour",
    [refusal(401, 20003), refusal(401, 70051, "required permission x/list is missing"), refusal(403, 20006)],
)
def test_profiles_that_may_not_be_read_are_named(
    behaviour: stubs.Behaviour, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(ACCOUNT, account())
    stub.on(PROFILES, behaviour)
    stub.on(MESSAGES, listing("messages"))
    assert client.fetch_account() == Account(state=AccountState.ACTIVE, unreadable=("compliance profiles",))


@pytest.mark.parametrize("of_messages", ["twilio/messaging/messages/list", "twilio/messaging/messages/read"])
def test_a_restricted_key_misses_what_was_asked_for_and_not_what_proves_it(
    of_messages: str, stub: StubServer, build: Build
) -> None:
    stub.on(ACCOUNT, refusal(401, 20003))
    stub.on(BALANCE, refusal(401, 20003))
    stub.on(PROFILES, refusal(401, 20003))
    stub.on(MESSAGES, refusal(401, 70051, f"required permission {of_messages} is missing"))
    client = by_key(build)
    with pytest.raises(PermissionMissingError, match=r"^a standard API key may not read the account; ") as of_account:
        client.fetch_account()
    with pytest.raises(PermissionMissingError, match=r"^these credentials may not read the balance$") as of_balance:
        client.fetch_balance()
    assert (of_account.value.code, of_balance.value.code) == ("20003", "20003")
    stub.on(ACCOUNT, account())
    assert client.fetch_account().unreadable == ("compliance profiles",)


def test_a_permission_is_named_by_the_call_that_misses_it(stub: StubServer, build: Build) -> None:
    stub.on(BALANCE, refusal(401, 70051, "required permission twilio/billing/balance/read is missing"))
    stub.on(MESSAGES, refusal(401, 70051, "required permission twilio/messaging/messages/list is missing"))
    with pytest.raises(PermissionMissingError, match=r"^the key lacks the permission twilio/billing/balance/read$"):
        by_key(build).fetch_balance()
    assert paths(stub) == [BALANCE]


def test_what_refuses_without_twilios_word_proves_nothing(stub: StubServer, build: Build) -> None:
    stub.on(BALANCE, refusal(401, 20003))
    stub.on(MESSAGES, stubs.answer(b"<html>blocked</html>", status=403))
    with pytest.raises(PermissionMissingError, match=r"^Twilio answers HTTP 403$"):
        by_key(build).fetch_balance()


def test_a_standard_key_may_not_read_the_account(stub: StubServer, build: Build) -> None:
    stub.on(ACCOUNT, refusal(401, 20003))
    stub.on(MESSAGES, listing("messages"))
    with pytest.raises(PermissionMissingError) as caught:
        by_key(build).fetch_account()
    assert str(caught.value) == (
        "a standard API key may not read the account; use the Auth Token or a main key, or remove this check"
    )
    assert paths(stub) == [ACCOUNT, MESSAGES]


def test_a_wrong_key_is_told_from_a_standard_one(stub: StubServer, build: Build) -> None:
    stub.everywhere(refusal(401, 20003))
    with pytest.raises(ProviderError) as caught:
        by_key(build).fetch_account()
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED


# ---- money


@pytest.mark.parametrize(
    ("body", "money"),
    [
        ({"balance": "12.34", "currency": "USD"}, Money(amount=12.34, currency="USD")),
        ({"balance": "-0.5", "currency": "eur"}, Money(amount=-0.5, currency="EUR")),
        ({"balance": 7, "currency": "USD"}, Money(amount=7.0, currency="USD")),
        ({"balance": "1E+3", "currency": "USD"}, Money(amount=1000.0, currency="USD")),
    ],
)
def test_a_balance_is_read(body: Any, money: Money, stub: StubServer, client: TwilioClient) -> None:
    stub.on(BALANCE, stubs.answer({"account_sid": SID} | body))
    assert client.fetch_balance() == money


@pytest.mark.parametrize(
    "body",
    [
        {"balance": None, "currency": "USD"},
        {"currency": "USD"},
        {"balance": "", "currency": "USD"},
        {"balance": "NaN", "currency": "USD"},
        {"balance": "Infinity", "currency": "USD"},
        {"balance": "1e999", "currency": "USD"},
        {"balance": "1_000", "currency": "USD"},
        {"balance": "12,34", "currency": "USD"},
        {"balance": "9" * 400, "currency": "USD"},
        {"balance": 10**400, "currency": "USD"},
        {"balance": True, "currency": "USD"},
        {"balance": ["1"], "currency": "USD"},
        {"balance": "1"},
        {"balance": "1", "currency": ""},
        {"balance": "1", "currency": "US Dollar"},
        {"balance": "1", "currency": 840},
    ],
)
def test_a_balance_that_is_none(body: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(BALANCE, stubs.answer(body))
    with pytest.raises(BadResponseError):
        client.fetch_balance()


def test_a_sub_account_has_no_balance(stub: StubServer, client: TwilioClient) -> None:
    stub.on(BALANCE, refusal(404, 20404))
    stub.on(ACCOUNT, account(owner_account_sid=PARENT))
    assert client.fetch_balance() is None


def test_a_key_of_a_sub_account_finds_no_balance(stub: StubServer, build: Build) -> None:
    stub.on(BALANCE, refusal(404, 20404))
    stub.on(ACCOUNT, refusal(401, 20003))
    stub.on(MESSAGES, listing("messages"))
    assert by_key(build).fetch_balance() is None


@pytest.mark.parametrize(
    ("balance", "of_account", "messages", "error"),
    [
        (refusal(404, 20404), account(), listing("messages"), NotFoundError),
        (refusal(404, 20404), account(owner_account_sid=None), listing("messages"), NotFoundError),
        (refusal(404, 20404), refusal(404, 20404), listing("messages"), NotFoundError),
        (refusal(404, 20404), refusal(401, 20003), refusal(404, 20404), NotFoundError),
        (refusal(404, 20004), account(owner_account_sid=PARENT), listing("messages"), NotFoundError),
        (refusal(404, 99999), account(owner_account_sid=PARENT), listing("messages"), NotFoundError),
        (stubs.answer({}, status=404), account(owner_account_sid=PARENT), listing("messages"), ProviderError),
    ],
)
def test_a_balance_that_is_not_there_is_no_sub_accounts(
    balance: stubs.Behaviour,
    of_account: stubs.Behaviour,
    messages: stubs.Behaviour,
    error: type[ProviderError],
    stub: StubServer,
    build: Build,
) -> None:
    stub.on(BALANCE, balance)
    stub.on(ACCOUNT, of_account)
    stub.on(MESSAGES, messages)
    with pytest.raises(ProviderError) as caught:
        by_key(build).fetch_balance()
    assert (type(caught.value), caught.value.reason) == (error, Reason.BAD_RESPONSE)


def test_a_wrong_key_finds_no_balance(stub: StubServer, build: Build) -> None:
    stub.everywhere(refusal(401, 20003))
    stub.on(BALANCE, refusal(404, 20404))
    with pytest.raises(ProviderError) as caught:
        by_key(build).fetch_balance()
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED


def test_a_balance_out_of_scope_is_no_wrong_key(stub: StubServer, build: Build) -> None:
    stub.on(BALANCE, refusal(401, 20003))
    stub.on(MESSAGES, listing("messages"))
    with pytest.raises(PermissionMissingError, match=r"^these credentials may not read the balance$"):
        by_key(build).fetch_balance()


def usage(price: Any, day: str = "2026-11-24", unit: Any = "usd") -> dict[str, Any]:
    return {"category": "totalprice", "price": price, "price_unit": unit, "start_date": day, "end_date": day}


def test_spend_is_read(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ALL_TIME, listing("usage_records", usage("1234.5", "2010-03-27")))
    stub.on(DAILY, listing("usage_records", usage(2.25, "2026-11-24"), usage("10", "2026-11-23")))
    assert client.fetch_spend() == RecentSpend(total=Money(amount=1234.5, currency="USD"), today=2.25, yesterday=10.0)
    ever, daily = stub.requests
    assert ever.query == {"Category": ["totalprice"], "PageSize": ["1"]}
    assert daily.query == {"Category": ["totalprice"], "StartDate": ["2026-11-23"], "PageSize": ["10"]}


def test_a_day_without_a_record_has_no_spend(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ALL_TIME, listing("usage_records", usage(0)))
    stub.on(DAILY, listing("usage_records"))
    assert client.fetch_spend() == RecentSpend(total=Money(amount=0.0, currency="USD"), today=0.0, yesterday=0.0)


def test_an_account_that_never_spent(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ALL_TIME, listing("usage_records"))
    assert client.fetch_spend() is None


@pytest.mark.parametrize("path", [ALL_TIME, DAILY])
@pytest.mark.parametrize("behaviour", [refusal(401, 20003), refusal(403, 20006)])
def test_spend_out_of_scope_is_not_known(path: str, behaviour: stubs.Behaviour, stub: StubServer, build: Build) -> None:
    stub.on(ALL_TIME, listing("usage_records", usage("1")))
    stub.on(DAILY, listing("usage_records"))
    stub.on(MESSAGES, listing("messages"))
    stub.on(path, behaviour)
    assert by_key(build).fetch_spend() is None


@pytest.mark.parametrize("record", [usage(None), usage("x"), usage("1", unit=None), 5, usage([])])
def test_spend_that_is_none(record: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(ALL_TIME, listing("usage_records", record))
    stub.on(DAILY, listing("usage_records"))
    with pytest.raises(BadResponseError):
        client.fetch_spend()


def test_a_usage_record_without_a_date(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ALL_TIME, listing("usage_records", usage("1")))
    stub.on(DAILY, listing("usage_records", usage("1", "yesterday")))
    with pytest.raises(BadResponseError):
        client.fetch_spend()


@given(st.text(max_size=30) | st.floats() | st.integers() | st.none() | st.lists(st.none()))
def test_a_number_is_finite_or_refused(value: Any) -> None:
    try:
        number = parse_number(value, "balance")
    except BadResponseError:
        return
    assert abs(number) < float("inf")


# ---- senders


def phone(number: str, **changes: Any) -> dict[str, Any]:
    capabilities = {"sms": True, "mms": False, "voice": True, "fax": False}
    return {"sid": "PN" + "d" * 32, "phone_number": number, "capabilities": capabilities, "status": "in-use"} | changes


def test_a_number_is_read(stub: StubServer, client: TwilioClient) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(NUMBER)))
    assert client.fetch_number(NUMBER) == Sender(label="+49*********78")
    assert stub.requests[0].query == {"PhoneNumber": [NUMBER], "PageSize": ["20"]}


def test_a_number_without_sms(stub: StubServer, client: TwilioClient) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(NUMBER, capabilities={"sms": False})))
    assert client.fetch_number(NUMBER) == Sender(label="+49*********78", sends_sms=False)


def test_a_number_of_somebody_else(stub: StubServer, client: TwilioClient) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(NUMBER + "9")))
    assert client.fetch_number(NUMBER) == Sender(label="+49*********78", exists=False)


@pytest.mark.parametrize("capabilities", [None, [], {}, {"sms": "yes"}, "sms"])
def test_a_number_without_capabilities(capabilities: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(NUMBER, capabilities=capabilities)))
    with pytest.raises(BadResponseError):
        client.fetch_number(NUMBER)


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ([], "toll-free verification is missing"),
        (["TWILIO_APPROVED"], None),
        (["TWILIO_REJECTED", "TWILIO_APPROVED"], None),
        (["PENDING_REVIEW"], "toll-free verification is pending"),
        (["TWILIO_REJECTED", "IN_REVIEW"], "toll-free verification is pending"),
        (["TWILIO_REJECTED"], "toll-free verification is rejected"),
    ],
)
def test_a_toll_free_number(states: list[str], problem: str | None, stub: StubServer, client: TwilioClient) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(TOLL_FREE)))
    stub.on(VERIFICATIONS, modern("verifications", *({"status": state} for state in states)))
    assert client.fetch_number(TOLL_FREE) == Sender(label="+1********23", registration_problem=problem)
    assert stub.requests[1].query["TollfreePhoneNumberSid"] == ["PN" + "d" * 32]


def test_a_toll_free_verification_out_of_scope(stub: StubServer, build: Build) -> None:
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(TOLL_FREE)))
    stub.on(VERIFICATIONS, refusal(401, 20003))
    stub.on(MESSAGES, listing("messages"))
    assert by_key(build).fetch_number(TOLL_FREE) == Sender(label="+1********23", unreadable=("toll-free verification",))


@given(st.text(max_size=40) | st.from_regex(r"\A\+[1-9]\d{6,14}\Z"))
def test_a_masked_number_shows_little(number: str) -> None:
    masked = mask_number(number)
    assert len(masked) == len(number)
    assert len(masked.replace("*", "")) <= 1 + 3 + 2


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+14155550100", "+1********00"),
        ("+4915112345678", "+49*********78"),
        ("+3511234567", "+351*****67"),
        ("+99999999999", "+99*******99"),
        ("015112345678", "**********78"),
        ("+1", "+1"),
        ("", ""),
    ],
)
def test_a_number_is_masked_behind_its_country_code(number: str, masked: str) -> None:
    assert mask_number(number) == masked


def pool(stub: StubServer, *, numbers: tuple[str, ...] = (), others: Mapping[str, int] | None = None) -> None:
    stub.on(SERVICES, stubs.answer({"sid": SERVICE, "friendly_name": "codes"}))
    stub.on(f"{SERVICES}/PhoneNumbers", modern("phone_numbers", *({"phone_number": number} for number in numbers)))
    for path, key in (
        ("ShortCodes", "short_codes"),
        ("AlphaSenders", "alpha_senders"),
        ("DestinationAlphaSenders", "alpha_senders"),
    ):
        count = (others or {}).get(path, 0)
        stub.on(f"{SERVICES}/{path}", modern(key, *({"sid": f"X{number}"} for number in range(count))))


def test_a_messaging_service_is_read(stub: StubServer, client: TwilioClient) -> None:
    pool(stub, numbers=(NUMBER, TOLL_FREE), others={"ShortCodes": 1, "AlphaSenders": 2})
    assert client.fetch_messaging_service(SERVICE, countries=["US"]) == Sender(label=SERVICE, pool_size=5)
    assert CAMPAIGNS not in paths(stub)


def test_senders_by_destination_fill_a_pool(stub: StubServer, client: TwilioClient) -> None:
    pool(stub, others={"DestinationAlphaSenders": 3})
    assert client.fetch_messaging_service(SERVICE, countries=["DE"]) == Sender(label=SERVICE, pool_size=3)


def test_an_empty_pool(stub: StubServer, client: TwilioClient) -> None:
    pool(stub)
    assert client.fetch_messaging_service(SERVICE, countries=[]) == Sender(label=SERVICE, pool_size=0)


def test_a_messaging_service_that_is_not_there(stub: StubServer, client: TwilioClient) -> None:
    stub.on(SERVICES, refusal(404, 20404))
    assert client.fetch_messaging_service(SERVICE, countries=[]) == Sender(label=SERVICE, exists=False)


@pytest.mark.parametrize("sid", ["", "MG1", SERVICE + "/../x", SID, f"{SERVICE}\n"])
def test_a_malformed_sid_is_never_asked_for(sid: str, stub: StubServer, client: TwilioClient) -> None:
    assert not client.fetch_messaging_service(sid, countries=[]).exists
    assert stub.requests == []


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ([], "no A2P campaign is registered"),
        (["VERIFIED"], None),
        (["FAILED", "VERIFIED"], None),
        (["PENDING"], "the A2P campaign is not verified yet"),
        (["IN_PROGRESS"], "the A2P campaign is not verified yet"),
        (["FAILED"], "the A2P campaign has failed"),
        (["SUSPENDED"], "the A2P campaign is suspended"),
        (["SOMETHING_NEW"], "the A2P campaign is not verified"),
    ],
)
def test_a_campaign(states: list[str], problem: str | None, stub: StubServer, client: TwilioClient) -> None:
    pool(stub, numbers=("+14155550123",))
    stub.on(CAMPAIGNS, modern("compliance", *({"campaign_status": state} for state in states)))
    assert client.fetch_messaging_service(SERVICE, countries=["DE", "US"]) == Sender(
        label=SERVICE, pool_size=1, registration_problem=problem
    )


@pytest.mark.parametrize("countries", [[], ["CA"], ["DE", "GB"]])
def test_a_campaign_is_for_the_us_only(countries: list[str], stub: StubServer, client: TwilioClient) -> None:
    pool(stub, numbers=("+14155550123",))
    assert client.fetch_messaging_service(SERVICE, countries=countries) == Sender(
        label=SERVICE, pool_size=1, unreadable=("A2P campaign: not judged without US in countries",)
    )
    assert CAMPAIGNS not in paths(stub)


def test_a_long_code_of_canada_needs_a_campaign_for_the_us_only(stub: StubServer, client: TwilioClient) -> None:
    pool(stub, numbers=("+14165550123",))
    stub.on(CAMPAIGNS, modern("compliance"))
    assert client.fetch_messaging_service(SERVICE, countries=["CA"]) == Sender(label=SERVICE, pool_size=1)
    problem = client.fetch_messaging_service(SERVICE, countries=["US"]).registration_problem
    assert problem == "no A2P campaign is registered"


def test_no_campaign_is_missed_where_the_pool_may_not_be_read(stub: StubServer, build: Build) -> None:
    pool(stub)
    stub.on(f"{SERVICES}/PhoneNumbers", refusal(403, 20006))
    assert by_key(build).fetch_messaging_service(SERVICE, countries=["DE"]) == Sender(
        label=SERVICE, unreadable=("sender pool",)
    )


def test_parts_of_a_messaging_service_out_of_scope(stub: StubServer, build: Build) -> None:
    pool(stub, numbers=("+14155550123",))
    stub.on(f"{SERVICES}/PhoneNumbers", refusal(401, 20003))
    stub.on(CAMPAIGNS, refusal(403, 20006))
    stub.on(MESSAGES, listing("messages"))
    assert by_key(build).fetch_messaging_service(SERVICE, countries=["US"]) == Sender(
        label=SERVICE, unreadable=("sender pool", "A2P campaign")
    )


def test_country_permissions_are_read(stub: StubServer, client: TwilioClient) -> None:
    permissions = [
        {"country_code": "US", "type": "country", "enabled": True},
        {"country_code": "PK", "type": "country", "enabled": False, "message": "High Risk Country"},
        {"country_code": "IN", "type": "country", "enabled": None},
    ]
    stub.on(COUNTRIES, stubs.answer({"permissions": permissions}))
    assert client.fetch_country_permissions(["US", "PK", "IN", "AQ"]) == CountryPermissions(
        refused=("PK",), unknown=("IN", "AQ")
    )
    assert stub.requests[0].query == {"CountryCode": ["US,PK,IN,AQ"]}


@pytest.mark.parametrize("order", [1, -1])
def test_a_country_is_refused_when_part_of_it_is(order: int, stub: StubServer, client: TwilioClient) -> None:
    parts = [{"country_code": "US", "enabled": True}, {"country_code": "US", "enabled": False}][::order]
    stub.on(COUNTRIES, stubs.answer({"permissions": parts}))
    assert client.fetch_country_permissions(["US"]) == CountryPermissions(refused=("US",))


def test_no_country_is_no_question(stub: StubServer, client: TwilioClient) -> None:
    assert client.fetch_country_permissions([]) == CountryPermissions()
    assert stub.requests == []


def test_country_permissions_out_of_scope(stub: StubServer, build: Build) -> None:
    stub.on(COUNTRIES, refusal(401, 20003))
    stub.on(MESSAGES, listing("messages"))
    assert by_key(build).fetch_country_permissions(["US"]) == CountryPermissions(readable=False)


@pytest.mark.parametrize("permissions", [None, {}, ["US"], "US"])
def test_country_permissions_that_are_none(permissions: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(COUNTRIES, stubs.answer({"permissions": permissions}))
    with pytest.raises(BadResponseError):
        client.fetch_country_permissions(["US"])


# ---- messages


def test_a_message_is_read(stub: StubServer, client: TwilioClient, notes: Notes) -> None:
    stub.on(MESSAGES, listing("messages", message()))
    assert read(client) == [receipt()]
    assert stub.requests[0].query == {"PageSize": ["1000"]}
    assert notes.unreadable == 0


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("accepted", Status.ACCEPTED),
        ("scheduled", Status.ACCEPTED),
        ("queued", Status.ACCEPTED),
        ("sending", Status.ACCEPTED),
        ("sent", Status.SENT),
        ("delivered", Status.DELIVERED),
        ("read", Status.DELIVERED),
        ("undelivered", Status.UNDELIVERED),
        ("partially_delivered", Status.UNDELIVERED),
        ("failed", Status.FAILED),
        ("canceled", Status.CANCELED),
    ],
)
def test_every_documented_status_is_known(word: str, status: Status, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(status=word)))
    (one,) = read(client)
    has_failed = status in (Status.UNDELIVERED, Status.FAILED)
    assert one == receipt(
        status=status,
        delivery_seconds=7.0 if word == "delivered" else None,
        reason=Reason.DELIVERY_FAILING if has_failed else None,
    )


@pytest.mark.parametrize(
    ("given_code", "reason", "code", "is_mapped"),
    [
        (30007, Reason.OPERATOR_BLOCKING, "30007", True),
        ("30003", Reason.RECIPIENT_UNREACHABLE, "30003", True),
        (30005, Reason.RECIPIENT_INVALID, "30005", True),
        (21604, Reason.DELIVERY_FAILING, "21604", True),
        (99999, Reason.DELIVERY_FAILING, "99999", False),
        (30008, Reason.OPERATOR_DELAY, "30008", True),
        (None, Reason.DELIVERY_FAILING, None, True),
        (0, Reason.DELIVERY_FAILING, None, True),
        ("x", Reason.DELIVERY_FAILING, None, True),
    ],
)
def test_a_failure_has_its_reason(
    given_code: Any, reason: Reason, code: str | None, is_mapped: bool, stub: StubServer, build: Build
) -> None:
    client = build(error_codes={30008: "operator_delay"})
    stub.on(MESSAGES, listing("messages", message(status="failed", error_code=given_code, date_sent=None)))
    assert read(client) == [
        receipt(status=Status.FAILED, reason=reason, code=code, code_is_mapped=is_mapped, delivery_seconds=None)
    ]


def test_a_code_on_a_delivered_message_is_no_failure(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(error_code=30018)))
    assert read(client) == [receipt()]


@pytest.mark.parametrize(
    ("to", "country"),
    [
        ("+14155550123", "US"),
        ("+14165550123", "CA"),
        ("whatsapp:+4915112345678", "DE"),
        ("+1415555XXXX", "US"),
        ("", "unknown"),
        (None, "unknown"),
        (5, "unknown"),
    ],
)
def test_a_message_has_the_country_of_its_recipient(
    to: Any, country: str, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, listing("messages", message(to=to)))
    assert [one.country for one in read(client)] == [country]


@pytest.mark.parametrize("direction", ["outbound-call", "outbound-reply"])
def test_all_outbound_messages_count(direction: str, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(direction=direction)))
    assert read(client) == [receipt()]


def test_inbound_messages_do_not_count(stub: StubServer, client: TwilioClient, notes: Notes) -> None:
    stub.on(MESSAGES, listing("messages", message(direction="inbound", status="received")))
    assert read(client) == []
    assert notes.unreadable == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "teleported"},
        {"status": None},
        {"status": 5},
        {"direction": None},
        {"direction": "sideways"},
        {"date_created": None},
        {"date_created": "yesterday"},
        {"date_created": 1700000000},
        {"date_created": {"at": "x"}},
        {"date_sent": 5},
        {"date_updated": "soon"},
        {"sid": None},
        {"sid": ""},
        {"sid": "SM1"},
        {"sid": "SM" + "1" * 33},
        {"sid": "SM" + "1" * 31 + "\ud800"},
        {"sid": "SM" + "1" * 31 + "\u0661"},
        {"sid": "SM" + "1" * 32 + "\n"},
        {"sid": "SM" + "\x00" * 32},
        {"sid": "XX" + "1" * 32},
        {"sid": "SM" + "g" * 32},
        {"sid": "x" * (2 << 20)},
        {"sid": 5},
        {"sid": {"sid": "SM" + "1" * 32}},
        {"status": "\ud800"},
        {"direction": "\udfff"},
        {"date_created": "\ud800"},
    ],
)
def test_a_message_that_cannot_be_understood_is_left_out_and_counted(
    changes: dict[str, Any], stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    stub.on(MESSAGES, listing("messages", message(**changes), message()))
    assert read(client) == [receipt()]
    assert notes.unreadable == 1


@pytest.mark.parametrize("prefix", ["SM", "MM"])
def test_a_message_has_a_sid_of_either_kind(prefix: str, stub: StubServer, client: TwilioClient) -> None:
    sid = prefix + "0123456789abcdefABCDEF0123456789"
    stub.on(MESSAGES, listing("messages", message(sid=sid)))
    assert [one.message_id for one in read(client)] == [sid]


def test_a_message_that_cannot_be_understood_counts_once(stub: StubServer, client: TwilioClient, notes: Notes) -> None:
    teleported, without_sid, without_date = message(status="teleported"), message(sid=None), message(date_created=None)
    stub.on(MESSAGES, listing("messages", teleported, without_sid, without_date | {"sid": sid(9)}, message()))
    for _ in range(3):
        assert read(client) == [receipt()]
    assert notes.unreadable == 3
    stub.on(
        MESSAGES, listing("messages", message(sid=None, body="another"), message(sid=sid(8), status="x"), message())
    )
    assert read(client) == [receipt()]
    assert notes.unreadable == 5


def test_the_memory_of_messages_that_count_once_is_bounded() -> None:
    seen = Seen()
    assert [seen.add({"n": number}) for number in range(20_000)] == [True] * 20_000
    assert not seen.add({"n": 19_999})
    assert not seen.add({"n": 15_000})
    assert seen.add({"n": 0})
    assert len(seen._recent) + len(seen._older) <= 10_000


def test_an_old_message_that_cannot_be_understood_does_not_count(
    stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    hours_ago = timedelta(hours=2)
    old = [
        message(ago=hours_ago, status="teleported"),
        message(ago=hours_ago, sid=None),
        message(ago=hours_ago, direction=None),
        message(ago=hours_ago),
        message(date_created=None),  # as old as the one before it
        message(date_created="x"),
    ]
    stub.on(MESSAGES, listing("messages", message(), *old))
    assert read(client) == [receipt()]
    assert notes.unreadable == 0


def test_what_lies_behind_the_end_of_the_reading_does_not_count(
    stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    old = [message(ago=timedelta(hours=2))] * 100
    stub.on(MESSAGES, listing("messages", message(), *old, message(status="teleported"), message(date_created=None)))
    assert read(client) == [receipt()]
    assert notes.unreadable == 0


@pytest.mark.parametrize("changes", [{"status": "teleported"}, {"sid": None}, {"date_created": None}])
def test_a_log_of_which_nothing_can_be_understood(
    changes: dict[str, Any], stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    odd = [message(body=str(number), **({"sid": sid(number)} | changes)) for number in range(5)]
    stub.on(MESSAGES, listing("messages", *odd))
    with pytest.raises(BadResponseError, match=r"^Twilio's message log cannot be understood$"):
        read(client)
    assert notes.unreadable == 5


def test_a_page_of_few_messages_may_hold_odd_ones_only(stub: StubServer, client: TwilioClient, notes: Notes) -> None:
    odd = [message(sid=sid(number), status="teleported") for number in range(4)]
    stub.on(MESSAGES, listing("messages", *odd))
    assert read(client) == []
    assert notes.unreadable == 4


def test_a_page_of_old_messages_is_understood(stub: StubServer, client: TwilioClient) -> None:
    old = [message(ago=timedelta(hours=2), status="teleported")] * 5
    stub.on(MESSAGES, listing("messages", message(), following=f"{MESSAGES}?Page=1"), listing("messages", *old))
    assert read(client) == [receipt()]


@pytest.mark.parametrize(
    "body", [{"messages": [message(), 5]}, {"messages": {}}, {"messages": "abc"}, {"messages": None}, {"things": []}]
)
def test_a_log_of_another_shape(body: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, stubs.answer(body))
    with pytest.raises(BadResponseError):
        read(client)


def test_a_delivery_is_never_before_its_message(stub: StubServer, client: TwilioClient) -> None:
    before = mail_date(NOW - timedelta(hours=9))
    stub.on(MESSAGES, listing("messages", message(date_updated=before), message(date_updated=None)))
    assert [one.delivery_seconds for one in read(client)] == [0.0, None]


def test_dates_in_another_zone_are_utc(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(date_created="Tue, 24 Nov 2026 09:25:00 +0200")))
    assert [one.created_at for one in read(client)] == [CREATED]


def test_pages_are_followed_with_credentials(stub: StubServer, client: TwilioClient) -> None:
    following = f"{MESSAGES}?PageSize=1000&Page=1&PageToken=PASM1"
    stub.on(
        MESSAGES,
        listing("messages", message(sid=sid(1)), following=following),
        listing("messages", message(sid=sid(2))),
    )
    assert [one.message_id for one in read(client)] == [sid(1), sid(2)]
    assert [request.target for request in stub.requests] == [f"{MESSAGES}?PageSize=1000", following]
    assert [request.basic_auth for request in stub.requests] == [(SID, TOKEN)] * 2


def test_a_log_that_goes_in_a_circle_ends(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(), following=f"{MESSAGES}?Page=1"))
    with pytest.raises(BadResponseError, match=r"^Twilio's message log pages in a circle$"):
        read(client)
    assert len(stub.requests) == 2


@pytest.mark.parametrize("following", [5, {"a": 1}, ["x"]])
def test_a_next_page_that_is_none(following: Any, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(), following=following))
    with pytest.raises(BadResponseError):
        read(client)


def test_no_page_on_another_host_is_read(stub: StubServer, client: TwilioClient) -> None:
    with StubServer() as evil:
        stub.on(ACCOUNT, account())
        stub.on(PROFILES, modern("results", profile("draft"), following=f"{evil.url}/v1/CustomerProfiles?Page=1"))
        with pytest.raises(BadResponseError, match=r"^refused to call an unknown host$"):
            client.fetch_account()
        assert evil.connections == 0


@pytest.mark.parametrize("host", ["https://trusthub.twilio.com", "own"])
def test_a_page_by_its_absolute_url_is_read(host: str, stub: StubServer, client: TwilioClient) -> None:
    following = f"{stub.url if host == 'own' else host}{PROFILES}?Page=1"
    stub.on(ACCOUNT, account())
    stub.on(
        PROFILES,
        modern("results", profile("draft"), following=following),
        modern("results", profile()),
    )
    assert client.fetch_account() == Account(state=AccountState.ACTIVE)


def test_reading_ends_at_a_run_of_old_messages(stub: StubServer, client: TwilioClient) -> None:
    old = [message(ago=timedelta(hours=2))] * 100
    stub.on(MESSAGES, listing("messages", message(), *old, following=f"{MESSAGES}?Page=1"))
    assert read(client) == [receipt()]
    assert len(stub.requests) == 1


def test_reading_goes_on_past_single_old_messages(stub: StubServer, client: TwilioClient) -> None:
    old = [message(ago=timedelta(hours=2))] * 99
    scheduled = message(ago=timedelta(days=3), date_sent=mail_date(NOW))
    stub.on(
        MESSAGES,
        listing("messages", *old, scheduled, *old, following=f"{MESSAGES}?Page=1"),
        listing("messages", message()),
    )
    assert read(client) == [receipt()]


def test_since_is_a_boundary_of_creation(stub: StubServer, client: TwilioClient) -> None:
    ages = [timedelta(minutes=59, seconds=59), timedelta(hours=1), timedelta(hours=1, seconds=1)]
    stub.on(MESSAGES, listing("messages", *(message(ago=age) for age in ages)))
    assert [one.created_at for one in read(client)] == [(NOW - age).timestamp() for age in ages[:2]]


def test_a_large_page_of_long_texts_is_read(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", *[message(body="\u0436" * 1600)] * 1000))
    assert len(read(client)) == 1000


def test_no_number_leaves_the_log(stub: StubServer, client: TwilioClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stub.on(NUMBERS, listing("incoming_phone_numbers", phone(NUMBER)))
    stub.on(MESSAGES, listing("messages", message(), message(status="failed", error_code=NUMBER)))
    shown = repr(read(client)) + repr(client.fetch_number(NUMBER)) + caplog.text
    assert "+49*********78" in shown
    assert NUMBER[1:] not in shown
    assert "123456" not in shown
    assert TOKEN not in shown


@given(st.text(max_size=40) | st.integers() | st.none() | st.lists(st.text()))
def test_a_date_is_a_time_or_refused(value: Any) -> None:
    try:
        moment = parse_time(value)
    except BadResponseError:
        return
    assert moment is None or math.isfinite(moment)


@pytest.mark.parametrize(
    ("to", "recipient"),
    [
        (NUMBER, NUMBER),
        (f"whatsapp:{NUMBER}", NUMBER),
        ("+1415555XXXX", ""),  # obfuscated: https://www.twilio.com/docs/messaging/guides (address retention)
        ("+\u0664\u0669151", ""),
        ("+", ""),
        ("client:alice", ""),
        ("", ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_a_message_has_a_recipient_where_it_is_told(
    to: Any, recipient: str, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, listing("messages", message(to=to)))
    assert [one.recipient for one in read(client)] == [recipient]


@pytest.mark.parametrize(
    ("changes", "after"),
    [({}, 7), ({"date_updated": None}, 1), ({"date_updated": "", "date_sent": None, "status": "queued"}, 0)],
)
def test_a_status_is_as_old_as_the_last_date_that_tells(
    changes: dict[str, Any], after: float, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, listing("messages", message(**changes)))
    assert [one.at for one in read(client)] == [CREATED + after]


@pytest.mark.parametrize(
    "odd",
    [
        {"body": "cut in two \ud83d"},
        {"status": None, "sid": sid(9)},
        {"date_created": "yesterday", "sid": sid(9)},
        {"to": ["x"], "sid": sid(9)},
    ],
)
def test_one_odd_message_changes_nothing_for_the_others(
    odd: dict[str, Any], stub: StubServer, client: TwilioClient
) -> None:
    rows = [
        message(sid=sid(1), status="failed", error_code=30007),
        message(sid=sid(2), date_created="Tue, 24 Nov 2026 09:25:00 +0200"),
        message(sid=sid(3), date_updated=None, to="+2348031234567"),
    ]
    stub.on(MESSAGES, listing("messages", *rows))
    expected = read(client)
    assert len(expected) == 3
    stub.on(MESSAGES, listing("messages", *rows, message(**odd)))
    assert read(client)[:3] == expected


def test_a_number_of_thousands_of_digits_changes_nothing_for_the_others(stub: StubServer, client: TwilioClient) -> None:
    rows = [message(sid=sid(1)), message(status="failed", error_code=7777777)]
    body = json.dumps({"messages": rows}).replace("7777777", "7" * 5000)
    stub.on(MESSAGES, stubs.answer(body.encode()))
    assert [(one.message_id, one.code) for one in read(client)] == [(sid(1), None), ("SM" + "1" * 32, None)]


def test_a_page_of_more_than_was_asked_for_is_refused(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", *[message()] * 1001))
    with pytest.raises(BadResponseError, match=r"^Twilio gives more messages than asked for$"):
        read(client)


@given(st.integers(-2_000_000_000, 30_000_000_000))
def test_a_date_is_what_the_standard_library_says(seconds: int) -> None:
    text = format_datetime(datetime.fromtimestamp(seconds, UTC))
    for _ in range(2):  # parsed, then remembered
        assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "Tue, 24 Nov 2026 24:25:00 +0000",
        "Tue, 24 Nov 2026 07:60:00 +0000",
        "Tue, 31 Feb 2026 07:25:00 +0000",
        "Tue, 24 Nox 2026 07:25:00 +0000",
        "Tue, 24 Nov 2026 07:25:-1 +0000",
    ],
)
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadResponseError):
        parse_time(text)


# ---- pages of the log


def read_one(client: TwilioClient, **asked: Any) -> LogPage:
    return client.read_page(since=(NOW - timedelta(hours=1)).timestamp(), **asked)


def test_a_page_tells_how_far_it_reaches_and_the_time(stub: StubServer, client: TwilioClient) -> None:
    body = {"messages": [message(), message(ago=timedelta(minutes=9), sid=sid(2))], "next_page_uri": None}
    stub.on(MESSAGES, stubs.answer(body, headers={"Date": "Tue, 24 Nov 2026 07:30:02 GMT"}))
    page = read_one(client)
    assert (page.resume, page.at) == (None, NOW.timestamp() + 2)
    assert page.reached == CREATED + 1 + 60  # all were among the last hundred; a minute of disorder
    stub.on(MESSAGES, listing("messages", *[message()] * 50, *[message(ago=timedelta(minutes=9))] * 100))
    assert read_one(client).reached == CREATED - 4 * 60 + 1 + 60


@pytest.mark.parametrize("headers", [{}, {"Date": "soon"}, {"Date": "Tue, 24 Nov 99999 07:30:02 GMT"}, {"Date": ""}])
def test_a_page_without_a_time(headers: dict[str, str], stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, stubs.answer({"messages": [], "next_page_uri": None}, headers=headers))
    assert read_one(client) == LogPage(receipts=[], resume=None, reached=None, at=None)


def test_a_stretch_is_asked_for_by_days_and_cut_to_the_second(stub: StubServer, client: TwilioClient) -> None:
    ages = [timedelta(minutes=minutes) for minutes in (1, 5, 10, 11)]
    stub.on(MESSAGES, listing("messages", *(message(ago=age, sid=sid(age.seconds)) for age in ages)))
    since, until = (NOW - timedelta(minutes=10)).timestamp(), (NOW - timedelta(minutes=1)).timestamp()
    page = client.read_page(since=since, until=until)
    assert [one.message_id for one in page.receipts] == [sid(300), sid(600)]
    assert stub.requests[0].query == {"PageSize": ["1000"], "DateSent<": ["2026-11-25"], "DateSent>": ["2026-11-23"]}


def test_a_bookmark_goes_on_and_holds_no_number(stub: StubServer, client: TwilioClient) -> None:
    token = "PASM" + "1" * 32
    following = f"{MESSAGES}?To=%2B4915112345678&DateSent%3E=2026-11-24&PageSize=1000&Page=1&PageToken={token}&X=1"
    stub.on(MESSAGES, listing("messages", message(), following=following))
    bookmark = read_one(client).resume
    assert bookmark == f"DateSent%3E=2026-11-24&PageSize=1000&Page=1&PageToken={token}"
    stub.on(MESSAGES, listing("messages"))
    assert read_one(client, resume=bookmark).resume is None
    assert stub.requests[-1].target == f"{MESSAGES}?{bookmark}"


@pytest.mark.parametrize(
    "following",
    [
        f"https://evil.example{MESSAGES}?Page=1",
        f"//evil.example{MESSAGES}?Page=1",
        f"{BALANCE}?Page=1",
        f"{MESSAGES}/../Calls.json?Page=1",
        MESSAGES,
        "",
        "?Page=1",
        f"{MESSAGES}?Page=x",
        f"{MESSAGES}?Page=1&Page=2",
        f"{MESSAGES}?Page=1&PageToken=4915112345678",
        f"{MESSAGES}?Page=1&PageToken=PA%2B4915112345678",
        f"{MESSAGES}?Page=1&PageToken=PA{'1' * 200}",
        f"{MESSAGES}?DateSent=%2B4915112345678",
        f"{MESSAGES}?" + "&".join(["Page=1"] * 50),
        "https://[",
        "x" * 100_000,
    ],
)
def test_a_next_page_somewhere_else_is_refused(following: str, stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGES, listing("messages", message(), following=following))
    with pytest.raises(BadResponseError) as caught:
        read_one(client)
    assert NUMBER[1:] not in str(caught.value)
    assert paths(stub) == [MESSAGES]


@pytest.mark.parametrize(
    "bookmark",
    ["", "x", "To=1", "Page=1&To=%2B49", "Page=1#x", "Page=1&Page=1", "Page=1 HTTP/1.1", "Page=1;X=1", "Page=\u0661"],
)
def test_a_bookmark_that_is_not_ours_asks_nothing(bookmark: str, stub: StubServer, client: TwilioClient) -> None:
    with pytest.raises(BadResponseError, match=r"^Twilio's message log has no such page$"):
        read_one(client, resume=bookmark)
    assert stub.requests == []


@given(st.text(max_size=80))
def test_any_text_is_a_bookmark_or_refused(text: str) -> None:
    try:
        query = parse_bookmark(text)
    except BadResponseError:
        return
    assert parse_bookmark(query) == query
    assert set(parse_qs(query)) <= {"PageSize", "Page", "PageToken", "DateSent", "DateSent<", "DateSent>"}


@pytest.mark.parametrize(("status", "code"), [(400, 20001), (404, 20404)])
def test_a_bookmark_that_aged_is_told_from_other_refusals(
    status: int, code: int, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, refusal(status, code))
    with pytest.raises(BadResponseError, match=r"^Twilio's message log no longer has this page$"):
        read_one(client, resume="Page=1&PageToken=PASM1")
    stub.on(MESSAGES, refusal(401, 20003))
    with pytest.raises(ProviderError) as caught:
        read_one(client, resume="Page=1&PageToken=PASM1")
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED


def test_the_limit_of_requests_holds_for_the_log_and_the_checks(stub: StubServer, build: Build) -> None:
    client = build(max_requests_per_second=1)
    stub.on(MESSAGES, listing("messages"))
    stub.on(BALANCE, stubs.answer({"balance": "1", "currency": "USD"}))
    read_one(client)
    with deadline(0.3), pytest.raises(DeadlineExceededError):
        client.fetch_balance()
    assert paths(stub) == [MESSAGES]


def test_the_log_lets_the_checks_go_first(stub: StubServer, build: Build) -> None:
    client = build(max_requests_per_second=1)
    stub.on(MESSAGES, listing("messages"))
    stub.on(BALANCE, stubs.answer({"balance": "1", "currency": "USD"}))
    read_one(client)

    def read_in_time() -> None:
        with deadline(1.5), suppress(DeadlineExceededError):
            read_one(client)

    with ThreadPoolExecutor(8) as pool:
        for _ in range(7):
            pool.submit(read_in_time)
        time.sleep(0.2)  # they wait already
        pool.submit(client.fetch_balance)
    assert paths(stub) == [MESSAGES, BALANCE]


# ---- what leaves the adapter


GOOD: Final[Mapping[str, Any]] = {
    ACCOUNT: {"sid": SID, "owner_account_sid": SID, "status": "active", "type": "Full"},
    PROFILES: {"results": [profile()], "meta": {"key": "results", "next_page_url": None}},
    BALANCE: {"balance": "12.34", "currency": "USD"},
    ALL_TIME: {"usage_records": [usage("1234.5")], "next_page_uri": None},
    DAILY: {"usage_records": [usage("2.25")], "next_page_uri": None},
    NUMBERS: {"incoming_phone_numbers": [phone(TOLL_FREE)], "next_page_uri": None},
    VERIFICATIONS: {"verifications": [{"status": "TWILIO_APPROVED"}], "meta": {"key": "verifications"}},
    SERVICES: {"sid": SERVICE, "friendly_name": "codes"},
    f"{SERVICES}/PhoneNumbers": {"phone_numbers": [{"phone_number": "+14155550123"}], "meta": {"key": "phone_numbers"}},
    f"{SERVICES}/ShortCodes": {"short_codes": [{"sid": "SC1"}], "meta": {"key": "short_codes"}},
    f"{SERVICES}/AlphaSenders": {"alpha_senders": [{"sid": "AI1"}], "meta": {"key": "alpha_senders"}},
    CAMPAIGNS: {"compliance": [{"campaign_status": "VERIFIED"}], "meta": {"key": "compliance"}},
    COUNTRIES: {"permissions": [{"country_code": "US", "type": "country", "enabled": True}]},
    MESSAGES: {
        "messages": [message(), message(sid=sid(2), status="failed", error_code="30007")],
        "next_page_uri": None,
    },
    "/status/api/v2/summary.json": {
        "components": [{"name": "SMS", "status": "operational", "group": False}],
        "incidents": [{"name": "x", "status": "new", "impact": "minor", "components": [{"name": "SMS"}]}],
    },
}

READINGS: Final[Mapping[str, Callable[[TwilioClient], object]]] = {
    "account": lambda client: client.fetch_account(),
    "balance": lambda client: client.fetch_balance(),
    "spend": lambda client: client.fetch_spend(),
    "number": lambda client: client.fetch_number(TOLL_FREE),
    "messaging service": lambda client: client.fetch_messaging_service(SERVICE, countries=["US"]),
    "country permissions": lambda client: client.fetch_country_permissions(["US"]),
    "service status": lambda client: client.fetch_service_status(),
    "messages": read,
}


def spoilt(value: Any, spoil: Callable[[str], str]) -> Iterator[Any]:
    """Yield a value of JSON once for each text in it, with that text spoilt."""
    if isinstance(value, str):
        yield spoil(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from (value | {key: other} for other in spoilt(item, spoil))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in spoilt(item, spoil))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Receipt):
        yield from texts(msgspec.structs.astuple(msgspec.structs.replace(value, recipient="")))  # it stays inside
    elif is_dataclass(value):
        yield from (text for one in fields(value) for text in texts(getattr(value, one.name)))
    elif isinstance(value, list | tuple):
        yield from (text for one in value for text in texts(one))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "\ud800",
        lambda text: "\x1b[31m" + text,
        lambda text: text + "\n",
        lambda text: text + NUMBER,
        lambda text: text + "x" * 5000,
    ],
    ids=["surrogate", "control", "line", "number", "long"],
)
def test_no_text_that_leaves_is_harmful(
    reading: str, spoil: Callable[[str], str], stub: StubServer, client: TwilioClient, notes: Notes
) -> None:
    for path, body in GOOD.items():
        stub.on(path, stubs.answer(body))
    assert READINGS[reading](client)
    asked = set(paths(stub))
    for path in asked:
        for body in spoilt(GOOD[path], spoil):
            stub.on(path, stubs.answer(body))
            try:
                found: Any = READINGS[reading](client)
            except ProviderError as error:
                found = [str(error), error.code]
            for text in [*texts(found), *notes.unmapped]:
                assert NUMBER[1:] not in text
                assert len(text) <= 100
                assert [letter for letter in text if unicodedata.category(letter)[0] == "C"] == []
        stub.on(path, stubs.answer(GOOD[path]))


# ---- the table of codes

NAMED_CODES: Final = """
    20003 70051 20006 20008 20151 20101 20104 20107 20004 20404 20403 20005 10001 90010 20010 30002 10002 21608
    21607 21219 14111 572005 60238 21408 60605 60220 21211 21265 21266 21604 21614 21635 60205 30006 21610 21612
    21212 21601 21606 21661 21603 21616 21657 21659 21660 21701 21705 21702 21703 21704 30018 30024 30032 30440
    30441 30442 30443 30444 30445 30446 30447 30448 30449 30451 30879 30034 30035 30033 21729 30022 30023 30027
    21611 30001 30036 21624 90007 14107 30003 30004 30005 30007 21618 30008 30017 30410 30010 30038 30450 60410
    60413 60200 60202 60203 60212 60204 60223 60001 20429 60616 60600 60601 60606 60699 20500 20503 30500 30020
    30021 21730 11200 11205 11210 15003 57012 21609 21619 21602 21617 20422 20001 70002
"""


def test_every_code_is_in_the_table_once() -> None:
    assert {str(code) for code in ERROR_CODES} == set(NAMED_CODES.split())
    assert len(ERROR_CODES) == 122


def test_no_row_overwrites_another(request: pytest.FixtureRequest) -> None:
    source = (request.config.rootpath / "checks/providers/twilio/codes.py").read_text()
    table = source.partition("ERROR_CODES: Final = _expand(")[2].partition("# fmt: on")[0]
    written = [code for line in table.splitlines() for code in line.partition("[")[2].partition("]")[0].split(",")]
    assert len([code for code in written if code.strip()]) + len(range(30440, 30450)) == 122


@pytest.mark.parametrize("code", ERROR_CODES)
def test_a_row_is_complete(code: int) -> None:
    row = ERROR_CODES[code]
    assert row.reason in set(Reason) - {Reason.OK}
    assert row.source in (PAGE, LIST)


def test_a_code_has_a_page() -> None:
    assert error_page(30007) == "https://www.twilio.com/docs/api/errors/30007"


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        (Reason.CREDENTIALS_REJECTED, [20003, 20008, 20104]),
        (Reason.ACCOUNT_SUSPENDED, [20005, 10001, 20403, 30002, 90010]),
        (Reason.ACCOUNT_RESTRICTED, [21608, 20010, 60238, 60204, 60606]),
        (Reason.COUNTRY_NOT_PERMITTED, [21408, 60605, 60220]),
        (Reason.RECIPIENT_INVALID, [21211, 30005]),
        (Reason.RECIPIENT_UNREACHABLE, [30003]),
        (Reason.RECIPIENT_BLOCKED, [30004]),
        (Reason.RECIPIENT_LANDLINE, [30006, 21614]),
        (Reason.RECIPIENT_OPTED_OUT, [21610]),
        (Reason.SENDER_INVALID, [21606, 21612, 21703]),
        (Reason.SENDER_UNREGISTERED, [30032, 30034, 30445, 21729]),
        (Reason.RATE_LIMITED, [20429, 30001, 30022, 30023, 21611]),
        (Reason.DELIVERY_SLOW, [30036]),
        (Reason.OPERATOR_BLOCKING, [30007, 21618]),
        (Reason.DELIVERY_FAILING, [30008, 30017, 30410, 30010, 30038]),
        (Reason.SMS_PUMPING, [30450, 60410, 60413]),
        (Reason.TOO_MANY_ATTEMPTS, [60202, 60203, 60212]),
        (Reason.PROVIDER_OUTAGE, [20500, 20503, 30500]),
        (Reason.RECEIPTS_MISSING, [11200, 57012]),
        (Reason.INTERNAL, [21604, 20422, 70002]),
    ],
)
def test_a_code_means_its_reason(reason: Reason, codes: list[int]) -> None:
    assert [ERROR_CODES[code].reason for code in codes] == [reason] * len(codes)


# ---- settings


def settings(**changes: Any) -> TwilioSettings:
    plain: dict[str, Any] = {"type": "twilio", "account_sid": SID, "auth_token": Secret(TOKEN)}
    return TwilioSettings.model_validate({key: value for key, value in (plain | changes).items() if value is not None})


def test_settings_have_defaults() -> None:
    plain = settings()
    assert (plain.status_page, plain.base_url, plain.timeout, plain.error_codes) == (
        "https://status.twilio.com",
        None,
        10.0,
        {},
    )
    assert TOKEN not in repr(plain)


@pytest.mark.parametrize(
    "changes",
    [
        {"auth_token": None},
        {"auth_token": None, "api_key": KEY},
        {"auth_token": None, "api_key_secret": Secret("x")},
        {"api_key": KEY},
        {"api_key": KEY, "api_key_secret": Secret("x")},
    ],
)
def test_there_is_one_way_to_authenticate(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    (problem,) = caught.value.errors()
    assert problem["msg"] == "needs either auth_token, or api_key and api_key_secret"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"account_sid": "AC1"}, ("account_sid",)),
        ({"account_sid": KEY}, ("account_sid",)),
        ({"account_sid": SID + "\n"}, ("account_sid",)),
        ({"api_key": SID, "api_key_secret": Secret("x"), "auth_token": None}, ("api_key",)),
        ({"auth_token": "inline"}, ("auth_token",)),
        ({"base_url": "http://api.example.com"}, ("base_url",)),
        ({"type": "vonage"}, ("type",)),
        ({"colour": "red"}, ("colour",)),
    ],
)
def test_settings_are_checked(changes: dict[str, Any], where: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    assert [problem["loc"] for problem in caught.value.errors()] == [where]


def test_codes_can_be_overridden() -> None:
    assert settings(error_codes={30003: "operator_blocking"}).error_codes == {30003: Reason.OPERATOR_BLOCKING}


@pytest.mark.parametrize("word", ["operator_blokcing", "ok", 5, None, ["operator_blocking"]])
def test_an_override_must_be_a_reason(word: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(error_codes={30003: word})
    (problem,) = caught.value.errors()
    assert (problem["loc"], problem["msg"]) == (
        ("error_codes", 30003),
        'must be a reason such as "operator_blocking"',
    )


@pytest.mark.parametrize("key", ["30003", True, 1.5])
def test_an_override_is_for_a_number(key: Any) -> None:
    with pytest.raises(ValidationError):
        settings(error_codes={key: "operator_blocking"})


def test_every_setting_is_described() -> None:
    properties = TwilioSettings.model_json_schema()["properties"]
    assert [name for name, schema in properties.items() if not schema.get("description")] == []


# ---- the rest


def test_a_client_is_built_from_its_settings() -> None:
    client = build_client(settings())
    client.close()
    assert isinstance(client, TwilioClient)
    assert PROVIDERS["twilio"].settings is TwilioSettings


def test_importing_the_adapter_does_not_import_the_sdk() -> None:
    program = "import sys, checks.providers; sys.exit(any(name.split('.')[0] == 'twilio' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_environment_does_not_change_the_host(
    stub: StubServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    stub.on(MESSAGES, listing("messages"))
    build().verify_credentials()
    assert paths(stub) == [MESSAGES]


def test_not_found_is_not_hidden_where_it_is_no_answer(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ACCOUNT, refusal(404, 20404))
    with pytest.raises(NotFoundError):
        client.fetch_account()


def test_the_sandbox_speaks_the_same_language(notes: Notes) -> None:
    with Sandbox() as sandbox:
        known = sandbox.credentials
        client = TwilioClient(
            TwilioSettings.model_validate(
                {
                    "type": "twilio",
                    "account_sid": known.account_sid,
                    "api_key": known.api_key_sid,
                    "api_key_secret": Secret(known.api_key_secret),
                    "base_url": sandbox.url,
                    "status_page": sandbox.statuspage_url,
                }
            ),
            observer=notes,
        )
        client.verify_credentials()
        with pytest.raises(PermissionMissingError):
            client.fetch_account()
        assert client.fetch_balance() is not None
        assert client.fetch_spend() is not None
        assert client.fetch_number(known.toll_free) == Sender(label="+1********99")
        assert client.fetch_messaging_service(known.messaging_service_sid, countries=["US"]).pool_size == 3
        assert client.fetch_country_permissions(["DE"]) == CountryPermissions()
        assert client.fetch_service_status().components
        receipts = read(client, datetime.now(UTC) - timedelta(hours=2))
        client.close()
    assert {one.status for one in receipts} >= {Status.DELIVERED, Status.UNDELIVERED}
    assert (notes.unreadable, notes.unmapped) == (0, [])
