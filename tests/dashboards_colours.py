"""What a stat panel shows of answers of Prometheus: texts in colours, as Grafana maps them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.dashboards_queries import replaced

Answer = Sequence[Mapping[str, Any]]
"""The series of an instant query."""


def shown(panel: Mapping[str, Any], ask: Callable[[str], Answer], **values: str) -> list[tuple[str, str]]:
    """Return the texts of a stat panel and their colours; where there is nothing, what stands for it."""
    field = panel["options"]["reduceOptions"].get("fields", "")
    config = panel["fieldConfig"]["defaults"]
    found = []
    for target in panel["targets"]:
        own = _own_config(panel, target["legendFormat"])
        for series in ask(replaced(target["expr"], **values)):
            value = series["metric"].get(field.strip("/^$"), "") if field else series["value"][1]
            found.append(_looked(value, {**config, **own}))
    return found[: panel["options"]["reduceOptions"].get("limit")] or [_looked(None, config)]


def _own_config(panel: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        each["id"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": name}
        for each in override["properties"]
    }


def _looked(value: str | None, config: Mapping[str, Any]) -> tuple[str, str]:
    for result in _mapped(value, config.get("mappings", ())):
        return result["text"], result["color"]
    steps = config["thresholds"]["steps"]
    if value is None:
        return config["noValue"], steps[0]["color"]
    number = _number(value)
    if number is None:
        return value, steps[0]["color"]
    return value, [step["color"] for step in steps if step["value"] is None or step["value"] <= number][-1]


def _mapped(value: str | None, mappings: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, str]]:
    for mapping in mappings:
        options = mapping["options"]
        match mapping["type"]:
            case "value" if value in options:
                yield options[value]
            case "regex" if value is not None and re.fullmatch(options["pattern"].strip("/"), value):
                yield options["result"]
            case "special" if value in {None, "NaN"}:
                yield options["result"]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
