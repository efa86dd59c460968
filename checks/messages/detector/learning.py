"""What a detector remembers, and what it learns from every hour.

Hours are learned half a day late, so that a fault does not become normal while it grows. While a score is above half
of its threshold nothing is learned; of a fault's time nothing is learned at all, unless it lasts for as long as the
history reaches: then it is what is normal now.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from .baseline import DAY_HOURS, GENERIC, HOUR, Shares, Spread, cautious, sessions_in, shares_of
from .node import Node
from .sessions import SessionsState
from .settings import DetectorSettings
from .signatures import HYPOTHESES, TYPED, UNTYPED, Outcome
from .verdict import Scope

LEAST_LEARNT: Final = 300  # sessions, before a share of them says anything
_LEAST_OWN: Final = 100  # sessions of an operator, before what it shows is kept from being learned
_LATE_HOURS: Final = 12
_RENEW_HOURS: Final = 6  # between two changes of what is normal at an operator

_LATE: Final = slice(Outcome.LATE, Outcome.LOST + 1)
_FAILING: Final = slice(Outcome.LOST + 1, Outcome.PENDING)


class Gains(msgspec.Struct):
    """All points that ever spoke for and against each hypothesis at one operator."""

    gained: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(HYPOTHESES))
    lost: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(HYPOTHESES))

    def add(self, points: Sequence[float], times: int) -> None:
        """Add the points of so many equal looks."""
        for hypothesis, worth in enumerate(points):
            if worth > 0:
                self.gained[hypothesis] += worth * times
            else:
                self.lost[hypothesis] -= worth * times

    @classmethod
    def sum_of(cls, parts: Iterable["Gains"]) -> "Gains":
        """Return the points of several operators together."""
        whole = cls()
        for part in parts:
            whole.gained = [a + b for a, b in zip(whole.gained, part.gained, strict=True)]
            whole.lost = [a + b for a, b in zip(whole.lost, part.lost, strict=True)]
        return whole


class Operator(msgspec.Struct):
    """An operator in one country, and what is learned of it."""

    node: Node
    renewed_in: int = 0  # the hour of the latest change of what is normal
    is_outdated: bool = True
    counts: list[int] = msgspec.field(default_factory=lambda: [0] * len(Outcome))  # of this hour, by outcome
    fresh: list[tuple[int, list[int]]] = []  # hours that are not learned yet, and their counts
    fault_since: float = 0.0  # Unix time; 0: no fault
    looks: dict[int, int] = {}  # since the latest change, by the outcomes before and after
    gains: Gains = msgspec.field(default_factory=Gains)


class State(msgspec.Struct):
    """All that a detector remembers."""

    sessions: SessionsState = msgspec.field(default_factory=SessionsState)
    provider: Node = msgspec.field(default_factory=lambda: Node(Scope.PROVIDER))
    countries: dict[str, Node] = {}
    operators: list[Operator] = []
    late: Spread = msgspec.field(default_factory=Spread)
    failing: Spread = msgspec.field(default_factory=Spread)
    untyped: Spread = msgspec.field(default_factory=Spread)
    hour: int = 0  # since 1970
    first_hour: int = 0

    def in_order(self) -> list[tuple[int, Operator]]:
        """Return the operators with their numbers, in an order that does not depend on who came first."""
        return sorted(enumerate(self.operators), key=lambda each: (each[1].node.country, each[1].node.operator))

    def nodes_of(self, operator: Operator) -> tuple[Node, Node, Node]:
        """Return the operator's node, its country's and the provider's."""
        return operator.node, self.countries[operator.node.country], self.provider


def end_hour(state: State, hour: int, settings: DetectorSettings) -> Sequence[int]:
    """Learn from what is over when ``hour`` begins; return the operators, by number, whose normal changed."""
    ended, state.hour = state.hour, hour
    state.first_hour = state.first_hour or hour
    for _, operator in state.in_order():
        if any(operator.counts):
            operator.fresh.append((ended, operator.counts))
            operator.counts = [0] * len(Outcome)
        _learn(state, operator, hour, settings)
    if hour // DAY_HOURS != ended // DAY_HOURS:
        for spread in (state.late, state.failing, state.untyped):
            spread.fade(1 - DAY_HOURS * HOUR / settings.history)
    if state.provider.history.sessions < LEAST_LEARNT or hour < state.first_hour + DAY_HOURS:
        return ()
    return _renew(state, hour, settings)


def _learn(state: State, operator: Operator, hour: int, settings: DetectorSettings) -> None:
    nodes = state.nodes_of(operator)
    is_known = operator.node.history.sessions >= _LEAST_OWN
    if is_known and _is_faulty(operator, nodes, hour, settings):
        return
    if not operator.fresh or (is_known and any(node.highest() > node.threshold / 2 for node in nodes)):
        return
    ripe = 0
    for when, counts in operator.fresh:
        if is_known and when > hour - _LATE_HOURS:
            break
        ripe += 1
        _note_spread(state, operator, counts)
        for node in nodes:
            node.history.add(when, counts, round(settings.history / HOUR / DAY_HOURS))
    if ripe:
        del operator.fresh[:ripe]
        operator.is_outdated = True


def _is_faulty(operator: Operator, nodes: Sequence[Node], hour: int, settings: DetectorSettings) -> bool:
    """Return whether a fault goes on; forget what was seen during one that is over."""
    faults = [climb.since for node in nodes for climb in node.climbs.values() if climb.is_verdict]
    if faults:
        operator.fault_since = operator.fault_since or min(faults)
        if operator.fault_since >= hour * HOUR - settings.history:
            return True
        for node in nodes:
            node.climbs.clear()
    elif operator.fault_since:
        first = operator.fault_since // HOUR
        operator.fresh = [each for each in operator.fresh if each[0] < first]
    operator.fault_since = 0.0
    return False


def _note_spread(state: State, operator: Operator, counts: Sequence[int]) -> None:
    total = operator.node.history.total
    known, seen = sessions_in(total), sessions_in(counts)
    if known < LEAST_LEARNT:
        return
    for spread, kinds in ((state.late, _LATE), (state.failing, _FAILING)):
        spread.note(sum(counts[kinds]), seen, sum(total[kinds]) / known)
    untyped, typed = sum(total[UNTYPED:TYPED]), sum(total[TYPED:])
    if untyped + typed >= LEAST_LEARNT:
        now_untyped = sum(counts[UNTYPED:TYPED])
        state.untyped.note(now_untyped, now_untyped + sum(counts[TYPED:]), untyped / (untyped + typed))


def _renew(state: State, hour: int, settings: DetectorSettings) -> Sequence[int]:
    wide = shares_of(state.provider.history.total, GENERIC)
    rooms = state.late.head_room(), state.failing.head_room(), state.untyped.head_room()
    of_country: dict[str, Shares] = {}
    renewed = []
    for number, operator in state.in_order():
        node = operator.node
        if not operator.is_outdated or (node.normal is not None and hour < operator.renewed_in + _RENEW_HOURS):
            continue
        if node.country not in of_country:
            of_country[node.country] = shares_of(state.countries[node.country].history.total, wide)
        _set_normal(node, shares_of(node.history.total, of_country[node.country]), rooms, settings)
        operator.renewed_in, operator.is_outdated = hour, False
        renewed.append(number)
    for country, shares in of_country.items():
        _set_normal(state.countries[country], shares, rooms, settings)
    if renewed:
        _set_normal(state.provider, wide, rooms, settings)
    return renewed


def _set_normal(node: Node, shares: Shares, rooms: tuple[float, float, float], settings: DetectorSettings) -> None:
    late, failing, untyped = rooms
    node.normal = cautious(shares, late=late, failing=failing, untyped=untyped)
    node.set_threshold(settings.caution)
