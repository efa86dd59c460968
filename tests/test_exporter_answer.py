"""A diagnosis in words: for a terminal, for a ticket, for a program; masked, and safe to paste."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from checks.back_office import Client, ClientPhone, Method
from checks.clients import LineType, NumberLookup
from checks.diagnosis import CheckStanding, Evidence, Line, Missing, Subject, diagnose
from checks.messages import Status
from checks.messages.verification import Attempt
from checks.reason import Reason
from exporter.answer import as_document, as_json, as_markdown, as_text, clock_of, facts_of, subject_of, written
from exporter.answer_format import MEDIA_TYPES, AnswerFormat
from tests.test_diagnosis_rules import BY_SMS, NOW, NUMBER, alarm, check, evidence, failed, message

HOSTILE = "<img src=x>\n# *EE* `|` [a](b) \x1b[31m\x9b2J \u202egnp ~~&lt;"

BLOCKED = evidence(
    messages=failed(Reason.RECIPIENT_BLOCKED, "30004"),
    checks=(check("balance", Reason.BALANCE_LOW, detail="balance 12.50 USD"), check("enablement", target="b2core")),
    alarms=None,
    missing=(Missing(what="alarms of operators", why="only a running exporter watches them"),),
)


def test_the_text_reads_from_the_best_explanation_to_what_was_not_checked() -> None:
    assert as_text(diagnose(BLOCKED)) == "\n".join(
        [
            "About the client with +44…23 (EE, GB), 2026-11-24 12:00:00 UTC",
            "",
            "1. The phone or its operator refuses the message [recipient_blocked, likely]",
            "   - 11:55:00 UTC  message SM0000…0001: undelivered, code 30004",
            "   → Next step (client): Ask the client to unblock the sender and to ask their operator about blocked"
            " short messages.",
            "",
            "2. The provider account will soon have no money left [balance_low, possible]",
            "   - 11:30:00 UTC  check twilio-balance of twilio: balance 12.50 USD",
            "   → Next step (us): Top up the account, and check that auto-recharge is on and its card is valid.",
            "",
            "2FA:           SMS on, authenticator app off",
            "phones:        1 of 1 confirmed",
            "messages:      1 found; the latest of 11:55:00 UTC: undelivered",
            "verifications: none",
            "checks:        1 of 2 pass; not: twilio-balance (balance_low)",
            "",
            "Could not be checked:",
            "  alarms of operators: only a running exporter watches them",
        ]
    )


def test_the_markdown_is_a_ticket() -> None:
    assert as_markdown(diagnose(BLOCKED)).split("\n")[:6] == [
        "**Why no code arrives: the client with +44…23 (EE, GB)** (2026-11-24 12:00 UTC)",
        "",
        "1. **The phone or its operator refuses the message** (`recipient_blocked`, likely)",
        "   - 11:55:00 UTC  message SM0000…0001: undelivered, code 30004",
        "   - Next step (client): Ask the client to unblock the sender and to ask their operator about blocked short"
        " messages.",
        "2. **The provider account will soon have no money left** (`balance_low`, possible)",
    ]


def test_the_document_has_what_a_program_needs() -> None:
    document = json.loads(as_json(diagnose(BLOCKED)))

    assert document["asked_about"] == "client"
    assert document["at"] == "2026-11-24T12:00:00+00:00"
    assert document["phone"] == "+44********23"
    assert [(each["reason"], each["confidence"], each["owner"]) for each in document["findings"]] == [
        ("recipient_blocked", "likely", "client"),
        ("balance_low", "possible", "us"),
    ]
    assert document["findings"][0]["evidence"] == [
        {"at": "2026-11-24T11:55:00+00:00", "text": "message SM0000…0001: undelivered, code 30004"}
    ]
    assert document["missing"] == [{"what": "alarms of operators", "why": "only a running exporter watches them"}]
    assert document["facts"]["2FA"] == "SMS on, authenticator app off"


def test_nothing_found_is_said_in_words_of_its_own() -> None:
    text = as_text(diagnose(evidence()))

    assert "1. Nothing was found that keeps codes from this client [ok, possible]" in text
    assert "→ Next step: Ask the client to try again while you watch" in text
    assert "nobody" not in text


@pytest.mark.parametrize("format_", AnswerFormat)
def test_every_format_is_masked(format_: AnswerFormat) -> None:
    text = written(diagnose(BLOCKED), format_)

    assert NUMBER not in text
    assert "7700" not in text
    assert f"SM{1:032x}" not in text
    assert "recipient_blocked" in text


def test_every_format_has_a_media_type() -> None:
    assert MEDIA_TYPES.keys() == set(AnswerFormat)


def hostile() -> Evidence:
    standing = CheckStanding(
        check="balance",
        kind="balance",
        target="twilio",
        reason=Reason.BALANCE_LOW,
        detail=HOSTILE,
        since=NOW,
        at=NOW,
        stops_codes=False,
    )
    return evidence(operator=HOSTILE, checks=(standing,), missing=(Missing(what=HOSTILE, why=HOSTILE),))


@pytest.mark.parametrize("format_", AnswerFormat)
def test_names_from_outside_neither_steer_a_terminal_nor_break_a_line(format_: AnswerFormat) -> None:
    lines = written(diagnose(hostile()), format_).split("\n")

    assert all(line.isprintable() for line in lines)
    assert not any(line.lstrip().startswith("# ") for line in lines)
    assert len(lines) == len(written(diagnose(evidence_like(hostile())), format_).split("\n"))


def evidence_like(one: Evidence) -> Evidence:
    """The same with friendly names."""
    standing = check("balance", Reason.BALANCE_LOW)
    return evidence(operator="EE", checks=(standing,), missing=tuple(Missing(what="a", why="b") for _ in one.missing))


def test_names_from_outside_are_no_markdown() -> None:
    text = as_markdown(diagnose(hostile()))

    for mark in ("<img", "*EE*", "`|`", "[a]", "~~", "&lt;", "#"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", text), mark


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({}, "the client with +44…23 (EE, GB)"),
        ({"number": ""}, "the client"),
        ({"operator": "unknown"}, "the client with +44…23 (GB)"),
        ({"subject": Subject.PHONE}, "phone +44…23 (EE, GB)"),
        ({"subject": Subject.MESSAGE}, "a message to +44…23 (EE, GB)"),
        ({"subject": Subject.MESSAGE, "number": ""}, "a message"),
    ],
)
def test_what_was_asked_about_is_told_without_id_and_number(known: dict[str, Any], words: str) -> None:
    assert subject_of(evidence(**known)) == words


def attempt(converted_at: float | None) -> Attempt:
    return Attempt(
        attempt_id="VL1",
        created_at=NOW.timestamp() - 60,
        converted_at=converted_at,
        has_arrived=True,
        recipient=NUMBER,
        country="GB",
        operator="EE",
    )


NO_PHONES = Client(methods={Method.OTHER: True}, phones=())
THREE_PHONES = Client(
    methods={}, phones=tuple(ClientPhone(number=NUMBER, is_confirmed=known) for known in (True, False, None))
)


@pytest.mark.parametrize(
    ("known", "fact", "words"),
    [
        ({"client": NO_PHONES}, "2FA", "another method on"),
        ({"client": NO_PHONES}, "phones", "none"),
        ({"client": THREE_PHONES}, "2FA", "the back office does not tell"),
        ({"client": THREE_PHONES}, "phones", "1 of 3 confirmed"),
        ({"messages": ()}, "messages", "none found"),
        (
            {"messages": (message(Status.RECEIPT_MISSING), message())},
            "messages",
            "2 found; the latest of 11:55:00 UTC: receipt missing",
        ),
        (
            {"attempts": (attempt(None), attempt(NOW.timestamp()))},
            "verifications",
            "2 in the last day, 1 typed",
        ),
        ({}, "checks", "2 of 2 pass"),
        ({}, "alarms", "none"),
        ({"alarms": (alarm(Reason.OPERATOR_DELAY, operator="O2"),)}, "alarms", "1, of all operators"),
        ({"lookup": NumberLookup(is_valid=True, line_type=LineType.MOBILE)}, "look-up", "valid, mobile"),
        ({"lookup": NumberLookup(is_valid=False)}, "look-up", "not valid, of unknown type"),
    ],
)
def test_each_fact_is_told_in_plain_words(known: dict[str, Any], fact: str, words: str) -> None:
    assert dict(facts_of(evidence(**known)))[fact] == words


def test_what_is_not_known_is_no_fact() -> None:
    assert facts_of(Evidence(now=NOW, subject=Subject.CLIENT)) == []


def test_a_client_whose_phones_cannot_be_read_has_no_count_of_them() -> None:
    assert "phones" not in dict(facts_of(evidence(client=Client(methods=BY_SMS.methods, phones=None))))


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (None, ""),
        (NOW - timedelta(hours=1), "11:00:00 UTC"),
        (NOW - timedelta(hours=13), "2026-11-23 23:00 UTC"),
    ],
)
def test_a_time_of_another_day_has_its_date(at: datetime | None, words: str) -> None:
    assert clock_of(at, NOW) == words


def test_a_line_without_a_time_is_told_as_it_is() -> None:
    document = as_document(diagnose(evidence(is_device_lost=True)))

    assert document["findings"][0]["evidence"] == [{"at": None, "text": Line(text="the client says so").text}]
