"""The sandbox's Vonage, and our calls, against Vonage's own OpenAPI documents: Prism stands in between."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from checks.errors import ProviderError
from checks.messages import Status
from checks.providers.vonage import VonageClient, VonageSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter.sandbox import Sandbox
from exporter.sandbox import vonage as emulator
from tests.contract.prism import HOME, proxy, require_prism
from tests.contract.vonage_spec import write_spec

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=3.0, speed=2.0) as running_sandbox:
        yield running_sandbox


@pytest.fixture(scope="module")
def origin(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node = require_prism()
    folder = tmp_path_factory.mktemp("contract")
    spec = write_spec(HOME, folder / "vonage.json")
    with proxy(node, spec, f"{sandbox.url}/vonage", folder / "prism.log") as url:
        yield url


def client_of(sandbox: Sandbox, origin: str, **changes: Any) -> VonageClient:
    given = {**sandbox.provider_settings("vonage"), "base_url": origin, "timeout": "30s", **changes}
    return VonageClient(VonageSettings.model_validate(given))


def send(client: VonageClient) -> str:
    return client.send_canary(to="+4915112345678", sender="SANDBOX", text="a test", validity_seconds=300)


CALLS: dict[str, Callable[[VonageClient], object]] = {
    "fetch_balance": lambda client: client.fetch_balance(),
    "read_page": lambda client: client.read_page(since=time.time() - 3600).receipts,
    "read_page of a span": lambda client: client.read_page(since=time.time() - 9000, until=time.time()).resume,
    "send_canary": send,
    "fetch_canary": lambda client: client.fetch_canary(send(client)).status in Status,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_what_our_own_client_asks_and_is_told_keeps_the_contract(
    origin: str, sandbox: Sandbox, call: Callable[[VonageClient], object]
) -> None:
    with closing(client_of(sandbox, origin)) as client:
        client.verify_credentials()
        assert call(client)


def test_a_page_by_cursor_keeps_the_contract(origin: str, sandbox: Sandbox) -> None:
    with closing(client_of(sandbox, origin)) as client:
        until = time.time()
        page = client.read_page(since=until - 9000, until=until)
        assert page.resume is not None
        assert "cursor" in page.resume
        assert client.read_page(since=until - 9000, until=until, resume=page.resume).receipts


@pytest.mark.parametrize("fault", ["delivery_failing", "provider_partial_outage", "country_not_permitted"])
def test_messages_in_trouble_keep_the_contract(origin: str, sandbox: Sandbox, fault: str) -> None:
    sandbox.set_fault(fault)
    try:
        with closing(client_of(sandbox, origin)) as client:
            assert client.read_page(since=time.time() - 600).receipts
    finally:
        sandbox.clear_fault(fault)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("account_suspended", Reason.ACCOUNT_SUSPENDED), ("balance_exhausted", Reason.BALANCE_EXHAUSTED)],
)
def test_a_refused_send_keeps_the_contract(origin: str, sandbox: Sandbox, fault: str, reason: Reason) -> None:
    sandbox.set_fault(fault)
    try:
        with closing(client_of(sandbox, origin)) as client, pytest.raises(ProviderError) as caught:
            send(client)
    finally:
        sandbox.clear_fault(fault)
    assert caught.value.reason is reason


def test_wrong_credentials_keep_the_contract(origin: str, sandbox: Sandbox) -> None:
    with closing(client_of(sandbox, origin, api_secret=Secret("f" * 16))) as client:
        for call in (client.verify_credentials, lambda: send(client)):
            with pytest.raises(ProviderError) as caught:
                call()
            assert caught.value.reason is Reason.CREDENTIALS_REJECTED


def test_an_answer_that_breaks_the_contract_is_found(
    origin: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator, "_network", lambda _: 7)
    with closing(client_of(sandbox, origin)) as client, pytest.raises(ProviderError) as caught:
        client.read_page(since=time.time() - 600)
    assert caught.value.reason is Reason.PROVIDER_OUTAGE  # Prism answers 500


def test_a_call_that_breaks_the_contract_is_found(origin: str) -> None:
    answer = requests.get(f"{origin}/account/get-balance", timeout=10)
    assert answer.status_code == 422
