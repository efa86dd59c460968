"""Addresses, clients that misbehave, signals: the server itself, with real sockets and a real process."""

import contextlib
import gc
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import anyio
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.web.connection import Limits
from exporter.web.server import ThreadedServer, WebError, bind, url_of
from tests.repo import ROOT
from tests.served import FakeApp, Served, accepted, serving

FORMS = 'must be host:port, such as "127.0.0.1:10687", "[::1]:10687" or ":10687" for all interfaces'

# --- addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "family", "host"),
    [
        ("127.0.0.1:0", socket.AF_INET, "127.0.0.1"),
        ("localhost:0", socket.AF_INET, "127.0.0.1"),
        ("0.0.0.0:0", socket.AF_INET, "0.0.0.0"),
        ("[::1]:0", socket.AF_INET6, "::1"),
        (":0", socket.AF_INET6, "::"),
        ("[::]:0", socket.AF_INET6, "::"),
    ],
)
def test_an_address_is_listened_on(address: str, family: int, host: str) -> None:
    if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with closing(bind(address)) as listener:
        assert (listener.family, listener.getsockname()[0]) == (family, host)
        assert listener.getsockname()[1] > 0
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_empty_host_means_all_interfaces_of_both_families(host: str) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with closing(bind(":0")) as listener:
        socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:0", "http://127.0.0.1:{}"),
        ("0.0.0.0:0", "http://localhost:{}"),
        ("[::1]:0", "http://[::1]:{}"),
        (":0", "http://localhost:{}"),
    ],
)
def test_the_url_of_a_listener_can_be_opened(address: str, url: str) -> None:
    with closing(bind(address)) as listener:
        assert url_of(listener) == url.format(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", f'"": {FORMS}'),
        ("10687", f'"10687": {FORMS}'),
        ("localhost", f'"localhost": {FORMS}'),
        ("localhost:", f'"localhost:": {FORMS}'),
        ("localhost:http", f'"localhost:http": {FORMS}'),
        ("localhost:65536", f'"localhost:65536": {FORMS}'),
        ("localhost:-1", f'"localhost:-1": {FORMS}'),
        ("localhost:10687/metrics", f'"localhost:10687/metrics": {FORMS}'),
        ("http://localhost:10687", f'"http://localhost:10687": {FORMS}'),
        ("::1:10687", f'"::1:10687": {FORMS}'),
        ("[]:10687", f'"[]:10687": {FORMS}'),
        (
            "no.such.host.invalid:10687",
            "no.such.host.invalid:10687: unknown host; give another --web.listen-address",
        ),
        (
            "192.0.2.1:10687",
            "192.0.2.1:10687: not an address of this machine; give another --web.listen-address",
        ),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(address: str, problem: str) -> None:
    with pytest.raises(WebError) as caught:
        bind(address)
    assert str(caught.value) == problem


def test_a_port_in_use_is_refused() -> None:
    with closing(bind("127.0.0.1:0")) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(WebError) as caught:
            bind(address)
    assert str(caught.value) == (
        f"{address}: already in use; stop what listens there, or give another --web.listen-address"
    )


def test_a_port_can_be_taken_again_right_after_its_server_stopped() -> None:
    with serving(FakeApp()) as served, served.connect() as client:
        address = f"127.0.0.1:{served.address[1]}"
        client.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
        while client.recv(65536):
            pass  # until the server closes: its end of the connection is the one that lingers
    with serving(FakeApp(), address=address) as served:
        assert served.ask("/-/healthy").status == 200


def test_a_port_without_permission_is_refused() -> None:
    program = (
        "import os; from exporter.web.server import bind\n"
        "bind('127.0.0.1:0').close()\n"  # imports all that it needs: another user may not be able to read it
        "os.geteuid() or os.setuid(65534)\n"
        "bind('127.0.0.1:81')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stderr:
        pytest.skip("here anybody may take a low port")
    assert done.stderr.splitlines()[-1] == (
        "exporter.web.server.WebError: 127.0.0.1:81: permission denied; give another --web.listen-address,"
        " with a port above 1023"
    )


def test_the_advice_names_the_option_of_whoever_asks() -> None:
    with closing(bind("127.0.0.1:0")) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(WebError, match=r"already in use; .* or give another --port$"):
            bind(address, option="--port")
    with pytest.raises(WebError, match=r"unknown host; give another --port$"):
        bind("no.such.host.invalid:1", option="--port")


# --- clients ---------------------------------------------------------------------------------------

IMPATIENT = Limits(request_seconds=0.5, answer_seconds=1.0, keep_alive_seconds=1)
REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


def status_of(client: socket.socket) -> bytes:
    """Read one whole answer to REQUEST and return its first line."""
    answer = b""
    while not answer.endswith(b"twofa-exporter is healthy.\n"):
        chunk = client.recv(65536)
        assert chunk, answer
        answer += chunk
    return answer.partition(b"\r\n")[0]


def seconds_until_closed(client: socket.socket, *, drip: bytes = b"", every: float = 0.1) -> float:
    """How long the server keeps a connection open while the client sends ``drip`` again and again."""
    began = time.monotonic()
    client.settimeout(every)
    while time.monotonic() - began < 15:
        try:
            if drip:
                client.sendall(drip)
            if client.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - began


def test_a_client_that_sends_nothing_is_let_go() -> None:
    with serving(FakeApp(), limits=IMPATIENT) as served, served.connect() as client:
        assert 0.3 < seconds_until_closed(client) < 5


@pytest.mark.parametrize(
    ("start", "drip"),
    [
        (b"", b"G"),
        (b"", b"\r\n"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n"),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"b"),
        (b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (REQUEST, b"\r\n"),
        (REQUEST, b"G"),
        (REQUEST + REQUEST + b"GET / HT", b"T"),
    ],
)
def test_a_client_that_drips_is_let_go(start: bytes, drip: bytes) -> None:
    with serving(FakeApp(), limits=IMPATIENT) as served, served.connect() as client:
        client.sendall(start)
        assert seconds_until_closed(client, drip=drip) < 5


def test_an_idle_connection_after_an_answer_lives_as_long_as_keep_alive() -> None:
    limits = Limits(request_seconds=0.3, answer_seconds=0.3, keep_alive_seconds=2)
    with serving(FakeApp(), limits=limits) as served, served.connect() as client:
        client.sendall(REQUEST)
        assert status_of(client) == b"HTTP/1.1 200 OK"
        time.sleep(1)  # longer than the other limits
        client.sendall(REQUEST)
        assert status_of(client) == b"HTTP/1.1 200 OK"
        assert 1 < seconds_until_closed(client) < 8


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:0"])
def test_an_answer_on_a_kept_connection_does_not_wait_for_an_acknowledgement(address: str) -> None:
    if ":" in address[:-2] and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with ThreadedServer(large_answer, bind(address)) as server, Served(server.url).connect() as client:
        assert accepted(server._server, client).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_request_in_pieces_that_arrives_in_time_is_answered() -> None:
    with serving(FakeApp()) as served, served.connect() as client:
        for byte in REQUEST:
            client.sendall(bytes([byte]))
        assert status_of(client) == b"HTTP/1.1 200 OK"


async def large_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than the system's buffers hold."""
    await Response(b"x" * 30_000_000)(scope, receive, send)


def test_a_client_that_does_not_read_is_let_go() -> None:
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), IMPATIENT) as server:
        served = Served(server.url)
        with served.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(3)
            received = 0
            with contextlib.suppress(ConnectionError):
                while chunk := client.recv(1 << 20):
                    received += len(chunk)
    assert received < 30_000_000


def test_a_client_that_reads_slowly_but_in_time_gets_everything() -> None:
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), Limits(keep_alive_seconds=1)) as server:
        served = Served(server.url)
        with served.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = 0
            time.sleep(1.5)  # uvicorn's keep-alive ends meanwhile
            while received < 30_000_000 and (chunk := client.recv(1 << 20)):
                received += len(chunk)
    assert received > 30_000_000


def read_large_answer(client: socket.socket) -> None:
    """Ask for the large answer, be slow, and read all of it."""
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    time.sleep(0.3)
    received = 0
    while received < 30_000_000:
        chunk = client.recv(1 << 20)
        assert chunk, "the server has closed the connection"
        received += len(chunk)


def test_an_answer_that_was_read_in_time_does_not_end_the_connection_later() -> None:
    limits = Limits(request_seconds=0.5, answer_seconds=1.0, keep_alive_seconds=10)
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), limits) as server, Served(server.url).connect() as client:
        read_large_answer(client)
        time.sleep(1.5)
        read_large_answer(client)


def test_after_an_answer_that_was_read_slowly_the_next_request_has_its_own_deadline() -> None:
    limits = Limits(request_seconds=0.5, answer_seconds=1.0, keep_alive_seconds=10)
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), limits) as server, Served(server.url).connect() as client:
        read_large_answer(client)
        client.sendall(b"G")
        assert seconds_until_closed(client) < 5


async def slow_answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer after a second."""
    await anyio.sleep(1)
    await Response(b"done")(scope, receive, send)


def test_an_answer_may_take_longer_than_a_request() -> None:
    limits = Limits(request_seconds=0.3, answer_seconds=20)
    with ThreadedServer(slow_answer, bind("127.0.0.1:0"), limits) as server:
        assert Served(server.url).ask("/").body == b"done"


def test_the_limit_is_for_each_request_and_not_for_the_connection() -> None:
    with serving(FakeApp(), limits=Limits(request_bytes=200)) as served, served.connect() as client:
        for _ in range(20):
            client.sendall(REQUEST)
            assert status_of(client) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("headers", [b"X-A: %b\r\n" % (b"b" * 70_000), b"X-A: b\r\n" * 9_000])
def test_an_endless_header_is_refused(headers: bytes) -> None:
    with serving(FakeApp()) as served:
        with served.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + headers)
            assert client.recv(65536).startswith(b"HTTP/1.1 431 ")
        assert served.ask("/-/healthy").status == 200


def test_a_large_header_within_the_limit_is_accepted() -> None:
    with serving(FakeApp()) as served:
        assert served.ask("/-/healthy", headers={"X-A": "b" * 30_000}).status == 200


def test_an_endless_body_is_not_read() -> None:
    with serving(FakeApp()) as served, served.connect() as client:
        client.sendall(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n")
        with pytest.raises(ConnectionError):
            client.sendall(b"x" * 99_999_999)


def test_many_idle_and_slow_clients_do_not_hold_up_a_scrape() -> None:
    with ExitStack() as stack:
        served = stack.enter_context(serving(FakeApp()))
        for number in range(200):
            client = stack.enter_context(served.connect())
            if number % 2:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: loc")
        began = time.monotonic()
        assert [served.ask("/metrics").status for _ in range(10)] == [200] * 10
        assert time.monotonic() - began < 5


def test_more_clients_than_allowed_push_out_who_waits_longest() -> None:
    with ExitStack() as stack:
        served = stack.enter_context(serving(FakeApp(), limits=Limits(connections=5)))
        clients = [stack.enter_context(served.connect()) for _ in range(5)]
        assert served.ask("/-/healthy").status == 200
        assert seconds_until_closed(clients[0]) < 5
        for client in clients[1:]:
            client.sendall(REQUEST)
            assert status_of(client) == b"HTTP/1.1 200 OK"


# --- stopping --------------------------------------------------------------------------------------


def test_the_server_stops_within_seconds_whatever_clients_do() -> None:
    with ExitStack() as clients:
        with ThreadedServer(large_answer, bind("127.0.0.1:0")) as server:
            served = Served(server.url)
            for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
                clients.enter_context(served.connect()).sendall(start)
            time.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        gc.collect()  # complains of a connection that was not closed


PROGRAM = """
from exporter.logs import LogFormat, LogLevel, configure
from exporter.web.internal import build_internal
from exporter.web.server import bind, serve, url_of
from tests.served import FakeApp

configure(LogLevel.WARN, LogFormat.LOGFMT)

app = FakeApp()
listener = bind("127.0.0.1:0")

def on_hangup():
    print("hangup", app.reload(), flush=True)

print(url_of(listener), flush=True)
serve(build_internal(app), [listener], on_hangup=on_hangup)
print("ended", listener.fileno(), flush=True)
"""


class Program:
    """A process that serves until a signal."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.served = Served(self.line())

    def line(self) -> str:
        """The next line of its output; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture
def program() -> Iterator[Program]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        try:
            running = Program(process)
            assert running.served.ask("/-/healthy").status == 200  # by then it takes signals
            yield running
        finally:
            watchdog.cancel()
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_and_nothing_else(program: Program, number: signal.Signals) -> None:
    idle = program.served.connect()
    slow = program.served.connect()
    slow.sendall(b"GET /metr")
    with idle, slow:
        began = time.monotonic()
        program.process.send_signal(number)
        assert program.line() == "ended -1"
        assert program.process.wait(timeout=10) == 0
        assert time.monotonic() - began < 4
    assert program.process.stderr is not None
    assert program.process.stderr.read() == ""


def test_a_hangup_calls_back_and_the_server_goes_on(program: Program) -> None:
    for _ in range(2):
        program.process.send_signal(signal.SIGHUP)
        assert program.line() == "hangup ()"
        assert program.served.ask("/-/healthy").status == 200
