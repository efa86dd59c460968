"""What the status page shows, as values: the template adds nothing but HTML."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from checks.reason import Reason

from .sparkline import Sparkline
from .words import Moment


class State(StrEnum):
    """How a check, a provider or everything stands, the worst first."""

    FAIL = "fail"
    ERROR = "error"
    STALE = "stale"  # passed, but too long ago to rely on
    WAITING = "waiting"  # not run yet
    PASS = "pass"  # noqa: S105  # an outcome

    @property
    def word(self) -> str:
        """The state for a reader, who may not see its colour."""
        return _WORDS[self]


_WORDS: Final = {
    State.FAIL: "Fail",
    State.ERROR: "No answer",
    State.STALE: "Stale",
    State.WAITING: "Waiting",
    State.PASS: "Pass",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """One line of the history."""

    state: State
    at: Moment
    title: str
    detail: str
    took: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartView:
    """A small chart and what it shows, in words."""

    sparkline: Sparkline
    caption: str
    latest: str
    description: str  # for who does not see it


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One check."""

    name: str
    kind: str
    state: State
    reason: Reason | None  # None: not run yet
    runbook: str | None  # its path; only where somebody has to do something
    title: str
    detail: str
    since: Moment | None
    last_run: Moment | None
    last_success: Moment | None  # only while it does not pass
    interval: str
    stale: bool
    chart: ChartView | None
    toggle: str  # the link that shows or hides the runs
    is_open: bool
    runs: tuple[RunView, ...]
    earlier_failures: tuple[RunView, ...]

    @property
    def acts(self) -> bool:
        """Whether somebody has to do something."""
        return self.state in (State.FAIL, State.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One provider and its checks, the worst first."""

    name: str
    vendor: str
    state: State
    summary: str
    checks: tuple[CheckView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteView:
    """Countries that the same providers can serve, and how many of these can."""

    countries: str
    state: State
    count: str
    providers: tuple[str, ...]  # in the configured order, each with what keeps it from these countries


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """The whole page."""

    state: State
    headline: str
    lead: str
    worst: CheckView | None  # where to look first
    notices: tuple[str, ...]
    targets: tuple[TargetView, ...]
    routes: tuple[RouteView, ...]
    now: Moment
    refresh_seconds: int | None  # None: it stands still
    refresh_toggle: str
