"""The provider that the configuration describes: its expressions, requests, ways to show who asks, pages and callbacks.

What its presets understand of their vendors' answers is in test_provider_presets.py.
"""

import hmac
import json
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.clients import Account, AccountState, BalanceClient, CanaryStatus, LogPage, MessageLogClient, Money
from checks.errors import BadResponseError, ProviderError
from checks.messages import Receipt, Source, Status
from checks.providers import http as transport
from checks.providers.http_json import HttpJsonClient, HttpJsonSettings
from checks.providers.http_json.asking import Requests
from checks.providers.http_json.expressions import FUNCTIONS, Expression, ExpressionError
from checks.providers.http_json.presets import merged
from checks.providers.http_json.settings import RequestSettings
from checks.providers.http_json.templates import Template, encode_for_path, fill_body, names_in
from checks.providers.http_json.times import format_time, parse_time
from checks.reason import Reason
from checks.secret import Secret
from checks.targets import build_client
from exporter import config, presets
from tests.stub_server import Behaviour, Exchange, StubServer, answer, redirect

KEY = "key-7d41c09a"
URL_SECRET = "7d41c09a" * 4
NUMBER = "+4915112345678"
NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
SINCE, UNTIL = NOW - 3600, NOW


class Watching:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.unmapped: list[str] = []
        self.unreadable = 0

    def request_done(self, outcome: str) -> None:
        pass

    def code_unmapped(self, code: str) -> None:
        self.unmapped.append(code)

    def message_unreadable(self) -> None:
        self.unreadable += 1


ROW = {"id": "id", "status": "status", "to": "to", "created_at": "created", "delivered_at": "done", "code": "code"}


def described(**changes: Any) -> dict[str, Any]:
    """Return an entry of a configuration: what all tests here begin with."""
    entry = {
        "type": "http_json",
        "base_url": "http://127.0.0.1:1/v1",
        "credentials": {"key": Secret(KEY)},
        "auth": {"kind": "bearer", "token": "{key}"},
        "endpoints": {
            "credentials": {"request": {"path": "/me"}, "ok_when": "id"},
            "balance": {"request": {"path": "/balance"}, "amount": "money.left", "currency": "money.unit"},
            "messages": {
                "request": {"path": "/log", "query": {"since": "{from}", "until": "{until}"}},
                "items": "rows",
                "fields": ROW,
            },
            "message": {"request": {"path": "/log/{id}"}, "fields": {**ROW, "price": "price", "currency": "'EUR'"}},
            "send": {
                "request": {"method": "POST", "path": "/log", "body": {"to": "{to_digits}", "text": "{text}"}},
                "message_id": "id",
            },
        },
        "times": {"format": "unix"},
        "max_requests_per_second": 1000,
        "statuses": {"queued": "accepted", "sent": "sent", "ok": "delivered", "bad": "undelivered", 9: "failed"},
        "reasons": {6: "unreachable_temporary", "status-9": "content_rejected"},
    }
    return dict(merged(entry, changes))


def settings(**changes: Any) -> HttpJsonSettings:
    return HttpJsonSettings.model_validate(described(**changes), context=presets.CONTEXT)


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


def client_of(stub: StubServer, observer: Any = None, **changes: Any) -> HttpJsonClient:
    return HttpJsonClient(settings(base_url=f"{stub.url}/v1", **changes), observer=observer)


def problem(**changes: Any) -> str:
    """Return all that is wrong, each problem with its place before it."""
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in caught.value.errors())


def endpoint(name: str, **changes: Any) -> dict[str, Any]:
    return {"endpoints": {name: changes}}


# Expressions


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data.[", "something is missing at its end"),
        ("data.]x", "it goes wrong at letter 6, before ']x'"),
        ("a b", "it goes wrong at letter 3, before 'b'"),
        ("a $ b", "it goes wrong at letter 3, before '$ b'"),
        ("", "something is missing at its end"),
        ("lowr(a)", f'calls lowr(), which there is not; accepted are {", ".join(FUNCTIONS)}; did you mean "lower"?'),
        ("[0].lower(a, b)", "gives lower() 2 arguments; it takes 1"),
        ("a[:lower()]", "is not an expression"),
        ("a[1:].lower(@, @)", "gives lower() 2 arguments"),
        ("not_null()", "gives not_null() 0 arguments; it takes at least 1"),
        ("regex(a, '(', `0`)", "has what is not a regular expression: missing ), unterminated subpattern"),
        ("a" * 2001, "an expression has at most 2000 letters"),
        ("(" * 1500, "is not an expression in JMESPath"),
    ],
)
def test_a_wrong_expression_is_explained(text: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("items(sms)[*].{id: [0], code: [1].c}", {"sms": {"a": {"c": 1}}}, [{"id": "a", "code": 1}]),
        ("regex(b, '([A-Z]+) ([0-9.]+)', `2`)", {"b": "KES 12.50"}, "12.50"),
        ("regex(b, 'x', `0`)", {"b": None}, None),
        ("lower(a)", {"a": "DeLiVrD"}, "delivrd"),
        ("scale(a, `0.0001`)", {"a": "35000"}, 3.5),
        ("scale(a, `2`)", {"a": "many"}, None),
        ("default(a, b)", {"a": "", "b": 2}, 2),
        ("default(a, b)", {"a": 0, "b": 2}, 0),
        ("to_epoch(a, '%d.%m.%Y %H:%M', 'Europe/Moscow')", {"a": "15.01.2027 11:00"}, NOW),
        ("from_json(a).b", {"a": '{"b": [1]}'}, [1]),
        ("data[:2]", {"data": [1, 2, 3]}, [1, 2]),
        ("rows[1:]", {"rows": [1, 2, 3]}, [2, 3]),
        ("sort_by(a, &b)[::-1] | [0].b", {"a": [{"b": 1}, {"b": 2}]}, 2),
    ],
)
def test_our_functions(text: str, value: Any, found: Any) -> None:
    assert Expression(text).find(value) == found


@pytest.mark.parametrize(
    ("text", "value"),
    [("sort(a)", {"a": [1, "x"]}), ("length(a)", {"a": 5}), ("from_json(a)", {"a": "{"}), ("lower(a)", {"a": []})],
)
def test_an_answer_that_does_not_fit_is_a_bad_response(text: str, value: Any) -> None:
    with pytest.raises(BadResponseError, match="does not fit the answer"):
        Expression(text).find(value)


def test_zero_is_true_and_what_is_empty_is_not() -> None:
    values: list[Any] = [0, "0", True, [0], "", [], {}, None, False]
    assert [Expression("a").is_true({"a": each}) for each in values] == [True] * 4 + [False] * 5


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(HOSTILE)
def test_whatever_an_answer_is_nothing_else_is_raised(value: Any) -> None:
    texts = ("items(a)[*][0]", "regex(a, '(.+)+', `1`)", "scale(a, `2`)", "sort_by(a, &b)[0].c", "from_json(a)")
    for text in (*texts, "to_epoch(a, '%Y', 'UTC')", "to_number(a) < to_number(b)", "join('', [a, b])", "a[?b==`1`]"):
        with suppress(BadResponseError):
            Expression(text).find(value)


# Texts of requests


def test_a_value_is_filled_in_once_and_never_looked_at_again() -> None:
    values = {"to": "{text}{to}", "text": "{to}%s$(id)", "n": "60"}
    assert Template("a{to}b{text}").fill(values, "UTC") == "a{text}{to}b{to}%s$(id)"
    body = {"list": (Template("{n:number}"), Template("{n}"), True, None), "deep": {"x": Template("{to}")}}
    assert fill_body(body, values, "UTC") == {"list": [60, "60", True, None], "deep": {"x": "{text}{to}"}}
    assert names_in(body) == {"n", "to"}


@pytest.mark.parametrize("text", ["{", "}", "{}", "{To}", "{to", "{to:}", "{{to}}", "{to!r}", "{to.secret}", "{0}"])
def test_a_text_with_a_brace_of_its_own_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="brace"):
        Template(text)


@pytest.mark.parametrize("text", ["{now:unixx}", "{now:%}", "{n:num}", "a{n:number}", "{n:number}{n:number}"])
def test_a_form_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be iso8601|must be the whole text|format"):
        Template(text)


@pytest.mark.parametrize(("value", "encoded"), [("a/b?c#d", "a%2Fb%3Fc%23d"), ("a b%", "a%20b%25"), ("..x", "..x")])
def test_a_value_in_a_path_stays_one_segment(value: str, encoded: str) -> None:
    assert encode_for_path(value) == encoded


@pytest.mark.parametrize("value", [".", "..", "", "\ud800"])
def test_a_value_that_would_lead_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(BadResponseError):
        encode_for_path(value)


@pytest.mark.parametrize(
    ("form", "zone", "text"),
    [
        ("unix", "UTC", "1800000000"),
        ("unix_ms", "UTC", "1800000000000"),
        ("iso8601", "UTC", "2027-01-15T08:00:00+00:00"),
        ("iso8601", "Europe/Moscow", "2027-01-15T11:00:00+03:00"),
        ("%d.%m.%Y %H:%M:%S", "Europe/Moscow", "15.01.2027 11:00:00"),
    ],
)
def test_times_are_written_and_read_alike(form: str, zone: str, text: str) -> None:
    assert format_time(NOW, form, zone) == text
    assert parse_time(text, form, zone) == NOW


@pytest.mark.parametrize("value", [None, True, "", "x", -1, 0, 1e30, "9" * 65, "٣", "2027-01-15", [1]])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"time|float|month|format"):
        parse_time(value, "unix", "UTC")


# How a request arrives


def test_a_request_arrives_as_described(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"id": "m1"}))
    headers = {"X-Day": "{now:%Y}"}
    with closing(client_of(stub, headers=headers)) as client:
        assert client.send_canary(to=NUMBER, sender="Acme", text='{to} "ü"', validity_seconds=60) == "m1"
    (request,) = stub.requests
    assert (request.method, request.path) == ("POST", "/v1/log")
    assert json.loads(request.body) == {"to": NUMBER[1:], "text": '{to} "ü"'}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-day"] == str(datetime.now(UTC).year)
    assert request.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("auth", "headers", "query", "body"),
    [
        ({"kind": "none"}, {}, {}, b""),
        ({"kind": "basic", "username": "me", "password": "{key}"}, {"basic": ("me", KEY)}, {}, b""),
        ({"kind": "bearer", "token": "{key}"}, {"authorization": f"Bearer {KEY}"}, {}, b""),
        ({"kind": "header", "headers": {"X-Key": "k {key}"}}, {"x-key": f"k {KEY}"}, {}, b""),
        ({"kind": "query", "params": {"api_key": "{key}"}}, {}, {"api_key": [KEY]}, b""),
        ({"kind": "form", "params": {"psw": "{key}"}}, {}, {}, f"psw={KEY}".encode()),
    ],
)
def test_each_way_to_show_who_asks(
    stub: StubServer, auth: Any, headers: Mapping[str, Any], query: Any, body: bytes
) -> None:
    stub.on("/v1/me", answer({"id": 1}))
    method = "POST" if auth["kind"] == "form" else "GET"
    with closing(client_of(stub, auth=auth, **endpoint("credentials", request={"method": method}))) as client:
        client.verify_credentials()
    (request,) = stub.requests
    expected = dict(headers)
    assert request.basic_auth == expected.pop("basic", None)
    assert {name: request.headers.get(name) for name in expected} == expected
    assert ("authorization" in request.headers) == (auth["kind"] in ("basic", "bearer"))
    assert (request.query, request.body) == (query, body)


def test_a_request_is_signed_over_what_is_sent(stub: StubServer) -> None:
    stub.on("/v1/me", answer({"id": 1}))
    auth = {
        "kind": "hmac",
        "key": "{key}",
        "algorithm": "sha512",
        "encoding": "base64",
        "string_to_sign": "{method}\n{path}\n{query}\n{timestamp}\n{nonce}\n{body}\n{body_sha256}",
        "headers": {"Authorization": "TSA me:{signature}", "X-Time": "{timestamp}", "X-Nonce": "{nonce}"},
    }
    request = {"method": "POST", "query": {"a": "x y&z"}, "body": {"b": "{now:%Y}"}}
    with closing(client_of(stub, auth=auth, **endpoint("credentials", request=request))) as client:
        client.verify_credentials()
        client.verify_credentials()
    first, second = stub.requests
    signed = "\n".join(
        ["POST", "/v1/me", "a=x+y%26z", first.headers["x-time"], first.headers["x-nonce"], first.body.decode()]
    )
    signed += f"\n{sha256(first.body).hexdigest()}"
    digest = hmac.digest(KEY.encode(), signed.encode(), "sha512")
    assert first.target == "/v1/me?a=x+y%26z"
    assert first.headers["authorization"] == f"TSA me:{b64encode(digest).decode()}"
    assert first.headers["x-nonce"] != second.headers["x-nonce"]


def test_a_signature_may_stand_in_the_query_and_its_key_be_encoded(stub: StubServer) -> None:
    stub.on("/v1/me", answer({"id": 1}))
    auth = {
        "kind": "hmac",
        "key": "{key}",
        "key_encoding": "base64",
        "string_to_sign": "{path}?{query}",
        "params": {"signature": "{signature}"},
    }
    secrets = {"key": Secret(b64encode(b"abc").decode())}
    with closing(client_of(stub, auth=auth, credentials=secrets)) as client:
        client.verify_credentials()
    assert stub.requests[0].query == {"signature": [hmac.digest(b"abc", b"/v1/me?", "sha256").hex()]}
    assert "auth.key: the key that signs is not base64" in problem(auth=auth, credentials={"key": Secret("%%%")})


@pytest.mark.parametrize("secret", ["ключ", "a\nb", "\ud800"])
def test_a_credential_that_no_header_can_hold_is_told_before_anything_is_sent(stub: StubServer, secret: str) -> None:
    secrets = {"key": Secret(secret)}
    with closing(client_of(stub, credentials=secrets)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert caught.value.reason is Reason.CREDENTIALS_REJECTED
    assert secret not in str(caught.value)
    assert stub.requests == []


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("id", "a\nb", Reason.BAD_RESPONSE), ("id", "я", Reason.BAD_RESPONSE), ("text", "код", Reason.INTERNAL)],
)
def test_what_no_header_can_hold_is_not_always_a_credential(name: str, value: str, reason: Reason) -> None:
    requests = Requests(settings())
    request = RequestSettings.model_validate({"path": "/me", "headers": {"X-About": f"{{{name}}}"}})
    with closing(requests), pytest.raises(ProviderError) as caught:
        requests.fill(request, {name: value}, now=NOW)
    assert caught.value.reason is reason
    assert value not in str(caught.value)


def oauth(stub: StubServer) -> dict[str, Any]:
    return {
        "kind": "oauth2_client_credentials",
        "token_url": f"{stub.url}/token",
        "client_id": "me",
        "client_secret": "{key}",
        "scope": "sms",
    }


def test_a_token_is_got_once_and_again_when_it_is_refused(stub: StubServer) -> None:
    stub.on("/token", answer({"access_token": "t1", "expires_in": 3600}), answer({"access_token": "t2"}))
    stub.on("/v1/me", answer({"id": 1}), answer({"id": 1}), answer({}, status=401), answer({"id": 1}))
    with closing(client_of(stub, auth=oauth(stub))) as client:
        client.verify_credentials()
        client.verify_credentials()
        with pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        assert caught.value.reason is Reason.CREDENTIALS_REJECTED
        client.verify_credentials()
    assert [(each.path, each.headers.get("authorization")) for each in stub.requests] == [
        ("/token", f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}"),
        *[("/v1/me", "Bearer t1")] * 3,
        ("/token", f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}"),
        ("/v1/me", "Bearer t2"),
    ]
    assert stub.requests[0].body == b"grant_type=client_credentials&scope=sms"


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (answer({"error": "invalid_client", "error_description": KEY}, status=400), Reason.CREDENTIALS_REJECTED),
        (answer({"error": "invalid_request"}, status=400), Reason.BAD_RESPONSE),
        (answer({"access_token": ""}), Reason.BAD_RESPONSE),
        (answer({"access_token": "a\r\nX: y"}), Reason.BAD_RESPONSE),
        (answer({}, status=503), Reason.PROVIDER_OUTAGE),
        (redirect("https://evil.example.com/"), Reason.BAD_RESPONSE),
    ],
)
def test_a_token_that_is_not_to_be_had_has_its_reason(stub: StubServer, behaviour: Behaviour, reason: Reason) -> None:
    stub.on("/token", behaviour)
    with closing(client_of(stub, auth=oauth(stub))) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert caught.value.reason is reason
    assert KEY not in str(caught.value)
    assert {each.path for each in stub.requests} == {"/token"}


# Where a request may go


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("HTTP://api.example.com", "base_url: must use https; allow_insecure: true takes it as it is"),
        ("http://127.0.0.1.example.com", "base_url: must use https; allow_insecure: true takes it as it is"),
        ("https://[64:ff9b::a9fe:a9fe]", "base_url: is an address of a private network"),
        ("http://api.example.com", "base_url: must use https; allow_insecure: true takes it as it is"),
        ("https://10.0.0.8", "base_url: is an address of a private network; allow_private: true takes it as it is"),
        ("https://[fd00::1]", "base_url: is an address of a private network; allow_private: true takes it as it is"),
        ("https://169.254.169.254", "base_url: is an address of a private network"),
        ("ftp://api.example.com", "must be a URL"),
        ("https://me:pw@api.example.com", "must not hold credentials"),
    ],
)
def test_a_base_url_that_is_not_safe_is_refused(url: str, words: str) -> None:
    assert words in problem(base_url=url)


def test_a_token_is_not_asked_for_in_clear_text() -> None:
    auth = {
        "kind": "oauth2_client_credentials",
        "token_url": "HTTP://auth.example.com/token",
        "client_id": "me",
        "client_secret": "{key}",
    }
    assert "auth.token_url: must use https" in problem(base_url="https://api.example.com", auth=auth)


def test_what_is_not_safe_may_be_allowed() -> None:
    settings(base_url="http://api.example.com", allow_insecure=True)
    settings(base_url="https://10.0.0.8", allow_private=True)
    public, loopback, private = "https://api.example.com", "http://127.0.0.1:1", "https://10.0.0.8"
    assert settings(base_url=public).public_only(public)
    assert not settings(base_url=loopback).public_only(loopback)
    assert settings(base_url=loopback).public_only(public)  # tokens may come from elsewhere
    assert not settings(base_url=private, allow_private=True).public_only(private)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_a_public_name_that_leads_into_a_private_network_is_not_asked(
    stub: StubServer, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = [(family, socket.SOCK_STREAM, 6, "", (address, stub.port))]
    monkeypatch.setattr(transport, "_resolve", lambda host, port: found)
    entry = settings(base_url=f"http://api.example.com:{stub.port}", allow_insecure=True)
    with closing(HttpJsonClient(entry)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, str(caught.value)) == (
        Reason.UNREACHABLE,
        "the host name leads into a private network, which is not allowed",
    )
    assert stub.connections == 0


def test_a_private_network_that_is_allowed_is_asked(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.on("/me", answer({"id": 1}))
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", stub.port))]
    monkeypatch.setattr(transport, "_resolve", lambda host, port: found)
    url = f"http://api.example.com:{stub.port}"
    with closing(HttpJsonClient(settings(base_url=url, allow_insecure=True, allow_private=True))) as client:
        client.verify_credentials()


def test_a_redirect_is_not_followed(stub: StubServer) -> None:
    with StubServer() as other:
        stub.everywhere(redirect(f"{other.url}/v1/me"))
        with closing(client_of(stub)) as client, pytest.raises(ProviderError) as caught:
            client.verify_credentials()
        assert (caught.value.reason, other.requests) == (Reason.BAD_RESPONSE, [])


# What an answer means


@pytest.mark.parametrize(
    ("status", "body", "reason", "code"),
    [
        (200, {"error": 2}, Reason.CREDENTIALS_REJECTED, "2"),
        (200, {"error": "BLOCKED"}, Reason.ACCOUNT_SUSPENDED, "blocked"),
        (200, {"error": 77}, Reason.BAD_RESPONSE, "77"),
        (200, {"error": {"a": 1}}, Reason.BAD_RESPONSE, "unnamed"),
        (200, {"error": NUMBER}, Reason.BAD_RESPONSE, "unnamed"),
        (403, {"error": 2}, Reason.CREDENTIALS_REJECTED, "2"),
        (403, {"error": 77}, Reason.ACCOUNT_RESTRICTED, "http-403"),
        (403, b"<html>", Reason.ACCOUNT_RESTRICTED, "http-403"),
        (401, b"no", Reason.CREDENTIALS_REJECTED, None),
        (503, {"error": 2}, Reason.PROVIDER_OUTAGE, "2"),
        (429, {"message": "slow down"}, Reason.RATE_LIMITED, None),
        (200, {"nothing": 1}, Reason.BAD_RESPONSE, None),
    ],
)
def test_a_refusal_has_its_reason(stub: StubServer, status: int, body: Any, reason: Reason, code: str | None) -> None:
    error = {
        "when": "error",
        "code": "error",
        "reasons": {2: "auth_failed", "BLOCKED": "account_suspended", "http-403": "account_restricted"},
    }
    watching = Watching()
    stub.on("/v1/me", answer(body, status=status))
    with closing(client_of(stub, watching, error=error)) as client, pytest.raises(ProviderError) as caught:
        client.verify_credentials()
    assert (caught.value.reason, caught.value.code) == (reason, code)
    assert watching.unmapped == ([code] if code in ("77", "unnamed") else [])


def test_an_endpoint_may_refuse_in_its_own_way(stub: StubServer) -> None:
    refused = {"when": "messages[0].status != 'OK'", "code": "messages[0].status"}
    error = {"reasons": {"no_money": "insufficient_balance"}}
    stub.on(
        "/v1/log", answer({"messages": [{"status": "NO_MONEY"}]}), answer({"messages": [{"status": "OK"}], "id": 7})
    )
    with closing(client_of(stub, error=error, **endpoint("send", refused=refused))) as client:
        with pytest.raises(ProviderError) as caught:
            client.send_canary(to=NUMBER, sender="x", text="x", validity_seconds=60)
        assert (caught.value.reason, caught.value.code) == (Reason.BALANCE_EXHAUSTED, "no_money")
        assert client.send_canary(to=NUMBER, sender="x", text="x", validity_seconds=60) == "7"


@pytest.mark.parametrize(
    ("body", "money"),
    [
        ({"money": {"left": 12.5, "unit": "eur"}}, Money(amount=12.5, currency="EUR")),
        ({"money": {"left": "-0.4200", "unit": "USD"}}, Money(amount=-0.42, currency="USD")),
        ({"money": {"later": True}}, None),
    ],
)
def test_a_balance_is_a_number_however_it_comes(stub: StubServer, body: Any, money: Money | None) -> None:
    stub.on("/v1/balance", answer(body))
    with closing(client_of(stub, **endpoint("balance", pays_later_when="money.later"))) as client:
        assert client.fetch_balance() == money


@pytest.mark.parametrize(
    "body", [{}, {"money": {"left": "many", "unit": "EUR"}}, {"money": {"left": 1, "unit": "€"}}, []]
)
def test_a_balance_that_is_none_is_a_bad_response(stub: StubServer, body: Any) -> None:
    stub.on("/v1/balance", answer(body))
    with closing(client_of(stub)) as client, pytest.raises(BadResponseError):
        client.fetch_balance()


def test_an_answer_may_be_text(stub: StubServer) -> None:
    changes = endpoint("balance", text=r"^\s*(?P<n>[0-9.]+) credits$", amount="n", currency="'XXX'")
    stub.on("/v1/balance", answer(b" 42.50 credits"), answer(b"<html>42"))
    with closing(client_of(stub, **changes)) as client:
        assert client.fetch_balance() == Money(amount=42.5, currency="XXX")
        with pytest.raises(BadResponseError, match="not the text that was expected"):
            client.fetch_balance()


def test_an_answer_that_is_too_large_is_refused(stub: StubServer) -> None:
    stub.on("/v1/me", answer({"id": "x" * 2000}))
    with closing(client_of(stub, max_answer_bytes=1024)) as client, pytest.raises(BadResponseError, match="too large"):
        client.verify_credentials()


def test_an_account_is_suspended_only_when_it_says_so(stub: StubServer) -> None:
    changes = endpoint(
        "account",
        request={"path": "/me"},
        active_when="active == `1`",
        suspended_when="banned == `1`",
        restricted_when="trial",
    )
    bodies: list[Any] = [{"active": 1}, {"active": 1, "banned": 1}, {"active": 1, "trial": True}, {}]
    stub.on("/v1/me", *map(answer, bodies))
    with closing(client_of(stub, **changes)) as client:
        assert [client.fetch_account() for _ in bodies[:3]] == [
            Account(state=AccountState.ACTIVE),
            Account(state=AccountState.SUSPENDED),
            Account(state=AccountState.ACTIVE, restriction="the account is a trial"),
        ]
        with pytest.raises(BadResponseError, match="does not say whether the account is in use"):
            client.fetch_account()


# The log


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"m{number}",
        "status": "OK",
        "to": NUMBER[1:],
        "created": NOW - number,
        "done": NOW - number + 3,
    } | changes


def test_a_row_becomes_a_receipt(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"rows": [row(60)]}))
    with closing(client_of(stub)) as client:
        page = client.read_page(since=SINCE, until=UNTIL)
    assert page.receipts == [
        Receipt(
            message_id="m60",
            status=Status.DELIVERED,
            at=NOW - 57,
            created_at=NOW - 60,
            recipient=NUMBER,
            country="DE",
            operator="T-Mobile",
            delivery_seconds=3.0,
        )
    ]
    assert (page.resume, page.reached) == (None, SINCE)
    assert stub.requests[0].query == {"since": [str(int(SINCE) - 1)], "until": [str(int(UNTIL) + 1)]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "queued"}, (Status.ACCEPTED, None, None)),
        ({"status": "bad"}, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ({"status": "bad", "code": "000"}, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
        ({"status": "bad", "code": 6}, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "6")),
        ({"status": "BAD ", "code": "6"}, (Status.UNDELIVERED, Reason.RECIPIENT_UNREACHABLE, "6")),
        ({"status": "bad", "code": "77"}, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, "77")),
        ({"status": 9}, (Status.FAILED, Reason.OPERATOR_BLOCKING, "status-9")),
        ({"status": 9, "code": "6"}, (Status.FAILED, Reason.RECIPIENT_UNREACHABLE, "6")),
        ({"status": 9, "code": "77"}, (Status.FAILED, Reason.OPERATOR_BLOCKING, "status-9")),
        ({"status": "bad", "code": NUMBER}, (Status.UNDELIVERED, Reason.DELIVERY_FAILING, None)),
    ],
)
def test_a_status_and_its_code_have_their_reason(stub: StubServer, changes: Any, expected: Any) -> None:
    stub.on("/v1/log", answer({"rows": [row(60, **changes)]}))
    with closing(client_of(stub)) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert (receipt.status, receipt.reason, receipt.code) == expected
    assert receipt.code_is_mapped == (receipt.code != "77")


def test_what_cannot_be_understood_is_left_out_and_told(stub: StubServer) -> None:
    rows = [row(1), row(2, status="new word"), row(3, created="yesterday"), row(4, id=None), row(5, in_="x")]
    stub.on("/v1/log", answer({"rows": rows}))
    watching = Watching()
    with closing(client_of(stub, watching, **endpoint("messages", only_when="!in_"))) as client:
        page = client.read_page(since=SINCE, until=UNTIL)
    assert ([each.message_id for each in page.receipts], watching.unreadable) == (["m1"], 3)


def test_a_status_for_all_others(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"rows": [row(1, status="new word")]}))
    with closing(client_of(stub, statuses={"*": "sent"})) as client:
        (receipt,) = client.read_page(since=SINCE, until=UNTIL).receipts
    assert receipt.status is Status.SENT


def read_all(client: HttpJsonClient, *, until: float | None = UNTIL) -> list[str]:
    told, resume = [], None
    for _ in range(40):
        page = client.read_page(since=SINCE, until=until, resume=resume)
        told += [each.message_id for each in page.receipts]
        resume = page.resume
        if resume is None or (page.reached is not None and page.reached < SINCE):
            return told
        assert KEY not in resume
    raise AssertionError("the log has no end")


ROWS = [row(number) for number in range(1, 8)]
IDS = [each["id"] for each in ROWS]


def listing(exchange: Exchange) -> None:
    """Behave like a log that knows every kind of paging: three rows a page, the newest first."""
    query = {name: values[0] for name, values in exchange.request.query.items()}
    before = float(query.get("until", "inf"))
    rows = [each for each in ROWS if each["created"] <= before]
    start = int(query.get("offset") or query.get("cursor") or (int(query.get("page", "1")) - 1) * 3)
    page, more = rows[start : start + 3], start + 3 < len(rows)
    told = {
        "rows": page,
        "more": more,
        "cursor": str(start + 3) if more else None,
        "link": f"/v1/log?api_key={KEY}&cursor={start + 3}" if more else "",
    }
    answer(told)(exchange)


PAGINGS: list[dict[str, Any]] = [
    {"kind": "page", "param": "page", "size": 3},
    {"kind": "page", "param": "page", "more_when": "more"},
    {"kind": "offset", "param": "offset"},
    {"kind": "cursor", "param": "cursor", "next": "cursor"},
    {"kind": "link", "next": "link"},
]


@pytest.mark.parametrize(
    ("paging", "is_by_time"),
    [
        *((each, True) for each in PAGINGS),
        *((each, False) for each in PAGINGS),
        ({"kind": "timestamp", "size": 3}, True),
    ],
    ids=str,
)
def test_every_kind_of_paging_reads_every_row(stub: StubServer, paging: Any, is_by_time: bool) -> None:
    stub.on("/v1/log", listing)
    changes = described()
    changes["auth"] = {"kind": "query", "params": {"api_key": "{key}"}}
    changes["endpoints"]["messages"]["paging"] = paging
    changes["endpoints"]["messages"]["edge"] = "0s"
    if not is_by_time:
        changes["endpoints"]["messages"]["request"]["query"] = {}
    changes["base_url"] = f"{stub.url}/v1"
    with closing(HttpJsonClient(HttpJsonSettings.model_validate(changes))) as client:
        assert sorted(set(read_all(client))) == IDS
    assert all(each.query["api_key"] == [KEY] for each in stub.requests)


def test_a_log_without_pages_is_read_at_once(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"rows": ROWS}))
    with closing(client_of(stub)) as client:
        assert read_all(client) == IDS
    assert len(stub.requests) == 1


def test_the_newest_rows_are_enough_where_they_come_first(stub: StubServer) -> None:
    """A log that takes days, of which the span is the last hour."""
    old = [row(number) for number in range(7000, 7003)]
    stub.on("/v1/log", answer({"rows": ROWS[:3]}), answer({"rows": old}))
    paging = {"kind": "page", "param": "page", "size": 3}
    with closing(client_of(stub, **endpoint("messages", paging=paging, newest_first=True))) as client:
        assert read_all(client) == IDS[:3]
    assert len(stub.requests) == 2


def test_no_list_is_no_empty_log_unless_the_answer_says_so(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"error": 3}), answer({"error": 4}))
    with closing(client_of(stub, **endpoint("messages", empty_when="error == `3`"))) as client:
        page = client.read_page(since=SINCE, until=UNTIL)
        assert (page.receipts, page.resume) == ([], None)
        with pytest.raises(BadResponseError, match=r"is not where endpoints\.messages\.items says"):
            client.read_page(since=SINCE, until=UNTIL)


@pytest.mark.parametrize(
    ("link", "words"),
    [
        ("https://evil.example.com/v1/log?cursor=3", "on another host"),
        ("http://127.0.0.1:9/v1/log?cursor=3", "on another host"),
        ("//evil.example.com/log", "on another host"),
        ("/v1/../admin", "has no name"),
        ("log?cursor=3", "has no name"),
        ("https://[", "has no name"),
        ("/v1/log?a=\ud800", "has no name"),
        ("{base}/v2/log?cursor=3", "is not below base_url"),
        (f"/v1/log?other={KEY}", "would show a secret"),
        ({"a": 1}, "has no name"),
    ],
)
def test_a_link_leads_nowhere_else(stub: StubServer, link: Any, words: str) -> None:
    link = link.replace("{base}", stub.url) if isinstance(link, str) else link
    stub.on("/v1/log", answer({"rows": ROWS[:1], "link": link}))
    paging = {"kind": "link", "next": "link"}
    with (
        closing(client_of(stub, **endpoint("messages", paging=paging))) as client,
        pytest.raises(BadResponseError, match=words),
    ):
        client.read_page(since=SINCE, until=UNTIL)


def test_a_bookmark_holds_nothing_of_a_signature(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"rows": ROWS[:1], "link": "/v1/log?page=2&sig=deadbeef&ts=1"}))
    auth = {
        "kind": "hmac",
        "key": "{key}",
        "string_to_sign": "{path}",
        "params": {"sig": "{signature}", "ts": "{timestamp}"},
    }
    changes = {"auth": auth, **endpoint("messages", paging={"kind": "link", "next": "link"})}
    with closing(client_of(stub, **changes)) as client:
        resume = client.read_page(since=SINCE, until=UNTIL).resume
        assert resume is not None
        assert "page" in resume
        assert "deadbeef" not in resume


def test_pages_that_go_in_a_circle_are_refused(stub: StubServer) -> None:
    stub.on("/v1/log", answer({"rows": ROWS[:1], "cursor": "x"}))
    paging = {"kind": "cursor", "param": "c", "next": "cursor"}
    with closing(client_of(stub, **endpoint("messages", paging=paging))) as client:
        first: LogPage = client.read_page(since=SINCE, until=UNTIL)
        with pytest.raises(BadResponseError, match="circle"):
            client.read_page(since=SINCE, until=UNTIL, resume=first.resume)


# The canary


def test_a_message_is_followed_by_its_id(stub: StubServer) -> None:
    stub.on("/v1/log/a%2Fb", answer(row(1, id="a/b", price="-0.0700")), answer(row(1, id="other")), answer([]))
    with closing(client_of(stub)) as client:
        assert client.fetch_canary("a/b") == CanaryStatus(status=Status.DELIVERED, cost=0.07, currency="EUR")
        for words in ("tells of another message", "does not tell of the message"):
            with pytest.raises(BadResponseError, match=words):
                client.fetch_canary("a/b")
        with pytest.raises(BadResponseError):
            client.fetch_canary("..")


# Callbacks


def callback_client(verify: Mapping[str, Any], **changes: Any) -> HttpJsonClient:
    fields = {"id": "id", "status": "status", "to": "to", "code": "code"}
    callbacks = {"format": "json", "fields": fields, "verify": verify, **changes}
    return HttpJsonClient(settings(callbacks=callbacks))


BODY = json.dumps({"id": "m1", "status": "bad", "to": NUMBER, "code": 6}).encode()
TOLD = Receipt(
    message_id="m1",
    status=Status.UNDELIVERED,
    at=NOW,
    recipient=NUMBER,
    country="DE",
    operator="T-Mobile",
    reason=Reason.RECIPIENT_UNREACHABLE,
    code="6",
    source=Source.CALLBACK,
)


def outcome(client: HttpJsonClient, callback: Callback) -> Any:
    try:
        return list(client.read_callback(callback))
    except CallbackRefusedError as refusal:
        return refusal.outcome


def signed(body: bytes, at: float, key: str = KEY) -> dict[str, str]:
    digest = hmac.digest(key.encode(), f"{int(at)}.".encode() + body, "sha256")
    return {"x-signature": f"sha256={digest.hex()}", "x-time": str(int(at))}


HMAC = {
    "kind": "hmac",
    "key": Secret(KEY),
    "header": "X-Signature",
    "prefix": "sha256=",
    "string_to_sign": "{timestamp}.{body}",
    "timestamp_header": "X-Time",
}


def test_a_signed_callback_is_believed_while_it_is_of_now() -> None:
    with closing(callback_client(HMAC)) as client:
        assert (client.takes_callbacks, list(client.signed_headers)) == (True, ["x-signature", "x-time"])
        good = signed(BODY, NOW)
        assert outcome(client, Callback("", good, BODY, NOW)) == [TOLD]
        cases = [
            (Callback("", good, BODY, NOW + 301), CallbackOutcome.REPLAYED),
            (Callback("", {**good, "x-time": str(int(NOW) + 1)}, BODY, NOW), CallbackOutcome.BAD_SIGNATURE),
            (Callback("", signed(BODY, NOW, "other"), BODY, NOW), CallbackOutcome.BAD_SIGNATURE),
            (Callback("", good, BODY + b" ", NOW), CallbackOutcome.BAD_SIGNATURE),
            (Callback("", {**good, "x-signature": "sha256=zz"}, BODY, NOW), CallbackOutcome.BAD_SIGNATURE),
            (Callback("", {"x-signature": good["x-signature"]}, BODY, NOW), CallbackOutcome.MALFORMED),
            (Callback("", {}, BODY, NOW), CallbackOutcome.UNSIGNED),
        ]
        assert [outcome(client, callback) for callback, _ in cases] == [expected for _, expected in cases]


def test_callbacks_that_show_a_secret() -> None:
    basic = {"kind": "basic", "username": Secret("me"), "password": Secret(KEY)}
    right = f"Basic {b64encode(f'me:{KEY}'.encode()).decode()}"
    with closing(callback_client(basic)) as client:
        assert outcome(client, Callback("", {"authorization": right}, BODY, NOW)) == [TOLD]
        assert outcome(client, Callback("", {"authorization": "Basic bWU6eA=="}, BODY, NOW)) == "bad_signature"
        assert outcome(client, Callback("", {}, BODY, NOW)) == "unsigned"
    token = {"kind": "token", "header": "X-Token", "token": Secret(KEY)}
    with closing(callback_client(token)) as client:
        assert outcome(client, Callback("", {"x-token": KEY}, BODY, NOW)) == [TOLD]
        assert outcome(client, Callback("", {"x-token": KEY + "x"}, BODY, NOW)) == "bad_signature"
        assert outcome(client, Callback("", {}, BODY, NOW)) == "unsigned"


def test_an_unsigned_callback_needs_both_a_secret_in_its_url_and_an_address() -> None:
    verify = {"kind": "ip", "param": "t", "token": Secret(URL_SECRET), "networks": ["192.0.2.0/24", "2001:db8::/32"]}
    form = urlencode({"id": "m1", "status": "bad", "to": NUMBER, "code": 6}).encode()
    with closing(callback_client(verify, format="form")) as client:
        for peer in ("192.0.2.7", "2001:db8::1", "::ffff:192.0.2.9"):
            assert outcome(client, Callback(f"t={URL_SECRET}", {}, form, NOW, peer)) == [TOLD]
        strangers: list[tuple[str, str | None]] = [
            (f"t={URL_SECRET}", "198.51.100.1"),
            (f"t={URL_SECRET}", None),
            ("t=x", "192.0.2.7"),
        ]
        for query, stranger in strangers:
            assert outcome(client, Callback(query, {}, form, NOW, stranger)) == "bad_signature"
        assert outcome(client, Callback("", {}, form, NOW, "192.0.2.7")) == "unsigned"
    with closing(callback_client({**verify, "address_header": "X-Forwarded-For"}, format="form")) as client:
        told = {"x-forwarded-for": "192.0.2.7, 198.51.100.1"}  # the first is what the sender claims
        assert outcome(client, Callback(f"t={URL_SECRET}", told, form, NOW, "10.0.0.1")) == "bad_signature"
        told = {"x-forwarded-for": "198.51.100.1, 192.0.2.7"}
        assert outcome(client, Callback(f"t={URL_SECRET}", told, form, NOW, "10.0.0.1")) == [TOLD]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", "malformed"),
        (b"5", "malformed"),
        (b"[1]", "malformed"),
        (b'{"id": "m1", "status": "new word"}', []),
        (b'{"id": "", "status": "ok"}', "malformed"),
        (b'{"status": "ok"}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (json.dumps([{"id": "m1", "status": "ok"}] * 1001).encode(), "malformed"),
    ],
)
def test_what_a_callback_says_is_not_trusted(body: bytes, expected: Any) -> None:
    token = {"kind": "token", "header": "X-Token", "token": Secret(KEY)}
    with closing(callback_client(token)) as client:
        assert outcome(client, Callback("", {"x-token": KEY}, body, NOW)) == expected


def test_a_callback_may_be_a_query_and_hold_several_rows() -> None:
    token = {"kind": "token", "header": "X-Token", "token": Secret(KEY)}
    with closing(callback_client(token, format="query")) as client:
        assert client.takes_queries
        query = urlencode({"id": "m1", "status": "bad", "to": NUMBER, "code": "6"})
        assert outcome(client, Callback(query, {"x-token": KEY}, b"", NOW)) == [TOLD]
    with closing(callback_client(token, items="reports")) as client:
        body = json.dumps({"reports": [json.loads(BODY), {"id": "m2", "status": "sent"}]}).encode()
        told = outcome(client, Callback("", {"x-token": KEY}, body, NOW))
        assert [each.message_id for each in told] == ["m1", "m2"]


@pytest.mark.parametrize(
    ("verify", "words"),
    [
        ({"kind": "ip", "token": Secret(KEY), "param": "t"}, "ip needs networks"),
        ({"kind": "hmac"}, "hmac needs key, header"),
        ({**HMAC, "timestamp_header": None}, "a signed timestamp needs timestamp_header"),
        ({**HMAC, "string_to_sign": "{body}"}, "a timestamp that is not signed proves nothing"),
        ({**HMAC, "string_to_sign": "{key}"}, "string_to_sign may name body, query, timestamp"),
        ({**HMAC, "string_to_sign": "{timestamp:unix}{body}"}, "string_to_sign may name body, query, timestamp, as"),
        ({**HMAC, "key": Secret("zz!"), "key_encoding": "base64"}, "the key that signs is not base64"),
        ({**HMAC, "key": Secret("xyz"), "key_encoding": "hex"}, "the key that signs is not hex"),
        ({**HMAC, "header": "X Signature"}, "must be the name of a header"),
        ({"kind": "ip", "token": Secret(KEY), "param": "t", "networks": ["a"]}, "must be addresses"),
        (
            {"kind": "ip", "token": Secret("x" * 31), "param": "t", "networks": ["192.0.2.0/24"]},
            "token of ip must have at least 32 characters",
        ),
        ({"kind": "ip", "token": Secret("x" * 32), "param": "t", "networks": ["0.0.0.0/0"]}, "no wider than /8"),
        ({"kind": "ip", "token": Secret("x" * 32), "param": "t", "networks": ["::/0"]}, "no wider than /16"),
    ],
)
def test_a_callback_that_could_not_be_believed_is_refused_at_once(verify: Any, words: str) -> None:
    assert words in problem(callbacks={"fields": {"id": "id", "status": "s"}, "verify": verify})


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        ("query", "{body}", "verify.string_to_sign must name {query}, which is what a callback of query says"),
        ("query", "{timestamp}", "verify.string_to_sign must name {query}"),
        ("json", "{timestamp}", "verify.string_to_sign must name {body}, which is what a callback of json says"),
        ("json", "{query}", "verify.string_to_sign must name {body}"),
        ("form", "{query}", "verify.string_to_sign must name {body}"),
    ],
)
def test_a_signature_over_something_else_proves_nothing(form: str, text: str, words: str) -> None:
    verify = {**HMAC, "string_to_sign": text}
    if "timestamp" not in text:
        verify["timestamp_header"] = None
    assert words in problem(callbacks={"format": form, "fields": {"id": "id", "status": "s"}, "verify": verify})


def test_a_signed_query_is_believed() -> None:
    verify = {**HMAC, "string_to_sign": "{query}", "timestamp_header": None}
    query = urlencode({"id": "m1", "status": "bad", "to": NUMBER, "code": 6})
    good = {"x-signature": f"sha256={hmac.digest(KEY.encode(), query.encode(), 'sha256').hex()}"}
    with closing(callback_client(verify, format="query")) as client:
        assert outcome(client, Callback(query, good, b"", NOW)) == [TOLD]
        assert outcome(client, Callback(query.replace("m1", "m2"), good, b"", NOW)) == "bad_signature"


# The configuration


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            endpoint("balance", request={"path": "/{acount}"}),
            "endpoints.balance.request: nothing is called {acount}, must be a credential or one of: key, now",
        ),
        ({"auth": {"kind": "bearer", "token": "{kee}"}}, "credentials.kee: is required: auth names it"),
        ({"auth": {"kind": "bearer", "token": "sk_live_1"}}, "token must name a credential, such as {api_key}"),
        ({"auth": {"kind": "basic", "username": "me", "password": "pw"}}, "password must name a credential"),
        ({"auth": {"kind": "header", "headers": {"X-A": "pw"}}}, "headers.X-A must name a credential"),
        ({"auth": {"kind": "query", "params": {"a": "pw"}}}, "params.a must name a credential"),
        ({"auth": {"kind": "form", "params": {"a": "pw"}}}, "params.a must name a credential"),
        ({"auth": {"kind": "hmac", "key": "pw", "string_to_sign": "{body}"}}, "key must name a credential"),
        ({"headers": {"Authorization": "Basic bWU6cHc="}}, "headers.Authorization: must name a credential"),
        ({"headers": {"X-Api-Key": "pw"}}, "headers.X-Api-Key: must name a credential"),
        (
            endpoint("balance", request={"headers": {"x-token": "pw"}}),
            "endpoints.balance.request.headers.x-token: must name a credential",
        ),
        (
            endpoint("balance", request={"query": {"apiKey": "pw"}}),
            "endpoints.balance.request.query.apiKey: must name a credential",
        ),
        ({"headers": {"X Y": "a"}}, "must be the name of a header"),
        ({"headers": {"X-Ü": "a"}}, "must be the name of a header"),
        ({"headers": {"X-A": "я"}}, "headers.X-A: must be in one line, of letters that a header can hold"),
        ({"credentials": {"id": Secret(KEY)}}, "credentials.id: must have another name: {id} stands for something"),
        ({"credentials": {"from": Secret(KEY)}}, "credentials.from: must have another name"),
        ({"credentials": {"timestamp": Secret(KEY)}}, "credentials.timestamp: must have another name"),
        (
            {"auth": {"kind": "hmac", "key": "{timestamp}", "string_to_sign": "{body}"}},
            "credentials.timestamp: is required: auth names it",
        ),
        (
            {"auth": {"kind": "hmac", "key": "{key}", "string_to_sign": "{signature}"}},
            "credentials.signature: is required: auth names it",
        ),
        (
            endpoint("send", request={"body": {"t": "{now:number}"}}),
            "endpoints.send.request: {now:number} must have the form of a time, such as {now:unix}",
        ),
        (
            endpoint("message", request={"query": {"i": "{id:number}"}}),
            "endpoints.message.request: {id:number} must be {id}, for it need not be a number",
        ),
        (
            endpoint("send", request={"body": {"to": "{to:%Y}"}}),
            "endpoints.send.request: {to:%Y} must be {to}, for it is no time",
        ),
        ({"auth": {"kind": "bearer", "token": "{key:unix}"}}, "auth: {key:unix} must be {key}, for it is no time"),
        ({"auth": {"kind": "basic"}}, "basic needs username, password"),
        ({"auth": {"kind": "none", "token": "x"}}, "none has no token"),
        (endpoint("balance", request={"path": "balance"}), "path must begin with a slash"),
        (endpoint("balance", request={"path": "/../x"}), "path must be a path alone"),
        (endpoint("balance", request={"path": "/x?y=1"}), "path must be a path alone"),
        (endpoint("balance", request={"body": {"a": "b"}}), "GET has no form and no body"),
        (endpoint("messages", paging={"kind": "cursor", "param": "c"}), "cursor needs next"),
        (endpoint("messages", paging={"kind": "page"}), "page needs param"),
        (endpoint("messages", fields={"created_at": None}), "endpoints.messages.fields.created_at: is required"),
        ({"statuses": {"ok": "arrived"}}, "must be one of: accepted, sent, delivered"),
        ({"reasons": {"1": "bad luck"}}, "must be a cause or a reason, one of: account_restricted, "),
        ({"times": {"format": "tomorrow"}}, "must be iso8601, unix, unix_ms or a form of strptime"),
        ({"times": {"timezone": "Moscow"}}, "must be a time zone"),
        ({"error": {"when": "x"}}, "when and code go together"),
        ({"preset": "clicksnd"}, 'no preset "clicksnd", must be one of: 46elks, '),
        ({"base_url": None}, "base_url: is required, or preset"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_wrong_description_is_refused_in_words(changes: Any, words: str) -> None:
    assert words in problem(**changes)


CONFIG = """\
providers:
  acme:
    type: http_json
    base_url: https://api.acme.example
    credentials: {key: {env: ACME_KEY}}
    auth: {kind: bearer, token: "{key}"}
    endpoints:
      balance: {request: {path: /b}, amount: left, currency: "'EUR'", min_interval: 5m}
checks:
  money: {type: balance, target: acme, min_amount: 10, interval: 5m}
"""


def problems_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "c.yml"
    path.write_text(text)
    with pytest.raises(config.ConfigError) as caught:
        config.load(path)
    return [each.replace(f"{tmp_path}/", "") for each in caught.value.problems]


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", KEY)


@pytest.mark.usefixtures("_key")
def test_the_configuration_says_what_is_wrong_where(tmp_path: Path) -> None:
    assert problems_of(tmp_path, CONFIG + "  log: {type: delivery, target: acme}\n") == [
        "c.yml: checks.log.target: acme has no endpoints.messages, which the check delivery asks; it can answer:"
        " balance"
    ]
    assert problems_of(tmp_path, CONFIG.replace("10, interval: 5m", "10, interval: 1m")) == [
        'c.yml: checks.money.interval: must be at least "5m", is "1m": endpoints.balance.min_interval of the provider'
    ]
    assert problems_of(tmp_path, CONFIG.replace("amount: left", "amuont: left")) == [
        "c.yml: providers.acme.endpoints.balance.amount: is required",
        'c.yml: providers.acme.endpoints.balance.amuont: unknown key; did you mean "amount"?',
    ]
    (line,) = problems_of(tmp_path, CONFIG.replace("amount: left", "amount: 'left['"))
    assert line.startswith(
        'c.yml: providers.acme.endpoints.balance.amount: "left[" is not an expression in JMESPath: something is missing'
        " at its end; accepted is, for one, data.balance, messages[0].status, 'a text', or a call of abs, avg, "
    )
    two = CONFIG.replace("path: /b", 'path: "/{b}"').replace("https:", "http:")
    assert [each.partition(" must ")[0] for each in problems_of(tmp_path, two)] == [
        "c.yml: providers.acme.base_url:",
        "c.yml: providers.acme.endpoints.balance.request: nothing is called {b},",
    ]
    (line,) = problems_of(tmp_path, CONFIG.replace("{env: ACME_KEY}", "plain-text-secret"))
    assert "plain-text-secret" not in line


@pytest.mark.usefixtures("_key")
def test_what_is_shown_of_a_configuration_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    path.write_text(CONFIG)
    loaded = config.load(path)
    shown = config.masked(loaded)
    assert KEY not in shown
    again = tmp_path / "again.yml"
    again.write_text(shown.replace("key: <secret>", "key: {env: ACME_KEY}"))
    assert config.load(again).targets == loaded.targets


@pytest.mark.usefixtures("_key")
def test_what_auth_says_itself_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "c.yml"
    auth = 'auth: {kind: header, headers: {Authorization: "App sk_live_1{key}", X-K: "Key {key}"}}'
    path.write_text(CONFIG.replace('auth: {kind: bearer, token: "{key}"}', auth))
    shown = config.masked(config.load(path))
    assert "sk_live_1" not in shown
    assert "Authorization: <secret>{key}" in shown
    assert "X-K: Key {key}" in shown


def test_a_number_may_be_a_credential_of_digits() -> None:
    request = {"body": {"account": "{account:number}", "ttl": "{validity_seconds:number}"}}
    settings(credentials={"account": Secret("4711")}, **endpoint("send", request=request))
    assert "need not be a number" in problem(credentials={"account": Secret("a")}, **endpoint("send", request=request))


def test_a_slow_regular_expression_sees_little_of_an_answer(stub: StubServer) -> None:
    stub.on("/v1/balance", answer(b"1" * 100_000 + b" EUR"))
    text = r"(?P<amount>[0-9.]+) EUR"
    changes = endpoint("balance", text=text, amount="amount", currency="'EUR'")
    with closing(client_of(stub, **changes)) as client, pytest.raises(BadResponseError, match="that was expected"):
        client.fetch_balance()


def test_what_an_entry_says_wins_over_its_preset() -> None:
    entry = {
        "type": "http_json",
        "preset": "clicksend",
        "credentials": {"username": Secret("u" * 8), "api_key": Secret("k" * 8)},
        "statuses": {302: "undelivered"},
        "endpoints": {"messages": {"request": {"query": {"limit": "50"}}}},
    }
    made = HttpJsonSettings.model_validate(entry, context=presets.CONTEXT)
    assert made.endpoints.messages is not None
    assert made.statuses["302"] is Status.UNDELIVERED
    assert made.statuses["201"] is Status.DELIVERED
    query = {name: each.text for name, each in made.endpoints.messages.request.query.items()}
    assert query == {"date_from": "{from}", "date_to": "{until}", "limit": "50", "order_by": "date:desc"}
    other = {**entry, "auth": {"kind": "bearer", "token": "{api_key}"}}
    assert HttpJsonSettings.model_validate(other, context=presets.CONTEXT).auth.username is None


def test_what_settings_lack_is_asked_of_them() -> None:
    whole = settings()
    assert (whole.lacks(MessageLogClient), whole.lacks(BalanceClient)) == (None, None)
    part = settings(endpoints={"balance": None, "messages": None})
    assert (part.lacks(MessageLogClient), part.lacks(BalanceClient)) == ("endpoints.messages", "endpoints.balance")
    with (
        closing(build_client(part)) as client,
        pytest.raises(ProviderError, match=r"endpoints\.balance is not configured"),
    ):
        client.fetch_balance()
