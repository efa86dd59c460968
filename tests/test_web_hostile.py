"""What an attacker sends to either listener: smuggled requests, tricks with names and paths, floods."""

import contextlib
import os
import re
import resource
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from types import MappingProxyType
from urllib.parse import quote

import pytest
from starlette.routing import Mount, Route

from exporter.meters import Meters
from exporter.storage import Storage
from exporter.web.connection import Limits
from exporter.web.internal import build_internal
from exporter.web.public import serve_public
from exporter.web.server import ThreadedServer, bind
from tests.served import FakeApp, Served, serving

POST = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\n"
GET = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NEXT = b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n"  # what would be smuggled in


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[FakeApp, Served]]:
    """One server for all: what one of these tests leaves behind is the next one's business, too."""
    app = FakeApp()
    with serving(app) as served:
        yield app, served


@pytest.fixture
def app(running: tuple[FakeApp, Served]) -> FakeApp:
    running[0].reloads = 0
    return running[0]


@pytest.fixture
def served(running: tuple[FakeApp, Served]) -> Served:
    return running[1]


@pytest.fixture(scope="module")
def public() -> Iterator[Served]:
    meters = Meters()
    storage = Storage.in_memory(meters)
    with (
        closing(storage),
        serve_public(bind("127.0.0.1:0"), lambda: MappingProxyType({}), storage.messages, meters, lambda: None) as url,
    ):
        yield Served(url)


def all_said(served: Served, sent: bytes) -> bytes:
    """All that comes back until the server closes, or says no more for a moment."""
    with served.connect() as client:
        client.settimeout(0.3)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.sendall(sent)
            while chunk := client.recv(65536):
                answer += chunk
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"^HTTP/1\.1 (\d{3}) ", answer, flags=re.MULTILINE)]


# --- requests that two programs could read in two ways -------------------------------------------------

REFUSED: Mapping[str, bytes] = {
    "a length and chunks": POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n",
    "chunks and a length": POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "the same length twice": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +0\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": POST + b"Content-Length: 0x0\r\n\r\n",
    "an endless length": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "no length": POST + b"Content-Length:\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding on top of chunks": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks that are not the last coding": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "no coding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "two codings": POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n",
    "a coding behind a control character": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n0\r\n\r\n",
    "a folded line": GET + b"X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a folded first line": b"GET /-/healthy HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "line feeds alone": b"GET /-/healthy HTTP/1.1\nHost: localhost\n\n",
    "one line feed alone": GET + b"X-A: b\nX-B: c\r\n\r\n",
    "a carriage return alone": GET + b"X-A: b\rX-B: c\r\n\r\n",
    "a zero byte": GET + b"X-A: b\0c\r\n\r\n",
    "a control character in a name": GET + b"X\x01A: b\r\n\r\n",
    "a line feed in an extension of a chunk": POST + CHUNKED + b"\r\n0;a\nb\r\n\r\n",
    "a chunk's size in C": POST + CHUNKED + b"\r\n0x0\r\n\r\n",
    "a chunk's size that overflows": POST + CHUNKED + b"\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n",
    "a chunk's size and a line feed": POST + CHUNKED + b"\r\n1\nx\r\n0\r\n\r\n",
    "a chunk that is longer than it says": POST + CHUNKED + b"\r\n1\r\nxx\r\n0\r\n\r\n",
    "a chunk's size and a space": POST + CHUNKED + b"\r\n0 \r\n\r\n",
    "no host": b"GET /-/healthy HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /-/healthy\r\n\r\n",
    "HTTP/1.2": GET.replace(b"HTTP/1.1", b"HTTP/1.2") + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a request to a proxy": GET.replace(b"/-/healthy", b"http://evil.example/-/healthy") + b"\r\n",
    "a request to a proxy for us": GET.replace(b"/-/healthy", b"http://localhost/-/healthy") + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the target": GET.replace(b"healthy", b"heal thy") + b"\r\n",
    "tabs in the first line": GET.replace(b"GET ", b"GET\t") + b"\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(
    served: Served, app: FakeApp, name: str
) -> None:
    answer = all_said(served, REFUSED[name] + NEXT)
    assert statuses(answer) in ([400], [])
    assert app.reloads == 0
    assert b"healthy" not in answer
    assert b"interval:" not in answer  # of /config


@pytest.mark.parametrize("name", REFUSED)
def test_so_does_the_public_listener(public: Served, name: str) -> None:
    sent = REFUSED[name].replace(b"/-/reload", b"/clock").replace(b"/-/healthy", b"/clock")
    answer = all_said(public, sent + NEXT)
    assert statuses(answer) in ([400], [404], [405], [])
    assert b"<html" not in answer
    assert answer.count(b"HTTP/1.1") <= 1


TAKEN: Mapping[str, tuple[bytes, list[int]]] = {
    "chunks": (POST + CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n", [200]),
    "chunks in any case": (POST + b"tRANSFER-eNCODING: cHUNKED\r\n\r\n0\r\n\r\n", [200]),
    "an extension of a chunk": (POST + CHUNKED + b"\r\n0;a=b\r\n\r\n", [200]),
    "an underscore that is no hyphen": (POST + b"Content_Length: 9\r\n\r\n", [200]),
    "a body where none belongs": (GET + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, [200]),
    "an empty line before": (b"\r\n" + GET + b"\r\n", [200]),
    "an offer of HTTP/2": (GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", [200]),
    "a client that waits for a word": (POST + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", [100, 200]),
    "HTTP/1.0 without a host": (b"GET /-/healthy HTTP/1.0\r\n\r\n", [200]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_can_be_read_in_one_way_is_one_request(served: Served, name: str) -> None:
    sent, expected = TAKEN[name]
    answer = all_said(served, sent)
    assert statuses(answer) == expected
    assert b"interval:" not in answer


def test_requests_one_after_the_other_are_answered_in_their_order(served: Served) -> None:
    answer = all_said(served, GET + b"\r\n" + NEXT + GET.replace(b"healthy", b"ready") + b"\r\n")
    assert statuses(answer) == [200, 200, 200]
    assert answer.index(b"is healthy") < answer.index(b"interval:") < answer.index(b"is ready")


def test_rubbish_behind_a_request_is_never_the_answer_to_it(served: Served) -> None:
    """A proxy that shares the connection would hand the 400 to whoever has asked before."""
    answer = all_said(served, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nrubbish\r\n\r\n")
    assert statuses(answer) in ([], [200])


@pytest.mark.parametrize(
    "trailer", [b"Host: evil.example", b"Origin: https://evil.example", b"Sec-Fetch-Site: cross-site", b"X-Real-IP: 1"]
)
def test_what_follows_a_body_is_no_header(served: Served, app: FakeApp, trailer: bytes) -> None:
    answer = all_said(served, POST + CHUNKED + b"\r\n0\r\n" + trailer + b"\r\n\r\n")
    assert (statuses(answer), app.reloads) == ([200], 1)


def test_an_endless_extension_of_a_chunk_is_not_read(served: Served) -> None:
    with served.connect() as client, pytest.raises(ConnectionError):
        client.sendall(POST + CHUNKED + b"\r\n1;" + b"a" * 20_000_000)


# --- names and paths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:10687",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1:80@evil.example",
        "xn--lcalhost-3ib",
        "localhost.",
        "127.1",
        "0x7f000001",
        "017700000001",
        "[::1].evil.example",
        "localhost%00.evil.example",
        "localhost, evil.example",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_name_that_a_dns_server_can_give_out_reads_or_changes_anything(
    served: Served, app: FakeApp, host: str, method: str
) -> None:
    for path in ("/metrics", "/config", "/-/reload", "/diagnose", "/api/v1/diagnose", "/static/status.css"):
        answer = served.ask(path, method=method, headers={"Host": host, "Content-Length": "0"})
        assert answer.status == 421, path
        assert "evil" not in answer.text
    assert app.reloads == 0


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL"])
def test_headers_of_proxies_do_not_stand_in_for_host_or_path(served: Served, name: str) -> None:
    answer = served.ask("/-/healthy", headers={name: "/config"})
    assert (answer.status, answer.text) == (200, "twofa-exporter is healthy.\n")
    assert served.ask("/metrics", headers={"Host": "evil.example", name: "localhost"}).status == 421


def test_a_method_in_a_header_is_not_the_method(served: Served, app: FakeApp) -> None:
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert served.ask("/-/reload", headers={name: "POST"}).status == 405
    assert app.reloads == 0


def climbing() -> list[str]:
    up = ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e%252f", "..%c0%af", "..;/", ".%00./")
    return [f"{folder}{step * 8}etc/passwd" for folder in ("/static/", "/runbooks/") for step in up]


@pytest.mark.parametrize(
    "path", [*climbing(), "/static//etc/passwd", "/runbooks//etc/passwd", "/static/%2fetc%2fpasswd"]
)
def test_no_path_climbs_out_of_its_folder(served: Served, path: str) -> None:
    for given in (path, path.replace("etc/passwd", "exporter/web/server.py"), path.replace("etc/passwd", "README.md")):
        answer = served.ask(given)
        assert answer.status in (400, 404)
        assert b"root:" not in answer.body
        assert b"import" not in answer.body


def test_what_is_asked_for_is_nowhere_repeated_in_a_header(served: Served) -> None:
    evil = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    for path in (f"/{evil}", f"/static/{evil}", f"/runbooks/{evil}", f"/?runs={evil}", f"/metrics?name[]={evil}"):
        answer = served.ask(path)
        assert "set-cookie" not in answer.headers
        assert b"<script>" not in answer.body
        assert all("\r" not in value and "\n" not in value for value in answer.headers.values())


def test_no_answer_of_the_diagnosis_takes_a_line_break_into_a_header(served: Served) -> None:
    host, port = served.address
    for subject, value in (
        ("client", "1\r\nSet-Cookie: a=b"),
        ("client\r\nSet-Cookie: a=b", "1"),
        ("message", "SM\r\n\r\n<script>"),
        ("phone", "+1415555\r\nSet-Cookie:a=b"),
    ):
        body = f"subject={quote(subject)}&value={quote(value)}".encode()
        head = (
            f"POST /diagnose HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n"
        )
        head_back = all_said(served, head.encode() + body).partition(b"\r\n\r\n")[0].lower()
        assert head_back.startswith(b"http/1.1 ")
        assert b"set-cookie" not in head_back
        assert b"<script" not in head_back


def test_no_page_of_another_site_may_read_an_answer(served: Served) -> None:
    for path in ("/metrics", "/config", "/diagnose", "/", "/api/v1/diagnose"):
        for method in ("GET", "OPTIONS"):
            origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
            answer = served.ask(path, method=method, headers=origin)
            assert not [name for name in answer.headers if name.startswith("access-control-")]
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_no_policy_of_a_page_allows_anything_that_stands_in_it(served: Served, public: Served) -> None:
    for site, path in (
        (served, "/"),
        (served, "/diagnose"),
        (served, "/runbooks"),
        (served, "/nothing"),
        (public, "/clock"),
    ):
        policy = site.ask(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy


# --- the public listener never answers an internal path ----------------------------------------------------


def internal_paths() -> list[str]:
    app = FakeApp()
    site = build_internal(app)
    app.storage.close()
    paths = [
        f"{r.path}/status.css" if isinstance(r, Mount) else r.path for r in site.routes if isinstance(r, Route | Mount)
    ]
    assert {"/", "/metrics", "/config", "/-/reload", "/diagnose", "/api/v1/diagnose"} <= set(paths)
    return [re.sub(r"\{.*?\}", "twilio", path) for path in paths]


def spellings(path: str) -> Iterator[str]:
    yield path
    yield f"{path}/"
    yield f"/{path}"
    yield f"{path}?x=/clock"
    yield path.upper()
    yield quote(path, safe="/").replace("-", "%2d").replace("e", "%65")
    yield "/" + quote(path[1:], safe="").replace("a", "%61")
    yield quote(quote(path, safe=""), safe="/%")
    for before in (
        "/clock/..",
        "/clock/%2e%2e",
        "/callbacks/..",
        "/callbacks/..%2f..",
        "/clock;",
        "/clock%00",
        "/clock%2f..",
        "/.",
    ):
        yield f"{before}{path}"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_the_public_listener_has_no_internal_path(public: Served, method: str) -> None:
    """Every path of the other listener, in every spelling, with every method: nothing is said but a status."""
    secret = re.compile(rb"twofa|metric|config|health|<html|root:", re.IGNORECASE)
    with public.connect() as client:
        for path in internal_paths():
            for spelling in spellings(path):
                if spelling.startswith("/callbacks/") and method != "POST":
                    expected: tuple[int, ...] = (404, 405)
                else:
                    expected = (400, 404)
                answer = asked(public, client, method, spelling)
                client = answer.client  # noqa: PLW2901  # a 404 ends the connection
                assert answer.status in expected, (method, spelling)
                assert not secret.search(answer.body), (method, spelling)
        client.close()


class Asked:
    """An answer, and the connection for the next request."""

    def __init__(self, status: int, body: bytes, client: socket.socket) -> None:
        self.status = status
        self.body = body
        self.client = client


def asked(served: Served, client: socket.socket, method: str, path: str) -> Asked:
    """Ask on a connection that may be closed after it: an own parser, so that no client cleans the path."""
    client.sendall(f"{method} {path} HTTP/1.1\r\nHost: public.example\r\nContent-Length: 0\r\n\r\n".encode())
    answer = b""
    while chunk := client.recv(65536):
        answer += chunk
        if answer.endswith(b"\r\n\r\n") and b"connection: close" not in answer.lower():
            break
    client.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return Asked(int(head.split()[1]), body, served.connect())


# --- floods --------------------------------------------------------------------------------------------


def flood(served: Served, number: int) -> float:
    """Open idle and slow connections, and return how long ten scrapes take beside them."""
    starts = (b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHost: loc", POST + b"Content-Length: 9\r\n\r\nx")
    with ExitStack() as stack:
        for n in range(number):
            client = stack.enter_context(served.connect())
            with contextlib.suppress(ConnectionError):
                client.sendall(starts[n % len(starts)])
        began = time.monotonic()
        assert [served.ask("/metrics").status for _ in range(10)] == [200] * 10
        return time.monotonic() - began


def test_five_hundred_idle_and_slow_clients_do_not_hold_up_a_scrape(served: Served) -> None:
    assert flood(served, 500) < 5


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("MANY_CLIENTS"), reason="MANY_CLIENTS=1 opens 10,000 connections")
def test_ten_thousand_idle_and_slow_clients_do_not_hold_up_a_scrape(served: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        assert flood(served, 10_000) < 5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_server_holds_no_more_connections_than_its_limit() -> None:
    app = FakeApp()
    limits = Limits(connections=50)
    with (
        closing(app.storage),
        ThreadedServer(build_internal(app), bind("127.0.0.1:0"), limits) as server,
        ExitStack() as stack,
    ):
        served = Served(server.url)
        for _ in range(200):
            stack.enter_context(served.connect())
        assert served.ask("/-/healthy").status == 200
        assert len(server._server.server_state.connections) <= limits.connections
