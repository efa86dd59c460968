"""One name for an operator, whoever tells of its messages: by the codes of its network, and by the number plan."""

from collections import Counter
from typing import Final

from ..messages import UNKNOWN_OPERATOR
from ..messages.operator import operator_by_mcc_mnc

_MANY: Final = 20  # messages, before a network has a name of its own
_MOSTLY: Final = 0.6  # of them


class Networks:
    """Gives the codes of a network the name that the number plan has for most of its numbers.

    So an operator has one name, and a number that was ported counts where it is now.
    """

    _MOST: Final = 2000  # codes come from outside

    def __init__(self) -> None:
        self._names: dict[str, Counter[str]] = {}

    def name(self, network: str, by_plan: str) -> str:
        """Return the name of the operator of a message; ``network`` is a label by ``operator_by_mcc_mnc``."""
        if network == UNKNOWN_OPERATOR:
            return by_plan
        if network not in self._names and len(self._names) >= self._MOST:
            return by_plan
        names = self._names.setdefault(network, Counter())
        if by_plan != UNKNOWN_OPERATOR and (by_plan in names or len(names) < self._MOST):
            names[by_plan] += 1
        told = names.total()
        name = max(names, key=lambda each: names[each], default=network)
        if told >= _MANY and names[name] >= _MOSTLY * told:
            return name
        return network if by_plan == UNKNOWN_OPERATOR else by_plan


def network_of(mcc_mnc: str) -> str:
    """Return the label of a network by its codes in one, such as ``26201``: three digits and two or three more."""
    return operator_by_mcc_mnc(mcc_mnc[:3], mcc_mnc[3:])
