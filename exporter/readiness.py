"""Which providers can deliver a code now, and by how many of them each country can be reached.

The one place where that is judged: the metrics and the status page show the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from checks.delivery import DeliverySettings
from checks.enablement import EnablementSettings
from checks.messages.country import UNKNOWN_COUNTRY
from checks.messages.detector import Scope, Verdict
from checks.reason import Outcome, Reason
from checks.result import RefusedCountry

from .config import Config, ConfiguredCheck
from .routes import RouteSettings
from .snapshot import Evidence, Snapshot

OTHER: Final = "other"
"""Stands for every country that no route names, but for those of them that have a trouble of their own."""

_DELIVERED_ALL_THE_SAME: Final = frozenset({Reason.SMS_PUMPING})
"""What the detector pages for though clients get their codes, and in time."""


class Usability(StrEnum):
    """Whether a provider can deliver codes."""

    USABLE = "usable"
    UNUSABLE = "unusable"
    UNKNOWN = "unknown"  # no check that asks it has run


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a provider stands, at large or for one country."""

    state: Usability
    faults: tuple[Reason, ...] = ()  # why it is unusable, in the order of the reasons


@dataclass(frozen=True, slots=True)
class CountryReadiness:
    """How the providers stand that can send codes to one country."""

    country: str  # ISO 3166 alpha-2, or ``OTHER``
    route: RouteSettings
    providers: Mapping[str, Readiness]  # in the configured order
    unasked: frozenset[str] = frozenset()  # those of which nothing is known, and which no check asks

    def count(self, state: Usability) -> int:
        """Return how many of the providers are in a state. Who is never asked is not waited for, unless none is."""
        waited_for = self.providers.keys() - self.unasked or self.providers.keys()
        return sum(self.providers[name].state is state for name in waited_for)


def judge_providers(config: Config, snapshot: Snapshot) -> Mapping[str, Readiness]:
    """Return how each provider stands at large.

    It is usable when it has answered a check itself and no check gives a reason that stops codes; one that was asked
    and never answers is unusable. What the delivery check only repeats of a fault in one country or at one operator
    is none of the whole provider.
    """
    return {name: _judge_provider(name, config, snapshot) for name in config.providers}


def count_usable(config: Config, snapshot: Snapshot) -> int | None:
    """Return how many providers can deliver a code now; None while that is not known.

    To say that it is none takes an answer about every provider that a check asks.
    """
    judged = judge_providers(config, snapshot)
    usable = sum(each.state is Usability.USABLE for each in judged.values())
    unknown = {name for name, each in judged.items() if each.state is Usability.UNKNOWN}
    if not usable and (unknown & config.asked_providers or unknown == judged.keys()):
        return None
    return usable


def judge_routes(config: Config, snapshot: Snapshot) -> Sequence[CountryReadiness]:
    """Return how the providers stand for each country that has a route, and for ``OTHER``, in the configured order.

    A provider is unusable for a country when it is so at large, when its account may not send there, or when the
    detector pages for a fault of the whole provider or of the whole country there. One operator is not a country: most
    clients there get their codes, and the page of that fault says where they do not. A test message is one message.
    """
    judged = judge_providers(config, snapshot)
    troubles = {name: _troubles(name, config, snapshot) for name in config.providers}
    named = {country for route in config.routes for country in route.countries}
    found = []
    for route in config.routes:
        countries: Iterable[str] = route.countries
        if route.is_of_the_rest:
            struck = {country for name in route.providers for country in troubles[name] if country is not None}
            countries = (OTHER, *sorted(struck - named - {UNKNOWN_COUNTRY}))
        found += [_judge_country(country, route, judged, troubles, config.asked_providers) for country in countries]
    return found


def _judge_country(
    country: str,
    route: RouteSettings,
    judged: Mapping[str, Readiness],
    troubles: Mapping[str, Mapping[str | None, set[Reason]]],
    asked: frozenset[str],
) -> CountryReadiness:
    providers = {}
    for name in route.providers:
        faults = {*judged[name].faults, *troubles[name].get(None, ()), *troubles[name].get(country, ())}
        providers[name] = _unusable(faults) if faults else judged[name]
    unknown = {name for name, each in providers.items() if each.state is Usability.UNKNOWN}
    return CountryReadiness(country, route, providers, frozenset(unknown - asked))


def _judge_provider(target: str, config: Config, snapshot: Snapshot) -> Readiness:
    given = [
        (check, state.last.result.reason)
        for check in config.checks.values()
        if _concerns(check, target) and (state := snapshot.checks.get(check.name)) is not None
    ]
    elsewhere = _placed(snapshot.evidence.get(target, Evidence()).verdicts)
    stopping = {
        reason
        for check, reason in given
        if check.kind.stops_codes(reason) and not (isinstance(check.settings, DeliverySettings) and reason in elsewhere)
    }
    if stopping:
        return _unusable(stopping)
    answers = [reason for check, reason in given if check.kind.asks_provider]
    if not answers:
        return Readiness(Usability.UNKNOWN)
    if all(reason.outcome is Outcome.ERROR for reason in answers):
        return _unusable(answers)
    return Readiness(Usability.USABLE)


def _unusable(faults: Iterable[Reason]) -> Readiness:
    found = set(faults)
    return Readiness(Usability.UNUSABLE, tuple(reason for reason in Reason if reason in found))


def _concerns(check: ConfiguredCheck, provider: str) -> bool:
    """Return whether a check tells of a provider: it looks at it, or at the back office that hands codes to it."""
    if isinstance(check.settings, EnablementSettings):
        return check.settings.compare_with in (None, provider)
    return check.target == provider


def _placed(verdicts: Sequence[Verdict]) -> set[Reason]:
    """Return the reasons that the detector names in countries or at operators, and not for all of the provider."""
    everywhere = {verdict.reason for verdict in verdicts if verdict.scope is Scope.PROVIDER}
    return {verdict.reason for verdict in verdicts} - everywhere


def _troubles(target: str, config: Config, snapshot: Snapshot) -> Mapping[str | None, set[Reason]]:
    """Return what keeps codes of a provider from a country, by country; those of all countries at None."""
    found: dict[str | None, set[Reason]] = {}
    for verdict in snapshot.evidence.get(target, Evidence()).verdicts:
        if verdict.pages and verdict.reason not in _DELIVERED_ALL_THE_SAME and verdict.scope is not Scope.OPERATOR:
            found.setdefault(verdict.country or None, set()).add(verdict.reason)
    for country in _refused(target, config, snapshot):
        found.setdefault(country, set()).add(Reason.COUNTRY_NOT_PERMITTED)
    return found


def _refused(target: str, config: Config, snapshot: Snapshot) -> Iterator[str]:
    for check in config.checks.values():
        state = snapshot.checks.get(check.name)
        if check.target == target and state is not None:
            yield from (part.country for part in state.last.result.measured if isinstance(part, RefusedCountry))
