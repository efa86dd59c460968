"""Verification attempts, asked for over real HTTP: what is understood, what is left out and what is refused."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from checks.errors import BadResponseError, ProviderError
from checks.messages.verification import CODE_LIFE_SECONDS, Attempt
from checks.providers.http import Reply
from checks.providers.limiter import RateLimiter
from checks.providers.observer import NoObserver
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.providers.twilio.attempts import PATH, REQUESTS_A_MINUTE, Attempts
from checks.reason import Reason
from checks.secret import Secret
from tests import stub_server as stubs
from tests.stub_server import StubServer

ACCOUNT_SID: Final = "AC" + "a" * 32
NUMBER: Final = "+2348031234567"
NOON: Final = 1795521600.0  # 2026-11-24T12:00:00Z


class Counting(NoObserver):
    """Counts what could not be understood."""

    unreadable = 0

    def message_unreadable(self) -> None:
        self.unreadable += 1


@dataclass
class Twilio:
    """A client of a server that answers as a test says."""

    stub: StubServer
    client: TwilioClient
    observer: Counting

    def answers(self, *pages: Any) -> None:
        self.stub.on(PATH, *(stubs.answer(each) for each in pages))

    def read(self, *, since: float = NOON - 60, until: float = NOON + 60) -> list[Attempt]:
        return [one for page in self.client.read_attempts(since=since, until=until) for one in page]

    def asked(self) -> list[dict[str, list[str]]]:
        return [request.query for request in self.stub.requests]


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    with StubServer() as stub:
        settings = TwilioSettings(
            type="twilio", account_sid=ACCOUNT_SID, auth_token=Secret("token"), base_url=stub.url, timeout="2s"
        )
        observer = Counting()
        client = TwilioClient(settings, observer=observer)
        yield Twilio(stub, client, observer)
        client.close()


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


def test_an_attempt_tells_who_where_and_whether(twilio: Twilio) -> None:
    unarrived = row(2, conversion_status="unconverted", data={"message_status": "sent", "carrier": None})
    twilio.answers(page(row(1), unarrived))
    converted, other = twilio.read()
    assert converted == Attempt(
        attempt_id=f"VL{1:032x}",
        created_at=NOON,
        converted_at=NOON + 21,
        has_arrived=True,
        recipient=NUMBER,
        country="NG",
        operator="MTN",
    )
    assert NUMBER not in repr(converted)
    assert (other.converted_at, other.has_arrived, other.operator) == (None, False, "62130")
    assert twilio.stub.requests[0].basic_auth == (ACCOUNT_SID, "token")


def test_pages_are_followed_by_their_token_and_nowhere_else(twilio: Twilio) -> None:
    twilio.answers(page(row(1), following="https://evil.example/x?PageToken=abc&Page=1&To=%2B49151"), page(row(2)))
    assert [len(each) for each in twilio.client.read_attempts(since=NOON - 60, until=NOON + 60)] == [1, 1]
    first, second = twilio.asked()
    assert first == {
        "PageSize": ["1000"],
        "Channel": ["sms"],
        "DateCreatedAfter": ["2026-11-24T11:58:59Z"],
        "DateCreatedBefore": ["2026-11-24T12:01:01Z"],
    }
    assert second == {**first, "PageToken": ["abc"], "Page": ["1"]}
    assert [request.path for request in twilio.stub.requests] == [PATH, PATH]


@pytest.mark.parametrize(("since", "until", "count"), [(0, 1, 1), (0, 0, 0), (1, 2, 0), (-1, 0.5, 1)])
def test_only_what_was_created_in_the_time_asked_for_is_given(
    twilio: Twilio, since: float, until: float, count: int
) -> None:
    twilio.answers(page(row(1)))
    assert len(twilio.read(since=NOON + since, until=NOON + until)) == count


def test_other_channels_are_left_out_in_silence(twilio: Twilio) -> None:
    twilio.answers(page(*(row(n, channel="call", channel_data=None) for n in range(9))))
    assert twilio.read() == []
    assert twilio.observer.unreadable == 0


def test_what_cannot_be_understood_is_left_out_and_told_once(twilio: Twilio) -> None:
    odd = [row(1, sid="x"), row(2, conversion_status="maybe"), row(3, date_created=7), row(4, channel_data=None)]
    twilio.answers(page(row(5), *odd))
    for _ in range(2):
        assert [one.attempt_id for one in twilio.read()] == [f"VL{5:032x}"]
    assert twilio.observer.unreadable == 4


@pytest.mark.parametrize(
    "pages",
    [
        [{}],
        [[]],
        [b"[" * 10_000],
        [b"\xff"],
        [page(*[{}] * 5)],
        [{"attempts": [1], "meta": {}}],
        [page(following=7)],
        [page(following="https://[x/?PageToken=a")],
        [page(following="https://x/?PageToken=")],
        [page(row(1), following="https://x/?PageToken=a")],
    ],
    ids=["empty", "list", "deep", "bytes", "rows", "numbers", "number", "no url", "no token", "circle"],
)
def test_another_shape_is_refused(twilio: Twilio, pages: list[Any]) -> None:
    twilio.answers(*pages)
    with pytest.raises(BadResponseError):
        twilio.read()


@pytest.mark.parametrize(
    ("data", "country", "operator"),
    [
        ({"to": "x" * 9}, "NG", "62130"),
        ({"to": None, "country": "<b>", "mcc": None}, "unknown", "unknown"),
        ({"to": NUMBER + "0" * 40, "mcc": "x\n"}, "NG", "unknown"),
        ({"to": "12348031234567", "mnc": 30}, "NG", "unknown"),
        ({"to": None, "carrier": "+49 151 1234 5678"}, "NG", "62130"),
    ],
)
def test_hostile_data_become_unknown(twilio: Twilio, data: dict[str, Any], country: str, operator: str) -> None:
    twilio.answers(page(row(data={"carrier": None, **data})))
    (one,) = twilio.read()
    assert (one.recipient, one.country, one.operator) == ("", country, operator)


@pytest.mark.parametrize(
    ("updated", "at"),
    [("1999-01-01T00:00:00Z", NOON), ("9999-01-01T00:00:00Z", NOON + CODE_LIFE_SECONDS)],
)
def test_a_code_is_typed_within_its_life(twilio: Twilio, updated: str, at: float) -> None:
    twilio.answers(page(row(date_updated=updated)))
    assert twilio.read()[0].converted_at == at


def test_after_too_many_requests_there_is_quiet_for_as_long_as_asked(twilio: Twilio) -> None:
    busy = stubs.answer({"code": 20429, "message": NUMBER, "status": 429}, status=429, headers={"Retry-After": "1"})
    twilio.stub.on(PATH, busy, stubs.answer(page(row(1))))
    with pytest.raises(ProviderError) as refused:
        twilio.read()
    assert refused.value.reason is Reason.RATE_LIMITED
    assert NUMBER not in str(refused.value)
    began = time.monotonic()
    assert len(twilio.read()) == 1
    assert time.monotonic() - began > 0.9


def test_no_more_than_a_hundred_requests_a_minute_are_made() -> None:
    assert REQUESTS_A_MINUTE < 100


def test_a_request_waits_for_its_turn() -> None:
    asked_at: list[float] = []

    def ask(_: str) -> Reply:
        asked_at.append(time.monotonic())
        return Reply(status=200, headers={}, body=b'{"attempts": [], "meta": {}}')

    attempts = Attempts(ask, RateLimiter(1, window_seconds=0.5), NoObserver())
    for _ in range(2):
        list(attempts.read(since=0, until=1))
    assert asked_at[1] - asked_at[0] > 0.45
