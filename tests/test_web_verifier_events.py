"""What the platform tells of TOTP attempts, over real HTTP."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from starlette.applications import Starlette

from checks.secret import Secret
from exporter.database import Database
from exporter.meters import Meters
from exporter.verifier import SCHEMA, VerifierEventOutcome, VerifierStore
from exporter.web.server import ThreadedServer, bind
from exporter.web.verifier_events import verifier_event_routes

TOKEN = "a token for the tests"
STEP_FORM = (
    "a whole number from -60 to 60: 0 for the server's own step, -1 for the one before; null when the code matched none"
)
USED_FORM = "true when the code of this step was used before; false if left out"
TIME_FORM = "when the code was verified, within the last day: ISO 8601 or Unix seconds; now if left out"
EVENT_FORM = "an object with step, and used and at if need be"


@dataclass
class Listener:
    """A listener that takes the events of one platform."""

    database: Database = field(default_factory=lambda: Database.in_memory(SCHEMA, Meters()))
    store: VerifierStore = field(init=False)
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)
    url: str = ""

    def __post_init__(self) -> None:
        self.store = VerifierStore(self.database)

    def post(self, json: Any, *, data: bytes | None = None, **headers: str) -> requests.Response:
        return requests.post(
            f"{self.url}/api/v1/verifier-events/platform",
            json=json,
            data=data,
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers},
            timeout=10,
        )


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()

    def count(target: str, outcome: VerifierEventOutcome) -> None:
        listener.counted[target, outcome.value] += 1

    routes = verifier_event_routes({"platform": Secret(TOKEN)}.get, listener.store, count)
    with ThreadedServer(Starlette(routes=routes), bind("127.0.0.1:0")) as server:
        listener.url = server.url
        yield listener


def test_events_are_counted_by_step(listener: Listener) -> None:
    events = [{"step": 0}, {"step": -1, "used": False}, {"step": 0, "used": True}, {"step": None}, {"step": 60}]
    answer = listener.post({"batch": "b-1", "events": events})
    assert (answer.status_code, answer.content) == (204, b"")
    assert listener.store.counts() == {"platform": {"0": 1, "-1": 1, "replayed": 1, "none": 1, "3-or-more": 1}}
    assert listener.counted == {("platform", "taken"): 1}


def test_events_belong_to_the_time_that_is_told(listener: Listener) -> None:
    now = time.time()
    told = [now - 7200, datetime.fromtimestamp(now - 3600, UTC).isoformat()]
    assert listener.post({"events": [{"step": 0, "at": at} for at in told] + [{"step": 0}]}).status_code == 204
    slots = listener.store.book("platform").slots(0)
    assert [now - slot.at for slot in slots] == pytest.approx([7200, 3600, 0], abs=310)


def test_a_batch_that_is_sent_again_is_harmless(listener: Listener) -> None:
    for _ in range(2):
        assert listener.post({"batch": "b1", "events": [{"step": 0}]}).status_code == 204
    assert listener.store.counts() == {"platform": {"0": 1}}


NOW = time.time()


@pytest.mark.parametrize(
    ("event", "problems"),
    [
        ({}, [("", "is no such object", EVENT_FORM)]),
        (7, [("", "is no such object", EVENT_FORM)]),
        ({"step": 0, "client": 4711}, [("", "is no such object", EVENT_FORM)]),
        ({"step": 61}, [(".step", "is more than 60 steps off", STEP_FORM)]),
        ({"step": -61}, [(".step", "is more than 60 steps off", STEP_FORM)]),
        ({"step": 10**30}, [(".step", "is more than 60 steps off", STEP_FORM)]),
        ({"step": 0.5}, [(".step", "is of another type", STEP_FORM)]),
        ({"step": "-1"}, [(".step", "is of another type", STEP_FORM)]),
        ({"step": True}, [(".step", "is of another type", STEP_FORM)]),
        ({"step": 0, "used": 1}, [(".used", "is of another type", USED_FORM)]),
        ({"step": None, "used": True}, [(".used", "is true although the code matched no step", USED_FORM)]),
        ({"step": 0, "at": "noon"}, [(".at", "is no such time", TIME_FORM)]),
        ({"step": 0, "at": NOW - 90_000}, [(".at", "is no such time", TIME_FORM)]),
        ({"step": 0, "at": NOW + 9_000}, [(".at", "is no such time", TIME_FORM)]),
        (
            {"step": 99, "at": 10**30},
            [(".step", "is more than 60 steps off", STEP_FORM), (".at", "is no such time", TIME_FORM)],
        ),
    ],
)
def test_all_that_is_wrong_is_said_at_once_and_nothing_taken(
    listener: Listener, event: Any, problems: list[tuple[str, str, str]]
) -> None:
    answer = listener.post({"batch": "no id", "events": [{"step": 0}, event]})
    expected = [{"where": f"events[1]{field}", "what": what, "accepted": form} for field, what, form in problems]
    batch = {
        "where": "batch",
        "what": "is no id",
        "accepted": "an id of your own for the batch: up to 64 printable ASCII characters",
    }
    assert answer.status_code == 400
    assert answer.json() == {
        "error": f"{len(expected) + 1} problems; nothing of the batch was taken",
        "problems": [batch, *expected],
    }
    assert listener.store.counts() == {}
    assert listener.counted == {("platform", "malformed"): 1}


@pytest.mark.parametrize("batch", ["", "x" * 65, "a b", "ü", "a\n"])
def test_a_batch_has_a_plain_id_or_none(listener: Listener, batch: str) -> None:
    answer = listener.post({"batch": batch, "events": []})
    assert [problem["where"] for problem in answer.json()["problems"]] == ["batch"]
    assert listener.post({"batch": None, "events": []}).status_code == 204
    assert listener.post({"batch": "x" * 64, "events": []}).status_code == 204


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 200_000,
        b"{}",
        b'{"events": {}}',
        b'{"events": [], "x": 1}',
        b'{"events": [{"step": NaN}]}',
        b'{"events": [], "batch": 7}',
    ],
)
def test_what_is_not_the_json_expected_is_refused(listener: Listener, body: bytes) -> None:
    answer = listener.post(None, data=body)
    assert (answer.status_code, answer.json()["problems"][0]["where"]) == (400, "the body")
    assert listener.counted == {("platform", "malformed"): 1}


def test_a_thousand_events_are_taken_at_once_and_no_more(listener: Listener) -> None:
    assert listener.post({"events": [{"step": -1}] * 1000}).status_code == 204
    answer = listener.post({"events": [{"step": -1}] * 1001})
    assert answer.json()["problems"] == [{"where": "events", "what": "has 1001 events", "accepted": "1000 at the most"}]
    assert listener.store.counts() == {"platform": {"-1": 1000}}


def test_a_large_body_is_not_taken(listener: Listener) -> None:
    answer = listener.post(None, data=b" " * (256 * 1024 + 1))
    assert (answer.status_code, answer.json()) == (413, {"error": "the body must be 256 KiB at the most"})


def test_what_cannot_be_kept_is_not_answered_as_taken(listener: Listener) -> None:
    listener.database.writer.execute("PRAGMA query_only = ON")
    answer = listener.post({"events": [{"step": 0}]})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert listener.counted == {("platform", "storage_unavailable"): 1}


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_only_the_token_opens_it(listener: Listener, given: str) -> None:
    answer = listener.post({"events": [{"step": 0}]}, Authorization=given)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert listener.store.counts() == {}
    assert listener.counted == {("platform", "unauthorized"): 1}


def test_a_target_without_a_token_has_no_endpoint(listener: Listener) -> None:
    answer = requests.post(f"{listener.url}/api/v1/verifier-events/other", json={"events": []}, timeout=10)
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "no such target, or its entry has no verifier_events.token"},
    )
    assert listener.counted == {}


def test_nothing_is_taken_for_a_page_of_another_site(listener: Listener) -> None:
    assert listener.post({"events": []}, Origin="https://evil.example").status_code == 403
