"""TLS on real sockets: who may connect, what a slow or hostile client costs, and certificates that change."""

import contextlib
import gc
import http.client
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import requests
import yaml
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exporter.web.connection import Limits
from exporter.web.protection import Protection
from exporter.web.server import ThreadedServer, bind
from tests.certificates import Certificates, write_certificates
from tests.processes import free_port, running, wait_for
from tests.protected import CERT, REQUEST, TLS, Listener, basic, hashed, protected
from tests.repo import require_program
from tests.served import FakeApp

REFUSED = (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_certificates(tmp_path)
    return tmp_path


@pytest.fixture
def encrypted(folder: Path) -> Iterator[Listener]:
    with protected(folder, TLS) as listener:
        yield listener


def answer_of(client: socket.socket) -> bytes:
    """One whole answer to REQUEST."""
    answer = b""
    while not answer.endswith(b"healthy.\n"):
        chunk = client.recv(65536)
        assert chunk, answer
        answer += chunk
    return answer


def test_pages_are_served_encrypted(encrypted: Listener) -> None:
    assert encrypted.url.startswith("https://127.0.0.1:")
    answer = encrypted.ask("/metrics")
    assert answer.status == 200
    assert b"twofa_exporter_build_info" in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_connection_is_kept_for_the_next_request(encrypted: Listener) -> None:
    with encrypted.private() as client:
        assert client.version() == "TLSv1.3"
        assert client.selected_alpn_protocol() is None
        for _ in range(3):
            client.sendall(REQUEST)
            assert answer_of(client).startswith(b"HTTP/1.1 200 OK\r\n")


def test_who_speaks_plain_http_is_told_nothing(encrypted: Listener) -> None:
    with encrypted.connect() as client:
        client.sendall(REQUEST)
        answer = b""
        try:
            while chunk := client.recv(4096):
                answer += chunk
        except ConnectionError:
            pass
    assert b"healthy" not in answer
    assert encrypted.ask().status == 200


def test_the_newest_protocol_of_http_is_1_1(encrypted: Listener) -> None:
    context = encrypted.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with encrypted.private(context) as client:
        assert client.selected_alpn_protocol() == "http/1.1"


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(encrypted: Listener) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = encrypted.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with encrypted.connect() as plain:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        client.write(REQUEST)
        plain.sendall(outgoing.read())  # in one packet with what ends the handshake
        answer = b""
        while b"healthy" not in answer:
            try:
                answer += client.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(plain.recv(65536))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


# --- clients' certificates ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "taken"),
    [
        ("NoClientCert", {None, "client", "stranger"}),
        ("RequestClientCert", {None, "client", "stranger"}),
        ("RequireAnyClientCert", {"client"}),
        ("VerifyClientCertIfGiven", {None, "client"}),
        ("RequireAndVerifyClientCert", {"client"}),
    ],
)
def test_each_policy_lets_in_who_it_says(folder: Path, auth: str, taken: set[str | None]) -> None:
    ca = "" if auth == "NoClientCert" else ", client_ca_file: ca.pem"
    with protected(folder, f"tls_server_config: {{{CERT}, client_auth_type: {auth}{ca}}}") as listener:
        let_in = set()
        for client in (None, "client", "stranger"):
            try:
                assert listener.ask(client=client).status == 200
                let_in.add(client)
            except REFUSED:
                continue
    assert let_in == taken


@pytest.mark.parametrize(
    ("sans", "is_taken"),
    [
        ("prometheus.example", True),
        ("nobody.example, 192.0.2.7", True),
        ('"2001:db8::7"', True),
        ('"2001:DB8:0:0:0:0:0:7"', True),
        ("Prometheus.example", False),
        ("example", False),
        ("192.0.2.70", False),
    ],
)
def test_only_named_clients_are_let_in(folder: Path, sans: str, is_taken: bool) -> None:
    text = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [{sans}]
"""
    with protected(folder, text) as listener:
        if is_taken:
            assert listener.ask(client="client").status == 200
        else:
            with pytest.raises(REFUSED):
                listener.ask(client="client")
        with pytest.raises(REFUSED):
            listener.ask(client="other")


# --- what is spoken ----------------------------------------------------------------------------------


def spoken(folder: Path, text: str, context_of: "list[tuple[str, str]]") -> list[str | None]:
    """The version and cipher that each client gets; None for one that gets none."""
    found: list[str | None] = []
    with protected(folder, f"tls_server_config: {{{CERT}{text}}}") as listener:
        for version, ciphers in context_of:
            context = listener.context()
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
            if ciphers:
                context.set_ciphers(ciphers)
            try:
                with listener.private(context) as client:
                    cipher = client.cipher()
                    assert cipher is not None
                    found.append(cipher[0])
            except REFUSED:
                found.append(None)
    return found


def test_a_newer_version_can_be_insisted_on(folder: Path) -> None:
    clients = [("TLSv1_2", ""), ("TLSv1_3", "")]
    assert [each is not None for each in spoken(folder, "", clients)] == [True, True]
    assert [each is not None for each in spoken(folder, ", min_version: TLS13", clients)] == [False, True]
    assert [each is not None for each in spoken(folder, ", max_version: TLS12", clients)] == [True, False]


def test_only_the_named_suites_are_spoken(folder: Path) -> None:
    server = ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]"
    ours, theirs = "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"
    clients = [("TLSv1_2", f"{theirs}:{ours}"), ("TLSv1_2", theirs), ("TLSv1_2", "ECDHE-ECDSA-CHACHA20-POLY1305")]
    assert spoken(folder, server, clients) == [ours, theirs, None]
    assert spoken(folder, f"{server}, prefer_server_cipher_suites: false", clients) == [theirs, theirs, None]


def test_only_the_first_curve_is_used(folder: Path) -> None:
    with protected(folder, f"tls_server_config: {{{CERT}, curve_preferences: [CurveP384, X25519]}}") as listener:
        for curve, is_taken in (("secp384r1", True), ("prime256v1", False), ("X25519", False)):
            context = listener.context()
            context.set_ecdh_curve(curve)
            if is_taken:
                assert listener.ask(context=context).status == 200
            else:
                with pytest.raises(REFUSED):
                    listener.ask(context=context)


# --- files that change -------------------------------------------------------------------------------


def names_of(listener: Listener) -> set[str]:
    with listener.private() as client:
        certificate = client.getpeercert()
        assert certificate is not None
        return {str(entry[1]) for entry in certificate["subjectAltName"]}


def replace(listener: Listener, name: str, *files: str) -> None:
    """Put another certificate and key, or one of them, in the place of the server's."""
    pair = dict(zip(("crt", "key"), listener.certificates.pair(name), strict=True))
    for file in files:
        waiting = listener.folder / f"server.{file}.new"
        waiting.write_bytes(Path(pair[file]).read_bytes())
        waiting.replace(listener.folder / f"server.{file}")


def test_a_renewed_certificate_is_served_within_seconds_and_open_connections_go_on(
    encrypted: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with encrypted.private() as before:
        replace(encrypted, "renewed", "crt", "key")
        wait_for(lambda: "renewed.example" in names_of(encrypted), seconds=10)
        before.sendall(REQUEST)
        assert answer_of(before).startswith(b"HTTP/1.1 200 OK\r\n")
    assert [r.getMessage() for r in caplog.records if "web configuration" in r.getMessage()] == [
        "web configuration reloaded"
    ]


def test_half_a_renewal_changes_nothing_is_told_of_and_is_completed_by_the_other_half(
    encrypted: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    protection = encrypted.protection
    replace(encrypted, "renewed", "crt")
    protection.reload_if_changed()
    assert "renewed.example" not in names_of(encrypted)
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.getMessage() == "web configuration not reloaded, the old one stays in force"
    assert vars(record)["problem"].endswith(
        "web.yml: tls_server_config.cert_file and key_file: do not belong together (key values mismatch)"
    )
    protection.reload_if_changed()
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1  # told once
    replace(encrypted, "renewed", "key")
    protection.reload_if_changed()
    assert "renewed.example" in names_of(encrypted)


def test_a_certificate_that_comes_after_its_name_is_taken_then(encrypted: Listener) -> None:
    encrypted.write("tls_server_config: {cert_file: late.crt, key_file: late.key}")
    encrypted.protection.reload_if_changed()
    assert "renewed.example" not in names_of(encrypted)
    for file, source in zip(("late.crt", "late.key"), encrypted.certificates.pair("renewed"), strict=True):
        (encrypted.folder / file).write_bytes(Path(source).read_bytes())
    encrypted.protection.reload_if_changed()
    assert "renewed.example" in names_of(encrypted)


def test_a_link_that_is_turned_is_a_change(folder: Path) -> None:
    """A Secret of Kubernetes is a folder behind a link, which is turned to the next one."""
    for version, name in (("one", "server"), ("two", "renewed")):
        (folder / version).mkdir()
        for file, source in zip(("tls.crt", "tls.key"), Certificates(folder).pair(name), strict=True):
            (folder / version / file).write_bytes(Path(source).read_bytes())
            os.utime(folder / version / file, (1, 1))
    (folder / "data").symlink_to("one")
    with protected(folder, "tls_server_config: {cert_file: data/tls.crt, key_file: data/tls.key}") as listener:
        (folder / "next").symlink_to("two")
        (folder / "next").replace(folder / "data")
        listener.protection.reload_if_changed()
        assert "renewed.example" in names_of(listener)


def test_who_may_connect_changes_too(folder: Path) -> None:
    with protected(folder, TLS) as listener:
        assert listener.ask().status == 200
        listener.write(
            f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}"
        )
        assert listener.ask("/-/reload", method="POST").status == 200
        with pytest.raises(REFUSED):
            listener.ask()
        assert listener.ask(client="client").status == 200


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "tls_server_config: TLS is turned on and off by a restart only"),
        ("tls_server_config: x", "tls_server_config: must be a mapping, got text"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_a_bad_file_is_told_of_by_the_reload_and_changes_nothing(
    encrypted: Listener, text: str | None, problem: str
) -> None:
    path = encrypted.folder / "web.yml"
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    answer = encrypted.ask("/-/reload", method="POST")
    assert (answer.status, answer.text) == (
        500,
        f"The old configuration stays in force:\n{path}: {problem}\n",
    )
    assert encrypted.app.reloads == 1
    assert encrypted.ask().status == 200
    encrypted.write(TLS)
    assert encrypted.ask("/-/reload", method="POST").status == 200


def test_nothing_is_read_again_while_nothing_changes(encrypted: Listener, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    before = encrypted.protection.encryption
    encrypted.protection.reload_if_changed()
    assert encrypted.protection.encryption is before
    assert encrypted.protection.reload() == ()  # asked for: the same again, without a word
    assert [r for r in caplog.records if "web configuration" in r.getMessage()] == []


# --- clients that misbehave --------------------------------------------------------------------------

IMPATIENT = Limits(request_seconds=0.5, answer_seconds=1.0, keep_alive_seconds=1)


def seconds_until_closed(client: socket.socket, *, drip: bytes = b"") -> float:
    began = time.monotonic()
    client.settimeout(0.1)
    while time.monotonic() - began < 15:
        try:
            if drip:
                client.sendall(drip[:1])
                drip = drip[1:]
            if client.recv(65536) == b"":
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began


def client_hello(listener: Listener) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = listener.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("kind", ["says nothing", "drips", "stops in the middle"])
def test_a_slow_handshake_has_an_end(folder: Path, kind: str) -> None:
    with protected(folder, TLS, limits=IMPATIENT) as listener, listener.connect() as client:
        hello = client_hello(listener)
        if kind == "stops in the middle":
            client.sendall(hello)
            client.recv(65536)
        assert seconds_until_closed(client, drip=hello if kind == "drips" else b"") < 3


def test_a_client_that_says_nothing_after_the_handshake_is_let_go(folder: Path) -> None:
    with protected(folder, TLS, limits=IMPATIENT) as listener, listener.private() as client:
        assert 0.3 < seconds_until_closed(client) < 5


def test_five_hundred_handshakes_that_stand_still_do_not_hold_up_a_scrape(encrypted: Listener) -> None:
    hello = client_hello(encrypted)
    with ExitStack() as stack:
        clients = []
        for number in range(500):
            client = stack.enter_context(encrypted.connect())
            if number % 2:
                client.sendall(hello)
            clients.append(client)
        began = time.monotonic()
        assert [encrypted.ask("/metrics").status for _ in range(5)] == [200] * 5
        assert time.monotonic() - began < 5
        closed = 0
        for client in clients:
            client.settimeout(0.001)
            try:
                while client.recv(65536):
                    pass
                closed += 1
            except TimeoutError:
                continue
            except ConnectionError:
                closed += 1
        assert closed >= 500 - Limits().connections - 1  # no more are kept than there may be connections


def test_rubbish_ends_one_connection_and_nothing_else(encrypted: Listener, caplog: pytest.LogCaptureFixture) -> None:
    hello = client_hello(encrypted)
    for rubbish in (
        b"\x16\x03\x01\xff\xff" + b"\0" * 5000,
        hello[:40],
        hello + hello,
        hello[:-9] + b"\xff" * 9,
        b"\x15",
    ):
        with encrypted.connect() as client:
            client.sendall(rubbish)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(5)
            try:
                while client.recv(65536):
                    pass
            except ConnectionError:
                pass
    with encrypted.connect():
        pass  # and goes
    assert encrypted.ask().status == 200
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def large_answer(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(b"x" * 20_000_000)(scope, receive, send)


def test_a_client_that_does_not_read_is_let_go(folder: Path) -> None:
    (folder / "web.yml").write_text(TLS)
    protection = Protection(folder / "web.yml")
    limits = Limits(answer_seconds=0.5, keep_alive_seconds=60)
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), limits, protection=protection) as server:
        listener = Listener(server.url, folder, FakeApp(), protection, server)
        with closing(listener.app.storage), listener.private() as client:
            client.sendall(REQUEST)
            connections = server._server.server_state.connections
            wait_for(lambda: connections)
            wait_for(lambda: not connections, seconds=5)
            received = 0
            with contextlib.suppress(OSError):
                while chunk := client.recv(1 << 20):
                    received += len(chunk)
    assert received < 20_000_000


def test_a_client_that_reads_gets_everything(folder: Path) -> None:
    (folder / "web.yml").write_text(TLS)
    protection = Protection(folder / "web.yml")
    with ThreadedServer(large_answer, bind("127.0.0.1:0"), protection=protection) as server:
        listener = Listener(server.url, folder, FakeApp(), protection, server)
        with closing(listener.app.storage):
            assert len(listener.ask("/").body) == 20_000_000


def test_the_server_stops_within_seconds_whatever_clients_do(folder: Path) -> None:
    with ExitStack() as clients:
        with protected(folder, TLS) as listener:
            hello = client_hello(listener)
            for start in (b"", hello[:50], hello):
                clients.enter_context(listener.connect()).sendall(start)
            clients.enter_context(listener.private()).sendall(b"GET / HT")
            time.sleep(0.2)
            began = time.monotonic()
        assert time.monotonic() - began < 4
        gc.collect()  # complains of a connection that was not closed


def test_the_process_keeps_no_descriptor_of_clients_that_are_gone(encrypted: Listener) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("no /proc here")
    encrypted.ask()
    before = descriptors()
    threads = threading.active_count()
    for _ in range(20):
        encrypted.ask()
        with encrypted.connect() as client:
            client.sendall(b"\x16\x03")
    wait_for(lambda: descriptors() <= before)
    assert threading.active_count() <= threads + 1


# --- the real client ---------------------------------------------------------------------------------


@pytest.mark.e2e
def test_prometheus_scrapes_with_its_certificate_and_as_a_user(folder: Path, tmp_path: Path) -> None:
    program = require_program("prometheus")
    text = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example]
basic_auth_users:
  prometheus: {hashed("right")}
"""
    with protected(folder, text) as listener:
        host, port = listener.address
        certificate, key = listener.certificates.pair("client")
        tls_config = {
            "ca_file": str(listener.certificates.ca),
            "cert_file": certificate,
            "key_file": key,
            "server_name": "localhost",
        }
        jobs = [
            {
                "job_name": name,
                "scheme": "https",
                "basic_auth": {"username": "prometheus", "password": password},
                "tls_config": tls_config,
                "static_configs": [{"targets": [f"{host}:{port}"]}],
            }
            for name, password in (("right", "right"), ("wrong", "wrong"))
        ]
        config = {"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
        own = f"127.0.0.1:{free_port()}"
        arguments = [
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={own}",
        ]

        def health() -> dict[str, str]:
            try:
                answer = requests.get(f"http://{own}/api/v1/targets", timeout=5).json()
            except requests.RequestException:
                return {}
            targets = answer["data"]["activeTargets"]
            return {t["labels"]["job"]: t["health"] for t in targets if t["health"] != "unknown"}

        with running([program, *arguments], tmp_path / "prometheus.log"):
            wait_for(lambda: len(health()) == 2)
            assert health() == {"right": "up", "wrong": "down"}
        assert basic("prometheus", "right")  # the same credentials as a person would give
        assert listener.ask("/metrics", client="client", headers=basic("prometheus", "right")).status == 200
