"""The emulated status page: an Atlassian Statuspage whose components follow the faults.

One component that nobody needs is always degraded, so a reader of the page's overall indicator
alone is fooled here as it would be by the real page.
Source: https://status.twilio.com/api and https://support.atlassian.com/statuspage/docs/
show-service-status-with-components, read 2026-11-24. Names and ids are made up.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from .credentials import derive_hex
from .faults import Switches

PREFIX: Final = "/statuspage"
PAGE_NAME: Final = "Sandbox Twilio"
PAST_INCIDENT_SECONDS: Final = 5 * 86_400

STATUSES: Final = (  # the worst last
    "operational",
    "under_maintenance",
    "degraded_performance",
    "partial_outage",
    "major_outage",
)
INDICATORS: Final[Mapping[str, tuple[str, str]]] = {
    "operational": ("none", "All Systems Operational"),
    "under_maintenance": ("maintenance", "Service Under Maintenance"),
    "degraded_performance": ("minor", "Partially Degraded Service"),
    "partial_outage": ("major", "Partial System Outage"),
    "major_outage": ("critical", "Major Service Outage"),
}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Component:
    """A component, or a group that is as bad as its worst member."""

    name: str
    group: str | None = None
    is_group: bool = False
    normal: str = "operational"

    @property
    def id(self) -> str:
        """Statuspage's id."""
        return _build_id("component", self.name)


COMPONENTS: Final = (
    Component("Programmable Messaging", is_group=True),
    Component("SMS", "Programmable Messaging"),
    Component("MMS", "Programmable Messaging"),
    Component("Verify"),
    Component("REST API"),
    Component("Voice", is_group=True),
    Component("Programmable Voice", "Voice"),
    Component("Fax", normal="degraded_performance"),
)

AFFECTED: Final[Mapping[str, Mapping[str, str]]] = {  # fault: component: status
    "provider_outage": {
        "SMS": "major_outage",
        "Verify": "major_outage",
        "REST API": "major_outage",
    },
    "provider_degraded": {"SMS": "degraded_performance", "Verify": "partial_outage"},
    "maintenance": {"SMS": "under_maintenance"},
}
INCIDENTS: Final[Mapping[str, tuple[str, str]]] = {  # fault: name, impact
    "provider_outage": ("API requests and SMS delivery are failing", "critical"),
    "provider_degraded": ("SMS delivery delays", "minor"),
}


class StatusPage:
    """The documents of the page at a moment, under the origin where it was asked for."""

    def __init__(self, switches: Switches, *, now: float, origin: str) -> None:
        self._switches = switches
        self._now = now
        self._url = origin + PREFIX

    def page(self) -> Json:
        """Return the head that every document has."""
        return {
            "id": _build_id("page"),
            "name": PAGE_NAME,
            "url": self._url,
            "time_zone": "Etc/UTC",
            "updated_at": _iso(self._now),
        }

    def status(self) -> Json:
        """Return the overall indicator: that of the worst component."""
        worst = max((each["status"] for each in self.components()), key=STATUSES.index)
        indicator, description = INDICATORS[worst]
        return {"indicator": indicator, "description": description}

    def components(self) -> list[Json]:
        """Return all components, groups before their members."""
        return [
            {
                "id": each.id,
                "name": each.name,
                "status": self._status_of(each),
                "created_at": _iso(0),
                "updated_at": _iso(self._now),
                "position": position,
                "description": None,
                "showcase": False,
                "start_date": None,
                "group_id": _build_id("component", each.group) if each.group else None,
                "page_id": _build_id("page"),
                "group": each.is_group,
                "only_show_if_degraded": False,
            }
            for position, each in enumerate(COMPONENTS, start=1)
        ]

    def unresolved(self) -> list[Json]:
        """Return the incidents that are going on, the newest first."""
        return [
            self._render_event(fault, name, impact=impact, status="investigating")
            for fault, (name, impact) in INCIDENTS.items()
            if self._switches.is_on(fault)
        ]

    def incidents(self) -> list[Json]:
        """Return the incidents of the last days, the newest first."""
        return [*self.unresolved(), self._past_incident()]

    def maintenances(self) -> list[Json]:
        """Return the maintenance that is going on."""
        if not self._switches.is_on("maintenance"):
            return []
        event = self._render_event("maintenance", "SMS carrier maintenance", impact="maintenance", status="in_progress")
        until = _iso((self._switches.since("maintenance") or self._now) + 7200)
        return [{**event, "scheduled_for": event["started_at"], "scheduled_until": until}]

    def summary(self) -> Json:
        """Return everything that is going on."""
        return {
            "page": self.page(),
            "components": self.components(),
            "incidents": self.unresolved(),
            "scheduled_maintenances": self.maintenances(),
            "status": self.status(),
        }

    def _status_of(self, component: Component) -> str:
        return max(self._causes_of(component), key=STATUSES.index)

    def _causes_of(self, component: Component) -> Iterator[str]:
        yield component.normal
        for fault, affected in AFFECTED.items():
            if component.name in affected and self._switches.is_on(fault):
                yield affected[component.name]
        for each in COMPONENTS:
            if component.is_group and each.group == component.name:
                yield self._status_of(each)

    def _render_event(self, fault: str, name: str, *, impact: str, status: str) -> Json:
        started = _iso(self._switches.since(fault) or self._now)
        affected = [each for each in self.components() if each["name"] in AFFECTED[fault]]
        event_id = _build_id("event", fault)
        update = {
            "id": _build_id("update", fault),
            "status": status,
            "body": "Our engineers are looking into it.",
            "incident_id": event_id,
            "created_at": started,
            "updated_at": started,
            "display_at": started,
            "affected_components": [
                {
                    "code": each["id"],
                    "name": each["name"],
                    "old_status": "operational",
                    "new_status": each["status"],
                }
                for each in affected
            ],
        }
        return {
            "id": event_id,
            "name": name,
            "status": status,
            "impact": impact,
            "created_at": started,
            "updated_at": started,
            "started_at": started,
            "monitoring_at": None,
            "resolved_at": None,
            "shortlink": f"{self._url}/incidents/{event_id}",
            "page_id": _build_id("page"),
            "incident_updates": [update],
            "components": affected,
        }

    def _past_incident(self) -> Json:
        started = self._now - PAST_INCIDENT_SECONDS
        return {
            "id": _build_id("event", "past"),
            "name": "Delayed receipts from one carrier",
            "status": "resolved",
            "impact": "minor",
            "created_at": _iso(started),
            "updated_at": _iso(started + 5400),
            "started_at": _iso(started),
            "monitoring_at": _iso(started + 3600),
            "resolved_at": _iso(started + 5400),
            "shortlink": f"{self._url}/incidents/past",
            "page_id": _build_id("page"),
            "incident_updates": [],
            "components": [],
        }


DOCUMENTS: Final[Mapping[str, Callable[[StatusPage], Json]]] = {
    "summary": StatusPage.summary,
    "status": lambda site: {"page": site.page(), "status": site.status()},
    "components": lambda site: {"page": site.page(), "components": site.components()},
    "incidents": lambda site: {"page": site.page(), "incidents": site.incidents()},
    "incidents/unresolved": lambda site: {"page": site.page(), "incidents": site.unresolved()},
    **dict.fromkeys(
        ("scheduled-maintenances", "scheduled-maintenances/active"),
        lambda site: {"page": site.page(), "scheduled_maintenances": site.maintenances()},
    ),
    "scheduled-maintenances/upcoming": lambda site: {"page": site.page(), "scheduled_maintenances": []},
}


def build_statuspage(switches: Switches, clock: Callable[[], float]) -> Mount:
    """Return the page's documents under their prefix."""

    def serve(build: Callable[[StatusPage], Json]) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def answer(request: Request) -> JSONResponse:
            origin = f"{request.url.scheme}://{request.url.netloc}"
            return JSONResponse(build(StatusPage(switches, now=clock(), origin=origin)))

        return answer

    return Mount(PREFIX, routes=[Route(f"/api/v2/{name}.json", serve(build)) for name, build in DOCUMENTS.items()])


def _build_id(*parts: str | None) -> str:
    return derive_hex("twofa-exporter sandbox statuspage", *parts)[:12]


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
