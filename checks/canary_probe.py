"""Which test message tells most about a route that the detector suspects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .canary_desk import Route
from .messages.detector import Suspicion

if TYPE_CHECKING:
    from .canary import CanaryRecipient

_PROBE_EVERY_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Probe:
    """A canary that goes by a suspected route."""

    recipient: "CanaryRecipient"
    suspicion: Suspicion

    @property
    def suspected(self) -> Route:
        """The route as the detector suspects it."""
        return self.suspicion.country, self.suspicion.operator


def choose_probe(
    suspicions: Sequence[Suspicion],
    recipients: "Sequence[CanaryRecipient]",
    past_probes: Mapping[Route, float],
    now: float,
) -> Probe | None:
    """Return the canary that goes by the route suspected most, None when none can.

    A route is probed once an hour: ``past_probes`` says when each was, ``now`` is Unix time too.
    """
    for suspicion in sorted(suspicions, key=lambda each: each.score / each.threshold, reverse=True):
        last = past_probes.get((suspicion.country, suspicion.operator))
        if last is not None and now - _PROBE_EVERY_SECONDS < last <= now:
            continue
        for recipient in recipients:
            country, operator = recipient.route
            if suspicion.country in ("", country) and suspicion.operator in ("", operator):
                return Probe(recipient, suspicion)
    return None
