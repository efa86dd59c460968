"""What the detector of delivery faults says, and the numbers behind it."""

from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import units

from .board import Line, Section
from .causes import REASON_COLUMN
from .panels import Column, graph, table
from .queries import Ask, Selectors, increase
from .words import GOOD, VERDICT_SEVERITY_WORDS, WARN

_NODE = "target, scope, country, operator"
_PLACE = "{{scope}} {{country}} {{operator}}"
_MOST = 10


def section(selectors: Selectors) -> Section:
    """Return the row of the detector."""
    return Section(
        "What the detector knows",
        [
            Line(9, [(12, _verdicts(selectors)), (12, _evidence(selectors))]),
            Line(9, [(12, _moves(selectors)), (12, _ordinary(selectors))]),
        ],
    )


def _verdicts(selectors: Selectors) -> tables.Panel:
    return table(
        "Faults that the detector names",
        "Faults that chance does not explain, at the place where they are. Page: clients get no codes. Ticket: receipts"
        " alone are missing.",
        Ask(f"max by (reason, severity, {_NODE}) ({selectors('twofa_verdict')})"),
        columns=[
            Column("severity", "Urgency", words=VERDICT_SEVERITY_WORDS, width=80),
            REASON_COLUMN,
            Column("scope", "Scope", width=80),
            Column("country", "Country", width=75),
            Column("operator", "Operator", width=110),
            Column("target", "Target", width=110),
        ],
        nothing="The detector names no fault",
    )


def _evidence(selectors: Selectors) -> timeseries.Panel:
    score, threshold = selectors("twofa_evidence_score"), selectors("twofa_evidence_threshold")
    return graph(
        "Evidence, as a share of what names a fault",
        f"The {_MOST} highest scores of this time, each divided by its place's own threshold. Above 1, the dashed"
        " line, chance does not explain it any more and the detector names the fault.",
        Ask(
            f"max by ({_NODE}, hypothesis) ({score}) / on ({_NODE}) group_left () max by ({_NODE}) ({threshold})"
            f" and {_strongest(selectors)}",
            f"{{{{hypothesis}}}}: {_PLACE}",
        ),
        unit=units.Short,
        levels=((0, GOOD), (1, WARN)),
        legend_values=("max", "lastNotNull"),
        many=True,
    )


def _moves(selectors: Selectors) -> timeseries.Panel:
    gain, loss = selectors("twofa_evidence_gain_total"), selectors("twofa_evidence_loss_total")
    by = f"{_NODE}, hypothesis"
    return graph(
        "Points for and against, in an hour",
        f"What the messages of the last hour said: points for a fault less points against it, for the same {_MOST}."
        " Falling below 0 while the score is high: the fault is about to end.",
        Ask(
            f"{increase(gain, '1h', by)} - {increase(loss, '1h', by)} and {_strongest(selectors)}",
            f"{{{{hypothesis}}}}: {_PLACE}",
        ),
        unit=units.Short,
        minimum=None,
        legend_values=("max", "lastNotNull"),
        many=True,
    )


def _ordinary(selectors: Selectors) -> tables.Panel:
    return table(
        "What is ordinary",
        "The share of each outcome among first messages, learnt from the last 14 days: what the detector compares with."
        " Outcomes below 0.1 % are left out.",
        Ask(f"max by ({_NODE}, outcome) ({selectors('twofa_baseline_ratio')}) > 0.001"),
        columns=[
            Column("scope", "Scope", width=90),
            Column("country", "Country", width=80),
            Column("operator", "Operator"),
            Column("outcome", "Outcome", width=130),
            Column("Value", "Share", unit=units.PercentUnit, width=100, decimals=1),
            Column("target", "Target", width=100),
        ],
        sort="Share",
        nothing="Nothing is learnt yet",
    )


def _strongest(selectors: Selectors) -> str:
    """Return the labels of the highest scores of the whole range, to join with: the same at every point of a graph."""
    score = selectors("twofa_evidence_score")
    return f"topk({_MOST}, max by ({_NODE}, hypothesis) (max_over_time({score}[$__range] @ end())))"
