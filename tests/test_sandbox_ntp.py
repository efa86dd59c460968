"""The sandbox's time server, asked over UDP as a client asks."""

import socket
import struct
from collections.abc import Iterator

import pytest
import requests

from exporter.sandbox import Sandbox
from exporter.sandbox.faults import OF_TIME
from tests.processes import free_port

NOW = 1_800_000_000.25
UNIX_EPOCH = 2_208_988_800
SENT = bytes(range(8))
"""What a client writes as its time: the server only copies it."""


def packet(*, mode: int = 3, version: int = 4) -> bytes:
    return bytes([version << 3 | mode, 0, 6, 0]) + bytes(36) + SENT


def ask(sandbox: Sandbox, request: bytes, *, timeout: float = 5.0) -> bytes:
    host, _, port = sandbox.ntp_address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout)
        client.connect((host, int(port)))
        client.send(request)
        return client.recv(2048)


def time_in(answer: bytes, offset: int) -> float:
    whole, fraction = struct.unpack_from("!II", answer, offset)
    return float(whole - UNIX_EPOCH + fraction / 2**32)


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(clock=lambda: NOW, history_hours=0.0, speed=0.0) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    yield running
    for fault in OF_TIME:
        running.clear_fault(fault)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_it_tells_the_time_to_a_client(sandbox: Sandbox, version: int) -> None:
    answer = ask(sandbox, packet(version=version))
    assert len(answer) == 48
    assert (answer[0] >> 6, answer[0] >> 3 & 7, answer[0] & 7) == (0, version, 4)
    assert (answer[1], answer[2]) == (1, 6)
    assert answer[24:32] == SENT
    assert (time_in(answer, 32), time_in(answer, 40)) == (NOW, NOW)
    assert 0 < NOW - time_in(answer, 16) < 60


def test_it_is_ahead_while_the_host_is_to_look_slow(sandbox: Sandbox) -> None:
    sandbox.set_fault("host_clock_skewed")
    answer = ask(sandbox, packet())
    assert (time_in(answer, 32), time_in(answer, 40)) == (NOW + 40, NOW + 40)
    sandbox.clear_fault("host_clock_skewed")
    assert time_in(ask(sandbox, packet()), 40) == NOW


def test_it_says_when_it_does_not_know_the_time(sandbox: Sandbox) -> None:
    sandbox.set_fault("ntp_unsynchronised")
    answer = ask(sandbox, packet())
    assert (answer[0] >> 6, answer[1]) == (3, 16)
    sandbox.clear_fault("ntp_unsynchronised")
    assert ask(sandbox, packet())[1] == 1


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"\x23", packet()[:47], packet(mode=4), packet(mode=6), packet(mode=7), packet(version=0), packet(version=5)],
    ids=["empty", "short", "cut", "server", "control", "private", "version 0", "version 5"],
)
def test_what_is_no_clients_packet_gets_no_answer_and_does_no_harm(sandbox: Sandbox, request_bytes: bytes) -> None:
    with pytest.raises(TimeoutError):
        ask(sandbox, request_bytes, timeout=0.1)
    assert len(ask(sandbox, packet())) == 48


def test_an_answer_is_not_longer_than_its_question(sandbox: Sandbox) -> None:
    assert len(ask(sandbox, packet() + bytes(400))) == 48


def test_its_clock_is_not_the_back_offices(sandbox: Sandbox) -> None:
    sandbox.set_fault("host_clock_skewed")
    date = requests.get(f"{sandbox.b2core_url}/api/v2/my/signin/wizard", timeout=5).headers["Date"]
    assert date == "Fri, 15 Jan 2027 08:00:00 GMT"


def test_it_has_the_port_of_the_sandbox_unless_that_is_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", free_port()))  # free for TCP, too
        with Sandbox(port=taken.getsockname()[1], history_hours=0.0, speed=0.0) as elsewhere:
            assert elsewhere.ntp_address != elsewhere.url.removeprefix("http://")
            assert len(ask(elsewhere, packet())) == 48


def test_its_port_is_free_again_after_closing() -> None:
    sandbox = Sandbox(history_hours=0.0, speed=0.0)
    host, _, port = sandbox.ntp_address.rpartition(":")
    sandbox.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((host, int(port)))
