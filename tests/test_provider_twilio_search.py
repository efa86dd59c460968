"""What Twilio has of one number and one message: its log, its verification attempts, its look-up; over real HTTP."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from checks.clients import LineType, MessageSearchClient, NumberLookup, NumberLookupClient
from checks.errors import BadResponseError, ProviderError
from checks.messages import Status
from checks.providers.twilio import TwilioClient
from checks.providers.twilio.lookup import FIELDS
from checks.reason import Reason
from checks.secret import Secret
from exporter.sandbox import Sandbox
from tests import stub_server as stubs
from tests.processes import wait_for
from tests.stub_server import StubServer
from tests.test_exporter_diagnosing import ATTEMPTS, LOG, NUMBER, SID, answer_as_twilio, row, twilio

LOOKUP = f"/v2/PhoneNumbers/{NUMBER.replace('+', '%2B')}"
MESSAGE = LOG.replace(".json", f"/{SID}.json")


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def client(stub: StubServer) -> Iterator[TwilioClient]:
    with closing(twilio(stub.url)) as made:
        yield made


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def of_sandbox(sandbox: Sandbox) -> Iterator[TwilioClient]:
    given = sandbox.credentials
    made = twilio(sandbox.url, account_sid=given.account_sid, auth_token=Secret(given.auth_token))
    with closing(made):
        yield made


def sign_in(sandbox: Sandbox, persona: str) -> str:
    """Let a persona ask for a code by SMS; return the number that it goes to."""
    client = sandbox.client(persona)
    requests.post(f"{sandbox.url}/sandbox/clients/{client.id}/sign-in", timeout=5).raise_for_status()
    return client.number


def test_the_client_offers_both() -> None:
    assert issubclass(TwilioClient, MessageSearchClient)
    assert issubclass(TwilioClient, NumberLookupClient)


# --- the messages of a number


def test_the_messages_to_a_number_are_found_newest_first(sandbox: Sandbox, of_sandbox: TwilioClient) -> None:
    number = sign_in(sandbox, "landline")
    time.sleep(1.0)  # Twilio's dates are whole seconds
    sign_in(sandbox, "landline")

    found = wait_for(lambda: [each for each in of_sandbox.find_messages(number, limit=20) if each.status.is_final][1:])
    newest, oldest = of_sandbox.find_messages(number, limit=20)

    assert found
    assert newest.created_at is not None
    assert oldest.created_at is not None
    assert newest.created_at > oldest.created_at
    assert {each.recipient for each in (newest, oldest)} == {number}
    assert oldest.reason is Reason.RECIPIENT_LANDLINE
    assert oldest.code == "30006"


def test_no_more_messages_are_found_than_asked_for(sandbox: Sandbox, of_sandbox: TwilioClient) -> None:
    number = sign_in(sandbox, "blocked")
    sign_in(sandbox, "blocked")

    assert len(of_sandbox.find_messages(number, limit=1)) == 1


def test_a_number_that_got_nothing_has_no_messages(of_sandbox: TwilioClient) -> None:
    assert list(of_sandbox.find_messages(NUMBER, limit=20)) == []


def test_the_log_is_asked_for_the_number_alone_and_one_page(stub: StubServer, client: TwilioClient) -> None:
    answer_as_twilio(stub, row())

    client.find_messages(NUMBER, limit=20)

    (request,) = stub.requests
    assert request.query == {"To": [NUMBER], "PageSize": ["20"]}


def test_old_messages_are_found_too(stub: StubServer, client: TwilioClient) -> None:
    answer_as_twilio(stub, row(minutes_ago=60 * 24 * 20))

    assert [each.status for each in client.find_messages(NUMBER, limit=20)] == [Status.DELIVERED]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"messages": 1}', b"<html>", b'{"messages": [1, 2, 3]}', b"[" * 100_000]
)
def test_an_answer_that_is_no_log_is_refused(stub: StubServer, client: TwilioClient, body: bytes) -> None:
    stub.on(LOG, stubs.answer(body))

    with pytest.raises(BadResponseError):
        client.find_messages(NUMBER, limit=20)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (401, 20003, Reason.CREDENTIALS_REJECTED),
        (429, 20429, Reason.RATE_LIMITED),
        (503, 20503, Reason.PROVIDER_OUTAGE),
    ],
)
def test_a_refusal_is_told_by_its_reason_and_without_the_number(
    stub: StubServer, client: TwilioClient, status: int, code: int, reason: Reason
) -> None:
    refusal = stubs.answer({"code": code, "message": f"no {NUMBER}", "status": status}, status=status)
    stub.everywhere(refusal)

    for ask in (
        lambda: client.find_messages(NUMBER, limit=20),
        lambda: client.find_message(SID),
        lambda: client.find_attempts(NUMBER, since=0.0),
        lambda: client.look_up_number(NUMBER),
    ):
        with pytest.raises(ProviderError) as refused:
            ask()
        assert refused.value.reason is reason
        assert NUMBER.removeprefix("+") not in str(refused.value)


# --- one message


def test_a_message_is_found_by_its_id(sandbox: Sandbox, of_sandbox: TwilioClient) -> None:
    number = sign_in(sandbox, "opted_out")
    (listed,) = of_sandbox.find_messages(number, limit=1)

    found = of_sandbox.find_message(listed.message_id)

    assert found is not None
    assert (found.message_id, found.recipient, found.created_at) == (listed.message_id, number, listed.created_at)


def test_a_message_that_twilio_does_not_have_is_none(of_sandbox: TwilioClient) -> None:
    assert of_sandbox.find_message("SM" + "9" * 32) is None


@pytest.mark.parametrize("message_id", ["", "SM1", "../../Accounts", f"{SID}/Media", f"{SID}?x", "CA" + "1" * 32])
def test_what_is_no_id_of_a_message_is_none_and_asks_nobody(
    stub: StubServer, client: TwilioClient, message_id: str
) -> None:
    assert client.find_message(message_id) is None
    assert stub.requests == []


@pytest.mark.parametrize(
    "answer",
    [row(direction="inbound"), {"sid": SID}, [], 1, None, row(date_created="yesterday"), {"messages": [row()]}],
)
def test_a_message_that_cannot_be_understood_is_refused(stub: StubServer, client: TwilioClient, answer: Any) -> None:
    stub.on(MESSAGE, stubs.answer(answer))

    with pytest.raises(BadResponseError):
        client.find_message(SID)


def test_an_answer_that_smuggles_in_another_message_is_refused(stub: StubServer, client: TwilioClient) -> None:
    stub.on(MESSAGE, stubs.answer(b'{}],"messages":[{}'))

    with pytest.raises(BadResponseError):
        client.find_message(SID)


# --- its verification attempts


def attempt(sid: str = "VL" + "1" * 32, **changes: Any) -> dict[str, Any]:
    return {
        "sid": sid,
        "channel": "sms",
        "conversion_status": "unconverted",
        "date_created": "2026-11-24T12:00:00Z",
        "date_updated": "2026-11-24T12:00:05Z",
        "channel_data": {"to": NUMBER, "message_status": "delivered", "country": "GB"},
    } | changes


def attempts(*rows: dict[str, Any]) -> stubs.Behaviour:
    return stubs.answer({"attempts": list(rows), "meta": {"next_page_url": None}})


def test_the_attempts_of_a_number_are_found_newest_first(stub: StubServer, client: TwilioClient) -> None:
    late = attempt("VL" + "2" * 32, date_created="2026-11-24T12:09:00Z", date_updated="2026-11-24T12:09:04Z")
    other = attempt("VL" + "3" * 32, channel_data={"to": "+447700900999"})
    stub.on(ATTEMPTS, attempts(attempt(), late, other))

    found = client.find_attempts(NUMBER, since=1_795_521_600.0)

    assert [each.attempt_id[-1] for each in found or ()] == ["2", "1"]
    assert stub.requests[0].query == {
        "PageSize": ["50"],
        "Channel": ["sms"],
        "ChannelData.To": [NUMBER],
        "DateCreatedAfter": ["2026-11-24T11:59:59Z"],
    }


def test_the_sandbox_is_asked_for_attempts_as_twilio_is(of_sandbox: TwilioClient) -> None:
    assert list(of_sandbox.find_attempts(NUMBER, since=time.time() - 86_400) or ()) == []


def test_attempts_that_may_not_be_read_are_none(stub: StubServer, client: TwilioClient) -> None:
    stub.on(ATTEMPTS, stubs.answer({"code": 20006, "message": "no", "status": 403}, status=403))

    assert client.find_attempts(NUMBER, since=0.0) is None


# --- a look-up


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            {"valid": True, "line_type_intelligence": {"type": "mobile", "carrier_name": "Vodafone UK"}},
            NumberLookup(is_valid=True, line_type=LineType.MOBILE, operator="Vodafone UK"),
        ),
        (
            {"valid": True, "line_type_intelligence": {"type": "landline", "carrier_name": None}},
            NumberLookup(is_valid=True, line_type=LineType.LANDLINE),
        ),
        (
            {"valid": True, "line_type_intelligence": {"type": "nonFixedVoip", "carrier_name": "a\x00b\u202ec"}},
            NumberLookup(is_valid=True, line_type=LineType.VOIP, operator="abc"),
        ),
        (
            {"valid": True, "line_type_intelligence": {"type": "satellite", "carrier_name": NUMBER}},
            NumberLookup(is_valid=True, line_type=LineType.OTHER),
        ),
        ({"valid": True, "line_type_intelligence": None}, NumberLookup(is_valid=True)),
        (
            {"valid": True, "line_type_intelligence": {"type": None, "error_code": 60600}},
            NumberLookup(is_valid=True),
        ),
        ({"valid": True, "line_type_intelligence": {"type": ["x"], "carrier_name": 7}}, NumberLookup(is_valid=True)),
        ({"valid": False, "line_type_intelligence": {"type": "mobile"}}, NumberLookup(is_valid=False)),
    ],
)
def test_a_look_up_is_understood(stub: StubServer, client: TwilioClient, answer: Any, found: NumberLookup) -> None:
    stub.on(LOOKUP, stubs.answer(answer))

    assert client.look_up_number(NUMBER) == found


def test_a_look_up_asks_for_the_line_type_alone_and_once(stub: StubServer, client: TwilioClient) -> None:
    stub.on(LOOKUP, stubs.answer({"valid": True}))

    client.look_up_number(NUMBER)

    (request,) = stub.requests
    assert request.method == "GET"
    assert request.query == {"Fields": [FIELDS]}


@pytest.mark.parametrize("answer", [[], 1, None, {}, {"valid": "yes"}, {"valid": None}, b"<html>"])
def test_a_look_up_of_another_shape_is_refused(stub: StubServer, client: TwilioClient, answer: Any) -> None:
    stub.on(LOOKUP, stubs.answer(answer))

    with pytest.raises(BadResponseError):
        client.look_up_number(NUMBER)


def test_a_look_up_that_fails_is_not_tried_again(stub: StubServer, client: TwilioClient) -> None:
    stub.on(LOOKUP, stubs.answer({"code": 20500, "message": "no", "status": 500}, status=500))

    with pytest.raises(ProviderError):
        client.look_up_number(NUMBER)

    assert len(stub.requests) == 1, "each call is billed"
