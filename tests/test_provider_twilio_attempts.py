"""Verification attempts, from the sandbox and from hostile answers."""

import json
import time
from typing import Any
from urllib.parse import parse_qsl

import pytest

from checks.errors import BadResponseError
from checks.messages.verification import Attempt
from checks.providers.http import Reply
from checks.providers.limiter import RateLimiter
from checks.providers.twilio.attempts import REQUESTS_A_MINUTE, Attempts

NUMBER = "+2348031234567"


class Counting:
    """Counts what could not be understood."""

    unreadable = 0

    def request_done(self, outcome: str) -> None:
        """Ignore it."""

    def code_unmapped(self, code: str) -> None:
        """Ignore it."""

    def message_unreadable(self) -> None:
        self.unreadable += 1


def row(number: int = 1, **changes: Any) -> dict[str, Any]:
    data = {"to": NUMBER, "message_status": "delivered", "carrier": "MTN", "mcc": "621", "mnc": "30", "country": "NG"}
    data |= changes.pop("data", {})
    return {
        "sid": f"VL{number:032x}",
        "conversion_status": "converted",
        "date_created": "2026-11-24T12:00:00Z",
        "date_updated": "2026-11-24T12:00:21Z",
        "channel": "sms",
        "channel_data": data,
        **changes,
    }


def page(*rows: Any, following: Any = None) -> dict[str, Any]:
    return {"attempts": list(rows), "meta": {"key": "attempts", "next_page_url": following}}


def reader(*pages: Any) -> tuple[Attempts, list[dict[str, str]], Counting]:
    asked: list[dict[str, str]] = []
    answers = iter(pages)

    def ask(query: str) -> Reply:
        asked.append(dict(parse_qsl(query)))
        return Reply(status=200, headers={}, body=json.dumps(next(answers)).encode())

    observer = Counting()
    return Attempts(ask, RateLimiter(100), observer), asked, observer


def read(*pages: Any) -> list[Attempt]:
    attempts, _, _ = reader(*pages)
    return [one for each in attempts.read(since=0, until=1) for one in each]


def test_an_attempt_tells_who_where_and_whether() -> None:
    (converted,) = read(page(row()))
    assert converted == Attempt(
        attempt_id=f"VL{1:032x}",
        created_at=1795521600.0,
        converted_at=1795521621.0,
        has_arrived=True,
        recipient=NUMBER,
        country="NG",
        operator="MTN",
    )
    assert NUMBER not in repr(converted)
    (other,) = read(page(row(conversion_status="unconverted", data={"message_status": "sent", "carrier": None})))
    assert (other.converted_at, other.has_arrived, other.operator) == (None, False, "62130")


def test_pages_are_followed_by_their_token_and_nowhere_else() -> None:
    attempts, asked, _ = reader(
        page(row(1), following="https://evil.example/x?PageToken=abc&Page=1&To=%2B49151"), page(row(2))
    )
    assert [len(each) for each in attempts.read(since=0, until=60)] == [1, 1]
    assert asked[0] == {
        "PageSize": "1000",
        "Channel": "sms",
        "DateCreatedAfter": "1970-01-01T00:00:00Z",
        "DateCreatedBefore": "1970-01-01T00:01:00Z",
    }
    assert asked[1] == {**asked[0], "PageToken": "abc", "Page": "1"}


def test_what_cannot_be_understood_is_left_out_and_told() -> None:
    odd = [row(1, sid="x"), row(2, conversion_status="maybe"), row(3, date_created=7), row(4, channel_data=None)]
    attempts, _, observer = reader(page(row(5), *odd))
    assert [len(each) for each in attempts.read(since=0, until=1)] == [1]
    assert observer.unreadable == 4


@pytest.mark.parametrize(
    "pages",
    [
        [{}],
        [[]],
        [page(*[{}] * 5)],
        [{"attempts": [1], "meta": {}}],
        [page(following=7)],
        [page(following="https://x/?PageToken=")],
        [page(row(1), following="https://x/?PageToken=a")] * 3,
    ],
    ids=["empty", "list", "rows", "numbers", "number", "no token", "circle"],
)
def test_another_shape_is_refused(pages: list[Any]) -> None:
    with pytest.raises(BadResponseError):
        read(*pages)


@pytest.mark.parametrize("change", [{"to": "x" * 9}, {"to": None}, {"carrier": "+49 151 1234 5678"}, {"mcc": "x\n"}])
def test_hostile_data_become_unknown(change: dict[str, Any]) -> None:
    (one,) = read(page(row(data={"carrier": None, **change})))
    assert NUMBER not in one.operator
    assert one.recipient in ("", NUMBER)


def test_no_more_than_a_hundred_requests_a_minute() -> None:
    assert REQUESTS_A_MINUTE < 100


def test_a_request_waits_for_its_turn() -> None:
    limiter = RateLimiter(1, window_seconds=1.0)
    waited: list[float] = []
    began = time.monotonic()

    def ask(_: str) -> Reply:
        waited.append(time.monotonic() - began)
        return Reply(status=200, headers={}, body=json.dumps(page(row())).encode())

    attempts = Attempts(ask, limiter, Counting())
    for _ in range(2):
        list(attempts.read(since=0, until=1))
    assert waited[1] - waited[0] > 0.9
