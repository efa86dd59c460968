"""The support page and its API over real HTTP: who may ask, what is understood, and what never leaves."""

import asyncio
import hmac
import json
import logging
import re
import socket
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
import requests
import yaml
from starlette.types import Message, Scope

from checks.back_office import Client, ClientPage, ClientPhone, Method
from checks.errors import UnreachableError
from checks.reason import Reason
from checks.result import CheckResult, CheckRun
from exporter.app import App
from exporter.demo import write_sandbox_config
from exporter.diagnosing import Known
from exporter.logs import LogFormat, LogLevel, configure
from exporter.meters import DiagnosisOutcome, Meters
from exporter.sandbox.clients import Clients
from exporter.sandbox.server import Sandbox
from exporter.storage import Storage
from exporter.web import access
from exporter.web.guards import SECURITY_HEADERS
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind

TOKEN = "a-tökeн with 3 words"
API = "/api/v1/diagnose"
PAGES = ("/diagnose", API)
FORM = {"subject": "client", "value": "5"}
FORM_TYPE = "application/x-www-form-urlencoded"
UNCONFIRMED = Clients(seed=1).persona("unconfirmed")


class AnsweringApp(App):
    """The real one, whose back offices a test can change."""

    offices: Mapping[str, Any] | None = None

    def known(self) -> Known:
        known = super().known()
        return known if self.offices is None else replace(known, clients=self.offices)


@dataclass(frozen=True)
class Support:
    """A running exporter, and how to ask it."""

    url: str
    app: AnsweringApp
    counted_before: Mapping[DiagnosisOutcome, int]

    def show(self, **options: Any) -> requests.Response:
        return requests.get(f"{self.url}/diagnose", timeout=20, **options)

    def ask(self, form: Mapping[str, str] | bytes = FORM, **options: Any) -> requests.Response:
        headers = {"Content-Type": FORM_TYPE} | options.pop("headers", {})
        return requests.post(f"{self.url}/diagnose", data=form, headers=headers, timeout=20, **options)

    def call(self, body: object, **options: Any) -> requests.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | options.pop("headers", {})
        return requests.post(f"{self.url}{API}", data=raw, headers=headers, timeout=20, **options)

    def counted(self) -> Mapping[str, int]:
        """How many questions came to what in this test; without those of which there were none."""
        after = self.app.meters.read().diagnoses
        came = {outcome.value: count - self.counted_before[outcome] for outcome, count in after.items()}
        return {outcome: count for outcome, count in came.items() if count}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnsweringApp]:
    """One for all tests: the back office allows few sign-ins a minute."""
    path = tmp_path_factory.mktemp("exporter") / "twofa-exporter.yml"
    with Sandbox(history_hours=0, speed=0) as sandbox:
        write_sandbox_config(sandbox, path)
        meters = Meters()
        running = AnsweringApp.load(path, lambda: Storage.in_memory(meters), meters)
        try:
            yield running
        finally:
            running.stop()


def configure_diagnose(app: App, **settings: object) -> None:
    """Put a section ``diagnose`` in force."""
    path = app.config_path
    if "token" in settings:
        token_file = path.with_name("diagnose.token")
        token_file.write_text(str(settings["token"]), encoding="utf-8")
        settings["token"] = {"file": token_file.name}
    before = yaml.safe_load(path.read_text())
    after = before | {"diagnose": settings}
    if after != before:
        path.write_text(yaml.safe_dump(after))
        assert app.reload() == ()


@contextmanager
def supporting(app: AnsweringApp, **settings: object) -> Iterator[Support]:
    """Serve pages whose limit of questions is not used up by other tests."""
    configure_diagnose(app, **settings)
    with ThreadedServer(build_internal(app), bind("127.0.0.1:0")) as server:
        yield Support(server.url, app, app.meters.read().diagnoses)


@pytest.fixture(scope="module")
def url(app: AnsweringApp) -> Iterator[str]:
    with ThreadedServer(build_internal(app), bind("127.0.0.1:0")) as server:
        yield server.url


@pytest.fixture
def support(app: AnsweringApp, url: str) -> Iterator[Support]:
    configure_diagnose(app, requests_per_minute=600)
    yield Support(url, app, app.meters.read().diagnoses)
    app.offices = None
    app.storage.keep_only({})
    app.storage.keep_only({check.name: (check.kind_name, check.target) for check in app.config.checks.values()})


@pytest.fixture
def guarded(app: AnsweringApp) -> Iterator[Support]:
    """One with a token, to whom no wrong one has been sent yet."""
    with supporting(app, requests_per_minute=600, token=TOKEN) as support:
        yield support


def basic(password: str, user: str = "anybody") -> Mapping[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


# --- answers ---------------------------------------------------------------------------------------


def test_the_form_is_shown_on_loopback_without_a_token(support: Support) -> None:
    page = support.show()
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<h1>Why does a client get no code?</h1>" in page.text
    assert support.counted() == {}


@pytest.mark.parametrize(
    ("client", "reason"),
    [("4", "client_2fa_disabled"), ("5", "client_phone_unconfirmed"), ("no-such", "client_unknown")],
)
def test_page_and_api_give_the_same_answer(support: Support, client: str, reason: str) -> None:
    page = unescape(support.ask({"subject": "client", "value": client}).text)
    answer = support.call({"client": client})
    first = answer.json()["findings"][0]
    assert (first["reason"], answer.headers["diagnosis-reason"]) == (reason, reason)
    assert first["title"] == Reason(reason).row.title
    assert f"<h1>{first['title']}</h1>" in page
    assert f'<span class="kind">{reason}</span>' in page
    assert first["next_step"] in page
    assert first["runbook"] == f"/runbooks/{reason}"
    assert f'<a href="{first["runbook"]}">' in page
    assert [line["text"] in page for line in first["evidence"]] == [True] * len(first["evidence"])
    assert support.counted() == {"answered": 2}


def test_a_number_may_be_written_as_people_write_it(support: Support) -> None:
    number = UNCONFIRMED.number
    plain = support.ask({"subject": "phone", "value": number})
    written = f" \u202a{number[:3]} ({number[3:5]})\u00a0{number[5:7]}\u2011{number[7:]}\u202c "
    as_written = support.ask({"subject": "phone", "value": written})
    assert (plain.status_code, as_written.status_code) == (200, 200)
    assert '<span class="kind">client_phone_unconfirmed</span>' in plain.text
    assert '<span class="kind">client_phone_unconfirmed</span>' in as_written.text


def test_what_the_client_says_of_the_device_is_heard(support: Support) -> None:
    by_form = support.ask({"subject": "client", "value": "2", "device_lost": "yes"})
    by_api = support.call({"client": "2", "device_lost": True})
    assert '<span class="kind">device_lost</span>' in by_form.text
    assert by_api.json()["findings"][0]["reason"] == "device_lost"


@pytest.mark.parametrize(
    ("code", "reason"),
    [({"step": None, "tried": 480}, "secret_mismatch"), ({"step": -3, "tried": 480}, "device_clock_skewed")],
)
def test_a_program_can_tell_at_which_step_a_code_matched(
    support: Support, code: Mapping[str, object], reason: str
) -> None:
    answer = support.call({"client": "2", "code": code})
    assert reason in [finding["reason"] for finding in answer.json()["findings"]]


@pytest.mark.parametrize(
    ("accept", "media_type", "start"),
    [
        ("", "application/json", "{"),
        ("*/*", "application/json", "{"),
        ("text/html", "application/json", "{"),
        ("application/json, text/plain, */*", "application/json", "{"),  # what axios sends
        ("text/plain", "text/plain; charset=utf-8", "About the client"),
        ("Text/Markdown; q=0.9, application/json; q=0.1", "text/markdown; charset=utf-8", "**Why "),
    ],
)
def test_a_program_gets_the_format_that_it_names_first(
    support: Support, accept: str, media_type: str, start: str
) -> None:
    answer = support.call({"client": "5"}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.headers["vary"] == "Accept"
    assert answer.text.startswith(start)


def test_a_lookup_is_offered_only_where_one_may_be_paid_for(app: AnsweringApp) -> None:
    offered = []
    for most in (0, 3):
        with supporting(app, max_lookups_per_day=most) as support:
            offered.append('name="look_up"' in support.show().text)
    assert offered == [False, True]


# --- who may ask -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Raw:
    """What an application sent."""

    status: int
    body: str


def ask_at(app: App, server: tuple[str, int | None] | None, method: str, path: str, headers: Mapping[str, str]) -> Raw:
    """Ask the application as if it listened on an address that tests do not open."""
    sent: list[Message] = []
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": server,
        "client": ("203.0.113.9", 40000),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"subject=client&value=5", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(build_internal(app)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return Raw(sent[0]["status"], body.decode())


@pytest.mark.parametrize(
    "server",
    [("192.0.2.7", 10687), ("2001:db8::7", 10687), ("::ffff:127.0.0.1", 10687), ("/run/exporter.sock", None), None],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/diagnose"), ("POST", "/diagnose"), ("POST", API)])
def test_without_a_token_nothing_is_said_beyond_loopback(
    support: Support, server: tuple[str, int | None] | None, method: str, path: str
) -> None:
    refused = ask_at(support.app, server, method, path, {"Host": "192.0.2.7", "Content-Type": FORM_TYPE})
    assert refused.status == 403
    assert "diagnose.token is not configured" in refused.body
    assert support.counted() == {"unauthorized": 1}


@pytest.mark.parametrize("server", [("127.0.0.1", 10687), ("127.8.9.1", 10687), ("::1", 10687)])
def test_loopback_is_known_by_the_address_that_was_asked(support: Support, server: tuple[str, int]) -> None:
    answer = ask_at(support.app, server, "POST", "/diagnose", {"Host": "localhost", "Content-Type": FORM_TYPE})
    assert (answer.status, "client_phone_unconfirmed" in answer.body) == (200, True)


def test_a_name_that_somebody_made_resolve_to_loopback_is_refused_whatever_the_listener(support: Support) -> None:
    """A listener on all addresses answers on 127.0.0.1 too, and the Host header is not checked for it elsewhere."""
    headers = {"Host": "rebound.example:10687", "Content-Type": FORM_TYPE, "Sec-Fetch-Site": "same-origin"}
    refused = ask_at(support.app, ("127.0.0.1", 10687), "POST", "/diagnose", headers)
    assert (refused.status, "client_phone_unconfirmed" in refused.body) == (403, False)


@pytest.mark.parametrize(
    "headers",
    [
        basic(TOKEN),
        basic(TOKEN, user=""),
        basic(TOKEN, user="søren"),
        {"Authorization": f"Bearer {TOKEN}".encode()},
        {"Authorization": f"bEARER   {TOKEN}".encode()},
    ],
)
def test_the_token_opens_page_and_api(guarded: Support, headers: Mapping[str, Any]) -> None:
    assert guarded.show(headers=headers).status_code == 200
    assert guarded.ask(headers=headers).status_code == 200
    assert guarded.call({"client": "5"}, headers=headers).status_code == 200
    assert guarded.counted() == {"answered": 2}


WRONG: Sequence[Mapping[str, Any]] = (
    {},
    {"Authorization": ""},
    {"Authorization": "Basic"},
    {"Authorization": "Basic "},
    {"Authorization": "Basic ****"},
    {"Authorization": "Basic YWJj="},
    {"Authorization": b"Basic \xff\xfe"},
    {"Authorization": f"Basic {b64encode(TOKEN.encode()).decode()}"},  # no colon
    basic(""),
    basic(TOKEN[:-1]),
    basic(f"{TOKEN} "),
    basic(TOKEN.upper()),
    basic("wrong", user=TOKEN),
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Digest {TOKEN}".encode()},
    {"Authorization": TOKEN.encode()},
    {"Authorization": b"Bearer \xff\xfe"},
)


@pytest.mark.parametrize("headers", WRONG, ids=range(len(WRONG)))
def test_anything_else_is_asked_for_the_password_and_told_nothing(
    guarded: Support, headers: Mapping[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        guarded.show(headers=headers),
        guarded.ask(headers=headers),
        guarded.call({"client": "5"}, headers=headers),
    ]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Basic realm="twofa-exporter", charset="UTF-8"'
        assert "client_phone_unconfirmed" not in answer.text
        assert TOKEN not in answer.text
    assert guarded.counted() == {"unauthorized": 3}
    assert TOKEN not in caplog.text


def test_tokens_are_compared_in_constant_time(guarded: Support, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def spying(given: bytes, expected: bytes) -> bool:
        compared.append((given, expected))
        return compare(given, expected)

    monkeypatch.setattr(hmac, "compare_digest", spying)
    statuses = [guarded.show(headers=basic(password)).status_code for password in ("wrong", TOKEN)]
    assert statuses == [401, 200]
    assert compared == [(b"wrong", TOKEN.encode()), (TOKEN.encode(), TOKEN.encode())]


def test_after_ten_wrong_passwords_in_a_minute_the_next_wrong_ones_are_told_to_wait(
    app: AnsweringApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with supporting(app, requests_per_minute=600, token=TOKEN) as support:
        not_given = [support.show().status_code for _ in range(12)]  # what a browser does first
        wrong = [support.show(headers=basic("wrong")).status_code for _ in range(10)]
        limited = [support.show(headers=basic("wrong")), support.ask(headers=basic("wrong"))]
        limited.append(support.call({"client": "5"}, headers=basic("wrong")))
        right = support.show(headers=basic(TOKEN)).status_code
        without = support.show().status_code
        counted = support.counted()
        monkeypatch.setattr(access, "_WINDOW_SECONDS", 0.0)
        later = support.ask(headers=basic(TOKEN)).status_code
    assert (not_given, wrong) == ([401] * 12, [401] * 10)
    for answer in limited:
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "too many wrong passwords; ask again in " in answer.text
        assert "<form" not in answer.text
        assert "client_phone_unconfirmed" not in answer.text
    assert (right, without, later) == (200, 401, 200)
    assert counted == {"unauthorized": 23, "rate_limited": 3}
    refusals = [record for record in caplog.records if record.getMessage() == "diagnosis refused"]
    assert len(refusals) == 26
    assert "wrong'" not in str([vars(record) for record in refusals])


@pytest.mark.parametrize(
    "name", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"]
)
def test_what_a_proxy_hands_on_does_not_come_from_this_machine(support: Support, name: str) -> None:
    headers = {name: "127.0.0.1"}
    for answer in (
        support.show(headers=headers),
        support.ask(headers=headers),
        support.call({"client": "5"}, headers=headers),
    ):
        assert (answer.status_code, "client_phone_unconfirmed" in answer.text) == (403, False)
    assert support.counted() == {"unauthorized": 3}


def test_who_has_the_token_may_ask_through_a_proxy(guarded: Support) -> None:
    headers = {**basic(TOKEN), "X-Forwarded-For": "203.0.113.9"}
    assert guarded.ask(headers=headers).status_code == 200


@pytest.mark.parametrize("token", ["", "short", "x" * 15])
def test_a_token_that_is_easily_guessed_is_not_accepted(app: AnsweringApp, token: str) -> None:
    path = app.config_path
    before = path.read_text()
    path.with_name("guessed").write_text(token)
    try:
        path.write_text(yaml.safe_dump(yaml.safe_load(before) | {"diagnose": {"token": {"file": "guessed"}}}))
        assert app.reload() != ()
    finally:
        path.write_text(before)
        assert app.reload() == ()


CROSS_SITE: Sequence[Mapping[str, str]] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
)


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_page_of_another_site_cannot_ask(support: Support, headers: Mapping[str, str]) -> None:
    for answer in (support.ask(headers=headers), support.call({"client": "5"}, headers=headers)):
        assert (answer.status_code, "client_phone_unconfirmed" in answer.text) == (403, False)
    assert support.counted() == {"unauthorized": 2}


def test_a_page_of_another_site_cannot_ask_with_the_password_that_the_browser_adds(guarded: Support) -> None:
    headers = {**basic(TOKEN), "Sec-Fetch-Site": "cross-site"}
    assert guarded.ask(headers=headers).status_code == 403


def test_a_link_of_another_site_leads_to_the_empty_form(support: Support) -> None:
    assert support.show(headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_our_own_page_can_ask(support: Support) -> None:
    assert support.ask(headers={"Sec-Fetch-Site": "same-origin", "Origin": support.url}).status_code == 200


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_any_other_method_is_refused(support: Support, path: str, method: str) -> None:
    refused = requests.request(method, support.url + path, timeout=20)
    assert refused.status_code == 405
    allowed = set(refused.headers["allow"].split(", "))
    assert allowed == ({"GET", "HEAD", "POST"} if path == "/diagnose" else {"POST"})


def test_the_api_is_not_read_and_the_page_answers_head_without_a_body(support: Support) -> None:
    statuses = [requests.request(method, support.url + API, timeout=20).status_code for method in ("GET", "HEAD")]
    assert statuses == [405, 405]
    head = requests.head(f"{support.url}/diagnose", timeout=20)
    assert (head.status_code, head.content) == (200, b"")


# --- what is understood ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        (b"", 400, "choose what to ask about"),
        (b"subject=client", 400, "give one of"),
        (b"subject=client&value=", 400, "give one of"),
        (b"subject=client&value=%20%20", 400, "give one of"),
        (b"subject=client&value=a%20b", 400, "a client&#39;s id has up to 64"),
        (b"subject=client&value=a%00b", 400, "a client&#39;s id has up to 64"),
        (b"subject=client&value=" + b"9" * 65, 400, "a client&#39;s id has up to 64"),
        (b"subject=phone&value=5550100", 400, "a phone number must be in E.164"),
        ("subject=phone&value=+١٤١٥٥٥٥٠١٠٠".encode(), 400, "the form cannot be read"),
        (b"subject=phone&value=%2B%D9%A1%D9%A4%D9%A1%D9%A5%D9%A5%D9%A5%D9%A5%D9%A0", 400, "a phone number must be"),
        (b"subject=message&value=a%0Ab", 400, "a message id has up to 64"),
        (b"subject=is_device_lost&value=1", 400, "choose what to ask about"),
        (b"subject=client&value=%FF%FE", 400, "the form cannot be read"),
        (b"subject=client&value=\xff", 400, "the form cannot be read"),
        (b"subject=client&value=5&code=123456", 400, "the form has fields that are not asked for"),
        (b"subject=client&value=5&a=1&b=2&c=3", 400, "the form cannot be read"),
        (b"value=5&" * 1000, 400, "the form cannot be read"),
        (b"subject=client&value=" + b"%35" * 6000, 413, "the body must be 16 KiB at the most"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_a_form_that_is_none_of_ours_is_refused_in_words(
    support: Support, form: bytes, status: int, words: str
) -> None:
    refused = support.ask(form)
    assert refused.status_code == status
    assert f"{words[:1].upper()}{words[1:]}" in refused.text
    assert 'role="alert"' in refused.text
    assert support.counted() == {"malformed": 1}


def test_a_message_that_no_provider_has_is_told_so(support: Support) -> None:
    unknown = f"SM{'9' * 32}"
    page = support.ask({"subject": "message", "value": unknown})
    answer = support.call({"message": unknown})
    assert (page.status_code, answer.status_code) == (404, 404)
    assert "No provider here has a message of this id." in page.text
    assert 'role="alert"' in page.text
    assert answer.json() == {"error": "no provider here has a message of this id"}
    assert unknown not in page.text
    assert support.counted() == {"malformed": 2}


def test_each_refusal_leaves_one_line_with_its_kind_alone(support: Support, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    support.call({"client": "jane@example.com"})
    (line,) = (record for record in caplog.records if record.getMessage() == "diagnosis refused")
    known = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    told = {name: value for name, value in vars(line).items() if name not in known}
    assert told == {"outcome": "malformed", "status": 400}


DEEP = b'{"client":' + b"[" * 8000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"null", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"client": 5}', 400),
        (b'{"client": null}', 400),
        (b'{"client": "5", "phone": "+14155550100"}', 400),
        (b'{"client": "5", "secret": "x"}', 400),
        (b'{"client": "5", "device_lost": "yes"}', 400),
        (b'{"client": "5", "code": "123456"}', 400),
        (b'{"client": "5", "code": {"step": 1, "tried": 0}}', 400),
        (b'{"client": "5", "code": {"step": 9, "tried": 3}}', 400),
        (b'{"client": "5", "code": {"step": null, "tried": 239}}', 400),
        (b'{"client": "5", "code": {"step": -241, "tried": 240}}', 400),
        (b'{"client": "5", "code": {"step": 1, "tried": 1000001}}', 400),
        (b'{"client": "jane@example.com"}', 400),
        (b'{"client": "../admin"}', 400),
        (b'{"client": "5", "code": {"step": 1, "tried": 1e9}}', 400),
        (b'{"client": "5", "code": {"step": 1, "tried": ' + b"9" * 400 + b"}}", 400),
        (b'{"client": "5", "code": {"step": 1, "tried": 3, "secret": "x"}}', 400),
        (b'{"client": "5"', 400),
        (b'{"client": "\xff"}', 400),
        (b'{"client": "\\ud800"}', 400),
        (b'{"message": "a b"}', 400),
        (DEEP, 400),
        (b'{"client": "5"' + b" " * 17_000 + b"}", 413),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_a_body_that_is_none_of_ours_is_refused_in_words(support: Support, body: bytes, status: int) -> None:
    refused = support.call(body)
    assert refused.status_code == status
    assert list(refused.json()) == ["error"]
    assert support.counted() == {"malformed": 1}


@pytest.mark.parametrize("type_", ["", "text/plain", "multipart/form-data; boundary=x", "application/json2"])
def test_a_body_of_another_kind_is_refused(support: Support, type_: str) -> None:
    headers = {"Content-Type": type_}
    assert support.ask(headers=headers).status_code == 415
    assert support.call({"client": "5"}, headers=headers).status_code == 415
    assert support.counted() == {"malformed": 2}


def test_a_body_that_never_ends_is_dropped_at_the_limit(support: Support) -> None:
    host, port = support.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST {API} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        connection.sendall(b"5000\r\n" + b" " * 0x5000 + b"\r\n")  # and no last part
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


# --- how much --------------------------------------------------------------------------------------


def test_questions_are_limited_over_page_and_api_together(app: AnsweringApp) -> None:
    with supporting(app, requests_per_minute=2) as support:
        malformed = support.ask({"subject": "client"})
        answered = [support.ask(), support.call({"client": "5"})]
        limited = [support.ask(), support.call({"client": "5"})]
        form = support.show()
        counted = support.counted()
        metrics = requests.get(f"{support.url}/metrics", timeout=20).text
    assert malformed.status_code == 400  # and does not count
    assert [answer.status_code for answer in answered] == [200, 200]
    assert [answer.status_code for answer in limited] == [429, 429]
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in limited)
    assert "Too many questions; ask again in " in limited[0].text
    assert limited[1].json()["error"].startswith("too many questions; ask again in ")
    assert form.status_code == 200
    assert counted == {"malformed": 1, "answered": 2, "rate_limited": 2}
    for outcome, count in app.meters.read().diagnoses.items():
        assert f'twofa_exporter_diagnoses_total{{outcome="{outcome}"}} {float(count)}\n' in metrics


def test_the_limit_ends_after_a_minute(app: AnsweringApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_WINDOW_SECONDS", 0.5)
    with supporting(app, requests_per_minute=1) as support:
        statuses = [support.ask().status_code for _ in range(2)]
        asyncio.run(asyncio.sleep(0.5))
        statuses.append(support.ask().status_code)
    assert statuses == [200, 429, 200]


def test_who_may_not_ask_does_not_use_up_the_questions(app: AnsweringApp) -> None:
    with supporting(app, requests_per_minute=1, token=TOKEN) as support:
        refused = [support.ask(headers=basic("wrong")).status_code for _ in range(3)]
        answered = support.ask(headers=basic(TOKEN)).status_code
    assert (refused, answered) == ([401] * 3, 200)


# --- what never leaves -----------------------------------------------------------------------------

ASKED = ("904711588", "+14155559933", "SM0123456789abcdef0123456789abcdef")


def test_what_is_asked_is_in_no_log_line_and_comes_back_in_no_page(
    support: Support, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = []
    for subject, value in zip(("client", "phone", "message"), ASKED, strict=True):
        answers += [support.ask({"subject": subject, "value": value}), support.call({subject: value})]
        answers.append(support.ask({"subject": subject, "value": f"{value} €"}))
        answers.append(support.call({subject: f"{value} €"}))
    ours = [record for record in caplog.records if record.name.startswith(("exporter", "checks", "uvicorn"))]
    assert {"diagnosis", "diagnosis refused", "request"} <= {record.getMessage() for record in ours}
    logged = "\n".join(str(vars(record)) for record in ours)
    for value in ASKED:
        told = [answer.text for answer in answers] + [str(answer.headers) for answer in answers]
        assert [text for text in [logged, *told] if value.removeprefix("+") in text] == []
    assert {answer.url for answer in answers} == {f"{support.url}{path}" for path in PAGES}


def test_the_log_as_it_is_written_says_nothing_of_whom_was_asked_about(
    support: Support, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure(LogLevel.DEBUG, LogFormat.LOGFMT)
        for subject, value in zip(("client", "phone", "message"), ASKED, strict=True):
            support.call({subject: value})
    finally:
        root.handlers[:], root.level = before, level
    written = capfd.readouterr().err
    assert {"msg=diagnosis", "msg=request"} <= set(written.split())
    assert [value for value in ASKED if value.removeprefix("+") in written] == []


def test_each_answer_leaves_one_line_with_kind_and_reason_and_nothing_personal(
    support: Support, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = UNCONFIRMED
    support.ask({"subject": "client", "value": str(client.id)})
    support.ask({"subject": "client", "value": ""})
    (line,) = (record for record in caplog.records if record.getMessage() == "diagnosis")
    known = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    told = {name: value for name, value in vars(line).items() if name not in known}
    assert {"subject": "client", "reason": "client_phone_unconfirmed"}.items() <= told.items()
    assert set(told) == {"subject", "reason", "findings", "missing"}
    assert client.number not in str(vars(line))


def test_a_number_is_masked_in_the_answer(support: Support) -> None:
    number = UNCONFIRMED.number
    answers = [support.ask({"subject": "phone", "value": number}), support.ask(), support.call({"phone": number})]
    for answer in answers:
        assert answer.status_code == 200
        assert f"{number[:3]}*" in answer.text or f"{number[:3]}…" in answer.text
        assert number[3:] not in answer.text


def test_every_answer_has_the_security_headers_and_may_only_send_its_own_form(guarded: Support) -> None:
    policy = SECURITY_HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'")
    allowed = basic(TOKEN)
    expected = {**SECURITY_HEADERS, "Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}
    for page in (guarded.show(headers=allowed), guarded.ask(headers=allowed), guarded.ask({}, headers=allowed)):
        assert {name: page.headers[name] for name in expected} == expected
        assert "<script" not in page.text
        assert "style=" not in page.text
    for other in (guarded.show(), guarded.ask(), guarded.call({"client": "5"}, headers=allowed)):
        assert {name: other.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS


# --- hostile text ----------------------------------------------------------------------------------

HOSTILE = "</textarea><script>alert(1)</script><img src=x onerror='alert(2)'>\"{{7*7}}"


class HostileOffice:
    """A back office whose every text is an attack."""

    def read_clients(self, *, resume: str | None, limit: int) -> ClientPage:
        raise NotImplementedError

    def fetch_client(self, client_id: str) -> Client | None:
        if client_id == "fails":
            raise UnreachableError(HOSTILE)
        phones = (ClientPhone(number="", is_confirmed=False),)
        return Client(methods={Method.SMS: True}, phones=phones, unreadable=(HOSTILE,))

    def find_clients(self, number: str) -> Sequence[str]:
        return [HOSTILE]


def record(app: App, name: str, detail: str) -> None:
    """Let a check have failed in words of a vendor's."""
    check = app.config.checks[name]
    now = datetime.now(UTC)
    result = CheckResult(reason=Reason.PROVIDER_DISABLED, detail=detail)
    app.storage.record(
        CheckRun(
            check=name,
            kind=check.kind_name,
            target=check.target,
            result=result,
            started_at=now,
            finished_at=now,
            duration_seconds=0.1,
        )
    )


def elements(page: str) -> set[str]:
    return set(re.findall(r"<([a-z0-9]+)[\s>]", page))


@pytest.mark.parametrize("client", ["1", "fails"])
def test_what_a_back_office_says_is_shown_as_text(support: Support, client: str) -> None:
    record(support.app, "enablement", "twilio-main is off")
    harmless = elements(support.ask().text)
    support.app.offices = {"office": HostileOffice()}
    record(support.app, "enablement", HOSTILE)
    page = support.ask({"subject": "client", "value": client})
    assert page.status_code == 200
    assert unescape(page.text).count("{{7*7}}") >= 2  # what the office says, and what the check says
    assert HOSTILE not in page.text
    assert elements(page.text) <= harmless
    assert page.text.count("</textarea>") == 1


@pytest.mark.parametrize("field", ["subject", "value", "device_lost", "look_up", "other"])
@pytest.mark.parametrize("subject", ["client", "phone", "message"])
def test_what_is_sent_in_a_field_is_never_shown(support: Support, subject: str, field: str) -> None:
    answer = support.ask({"subject": subject, "value": "5", field: HOSTILE})
    assert "alert" not in answer.text.replace('role="alert"', "")
    assert "49" not in answer.text.partition("<main>")[2].partition("</main>")[0].replace("+14155550100", "")


def test_settings_are_those_of_the_configuration_in_force(app: AnsweringApp) -> None:
    with supporting(app, requests_per_minute=1) as support:
        limited = [support.ask().status_code for _ in range(2)]
        configure_diagnose(app, requests_per_minute=5)
        again = support.ask().status_code
        configure_diagnose(app, token=TOKEN)
        without_token = support.ask().status_code
    assert (limited, again, without_token) == ([200, 429], 200, 401)
