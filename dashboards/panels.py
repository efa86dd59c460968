"""Builders of panels: one look for all dashboards, and room for what differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    MatcherConfig,
    Threshold,
    ThresholdsMode,
    ValueMapping,
)
from grafana_foundation_sdk.models.dashboard import Panel as PanelModel
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from .queries import Ask
from .words import NOT_KNOWN, PLAIN, Word, no_number

DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

SMOOTH: Final = "5m"
"""The shortest step of graphs about messages: codes are few, and a rate of one minute would jump."""

_NO_SHARE: Final = "Too few"

_REFS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Levels = Sequence[tuple[float, str]]
"""Thresholds: the colour from that value on. The first holds for all that is less than the second's."""


class Panel(Protocol):
    """A builder of a panel."""

    def build(self) -> PanelModel:
        """Return the panel."""


class _Styled(Protocol):
    """What the builders of all kinds of panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def thresholds(self, thresholds: dashboard.ThresholdsConfig) -> Self: ...
    def color_scheme(self, color: dashboard.FieldColor) -> Self: ...
    def mappings(self, mappings: list[ValueMapping]) -> Self: ...
    def with_target(self, target: prometheus.Dataquery) -> Self: ...
    def override_by_regexp(self, regexp: str, properties: list[DynamicConfigValue]) -> Self: ...
    def override_by_name(self, name: str, properties: list[DynamicConfigValue]) -> Self: ...


_P = TypeVar("_P", bound=_Styled)


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a value leads."""

    title: str
    url: str
    new_tab: bool = True

    def document(self) -> dict[str, object]:
        """Return it as a field's configuration has it."""
        return {"title": self.title, "url": self.url, "targetBlank": self.new_tab}


# A cell's text is the mapped one ("All is well"), so links take what the mapping was given.
RUNBOOK_OF_CELL: Final = Link("What to do: ${__value.raw}", "${runbooks:raw}/${__value.raw}")
RUNBOOK_OF_ROW: Final = Link("What to do: ${__data.fields.reason}", "${runbooks:raw}/${__data.fields.reason}")
RUNBOOK_OF_SERIES: Final = Link("What to do: ${__field.labels.reason}", "${runbooks:raw}/${__field.labels.reason}")


def figure(
    title: str,
    description: str,
    *asks: Ask,
    unit: str,
    levels: Levels = ((0, PLAIN),),
    words: Sequence[ValueMapping] = (),
    decimals: int | None = None,
    nothing: Word = NOT_KNOWN,
    named: bool = False,
    worse: Mapping[str, Levels] = MappingProxyType({}),
    link: Link | None = None,
) -> stat.Panel:
    """Return big figures of this moment.

    ``nothing`` is what stands there when there is no value; ``worse`` are the levels of single series.
    """
    panel = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = _styled(panel, title, description, unit, levels, [*words, no_number(nothing)], link)
    panel = panel.color_mode(models.BigValueColorMode.BACKGROUND).graph_mode(models.BigValueGraphMode.NONE)
    panel = panel.text_mode(models.BigValueTextMode.VALUE_AND_NAME if named else models.BigValueTextMode.VALUE)
    panel = panel.no_value(nothing[0])
    for name, own in worse.items():
        panel = panel.override_by_name(name, [DynamicConfigValue("thresholds", _thresholds(own).build())])
    if decimals is not None:
        panel = panel.decimals(decimals)
    return _asked(panel, asks, lambda query: query.instant())


def word(
    title: str,
    description: str,
    ask: Ask,
    *,
    label: str,
    words: Sequence[ValueMapping],
    nothing: Word,
    link: Link | None = None,
    most: int = 4,
    named: bool = False,
) -> stat.Panel:
    """Return the values of a label in big words, one a series of this moment; ``named``: with the other labels."""
    reduction = common.ReduceDataOptions().values(True).limit(most).calcs(["lastNotNull"]).fields(f"/^{label}$/")
    panel = _styled(
        stat.Panel().reduce_options(reduction),
        title,
        description,
        units.String,
        ((0, PLAIN),),
        [*words, no_number(nothing)],
        link,
    )
    panel = panel.color_mode(models.BigValueColorMode.BACKGROUND).graph_mode(models.BigValueGraphMode.NONE)
    panel = panel.text_mode(models.BigValueTextMode.VALUE_AND_NAME if named else models.BigValueTextMode.VALUE)
    panel = panel.no_value(nothing[0])
    if named:  # Grafana calls a row by its texts alone where no number is left in it
        options = {"excludeByName": {"Time": True, "Value": True}, "includeByName": {}, "indexByName": {}}
        panel = panel.with_transformation(DataTransformerConfig(id_val="organize", options=options))
    return _asked(panel, [ask], lambda query: query.instant().format(PromQueryFormat.TABLE))


def graph(
    title: str,
    description: str,
    *asks: Ask,
    unit: str,
    levels: Levels = (),
    words: Sequence[ValueMapping] = (),
    stacked: bool = False,
    maximum: float | None = None,
    minimum: float | None = 0,
    step: str | None = None,
    link: Link | None = None,
    legend_values: Sequence[str] = ("lastNotNull",),
    colours: Mapping[str, str] = MappingProxyType({}),
    decimals: int | None = None,
    many: bool = False,
) -> timeseries.Panel:
    """Return lines over time; ``levels`` are drawn as dashed lines, ``colours`` are those of single series.

    Of ``many`` lines the legend stands at the side, where it leaves them their height.
    """
    panel = _styled(timeseries.Panel(), title, description, unit, levels or ((0, PLAIN),), words, link)
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    legend = common.VizLegendOptions().display_mode(models.LegendDisplayMode.TABLE).show_legend(True)
    legend = legend.placement(models.LegendPlacement.RIGHT if many else models.LegendPlacement.BOTTOM)
    legend = legend.calcs(list(legend_values))
    tooltip = common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI).sort(models.SortOrder.DESCENDING)
    panel = panel.legend(legend).tooltip(tooltip).line_width(1).show_points(models.VisibilityMode.AUTO)
    panel = panel.fill_opacity(20 if stacked else 5)
    for name, colour in colours.items():
        panel = panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    if levels:
        style = common.GraphThresholdsStyleConfig().mode(models.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds_style(style)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(models.StackingMode.NORMAL).group("A"))
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if decimals is not None:
        panel = panel.decimals(decimals)
    if step is not None:
        panel = panel.interval(step)
    return _asked(panel, asks, lambda query: query.range())


def states(
    title: str,
    description: str,
    *asks: Ask,
    words: Sequence[ValueMapping],
    link: Link | None = None,
    nothing: str = "Nothing in this time",
) -> statetimeline.Panel:
    """Return one bar a series, coloured by state over time."""
    panel = _styled(statetimeline.Panel(), title, description, units.Short, ((0, PLAIN),), words, link)
    legend = common.VizLegendOptions().display_mode(models.LegendDisplayMode.LIST).show_legend(True)
    panel = panel.legend(legend.placement(models.LegendPlacement.BOTTOM).calcs([]))
    panel = panel.show_value(models.VisibilityMode.AUTO).merge_values(True).row_height(0.8).fill_opacity(80)
    panel = panel.no_value(nothing)
    return _asked(panel, asks, lambda query: query.range())


def bar_gauge(
    title: str,
    description: str,
    *asks: Ask,
    unit: str,
    levels: Levels = ((0, PLAIN),),
    nothing: str = "Nothing in this time",
    link: Link | None = None,
) -> bargauge.Panel:
    """Return one bar a series, at this moment: all are of counts, which an increase does not give as whole numbers."""
    panel = bargauge.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = _styled(panel, title, description, unit, levels, (), link)
    panel = panel.orientation(models.VizOrientation.HORIZONTAL).display_mode(models.BarGaugeDisplayMode.BASIC)
    panel = panel.show_unfilled(True).min(0).decimals(0).no_value(nothing)
    return _asked(panel, asks, lambda query: query.instant())


def heat(title: str, description: str, ask: Ask, *, unit: str, step: str) -> heatmap.Panel:
    """Return the buckets of a histogram over time."""
    panel = _styled(heatmap.Panel(), title, description, unit, ((0, PLAIN),), (), None)
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64).fill(PLAIN)
    panel = panel.calculate(False).color(colours.exponent(0.5)).cell_gap(1).show_legend()
    panel = panel.y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(models.AxisPlacement.LEFT))
    panel = panel.tooltip(heatmap.HeatmapTooltip().mode(models.TooltipDisplayMode.SINGLE).show_color_scale(True))
    panel = panel.interval(step)
    return _asked(panel, [ask], lambda query: query.range().format(PromQueryFormat.HEATMAP))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: a label, or ``Value`` (with several queries ``Value #A`` and so on)."""

    field: str
    header: str
    unit: str | None = None
    words: ValueMapping | None = None
    levels: Levels = ()
    link: Link | None = None
    width: int | None = None
    decimals: int | None = None
    coloured: bool = True  # where words or levels bring colours

    def properties(self) -> list[DynamicConfigValue]:
        """Return what the column sets beside the table's own look."""
        found = [DynamicConfigValue("noValue", "")]  # the table's own is for a table without rows
        if self.unit is not None:
            found.append(DynamicConfigValue("unit", self.unit))
        if self.decimals is not None:
            found.append(DynamicConfigValue("decimals", self.decimals))
        if self.words is not None:
            found.append(DynamicConfigValue("mappings", [self.words]))
            found.append(DynamicConfigValue("custom.align", "left"))  # numbers stand at the right
        if self.levels:  # an empty cell would have the colour of the lowest
            found.append(DynamicConfigValue("mappings", [no_number((_NO_SHARE, "transparent"))]))
            found.append(DynamicConfigValue("thresholds", _thresholds(self.levels).build()))
            found.append(DynamicConfigValue("color", {"mode": FieldColorModeId.THRESHOLDS}))
        if self.coloured and (self.words is not None or self.levels):
            found.append(DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
        if self.link is not None:
            found.append(DynamicConfigValue("links", [self.link.document()]))
        if self.width is not None:
            found.append(DynamicConfigValue("custom.width", self.width))
        return found


def table(
    title: str,
    description: str,
    *asks: Ask,
    columns: Sequence[Column],
    sort: str | None = None,
    descending: bool = True,
    nothing: str = "Nothing",
    drop: Sequence[str] = (),
) -> tables.Panel:
    """Return a table of this moment. Several queries are merged where their labels agree."""
    # Labels are texts, also an operator called 3 or a code.
    panel = _styled(tables.Panel(), title, description, units.String, ((0, "transparent"),), (), None)
    panel = panel.cell_height(models.TableCellHeight.SM).show_header(True).no_value(nothing)
    if len(asks) > 1:
        panel = panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    values = ["Value"] if len(asks) == 1 else [f"Value #{ref}" for ref, _ in zip(_REFS, asks, strict=False)]
    shown = [column.field for column in columns]
    organize = {
        "excludeByName": {name: True for name in ("Time", *values, *drop) if name not in shown},
        "indexByName": {name: index for index, name in enumerate(shown)},
        "renameByName": {column.field: column.header for column in columns},
        "includeByName": {},
    }
    panel = panel.with_transformation(DataTransformerConfig(id_val="organize", options=organize))
    for column in columns:
        panel = panel.with_override(MatcherConfig("byName", column.header), column.properties())
    if sort is not None:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])
    return _asked(panel, asks, lambda query: query.instant().format(PromQueryFormat.TABLE))


def _styled(
    panel: _P,
    title: str,
    description: str,
    unit: str,
    levels: Levels,
    words: Sequence[ValueMapping],
    link: Link | None,
) -> _P:
    panel = panel.title(title).description(description).datasource(DATASOURCE).unit(unit)
    panel = panel.thresholds(_thresholds(levels))
    panel = panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    if words:
        panel = panel.mappings(list(words))
    if link is not None:
        panel = panel.override_by_regexp(".*", [DynamicConfigValue("links", [link.document()])])
    return panel


def _thresholds(levels: Levels) -> dashboard.ThresholdsConfig:
    (_, base), *others = levels
    steps = [Threshold(value=None, color=base), *(Threshold(value=value, color=colour) for value, colour in others)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _asked(panel: _P, asks: Sequence[Ask], shaped: Callable[[prometheus.Dataquery], prometheus.Dataquery]) -> _P:
    for ref, ask in zip(_REFS, asks, strict=False):
        query = prometheus.Dataquery().ref_id(ref).expr(ask.expression).legend_format(ask.legend).datasource(DATASOURCE)
        panel = panel.with_target(shaped(query))
    return panel
