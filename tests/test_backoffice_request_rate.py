"""How often a back office is asked: no more often than its settings allow."""

import time
from collections.abc import Sequence

import pytest

from checks.back_office import BackOffice
from checks.backoffices.b2core import B2CoreClient, B2CoreSettings
from checks.backoffices.zitadel import ZitadelClient, ZitadelSettings
from checks.errors import ProviderError
from checks.providers.http import deadline
from checks.reason import Reason
from checks.secret import Secret
from tests.stub_server import StubServer, answer

PHONE_LISTS = ("/api/v2/phones", "/v2/users")
NUMBER = "+14155550100"


def build(url: str, requests_per_second: int) -> Sequence[BackOffice]:
    own = {"url": url, "token": Secret("canary"), "max_requests_per_second": requests_per_second}
    return (
        B2CoreClient(B2CoreSettings.model_validate({"type": "b2core", **own})),
        ZitadelClient(ZitadelSettings.model_validate({"type": "zitadel", **own})),
    )


@pytest.mark.parametrize("vendor", [0, 1])
def test_no_more_requests_begin_in_a_second_than_the_settings_say(vendor: int) -> None:
    with StubServer() as stub:
        stub.everywhere(answer({"data": [], "result": []}))
        for requests_per_second, is_quick in ((1, False), (1000, True)):
            client = build(stub.url, requests_per_second)[vendor]
            stub.requests.clear()
            began = time.monotonic()
            assert list(client.find_clients(NUMBER)) == []
            assert list(client.find_clients(NUMBER)) == []
            assert (time.monotonic() - began < 0.9) is is_quick
            assert [request.path in PHONE_LISTS for request in stub.requests] == [True] * 2
            client.close()


@pytest.mark.parametrize("vendor", [0, 1])
def test_a_back_office_that_asks_for_quiet_is_left_alone(vendor: int) -> None:
    with StubServer() as stub:
        stub.everywhere(answer({}, status=429, headers={"Retry-After": "30"}))
        client = build(stub.url, 10)[vendor]
        for _ in range(2):
            with deadline(5), pytest.raises(ProviderError) as caught:
                client.find_clients(NUMBER)
            assert caught.value.reason is Reason.RATE_LIMITED
        assert len(stub.requests) == 1
        client.close()
