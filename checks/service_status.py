"""What does the provider itself say of its service?

A status page confirms, it does not detect: a public report on one incident shows the page 78 minutes
behind the first failure (status.motioncx.com/incidents/c670xj57drdr, 2025-03-31).
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pydantic import Field

from .clients import Incident, IncidentImpact, ServiceStatusClient
from .reason import Reason
from .result import CheckResult, ServiceComponent, ServiceState
from .settings import CheckSettings, RegexPattern

_MAX_COMPONENTS: Final = 50  # that are measured, the worst first: each is five series

_MAX_NAMED: Final = 5  # in the detail

_REASON_OF_STATE: Final[Mapping[ServiceState, Reason]] = MappingProxyType(
    {
        ServiceState.OPERATIONAL: Reason.OK,
        ServiceState.UNDER_MAINTENANCE: Reason.OK,  # announced work is not an outage
        ServiceState.DEGRADED_PERFORMANCE: Reason.PROVIDER_DEGRADED,
        ServiceState.PARTIAL_OUTAGE: Reason.PROVIDER_DEGRADED,
        ServiceState.MAJOR_OUTAGE: Reason.PROVIDER_OUTAGE,
    }
)

_REASON_OF_IMPACT: Final[Mapping[IncidentImpact, Reason]] = MappingProxyType(
    {
        IncidentImpact.NONE: Reason.OK,
        IncidentImpact.MINOR: Reason.PROVIDER_DEGRADED,
        IncidentImpact.MAJOR: Reason.PROVIDER_DEGRADED,
        IncidentImpact.CRITICAL: Reason.PROVIDER_OUTAGE,
    }
)

_WORST_FIRST: Final = (Reason.PROVIDER_OUTAGE, Reason.PROVIDER_DEGRADED)


class ServiceStatusSettings(CheckSettings):
    """Which parts of the provider's service codes depend on."""

    components: RegexPattern = Field(
        r"(?i)\b(sms|messag\w*|verify|rest api)\b",
        description="regular expression: the components whose name it is found in are watched",
    )


def check_service_status(client: ServiceStatusClient, settings: ServiceStatusSettings) -> CheckResult:
    """Pass when no watched component is degraded and no incident touches one.

    An incident that names no component touches all. A page without a watched component, or with one in a
    state that nobody knows, is not understood.

    Raises ProviderError when the page cannot be read; that says nothing about the provider's service.
    """
    status = client.fetch_service_status()
    pattern = re.compile(settings.components)
    watched = [part for part in status.components if pattern.search(part.component)]
    unclear = [name for name in status.not_understood if pattern.search(name)]
    if unclear:
        return CheckResult(
            reason=Reason.BAD_RESPONSE, detail=f"the page gives {', '.join(unclear[:_MAX_NAMED])} an unknown state"
        )
    if not watched:
        return CheckResult(
            reason=Reason.BAD_RESPONSE,
            detail=f"none of the page's {len(status.components)} components matches the pattern",
        )
    names = {part.component for part in watched}
    incidents = [incident for incident in status.incidents if _touches(incident, names)]
    reasons = [_REASON_OF_STATE[part.state] for part in watched]
    reasons += [_REASON_OF_IMPACT[incident.impact] for incident in incidents]
    return CheckResult(
        reason=next((reason for reason in _WORST_FIRST if reason in reasons), Reason.OK),
        detail=_describe(watched, incidents),
        measured=tuple(sorted(watched, key=_badness, reverse=True)[:_MAX_COMPONENTS]),
    )


def _badness(part: ServiceComponent) -> int:
    return list(ServiceState).index(part.state)


def _touches(incident: Incident, watched: set[str]) -> bool:
    return not incident.components or not watched.isdisjoint(incident.components)


def _describe(watched: Sequence[ServiceComponent], incidents: Sequence[Incident]) -> str:
    parts = [
        f"{part.component} is {part.state.replace('_', ' ')}"
        for part in watched
        if part.state is not ServiceState.OPERATIONAL
    ]
    if len(parts) > _MAX_NAMED:
        parts = [*parts[:_MAX_NAMED], f"{len(parts) - _MAX_NAMED} more"]
    if incidents:
        worst = max((incident.impact for incident in incidents), key=list(IncidentImpact).index)
        parts.append(f"{len(incidents)} unresolved, worst impact {worst}")
    if parts:
        return "; ".join(parts)
    return f"{len(watched)} component{'' if len(watched) == 1 else 's'} operational"
