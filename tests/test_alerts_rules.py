"""The alert rules: promtool accepts them, their unit tests pass, their words are the product's words."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from checks.reason import Outcome, Reason
from tests.repo import ROOT, require_program

ALERTS = ROOT / "alerts"
RULES = ALERTS / "twofa.rules.yml"
RULE_TESTS = ALERTS / "twofa.rules.test.yml"


def load_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    assert [group["name"] for group in groups] == ["twofa.alerts"]
    rules: list[dict[str, Any]] = groups[0]["rules"]
    return rules


def load_cases() -> list[dict[str, Any]]:
    tests = yaml.safe_load(RULE_TESTS.read_text(encoding="utf-8"))["tests"]
    return [case for test in tests for case in test["alert_rule_test"]]


def alerts_and_severities() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["labels"]["severity"]) for rule in load_rules()]


def run(*command: str) -> None:
    finished = subprocess.run(command, check=False, cwd=ALERTS, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_promtool_accepts_the_rules() -> None:
    run(require_program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", RULES.name)


def test_the_unit_tests_of_the_rules_pass() -> None:
    run(require_program("promtool"), "test", "rules", RULE_TESTS.name)


def test_alertmanager_accepts_the_config_of_the_demo() -> None:
    run(require_program("amtool"), "check-config", "alertmanager.demo.yml")


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alert_says_how_urgent_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"TwoFA[A-Z]\w+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", rule["annotations"]["summary"])
    assert rule["annotations"]["description"].endswith(".")
    assert set(rule["annotations"]) <= {"summary", "description", "runbook_url", "dashboard_url"}


@pytest.mark.parametrize(("alert", "severity"), alerts_and_severities())
def test_a_unit_test_sees_the_alert_fire_with_every_annotation(alert: str, severity: str) -> None:
    # A template that cannot be expanded is accepted by `check rules` and seen by nothing else.
    (rule,) = (r for r in load_rules() if (r["alert"], r["labels"]["severity"]) == (alert, severity))
    firings = [
        expected
        for case in load_cases()
        for expected in case["exp_alerts"]
        if case["alertname"] == alert and expected["exp_labels"]["severity"] == severity
    ]
    assert firings
    assert all(set(firing["exp_annotations"]) == set(rule["annotations"]) for firing in firings)


@pytest.mark.parametrize("alert", sorted({alert for alert, _ in alerts_and_severities()} - {"TwoFAWatchdog"}))
def test_a_unit_test_sees_the_alert_not_fire(alert: str) -> None:
    assert any(case["alertname"] == alert and not case["exp_alerts"] for case in load_cases())


def reasons_of(alert: str, severity: str) -> tuple[str, set[str]]:
    """How the rule matches reasons (``=~`` or ``!~``), and which."""
    (expression,) = (
        rule["expr"] for rule in load_rules() if rule["alert"] == alert and rule["labels"]["severity"] == severity
    )
    ((operator, words),) = re.findall(r'reason(=~|!~)"([^"]+)"', expression)
    assert words.split("|") == list(dict.fromkeys(words.split("|"))), "a reason stands twice"
    return operator, set(words.split("|"))


NO_LESS_URGENT = {"code_rejected", "wrong_code_accepted"}  # codes are delivered, but refused or not needed


def reasons_with(outcome: Outcome) -> set[str]:
    return {reason.value for reason in Reason if reason.outcome is outcome}


def test_every_failing_reason_raises_exactly_one_alert() -> None:
    equal, critical = reasons_of("TwoFACheckFailing", "critical")
    unequal, no_warning = reasons_of("TwoFACheckFailing", "warning")
    assert (equal, unequal) == ("=~", "!~")
    stop_codes = {reason.value for reason in Reason if reason.row.stops_codes}
    assert critical == stop_codes | NO_LESS_URGENT
    assert no_warning == critical | reasons_with(Outcome.PASS) | reasons_with(Outcome.ERROR)


def test_every_reason_of_not_finding_out_raises_its_own_alert() -> None:
    assert reasons_of("TwoFACheckUnanswered", "warning") == ("=~", reasons_with(Outcome.ERROR))
