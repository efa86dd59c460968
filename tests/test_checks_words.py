"""The vocabulary: every word complete, every table in step with the others."""

import re

import pytest

from checks.kinds import KINDS
from checks.messages import FAILURE_REASONS, Status, country_of, mask_number, reached
from checks.reason import REASONS, Outcome, Owner, Reason
from checks.result import CheckResult
from checks.secret import MASK, Secret
from checks.settings import format_duration, parse_duration


def test_every_reason_has_a_row_and_no_row_is_without_a_reason() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_a_label_safe_word_with_title_and_next_step(reason: Reason) -> None:
    row = reason.row
    assert re.fullmatch(r"[a-z0-9_]+", reason.value)
    assert row.title[0].isupper()
    assert not row.title.endswith(".")
    assert row.next_step.endswith(".")
    assert "  " not in row.title + row.next_step


def test_only_ok_passes_and_only_ok_needs_nobody() -> None:
    assert [reason for reason in Reason if reason.outcome is Outcome.PASS] == [Reason.OK]
    assert [reason for reason in Reason if reason.row.owner is Owner.NOBODY] == [Reason.OK]


def test_could_not_find_out_is_never_a_failure() -> None:
    errors = {reason for reason in Reason if reason.outcome is Outcome.ERROR}
    assert errors == {
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.TLS_FAILED,
        Reason.BAD_RESPONSE,
        Reason.INTERNAL,
    }


def test_titles_are_all_different() -> None:
    assert len({row.title for row in REASONS.values()}) == len(REASONS)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_can_pass_and_can_fail_to_find_out(kind: object) -> None:
    reasons = kind.reasons  # type: ignore[attr-defined]
    assert {Reason.OK, Reason.TIMEOUT, Reason.INTERNAL} <= set(reasons)
    assert len(set(reasons)) == len(reasons)


def test_a_status_page_that_cannot_be_read_has_no_way_to_reject_credentials() -> None:
    assert Reason.CREDENTIALS_REJECTED not in KINDS["service_status"].reasons


def test_failure_reasons_of_messages_are_failures() -> None:
    assert {reason.outcome for reason in FAILURE_REASONS} == {Outcome.FAIL}


def test_the_outcome_follows_from_the_reason() -> None:
    assert CheckResult(reason=Reason.BALANCE_LOW).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, Status.ACCEPTED, (Status.ACCEPTED,)),
        (None, Status.DELIVERED, (Status.ACCEPTED, Status.SENT, Status.DELIVERED)),
        (None, Status.FAILED, (Status.ACCEPTED, Status.FAILED)),
        (Status.ACCEPTED, Status.UNDELIVERED, (Status.SENT, Status.UNDELIVERED)),
        (Status.SENT, Status.DELIVERED, (Status.DELIVERED,)),
        (Status.SENT, Status.SENT, ()),
        (Status.DELIVERED, Status.SENT, ()),
        (Status.DELIVERED, Status.UNDELIVERED, ()),
    ],
)
def test_a_message_reaches_each_status_once_and_never_goes_back(
    before: Status | None, now: Status, expected: tuple[Status, ...]
) -> None:
    assert reached(before, now) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("+4915112345678", "DE"),
        ("+12025550143", "US"),
        ("+2348031234567", "NG"),
        ("+870773111632", "unknown"),  # Inmarsat: no country
        ("not a number", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_country_comes_from_the_number(number: str, expected: str) -> None:
    assert country_of(number) == expected


def test_a_masked_number_keeps_the_country_and_two_digits() -> None:
    assert mask_number("+4915112345678") == "+49*********78"


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {[secret]}"
    assert "hunter2" not in shown
    assert MASK in shown
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != "hunter2"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("2d", 172800), ("1.5h", 5400)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 m", "5M", "1h-5m", "\u0661s", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [0.001, 0.25, 1, 30, 90, 300, 3600, 5400, 86400, 7 * 86400])
def test_a_duration_is_written_as_it_can_be_read(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
