"""Infobip's emulator against Infobip's own library (infobip-api-python-client, MIT): its client asks, its models read.

Its models are generated from Infobip's OpenAPI documents, with strict types. It has no call for the balance.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from exporter.sandbox import Sandbox

pytestmark = pytest.mark.contract

library = pytest.importorskip("infobip_api_client")
models = pytest.importorskip("infobip_api_client.models")

SENDER = "12025550143"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=1) as running:
        yield running


def client(sandbox: Sandbox, key: str | None = None) -> Any:
    settings = sandbox.provider_settings("infobip")
    key = settings["api_key"].reveal() if key is None else key
    configuration = library.Configuration(api_key=key)
    configuration.host = settings["base_url"]  # as an argument it would become https
    return library.SmsApi(library.ApiClient(configuration))


def undocumented(payload: Any, model: Any, path: str = "") -> list[str]:
    """Return the keys of an answer that a model has no field for, with the models of its fields."""
    if model is None or not hasattr(model, "model_fields"):
        return []
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    found = [f"{path}{key}" for key in payload if key not in names]
    for key in payload.keys() & names.keys():
        inner = models.__dict__.get(INNER.get(key, ""))
        values = payload[key] if isinstance(payload[key], list) else [payload[key]]
        for value in values:
            if isinstance(value, dict):
                found += undocumented(value, inner, f"{path}{key}.")
    return found


INNER = {
    "results": "SmsLog",
    "price": "MessagePrice",
    "status": "SmsMessageStatus",
    "error": "SmsMessageError",
    "messages": "SmsResponseDetails",
    "cursor": "SmsCursorPageInfo",
}


def asked(sandbox: Sandbox, path: str, **query: Any) -> Any:
    settings = sandbox.provider_settings("infobip")
    headers = {"Authorization": f"App {settings['api_key'].reveal()}"}
    return requests.get(f"{settings['base_url']}{path}", headers=headers, params=query, timeout=10).json()


def test_the_library_reads_the_log_to_its_end(sandbox: Sandbox) -> None:
    seen: list[str] = []
    cursor: str | None = None
    while True:
        told = client(sandbox).get_outbound_sms_message_logs(limit=1000, use_cursor=True, cursor=cursor)
        assert told.results is not None
        seen += [row.message_id for row in told.results]
        assert all(row.status.group_name and row.sent_at for row in told.results)
        cursor = told.cursor.next_cursor if told.cursor else None
        if not cursor:
            break
    assert len(seen) > 100
    assert len(seen) == len(set(seen))


def test_the_log_holds_nothing_that_the_library_does_not_know(sandbox: Sandbox) -> None:
    payload = asked(sandbox, "/sms/3/logs", limit=1000, useCursor="true")
    assert payload["results"]
    assert sorted(set(undocumented(payload, models.SmsLogsResponse))) == []


def test_the_search_finds_what_is_undocumented() -> None:
    payload = {"results": [{"sender": "a", "status": {"id": 5, "mood": "good"}, "shape": 1}]}
    assert sorted(undocumented(payload, models.SmsLogsResponse)) == ["results.shape", "results.status.mood"]


def test_the_library_sends(sandbox: Sandbox) -> None:
    message = models.SmsMessage(
        sender=SENDER,
        destinations=[models.SmsDestination(to="4915112345678")],
        content=models.SmsMessageContent(models.SmsTextContent(text="a test")),
    )
    told = client(sandbox).send_sms_messages(models.SmsRequest(messages=[message]))
    assert [(each.status.group_name, bool(each.message_id)) for each in told.messages] == [("PENDING", True)]


def test_a_refusal_is_that_of_the_library(sandbox: Sandbox) -> None:
    with pytest.raises(library.exceptions.UnauthorizedException) as refused:
        client(sandbox, "x" * 40).get_outbound_sms_message_logs(limit=1)
    told = models.ApiError.model_validate_json(refused.value.body)
    assert (told.error_code, told.resources) == ("E401", [])
