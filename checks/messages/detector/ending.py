"""What began with a fault ends with it.

A fault shows in more than what it is named by: under other hypotheses, and at each part of its scope. A part with
little traffic takes hours until healthy messages there outweigh that, long after it is clear that the whole is
healthy. So what was created before the end of a fault is explained by it, wherever it shows. A part at which
something is still wrong shows that in messages created since.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from .learning import State
from .node import Climb, Node
from .ranking import CLOSE, NEVER_AT, likeliest
from .verdict import Scope


def end_faults(
    state: State, nodes: Sequence[Node], over: Mapping[Scope, Sequence[int]], at: float, half_life: float
) -> None:
    """Take away verdicts that are over, given by their numbers, and what they explain.

    ``nodes`` are those of one look, taken at ``at`` (Unix time): the operator's, its country's, the provider's.
    """
    gone: dict[Scope, Mapping[int, Climb]] = {}
    for node in reversed(nodes):  # the widest first: it explains what is within
        numbers = [number for number in over.get(node.scope, ()) if number in node.climbs]
        if numbers:
            gone[node.scope] = _end(node, numbers, list(_parts(state, node)), at, half_life)
    contributed: dict[int, Climb] = {}
    for node in nodes:
        node.relieve(contributed)
        contributed |= gone.get(node.scope, {})


def _end(node: Node, numbers: Sequence[int], parts: Sequence[Node], at: float, half_life: float) -> Mapping[int, Climb]:
    """End these verdicts of a node; return all that goes with them there."""
    named = _named(node)
    faults = {number: node.climbs.pop(number) for number in numbers}
    of_the_whole = [
        number for number in faults if not _is_shadow(node.scope, number, faults[number], parts, at, half_life)
    ]
    for number in of_the_whole:
        fault = faults[number]
        for part in parts:
            height = max((climb.peak for climb in part.climbs.values()), default=0.0)
            if _faded(height, part, at, half_life) < fault.peak - CLOSE:
                part.take_back(at, unless_older_than=fault)
    if named in of_the_whole:
        faults.update(node.take_back(at))
    return faults


def _named(node: Node) -> int:
    """Return the number of the hypothesis that explains best what a node shows; -1 when none of them can be there."""
    among = [number for number in node.climbs if number not in NEVER_AT[node.scope]]
    if not among:
        return -1
    return likeliest(node, node.climbs[max(among, key=lambda number: node.climbs[number].score)], among)


def _parts(state: State, node: Node) -> Iterator[Node]:
    if node.scope is Scope.PROVIDER:
        yield from state.countries.values()
    if node.scope is not Scope.OPERATOR:
        for operator in state.operators:
            if node.scope is Scope.PROVIDER or operator.node.country == node.country:
                yield operator.node


def _is_shadow(scope: Scope, number: int, fault: Climb, parts: Sequence[Node], at: float, half_life: float) -> bool:
    """Return whether a fault of the whole was that of one part, which showed as much of it."""
    if number in NEVER_AT[scope]:
        return True
    for part in parts:
        climb = None if number in NEVER_AT[part.scope] else part.climbs.get(number)
        if climb is not None and _faded(climb.peak, part, at, half_life) >= fault.peak - CLOSE:
            return True
    return False


def _faded(height: float, node: Node, at: float, half_life: float) -> float:
    return height * math.exp2((node.at - at) / half_life)
