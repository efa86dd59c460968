"""What a phone of our own tells, over real HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from checks.canary import CanarySettings
from checks.secret import Secret
from exporter.config import ConfiguredCheck
from tests.served import FakeApp, serving

TOKEN = "a token for the tests"
REFERENCE = "a1b2c3d4"
TEXT = f"Test of the code delivery. Please ignore. {REFERENCE}"


@dataclass
class Listener:
    """The internal listener with one check whose phone tells."""

    app: FakeApp
    url: str

    def post(self, json: Any = None, *, token: str = TOKEN, check: str = "canary", **more: Any) -> requests.Response:
        return requests.post(
            f"{self.url}/api/v1/canary/{check}/received",
            json=json,
            headers={"Authorization": f"Bearer {token}".encode()},
            timeout=10,
            **more,
        )

    def received_after(self) -> float | None:
        return self.app.storage.canaries.desk("canary").received_after(REFERENCE)


@pytest.fixture
def listener() -> Iterator[Listener]:
    app = FakeApp()
    settings = CanarySettings.model_validate(
        {
            "target": "twilio",
            "recipients": [{"number": "+4915112345678", "tells": True}],
            "sender": "+14155550100",
            "cost_per_message": 0.05,
            "max_cost_per_day": 0.2,
            "currency": "USD",
            "receive_token": Secret(TOKEN),
        }
    )
    check = ConfiguredCheck(name="canary", kind_name="canary", settings=settings)
    app.config = replace(app.config, checks={**app.config.checks, "canary": check})
    app.storage.canaries.desk("canary").expect(REFERENCE)
    with serving(app) as served:
        yield Listener(app, served.url)


@pytest.mark.parametrize("name", ["text", "body", "message"])
def test_a_test_message_is_known_by_its_reference(listener: Listener, name: str) -> None:
    answer = listener.post({name: TEXT, "from": "+14155550100", "sentStamp": 1, "sim": {"slot": 1}})
    assert (answer.status_code, answer.content) == (204, b"")
    after = listener.received_after()
    assert after is not None
    assert 0 <= after < 10


@pytest.mark.parametrize("posted", [{"text": "Your code is 123456"}, {}, {"text": ""}, {"text": "a" * 60_000}])
def test_other_messages_are_taken_without_a_word_of_them(listener: Listener, posted: Any) -> None:
    answer = listener.post(posted)
    assert answer.status_code == 200
    assert "123456" not in answer.text
    assert listener.received_after() is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 50_000, b"null", b'{"text": 7}', b'{"text": null}', b'{"text": "\\ud800"}', b"\xff\xfe", b"[]"],
)
def test_what_is_not_of_the_shape_is_refused(listener: Listener, body: bytes) -> None:
    answer = listener.post(data=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": 'the body must be JSON such as {"text": "…"}'}


def test_a_token_may_have_letters_of_any_language(listener: Listener) -> None:
    known = listener.app.config.checks["canary"]
    foreign = replace(known, settings=known.settings.model_copy(update={"receive_token": Secret("schlüssel-密")}))
    listener.app.config = replace(listener.app.config, checks={**listener.app.config.checks, "canary": foreign})
    assert listener.post({"text": TEXT}, token="schlüssel-密").status_code == 204


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü", TOKEN.upper()])
def test_only_the_token_opens_it(listener: Listener, token: str) -> None:
    assert listener.post({"text": TEXT}, token=token).status_code == 401
    assert listener.received_after() is None


def test_the_token_is_a_bearers(listener: Listener) -> None:
    url = f"{listener.url}/api/v1/canary/canary/received"
    for header, status in ((f"Basic {TOKEN}", 401), (TOKEN, 401), (f"bearer {TOKEN}", 204)):
        answer = requests.post(url, json={"text": TEXT}, headers={"Authorization": header}, timeout=10)
        assert answer.status_code == status


def test_a_check_without_a_token_takes_nothing(listener: Listener) -> None:
    known = listener.app.config.checks["canary"]
    closed = replace(known, settings=known.settings.model_copy(update={"receive_token": None}))
    listener.app.config = replace(listener.app.config, checks={**listener.app.config.checks, "canary": closed})
    assert listener.post({"text": TEXT}).status_code == 404
    assert listener.received_after() is None


@pytest.mark.parametrize("check", ["balance", "nobody", "%00"])
def test_only_a_check_with_a_token_has_it(listener: Listener, check: str) -> None:
    assert listener.post({"text": TEXT}, check=check).status_code == 404
