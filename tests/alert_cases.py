"""What each cause should raise, said without the generator of the rules, and promtool's unit tests made of it."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

import yaml

from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.reason import Outcome, Reason, Severity
from tests.repo import ROOT

ALERTS: Final = ROOT / "alerts"
RULES: Final = ALERTS / "twofa.rules.yml"

AT_ONCE: Final = {
    "operator_blocking",
    "operator_delay",
    "delivery_failing",
    "delivery_slow",
    "receipts_false",
    "no_traffic",
    "sms_pumping",
}
"""Critical reasons that only the judges of delivery give, who have weighed chance already."""

DASHBOARDS: Final[Mapping[str, set[str]]] = {
    "twofa-provider": {
        *("credentials_rejected", "permission_missing", "account_suspended", "account_restricted"),
        *("provider_missing", "provider_disabled", "provider_incomplete", "provider_is_test", "template_missing"),
        *("balance_exhausted", "balance_low", "sender_invalid", "sender_unregistered", "country_not_permitted"),
        *("provider_outage", "provider_degraded", "rate_limited", "unreachable", "timeout", "tls_failed"),
        "bad_response",
    },
    "twofa-delivery": {
        *("operator_blocking", "operator_delay", "delivery_failing", "delivery_slow", "receipts_missing"),
        *("receipts_false", "no_traffic", "sms_pumping", "recipient_invalid", "recipient_unreachable"),
        *("recipient_opted_out", "recipient_landline", "recipient_blocked"),
    },
    "twofa-totp": {
        *("too_many_attempts", "client_2fa_disabled", "client_phone_unconfirmed", "server_clock_skewed"),
        *("code_rejected", "wrong_code_accepted"),
    },
    "twofa-exporter": {"internal"},
}
"""Where on-call looks further."""

OF_A_BACK_OFFICE: Final = {
    *("provider_missing", "provider_disabled", "provider_incomplete", "provider_is_test", "template_missing"),
}
"""What is wrong at a back office alone: the dashboard shows the providers beside it, so no target is chosen."""

OPERATOR: Final = {"scope": "operator", "country": "DE", "operator": "O2 & Co"}  # a name that a URL has to quote
PLACES: Final[Mapping[str, dict[str, str]]] = {
    "provider": {},
    "country": {"scope": "country", "country": "GB"},
    "operator": OPERATOR,
}


@cache
def load_rules() -> tuple[dict[str, Any], ...]:
    """Return every rule of the file, in its order."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return tuple(rule for group in groups for rule in group["rules"])


def load_alerts() -> list[dict[str, Any]]:
    """Return every alerting rule of the file, in its order."""
    return [rule for rule in load_rules() if "alert" in rule]


def name_of(reason: Reason) -> str:
    """Return the name that a reason's alert should have."""
    return "TwoFA" + "".join(word.capitalize() for word in reason.value.split("_"))


def reasons_that_alert() -> dict[Reason, set[Severity]]:
    """Return every reason that can be given and is not well, with the severities that its givers ask for."""
    found: dict[Reason, set[Severity]] = {}
    for case in cause_cases():
        found.setdefault(case.reason, set()).add(case.severity)
    return found


@dataclass(frozen=True, slots=True)
class CauseCase:
    """Something that gives a reason from the second minute on, and nothing else."""

    reason: Reason
    severity: Severity
    job: str
    target: str
    series: Mapping[str, str]  # to values
    place: Mapping[str, str]  # the labels of a place that the alert has

    @property
    def minutes(self) -> int:
        """How long the reason has to be there."""
        if self.reason.outcome is Outcome.ERROR:
            return 15
        if self.severity is Severity.WARNING:
            return 10
        return 1 if self.reason in AT_ONCE else 2

    def alert(self) -> dict[str, Any]:
        """Return the alert as promtool expects it: its labels and its annotations."""
        reason = self.reason
        return {
            "exp_labels": {
                "severity": self.severity.value,
                "reason": reason.value,
                "job": self.job,
                "target": self.target,
                **self.place,
            },
            "exp_annotations": {
                "summary": f"{reason.row.title}.",
                "description": f"{self.target}{self._where()}: {reason.row.title}. {reason.row.next_step}",
                "runbook_url": f"http://127.0.0.1:10687/runbooks/{reason.value}",
                "dashboard_url": self._dashboard(),
            },
        }

    def _where(self) -> str:
        if "operator" in self.place:
            return f", {self.place['operator']} in {self.place['country']}"
        return f", {self.place['country']}" if "country" in self.place else ""

    def _dashboard(self) -> str:
        (uid,) = (uid for uid, reasons in DASHBOARDS.items() if self.reason in reasons)
        url = f"http://127.0.0.1:3000/d/{uid}/{uid}"
        if uid in {"twofa-exporter", "twofa-totp"} or self.reason in OF_A_BACK_OFFICE:
            return url
        place = {name: value for name, value in self.place.items() if name != "scope"}
        shown = {"target": self.target} | (place if uid == "twofa-delivery" else {})
        return url + "?" + "&".join(f"var-{name}={quote_plus(value)}" for name, value in shown.items())


def cause_cases() -> Iterator[CauseCase]:
    """Yield a case for every kind of check and reason of its, and for every reason and scope of a verdict.

    Each has a job of its own, so that none has to do with another.
    """
    for name, kind in KINDS.items():
        for reason in kind.reasons:
            if reason.outcome is not Outcome.PASS:
                job, target = f"{name}-{reason}", f"{name}-target"
                yield CauseCase(
                    reason, kind.severity(reason), job, target, dict(check_series(name, reason, job, target)), {}
                )
    for reason, naming in NAMED.items():
        for scope, place in PLACES.items():
            if scope == "provider" or naming.has_place:
                job, target = f"{scope}-{reason}", "sms"
                severity = Severity.CRITICAL if naming.pages else Severity.WARNING
                series = dict([verdict_series(scope, reason, job, target)])
                yield CauseCase(reason, severity, job, target, series, place)


def check_series(kind: str, given: Reason, job: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield the series of a check that gives a reason from the second minute on.

    It passes at first. One that cannot find out has not run before: after a success it alerts five minutes later.
    """
    passes = "_" if given.outcome is Outcome.ERROR else "1"
    for reason in KINDS[kind].reasons:
        labels = {"job": job, "instance": "twofa:10687", "check": "it", "kind": kind, "target": target}
        values = "0 1x30" if reason is given else f"{passes} 0x30" if reason is Reason.OK else "0x31"
        yield series("twofa_check_reason", **labels, reason=reason.value), values
    yield series("twofa_check_success", **labels), f"{passes} 0x30"


def verdict_series(scope: str, reason: Reason, job: str, target: str) -> tuple[str, str]:
    """Return the series of a verdict that stands from the second minute on."""
    labels = {"scope": scope, "country": "", "operator": ""} | PLACES[scope]
    severity = "page" if NAMED[reason].pages else "ticket"
    verdict = series("twofa_verdict", job=job, target=target, **labels, reason=reason.value, severity=severity)
    return verdict, "_ 1x30"


def series(name: str, **labels: str) -> str:
    """Return a series as PromQL writes it."""
    matchers = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{matchers}}}"


def unit_test_of(cases: Sequence[CauseCase], minutes: Sequence[int], rules: Path) -> str:
    """Return promtool's unit test of cases that stand side by side: what fires at each minute, and nothing else."""
    names = sorted({alert["alert"] for alert in load_alerts()} - {"TwoFAWatchdog", "TwoFAExporterDown"})
    expected = [
        {
            "alertname": name,
            "eval_time": f"{minute}m",
            "exp_alerts": [
                case.alert()
                for case in cases
                if name_of(case.reason) == name and minute >= 1 + case.minutes  # from minute 1 on it is there
            ],
        }
        for name in names
        for minute in minutes
    ]
    inputs = {name: values for case in cases for name, values in case.series.items()}
    document = {
        "rule_files": [str(rules)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in inputs.items()],
                "alert_rule_test": expected,
            }
        ],
    }
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)


def run_promtool(promtool: str, *arguments: str, cwd: Path = ALERTS) -> str:
    """Run promtool and return what it said; fail with that where it finds something."""
    finished = subprocess.run(
        [promtool, *arguments],
        check=False,
        cwd=cwd,
        env={**os.environ, "GOGC": "400"},  # it spends a quarter of its time on collecting garbage
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    return said
