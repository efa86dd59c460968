"""Clients share connections: a thousand accounts behind one host do not hold a thousand of them."""

from collections.abc import Iterator

import pytest

from checks.providers import http
from checks.providers.http import Http
from tests.processes import wait_for
from tests.stub_server import StubServer, answer


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share with the clients of one test only."""
    monkeypatch.setattr(http, "_shared", http._Shared())


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as running:
        running.everywhere(answer({}))
        yield running


def account(stub: StubServer) -> Http:
    return Http({"api.example.com": stub.url}, timeout_seconds=5.0)


def ask(http: Http) -> None:
    assert http.request("GET", "https://api.example.com/", auth=("user", "secret")).status == 200


def test_many_accounts_behind_one_host_share_a_connection(stub: StubServer) -> None:
    accounts = [account(stub) for _ in range(100)]
    for each in accounts:
        ask(each)
    assert (len(stub.requests), stub.connections) == (100, 1)
    for each in accounts:
        each.close()


def test_a_connection_brings_nothing_of_the_account_before(stub: StubServer) -> None:
    stub.everywhere(answer({}, headers={"Set-Cookie": "session=1"}))
    first, second = account(stub), account(stub)
    ask(first)
    second.request("GET", "https://api.example.com/")
    assert stub.connections == 1
    assert stub.requests[1].headers.keys().isdisjoint({"authorization", "cookie"})
    first.close()
    second.close()


def test_the_last_that_is_closed_closes_the_connections(stub: StubServer) -> None:
    first, second = account(stub), account(stub)
    ask(first)
    first.close()
    first.close()  # as often as one likes
    ask(second)
    assert stub.connections == 1
    assert stub._sockets
    second.close()
    wait_for(lambda: not stub._sockets)
    third = account(stub)
    ask(third)
    third.close()
