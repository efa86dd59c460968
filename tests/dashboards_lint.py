"""Rules that every dashboard keeps: those of Grafana's dashboard-linter, and some of our own.

A rule yields one complaint for each breach; none is good.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import promql_parser
from grafana_foundation_sdk.models import units
from promql_parser import Call, Expr, MatrixSelector, VectorSelector

from tests.dashboards_queries import annotation_queries, panels, queries, replaced, variable_queries

Dashboard = Mapping[str, Any]
Rule = Callable[[Dashboard], Iterator[str]]

RATE_INTERVAL: Final = "11m13s"
"""Stands for ``$__rate_interval``: nobody writes such a range by hand."""

_UNITS: Final = frozenset(value for name, value in vars(units).items() if isinstance(value, str) and name[0] != "_")
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_REDUCED: Final = frozenset({"rate", "irate", "increase"})
_BUILT_IN: Final = re.compile(r"\$\{__(?:value|field|data|series|url)[.\w]*\}|\$1")


def has_the_data_source_variable(dashboard: Dashboard) -> Iterator[str]:
    """The reader chooses the data source."""
    variable = _variables(dashboard).get("datasource", {})
    if (variable.get("type"), variable.get("query"), variable.get("label")) != (
        "datasource",
        "prometheus",
        "Data source",
    ):
        yield "no variable datasource, labelled Data source, of Prometheus"


def has_job_and_instance_variables(dashboard: Dashboard) -> Iterator[str]:
    """The reader chooses which of several exporters."""
    wanted = {"type": "query", "datasource": _DATASOURCE, "multi": True, "includeAll": True, "allValue": ".+"}
    for name in ("job", "instance"):
        variable = _variables(dashboard).get(name, {})
        expected = {**wanted, "label": name.capitalize()}
        if (found := {key: variable.get(key) for key in expected}) != expected:
            yield f"variable {name}: {found}"


def variables_follow_the_time_range(dashboard: Dashboard) -> Iterator[str]:
    """An exporter that is down now can be chosen for the time when it was up."""
    for name, variable in _variables(dashboard).items():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"variable {name} is not read again when the time changes"


def variable_queries_are_valid(dashboard: Dashboard) -> Iterator[str]:
    """A variable without values hides everything."""
    for name, variable in _variables(dashboard).items():
        if variable["type"] == "query" and variable["query"] != variable.get("definition"):
            yield f"variable {name} shows another definition than it asks"
    for name, (selector, _) in variable_queries(dashboard).items():
        if not isinstance(_parsed(selector), VectorSelector):
            yield f"variable {name} has no selector"


def every_panel_asks_the_chosen_data_source(dashboard: Dashboard) -> Iterator[str]:
    """No panel is tied to one data source."""
    for panel in panels(dashboard):
        asked = [panel.get("datasource"), *(target.get("datasource") for target in panel.get("targets", ()))]
        if any(each != _DATASOURCE for each in asked):
            yield f"{panel['title']}: {asked}"


def every_panel_has_words(dashboard: Dashboard) -> Iterator[str]:
    """A title, and a description that says what is good and what is bad."""
    for panel in panels(dashboard):
        if not panel.get("title") or not panel.get("description", "").endswith("."):
            yield f"panel {panel.get('id')} needs a title and a description"


def every_panel_has_a_query(dashboard: Dashboard) -> Iterator[str]:
    """No panel is empty by construction."""
    for panel in panels(dashboard):
        if not panel.get("targets"):
            yield f"{panel['title']}: no query"


def every_unit_exists(dashboard: Dashboard) -> Iterator[str]:
    """Grafana shows an unknown unit as a suffix."""
    for panel in panels(dashboard):
        found = [panel["fieldConfig"]["defaults"].get("unit")]
        for override in panel["fieldConfig"].get("overrides") or ():
            found += [each["value"] for each in override["properties"] if each["id"] == "unit"]
        for unit in found:
            if unit not in _UNITS:
                yield f"{panel['title']}: unit {unit}"


def every_query_is_valid(dashboard: Dashboard) -> Iterator[str]:
    """It parses as PromQL."""
    for where, expression in _expressions(dashboard):
        if isinstance(found := _parsed(expression), str):
            yield f"{where}: {found}"


def rates_span_the_rate_interval(dashboard: Dashboard) -> Iterator[str]:
    """A rate over a fixed range skips samples when one looks at a long time."""
    for where, tree in _trees(dashboard):
        for call in _calls(tree, frozenset({"rate", "irate"})):
            for argument in call.args:
                if isinstance(argument, MatrixSelector) and argument.range != _parsed_range(RATE_INTERVAL):
                    yield f"{where}: {call.prettify()}"


def selectors_follow_job_and_instance(dashboard: Dashboard) -> Iterator[str]:
    """What the reader chooses holds for all. What rules make has lost its instance, or both."""
    for where, expression in _raw_expressions(dashboard):
        tree = _parsed(replaced(expression, job="$job", instance="$instance", __rate_interval=RATE_INTERVAL))
        if isinstance(tree, str):
            continue
        for selector in _found(tree, VectorSelector):
            matchers = {(each.name, str(each.op), each.value) for each in selector.matchers.matchers}
            if ("alertname", "MatchOp.Equal", "TwoFAWatchdog") in matchers:  # it has no labels
                continue
            for label in _labels_to_follow(selector.name or ""):
                if (label, "MatchOp.Re", f"${label}") not in matchers:
                    yield f"{where}: {selector.name} does not follow {label}"


def what_is_missing_has_a_colour(dashboard: Dashboard) -> Iterator[str]:
    """Else it has that of the lowest value: green for an exporter that is dead, red for what is not set up."""
    for panel in panels(dashboard):
        config = panel["fieldConfig"]["defaults"]
        if panel["type"] != "stat":
            continue
        special = [each["options"] for each in config.get("mappings", ()) if each["type"] == "special"]
        texts = [each["result"].get("text") for each in special if each["match"] == "null+nan"]
        if not config.get("noValue") or texts != [config["noValue"]]:
            yield f"{panel['title']}: {config.get('noValue')} is mapped to {texts}"
        if not all(each["result"].get("color") for each in special):
            yield f"{panel['title']}: {config.get('noValue')} has no colour"


def counters_are_reduced(dashboard: Dashboard) -> Iterator[str]:
    """The value of a counter says nothing."""
    for where, tree in _trees(dashboard):
        reduced = [
            selector.prettify()
            for call in _calls(tree, _REDUCED)
            for argument in call.args
            for selector in _found(argument, VectorSelector)
        ]
        counters = [each.prettify() for each in _found(tree, VectorSelector) if (each.name or "").endswith("_total")]
        for bare in Counter(counters) - Counter(reduced):
            yield f"{where}: {bare}"


def is_not_editable(dashboard: Dashboard) -> Iterator[str]:
    """It comes from a file: what is changed in Grafana would be lost."""
    if dashboard.get("editable") is not False:
        yield "editable"


def the_grid_is_full(dashboard: Dashboard) -> Iterator[str]:
    """No panel covers another, and no hole is left."""
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    yield f"{panel['title']} covers {taken[x, y]}"
                    return
                taken[x, y] = panel["title"]
    bottom = max(y for _, y in taken) + 1
    if len(taken) != 24 * bottom or max(x for x, _ in taken) != 23:
        yield f"{24 * bottom - len(taken)} units of the grid are empty"


def numbers_are_unique(dashboard: Dashboard) -> Iterator[str]:
    """Links to a panel, and annotations, name it by its number."""
    numbers = [panel.get("id") for panel in dashboard["panels"]]
    if None in numbers or len(set(numbers)) != len(numbers):
        yield f"panel ids {numbers}"


def links_name_known_variables(dashboard: Dashboard) -> Iterator[str]:
    """A link with an unknown variable leads nowhere."""
    known = _variables(dashboard).keys()
    urls = [link["url"] for link in dashboard.get("links", ()) if link["type"] == "link"]
    for url in [*urls, *data_links(dashboard)]:
        rest = _BUILT_IN.sub("", url)
        for name in re.findall(r"\$\{?(\w+)", rest):
            if name not in known:
                yield f"{url}: no variable {name}"


RULES: Final[tuple[Rule, ...]] = (
    has_the_data_source_variable,
    has_job_and_instance_variables,
    variables_follow_the_time_range,
    variable_queries_are_valid,
    every_panel_asks_the_chosen_data_source,
    every_panel_has_words,
    every_panel_has_a_query,
    every_unit_exists,
    every_query_is_valid,
    rates_span_the_rate_interval,
    selectors_follow_job_and_instance,
    what_is_missing_has_a_colour,
    counters_are_reduced,
    is_not_editable,
    the_grid_is_full,
    numbers_are_unique,
    links_name_known_variables,
)


def data_links(dashboard: Dashboard) -> Iterator[str]:
    """Yield the addresses to which values lead."""
    for panel in panels(dashboard):
        for override in panel["fieldConfig"].get("overrides") or ():
            for each in override["properties"]:
                if each["id"] == "links":
                    yield from (link["url"] for link in each["value"])


def _variables(dashboard: Dashboard) -> dict[str, Any]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def _labels_to_follow(metric: str) -> tuple[str, ...]:
    if metric == "twofa:delivery_objective:ratio":  # one number for all
        return ()
    return ("job",) if metric == "ALERTS" or ":" in metric else ("job", "instance")


def _raw_expressions(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield f"{panel['title']} {target['refId']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def _expressions(dashboard: Dashboard) -> Iterator[tuple[str, str]]:
    for query in queries(dashboard, __rate_interval=RATE_INTERVAL):
        yield f"{query.panel} {query.ref}", query.expression
    yield from annotation_queries(dashboard, __rate_interval=RATE_INTERVAL).items()


def _trees(dashboard: Dashboard) -> Iterator[tuple[str, Expr]]:
    for where, expression in _expressions(dashboard):
        if not isinstance(tree := _parsed(expression), str):
            yield where, tree


def _parsed(expression: str) -> Expr | str:
    """Return the tree of an expression, or why it has none."""
    try:
        tree: Expr = promql_parser.parse(expression)
    except ValueError as error:
        return str(error)
    return tree


def _parsed_range(text: str) -> Any:
    return promql_parser.parse_duration(text)


def _found(tree: Expr, kind: type) -> list[Any]:
    nodes: list[Any] = []
    promql_parser.walk(tree, lambda node: nodes.append(node) if isinstance(node, kind) else None)
    return nodes


def _calls(tree: Expr, names: frozenset[str]) -> list[Any]:
    return [call for call in _found(tree, Call) if call.func.name in names]
