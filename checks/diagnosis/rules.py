"""The decision table: which evidence names which reason, in the order in which they explain.

A rule further up explains those below it: a client without 2FA waits for no message, while the provider is switched
off nothing else about messages matters, and who gets no code asks for one again and again. A rule says nothing where
its evidence is not known.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ..back_office import Method
from ..clients import LineType
from ..messages import UNKNOWN_OPERATOR, Receipt, Status
from ..reason import Outcome, Reason
from ..result import ClockOffset, ClockSource
from ..totp import STEP_SECONDS
from .evidence import METHOD_WORDS, Alarm, CheckStanding, Evidence, Subject
from .findings import Confidence, Finding, Line

Judge = Callable[[Evidence], Iterator[Finding]]

_R = Reason
_IN_MINUTES: Final = 180  # seconds from which minutes are easier to picture
_WINDOW_STEPS: Final = 1  # that a verifier accepts: RFC 6238 section 5.2
_READ_OUT_STEPS: Final = 20  # ten minutes, until a code that a client read out or wrote down is asked about
_CLOCK_OFF: Final = STEP_SECONDS / 6  # seconds from which a clock that is wrong costs clients their codes
_ATTEMPTS: Final = 5  # codes in ten minutes: Verify sends no more (Twilio 60203), and B2CORE blocks after five tries
_ATTEMPTS_WITHIN: Final = timedelta(minutes=10)
_LONG: Final = timedelta(minutes=2)  # without a receipt, or on its way: no client waits longer
_OLD: Final = timedelta(days=1)  # of a failed message: much can have changed since
_SHOWN_MESSAGES: Final = 3
_ENOUGH: Final = 2  # messages without a receipt


@dataclass(frozen=True, slots=True)
class Rule:
    """One row."""

    name: str
    reasons: Collection[Reason]  # that it can name
    judge: Judge


def _found(reason: Reason, confidence: Confidence, *lines: Line) -> Iterator[Finding]:
    yield Finding(reason=reason, confidence=confidence, evidence=lines)


# --- the client ----------------------------------------------------------------------------------------------------


def _unknown(evidence: Evidence) -> Iterator[Finding]:
    if evidence.is_known is False:
        if evidence.subject is Subject.CLIENT:
            yield from _found(_R.CLIENT_UNKNOWN, Confidence.CERTAIN, Line(text="the back office has no such client"))
        else:
            yield from _found(_R.CLIENT_UNKNOWN, Confidence.POSSIBLE, Line(text="no client has this phone number"))


def _unknown_client(evidence: Evidence) -> Iterator[Finding]:
    return _unknown(evidence) if evidence.subject is Subject.CLIENT else iter(())


def _unknown_number(evidence: Evidence) -> Iterator[Finding]:
    return _unknown(evidence) if evidence.subject is not Subject.CLIENT else iter(())


def _device_lost(evidence: Evidence) -> Iterator[Finding]:
    if evidence.is_device_lost:
        yield from _found(_R.DEVICE_LOST, Confidence.CERTAIN, Line(text="the client says so"))


def _no_second_factor(evidence: Evidence) -> Iterator[Finding]:
    client = evidence.client
    if client is None or not client.methods or any(client.methods.values()):
        return
    off = _listed([METHOD_WORDS[method] for method in client.methods])
    untold = [METHOD_WORDS[method] for method in (Method.SMS, Method.TOTP) if method not in client.methods]
    if untold:
        text = f"{off} off; the back office does not tell of {' and '.join(untold)}"
        yield from _found(_R.CLIENT_2FA_DISABLED, Confidence.LIKELY, Line(text=text))
    else:
        yield from _found(_R.CLIENT_2FA_DISABLED, Confidence.CERTAIN, Line(text=f"{off} off, and nothing else is on"))


def _phone_unconfirmed(evidence: Evidence) -> Iterator[Finding]:
    client = evidence.client
    if client is None or not client.methods.get(Method.SMS) or not evidence.uses(Method.SMS):
        return
    phones = client.phones or ()
    if client.has_confirmed_phone is False:
        match len(phones):
            case 0:
                text = "the client has no phone number"
            case 1:
                text = "the client's phone number is not confirmed"
            case many:
                text = f"none of the client's {many} phone numbers is confirmed"
    elif any(phone.number == evidence.number and phone.is_confirmed is False for phone in phones):
        text = "this number of the client's is not confirmed: codes go to another"
    else:
        return
    yield from _found(_R.CLIENT_PHONE_UNCONFIRMED, Confidence.CERTAIN, Line(text=f"2FA by SMS is on, and {text}"))


# --- codes of an authenticator app ---------------------------------------------------------------------------------


def _server_clock(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.uses(Method.TOTP):
        return
    failing = _failing(evidence, {_R.SERVER_CLOCK_SKEWED})
    verifying = [each for each in failing if not _is_of_host_alone(each)]
    if verifying:
        yield from _found(_R.SERVER_CLOCK_SKEWED, Confidence.LIKELY, *_lines(verifying))
    elif failing:
        harmless = Line(text="that refuses no code, unless codes are verified on this host")
        yield from _found(_R.SERVER_CLOCK_SKEWED, Confidence.POSSIBLE, *_lines(failing), harmless)


def _is_of_host_alone(standing: CheckStanding) -> bool:
    """Return whether the clock that is wrong is this host's, and not the platform's too."""
    off = _clocks(standing)
    host, platform = off.get(ClockSource.HOST, 0.0), off.get(ClockSource.PLATFORM, 0.0)
    return host > platform and platform < _CLOCK_OFF


def _clocks(standing: CheckStanding) -> Mapping[ClockSource, float]:
    """Return by how many seconds each clock that a check measured is off, either way."""
    return {each.source: abs(each.seconds) for each in standing.measured if isinstance(each, ClockOffset)}


def _is_host_off(evidence: Evidence) -> bool:
    failing = _failing(evidence, {_R.SERVER_CLOCK_SKEWED})
    return any(_clocks(each).get(ClockSource.HOST, 0.0) >= _CLOCK_OFF for each in failing)


def _code(evidence: Evidence) -> Iterator[Finding]:
    match = evidence.code
    if match is None:
        return
    if match.step is None:
        hours = match.tried * STEP_SECONDS // 3600
        text = f"the code is right at no time within {hours} hours: the app has another secret"
        yield from _found(_R.SECRET_MISMATCH, Confidence.LIKELY, Line(text=text, at=evidence.now))
    elif abs(match.step) > _WINDOW_STEPS:
        text = f"the code is that of {abs(match.step)} steps {_when(match.step)}: the phone is {_off_by(match.step)}"
        is_late = -_READ_OUT_STEPS <= match.step < 0
        text += f", or the code was read out {_span(match.step)} ago" if is_late else ""
        is_host_off = _is_host_off(evidence)
        line = Line(text=f"by this host's clock{', which is wrong' if is_host_off else ''}, {text}", at=evidence.now)
        confidence = Confidence.LIKELY if is_late or is_host_off else Confidence.CERTAIN
        yield from _found(_R.DEVICE_CLOCK_SKEWED, confidence, line)
    else:
        text = "the code is right now: when it was refused, it had most likely been used already"
        yield from _found(_R.CODE_REPLAYED, Confidence.LIKELY, Line(text=text, at=evidence.now))


def _when(step: int) -> str:
    return "ago" if step < 0 else "to come"


def _off_by(step: int) -> str:
    return f"about {_span(step)} {'behind' if step < 0 else 'ahead'}"


def _span(steps: int) -> str:
    seconds = abs(steps) * STEP_SECONDS
    minutes = f" ({seconds / 60:.0f} min)" if seconds >= _IN_MINUTES else ""
    return f"{seconds} s{minutes}"


def _totp_sign_in(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.uses(Method.TOTP):
        return
    for reason in (_R.CODE_REJECTED, _R.WRONG_CODE_ACCEPTED):
        lines = _lines(_failing(evidence, {reason}, kinds={"totp_login"}))
        if lines:
            is_cause = reason is _R.CODE_REJECTED
            yield from _found(reason, Confidence.LIKELY if is_cause else Confidence.POSSIBLE, *lines)


# --- everybody -----------------------------------------------------------------------------------------------------

_STOPPING: Final = (
    _R.PROVIDER_MISSING,
    _R.PROVIDER_DISABLED,
    _R.PROVIDER_IS_TEST,
    _R.PROVIDER_INCOMPLETE,
    _R.TEMPLATE_MISSING,
    _R.CREDENTIALS_REJECTED,
    _R.BALANCE_EXHAUSTED,  # Twilio suspends an account without money, too: codes 20005 and 10001
    _R.ACCOUNT_SUSPENDED,
    _R.ACCOUNT_RESTRICTED,
    _R.SENDER_INVALID,
    _R.PROVIDER_OUTAGE,
)
"""What keeps every code from going out, the cause of others first."""


def _stopped(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.uses(Method.SMS):
        return
    for reason in _STOPPING:
        failing = [each for each in _failing(evidence, {reason}) if _stops(each, evidence)]
        if failing:
            has_way_round = any(_has_way_round(each, evidence) for each in failing)
            yield from _found(reason, Confidence.LIKELY if has_way_round else Confidence.CERTAIN, *_lines(failing))


def _stops(standing: CheckStanding, evidence: Evidence) -> bool:
    """Return whether what was found keeps codes from this client: none has arrived since."""
    since = standing.since.timestamp()
    arrived = [each for each in evidence.messages or () if each.status is Status.DELIVERED]
    return standing.stops_codes and not any((each.created_at or 0) > since for each in arrived)


def _has_way_round(standing: CheckStanding, evidence: Evidence) -> bool:
    """Return whether the same question about another provider, or back office, has a better answer."""
    others = [each for each in evidence.checks or () if each.kind == standing.kind and each.target != standing.target]
    return any(each.outcome is Outcome.PASS for each in others)


_HINDERING: Final = (
    _R.DELIVERY_FAILING,
    _R.DELIVERY_SLOW,
    _R.PROVIDER_DEGRADED,
    _R.RATE_LIMITED,
    _R.SENDER_UNREGISTERED,
    _R.COUNTRY_NOT_PERMITTED,
    _R.OPERATOR_BLOCKING,
    _R.OPERATOR_DELAY,
    _R.SMS_PUMPING,
    _R.RECEIPTS_FALSE,
    _R.RECEIPTS_MISSING,
    _R.NO_TRAFFIC,
    _R.PERMISSION_MISSING,
    _R.BALANCE_LOW,
    _R.CLIENT_2FA_DISABLED,
    _R.CLIENT_PHONE_UNCONFIRMED,
    *_STOPPING,  # of a check that cannot tell that it stops every code, or while codes do arrive
)
"""What keeps some codes from going out, or soon will."""

_OF_CLIENTS: Final = frozenset({_R.CLIENT_2FA_DISABLED, _R.CLIENT_PHONE_UNCONFIRMED})
"""Told by a check of many clients: of no use where this one's own settings are known."""

_OF_MESSAGES: Final = frozenset({"delivery", "conversion"})
"""Kinds of checks that judge the messages of all clients."""


def _hindered(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.uses(Method.SMS):
        return
    for reason in _HINDERING:
        if reason in _OF_CLIENTS and evidence.client is not None:
            continue
        failing = _failing(evidence, {reason})
        if reason in _OF_CLIENTS:
            failing = [each for each in failing if each.kind == "client_readiness"]  # not a client of our own
        if reason in _STOPPING:
            failing = [each for each in failing if not _stops(each, evidence)]
        if any(alarm.verdict.reason is reason for alarm in evidence.alarms or ()):
            failing = [each for each in failing if each.kind not in _OF_MESSAGES]  # the alarms say where
        if failing:
            is_everywhere = any(_stops(each, evidence) for each in failing)
            yield from _found(reason, Confidence.LIKELY if is_everywhere else Confidence.POSSIBLE, *_lines(failing))


# --- the number ----------------------------------------------------------------------------------------------------

_ITS_OWN: Final = frozenset({_R.RECIPIENT_OPTED_OUT, _R.RECIPIENT_LANDLINE, _R.RECIPIENT_INVALID})
"""What is true of a number whatever its operator does."""

_OF_THE_PHONE: Final = frozenset({_R.RECIPIENT_UNREACHABLE, _R.RECIPIENT_BLOCKED})


def _looked_up(evidence: Evidence) -> Iterator[Finding]:
    lookup = evidence.lookup
    if lookup is None:
        return
    if not lookup.is_valid:
        yield from _found(_R.RECIPIENT_INVALID, Confidence.CERTAIN, Line(text="by look-up: no valid number"))
    elif lookup.line_type is LineType.LANDLINE:
        yield from _found(_R.RECIPIENT_LANDLINE, Confidence.CERTAIN, Line(text="by look-up: a landline"))


def _own_number(evidence: Evidence) -> Iterator[Finding]:
    return _of_messages(evidence, _ITS_OWN, Confidence.CERTAIN)


def _own_phone(evidence: Evidence) -> Iterator[Finding]:
    return _of_messages(evidence, _OF_THE_PHONE, Confidence.LIKELY)


def _own_messages(evidence: Evidence) -> Iterator[Finding]:
    others = frozenset(Reason) - _ITS_OWN - _OF_THE_PHONE
    return _of_messages(evidence, others, Confidence.LIKELY)


def _of_messages(evidence: Evidence, reasons: Collection[Reason], confidence: Confidence) -> Iterator[Finding]:
    """Name the reason of the latest message that came to an end, if it failed."""
    if not evidence.uses(Method.SMS):
        return
    ended = [each for each in evidence.messages or () if each.status.is_final]
    reason = ended[0].reason if ended else None
    if reason is not None and reason in reasons:
        alike = [each for each in ended if each.reason is reason][:_SHOWN_MESSAGES]
        is_old = ended[0].at < (evidence.now - _OLD).timestamp()
        of_phone = confidence is not Confidence.CERTAIN
        yield from _found(
            reason, Confidence.POSSIBLE if is_old and of_phone else confidence, *(line_of(each) for each in alike)
        )


def _late(evidence: Evidence) -> Iterator[Finding]:
    """Look at how long the latest message took, or has been waiting for."""
    latest = evidence.latest
    if latest is None or latest.created_at is None or not evidence.uses(Method.SMS):
        return
    if latest.status is Status.DELIVERED and (latest.delivery_seconds or 0.0) > _LONG.total_seconds():
        yield from _found(_R.DELIVERY_SLOW, Confidence.LIKELY, line_of(latest))
    waited = evidence.now.timestamp() - latest.created_at
    if latest.status is Status.ACCEPTED and _LONG.total_seconds() < waited < _OLD.total_seconds():
        still = Line(text=f"it has been waiting at the provider for {waited:.0f} s", at=evidence.now)
        yield from _found(_R.DELIVERY_SLOW, Confidence.LIKELY, line_of(latest), still)


def _too_often(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.uses(Method.SMS):
        return
    since = (evidence.now - _ATTEMPTS_WITHIN).timestamp()
    for many, what in ((evidence.messages, "messages"), (evidence.attempts, "verifications")):
        recent = [each for each in many or () if each.created_at is not None and each.created_at >= since]
        if len(recent) >= _ATTEMPTS:
            text = f"{len(recent)} {what} in the last ten minutes"
            yield from _found(_R.TOO_MANY_ATTEMPTS, Confidence.LIKELY, Line(text=text, at=evidence.now))
            return


def _unanswered(evidence: Evidence) -> Iterator[Finding]:
    """Look for messages that went out long ago and of which nothing is known since."""
    if not evidence.uses(Method.SMS):
        return
    latest = [each for each in evidence.messages or () if each.created_at is not None][:_SHOWN_MESSAGES]
    before = (evidence.now - _LONG).timestamp()
    waiting = (Status.SENT, Status.RECEIPT_MISSING)
    silent = [each for each in latest if each.status in waiting and (each.created_at or 0) < before]
    if len(silent) >= _ENOUGH and silent[0] is latest[0]:
        yield from _found(_R.RECEIPTS_MISSING, Confidence.POSSIBLE, *(line_of(each) for each in silent))


# --- its operator --------------------------------------------------------------------------------------------------


def _alarmed(evidence: Evidence) -> Iterator[Finding]:
    """Name the alarms of the number's operator and country, and of the whole provider."""
    if not evidence.uses(Method.SMS):
        return
    for alarm in evidence.alarms or ():
        if _concerns(alarm, evidence):
            verdict = alarm.verdict
            confidence = Confidence.LIKELY if verdict.pages else Confidence.POSSIBLE
            since = datetime.fromtimestamp(verdict.since, UTC)
            yield from _found(verdict.reason, confidence, Line(text=f"{alarm.target}: {verdict.evidence}", at=since))


def _alarmed_nearby(evidence: Evidence) -> Iterator[Finding]:
    """Name the alarms of operators in the number's country where its own operator is not known."""
    if evidence.operator not in ("", UNKNOWN_OPERATOR) or not evidence.uses(Method.SMS):
        return
    for alarm in evidence.alarms or ():
        verdict = alarm.verdict
        if verdict.country and verdict.country == evidence.country and not _concerns(alarm, evidence):
            text = f"{alarm.target}: {verdict.evidence}; whether the number is of that operator is not known"
            since = datetime.fromtimestamp(verdict.since, UTC)
            yield from _found(verdict.reason, Confidence.POSSIBLE, Line(text=text, at=since))


def _concerns(alarm: Alarm, evidence: Evidence) -> bool:
    verdict = alarm.verdict
    if verdict.country and verdict.country != evidence.country:
        return False
    return not verdict.operator or verdict.operator == evidence.operator


# --- nothing else --------------------------------------------------------------------------------------------------


def _not_found_out(evidence: Evidence) -> Iterator[Finding]:
    """Name why questions had no answer: where nothing else is found, that is the best explanation."""
    standing = [each for each in evidence.checks or () if each.outcome is Outcome.ERROR]
    for reason in Reason:
        missing = [Line(text=f"{each.what}: {each.why}") for each in evidence.missing if each.reason is reason]
        lines = [*_lines([each for each in standing if each.reason is reason]), *missing]
        if lines:
            yield from _found(reason, Confidence.POSSIBLE, *lines)


def _nothing(evidence: Evidence) -> Iterator[Finding]:
    lines = []
    latest = evidence.latest
    if latest is not None and latest.status is Status.DELIVERED:
        lines.append(line_of(latest))
    if evidence.messages is not None and latest is None and evidence.uses(Method.SMS):
        lines.append(Line(text="no message was found: perhaps none was sent"))
    if evidence.checks:
        passing = sum(each.outcome is Outcome.PASS for each in evidence.checks)
        lines.append(Line(text=f"{passing} of {len(evidence.checks)} checks pass"))
    yield from _found(_R.OK, Confidence.POSSIBLE, *lines)


RULES: Final = (
    Rule("no such client", {_R.CLIENT_UNKNOWN}, _unknown_client),
    Rule("the device is lost", {_R.DEVICE_LOST}, _device_lost),
    Rule("no second factor", {_R.CLIENT_2FA_DISABLED}, _no_second_factor),
    Rule("the platform's clock", {_R.SERVER_CLOCK_SKEWED}, _server_clock),
    Rule("the code", {_R.SECRET_MISMATCH, _R.DEVICE_CLOCK_SKEWED, _R.CODE_REPLAYED}, _code),
    Rule("no confirmed phone", {_R.CLIENT_PHONE_UNCONFIRMED}, _phone_unconfirmed),
    Rule("no code goes out", set(_STOPPING), _stopped),
    Rule("signing in by app", {_R.CODE_REJECTED, _R.WRONG_CODE_ACCEPTED}, _totp_sign_in),
    Rule("a look-up", {_R.RECIPIENT_INVALID, _R.RECIPIENT_LANDLINE}, _looked_up),
    Rule("the number", _ITS_OWN, _own_number),
    Rule("an alarm", frozenset(Reason) - {_R.OK}, _alarmed),
    Rule("the phone", _OF_THE_PHONE, _own_phone),
    Rule("the last message", frozenset(Reason) - _ITS_OWN - _OF_THE_PHONE, _own_messages),
    Rule("late", {_R.DELIVERY_SLOW}, _late),
    Rule("asked too often", {_R.TOO_MANY_ATTEMPTS}, _too_often),
    Rule("an alarm nearby", frozenset(Reason) - {_R.OK}, _alarmed_nearby),
    Rule("some codes do not go out", set(_HINDERING), _hindered),
    Rule("no receipt", {_R.RECEIPTS_MISSING}, _unanswered),
    Rule("nobody has the number", {_R.CLIENT_UNKNOWN}, _unknown_number),
    Rule("not found out", frozenset(Reason) - {_R.OK}, _not_found_out),
    Rule("nothing", {_R.OK}, _nothing),
)


# --- words ---------------------------------------------------------------------------------------------------------


def _failing(
    evidence: Evidence, reasons: Collection[Reason], kinds: Collection[str] | None = None
) -> Sequence[CheckStanding]:
    return [
        each
        for each in evidence.checks or ()
        if each.reason in reasons and each.outcome is Outcome.FAIL and (kinds is None or each.kind in kinds)
    ]


def _lines(checks: Sequence[CheckStanding]) -> tuple[Line, ...]:
    return tuple(
        Line(text=f"check {each.check} of {each.target}: {each.detail or each.reason.row.title}", at=each.since)
        for each in checks
    )


def line_of(receipt: Receipt) -> Line:
    """Return what is known of a message, without its number and its text."""
    at = receipt.at if receipt.created_at is None else receipt.created_at
    text = f"message {receipt.message_id[:6]}…{receipt.message_id[-4:]}: {receipt.status.value.replace('_', ' ')}"
    if receipt.code is not None:
        text += f", code {receipt.code}"
    if receipt.delivery_seconds is not None:
        text += f" after {receipt.delivery_seconds:.0f} s, says the operator"
    return Line(text=text, at=datetime.fromtimestamp(at, UTC))


def _listed(names: Sequence[str]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
