"""What the application tells of typed codes, over real HTTP."""

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from checks.messages import Receipt, Status
from checks.secret import Secret
from checks.settings import ConfirmationSettings
from exporter.meters import ConfirmationOutcome
from tests.processes import wait_for
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

    def post(
        self,
        json: Any,
        *,
        token: str = TOKEN,
        target: str | None = None,
        data: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        fixed = {"Authorization": f"Bearer {token}".encode(), "Content-Type": content_type.encode()}
        return requests.post(
            f"{self.url}/api/v1/confirmations/{self.target if target is None else target}",
            json=json,
            data=data,
            headers={**fixed, **(headers or {})},
            timeout=10,
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
    app.config = replace(app.config, targets={**app.config.targets, target: confirmed})
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


NOW = time.time()
TIME = "when the code was typed, within the last day: ISO 8601 or Unix seconds; now if left out beside an id"
NUMBER_FORM = 'a phone number in E.164 form, such as "+14155550100"'
CODE_FORM = "an object with either message_id or recipient, and at and typed if need be"
ID_FORM = "the provider's id of the message: up to 64 printable ASCII characters"


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ([{}], [("", "has both message_id and recipient, or neither", CODE_FORM)]),
        ([7], [("", "is no such object", CODE_FORM)]),
        ([{"message_id": SID, "phone": NUMBER}], [("", "is no such object", CODE_FORM)]),
        ([{"message_id": 7}], [(".message_id", "is of another type", ID_FORM)]),
        ([{"message_id": "x" * 65}], [(".message_id", "is no id", ID_FORM)]),
        ([{"recipient": "0151 123", "at": NOW}], [(".recipient", "is no phone number", NUMBER_FORM)]),
        ([{"recipient": NUMBER}], [(".at", "is missing beside a recipient", TIME)]),
        ([{"message_id": SID, "at": "yesterday"}], [(".at", "is no such time", TIME)]),
        ([{"message_id": SID, "at": 1e9}], [(".at", "is no such time", TIME)]),
        ([{"message_id": SID, "at": 10**30}], [(".at", "is no such time", TIME)]),
        ([{"message_id": SID, "at": True}], [(".at", "is of another type", TIME)]),
        ([{"message_id": SID, "typed": 1}], [(".typed", "is of another type", "true or false; true if left out")]),
        (
            [{"message_id": SID, "recipient": "x" + NUMBER, "at": "2026-99-99"}],
            [
                ("", "has both message_id and recipient, or neither", CODE_FORM),
                (".recipient", "is no phone number", NUMBER_FORM),
                (".at", "is no such time", TIME),
            ],
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once_and_nothing_taken(
    listener: Listener, body: list[Any], problems: list[tuple[str, str, str]]
) -> None:
    answer = listener.post({"confirmations": [{"message_id": SID}, *body, *body]})
    expected = [
        {"where": f"confirmations[{place}]{field}", "what": what, "accepted": accepted}
        for place in (1, 2)
        for field, what, accepted in problems
    ]
    assert answer.status_code == 400
    assert answer.json() == {
        "error": f"{len(expected)} problems; nothing of the batch was taken",
        "problems": expected,
    }
    assert NUMBER not in answer.text
    assert listener.verified() == {}
    assert listener.counted() == {"malformed": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{" * 5000,
        b"[" * 200_000,
        b"{}",
        b"[]",
        b'{"confirmations": {}}',
        b'{"confirmations": [], "x": 1}',
        b'{"confirmations": [{"message_id": "\xff"}]}',
        b'{"confirmations": [{"message_id": "\\ud800"}]}',
        b'{"confirmations": [{"message_id": "S", "at": 1e999}]}',
        b'{"confirmations": [{"message_id": "S", "at": NaN}]}',
    ],
)
def test_what_is_not_the_json_expected_is_refused(listener: Listener, body: bytes) -> None:
    answer = listener.post(None, data=body)
    assert answer.status_code == 400
    assert answer.json()["error"] == "1 problem; nothing of the batch was taken"
    assert listener.counted() == {"malformed": 1}


def test_many_problems_are_told_in_part(listener: Listener) -> None:
    answer = listener.post({"confirmations": [{}] * 1000})
    assert answer.json()["error"] == "1000 problems; nothing of the batch was taken"
    assert len(answer.json()["problems"]) == 50


def test_a_thousand_codes_are_taken_at_once_and_no_more(listener: Listener) -> None:
    now = time.time()
    batch = [{"message_id": f"SM{n:032x}", "at": now, "typed": True} for n in range(1001)]
    assert listener.post({"confirmations": batch[:1000]}).status_code == 204
    assert listener.verified() == {("unknown", "converted"): 1000}
    answer = listener.post({"confirmations": batch})
    assert answer.json()["problems"] == [
        {"where": "confirmations", "what": "has 1001 codes", "accepted": "1000 at the most"}
    ]


def test_a_large_body_is_not_taken(listener: Listener) -> None:
    answer = listener.post(None, data=b" " * (256 * 1024 + 1))
    assert (answer.status_code, answer.json()) == (413, {"error": "the body must be 256 KiB at the most"})
    assert listener.counted() == {"malformed": 1}


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_body_that_is_not_called_json_is_not_taken(listener: Listener, content_type: str) -> None:
    answer = listener.post(None, data=b'{"confirmations": []}', content_type=content_type)
    assert (answer.status_code, answer.json()) == (415, {"error": "Content-Type must be application/json"})


def test_nothing_is_taken_for_a_page_of_another_site(listener: Listener) -> None:
    answer = listener.post({"confirmations": []}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_a_client_that_goes_away_costs_nothing(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    head = (
        f"POST /api/v1/confirmations/{listener.target} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n"
    )
    host, port = urlsplit(listener.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(head.encode() + b'{"confirmations": [')
    wait_for(lambda: listener.counted() == {"malformed": 1})
    assert listener.post({"confirmations": []}).status_code == 204
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_what_cannot_be_kept_is_not_answered_as_taken(listener: Listener) -> None:
    listener.app.storage._database.writer.execute("PRAGMA query_only = ON")
    answer = listener.post({"confirmations": [{"message_id": SID}]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert listener.counted() == {"storage_unavailable": 1}


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "ü"])
def test_only_the_token_opens_it(listener: Listener, token: str) -> None:
    answer = requests.post(
        f"{listener.url}/api/v1/confirmations/{listener.target}",
        json={"confirmations": []},
        headers={"Authorization": f"Bearer {token}".encode()},
        timeout=10,
    )
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert listener.counted() == {"unauthorized": 1}


def test_a_token_may_have_any_letters(listener: Listener) -> None:
    token = Secret("schlüssel")
    settings = listener.app.config.providers[listener.target].model_copy(
        update={"confirmations": ConfirmationSettings.model_construct(token=token)}
    )
    listener.app.config = replace(listener.app.config, targets={listener.target: settings})
    assert listener.post({"confirmations": []}, token="schlüssel").status_code == 204
    assert listener.post({"confirmations": []}).status_code == 401


def test_it_is_off_unless_configured(listener: Listener) -> None:
    assert listener.post({"confirmations": []}, target="other").status_code == 404
    with serving(FakeApp()) as served:
        url = f"{served.url}/api/v1/confirmations/{listener.target}"
        assert requests.post(url, json={}, timeout=10).status_code == 404
