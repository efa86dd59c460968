"""Every panel shows something in a bad day: its queries are asked of a real Prometheus that has seen one."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest
import yaml

from checks.reason import Reason
from dashboards.messages import share_of_enough
from dashboards.words import BAD, GOOD, PLAIN, UNKNOWN, WARN
from exporter.families import FAMILIES, MetricType
from tests.dashboards_colours import shown
from tests.dashboards_queries import (
    PanelQuery,
    annotation_queries,
    dashboards,
    panels,
    queries,
    replaced,
    variable_queries,
)
from tests.incident import ADDED, RULES, SECOND, Incident, told
from tests.incident_story import EXPORTER_DOWN, STEP_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("incident")]

SHOWN_HOURS = 6
QUIET_HOURS_AGO = 10
DOUBLED_HOURS = 0.9  # with a second exporter

VALUES = {"__rate_interval": "8m", "__interval": "2m", "__range": f"{SHOWN_HOURS}h"}

FIRED = {
    "TwoFABalanceExhausted",
    "TwoFABalanceLow",
    "TwoFACallbacksRefused",
    "TwoFACodeRejected",
    "TwoFACodesNotDelivered",
    "TwoFAConfigReloadFailed",
    "TwoFADeliveryFailing",
    "TwoFADeliverySlow",
    "TwoFAExporterDown",
    "TwoFANoUsableProvider",
    "TwoFANoUsableRoute",
    "TwoFAOperatorBlocking",
    "TwoFAProviderDegraded",
    "TwoFAProviderDisabled",
    "TwoFASchedulerEvents",
    "TwoFAServerClockSkewed",
    "TwoFATotpCodesRefused",
    "TwoFAUnreachable",
    "TwoFAWatchdog",
}


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Incident]:
    with told(tmp_path_factory.mktemp("incident"), doubled_hours=DOUBLED_HOURS) as made:
        yield made


@pytest.mark.parametrize("name", FAMILIES)
def test_every_metric_is_in_the_incident_with_its_labels(incident: Incident, name: str) -> None:
    family = FAMILIES[name]
    is_histogram = family.type is MetricType.HISTOGRAM
    found = incident.series(f"{name}_bucket" if is_histogram else name)
    assert found
    wanted = {"__name__", *ADDED, *family.labels, *(("le",) if is_histogram else ())}
    # to Prometheus an empty label is none: a provider has no country and no operator
    may_be_empty = {"country", "operator", "target"}
    assert all(wanted - may_be_empty <= each.keys() <= wanted for each in found)
    assert set().union(*found) == wanted


def test_a_counter_falls_only_when_the_exporter_starts_anew(incident: Incident) -> None:
    for family in FAMILIES.values():
        if family.type is MetricType.COUNTER:
            falls = incident.query(f"max(resets({family.name}[2d]))")
            assert float(falls[0]["value"][1]) <= 1, family.name


def test_the_incident_sets_off_alerts_that_rules_have(incident: Incident) -> None:
    fired = incident.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[2d]))')
    names = {each["metric"]["alertname"] for each in fired}
    assert names >= FIRED
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert names <= {rule["alert"] for rule in rules if "alert" in rule}


def test_an_alert_fires_at_the_end(incident: Incident) -> None:
    (alert,) = incident.query('ALERTS{alertname="TwoFAOperatorBlocking", alertstate="firing", scope="operator"}')
    place = {name: alert["metric"][name] for name in ("country", "operator", "severity")}
    assert place == {"country": "GB", "operator": "O2", "severity": "critical"}


def test_what_rules_record_is_there_for_all_the_time(incident: Incident) -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    recording = [rule for rule in rules if "record" in rule]
    for rule in recording:
        recorded, computed = (incident.query_range(promql) for promql in (rule["record"], rule["expr"]))
        # Prometheus shows the last sample for five minutes more
        assert all(len(one["values"]) >= len(other["values"]) for one, other in zip(recorded, computed, strict=True))
        assert recorded, rule["record"]


@pytest.mark.parametrize("name", dashboards())
def test_every_query_of_a_dashboard_finds_something(incident: Incident, name: str) -> None:
    asked = list(queries(dashboards()[name], **VALUES))
    assert asked
    empty = [
        f"{query.panel} ({query.ref}): {query.expression}"
        for query in asked
        if not _has_value(incident.query_range(query.expression, step=2 * STEP_SECONDS, hours=SHOWN_HOURS))
    ]
    assert empty == []


@pytest.mark.parametrize("name", dashboards())
def test_every_panel_of_a_moment_says_something_at_the_end(incident: Incident, name: str) -> None:
    """None may be empty then: the incident ends in trouble, and what is well says so."""
    dashboard = dashboards()[name]
    said: dict[int, bool] = {}
    for query in queries(dashboard, **VALUES):
        if not query.is_range:
            said[query.number] = said.get(query.number, False) or bool(incident.query(query.expression))
    assert [panel["title"] for panel in panels(dashboard) if not said.get(panel["id"], True)] == []


def alert_rules(name: str) -> list[dict[str, Any]]:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return [rule for rule in rules if rule.get("alert") == name]


def stats(name: str) -> list[dict[str, Any]]:
    return [panel for panel in panels(dashboards()[name]) if panel["type"] == "stat"]


@pytest.mark.parametrize("name", dashboards())
def test_no_stat_is_orange_or_red_in_a_quiet_hour(incident: Incident, name: str) -> None:
    at = incident.end - QUIET_HOURS_AGO * 3600
    for panel in stats(name):
        found = shown(panel, lambda promql: incident.query(promql, at=at), **VALUES)
        assert not {colour for _, colour in found} & {WARN, BAD}, (panel["title"], found)


@pytest.mark.parametrize("name", dashboards())
def test_no_stat_is_green_that_knows_nothing(incident: Incident, name: str) -> None:
    """Of an exporter that there is not; the alerts that fire are known without one."""
    for panel in stats(name):
        found = shown(panel, incident.query, **{**VALUES, "job": "gone", "instance": "gone"})
        if panel["title"] != "Alerts that fire":
            assert {colour for _, colour in found} <= {UNKNOWN, PLAIN, BAD}, (panel["title"], found)


def test_the_overview_names_the_cause(incident: Incident) -> None:
    (cause,) = (panel for panel in stats("twofa-overview") if panel["title"] == "Cause")

    def said(hours_ago: float) -> list[tuple[str, str]]:
        return shown(cause, lambda promql: incident.query(promql, at=incident.end - hours_ago * 3600), **VALUES)

    assert said(0) == [("A mobile operator blocks our messages", BAD)]
    assert said(QUIET_HOURS_AGO) == [("No check finds a cause", GOOD)]
    (down,) = (each for each in alert_rules("TwoFAExporterDown") if each["labels"]["severity"] == "critical")
    assert said(EXPORTER_DOWN.until + 0.03) == [(down["annotations"]["summary"].removesuffix("."), BAD)]
    assert (Reason.PROVIDER_DISABLED.row.title, BAD) in said(1.2)


def test_providers_of_which_nothing_is_known_yet_are_neither_usable_nor_unusable(incident: Incident) -> None:
    (usable,) = (panel for panel in stats("twofa-overview") if panel["title"] == "Usable providers")

    def just_started(promql: str) -> list[dict[str, Any]]:
        return incident.query(promql.replace("twofa_sms_providers_usable", "gone"))

    assert shown(usable, just_started, **VALUES) == [("Not known yet", UNKNOWN)]
    assert shown(usable, incident.query, **VALUES) == [("$1 of $1", GOOD)]


def test_where_no_rules_are_loaded_no_alert_seems_well(incident: Incident) -> None:
    """In a quiet hour nothing fires but the watchdog; without it nothing would."""
    at = incident.end - QUIET_HOURS_AGO * 3600

    def without_rules(promql: str) -> list[dict[str, Any]]:
        return incident.query(promql.replace("TwoFAWatchdog", "Gone"), at=at)

    (figure,) = (panel for panel in stats("twofa-overview") if panel["title"] == "Alerts that fire")
    assert shown(figure, without_rules, **VALUES) == [("No rules are loaded", BAD)]
    assert shown(figure, lambda promql: incident.query(promql, at=at), **VALUES) == [("None", GOOD), ("None", GOOD)]
    (table,) = (
        each
        for each in queries(dashboards()["twofa-overview"], **VALUES)
        if (each.panel, each.kind) == ("Alerts that fire", "table")
    )
    (row,) = without_rules(table.expression)
    assert (row["metric"]["alertname"], row["metric"]["severity"]) == ("No rules are loaded", "critical")
    assert incident.query(table.expression, at=at) == []


@pytest.mark.parametrize(("part", "whole", "share"), [(15, 30, ["0.5"]), (20, 20, ["1"]), (3, 19, ["-1"]), (0, 0, [])])
def test_a_share_of_few_is_none(incident: Incident, part: int, whole: int, share: list[str]) -> None:
    found = incident.query(share_of_enough(f"vector({part})", f"vector({whole})"))
    assert [each["value"][1] for each in found] == share


def test_a_cause_is_always_of_a_known_urgency(incident: Incident) -> None:
    (causes,) = (each for each in queries(dashboards()["twofa-overview"], **VALUES) if each.panel == "Causes over time")
    found = incident.query_range(causes.expression, hours=SHOWN_HOURS)
    assert {value for series in found for _, value in series["values"]} == {"1", "2", "3"}
    (low,) = (series["values"] for series in found if series["metric"]["reason"] == Reason.BALANCE_LOW)
    assert {value for _, value in low} == {"3"}  # for the last hours there is less than six hours' money


def test_what_two_exporters_count_of_one_provider_counts_once(incident: Incident) -> None:
    assert {each["instance"] for each in incident.series("up")} == {ADDED["instance"], SECOND}
    for name in ("twofa-overview", "twofa-delivery"):
        values = {**VALUES, "__range": "30m"}
        for query in queries(dashboards()[name], **values):
            windows = set(re.findall(r"\[(\w+)", query.expression))
            if query.is_range or windows - {"15m", "30m"} or "offset" in query.expression:
                continue  # the second was not there all the time
            if "twofa_canary" in query.expression:  # each sends its own
                continue
            both = incident.query(query.expression)
            (one,) = (
                each for each in queries(dashboards()[name], **{**values, "instance": SECOND}) if _same(each, query)
            )
            assert _numbers(both) == _numbers(incident.query(one.expression)), query


def _same(one: PanelQuery, other: PanelQuery) -> bool:
    return (one.number, one.ref) == (other.number, other.ref)


def _numbers(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {str(sorted(each["metric"].items())): pytest.approx(float(each["value"][1]), nan_ok=True) for each in found}


def test_an_alert_leads_to_a_dashboard_that_shows_what_it_is_about(incident: Incident) -> None:
    """With the variables of its link no figure is empty that would say something without them."""
    links = set(_links_of_alerts(incident))
    assert len({uid for uid, _, _ in links}) >= 4
    hidden = []
    for uid, chosen, at in sorted(link for link in links if link[1]):
        values = {**VALUES, **dict(chosen)}
        for panel in stats(uid):
            of_chosen, of_all = (
                (incident.query(replaced(each["expr"], **of), at=at) for each in panel["targets"])
                for of in (values, VALUES)
            )
            if not any(of_chosen) and any(of_all):
                hidden.append(f"{uid} {chosen} {panel['title']}")
    assert hidden == []


def _links_of_alerts(incident: Incident) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    """Yield the dashboard, the variables and the first moment of the alerts that fired.

    One of several places is enough: what is asked of each takes a while.
    """
    found: dict[object, tuple[str, tuple[tuple[str, str], ...], float]] = {}
    for series in incident.query_range('ALERTS{alertstate="firing"}', hours=SHOWN_HOURS):
        labels = series["metric"]
        (url,) = {
            rule["annotations"]["dashboard_url"]
            for rule in alert_rules(labels["alertname"])
            if rule["labels"]["severity"] == labels["severity"]
        }
        parts = urlsplit(_expanded(url, labels))
        chosen = tuple((name.removeprefix("var-"), value) for name, value in parse_qsl(parts.query))
        uid = parts.path.rsplit("/", 1)[-1]
        kind = uid, tuple(name for name, _ in chosen), dict(chosen).get("target")
        found.setdefault(kind, (uid, chosen, float(series["values"][0][0])))
    yield from found.values()


def _expanded(template: str, labels: dict[str, str]) -> str:
    """Return a link as Prometheus writes it, of the two forms that ours have."""
    within = re.compile(r"\{\{with\(\$labels\.(\w+)\)\}\}(.*?)\{\{end\}\}")
    text = within.sub(
        lambda match: match[2].replace("{{.|urlquery}}", quote_plus(labels[match[1]])) if labels.get(match[1]) else "",
        template,
    )
    text = re.sub(r"\{\{\$labels\.(\w+)\|urlquery\}\}", lambda match: quote_plus(labels.get(match[1], "")), text)
    assert "{{" not in text, text
    return text


@pytest.mark.parametrize("name", dashboards())
def test_variables_have_values_and_annotations_mark_something(incident: Incident, name: str) -> None:
    dashboard = dashboards()[name]
    for variable, (selector, label) in variable_queries(dashboard, **VALUES).items():
        values = {each["metric"].get(label) for each in incident.query(f"count by ({label}) ({selector})")}
        assert values - {None}, variable
    for annotation, expression in annotation_queries(dashboard, **VALUES).items():
        assert incident.query_range(expression), annotation


def test_a_query_that_is_wrong_is_refused(incident: Incident) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        incident.query("rate(x")


def _has_value(found: list[dict[str, Any]]) -> bool:
    return any(value != "NaN" for series in found for _, value in series["values"])
