"""Bird's wire: what is asked, what is understood of the answers, and which webhooks are believed.

Answers are of the models of Bird's own SDK (PyPI messagebird-sdk 0.106.0) with their examples, and of the guides
below https://bird.com/docs, read 2026-11. The SDK is asked, too: it has to read what the sandbox answers and posts.
"""

import hmac
import json
import warnings
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from importlib import import_module
from typing import Any

import pytest
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import CanaryStatus, CountryPermissions, Sender
from checks.errors import BadResponseError, NotFoundError, ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.bird import ERROR_CODES, STATUSES, BirdCallbackSettings, BirdClient, BirdSettings
from checks.providers.standard_webhooks import decode_secret, refuse_unsigned
from checks.reason import Reason
from checks.secret import Secret
from checks.senders import SendersSettings, check_senders
from checks.targets import build_client
from exporter.sandbox import Sandbox
from exporter.sandbox.bird import ERRORS, FATES, _error, post, signing_secret
from tests.fakes import Told
from tests.stub_server import StubServer, answer

KEY = "bk_eu1_7d41c09a55aa7d41c09a55aa"
KEY_BYTES = b"0123456789abcdef"
SIGNING_SECRET = f"whsec_{b64encode(KEY_BYTES).decode()}"
NUMBER = "+15551234567"
MESSAGE_ID = "sms_01krdgeqcxet5s7t44vh8rt9mg"
CREATED = 1_779_364_800.0  # 2026-05-21T12:00:00Z
MESSAGES = "/v1/sms/messages"
SENDERS = "/v1/sms/senders"


def error_of(code: str, **changes: Any) -> dict[str, Any]:
    return {
        "code": code,
        "description": f"to {NUMBER}",
        "carrier_error_code": None,
        "occurred_at": "2026-05-21T12:00:09Z",
        "permanent": None,
        **changes,
    }


def message(**changes: Any) -> dict[str, Any]:
    return {
        "id": MESSAGE_ID,
        "direction": "outbound",
        "status": "delivered",
        "to": NUMBER,
        "from": "+15557654321",
        "text": "**REDACTED**",
        "category": "authentication",
        "requested_language": None,
        "resolved_language": None,
        "template_id": None,
        "template_version_id": None,
        "template_content_hash": None,
        "segments": {"count": 1, "encoding": "GSM_7BIT", "characters": 41},
        "cost": {
            "amount": "0.00990",
            "currency_code": "EUR",
            "transaction_amount": "0.00790",
            "passthrough_amount": "0.00200",
        },
        "tags": None,
        "metadata": None,
        "carrier": "Verizon",
        "mcc_mnc": "311480",
        "country_code": "US",
        "created_at": "2026-05-21T12:00:00Z",
        "sent_at": "2026-05-21T12:00:01Z",
        "delivered_at": "2026-05-21T12:00:04.250Z",
        **changes,
    }


def listing(*rows: Any, following: str | None = None) -> dict[str, Any]:
    return {"data": list(rows), "next_cursor": following, "prev_cursor": None, "refresh_cursor": "eyJ2IjoxfQ"}


def refused(kind: str, code: str, name: str) -> dict[str, Any]:
    return {
        "error": {
            "type": kind,
            "code": code,
            "name": name,
            "message": f"no {NUMBER}",
            "doc_url": f"https://bird.com/docs/api/errors/{code}",
            "request_id": "req_01krdgeqcxet5s7t44vh8rt9mg",
        }
    }


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> BirdSettings:
    return BirdSettings.model_validate({"type": "bird", "api_key": Secret(KEY), "base_url": url, **more})


@pytest.fixture
def client(stub: StubServer) -> Iterator[BirdClient]:
    with closing(BirdClient(settings(stub.url))) as made:
        yield made


# Settings


@pytest.mark.parametrize(
    "key", ["live_7d41c09a55aa", "bk_7d41c09a55aa", "bk_eu1_", "bk_eu1.evil.example_7d41c09a55", ""]
)
def test_a_key_that_names_no_region_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValidationError, match='begins as "bk_eu1_"') as caught:
        settings(api_key=Secret(key))
    assert "7d41c09a55aa" not in str(caught.value)


@pytest.mark.parametrize(("key", "host"), [("bk_us1_", "us1"), ("bm_eu2_", "eu2")])
def test_the_key_names_the_host(key: str, host: str) -> None:
    with closing(BirdClient(settings(api_key=Secret(f"{key}7d41c09a55aa"), base_url=None))) as client:
        assert client._url == f"https://{host}.platform.bird.com"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "a signing secret", ""])
def test_a_signing_secret_that_cannot_be_decoded_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError, match='must be a signing secret, "whsec_" and base64 behind it'):
        BirdCallbackSettings(signing_secret=Secret(secret))


# Errors


def test_the_key_is_shown_to_the_api_and_one_message_is_asked_for(client: BirdClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(listing(message())))
    client.verify_credentials()
    (request,) = stub.requests
    assert (request.method, request.query) == ("GET", {"limit": ["1"]})
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("status", "kind", "code", "name", "reason", "told"),
    [
        (401, "auth_error", "E10001", "InvalidApiKey", Reason.CREDENTIALS_REJECTED, "E10001"),
        (402, "billing_error", "E12345", "NoFunds", Reason.BALANCE_EXHAUSTED, "billing_error"),
        (403, "permission_error", "E12345", "Scope", Reason.PERMISSION_MISSING, "E12345"),
        (421, "misdirected_error", "E12345", "Region", Reason.BAD_RESPONSE, "E12345"),
        (422, "validation_error", "E01001", "ValidationError", Reason.INTERNAL, "E01001"),
        (422, "validation_error", "E12020", "CountryNotEnabled", Reason.COUNTRY_NOT_PERMITTED, "E12020"),
        (422, "validation_error", "E12345", "SMSInvalidRecipient", Reason.RECIPIENT_INVALID, "SMSInvalidRecipient"),
        (422, "validation_error", "E12345", "SMSSenderNotConfigured", Reason.SENDER_INVALID, "SMSSenderNotConfigured"),
        (422, "validation_error", "E12345", "SMSNoEligibleSender", Reason.SENDER_INVALID, "SMSNoEligibleSender"),
        (422, "validation_error", "E12345", "SomethingNew", Reason.BAD_RESPONSE, "E12345"),
        (429, "rate_limit_error", "E12345", "Slower", Reason.RATE_LIMITED, "E12345"),
        (503, "billing_error", "E12345", "NoFunds", Reason.PROVIDER_OUTAGE, "billing_error"),
    ],
)
def test_a_refusal_has_its_reason(
    client: BirdClient, stub: StubServer, status: int, kind: str, code: str, name: str, reason: Reason, told: str
) -> None:
    stub.on(MESSAGES, answer(refused(kind, code, name), status=status))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=NUMBER, sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == (reason, told)
    assert str(caught.value) == f"Bird answers HTTP {status}, code {told}"


@pytest.mark.parametrize("code", ["E12345", "SomethingNew", "validation_error"])
def test_a_code_that_is_not_built_in_may_be_configured(stub: StubServer, code: str) -> None:
    stub.on(MESSAGES, answer(refused("validation_error", "E12345", "SomethingNew"), status=422))
    configured = settings(stub.url, error_codes={code: "account_suspended"})
    with closing(BirdClient(configured)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (Reason.ACCOUNT_SUSPENDED, code)


def test_every_code_names_its_source() -> None:
    assert {row.source.split()[0] for row in ERROR_CODES.values()} == {
        "SMSErrorCode",
        "SMSMessageSendRequest",
        "https://bird.com/docs/guides/errors",
        "ErrorBodyType",
        "unverified:",
    }


# The log


def test_a_page_of_the_log_is_the_newest_first(client: BirdClient, stub: StubServer) -> None:
    older = message(id="sms_older", created_at="2026-05-21T11:59:00Z")
    inbound = message(direction="inbound", status="received", created_at="2026-05-21T11:58:00Z")
    stub.on(MESSAGES, answer(listing(message(), older, inbound, following="eyJ2IjoxLCJzIjoi")))
    page = client.read_page(since=CREATED - 600)
    assert [each.message_id for each in page.receipts] == [MESSAGE_ID, "sms_older"]
    assert page.receipts[0] == Receipt(
        message_id=MESSAGE_ID,
        status=Status.DELIVERED,
        at=CREATED + 4.25,
        created_at=CREATED,
        recipient=NUMBER,
        country="US",
        operator="311480",
        delivery_seconds=4.25,
    )
    assert (page.resume, page.reached) == ("cursor=eyJ2IjoxLCJzIjoi", CREATED - 120)
    (request,) = stub.requests
    assert request.query == {"direction": ["outbound"], "limit": ["100"]}


def test_pages_that_go_in_a_circle_are_refused(client: BirdClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(listing(message(), following="abc")))
    first = client.read_page(since=0.0)
    with pytest.raises(BadResponseError, match="pages in a circle"):
        client.read_page(since=0.0, resume=first.resume)


def test_all_pages_of_a_walk_are_asked_for_with_the_same_filters(client: BirdClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(listing(message(), following="abc")), answer(listing()))
    first = client.read_page(since=CREATED - 600, until=CREATED + 0.5)
    assert first.resume == "until=1779364802&cursor=abc"
    second = client.read_page(since=CREATED - 900, until=CREATED - 60, resume=first.resume)
    assert (second.receipts, second.resume, second.reached) == ([], None, None)
    wanted = {"direction": ["outbound"], "limit": ["100"], "created_before": ["2026-05-21T12:00:02Z"]}
    assert [each.query for each in stub.requests] == [wanted, {**wanted, "starting_after": ["abc"]}]


def test_what_is_asked_for_beyond_the_span_is_not_told(client: BirdClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(listing(message(), message(created_at="2026-05-21T11:50:00Z"))))
    assert client.read_page(since=CREATED - 60, until=CREATED).receipts == []


def test_a_log_that_is_not_in_order_says_nothing_of_how_far_it_reaches(client: BirdClient, stub: StubServer) -> None:
    older = message(created_at="2026-05-21T11:59:00Z")
    stub.on(MESSAGES, answer(listing(older, message(), following="abc")))
    assert client.read_page(since=0.0).reached is None


def test_an_expired_cursor_is_a_bad_response_and_no_defect_of_ours(client: BirdClient, stub: StubServer) -> None:
    """So the log is read on by date: https://bird.com/docs/api/pagination."""
    stub.on(MESSAGES, answer(refused("validation_error", "E01012", "InvalidCursor"), status=422))
    with pytest.raises(ProviderError) as caught:
        client.read_page(since=0.0, resume="cursor=abc")
    assert (caught.value.reason, caught.value.code) == (Reason.BAD_RESPONSE, None)


@pytest.mark.parametrize("bookmark", ["until=1779364802", "cursor=a+b", "cursor=", "cursor=abc&cursor=abc"])
def test_a_bookmark_that_is_not_ours_is_not_followed(client: BirdClient, stub: StubServer, bookmark: str) -> None:
    with pytest.raises(ProviderError, match="has no such page"):
        client.read_page(since=0.0, resume=bookmark)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("scheduled", None, (Status.ACCEPTED, None, None)),
        ("accepted", None, (Status.ACCEPTED, None, None)),
        ("sent", None, (Status.SENT, None, None)),
        ("delivered", None, (Status.DELIVERED, None, None)),
        ("canceled", None, (Status.CANCELED, None, None)),
        ("delivered", "unreachable", (Status.DELIVERED, None, None)),
        ("expired", None, (Status.UNDELIVERED, Reason.DELIVERY_SLOW, None)),
        ("expired", "unreachable", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "unreachable")),
        ("undelivered", None, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("undelivered", "unknown", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "unknown")),
        ("undelivered", "unreachable", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "unreachable")),
        ("undelivered", "blocked_by_carrier", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "blocked_by_carrier")),
        ("undelivered", "content_rejected", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "content_rejected")),
        ("undelivered", "blocked_by_recipient", (Status.UNDELIVERED, Reason.RECIPIENT_BLOCKED, "blocked_by_recipient")),
        (
            "undelivered",
            "landline_unreachable",
            (Status.UNDELIVERED, Reason.RECIPIENT_LANDLINE, "landline_unreachable"),
        ),
        ("undelivered", "invalid_destination", (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "invalid_destination")),
        ("failed", "provider_unavailable", (Status.FAILED, Reason.PROVIDER_OUTAGE, "provider_unavailable")),
        ("failed", "insufficient_balance", (Status.FAILED, Reason.BALANCE_EXHAUSTED, "insufficient_balance")),
        ("rejected", "sender_unregistered", (Status.FAILED, Reason.SENDER_UNREGISTERED, "sender_unregistered")),
        ("rejected", "recipient_opted_out", (Status.FAILED, Reason.RECIPIENT_OPTED_OUT, "recipient_opted_out")),
        (
            "rejected",
            "blocked_by_fraud_protection",
            (Status.FAILED, Reason.SMS_PUMPING, "blocked_by_fraud_protection"),
        ),
    ],
)
def test_a_status_and_its_code_have_their_reason(
    client: BirdClient, stub: StubServer, status: str, code: str | None, expected: Any
) -> None:
    told = message(status=status, last_error=None if code is None else error_of(code))
    stub.on(MESSAGES, answer(listing(told)))
    (receipt,) = client.read_page(since=0.0).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


def test_a_code_that_is_new_is_told(client: BirdClient, stub: StubServer) -> None:
    """SMSError.code is an open enum."""
    stub.on(MESSAGES, answer(listing(message(status="undelivered", last_error=error_of("eaten_by_dog")))))
    (receipt,) = client.read_page(since=0.0).receipts
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "eaten_by_dog", False)
    assert receipt.at == CREATED + 9


@pytest.mark.parametrize(("told", "country"), [("nl", "NL"), ("NL", "NL"), ("NLD", "unknown"), (7, "unknown")])
def test_the_country_is_bird_s_where_the_number_tells_none(
    client: BirdClient, stub: StubServer, told: Any, country: str
) -> None:
    stub.on(MESSAGES, answer(listing(message(to="+88312345678", country_code=told))))
    (receipt,) = client.read_page(since=0.0).receipts
    assert receipt.country == country


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [
        message(status="melancholic"),
        message(status=7),
        message(id="../x"),
        message(created_at="yesterday"),
        message(delivered_at="soon"),
        message(last_error="no"),
    ]
    stub.on(MESSAGES, answer(listing(message(), *bad)))
    with closing(BirdClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=0.0).receipts) == 1
    assert told.unreadable == len(bad)


# The canary


def test_a_canary_is_sent_as_a_code(client: BirdClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(message(status="accepted"), status=202))
    assert client.send_canary(to=NUMBER, sender="Acme", text="ä & b", validity_seconds=300) == MESSAGE_ID
    (request,) = stub.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {"to": NUMBER, "from": "Acme", "text": "ä & b", "category": "authentication"}


def test_a_canary_is_followed_by_its_id(client: BirdClient, stub: StubServer) -> None:
    failed = message(status="undelivered", last_error=error_of("unreachable"))
    stub.on(f"{MESSAGES}/{MESSAGE_ID}", answer(message(status="sent", cost=None)), answer(failed))
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.SENT)
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.UNDELIVERED,
        reason=Reason.RECIPIENT_UNREACHABLE,
        code="unreachable",
        cost=0.0099,
        currency="EUR",
    )


def test_a_canary_of_which_nothing_is_known_is_not_found(client: BirdClient, stub: StubServer) -> None:
    stub.on(f"{MESSAGES}/{MESSAGE_ID}", answer(refused("not_found_error", "E12345", "NotFound"), status=404))
    with pytest.raises(NotFoundError):
        client.fetch_canary(MESSAGE_ID)


@pytest.mark.parametrize("told", [message(id="sms_another"), message(direction="inbound", status="received")])
def test_another_message_than_the_canary_is_refused(client: BirdClient, stub: StubServer, told: Any) -> None:
    stub.on(f"{MESSAGES}/{MESSAGE_ID}", answer(told))
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(MESSAGE_ID)


# Senders

SENDER_ID = "snd_01krdgeqcxet5s7t44vh8rt9mg"


def sender(**changes: Any) -> dict[str, Any]:
    return {
        "id": SENDER_ID,
        "sender": "+15557654321",
        "source_kind": "number",
        "sender_type": "long_code",
        "country_code": "US",
        "number_id": "nda_01krdgeqcxet5s7t44vh8rt9mg",
        "status": "active",
        "destinations": {"active": ["CA"], "pending": ["US"], "needs_attention": ["DE", "FR"]},
        "created_at": "2026-05-21T12:00:00Z",
        "updated_at": "2026-05-21T12:00:00Z",
        **changes,
    }


def test_a_number_is_looked_for_on_all_pages(client: BirdClient, stub: StubServer) -> None:
    stub.on(SENDERS, answer(listing(sender(sender="Acme"), following="abc")), answer(listing(sender())))
    assert client.fetch_number("+15557654321") == Sender(label="+1********21")
    assert [each.query.get("starting_after") for each in stub.requests] == [None, ["abc"]]


def test_a_number_that_is_no_sender_does_not_exist(client: BirdClient, stub: StubServer) -> None:
    stub.on(SENDERS, answer(listing(sender(sender="Acme"))))
    assert client.fetch_number("+15557654321") == Sender(label="+1********21", exists=False)


def test_a_list_of_senders_without_an_end_is_given_up(client: BirdClient, stub: StubServer) -> None:
    stub.on(SENDERS, answer(listing(sender(sender="Acme"), following="abc")))
    with pytest.raises(ProviderError, match="has no end"):
        client.fetch_number("+15557654321")
    assert len(stub.requests) == 20


@pytest.mark.parametrize(
    ("changes", "countries", "problem"),
    [
        ({}, ["CA"], None),
        ({}, ["CA", "US"], "not yet registered for US"),
        ({}, ["FR", "US", "DE"], "its registration fails for FR, DE; not yet registered for US"),
        ({"status": "pending_number_ownership"}, [], "the ownership of its number is not proven"),
        ({"status": "pending_registrations"}, ["US"], "its registrations are not finished; not yet registered for US"),
    ],
)
def test_a_sender_has_its_registration_problem(
    client: BirdClient, stub: StubServer, changes: Any, countries: list[str], problem: str | None
) -> None:
    stub.on(f"{SENDERS}/{SENDER_ID}", answer(sender(**changes)))
    told = client.fetch_messaging_service(SENDER_ID, countries=countries)
    assert told == Sender(label=SENDER_ID, registration_problem=problem)


def test_a_status_of_a_sender_that_is_new_is_not_readable(client: BirdClient, stub: StubServer) -> None:
    stub.on(f"{SENDERS}/{SENDER_ID}", answer(sender(status="resting")))
    told = client.fetch_messaging_service(SENDER_ID, countries=[])
    assert told == Sender(label=SENDER_ID, unreadable=("its status, a word that is new",))


def test_a_sender_that_is_not_there_does_not_exist(client: BirdClient, stub: StubServer) -> None:
    stub.on(f"{SENDERS}/{SENDER_ID}", answer(refused("not_found_error", "E12345", "NotFound"), status=404))
    assert client.fetch_messaging_service(SENDER_ID, countries=[]) == Sender(label=SENDER_ID, exists=False)


def test_a_country_is_refused_when_no_sender_may_send_there(client: BirdClient, stub: StubServer) -> None:
    name = sender(sender="Acme", destinations={"active": ["DE"], "pending": [], "needs_attention": []})
    stub.on(SENDERS, answer(listing(sender(), name)), answer(listing()))
    assert client.fetch_country_permissions(["DE", "US", "CA"]) == CountryPermissions(refused=("US",))
    assert client.fetch_country_permissions(["DE", "US"]) == CountryPermissions(unknown=("DE", "US"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (None, Reason.OK),
        ("sender_invalid", Reason.SENDER_INVALID),
        ("sender_unregistered", Reason.SENDER_UNREGISTERED),
        ("country_not_permitted", Reason.COUNTRY_NOT_PERMITTED),
    ],
)
def test_the_faults_of_senders_are_seen_in_the_sandbox(world: Sandbox, fault: str | None, reason: Reason) -> None:
    wanted = SendersSettings(target="x", numbers=(world.credentials.long_code,), countries=("US", "GB"))
    if fault is not None:
        world.set_fault(fault)
    try:
        with closing(build_client(BirdSettings.model_validate(world.provider_settings("bird")))) as client:
            assert check_senders(client, wanted).reason is reason
    finally:
        if fault is not None:
            world.clear_fault(fault)


# Webhooks

AT = CREATED + 5


def event(kind: str = "sms.delivered", **changes: Any) -> dict[str, Any]:
    data = {
        "sms_id": MESSAGE_ID,
        "workspace_id": "ws_01krdgeqcxet5s7t44vh8rt9mg",
        "to": NUMBER,
        "from": "+15557654321",
        "tags": None,
        "metadata": None,
        "requested_language": None,
        "resolved_language": None,
        "template_id": None,
        "template_version_id": None,
        "template_content_hash": None,
        "country_code": "US",
        "mcc_mnc": "311480",
        **changes,
    }
    return {"type": kind, "timestamp": "2026-05-21T12:00:04Z", "data": data}


def signature(body: bytes, *, key: bytes = KEY_BYTES, at: float = AT, post_id: str = "msg_1") -> str:
    signed = f"{post_id}.{int(at)}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def callback(told: Any, *, at: float = AT, arrived: float = AT, **headers: str | None) -> Callback:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    given = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at)),
        "webhook-signature": signature(body, at=at),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return Callback("", {name: value for name, value in given.items() if value is not None}, body, arrived)


@pytest.fixture
def receiver() -> Iterator[BirdClient]:
    with closing(BirdClient(settings(callbacks={"signing_secret": Secret(SIGNING_SECRET)}))) as made:
        yield made


def outcome_of(receiver: BirdClient, given: Callback) -> CallbackOutcome:
    with pytest.raises(CallbackRefusedError) as caught:
        receiver.read_callback(given)
    return caught.value.outcome


def test_a_webhook_says_what_became_of_its_message(receiver: BirdClient) -> None:
    assert receiver.read_callback(callback(event())) == (
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=CREATED + 4,
            recipient=NUMBER,
            country="US",
            operator="311480",
            source=Source.CALLBACK,
        ),
    )
    (failed,) = receiver.read_callback(callback(event("sms.undelivered", error=error_of("blocked_by_carrier"))))
    assert (failed.status, failed.reason) == (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING)


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the libraries of https://www.standardwebhooks.com."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = decode_secret(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    refuse_unsigned(Callback("", headers, b'{"test": 2432232314}', 1_614_265_330.0), key)
    with pytest.raises(CallbackRefusedError):
        refuse_unsigned(Callback("", headers, b'{"test": 2432232315}', 1_614_265_330.0), key)


def test_either_signature_is_believed_while_the_secret_is_rotated(receiver: BirdClient) -> None:
    body = json.dumps(event()).encode()
    both = f"{signature(body, key=b'another')} {signature(body)}"
    assert receiver.read_callback(callback(body, webhook_signature=both))


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({"webhook_signature": None}, CallbackOutcome.UNSIGNED),
        ({"webhook_id": None}, CallbackOutcome.UNSIGNED),
        ({"webhook_timestamp": None}, CallbackOutcome.UNSIGNED),
        ({"webhook_id": "msg_2"}, CallbackOutcome.BAD_SIGNATURE),
        ({"webhook_id": "\udcff"}, CallbackOutcome.BAD_SIGNATURE),
        ({"webhook_timestamp": "1779364806"}, CallbackOutcome.BAD_SIGNATURE),
        ({"webhook_timestamp": "now"}, CallbackOutcome.BAD_SIGNATURE),
        ({"webhook_signature": "v1,"}, CallbackOutcome.BAD_SIGNATURE),
        ({"webhook_signature": "\udcff"}, CallbackOutcome.BAD_SIGNATURE),
        (
            {"webhook_signature": signature(json.dumps(event()).encode()).replace("v1", "v1a")},
            CallbackOutcome.BAD_SIGNATURE,
        ),
        (
            {"webhook_signature": signature(json.dumps(event()).encode(), key=b"another")},
            CallbackOutcome.BAD_SIGNATURE,
        ),
    ],
)
def test_what_is_not_signed_is_refused(receiver: BirdClient, headers: Any, outcome: CallbackOutcome) -> None:
    assert outcome_of(receiver, callback(event(), **headers)) is outcome


def test_a_time_that_is_no_number_is_refused_even_if_it_is_signed(receiver: BirdClient) -> None:
    body = json.dumps(event()).encode()
    signed = b64encode(hmac.digest(KEY_BYTES, b"msg_1.soon." + body, "sha256")).decode()
    given = callback(body, webhook_timestamp="soon", webhook_signature=f"v1,{signed}")
    assert outcome_of(receiver, given) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize("late", [301.0, -301.0, 86_400.0])
def test_a_post_that_is_not_of_now_is_refused(receiver: BirdClient, late: float) -> None:
    assert outcome_of(receiver, callback(event(), arrived=AT + late)) is CallbackOutcome.REPLAYED
    assert receiver.read_callback(callback(event(), arrived=AT + 299.0))


@pytest.mark.parametrize(
    "told",
    [
        event("sms.received"),
        event("sms.read"),
        event("sms_suppression.created"),
        event("email.delivered"),
        event("delivered"),
    ],
)
def test_a_webhook_about_something_else_says_nothing(receiver: BirdClient, told: Any) -> None:
    assert receiver.read_callback(callback(told)) == ()


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"not JSON",
        b"[" * 100_000,
        [],
        {"type": "sms.delivered"},
        {**event(), "type": 7},
        {**event(), "timestamp": "soon"},
        event(sms_id="../x"),
        event("sms.failed", error="no"),
    ],
)
def test_a_webhook_that_is_signed_and_not_understood_is_malformed(receiver: BirdClient, told: Any) -> None:
    assert outcome_of(receiver, callback(told)) is CallbackOutcome.MALFORMED


# The vendor's own SDK


@pytest.fixture(scope="module")
def sdk() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's, about models of other channels
        return import_module("bird")


NOW = 1_800_000_000.0
FOR_EVER = 10**10  # seconds: the clock of the sandbox stands still


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox(clock=lambda: NOW, history_hours=1) as sandbox:
        yield sandbox


def test_the_words_are_those_of_the_sdk(sdk: Any) -> None:
    models = sdk._generated
    assert {*STATUSES, "received"} == {each.value for each in models.SMSMessageStatus}
    codes = {each.value for each in models.SMSErrorCode}
    assert codes == {code for code, row in ERROR_CODES.items() if row.source.startswith("SMSErrorCode")}
    assert {code for _, code in FATES.values() if code is not None} <= codes
    assert {status for status, _ in FATES.values()} <= STATUSES.keys()


def test_the_sdk_reads_what_the_sandbox_answers(world: Sandbox, sdk: Any) -> None:
    """And what the adapter asks for is what the SDK would ask for."""

    given = world.provider_settings("bird")
    number = world.credentials.long_code
    with sdk.Bird(api_key=given["api_key"].reveal(), base_url=given["base_url"], max_retries=0) as theirs:
        page = theirs.sms.list(direction="outbound", limit=100)
        assert len(page.data) == 100
        assert page.next_cursor is not None
        assert {each.status.value for each in page.data} >= {"sent", "delivered", "undelivered"}
        sdk._generated.SMSMessageList.model_validate(page.response)
        assert any(each.last_error is not None for each in theirs.sms.list(direction="outbound"))
        sent = theirs.sms.send(to="+4915112345678", from_=number, text="a test 1a2b", category="authentication")
        assert theirs.sms.get(sent.id).to == "+4915112345678"
        assert number in [each.sender for each in theirs.sms_senders.list()]
        with pytest.raises(sdk.APIStatusError) as caught:
            theirs.sms.send(to="+4915112345678", from_="Another", text="x", category="authentication")
        assert (caught.value.status_code, caught.value.name) == (422, "SMSSenderNotConfigured")
    with StubServer() as stub, sdk.Bird(api_key=KEY, base_url=stub.url, max_retries=0) as theirs:
        stub.on(MESSAGES, answer(message(), status=202))
        theirs.sms.send(to=NUMBER, from_="Acme", text="x", category="authentication")
        with closing(BirdClient(settings(stub.url))) as ours:
            ours.send_canary(to=NUMBER, sender="Acme", text="x", validity_seconds=300)
        first, second = (json.loads(each.body) for each in stub.requests)
    assert first == second
    sdk._generated.SMSMessageSendRequest.model_validate(second)


@pytest.mark.parametrize("name", ERRORS)
def test_the_errors_of_the_sandbox_are_those_of_the_sdk(sdk: Any, name: str) -> None:
    reply = _error(name)
    body = sdk._generated.Error.model_validate_json(bytes(reply.body)).error
    assert body.type.value == sdk._exceptions._STATUS_TYPES[reply.status_code].value


def test_the_sdk_believes_what_the_sandbox_posts(world: Sandbox, sdk: Any) -> None:

    seen = set()
    theirs = sdk.Bird(webhook_secret=signing_secret(world.account))
    for each in [each for each in world.account.messages() if each.is_closed_at(NOW)]:
        made = post(world.account, "https://codes.example.com", None, each, each.status_at(NOW), NOW)
        told = theirs.webhooks.unwrap(made.body, dict(made.headers), tolerance=FOR_EVER).root
        seen.add(type(told).__name__)
    theirs.close()
    assert seen >= {"EventSMSDelivered", "EventSMSUndelivered"}
