"""Which operators have a label of their own: those with the most messages. All others count as ``other``.

Names of operators come from outside, and each label is a series in Prometheus for ever.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from checks.messages import UNKNOWN_OPERATOR

from .snapshot import Route

OTHER_OPERATOR: Final = "other"
MOST_OPERATORS: Final = 50  # of one target
_CANDIDATES: Final = 1000  # remembered beside them
_AHEAD: Final = 2.0  # a newcomer must have so many times the messages: labels that come and go serve nobody


class OperatorLabels:
    """The operators of one target that have a label."""

    def __init__(self, labelled: Iterable[Route], most: int = MOST_OPERATORS) -> None:
        self._labelled = {route for route in labelled if route.operator not in (UNKNOWN_OPERATOR, OTHER_OPERATOR)}
        self._most = most
        self._traffic: Counter[Route] = Counter()  # since the last ranking

    def label(self, country: str, operator: str) -> str:
        """Return the label of an operator, and count one message of it. Free places go to whoever comes first."""
        if operator in (UNKNOWN_OPERATOR, OTHER_OPERATOR):
            return operator
        route = Route(country, operator)
        if len(self._labelled) < self._most:
            self._labelled.add(route)
        if route in self._labelled:
            self._traffic[route] += 1
            return operator
        if route in self._traffic or len(self._traffic) < self._most + _CANDIDATES:
            self._traffic[route] += 1
        return OTHER_OPERATOR

    def rank(self) -> tuple[Route, ...]:
        """Give places to those that had by far more messages since the last ranking; return who lost one.

        A restart forgets what was counted since then, not who has a place.
        """
        lost = []
        weakest = sorted(self._labelled, key=lambda route: self._traffic[route])
        strongest = [route for route, _ in self._traffic.most_common() if route not in self._labelled]
        for old, new in zip(weakest, strongest, strict=False):
            if self._traffic[new] <= _AHEAD * self._traffic[old]:
                break
            self._labelled.remove(old)
            self._labelled.add(new)
            lost.append(old)
        self._traffic.clear()
        return tuple(lost)
