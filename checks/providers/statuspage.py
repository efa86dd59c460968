"""Reads an Atlassian Statuspage, which is what most vendors have for a status page.

API v2, documented on every such page under ``/api``, for one https://status.twilio.com/api (read 2026-11).
"""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from ..clients import Incident, IncidentImpact, ServiceStatus
from ..errors import BadResponseError, UnreachableError
from ..result import ServiceComponent, ServiceState
from .http import Http, Reply

_MAX_COMPONENTS: Final = 1000  # pages of large vendors list some hundreds; a check watches a few of them
_MAX_NAME_LENGTH: Final = 80

_SEVERITY: Final = tuple(ServiceState)  # the least first

_OVER: Final = ("resolved", "postmortem", "completed")

# "maintenance" is what the page gives an incident that is announced work.
_IMPACTS: Final[Mapping[str, IncidentImpact]] = {impact: impact for impact in IncidentImpact} | {
    "maintenance": IncidentImpact.NONE
}


class StatuspageClient:
    """Reads one page. Says only what the page says: a page that cannot be read is no outage."""

    def __init__(self, url: str, http: Http) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/summary.json"
        self._http = http

    def fetch_service_status(self) -> ServiceStatus:
        """Return components and unresolved incidents. Groups of components are left out.

        Raises UnreachableError, DeadlineExceededError or TLSFailedError when the page cannot be read, and
        BadResponseError when it can, but not be understood.
        """
        summary = _object(self._fetch_summary())
        components: dict[str, ServiceState] = {}
        for item in _objects(summary, "components")[:_MAX_COMPONENTS]:
            if item.get("group") is True:
                continue
            name, state = _name(item), _state(item)
            components[name] = max(components.get(name, state), state, key=_SEVERITY.index)
        return ServiceStatus(
            components=tuple(ServiceComponent(component=name, state=state) for name, state in components.items()),
            incidents=tuple(
                _incident(item) for item in _objects(summary, "incidents") if item.get("status") not in _OVER
            ),
        )

    def _fetch_summary(self) -> Any:
        try:
            reply = self._http.request("GET", self._url, headers={"Accept": "application/json"})
            return _page_of(reply)
        except BadResponseError as error:  # a redirect, a proxy's page: we did not reach the status page
            raise UnreachableError(f"the status page: {error}") from None


def _page_of(reply: Reply) -> Any:
    if reply.status != 200:
        raise UnreachableError(f"the status page answers HTTP {reply.status}")
    return reply.json()


def _incident(item: Mapping[str, Any]) -> Incident:
    impact = item.get("impact")
    if not isinstance(impact, str) or impact not in _IMPACTS:
        raise BadResponseError("the status page has an incident of unknown impact")
    return Incident(
        name=_name(item),
        impact=_IMPACTS[impact],
        components=tuple(dict.fromkeys(_name(part) for part in _objects(item, "components"))),
    )


def _state(item: Mapping[str, Any]) -> ServiceState:
    try:
        return ServiceState(str(item.get("status")))
    except ValueError:
        raise BadResponseError("the status page has a component in an unknown state") from None


def _name(item: Mapping[str, Any]) -> str:
    """Return a name without what would garble a terminal, a log or a label, and not too long."""
    name = item.get("name")
    if not isinstance(name, str):
        raise BadResponseError("the status page has something without a name")
    clean = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return " ".join(clean.split())[:_MAX_NAME_LENGTH] or "unnamed"


def _objects(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = parent.get(key)
    if not isinstance(items, list):
        raise BadResponseError("the status page is not a Statuspage summary")
    return [_object(item) for item in items]


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadResponseError("the status page is not a Statuspage summary")
    return value
