"""What is known at one moment: immutable, shared by the scrape, the status page and the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from checks.messages import Source, Status
from checks.messages.detector import NodeReading, Verdict
from checks.reason import Outcome, Reason
from checks.result import CheckRun

# Upper bounds in seconds. The log's clock ticks in whole seconds, so finer ones would say nothing; they reach to the
# hour after which no code is still valid. Each bucket is a series of every route and source, so there are as many as
# keep a 99th percentile between 4 and 600 s within 5 % on log-normal times: steps of a quarter where codes usually
# arrive, wider ones where a percentile only comes to lie when the times are spread wide.
# 30 is the objective of the alert rules. The database numbers the buckets: a new bound needs a migration.
LATENCY_BOUNDS: tuple[float, ...] = (
    1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18, 22, 27, 30, 33, 40, 50, 60, 75, 90, 120, 150, 180, 240, 300, 420, 600,
    1800, 3600,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckState:
    """What is known of one check."""

    last: CheckRun
    reason_since: datetime  # aware, UTC: when the present reason was first given without a break
    last_success_at: datetime | None  # aware, UTC
    outcomes: Mapping[Outcome, int]


class Route(NamedTuple):
    """Where messages of one target go."""

    country: str
    operator: str


@dataclass(frozen=True, slots=True)
class Latency:
    """A histogram: ``counts`` by bucket of ``LATENCY_BOUNDS`` and one more for all above, not cumulative."""

    counts: tuple[int, ...] = (0,) * (len(LATENCY_BOUNDS) + 1)
    total_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Messages of one target, each counted once for every status that it reached."""

    messages: Mapping[tuple[Route, Status], int] = field(default_factory=dict)
    failures: Mapping[tuple[Route, Reason], int] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[tuple[Route, Source], Latency] = field(default_factory=dict)
    verifications: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by country and result
    read_until: float | None = None  # Unix time: all messages of the log until then are known
    # Not scraped yet. They are shown as 0 in their first scrape: of a counter that is born at 1, PromQL's
    # increase() never sees that first one.
    new_routes: frozenset[Route] = frozenset()
    new_codes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the detector of operator faults says of one target."""

    readings: Sequence[NodeReading] = ()
    verdicts: Sequence[Verdict] = ()  # the worst first


@dataclass(frozen=True, slots=True, kw_only=True)
class Canaries:
    """The test messages of one check."""

    runs: Mapping[Reason, int] = field(default_factory=dict)
    spend: Mapping[str, float] = field(default_factory=dict)  # by currency
    legs: Mapping[str, Latency] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that storage knows."""

    checks: Mapping[str, CheckState] = field(default_factory=lambda: MappingProxyType({}))
    tallies: Mapping[str, Tally] = field(default_factory=lambda: MappingProxyType({}))
    evidence: Mapping[str, Evidence] = field(default_factory=lambda: MappingProxyType({}))
    canaries: Mapping[str, Canaries] = field(default_factory=lambda: MappingProxyType({}))  # by check
    verifier: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))  # target and step
