"""Sending by Twilio: one request for one message, whatever the connection does, and what its status means."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs

import pytest

from checks.clients import CanaryClient, CanaryStatus
from checks.errors import BadResponseError, DeadlineExceededError, NotFoundError, ProviderError, UnreachableError
from checks.messages import Status
from checks.providers.twilio import TwilioClient, TwilioSettings
from checks.reason import Reason
from checks.secret import Secret
from exporter.sandbox import Sandbox
from tests import stub_server as stubs
from tests.stub_server import Behaviour, StubServer

ACCOUNT_SID: Final = "AC" + "a" * 32
SERVICE: Final = "MG" + "c" * 32
SID: Final = "SM" + "d" * 32
PHONE, OURS = "+4915112345678", "+14155550100"
TEXT: Final = "Test of the code delivery. Please ignore. a1b2c3d4"
MESSAGES: Final = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
MESSAGE: Final = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{SID}.json"


@pytest.fixture
def stub() -> Iterator[StubServer]:
    with StubServer() as server:
        yield server


@pytest.fixture
def client(stub: StubServer) -> Iterator[TwilioClient]:
    opened = TwilioClient(
        TwilioSettings(
            type="twilio", account_sid=ACCOUNT_SID, auth_token=Secret("token"), base_url=stub.url, timeout="500ms"
        )
    )
    yield opened
    opened.close()


def send(client: CanaryClient, sender: str = OURS) -> str:
    return client.send_canary(to=PHONE, sender=sender, text=TEXT, validity_seconds=300)


def posts(stub: StubServer) -> list[dict[str, list[str]]]:
    return [parse_qs(request.body.decode()) for request in stub.requests if request.method == "POST"]


@pytest.mark.parametrize(("sender", "name"), [(OURS, "From"), (SERVICE, "MessagingServiceSid")])
def test_a_message_is_sent_once_and_known_by_its_sid(
    sender: str, name: str, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, stubs.answer({"sid": SID, "status": "queued", "to": PHONE, "body": TEXT}, status=201))
    assert send(client, sender) == SID
    assert posts(stub) == [{"To": [PHONE], name: [sender], "Body": [TEXT], "ValidityPeriod": ["300"]}]
    assert stub.requests[0].target == MESSAGES  # no number in a URL
    assert stub.requests[0].basic_auth == (ACCOUNT_SID, "token")


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (stubs.close_silently(), UnreachableError),
        (stubs.reset(), UnreachableError),
        (stubs.truncated(b'{"sid": "'), UnreachableError),
        (stubs.hang(), DeadlineExceededError),
        (stubs.send_raw(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\n\r\n"), BadResponseError),
        (stubs.answer({"status": "queued"}, status=201), BadResponseError),
        (stubs.answer({"sid": "../Accounts"}, status=201), BadResponseError),
        (stubs.answer([], status=201), BadResponseError),
        (stubs.answer(b"", status=201), BadResponseError),
        (stubs.answer({"code": 20500, "message": f"no {PHONE}"}, status=500), ProviderError),
        (stubs.answer({"code": 20429, "message": f"no {PHONE}"}, status=429), ProviderError),
        (stubs.answer({"code": 21211, "message": f"no {PHONE}"}, status=400), ProviderError),
        (stubs.answer(b"<html>", status=503, headers={"Retry-After": "0"}), ProviderError),
    ],
)
def test_whatever_happens_a_message_is_sent_no_second_time(
    behaviour: Behaviour, error: type[Exception], stub: StubServer, client: TwilioClient
) -> None:
    good = stubs.answer({"sid": SID, "status": "queued"}, status=201)
    stub.on(MESSAGES, good, behaviour, good)
    send(client)  # so that the next one takes a connection that is open already
    with pytest.raises(error) as caught:
        send(client)
    assert len(posts(stub)) == 2
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert PHONE not in told
    assert TEXT not in told


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (400, 21408, Reason.COUNTRY_NOT_PERMITTED),
        (400, 21610, Reason.RECIPIENT_OPTED_OUT),
        (400, 21606, Reason.SENDER_INVALID),
        (401, 20003, Reason.CREDENTIALS_REJECTED),
        (429, 20429, Reason.RATE_LIMITED),
    ],
)
def test_a_refusal_has_the_reason_of_its_code(
    status: int, code: int, reason: Reason, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGES, stubs.answer({"code": code, "message": "no", "status": status}, status=status))
    with pytest.raises(ProviderError) as caught:
        send(client)
    assert (caught.value.reason, caught.value.code) == (reason, str(code))


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ({"status": "queued", "price": None, "price_unit": "USD"}, CanaryStatus(status=Status.ACCEPTED)),
        ({"status": "sent"}, CanaryStatus(status=Status.SENT)),
        (
            {"status": "delivered", "price": "-0.07500", "price_unit": "usd"},
            CanaryStatus(status=Status.DELIVERED, cost=0.075, currency="USD"),
        ),
        (
            {"status": "undelivered", "error_code": 30007},
            CanaryStatus(status=Status.UNDELIVERED, reason=Reason.OPERATOR_BLOCKING, code="30007"),
        ),
        ({"status": "failed"}, CanaryStatus(status=Status.FAILED, reason=Reason.DELIVERY_FAILING)),
        ({"status": "canceled"}, CanaryStatus(status=Status.CANCELED, reason=Reason.DELIVERY_FAILING)),
    ],
)
def test_a_status_is_in_our_words(
    given: dict[str, Any], means: CanaryStatus, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGE, stubs.answer({"sid": SID, **given}))
    assert client.fetch_canary(SID) == means


@pytest.mark.parametrize(
    "given",
    [
        [],
        {},
        {"status": "teleported"},
        {"status": ["sent"]},
        {"status": "delivered", "price": "free", "price_unit": "USD"},
        {"status": "delivered", "price": "1" * 400, "price_unit": "USD"},
        {"status": "delivered", "price": [1], "price_unit": "USD"},
        {"status": "delivered", "price": "-0.07", "price_unit": PHONE},
    ],
)
def test_a_status_of_another_shape_is_refused_without_quoting_it(
    given: Any, stub: StubServer, client: TwilioClient
) -> None:
    stub.on(MESSAGE, stubs.answer(given))
    with pytest.raises(BadResponseError) as caught:
        client.fetch_canary(SID)
    assert PHONE not in str(caught.value)


def test_a_message_that_is_gone_is_told_so(client: TwilioClient) -> None:
    with pytest.raises(NotFoundError):
        client.fetch_canary(SID)


def test_the_sandbox_takes_a_message_and_tells_how_far_it_came() -> None:
    with Sandbox() as sandbox:
        known = sandbox.credentials
        client = TwilioClient(
            TwilioSettings(
                type="twilio",
                account_sid=known.account_sid,
                auth_token=Secret(known.auth_token),
                base_url=sandbox.url,
            )
        )
        status = client.fetch_canary(send(client, known.messaging_service_sid))
        client.close()
    assert status.status in (Status.ACCEPTED, Status.SENT)
