"""The sandbox as a process: it starts, says who it is, listens on loopback only, and stops."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import asdict

import pytest
import requests

from exporter.sandbox import FAULTS, Sandbox
from exporter.sandbox.credentials import build_credentials
from exporter.sandbox.faults import UnknownFaultError
from exporter.sandbox.server import SandboxError, run
from tests.served import Served, accepted


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0.1) as running:
        yield running


def faults_of(sandbox: Sandbox) -> dict[str, bool]:
    answer = requests.get(f"{sandbox.url}/sandbox/faults", timeout=5).json()
    return {each["name"]: each["active"] for each in answer["faults"]}


def test_it_answers_once_it_is_built(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/sandbox/healthy", timeout=5)
    assert (answer.status_code, answer.json()) == (200, {"healthy": True})


def test_it_says_its_credentials(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/sandbox/credentials", timeout=5).json()
    assert asdict(sandbox.credentials).items() <= answer.items()
    assert len(answer["countries"]) == 15
    assert answer["unpermitted_country"] in answer["countries"]


def test_another_seed_is_another_account() -> None:
    first, second = (asdict(build_credentials(seed)) for seed in (1, 2))
    same = {name for name in first if first[name] == second[name]}
    assert same == {"long_code", "toll_free", "alpha_sender", "b2core_email", "b2core_plain_email"}


def test_faults_are_switched_over_http(sandbox: Sandbox) -> None:
    assert set(faults_of(sandbox)) == set(FAULTS)
    assert not any(faults_of(sandbox).values())
    requests.put(f"{sandbox.url}/sandbox/faults/timeout", timeout=5).raise_for_status()
    assert {name for name, active in faults_of(sandbox).items() if active} == {"timeout"}
    requests.delete(f"{sandbox.url}/sandbox/faults/timeout", timeout=5).raise_for_status()
    assert not any(faults_of(sandbox).values())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_unknown_fault_is_refused_with_the_known_ones(sandbox: Sandbox, method: str) -> None:
    answer = requests.request(method, f"{sandbox.url}/sandbox/faults/gremlins", timeout=5)
    assert (answer.status_code, answer.json()["known"]) == (404, sorted(FAULTS))
    assert answer.json()["error"].startswith('no fault "gremlins", must be one of: account_')


def test_an_unknown_fault_is_refused_at_the_start() -> None:
    with pytest.raises(UnknownFaultError, match="gremlins"):
        Sandbox(faults=["gremlins"])


def test_faults_can_be_on_from_the_start() -> None:
    with Sandbox(history_hours=0.0, faults=("balance_low", "rate_limited")) as sandbox:
        active = {name for name, is_on in faults_of(sandbox).items() if is_on}
    assert active == {"balance_low", "rate_limited"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_host_that_is_not_loopback_is_refused(host: str) -> None:
    with pytest.raises(SandboxError, match="must be a loopback address"):
        Sandbox(host=host)


def test_a_host_name_is_refused() -> None:
    with pytest.raises(SandboxError, match="must be an IP address"):
        Sandbox(host="example.com")


def test_another_host_needs_an_explicit_word() -> None:
    with Sandbox(host="0.0.0.0", allow_remote=True, history_hours=0.0) as sandbox:
        port = sandbox.url.rsplit(":", 1)[1]
        answer = requests.get(f"http://127.0.0.1:{port}/sandbox/healthy", timeout=5)
    assert answer.status_code == 200


def test_a_taken_port_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError) as error:
            Sandbox(port=port)
    assert str(error.value) == (f"127.0.0.1:{port}: already in use; stop what listens there, or give another --port")


def test_after_closing_nobody_answers_and_the_thread_is_gone() -> None:
    sandbox = Sandbox(history_hours=0.0)
    sandbox.close()
    sandbox.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{sandbox.url}/sandbox/healthy", timeout=5)
    assert not sandbox._thread.is_alive()


def test_a_held_request_neither_blocks_the_others_nor_the_end() -> None:
    errors: list[Exception] = []
    sandbox = Sandbox(history_hours=0.0, faults=["timeout"])

    def ask() -> None:
        try:
            requests.get(f"{sandbox.url}/v1/Services", timeout=30)
        except requests.RequestException as error:
            errors.append(error)

    held = threading.Thread(target=ask)
    held.start()
    assert requests.get(f"{sandbox.url}/sandbox/healthy", timeout=5).status_code == 200
    sandbox.close()
    held.join(timeout=10)
    assert not held.is_alive()
    assert [type(error) for error in errors] == [requests.ConnectionError]


def test_running_in_the_foreground_tells_when_it_is_ready_and_ends_when_closed() -> None:
    origins: list[str] = []

    def stop(sandbox: Sandbox) -> None:
        origins.append(sandbox.url)
        sandbox.close()

    run(history_hours=0.0, on_ready=stop)
    assert origins[0].startswith("http://127.0.0.1:")


def test_an_answer_on_a_kept_connection_does_not_wait_for_an_acknowledgement(sandbox: Sandbox) -> None:
    with Served(sandbox.url).connect() as client:
        assert accepted(sandbox._server, client).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@pytest.mark.parametrize(
    ("speed", "messages_a_day", "day_seconds"), [(1.0, 20_000, 86_400), (60.0, 1_200_000, 1440), (0.5, 10_000, 86_400)]
)
def test_it_says_what_speed_does(speed: float, messages_a_day: float, day_seconds: float) -> None:
    with Sandbox(history_hours=0.0, seed=7, speed=speed) as sandbox:
        answer = requests.get(f"{sandbox.url}/sandbox/", timeout=5).json()
        assert {requests.get(sandbox.url + path, timeout=5).status_code for path in answer["see"]} == {200}
    assert (answer["seed"], answer["speed"]) == (7, speed)
    assert (answer["messages_a_day"], answer["day_of_rhythm_seconds"]) == (messages_a_day, day_seconds)
    assert "latencies, prices and receipts stay those of the real clock" in answer["what_speed_does"]
