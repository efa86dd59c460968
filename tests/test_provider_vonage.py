"""Vonage's wire: what is asked, what is understood of the answers, and which posts are believed.

Answers are those of the vendor's documents (github.com/Nexmo/api-specification ad04200) and of
developer.vonage.com/en/reports/guides/how-to-handle-pagination, read 2026-11; times and numbers are ours.
"""

import hmac
import json
import logging
from collections.abc import Iterator
from contextlib import closing
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import CanaryStatus, Money, PacedCanaryClient
from checks.errors import ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.vonage import ERROR_CODES, VonageClient, VonageSettings, is_signed
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from tests.fakes import Told
from tests.stub_server import StubServer, answer

KEY = "abcd1234"
SECRET = "api-secret-7d41c09a"
SIGNATURE_SECRET = "signature-secret-55aa"
NUMBER = "447700900000"
MESSAGE_ID = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
SINCE = 1_561_730_000.0  # 2019-06-28T13:53:20Z
UNTIL = 1_561_740_000.0


def record(**changes: Any) -> dict[str, Any]:
    return {
        "account_id": KEY,
        "message_id": MESSAGE_ID,
        "client_ref": "",
        "direction": "outbound",
        "from": "AcmeInc",
        "to": NUMBER,
        "network": "23415",
        "network_name": "Vodafone Limited",
        "country": "GB",
        "country_name": "United Kingdom",
        "date_received": "2019-06-28T15:30:00+0000",
        "date_finalized": "2019-06-28T15:30:04+0000",
        "latency": 4000,
        "status": "delivered",
        "error_code": "0",
        "error_code_description": "Delivered",
        "currency": "EUR",
        "total_price": 0.0333,
        **changes,
    }


def report(*records: Any, **changes: Any) -> dict[str, Any]:
    return {"request_status": "SUCCESS", "items_count": len(records), "records": list(records), **changes}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> VonageSettings:
    given = {"type": "vonage", "api_key": KEY, "api_secret": Secret(SECRET), "base_url": url, **more}
    return VonageSettings.model_validate(given)


@pytest.fixture
def client(stub: StubServer) -> Iterator[VonageClient]:
    with closing(VonageClient(settings(stub.url))) as made:
        yield made


def test_the_balance_is_in_the_currency_of_the_settings(stub: StubServer) -> None:
    stub.on("/account/get-balance", answer({"value": 10.171275, "autoReload": False}))
    with (
        closing(VonageClient(settings(stub.url))) as euros,
        closing(VonageClient(settings(stub.url, currency="USD"))) as dollars,
    ):
        assert euros.fetch_balance() == Money(amount=10.171275, currency="EUR")
        assert dollars.fetch_balance() == Money(amount=10.171275, currency="USD")
        assert euros.fetch_spend() is None  # type: ignore[func-returns-value]
    assert [(each.method, each.query) for each in stub.requests] == [
        ("GET", {"api_key": [KEY], "api_secret": [SECRET]})
    ] * 2


def test_keys_in_a_query_reach_no_log_and_no_error(stub: StubServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    with closing(VonageClient(settings(stub.url))) as client:
        for status in (200, 301, 401, 404, 429, 500):
            stub.everywhere(answer({"error-code": str(status), "error-code-label": SECRET}, status=status))
            with pytest.raises(ProviderError) as caught:
                client.verify_credentials()
            shown += [repr(caught.value), str(caught.value), str(caught.value.__context__), caplog.text]
    assert SECRET not in "".join(shown)
    assert KEY not in "".join(shown)


def test_a_refused_key_is_told_by_its_status(client: VonageClient, stub: StubServer) -> None:
    stub.everywhere(answer({"error-code": "401", "error-code-label": "authentication failed"}, status=401))
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (Reason.CREDENTIALS_REJECTED, "Vonage answers HTTP 401")


def test_a_page_of_the_log_is_asked_for_by_its_span(client: VonageClient, stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report(record())))
    page = client.read_page(since=SINCE, until=UNTIL)
    assert page.receipts == [
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=1_561_735_804.0,
            created_at=1_561_735_800.0,
            recipient=f"+{NUMBER}",
            country="GB",
            operator="23415",  # the plan names no operator of this number
            delivery_seconds=4.0,
        )
    ]
    assert (page.resume, page.reached) == (None, SINCE)
    (request,) = stub.requests
    assert request.basic_auth == (KEY, SECRET)
    assert request.query == {
        "account_id": [KEY],
        "product": ["SMS"],
        "direction": ["outbound"],
        "date_start": ["2019-06-28T13:53:20Z"],
        "date_end": ["2019-06-28T16:40:00Z"],
    }


def test_a_truncated_span_is_read_on_by_its_cursor(client: VonageClient, stub: StubServer) -> None:
    cut = report(record(), request_status="TRUNCATED", cursor="Vwwx_-W=", iv="QnJt-8JHLRQ")
    rest = report(record(message_id="b" * 16, date_received="2019-06-28T14:00:00+0000"))
    stub.on("/v2/reports/records", answer(cut), answer(rest))
    first = client.read_page(since=SINCE, until=UNTIL)
    assert first.resume == "since=1561730000&until=1561740000&cursor=Vwwx_-W%3D&iv=QnJt-8JHLRQ"
    assert first.reached == UNTIL  # records come in any order: the youngest may be on the next page
    second = client.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert ([each.message_id for each in second.receipts], second.resume) == (["b" * 16], None)
    query = stub.requests[1].query
    assert (query["cursor"], query["iv"], query["date_start"]) == (
        ["Vwwx_-W="],
        ["QnJt-8JHLRQ"],
        ["2019-06-28T13:53:20Z"],
    )


def test_no_span_is_longer_than_a_day(client: VonageClient, stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report()))
    week = UNTIL - 7 * 86_400
    resume, spans = None, []
    for _ in range(20):
        page = client.read_page(since=week, until=UNTIL, resume=resume)
        spans.append(page.reached)
        resume = page.resume
        if resume is None:
            break
    assert spans == [UNTIL - days * 86_400 for days in range(1, 8)]


def test_a_cursor_that_leads_back_is_refused(client: VonageClient, stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report(record(), request_status="TRUNCATED", cursor="a", iv="b")))
    first = client.read_page(since=SINCE, until=UNTIL)
    with pytest.raises(ProviderError, match="in a circle"):
        client.read_page(since=SINCE, until=UNTIL, resume=first.resume)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("accepted", "0", (Status.SENT, None, None)),
        ("buffered", "0", (Status.SENT, None, None)),
        ("unknown", "1", (Status.SENT, None, None)),
        ("delivered", "0", (Status.DELIVERED, None, None)),
        ("failed", "2", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "2")),
        ("failed", "6", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "6")),
        ("failed", "99", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "99")),
        ("failed", "0", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("rejected", "50", (Status.FAILED, Reason.SENDER_UNREGISTERED, "50")),
        ("rejected", "53", (Status.FAILED, Reason.RECIPIENT_OPTED_OUT, "53")),
        ("expired", "0", (Status.UNDELIVERED, Reason.DELIVERY_SLOW, None)),
        ("expired", "1", (Status.UNDELIVERED, Reason.DELIVERY_SLOW, "1")),
        ("expired", "2", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "2")),
        ("deleted", "0", (Status.CANCELED, None, None)),
    ],
)
def test_a_status_and_its_code_have_their_reason(
    client: VonageClient, stub: StubServer, status: str, code: str, expected: Any
) -> None:
    stub.on("/v2/reports/records", answer(report(record(status=status, error_code=code))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


def test_a_code_may_mean_what_the_settings_say(stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report(record(status="failed", error_code="6"))))
    with closing(VonageClient(settings(stub.url, error_codes={6: "recipient_blocked"}))) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.reason is Reason.RECIPIENT_BLOCKED


@pytest.mark.parametrize(
    "codes", [{"+4915112345678": "rate_limited"}, {6: "ok"}, {6: "no such"}, {True: "rate_limited"}]
)
def test_a_wrong_override_is_refused(codes: Any) -> None:
    with pytest.raises(ValidationError):
        settings(error_codes=codes)


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [record(status="melancholic"), record(date_received="yesterday"), record(message_id="../x"), record(status=7)]
    stub.on("/v2/reports/records", answer(report(record(), record(direction="inbound"), *bad)))
    with closing(VonageClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 1
        stub.on("/v2/reports/records", answer(report(*[record(status="melancholic")] * 5)))
        with pytest.raises(ProviderError, match="cannot be understood"):
            client.read_page(since=SINCE, until=UNTIL)
    assert told.unreadable == 4


def test_an_unknown_code_is_an_unmapped_one(client: VonageClient, stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report(record(status="failed", error_code="77"))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "77", False)


def test_no_more_records_are_read_than_the_day_allows(stub: StubServer) -> None:
    stub.on("/v2/reports/records", answer(report(*[record(message_id=f"{n:016d}") for n in range(600)])))
    with closing(VonageClient(settings(stub.url, max_log_records_per_day=1000))) as client:
        client.read_page(since=SINCE, until=UNTIL)
        client.read_page(since=SINCE, until=UNTIL)
        with pytest.raises(ProviderError) as caught:
            client.read_page(since=SINCE, until=UNTIL)
    assert (caught.value.reason, str(caught.value)) == (
        Reason.RATE_LIMITED,
        "our own limit max_log_records_per_day 1000 is used up until midnight UTC; the provider refuses nothing",
    )
    assert len(stub.requests) == 2


def sent(**part: Any) -> dict[str, Any]:
    return {"message-count": "1", "messages": [part]}


def test_a_canary_is_sent_with_its_validity(client: VonageClient, stub: StubServer) -> None:
    stub.on("/sms/json", answer(sent(to=NUMBER, **{"message-id": MESSAGE_ID, "status": "0", "network": "23415"})))
    assert client.send_canary(to=f"+{NUMBER}", sender="Acme", text="ä & b", validity_seconds=300) == MESSAGE_ID
    (request,) = stub.requests
    assert request.method == "POST"
    assert request.body.decode() == urlencode(
        {"api_key": KEY, "api_secret": SECRET, "from": "Acme", "to": NUMBER, "text": "ä & b", "ttl": "300000"}
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("1", Reason.RATE_LIMITED),
        ("2", Reason.INTERNAL),
        ("4", Reason.CREDENTIALS_REJECTED),
        ("5", Reason.PROVIDER_OUTAGE),
        ("6", Reason.RECIPIENT_INVALID),
        ("7", Reason.RECIPIENT_OPTED_OUT),
        ("8", Reason.ACCOUNT_SUSPENDED),
        ("9", Reason.BALANCE_EXHAUSTED),
        ("15", Reason.SENDER_INVALID),
        ("29", Reason.ACCOUNT_RESTRICTED),
        ("77", Reason.BAD_RESPONSE),
    ],
)
def test_a_send_that_is_refused_with_200_has_its_reason(stub: StubServer, status: str, reason: Reason) -> None:
    told = Told()
    stub.on("/sms/json", answer(sent(status=status, **{"error-text": NUMBER})))
    with closing(VonageClient(settings(stub.url), observer=told)) as client, pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == (reason, f"send-{status}")
    assert str(caught.value) == f"Vonage answers HTTP 200, code send-{status}"
    assert told.codes == (["send-77"] if status == "77" else [])


def test_a_canary_is_followed_by_its_record(client: VonageClient, stub: StubServer) -> None:
    stub.on(
        "/v2/reports/records",
        answer(report(ids_not_found=MESSAGE_ID)),
        answer(report(record(status="failed", error_code="6"))),
        answer(report(record(), price="0.001", currency="EUR")),
        answer(report(record(date_finalized=None))),
    )
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.ACCEPTED)
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="6", cost=0.0333, currency="EUR"
    )
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.DELIVERED,
        cost=0.0333,
        currency="EUR",
        delivered_seconds=4.0,
        look_up=Money(amount=0.001, currency="EUR"),
    )
    untimed = client.fetch_canary(MESSAGE_ID)
    assert (untimed.status, untimed.is_timely, untimed.delivered_seconds) == (Status.DELIVERED, False, None)
    assert isinstance(client, PacedCanaryClient)
    assert client.canary_pace_seconds == 60
    assert stub.requests[0].query == {
        "account_id": [KEY],
        "product": ["SMS"],
        "direction": ["outbound"],
        "id": [MESSAGE_ID],
    }


def test_every_code_names_its_source() -> None:
    assert {row.source.split(" of ")[0] for row in ERROR_CODES.values()} == {"err-code", "x-errors"}


# Callbacks

AT = 1_582_650_446.0


def receipt_fields(**changes: str) -> dict[str, str]:
    """Return the example of sms.yml, DeliveryReceipt."""
    return {
        "msisdn": NUMBER,
        "to": "AcmeInc",
        "network-code": "23415",
        "messageId": "0A0000001234567B",
        "price": "0.03330000",
        "status": "delivered",
        "scts": "2001011400",
        "err-code": "0",
        "api-key": KEY,
        "message-timestamp": "2020-02-25 17:07:26",
        "timestamp": str(int(AT)),
        "nonce": "ec11dd3e-1e7f-4db5-9467-82b02cd223b9",
        **changes,
    }


def signed(fields: dict[str, str], method: str = "sha256") -> dict[str, str]:
    text = "".join(f"&{name}={fields[name]}" for name in sorted(fields))
    if method == "md5hash":
        return {**fields, "sig": md5((text + SIGNATURE_SECRET).encode()).hexdigest()}
    return {**fields, "sig": hmac.new(SIGNATURE_SECRET.encode(), text.encode(), method).hexdigest().upper()}


def form(fields: dict[str, str], at: float = AT) -> Callback:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return Callback("", headers, urlencode(fields).encode(), at)


def receiver(method: str = "sha256", **more: Any) -> VonageClient:
    callbacks = {"signature_secret": Secret(SIGNATURE_SECRET), "signature_method": method, **more}
    return VonageClient(settings(callbacks=callbacks))


def outcome_of(callback: Callback) -> CallbackOutcome:
    with closing(receiver()) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(callback)
    return caught.value.outcome


@pytest.mark.parametrize("method", ["md5hash", "md5", "sha1", "sha256", "sha512"])
def test_a_receipt_is_believed_by_each_method_of_signing(method: str) -> None:
    with closing(receiver(method)) as client:
        (receipt,) = client.read_callback(form(signed(receipt_fields(), method)))
    assert receipt == Receipt(
        message_id="0A0000001234567B",
        status=Status.DELIVERED,
        at=AT,
        recipient=f"+{NUMBER}",
        country="unknown",  # a number of films: no plan has it, and a receipt names no country
        operator="23415",
        source=Source.CALLBACK,
    )


def test_a_receipt_in_json_is_the_same_as_in_a_form() -> None:
    fields = signed(receipt_fields(status="failed", **{"err-code": "14"}))
    as_json = Callback("", {"content-type": "application/json"}, json.dumps(fields).encode(), AT)
    with closing(receiver()) as client:
        assert client.read_callback(as_json) == client.read_callback(form(fields))
        assert client.read_callback(as_json)[0].reason is Reason.OPERATOR_BLOCKING


def test_the_signature_of_the_vendors_own_library_is_accepted() -> None:
    """The example of the tests of vonage-python-sdk (tests/test_signature.py)."""
    fields = {"a": "1", "b": "2", "timestamp": "1461605396", "sig": "6af838ef94998832dbfc29020b564830"}
    assert is_signed(fields, Secret("secret"), "md5hash")
    assert not is_signed({**fields, "a": "2"}, Secret("secret"), "md5hash")
    assert not is_signed(fields, Secret("secrets"), "md5hash")


def test_what_separates_fields_is_replaced_in_their_values() -> None:
    fields = {"text": "a&b=c", "timestamp": "1"}
    expected = hmac.new(b"k", b"&text=a_b_c&timestamp=1", "sha1").hexdigest()
    assert is_signed({**fields, "sig": expected}, Secret("k"), "sha1")


def test_a_receipt_without_a_signature_is_refused() -> None:
    assert outcome_of(form(receipt_fields())) is CallbackOutcome.UNSIGNED


def test_a_receipt_signed_in_another_way_is_refused() -> None:
    assert outcome_of(form(signed(receipt_fields(), "md5hash"))) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize("body", [b'{"sig": "x", "a": "\\ud800"}', b'{"sig": "\\ud800"}'])
def test_half_a_sign_is_signed_by_nobody(body: bytes) -> None:
    callback = Callback("", {"content-type": "application/json"}, body, AT)
    assert outcome_of(callback) is CallbackOutcome.BAD_SIGNATURE


def test_a_receipt_for_another_account_is_refused() -> None:
    assert outcome_of(form(signed(receipt_fields(**{"api-key": "ffff0000"})))) is CallbackOutcome.WRONG_ACCOUNT


@pytest.mark.parametrize(("age", "is_taken"), [(-301, False), (-299, True), (25 * 3600, True), (25 * 3600 + 1, False)])
def test_a_receipt_of_another_time_is_refused(age: float, is_taken: bool) -> None:
    callback = form(signed(receipt_fields()), at=AT + age)
    with closing(receiver()) as client:
        if is_taken:
            assert len(client.read_callback(callback)) == 1
        else:
            with pytest.raises(CallbackRefusedError) as caught:
                client.read_callback(callback)
            assert caught.value.outcome is CallbackOutcome.REPLAYED


@pytest.mark.parametrize("changes", [{"timestamp": "soon"}, {"messageId": "../x"}])
def test_a_signed_receipt_that_makes_no_sense_is_refused(changes: dict[str, str]) -> None:
    assert outcome_of(form(signed(receipt_fields(**changes)))) is CallbackOutcome.MALFORMED


def test_what_is_no_receipt_says_nothing() -> None:
    inbound = {name: value for name, value in receipt_fields().items() if name not in ("status", "err-code")}
    with closing(receiver()) as client:
        assert client.read_callback(form(signed(inbound))) == ()


@pytest.mark.parametrize("body", [b"\xff", b"[]", b"{", b'{"sig": ["a"]}', b'{"sig": "a", "sig": "b"}', b"[" * 50_000])
def test_a_body_that_is_none_is_refused(body: bytes) -> None:
    assert outcome_of(Callback("", {"content-type": "application/json"}, body, AT)) in (
        CallbackOutcome.MALFORMED,
        CallbackOutcome.UNSIGNED,
    )


# The configuration

PROVIDER = "providers:\n  v: {type: vonage, api_key: abcd1234, api_secret: {env: TEST_SECRET}}\n"


def problems_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("TEST_SECRET", SECRET)
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    return tuple(problem.removeprefix(f"{path}: ") for problem in caught.value.problems)


def test_a_paid_log_is_not_read_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  d: {type: delivery, target: v}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        'checks.d.interval: must be at least "15m", is "20s":'
        " Vonage bills its message log by the record (log_interval)",
    )
    path = tmp_path / "good.yml"
    path.write_text(PROVIDER + "checks:\n  d: {type: delivery, target: v, interval: 15m}\n")
    assert list(config.load(path).checks) == ["d"]


def test_a_check_that_vonage_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  a: {type: account, target: v}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        "checks.a.target: the provider type vonage cannot answer the check account; it can answer:"
        " credentials, balance, service_status, canary, delivery",
    )
