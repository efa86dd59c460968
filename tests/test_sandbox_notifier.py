"""What the sandbox posts by itself, to real receivers: signed as Twilio signs, along a way that is not perfect."""

import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl

import pytest
import requests
from twilio.request_validator import RequestValidator

from exporter.sandbox import Notifications, Sandbox, outbox
from exporter.sandbox.faults import Place
from exporter.sandbox.notifier import NotificationError
from exporter.sandbox.outbox import Outbox, Post
from tests.processes import wait_for

PHONE = "+447415999999"
START = 1_800_000_000.0


class Clock:
    """Stands still until it is told otherwise."""

    now = START

    def __call__(self) -> float:
        return self.now


class Receiver:
    """Takes posts on loopback."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((self.path, dict(self.headers.items()), body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", f"{receiver.origin}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.origin}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body.decode(), keep_blank_values=True)) for _, _, body in list(self.posts)]

    def told(self) -> list[tuple[str, str]]:
        return [(form["MessageSid"], form["MessageStatus"]) for form in self.forms()]

    def events(self) -> list[dict[str, Any]]:
        return [event for _, _, body in list(self.posts) for event in json.loads(body)]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def api(sandbox: Sandbox, method: str, **options: Any) -> requests.Response:
    known = sandbox.credentials
    url = f"{sandbox.url}/2010-04-01/Accounts/{known.account_sid}/Messages.json"
    return requests.request(method, url, auth=(known.account_sid, known.auth_token), timeout=5, **options)


def send(sandbox: Sandbox, to: str = PHONE, **form: str) -> requests.Response:
    data = {"To": to, "From": sandbox.credentials.toll_free, "Body": "a test 1a2b", **form}
    return api(sandbox, "POST", data=data)


def log_of(sandbox: Sandbox) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = api(sandbox, "GET", params={"PageSize": 1000}).json()["messages"]
    return rows


def settle(receiver: Receiver, count: int) -> None:
    """Wait for so many posts, and for a moment in which no more come."""
    wait_for(lambda: len(receiver.posts) >= count)
    wait_for(lambda: quiet(receiver))


def quiet(receiver: Receiver) -> bool:
    before = len(receiver.posts)
    threading.Event().wait(0.4)
    return len(receiver.posts) == before


def test_a_message_of_the_api_posts_its_statuses_signed_and_never_the_first(receiver: Receiver, clock: Clock) -> None:
    with Sandbox(clock=clock, history_hours=0) as sandbox:
        sid = send(sandbox, StatusCallback=receiver.url).json()["sid"]
        clock.now += 300
        settle(receiver, 2)
    known, forms = sandbox.credentials, {form["MessageStatus"]: form for form in receiver.forms()}
    assert sorted(receiver.told()) == [(sid, "delivered"), (sid, "sent")]
    assert forms["delivered"] == {
        "AccountSid": known.account_sid,
        "ApiVersion": "2010-04-01",
        "From": known.toll_free,
        "MessageSid": sid,
        "MessageStatus": "delivered",
        "RawDlrDoneDate": "2701150800",
        "SmsSid": sid,
        "SmsStatus": "delivered",
        "To": PHONE,
    }
    assert "RawDlrDoneDate" not in forms["sent"]
    validator = RequestValidator(known.auth_token)
    for (_, headers, _), form in zip(receiver.posts, receiver.forms(), strict=True):
        assert validator.validate(receiver.url, form, headers["X-Twilio-Signature"])


def test_the_fragment_of_a_callback_is_not_signed(receiver: Receiver, clock: Clock) -> None:
    with Sandbox(clock=clock, history_hours=0) as sandbox:
        send(sandbox, StatusCallback=f"{receiver.url}?a=1#rc=3")
        clock.now += 300
        wait_for(lambda: len(receiver.posts) == 2)
    path, headers, _ = receiver.posts[0]
    assert path == "/hook?a=1"
    validator = RequestValidator(sandbox.credentials.auth_token)
    assert validator.validate(f"{receiver.url}?a=1", receiver.forms()[0], headers["X-Twilio-Signature"])


def test_the_callbacks_of_the_traffic_tell_what_the_log_tells(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(callback_url=receiver.url)
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        sandbox.set_fault("delivery_failing")
        clock.now += 600
        rows = log_of(sandbox)
        expected = {(row["sid"], "sent") for row in rows if row["date_sent"] is not None}
        final = {row["sid"]: row for row in rows if row["status"] in ("delivered", "undelivered", "failed")}
        expected |= {(sid, row["status"]) for sid, row in final.items()}
        settle(receiver, len(expected))
    assert len(rows) > 50
    assert Counter(receiver.told()) == dict.fromkeys(expected, 1)
    for form in receiver.forms():
        row = final.get(form["MessageSid"])
        code = row["error_code"] if row and form["MessageStatus"] != "sent" else None
        assert form.get("ErrorCode") == (None if code is None else str(code))
        assert form.get("ErrorMessage") == (row["error_message"] if row and code else None)
        assert form["MessagingServiceSid"] == sandbox.credentials.messaging_service_sid


def test_a_callback_of_its_own_goes_before_that_of_all(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(callback_url=f"{receiver.origin}/all")
    with Sandbox(clock=clock, history_hours=0, speed=0.001, notifications=wanted) as sandbox:
        send(sandbox)
        send(sandbox, StatusCallback=f"{receiver.origin}/own")
        clock.now += 300
        settle(receiver, 4)
    assert Counter(path for path, _, _ in receiver.posts) == {"/all": 2, "/own": 2}


def test_of_the_first_status_events_tell_and_callbacks_do_not(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(callback_url=receiver.url, event_url=f"{receiver.origin}/events")
    with Sandbox(clock=clock, history_hours=0, notifications=wanted):
        clock.now += 300
        settle(receiver, 50)
    forms = [dict(parse_qsl(body.decode())) for path, _, body in receiver.posts if path == "/hook"]
    assert (
        {"sent", "delivered"}
        <= {form["MessageStatus"] for form in forms}
        <= {"sent", "delivered", "undelivered", "failed"}
    )
    events = [each for path, _, body in receiver.posts if path != "/hook" for each in json.loads(body)]
    assert {each["data"]["messageStatus"].lower() for each in events} >= {"queued", "sent", "delivered"}


def test_posts_are_lost_and_repeated_the_same_for_the_same_seed(clock: Clock) -> None:
    seen = []
    for seed in (1, 1, 2):
        receiver, clock = Receiver(), Clock()
        wanted = Notifications(callback_url=receiver.url, repeats=0.5, loss=0.2)
        with Sandbox(clock=clock, seed=seed, history_hours=0, notifications=wanted) as sandbox:
            clock.now += 900
            rows = log_of(sandbox)
            settle(receiver, 1)
        receiver.close()
        seen.append(Counter(receiver.told()))
    told = seen[0]
    assert 0.35 < sum(count == 2 for count in told.values()) / len(told) < 0.65
    assert max(told.values()) == 2
    assert 0.7 < len(told) / (2 * len(rows)) < 0.9
    assert seen[0] == seen[1] != seen[2]


def test_disorder_lets_a_later_status_overtake(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(callback_url=receiver.url, disorder=0.5)
    with Sandbox(clock=clock, history_hours=0, notifications=wanted):
        clock.now += 120
        wait_for(lambda: len(receiver.posts) > 10)
        wait_for(lambda: overtaken(receiver))


def test_a_late_status_comes_after_the_last_one(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    late: dict[tuple[str, str], float] = {}

    def put(_: Outbox, post: Post, *, delay_seconds: float = 0.0) -> None:
        form = dict(parse_qsl(post.body.decode()))
        late[form["MessageSid"], form["MessageStatus"]] = delay_seconds

    monkeypatch.setattr(Outbox, "put", put)
    wanted = Notifications(callback_url="http://localhost/hook", disorder=1.0)
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        clock.now += 300
        wait_for(lambda: len(late) > 50)
        rows = [row for row in log_of(sandbox) if row["status"] == "delivered"]
    assert rows
    for row in rows:
        sent, updated = (parsedate_to_datetime(row[name]) for name in ("date_sent", "date_updated"))
        assert late[row["sid"], "sent"] > (updated - sent).total_seconds() - 1
        assert late[row["sid"], "delivered"] <= 4


def overtaken(receiver: Receiver) -> bool:
    order = {told: number for number, told in enumerate(receiver.told())}
    finals = [(sid, number) for (sid, status), number in order.items() if status != "sent"]
    return any(number < order.get((sid, "sent"), -1) for sid, number in finals)


def test_events_come_in_batches_whose_hash_is_signed(receiver: Receiver, clock: Clock) -> None:
    sink = f"{receiver.url}?sink=1"
    with Sandbox(clock=clock, history_hours=0, notifications=Notifications(event_url=sink)) as sandbox:
        clock.now += 600
        rows = log_of(sandbox)
        settle(receiver, 1)
    validator = RequestValidator(sandbox.credentials.auth_token)
    for path, headers, body in receiver.posts:
        assert path.startswith("/hook?sink=1&bodySHA256=")
        assert validator.validate(receiver.origin + path, body.decode(), headers["X-Twilio-Signature"])
        assert 1 <= len(json.loads(body)) <= 50
    assert len(receiver.posts) < len(rows) / 10
    told = Counter((event["data"]["messageSid"], event["data"]["messageStatus"]) for event in receiver.events())
    assert set(told.values()) == {1}
    assert {(row["sid"], "QUEUED") for row in rows} <= told.keys()
    assert {(row["sid"], row["status"].upper()) for row in rows if row["status"] != "accepted"} <= told.keys()


def test_an_event_has_milliseconds_and_the_codes_of_the_network(receiver: Receiver, clock: Clock) -> None:
    with Sandbox(clock=clock, history_hours=0, notifications=Notifications(event_url=receiver.url)) as sandbox:
        sandbox.set_fault("operator_blocking", Place("GB", "EE"))
        clock.now += 900
        rows = {row["sid"]: row for row in log_of(sandbox)}
        settle(receiver, 1)
    blocked = [each for each in receiver.events() if each["data"]["errorCode"] == 30007]
    data = blocked[-1]["data"]
    row = rows[data["messageSid"]]
    assert data.pop("timestamp") == blocked[-1]["time"]
    assert data == {
        "accountSid": sandbox.credentials.account_sid,
        "messageSid": row["sid"],
        "eventName": "com.twilio.messaging.message.undelivered",
        "from": row["from"],
        "to": row["to"],
        "messageStatus": "UNDELIVERED",
        "messagingServiceSid": sandbox.credentials.messaging_service_sid,
        "errorCode": 30007,
        "mcc": "234",
        "mnc": "30",
        "numberOfSegments": 1,
    }
    batches = [[each["time"] for each in json.loads(body)] for _, _, body in receiver.posts]
    assert all(times == sorted(times) for times in batches)
    times = [time for batch in batches for time in batch]
    assert all(time.endswith("Z") and len(time) == len("2027-01-15T08:00:00.123Z") for time in times)
    assert len({time[-4:] for time in times}) > 20
    assert parsedate_to_datetime(row["date_updated"]).isoformat()[:19] == blocked[-1]["time"][:19]


def test_what_is_signed_can_be_another_url(receiver: Receiver, clock: Clock) -> None:
    public = "https://codes.example.com/callbacks/twilio"
    wanted = Notifications(callback_url=receiver.url, signed_as=public)
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        clock.now += 60
        wait_for(lambda: receiver.posts)
    _, headers, _ = receiver.posts[0]
    validator = RequestValidator(sandbox.credentials.auth_token)
    assert validator.validate(public, receiver.forms()[0], headers["X-Twilio-Signature"])


@pytest.mark.parametrize(
    ("answers", "attempts"), [([500], [1, 2]), ([503, 500, 500, 500, 500, 500, 500], [3, 3])], ids=["once", "always"]
)
def test_a_post_that_failed_comes_again_with_the_same_token_and_not_for_ever(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, clock: Clock, answers: list[int], attempts: list[int]
) -> None:
    monkeypatch.setattr(outbox, "PAUSES_SECONDS", (0.01, 0.1))
    receiver.answers = list(answers)
    with Sandbox(clock=clock, speed=0.001, history_hours=0) as sandbox:
        send(sandbox, StatusCallback=receiver.url)
        clock.now += 300
        settle(receiver, sum(attempts))
    tokens = Counter(headers["I-Twilio-Idempotency-Token"] for _, headers, _ in receiver.posts)
    assert sorted(tokens.values()) == attempts


def test_a_redirect_is_not_followed(receiver: Receiver, clock: Clock) -> None:
    receiver.answers = [307, 302]
    with Sandbox(clock=clock, speed=0.001, history_hours=0) as sandbox:
        send(sandbox, StatusCallback=receiver.url)
        clock.now += 300
        settle(receiver, 2)
    assert [path for path, _, _ in receiver.posts] == ["/hook", "/hook"]


def test_a_refusal_is_final(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(outbox, "PAUSES_SECONDS", (0.01, 0.01))
    receiver.answers = [403, 404]
    with Sandbox(clock=clock, speed=0.001, history_hours=0) as sandbox:
        send(sandbox, StatusCallback=receiver.url)
        clock.now += 300
        settle(receiver, 2)
    assert len(receiver.posts) == 2


def test_a_phone_of_our_own_posts_what_it_receives(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(phones=(PHONE,), phone_url=receiver.url, phone_token="t")
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        send(sandbox)
        clock.now += 300
        settle(receiver, 1)
    ((_, headers, body),) = receiver.posts
    told = json.loads(body)
    assert told.pop("received_at").startswith("2027-01-15T08:00:")
    assert told == {"from": sandbox.credentials.toll_free, "to": PHONE, "text": "a test 1a2b"}
    assert headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("fault", ["operator_silent", "receipts_false", "operator_blocking"])
def test_a_phone_receives_nothing_that_its_operator_keeps(receiver: Receiver, clock: Clock, fault: str) -> None:
    wanted = Notifications(phones=(PHONE,), phone_url=receiver.url, phone_token="t")
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        sandbox.set_fault(fault, Place("GB", "EE"))
        clock.now += 1
        send(sandbox)
        clock.now += 300
        assert quiet(receiver)
    assert receiver.posts == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@example.com/",
        "http://user:secret@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://192.0.2.1/",
        "ftp://127.0.0.1/",
        "//127.0.0.1/",
        "hook",
        "http://[::1",
    ],
)
def test_nothing_is_posted_to_another_machine(url: str, clock: Clock) -> None:
    cases: list[dict[str, Any]] = [
        {"callback_url": url},
        {"event_url": url},
        {"phones": (PHONE,), "phone_url": url},
    ]
    for wanted in cases:
        with pytest.raises(NotificationError, match="loopback addresses only"):
            Notifications(**wanted)
    with Sandbox(clock=clock, speed=0.001, history_hours=0) as sandbox:
        answer = send(sandbox, StatusCallback=url)
    assert (answer.status_code, answer.json()["code"]) == (400, 21609)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"loss": 1.5}, "between 0 and 1"),
        ({"disorder": -0.1}, "between 0 and 1"),
        ({"repeats": float("nan")}, "between 0 and 1"),
        ({"phones": (PHONE,)}, "go together"),
        ({"phone_url": "http://127.0.0.1/"}, "go together"),
    ],
)
def test_what_cannot_be_is_refused(wanted: dict[str, Any], why: str) -> None:
    with pytest.raises(NotificationError, match=why):
        Notifications(**wanted)


def test_the_token_of_a_phone_does_not_show() -> None:
    assert "a-secret" not in repr(Notifications(phones=(PHONE,), phone_url="http://[::1]/", phone_token="a-secret"))


def test_a_receiver_that_is_not_there_holds_up_nobody() -> None:
    wanted = Notifications(callback_url="http://127.0.0.1:9/hook", event_url="http://127.0.0.1:9/sink")
    with Sandbox(speed=200, history_hours=0, notifications=wanted) as sandbox:
        for _ in range(20):
            assert requests.get(f"{sandbox.url}/sandbox/healthy", timeout=1).ok
            assert api(sandbox, "GET", params={"PageSize": 1}).ok


def test_an_outbox_keeps_no_more_than_so_many_posts(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MOST_WAITING", 10)
    box = Outbox()
    for number in range(30):
        box.put(Post(url=f"{receiver.url}/{number}", body=b"", headers={}), delay_seconds=0.3)
    settle(receiver, 10)
    box.close()
    assert sorted(path for path, _, _ in receiver.posts) == sorted(f"/hook/{number}" for number in range(10))


def test_the_threads_of_an_outbox_end_with_it(receiver: Receiver) -> None:
    box = Outbox()
    box.put(Post(url=receiver.url, body=b"", headers={}))
    wait_for(lambda: receiver.posts)
    box.close()
    for thread in box._threads:
        thread.join(timeout=5)
        assert not thread.is_alive()
    box.put(Post(url=receiver.url, body=b"", headers={}))
    assert quiet(receiver)
    assert len(receiver.posts) == 1


def test_without_notifications_nothing_is_posted_about_the_traffic(receiver: Receiver, clock: Clock) -> None:
    with Sandbox(clock=clock, history_hours=0) as sandbox:
        send(sandbox, StatusCallback=receiver.url)
        clock.now += 600
        assert len(log_of(sandbox)) > 20
        settle(receiver, 2)
    assert len(receiver.posts) == 2


def test_messages_of_a_burst_are_posted_about_too(receiver: Receiver, clock: Clock) -> None:
    wanted = Notifications(callback_url=receiver.url)
    with Sandbox(clock=clock, history_hours=0, notifications=wanted) as sandbox:
        sandbox.set_fault("sms_pumping")
        clock.now += 120
        settle(receiver, 40)
    numbers = sorted({int(form["To"]) for form in receiver.forms() if form["To"].startswith("+234803")})
    assert sum(after - before == 1 for before, after in pairwise(numbers)) >= 30


@pytest.mark.parametrize("fault", ["sms_pumping", "operator_blocking"])
def test_nothing_is_posted_about_the_time_before_the_start(receiver: Receiver, clock: Clock, fault: str) -> None:
    wanted = Notifications(callback_url=receiver.url, event_url=receiver.url)
    with Sandbox(clock=clock, faults=[fault], notifications=wanted) as sandbox:
        assert len(log_of(sandbox)) > 50
        settle(receiver, 0)
    assert receiver.posts == []
