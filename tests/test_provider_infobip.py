"""Infobip's wire: what is asked, and what is understood of the answers.

Answers are those of Infobip's OpenAPI documents (sms 3.210.0, account-management 3.245.1), read 2026-11; times and
numbers are ours.
"""

import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from checks.callbacks import CallbackClient
from checks.clients import AccountClient, CanaryStatus, Money, SendersClient
from checks.errors import PermissionMissingError, ProviderError
from checks.messages import Receipt, Status
from checks.providers import PROVIDERS
from checks.providers.infobip import ERROR_CODES, STATUSES, InfobipClient, InfobipSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter import config
from tests.fakes import Told
from tests.repo import ROOT
from tests.stub_server import StubServer, answer

KEY = "api-key-7d41c09a"
NUMBER = "447700900000"
MESSAGE_ID = "2250be2d4219-3af1-78856-aabe-1362af1edfd2"
LOG = "/sms/3/logs"
NOW = float(int(time.time()))  # the log goes back 48 hours from now
SINCE = NOW - 7200.0
UNTIL = NOW - 3600.0
SENT_AT = NOW - 5000.0


def date(moment: float) -> str:
    """Return a date in an offset of the account's own, without a colon."""
    return datetime.fromtimestamp(moment, timezone(timedelta(hours=1))).strftime("%Y-%m-%dT%H:%M:%S.000+0100")


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def status_of(status_id: int, group: int = 3, name: str = "NAME") -> dict[str, Any]:
    return {"groupId": group, "groupName": "GROUP", "id": status_id, "name": name, "description": name}


def error_of(error_id: int) -> dict[str, Any]:
    return {"groupId": 1, "groupName": "GROUP", "id": error_id, "name": "EC", "description": "", "permanent": True}


def row(**changes: Any) -> dict[str, Any]:
    """Return the example of the document: LogResponse."""
    return {
        "destination": NUMBER,
        "bulkId": "BULK-ID-123-xyz",
        "messageId": MESSAGE_ID,
        "sender": "InfoSMS",
        "sentAt": date(SENT_AT),
        "doneAt": date(SENT_AT + 4),
        "messageCount": 1,
        "price": {"pricePerMessage": 0.01, "currency": "EUR"},
        "status": status_of(5),
        "error": error_of(0),
        "platform": {"entityId": "promotional-traffic-entity", "applicationId": "marketing-automation-application"},
        "content": {"text": "This is a sample message"},
        "mccMnc": "23415",
        **changes,
    }


def log(*rows: Any, following: str | None = None) -> dict[str, Any]:
    return {"results": list(rows), "cursor": {"limit": 1000, "nextCursor": following}}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> InfobipSettings:
    given = {"type": "infobip", "api_key": Secret(KEY), "base_url": url, "max_requests_per_second": 100, **more}
    return InfobipSettings.model_validate(given)


@pytest.fixture
def client(stub: StubServer) -> Iterator[InfobipClient]:
    with closing(InfobipClient(settings(stub.url))) as made:
        yield made


@pytest.fixture
def warm(client: InfobipClient, stub: StubServer) -> InfobipClient:
    """Return the client after its first answer, from which it has Infobip's clock."""
    stub.on(LOG, answer(log()))
    client.verify_credentials()
    stub.requests.clear()
    return client


def test_the_key_is_sent_as_documented(client: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log()))
    client.verify_credentials()
    (request,) = stub.requests
    assert (request.method, request.path, request.query) == ("GET", LOG, {"limit": ["1"]})
    assert request.headers["authorization"] == f"App {KEY}"


def test_the_reports_that_are_handed_out_once_are_left_to_the_application(stub: StubServer) -> None:
    """Whoever asks for /sms/3/reports takes them: neither a call of ours does, nor is there another word of it."""
    stub.on("/account/1/balance", answer({"balance": 1, "currency": "EUR"}))
    stub.on(LOG, answer(log(row())))
    stub.on("/sms/3/messages", answer({"messages": [{"messageId": MESSAGE_ID, "status": status_of(26, 1)}]}))
    with closing(InfobipClient(settings(stub.url))) as client:
        client.verify_credentials()
        client.fetch_balance()
        client.read_page(since=SINCE)
        client.read_page(since=SINCE, until=UNTIL)
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=60)
        client.fetch_canary(MESSAGE_ID)
    assert {each.path for each in stub.requests} == {"/account/1/balance", LOG, "/sms/3/messages"}
    source = (ROOT / "checks/providers/infobip.py").read_text(encoding="utf-8")
    assert source.count("/reports") == 1  # the docstring


def test_the_balance_comes_with_its_currency(client: InfobipClient, stub: StubServer) -> None:
    stub.on("/account/1/balance", answer({"balance": 47.79134, "currency": "EUR"}))
    assert client.fetch_balance() == Money(amount=47.79134, currency="EUR")
    assert client.fetch_spend() is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("status", "body", "reason", "detail"),
    [
        (
            401,
            {"requestError": {"serviceException": {"messageId": "UNAUTHORIZED", "text": "Unauthorized"}}},
            Reason.CREDENTIALS_REJECTED,
            "Infobip answers HTTP 401, code UNAUTHORIZED",
        ),
        (
            403,
            {"requestError": {"serviceException": {"messageId": "FORBIDDEN", "text": "Forbidden"}}},
            Reason.PERMISSION_MISSING,
            "the API key lacks the scope account-management:manage",
        ),
        (
            500,
            {"requestError": {"serviceException": {"messageId": "GENERAL_ERROR", "text": "Something went wrong."}}},
            Reason.PROVIDER_OUTAGE,
            "Infobip answers HTTP 500, code GENERAL_ERROR",
        ),
    ],
)
def test_a_refusal_of_the_balance_has_its_reason(
    client: InfobipClient, stub: StubServer, status: int, body: Any, reason: Reason, detail: str
) -> None:
    stub.on("/account/1/balance", answer(body, status=status))
    with pytest.raises(ProviderError) as caught:
        client.fetch_balance()
    assert (caught.value.reason, str(caught.value)) == (reason, detail)


@pytest.mark.parametrize(
    ("status", "code", "reason", "detail"),
    [
        (400, "E400", Reason.INTERNAL, "Infobip answers HTTP 400, code E400"),
        (401, "E401", Reason.CREDENTIALS_REJECTED, "Infobip answers HTTP 401, code E401"),
        (403, "E403", Reason.PERMISSION_MISSING, "the API key lacks the scope sms:logs:read"),
        (429, "E429", Reason.RATE_LIMITED, "Infobip answers HTTP 429, code E429"),
        (500, "E500", Reason.PROVIDER_OUTAGE, "Infobip answers HTTP 500, code E500"),
    ],
)
def test_a_refusal_of_the_log_has_its_reason(
    client: InfobipClient, stub: StubServer, status: int, code: str, reason: Reason, detail: str
) -> None:
    body = {"errorCode": code, "description": NUMBER, "action": KEY, "violations": [], "resources": []}
    stub.on(LOG, answer(body, status=status))
    with pytest.raises(ProviderError) as caught:
        client.read_page(since=SINCE)
    assert (caught.value.reason, caught.value.code, str(caught.value)) == (reason, code, detail)


def test_a_key_that_may_not_read_the_balance_may_do_the_rest(client: InfobipClient, stub: StubServer) -> None:
    stub.on("/account/1/balance", answer({"requestError": {}}, status=403))
    stub.on(LOG, answer(log(row(sentAt=date(NOW - 60)))))
    with pytest.raises(PermissionMissingError):
        client.fetch_balance()
    client.verify_credentials()
    assert len(client.read_page(since=SINCE).receipts) == 1


def test_a_page_of_the_log_is_asked_for_by_its_span(warm: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log(row())))
    page = warm.read_page(since=SINCE, until=UNTIL)
    assert page.receipts == [
        Receipt(
            message_id=MESSAGE_ID,
            status=Status.DELIVERED,
            at=SENT_AT + 4,
            created_at=SENT_AT,
            recipient=f"+{NUMBER}",
            country="unknown",  # a number of films: no plan has it
            operator="23415",
            delivery_seconds=4.0,
        )
    ]
    assert (page.resume, page.reached) == (None, SINCE)
    (request,) = stub.requests
    assert request.query == {
        "sentSince": [utc(SINCE - 0.001)],
        "sentUntil": [utc(UNTIL)],
        "limit": ["1000"],
        "useCursor": ["true"],
    }


def test_a_message_at_the_end_of_a_span_is_in_one_of_them(warm: InfobipClient, stub: StubServer) -> None:
    middle = NOW - 5400.0
    stub.on(LOG, answer(log(row(sentAt=date(middle)))))
    assert len(warm.read_page(since=middle, until=UNTIL).receipts) == 1
    assert len(warm.read_page(since=SINCE, until=middle).receipts) == 0


def test_a_message_just_before_a_span_is_left_to_the_span_before(warm: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log(row(sentAt=utc(SINCE + 599.999)), row(messageId="b", sentAt=utc(SINCE + 600)))))
    page = warm.read_page(since=SINCE, until=UNTIL, resume=f"since={int(SINCE) + 600}&until={int(UNTIL)}")
    assert [each.message_id for each in page.receipts] == ["b"]


def test_a_span_of_many_messages_is_read_on_by_its_cursor(warm: InfobipClient, stub: StubServer) -> None:
    rest = row(messageId="12db39c3-7822-4e72-a3ec-c87442c0ffc5", sentAt=date(SENT_AT - 60))
    stub.on(LOG, answer(log(row(), following="MTIz-+/=")), answer(log(rest)))
    first = warm.read_page(since=SINCE, until=UNTIL)
    assert first.resume == f"since={int(SINCE)}&until={int(UNTIL)}&cursor=MTIz-%2B%2F%3D"
    assert first.reached == UNTIL  # in any order: the youngest may be on the next page
    second = warm.read_page(since=SINCE, until=UNTIL, resume=first.resume)
    assert ([each.message_id for each in second.receipts], second.resume) == ([rest["messageId"]], None)
    query = stub.requests[1].query
    assert (query["cursor"], query["sentSince"]) == (["MTIz-+/="], [utc(SINCE - 0.001)])


def test_a_cursor_behind_the_last_row_ends(warm: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log(following="abc")))
    assert warm.read_page(since=SINCE, until=UNTIL).resume is None


def test_a_cursor_that_leads_back_is_refused(warm: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log(row(), following="abc")))
    first = warm.read_page(since=SINCE, until=UNTIL)
    with pytest.raises(ProviderError, match="in a circle"):
        warm.read_page(since=SINCE, until=UNTIL, resume=first.resume)


def test_the_log_is_read_no_further_back_than_48_hours(warm: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log()))
    week = NOW - 7 * 86_400
    resume, oldest = None, []
    for _ in range(20):
        page = warm.read_page(since=week, resume=resume)
        oldest.append(page.reached)
        resume = page.resume
        if resume is None:
            break
    assert resume is None
    assert oldest[-1] == pytest.approx(time.time() - 48 * 3600, abs=30)
    asked = len(stub.requests)
    page = warm.read_page(since=week, until=week + 86_400)
    assert (page.receipts, page.resume, page.reached, len(stub.requests)) == ((), None, week, asked)
    page = warm.read_page(since=week, resume=f"since={int(week)}&until={int(week) + 86_400}")
    assert (page.receipts, page.resume, len(stub.requests)) == ((), None, asked)


def test_a_span_of_the_past_learns_the_clock_first(client: InfobipClient, stub: StubServer) -> None:
    stub.on(LOG, answer(log()))
    client.read_page(since=SINCE, until=UNTIL)
    assert [each.query["limit"] for each in stub.requests] == [["1"], ["1000"]]


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (status_of(26, 1), 0, (Status.ACCEPTED, None, None)),
        (status_of(7, 1), 0, (Status.ACCEPTED, None, None)),
        (status_of(3, 1), 0, (Status.SENT, None, None)),
        (status_of(2, 3, "DELIVERED_TO_OPERATOR"), 0, (Status.SENT, None, None)),
        (status_of(5, 3), 0, (Status.DELIVERED, None, None)),
        (status_of(29, 4), 0, (Status.SENT, None, None)),
        (status_of(9, 2), 27, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "27")),
        (status_of(9, 2), 0, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "status-9")),
        (status_of(9, 2), 1100, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "1100")),
        (status_of(9, 2), 1152, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "1152")),
        (status_of(4, 2), 0, (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "status-4")),
        (status_of(4, 2), 255, (Status.UNDELIVERED, Reason.OPERATOR_BLOCKING, "255")),
        (status_of(15, 4), 0, (Status.UNDELIVERED, Reason.DELIVERY_SLOW, "status-15")),
        (status_of(15, 4), 27, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "27")),
        (status_of(6, 5), 592, (Status.FAILED, Reason.COUNTRY_NOT_PERMITTED, "592")),
        (status_of(10, 5), 0, (Status.FAILED, Reason.RECIPIENT_OPTED_OUT, "status-10")),
        (status_of(11, 5), 0, (Status.FAILED, Reason.SENDER_INVALID, "status-11")),
        (status_of(12, 5), 0, (Status.FAILED, Reason.BALANCE_EXHAUSTED, "status-12")),
        (status_of(18, 5), 579, (Status.FAILED, Reason.ACCOUNT_RESTRICTED, "579")),
        (status_of(21, 5), 4097, (Status.FAILED, Reason.PROVIDER_OUTAGE, "4097")),
        (status_of(87, 5), 608, (Status.FAILED, Reason.SMS_PUMPING, "608")),
        (status_of(98, 2), 0, (Status.CANCELED, None, None)),
    ],
)
def test_a_status_and_its_error_have_their_reason(
    warm: InfobipClient, stub: StubServer, status: Any, error: int, expected: Any
) -> None:
    stub.on(LOG, answer(log(row(status=status, error=error_of(error)))))
    (receipt,) = warm.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (1, (Status.ACCEPTED, None, True)),
        (2, (Status.UNDELIVERED, "status-777", False)),
        (3, (Status.SENT, None, True)),  # to whom it was delivered is not known
        (4, (Status.UNDELIVERED, "status-777", False)),
        (5, (Status.FAILED, "status-777", False)),
    ],
)
def test_a_new_status_is_taken_by_its_group_and_told(
    warm: InfobipClient, stub: StubServer, group: int, expected: Any
) -> None:
    stub.on(LOG, answer(log(row(status=status_of(777, group)))))
    (receipt,) = warm.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.code, receipt.code_is_mapped) == expected


def test_a_code_may_mean_what_the_settings_say(stub: StubServer) -> None:
    rows = [
        row(status=status_of(9, 2), error=error_of(13)),
        row(messageId="b", sentAt=date(SENT_AT - 1), status=status_of(13, 5)),
    ]
    stub.on(LOG, answer(log(*rows)))
    codes = {13: "recipient_landline", "status-13": "sender_invalid"}
    with closing(InfobipClient(settings(stub.url, error_codes=codes))) as client:
        told = client.read_page(since=SINCE, until=UNTIL).receipts
    assert [each.reason for each in told] == [Reason.RECIPIENT_LANDLINE, Reason.SENDER_INVALID]


def test_what_cannot_be_understood_is_left_out_and_told_once(stub: StubServer) -> None:
    told = Told()
    bad = [
        row(status=status_of(777, 9)),
        row(status={"groupId": 3}),
        row(status=None),
        row(sentAt="yesterday"),
        row(messageId="../x"),
    ]
    stub.on(LOG, answer(log(row(), row(messageId="b", error=None, mccMnc=None, price=None), *bad)))
    with closing(InfobipClient(settings(stub.url), observer=told)) as client:
        for _ in range(2):
            assert len(client.read_page(since=SINCE, until=UNTIL).receipts) == 2
        stub.on(LOG, answer(log(*[row(status=status_of(777, 9))] * 5)))
        with pytest.raises(ProviderError, match="cannot be understood"):
            client.read_page(since=SINCE, until=UNTIL)
    assert told.unreadable == 5


def sent(status: dict[str, Any]) -> dict[str, Any]:
    message = {"messageId": MESSAGE_ID, "status": status, "destination": NUMBER, "details": {"messageCount": 1}}
    return {"bulkId": "2034072219640523072", "messages": [message]}


@pytest.mark.parametrize(("validity", "told"), [(300, 300), (7 * 86_400, 172_800)])
def test_a_canary_is_sent_with_its_validity(client: InfobipClient, stub: StubServer, validity: int, told: int) -> None:
    stub.on("/sms/3/messages", answer(sent(status_of(26, 1))))
    arguments = {"to": f"+{NUMBER}", "sender": "+447700900001", "text": "ä & b", "validity_seconds": validity}
    assert client.send_canary(**arguments) == MESSAGE_ID  # type: ignore[arg-type]
    (request,) = stub.requests
    assert request.method == "POST"
    assert json.loads(request.body) == {
        "messages": [
            {
                "sender": "447700900001",
                "destinations": [{"to": NUMBER}],
                "content": {"text": "ä & b"},
                "options": {"validityPeriod": {"amount": told, "timeUnit": "SECONDS"}},
            }
        ]
    }


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (status_of(4, 2), Reason.OPERATOR_BLOCKING),
        (status_of(6, 5), Reason.COUNTRY_NOT_PERMITTED),
        (status_of(11, 5), Reason.SENDER_INVALID),
        (status_of(12, 5), Reason.BALANCE_EXHAUSTED),
        (status_of(13, 5), Reason.SENDER_UNREGISTERED),
        (status_of(18, 5), Reason.ACCOUNT_RESTRICTED),
        (status_of(20, 5), Reason.RATE_LIMITED),
        (status_of(51, 5), Reason.RECIPIENT_INVALID),
        (status_of(87, 5), Reason.SMS_PUMPING),
        (status_of(777, 5), Reason.BAD_RESPONSE),
    ],
)
def test_a_send_that_is_refused_with_200_has_its_reason(stub: StubServer, status: Any, reason: Reason) -> None:
    told = Told()
    stub.on("/sms/3/messages", answer(sent({**status, "description": NUMBER})))
    with closing(InfobipClient(settings(stub.url), observer=told)) as client, pytest.raises(ProviderError) as caught:
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)
    code = f"status-{status['id']}"
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert str(caught.value) == f"Infobip answers HTTP 200, code {code}"
    assert told.codes == (["status-777"] if code == "status-777" else [])


def test_a_key_that_may_not_send_is_told_the_scope(client: InfobipClient, stub: StubServer) -> None:
    stub.on("/sms/3/messages", answer({"errorCode": "E403"}, status=403))
    with pytest.raises(PermissionMissingError, match="lacks the scope sms:message:send"):
        client.send_canary(to=f"+{NUMBER}", sender="Acme", text="x", validity_seconds=300)


def test_a_canary_is_followed_by_its_row(client: InfobipClient, stub: StubServer) -> None:
    stub.on(
        LOG,
        answer(log()),
        answer(log(row(status=status_of(4, 2), error=error_of(607), messageCount=2))),
        answer(log(row(messageId="another"))),
    )
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(status=Status.ACCEPTED)
    assert client.fetch_canary(MESSAGE_ID) == CanaryStatus(
        status=Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="607", cost=0.02, currency="EUR"
    )
    with pytest.raises(ProviderError, match="another message"):
        client.fetch_canary(MESSAGE_ID)
    assert stub.requests[0].query == {"messageId": [MESSAGE_ID], "limit": ["1"]}


def test_neither_key_nor_text_reaches_a_log_or_an_error(
    client: InfobipClient, stub: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []
    for status in (200, 301, 400, 401, 403, 404, 429, 500):
        stub.everywhere(answer({"errorCode": f"E{status}", "description": KEY, "results": [row()]}, status=status))
        with pytest.raises(ProviderError) as caught:
            client.read_page(since=SINCE)
        shown += [repr(caught.value), str(caught.value), repr(caught.value.__context__), caplog.text]
    assert not any(secret in "".join(shown) for secret in (KEY, NUMBER, "sample message"))


def test_every_code_names_its_source() -> None:
    assert {each.source.split(" of ")[0] for each in ERROR_CODES.values()} == {
        "error codes (general)",
        "status codes (general)",
        "responses",
    }


def test_every_status_that_fails_has_its_cause() -> None:
    failing = {each for each, status in STATUSES.items() if status in (Status.UNDELIVERED, Status.FAILED)}
    assert {f"status-{each}" for each in failing} <= ERROR_CODES.keys()


def test_what_infobip_does_not_tell_is_absent() -> None:
    """Of delivery reports no document says how they are signed: they cannot be believed."""
    for protocol in (AccountClient, SendersClient, CallbackClient):
        assert not PROVIDERS["infobip"].implements(protocol)


# The configuration


def test_the_base_url_of_the_account_has_to_be_given() -> None:
    with pytest.raises(ValidationError, match="base_url"):
        InfobipSettings.model_validate({"type": "infobip", "api_key": Secret(KEY)})


def test_no_more_is_asked_than_infobip_answers() -> None:
    given = {"type": "infobip", "api_key": Secret(KEY), "base_url": "https://xyz1.api.infobip.com"}
    assert InfobipSettings.model_validate(given).max_requests_per_second * 60 <= 120


def test_a_check_that_infobip_cannot_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    path = tmp_path / "c.yml"
    provider = 'providers:\n  i: {type: infobip, api_key: {env: TEST_KEY}, base_url: "https://xyz1.api.infobip.com"}\n'
    path.write_text(provider + "checks:\n  d: {type: delivery, target: i}\n")
    assert list(config.load(path).checks) == ["d"]
    path.write_text(provider + "checks:\n  a: {type: account, target: i}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    assert [problem.removeprefix(f"{path}: ") for problem in caught.value.problems] == [
        "checks.a.target: the provider type infobip cannot answer the check account; it can answer:"
        " credentials, balance, service_status, canary, delivery",
    ]
