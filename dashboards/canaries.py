"""Test messages: what came of them, how long they took, what they cost."""

from grafana_foundation_sdk.builders import bargauge, stat, timeseries
from grafana_foundation_sdk.models import units

from exporter.canaries import LEGS

from .board import Line, Section
from .causes import answer
from .panels import RUNBOOK_OF_SERIES, bar_gauge, figure, graph
from .queries import Ask, Selectors, increase, quantile
from .words import PLAIN, Word

_NONE: Word = ("No canary is configured", PLAIN)


def section(selectors: Selectors) -> Section:
    """Return the row of the test messages."""
    latest = answer(
        selectors,
        "Latest test message",
        "What came of the latest message that the exporter itself sent. One message proves little, so it only warns.",
        "canary",
    )
    return Section(
        "Test messages (canaries)",
        [
            Line(4, [(8, latest), (8, _sent(selectors)), (8, _spent(selectors))]),
            Line(8, [(12, _reasons(selectors)), (12, _legs(selectors))]),
        ],
    )


def _sent(selectors: Selectors) -> stat.Panel:
    return figure(
        "Test messages sent",
        "Test messages in this time, by check.",
        Ask(increase(selectors("twofa_canary_runs_total"), "$__range", "check"), "{{check}}"),
        unit=units.NoUnit,
        decimals=0,
        nothing=_NONE,
        named=True,
    )


def _spent(selectors: Selectors) -> stat.Panel:
    spend = selectors("twofa_canary_spend_total")
    return figure(
        "Spent on test messages",
        "Money spent on test messages in this time.",
        Ask(increase(spend, "$__range", "check, currency"), "{{check}}, {{currency}}"),
        unit=units.NoUnit,
        decimals=2,
        nothing=_NONE,
        named=True,
    )


def _reasons(selectors: Selectors) -> bargauge.Panel:
    runs = selectors("twofa_canary_runs_total")
    return bar_gauge(
        "What came of test messages",
        "Test messages in this time, by what came of them. ok: they arrived in time.",
        Ask(f"{increase(runs, '$__range', 'check, reason')} > 0", "{{check}}: {{reason}}"),
        unit=units.NoUnit,
        link=RUNBOOK_OF_SERIES,
    )


def _legs(selectors: Selectors) -> timeseries.Panel:
    bucket = "twofa_canary_delivery_seconds_bucket"
    return graph(
        "How far test messages are after which time",
        "Half of the test messages of 3 hours were that far within this time: accepted by the API, sent, delivered as"
        " the operator says, and received by our own handset.",
        *(
            Ask(quantile(0.5, selectors(bucket, f'leg="{leg}"'), "3h", "check"), f"{{{{check}}}}: {leg}")
            for leg in LEGS
        ),
        unit=units.Seconds,
        legend_values=("mean", "max"),
    )
