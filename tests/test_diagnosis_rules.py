"""The decision table: which evidence puts which reason first, how sure it is, and what it is not taken for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from checks.back_office import Client, ClientPhone, Method
from checks.clients import LineType, NumberLookup
from checks.diagnosis import (
    Alarm,
    CheckStanding,
    CodeMatch,
    Confidence,
    Diagnosis,
    Evidence,
    Missing,
    Subject,
    diagnose,
)
from checks.diagnosis.rules import RULES, Rule
from checks.kinds import KINDS
from checks.messages import UNKNOWN_OPERATOR, Receipt, Status
from checks.messages.detector import Scope, Verdict
from checks.messages.verification import Attempt
from checks.reason import REASONS, Reason
from checks.result import ClockOffset, ClockSource

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NUMBER = "+447700900123"
HOME = ("GB", "EE")

R = Reason
BY_SMS = Client(methods={Method.SMS: True, Method.TOTP: False}, phones=(ClientPhone(number=NUMBER, is_confirmed=True),))
BY_APP = replace(BY_SMS, methods={Method.SMS: False, Method.TOTP: True})
BY_BOTH = replace(BY_SMS, methods={Method.SMS: True, Method.TOTP: True})


def check(
    kind: str, reason: Reason = R.OK, *, target: str = "twilio", detail: str = "", minutes_ago: float = 30
) -> CheckStanding:
    return CheckStanding(
        check=f"{target}-{kind}",
        kind=kind,
        target=target,
        reason=reason,
        detail=detail,
        since=NOW - timedelta(minutes=minutes_ago),
        at=NOW - timedelta(seconds=10),
        stops_codes=KINDS[kind].stops_codes(reason),
    )


def message(
    status: Status = Status.DELIVERED,
    reason: Reason | None = None,
    *,
    minutes_ago: float = 5,
    code: str | None = None,
    took: float | None = None,
    number: int = 1,
) -> Receipt:
    created_at = (NOW - timedelta(minutes=minutes_ago)).timestamp()
    return Receipt(
        message_id=f"SM{number:032x}",
        status=status,
        at=created_at + (took or 1.0),
        created_at=created_at,
        recipient=NUMBER,
        country="GB",
        operator="EE",
        reason=reason,
        code=code,
        delivery_seconds=took,
    )


def failed(reason: Reason, code: str = "30007", **more: float) -> tuple[Receipt, ...]:
    return (message(Status.UNDELIVERED, reason, code=code, **more),)  # type: ignore[arg-type]


def alarm(
    reason: Reason, *, country: str = "GB", operator: str = "EE", pages: bool = True, target: str = "twilio"
) -> Alarm:
    scope = Scope.OPERATOR if operator else Scope.COUNTRY if country else Scope.PROVIDER
    verdict = Verdict(
        reason=reason,
        scope=scope,
        country=country,
        operator=operator,
        score=30.0,
        threshold=20.0,
        since=(NOW - timedelta(minutes=12)).timestamp(),
        evidence=f"{operator or country or 'everywhere'}: 40 of 41 failed, normally 2 %",
        pages=pages,
    )
    return Alarm(target=target, verdict=verdict)


def evidence(**known: object) -> Evidence:
    """All was asked and all is well, but for what is given."""
    fields: dict[str, object] = {
        "now": NOW,
        "subject": Subject.CLIENT,
        "number": NUMBER,
        "country": HOME[0],
        "operator": HOME[1],
        "is_known": True,
        "client": BY_SMS,
        "messages": (message(minutes_ago=60, took=4.0),),
        "attempts": (),
        "checks": (check("balance"), check("enablement", target="b2core")),
        "alarms": (),
    }
    return Evidence(**(fields | known))  # type: ignore[arg-type]


def reasons(diagnosis: Diagnosis) -> list[Reason]:
    return [finding.reason for finding in diagnosis.findings]


def of(diagnosis: Diagnosis, reason: Reason) -> str:
    """Confidence and lines of a finding."""
    (found,) = [finding for finding in diagnosis.findings if finding.reason is reason]
    return f"{found.confidence}: {'; '.join(line.text for line in found.evidence)}"


SURE, LIKELY, POSSIBLE = Confidence.CERTAIN, Confidence.LIKELY, Confidence.POSSIBLE


def by_check(kind: str, reason: Reason, target: str = "twilio", **more: object) -> Evidence:
    return evidence(checks=(check("service_status"), check(kind, reason, target=target)), **more)


def by_error(reason: Reason) -> Evidence:
    return evidence(messages=None, missing=(Missing(what="messages (twilio)", why="…", reason=reason),))


ROWS: Mapping[Reason, tuple[Confidence, Callable[[], Evidence]]] = {
    R.OK: (POSSIBLE, evidence),
    R.CREDENTIALS_REJECTED: (SURE, lambda: by_check("credentials", R.CREDENTIALS_REJECTED)),
    R.PERMISSION_MISSING: (POSSIBLE, lambda: by_check("delivery", R.PERMISSION_MISSING)),
    R.ACCOUNT_SUSPENDED: (SURE, lambda: by_check("account", R.ACCOUNT_SUSPENDED)),
    R.ACCOUNT_RESTRICTED: (SURE, lambda: by_check("account", R.ACCOUNT_RESTRICTED)),
    R.PROVIDER_MISSING: (SURE, lambda: by_check("enablement", R.PROVIDER_MISSING, "b2core")),
    R.PROVIDER_DISABLED: (SURE, lambda: by_check("enablement", R.PROVIDER_DISABLED, "b2core")),
    R.PROVIDER_INCOMPLETE: (SURE, lambda: by_check("enablement", R.PROVIDER_INCOMPLETE, "b2core")),
    R.PROVIDER_IS_TEST: (SURE, lambda: by_check("enablement", R.PROVIDER_IS_TEST, "b2core")),
    R.TEMPLATE_MISSING: (SURE, lambda: by_check("enablement", R.TEMPLATE_MISSING, "b2core")),
    R.BALANCE_EXHAUSTED: (SURE, lambda: by_check("balance", R.BALANCE_EXHAUSTED)),
    R.BALANCE_LOW: (POSSIBLE, lambda: by_check("balance", R.BALANCE_LOW)),
    R.SENDER_INVALID: (SURE, lambda: by_check("senders", R.SENDER_INVALID, messages=())),
    R.SENDER_UNREGISTERED: (POSSIBLE, lambda: by_check("senders", R.SENDER_UNREGISTERED)),
    R.COUNTRY_NOT_PERMITTED: (LIKELY, lambda: evidence(messages=failed(R.COUNTRY_NOT_PERMITTED, "21408"))),
    R.PROVIDER_OUTAGE: (SURE, lambda: by_check("service_status", R.PROVIDER_OUTAGE, messages=())),
    R.PROVIDER_DEGRADED: (POSSIBLE, lambda: by_check("service_status", R.PROVIDER_DEGRADED)),
    R.RATE_LIMITED: (LIKELY, lambda: evidence(messages=failed(R.RATE_LIMITED, "30001"))),
    R.OPERATOR_BLOCKING: (LIKELY, lambda: evidence(alarms=(alarm(R.OPERATOR_BLOCKING),))),
    R.OPERATOR_DELAY: (LIKELY, lambda: evidence(alarms=(alarm(R.OPERATOR_DELAY),))),
    R.DELIVERY_FAILING: (LIKELY, lambda: by_check("delivery", R.DELIVERY_FAILING, messages=())),
    R.DELIVERY_SLOW: (LIKELY, lambda: evidence(messages=(message(took=400.0),))),
    R.RECEIPTS_MISSING: (
        POSSIBLE,
        lambda: evidence(messages=(message(Status.SENT), message(Status.RECEIPT_MISSING, minutes_ago=9))),
    ),
    R.RECEIPTS_FALSE: (LIKELY, lambda: evidence(alarms=(alarm(R.RECEIPTS_FALSE),))),
    R.NO_TRAFFIC: (POSSIBLE, lambda: by_check("delivery", R.NO_TRAFFIC)),
    R.SMS_PUMPING: (LIKELY, lambda: evidence(alarms=(alarm(R.SMS_PUMPING),))),
    R.RECIPIENT_INVALID: (SURE, lambda: evidence(messages=failed(R.RECIPIENT_INVALID, "30005"))),
    R.RECIPIENT_UNREACHABLE: (LIKELY, lambda: evidence(messages=failed(R.RECIPIENT_UNREACHABLE, "30003"))),
    R.RECIPIENT_OPTED_OUT: (SURE, lambda: evidence(messages=failed(R.RECIPIENT_OPTED_OUT, "21610"))),
    R.RECIPIENT_LANDLINE: (
        SURE,
        lambda: evidence(lookup=NumberLookup(is_valid=True, line_type=LineType.LANDLINE), messages=()),
    ),
    R.RECIPIENT_BLOCKED: (LIKELY, lambda: evidence(messages=failed(R.RECIPIENT_BLOCKED, "30004"))),
    R.TOO_MANY_ATTEMPTS: (
        LIKELY,
        lambda: evidence(messages=tuple(message(minutes_ago=1 + n, took=4.0, number=n) for n in range(5))),
    ),
    R.CLIENT_UNKNOWN: (SURE, lambda: evidence(is_known=False, client=None, number="", messages=None)),
    R.CLIENT_2FA_DISABLED: (
        SURE,
        lambda: evidence(client=replace(BY_SMS, methods={Method.SMS: False, Method.TOTP: False})),
    ),
    R.CLIENT_PHONE_UNCONFIRMED: (
        SURE,
        lambda: evidence(client=replace(BY_SMS, phones=(ClientPhone(number=NUMBER, is_confirmed=False),))),
    ),
    R.SERVER_CLOCK_SKEWED: (LIKELY, lambda: by_check("clock", R.SERVER_CLOCK_SKEWED, "time", client=BY_APP)),
    R.DEVICE_CLOCK_SKEWED: (SURE, lambda: evidence(client=BY_APP, code=CodeMatch(step=3, tried=240))),
    R.CODE_REJECTED: (LIKELY, lambda: by_check("totp_login", R.CODE_REJECTED, "b2core", client=BY_APP)),
    R.WRONG_CODE_ACCEPTED: (POSSIBLE, lambda: by_check("totp_login", R.WRONG_CODE_ACCEPTED, "b2core", client=BY_APP)),
    R.SECRET_MISMATCH: (LIKELY, lambda: evidence(client=BY_APP, code=CodeMatch(step=None, tried=240))),
    R.CODE_REPLAYED: (LIKELY, lambda: evidence(client=BY_APP, code=CodeMatch(step=1, tried=240))),
    R.DEVICE_LOST: (SURE, lambda: evidence(client=BY_APP, is_device_lost=True)),
    R.UNREACHABLE: (POSSIBLE, lambda: by_check("balance", R.UNREACHABLE)),
    R.TIMEOUT: (POSSIBLE, lambda: by_error(R.TIMEOUT)),
    R.TLS_FAILED: (POSSIBLE, lambda: by_error(R.TLS_FAILED)),
    R.BAD_RESPONSE: (POSSIBLE, lambda: by_error(R.BAD_RESPONSE)),
    R.INTERNAL: (POSSIBLE, lambda: by_error(R.INTERNAL)),
}


def test_every_reason_has_evidence_that_puts_it_first() -> None:
    assert ROWS.keys() == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_the_right_reason_ranks_first_with_the_right_confidence(reason: Reason) -> None:
    confidence, gathered = ROWS[reason]

    first = diagnose(gathered()).first

    assert (first.reason, first.confidence) == (reason, confidence)
    assert first.owner is REASONS[reason].owner
    assert first.next_step == REASONS[reason].next_step
    assert first.evidence, "it says why"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_names_what_it_says_it_names(rule: Rule) -> None:
    gathered = [row() for _, row in ROWS.values()]
    gathered += [
        evidence(number=NUMBER, subject=Subject.PHONE, is_known=False, client=None),
        evidence(alarms=(alarm(R.OPERATOR_BLOCKING),), operator=UNKNOWN_OPERATOR),
    ]

    named = {finding.reason for each in gathered for finding in rule.judge(each)}

    assert named
    assert named <= set(rule.reasons)


def test_nothing_known_is_no_finding_and_no_crash() -> None:
    nothing = Evidence(now=NOW, subject=Subject.CLIENT)

    diagnosis = diagnose(nothing)

    assert reasons(diagnosis) == [R.OK]
    assert of(diagnosis, R.OK) == "possible: "


# --- look-alikes


def test_an_empty_account_explains_the_messages_that_fail_with_it() -> None:
    diagnosis = diagnose(by_check("balance", R.BALANCE_EXHAUSTED, messages=failed(R.DELIVERY_FAILING, "30008")))

    assert reasons(diagnosis) == [R.BALANCE_EXHAUSTED, R.DELIVERY_FAILING]


def test_a_provider_that_is_switched_off_explains_an_empty_account() -> None:
    checks = (check("balance", R.BALANCE_EXHAUSTED), check("enablement", R.PROVIDER_DISABLED, target="b2core"))

    assert reasons(diagnose(evidence(checks=checks, messages=()))) == [R.PROVIDER_DISABLED, R.BALANCE_EXHAUSTED]


def test_a_stopped_provider_is_no_certain_cause_where_another_works() -> None:
    checks = (check("balance", R.BALANCE_EXHAUSTED), check("balance", target="vonage"))

    first = diagnose(evidence(checks=checks, messages=())).first

    assert (first.reason, first.confidence) == (R.BALANCE_EXHAUSTED, LIKELY)


def test_what_stops_every_code_is_merely_possible_when_one_has_arrived_since() -> None:
    arrived = (message(minutes_ago=5, took=4.0),)

    ended = diagnose(evidence(checks=(check("senders", R.SENDER_INVALID, minutes_ago=30),), messages=arrived))
    began = diagnose(evidence(checks=(check("senders", R.SENDER_INVALID, minutes_ago=2),), messages=arrived))

    assert (ended.first.reason, ended.first.confidence) == (R.SENDER_INVALID, POSSIBLE)
    assert (began.first.reason, began.first.confidence) == (R.SENDER_INVALID, SURE)


def test_a_delivery_check_that_finds_most_messages_lost_is_named_without_alarms_too() -> None:
    found = diagnose(by_check("delivery", R.DELIVERY_FAILING, messages=(), alarms=None))

    assert of(found, R.DELIVERY_FAILING).startswith("likely: check twilio-delivery of twilio")


@pytest.mark.parametrize(
    "elsewhere",
    [alarm(R.OPERATOR_BLOCKING, operator="O2"), alarm(R.OPERATOR_BLOCKING, country="NG", operator="")],
    ids=["another operator", "another country"],
)
def test_an_alarm_elsewhere_does_not_concern_this_number(elsewhere: Alarm) -> None:
    delivery = check("delivery", R.OPERATOR_BLOCKING, detail="O2 in GB")

    assert reasons(diagnose(evidence(alarms=(elsewhere,), checks=(delivery,)))) == [R.OK]


@pytest.mark.parametrize("kind", ["delivery", "conversion"])
def test_a_check_of_all_messages_adds_nothing_where_alarms_say_where_it_is(kind: str) -> None:
    elsewhere = alarm(R.SMS_PUMPING, country="IN", operator="Airtel")

    assert reasons(diagnose(evidence(alarms=(elsewhere,), checks=(check(kind, R.SMS_PUMPING),)))) == [R.OK]


def test_without_alarms_the_delivery_check_is_a_possible_cause() -> None:
    delivery = check("delivery", R.OPERATOR_BLOCKING, detail="MTN in NG")

    found = diagnose(evidence(alarms=None, checks=(delivery,)))

    assert of(found, R.OPERATOR_BLOCKING) == "possible: check twilio-delivery of twilio: MTN in NG"


def test_an_alarm_of_the_whole_provider_stands_once() -> None:
    everywhere = alarm(R.DELIVERY_FAILING, country="", operator="")
    here = alarm(R.DELIVERY_FAILING)

    found = diagnose(evidence(alarms=(everywhere, here), checks=(check("delivery", R.DELIVERY_FAILING),), messages=()))

    assert reasons(found) == [R.DELIVERY_FAILING]
    assert of(found, R.DELIVERY_FAILING) == (
        "likely: twilio: everywhere: 40 of 41 failed, normally 2 %; twilio: EE: 40 of 41 failed, normally 2 %"
    )


def test_an_alarm_that_pages_nobody_is_merely_possible() -> None:
    assert diagnose(evidence(alarms=(alarm(R.RECEIPTS_MISSING, pages=False),))).first.confidence is POSSIBLE


def test_an_alarm_of_the_country_is_possible_where_the_operator_is_not_known() -> None:
    found = diagnose(evidence(alarms=(alarm(R.OPERATOR_DELAY),), operator=UNKNOWN_OPERATOR))

    assert of(found, R.OPERATOR_DELAY) == (
        "possible: twilio: EE: 40 of 41 failed, normally 2 %; whether the number is of that operator is not known"
    )


def test_an_alarm_of_an_operator_elsewhere_does_not_concern_a_number_whose_own_is_not_known() -> None:
    elsewhere = alarm(R.OPERATOR_DELAY, country="NG", operator="MTN")

    assert reasons(diagnose(evidence(alarms=(elsewhere,), operator=UNKNOWN_OPERATOR))) == [R.OK]
    assert reasons(diagnose(evidence(alarms=(elsewhere,), operator=UNKNOWN_OPERATOR, country=""))) == [R.OK]


def test_an_alarm_of_its_operator_explains_the_message_that_failed() -> None:
    found = diagnose(evidence(alarms=(alarm(R.OPERATOR_BLOCKING),), messages=failed(R.RECIPIENT_UNREACHABLE, "30003")))

    assert reasons(found) == [R.OPERATOR_BLOCKING, R.RECIPIENT_UNREACHABLE]


def test_a_number_that_is_wrong_is_wrong_whatever_its_operator_does() -> None:
    found = diagnose(evidence(alarms=(alarm(R.OPERATOR_BLOCKING),), messages=failed(R.RECIPIENT_INVALID, "30005")))

    assert reasons(found) == [R.RECIPIENT_INVALID, R.OPERATOR_BLOCKING]


def test_who_gets_no_code_asks_often_and_the_cause_comes_first() -> None:
    many = tuple(message(Status.UNDELIVERED, R.RECIPIENT_UNREACHABLE, minutes_ago=n, number=n) for n in range(1, 8))

    found = diagnose(evidence(messages=many))

    assert reasons(found) == [R.RECIPIENT_UNREACHABLE, R.TOO_MANY_ATTEMPTS]
    assert of(found, R.TOO_MANY_ATTEMPTS) == "likely: 7 messages in the last ten minutes"


def test_verifications_are_counted_where_the_messages_are_not_known() -> None:
    attempts = tuple(
        Attempt(
            attempt_id=f"VL{n}",
            created_at=(NOW - timedelta(minutes=n)).timestamp(),
            converted_at=None,
            has_arrived=True,
            recipient=NUMBER,
            country="GB",
            operator="EE",
        )
        for n in range(5)
    )

    found = diagnose(evidence(messages=None, attempts=attempts))

    assert of(found, R.TOO_MANY_ATTEMPTS) == "likely: 5 verifications in the last ten minutes"


def test_a_client_with_an_app_alone_is_not_told_of_faults_of_sms() -> None:
    checks = (
        check("balance", R.BALANCE_EXHAUSTED),
        check("enablement", R.PROVIDER_DISABLED, target="b2core"),
        check("delivery", R.DELIVERY_FAILING),
    )
    of_sms = {"checks": checks, "alarms": (alarm(R.OPERATOR_BLOCKING),), "messages": failed(R.RECIPIENT_OPTED_OUT)}

    assert reasons(diagnose(evidence(client=BY_APP, **of_sms))) == [R.OK]
    assert len(reasons(diagnose(evidence(client=BY_BOTH, **of_sms)))) == 5


def test_a_client_with_sms_alone_is_not_told_of_clocks() -> None:
    checks = (check("clock", R.SERVER_CLOCK_SKEWED, target="time"), check("totp_login", R.CODE_REJECTED))

    assert reasons(diagnose(evidence(checks=checks))) == [R.OK]
    assert reasons(diagnose(evidence(checks=checks, client=BY_BOTH))) == [R.SERVER_CLOCK_SKEWED, R.CODE_REJECTED]


def test_that_no_code_goes_out_explains_before_sign_ins_by_app_that_fail() -> None:
    checks = (check("totp_login", R.CODE_REJECTED), check("balance", R.BALANCE_EXHAUSTED))
    other = check("balance", target="vonage")  # so that neither is certain

    found = diagnose(evidence(checks=(*checks, other), client=BY_BOTH, messages=()))

    assert reasons(found) == [R.BALANCE_EXHAUSTED, R.CODE_REJECTED]


@pytest.mark.parametrize("subject", [Subject.PHONE, Subject.MESSAGE])
def test_who_asks_about_a_number_is_not_told_of_clocks_unless_its_owner_has_an_app(subject: Subject) -> None:
    checks = (check("clock", R.SERVER_CLOCK_SKEWED, target="time"),)

    unknown = diagnose(evidence(subject=subject, checks=checks, client=None, is_known=None))
    known = diagnose(evidence(subject=subject, checks=checks, client=BY_BOTH))

    assert reasons(unknown) == [R.OK]
    assert reasons(known) == ([R.SERVER_CLOCK_SKEWED] if subject is Subject.PHONE else [R.OK])


def test_who_has_a_code_of_the_app_waits_for_no_message() -> None:
    found = diagnose(by_check("balance", R.BALANCE_EXHAUSTED, client=BY_BOTH, code=CodeMatch(step=9, tried=240)))

    assert reasons(found) == [R.DEVICE_CLOCK_SKEWED]


def test_the_platforms_clock_comes_before_the_phones() -> None:
    checks = (check("clock", R.SERVER_CLOCK_SKEWED, target="time"),)

    found = diagnose(evidence(client=BY_APP, checks=checks, code=CodeMatch(step=0, tried=240)))

    assert reasons(found) == [R.SERVER_CLOCK_SKEWED, R.CODE_REPLAYED]


def clock_check(**seconds: float) -> CheckStanding:
    """A check of clocks that failed, and how far off it found each."""
    measured = tuple(ClockOffset(seconds=off, source=ClockSource(source)) for source, off in seconds.items())
    return replace(check("clock", R.SERVER_CLOCK_SKEWED, target="time", detail="as told"), measured=measured)


@pytest.mark.parametrize(
    ("measured", "confidence"),
    [
        ({"platform": 12.0, "host": 0.1}, LIKELY),
        ({"platform": -12.0, "host": -30.0}, LIKELY),
        ({"platform": 2.0, "host": 0.1}, LIKELY),  # where two seconds are too much
        ({"verifier": -4.0}, LIKELY),
        ({}, LIKELY),
        ({"platform": -1.0, "host": 30.0}, POSSIBLE),
        ({"host": -30.0}, POSSIBLE),
    ],
    ids=str,
)
def test_the_clock_of_this_host_alone_refuses_nobodys_code(
    measured: Mapping[str, float], confidence: Confidence
) -> None:
    first = diagnose(evidence(client=BY_APP, checks=(clock_check(**measured),))).first

    assert (first.reason, first.confidence) == (R.SERVER_CLOCK_SKEWED, confidence)
    texts = [line.text for line in first.evidence]
    assert texts[0] == "check time-clock of time: as told"
    assert texts[1:] == (
        ["that refuses no code, unless codes are verified on this host"] if confidence is POSSIBLE else []
    )


def test_the_platforms_clock_is_named_without_the_hosts_own() -> None:
    elsewhere = replace(clock_check(host=9.0), check="ours")

    found = diagnose(evidence(client=BY_APP, checks=(elsewhere, clock_check(verifier=9.0))))

    assert of(found, R.SERVER_CLOCK_SKEWED) == "likely: check time-clock of time: as told"


@pytest.mark.parametrize(("host", "confidence"), [(6.0, LIKELY), (-6.0, LIKELY), (1.0, SURE)])
def test_a_phone_is_not_certainly_off_by_a_clock_that_is_off_itself(host: float, confidence: Confidence) -> None:
    code = CodeMatch(step=3, tried=240)

    found = diagnose(evidence(client=BY_APP, checks=(clock_check(host=host, platform=9.0),), code=code))

    said = of(found, R.DEVICE_CLOCK_SKEWED)
    assert said.startswith(confidence)
    assert ("by this host's clock, which is wrong, the code" in said) is (confidence is LIKELY)


def test_a_client_unknown_to_the_back_office_hears_of_nothing_else() -> None:
    found = diagnose(by_check("balance", R.BALANCE_EXHAUSTED, client=None, is_known=False))

    assert reasons(found) == [R.CLIENT_UNKNOWN]


def test_a_number_of_no_client_is_a_possible_typing_error_after_all_else() -> None:
    of_nobody: dict[str, Any] = {"subject": Subject.PHONE, "client": None, "is_known": False}

    alone = diagnose(evidence(**of_nobody))
    behind = diagnose(by_check("balance", R.BALANCE_LOW, **of_nobody))

    assert of(alone, R.CLIENT_UNKNOWN) == "possible: no client has this phone number"
    assert reasons(behind) == [R.BALANCE_LOW, R.CLIENT_UNKNOWN]


def test_a_check_of_many_clients_says_nothing_of_one_whose_settings_are_known() -> None:
    checks = (check("client_readiness", R.CLIENT_PHONE_UNCONFIRMED, target="b2core"),)

    assert reasons(diagnose(evidence(checks=checks))) == [R.OK]
    assert reasons(diagnose(evidence(checks=checks, client=None, is_known=None))) == [R.CLIENT_PHONE_UNCONFIRMED]


def test_what_is_merely_possible_comes_after_what_is_likely() -> None:
    quiet = alarm(R.RECEIPTS_MISSING, pages=False)

    found = diagnose(evidence(alarms=(quiet,), messages=failed(R.RECIPIENT_BLOCKED, "30004")))

    assert reasons(found) == [R.RECIPIENT_BLOCKED, R.RECEIPTS_MISSING]


def test_a_reason_that_two_rules_name_stands_once_with_the_evidence_of_both_and_the_better_confidence() -> None:
    looked_up = NumberLookup(is_valid=True, line_type=LineType.LANDLINE)
    old = failed(R.RECIPIENT_LANDLINE, "30006")

    found = diagnose(evidence(lookup=looked_up, messages=old))

    assert reasons(found) == [R.RECIPIENT_LANDLINE]
    assert of(found, R.RECIPIENT_LANDLINE) == (
        "certain: by look-up: a landline; message SM0000…0001: undelivered, code 30006"
    )


# --- the client


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({Method.SMS: False, Method.TOTP: False}, "certain: SMS and authenticator app are off, and nothing else is on"),
        ({Method.SMS: False}, "likely: SMS is off; the back office does not tell of authenticator app"),
    ],
)
def test_a_client_without_a_second_factor_is_told_as_well_as_it_is_known(
    methods: Mapping[Method, bool], words: str
) -> None:
    found = diagnose(evidence(client=replace(BY_SMS, methods=methods)))

    assert of(found, R.CLIENT_2FA_DISABLED) == words


def test_a_client_whose_methods_are_not_told_or_who_has_another_one_is_not_said_to_have_none() -> None:
    for methods in ({}, {Method.SMS: False, Method.TOTP: False, Method.OTHER: True}):
        assert R.CLIENT_2FA_DISABLED not in reasons(diagnose(evidence(client=replace(BY_SMS, methods=methods))))


@pytest.mark.parametrize(
    ("confirmed", "words"),
    [
        ((), "the client has no phone number"),
        ((False,), "the client's phone number is not confirmed"),
        ((False, False), "none of the client's 2 phone numbers is confirmed"),
    ],
)
def test_an_unconfirmed_phone_is_told_in_plain_words(confirmed: tuple[bool, ...], words: str) -> None:
    phones = tuple(ClientPhone(number=NUMBER, is_confirmed=each) for each in confirmed)

    found = diagnose(evidence(client=replace(BY_SMS, phones=phones)))

    assert of(found, R.CLIENT_PHONE_UNCONFIRMED) == f"certain: 2FA by SMS is on, and {words}"


def test_a_number_that_is_not_the_confirmed_one_is_told_apart() -> None:
    phones = (
        ClientPhone(number="+447700900999", is_confirmed=True),
        ClientPhone(number=NUMBER, is_confirmed=False),
    )

    found = diagnose(evidence(subject=Subject.PHONE, client=replace(BY_SMS, phones=phones)))

    assert of(found, R.CLIENT_PHONE_UNCONFIRMED) == (
        "certain: 2FA by SMS is on, and this number of the client's is not confirmed: codes go to another"
    )


@pytest.mark.parametrize("phones", [None, (ClientPhone(number=NUMBER, is_confirmed=None),)])
def test_phones_that_are_not_told_are_not_said_to_be_unconfirmed(phones: tuple[ClientPhone, ...] | None) -> None:
    assert reasons(diagnose(evidence(client=replace(BY_SMS, phones=phones)))) == [R.OK]


# --- codes of an app


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (2, "certain: the code is that of 2 steps to come: the phone is about 60 s ahead"),
        (4, "certain: the code is that of 4 steps to come: the phone is about 120 s ahead"),
        (-21, "certain: the code is that of 21 steps ago: the phone is about 630 s (10 min) behind"),
        (-120, "certain: the code is that of 120 steps ago: the phone is about 3600 s (60 min) behind"),
        (
            -2,
            "likely: the code is that of 2 steps ago: the phone is about 60 s behind,"
            " or the code was read out 60 s ago",
        ),
        (
            -20,
            "likely: the code is that of 20 steps ago: the phone is about 600 s (10 min) behind,"
            " or the code was read out 600 s (10 min) ago",
        ),
    ],
)
def test_a_phone_that_is_off_is_told_by_how_much_and_which_way(step: int, words: str) -> None:
    found = diagnose(evidence(client=BY_APP, code=CodeMatch(step=step, tried=240)))

    confidence, _, told = words.partition(": ")
    assert of(found, R.DEVICE_CLOCK_SKEWED) == f"{confidence}: by this host's clock, {told}"


@pytest.mark.parametrize(("step", "reason"), [(-2, R.DEVICE_CLOCK_SKEWED), (-1, R.CODE_REPLAYED), (0, R.CODE_REPLAYED)])
def test_a_code_within_the_window_of_a_verifier_was_right(step: int, reason: Reason) -> None:
    assert diagnose(evidence(client=BY_APP, code=CodeMatch(step=step, tried=240))).first.reason is reason


def test_another_secret_is_told_with_how_far_was_looked() -> None:
    found = diagnose(evidence(client=BY_APP, code=CodeMatch(step=None, tried=240)))

    assert of(found, R.SECRET_MISMATCH) == (
        "likely: the code is right at no time within 2 hours: the app has another secret"
    )


# --- messages


def test_only_the_latest_message_that_ended_counts() -> None:
    on_its_way, arrived = message(Status.SENT, minutes_ago=1), message(minutes_ago=4, took=3.0)
    lost = message(Status.UNDELIVERED, R.RECIPIENT_UNREACHABLE, minutes_ago=9)

    assert reasons(diagnose(evidence(messages=(on_its_way, arrived, lost)))) == [R.OK]
    assert diagnose(evidence(messages=(on_its_way, lost, arrived))).first.reason is R.RECIPIENT_UNREACHABLE


def test_a_failure_of_days_ago_is_merely_possible_but_a_landline_stays_one() -> None:
    days = 3 * 24 * 60

    assert diagnose(evidence(messages=failed(R.RECIPIENT_UNREACHABLE, minutes_ago=days))).first.confidence is POSSIBLE
    assert diagnose(evidence(messages=failed(R.RECIPIENT_LANDLINE, minutes_ago=days))).first.confidence is SURE


def test_a_message_is_shown_with_its_time_status_code_and_part_of_its_id() -> None:
    first = diagnose(evidence(messages=failed(R.RECIPIENT_BLOCKED, "30004", minutes_ago=5))).first

    (line,) = first.evidence
    assert line.text == "message SM0000…0001: undelivered, code 30004"
    assert line.at == NOW - timedelta(minutes=5)


def test_at_most_three_messages_are_shown() -> None:
    many = tuple(message(Status.UNDELIVERED, R.RECIPIENT_BLOCKED, minutes_ago=20 + n, number=n) for n in range(9))

    assert len(diagnose(evidence(messages=many)).first.evidence) == 3


def asked_for(*minutes_ago: float) -> tuple[Receipt, ...]:
    return tuple(message(minutes_ago=each, took=4.0, number=n) for n, each in enumerate(minutes_ago))


def test_only_what_was_asked_for_within_ten_minutes_is_too_often() -> None:
    within, before = asked_for(1, 2, 3, 4, 9.9), asked_for(1, 2, 3, 4, 10.1)

    assert reasons(diagnose(evidence(messages=within))) == [R.TOO_MANY_ATTEMPTS]
    assert reasons(diagnose(evidence(messages=before))) == [R.OK]


def test_a_message_that_has_waited_for_a_day_explains_nothing_of_today() -> None:
    day = 24 * 60

    assert diagnose(evidence(messages=(message(Status.ACCEPTED, minutes_ago=day - 1),))).first.reason is R.DELIVERY_SLOW
    assert reasons(diagnose(evidence(messages=(message(Status.ACCEPTED, minutes_ago=day + 1),)))) == [R.OK]


@pytest.mark.parametrize(
    ("newest", "reason"),
    [
        (message(Status.SENT, minutes_ago=3), R.RECEIPTS_MISSING),
        (message(minutes_ago=3, took=4.0), R.OK),  # receipts come again
        (message(Status.SENT, minutes_ago=1), R.OK),  # may still come
    ],
    ids=["without a receipt", "arrived", "fresh"],
)
def test_receipts_are_missing_only_while_the_latest_message_has_none(newest: Receipt, reason: Reason) -> None:
    silent = (message(Status.RECEIPT_MISSING, minutes_ago=9), message(Status.SENT, minutes_ago=12))

    assert reasons(diagnose(evidence(messages=(newest, *silent)))) == [reason]


def test_a_message_that_still_waits_at_the_provider_is_slow() -> None:
    waiting = diagnose(evidence(messages=(message(Status.ACCEPTED, minutes_ago=5),)))
    fresh = diagnose(evidence(messages=(message(Status.ACCEPTED, minutes_ago=1),)))

    assert of(waiting, R.DELIVERY_SLOW) == (
        "likely: message SM0000…0001: accepted; it has been waiting at the provider for 300 s"
    )
    assert reasons(fresh) == [R.OK]


def test_one_message_without_a_receipt_is_no_finding() -> None:
    assert reasons(diagnose(evidence(messages=(message(Status.SENT),)))) == [R.OK]


def test_that_no_message_was_found_is_said() -> None:
    found = diagnose(evidence(messages=()))

    assert of(found, R.OK) == "possible: no message was found: perhaps none was sent; 2 of 2 checks pass"


def test_a_number_that_a_look_up_finds_invalid_is_invalid() -> None:
    found = diagnose(evidence(messages=(), lookup=NumberLookup(is_valid=False)))

    assert of(found, R.RECIPIENT_INVALID) == "certain: by look-up: no valid number"


@pytest.mark.parametrize("line_type", [None, *LineType])
def test_of_all_kinds_of_lines_a_landline_alone_gets_no_codes(line_type: LineType | None) -> None:
    found = diagnose(evidence(lookup=NumberLookup(is_valid=True, line_type=line_type)))

    assert reasons(found) == [R.RECIPIENT_LANDLINE if line_type is LineType.LANDLINE else R.OK]


# --- what could not be found out


def test_nothing_is_guessed_from_a_source_that_is_missing() -> None:
    nothing_of_messages = evidence(messages=None, attempts=None, alarms=None, checks=None)

    assert reasons(diagnose(nothing_of_messages)) == [R.OK]
    assert of(diagnose(nothing_of_messages), R.OK) == "possible: "


def test_what_was_not_found_out_comes_after_all_that_was() -> None:
    late = Missing(what="the client's settings (b2core)", why="did not answer in time", reason=R.TIMEOUT)
    found = diagnose(
        evidence(client=None, is_known=None, messages=failed(R.RECIPIENT_UNREACHABLE, "30003"), missing=(late,))
    )

    assert reasons(found) == [R.RECIPIENT_UNREACHABLE, R.TIMEOUT]
    assert of(found, R.TIMEOUT) == "possible: the client's settings (b2core): did not answer in time"


def test_a_refusal_that_kept_us_from_asking_is_not_passed_over() -> None:
    refused = Missing(what="messages (twilio)", why="the Auth Token is rejected", reason=R.CREDENTIALS_REJECTED)

    found = diagnose(evidence(messages=None, checks=(), missing=(refused,)))

    assert of(found, R.CREDENTIALS_REJECTED) == "possible: messages (twilio): the Auth Token is rejected"


def test_what_nobody_can_answer_here_is_no_error() -> None:
    absent = Missing(what="alarms of operators", why="only a running exporter watches them")

    assert reasons(diagnose(evidence(alarms=None, missing=(absent,)))) == [R.OK]


def test_a_failing_check_is_named_with_the_time_since_when() -> None:
    (line,) = diagnose(by_check("balance", R.BALANCE_LOW)).first.evidence

    assert line.at == NOW - timedelta(minutes=30)
