"""Reads an Atlassian Statuspage, which is what most vendors have for a status page.

API v2, documented on every such page under ``/api``, for one https://status.twilio.com/api (read 2026-11).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from ..clients import Incident, IncidentImpact, ServiceStatus
from ..errors import BadResponseError, UnreachableError
from ..names import clean_name
from ..reason import Reason
from ..result import ServiceComponent, ServiceState
from .http import Http, Reply, origin_of
from .observer import NoObserver, Observer

T = TypeVar("T")

_MAX_COMPONENTS: Final = 1000  # pages of large vendors list some hundreds; a check watches a few of them
_SEVERITY: Final = tuple(ServiceState)  # the least first

_OVER: Final = ("resolved", "postmortem", "completed")

# "maintenance" is what the page gives an incident that is announced work.
_IMPACTS: Final[Mapping[str, IncidentImpact]] = {impact: impact for impact in IncidentImpact} | {
    "maintenance": IncidentImpact.NONE
}

_STATES: Final[Mapping[str, ServiceState]] = {state: state for state in ServiceState}

_OF_THE_WAY: Final = (Reason.OK, Reason.TIMEOUT, Reason.TLS_FAILED)


class StatuspageClient:
    """Reads one page. Says only what the page says: a page that cannot be read is no outage."""

    def __init__(self, url: str, *, timeout_seconds: float, observer: Observer | None = None) -> None:
        self._url = f"{url.rstrip('/')}/api/v2/summary.json"
        self._http = Http(
            {urlsplit(url).netloc: origin_of(url)},
            timeout_seconds=timeout_seconds,
            observer=_PageObserver(observer or NoObserver()),
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def fetch_service_status(self) -> ServiceStatus:
        """Return components and unresolved incidents. Groups of components are left out.

        A state or an impact that is not documented makes nothing but the components that it is about not
        understood: all, where an incident names none.

        Raises UnreachableError, DeadlineExceededError or TLSFailedError when the page cannot be read, and
        BadResponseError when it can, but not be understood.
        """
        summary = _object(self._fetch_summary())
        components: dict[str, ServiceState] = {}
        incidents: list[Incident] = []
        not_understood: list[str] = []
        for item in _objects(summary, "components")[:_MAX_COMPONENTS]:
            if item.get("group") is True:
                continue
            name, state = _name(item), _known(_STATES, item.get("status"))
            if state is None:
                not_understood.append(name)
            else:
                components[name] = max(components.get(name, state), state, key=_SEVERITY.index)
        for item in _objects(summary, "incidents"):
            if item.get("status") in _OVER:
                continue
            name, impact = _name(item), _known(_IMPACTS, item.get("impact"))
            touched = _once(_name(part) for part in _objects(item, "components"))
            if impact is None:
                not_understood += touched or components
            else:
                incidents.append(Incident(name=name, impact=impact, components=touched))
        return ServiceStatus(
            components=tuple(ServiceComponent(component=name, state=state) for name, state in components.items()),
            incidents=tuple(incidents),
            not_understood=_once(not_understood),
        )

    def _fetch_summary(self) -> Any:
        try:
            reply = self._http.request("GET", self._url, headers={"Accept": "application/json"})
            return _page_of(reply)
        except BadResponseError as error:  # a redirect, a proxy's page: we did not reach the status page
            raise UnreachableError(f"the status page: {error}") from None


class _PageObserver:
    """Tells what became of requests to a page as what it means for the provider: a refusal is a page out of reach."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def request_done(self, outcome: str) -> None:
        self._observer.request_done(outcome if outcome in _OF_THE_WAY else Reason.UNREACHABLE)

    def code_unmapped(self, code: str) -> None:
        self._observer.code_unmapped(code)

    def message_unreadable(self) -> None:
        self._observer.message_unreadable()


def _page_of(reply: Reply) -> Any:
    if reply.status != 200:
        raise UnreachableError(f"the status page answers HTTP {reply.status}")
    return reply.json()


def _known(words: Mapping[str, T], word: Any) -> T | None:
    return words.get(word) if isinstance(word, str) else None


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _name(item: Mapping[str, Any]) -> str:
    name = item.get("name")
    if not isinstance(name, str):
        raise BadResponseError("the status page has something without a name")
    return clean_name(name)


def _objects(parent: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    items = parent.get(key)
    if not isinstance(items, list):
        raise BadResponseError("the status page is not a Statuspage summary")
    return [_object(item) for item in items]


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadResponseError("the status page is not a Statuspage summary")
    return value
