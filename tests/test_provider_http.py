"""The transport: what it sends, what it refuses to send, and how long anything may take."""

import gzip
import json
import logging
import re
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.errors import (
    BadResponseError,
    DeadlineExceededError,
    ProviderError,
    TLSFailedError,
    UnreachableError,
)
from checks.providers.http import OUTCOMES, Http, Reply, deadline, origin_of, reason_for_status
from checks.providers.limiter import RateLimiter, parse_retry_after
from checks.reason import Reason
from tests import stub_server as stubs
from tests.stub_server import StubServer

CANARY_NUMBER = "+4915112345678"
CANARY_TOKEN = "canary-token-2b1946"


class Outcomes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def request_done(self, outcome: str) -> None:
        self.seen.append(outcome)

    def code_unmapped(self, code: str) -> None:
        raise NotImplementedError

    def message_unreadable(self) -> None:
        raise NotImplementedError


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture(scope="module")
def shared_stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def http(stub: StubServer, outcomes: Outcomes) -> Iterator[Http]:
    client = Http({"api.example.com": stub.url}, timeout_seconds=5, observer=outcomes)
    yield client
    client.close()


def test_a_request_arrives_as_asked(stub: StubServer, http: Http, outcomes: Outcomes) -> None:
    stub.on("/v1/things", stubs.answer({"things": []}))
    reply = http.request(
        "POST",
        "https://api.example.com/v1/things?Page=1",
        params={"To": CANARY_NUMBER},
        data={"Body": "hallo"},
        headers={"Accept": "application/json"},
        auth=("AC1", "geheim ü"),
    )
    (request,) = stub.requests
    assert (request.method, request.path, request.body) == ("POST", "/v1/things", b"Body=hallo")
    assert request.query == {"Page": ["1"], "To": [CANARY_NUMBER]}
    assert request.basic_auth == ("AC1", "geheim ü")
    assert request.headers["host"] == stub.netloc
    assert request.headers["user-agent"] == "twofa-exporter"
    assert request.headers["accept-encoding"] == "gzip"
    assert (reply.status, reply.json(), reply.headers["content-type"]) == (200, {"things": []}, "application/json")
    assert outcomes.seen == ["ok"]


def test_an_origin_may_have_a_path_and_may_be_asked_under_its_own_name(stub: StubServer) -> None:
    stub.default = stubs.answer({})
    http = Http({"api.example.com": f"{stub.url}/twilio"}, timeout_seconds=5)
    http.request("GET", "https://api.example.com/v1")
    http.request("GET", f"{stub.url}/twilio/v1?page=2")
    http.close()
    assert [request.target for request in stub.requests] == ["/twilio/v1", "/twilio/v1?page=2"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/v1",
        "https://api.example.com.evil.com/v1",
        "https://api.example.com@evil.com/v1",
        "https://user@api.example.com/v1",
        "https://api.example.com\\@evil.com/v1",
        "https://api.example.com:444/v1",
        "//api.example.com/v1",
        "ftp://api.example.com/v1",
        "/v1",
        "",
        "https://[::1/v1",
    ],
)
def test_no_other_host_is_ever_called(stub: StubServer, http: Http, url: str) -> None:
    with pytest.raises(BadResponseError, match=r"^refused to call "):
        http.request("GET", url, auth=("AC1", CANARY_TOKEN))
    assert stub.connections == 0


def test_gzip_is_unpacked(stub: StubServer, http: Http) -> None:
    stub.default = stubs.gzipped({"a": "b" * 1000})
    assert http.request("GET", "https://api.example.com/").json() == {"a": "b" * 1000}


def test_a_body_up_to_the_limit_is_read(stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer(b" " * 100_000)
    assert len(http.request("GET", "https://api.example.com/", body_limit_bytes=100_000).body) == 100_000
    with pytest.raises(BadResponseError, match=r"^the answer is too large$"):
        http.request("GET", "https://api.example.com/", body_limit_bytes=99_999)


def test_connections_are_used_again(stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer({})
    for _ in range(5):
        http.request("GET", "https://api.example.com/")
    assert (len(stub.requests), stub.connections) == (5, 1)


def test_ten_threads_share_one_client(stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer_by(lambda request: request.query)

    def ask(number: int) -> object:
        with deadline(5):
            return http.request("GET", "https://api.example.com/", params={"n": number}).json()

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(200)))
    assert answers == [{"n": [str(number)]} for number in range(200)]
    assert stub.connections <= 10


def test_an_idle_connection_is_given_up(stub: StubServer, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.providers.http._MAX_IDLE_SECONDS", 0.0)
    stub.default = stubs.answer({})
    for _ in range(3):
        http.request("GET", "https://api.example.com/")
    assert stub.connections == 3


def test_a_connection_that_the_server_closed_is_not_used_again(stub: StubServer, http: Http) -> None:
    stub.default = stubs.send_raw(stubs.head(200, {"Content-Length": "2"}) + b"{}")
    for _ in range(3):
        http.request("GET", "https://api.example.com/")
        time.sleep(0.05)
    assert stub.connections == 3


def test_cookies_are_not_kept(stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer({}, headers={"Set-Cookie": "session=1; Path=/"})
    http.request("GET", "https://api.example.com/")
    http.request("GET", "https://api.example.com/")
    assert "cookie" not in stub.requests[1].headers


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":', b'{"a": NaN}', b"[" * 100_000, b"\xff\xfe", b"9" * 5000])
def test_what_is_not_json_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponseError, match=r"^the answer is not JSON$"):
        Reply(status=200, headers={}, body=body).json()


def test_a_reply_shows_nothing_of_what_it_holds() -> None:
    reply = Reply(status=200, headers={"X": CANARY_TOKEN}, body=CANARY_NUMBER.encode())
    assert repr(reply) == "Reply(status=200)"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, None),
        (201, None),
        (299, None),
        (400, Reason.BAD_RESPONSE),
        (401, Reason.CREDENTIALS_REJECTED),
        (403, Reason.PERMISSION_MISSING),
        (404, Reason.BAD_RESPONSE),
        (408, Reason.TIMEOUT),
        (429, Reason.RATE_LIMITED),
        (500, Reason.PROVIDER_OUTAGE),
        (504, Reason.PROVIDER_OUTAGE),
        (599, Reason.PROVIDER_OUTAGE),
        (101, Reason.BAD_RESPONSE),
        (304, Reason.BAD_RESPONSE),
        (600, Reason.BAD_RESPONSE),
    ],
)
def test_a_status_has_a_reason(status: int, reason: Reason | None) -> None:
    assert reason_for_status(status) is reason
    assert (reason or Reason.OK) in OUTCOMES


FAULTS = {
    "hang": (stubs.hang(), DeadlineExceededError, "no complete answer came in time"),
    "drip headers": (stubs.drip_headers(), DeadlineExceededError, "no complete answer came in time"),
    "drip body": (stubs.drip_body(), DeadlineExceededError, "no complete answer came in time"),
    "drip chunks": (stubs.drip_chunks(), DeadlineExceededError, "no complete answer came in time"),
    "drip status line": (stubs.drip(b"x"), DeadlineExceededError, "no complete answer came in time"),
    "reset": (stubs.reset(), UnreachableError, "the connection broke before the answer was complete"),
    "no answer": (stubs.close_silently(), UnreachableError, "the connection broke before the answer was complete"),
    "truncated": (stubs.truncated(b"{}"), UnreachableError, "the connection broke before the answer was complete"),
    "chunks cut short": (
        stubs.send_raw(stubs.head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\nab"),
        UnreachableError,
        "the connection broke before the answer was complete",
    ),
    "chunks that stop": (
        stubs.send_raw(stubs.head(200, {"Transfer-Encoding": "chunked"}) + b"2\r\nab\r\n"),
        UnreachableError,
        "the connection broke before the answer was complete",
    ),
    "chunks that are none": (
        stubs.send_raw(stubs.head(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\nab"),
        BadResponseError,
        "the answer is not HTTP",
    ),
    "endless chunk header": (
        stubs.endless_chunk_header(),
        BadResponseError,
        "the answer is (not HTTP|too large)",  # urllib3 sees it from 2.8 on, before we do
    ),
    "endless trailers": (stubs.endless_trailers(), BadResponseError, "the answer is too large"),
    "endless headers": (stubs.endless_headers(), BadResponseError, "the answer is not HTTP"),
    "two lengths": (
        stubs.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        BadResponseError,
        "the answer is not HTTP",
    ),
    "too many headers": (
        stubs.send_raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
        BadResponseError,
        "the answer is not HTTP",
    ),
    "not HTTP": (stubs.send_raw(b"SSH-2.0-OpenSSH_9.2\r\n"), BadResponseError, "the answer is not HTTP"),
    "status that is none": (stubs.send_raw(b"HTTP/1.1 abc\r\n\r\n"), BadResponseError, "the answer is not HTTP"),
    "gzip bomb": (stubs.gzip_bomb(), BadResponseError, "the answer is too large"),
    "big body": (stubs.big_body(10 << 20), BadResponseError, "the answer is too large"),
    "not gzip": (
        stubs.answer(b"not gzip", headers={"Content-Encoding": "gzip"}),
        BadResponseError,
        "the answer cannot be decompressed",
    ),
    "redirect": (
        stubs.redirect("https://evil.example.com/"),
        BadResponseError,
        "answered with a redirect, which is not followed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("limit", ["deadline", "timeout"])
def test_a_fault_becomes_our_error_in_time(stub: StubServer, fault: str, limit: str) -> None:
    behaviour, error, detail = FAULTS[fault]
    stub.everywhere(behaviour)
    outcomes = Outcomes()
    timeout_seconds = 60.0 if limit == "deadline" else 0.7
    http = Http({"api.example.com": stub.url}, timeout_seconds=timeout_seconds, observer=outcomes)
    started = time.monotonic()
    with pytest.raises(ProviderError) as caught, deadline(0.7 if limit == "deadline" else 60):
        http.request("GET", "https://api.example.com/", auth=("AC1", CANARY_TOKEN))
    took = time.monotonic() - started
    http.close()
    assert type(caught.value) is error
    assert re.fullmatch(detail, str(caught.value))
    assert outcomes.seen == [caught.value.reason]
    assert outcomes.seen[0] in OUTCOMES
    assert took < 1.7


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "  Gzip"])
def test_a_single_gzip_is_unpacked_however_it_is_written(coding: str, stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer(gzip.compress(b"{}"), headers={"Content-Encoding": coding})
    assert http.request("GET", "https://api.example.com/").body == b"{}"


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_an_answer_may_say_that_it_is_not_compressed(coding: str, stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer(b"{}", headers={"Content-Encoding": coding})
    assert http.request("GET", "https://api.example.com/").body == b"{}"


def test_gzip_in_chunks_is_unpacked(stub: StubServer, http: Http) -> None:
    content = b'{"a": "' + b"b" * 1_000_000 + b'"}'
    packed = gzip.compress(content)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (packed[:100], packed[100:])) + b"0\r\n\r\n"
    fields = {"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"}
    stub.default = stubs.send_raw(stubs.head(200, fields) + chunks)
    assert http.request("GET", "https://api.example.com/").body == content


@pytest.mark.parametrize(
    "coding",
    [
        "gzip, gzip",
        "gzip,gzip",
        "identity, gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "x-gzip",
        "gzip;q=1",
        "gzip ",
        ",",
    ],
)
def test_a_coding_that_was_not_asked_for_is_refused_unread(
    coding: str, stub: StubServer, http: Http, outcomes: Outcomes
) -> None:
    stub.everywhere(stubs.answer(gzip.compress(gzip.compress(b"{}")), headers={"Content-Encoding": coding}))
    with pytest.raises(BadResponseError, match=r"^the answer is compressed in a way that was not asked for$"):
        http.request("GET", "https://api.example.com/")
    assert outcomes.seen == [Reason.BAD_RESPONSE]


def test_codings_in_several_lines_are_several_codings(stub: StubServer, http: Http) -> None:
    lines = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n"
    stub.everywhere(stubs.send_raw(lines + gzip.compress(gzip.compress(b"{}"))))
    with pytest.raises(BadResponseError, match=r"^the answer is compressed in a way that was not asked for$"):
        http.request("GET", "https://api.example.com/")


def test_a_bomb_in_a_bomb_is_not_unpacked(stub: StubServer, http: Http) -> None:
    stub.everywhere(stubs.gzip_bomb(times=2))
    tracemalloc.start()
    with pytest.raises(BadResponseError):
        http.request("GET", "https://api.example.com/")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 << 20


def test_a_bomb_is_not_unpacked(stub: StubServer, http: Http) -> None:
    stub.everywhere(stubs.gzip_bomb())
    tracemalloc.start()
    with pytest.raises(BadResponseError):
        http.request("GET", "https://api.example.com/")
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 32 << 20


ANSWERS = st.binary(max_size=200) | st.builds(
    b"".join,
    st.lists(
        st.sampled_from(
            [
                b"HTTP/1.1 200 OK\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.0 302 Found\r\n",
                b"Location: http://[::1\r\n",
                b"Content-Length: 2\r\n",
                b"Content-Length: -1\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Content-Encoding: gzip, deflate\r\n",
                b"Set-Cookie: a=b; Max-Age=x\r\n",
                b"\r\n",
                b"2\r\n{}\r\n0\r\n",
                b"-1\r\n",
                b"{}",
                b"\xff\x00",
            ]
        ),
        max_size=12,
    ),
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_whatever_comes_is_a_reply_or_our_error(shared_stub: StubServer, data: bytes) -> None:
    shared_stub.everywhere(stubs.send_raw(data))
    outcomes = Outcomes()
    http = Http({"api.example.com": shared_stub.url}, timeout_seconds=5, observer=outcomes)
    with suppress(ProviderError):  # anything else fails the test
        assert isinstance(http.request("GET", "https://api.example.com/"), Reply)
    http.close()
    assert len(outcomes.seen) == 1
    assert outcomes.seen[0] in OUTCOMES


def test_after_a_fault_the_next_request_gets_its_own_answer(stub: StubServer, http: Http) -> None:
    stub.on("/", stubs.big_body(10 << 20), stubs.redirect("/"), stubs.truncated(b"{"), stubs.answer({"fine": True}))
    for _ in range(3):
        with pytest.raises(ProviderError):
            http.request("GET", "https://api.example.com/")
    assert http.request("GET", "https://api.example.com/").json() == {"fine": True}


def test_nobody_listens(http: Http) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = Http({"api.example.com": f"http://127.0.0.1:{port}"}, timeout_seconds=5)
    with pytest.raises(UnreachableError, match=r"^the connection was refused$"):
        client.request("GET", "https://api.example.com/")
    client.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid"])
def test_a_name_without_an_address_is_unreachable(host: str, outcomes: Outcomes) -> None:
    client = Http({"api.example.com": f"http://{host}"}, timeout_seconds=5, observer=outcomes)
    with pytest.raises(UnreachableError):
        client.request("GET", "https://api.example.com/")
    client.close()
    assert outcomes.seen == ["unreachable"]


@contextmanager
def port_that_never_accepts() -> Iterator[int]:
    """Fill the queue of a listener: further connections are neither accepted nor refused."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def test_a_server_that_never_accepts_times_out() -> None:
    with port_that_never_accepts() as port:
        client = Http({"api.example.com": f"http://127.0.0.1:{port}"}, timeout_seconds=60)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError), deadline(0.5):
            client.request("GET", "https://api.example.com/")
        assert time.monotonic() - started < 1.5
        client.close()


def test_a_server_that_reads_slowly_times_out() -> None:
    done = threading.Event()

    def sip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(stubs.head(200, {"Content-Length": "2"}) + b"{}")
            while not done.wait(0.05) and connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=sip, args=(listener,))
        thread.start()
        client = Http({"api.example.com": f"http://127.0.0.1:{listener.getsockname()[1]}"}, timeout_seconds=60)
        client.request("GET", "https://api.example.com/")
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError), deadline(0.5):
            client.request("POST", "https://api.example.com/", data={"Body": "x" * (16 << 20)})
        took = time.monotonic() - started
        done.set()
        thread.join()
        client.close()
    assert took < 3  # 16 MB are 12 s of sips; part of the time goes into making the request


def test_the_second_address_is_tried_in_time(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    stub.default = stubs.answer({})
    with port_that_never_accepts() as dead_port:

        def two_addresses(*args: object) -> object:
            alive = resolve("127.0.0.1", stub.port, type=socket.SOCK_STREAM)
            dead = resolve("127.0.0.1", dead_port, type=socket.SOCK_STREAM)
            return [*dead, *alive]

        client = Http({"api.example.com": f"http://two.example.com:{stub.port}"}, timeout_seconds=1)
        monkeypatch.setattr(socket, "getaddrinfo", two_addresses)
        assert client.request("GET", "https://api.example.com/").status == 200
        client.close()


def test_a_resolver_that_fails_too_late_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object) -> object:
        time.sleep(0.2)
        raise socket.gaierror

    client = Http({"api.example.com": "http://slow.example.com"}, timeout_seconds=5)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(DeadlineExceededError), deadline(0.1):
        client.request("GET", "https://api.example.com/")
    client.close()


def test_without_time_nothing_is_sent(stub: StubServer, http: Http, outcomes: Outcomes) -> None:
    with deadline(0), pytest.raises(DeadlineExceededError, match=r"^no time was left to ask$"):
        http.request("GET", "https://api.example.com/")
    assert (stub.connections, outcomes.seen) == (0, ["timeout"])


def test_the_earliest_of_nested_deadlines_rules(stub: StubServer, http: Http) -> None:
    stub.default = stubs.hang()
    started = time.monotonic()
    with deadline(0.3), deadline(60), pytest.raises(DeadlineExceededError):
        http.request("GET", "https://api.example.com/")
    assert time.monotonic() - started < 1.3


def test_a_deadline_ends_with_its_block(stub: StubServer, http: Http) -> None:
    stub.default = stubs.answer({})
    with deadline(0):
        pass
    assert http.request("GET", "https://api.example.com/").status == 200


def test_a_deadline_covers_many_requests_as_a_whole(stub: StubServer, http: Http) -> None:
    def slow(exchange: stubs.Exchange) -> None:
        exchange.stopped.wait(0.2)
        stubs.answer({})(exchange)

    stub.default = slow
    started = time.monotonic()
    with deadline(0.5):
        http.request("GET", "https://api.example.com/")
        http.request("GET", "https://api.example.com/")
        with pytest.raises(DeadlineExceededError):
            http.request("GET", "https://api.example.com/")
    assert time.monotonic() - started < 1.5
    assert len(stub.requests) == 3


def test_no_thread_is_left_behind(stub: StubServer, http: Http) -> None:
    before = {thread for thread in threading.enumerate() if not thread.name.startswith("stub")}
    stub.default = stubs.drip_body()
    with pytest.raises(DeadlineExceededError), deadline(0.2):
        http.request("GET", "https://api.example.com/")
    assert {thread for thread in threading.enumerate() if not thread.name.startswith("stub")} == before


# ---- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def trust(authority: trustme.CA, variable: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(bundle))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_bundle_of_the_environment_is_trusted(
    variable: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, variable, tmp_path, monkeypatch)
    with StubServer(tls=server_context(authority, "127.0.0.1")) as stub:
        stub.default = stubs.answer({"secure": True})
        http = Http({"api.example.com": stub.url}, timeout_seconds=5)
        assert [http.request("GET", "https://api.example.com/").json() for _ in range(2)] == [{"secure": True}] * 2
        http.close()
        assert stub.connections == 1


def test_a_bundle_that_cannot_be_read_is_told_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")
    with pytest.raises(ValueError, match=r'^the CA bundle "/no/such/ca.pem" cannot be read$'):
        Http({"api.example.com": "https://api.example.com"}, timeout_seconds=5)


def test_a_certificate_that_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    with StubServer(tls=server_context(authority, "127.0.0.1")) as stub:
        http = Http({"api.example.com": stub.url}, timeout_seconds=5)
        with pytest.raises(TLSFailedError, match=r"^the certificate is not trusted$"):
            http.request("GET", "https://api.example.com/", auth=("AC1", CANARY_TOKEN))
        http.close()
        assert stub.requests == []


def test_a_certificate_for_another_name_is_refused(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, "REQUESTS_CA_BUNDLE", tmp_path, monkeypatch)
    with StubServer(tls=server_context(authority, "other.example.com")) as stub:
        http = Http({"api.example.com": stub.url}, timeout_seconds=5)
        with pytest.raises(TLSFailedError):
            http.request("GET", "https://api.example.com/")
        http.close()
        assert stub.requests == []


def test_a_server_without_tls_fails_as_tls() -> None:
    def answer_in_plain_text() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            with suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer_in_plain_text)
        server.start()
        origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
        http = Http({"api.example.com": origin}, timeout_seconds=5)
        with pytest.raises(TLSFailedError):
            http.request("GET", "https://api.example.com/")
        http.close()
        server.join()


@pytest.mark.parametrize("behaviour", [stubs.drip_headers(), stubs.drip_body(), stubs.hang()])
def test_the_deadline_holds_over_tls(
    behaviour: stubs.Behaviour, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, "REQUESTS_CA_BUNDLE", tmp_path, monkeypatch)
    with StubServer(tls=server_context(authority, "127.0.0.1")) as stub:
        stub.default = behaviour
        http = Http({"api.example.com": stub.url}, timeout_seconds=60)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError), deadline(0.5):
            http.request("GET", "https://api.example.com/")
        assert time.monotonic() - started < 1.5
        http.close()


def test_the_deadline_holds_during_a_handshake() -> None:
    done = threading.Event()

    def drip_a_handshake(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            record = b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + b"\x03\x03" + b"\x00" * 16000
            for position in range(len(record)):
                try:
                    connection.sendall(record[position : position + 1])
                except OSError:
                    return
                if done.wait(0.05):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip_a_handshake, args=(listener,))
        thread.start()
        http = Http({"api.example.com": f"https://127.0.0.1:{listener.getsockname()[1]}"}, timeout_seconds=60)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError), deadline(0.5):
            http.request("GET", "https://api.example.com/")
        took = time.monotonic() - started
        done.set()
        thread.join()
        http.close()
    assert took < 1.5


# ---- proxies


def test_a_proxy_of_the_environment_is_used(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", stub.url)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.default = stubs.answer({"by": "proxy"})
    http = Http({"api.example.com": "http://api.example.com"}, timeout_seconds=5)
    monkeypatch.delenv("http_proxy")
    assert http.request("GET", "http://api.example.com/v1").json() == {"by": "proxy"}
    http.close()
    assert stub.requests[0].target == "http://api.example.com/v1"


def test_a_proxy_that_refuses_to_tunnel_is_unreachable(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", stub.url)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.default = stubs.answer(b"", status=407)
    http = Http({"api.example.com": "https://api.example.com"}, timeout_seconds=5)
    with pytest.raises(UnreachableError, match=r"^the proxy makes no connection$"):
        http.request("GET", "https://api.example.com/v1", auth=("AC1", CANARY_TOKEN))
    http.close()
    assert stub.requests[0].method == "CONNECT"
    assert "authorization" not in stub.requests[0].headers


def test_a_proxy_that_drips_is_cut_off(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", stub.url)
    monkeypatch.delenv("no_proxy", raising=False)
    stub.default = stubs.drip_headers()
    http = Http({"api.example.com": "https://api.example.com"}, timeout_seconds=60)
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError), deadline(0.5):
        http.request("GET", "https://api.example.com/v1")
    assert time.monotonic() - started < 1.5
    http.close()


def test_loopback_is_never_asked_through_a_proxy(stub: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    stub.default = stubs.answer({})
    http = Http({"api.example.com": stub.url}, timeout_seconds=5)
    assert http.request("GET", "https://api.example.com/").status == 200
    http.close()


# ---- silence


def test_nothing_is_logged(stub: StubServer, http: Http, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stub.on("/odd", stubs.send_raw(b"HTTP/1.1 200 OK\r\n: no name\r\nContent-Length: 2\r\n\r\n{}"))
    stub.default = stubs.answer({})
    http.request("GET", "https://api.example.com/", params={"To": CANARY_NUMBER}, auth=("AC1", CANARY_TOKEN))
    http.request("GET", "https://api.example.com/odd", params={"To": CANARY_NUMBER})
    assert caplog.records == []


def test_an_error_quotes_nothing_of_the_request_or_answer(stub: StubServer, http: Http) -> None:
    stub.default = stubs.send_raw(f"HTTP/1.1 {CANARY_NUMBER}\r\n\r\n".encode())
    with pytest.raises(ProviderError) as caught:
        http.request("GET", "https://api.example.com/", params={"To": CANARY_NUMBER}, auth=("A", CANARY_TOKEN))
    shown = repr(caught.value) + str(caught.value) + json.dumps(str(caught.value.__dict__))
    assert CANARY_NUMBER[1:] not in shown
    assert CANARY_TOKEN not in shown
    assert caught.value.__context__ is None


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://status.example.com:8443/de/page") == "https://status.example.com:8443"


# ---- how often


@pytest.fixture
def slow_http(stub: StubServer, outcomes: Outcomes) -> Iterator[Http]:
    client = Http({"api.example.com": stub.url}, timeout_seconds=5, requests_per_second=1, observer=outcomes)
    yield client
    client.close()


def test_no_more_requests_begin_in_any_second_than_allowed() -> None:
    limiter = RateLimiter(20)
    begun: list[float] = []

    def ask(_: int) -> None:
        limiter.wait(time.monotonic() + 10)
        begun.append(time.monotonic())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(50)))
    begun.sort()
    assert begun[19] - begun[0] < 0.5  # what is allowed goes at once
    assert min(later - earlier for earlier, later in zip(begun, begun[20:], strict=False)) > 0.98
    assert begun[-1] - begun[0] < 2.5


def test_requests_wait_for_their_turn(stub: StubServer, slow_http: Http, outcomes: Outcomes) -> None:
    stub.default = stubs.answer({})
    started = time.monotonic()
    slow_http.request("GET", "https://api.example.com/a")
    slow_http.request("GET", "https://api.example.com/b")
    assert 0.98 < time.monotonic() - started < 2
    assert outcomes.seen == ["ok", "ok"]


def test_who_cannot_get_a_turn_in_time_is_told_at_once(stub: StubServer, slow_http: Http, outcomes: Outcomes) -> None:
    stub.default = stubs.answer({})
    slow_http.request("GET", "https://api.example.com/a")
    started = time.monotonic()
    with deadline(0.5), pytest.raises(DeadlineExceededError, match=r"^no time was left to ask$"):
        slow_http.request("GET", "https://api.example.com/b")
    assert time.monotonic() - started < 0.2
    assert [request.path for request in stub.requests] == ["/a"]
    assert outcomes.seen == ["ok", "timeout"]


def test_who_yields_goes_behind_those_who_do_not() -> None:
    limiter = RateLimiter(1)
    limiter.wait(time.monotonic() + 10)
    order: list[str] = []

    def ask(name: str, *, yields: bool) -> None:
        with suppress(DeadlineExceededError):
            limiter.wait(time.monotonic() + 2.5, yields=yields)
            order.append(name)

    with ThreadPoolExecutor(10) as pool:
        for _ in range(8):
            pool.submit(ask, "reader", yields=True)
        time.sleep(0.1)  # they wait already
        pool.submit(ask, "check", yields=False)
        pool.submit(ask, "check", yields=False)
    assert order == ["check", "check"]


def test_who_yields_waits_no_longer_than_it_may() -> None:
    limiter = RateLimiter(1)
    limiter.wait(time.monotonic() + 10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limiter.wait, time.monotonic() + 10)
        time.sleep(0.05)
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError):
            limiter.wait(started + 0.3, yields=True)
        assert time.monotonic() - started < 0.6
        waiting.result()


def test_a_provider_that_asks_for_quiet_gets_it(stub: StubServer, outcomes: Outcomes) -> None:
    http = Http({"api.example.com": stub.url}, timeout_seconds=5, requests_per_second=100, observer=outcomes)
    stub.on("/a", stubs.answer({}, status=429, headers={"Retry-After": "1"}))
    stub.on("/b", stubs.answer({}))
    started = time.monotonic()
    assert http.request("GET", "https://api.example.com/a").status == 429  # nothing is retried
    with deadline(0.5), pytest.raises(ProviderError, match=r"^the provider asked for fewer requests") as caught:
        http.request("GET", "https://api.example.com/b")
    assert caught.value.reason is Reason.RATE_LIMITED
    assert time.monotonic() - started < 0.4
    http.request("GET", "https://api.example.com/b")
    assert 0.98 < time.monotonic() - started < 2
    http.close()
    assert [request.path for request in stub.requests] == ["/a", "/b"]
    assert outcomes.seen == ["rate_limited", "rate_limited", "ok"]


def test_quiet_lasts_a_minute_at_most() -> None:
    limiter = RateLimiter(10)
    limiter.keep_quiet(1e9)
    with pytest.raises(ProviderError):
        limiter.wait(time.monotonic() + 59)
    assert 59 < limiter._pause(time.monotonic(), time.monotonic() + 100, yields=False) <= 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", 0.0),
        ("7", 7.0),
        ("0", 0.0),
        ("-7", 0.0),
        ("1.5", 0.0),
        ("soon", 0.0),
        ("\u0667", 0.0),
        ("9" * 5000, 999_999_999.0),
        ("Tue, 24 Nov 2026 07:30:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 07:29:30 GMT", 0.0),
        ("Tue, 24 Nov 99999999999 07:29:30 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    assert parse_retry_after(value, 1795505400.0) == seconds
