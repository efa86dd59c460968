"""The presets: each understands its vendor's answers, made up after the documentation that it names.

A new preset joins with a row in ``SAMPLES``.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from checks.callbacks import Callback
from checks.clients import BalanceClient, CanaryClient, CanaryStatus, CredentialsClient, MessageLogClient, Money
from checks.errors import ProviderError
from checks.messages import Receipt, Status
from checks.providers.http_json import HttpJsonClient, HttpJsonSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter import presets
from tests.our_clock import set_our_clock
from tests.stub_server import Request, StubServer, answer

NUMBER: Final = "+4915112345678"
NOW: Final = 1_800_000_000.0  # 2027-01-15T08:00:00Z, 11:00 in Moscow
_S, _R = Status, Reason

Row = tuple[Status, Reason | None, str | None, float | None]
"""Status, reason, code and seconds to delivery of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a vendor answers, and what is to be understood of it."""

    credentials: tuple[str, Any] | None = None  # the path that is asked, and a good answer
    refused: tuple[int, Any, Reason] | None = None  # of wrong ones: HTTP status, answer, reason
    balance: tuple[str, Any, Money] | None = None
    log: tuple[str, Any, list[Row]] | None = None
    message: tuple[str, str, Any, CanaryStatus] | None = None  # the id, the path, the answer
    send: tuple[str, Any, str] | None = None
    not_sent: tuple[int, Any, Reason] | None = None
    posts: Mapping[bytes, tuple[Status, Reason | None, str]] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)  # headers of a request, as they have to be


def clicksend(data: Any, code: str = "SUCCESS") -> dict[str, Any]:
    return {"http_code": 200, "response_code": code, "response_msg": "Here is the data.", "data": data}


def clicksend_rows(*rows: Mapping[str, Any]) -> Any:
    told = [{"direction": "out", "to": NUMBER, "date": str(int(NOW - 60)), "country": "DE", **row} for row in rows]
    return clicksend({"current_page": 1, "last_page": 1, "total": len(rows), "data": told})


SAMPLES: Final[Mapping[str, Sample]] = {
    "clicksend": Sample(
        credentials=("/account/usage/2027/01/subaccount", clicksend({"usage": []})),
        refused=(401, clicksend(None, "UNAUTHORIZED"), _R.CREDENTIALS_REJECTED),
        log=(
            "/sms/history",
            clicksend_rows(
                {"message_id": "A-1", "status": "Sent", "status_code": "201"},
                {"message_id": "A-2", "status": "Queued", "status_code": None},
                {"message_id": "A-3", "status": "Sent", "status_code": "301"},
                {"message_id": "A-4", "status": "WaitApproval", "status_code": ""},
                {"message_id": "A-5", "status": "Sent", "status_code": "302"},
                {"message_id": "A-6", "direction": "in"},
            ),
            [
                (_S.DELIVERED, None, None, None),
                (_S.ACCEPTED, None, None, None),
                (_S.UNDELIVERED, _R.DELIVERY_FAILING, "301", None),
                (_S.ACCEPTED, None, None, None),
                (_S.SENT, None, None, None),
            ],
        ),
        message=(
            "A-1",
            "/sms/history",
            clicksend_rows({"message_id": "A-1", "status": "Sent", "status_code": "201"}),
            CanaryStatus(status=_S.DELIVERED),
        ),
        send=("/sms/send", clicksend({"messages": [{"message_id": "A-9", "status": "SUCCESS"}]}), "A-9"),
        not_sent=(200, clicksend({"messages": [{"status": "INSUFFICIENT_CREDIT"}]}), _R.BALANCE_EXHAUSTED),
    ),
    "smsc": Sample(
        credentials=("/balance.php", {"balance": "101.50", "currency": "RUR"}),
        refused=(200, {"error": "authorise error", "error_code": 2}, _R.CREDENTIALS_REJECTED),
        balance=("/balance.php", {"balance": "101.50", "currency": "RUR"}, Money(amount=101.5, currency="RUB")),
        log=(
            "/get.php",
            [
                {
                    "int_id": str(number),
                    "status": status,
                    "err": error,
                    "phone": NUMBER[1:],
                    "send_timestamp": int(NOW) - 60 - number,
                    "last_timestamp": int(NOW) - 55 - number,
                    "mccmnc": "26201",
                }
                for number, (status, error) in enumerate(
                    [(1, 0), (-1, 0), (0, 0), (3, 0), (20, 6), (20, 0), (25, 0), (24, 0)]
                )
            ],
            [
                (_S.DELIVERED, None, None, 5.0),
                (_S.ACCEPTED, None, None, None),
                (_S.SENT, None, None, None),
                (_S.UNDELIVERED, _R.DELIVERY_SLOW, "status-3", None),
                (_S.UNDELIVERED, _R.RECIPIENT_UNREACHABLE, "6", None),
                (_S.UNDELIVERED, _R.DELIVERY_FAILING, "status-20", None),
                (_S.UNDELIVERED, _R.RECIPIENT_INVALID, "status-25", None),
                (_S.FAILED, _R.BALANCE_EXHAUSTED, "status-24", None),
            ],
        ),
    ),
    "46elks": Sample(
        credentials=("/me", {"id": "u1", "balance": 35000, "currency": "SEK"}),
        refused=(401, b"API access requires Basic HTTP authentication", _R.CREDENTIALS_REJECTED),
        balance=("/me", {"id": "u1", "balance": 35000, "currency": "SEK"}, Money(amount=3.5, currency="SEK")),
        log=(
            "/sms",
            {
                "data": [
                    {
                        "id": "s1",
                        "created": "2027-01-15T07:59:00.302000",
                        "direction": "outgoing",
                        "to": NUMBER,
                        "status": "delivered",
                        "delivered": "2027-01-15T07:59:04Z",
                    },
                    {
                        "id": "s2",
                        "created": "2027-01-15T07:58:00.302000",
                        "direction": "outgoing-reply",
                        "to": NUMBER,
                        "status": "failed",
                    },
                    {"id": "s3", "created": "2027-01-15T07:57:00.302000", "direction": "incoming"},
                ]
            },
            [(_S.DELIVERED, None, None, 3.698), (_S.UNDELIVERED, _R.DELIVERY_FAILING, "status-failed", None)],
        ),
        message=(
            "s1",
            "/sms/s1",
            {"id": "s1", "created": "2027-01-15T07:59:00.302000", "status": "sent", "cost": 3500},
            CanaryStatus(status=_S.SENT),
        ),
        send=("/sms", {"id": "s9", "status": "created"}, "s9"),
    ),
    "smsapi": Sample(
        credentials=("/profile", {"username": "me", "points": 10.5}),
        refused=(200, {"error": 101, "message": "Authorization failed"}, _R.CREDENTIALS_REJECTED),
        balance=("/user.do", {"points": 10.5, "proCount": 100}, Money(amount=10.5, currency="XXX")),
        asked={"authorization": "Bearer token-secret-1"},
    ),
    "smsru": Sample(
        credentials=("/auth/check", {"status": "OK", "status_code": 100}),
        refused=(200, {"status": "ERROR", "status_code": 301}, _R.CREDENTIALS_REJECTED),
        balance=("/my/balance", {"status_code": 100, "balance": 4122.56}, Money(amount=4122.56, currency="RUB")),
        message=(
            "000-1",
            "/sms/status",
            {"status_code": 100, "sms": {"000-1": {"status": "OK", "status_code": 103, "cost": "0.50"}}},
            CanaryStatus(status=_S.DELIVERED, cost=0.5, currency="RUB"),
        ),
        send=(
            "/sms/send",
            {"status_code": 100, "sms": {NUMBER[1:]: {"status_code": 100, "sms_id": "000-9"}}},
            "000-9",
        ),
        not_sent=(200, {"status_code": 100, "sms": {NUMBER[1:]: {"status_code": 201}}}, _R.BALANCE_EXHAUSTED),
    ),
    "africastalking": Sample(
        credentials=("/user", {"UserData": {"balance": "KES 1785.50"}}),
        refused=(401, b"The supplied authentication is invalid", _R.CREDENTIALS_REJECTED),
        balance=("/user", {"UserData": {"balance": "KES 1785.50"}}, Money(amount=1785.5, currency="KES")),
        posts={
            b"id=a1&status=Success&phoneNumber=%2B254711000001&networkCode=63902": (_S.DELIVERED, None, "KE"),
            b"id=a2&status=Failed&phoneNumber=%2B254711000001&failureReason=UserInBlackList": (
                _S.UNDELIVERED,
                _R.RECIPIENT_OPTED_OUT,
                "KE",
            ),
            b"id=a3&status=Rejected&phoneNumber=%2B254711000001&failureReason=InsufficientCredit": (
                _S.FAILED,
                _R.BALANCE_EXHAUSTED,
                "KE",
            ),
        },
        asked={"apikey": "api_key-secret-1", "accept": "application/json"},
    ),
    "msg91": Sample(
        credentials=("/balance.php", b"1234\n"),
        refused=(401, b"Authentication failure", _R.CREDENTIALS_REJECTED),
        balance=("/balance.php", b"1234.50", Money(amount=1234.5, currency="XXX")),
        posts={
            b'{"requestId": "r1", "number": "919810000001", "status": "1"}': (_S.DELIVERED, None, "IN"),
            b'{"requestId": "r2", "number": "919810000001", "status": 9}': (_S.FAILED, _R.RECIPIENT_OPTED_OUT, "IN"),
            b'{"requestId": "r3", "number": "919810000001", "status": "16"}': (
                _S.UNDELIVERED,
                _R.OPERATOR_BLOCKING,
                "IN",
            ),
        },
    ),
    "clickatell": Sample(
        credentials=("/public-client/balance", {"balance": 1267.92865, "currency": "ZAR"}),
        refused=(401, b"", _R.CREDENTIALS_REJECTED),
        balance=(
            "/public-client/balance",
            {"balance": 1267.92865, "currency": "ZAR"},
            Money(amount=1267.92865, currency="ZAR"),
        ),
        message=(
            "c1",
            "/public-client/message/status",
            {"messageId": "c1", "statusCode": 25},
            CanaryStatus(status=_S.FAILED, reason=_R.BALANCE_EXHAUSTED, code="status-25"),
        ),
        send=("/messages", {"messages": [{"apiMessageId": "c9", "accepted": True}]}, "c9"),
        not_sent=(202, {"messages": [{"accepted": False, "error": {"code": 301}}]}, _R.BAD_RESPONSE),
        asked={"authorization": "api_key-secret-1"},
    ),
    "bulksms": Sample(
        credentials=("/profile", {"id": "1", "credits": {"balance": 12.4}}),
        refused=(
            401,
            {"type": "https://developer.bulksms.com/json/v1/errors#authentication-failed"},
            _R.CREDENTIALS_REJECTED,
        ),
        balance=("/profile", {"id": "1", "credits": {"balance": 12.4}}, Money(amount=12.4, currency="XXX")),
        log=(
            "/messages",
            [
                {
                    "id": str(number),
                    "type": kind,
                    "to": NUMBER[1:],
                    "submission": {"date": f"2027-01-15T07:59:{59 - number}Z"},
                    "status": {"type": status, "subtype": subtype},
                }
                for number, (kind, status, subtype) in enumerate(
                    [
                        ("SENT", "DELIVERED", None),
                        ("SENT", "FAILED", "EXPIRED"),
                        ("SENT", "FAILED", None),
                        ("RECEIVED", "ACCEPTED", None),
                        ("SENT", "UNKNOWN", None),
                    ]
                )
            ],
            [
                (_S.DELIVERED, None, None, None),
                (_S.UNDELIVERED, _R.DELIVERY_SLOW, "expired", None),
                (_S.UNDELIVERED, _R.DELIVERY_FAILING, "status-failed", None),
                (_S.SENT, None, None, None),
            ],
        ),
        message=(
            "7",
            "/messages/7",
            {
                "id": "7",
                "submission": {"date": "2027-01-15T07:59:59Z"},
                "status": {"type": "FAILED", "subtype": "HANDSET_ERROR"},
            },
            CanaryStatus(status=_S.UNDELIVERED, reason=_R.RECIPIENT_UNREACHABLE, code="handset_error"),
        ),
        send=("/messages", [{"id": "9", "type": "SENT"}], "9"),
    ),
    "textmagic": Sample(
        credentials=("/user", {"id": 305, "balance": 208.64, "currency": {"id": "USD", "htmlSymbol": "&#36;"}}),
        refused=(401, {"code": 401, "message": "Authentication required"}, _R.CREDENTIALS_REJECTED),
        balance=("/user", {"balance": "208.64", "currency": {"id": "USD"}}, Money(amount=208.64, currency="USD")),
        log=(
            "/messages",
            {
                "page": 1,
                "limit": 100,
                "pageCount": 1,
                "resources": [
                    {
                        "id": 49575710 + number,
                        "receiver": NUMBER[1:],
                        "messageTime": f"2027-01-15T07:59:{59 - number}+0000",
                        "status": status,
                        "country": "DE",
                    }
                    for number, status in enumerate("dqrfju")
                ],
            },
            [
                (_S.DELIVERED, None, None, None),
                (_S.ACCEPTED, None, None, None),
                (_S.SENT, None, None, None),
                (_S.UNDELIVERED, _R.DELIVERY_FAILING, "status-f", None),
                (_S.UNDELIVERED, _R.OPERATOR_BLOCKING, "status-j", None),
                (_S.SENT, None, None, None),
            ],
        ),
        message=(
            "4957",
            "/messages/4957",
            {"id": 4957, "receiver": NUMBER[1:], "messageTime": "2027-01-15T07:59:59+0000", "status": "d"},
            CanaryStatus(status=_S.DELIVERED),
        ),
        send=("/messages", {"id": 1, "sessionId": 2, "messageId": 9}, "9"),
        asked={"x-tm-username": "username-secret-1", "x-tm-key": "api_key-secret-1"},
    ),
    "telesign": Sample(
        message=(
            "0123456789ABCDEF",
            "/messaging/0123456789ABCDEF",
            {
                "reference_id": "0123456789ABCDEF",
                "status": {
                    "code": 200,
                    "description": "Delivered to handset",
                    "updated_on": "2027-01-15T07:59:59.000000Z",
                },
                "errors": [],
            },
            CanaryStatus(status=_S.DELIVERED),
        ),
        send=("/messaging", {"reference_id": "0123456789ABCDEF", "status": {"code": 290}}, "0123456789ABCDEF"),
        not_sent=(401, {"errors": [{"code": -30006, "description": "Invalid Signature."}]}, _R.CREDENTIALS_REJECTED),
    ),
}


def entry_of(name: str, url: str | None = None, **more: Any) -> HttpJsonSettings:
    credentials = {each: Secret(f"{each}-secret-1") for each in presets.preset(name).about.credentials}
    entry = {"type": "http_json", "preset": name, "credentials": credentials, "max_requests_per_second": 1000, **more}
    if url is not None:
        entry["base_url"] = url
    return HttpJsonSettings.model_validate(entry, context=presets.CONTEXT)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


DATE: Final = {"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}


def ask(stub: StubServer, name: str, path: str, body: Any, *, status: int = 200, **more: Any) -> HttpJsonClient:
    """Return a client of a preset; the stub answers one path alone, and tells the vendor's clock."""
    stub.default = answer(b"", status=404, headers=DATE)
    stub.on(path, answer(body, status=status, headers=DATE))
    return HttpJsonClient(entry_of(name, stub.url, **more))


def samples_of(part: str) -> list[str]:
    return [name for name, sample in SAMPLES.items() if getattr(sample, part)]


def last(stub: StubServer) -> Request:
    return stub.requests[-1]


def test_every_preset_has_its_row() -> None:
    assert set(SAMPLES) == set(presets.names())


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_preset_offers_has_a_sample(name: str) -> None:
    sample, entry = SAMPLES[name], entry_of(name)
    offered = {
        protocol: entry.lacks(protocol) is None
        for protocol in (CredentialsClient, BalanceClient, MessageLogClient, CanaryClient)
    }
    assert list(offered.values()) == [
        each is not None for each in (sample.credentials, sample.balance, sample.log, sample.send)
    ]
    assert (sample.send is None) == (sample.message is None)
    assert bool(sample.posts) == ("callbacks" in presets.load(name))


@pytest.mark.parametrize("name", samples_of("credentials"))
def test_credentials(stub: StubServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_our_clock(monkeypatch, lambda: NOW - 86_000)  # yesterday, by our clock
    assert SAMPLES[name].credentials is not None
    path, body = SAMPLES[name].credentials or ("", None)
    stub.default = answer(body, headers=DATE)
    with closing(HttpJsonClient(entry_of(name, stub.url))) as client:
        client.verify_credentials()
        client.verify_credentials()  # by the vendor's clock
        assert last(stub).path == path
        asked = {name: last(stub).headers.get(name) for name in SAMPLES[name].asked}
        assert asked == SAMPLES[name].asked
        status, body, reason = SAMPLES[name].refused or (0, None, Reason.OK)
        stub.default = answer(body, status=status)
        with pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        assert caught.value.reason is reason


@pytest.mark.parametrize("name", samples_of("balance"))
def test_balance(stub: StubServer, name: str) -> None:
    path, body, money = SAMPLES[name].balance or ("", None, None)
    with closing(ask(stub, name, path, body)) as client:
        assert client.fetch_balance() == money


@pytest.mark.parametrize("name", samples_of("log"))
def test_log(stub: StubServer, name: str) -> None:
    path, body, expected = SAMPLES[name].log or ("", None, [])
    with closing(ask(stub, name, path, body)) as client:
        told = client.read_page(since=NOW - 1800, until=NOW + 1).receipts
    assert [
        (
            each.status,
            each.reason,
            each.code,
            None if each.delivery_seconds is None else round(each.delivery_seconds, 3),
        )
        for each in sorted(told, key=lambda each: each.message_id)
    ] == expected
    assert {each.recipient for each in told} == {NUMBER}
    assert all(each.code_is_mapped for each in told)


@pytest.mark.parametrize("name", samples_of("send"))
def test_a_message_is_sent_and_followed(stub: StubServer, name: str) -> None:
    path, body, sent_id = SAMPLES[name].send or ("", None, "")
    with closing(ask(stub, name, path, body)) as client:
        assert client.send_canary(to=NUMBER, sender="+15005550006", text="a test", validity_seconds=60) == sent_id
    assert last(stub).method == "POST"
    assert NUMBER[1:].encode() in last(stub).body
    message_id, path, body, status = SAMPLES[name].message or ("", "", None, CanaryStatus(status=Status.SENT))
    with closing(ask(stub, name, path, body)) as client:
        assert client.fetch_canary(message_id) == status


@pytest.mark.parametrize("name", samples_of("not_sent"))
def test_a_send_that_is_refused_has_its_reason(stub: StubServer, name: str) -> None:
    status, body, reason = SAMPLES[name].not_sent or (0, None, Reason.OK)
    path = (SAMPLES[name].send or ("",))[0]
    with closing(ask(stub, name, path, body, status=status)) as client, pytest.raises(ProviderError) as caught:
        client.send_canary(to=NUMBER, sender="Acme", text="a test", validity_seconds=60)
    assert caught.value.reason is reason


@pytest.mark.parametrize("name", samples_of("posts"))
def test_callbacks(name: str) -> None:
    verify = {"kind": "ip", "param": "t", "token": Secret("s" * 32), "networks": ["192.0.2.1"]}
    with closing(HttpJsonClient(entry_of(name, callbacks={"verify": verify}))) as client:
        for body, (status, reason, country) in SAMPLES[name].posts.items():
            receipt: Receipt
            (receipt,) = client.read_callback(Callback(f"t={'s' * 32}", {}, body, NOW, "192.0.2.1"))
            assert (receipt.status, receipt.reason, receipt.country) == (status, reason, country)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_a_preset_becomes_can_be_written_down_and_read_again(name: str) -> None:
    entry = entry_of(name)
    written = {**entry.model_dump(mode="json"), "credentials": entry.credentials, "preset": None}
    again = HttpJsonSettings.model_validate(written)
    assert again.model_dump(exclude={"preset"}) == entry.model_dump(exclude={"preset"})


@pytest.mark.parametrize("name", SAMPLES)
def test_no_callback_is_taken_unless_the_entry_says_how_to_believe_it(name: str) -> None:
    assert entry_of(name).callbacks is None


def at(document: Any, path: list[str]) -> Any:
    """Return what stands at a path; raises LookupError."""
    for part in path:
        document = document[part]
    return document


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_marked_unverified_is_there(name: str) -> None:
    preset = presets.preset(name)
    document = {"settings": preset.settings}
    missing = []
    for path in preset.about.unverified:
        try:
            at(document, path.split("."))
        except (KeyError, TypeError):
            missing.append(path)
    assert missing == []
    assert len(set(preset.about.unverified)) == len(preset.about.unverified)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_preset_goes_without_tls_or_holds_a_secret(name: str) -> None:
    entry = entry_of(name)
    assert (entry.base_url or "").startswith("https://")
    assert not entry.allow_insecure
    assert not entry.allow_private
    assert "credentials" not in presets.load(name)


def test_the_call_of_clicksend_that_answers_with_a_live_key_is_never_made() -> None:
    paths = [each.request.path.text for _, each in entry_of("clicksend").endpoints.given()]
    assert [path for path in paths if path.startswith("/account") and not path.startswith("/account/usage/")] == []
