"""One alert for each reason that a check or the detector of delivery faults can give."""

from collections.abc import Iterator
from typing import Final

from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.reason import Outcome, Reason, Severity

from .rule import Alert, Dashboard

_TARGET: Final = "{{ $labels.target }}"
_PLACE: Final = (
    "{{ if $labels.operator }}, {{ $labels.operator }} in {{ $labels.country }}"
    "{{ else if $labels.country }}, {{ $labels.country }}{{ end }}"
)
_HOLDS: Final = {Severity.CRITICAL: "2m", Severity.WARNING: "10m"}
_HOLDS_WITH_EVIDENCE: Final = "1m"  # the detector has weighed chance already
_OUTLASTS: Final = {Severity.CRITICAL: "15m", Severity.WARNING: "5m"}
"""How long a cause still fires when it is over: what mutes ends after what it mutes, or the end of a fault would page.
Symptoms remember a fault for up to 15 minutes."""
_HOLDS_WITHOUT_ANSWER: Final = "15m"  # says nothing of the provider: a network that hiccups is no news
_JUDGES_OF_DELIVERY: Final = {"delivery", "conversion", "canary"}
_RUNWAY_HOURS: Final = 6
_EVERYWHERE: Final = "job, target, reason"  # the labels of what has no place


def name_of(reason: Reason) -> str:
    """Return the name of a reason's alert."""
    return "TwoFA" + "".join(word.capitalize() for word in reason.value.split("_"))


def alerted_reasons() -> tuple[Reason, ...]:
    """Return every reason that has an alert: what a check or the detector gives, and is not well."""
    given = {reason for kind in KINDS.values() for reason in kind.reasons} | set(NAMED)
    return tuple(reason for reason in Reason if reason in given and reason.outcome is not Outcome.PASS)


def cause_alerts() -> Iterator[Alert]:
    """Yield the alerts of all causes, in the order of the reasons; one of two severities has two rules."""
    for reason in alerted_reasons():
        for severity in (Severity.CRITICAL, Severity.WARNING):
            if (expression := _expression(reason, severity)) is not None:
                yield _alert(reason, severity, expression)
        if reason is Reason.BALANCE_LOW:
            yield _runway_alert()


def _alert(reason: Reason, severity: Severity, expression: str) -> Alert:
    if reason.outcome is Outcome.ERROR:
        holds = _HOLDS_WITHOUT_ANSWER
    elif severity is Severity.CRITICAL and _givers(reason) <= _JUDGES_OF_DELIVERY:
        holds = _HOLDS_WITH_EVIDENCE
    else:
        holds = _HOLDS[severity]
    placed = _is_named(reason, severity) and NAMED[reason].has_place
    return Alert(
        name=name_of(reason),
        severity=severity,
        reason=reason.value,
        expression=expression,
        for_=holds,
        keep_firing_for=_OUTLASTS[severity],
        summary=f"{reason.row.title}.",
        description=f"{_TARGET}{_PLACE if placed else ''}: {reason.row.title}. {reason.row.next_step}",
        dashboard=dashboard_of(reason),
        labels=("target", "country", "operator") if placed else _target_to_show(reason),
    )


def _target_to_show(reason: Reason) -> tuple[str, ...]:
    """Return the target's label, unless it is a back office: it alone would hide the providers."""
    return () if all(KINDS[name].asks_back_office for name in _givers(reason)) else ("target",)


def _givers(reason: Reason) -> set[str]:
    """Return the kinds of check that can give a reason."""
    return {name for name, kind in KINDS.items() if reason in kind.reasons}


def _is_named(reason: Reason, severity: Severity) -> bool:
    """Return whether the detector gives a reason with that severity."""
    naming = NAMED.get(reason)
    return naming is not None and severity is (Severity.CRITICAL if naming.pages else Severity.WARNING)


def _expression(reason: Reason, severity: Severity) -> str | None:
    """Return when a reason alerts with a severity; None when nothing gives it with that.

    What is found for all of a target has no place, whoever found it, so that it stays one alert when another finds
    it too. The delivery check repeats what the detector names: where that has a place, it adds nothing. A verdict is
    there or not: the range goes on for as long as it, and is no longer than bridges a failed scrape.
    """
    kinds = [name for name, kind in KINDS.items() if reason in kind.reasons and kind.severity(reason) is severity]
    named = _is_named(reason, severity)
    if not kinds and not named:
        return None
    if reason is Reason.SERVER_CLOCK_SKEWED:
        return _without_echo(reason)
    if reason in _NO_DATE:
        return _without_date(reason, kinds)
    if not named:
        return _maximum(_EVERYWHERE, _said_by(reason, kinds))
    of_all = f'last_over_time(twofa_verdict{{reason="{reason}",scope="provider"}}[2m]) == 1'
    if not NAMED[reason].has_place:
        return _maximum(_EVERYWHERE, [*_said_by(reason, kinds), of_all])
    placed = _maximum(
        f"{_EVERYWHERE}, scope, country, operator",
        [f'last_over_time(twofa_verdict{{reason="{reason}",scope!="provider"}}[2m]) == 1'],
    )
    everywhere = _maximum(_EVERYWHERE, [*_said_by(reason, [name for name in kinds if name != "delivery"]), of_all])
    echo = _said_by(reason, [name for name in kinds if name == "delivery"])
    if not echo:
        return f"{placed}\nor\n{everywhere}"
    return f"{placed}\nor\n{everywhere}\nor\n{_maximum(_EVERYWHERE, echo)}\nunless on (job, target)\n{placed}"


def _said_by(reason: Reason, kinds: list[str]) -> list[str]:
    """Return the expression of checks of those kinds that give the reason, alone in a list; none of no kind.

    What cannot be reached fails now for this reason and now for that one: each counts until there is an answer.
    """
    if not kinds:
        return []
    selector = _selector(reason, kinds)
    if reason.outcome is not Outcome.ERROR:
        return [f"last_over_time(twofa_check_reason{{{selector}}}[5m]) == 1"]
    return [
        f"max_over_time(twofa_check_reason{{{selector}}}[5m]) == 1\n"
        "  and ignoring (reason)\n  max_over_time(twofa_check_success[5m]) == 0"
    ]


def _selector(reason: Reason, kinds: list[str]) -> str:
    """Return the matchers of what those kinds of check say; all that give the reason need not be listed."""
    if all(name in kinds for name, kind in KINDS.items() if reason in kind.reasons):
        return f'reason="{reason}"'
    return f'kind=~"{"|".join(kinds)}",reason="{reason}"'


def _maximum(labels: str, alternatives: list[str]) -> str:
    return f"max by ({labels}) (\n  " + "\n  or\n  ".join(alternatives) + "\n)"


def _without_echo(reason: Reason) -> str:
    """Return when a clock is wrong: by the clock check, or where there is none that says so, by sign-ins.

    Both look at the clock of the same platform, under the names of different targets.
    """
    clock, verifier = (_maximum(_EVERYWHERE, _said_by(reason, [kind])) for kind in ("clock", "verifier"))
    return f"{clock}\nor\n{verifier}\nunless on (job)\n{clock}"


_NO_DATE: Final = frozenset(KINDS["clock"].reasons) & {
    reason for reason in Reason if reason.outcome is Outcome.ERROR and reason is not Reason.INTERNAL
}
"""Why a clock cannot be read: often, as the back office whose clock it is cannot be asked."""


def _without_date(reason: Reason, kinds: list[str]) -> str:
    """Return when something cannot be asked; a clock does not say it again when the back office has said so."""
    others = [name for name in kinds if name != "clock"]
    offices = [name for name in others if KINDS[name].asks_back_office]
    clock = _maximum(_EVERYWHERE, _said_by(reason, ["clock"]))
    office = _maximum(_EVERYWHERE, _said_by(reason, offices))
    return f"{_maximum(_EVERYWHERE, _said_by(reason, others))}\nor\n{clock}\nunless on (job)\n{office}"


def _runway_alert() -> Alert:
    reason = Reason.BALANCE_LOW
    return Alert(
        name=name_of(reason),
        severity=Severity.CRITICAL,
        reason=reason.value,
        expression=(
            f"min by (job, target) (last_over_time(twofa_provider_balance_runway_seconds[5m])) < {_RUNWAY_HOURS} * 3600"
        ),
        for_="5m",
        keep_firing_for=_OUTLASTS[Severity.CRITICAL],
        summary=f"{reason.row.title}.",
        description=(
            f"{_TARGET}: at the present spend the money is gone in {{{{ $value | humanizeDuration }}}}, and then no"
            f" code goes out. {reason.row.next_step}"
        ),
        dashboard=dashboard_of(reason),
        labels=("target",),
    )


def dashboard_of(reason: Reason) -> Dashboard:
    """Return the dashboard that shows most of a reason."""
    givers = _givers(reason)
    if reason is Reason.INTERNAL:
        return Dashboard.EXPORTER
    if givers & {"credentials", "account", "balance", "senders", "service_status", "enablement"}:
        return Dashboard.PROVIDER
    return Dashboard.DELIVERY if givers & _JUDGES_OF_DELIVERY else Dashboard.TOTP
