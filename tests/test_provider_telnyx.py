"""Telnyx's wire: what is asked, what is understood of the answers, and which posts are believed.

Answers are the examples of the vendor's documents, read 2026-11 (developers.telnyx.com: search-detail-records,
message-detail-records, receiving-webhooks; github.com/team-telnyx/openapi 12de4dd: UserBalance, Errors); times and
numbers are ours.
"""

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import CanaryStatus, Money
from checks.errors import ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.causes import Cause
from checks.providers.telnyx import ERROR_CODES, TelnyxClient, TelnyxSettings, build_verifier
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from tests.fakes import Told
from tests.stub_server import StubServer, answer

KEY = "KEY0185-4f1c-7d41c09a"
NUMBER = "+447700900000"
MESSAGE_ID = "3ca7bd3d-7d82-4e07-9df4-009123068320"
PROFILE_ID = "30ef55db-c4a2-4c4a-9804-a68077973d07"
SINCE = 1_593_559_000.0  # 2020-06-30T23:16:40Z
UNTIL = 1_593_570_000.0  # 2020-07-01T02:20:00Z


def record(**changes: Any) -> dict[str, Any]:
    return {
        "record_type": "message_detail_record",
        "uuid": MESSAGE_ID,
        "completed_at": "2020-07-01T00:00:04Z",
        "created_at": "2020-07-01T00:00:00Z",
        "updated_at": "2020-07-01T00:00:05Z",
        "sent_at": "2020-07-01T00:00:01Z",
        "carrier": "Vodafone",
        "cld": NUMBER,
        "cli": "Acme",
        "country_code": "GB",
        "direction": "outbound",
        "mcc": "234",
        "mnc": "15",
        "message_type": "SMS",
        "profile_id": PROFILE_ID,
        "status": "delivered",
        "rate": "0.003",
        "currency": "USD",
        "cost": "0.003",
        "errors": [],
        "parts": 1,
        **changes,
    }


def page_of(*records: Any, number: int = 1, of: int = 1) -> dict[str, Any]:
    meta = {"total_pages": of, "total_results": 50 * of, "page_number": number, "page_size": 50}
    return {"data": list(records), "meta": meta}


def refusal(code: str) -> dict[str, Any]:
    return {"errors": [{"code": code, "title": NUMBER, "detail": KEY, "meta": {}, "source": {"pointer": "/to"}}]}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> TelnyxSettings:
    return TelnyxSettings.model_validate({"type": "telnyx", "api_key": Secret(KEY), "base_url": url, **more})


@pytest.fixture
def client(stub: StubServer) -> Iterator[TelnyxClient]:
    with closing(TelnyxClient(settings(stub.url))) as made:
        yield made


def balance(**changes: Any) -> dict[str, Any]:
    amounts = {"pending": "10.00", "balance": "300.00", "credit_limit": "100.00", "available_credit": "400.00"}
    return {"data": {"record_type": "balance", **amounts, "currency": "USD", **changes}}


def test_the_balance_is_what_may_still_be_spent(client: TelnyxClient, stub: StubServer) -> None:
    stub.on(
        "/v2/balance",
        answer(balance()),
        answer(balance(balance="-80.00", available_credit="20.00")),  # pays afterwards: nothing is wrong
        answer(balance(available_credit=None)),
    )
    assert client.fetch_balance() == Money(amount=400.0, currency="USD")
    assert client.fetch_balance() == Money(amount=20.0, currency="USD")
    with pytest.raises(ProviderError, match="gives no available_credit"):
        client.fetch_balance()
    assert client.fetch_spend() is None  # type: ignore[func-returns-value]
    assert {(each.method, each.headers["authorization"]) for each in stub.requests} == {("GET", f"Bearer {KEY}")}


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, "10009", Reason.CREDENTIALS_REJECTED),
        (401, "20002", Reason.CREDENTIALS_REJECTED),
        (401, "20013", Reason.ACCOUNT_SUSPENDED),  # a 401 alone is no proof of a bad key
        (403, "20012", Reason.ACCOUNT_SUSPENDED),
        (403, "20013", Reason.ACCOUNT_SUSPENDED),
        (403, "20014", Reason.ACCOUNT_RESTRICTED),
        (429, "10011", Reason.RATE_LIMITED),
        (500, "10007", Reason.PROVIDER_OUTAGE),
        (422, "77777", Reason.BAD_RESPONSE),
    ],
)
def test_a_refusal_is_told_by_its_code(
    stub: StubServer, caplog: pytest.LogCaptureFixture, status: int, code: str, reason: Reason
) -> None:
    caplog.set_level(logging.DEBUG)
    told = Told()
    stub.everywhere(answer(refusal(code), status=status))
    with closing(TelnyxClient(settings(stub.url), observer=told)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert str(caught.value) == f"Telnyx answers HTTP {status}, code {code}"
    assert told.codes == (["77777"] if code == "77777" else [])
    assert KEY not in caplog.text


def test_a_key_that_may_not_read_the_balance_is_a_good_key(client: TelnyxClient, stub: StubServer) -> None:
    stub.everywhere(answer(refusal("10010"), status=403))
    client.verify_credentials()
    with pytest.raises(ProviderError) as caught:
        client.fetch_balance()
    assert caught.value.reason is Reason.PERMISSION_MISSING
    stub.everywhere(answer(b"<html>", status=403))  # somebody before Telnyx says so
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert caught.value.reason is Reason.PERMISSION_MISSING


def test_a_page_of_the_log_is_asked_for_by_its_span(client: TelnyxClient, stub: StubServer) -> None:
    stub.on("/v2/detail_records", answer(page_of(record())))
    page = client.read_page(since=SINCE, until=UNTIL)
    assert page.receipts == [
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=1_593_561_604.0,
            created_at=1_593_561_600.0,
            recipient=NUMBER,
            country="GB",
            operator="23415",  # the plan names no operator of this number
            delivery_seconds=4.0,
        )
    ]
    assert (page.resume, page.reached) == (None, SINCE)
    (request,) = stub.requests
    assert (request.method, request.headers["authorization"]) == ("GET", f"Bearer {KEY}")
    assert request.query == {
        "filter[record_type]": ["messaging"],
        "filter[direction]": ["outbound"],
        "filter[created_at][gte]": ["2020-06-30T23:16:40Z"],
        "filter[created_at][lt]": ["2020-07-01T02:20:00Z"],
        "sort": ["-created_at"],
        "page[number]": ["1"],
        "page[size]": ["50"],
    }


def test_pages_follow_by_their_number(client: TelnyxClient, stub: StubServer) -> None:
    older = record(uuid="b" * 16, created_at="2020-06-30T23:59:00Z")
    stub.on(
        "/v2/detail_records",
        answer(page_of(record(), of=2)),
        answer(page_of(older, number=2, of=2)),
    )
    first = client.read_page(since=SINCE, until=UNTIL)
    assert (first.resume, first.reached) == ("since=1593559000&until=1593570000&page=2", 1_593_561_600.0)
    second = client.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert ([each.message_id for each in second.receipts], second.resume) == (["b" * 16], None)
    query = stub.requests[1].query
    assert (query["page[number]"], query["filter[created_at][lt]"]) == (["2"], ["2020-07-01T02:20:00Z"])


def test_a_page_in_another_order_does_not_tell_how_far_the_log_is_read(client: TelnyxClient, stub: StubServer) -> None:
    younger = record(uuid="b" * 16, created_at="2020-07-01T00:10:00Z", completed_at=None, status="sent")
    stub.on("/v2/detail_records", answer(page_of(record(), younger, of=2)))
    assert client.read_page(since=SINCE, until=UNTIL).reached == UNTIL


def test_the_newest_span_stays_open_on_all_its_pages(client: TelnyxClient, stub: StubServer) -> None:
    """What is new would else move what is older past a page that has been read."""
    stub.on("/v2/detail_records", answer(page_of(record(), of=3)), answer(page_of(record(), number=2, of=3)))
    first = client.read_page(since=SINCE)
    assert first.resume is not None
    client.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert [each.query.get("filter[created_at][lt]") for each in stub.requests] == [None, None]
    assert [each.query["page[number]"] for each in stub.requests] == [["1"], ["2"]]


def test_no_span_is_longer_than_a_day(client: TelnyxClient, stub: StubServer) -> None:
    stub.on("/v2/detail_records", answer(page_of()))
    week = UNTIL - 7 * 86_400
    resume, spans = None, []
    for _ in range(20):
        page = client.read_page(since=week, until=UNTIL, resume=resume)
        spans.append(page.reached)
        resume = page.resume
        if resume is None:
            break
    assert spans == [UNTIL - days * 86_400 for days in range(1, 8)]


def test_a_page_that_was_not_asked_for_is_refused(client: TelnyxClient, stub: StubServer) -> None:
    stub.on("/v2/detail_records", answer(page_of(record(), of=3)))
    first = client.read_page(since=SINCE, until=UNTIL)
    with pytest.raises(ProviderError, match="in a circle"):
        client.read_page(since=SINCE, until=UNTIL, resume=first.resume)


@pytest.mark.parametrize(
    ("status", "errors", "expected"),
    [
        ("queued", [], (Status.ACCEPTED, None, None)),
        ("sending", [], (Status.ACCEPTED, None, None)),
        ("sent", [], (Status.SENT, None, None)),
        (None, [], (Status.SENT, None, None)),
        ("dlr_unconfirmed", [], (Status.SENT, None, None)),
        ("dlr_timeout", ["40005"], (Status.SENT, None, None)),
        ("delivered", ["40001"], (Status.DELIVERED, None, None)),  # the documented example
        ("DELIVERED", None, (Status.DELIVERED, None, None)),
        ("failed", ["40001"], (Status.UNDELIVERED, Reason.RECIPIENT_LANDLINE, "40001")),
        ("failed", ["40002"], (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "40002")),
        ("failed", ["40005"], (Status.UNDELIVERED, Reason.DELIVERY_SLOW, "40005")),
        ("failed", ["40006"], (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "40006")),
        ("failed", ["40008"], (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "40008")),
        ("failed", ["40010"], (Status.UNDELIVERED, Reason.SENDER_UNREGISTERED, "40010")),
        ("failed", [40012], (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "40012")),
        ("failed", [], (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("expired", [], (Status.UNDELIVERED, Reason.DELIVERY_SLOW, None)),
        ("gw_timeout", [], (Status.FAILED, Reason.DELIVERY_FAILING, None)),
        ("gw_reject", ["40300"], (Status.FAILED, Reason.RECIPIENT_OPTED_OUT, "40300")),
        ("gw_reject", ["40309"], (Status.FAILED, Reason.COUNTRY_NOT_PERMITTED, "40309")),
        ("gw_reject", ["20100"], (Status.FAILED, Reason.BALANCE_EXHAUSTED, "20100")),
        ("canceled", [], (Status.CANCELED, None, None)),
    ],
)
def test_a_status_and_its_code_have_their_reason(
    client: TelnyxClient, stub: StubServer, status: str | None, errors: Any, expected: Any
) -> None:
    stub.on("/v2/detail_records", answer(page_of(record(status=status, errors=errors))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


@pytest.mark.parametrize(
    ("changes", "at", "seconds"),
    [
        ({}, 4.0, 4.0),
        ({"completed_at": None}, 1.0, None),
        ({"status": "sent"}, 1.0, None),
        ({"status": "sent", "sent_at": None}, 0.0, None),
        ({"status": "dlr_timeout"}, 1.0, None),
        ({"status": "queued", "sent_at": None, "completed_at": None}, 0.0, None),
        ({"status": None, "sent_at": "", "completed_at": None}, 0.0, None),
    ],
)
def test_the_best_time_is_taken(
    client: TelnyxClient, stub: StubServer, changes: dict[str, Any], at: float, seconds: float | None
) -> None:
    stub.on("/v2/detail_records", answer(page_of(record(**changes))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.at - 1_593_561_600.0, receipt.delivery_seconds) == (at, seconds)


def test_a_code_may_mean_what_the_settings_say(stub: StubServer) -> None:
    stub.on("/v2/detail_records", answer(page_of(record(status="failed", errors=["40008"]))))
    with closing(TelnyxClient(settings(stub.url, error_codes={40008: "recipient_invalid"}))) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.reason is Reason.RECIPIENT_INVALID


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [record(status="melancholic"), record(created_at="yesterday"), record(uuid="../x"), record(status=7)]
    stub.on("/v2/detail_records", answer(page_of(record(), record(direction="inbound"), *bad)))
    with closing(TelnyxClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 1
        stub.on("/v2/detail_records", answer(page_of(*[record(status="melancholic")] * 5)))
        with pytest.raises(ProviderError, match="cannot be understood"):
            client.read_page(since=SINCE, until=UNTIL)
    assert told.unreadable == 4


def test_an_unknown_code_is_an_unmapped_one(client: TelnyxClient, stub: StubServer) -> None:
    stub.on("/v2/detail_records", answer(page_of(record(status="failed", errors=["49999"]))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "49999", False)


def test_every_code_names_its_source() -> None:
    assert {row.source.split("/")[2] for row in ERROR_CODES.values()} == {
        "developers.telnyx.com",
        "support.telnyx.com",
    }
    assert ERROR_CODES["10009"].cause is Cause.AUTH_FAILED


def message(**changes: Any) -> dict[str, Any]:
    return {
        "record_type": "message",
        "direction": "outbound",
        "id": MESSAGE_ID,
        "type": "SMS",
        "from": {"phone_number": "Acme", "carrier": "Telnyx", "line_type": "VoIP"},
        "to": [{"phone_number": NUMBER, "status": "delivered", "carrier": "Vodafone", "line_type": "Wireless"}],
        "text": "Your code is 123456",
        "cost": {"amount": "0.0051", "currency": "USD"},
        "errors": [],
        "received_at": "2019-12-09T21:32:10.148+00:00",
        "sent_at": "2019-12-09T21:32:11.000+00:00",
        "completed_at": "2019-12-09T21:32:14.198+00:00",
        "valid_until": None,
        **changes,
    }


def to(status: str) -> list[dict[str, str]]:
    return [{"phone_number": NUMBER, "status": status, "carrier": "", "line_type": "Wireless"}]


def test_a_canary_is_sent_with_its_profile(stub: StubServer) -> None:
    stub.on("/v2/messages", answer({"data": message(to=to("queued"))}))
    with (
        closing(TelnyxClient(settings(stub.url))) as plain,
        closing(TelnyxClient(settings(stub.url, messaging_profile_id=PROFILE_ID))) as with_profile,
    ):
        for client in (plain, with_profile):
            sent = client.send_canary(to=NUMBER, sender="Acme", text="ä & b", validity_seconds=300)
            assert sent == MESSAGE_ID
    first = {"from": "Acme", "to": NUMBER, "text": "ä & b", "type": "SMS"}
    assert [(each.method, json.loads(each.body)) for each in stub.requests] == [
        ("POST", first),
        ("POST", {**first, "messaging_profile_id": PROFILE_ID}),
    ]


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, "40305", Reason.SENDER_INVALID),
        (400, "40310", Reason.RECIPIENT_INVALID),
        (400, "40309", Reason.COUNTRY_NOT_PERMITTED),
        (400, "40300", Reason.RECIPIENT_OPTED_OUT),
        (403, "20100", Reason.BALANCE_EXHAUSTED),
        (409, "40312", Reason.SENDER_INVALID),
        (422, "10004", Reason.INTERNAL),
    ],
)
def test_a_send_that_is_refused_has_its_reason(
    client: TelnyxClient, stub: StubServer, status: int, code: str, reason: Reason
) -> None:
    stub.on("/v2/messages", answer(refusal(code), status=status))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=NUMBER, sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert len(stub.requests) == 1


def test_a_canary_is_followed_by_its_id(client: TelnyxClient, stub: StubServer) -> None:
    failed = message(to=to("delivery_failed"), errors=[{"code": "40002", "title": "Blocked as spam", "detail": NUMBER}])
    stub.on(
        f"/v2/messages/{MESSAGE_ID}",
        answer({"data": message(to=to("queued"), cost=None, sent_at=None, completed_at=None)}),
        answer({"data": message()}),
        answer({"data": failed}),
        answer({"data": message(id="b" * 16)}),
    )
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.ACCEPTED)
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.DELIVERED, cost=0.0051, currency="USD")
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="40002", cost=0.0051, currency="USD"
    )
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(MESSAGE_ID)
    with pytest.raises(ProviderError, match="such an id"):
        client.fetch_canary("../balance")
    assert len(stub.requests) == 4


# Callbacks

AT = 1_575_927_135.0  # 2019-12-09T21:32:15Z
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = b64encode(SIGNING_KEY.public_key().public_bytes_raw()).decode()


def event(kind: str = "message.finalized", **changes: Any) -> bytes:
    data = {
        "event_type": kind,
        "id": "4ee8c3a6-4995-4309-a3c6-38e3db9ea4be",
        "occurred_at": "2019-12-09T21:32:14.148+00:00",
        "payload": message(**changes),
        "record_type": "event",
    }
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://example.com"}}).encode()


def signed(body: bytes, headers: dict[str, str] | None = None, *, at: float = AT) -> Callback:
    timestamp = str(int(AT))
    signature = b64encode(SIGNING_KEY.sign(f"{timestamp}|".encode() + body)).decode()
    given = {"content-type": "application/json", "telnyx-timestamp": timestamp, "telnyx-signature-ed25519": signature}
    return Callback("", {**given, **(headers or {})}, body, at)


def receiver(**more: Any) -> TelnyxClient:
    return TelnyxClient(settings(callbacks={"public_key": PUBLIC_KEY, **more}))


def outcome_of(callback: Callback) -> CallbackOutcome:
    with closing(receiver()) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(callback)
    return caught.value.outcome


def test_a_webhook_tells_of_a_delivery_to_the_millisecond() -> None:
    with closing(receiver()) as client:
        (receipt,) = client.read_callback(signed(event()))
    assert receipt.delivery_seconds == pytest.approx(4.05)
    assert receipt == Receipt(
        message_id=MESSAGE_ID,
        status=Status.DELIVERED,
        at=1_575_927_134.198,
        created_at=1_575_927_130.148,
        recipient=NUMBER,
        country="unknown",  # a number of films: no plan has it, and a webhook names no country
        delivery_seconds=receipt.delivery_seconds,
        source=Source.CALLBACK,
    )


def test_the_signature_is_that_of_rfc_8032() -> None:
    """Section 7.1, test 3."""
    public = "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
    signature = (
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    is_signed = build_verifier(b64encode(bytes.fromhex(public)).decode())
    assert is_signed(bytes.fromhex("af82"), bytes.fromhex(signature))
    assert not is_signed(bytes.fromhex("af83"), bytes.fromhex(signature))


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("message.sent", {"to": to("sent"), "completed_at": None}, (Status.SENT, None, None)),
        ("message.sent", {"to": to("queued"), "completed_at": None}, (Status.SENT, None, None)),  # documented so
        ("message.finalized", {"to": to("delivery_unconfirmed")}, (Status.SENT, None, None)),
        (
            "message.finalized",
            {"to": to("sending_failed"), "errors": [{"code": "40014"}]},
            (Status.FAILED, Reason.DELIVERY_SLOW, "40014"),
        ),
        ("message.finalized", {"to": to("expired")}, (Status.UNDELIVERED, Reason.DELIVERY_SLOW, None)),
        (
            "message.finalized",
            {"to": to("delivery_failed"), "errors": [{"code": "40001"}]},
            (Status.UNDELIVERED, Reason.RECIPIENT_LANDLINE, "40001"),
        ),
    ],
)
def test_a_webhook_has_its_status_and_reason(kind: str, changes: dict[str, Any], expected: Any) -> None:
    with closing(receiver()) as client:
        (receipt,) = client.read_callback(signed(event(kind, **changes)))
    assert (receipt.status, receipt.reason, receipt.code) == expected


@pytest.mark.parametrize(
    "body",
    [
        event("message.received", direction="inbound"),
        event("call.hangup"),
        event(to=to("melancholic")),
        event(to=[*to("delivered"), *to("delivered")]),
        event(direction="inbound"),
    ],
)
def test_what_is_no_receipt_says_nothing(body: bytes) -> None:
    with closing(receiver()) as client:
        assert client.read_callback(signed(body)) == ()


@pytest.mark.parametrize("name", ["telnyx-timestamp", "telnyx-signature-ed25519"])
def test_a_webhook_without_its_signature_is_refused(name: str) -> None:
    assert outcome_of(signed(event(), {name: ""})) is CallbackOutcome.UNSIGNED


@pytest.mark.parametrize(
    "headers",
    [
        {"telnyx-timestamp": str(int(AT) + 1)},
        {"telnyx-timestamp": "soon"},
        {"telnyx-signature-ed25519": b64encode(bytes(64)).decode()},
        {"telnyx-signature-ed25519": "abcd"},
        {"telnyx-signature-ed25519": "\u0660" * 86 + "=="},
    ],
)
def test_a_webhook_with_another_signature_is_refused(headers: dict[str, str]) -> None:
    assert outcome_of(signed(event(), headers)) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize(("age", "is_taken"), [(-301, False), (-299, True), (300, True), (301, False)])
def test_a_webhook_of_another_time_is_refused(age: float, is_taken: bool) -> None:
    callback = signed(event(), at=AT + age)
    with closing(receiver()) as client:
        if is_taken:
            assert len(client.read_callback(callback)) == 1
        else:
            with pytest.raises(CallbackRefusedError) as caught:
                client.read_callback(callback)
            assert caught.value.outcome is CallbackOutcome.REPLAYED


@pytest.mark.parametrize(
    "body",
    [b"\xff", b"[]", b"{", b"7", b"{}", b'{"data": 7}', b"[" * 50_000, event(id="../x"), event(received_at="soon")],
)
def test_a_signed_webhook_that_makes_no_sense_is_refused(body: bytes) -> None:
    assert outcome_of(signed(body)) is CallbackOutcome.MALFORMED


def test_the_headers_that_sign_go_on_with_a_webhook() -> None:
    with closing(receiver(forward_to="https://codes.example.com/telnyx")) as client:
        assert client.forward_to == "https://codes.example.com/telnyx"
        assert set(client.signed_headers) == {"telnyx-timestamp", "telnyx-signature-ed25519"}


@pytest.mark.parametrize("key", ["", "abc", PUBLIC_KEY[:-1], f"{PUBLIC_KEY}=", PUBLIC_KEY.replace("=", "A")])
def test_a_public_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        settings(callbacks={"public_key": key})


# The configuration

PROVIDER = "providers:\n  t: {type: telnyx, api_key: {env: TEST_SECRET}}\n"


def problems_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("TEST_SECRET", KEY)
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    return tuple(problem.removeprefix(f"{path}: ") for problem in caught.value.problems)


def test_a_log_of_few_pages_a_minute_is_not_read_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  d: {type: delivery, target: t}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        'checks.d.interval: must be at least "1m", is "20s":'
        " Telnyx limits how often its message log is read (log_interval)",
    )
    path = tmp_path / "good.yml"
    path.write_text(PROVIDER + "checks:\n  d: {type: delivery, target: t, interval: 1m}\n")
    assert list(config.load(path).checks) == ["d"]


def test_a_check_that_telnyx_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  a: {type: account, target: t}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        "checks.a.target: the provider type telnyx cannot answer the check account; it can answer:"
        " credentials, balance, service_status, canary, delivery",
    )
