"""When checks ran, and how long they took."""

from grafana_foundation_sdk.builders import stat, timeseries
from grafana_foundation_sdk.models import units

from .panels import figure, graph
from .queries import Ask, Selectors
from .words import BAD, GOOD, NONE_WORDS, SILENT


def are_stale(selectors: Selectors) -> str:
    """Return the checks that have not run for three of their intervals, as an alert has it."""
    last, interval = selectors("twofa_check_last_run_timestamp_seconds"), selectors("twofa_check_interval_seconds")
    return f"time() - {last} > 3 * {interval}"


def stale(selectors: Selectors) -> stat.Panel:
    """Return how many checks have stopped running."""
    last = selectors("twofa_check_last_run_timestamp_seconds")
    return figure(
        "Stale checks",
        "Checks that have not run for three of their intervals: what they show is old. Anything but none: look at the"
        " exporter before you trust the other dashboards.",
        Ask(f"count({are_stale(selectors)}) or 0 * count({last})"),
        unit=units.NoUnit,
        levels=((0, GOOD), (1, BAD)),
        words=[NONE_WORDS],
        nothing=SILENT,
    )


def durations(selectors: Selectors, *matchers: str) -> timeseries.Panel:
    """Return how long checks take."""
    took = selectors("twofa_check_duration_seconds", *matchers)
    return graph(
        "How long checks take",
        "Duration of the latest run of each check. A canary waits for its message: it takes long.",
        Ask(f"max by (check, target) ({took})", "{{target}}: {{check}}"),
        unit=units.Seconds,
        legend_values=("mean", "max"),
        many=True,
    )
