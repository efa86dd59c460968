"""Every dashboard keeps every rule, and every rule sees its breach."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests import dashboards_lint as lint
from tests.dashboards_queries import dashboards

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name: str, query: str) -> dict[str, Any]:
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": DATASOURCE,
        "query": query,
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
    }


NOTHING = {"type": "special", "options": {"match": "null+nan", "result": {"text": "Nothing", "color": "blue"}}}


def panel(number: int, title: str, x: int, expression: str) -> dict[str, Any]:
    link = {"title": "What to do", "url": "${runbooks:raw}/${__value.raw}"}
    return {
        "type": "stat",
        "id": number,
        "title": title,
        "description": "Says something.",
        "datasource": DATASOURCE,
        "gridPos": {"h": 4, "w": 12, "x": x, "y": 1},
        "targets": [{"refId": "A", "expr": expression, "datasource": DATASOURCE, "instant": True}],
        "fieldConfig": {
            "defaults": {"unit": "s", "noValue": "Nothing", "mappings": [NOTHING]},
            "overrides": [{"matcher": {}, "properties": [{"id": "links", "value": [link]}]}],
        },
    }


CHOSEN = 'job=~"$job", instance=~"$instance"'
GOOD: dict[str, Any] = {
    "editable": False,
    "templating": {
        "list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
            variable("job", "label_values(x, job)"),
            variable("instance", 'label_values(x{job=~"$job"}, instance)'),
            {"type": "constant", "name": "runbooks", "query": "http://127.0.0.1/runbooks"},
        ]
    },
    "annotations": {"list": [{"name": "Changes", "expr": f"changes(x{{{CHOSEN}}}[2m])"}]},
    "links": [{"type": "link", "url": "${runbooks:raw}/"}],
    "panels": [
        {"type": "row", "id": 1, "title": "All", "gridPos": {"h": 1, "w": 24, "x": 0, "y": 0}},
        panel(2, "Speed", 0, f"sum(rate(x_total{{{CHOSEN}}}[$__rate_interval]))"),
        panel(3, "Alerts", 12, 'count(ALERTS{job=~"$job"} or a:b:c{job=~"$job"}) * twofa:delivery_objective:ratio'),
    ],
}


def spoil_target(expression: str) -> Callable[[dict[str, Any]], object]:
    return lambda each: each["panels"][1]["targets"][0].update(expr=expression)


def spoil_defaults(**changes: object) -> Callable[[dict[str, Any]], object]:
    return lambda each: each["panels"][1]["fieldConfig"]["defaults"].update(changes)


SPOILED: list[tuple[lint.Rule, Callable[[dict[str, Any]], object]]] = [
    (lint.has_the_data_source_variable, lambda each: each["templating"]["list"][0].update(label="Source")),
    (lint.has_the_data_source_variable, lambda each: each["templating"]["list"].pop(0)),
    (lint.has_job_and_instance_variables, lambda each: each["templating"]["list"][1].update(allValue=".*")),
    (lint.has_job_and_instance_variables, lambda each: each["templating"]["list"][2].update(multi=False)),
    (lint.variables_follow_the_time_range, lambda each: each["templating"]["list"][1].update(refresh=1)),
    (
        lint.variable_queries_are_valid,
        lambda each: each["templating"]["list"][1].update(definition="label_values(y, job)"),
    ),
    (
        lint.variable_queries_are_valid,
        lambda each: each["templating"]["list"][1].update(
            dict.fromkeys(("query", "definition"), "label_values(x{, job)")
        ),
    ),
    (lint.every_panel_asks_the_chosen_data_source, lambda each: each["panels"][1].update(datasource={"uid": "abc"})),
    (
        lint.every_panel_asks_the_chosen_data_source,
        lambda each: each["panels"][1]["targets"][0].update(datasource={"type": "prometheus", "uid": "abc"}),
    ),
    (lint.every_panel_has_words, lambda each: each["panels"][1].update(description="")),
    (lint.every_panel_has_words, lambda each: each["panels"][1].update(title="")),
    (lint.every_panel_has_a_query, lambda each: each["panels"][1].update(targets=[])),
    (lint.every_unit_exists, lambda each: each["panels"][1]["fieldConfig"]["defaults"].update(unit="seconds")),
    (
        lint.every_unit_exists,
        lambda each: each["panels"][1]["fieldConfig"]["overrides"][0]["properties"].append(
            {"id": "unit", "value": "sec"}
        ),
    ),
    (lint.every_query_is_valid, spoil_target(f"sum(rate(x_total{{{CHOSEN}}}))")),
    (lint.every_query_is_valid, lambda each: each["annotations"]["list"][0].update(expr="changes(")),
    (lint.rates_span_the_rate_interval, spoil_target(f"rate(x_total{{{CHOSEN}}}[5m])")),
    (lint.selectors_follow_job_and_instance, spoil_target('rate(x_total{job=~"$job"}[$__rate_interval])')),
    (lint.selectors_follow_job_and_instance, spoil_target('rate(x_total{instance=~"$instance"}[$__rate_interval])')),
    (lint.selectors_follow_job_and_instance, spoil_target('ALERTS{alertstate="firing"}')),
    (lint.selectors_follow_job_and_instance, lambda each: each["annotations"]["list"][0].update(expr="changes(x[2m])")),
    (lint.what_is_missing_has_a_colour, spoil_defaults(mappings=[])),
    (lint.what_is_missing_has_a_colour, spoil_defaults(noValue="Other")),
    (
        lint.what_is_missing_has_a_colour,
        spoil_defaults(
            mappings=[{"type": "special", "options": {"match": "null+nan", "result": {"text": "Nothing"}}}],
        ),
    ),
    (lint.counters_are_reduced, spoil_target(f"sum(x_total{{{CHOSEN}}})")),
    (
        lint.counters_are_reduced,
        spoil_target(f"rate(x_total{{{CHOSEN}}}[$__rate_interval]) / x_total{{{CHOSEN}}}"),
    ),
    (lint.is_not_editable, lambda each: each.update(editable=True)),
    (lint.is_not_editable, lambda each: each.pop("editable")),
    (lint.the_grid_is_full, lambda each: each["panels"][2]["gridPos"].update(x=11)),
    (lint.the_grid_is_full, lambda each: each["panels"][2]["gridPos"].update(w=11)),
    (lint.the_grid_is_full, lambda each: each["panels"][2]["gridPos"].update(x=13)),
    (lint.numbers_are_unique, lambda each: each["panels"][2].update(id=2)),
    (lint.numbers_are_unique, lambda each: each["panels"][2].pop("id")),
    (lint.links_name_known_variables, lambda each: each["templating"]["list"].pop(3)),
    (lint.links_name_known_variables, lambda each: each["links"][0].update(url="${runbook:raw}/")),
]


@pytest.mark.parametrize("rule", lint.RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_keeps_the_rule(name: str, rule: lint.Rule) -> None:
    assert list(rule(dashboards()[name])) == []


@pytest.mark.parametrize(("rule", "spoil"), SPOILED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_rule_sees_its_breach(rule: lint.Rule, spoil: Callable[[dict[str, Any]], object]) -> None:
    dashboard = deepcopy(GOOD)
    assert list(rule(dashboard)) == []
    spoil(dashboard)
    assert list(rule(dashboard)) != []


def test_every_rule_has_a_breach() -> None:
    assert {rule for rule, _ in SPOILED} == set(lint.RULES)
