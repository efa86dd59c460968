"""The queries of a dashboard as Prometheus would get them: Grafana's variables are replaced."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from tests.repo import ROOT

FOLDER: Final = ROOT / "dashboards"

VALUES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job": ".+",
        "instance": ".+",
        "target": ".*",
        "country": ".*",
        "operator": ".*",
        "__rate_interval": "1m",
        "__interval": "1m",
        "__range": "1h",
    }
)
"""What stands for a variable, unless it is said: all of it."""

_VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))")  # not $1 of label_replace
_LABEL_VALUES: Final = re.compile(r"label_values\((?:(?P<selector>.+), ?)?(?P<label>\w+)\)")


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of a panel."""

    number: int  # of the panel: two may have one title
    panel: str  # its title
    ref: str
    expression: str
    is_range: bool  # over the dashboard's time; otherwise at its end
    kind: str  # of the panel: stat, table …


def dashboards() -> dict[str, dict[str, Any]]:
    """Return every committed dashboard by the name of its file without the ending."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels, those of closed rows too, and not the rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(dashboard: Mapping[str, Any], **values: str) -> Iterator[PanelQuery]:
    """Yield the queries of all panels; ``values`` replace those of ``VALUES``. Raises KeyError for others."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            yield PanelQuery(
                number=panel["id"],
                panel=panel["title"],
                ref=target["refId"],
                expression=replaced(target["expr"], **values),
                is_range=bool(target.get("range", False)),
                kind=panel["type"],
            )


def annotation_queries(dashboard: Mapping[str, Any], **values: str) -> dict[str, str]:
    """Return the expressions of the annotations by name: all are ranges."""
    found = dashboard["annotations"]["list"]
    return {each["name"]: replaced(each["expr"], **values) for each in found if "expr" in each}


def variable_queries(dashboard: Mapping[str, Any], **values: str) -> dict[str, tuple[str, str]]:
    """Return the selector and the label whose values each variable takes, by its name."""
    found = {}
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = _LABEL_VALUES.fullmatch(variable["query"])
            assert match is not None, variable["query"]
            found[variable["name"]] = (replaced(match["selector"], **values), match["label"])
    return found


def replaced(text: str, **values: str) -> str:
    """Return text with the values of its variables. Raises KeyError for a variable that has none."""
    known = {**VALUES, **values}
    return _VARIABLE.sub(lambda match: known[match[1] or match[2]], text)
