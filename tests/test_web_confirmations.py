"""What the application tells of typed codes, over real HTTP."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests

from checks.messages import Receipt, Status
from checks.secret import Secret
from checks.settings import ConfirmationSettings
from exporter.meters import ConfirmationOutcome
from tests.served import FakeApp, serving

TOKEN = "a token for the tests"
NUMBER = "+4915112345678"
SID = f"SM{1:032x}"


@dataclass
class Listener:
    """The internal listener with one provider that takes confirmations."""

    app: FakeApp
    url: str
    target: str

    def post(self, json: Any, *, token: str = TOKEN, target: str | None = None, **more: Any) -> requests.Response:
        return requests.post(
            f"{self.url}/api/v1/confirmations/{self.target if target is None else target}",
            json=json,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            **more,
        )

    def verified(self) -> dict[tuple[str, str], int]:
        tally = self.app.storage.snapshot().tallies.get(self.target)
        return {} if tally is None else dict(tally.verifications)

    def counted(self) -> dict[str, int]:
        return {outcome.value: n for (_, outcome), n in self.app.meters.read().confirmations.items() if n}


@pytest.fixture
def listener() -> Iterator[Listener]:
    app = FakeApp()
    (target, settings), *_ = app.config.providers.items()
    confirmed = settings.model_copy(update={"confirmations": ConfirmationSettings.model_construct(token=Secret(TOKEN))})
    app.config = replace(app.config, providers={**app.config.providers, target: confirmed})
    with serving(app) as served:
        yield Listener(app, served.url, target)


def test_a_typed_code_of_a_known_message_counts_for_its_country(listener: Listener) -> None:
    at = time.time() - 20
    listener.app.storage.book(listener.target).take(
        [Receipt(message_id=SID, status=Status.DELIVERED, at=at, created_at=at, recipient=NUMBER, country="DE")]
    )
    for _ in range(2):  # the second time it is a repetition
        assert listener.post({"confirmations": [{"message_id": SID}]}).status_code == 204
    assert listener.verified() == {("DE", "converted"): 1}
    assert listener.counted() == {ConfirmationOutcome.TAKEN.value: 2}


def test_codes_may_be_told_by_number_and_as_not_typed(listener: Listener) -> None:
    now = time.time()
    batch = [
        {"recipient": NUMBER, "at": now - 5},
        {"recipient": NUMBER, "at": now - 65, "typed": False},
        {"message_id": "SMunknown", "typed": True},
    ]
    assert listener.post({"confirmations": batch}).status_code == 204
    assert listener.verified() == {("DE", "converted"): 1, ("DE", "unconverted"): 1, ("unknown", "converted"): 1}
    assert listener.counted() == {"taken": 2, "unknown_message": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "must be JSON such as"),
        ({"confirmations": [{"message_id": 7}]}, "`$.confirmations[0].message_id`: must be JSON"),
        ({"confirmations": [{}]}, "confirmations[0]: must have either message_id or recipient"),
        (
            {"confirmations": [{"message_id": SID}, {"recipient": "0151"}]},
            "confirmations[1].recipient: must be a phone",
        ),
        ({"confirmations": [{"message_id": SID, "at": "yesterday"}]}, "confirmations[0].at: must be ISO 8601"),
        ({"confirmations": [{"message_id": SID, "at": 1e9}]}, "confirmations[0].at: must be ISO 8601"),
        ({"confirmations": [{"message_id": SID, "phone": NUMBER}]}, "must be JSON such as"),
        ({"confirmations": [{"message_id": SID}] * 1001}, "must be 1000 at the most"),
    ],
)
def test_a_batch_with_a_problem_is_refused_as_a_whole(listener: Listener, body: Any, words: str) -> None:
    answer = listener.post(body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert NUMBER not in answer.text
    assert listener.verified() == {}
    assert listener.counted() == {"malformed": 1}


def test_what_is_no_json_is_refused(listener: Listener) -> None:
    answer = requests.post(
        f"{listener.url}/api/v1/confirmations/{listener.target}",
        data=b"{" * 5000,
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=10,
    )
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (400, "the body")


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü"])
def test_only_the_token_opens_it(listener: Listener, token: str) -> None:
    answer = requests.post(
        f"{listener.url}/api/v1/confirmations/{listener.target}",
        json={"confirmations": []},
        headers={"Authorization": f"Bearer {token}".encode()},
        timeout=10,
    )
    assert answer.status_code == 401
    assert listener.counted() == {"unauthorized": 1}


def test_it_is_off_unless_configured(listener: Listener) -> None:
    assert listener.post({"confirmations": []}, target="other").status_code == 404
    with serving(FakeApp()) as served:
        url = f"{served.url}/api/v1/confirmations/{listener.target}"
        assert requests.post(url, json={}, timeout=10).status_code == 404
