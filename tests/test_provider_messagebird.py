"""MessageBird's wire: what is asked, what is understood of the answers, and which status reports are believed.

Answers are those of developers.messagebird.com (SMS API, Balance API) and of the test data of MessageBird's own
libraries (php-rest-api 26068f6, go-rest-api ffc5cb9), read 2026-11; times and numbers are ours.
"""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from checks.balance import BalanceSettings, check_balance
from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import CanaryStatus, Money
from checks.errors import NotFoundError, ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.messagebird import ERROR_CODES, MessageBirdClient, MessageBirdSettings, verified_claims
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from exporter.meters import ForwardOutcome, Meters
from exporter.storage import Storage
from exporter.web.public import serve_public
from exporter.web.server import bind
from tests.fakes import Told, past
from tests.processes import wait_for
from tests.stub_server import StubServer, answer

KEY = "live-key-7d41c09a55aa"
SIGNING_KEY = "signing-key-55aa7d41"
NUMBER = "31612345678"
MESSAGE_ID = "e8077d803532c0b5937c639b60216938"
SINCE = 1_665_600_000.0  # 2022-10-12T18:40:00Z
UNTIL = 1_665_601_000.0


def recipient(**changes: Any) -> dict[str, Any]:
    return {
        "recipient": int(NUMBER),
        "originator": None,
        "status": "delivered",
        "statusDatetime": "2022-10-12T18:46:24+00:00",
        "recipientCountry": "Netherlands",
        "recipientCountryPrefix": 31,
        "recipientOperator": "KPN",
        "messageLength": 20,
        "statusErrorCode": None,
        "statusReason": "successfully delivered",
        "price": {"amount": 0.076, "currency": "EUR"},
        "mccmnc": "20408",
        "mcc": "204",
        "mnc": "08",
        "messagePartCount": 1,
        **changes,
    }


def message(*recipients: Any, **changes: Any) -> dict[str, Any]:
    items = list(recipients or [recipient()])
    return {
        "id": MESSAGE_ID,
        "href": f"https://rest.messagebird.com/messages/{MESSAGE_ID}",
        "direction": "mt",
        "type": "sms",
        "originator": "Acme",
        "body": "Hi there",
        "reference": None,
        "validity": None,
        "gateway": 10,
        "typeDetails": {"verify": True},
        "datacoding": "plain",
        "mclass": 1,
        "scheduledDatetime": None,
        "createdDatetime": "2022-10-12T18:46:22+00:00",
        "recipients": {"totalCount": len(items), "totalSentCount": 1, "items": items},
        **changes,
    }


def listing(*messages: Any, offset: int = 0, total: int | None = None) -> dict[str, Any]:
    count = len(messages)
    total = offset + count if total is None else total
    return {"offset": offset, "limit": 100, "count": count, "totalCount": total, "items": list(messages)}


def refused(*errors: tuple[int, str | None]) -> dict[str, Any]:
    return {"errors": [{"code": code, "description": NUMBER, "parameter": name} for code, name in errors]}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> MessageBirdSettings:
    given = {"type": "messagebird", "access_key": Secret(KEY), "base_url": url, **more}
    return MessageBirdSettings.model_validate(given)


@pytest.fixture
def client(stub: StubServer) -> Iterator[MessageBirdClient]:
    with closing(MessageBirdClient(settings(stub.url))) as made:
        yield made


# Money


@pytest.mark.parametrize(
    ("unit", "currency"), [("euros", "EUR"), ("pounds", "GBP"), ("dollars", "USD"), ("AUD", "AUD"), ("sek", "SEK")]
)
def test_the_balance_is_in_the_currency_that_its_type_names(
    client: MessageBirdClient, stub: StubServer, unit: str, currency: str
) -> None:
    stub.on("/balance", answer({"payment": "prepaid", "type": unit, "amount": 103}))
    assert client.fetch_balance() == Money(amount=103.0, currency=currency)
    assert client.fetch_spend() is None  # type: ignore[func-returns-value]
    (request,) = stub.requests
    assert (request.method, request.query) == ("GET", {})
    assert request.headers["authorization"] == f"AccessKey {KEY}"


def test_a_balance_in_credits_is_no_money_and_the_key_is_good_all_the_same(
    client: MessageBirdClient, stub: StubServer
) -> None:
    stub.on("/balance", answer({"payment": "prepaid", "type": "credits", "amount": 9.2}))
    client.verify_credentials()
    with pytest.raises(ProviderError) as caught:
        client.fetch_balance()
    assert (caught.value.reason, str(caught.value)) == (
        Reason.BAD_RESPONSE,
        "MessageBird tells this account's balance in credits, which are no money",
    )


def test_the_zero_of_an_account_that_pays_later_is_not_an_empty_balance(
    client: MessageBirdClient, stub: StubServer
) -> None:
    stub.on("/balance", answer({"payment": "postpaid", "type": "euros", "amount": 0}))
    result = check_balance(client, BalanceSettings(target="m"), past())
    assert (result.reason, result.measured) == (Reason.OK, ())


@pytest.mark.parametrize("unit", ["", "coins", "E1", 7, None])
def test_a_balance_in_nothing_known_is_not_understood(client: MessageBirdClient, stub: StubServer, unit: Any) -> None:
    stub.on("/balance", answer({"payment": "prepaid", "type": unit, "amount": 103}))
    with pytest.raises(ProviderError) as caught:
        client.fetch_balance()
    assert caught.value.reason is Reason.BAD_RESPONSE


# Errors


@pytest.mark.parametrize(
    ("status", "errors", "reason", "code"),
    [
        (401, [(2, "access_key")], Reason.CREDENTIALS_REJECTED, "api-2"),
        (401, [(2, "access_key"), (9, "recipients")], Reason.CREDENTIALS_REJECTED, "api-2"),
        (422, [(9, "recipients")], Reason.RECIPIENT_INVALID, "api-9-recipients"),
        (422, [(10, "originator")], Reason.SENDER_INVALID, "api-10-originator"),
        (422, [(9, "body")], Reason.INTERNAL, "api-9"),
        (422, [(10, None)], Reason.INTERNAL, "api-10"),
        (422, [(25, None)], Reason.BALANCE_EXHAUSTED, "api-25"),
        (422, [(77, None)], Reason.BAD_RESPONSE, "api-77"),
        (200, [(25, None)], Reason.BALANCE_EXHAUSTED, "api-25"),
        (503, [(25, None)], Reason.PROVIDER_OUTAGE, "api-25"),
        (401, [], Reason.CREDENTIALS_REJECTED, None),
        (403, [], Reason.PERMISSION_MISSING, None),
    ],
)
def test_a_refusal_has_its_reason(
    client: MessageBirdClient, stub: StubServer, status: int, errors: Any, reason: Reason, code: str | None
) -> None:
    stub.on("/messages", answer(refused(*errors), status=status))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert str(caught.value) == f"MessageBird answers HTTP {status}" + (f", code {code}" if code else "")


def test_every_code_names_its_source() -> None:
    assert {row.source.split()[0] for row in ERROR_CODES.values()} == {
        "docs.bird.com:",
        "3GPP",
        "unverified:",
        "ResponseError",
        "parameter",
    }


# The log


def test_a_page_of_the_log_is_asked_for_by_its_span(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on("/messages", answer(listing(message())))
    page = client.read_page(since=SINCE, until=UNTIL)
    assert page.receipts == [
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=1_665_600_384.0,
            created_at=1_665_600_382.0,
            recipient=f"+{NUMBER}",
            country="NL",
            operator="KPN",
            delivery_seconds=2.0,
        )
    ]
    assert (page.resume, page.reached) == (None, SINCE)
    (request,) = stub.requests
    assert request.query == {
        "direction": ["mt"],
        "from": ["2022-10-12T18:39:59+00:00"],
        "until": ["2022-10-12T18:56:41+00:00"],
        "limit": ["100"],
        "offset": ["0"],
    }


def test_what_is_asked_for_beyond_the_span_is_not_told(client: MessageBirdClient, stub: StubServer) -> None:
    moments = ["2022-10-12T18:39:59+00:00", "2022-10-12T18:40:00+00:00", "2022-10-12T18:56:40+00:00"]
    stub.on(
        "/messages", answer(listing(*[message(id=f"{n:032x}", createdDatetime=at) for n, at in enumerate(moments)]))
    )
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.created_at == SINCE


def test_pages_of_any_size_follow_by_their_offset(stub: StubServer) -> None:
    """It gives fewer than were asked for, and one more message comes meanwhile."""
    pages = [
        listing(message(id="a" * 32), message(id="b" * 32), total=3),
        listing(message(id="b" * 32), message(id="c" * 32), offset=2, total=4),
    ]
    stub.on("/messages", *map(answer, pages))
    with closing(MessageBirdClient(settings(stub.url, log_page_size=50))) as client:
        first = client.read_page(since=SINCE, until=UNTIL)
        assert (first.resume, first.reached) == ("since=1665600000&until=1665601000&offset=2", UNTIL)
        second = client.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert ([each.message_id[0] for each in second.receipts], second.resume) == (["b", "c"], None)
    assert [(each.query["limit"], each.query["offset"]) for each in stub.requests] == [
        (["50"], ["0"]),
        (["50"], ["2"]),
    ]


def test_an_empty_page_is_the_last_one(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on("/messages", answer(listing(total=9)))
    assert client.read_page(since=SINCE, until=UNTIL).resume is None


def test_another_page_than_asked_for_is_refused(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on("/messages", answer(listing(message(), total=9)))
    first = client.read_page(since=SINCE, until=UNTIL)
    with pytest.raises(ProviderError, match="another page than asked for"):
        client.read_page(since=SINCE, until=UNTIL, resume=first.resume)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("scheduled", None, (Status.ACCEPTED, None, None)),
        ("sent", None, (Status.SENT, None, None)),
        ("buffered", 27, (Status.SENT, None, None)),
        ("delivered", None, (Status.DELIVERED, None, None)),
        ("delivery_failed", None, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("delivery_failed", 0, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("delivery_failed", 1, (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "1")),
        ("delivery_failed", "9", (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "9")),
        ("delivery_failed", 11, (Status.UNDELIVERED, Reason.RECIPIENT_LANDLINE, "11")),
        ("delivery_failed", 13, (Status.UNDELIVERED, Reason.RECIPIENT_BLOCKED, "13")),
        ("delivery_failed", 27, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "27")),
        ("delivery_failed", "34", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "34")),
        ("delivery_failed", 256, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "256")),
        ("expired", None, (Status.UNDELIVERED, Reason.DELIVERY_SLOW, None)),
        ("expired", 27, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "27")),
    ],
)
def test_a_status_and_its_code_have_their_reason(
    client: MessageBirdClient, stub: StubServer, status: str, code: Any, expected: Any
) -> None:
    stub.on("/messages", answer(listing(message(recipient(status=status, statusErrorCode=code)))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


def test_a_code_of_the_api_is_no_code_of_a_message(stub: StubServer) -> None:
    """2 is a wrong access key there and an unknown base station here; 25 is no money there and nothing here."""
    items = [message(recipient(status="delivery_failed", statusErrorCode=code)) for code in (2, 25)]
    stub.on("/messages", answer(listing(*items)))
    with closing(MessageBirdClient(settings(stub.url, error_codes={"api-2": "account_suspended"}))) as client:
        told = client.read_page(since=SINCE, until=UNTIL).receipts
    assert [(each.reason, each.code_is_mapped) for each in told] == [
        (Reason.RECIPIENT_INVALID, True),
        (Reason.DELIVERY_FAILING, False),
    ]


def test_a_message_to_several_is_told_once_for_each_and_names_no_number(
    client: MessageBirdClient, stub: StubServer
) -> None:
    to = [recipient(recipient=31600000003), recipient(recipient=31600000001, status="expired"), recipient()]
    stub.on("/messages", answer(listing(message(*to))), answer(listing(message(*reversed(to)))))
    told = client.read_page(since=SINCE, until=UNTIL).receipts
    ids = {each.recipient: each.message_id for each in told}
    assert ids["+31600000001"] == MESSAGE_ID  # that of the reports
    assert len(set(ids.values())) == 3
    assert all(number.lstrip("+") not in repr(told) for number in ids)
    again = client.read_page(since=SINCE, until=UNTIL).receipts
    assert {each.recipient: each.message_id for each in again} == ids
    assert [each.status for each in told].count(Status.UNDELIVERED) == 1


def test_a_message_that_was_scheduled_has_no_delivery_time(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on("/messages", answer(listing(message(scheduledDatetime="2022-10-12T18:46:23+00:00"))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.delivery_seconds) == (Status.DELIVERED, None)


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [
        message(recipient(status="melancholic")),
        message(recipient(status=7)),
        message(id="../x"),
        message(createdDatetime="yesterday"),
        message(recipients=5),
        message(recipients={"items": ["a"]}),
    ]
    inbound, to_nobody = message(direction="mo"), message(recipients={"totalCount": 0, "items": []})
    stub.on("/messages", answer(listing(message(), inbound, to_nobody, *bad)))
    with closing(MessageBirdClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 1
        stub.on("/messages", answer(listing(*[message(recipients=5)] * 5)))
        with pytest.raises(ProviderError, match="cannot be understood"):
            client.read_page(since=SINCE, until=UNTIL)
    assert told.unreadable == len(bad)


# The canary


def test_a_canary_is_sent_with_its_validity(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on("/messages", answer(message(recipient(status="sent")), status=201))
    assert client.send_canary(to=f"+{NUMBER}", sender="Acme", text="ä & b", validity_seconds=300) == MESSAGE_ID
    (request,) = stub.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {
        "originator": "Acme",
        "recipients": [NUMBER],
        "body": "ä & b",
        "datacoding": "auto",
        "validity": 300,
    }


def test_a_canary_is_followed_by_its_id(client: MessageBirdClient, stub: StubServer) -> None:
    unpriced = recipient(status="sent", price={"amount": None, "currency": None})
    failed = recipient(status="delivery_failed", statusErrorCode=27)
    stub.on(f"/messages/{MESSAGE_ID}", answer(message(unpriced)), answer(message(failed)))
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.SENT)
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.UNDELIVERED, reason=Reason.RECIPIENT_UNREACHABLE, code="27", cost=0.076, currency="EUR"
    )


def test_a_canary_of_which_nothing_is_known_is_not_found(client: MessageBirdClient, stub: StubServer) -> None:
    stub.on(f"/messages/{MESSAGE_ID}", answer(refused((20, None)), status=404))
    with pytest.raises(NotFoundError):
        client.fetch_canary(MESSAGE_ID)


@pytest.mark.parametrize(
    "told", [message(id="f" * 32), message(recipient(), recipient(recipient=31600000001)), message(direction="mo")]
)
def test_another_message_than_the_canary_is_refused(client: MessageBirdClient, stub: StubServer, told: Any) -> None:
    stub.on(f"/messages/{MESSAGE_ID}", answer(told))
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(MESSAGE_ID)


# Status reports

AT = 1_665_600_385.0
URL = "https://codes.example.com/callbacks/messagebird"

# signature_jwt/testdata/reference.json of messagebird/go-rest-api ffc5cb9
REFERENCE_KEY = "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb"
REFERENCE_URL = "https://example.com/path?bar=1&foo=2"
REFERENCE_HEAD = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
WITHOUT_BODY = (
    REFERENCE_HEAD
    + "eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJqdGkiOiJjOTQ2YWY3Ny1lMTgyLT"
    "RlYWEtYjJmZi0xYTU0NWI1ZTk5MWEiLCJ1cmxfaGFzaCI6IjQxZjA1ZjBkZGQwYTIyYWIyMDlhYzQ2ZjQ3YzQ1NzJkOWNlZmEyNTdlZDc0YjI0MDA0YmFlNzUz"
    "ZWNlNmMyNjAifQ.huo2ou6JDoDc7sV25d75UMWeYhBeavQlLsqIibSZuac"
)
WITH_BODY = (
    REFERENCE_HEAD
    + "eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwMCwiZXhwIjoxNjI1NDc5MjYwLCJqdGkiOiI5M2U1NTAwNi1hMGU4LT"
    "Q1MjYtYTE5MC1mYTVmZjAwZWExMTYiLCJ1cmxfaGFzaCI6IjQxZjA1ZjBkZGQwYTIyYWIyMDlhYzQ2ZjQ3YzQ1NzJkOWNlZmEyNTdlZDc0YjI0MDA0YmFlNzUz"
    "ZWNlNmMyNjAiLCJwYXlsb2FkX2hhc2giOiJkZmZkNjAyMWJiMmJkNWIwYWY2NzYyOTA4MDllYzNhNTMxOTFkZDgxYzdmNzBhNGIyODY4OGEzNjIxODI5ODZmIn"
    "0._H--TOuYFLpeEH39-rg5E3IHVkjHozBcaKVWPRC5m9I"
)
BODY = b"Hello, World!"


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token_of(url: str, *, key: str = SIGNING_KEY, head: Any = None, method: str = "sha256", **changes: Any) -> str:
    claims = {
        "iss": "MessageBird",
        "nbf": int(AT),
        "exp": int(AT) + 60,
        "jti": "c946af77-e182-4eaa-b2ff-1a545b5e991a",
        "url_hash": sha256(url.encode()).hexdigest(),
        **changes,
    }
    head = {"alg": f"HS{method.removeprefix('sha')}", "typ": "JWT"} if head is None else head
    signed = f"{encoded(head)}.{encoded({name: value for name, value in claims.items() if value is not None})}"
    return f"{signed}.{encoded(hmac.digest(key.encode(), signed.encode(), method))}"


def report(**changes: str) -> str:
    """Return the query of support.messagebird.com 360001869258, with the fields that came later."""
    return urlencode(
        {
            "id": MESSAGE_ID,
            "reference": "YourReference123",
            "recipient": NUMBER,
            "status": "delivered",
            "statusDatetime": "2022-10-12T18:46:24+00:00",
            "mccmnc": "20408",
            **changes,
        }
    )


def callback(query: str, *, body: bytes = b"", at: float = AT, url: str = URL, **token: Any) -> Callback:
    signature = token_of(f"{url}?{query}" if query else url, **token)
    return Callback(query, {"messagebird-signature-jwt": signature}, body, at)


def receiver(**more: Any) -> MessageBirdClient:
    return MessageBirdClient(settings(callbacks={"public_url": URL, "signing_key": Secret(SIGNING_KEY), **more}))


def outcome_of(given: Callback) -> CallbackOutcome:
    with closing(receiver()) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(given)
    return caught.value.outcome


def test_tokens_of_the_vendors_own_libraries_are_verified() -> None:
    key = Secret(REFERENCE_KEY)
    claims = verified_claims(WITHOUT_BODY, key, REFERENCE_URL, b"")
    assert claims is not None
    assert (claims["nbf"], claims["exp"]) == (1_625_479_200, 1_625_479_260)
    assert verified_claims(WITH_BODY, key, REFERENCE_URL, BODY) is not None


@pytest.mark.parametrize(
    ("token", "key", "url", "body"),
    [
        (WITHOUT_BODY, REFERENCE_KEY + "0", REFERENCE_URL, b""),
        (WITHOUT_BODY, REFERENCE_KEY, "https://example.com/path?foo=2&bar=1", b""),
        (WITHOUT_BODY, REFERENCE_KEY, "http://example.com/path?bar=1&foo=2", b""),
        (WITHOUT_BODY, REFERENCE_KEY, REFERENCE_URL, BODY),
        (WITH_BODY, REFERENCE_KEY, REFERENCE_URL, b""),
        (WITH_BODY, REFERENCE_KEY, REFERENCE_URL, BODY + b"!"),
        (WITHOUT_BODY[:-1] + "d", REFERENCE_KEY, REFERENCE_URL, b""),
        (WITHOUT_BODY.rpartition(".")[0] + ".", REFERENCE_KEY, REFERENCE_URL, b""),
        ("", REFERENCE_KEY, REFERENCE_URL, b""),
    ],
)
def test_a_token_for_something_else_is_refused(token: str, key: str, url: str, body: bytes) -> None:
    assert verified_claims(token, Secret(key), url, body) is None


@pytest.mark.parametrize("method", ["sha256", "sha384", "sha512"])
def test_a_report_is_believed_by_each_method_of_signing(method: str) -> None:
    with closing(receiver()) as client:
        (receipt,) = client.read_callback(callback(report(), method=method))
    assert receipt == Receipt(
        message_id=MESSAGE_ID,
        status=Status.DELIVERED,
        at=AT,
        recipient=f"+{NUMBER}",
        country="NL",
        operator="KPN",
        source=Source.CALLBACK,
    )


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none"},
        {"alg": "HS1"},
        {"alg": "RS256"},
        {"alg": ["HS256"]},
        {"alg": None},
        {},
        [],
        b"\xff",
        b"[" * 700,
    ],
)
def test_no_token_chooses_how_it_is_verified(head: Any) -> None:
    assert outcome_of(callback(report(), head=head)) is CallbackOutcome.BAD_SIGNATURE


def test_an_unsigned_token_is_refused() -> None:
    token = token_of(f"{URL}?{report()}", head={"alg": "none"}).rpartition(".")[0]
    for signature in (f"{token}.", token, f"{token}.AAAA"):
        given = Callback(report(), {"messagebird-signature-jwt": signature}, b"", AT)
        assert outcome_of(given) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize(
    "token",
    [
        {"key": "another"},
        {"iss": "Message"},
        {"iss": None},
        {"url_hash": None},
        {"url_hash": ["a"]},
        {"payload_hash": sha256(b"x").hexdigest()},
    ],
)
def test_a_report_of_somebody_else_is_refused(token: dict[str, Any]) -> None:
    assert outcome_of(callback(report(), **token)) is CallbackOutcome.BAD_SIGNATURE


def test_a_report_for_another_url_is_refused() -> None:
    assert outcome_of(callback(report(), url="https://evil.example.com/")) is CallbackOutcome.BAD_SIGNATURE


def test_a_report_without_a_signature_is_refused() -> None:
    assert outcome_of(Callback(report(), {}, b"", AT)) is CallbackOutcome.UNSIGNED


@pytest.mark.parametrize(("age", "is_taken"), [(-301, False), (-299, True), (0, True), (119, True), (121, False)])
def test_a_report_of_another_time_is_refused(age: float, is_taken: bool) -> None:
    given = callback(report(), at=AT + age)
    if is_taken:
        with closing(receiver()) as client:
            assert len(client.read_callback(given)) == 1
    else:
        assert outcome_of(given) is CallbackOutcome.REPLAYED


@pytest.mark.parametrize(
    "claims", [{"nbf": None}, {"exp": None}, {"nbf": "soon"}, {"exp": True}, {"nbf": -1}, {"exp": 10**400}, {"exp": 5}]
)
def test_a_report_without_its_times_is_refused(claims: dict[str, Any]) -> None:
    outcome = outcome_of(callback(report(), at=AT + 61, **claims))
    assert outcome in (CallbackOutcome.MALFORMED, CallbackOutcome.REPLAYED)


@pytest.mark.parametrize("query", [report(id="../x"), report() + "&status=sent", "id=%ff&status=delivered"])
def test_a_signed_report_that_makes_no_sense_is_refused(query: str) -> None:
    assert outcome_of(callback(query)) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize("query", [report(status="to_come"), "id=1&originator=31612345678&body=STOP", ""])
def test_what_is_no_report_says_nothing(query: str) -> None:
    with closing(receiver()) as client:
        assert client.read_callback(callback(query)) == ()


def test_a_number_with_its_plus_sign_and_a_code_are_understood() -> None:
    query = report(status="delivery_failed", statusErrorCode="27").replace(NUMBER, f"+{NUMBER}")
    with closing(receiver()) as client:
        (receipt,) = client.read_callback(callback(query))
    assert (receipt.recipient, receipt.reason) == (f"+{NUMBER}", Reason.RECIPIENT_UNREACHABLE)


def test_a_report_is_taken_as_a_get_request_and_sent_on_as_one(tmp_path: Path, stub: StubServer) -> None:
    stub.on("/hooks", answer(b""))
    meters = Meters()
    storage = Storage.open(tmp_path / "x.db", meters)
    query = report()
    now = int(time.time())
    token = token_of(f"{URL}?{query}", nbf=now, exp=now + 60)
    with (
        closing(receiver(forward_to=f"{stub.url}/hooks")) as client,
        serve_public(bind("127.0.0.1:0"), lambda: {"m": client}, storage.messages, meters, time.time) as url,
    ):

        def get(target: str, **headers: str) -> int:
            return requests.get(f"{url}/callbacks/{target}?{query}", headers=headers, timeout=10).status_code

        assert get("m", **{"MessageBird-Signature-JWT": token}) == 204
        assert get("m", **{"MessageBird-Signature-JWT": token[:-4]}) == 403
        assert get("m") == 403
        assert get("other") == 404
        wait_for(lambda: meters.read().forwards.get(("m", ForwardOutcome.TAKEN)))
    messages = {status.value: total for (_, status), total in storage.snapshot().tallies["m"].messages.items()}
    storage.close()
    assert messages["delivered"] == 1
    (sent_on,) = stub.requests
    assert (sent_on.method, sent_on.target, sent_on.body) == ("GET", f"/hooks?{query}", b"")
    assert sent_on.headers["messagebird-signature-jwt"] == token


# The configuration

PROVIDER = "providers:\n  m: {type: messagebird, access_key: {env: TEST_SECRET}}\n"


def test_a_check_that_messagebird_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", KEY)
    path = tmp_path / "c.yml"
    path.write_text(PROVIDER + "checks:\n  a: {type: account, target: m}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    assert [problem.removeprefix(f"{path}: ") for problem in caught.value.problems] == [
        "checks.a.target: the provider type messagebird cannot answer the check account; it can answer:"
        " credentials, balance, service_status, canary, delivery"
    ]
