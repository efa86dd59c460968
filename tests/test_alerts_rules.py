"""The alert rules: promtool accepts them and proves them, and they say the product's words about all of the product."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import promql_parser
import pytest
import yaml
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, ParenExpr, SubqueryExpr, UnaryExpr

from alerts.generate import generate
from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.reason import Outcome, Reason, Severity
from exporter.families import FAMILIES, MetricType
from tests.alert_cases import (
    ALERTS,
    DASHBOARDS,
    RULES,
    cause_cases,
    load_alerts,
    load_rules,
    name_of,
    reasons_that_alert,
    run_promtool,
    unit_test_of,
)
from tests.dashboards_queries import annotation_queries, dashboards, queries, variable_queries
from tests.promql import metrics_and_labels, unknown_names
from tests.repo import PrometheusPrograms, require_prometheus
from tests.test_repo_docs import golden

UNIT_TESTS = (ALERTS / "twofa.rules.test.yml", ALERTS / "days.rules.test.yml")
TWO_SCRAPES = timedelta(minutes=2)  # of a minute each, the longest that are usual
BRIDGED = timedelta(minutes=5)  # Prometheus takes no older sample for the present one
ALWAYS_FIRES = "TwoFAWatchdog"
LABELS_OF_RECORDINGS = ("job", "target")


def label(rule: dict[str, Any]) -> str:
    return f"{rule['alert']}-{rule['labels']['severity']}"


of_every_alert = pytest.mark.parametrize("rule", load_alerts(), ids=label)


@pytest.fixture(params=[None, 3], ids=["the-oldest", "3-or-newer"])
def programs(request: pytest.FixtureRequest) -> PrometheusPrograms:
    """Ranges, staleness and templates are not the same in all: see the migration guide of Prometheus 3."""
    return require_prometheus(request.param)


# --- promtool


def test_promtool_accepts_the_rules(programs: PrometheusPrograms) -> None:
    run_promtool(programs.promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES.name)


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda path: path.name)
def test_the_unit_tests_of_the_rules_pass(programs: PrometheusPrograms, file: Path) -> None:
    run_promtool(programs.promtool, "test", "rules", file.name)


def test_each_reason_of_each_check_and_of_the_detector_raises_its_alert_and_no_other(
    programs: PrometheusPrograms, tmp_path: Path
) -> None:
    test = tmp_path / "causes.test.yml"
    test.write_text(unit_test_of(list(cause_cases()), minutes=(1, 2, 3, 10, 11, 15, 16), rules=RULES))
    run_promtool(programs.promtool, "test", "rules", str(test))


@cache
def unit_tests(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return loaded


def hand_written_cases() -> list[dict[str, Any]]:
    tests = [test for file in UNIT_TESTS for test in unit_tests(file)["tests"]]
    return [case for test in tests for case in test["alert_rule_test"]]


def test_every_alert_is_seen_to_fire_with_every_annotation() -> None:
    # A template that cannot be expanded is accepted by `check rules` and seen by nothing else.
    fired = {(name_of(case.reason), case.severity.value) for case in cause_cases()}
    for case in hand_written_cases():
        for expected in case["exp_alerts"]:
            fired.add((case["alertname"], expected["exp_labels"]["severity"]))
            assert set(expected["exp_annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert fired == {(rule["alert"], rule["labels"]["severity"]) for rule in load_alerts()}


def test_every_alert_that_is_no_plain_cause_is_seen_not_to_fire() -> None:
    quiet = {case["alertname"] for case in hand_written_cases() if not case["exp_alerts"]}
    causes = {name_of(reason) for reason in reasons_that_alert()}  # of those, promtool sees each minute and reason
    assert {rule["alert"] for rule in load_alerts()} - causes - {ALWAYS_FIRES} <= quiet


# --- the words of every alert


def test_the_file_is_what_is_generated() -> None:
    golden(RULES, generate())


@of_every_alert
def test_an_alert_says_how_urgent_it_is_and_what_it_means(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"TwoFA[A-Z][A-Za-z0-9]+", rule["alert"])
    assert rule["labels"]["severity"] in set(Severity)
    assert set(rule["labels"]) <= {"severity", "reason"}
    assert not any("{{" in value for value in rule["labels"].values())  # a label that changes is another alert
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", rule["annotations"]["summary"])
    assert rule["annotations"]["description"].endswith(".")


def test_a_name_and_severity_have_one_summary() -> None:
    said = {(rule["alert"], rule["labels"]["severity"], rule["annotations"]["summary"]) for rule in load_alerts()}
    assert Counter((name, severity) for name, severity, _ in said).most_common(1)[0][1] == 1


def test_only_an_exporter_that_is_down_is_another_thing_as_a_page_than_as_a_ticket() -> None:
    names = Counter(name for name, _ in {(rule["alert"], rule["annotations"]["summary"]) for rule in load_alerts()})
    assert {name for name, summaries in names.items() if summaries > 1} == {"TwoFAExporterDown"}


@of_every_alert
def test_an_alert_leads_to_a_runbook(rule: dict[str, Any]) -> None:
    base, _, name = rule["annotations"]["runbook_url"].rpartition("/")
    assert base == "http://127.0.0.1:10687/runbooks"
    assert name == rule["labels"].get("reason", rule["alert"])
    assert (ALERTS / "runbooks" / f"{name}.md").is_file()


@cache
def variables_of(uid: str) -> set[str]:
    return {f"var-{each['name']}" for each in dashboards()[uid]["templating"]["list"]}


@of_every_alert
def test_an_alert_leads_to_a_dashboard(rule: dict[str, Any]) -> None:
    url = urlsplit(rule["annotations"]["dashboard_url"])
    match = re.fullmatch(r"/d/(twofa-[a-z]+)/\1", url.path)
    assert match is not None
    assert set(parse_qs(url.query)) <= variables_of(match[1])


def test_no_alert_sets_a_variable_of_a_dashboard_to_nothing() -> None:  # it would show nothing
    urls = [alert["exp_annotations"]["dashboard_url"] for case in hand_written_cases() for alert in case["exp_alerts"]]
    urls += [case.alert()["exp_annotations"]["dashboard_url"] for case in cause_cases()]
    for url in urls:
        assert all(values != [""] for values in parse_qs(urlsplit(url).query, keep_blank_values=True).values()), url


# --- the expressions


def parts(node: Expr) -> Iterator[Expr]:
    """A node of an expression, and all below it."""
    yield node
    match node:
        case BinaryExpr():
            below = [node.lhs, node.rhs]
        case Call():
            below = list(node.args)
        case AggregateExpr() | ParenExpr() | SubqueryExpr() | UnaryExpr():
            below = [node.expr]
        case _:
            below = []
    for each in below:
        yield from parts(each)


def has_condition(node: Expr) -> bool:
    """Whether the expression can be empty while all of its metrics are there."""
    match node:
        case ParenExpr():
            return has_condition(node.expr)
        case AggregateExpr():
            return has_condition(node.expr)
        case Call():
            return node.func.name == "absent"
        case BinaryExpr():
            if str(node.op) == "or":
                return has_condition(node.lhs) and has_condition(node.rhs)
            if str(node.op) == "and":
                return has_condition(node.lhs) or has_condition(node.rhs)
            return str(node.op) in {"==", "!=", ">", "<", ">=", "<=", "unless"}
        case _:
            return False


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up == 0", True),
        ("up", False),
        ("up == 0 or up", False),
        ("up and up > 1", True),
        ("max by (job) (up == 0 or absent(up))", True),
        ("max by (job) (up) + 1", False),
        ("last_over_time(up[5m])", False),
    ],
)
def test_a_condition_is_recognised(expression: str, expected: bool) -> None:
    assert has_condition(promql_parser.parse(expression)) is expected


@of_every_alert
def test_an_alert_has_a_condition(rule: dict[str, Any]) -> None:
    assert has_condition(promql_parser.parse(rule["expr"])) is (rule["alert"] != ALWAYS_FIRES)


@of_every_alert
def test_an_alert_does_not_hang_on_which_series_are_first(rule: dict[str, Any]) -> None:
    operators = {str(each.op) for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, AggregateExpr)}
    assert operators <= {"sum", "min", "max"}


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.get("record") or label(rule))
def test_a_range_holds_two_scrapes(rule: dict[str, Any]) -> None:
    ranges = [each.range for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, MatrixSelector)]
    assert all(each >= TWO_SCRAPES for each in ranges)


@of_every_alert
def test_what_is_absent_is_so_for_more_than_a_scrape(rule: dict[str, Any]) -> None:
    calls = {each.func.name for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, Call)}
    if "absent" in calls:
        assert duration(rule["for"]) >= TWO_SCRAPES


@of_every_alert
def test_a_failed_scrape_does_not_start_the_time_again(rule: dict[str, Any]) -> None:
    """A gauge is taken from a range; recording rules are not scraped, and `up` is there whatever happens."""
    scraped = [name for name, _ in metrics_and_labels(rule["expr"]) if name.startswith("twofa_")]
    ranges = [each for each in parts(promql_parser.parse(rule["expr"])) if isinstance(each, MatrixSelector)]
    bridged = [each.vector_selector.name for each in ranges if (each.vector_selector.name or "").startswith("twofa_")]
    assert sorted(scraped) == sorted(str(name) for name in bridged)


def test_what_mutes_outlasts_what_it_mutes() -> None:  # or the end of a fault would page
    kept = {severity: set[timedelta]() for severity in ("critical", "warning")}
    for rule in load_alerts():
        if "reason" in rule["labels"] and rule["alert"] != "TwoFABalanceLow":
            kept[rule["labels"]["severity"]].add(duration(rule["keep_firing_for"]))
    remembers = {
        each.range
        for rule in load_alerts()
        if rule["alert"] in {"TwoFACodesNotDelivered", "TwoFACodesTooLate", "TwoFATotpCodesRefused"}
        for each in parts(promql_parser.parse(rule["expr"]))
        if isinstance(each, MatrixSelector)
    }
    no_provider, no_route = (
        duration(rule["keep_firing_for"])
        for name in ("TwoFANoUsableProvider", "TwoFANoUsableRoute")
        for rule in load_alerts()
        if rule["alert"] == name
    )
    (page,), (ticket,) = kept["critical"], kept["warning"]
    assert page >= max(remembers)
    assert page > no_provider > no_route > ticket


def duration(text: str) -> timedelta:
    units = {"m": "minutes", "h": "hours", "d": "days"}
    return timedelta(**{units[text[-1]]: int(text[:-1])})


def test_recording_rules_are_named_by_level_metric_and_operations_and_are_used() -> None:
    recorded = [rule["record"] for rule in load_rules() if "record" in rule]
    assert recorded
    assert len(recorded) == len(set(recorded))
    assert all(re.fullmatch(r"(target|twofa):twofa_[a-z_]+:[a-z0-9_]+|twofa:[a-z_]+:ratio", name) for name in recorded)
    assert set(recorded) - used_metrics() == set()


def test_a_late_evaluation_leaves_no_gap_in_what_is_recorded() -> None:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        if "interval" in group and any("record" in rule for rule in group["rules"]):
            assert duration(group["interval"]) * 2 <= BRIDGED, group["name"]


def test_the_unit_tests_evaluate_the_groups_in_their_order() -> None:  # promtool's own is any
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]]
    for file in UNIT_TESTS:
        assert unit_tests(file)["group_eval_order"] == groups


# --- the metrics


@pytest.mark.parametrize("rule", load_rules(), ids=lambda rule: rule.get("record") or label(rule))
def test_metrics_and_labels_of_the_rules_exist(rule: dict[str, Any]) -> None:
    recorded = {each["record"]: LABELS_OF_RECORDINGS for each in load_rules() if "record" in each}
    assert unknown_names(rule["expr"], recorded) == []


def test_bounds_of_histograms_in_the_rules_exist() -> None:
    exposition = (RULES.parent.parent / "tests" / "golden" / "metrics.prom").read_text(encoding="utf-8")
    bounds = set(re.findall(r'(\w+_bucket)\{[^}]*le="([^"]+)"', exposition))
    used = set(re.findall(r'(\w+_bucket)\{[^}]*le="([^"]+)"', RULES.read_text(encoding="utf-8")))
    assert len(used) == 2
    assert used <= bounds


def test_every_metric_about_the_world_is_in_a_rule_or_on_a_dashboard() -> None:
    used = {re.sub(r"_(bucket|count|sum)$", "", name) if name not in FAMILIES else name for name in used_metrics()}
    world = {name for name in FAMILIES if not name.startswith("twofa_exporter_")}
    assert any(FAMILIES[name].type is MetricType.HISTOGRAM for name in world & used)
    assert world - used == set()


def used_metrics() -> set[str]:
    expressions = [rule["expr"] for rule in load_rules()]
    for dashboard in dashboards().values():
        expressions += [query.expression for query in queries(dashboard)]
        expressions += annotation_queries(dashboard).values()
        expressions += [selector for selector, _ in variable_queries(dashboard).values()]
    return {metric for expression in expressions for metric, _ in metrics_and_labels(expression)}


# --- the reasons


def test_every_reason_that_can_be_given_has_one_alert_with_the_severities_of_who_gives_it() -> None:
    found: dict[tuple[str, str], list[str]] = {}
    for rule in load_alerts():
        if reason := rule["labels"].get("reason"):
            found.setdefault((reason, rule["alert"]), []).append(rule["labels"]["severity"])
    given = {
        reason
        for giver in (*(kind.reasons for kind in KINDS.values()), NAMED)
        for reason in giver
        if reason.outcome is not Outcome.PASS
    }
    expected = {
        (reason.value, name_of(reason)): {severity.value for severity in severities}
        for reason, severities in reasons_that_alert().items()
    }
    expected["balance_low", "TwoFABalanceLow"] |= {"critical"}  # where it is gone within hours
    assert {reason for reason, _ in expected} == {reason.value for reason in given}
    assert {key: sorted(severities) for key, severities in found.items()} == {
        key: sorted(severities) for key, severities in expected.items()
    }


def test_every_reason_that_alerts_is_shown_by_one_dashboard() -> None:
    shown = [reason for reasons in DASHBOARDS.values() for reason in reasons]
    assert sorted(shown) == sorted(reason.value for reason in reasons_that_alert())


def test_reasons_that_only_a_diagnosis_gives_raise_nothing() -> None:
    silent = {reason.value for reason in set(Reason) - set(reasons_that_alert())}
    assert silent > {"ok", "device_lost"}
    for rule in load_alerts():
        assert not silent & {rule["labels"].get("reason"), *re.findall(r"\w+", rule["expr"])}, rule["alert"]


def test_expressions_match_no_reason_that_does_not_exist() -> None:
    for rule in load_alerts():
        for words in re.findall(r'reason=~?"([^"]+)"', rule["expr"]):
            named = words.split("|")
            assert len(named) == len(set(named))
            assert set(named) <= {reason.value for reason in Reason}, rule["alert"]


def test_expressions_match_no_kind_that_does_not_exist() -> None:
    for rule in load_alerts():
        for words in re.findall(r'kind=~?"([^"]+)"', rule["expr"]):
            assert set(words.split("|")) <= set(KINDS), rule["alert"]
