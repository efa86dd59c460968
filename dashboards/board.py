"""The frame of a dashboard: variables, links, annotations and the grid."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    GridPos,
    RowPanel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.dashboard import Panel as PanelModel

from alerts.rule import Dashboard as Uid
from exporter.shipped import EXPORTER_URL, JOB, RUNBOOKS_URL

from .panels import DATASOURCE, Panel
from .queries import Selectors
from .words import BAD, PLAIN, WARN

TAG: Final = "twofa"
COLUMNS: Final = 24

_ALL: Final = VariableOption(selected=True, text=["All"], value=["$__all"])
_SELECTORS: Final = Selectors()
_STEP: Final = "60s"  # of annotations: their ranges are two of it, so that none falls between


@dataclass(frozen=True, slots=True)
class Line:
    """Panels beside each other: each with its width, all of one height, in units of the grid."""

    height: int
    panels: Sequence[tuple[int, Panel]]


@dataclass(frozen=True, slots=True)
class Section:
    """A row of a dashboard, and the lines below its heading."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A whole dashboard."""

    uid: Uid
    title: str
    description: str
    sections: Sequence[Section]
    since: str = "now-6h"
    targets: str = "twofa_check_info"  # the metric whose targets can be chosen
    by_route: bool = False  # countries and operators can be chosen as well
    shows_alerts: bool = False  # marks critical alerts in graphs unless the reader turns it off

    def text(self) -> str:
        """Return the dashboard as Grafana's classic JSON."""
        builder = dashboard.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG]).readonly()
        builder = builder.timezone("browser").time(self.since, "now").refresh("30s")
        builder = builder.tooltip(DashboardCursorSync.CROSSHAIR)
        for variable in self._variables():
            builder = builder.with_variable(variable)
        for link in _links():
            builder = builder.link(link)
        for annotation in _annotations(shows_alerts=self.shows_alerts):
            builder = builder.annotation(annotation)
        model = builder.build()
        model.panels = list(_laid_out(self.sections))
        document = json.loads(json.dumps(model, cls=JSONEncoder))
        for shown in (*document["links"], *document["annotations"]["list"]):
            del shown["placement"]  # the SDK always hides them in a menu; what helps at night stands above the panels
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def _variables(self) -> Iterator[Builder[VariableModel]]:
        yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        jobs = VariableOption(selected=True, text=[JOB], value=[JOB])
        # Not what a panel shows but what every exporter has, whatever is configured.
        anchor = "twofa_exporter_build_info"
        yield _queried("job", "Job", f"label_values({anchor}, job)", ".+").current(jobs)
        yield _queried("instance", "Instance", f'label_values({anchor}{{job=~"$job"}}, instance)', ".+")
        followed = Selectors(())
        yield _queried("target", "Target", f"label_values({followed(self.targets)}, target)", ".*")
        if self.by_route:
            messages = "twofa_messages_total"
            yield _queried("country", "Country", f"label_values({Selectors()(messages)}, country)", ".*")
            of_country = Selectors(("target", "country"))
            yield _queried("operator", "Operator", f"label_values({of_country(messages)}, operator)", ".*")
        yield _Constant("runbooks", "Where the runbooks are, without a slash at the end", RUNBOOKS_URL)
        yield _Constant("exporter", "Where the exporter's status page is, without a slash at the end", EXPORTER_URL)


@dataclass(frozen=True, slots=True)
class _Constant(Builder[VariableModel]):
    """A builder of a variable that a site changes in the file, and nobody by a URL."""

    name: str
    description: str
    value: str

    def build(self) -> VariableModel:
        """Return the variable."""
        model = dashboard.ConstantVariable(self.name).description(self.description).value(self.value).build()
        model.skip_url_sync = True
        model.current = VariableOption(selected=True, text=self.value, value=self.value)
        return model


def _queried(name: str, label: str, query: str, all_value: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(DATASOURCE).query(query).definition(query)
    variable = variable.multi(True).include_all(True).all_value(all_value).current(_ALL)
    return variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)


def _links() -> Iterator[dashboard.DashboardLink]:
    others = dashboard.DashboardLink("2FA dashboards").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    yield others.icon("external link").keep_time(True).include_vars(True)
    for title, url, tooltip in (
        ("Status page", "${exporter:raw}/", "The exporter's own page: each check's evidence and next step"),
        ("Runbooks", "${runbooks:raw}/", "What each reason and alert means, and what to do"),
    ):
        link = dashboard.DashboardLink(title).type(DashboardLinkType.LINK).url(url).tooltip(tooltip)
        yield link.icon("external link").target_blank(True)


def _annotations(*, shows_alerts: bool) -> Iterator[dashboard.AnnotationQuery]:
    """Yield what can be marked in graphs. Alerts alone are marked unasked, and only where they are looked for."""
    reasons = _SELECTORS("twofa_check_reason", 'reason!="ok"')
    verdict = _SELECTORS("twofa_verdict")
    reloaded = Selectors(())("twofa_exporter_config_last_reload_success_timestamp_seconds")
    for name, expression, colour, title, text, tags, is_shown in (
        (
            "New reasons",
            f"max by (target, reason) (changes({reasons}[2m]) > 0 and {reasons} == 1"
            f" or {verdict} unless {verdict} offset 2m)",
            WARN,
            "{{target}}: {{reason}}",
            "A check or the detector gives {{reason}} for {{target}} since now.",
            "target,reason",
            False,
        ),
        (
            "Configuration loaded",
            f"changes({reloaded}[2m]) > 0",
            PLAIN,
            "Configuration loaded",
            "{{instance}} took a new configuration.",
            "instance",
            False,
        ),
        (
            "Critical alerts",
            _SELECTORS.firing('severity="critical"'),
            BAD,
            "{{alertname}}",
            "{{alertname}} fires. {{target}} {{reason}} {{country}} {{operator}}",
            "target,reason",
            shows_alerts,
        ),
    ):
        annotation = dashboard.AnnotationQuery().name(name).datasource(DATASOURCE).enable(is_shown).hide(False)
        annotation = annotation.icon_color(colour).expr(expression).step(_STEP)
        yield annotation.title_format(title).text_format(text).tag_keys(tags)


def _laid_out(sections: Sequence[Section]) -> Iterator[PanelModel | RowPanel]:
    """Yield rows and panels with their numbers and places. Raises ValueError for a line that is not full."""
    number, y = 0, 0
    for section in sections:
        number += 1
        row = dashboard.Row(section.title).id(number).grid_pos(GridPos(h=1, w=COLUMNS, x=0, y=y)).build()
        yield row
        y += 1
        for line in section.lines:
            if (width := sum(width for width, _ in line.panels)) != COLUMNS:
                raise ValueError(f"{section.title}: a line is {width} wide, not {COLUMNS}")
            x = 0
            for width, builder in line.panels:
                number += 1
                panel = builder.build()
                panel.id_val = number
                panel.grid_pos = GridPos(h=line.height, w=width, x=x, y=y)
                yield panel
                x += width
            y += line.height
