"""What all providers of a JSON API share: codes and causes, fields, rows, bookmarks, spans of time, budgets."""

import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.callbacks import Callback, CallbackRefusedError
from checks.errors import BadResponseError, ProviderError
from checks.messages import FAILURE_REASONS, Status
from checks.providers.bookmarks import parse_bookmark, write_bookmark
from checks.providers.budget import DailyBudget
from checks.providers.causes import REASON_OF, Cause, Codes, code_table, parse_code
from checks.providers.fields import Fields, parse_moment, parse_number
from checks.providers.http import Reply
from checks.providers.json_api import JsonApi, clock_of
from checks.providers.posts import parse_fields
from checks.providers.rows import Receipts, Row
from checks.providers.windows import Windows
from checks.reason import Reason
from tests.stub_server import StubServer, answer

TABLE = code_table(
    (Cause.CARRIER_BLOCKED, "page", [6]),
    (Cause.AUTH_FAILED, "page", ["auth"]),
    (Cause.INVALID_REQUEST, "page", [400]),
    (Cause.UNKNOWN, "page", [99]),
)


def test_every_cause_has_one_reason() -> None:
    assert set(REASON_OF) == set(Cause)
    assert Reason.OK not in REASON_OF.values()


def test_a_code_stands_in_a_table_once() -> None:
    with pytest.raises(ValueError, match="code 6 stands in the table twice"):
        code_table((Cause.UNKNOWN, "page", [6]), (Cause.TIMEOUT, "page", ["6"]))


def test_what_is_a_fault_of_a_caller_is_a_failing_message_of_somebody_else() -> None:
    codes = Codes(TABLE, {})
    assert [codes.of_call(code) for code in ("6", "auth", "400", "7")] == [
        Reason.OPERATOR_BLOCKING,
        Reason.CREDENTIALS_REJECTED,
        Reason.INTERNAL,
        None,
    ]
    assert [codes.of_message(code) for code in ("6", "auth", "400", "7")] == [
        (Reason.OPERATOR_BLOCKING, True),
        (Reason.DELIVERY_FAILING, True),
        (Reason.DELIVERY_FAILING, True),
        (Reason.DELIVERY_FAILING, False),
    ]


def test_the_settings_have_the_last_word_on_a_code() -> None:
    codes = Codes(TABLE, {"6": Reason.RECIPIENT_BLOCKED, "7": Reason.SMS_PUMPING})
    assert [codes.of_message(code) for code in ("6", "7")] == [
        (Reason.RECIPIENT_BLOCKED, True),
        (Reason.SMS_PUMPING, True),
    ]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (6, "6"),
        ("30007", "30007"),
        ("E-auth_error", "E-auth_error"),
        ("send-9", "send-9"),
        ("4915112345678", None),
        ("E-4915112345678", None),
        ("+49151", None),
        ("a b", None),
        ("", None),
        (True, None),
        (None, None),
        (6.0, None),
        ("a" * 65, None),
        ("٦", None),
    ],
)
def test_a_code_may_stand_in_a_label(value: Any, code: str | None) -> None:
    assert parse_code(value) == code


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("447700900000", "+447700900000"),
        ("+447700900000", "+447700900000"),
        (447700900000, "+447700900000"),
        ("ACME", ""),
        ("12", ""),
        ("1" * 16, ""),
        (None, ""),
        (True, ""),
        ("٤٤٧٧٠٠٩٠٠٠٠٠", ""),
    ],
)
def test_a_number_has_its_plus_sign(text: Any, number: str) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2019-06-28T15:30:00+0000", 1_561_735_800.0),
        ("2019-06-28T15:30:00Z", 1_561_735_800.0),
        ("2019-06-28T17:30:00.250+02:00", 1_561_735_800.25),
        ("2019-06-28 15:30:00", 1_561_735_800.0),
    ],
)
def test_a_date_without_an_offset_is_utc(text: str, moment: float) -> None:
    assert parse_moment(text) == moment


@given(st.text(max_size=80) | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:?\d\d\Z"))
def test_any_text_is_a_date_or_a_value_error(text: str) -> None:
    try:
        parse_moment(text)
    except ValueError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def refusal_of(value: Any, ask: str) -> str:
    try:
        getattr(Fields(value, "Acme"), ask)("a")
    except BadResponseError as error:
        return str(error)
    return ""


@given(json_values)
def test_whatever_an_answer_holds_is_a_value_or_a_bad_response_that_quotes_nothing(value: Any) -> None:
    for ask in ("text", "number", "currency", "moment", "optional_moment", "inner", "rows"):
        assert refusal_of(value, ask) in (
            "",
            "Acme's answer is not of the documented shape",
            "Acme's a is not of the documented shape",
            "Acme gives no a, or another thing than documented",
        )


def row(message_id: str, created_at: float | None, **more: Any) -> Row:
    return Row(message_id=message_id, status=more.pop("status", Status.SENT), at=0.0, created_at=created_at, **more)


def test_a_page_holds_what_was_asked_for_and_the_newest_first() -> None:
    made = {"old": 9.0, "first": 10.0, "second": 15.0, "next": 20.0, "timeless": None}
    told = Receipts(Codes(TABLE, {})).of_page(
        [{"id": name} for name in made],
        lambda each: row(each["id"], made[each["id"]]),
        vendor="Acme",
        since=10.0,
        until=20.0,
    )
    assert [each.message_id for each in told] == ["second", "first"]


def test_a_status_says_why_where_its_code_does_not() -> None:
    receipts = Receipts(Codes(TABLE, {}))
    assert [receipts.why(code, Cause.TIMEOUT) for code in (None, "99", "6")] == [
        (Reason.DELIVERY_SLOW, True),
        (Reason.DELIVERY_SLOW, True),
        (Reason.OPERATOR_BLOCKING, True),
    ]
    assert receipts.why(None, Cause.UNKNOWN) == (Reason.DELIVERY_FAILING, True)


def test_a_country_is_that_of_the_number_or_else_what_the_vendor_says() -> None:
    receipts = Receipts(Codes(TABLE, {}))
    assert receipts.of(row("a", 0.0, number="+4915112345678", country="GB")).country == "DE"
    assert receipts.of(row("a", 0.0, country="GB")).country == "GB"


def test_a_row_that_arrived_before_it_was_made_took_no_time() -> None:
    ahead = Row(message_id="a", status=Status.DELIVERED, at=5.0, created_at=9.0, is_timed=True)
    assert Receipts(Codes(TABLE, {})).of(ahead).delivery_seconds == 0.0


PATTERNS = {"cursor": re.compile(r"\w+"), "page": re.compile(r"\d+")}


def test_a_bookmark_comes_back_as_it_was_written() -> None:
    written = write_bookmark({"page": "2", "cursor": "a_b"}, PATTERNS, "Acme")
    assert parse_bookmark(written, PATTERNS, "Acme") == {"page": "2", "cursor": "a_b"}


@pytest.mark.parametrize("bookmark", ["", "page", "page=x", "page=1&page=2", "To=1", "page=1&cursor=", "cursor=%00"])
def test_a_bookmark_of_somebody_else_is_no_page(bookmark: str) -> None:
    with pytest.raises(BadResponseError, match="Acme's message log has no such page"):
        parse_bookmark(bookmark, PATTERNS, "Acme")


@given(
    since=st.floats(0, 4e9),
    length=st.floats(1, 40 * 86_400),
    longest=st.sampled_from([3600.0, 86_400.0]),
    ends_now=st.booleans(),
)
def test_spans_cover_all_time_once_and_are_never_too_long(
    since: float, length: float, longest: float, ends_now: bool
) -> None:
    windows = Windows("Acme", longest_seconds=longest, cursor={})
    end = since + length
    span = windows.first(since, None if ends_now else end, end)
    assert span.until >= end
    for _ in range(2000):
        assert 1 <= span.until - span.since <= longest
        bookmark = windows.following(span, since, {})
        if bookmark is None:
            assert span.since <= since
            return
        assert len(bookmark) < 100
        older = windows.parse(bookmark)
        assert older.until == span.since
        span = older
    raise AssertionError("no end")


def test_a_budget_is_that_of_one_day() -> None:
    now = 86_400.0 * 20_000 + 5
    budget = DailyBudget(10, "max_things_per_day", lambda: now)
    budget.use(9)
    budget.require()
    budget.use(5)
    with pytest.raises(ProviderError) as caught:
        budget.require()
    assert (caught.value.reason, str(caught.value)) == (
        Reason.RATE_LIMITED,
        "our own limit max_things_per_day 10 is used up until midnight UTC; the provider refuses nothing",
    )
    now += 86_400
    budget.require()


@given(st.binary(max_size=60), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_any_body_is_fields_of_text_or_refused(body: bytes, kind: str) -> None:
    try:
        fields = parse_fields(Callback("", {"content-type": kind}, body, 0.0))
    except CallbackRefusedError:
        return
    assert all(isinstance(value, str) for value in fields.values())


@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Fri, 28 Jun 2019 15:30:00 GMT", 1_561_735_800.0),
        ("Sat, 29 Jun 2019 15:30:00 GMT", 1_561_822_200.0),
        ("Sat, 29 Jun 2019 15:30:01 GMT", None),  # more than a day from ours
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("", None),
        ("soon, or never mind", None),
        ("Fri, 28 Jun 99999999999 15:30:00 GMT", None),
    ],
)
def test_the_clock_of_a_vendor_is_its_date_header(date: str, at: float | None) -> None:
    assert clock_of({"Date": date}, now=1_561_735_800.0) == at


def test_an_account_without_money_is_among_the_reasons_of_messages() -> None:
    assert Reason.BALANCE_EXHAUSTED in FAILURE_REASONS


@dataclass(frozen=True)
class Way:
    """What ``JsonApi`` has to know of a vendor's API."""

    base_url: str
    timeout: float = 5.0
    max_requests_per_second: int = 1000


def test_a_date_that_is_not_believed_changes_nothing_and_an_answer_is_decoded_once() -> None:
    decoded = []

    def decode(reply: Reply) -> Any:
        decoded.append(reply)
        return reply.json()

    with StubServer() as stub:
        stub.on("/", answer({}, headers={"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}))
        api = JsonApi("Acme", ["x"], Way(stub.url), codes=Codes({}, {}), code_of=lambda _: None, now=lambda: 5e8)
        with closing(api):
            assert (api.ask("GET", "https://x/", decode=decode).at, api.now(), len(decoded)) == (None, 5e8, 1)
