"""Every fault against every call of every vendor: each becomes one reason, in time, and leaves nothing behind.

A new vendor joins with a row in ``VENDORS``.
"""

import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import trustme

from checks.clients import (
    AccountClient,
    BalanceClient,
    CanaryClient,
    ConversionClient,
    CountryPermissions,
    CredentialsClient,
    MessageLogClient,
    SendersClient,
    ServiceStatusClient,
)
from checks.errors import ProviderError
from checks.providers import PROVIDERS
from checks.providers.http import deadline
from checks.reason import Reason
from checks.secret import Secret
from checks.targets import build_client
from tests import stub_server as stubs
from tests.stub_server import StubServer

NUMBER: Final = "+4915112345678"
TOKEN: Final = "canary-token-7d41c09a"
DEADLINE_SECONDS: Final = 0.5
MOST_SECONDS: Final = 1.5

Call = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """How to build a vendor's client against the stub, and what it is asked."""

    settings: Mapping[str, Any]  # without URLs
    url_settings: tuple[str, ...]  # the settings that take the stub's URL
    calls: Mapping[str, Call]
    without_permission: Mapping[str, object] = field(default_factory=dict)  # what is no error but an answer

    def build(self, url: str) -> Any:
        spec = PROVIDERS[str(self.settings["type"])]
        urls = dict.fromkeys(self.url_settings, url)
        return build_client(spec.settings.model_validate({**self.settings, **urls, "timeout": "5m"}))


READ_SINCE: Final = datetime(2026, 11, 24, tzinfo=UTC)

CALLS: Final[Mapping[str, Call]] = {
    "verify_credentials": lambda client: client.verify_credentials(),
    "fetch_account": lambda client: client.fetch_account(),
    "fetch_balance": lambda client: client.fetch_balance(),
    "fetch_spend": lambda client: client.fetch_spend(),
    "fetch_number": lambda client: client.fetch_number(NUMBER),
    "fetch_messaging_service": lambda client: client.fetch_messaging_service("MG" + "0" * 32, countries=["US"]),
    "fetch_country_permissions": lambda client: client.fetch_country_permissions(["US"]),
    "fetch_service_status": lambda client: client.fetch_service_status(),
    "read_page": lambda client: client.read_page(since=READ_SINCE.timestamp()),
    "read_attempts": lambda client: list(
        client.read_attempts(since=READ_SINCE.timestamp(), until=READ_SINCE.timestamp() + 60)
    ),
    "send_canary": lambda client: client.send_canary(to=NUMBER, sender=NUMBER, text="test", validity_seconds=60),
    "fetch_canary": lambda client: client.fetch_canary("SM" + "1" * 32),
}
"""Every call of every protocol in ``checks.clients``; a vendor takes those that it can answer."""


def calls_of(*names: str) -> Mapping[str, Call]:
    return {name: CALLS[name] for name in names}


VENDORS: Final[Mapping[str, Vendor]] = {
    "twilio": Vendor(
        settings={"type": "twilio", "account_sid": "AC" + "a" * 32, "auth_token": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=CALLS,
        without_permission={"fetch_spend": None, "fetch_country_permissions": CountryPermissions(readable=False)},
    ),
    "vonage": Vendor(
        settings={"type": "vonage", "api_key": "abcd1234", "api_secret": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials", "fetch_balance", "fetch_service_status", "read_page", "send_canary", "fetch_canary"
        ),
    ),
    "infobip": Vendor(
        settings={"type": "infobip", "api_key": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials", "fetch_balance", "fetch_service_status", "read_page", "send_canary", "fetch_canary"
        ),
    ),
    "plivo": Vendor(
        settings={"type": "plivo", "auth_id": "MA" + "A" * 18, "auth_token": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials",
            "fetch_account",
            "fetch_balance",
            "fetch_service_status",
            "read_page",
            "send_canary",
            "fetch_canary",
        ),
    ),
    "aws": Vendor(
        settings={
            "type": "aws",
            "region": "eu-central-1",
            "access_key_id": "AKIA" + "A" * 16,
            "secret_access_key": Secret(TOKEN),
        },
        url_settings=("base_url",),
        calls=calls_of(
            "verify_credentials", "fetch_balance", "fetch_number", "fetch_country_permissions", "send_canary"
        ),
        without_permission={"fetch_country_permissions": CountryPermissions(readable=False)},
    ),
    "telnyx": Vendor(
        settings={"type": "telnyx", "api_key": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials", "fetch_balance", "fetch_service_status", "read_page", "send_canary", "fetch_canary"
        ),
    ),
    "sinch": Vendor(
        settings={"type": "sinch", "service_plan_id": "a" * 32, "api_token": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of("verify_credentials", "fetch_service_status", "read_page", "send_canary", "fetch_canary"),
    ),
    "bird": Vendor(
        settings={"type": "bird", "api_key": Secret(f"bk_eu1_{TOKEN}")},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials",
            "fetch_number",
            "fetch_messaging_service",
            "fetch_service_status",
            "read_page",
            "send_canary",
            "fetch_canary",
        ),
    ),
    "http_json": Vendor(
        settings={
            "type": "http_json",
            "credentials": {"key": Secret(TOKEN)},
            "auth": {"kind": "bearer", "token": "{key}"},
            "error": {"when": "code", "code": "to_string(code)"},
            "endpoints": {
                "credentials": {"request": {"path": "/me"}, "ok_when": "account"},
                "account": {"request": {"path": "/me"}, "active_when": "state == 'active'"},
                "balance": {"request": {"path": "/balance"}, "amount": "balance", "currency": "currency"},
                "messages": {
                    "request": {"path": "/messages", "query": {"from": "{from}", "until": "{until}"}},
                    "items": "messages",
                    "fields": {"id": "id", "status": "status", "created_at": "created_at"},
                },
                "message": {"request": {"path": "/messages/{id}"}},
                "send": {
                    "request": {"method": "POST", "path": "/messages", "body": {"to": "{to}", "text": "{text}"}},
                    "message_id": "id",
                },
            },
            "statuses": {"delivered": "delivered"},
        },
        url_settings=("base_url",),
        calls=calls_of(
            "verify_credentials", "fetch_account", "fetch_balance", "read_page", "send_canary", "fetch_canary"
        ),
    ),
    "messagebird": Vendor(
        settings={"type": "messagebird", "access_key": Secret(TOKEN)},
        url_settings=("base_url", "status_page"),
        calls=calls_of(
            "verify_credentials", "fetch_balance", "fetch_service_status", "read_page", "send_canary", "fetch_canary"
        ),
    ),
}

ASKED: Final = [(vendor, call) for vendor, row in VENDORS.items() for call in row.calls]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which a service misbehaves."""

    reason: Reason
    behaviour: stubs.Behaviour | None = None  # None: nobody listens at all
    of_status_page: Reason | None = None  # the reason where a status page does so, when it is another
    tls: bool = False

    def reason_of(self, call: str) -> Reason:
        if call == "fetch_service_status" and self.of_status_page is not None:
            return self.of_status_page
        return self.reason


def refused(status: int, reason: Reason, body: Any = b"<html>no</html>", **headers: str) -> Fault:
    """A status page that refuses says nothing about the service."""
    return Fault(
        reason=reason,
        behaviour=stubs.answer(body, status=status, headers=headers),
        of_status_page=Reason.UNREACHABLE,
    )


def unusable(behaviour: stubs.Behaviour) -> Fault:
    return Fault(reason=Reason.BAD_RESPONSE, behaviour=behaviour, of_status_page=Reason.UNREACHABLE)


KEYS: Final = (
    "balance",
    "currency",
    "status",
    "type",
    "sid",
    "components",
    "incidents",
    "permissions",
    "messages",
    "records",
    "incoming_phone_numbers",
    "usage_records",
)

FAULTS: Final[Mapping[str, Fault]] = {
    "hang": Fault(reason=Reason.TIMEOUT, behaviour=stubs.hang()),
    "drip headers": Fault(reason=Reason.TIMEOUT, behaviour=stubs.drip_headers()),
    "drip body": Fault(reason=Reason.TIMEOUT, behaviour=stubs.drip_body()),
    "nobody listens": Fault(reason=Reason.UNREACHABLE),
    "reset": Fault(reason=Reason.UNREACHABLE, behaviour=stubs.reset()),
    "no answer": Fault(reason=Reason.UNREACHABLE, behaviour=stubs.close_silently()),
    "shorter than announced": Fault(reason=Reason.UNREACHABLE, behaviour=stubs.truncated(b'{"a": 1}')),
    "untrusted certificate": Fault(reason=Reason.TLS_FAILED, behaviour=stubs.answer({}), tls=True),
    "not HTTP": unusable(stubs.send_raw(b"220 smtp.example.com\r\n")),
    "500": refused(500, Reason.PROVIDER_OUTAGE, {"status": 500}),
    "503 HTML": refused(503, Reason.PROVIDER_OUTAGE),
    "401": refused(401, Reason.CREDENTIALS_REJECTED),
    "429": refused(429, Reason.RATE_LIMITED, **{"Retry-After": "1"}),
    "400": refused(400, Reason.BAD_RESPONSE),
    "404 HTML": refused(404, Reason.BAD_RESPONSE),
    "407": refused(407, Reason.BAD_RESPONSE),
    "200 HTML": unusable(stubs.answer(b"<html>welcome</html>")),
    "200 empty": unusable(stubs.answer(b"")),
    "204": unusable(stubs.answer(b"", status=204)),
    "truncated JSON": unusable(stubs.answer(b'{"balance": "1')),
    "deep JSON": unusable(stubs.answer(b"[" * 200_000)),
    "not UTF-8": unusable(stubs.answer(b'{"balance": "\xff"}')),
    "gzip bomb": unusable(stubs.gzip_bomb()),
    "gzip bomb in a bomb": unusable(stubs.gzip_bomb(times=2)),
    "deflate": unusable(stubs.answer(zlib.compress(b"{}"), headers={"Content-Encoding": "deflate"})),
    "br": unusable(stubs.answer(b"\x8b\x00\x80{}\x03", headers={"Content-Encoding": "br"})),
    "not gzip": unusable(stubs.answer(b"{}", headers={"Content-Encoding": "gzip"})),
    "big body": unusable(stubs.big_body(10 << 20)),
    "redirect": unusable(stubs.redirect("https://evil.example.com/")),
    **{
        f"200 {kind}": Fault(reason=Reason.BAD_RESPONSE, behaviour=stubs.answer(body))
        for kind, body in {
            "list": [],
            "list of numbers": [1, 2],
            "number": 5,
            "text": "hello",
            "null": None,
            "true": True,
            "empty object": {},
            "object of one number": {"things": 5},
            "object of one text": {"things": "abc"},
            "object of one null": {"things": None},
            "object of a list of lists": {"things": [[1]]},
            "meta without a list": {"meta": {"key": "things"}},
            "meta that is none": {"meta": 5, "things": []},
            "numbers for everything": dict.fromkeys(KEYS, 7),
            "lone surrogates for everything": dict.fromkeys(KEYS, "\ud800"),
            "control characters for everything": dict.fromkeys(KEYS, "\x00\x1b[31m"),
            "lists of lone surrogates": {key: ["\udfff"] for key in KEYS},
            "lone surrogates for keys": {"\ud800": "\udfff", "things": [{"\udbff": "\ud800"}]},
        }.items()
    },
}


@pytest.fixture(scope="module")
def untrusted() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if not thread.name.startswith("stub")}


def free_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def raised_by(vendor: Vendor, call: str, url: str) -> ProviderError:
    client = vendor.build(url)
    try:
        with pytest.raises(ProviderError) as caught, deadline(DEADLINE_SECONDS):
            vendor.calls[call](client)
    finally:
        client.close()
    return caught.value


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_fault_has_its_reason_at_every_call(
    vendor: str, fault: str, untrusted: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    row = FAULTS[fault]
    calls = VENDORS[vendor].calls
    before = threads()

    def ask(call: str) -> tuple[ProviderError, float]:
        started = time.monotonic()
        return raised_by(VENDORS[vendor], call, url), time.monotonic() - started

    with ExitStack() as stack:
        url = free_url()
        if row.behaviour is not None:
            stub = stack.enter_context(StubServer(tls=untrusted if row.tls else None))
            stub.everywhere(row.behaviour)
            url = stub.url
        with ThreadPoolExecutor(len(calls) if row.reason is Reason.TIMEOUT else 1) as pool:  # who waits costs nothing
            answers = dict(zip(calls, pool.map(ask, calls), strict=True))
    errors = {call: error for call, (error, _) in answers.items()}
    longest = max(took for _, took in answers.values())
    assert {call: error.reason for call, error in errors.items()} == {call: row.reason_of(call) for call in calls}
    assert longest < MOST_SECONDS
    assert threads() == before
    shown = "\n".join([*map(str, errors.values()), *map(repr, errors.values()), caplog.text])
    assert TOKEN not in shown
    assert NUMBER[1:] not in shown


@pytest.mark.parametrize(("vendor", "call"), ASKED)
def test_a_missing_permission_is_told_or_worked_around(vendor: str, call: str) -> None:
    row = VENDORS[vendor]
    with StubServer() as stub:
        stub.everywhere(stubs.answer({"status": 403}, status=403))
        client = row.build(stub.url)
        if call in row.without_permission:
            assert row.calls[call](client) == row.without_permission[call]
        else:
            with pytest.raises(ProviderError) as caught:
                row.calls[call](client)
            is_page = call == "fetch_service_status"
            assert caught.value.reason is (Reason.UNREACHABLE if is_page else Reason.PERMISSION_MISSING)
        client.close()


@pytest.mark.parametrize(("vendor", "call"), ASKED)
def test_an_answer_never_repeats_what_the_vendor_says(vendor: str, call: str) -> None:
    said = {"code": 21999, "message": f"{NUMBER} {TOKEN}", "detail": f"{NUMBER} {TOKEN}", "status": 400}
    with StubServer() as stub:
        stub.everywhere(stubs.answer(said, status=400))
        error = raised_by(VENDORS[vendor], call, stub.url)
    shown = f"{error} {error!r} {error.__dict__}"
    assert NUMBER not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_client_does_not_show_its_secret(vendor: str) -> None:
    client = VENDORS[vendor].build("http://127.0.0.1:1")
    shown = repr(client) + str(client) + repr(VENDORS[vendor].settings)
    client.close()
    assert TOKEN not in shown


def test_every_vendor_has_its_row() -> None:
    assert set(VENDORS) == {vendor for vendor, spec in PROVIDERS.items() if spec.speaks_http}


def protocol_calls() -> Iterator[str]:
    for protocol in (
        CredentialsClient,
        AccountClient,
        BalanceClient,
        CanaryClient,
        ConversionClient,
        SendersClient,
        ServiceStatusClient,
        MessageLogClient,
        ConversionClient,
        CanaryClient,
    ):
        yield from (name for name in vars(protocol) if not name.startswith("_"))


def test_every_call_of_every_protocol_is_in_the_table() -> None:
    assert set(CALLS) == set(protocol_calls())


@pytest.mark.parametrize(("vendor", "call"), ASKED)
def test_a_client_can_do_what_it_is_asked(vendor: str, call: str) -> None:
    assert callable(getattr(PROVIDERS[vendor].client, call))
