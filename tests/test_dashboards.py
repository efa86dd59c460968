"""The dashboards: as generated, readable by Grafana, in the words of the product, and leading to what exists."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from promql_parser import VectorSelector, parse, walk

from alerts.rule import Dashboard as Uid
from checks.kinds import KINDS
from checks.messages.detector import NAMED
from checks.providers.twilio.codes import ERROR_CODES
from checks.reason import Outcome, Reason
from dashboards.exporter_itself import MOST_SCHEDULER_EVENTS
from dashboards.generate import generate
from dashboards.messages import FEWEST
from dashboards.queries import HISTOGRAM_PARTS, Selectors
from dashboards.urgency import Urgency, of_verdict, standing
from dashboards.words import RUNWAY_PAGES_BELOW
from exporter.families import FAMILIES
from exporter.shipped import RUNBOOKS_URL
from tests.dashboards_lint import data_links
from tests.dashboards_queries import FOLDER, annotation_queries, dashboards, panels, queries, variable_queries
from tests.promql import metrics_and_labels, unknown_names
from tests.repo import ROOT
from tests.test_repo_docs import golden

NAMES = [uid.value for uid in Uid]
OF_THE_PROCESS = (  # prometheus_client's, and Prometheus's own
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "scrape_duration_seconds",
)
PLACEMENT = "inControlsMenu"  # the SDK cannot leave it out, and does not read it


@cache
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "alerts" / "twofa.rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def as_grafana_reads(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Read a dashboard and write it: what is unknown is lost."""
    from grafana_foundation_sdk.models.dashboard import Dashboard  # warns, unless the package dashboards came first

    read: dict[str, Any] = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    return read


def test_the_files_are_what_is_generated() -> None:
    generated = generate()
    assert sorted(generated) == sorted(f"{name}.json" for name in NAMES)
    for name, text in generated.items():
        golden(FOLDER / name, text)


def test_there_is_no_other_dashboard() -> None:
    assert list(dashboards()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_grafana_knows_every_field(name: str) -> None:
    dashboard = dashboards()[name]
    read = as_grafana_reads(dashboard)
    for shown in (*dashboard["links"], *dashboard["annotations"]["list"]):
        assert "placement" not in shown
        shown["placement"] = PLACEMENT
    assert read == dashboard


def test_a_field_that_grafana_does_not_know_is_seen() -> None:
    dashboard = dashboards()[Uid.OVERVIEW]
    panel = next(panels(dashboard))
    panel["fieldConfig"]["defaults"]["unitt"] = panel["fieldConfig"]["defaults"].pop("unit")
    read = as_grafana_reads(dashboard)
    assert read["panels"][1] != panel


@pytest.mark.parametrize("name", NAMES)
def test_a_dashboard_has_the_frame_of_all(name: str) -> None:
    dashboard = dashboards()[name]
    assert dashboard["uid"] == name
    assert len(name) <= 40
    assert dashboard["title"].startswith("2FA / ")
    assert dashboard["tags"] == ["twofa"]
    assert (dashboard["refresh"], dashboard["timezone"], dashboard["time"]["to"]) == ("30s", "browser", "now")
    assert "id" not in dashboard
    assert "__inputs" not in dashboard


def known_metrics() -> dict[str, set[str]]:
    """What rules record, and what tells of the process, with the labels of each."""
    return {rule["record"]: {"target"} for rule in rules() if "record" in rule} | {
        name: set() for name in OF_THE_PROCESS
    }


def expressions(name: str) -> Iterator[tuple[str, str]]:
    dashboard = dashboards()[name]
    for query in queries(dashboard):
        yield f"{query.panel} {query.ref}", query.expression
    yield from annotation_queries(dashboard).items()
    for variable, (selector, label) in variable_queries(dashboard).items():
        yield f"variable {variable}", f"count by ({label}) ({selector})"


@pytest.mark.parametrize("name", NAMES)
def test_queries_name_metrics_and_labels_that_exist(name: str) -> None:
    known = known_metrics()
    found = {where: unknown_names(expression, known) for where, expression in expressions(name)}
    assert {where: unknown for where, unknown in found.items() if unknown} == {}


def test_every_metric_is_on_a_panel() -> None:
    shown = {
        metric
        for dashboard in dashboards().values()
        for query in queries(dashboard)
        for metric, _ in metrics_and_labels(query.expression)
    }
    for suffix in HISTOGRAM_PARTS:
        shown |= {metric.removesuffix(suffix) for metric in shown}
    assert sorted(FAMILIES.keys() - shown) == []


@pytest.mark.parametrize("name", NAMES)
def test_what_leads_to_a_runbook_uses_the_raw_word(name: str) -> None:
    """A cell shows the reason's title: only its raw value is the runbook's name."""
    links = [url for url in data_links(dashboards()[name]) if "runbooks" in url]
    words = ("${__value.raw}", "${__field.labels.reason}", "${__data.fields.reason}")
    assert set(links) <= {f"${{runbooks:raw}}/{word}" for word in words}


def test_runbooks_are_reached_from_several_panels_of_every_dashboard() -> None:
    counts = {name: sum("runbooks" in url for url in data_links(dashboard)) for name, dashboard in dashboards().items()}
    assert min(counts.values()) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_base_of_the_runbooks_stands_in_one_place(name: str) -> None:
    dashboard = dashboards()[name]
    variable = next(each for each in dashboard["templating"]["list"] if each["name"] == "runbooks")
    assert (variable["type"], variable["query"], variable["skipUrlSync"]) == ("constant", RUNBOOKS_URL, True)
    assert variable["current"]["value"] == RUNBOOKS_URL
    del variable["query"], variable["current"]
    assert RUNBOOKS_URL not in json.dumps(dashboard)


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_lead_to_each_other(name: str) -> None:
    links = [link for link in dashboards()[name]["links"] if link["type"] == "dashboards"]
    assert [(link["tags"], link["keepTime"], link["includeVars"]) for link in links] == [(["twofa"], True, True)]


def test_the_alerts_lead_to_dashboards_with_such_variables() -> None:
    variables = {
        name: {f"var-{each['name']}" for each in dashboard["templating"]["list"]}
        for name, dashboard in dashboards().items()
    }
    urls = {rule["annotations"]["dashboard_url"] for rule in rules() if "alert" in rule}
    assert urls
    for url in urls:
        parts = urlsplit(url)
        match = re.fullmatch(r"/d/([\w-]+)/\1", parts.path)
        assert match is not None, url
        assert parse_qs(parts.query, keep_blank_values=True).keys() <= variables[match[1]], url


def mappings(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in panels(dashboard):
        yield from panel["fieldConfig"]["defaults"].get("mappings") or ()
        for override in panel["fieldConfig"].get("overrides") or ():
            for each in override["properties"]:
                if each["id"] == "mappings":
                    yield from each["value"]


@pytest.mark.parametrize("name", NAMES)
def test_reasons_are_shown_in_words(name: str) -> None:
    found = [each["options"] for each in mappings(dashboards()[name]) if "ok" in each["options"]]
    assert found
    for words in found:
        assert {reason: word["text"] for reason, word in words.items()} == {
            reason.value: reason.row.title for reason in Reason
        }


def test_error_codes_are_explained() -> None:
    (words,) = [each["options"] for each in mappings(dashboards()[Uid.DELIVERY]) if "30007" in each["options"]]
    assert words["30007"]["text"] == Reason.OPERATOR_BLOCKING.row.title
    assert words["21604"]["text"] == Reason.DELIVERY_FAILING.row.title
    assert words.keys() == {str(code) for code in ERROR_CODES}


def alerts_of_check(kind: str, reason: Reason) -> set[str]:
    """The severities with which the rules alert when a check of that kind gives that reason."""
    labels = {"kind": kind, "reason": reason.value}
    return {
        rule["labels"]["severity"]
        for rule in rules()
        if rule.get("labels", {}).get("reason") == reason
        for matchers in selections(rule["expr"], "twofa_check_reason")
        if matches(matchers, labels)
    }


def selections(expression: str, metric: str) -> Iterator[list[Any]]:
    found: list[VectorSelector] = []
    walk(parse(expression), lambda node: found.append(node) if isinstance(node, VectorSelector) else None)
    yield from (each.matchers.matchers for each in found if each.name == metric)


def matches(matchers: list[Any], labels: dict[str, str]) -> bool:
    """Whether a series with these labels is selected, whatever other labels it has."""
    for each in matchers:
        value = labels.get(each.name)
        if value is not None and str(each.op) == "MatchOp.Equal" and value != each.value:
            return False
        if value is not None and str(each.op) == "MatchOp.Re" and re.fullmatch(each.value, value) is None:
            return False
    return True


URGENCIES = {"critical": Urgency.NOW, "warning": Urgency.WORKING_HOURS}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_check_gives_is_as_urgent_as_its_alert(kind: str) -> None:
    """And what it could not find out, which alerts as a warning, has a word of its own."""
    selectors = Selectors()
    found, expected = {}, {}
    for reason in KINDS[kind].reasons:
        if reason is Reason.OK:
            continue
        (severity,) = alerts_of_check(kind, reason)
        expected[reason] = {Urgency.ANSWER_MISSING if reason.outcome is Outcome.ERROR else URGENCIES[severity]}
        found[reason] = {
            urgency
            for urgency in Urgency
            for expression in standing(selectors, urgency)
            for matchers in selections(expression.replace("$", ""), "twofa_check_reason")
            if matches(matchers, {"kind": kind, "reason": reason.value})
        }
        assert severity == "warning" or reason.outcome is Outcome.FAIL
    assert found == expected


def test_what_the_detector_names_is_as_urgent_as_its_alert() -> None:
    for reason in NAMED:
        severities = {
            rule["labels"]["severity"]
            for rule in rules()
            if rule.get("labels", {}).get("reason") == reason
            for matchers in selections(rule["expr"], "twofa_verdict")
            if matches(matchers, {"reason": reason.value})
        }
        assert {URGENCIES[severity] for severity in severities} == {of_verdict(reason)}, reason


def test_limits_are_those_of_the_alerts() -> None:
    def expression(alert: str, severity: str) -> str:
        (found,) = (
            rule["expr"]
            for rule in rules()
            if (rule.get("alert"), rule["labels"]["severity"] if "alert" in rule else "") == (alert, severity)
        )
        return str(found)

    assert f"< {RUNWAY_PAGES_BELOW // 3600} * 3600" in expression("TwoFABalanceLow", "critical")
    assert expression("TwoFASchedulerEvents", "warning").endswith(f"> {MOST_SCHEDULER_EVENTS}")
    for alert in ("TwoFACodesNotDelivered", "TwoFATotpCodesRefused"):
        assert expression(alert, "critical").endswith(f">= {FEWEST}")


@pytest.mark.parametrize("name", NAMES)
def test_alerts_alone_are_marked_in_graphs_where_delivery_is_looked_at(name: str) -> None:
    marked = [each["name"] for each in dashboards()[name]["annotations"]["list"] if each["enable"]]
    assert marked == (["Critical alerts"] if name in {Uid.OVERVIEW, Uid.DELIVERY} else [])


@pytest.mark.parametrize("name", NAMES)
def test_a_colour_of_a_state_comes_with_a_word(name: str) -> None:
    for mapping in mappings(dashboards()[name]):
        results = mapping["options"].values() if mapping["type"] == "value" else [mapping["options"]["result"]]
        assert all(result["text"] for result in results)


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_of_this_moment(name: str) -> None:
    """A range would show the last value of what is over."""
    stale = [each.panel for each in queries(dashboards()[name]) if each.kind in {"stat", "table"} and each.is_range]
    assert stale == []


def test_grafana_finds_the_dashboards_by_the_provisioning_files() -> None:
    documents = {
        path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (FOLDER / "provisioning").glob("*.yml")
    }
    assert sorted(documents) == ["datasource.yml", "twofa.yml"]
    (provider,) = documents["twofa.yml"]["providers"]
    assert (provider["type"], provider["allowUiUpdates"], provider["folder"]) == ("file", False, "2FA")
    (source,) = documents["datasource.yml"]["datasources"]
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
