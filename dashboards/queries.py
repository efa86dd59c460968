"""Queries of panels: every selector follows the variables of its dashboard."""

from dataclasses import dataclass
from typing import Final

from alerts.exporter_itself import watchdog
from exporter.families import FAMILIES

HISTOGRAM_PARTS: Final = ("_bucket", "_sum", "_count")

_OWN: Final = ("twofa_exporter_", "twofa_canary_", "twofa_check_", "process_")
"""What each exporter counts of itself. Of all else two that watch one provider count the same."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One query of a panel, and how its series are called."""

    expression: str
    legend: str = "__auto"


_WATCHDOG: Final = watchdog().name
RULES_ARE_LOADED: Final = f'ALERTS{{alertname="{_WATCHDOG}", alertstate="firing"}}'
"""The alert that always fires: without it nothing is known of the others. It has no job."""


@dataclass(frozen=True, slots=True)
class Selectors:
    """Writes selectors that follow the variables which a dashboard has, as far as a metric has such a label."""

    variables: tuple[str, ...] = ("target",)

    def __call__(self, metric: str, *matchers: str) -> str:
        """Return the selector of a metric of the exporter, of its process or of its scrape."""
        return self._written(metric, ("job", "instance"), _labels_of(metric), matchers)

    def recorded(self, metric: str, *matchers: str) -> str:
        """Return the selector of what rules record by job and target: it has lost its instance."""
        return self._written(metric, ("job",), ("target",), matchers)

    def firing(self, *matchers: str) -> str:
        """Return the selector of our alerts that fire: some have no instance or target, and all must be seen."""
        names = ('alertname=~"TwoFA.+"', f'alertname!="{_WATCHDOG}"', 'alertstate="firing"')
        return self._written("ALERTS", ("job",), (), (*names, *matchers))

    def _written(self, metric: str, always: tuple[str, ...], labels: tuple[str, ...], matchers: tuple[str, ...]) -> str:
        names = (*always, *(name for name in self.variables if name in labels))
        followed = (f'{name}=~"${name}"' for name in names)
        return f"{metric}{{{', '.join((*followed, *matchers))}}}"


def _labels_of(metric: str) -> tuple[str, ...]:
    for suffix in ("", *HISTOGRAM_PARTS):
        if family := FAMILIES.get(metric.removesuffix(suffix)):
            return family.labels
    return ()


def increase(selector: str, window: str, by: str = "", modifier: str = "") -> str:
    """Return how much counters rose in a window, summed by these labels; what two exporters count counts once.

    ``modifier`` is PromQL's, such as ``offset 1d``.
    """
    return f"sum{_by(by)} ({_once(selector, _modified(f'increase({selector}[{window}]', modifier))})"


def rate(selector: str, by: str = "", modifier: str = "") -> str:
    """Return how much counters rise a second at each point of a graph, as ``increase`` does."""
    return f"sum{_by(by)} ({_once(selector, _modified(f'rate({selector}[$__rate_interval]', modifier))})"


def _modified(started: str, modifier: str) -> str:
    return f"{started}{f' {modifier}' if modifier else ''})"


def _once(selector: str, counted: str) -> str:
    return counted if selector.startswith(_OWN) else f"max without (instance) ({counted})"


def quantile(share: float, selector: str, window: str | None = None, by: str = "") -> str:
    """Return the time within which that share of a histogram's observations lie, in seconds.

    Of a window, or at each point of a graph.
    """
    labels = f"le, {by}" if by else "le"
    counted = rate(selector, labels) if window is None else increase(selector, window, labels)
    return f"histogram_quantile({share:g}, {counted})"


def busiest(count: int, selector: str, by: str) -> str:
    """Return the labels of the most counted in the whole range, to join with: the same at every point of a graph."""
    return f"topk({count}, {increase(selector, '$__range', by, '@ end()')})"


def moving(selector: str, by: str) -> str:
    """Return how fast counters rise a minute, without those that stood still in the whole range.

    To drop what is 0 at a point instead would draw a slope from one side of a gap to the other.
    """
    return f"{rate(selector, by)} * 60 and {increase(selector, '$__range', by, '@ end()')} > 0"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
