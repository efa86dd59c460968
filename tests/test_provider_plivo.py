"""Plivo's wire: what is asked, what is understood of the answers, and which posts are believed.

Answers are those of Plivo's documentation (docs.plivo.com and www.plivo.com/docs, read 2026-11) and of the tests of
plivo-python (tests/resources/fixtures, 4.63.0); numbers are ours.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from pydantic import ValidationError

from checks.account import AccountSettings, check_account
from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import Account, AccountState, CanaryStatus, Money
from checks.errors import ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.plivo import ERROR_CODES, PlivoClient, PlivoSettings, is_signed, signed_text
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from exporter.meters import Meters
from exporter.sandbox import Sandbox
from exporter.sandbox.plivo import post
from exporter.storage import Storage
from tests.fakes import Told
from tests.stub_server import StubServer, answer

AUTH_ID = "MA2025RK4E639VJFZAGV"
TOKEN = "auth-token-7d41c09a"
NUMBER = "447700900000"
MESSAGE_ID = "b48d95dc-e3ac-11eb-a9c2-0242ac110005"
ACCOUNT = f"/v1/Account/{AUTH_ID}/"
MESSAGES = f"{ACCOUNT}Message/"
CREATED = 1_626_161_646.799021  # 2021-07-13T07:34:06Z
SINCE = CREATED - 3600.799021  # 2021-07-13T06:34:06Z
UNTIL = SINCE + 7200


def account(**changes: Any) -> dict[str, Any]:
    """Return the example of docs.plivo.com/docs/account/api/account/the-account-object."""
    return {
        "account_type": "standard",
        "address": "Wayne Enterprises Inc.",
        "api_id": "150892a0-922a-11e7-b6f4-061564b78b75",
        "auth_id": AUTH_ID,
        "auto_recharge": False,
        "billing_mode": "prepaid",
        "cash_credits": "1.80900",
        "city": "Gotham",
        "name": "Bruce Wayne",
        "resource_uri": ACCOUNT,
        "state": "NY",
        "timezone": "America/New_York",
        **changes,
    }


def record(**changes: Any) -> dict[str, Any]:
    """Return the example of plivo.com/docs/messaging/api/message/retrieve-a-message."""
    return {
        "carrier_fees": "0.04",
        "carrier_fees_rate": "0.04",
        "error_code": "000",
        "from_number": "17087654321",
        "mcc": "234",
        "message_direction": "outbound",
        "message_state": "delivered",
        "message_time": "2021-07-13 13:04:06.799021+05:30",
        "message_type": "sms",
        "message_uuid": MESSAGE_ID,
        "mnc": "15",
        "resource_uri": f"{MESSAGES}{MESSAGE_ID}/",
        "to_number": NUMBER,
        "total_amount": "0.00140",
        "total_rate": "0.00140",
        "destination_country_iso2": "GB",
        "units": 1,
        "requester_ip": "192.168.0.1",
        "log": "number_only",
        **changes,
    }


def page(*records: Any, total: int | None = None, offset: int = 0) -> dict[str, Any]:
    total = len(records) if total is None else total
    meta = {"limit": 20, "next": None, "offset": offset, "previous": None, "total_count": total}
    return {"api_id": "9506d2c0-3f08-11e7-b886-067c5485c240", "meta": meta, "objects": list(records)}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> PlivoSettings:
    given = {"type": "plivo", "auth_id": AUTH_ID, "auth_token": Secret(TOKEN), "base_url": url, **more}
    return PlivoSettings.model_validate(given)


@pytest.fixture
def client(stub: StubServer) -> Iterator[PlivoClient]:
    with closing(PlivoClient(settings(stub.url))) as made:
        yield made


def test_credentials_are_good_when_the_answer_is_of_our_account(client: PlivoClient, stub: StubServer) -> None:
    stub.on(ACCOUNT, answer(account()), answer(account(auth_id="MA" + "B" * 18)), answer({"hello": "world"}))
    client.verify_credentials()
    for problem in ("Plivo tells of another account", "Plivo gives no auth_id, or another thing than documented"):
        with pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        assert (caught.value.reason, str(caught.value)) == (Reason.BAD_RESPONSE, problem)
    assert [(each.method, each.target, each.basic_auth) for each in stub.requests] == [
        ("GET", ACCOUNT, (AUTH_ID, TOKEN))
    ] * 3


def test_wrong_keys_are_told_in_plain_text(client: PlivoClient, stub: StubServer) -> None:
    stub.on(ACCOUNT, answer(b"Could not verify your access level for that URL.", status=401))
    with pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (Reason.CREDENTIALS_REJECTED, "Plivo answers HTTP 401")


def test_the_balance_is_in_dollars(client: PlivoClient, stub: StubServer) -> None:
    stub.on(ACCOUNT, answer(account()), answer(account(cash_credits="-0.42000")))
    assert client.fetch_balance() == Money(amount=1.809, currency="USD")
    assert client.fetch_balance() == Money(amount=-0.42, currency="USD")
    assert client.fetch_spend() is None  # type: ignore[func-returns-value]


def test_who_pays_afterwards_has_no_balance(client: PlivoClient, stub: StubServer) -> None:
    stub.on(ACCOUNT, answer(account(billing_mode="postpaid", cash_credits="0.00000")))
    assert client.fetch_balance() is None


def test_a_trial_is_a_restriction_and_a_suspension_cannot_be_told(client: PlivoClient, stub: StubServer) -> None:
    stub.on(ACCOUNT, answer(account()), answer(account()), answer(account(account_type="developer")))
    assert client.fetch_account() == Account(state=AccountState.ACTIVE, unreadable=("whether it is suspended",))
    results = [check_account(client, AccountSettings(target="p")) for _ in range(2)]
    assert [(each.reason, each.detail) for each in results] == [
        (Reason.OK, "the account is active; not readable: whether it is suspended"),
        (Reason.ACCOUNT_RESTRICTED, "the account is a free trial"),
    ]


# The log


def test_a_page_of_the_log_is_asked_for_by_its_span(client: PlivoClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(page(record())))
    read = client.read_page(since=SINCE, until=UNTIL)
    assert read.receipts == [
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=CREATED,
            created_at=CREATED,
            recipient=f"+{NUMBER}",
            country="GB",
            operator="23415",  # the plan names no operator of this number
            delivery_seconds=None,  # the log has one time alone
        )
    ]
    assert (read.resume, read.reached) == (None, SINCE)
    (request,) = stub.requests
    assert (request.path, request.basic_auth) == (MESSAGES, (AUTH_ID, TOKEN))
    assert request.query == {
        "limit": ["20"],
        "message_direction": ["outbound"],
        "message_time__gte": ["2021-07-13 06:34:06"],
        "message_time__lt": ["2021-07-13 08:34:06"],
    }


def ids(count: int) -> list[dict[str, Any]]:
    """Return records, the newest first, a second each."""
    return [record(message_uuid=f"{n:036d}", message_time=f"2021-07-13 07:34:{59 - n:02d}+00:00") for n in range(count)]


def test_a_span_is_read_on_by_counting_off_its_rows(client: PlivoClient, stub: StubServer) -> None:
    rows = ids(45)
    pages = [page(*rows[at : at + 20], total=45, offset=at) for at in (0, 20, 40)]
    stub.on(MESSAGES, *map(answer, pages))
    told, resume, reached = [], None, []
    for _ in pages:
        read = client.read_page(since=SINCE, until=UNTIL, resume=resume)
        told += [each.message_id for each in read.receipts]
        reached.append(read.reached)
        resume = read.resume
    assert (told, resume) == ([each["message_uuid"] for each in rows], None)
    assert [each.query.get("offset") for each in stub.requests] == [None, ["20"], ["40"]]
    newest = 1_626_161_699.0
    assert reached == [newest - 19, newest - 39, SINCE]  # the newest come first, so a page tells how far it is


def test_rows_in_another_order_do_not_tell_how_far_a_page_reaches(client: PlivoClient, stub: StubServer) -> None:
    rows = ids(20)
    stub.on(
        MESSAGES, answer(page(*reversed(rows), total=45)), answer(page(*rows[:19], record(message_time=7), total=45))
    )
    for _ in range(2):
        assert client.read_page(since=SINCE, until=UNTIL).reached == UNTIL


def test_an_empty_page_ends_its_span(client: PlivoClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(page(total=45)))
    assert client.read_page(since=SINCE, until=UNTIL).resume is None


def test_a_long_time_is_read_span_by_span(client: PlivoClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(page()))
    resume, reached = None, []
    for _ in range(9):
        read = client.read_page(since=UNTIL - 86_400, until=UNTIL, resume=resume)
        reached.append(read.reached)
        resume = read.resume
        if resume is None:
            break
    assert reached == [UNTIL - hours * 3600 for hours in (6, 12, 18, 24)]


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("queued", None, (Status.ACCEPTED, None, None)),
        ("sent", None, (Status.SENT, None, None)),
        ("sent", "000", (Status.SENT, None, None)),
        ("delivered", "000", (Status.DELIVERED, None, None)),
        ("read", "000", (Status.DELIVERED, None, None)),
        ("undelivered", "10", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "10")),
        ("undelivered", "20", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "20")),
        ("undelivered", "30", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "30")),
        ("undelivered", "030", (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "30")),
        ("undelivered", 30, (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "30")),
        ("undelivered", "40", (Status.UNDELIVERED, Reason.SENDER_UNREGISTERED, "40")),
        ("undelivered", "50", (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "50")),
        ("undelivered", "70", (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "70")),
        ("undelivered", "80", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "80")),
        ("undelivered", "90", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "90")),
        ("undelivered", "1000", (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "1000")),
        ("undelivered", None, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("failed", "200", (Status.FAILED, Reason.RECIPIENT_OPTED_OUT, "200")),
        ("failed", "420", (Status.FAILED, Reason.DELIVERY_SLOW, "420")),
        ("failed", "450", (Status.FAILED, Reason.COUNTRY_NOT_PERMITTED, "450")),
        ("failed", "451", (Status.FAILED, Reason.SMS_PUMPING, "451")),
        ("failed", "900", (Status.FAILED, Reason.BALANCE_EXHAUSTED, "900")),
        ("failed", "910", (Status.FAILED, Reason.ACCOUNT_SUSPENDED, "910")),
        ("rejected", "100", (Status.FAILED, Reason.OPERATOR_BLOCKING, "100")),
    ],
)
def test_a_state_and_its_code_have_their_reason(
    client: PlivoClient, stub: StubServer, state: str, code: Any, expected: Any
) -> None:
    stub.on(MESSAGES, answer(page(record(message_state=state, error_code=code))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


def test_an_unknown_code_is_an_unmapped_one(client: PlivoClient, stub: StubServer) -> None:
    stub.on(MESSAGES, answer(page(record(message_state="failed", error_code="777"))))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "777", False)


def test_a_code_may_mean_what_the_settings_say(stub: StubServer) -> None:
    stub.on(MESSAGES, answer(page(record(message_state="undelivered", error_code="30"))))
    with closing(PlivoClient(settings(stub.url, error_codes={30: "recipient_blocked"}))) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.reason is Reason.RECIPIENT_BLOCKED


def test_every_code_names_its_source() -> None:
    assert {code for code, row in ERROR_CODES.items() if "plivo.com/" not in row.source} == {"451", "910"}


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [record(message_state="melancholic"), record(message_time="yesterday"), record(message_uuid="../x")]
    masked = record(to_number="44770090****", mcc=None, mnc=None)  # as the application asked Plivo to keep it
    stub.on(MESSAGES, answer(page(masked, record(message_direction="inbound"), *bad)))
    with closing(PlivoClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.recipient, receipt.country, receipt.operator, told.unreadable) == ("", "GB", "unknown", 3)


@pytest.mark.parametrize("auth_id", ["SA2025RK4E639VJFZAGV", "MA2025RK4E639VJFZAG", "MA2025RK4E639VJFZAGV/../x"])
def test_an_auth_id_that_is_none_is_refused(auth_id: str) -> None:
    with pytest.raises(ValidationError):
        settings(auth_id=auth_id)


# Sending


def test_a_canary_is_sent_with_its_expiry(client: PlivoClient, stub: StubServer) -> None:
    """The answer is that of plivo-python's tests (messageSendResponse.json)."""
    queued = {"api_id": "948b53a2-3f08-11e7-b6f4-061564b78b75", "message": "message(s) queued"}
    stub.on(MESSAGES, answer({**queued, "message_uuid": [MESSAGE_ID]}, status=202))
    sent = [
        client.send_canary(to=f"+{NUMBER}", sender=sender, text="ä & b", validity_seconds=seconds)
        for sender, seconds in (("Acme", 300), ("+17087654321", 86_400), ("Acme", 1))
    ]
    assert sent == [MESSAGE_ID] * 3
    assert [json.loads(each.body) for each in stub.requests] == [
        {"src": src, "dst": NUMBER, "text": "ä & b", "type": "sms", "message_expiry": expiry}
        for src, expiry in (("Acme", 300), ("17087654321", 10_799), ("Acme", 5))
    ]
    assert {(each.method, each.target) for each in stub.requests} == {("POST", MESSAGES)}


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (400, "Insufficient Credit", (Reason.BALANCE_EXHAUSTED, "insufficient-credit")),
        (402, "insufficient credit.", (Reason.BALANCE_EXHAUSTED, "insufficient-credit")),
        (
            400,
            "This caller ID is not allowed for outbound message.",
            (Reason.SENDER_INVALID, "caller-id-not-allowed"),
        ),
        (400, f"{NUMBER} is not valid", (Reason.BAD_RESPONSE, None)),
        (400, {"dst": NUMBER}, (Reason.BAD_RESPONSE, None)),
        (401, "authentication_failed", (Reason.CREDENTIALS_REJECTED, None)),
        (403, "forbidden", (Reason.PERMISSION_MISSING, None)),
        (429, "too many requests", (Reason.RATE_LIMITED, None)),
        (500, "Insufficient Credit", (Reason.PROVIDER_OUTAGE, "insufficient-credit")),
    ],
)
def test_a_send_that_is_refused_has_its_reason(
    client: PlivoClient, stub: StubServer, status: int, words: Any, expected: Any
) -> None:
    stub.on(MESSAGES, answer({"api_id": "97ceeb52-58b6-11e1-86da-77300b68f8bb", "error": words}, status=status))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == expected
    assert NUMBER not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("sent", [[], [MESSAGE_ID, MESSAGE_ID], [7], ["../x"], MESSAGE_ID])
def test_a_send_that_tells_no_id_is_a_bad_response(client: PlivoClient, stub: StubServer, sent: Any) -> None:
    stub.on(MESSAGES, answer({"message": "message(s) queued", "message_uuid": sent}, status=202))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    assert caught.value.reason is Reason.BAD_RESPONSE


def test_a_canary_is_followed_by_its_record(client: PlivoClient, stub: StubServer) -> None:
    stub.on(
        f"{MESSAGES}{MESSAGE_ID}/",
        answer(record(message_state="queued", error_code=None, total_amount="0.00000")),
        answer(record()),
        answer(record(message_state="undelivered", error_code="30")),
        answer(record(message_uuid="b" * 36)),
    )
    seen = [client.fetch_canary(MESSAGE_ID) for _ in range(3)]
    assert seen == [
        CanaryStatus(status=Status.ACCEPTED),
        CanaryStatus(status=Status.DELIVERED, cost=0.0014, currency="USD"),
        CanaryStatus(
            status=Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30", cost=0.0014, currency="USD"
        ),
    ]
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(MESSAGE_ID)


# Callbacks

PUBLIC_URL = "https://codes.example.com/callbacks/p"
NONCE = "05429567804466091622"
QUEUED = {
    "From": "12025550143",
    "MessageTime": "2021-04-16 18:39:29.088198",
    "MessageUUID": "5b40a428-bfc7-4daf-9d06-726c558bf3b8",
    "ParentMessageUUID": "5b40a428-bfc7-4daf-9d06-726c558bf3b8",
    "PartInfo": "1 of 1",
    "PowerpackUUID": "",
    "QueuedTime": "2021-04-16 18:39:29.089793",
    "Sequence": "1",
    "Status": "queued",
    "To": "14045550123",
    "TotalAmount": "0.00000",
    "TotalRate": "0.00000",
    "Units": "1",
}
"""Names, forms and times as in a callback that an application noted at 18:39:29.369 UTC; the rest is made up."""
STARTED = 1_618_598_369.088198
DELIVERED = {
    **QUEUED,
    "Status": "delivered",
    "Sequence": "3",
    "ErrorCode": "000",
    "MCC": "310",
    "MNC": "004",
    "SentTime": "2021-04-16 18:39:30.500000",
    "DeliveryReportTime": "2021-04-16 18:39:33.588198",
}
AT = STARTED + 5.0


def signature(fields: Mapping[str, str], query: str = "", token: str = TOKEN) -> str:
    text = signed_text(PUBLIC_URL, query, fields, NONCE)
    return b64encode(hmac.digest(token.encode(), text.encode(), "sha256")).decode()


def posted(
    fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None, query: str = "", at: float = AT
) -> Callback:
    signed = {"x-plivo-signature-v3": signature(fields, query), "x-plivo-signature-v3-nonce": NONCE}
    given = signed if headers is None else headers
    return Callback(
        query, {"content-type": "application/x-www-form-urlencoded", **given}, urlencode(fields).encode(), at
    )


@pytest.fixture
def receiver() -> Iterator[PlivoClient]:
    with closing(PlivoClient(settings(callbacks={"public_url": PUBLIC_URL}))) as made:
        yield made


def outcome_of(receiver: PlivoClient, callback: Callback) -> CallbackOutcome:
    with pytest.raises(CallbackRefusedError) as caught:
        receiver.read_callback(callback)
    return caught.value.outcome


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        (PUBLIC_URL, QUEUED, "Dut8xrIZlECTm2usRLACWZb90DFpwLVVkwWB5lr0cLs="),
        (f"{PUBLIC_URL}?foo=bar&a=1&foo=a%20b", QUEUED, "p5x1acfQYs975f9p6/wGwnSkq8IVwpAcEOHqN9XBies="),
        ("https://codes.example.com:8443/callbacks/p?b=&a=x%20y", {}, "I7tR45HdFlhfMEqiUqKQO3mAc+6fW8y59XfAuzK0S7Y="),
        (PUBLIC_URL, {}, "R+xL1zq+W4t8WKltn8tD3fSMYF90QNBzvjkXXbOY7kU="),
    ],
)
def test_the_signature_is_that_of_the_vendors_own_library(url: str, fields: dict[str, str], expected: str) -> None:
    """Computed with plivo-python 4.63.0: utils/signature_v3.py, get_signature_v3 of construct_post_url."""
    text = signed_text(url.partition("?")[0], urlsplit(url).query, fields, NONCE)
    assert is_signed(text, Secret(TOKEN), [expected])
    assert is_signed(text, Secret(TOKEN), ["AAAA", f" {expected}"])
    assert not is_signed(text, Secret(f"{TOKEN}x"), [expected])
    assert not is_signed(f"{text}1", Secret(TOKEN), [expected])
    assert not is_signed(text, Secret(TOKEN), [expected[:-1], "", "\udcff"])


def test_a_delivery_is_timed_by_the_vendors_clock(receiver: PlivoClient) -> None:
    (receipt,) = receiver.read_callback(posted(DELIVERED))
    assert receipt == Receipt(
        message_id=QUEUED["MessageUUID"],
        status=Status.DELIVERED,
        at=STARTED + 4.5,
        created_at=STARTED,
        recipient="+14045550123",
        country="US",
        operator="310004",
        delivery_seconds=4.5,
        source=Source.CALLBACK,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Status": "queued"}, (Status.ACCEPTED, STARTED + 0.001595, None, None)),
        (
            {"Status": "sent", "SentTime": DELIVERED["SentTime"]},
            (Status.SENT, STARTED + 1.411802, None, None),
        ),
        (
            {**DELIVERED, "Status": "undelivered", "ErrorCode": "30"},
            (Status.UNDELIVERED, STARTED + 4.5, Reason.OPERATOR_BLOCKING, "30"),
        ),
        (
            {"Status": "failed", "ErrorCode": "450"},
            (Status.FAILED, STARTED + 0.001595, Reason.COUNTRY_NOT_PERMITTED, "450"),
        ),
        ({"Status": "delivered"}, (Status.DELIVERED, AT, None, None)),  # when it came, where it does not say when
    ],
)
def test_each_status_has_its_time(receiver: PlivoClient, changes: dict[str, str], expected: Any) -> None:
    (receipt,) = receiver.read_callback(posted({**QUEUED, **changes}))
    status, at, reason, code = expected
    assert (receipt.status, receipt.reason, receipt.code) == (status, reason, code)
    assert receipt.at == pytest.approx(at, abs=1e-4)
    assert receipt.created_at == STARTED
    assert (receipt.delivery_seconds is None) is (changes.get("Status") != "delivered" or len(changes) == 1)


def test_callbacks_out_of_their_sequence_count_the_same(receiver: PlivoClient) -> None:
    queued = {**DELIVERED, **QUEUED, "SentTime": "", "DeliveryReportTime": ""}
    sent = {**DELIVERED, "Status": "sent", "Sequence": "2", "DeliveryReportTime": ""}
    counted = []
    for order in ([queued, sent, DELIVERED], [DELIVERED, queued, sent], [sent, DELIVERED, DELIVERED, queued]):
        storage = Storage.in_memory(Meters())
        for fields in order:
            storage.book("p").take(receiver.read_callback(posted(fields)))
        counted.append(dict(storage.snapshot().tallies["p"].messages))
    assert counted[0] == counted[1] == counted[2]
    assert sorted((status, total) for (_, status), total in counted[0].items()) == [
        ("accepted", 1),
        ("delivered", 1),
        ("sent", 1),
    ]


def test_the_main_accounts_signature_is_believed_as_well(receiver: PlivoClient) -> None:
    """Either header, each of one signature or more: docs.plivo.com/docs/voice/concepts/signature-validation."""
    nonce, other = {"x-plivo-signature-v3-nonce": NONCE}, signature(DELIVERED, token="of-a-subaccount")
    good = signature(DELIVERED)
    for headers in (
        {"x-plivo-signature-ma-v3": good},
        {"x-plivo-signature-v3": other, "x-plivo-signature-ma-v3": good},
        {"x-plivo-signature-v3": f"{other},{good}"},
    ):
        assert len(receiver.read_callback(posted(DELIVERED, headers={**nonce, **headers}))) == 1
    refused = posted(DELIVERED, headers={**nonce, "x-plivo-signature-v3": other, "x-plivo-signature-ma-v3": other})
    assert outcome_of(receiver, refused) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-plivo-signature-v3": signature(DELIVERED)},
        {"x-plivo-signature-v3-nonce": NONCE},
        {"x-plivo-signature-v3": " , ", "x-plivo-signature-v3-nonce": NONCE},
        {
            "x-plivo-signature-v2": b64encode(
                hmac.digest(TOKEN.encode(), f"{PUBLIC_URL}{NONCE}".encode(), "sha256")
            ).decode(),
            "x-plivo-signature-v2-nonce": NONCE,
        },
    ],
    ids=["nothing", "no nonce", "no signature", "empty signatures", "version 2, which signs no body"],
)
def test_a_callback_without_a_signature_of_version_3_is_refused(receiver: PlivoClient, headers: dict[str, str]) -> None:
    assert outcome_of(receiver, posted(DELIVERED, headers=headers)) is CallbackOutcome.UNSIGNED


def test_the_nonce_the_query_and_the_url_are_signed(receiver: PlivoClient) -> None:
    good = {"x-plivo-signature-v3": signature(DELIVERED), "x-plivo-signature-v3-nonce": NONCE}
    assert len(receiver.read_callback(posted(DELIVERED, query="b=2&a=1"))) == 1
    for forged in (
        posted(DELIVERED, headers={**good, "x-plivo-signature-v3-nonce": "1"}),
        posted(DELIVERED, headers=good, query="a=1"),
        posted({**DELIVERED, "Status": "failed"}, headers=good),
    ):
        assert outcome_of(receiver, forged) is CallbackOutcome.BAD_SIGNATURE
    with closing(PlivoClient(settings(callbacks={"public_url": f"{PUBLIC_URL}2"}))) as other:
        assert outcome_of(other, posted(DELIVERED, headers=good)) is CallbackOutcome.BAD_SIGNATURE


@pytest.mark.parametrize(("age", "is_taken"), [(-301, False), (-299, True), (4 * 3600, True), (4 * 3600 + 1, False)])
def test_a_callback_of_another_time_is_refused(receiver: PlivoClient, age: float, is_taken: bool) -> None:
    callback = posted(DELIVERED, at=1_618_598_373.588198 + age)
    if is_taken:
        assert len(receiver.read_callback(callback)) == 1
    else:
        assert outcome_of(receiver, callback) is CallbackOutcome.REPLAYED


@pytest.mark.parametrize(
    "changes", [{"MessageUUID": "../x"}, {"MessageTime": ""}, {"MessageTime": "soon"}, {"DeliveryReportTime": "7"}]
)
def test_a_signed_callback_that_makes_no_sense_is_refused(receiver: PlivoClient, changes: dict[str, str]) -> None:
    assert outcome_of(receiver, posted({**DELIVERED, **changes})) is CallbackOutcome.MALFORMED


def test_what_tells_of_no_status_says_nothing(receiver: PlivoClient) -> None:
    inbound = {"From": "14045550123", "To": "12025550143", "Type": "sms", "Text": "STOP", "MessageUUID": MESSAGE_ID}
    assert receiver.read_callback(posted(inbound)) == ()
    assert receiver.read_callback(posted({**QUEUED, "Status": "melancholic"})) == ()


# The sandbox and the configuration


def test_the_sandbox_tells_a_trial_and_times_its_callbacks() -> None:
    now = 1_800_000_000.0
    with Sandbox(clock=lambda: now, history_hours=0.5) as sandbox:
        given = sandbox.provider_settings("plivo", callback_url=PUBLIC_URL)
        with closing(PlivoClient(PlivoSettings.model_validate(given))) as client:
            assert client.fetch_account().restriction is None
            sandbox.set_fault("account_restricted")
            assert client.fetch_account().restriction is not None
            messages = [
                each
                for each in sandbox.account.messages()
                if each.is_closed_at(now) and each.last_status == "delivered"
            ]
            for message in messages[:50]:
                assert message.closed is not None
                made = post(sandbox.account, PUBLIC_URL, None, message, "delivered", message.closed)
                headers = {name.lower(): value for name, value in made.headers.items()}
                (receipt,) = client.read_callback(Callback("", headers, made.body, now))
                assert receipt.delivery_seconds == pytest.approx(message.closed - message.created, abs=1e-4)
    assert messages


PROVIDER = "providers:\n  p: {type: plivo, auth_id: MA2025RK4E639VJFZAGV, auth_token: {env: TEST_TOKEN}}\n"


def problems_of(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("TEST_TOKEN", TOKEN)
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    return tuple(problem.removeprefix(f"{path}: ") for problem in caught.value.problems)


def test_a_log_of_few_requests_is_not_read_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  d: {type: delivery, target: p}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        'checks.d.interval: must be at least "1m", is "20s":'
        " Plivo answers few requests for its message log (log_interval)",
    )
    path = tmp_path / "good.yml"
    path.write_text(PROVIDER + "checks:\n  d: {type: delivery, target: p, interval: 1m}\n")
    assert list(config.load(path).checks) == ["d"]


def test_a_check_that_plivo_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PROVIDER + "checks:\n  s: {type: conversion, target: p}\n"
    assert problems_of(tmp_path, text, monkeypatch) == (
        "checks.s.target: the provider type plivo cannot answer the check conversion; it can answer:"
        " credentials, account, balance, service_status, canary, delivery",
    )
