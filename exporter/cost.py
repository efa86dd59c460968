"""What the checks ask of each account: API calls a day, beside those of an exporter that asks at every scrape."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .config import Config

SCRAPE_SECONDS: Final = 15.0  # between two scrapes, as Prometheus's own example has it
_DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one target, in calls a day."""

    target: str
    ours: float
    at_each_scrape: float  # the same checks, run whenever one Prometheus scrapes

    @property
    def share(self) -> float:
        """Ours of the other; 0 where nothing is asked."""
        return self.ours / self.at_each_scrape if self.at_each_scrape else 0.0


def cost_of(config: Config) -> list[Cost]:
    """Return what each target is asked, in the order of the configuration.

    A question about a client is not in it. How often it is scraped, and by how many, adds nothing: a scrape reads
    memory.
    """
    ours: defaultdict[str, float] = defaultdict(float)
    at_each_scrape: defaultdict[str, float] = defaultdict(float)
    for check in config.checks.values():
        calls = check.kind.requests(check.settings) * _DAY_SECONDS
        ours[check.target] += calls / check.settings.interval
        at_each_scrape[check.target] += calls / SCRAPE_SECONDS
    return [Cost(target, ours[target], at_each_scrape[target]) for target in config.targets]


def described(config: Config) -> Iterator[str]:
    """Yield one line for each target."""
    for cost in cost_of(config):
        yield (
            f"{cost.target}: about {cost.ours:,.0f} API calls a day, {cost.share:.0%} of the {cost.at_each_scrape:,.0f}"
            f" that asking at every scrape ({SCRAPE_SECONDS:.0f}s) would take"
        )
