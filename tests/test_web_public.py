"""The public listener over real HTTP: what is taken, what is refused, and that an answer means "on disk"."""

import http.server
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import requests

from checks.callbacks import Callback, CallbackOutcome, CallbackRefusedError
from checks.errors import ProviderError
from checks.messages import Receipt, Status
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter.forwarding import Forwarder
from exporter.meters import ForwardOutcome, Meters
from exporter.snapshot import Tally
from exporter.storage import Storage
from exporter.web.connection import Limits
from exporter.web.public import PUBLIC_LIMITS, serve_public
from exporter.web.server import bind
from tests.processes import wait_for
from tests.webhooks import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, event, form, signed_events, signed_form


def client(**callbacks: Any) -> TwilioClient:
    given = {"public_url": PUBLIC_URL, **callbacks}
    return TwilioClient(
        TwilioSettings.model_validate(
            {"type": "twilio", "account_sid": ACCOUNT_SID, "auth_token": Secret(AUTH_TOKEN), "callbacks": given}
        )
    )


@dataclass
class Public:
    """A listener, and what stands behind it."""

    url: str
    path: Path
    storage: Storage
    meters: Meters
    session: requests.Session = field(default_factory=requests.Session)

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "/callbacks/twilio") -> int:
        return self.session.post(f"{self.url}{path}", data=body, headers=headers, timeout=10).status_code

    def post_raw(self, sent: bytes) -> bytes:
        """Return all that is answered until the listener closes."""
        with self.connect() as connection:
            connection.sendall(sent)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def connect(self) -> socket.socket:
        host, port = self.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=10)

    def counted(self) -> dict[str, int]:
        return {outcome.value: n for (_, outcome), n in self.meters.read().callbacks.items() if n}

    def forwarded(self, outcome: ForwardOutcome) -> int:
        return self.meters.read().forwards.get(("twilio", outcome), 0)

    def messages(self) -> dict[str, int]:
        tally = self.storage.snapshot().tallies.get("twilio", Tally())
        return {status.value: total for (_, status), total in tally.messages.items()}


@pytest.fixture
def public(tmp_path: Path) -> Iterator[Public]:
    yield from serving(tmp_path)


def batch(numbers: Sequence[int]) -> tuple[bytes, dict[str, str], str]:
    """Return body, headers and path of events that have just happened."""
    body, query, headers = signed_events([event(n, "DELIVERED", datetime.now(UTC).isoformat()) for n in numbers])
    return body, headers, f"/callbacks/twilio?{query}"


def serving(tmp_path: Path, limits: Limits = PUBLIC_LIMITS, **callbacks: Any) -> Iterator[Public]:
    meters = Meters()
    storage = Storage.open(tmp_path / "x.db", meters)
    clients = MappingProxyType({"twilio": client(**callbacks)})
    with serve_public(bind("127.0.0.1:0"), lambda: clients, storage.messages, meters, time.time, limits) as url:
        running = Public(url, tmp_path / "x.db", storage, meters)
        yield running
        running.session.close()
    storage.close()


def test_an_answer_means_that_the_receipt_is_in_the_database(public: Public) -> None:
    assert public.post(*signed_form(form(1))) == 204
    with sqlite3.connect(public.path) as other:  # another connection sees what is committed, and nothing else
        assert other.execute("SELECT status FROM messages").fetchall() == [("delivered",)]
    other.close()


def test_repeats_disorder_and_replays_count_once(public: Public) -> None:
    for status in ("delivered", "sent", "delivered", "sent", "delivered"):
        assert public.post(*signed_form(form(1, status))) == 204
    assert public.messages() == {"accepted": 1, "sent": 1, "delivered": 1}
    assert public.counted() == {"accepted": 5}


def test_a_batch_of_events_is_taken_on_the_same_path(public: Public) -> None:
    assert public.post(*batch(range(50))) == 204
    assert public.messages()["delivered"] == 50


@pytest.mark.parametrize(
    ("fields", "change", "status", "outcome"),
    [
        (form(), {"X-Twilio-Signature": "AAAA"}, 403, "bad_signature"),
        (form(), {"X-Twilio-Signature": ""}, 403, "unsigned"),
        (form(AccountSid="AC" + "1" * 32), {}, 403, "wrong_account"),
        (form(MessageSid="SM1"), {}, 400, "malformed"),
        (form(1, "a_status_to_come"), {}, 204, "ignored"),
        (form(Padding="x" * 65_536), {}, 413, "too_large"),
    ],
)
def test_what_is_refused_is_counted_by_reason(
    public: Public, fields: Mapping[str, str], change: Mapping[str, str], status: int, outcome: str
) -> None:
    body, headers = signed_form(fields)
    assert public.post(body, {**headers, **change}) == status
    assert public.counted() == {outcome: 1}
    assert public.messages() == {}


def test_nothing_else_is_there(public: Public) -> None:
    body, headers = signed_form(form())
    unknown = ("/callbacks/", "/callbacks/other", "/callbacks/%2e%2e", "/callbacks/twi%256cio")
    for path in ("/", "/metrics", "/callbacks", *unknown):
        answer = public.session.post(f"{public.url}{path}", data=body, headers=headers, timeout=10)
        assert (answer.status_code, answer.content) == (404, b"")
        assert "server" not in answer.headers
    refused = public.session.get(f"{public.url}/callbacks/twilio", timeout=10)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert public.counted() == {"unknown_target": 4}
    assert [target for target, _ in public.meters.read().callbacks] == [""]  # no name from outside becomes a label


def test_the_host_header_changes_nothing(public: Public) -> None:
    body, headers = signed_form(form())
    assert public.post(body, {**headers, "Host": "evil.example", "X-Forwarded-Proto": "http"}) == 204


def test_a_sender_that_trickles_is_cut_off(tmp_path: Path) -> None:
    for public in serving(tmp_path, Limits(request_seconds=0.3)):
        with public.connect() as slow:
            slow.sendall(b"POST /callbacks/twilio HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
            assert slow.recv(100) == b""
        wait_for(lambda: public.counted() == {"incomplete": 1})  # noqa: B023


def test_a_sender_that_goes_away_is_counted_as_such(public: Public) -> None:
    with public.connect() as gone:
        gone.sendall(b"POST /callbacks/twilio HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx")
    wait_for(lambda: public.counted() == {"incomplete": 1})


def test_a_body_that_is_announced_as_too_large_is_not_waited_for(public: Public) -> None:
    answer = public.post_raw(b"POST /callbacks/twilio HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert public.counted() == {"too_large": 1}


def test_a_body_in_chunks_is_limited_too(public: Public) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    head = b"POST /callbacks/twilio HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert public.post_raw(head + 2 * chunk + b"1\r\nx\r\n").startswith(b"HTTP/1.1 413 ")
    assert public.counted() == {"too_large": 1}


def test_more_than_the_database_can_take_is_to_be_sent_again(public: Public) -> None:
    connections: list[socket.socket] = []
    with public.storage._database.lock:  # nothing can be written for a while
        while not public.counted().get("overloaded"):
            assert len(connections) < PUBLIC_LIMITS.connections
            body, headers, path = batch(range(80 * len(connections), 80 * len(connections) + 80))
            lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            connections.append(public.connect())
            connections[-1].sendall("\r\n".join([*lines, "", ""]).encode() + body)
    answers = []
    for connection in connections:
        answers.append(connection.recv(1000))
        connection.close()
    kept = [answer for answer in answers if answer.startswith(b"HTTP/1.1 204 ")]
    turned_away = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
    assert len(kept) + len(turned_away) == len(connections)
    assert all(b"retry-after: 5\r\n" in answer for answer in turned_away)
    assert public.counted() == {"accepted": len(kept), "overloaded": len(turned_away)}
    assert public.messages()["delivered"] == 80 * len(kept)


def test_what_strangers_send_does_not_fill_the_log(public: Public, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = b"GET /callbacks/twilio HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert public.post_raw(b"rubbish\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert public.post_raw(upgrade).startswith(b"HTTP/1.1 405 ")
    assert public.post(*signed_form(form())) == 204
    written = [r for r in caplog.records if r.levelno > logging.INFO]
    assert written == []


def test_when_the_database_cannot_be_written_the_sender_is_to_try_again(public: Public) -> None:
    writer = public.storage._db
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as it does on a full disk
    statuses = set()
    for start in range(0, 2000, 80):
        body, headers, path = batch(range(start, start + 80))
        answer = public.session.post(f"{public.url}{path}", data=body, headers=headers, timeout=10)
        statuses.add((answer.status_code, answer.headers.get("retry-after")))
    assert (503, "5") in statuses
    assert public.counted()["storage_unavailable"] >= 1
    writer.execute("PRAGMA max_page_count = 1000000")
    assert public.post(*signed_form(form(1))) == 204


class App(http.server.BaseHTTPRequestHandler):
    """The application that sends: answers with the next status that it was told."""

    answers: list[int]
    taken: list[tuple[str, bytes, str | None]]
    cookies: list[str | None]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.cookies.append(self.headers["Cookie"])
        status = self.answers.pop(0) if self.answers else 200
        if status < 300:
            self.taken.append((self.path, body, self.headers["X-Twilio-Signature"]))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def app() -> Iterator[tuple[type[App], str]]:
    handler = type("Handler", (App,), {"answers": [], "taken": [], "cookies": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}/hooks/sms"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_genuine_post_is_sent_on_as_it_came_and_again_after_an_error(
    tmp_path: Path, app: tuple[type[App], str]
) -> None:
    handler, url = app
    handler.answers.extend([500])
    for public in serving(tmp_path, forward_to=url):
        body, headers = signed_form(form(1))
        assert public.post(body, headers) == 204
        assert public.post(body, {**headers, "X-Twilio-Signature": "AAAA"}) == 403
        wait_for(lambda: handler.taken)
        assert handler.taken == [("/hooks/sms", body, headers["X-Twilio-Signature"])]
        wait_for(lambda: public.forwarded(ForwardOutcome.TAKEN) == 1)  # noqa: B023


def test_a_refusal_of_the_application_is_final(tmp_path: Path, app: tuple[type[App], str]) -> None:
    handler, url = app
    handler.answers.extend([404])
    for public in serving(tmp_path, forward_to=url):
        assert public.post(*signed_form(form(1))) == 204
        wait_for(lambda: public.forwarded(ForwardOutcome.REFUSED) == 1)  # noqa: B023


def test_an_application_that_is_down_holds_up_nobody(tmp_path: Path) -> None:
    for public in serving(tmp_path, forward_to="http://127.0.0.1:9/hooks"):
        began = time.monotonic()
        for number in range(50):
            assert public.post(*signed_form(form(number))) == 204
        assert time.monotonic() - began < 5


def test_no_address_is_the_end_of_forwarding(app: tuple[type[App], str], caplog: pytest.LogCaptureFixture) -> None:
    handler, url = app
    meters = Meters()
    forwarder = Forwarder(meters)
    forwarder.start()
    for _ in range(20):  # more than there are threads
        forwarder.send("twilio", f"http://{'a' * 70}.example/hooks", "", {}, b"x")
    forwarder.send("twilio", url, "a=1", {"content-type": "text/plain", "cookie": "private"}, b"body")
    wait_for(lambda: handler.taken)
    assert handler.taken == [("/hooks/sms?a=1", b"body", None)]
    assert handler.cookies == [None]
    forwarder.stop()
    dropped = meters.read().forwards["twilio", ForwardOutcome.DROPPED]
    assert dropped == 20  # they were waiting for their second attempt
    assert caplog.records == []


def test_a_defect_is_not_the_end_of_forwarding(app: tuple[type[App], str]) -> None:
    handler, url = app
    forwarder = Forwarder(Meters())
    forwarder.start()
    for _ in range(20):
        forwarder.send("twilio", url, "", {"content-type": "\u0100"}, b"x")  # no byte of a header is like this
    forwarder.send("twilio", url, "", {}, b"body")
    wait_for(lambda: handler.taken)
    forwarder.stop()


class Asking:
    """A client that has to ask before it believes a post, and is not answered before ``release``."""

    takes_callbacks = True
    signed_headers: Sequence[str] = ()
    forward_to = None

    def __init__(self) -> None:
        self.release = threading.Event()

    def has_to_ask(self, callback: Callback) -> bool:
        if callback.body == b"defect":
            raise ZeroDivisionError
        return callback.body == b"ask"

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        if callback.body == b"ask" and not self.release.wait(10):
            raise CallbackRefusedError(CallbackOutcome.UNVERIFIABLE)
        return ()


def test_a_post_for_which_somebody_is_asked_holds_up_no_other(tmp_path: Path) -> None:
    meters, storage = Meters(), Storage.open(tmp_path / "x.db", Meters())
    asking = Asking()
    statuses: list[int] = []

    def post(body: bytes) -> int:
        return requests.post(f"{url}/callbacks/a", data=body, timeout=10).status_code

    with serve_public(bind("127.0.0.1:0"), lambda: {"a": asking}, storage.messages, meters, time.time) as url:
        waiting = threading.Thread(target=lambda: statuses.append(post(b"ask")))
        waiting.start()
        assert [post(b"x"), post(b"defect")] == [204, 204]
        assert statuses == []
        asking.release.set()
        waiting.join()
    storage.close()
    assert statuses == [204]


class Odd:
    """A client that takes queries and raises what it ought not to."""

    takes_callbacks = True
    takes_queries = True
    signed_headers: Sequence[str] = ()
    forward_to = None

    def has_to_ask(self, callback: Callback) -> bool:
        if callback.body == b"asking":
            raise ProviderError(Reason.CREDENTIALS_REJECTED, "no key")
        return False

    def read_callback(self, callback: Callback) -> Sequence[Receipt]:
        if callback.body == b"defect":
            raise ZeroDivisionError
        raise ProviderError(Reason.CREDENTIALS_REJECTED, "no key")


def test_whatever_a_client_raises_is_answered() -> None:
    meters, storage, odd = Meters(), Storage.in_memory(Meters()), Odd()
    with serve_public(bind("127.0.0.1:0"), lambda: {"a": odd}, storage.messages, meters, time.time) as url:
        path = f"{url}/callbacks/a"
        posts = [requests.post(path, data=body, timeout=10).status_code for body in (b"x", b"defect", b"asking")]
        assert posts == [500, 500, 500]
        refused = requests.put(path, data=b"x", timeout=10)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST")
    storage.close()
    assert meters.read().callbacks["a", CallbackOutcome.INTERNAL] == 3


def test_every_outcome_starts_at_0() -> None:
    meters = Meters()
    meters.expect_callbacks("twilio")
    outcomes = {outcome for target, outcome in meters.read().callbacks if target == "twilio"}
    assert outcomes == set(CallbackOutcome) - {CallbackOutcome.UNKNOWN_TARGET}


def test_posts_side_by_side_share_commits_and_all_are_kept(public: Public) -> None:
    def send(start: int) -> None:
        with requests.Session() as session:
            for number in range(start, start + 50):
                body, headers = signed_form(form(number))
                assert session.post(f"{public.url}/callbacks/twilio", data=body, headers=headers, timeout=10).ok

    threads = [threading.Thread(target=send, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert public.messages()[Status.DELIVERED.value] == 400
