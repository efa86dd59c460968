"""Sinch's wire: what is asked, what is understood of the answers, and which callbacks are believed.

Answers are those of developers.sinch.com/docs/sms (read 2026-11) and of the tests of sinch-sdk-python and -node; times,
numbers and most ids are ours.
"""

import hmac
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import CanaryStatus
from checks.errors import NotFoundError, ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers.sinch import ERROR_CODES, SinchClient, SinchSettings, is_signed
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from exporter.meters import ForwardOutcome, Meters
from exporter.storage import Storage
from exporter.web.public import serve_public
from exporter.web.server import bind
from tests.fakes import Told
from tests.processes import wait_for
from tests.stub_server import StubServer, answer

TOKEN = "token-7d41c09a55aa"
PLAN = "55aa0c7d41c09a55aa0c7d41c09a55aa"
SECRET = "signing-secret-55aa7d41"
NUMBER = "447400000001"
OTHER = "447400000002"
BATCH_ID = "01HQQSTC9J3QW5CXZ44YZTTXBD"
BATCHES = f"/xms/v1/{PLAN}/batches"
REPORTS = f"/xms/v1/{PLAN}/delivery_reports"
SINCE = 1_709_121_600.0  # 2024-02-28T12:00:00Z
UNTIL = 1_709_122_600.0
CREATED = 1_709_122_072.882


def batch(**changes: Any) -> dict[str, Any]:
    return {
        "id": BATCH_ID,
        "to": [NUMBER],
        "from": "Acme",
        "canceled": False,
        "body": "Hi there",
        "type": "mt_text",
        "created_at": "2024-02-28T12:07:52.882Z",
        "modified_at": "2024-02-28T12:07:52.882Z",
        "delivery_report": "none",
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    return {
        "type": "recipient_delivery_report_sms",
        "batch_id": BATCH_ID,
        "recipient": NUMBER,
        "code": 0,
        "status": "Delivered",
        "at": "2024-02-28T12:07:54.033Z",
        "operator_status_at": "2024-02-28T12:07:00Z",
        **changes,
    }


def listing(name: str, *rows: Any, page: int = 0, count: int | None = None) -> Any:
    total = len(rows) if count is None else count
    return answer({"count": total, "page": page, "page_size": len(rows), name: list(rows)})


def batches(*rows: Any, **more: Any) -> Any:
    return listing("batches", *rows, **more)


def reports(*rows: Any, **more: Any) -> Any:
    return listing("delivery_reports", *rows, **more)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> SinchSettings:
    given = {"type": "sinch", "service_plan_id": PLAN, "api_token": Secret(TOKEN), "base_url": url, **more}
    return SinchSettings.model_validate(given)


@pytest.fixture
def client(stub: StubServer) -> Iterator[SinchClient]:
    with closing(SinchClient(settings(stub.url))) as made:
        yield made


# The account


def test_credentials_are_tried_by_asking_for_one_batch(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, batches())
    client.verify_credentials()
    (request,) = stub.requests
    assert (request.method, request.query) == ("GET", {"page": ["0"], "page_size": ["1"]})
    assert request.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_region_has_a_host_of_its_own() -> None:
    for region in ("us", "eu", "au", "br", "ca"):
        with closing(SinchClient(settings(base_url=None, region=region))) as client:
            assert client._plan == f"https://{region}.sms.api.sinch.com/xms/v1/{PLAN}"


# Errors


@pytest.mark.parametrize(
    ("status", "body", "reason", "code"),
    [
        (401, b"", Reason.CREDENTIALS_REJECTED, None),
        (403, b"", Reason.PERMISSION_MISSING, None),
        (403, {"code": "blocked_account", "text": NUMBER}, Reason.ACCOUNT_SUSPENDED, "blocked_account"),
        (403, {"code": "illegal_number_type", "text": NUMBER}, Reason.RECIPIENT_LANDLINE, "illegal_number_type"),
        (403, {"code": "unknown_campaign", "text": NUMBER}, Reason.SENDER_INVALID, "unknown_campaign"),
        (400, {"code": "syntax_constraint_violation", "text": NUMBER}, Reason.INTERNAL, "syntax_constraint_violation"),
        (400, {"code": "new_word", "text": NUMBER}, Reason.BAD_RESPONSE, "new_word"),
        (403, {"code": 412, "text": NUMBER}, Reason.PERMISSION_MISSING, None),
        (400, {"error": {"code": 400, "message": NUMBER, "status": "INVALID_ARGUMENT"}}, Reason.BAD_RESPONSE, None),
        (503, {"code": "blocked_account", "text": NUMBER}, Reason.PROVIDER_OUTAGE, "blocked_account"),
    ],
)
def test_a_refusal_has_its_reason(
    client: SinchClient, stub: StubServer, status: int, body: Any, reason: Reason, code: str | None
) -> None:
    stub.on(BATCHES, answer(body, status=status))
    with pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert str(caught.value) == f"Sinch answers HTTP {status}" + (f", code {code}" if code else "")


def test_every_code_names_its_source() -> None:
    assert {row.source.split()[0].rstrip(",") for row in ERROR_CODES.values()} == {
        "developers.sinch.com/docs/sms/api-reference/sms/tag/Delivery-reports",
        "developers.sinch.com/docs/sms/api-reference/status-codes",
        "community.sinch.com/t5/SMS/Common-SMS-HTTP-Statuses-and-Codes-Explained/ta-p/14163",
        "the",
        "unverified",
    }


# The log


def test_batches_and_their_reports_make_a_page(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, reports(report()))
    page = client.read_page(since=SINCE, until=UNTIL)
    (receipt,) = page.receipts
    assert receipt == Receipt(
        message_id=receipt.message_id,
        status=Status.DELIVERED,
        at=1_709_122_074.033,
        created_at=CREATED,
        recipient=f"+{NUMBER}",
        country="GB",
        operator=receipt.operator,
        delivery_seconds=1_709_122_074.033 - CREATED,
    )
    assert receipt.message_id.startswith(f"{BATCH_ID}.")
    assert (page.resume, page.reached) == (None, SINCE)
    assert [(each.path, each.query) for each in stub.requests] == [
        (
            BATCHES,
            {
                "start_date": ["2024-02-28T12:00:00.000Z"],
                "end_date": ["2024-02-28T12:16:40.000Z"],
                "page_size": ["100"],
                "page": ["0"],
            },
        ),
        (
            REPORTS,  # of messages of that time, or made at that time: an hour more
            {
                "start_date": ["2024-02-28T12:07:52.882Z"],
                "end_date": ["2024-02-28T13:07:52.882Z"],
                "page_size": ["100"],
                "page": ["0"],
            },
        ),
    ]


def test_without_a_batch_no_report_is_asked_for(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, batches())
    assert client.read_page(since=SINCE, until=UNTIL).receipts == []
    assert len(stub.requests) == 1


def test_pages_of_any_size_are_read_to_the_last(client: SinchClient, stub: StubServer) -> None:
    """It gives fewer than were asked for, and one more message comes meanwhile."""
    stub.on(
        BATCHES,
        batches(batch(id="aaaa"), batch(id="bbbb"), count=3),
        batches(batch(id="bbbb"), batch(id="cccc"), page=1, count=4),
    )
    stub.on(
        REPORTS,
        reports(report(batch_id="aaaa"), count=2),
        reports(report(batch_id="cccc", status="Failed", code=150), page=1, count=2),
    )
    told = client.read_page(since=SINCE, until=UNTIL).receipts
    assert [(each.message_id[:4], each.status) for each in told] == [
        ("aaaa", Status.DELIVERED),
        ("bbbb", Status.SENT),
        ("cccc", Status.UNDELIVERED),
    ]


def test_a_long_span_goes_on_from_a_bookmark(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, *[batches(batch(id=f"id-{n:02}"), page=n, count=11) for n in range(11)])
    stub.on(REPORTS, reports())
    first = client.read_page(since=SINCE, until=UNTIL)
    assert (len(first.receipts), first.reached) == (10, UNTIL)
    assert first.resume == "since=1709121600&until=1709122600&page=10&before=10"
    second = client.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert ([each.message_id[:5] for each in second.receipts], second.resume) == (["id-10"], None)


def test_an_empty_page_is_the_last_one(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, batches(count=9))
    assert client.read_page(since=SINCE, until=UNTIL).resume is None


def test_another_page_than_asked_for_is_refused(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, batches(batch(), count=9))
    with pytest.raises(ProviderError, match="another page than asked for"):
        client.read_page(since=SINCE, until=UNTIL)


def test_reports_that_are_too_many_are_no_answer(stub: StubServer) -> None:
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, *[reports(report(), page=n, count=101) for n in range(101)])
    with closing(SinchClient(settings(stub.url, max_requests_per_second=1000))) as client:
        with pytest.raises(ProviderError, match="too many delivery reports"):
            client.read_page(since=SINCE, until=UNTIL)
        stub.on(REPORTS, *[reports(report(), page=n, count=100) for n in range(100)])
        assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 1


def test_nothing_older_than_a_fortnight_is_asked_for(stub: StubServer) -> None:
    stub.on(BATCHES, batches())
    with closing(SinchClient(settings(stub.url))) as client:
        resume = client.read_page(since=0.0).resume
        for _ in range(40):
            if resume is None:
                break
            resume = client.read_page(since=0.0, resume=resume).resume
    assert resume is None
    oldest = min(each.query["start_date"][0] for each in stub.requests)
    now = time.time()
    days = (now - time.mktime(time.strptime(oldest[:10], "%Y-%m-%d")) + time.timezone) / 86_400
    assert 13 <= days <= 16


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("Queued", 400, (Status.ACCEPTED, None, None)),
        ("Dispatched", 401, (Status.SENT, None, None)),
        ("Unknown", 0, (Status.SENT, None, None)),
        ("Delivered", 0, (Status.DELIVERED, None, None)),
        ("DELIVERED", "0", (Status.DELIVERED, None, None)),
        ("Failed", 0, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ("Failed", 150, (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, "150")),
        ("Failed", "153", (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "153")),
        ("Failed", 152, (Status.UNDELIVERED, Reason.RECIPIENT_LANDLINE, "152")),
        ("Deleted", 0, (Status.UNDELIVERED, Reason.RECIPIENT_INVALID, None)),
        ("Rejected", 408, (Status.FAILED, Reason.OPERATOR_BLOCKING, "408")),
        ("Aborted", 402, (Status.FAILED, Reason.DELIVERY_FAILING, "402")),
        ("Aborted", 403, (Status.FAILED, Reason.PROVIDER_OUTAGE, "403")),
        ("Aborted", 405, (Status.FAILED, Reason.DELIVERY_FAILING, "405")),
        ("Aborted", 410, (Status.FAILED, Reason.SENDER_INVALID, "410")),
        ("Aborted", 412, (Status.FAILED, Reason.COUNTRY_NOT_PERMITTED, "412")),
        ("Aborted", 413, (Status.FAILED, Reason.ACCOUNT_SUSPENDED, "413")),
        ("Expired", 406, (Status.FAILED, Reason.DELIVERY_SLOW, "406")),
        ("Expired", 0, (Status.FAILED, Reason.DELIVERY_SLOW, None)),
        ("Cancelled", 407, (Status.CANCELED, None, None)),
    ],
)
def test_a_status_and_its_code_have_their_reason(
    client: SinchClient, stub: StubServer, status: str, code: Any, expected: Any
) -> None:
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, reports(report(status=status, code=code)))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


def test_a_code_on_which_the_documentation_differs_is_not_explained(stub: StubServer) -> None:
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, reports(report(status="Failed", code=1)))
    with closing(SinchClient(settings(stub.url))) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.reason, receipt.code, receipt.code_is_mapped) == (Reason.DELIVERY_FAILING, "1", False)
    with closing(SinchClient(settings(stub.url, error_codes={1: "recipient_invalid"}))) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.reason, receipt.code_is_mapped) == (Reason.RECIPIENT_INVALID, True)


@pytest.mark.parametrize("reverse", [False, True])
def test_of_several_reports_on_a_message_the_furthest_holds(
    client: SinchClient, stub: StubServer, reverse: bool
) -> None:
    told = [
        report(status="Dispatched", code=401, at="2024-02-28T12:09:00.000Z"),
        report(),
        report(status="melancholic"),
    ]
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, reports(*(reversed(told) if reverse else told)))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.status is Status.DELIVERED


def test_a_batch_is_told_once_for_each_recipient_and_names_no_number(client: SinchClient, stub: StubServer) -> None:
    """That of a group is known once there is a report on it."""
    stub.on(BATCHES, batches(batch(to=[NUMBER, f"+{OTHER}", "01FC66621VHDBN119Z8PMV1QPU", NUMBER])))
    stub.on(
        REPORTS, reports(report(recipient="447400000003"), report(recipient=f"+{OTHER}", status="Failed", code=153))
    )
    told = client.read_page(since=SINCE, until=UNTIL).receipts
    assert {each.recipient: each.status for each in told} == {
        f"+{NUMBER}": Status.SENT,
        f"+{OTHER}": Status.UNDELIVERED,
        "+447400000003": Status.DELIVERED,
    }
    assert len({each.message_id for each in told}) == len(told) == 3
    assert all(number not in repr(told) for number in (NUMBER, OTHER, "447400000003"))


def test_a_batch_that_was_withdrawn_is_canceled_unless_a_report_says_otherwise(
    client: SinchClient, stub: StubServer
) -> None:
    stub.on(BATCHES, batches(batch(canceled=True, to=[NUMBER, OTHER])))
    stub.on(REPORTS, reports(report()))
    told = {each.recipient: each.status for each in client.read_page(since=SINCE, until=UNTIL).receipts}
    assert told == {f"+{NUMBER}": Status.DELIVERED, f"+{OTHER}": Status.CANCELED}


@pytest.mark.parametrize(
    ("send_at", "is_timed"), [("2024-02-28T12:07:53.000Z", True), ("2024-02-28T12:07:54.000Z", False)]
)
def test_a_message_that_was_scheduled_has_no_delivery_time(
    client: SinchClient, stub: StubServer, send_at: str, is_timed: bool
) -> None:
    stub.on(BATCHES, batches(batch(send_at=send_at)))
    stub.on(REPORTS, reports(report()))
    (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.delivery_seconds is not None) is is_timed


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [
        batch(id="../x"),
        batch(id="f1f1", created_at="yesterday"),
        batch(id="f2f2", to=None),
        batch(id="f3f3"),
        batch(id="f4f4", to=["01FC66621VHDBN119Z8PMV1QPU"]),
    ]
    stub.on(BATCHES, batches(batch(), *bad))
    stub.on(
        REPORTS,
        reports(report(), report(batch_id="f3f3", status="melancholic"), report(batch_id="f4f4", recipient="x"), 7),
    )
    with closing(SinchClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 1
        stub.on(BATCHES, batches(*[batch(id=f"id-{n}", to=5) for n in range(5)]))
        with pytest.raises(ProviderError, match="cannot be understood"):
            client.read_page(since=SINCE, until=UNTIL)
    assert told.unreadable == len(bad) + 5


# The canary


def test_a_canary_is_sent_with_its_validity(client: SinchClient, stub: StubServer) -> None:
    stub.on(BATCHES, answer(batch(), status=201))
    before = time.time()
    assert client.send_canary(to=f"+{NUMBER}", sender="+12025550143", text="ä & b", validity_seconds=300) == BATCH_ID
    (request,) = stub.requests
    sent = json.loads(request.body)
    expires = time.strptime(sent.pop("expire_at")[:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(time.mktime(expires) - time.timezone - before - 300) < 10
    assert request.method == "POST"
    assert sent == {
        "type": "mt_text",
        "from": "12025550143",
        "to": [NUMBER],
        "body": "ä & b",
        "delivery_report": "none",
    }


def full_report(*statuses: tuple[str, int], **changes: Any) -> dict[str, Any]:
    rows = [{"code": code, "status": status, "count": 1, "recipients": [NUMBER]} for status, code in statuses]
    return {"type": "delivery_report_sms", "batch_id": BATCH_ID, "total_message_count": 1, "statuses": rows, **changes}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (full_report(), CanaryStatus(status=Status.ACCEPTED)),
        (full_report(("Queued", 400)), CanaryStatus(status=Status.ACCEPTED)),
        (full_report(("Dispatched", 401)), CanaryStatus(status=Status.SENT)),
        (full_report(("Delivered", 0)), CanaryStatus(status=Status.DELIVERED)),
        (
            full_report(("Aborted", 413)),
            CanaryStatus(status=Status.FAILED, reason=Reason.ACCOUNT_SUSPENDED, code="413"),
        ),
        (
            full_report(("Cancelled", 407)),
            CanaryStatus(status=Status.CANCELED, reason=Reason.DELIVERY_FAILING, code="407"),
        ),
    ],
)
def test_a_canary_is_followed_by_the_report_on_its_batch(
    client: SinchClient, stub: StubServer, told: Any, expected: CanaryStatus
) -> None:
    stub.on(f"{BATCHES}/{BATCH_ID}/delivery_report", answer(told))
    assert client.fetch_canary(BATCH_ID) == expected
    (request,) = stub.requests
    assert request.query == {"type": ["full"]}


@pytest.mark.parametrize(
    "told", [full_report(("Delivered", 0), batch_id="another"), full_report(("Delivered", 0), ("Queued", 400))]
)
def test_another_message_than_the_canary_is_refused(client: SinchClient, stub: StubServer, told: Any) -> None:
    stub.on(f"{BATCHES}/{BATCH_ID}/delivery_report", answer(told))
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(BATCH_ID)


def test_a_canary_of_which_nothing_is_known_is_not_found(client: SinchClient, stub: StubServer) -> None:
    stub.on(f"{BATCHES}/{BATCH_ID}/delivery_report", answer({}, status=404))
    with pytest.raises(NotFoundError):
        client.fetch_canary(BATCH_ID)
    with pytest.raises(ProviderError):
        client.fetch_canary("../../x")
    assert len(stub.requests) == 1


# Callbacks

AT = 1_709_122_075.0
NONCE = "01FJA8B4A7BM43YGWSG9GBV067"

# src/tests of sinch/sinch-sdk-dotnet: WebhooksTests.ValidateRequest
REFERENCE_BODY = (
    b'{"app_id":"","accepted_time":"2021-10-18T17:49:13.813615Z","project_id":"e2df3a34-a71b-4448-9db5-a8d2baad28e4",'
    b'"contact_create_notification":{"contact":{"id":"01FJA8B466Y0R2GNXD78MD9SM1","channel_identities":[{"channel":"SMS",'
    b'"identity":"48123456789","app_id":""}],"display_name":"New Test Contact","email":"new.contact@email.com",'
    b'"external_id":"","metadata":"","language":"EN_US"}},"message_metadata":""}'
)
REFERENCE = "6bpJoRmFoXVjfJIVglMoJzYXxnoxRujzR4k2GOXewOE="


def callback(body: Any, *, at: float = AT, secret: str = SECRET, signed_at: Any = int(AT), **headers: Any) -> Callback:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = b".".join((raw, NONCE.encode(), str(signed_at).encode()))
    given = {
        "x-sinch-webhook-signature": b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode(),
        "x-sinch-webhook-signature-nonce": NONCE,
        "x-sinch-webhook-signature-timestamp": str(signed_at),
        "x-sinch-webhook-signature-algorithm": "HmacSHA256",
        **{f"x-sinch-webhook-{name.replace('_', '-')}": value for name, value in headers.items()},
    }
    return Callback("", {name: value for name, value in given.items() if value is not None}, raw, at)


def receiver(url: str = "http://127.0.0.1:1", **more: Any) -> SinchClient:
    return SinchClient(settings(url, callbacks={"signing_secret": Secret(SECRET), **more}))


def outcome_of(given: Callback) -> CallbackOutcome:
    with closing(receiver()) as client, pytest.raises(CallbackRefusedError) as caught:
        client.read_callback(given)
    return caught.value.outcome


def test_a_signature_of_the_vendors_own_tests_is_verified() -> None:
    given = {"nonce": NONCE, "timestamp": "1634579353", "secret": Secret("foo_secret1234")}
    assert is_signed(REFERENCE_BODY, REFERENCE, **given)  # type: ignore[arg-type]
    for changed in ({"nonce": "x"}, {"timestamp": "1634579354"}, {"secret": Secret("foo_secret1235")}):
        assert not is_signed(REFERENCE_BODY, REFERENCE, **{**given, **changed})  # type: ignore[arg-type]
    assert not is_signed(REFERENCE_BODY + b" ", REFERENCE, **given)  # type: ignore[arg-type]
    assert not is_signed(REFERENCE_BODY, "\udfff", **given)  # type: ignore[arg-type]


def test_a_report_on_a_recipient_is_that_of_the_log(stub: StubServer) -> None:
    stub.on(BATCHES, batches(batch()))
    stub.on(REPORTS, reports(report()))
    with closing(receiver(stub.url)) as client:
        (receipt,) = client.read_callback(callback(report()))
        (logged,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt == Receipt(
        message_id=logged.message_id,
        status=Status.DELIVERED,
        at=1_709_122_074.033,
        recipient=f"+{NUMBER}",
        country="GB",
        operator=logged.operator,
        source=Source.CALLBACK,
    )


def test_a_full_report_on_a_batch_tells_of_each_recipient() -> None:
    event = full_report(("Delivered", 0), ("Failed", 153))
    event["statuses"][1]["recipients"] = [OTHER]
    with closing(receiver()) as client:
        told = client.read_callback(callback(event))
    assert [(each.recipient, each.status, each.reason, each.at) for each in told] == [
        (f"+{NUMBER}", Status.DELIVERED, None, AT),
        (f"+{OTHER}", Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, AT),
    ]


def test_what_tells_of_no_message_says_nothing() -> None:
    summary = full_report(("Delivered", 0))
    del summary["statuses"][0]["recipients"]
    inbound = {"type": "mo_text", "id": "1", "from": NUMBER, "to": "12345", "body": "STOP"}
    new = full_report(("melancholic", 0))
    with closing(receiver()) as client:
        for event in (
            summary,
            new,
            inbound,
            report(status="melancholic"),
            report(type="recipient_delivery_report_mms"),
            {},
        ):
            assert list(client.read_callback(callback(event))) == []


@pytest.mark.parametrize("name", ["signature", "signature_nonce", "signature_timestamp"])
def test_a_post_that_lacks_a_part_of_its_signature_is_refused(name: str) -> None:
    missing: dict[str, Any] = {name: None}
    assert outcome_of(callback(report(), **missing)) is CallbackOutcome.UNSIGNED


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "another"},
        {"signature": "AAAA"},
        {"signature": "\udfff"},
        {"signature_nonce": "another"},
        {"signature_timestamp": str(int(AT) + 1)},
    ],
)
def test_a_post_of_somebody_else_is_refused(changes: dict[str, Any]) -> None:
    assert outcome_of(callback(report(), **changes)) is CallbackOutcome.BAD_SIGNATURE


def test_no_post_chooses_how_it_is_verified() -> None:
    with closing(receiver()) as client:
        assert len(client.read_callback(callback(report(), signature_algorithm="none"))) == 1
    unsigned = callback(report(), signature_algorithm="none", signature="")
    assert outcome_of(unsigned) is CallbackOutcome.UNSIGNED


@pytest.mark.parametrize(("age", "is_taken"), [(-301, False), (-299, True), (0, True), (82_219, True), (82_221, False)])
def test_a_post_is_believed_for_as_long_as_it_is_sent_again(age: float, is_taken: bool) -> None:
    given = callback(report(), at=AT + age)
    if is_taken:
        with closing(receiver()) as client:
            assert len(client.read_callback(given)) == 1
    else:
        assert outcome_of(given) is CallbackOutcome.REPLAYED


@pytest.mark.parametrize("signed_at", ["soon", "-1", "1" * 13, "2024-02-28T12:07:55Z"])
def test_a_post_of_no_time_is_refused(signed_at: str) -> None:
    assert outcome_of(callback(report(), signed_at=signed_at)) is CallbackOutcome.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        report(batch_id="../x"),
        report(at="yesterday"),
        report(at=None),
        full_report(("Delivered", 0), batch_id=None),
        full_report(statuses=5),
    ],
)
def test_a_signed_post_that_makes_no_sense_is_refused(body: Any) -> None:
    assert outcome_of(callback(body)) is CallbackOutcome.MALFORMED


def test_a_post_is_taken_and_sent_on_with_what_proves_it(tmp_path: Path, stub: StubServer) -> None:
    stub.on("/hooks", answer(b""))
    meters = Meters()
    storage = Storage.open(tmp_path / "x.db", meters)
    given = callback(report(), signed_at=int(time.time()))
    with (
        closing(receiver(forward_to=f"{stub.url}/hooks")) as client,
        serve_public(bind("127.0.0.1:0"), lambda: {"s": client}, storage.messages, meters, time.time) as url,
    ):

        def post(body: bytes) -> int:
            return requests.post(f"{url}/callbacks/s", data=body, headers=given.headers, timeout=10).status_code

        assert post(given.body) == 204
        assert post(given.body + b" ") == 403
        wait_for(lambda: meters.read().forwards.get(("s", ForwardOutcome.TAKEN)))
    messages = {status.value: total for (_, status), total in storage.snapshot().tallies["s"].messages.items()}
    storage.close()
    assert messages["delivered"] == 1
    (sent_on,) = stub.requests
    assert sent_on.body == given.body
    assert {name: sent_on.headers[name] for name in given.headers} == given.headers


# The configuration

PROVIDER = f"providers:\n  s: {{type: sinch, service_plan_id: {PLAN}, api_token: {{env: TEST_SECRET}}}}\n"


def test_a_check_that_sinch_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SECRET", TOKEN)
    path = tmp_path / "c.yml"
    path.write_text(PROVIDER + "checks:\n  a: {type: balance, target: s}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    assert [problem.removeprefix(f"{path}: ") for problem in caught.value.problems] == [
        "checks.a.target: the provider type sinch cannot answer the check balance; it can answer:"
        " credentials, service_status, canary, delivery"
    ]
