"""ClickSend's emulator against the models of ClickSend's own library (clicksend-client, MIT), and the preset too.

The models are generated from ClickSend's OpenAPI document, with strict types: what the emulator answers has to be of
those, and what the preset asks has to be what the library's calls may ask.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from checks.providers.http_json import HttpJsonSettings
from checks.secret import Secret
from exporter import presets
from exporter.sandbox import Sandbox

pytestmark = pytest.mark.contract

models = pytest.importorskip("clicksend.models")
api = pytest.importorskip("clicksend.api.sms_api")

BODY = {"messages": [{"to": "+4915112345678", "from": "+12025550143", "body": "a test", "source": "test"}]}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1) as running:
        yield running


def asked(sandbox: Sandbox, method: str, path: str, **more: Any) -> Any:
    settings = sandbox.provider_settings("clicksend")
    secrets = {name: value.reveal() for name, value in settings["credentials"].items()}
    answer = requests.request(
        method,
        f"{settings['base_url']}{path}",
        auth=(secrets["username"], secrets["api_key"]),
        timeout=10,
        **more,
    )
    return answer.json()


def undocumented(value: Any) -> list[str]:
    """Return the keys that a model has no field for."""
    return sorted(getattr(value, "additional_properties", {}))


def test_the_history_is_that_of_the_library(sandbox: Sandbox) -> None:
    payload = asked(sandbox, "GET", "/sms/history", params={"limit": 100, "order_by": "date:desc"})
    told = models.ViewSmsHistory.model_validate(payload, strict=True)
    assert told.data is not None
    rows = told.data.data
    assert len(rows) == 100
    assert set(payload["data"]["data"][0]) <= {
        field.alias or name for name, field in models.ViewSmsHistoryDataAllOfDataInner.model_fields.items()
    }
    assert [undocumented(row) for row in rows if undocumented(row)] == []
    assert {row.status for row in rows} <= {"Queued", "Completed", "Scheduled", "WaitApproval", "Failed", "Sent"}


def test_a_send_is_that_of_the_library(sandbox: Sandbox) -> None:
    models.SendSmsRequest.model_validate(BODY)
    told = models.SendSms.model_validate(asked(sandbox, "POST", "/sms/send", json=BODY), strict=True)
    assert [message.status for message in told.data.messages] == ["SUCCESS"]


def test_usage_is_that_of_the_library(sandbox: Sandbox) -> None:
    payload = asked(sandbox, "GET", "/account/usage/2026/11/subaccount")
    assert models.ViewAccountUsage.model_validate(payload, strict=True).response_code == "SUCCESS"


def test_the_preset_asks_what_the_library_may_ask() -> None:
    entry = {
        "type": "http_json",
        "preset": "clicksend",
        "credentials": dict.fromkeys(("username", "api_key"), Secret("x" * 8)),
    }
    made = HttpJsonSettings.model_validate(entry, context=presets.CONTEXT)
    assert made.endpoints.messages is not None
    assert made.endpoints.message is not None
    may = set(api.SmsApi.view_sms_history.__annotations__)
    assert set(made.endpoints.messages.request.query) <= may
    assert set(made.endpoints.message.request.query) <= may
