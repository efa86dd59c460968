"""The link to an SMSC: against the sandbox's, and against servers on loopback that do what none should."""

import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from checks.errors import BadResponseError, ProviderError, UnreachableError
from checks.kinds import KINDS
from checks.providers import PROVIDERS
from checks.providers.http import deadline
from checks.providers.observer import NoObserver
from checks.providers.smpp import (
    _NAMES,
    PDU_LIMIT_BYTES,
    STATUSES,
    Pdu,
    SmppClient,
    SmppSettings,
    code_of,
    pack_pdu,
    read_pdu,
)
from checks.reason import Reason
from checks.secret import Secret
from exporter.config import ConfigError, load, masked
from exporter.sandbox import Sandbox
from tests.processes import free_port

SYSTEM_ID: Final = "sys-41c09a"
PASSWORD: Final = "pw7d41c0"
NUMBER: Final = "4915112345678"
BIND, DELIVER, UNBIND, ENQUIRE, DATA, NACK, ANSWER = 0x02, 0x05, 0x06, 0x15, 0x103, 0x80000000, 0x80000000
DEADLINE_SECONDS: Final = 0.3
MOST_SECONDS: Final = 1.5
_R = Reason

Script = Callable[[socket.socket], None]


def pdu(command: int, sequence: int, status: int = 0, body: bytes = b"") -> bytes:
    return struct.pack("!IIII", 16 + len(body), command, status, sequence) + body


def take(sock: socket.socket) -> tuple[int, int, int, bytes]:
    """The next PDU of the client: command, status, sequence, body."""
    length, command, status, sequence = struct.unpack("!IIII", exactly(sock, 16))
    return command, status, sequence, exactly(sock, length - 16)


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


class Smsc:
    """Plays a script to one client, then keeps what the client says and lets it unbind."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.heard: list[tuple[int, int, int, bytes]] = []
        self._script, self._tls = script, tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="stub smsc", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError, EOFError):
            sock, _ = self._listener.accept()
            sock.settimeout(5)
            with self._tls.wrap_socket(sock, server_side=True) if self._tls else sock as link:
                self._script(link)
                while True:
                    self.heard.append(take(link))
                    command, _, sequence, _ = self.heard[-1]
                    if command == UNBIND:
                        link.sendall(pdu(UNBIND | ANSWER, sequence))

    def join(self) -> list[tuple[int, int, int, bytes]]:
        """What was heard after the script, once the client has left."""
        self._thread.join(5)
        assert not self._thread.is_alive(), "the client keeps the connection"
        return self.heard

    def close(self) -> None:
        self._listener.close()
        self._thread.join(5)


@contextmanager
def smsc(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Smsc]:
    server = Smsc(script, tls)
    try:
        yield server
    finally:
        server.close()


def settings(port: int, **changes: Any) -> SmppSettings:
    own = {
        "type": "smpp",
        "bind": "dedicated",
        "host": "127.0.0.1",
        "port": port,
        "tls": False,
        "system_id": Secret(SYSTEM_ID),
        "password": Secret(PASSWORD),
    }
    return SmppSettings.model_validate({**own, **changes})


def verify(port: int, *, seconds: float = 5.0, observer: Any = None, **changes: Any) -> None:
    with closing(SmppClient(settings(port, **changes), observer=observer)) as client, deadline(seconds):
        client.verify_credentials()


def refusal(port: int, **changes: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        verify(port, **changes)
    return caught.value


def accept_bind(sock: socket.socket) -> None:
    command, _, sequence, _ = take(sock)
    assert command == BIND
    sock.sendall(pdu(BIND | ANSWER, sequence, body=b"SMSC\0"))


def accept_all(sock: socket.socket) -> None:
    accept_bind(sock)
    for _ in range(2):
        command, _, sequence, _ = take(sock)
        sock.sendall(pdu(command | ANSWER, sequence))


def say(*data: bytes) -> Script:
    """Take the bind and answer this, whatever was asked."""

    def script(sock: socket.socket) -> None:
        take(sock)
        for each in data:
            sock.sendall(each)

    return script


def then(first: Script, *data: bytes) -> Script:
    """After ``first`` take one more PDU and answer this."""

    def script(sock: socket.socket) -> None:
        first(sock)
        say(*data)(sock)

    return script


def hang_up(sock: socket.socket) -> None:
    take(sock)
    sock.shutdown(socket.SHUT_RDWR)


def reset(sock: socket.socket) -> None:
    take(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def cut(data: bytes) -> Script:
    def script(sock: socket.socket) -> None:
        say(data)(sock)
        sock.shutdown(socket.SHUT_RDWR)

    return script


def drip(data: bytes) -> Script:
    def script(sock: socket.socket) -> None:
        take(sock)
        for each in data:
            sock.sendall(bytes([each]))
            time.sleep(0.05)

    return script


# The conversation


def test_a_link_is_bound_asked_and_unbound() -> None:
    said = []

    def script(sock: socket.socket) -> None:
        for _ in range(3):
            command, status, sequence, body = take(sock)
            said.append((command, status, sequence, body))
            sock.sendall(pdu(command | ANSWER, sequence))

    with smsc(script) as server:
        verify(server.port, system_type="OTP")
        assert server.join() == []
    body = f"{SYSTEM_ID}\0{PASSWORD}\0OTP\0".encode() + b"\x34\0\0\0"
    assert said == [(BIND, 0, 1, body), (ENQUIRE, 0, 2, b""), (UNBIND, 0, 3, b"")]


def test_an_answer_in_parts_is_put_together() -> None:
    def script(sock: socket.socket) -> None:
        _, _, sequence, _ = take(sock)
        for each in pdu(BIND | ANSWER, sequence, body=b"SMSC\0"):
            sock.sendall(bytes([each]))
        take(sock)
        answer = pdu(ENQUIRE | ANSWER, 2)
        sock.sendall(answer[:9])
        time.sleep(0.02)
        sock.sendall(answer[9:])

    with smsc(script) as server:
        verify(server.port)


HOSTILE: Final[Mapping[str, tuple[Script, Reason]]] = {
    "a length less than a header": (say(struct.pack("!IIII", 15, BIND | ANSWER, 0, 1)), _R.BAD_RESPONSE),
    "no length": (say(bytes(16)), _R.BAD_RESPONSE),
    "a length over the limit": (say(struct.pack("!IIII", 4097, BIND | ANSWER, 0, 1)), _R.BAD_RESPONSE),
    "a huge length": (say(struct.pack("!IIII", 0xFFFFFFFF, BIND | ANSWER, 0, 1)), _R.BAD_RESPONSE),
    "HTTP": (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), _R.BAD_RESPONSE),
    "no answer": (say(), _R.TIMEOUT),
    "half a header": (say(pdu(BIND | ANSWER, 1)[:7]), _R.TIMEOUT),
    "half a body": (say(pdu(BIND | ANSWER, 1, body=b"SMSC\0")[:-2]), _R.TIMEOUT),
    "a byte at a time": (drip(pdu(BIND | ANSWER, 1)), _R.TIMEOUT),
    "half a header and the end": (cut(pdu(BIND | ANSWER, 1)[:7]), _R.UNREACHABLE),
    "hangs up": (hang_up, _R.UNREACHABLE),
    "resets": (reset, _R.UNREACHABLE),
    "another sequence": (say(pdu(BIND | ANSWER, 2)), _R.BAD_RESPONSE),
    "sequence 0": (say(pdu(BIND | ANSWER, 0)), _R.BAD_RESPONSE),
    "the answer to another command": (say(pdu(0x80000009, 1)), _R.BAD_RESPONSE),
    "a nack without a status": (say(pdu(NACK, 1)), _R.BAD_RESPONSE),
    "a nack of another command": (say(pdu(NACK, 7, 0x03)), _R.BAD_RESPONSE),
    "a reserved status": (say(pdu(BIND | ANSWER, 1, 0x500)), _R.BAD_RESPONSE),
    "a status like a number": (say(pdu(BIND | ANSWER, 1, 0x49151123)), _R.BAD_RESPONSE),
    "much else": (say(pdu(0x102, 1) * 40), _R.BAD_RESPONSE),
    "asks without an end": (say(pdu(ENQUIRE, 1) * 40), _R.BAD_RESPONSE),
    "leaves": (say(pdu(UNBIND, 1)), _R.UNREACHABLE),
    "a bind and no more": (then(accept_bind), _R.TIMEOUT),
    "a bind and another answer": (then(accept_bind, pdu(ENQUIRE | ANSWER, 1)), _R.BAD_RESPONSE),
    "a bind and the same again": (then(accept_bind, pdu(BIND | ANSWER, 1)), _R.BAD_RESPONSE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_has_its_reason_in_time(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script, reason = HOSTILE[name]
    with smsc(script) as server:
        started = time.monotonic()
        error = refusal(server.port, seconds=DEADLINE_SECONDS if reason is _R.TIMEOUT else 5.0)
        took = time.monotonic() - started
        server.join()
    assert error.reason is reason, str(error)
    assert reason is not _R.TIMEOUT or took < MOST_SECONDS
    assert_shows_no_secret(error, caplog.text)


def test_the_timeout_of_the_settings_is_that_of_the_whole() -> None:
    with smsc(drip(pdu(BIND | ANSWER, 1, body=bytes(100)))) as server:
        started = time.monotonic()
        error = refusal(server.port, timeout="200ms")
        assert time.monotonic() - started < MOST_SECONDS
    assert (error.reason, str(error)) == (_R.TIMEOUT, "no answer to the bind came in time")


def test_without_time_nobody_is_asked() -> None:
    error = refusal(1, seconds=0.0)
    assert (error.reason, str(error)) == (_R.TIMEOUT, "no time was left to ask")


STATUS_REASONS: Final[Mapping[int, Reason]] = {
    0x01: _R.INTERNAL,
    0x02: _R.INTERNAL,
    0x03: _R.INTERNAL,
    0x04: _R.INTERNAL,
    0x05: _R.RATE_LIMITED,
    0x08: _R.PROVIDER_OUTAGE,
    0x0D: _R.CREDENTIALS_REJECTED,
    0x0E: _R.CREDENTIALS_REJECTED,
    0x0F: _R.CREDENTIALS_REJECTED,
    0x14: _R.RATE_LIMITED,
    0x53: _R.CREDENTIALS_REJECTED,
    0x58: _R.RATE_LIMITED,
    0xFF: _R.PROVIDER_OUTAGE,
}


def test_every_status_has_its_row_and_its_source() -> None:
    assert set(STATUSES) == set(_NAMES.values())
    assert set(STATUS_REASONS) == set(_NAMES)
    assert all(row.source.endswith("table 5-2") for row in STATUSES.values())


@pytest.mark.parametrize("command", [BIND | ANSWER, NACK], ids=["bind_transmitter_resp", "generic_nack"])
@pytest.mark.parametrize("status", STATUS_REASONS, ids=hex)
def test_a_refused_bind_has_its_reason_and_needs_no_unbind(status: int, command: int) -> None:
    with smsc(say(pdu(command, 1, status))) as server:
        error = refusal(server.port)
        assert server.join() == []
    assert (error.reason, error.code) == (STATUS_REASONS[status], _NAMES[status])
    assert str(error).startswith(f"the SMSC refuses the bind: {_NAMES[status]}")


def test_a_nack_of_what_could_not_be_read_is_that_of_our_question() -> None:
    with smsc(say(pdu(NACK, 0, 0x02))) as server:
        assert refusal(server.port).code == "ESME_RINVCMDLEN"


class Codes(NoObserver):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def code_unmapped(self, code: str) -> None:
        self.codes.append(code)


def test_a_status_of_the_vendors_own_is_counted_and_may_be_explained() -> None:
    seen = Codes()
    with smsc(say(pdu(BIND | ANSWER, 1, 0x411))) as server:
        error = refusal(server.port, observer=seen)
    assert (error.reason, error.code, seen.codes) == (_R.BAD_RESPONSE, "status-0x411", ["status-0x411"])
    with smsc(say(pdu(BIND | ANSWER, 1, 0x411))) as server:
        error = refusal(server.port, observer=seen, error_codes={"status-0x411": "account_suspended"})
    assert (error.reason, len(seen.codes)) == (_R.ACCOUNT_SUSPENDED, 1)


def test_the_settings_have_the_last_word_on_a_status() -> None:
    with smsc(say(pdu(BIND | ANSWER, 1, 0x0D))) as server:
        error = refusal(server.port, error_codes={"ESME_RBINDFAIL": "rate_limited"})
    assert error.reason is _R.RATE_LIMITED


def test_a_refused_enquire_link_is_told_and_the_link_unbound() -> None:
    with smsc(then(accept_bind, pdu(ENQUIRE | ANSWER, 2, 0x08))) as server:
        error = refusal(server.port)
        heard = server.join()
    assert (error.reason, error.code) == (_R.PROVIDER_OUTAGE, "ESME_RSYSERR")
    assert str(error).startswith("the SMSC refuses enquire_link: ESME_RSYSERR")
    assert heard == [(UNBIND, 0, 3, b"")]


# What comes unasked


def test_a_message_that_comes_all_the_same_is_left_to_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers: list[tuple[int, int, int, bytes]] = []

    def script(sock: socket.socket) -> None:
        _, _, sequence, _ = take(sock)
        sock.sendall(pdu(DELIVER, 77, body=f"\0\1\1{NUMBER}\0 stat:DELIVRD".encode()))
        sock.sendall(pdu(DATA, 78, body=NUMBER.encode()) + pdu(0x102, 79) + pdu(ENQUIRE, 80))
        sock.sendall(pdu(BIND | ANSWER, sequence))
        answers.extend(take(sock) for _ in range(3))
        command, _, sequence, _ = take(sock)
        sock.sendall(pdu(command | ANSWER, sequence))

    with smsc(script) as server:
        verify(server.port)
    not_now = 0x64
    assert answers == [
        (DELIVER | ANSWER, not_now, 77, b"\0"),
        (DATA | ANSWER, not_now, 78, b"\0"),
        (ENQUIRE | ANSWER, 0, 80, b""),
    ]
    assert NUMBER not in caplog.text


def test_an_smsc_that_leaves_is_let_go() -> None:
    with smsc(then(accept_bind, pdu(UNBIND, 9))) as server:
        error = refusal(server.port)
        heard = server.join()
    assert (error.reason, str(error)) == (_R.UNREACHABLE, "the SMSC ended the link before it answered")
    assert heard == [(UNBIND | ANSWER, 0, 9, b"")]


# Unbinding


@pytest.mark.parametrize("script", [say(), then(accept_bind)], ids=["after the bind", "after enquire_link"])
def test_a_link_that_may_be_bound_is_unbound_after_a_timeout(script: Script) -> None:
    with smsc(script) as server:
        assert refusal(server.port, seconds=DEADLINE_SECONDS).reason is _R.TIMEOUT
        assert [command for command, *_ in server.join()] == [UNBIND]


@pytest.mark.parametrize("answer", [b"", pdu(UNBIND | ANSWER, 3, 0x08), b"HTTP/1.1 400 Bad Request"])
def test_a_bad_farewell_is_no_fault_of_the_link(answer: bytes) -> None:
    def script(sock: socket.socket) -> None:
        accept_bind(sock)
        take(sock)
        sock.sendall(pdu(ENQUIRE | ANSWER, 2))
        take(sock)
        sock.sendall(answer)

    started = time.monotonic()
    with smsc(script) as server:
        verify(server.port, seconds=DEADLINE_SECONDS)
        server.join()
    assert time.monotonic() - started < MOST_SECONDS


# No connection, TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    ca = trustme.CA()
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return ca, str(path)


def server_context(ca: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


def test_nobody_listens() -> None:
    error = refusal(free_port())
    assert (error.reason, str(error)) == (_R.UNREACHABLE, "the connection was refused")


def test_a_host_that_can_have_no_address() -> None:
    error = refusal(2775, host="a..b")
    assert (error.reason, str(error)) == (_R.UNREACHABLE, "the host name has no address")


def test_a_trusted_certificate_of_the_right_name_is_accepted(authority: tuple[trustme.CA, str]) -> None:
    ca, path = authority
    with smsc(accept_all, server_context(ca)) as server:
        verify(server.port, tls=True, ca_file=path)


@pytest.mark.parametrize("wrong", ["ca", "name"])
def test_a_wrong_certificate_is_refused_before_the_password_is_sent(
    authority: tuple[trustme.CA, str], wrong: str
) -> None:
    ca, path = authority
    context = server_context(trustme.CA() if wrong == "ca" else ca, "localhost" if wrong == "name" else "127.0.0.1")
    with smsc(lambda _: None, context) as server:
        error = refusal(server.port, tls=True, ca_file=path)
        assert server.join() == []
    assert (error.reason, str(error)) == (_R.TLS_FAILED, "the certificate is not trusted")


def test_the_cas_of_the_environment_are_those_without_a_file(
    authority: tuple[trustme.CA, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, path = authority
    with smsc(accept_all, server_context(ca)) as server:
        assert refusal(server.port, tls=True).reason is _R.TLS_FAILED
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", path)
    with smsc(accept_all, server_context(ca)) as server:
        verify(server.port, tls=True)


def test_a_server_without_tls_is_no_secure_connection(authority: tuple[trustme.CA, str]) -> None:
    with smsc(lambda sock: sock.sendall(b"220 smtp.example.com ready\r\n")) as server:
        error = refusal(server.port, tls=True, ca_file=authority[1])
    assert (error.reason, str(error)) == (_R.TLS_FAILED, "no secure connection could be made")


def test_a_handshake_that_never_ends_is_a_timeout(authority: tuple[trustme.CA, str]) -> None:
    started = time.monotonic()
    with smsc(lambda _: None) as server:
        assert refusal(server.port, seconds=0.2, tls=True, ca_file=authority[1]).reason is _R.TIMEOUT
    assert time.monotonic() - started < 2 * MOST_SECONDS


def test_an_smsc_may_ask_for_our_certificate(authority: tuple[trustme.CA, str], tmp_path: Path) -> None:
    ca, path = authority
    context = server_context(ca)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    own = ca.issue_cert("exporter.example.com")
    certificate, key = tmp_path / "own.pem", tmp_path / "own.key"
    own.cert_chain_pems[0].write_to_path(certificate)
    own.private_key_pem.write_to_path(key)
    with smsc(accept_all, context) as server:
        verify(
            server.port,
            tls=True,
            ca_file=path,
            client_certificate_file=str(certificate),
            client_key_file=str(key),
        )
    with smsc(accept_all, context) as server:
        assert refusal(server.port, tls=True, ca_file=path).reason in (_R.TLS_FAILED, _R.UNREACHABLE)


def test_a_file_that_cannot_be_used_is_named(authority: tuple[trustme.CA, str], tmp_path: Path) -> None:
    ca, path = authority
    own, locked = tmp_path / "own.pem", tmp_path / "locked.key"
    issued = ca.issue_cert("exporter.example.com")
    issued.cert_chain_pems[0].write_to_path(own)
    key = load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(ValueError, match=r'the CA bundle "/nowhere\.pem" cannot be read'):
        SmppClient(settings(1, tls=True, ca_file="/nowhere.pem"))
    with pytest.raises(ValueError, match="must be PEM without a password"):  # and asks for none on a terminal
        SmppClient(settings(1, tls=True, client_certificate_file=str(own), client_key_file=str(locked)))
    with pytest.raises(ValueError, match=r'the certificate "/nowhere\.pem" cannot be used'):
        SmppClient(settings(1, tls=True, ca_file=path, client_certificate_file="/nowhere.pem"))


# PDUs


class Bytes:
    """Gives the bytes that it has, and notes the most that it was asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.most = data, 0

    def __call__(self, count: int) -> bytes:
        self.most = max(self.most, count)
        if count > len(self.data):
            raise UnreachableError("the end")
        part, self.data = self.data[:count], self.data[count:]
        return part


WORD: Final = st.integers(0, 2**32 - 1)
ANY_LENGTH: Final = st.builds(lambda length, rest: struct.pack("!I", length) + rest, WORD, st.binary(max_size=80))


@given(st.binary(max_size=80) | ANY_LENGTH)
def test_any_bytes_are_a_pdu_or_a_refusal_and_never_too_much(data: bytes) -> None:
    source = Bytes(data)
    with suppress(BadResponseError, UnreachableError):
        assert len(read_pdu(source)) == 3
    assert source.most < PDU_LIMIT_BYTES


@given(WORD, WORD, WORD, st.binary(max_size=PDU_LIMIT_BYTES - 16), st.binary(max_size=20))
def test_a_pdu_is_read_as_it_was_written_and_what_follows_is_left(
    command: int, status: int, sequence: int, body: bytes, rest: bytes
) -> None:
    source = Bytes(pack_pdu(command, sequence, status=status, body=body) + rest)
    assert read_pdu(source) == Pdu(command, status, sequence)
    assert source.data == rest


@given(WORD)
def test_a_status_is_called_by_a_code_that_settings_take(status: int) -> None:
    code = code_of(status)
    assert (code is None) == (status == 0 or status > 0x4FF)
    if code is not None:
        assert settings(1, error_codes={code: "rate_limited"}).error_codes == {code: _R.RATE_LIMITED}


# The sandbox


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0.0, speed=0.0) as sandbox:
        yield sandbox


def link_of(sandbox: Sandbox, **changes: Any) -> SmppClient:
    return SmppClient(SmppSettings.model_validate({**sandbox.provider_settings("smpp"), **changes}))


def test_the_sandbox_is_bound_and_left_again_and_again(world: Sandbox) -> None:
    for _ in range(3):
        link_of(world).verify_credentials()


@pytest.mark.parametrize(
    ("wrong", "code"), [("system_id", "ESME_RINVSYSID"), ("password", "ESME_RINVPASWD")], ids=["system_id", "password"]
)
def test_the_sandbox_refuses_wrong_credentials(world: Sandbox, wrong: str, code: str) -> None:
    with pytest.raises(ProviderError) as caught:
        link_of(world, **{wrong: Secret("f" * 8)}).verify_credentials()
    assert (caught.value.reason, caught.value.code) == (_R.CREDENTIALS_REJECTED, code)


def test_the_sandbox_allows_one_bind_as_many_do(world: Sandbox) -> None:
    own = world.provider_settings("smpp")
    body = f"{own['system_id'].reveal()}\0{own['password'].reveal()}\0\0".encode() + b"\x34\0\0\0"
    with socket.create_connection((own["host"], own["port"]), timeout=5) as production:
        production.sendall(pdu(BIND, 1, body=body))
        assert take(production) == (BIND | ANSWER, 0, 1, b"SANDBOX\0")
        with pytest.raises(ProviderError) as caught:
            link_of(world).verify_credentials()
        assert (caught.value.reason, caught.value.code) == (_R.RATE_LIMITED, "ESME_RALYBND")
        production.sendall(pdu(UNBIND, 2))
        assert take(production) == (UNBIND | ANSWER, 0, 2, b"")
    link_of(world).verify_credentials()


def test_the_sandbox_refuses_what_it_does_not_know_and_what_is_too_long(world: Sandbox) -> None:
    own = world.provider_settings("smpp")
    with socket.create_connection((own["host"], own["port"]), timeout=5) as other:
        other.sendall(pdu(0x04, 5) + pdu(UNBIND, 6) + struct.pack("!IIII", 2000, BIND, 0, 7))
        assert [take(other) for _ in range(3)] == [
            (NACK, 0x03, 5, b""),
            (UNBIND | ANSWER, 0x04, 6, b""),
            (NACK, 0x02, 7, b""),
        ]
        assert other.recv(1) == b""


FAULTS: Final[Mapping[str, Reason]] = {
    "credentials_rejected": _R.CREDENTIALS_REJECTED,
    "account_suspended": _R.CREDENTIALS_REJECTED,  # the wire has no word for it
    "provider_outage": _R.PROVIDER_OUTAGE,
    "rate_limited": _R.RATE_LIMITED,
    "unreachable": _R.UNREACHABLE,
    "timeout": _R.TIMEOUT,
    "bad_response": _R.BAD_RESPONSE,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_sandbox_has_its_reason(world: Sandbox, fault: str) -> None:
    world.set_fault(fault)
    try:
        with pytest.raises(ProviderError) as caught, deadline(DEADLINE_SECONDS):
            link_of(world).verify_credentials()
    finally:
        world.clear_fault(fault)
    assert caught.value.reason is FAULTS[fault]
    assert caught.value.reason in KINDS["credentials"].reasons
    link_of(world).verify_credentials()


def test_the_port_is_free_again_after_closing() -> None:
    sandbox = Sandbox(history_hours=0.0, speed=0.0)
    port = sandbox.provider_settings("smpp")["port"]
    assert sandbox.link_addresses == {"smpp": f"127.0.0.1:{port}"}
    with socket.create_connection(("127.0.0.1", port), timeout=5) as held:
        sandbox.close()
        assert held.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


# Settings


CONFIG: Final = """\
providers:
  link:
    type: smpp
    bind: dedicated
    host: smpp.example.com
    port: 3550
    system_id: {env: TEST_SYSTEM_ID}
    password: {env: TEST_PASSWORD}
checks:
  link:
    type: credentials
    target: link
    interval: 5m
"""


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEST_SYSTEM_ID", SYSTEM_ID)
    monkeypatch.setenv("TEST_PASSWORD", PASSWORD)

    def write(*edits: tuple[str, str]) -> Path:
        text = CONFIG
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        Path("c.yml").write_text(text)
        return Path("c.yml")

    return write


REFUSED: Final[Mapping[str, tuple[tuple[str, str], str]]] = {
    "no word on the danger": (
        ("    bind: dedicated\n", ""),
        "providers.link.bind: is required: a check binds, and a bind may displace the one that production sends"
        " through, or be refused for it, as many SMSCs allow few of one system_id; say dedicated where this system_id"
        " is for the checks alone, and may_displace_production where it is not and that is accepted",
    ),
    "another word": (
        ("bind: dedicated", "bind: yes please"),
        "providers.link.bind: must be 'dedicated' or 'may_displace_production', got \"yes please\"",
    ),
    "too often": (
        ("interval: 5m", "interval: 30s"),
        'checks.link.interval: must be at least "1m", is "30s": each run binds to the SMSC anew',
    ),
    "a check that it cannot answer": (
        ("type: credentials", "type: balance"),
        "checks.link.target: the provider type smpp cannot answer the check balance; it can answer: credentials",
    ),
    "a file without TLS": (
        ("port: 3550", "port: 3550\n    tls: false\n    ca_file: /ca.pem"),
        "providers.link: ca_file is of no use without tls",
    ),
    "a key without a certificate": (
        ("port: 3550", "port: 3550\n    client_key_file: /own.key"),
        "providers.link: client_key_file needs client_certificate_file",
    ),
    "a file from somewhere": (
        ("port: 3550", "port: 3550\n    ca_file: ca.pem"),
        "providers.link.ca_file: must be a path that begins with /",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_setting_is_refused_in_words(config_file: Callable[..., Path], name: str) -> None:
    edit, words = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        load(config_file(edit))
    assert caught.value.problems == (f"c.yml: {words}",)


@pytest.mark.parametrize("value", ["ä" * 8, "x" * 65])
def test_a_credential_that_no_smsc_takes_is_refused_and_not_quoted(
    config_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TEST_PASSWORD", value)
    with pytest.raises(ConfigError) as caught:
        load(config_file())
    assert caught.value.problems == (
        "c.yml: providers.link.password: must be ASCII in one line, of 64 characters at most",
    )


@pytest.mark.parametrize("value", ["a\0b", "a\nb", "a\x7fb"])
def test_a_credential_with_signs_that_end_a_field_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="must be ASCII in one line"):
        settings(1, password=Secret(value))


def test_a_link_of_its_own_gives_no_warning(config_file: Callable[..., Path]) -> None:
    assert load(config_file()).warnings == ()


def test_a_bind_that_may_displace_another_is_warned_of(config_file: Callable[..., Path]) -> None:
    assert load(config_file(("bind: dedicated", "bind: may_displace_production"))).warnings == (
        "c.yml: providers.link.bind: each run of a check may cut the link that production sends through, or be refused"
        " for it; have the SMSC give the checks a system_id of their own, and say dedicated",
    )


def test_a_password_in_clear_is_warned_of_but_on_loopback(config_file: Callable[..., Path]) -> None:
    assert load(config_file(("port: 3550", "port: 2775\n    tls: false"))).warnings == (
        "c.yml: providers.link.tls: without it the password can be read on the way; a VPN to the SMSC would do as well",
    )
    local = ("smpp.example.com\n    port: 3550", "127.0.0.1\n    port: 2775\n    tls: false")
    assert load(config_file(local)).warnings == ()


def test_it_answers_the_check_of_credentials_and_no_other() -> None:
    assert [name for name, kind in KINDS.items() if PROVIDERS["smpp"].implements(kind.needs)] == ["credentials"]


# Secrecy


def assert_shows_no_secret(error: ProviderError, *more: str) -> None:
    chain = (str(error), repr(error), str(error.__dict__), repr(error.__cause__), repr(error.__context__))
    for text in (*chain, *more):
        assert SYSTEM_ID not in text
        assert PASSWORD not in text


def test_settings_and_client_show_no_secret(config_file: Callable[..., Path]) -> None:
    config = load(config_file())
    own = config.providers["link"]
    assert isinstance(own, SmppSettings)
    client = SmppClient(own)
    shown = "".join([masked(config), repr(own), str(own), own.model_dump_json(), repr(client), repr(config)])
    assert SYSTEM_ID not in shown
    assert PASSWORD not in shown
