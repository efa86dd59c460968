"""Verify in the sandbox: codes are sent and checked, and attempts say who typed theirs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from exporter.sandbox import Place, Sandbox
from exporter.sandbox.limits import Limit

START = 1_800_000_000.0  # 2027-01-15 08:00 UTC
PHONE = "+447415999999"
MINUTE = 60.0


class Clock:
    """Stands still until it is told otherwise."""

    now = START

    def __call__(self) -> float:
        return self.now


class User:
    """Uses Verify with the Auth Token."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        known = sandbox.credentials
        self.auth = (known.account_sid, known.auth_token)
        self.service = f"/v2/Services/{known.verify_service_sid}"

    def get(self, path: str, **params: Any) -> requests.Response:
        return requests.get(self.sandbox.url + path, params=params, auth=self.auth, timeout=5)

    def post(self, path: str, **form: str) -> requests.Response:
        return requests.post(self.sandbox.url + path, data=form, auth=self.auth, timeout=5)

    def start(self, to: str = PHONE, **form: str) -> requests.Response:
        return self.post(f"{self.service}/Verifications", To=to, **{"Channel": "sms", **form})

    def check(self, code: str, **form: str) -> requests.Response:
        return self.post(f"{self.service}/VerificationCheck", Code=code, **form)

    def code(self, verification: dict[str, Any]) -> str:
        """The code that the client gets."""
        sid = f"SM{verification['sid'][2:]}"
        path = f"/2010-04-01/Accounts/{self.sandbox.credentials.account_sid}/Messages/{sid}.json"
        return str(self.get(path).json()["body"][-6:])

    def attempts(self, **params: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.get("/v2/Attempts", PageSize=1000, **params).json()["attempts"]
        return rows


@pytest.fixture
def user() -> Iterator[User]:
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.5) as sandbox:
        yield User(sandbox, clock)


def error_of(answer: requests.Response) -> tuple[int, int]:
    return answer.status_code, answer.json()["code"]


def test_a_code_is_sent_and_is_right_once(user: User) -> None:
    answer = user.start()
    verification = answer.json()
    assert (answer.status_code, verification["status"], verification["valid"]) == (201, "pending", False)
    assert (verification["to"], verification["channel"]) == (PHONE, "sms")
    (attempt,) = verification["send_code_attempts"]
    assert attempt["attempt_sid"] == f"VL{verification['sid'][2:]}"
    user.clock.now += 30
    code = user.code(verification)
    checked = user.check(code, To=PHONE)
    assert (checked.status_code, checked.json()["status"], checked.json()["valid"]) == (200, "approved", True)
    assert checked.json()["sid"] == verification["sid"]
    assert error_of(user.check(code, To=PHONE)) == (404, 20404)


def test_an_approved_code_is_a_converted_attempt_from_then_on(user: User) -> None:
    verification = user.start().json()
    code = user.code(verification)
    user.clock.now += 600 - 1
    (attempt,) = user.attempts(VerificationSid=verification["sid"])
    assert (attempt["conversion_status"], attempt["channel_data"]["message_status"]) == ("unconverted", "delivered")
    user.check(code, VerificationSid=verification["sid"])
    (attempt,) = user.attempts(VerificationSid=verification["sid"], Status="converted")
    typed = datetime.fromtimestamp(user.clock.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (attempt["conversion_status"], attempt["date_updated"]) == ("converted", typed)


def test_a_wrong_code_leaves_it_pending_and_the_sixth_is_refused(user: User) -> None:
    verification = user.start().json()
    code = user.code(verification)
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        answer = user.check(wrong, VerificationSid=verification["sid"])
        assert (answer.status_code, answer.json()["status"], answer.json()["valid"]) == (200, "pending", False)
    assert error_of(user.check(code, VerificationSid=verification["sid"])) == (429, 60202)


def test_a_code_expires_after_ten_minutes(user: User) -> None:
    verification = user.start().json()
    code = user.code(verification)
    user.clock.now += 601
    for who in ({"To": PHONE}, {"VerificationSid": verification["sid"]}):
        assert error_of(user.check(code, **who)) == (404, 20404)


def test_a_number_gets_five_codes_in_ten_minutes(user: User) -> None:
    codes = []
    for _ in range(5):
        answer = user.start()
        assert answer.status_code == 201
        codes.append(user.code(answer.json()))
        user.clock.now += 10
    assert len(set(codes)) == 5
    assert error_of(user.start()) == (429, 60203)
    user.clock.now += 600
    assert user.start().status_code == 201


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"to": ""}, (400, 60200)),
        ({"to": "0151 123"}, (400, 60200)),
        ({"Channel": ""}, (400, 60200)),
        ({"Channel": "call"}, (400, 60200)),
    ],
)
def test_a_start_with_a_defect_is_refused(user: User, form: dict[str, str], error: tuple[int, int]) -> None:
    assert error_of(user.start(**form)) == error


def test_a_check_without_code_or_of_nothing_is_refused(user: User) -> None:
    assert error_of(user.check("", To=PHONE)) == (400, 60200)
    for who in ({}, {"To": PHONE}, {"VerificationSid": "VE" + "0" * 32}, {"VerificationSid": ""}):
        assert error_of(user.check("123456", **who)) == (404, 20404)


def test_a_message_that_is_no_verification_cannot_be_checked(user: User) -> None:
    known = user.sandbox.credentials
    form = {"To": PHONE, "From": known.toll_free, "Body": "424242"}
    sent = user.post(f"/2010-04-01/Accounts/{known.account_sid}/Messages.json", **form).json()
    assert error_of(user.check("424242", VerificationSid=f"VE{sent['sid'][2:]}")) == (404, 20404)
    assert error_of(user.check("424242", To=PHONE)) == (404, 20404)


def test_a_service_that_is_not_there_is_not_found(user: User) -> None:
    user.service = f"/v2/Services/VA{'0' * 32}"
    assert error_of(user.start()) == (404, 20404)
    assert error_of(user.check("123456", To=PHONE)) == (404, 20404)


def test_a_restricted_key_may_not_send_codes(user: User) -> None:
    known = user.sandbox.credentials
    user.auth = (known.restricted_key_sid, known.restricted_key_secret)
    for answer in (user.start(), user.check("123456", To=PHONE)):
        assert error_of(answer) == (401, 70051)


@pytest.mark.parametrize(
    ("fault", "error"), [("country_not_permitted", (403, 60605)), ("balance_exhausted", (403, 20005))]
)
def test_a_fault_keeps_codes_from_being_sent(user: User, fault: str, error: tuple[int, int]) -> None:
    user.sandbox.set_fault(fault)
    assert error_of(user.start()) == error


def test_codes_are_typed_some_seconds_after_they_arrive_and_only_then(user: User) -> None:
    user.clock.now += 20 * MINUTE
    typed = [each for each in user.attempts() if each["conversion_status"] == "converted"]
    log = user.get(f"/2010-04-01/Accounts/{user.sandbox.credentials.account_sid}/Messages.json", PageSize=1000).json()[
        "messages"
    ]
    closed = {f"VL{each['sid'][2:]}": each for each in log if each["status"] == "delivered"}
    seconds = [
        (datetime.fromisoformat(each["date_updated"]) - parsedate_to_datetime(closed[each["sid"]]["date_updated"]))
        for each in typed
        if each["sid"] in closed
    ]
    assert len(seconds) > 0.9 * len(typed) > 100
    assert all(2 <= each.total_seconds() <= 17 for each in seconds)
    assert len(set(seconds)) > 5
    failed = {f"VL{each['sid'][2:]}" for each in log if each["status"] in ("undelivered", "failed")}
    assert failed
    assert failed.isdisjoint(each["sid"] for each in typed)


def test_a_client_types_no_code_that_took_more_than_two_minutes(user: User) -> None:
    user.sandbox.set_fault("delivery_slow")
    user.clock.now += 90 * MINUTE
    receipt = 5.0  # at the most, from the phone to the log, whose times are whole seconds
    path = f"/2010-04-01/Accounts/{user.sandbox.credentials.account_sid}/Messages.json"
    delivered = [each for each in user.get(path, PageSize=1000).json()["messages"] if each["status"] == "delivered"]
    late = {f"VL{each['sid'][2:]}" for each in delivered if seconds_of(each) > 2 * MINUTE + receipt}
    typed = {each["sid"] for each in user.attempts() if each["conversion_status"] == "converted"}
    assert len(late) > 20
    assert typed
    assert typed.isdisjoint(late)


def seconds_of(message: dict[str, Any]) -> float:
    updated, created = (parsedate_to_datetime(message[name]) for name in ("date_updated", "date_created"))
    return (updated - created).total_seconds()


def test_an_attempt_tells_the_operator_by_name_and_by_codes(user: User) -> None:
    user.sandbox.set_fault("operator_blocking", Place("GB", "EE"))
    user.clock.now += 10 * MINUTE
    blocked = [each["channel_data"] for each in user.attempts() if each["channel_data"]["error_code"] == "30007"]
    assert len(blocked) > 5
    (about,) = {tuple((k, v) for k, v in each.items() if k != "to") for each in blocked if each["carrier"] == "EE"}
    assert dict(about) == {
        "status": "undelivered",
        "message_status": "undelivered",
        "error_code": "30007",
        "country": "GB",
        "mcc": "234",
        "mnc": "30",
        "carrier": "EE",
        "locale": "en",
        "code_length": "6",
    }


def test_attempts_are_filtered_by_time(user: User) -> None:
    def iso(time: float) -> str:
        return datetime.fromtimestamp(time, UTC).isoformat()

    everything = user.attempts()
    after, before = START - 20 * MINUTE, START - 10 * MINUTE
    some = user.attempts(DateCreatedAfter=iso(after), DateCreatedBefore=iso(before))
    expected = [
        each for each in everything if after <= datetime.fromisoformat(each["date_created"]).timestamp() < before
    ]
    assert [each["sid"] for each in some] == [each["sid"] for each in expected]
    summary = user.get("/v2/Attempts/Summary", DateCreatedAfter=iso(after), DateCreatedBefore=iso(before)).json()
    assert summary["total_attempts"] == len(some) > 20


def test_attempts_and_their_summary_are_asked_for_a_hundred_times_a_minute(user: User) -> None:
    for number in range(100):
        path = "/v2/Attempts/Summary" if number % 2 else "/v2/Attempts"
        assert user.get(path, PageSize=1).status_code == 200
        user.clock.now += 0.2
    for path in ("/v2/Attempts", "/v2/Attempts/Summary"):
        answer = user.get(path)
        assert error_of(answer) == (429, 20429)
        assert answer.headers["Retry-After"] == "40"
    assert user.start().status_code == 201
    user.clock.now += 40
    assert user.get("/v2/Attempts").status_code == 200


def test_a_limit_survives_a_clock_that_goes_back() -> None:
    limit = Limit(2, 60.0)
    assert [limit.take(START), limit.take(START), limit.take(START)] == [0, 0, 60]
    assert limit.take(START - 3600) == 0
