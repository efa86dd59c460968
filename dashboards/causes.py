"""What several dashboards show of reasons, alerts and checks."""

from collections.abc import Iterator
from functools import partial
from typing import Final

from grafana_foundation_sdk.builders import stat, statetimeline
from grafana_foundation_sdk.builders import table as tables

from alerts.exporter_itself import exporter_alerts, watchdog
from alerts.objective import burn_rate_alerts
from alerts.rule import Alert
from alerts.symptoms import symptom_alerts
from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.reason import Reason, Severity

from .check_runs import are_stale
from .panels import RUNBOOK_OF_CELL, RUNBOOK_OF_ROW, RUNBOOK_OF_SERIES, Column, states, table, word
from .queries import RULES_ARE_LOADED, Ask, Selectors
from .urgency import COLOURS, URGENCY_WORDS, Urgency, given, named, of_check, of_verdict, runs_out, standing, weighed
from .words import BAD, GOOD, PLAIN, REASON_TITLES, SEVERITY_WORDS, SILENT, UNKNOWN, Word, reason_words, words

REASON_COLUMN: Final = Column("reason", "Reason", words=REASON_TITLES, link=RUNBOOK_OF_CELL, coloured=False)
"""A reason alone; how urgent it is says a column beside it, as that depends on who says it."""

_STALE: Final = "TwoFACheckStale"
_UNUSABLE: Final = "TwoFANoUsableProvider"
_FINE: Final = "fine"
_NO_RULES: Final = "No rules are loaded"
_IS_OK: Final = f'reason="{Reason.OK}"'
_IS_BAD: Final = f'reason!="{Reason.OK}"'
_IS_CRITICAL: Final = f'severity="{Severity.CRITICAL}"'
_PLACES: Final = ("target", "country", "operator", "check", "instance", "collector", "event")
_OF_ALERTS: Final = ", ".join(("severity", "alertname", "reason", *_PLACES))


def _not_causes() -> Iterator[Alert]:
    """Yield the alerts that do not name a cause: each has a runbook of its own."""
    yield from symptom_alerts()
    yield from burn_rate_alerts()
    yield from exporter_alerts()


_SYMPTOMS: Final = {each.name: each for each in _not_causes() if each.severity is Severity.CRITICAL}


def causes(selectors: Selectors) -> stat.Panel:
    """Return what is wrong in words, the most urgent first; a symptom where no urgent cause explains it."""
    stale, unusable = are_stale(selectors), f"max({selectors('twofa_sms_providers_usable')}) == 0"
    urgent = " or ".join(standing(selectors, Urgency.NOW))
    of_symptoms = f'alertname=~"{"|".join(_SYMPTOMS)}"'
    no_provider = f'label_replace({unusable}, "alertname", "{_UNUSABLE}", "job", ".*")'
    symptoms = f"{selectors.firing(of_symptoms, _IS_CRITICAL)} or {no_provider}"
    parts = [
        _caused(Urgency.NOW, urgent),
        _caused(Urgency.WORKING_HOURS, " or ".join(standing(selectors, Urgency.WORKING_HOURS)), unless=urgent),
        _caused(Urgency.ANSWER_MISSING, " or ".join(standing(selectors, Urgency.ANSWER_MISSING))),
        _called(f"max by (alertname) ({symptoms}) * 0 + {Urgency.NOW.value} unless on () ({urgent})"),
        _called(f'label_replace(0 * count({stale}), "alertname", "{_STALE}", "job", ".*")'),
    ]
    passing = f"{selectors('twofa_check_reason', _IS_OK)} == 1"
    wrong = (
        f"{selectors('twofa_check_reason', _IS_BAD)} == 1",
        selectors("twofa_verdict"),
        selectors.firing(_IS_CRITICAL),
        stale,
        unusable,
    )
    fine = f'label_replace(0 * count({passing}), "cause", "{_FINE}", "job", ".*") unless on () ({" or ".join(wrong)})'
    return word(
        "Cause",
        "Why codes may not arrive, in words, the most urgent first. Red: somebody must act now; an alert that no cause"
        " explains is red as well. Orange: in working hours. Purple: a check could not find out, or has stopped. The"
        " table below says where; a click opens the runbook.",
        Ask(f"sort_desc({' or '.join((*parts, fine))})"),
        label="cause",
        words=[words(dict(_cause_words()))],
        nothing=SILENT,
        link=RUNBOOK_OF_ROW,
        most=3,
    )


def _caused(urgency: Urgency, found: str, unless: str | None = None) -> str:
    """Return reasons that stand, with their cause: the colour depends on the urgency as well."""
    but = "" if unless is None else f" unless on (reason) ({unless})"
    said = f"max by (reason) ({found}) * {urgency.value}{but}"
    return f'label_replace({said}, "cause", "{urgency.value} $1", "reason", "(.+)")'


def _called(found: str) -> str:
    """Return alerts as causes: called by their name, which is that of their runbook, too."""
    caused = f'label_replace({found}, "cause", "$1", "alertname", "(.+)")'
    return f'label_replace({caused}, "reason", "$1", "alertname", "(.+)")'


def _cause_words() -> Iterator[tuple[str, Word]]:
    """Yield what stands for each cause that ``causes`` can give."""
    for reason in Reason:
        found = {of_check(kind, reason) for kind in KINDS.values() if reason in kind.reasons}
        found |= {of_verdict(reason)} if reason in NAMED else set()
        found |= {Urgency.NOW} if reason is Reason.BALANCE_LOW else set()
        for urgency in sorted(found - {Urgency.NONE}):
            yield f"{urgency.value} {reason}", (reason.row.title, COLOURS[urgency])
    for alert in _SYMPTOMS.values():
        yield alert.name, (alert.summary.removesuffix("."), BAD)
    yield _STALE, ("Checks have stopped: this is old", UNKNOWN)
    yield _FINE, ("No check finds a cause", GOOD)


def where(selectors: Selectors) -> tables.Panel:
    """Return which reason stands where."""
    by_place = weighed("reason, target, country, operator", partial(named, selectors))
    by_check = weighed("reason, target, check", partial(given, selectors))
    runs_dry = f"({runs_out(selectors)}) * {Urgency.NOW.value}"
    return table(
        "What is wrong, and where",
        "Every fault that the detector names, with its place, and every check that does not pass. What a check only"
        " repeats of the detector is left out. Click a reason for its runbook.",
        Ask(f"{by_place} or {runs_dry} or (({by_check}) unless on (reason, target) ({by_place} or {runs_dry}))"),
        columns=[
            Column("Value", "Urgency", words=URGENCY_WORDS, width=140),
            REASON_COLUMN,
            Column("target", "Target", width=110),
            Column("check", "Check", width=120),
            Column("country", "Country", width=75),
            Column("operator", "Operator", width=110),
        ],
        sort="Urgency",
        nothing="Nothing is wrong",
    )


def over_time(selectors: Selectors) -> statetimeline.Panel:
    """Return since when a reason stands, and what stood before."""
    return states(
        "Causes over time",
        "One bar for each reason that stood at a target in this time. A gap: it did not stand then. Click a bar for"
        " its runbook.",
        Ask(weighed("target, reason", partial(standing, selectors)), "{{target}}: {{reason}}"),
        words=[URGENCY_WORDS],
        link=RUNBOOK_OF_SERIES,
        nothing="No cause in this time",
    )


def alerts(selectors: Selectors, *matchers: str) -> tables.Panel:
    """Return the alerts that fire, each with its runbook: a cause's is called as its reason, any other's as it.

    Where no rules are loaded it says so: nothing would fire.
    """
    own = "|".join(dict.fromkeys(each.name for each in _not_causes()))
    parts = [
        f"label_replace(max by ({_OF_ALERTS}) ({selectors.firing(*matchers, which)}),"
        f' "runbook", "$1", "{called}", "(.+)")'
        for which, called in ((f'alertname!~"{own}"', "reason"), (f'alertname=~"{own}"', "alertname"))
    ]
    none = f"max(absent({RULES_ARE_LOADED}))"
    for label, value in (("alertname", _NO_RULES), ("severity", "critical"), ("runbook", watchdog().name)):
        none = f'label_replace({none}, "{label}", "{value}", "job", ".*")'
    places = ", ".join(f'"{label}"' for label in _PLACES)
    return table(
        "Alerts that fire",
        "What Prometheus tells Alertmanager now. Silenced and inhibited ones are shown as well.",
        Ask(f'label_join({" or ".join((*parts, none))}, "where", " ", {places})'),
        columns=[
            Column("severity", "Severity", words=SEVERITY_WORDS, width=90),
            Column("alertname", "Alert"),
            Column("where", "Where"),
            Column("runbook", "Runbook", link=RUNBOOK_OF_CELL),
        ],
        nothing="No alert fires",
        drop=("reason", *_PLACES),
        sort="Severity",
        descending=False,
    )


def answer(selectors: Selectors, title: str, description: str, *kinds: str) -> stat.Panel:
    """Return what the checks of some kinds say of each target, in words; the worst first."""
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"no kind of check: {kind}")

    def severity(reason: Reason) -> Severity:
        givers = [KINDS[kind] for kind in kinds if reason in KINDS[kind].reasons]
        return max((each.severity(reason) for each in givers), key=list(Severity)[::-1].index, default=Severity.INFO)

    bad = weighed("reason, target", partial(given, selectors, kinds=kinds))
    of_kinds = f'kind=~"{"|".join(kinds)}"'
    passing, failing = (f"{selectors('twofa_check_reason', of_kinds, which)} == 1" for which in (_IS_OK, _IS_BAD))
    return word(
        title,
        description,
        Ask(f"sort_desc({bad} or (0 * max by (reason, target) ({passing}) unless on (target) ({failing})))"),
        label="reason",
        words=[reason_words(severity)],
        nothing=("No such check has run", PLAIN),
        link=RUNBOOK_OF_CELL,
        most=3,
        named=True,
    )
