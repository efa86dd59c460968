"""What a rule is: the words that every alert has to say, and its form in a rule file of Prometheus."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from checks.reason import Severity
from exporter.shipped import GRAFANA_URL, RUNBOOKS_URL


def by_target(counted: str) -> str:
    """Return what is counted for each target, over all its routes; of several exporters that watch it, the most.

    Their counts are of the same messages: to add them up would double them.
    """
    return f"max by (job, target) (sum by (job, instance, target) ({counted}))"


class Dashboard(StrEnum):
    """Where an alert sends who wants to see more: the uids of the dashboards."""

    OVERVIEW = "twofa-overview"
    PROVIDER = "twofa-provider"
    DELIVERY = "twofa-delivery"
    TOTP = "twofa-totp"
    EXPORTER = "twofa-exporter"


_VARIABLES: Final[Mapping[Dashboard, tuple[str, ...]]] = {
    Dashboard.OVERVIEW: (),
    Dashboard.PROVIDER: ("target",),
    Dashboard.DELIVERY: ("target", "country", "operator"),
    Dashboard.TOTP: (),  # a sign-in fails at a back office, for the clock that is another target
    Dashboard.EXPORTER: ("instance",),
}
"""The labels of an alert that a dashboard takes as variables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert rule. ``labels`` are what its expression keeps, beside those that are set here."""

    name: str
    severity: Severity
    expression: str
    for_: str | None = None  # how long it has to hold; None: at once
    keep_firing_for: str | None = None  # how much longer it fires; None: not at all
    summary: str  # one sentence, the same for all of the name and severity
    description: str
    dashboard: Dashboard
    labels: tuple[str, ...] = ()
    reason: str | None = None  # of a cause

    def document(self) -> dict[str, Any]:
        """Return the rule as a rule file has it."""
        labels = {"severity": self.severity.value}
        if self.reason is not None:
            labels["reason"] = self.reason
        shown = [name for name in _VARIABLES[self.dashboard] if name in self.labels]
        # An empty variable would show nothing. Parentheses, as a space would let the writer break the line.
        query = "".join(f"{{{{with($labels.{name})}}}}&var-{name}={{{{.|urlquery}}}}{{{{end}}}}" for name in shown[1:])
        first = "".join(f"?var-{name}={{{{$labels.{name}|urlquery}}}}" for name in shown[:1])
        path = f"{self.dashboard}/{self.dashboard}{first}{query}"
        return {
            "alert": self.name,
            "expr": self.expression,
            **({} if self.for_ is None else {"for": self.for_}),
            **({} if self.keep_firing_for is None else {"keep_firing_for": self.keep_firing_for}),
            "labels": labels,
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{RUNBOOKS_URL}/{self.reason or self.name}",
                "dashboard_url": f"{GRAFANA_URL}/d/{path}",
            },
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording rule, named level:metric:operations."""

    name: str
    expression: str

    def document(self) -> dict[str, Any]:
        """Return the rule as a rule file has it."""
        return {"record": self.name, "expr": self.expression}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rules that are evaluated one after another."""

    name: str
    comment: str  # for who reads the file
    interval: str | None = None  # None: that of Prometheus
    rules: tuple[Alert | Recording, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """Return the group as a rule file has it."""
        return {
            "name": self.name,
            **({} if self.interval is None else {"interval": self.interval}),
            "rules": [rule.document() for rule in self.rules],
        }
