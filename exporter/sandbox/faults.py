"""The closed table of what can be made to go wrong in the sandbox, and the switches.

Two reasons that any check may give have no fault. `tls_failed` cannot happen to a client of a plain HTTP origin, and
the origin of a running exporter does not change; one that spoke TLS would need a certificate that the exporter trusts
while the fault is off. `internal` is a defect of the exporter: nothing that a vendor answers must make one.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

RECENT_SECONDS: Final = 45 * 60
"""How far back a traffic fault shows: a check that reads half an hour sees nothing healthy."""

FAULTS: Final[Mapping[str, str]] = {
    "credentials_rejected": "every API call answers 401 with code 20003",
    "permission_missing": "listing messages answers 401 with code 70051 and names the permission",
    "account_suspended": "the account says suspended, every other call answers 403 with code 20403",
    "account_restricted": "the account is a trial: it sends to verified recipients only (21608)",
    "balance_exhausted": "the balance is slightly below zero and nothing can be sent",
    "balance_low": "the balance is 1.50",
    "sender_invalid": "the long code has left the account and the messaging service has no sender",
    "sender_unregistered": "the A2P campaign has failed, the toll-free verification is rejected",
    "country_not_permitted": "the geo permission of one country is off (21408)",
    "provider_outage": "the API answers 503; the status page tells of a critical incident",
    "provider_degraded": "the API works; the status page tells of a minor incident",
    "rate_limited": "every API call answers 429 with code 20429 and Retry-After",
    "delivery_failing": "six messages in ten are undelivered with 30007, 30003 or 30008",
    "delivery_slow": "messages take ten times as long to arrive",
    "no_traffic": "no client asks for a code",
    "unreachable": "the API closes every connection without an answer",
    "timeout": "the API holds every connection without an answer",
    "bad_response": "the API answers 200 with a page of HTML",
    "maintenance": "the status page tells of scheduled maintenance, which is not an outage",
}


class UnknownFaultError(ValueError):
    """The name is not in ``FAULTS``; the message lists the names that are."""

    def __init__(self, name: str) -> None:
        super().__init__(f'no fault "{name}", must be one of: {", ".join(sorted(FAULTS))}')


class Switches:
    """Which faults are on, and since when.

    A switch is one dict item: a request on the server's thread sees it whole, whichever thread
    set it.
    """

    def __init__(self, active: Iterable[str] = (), *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}
        for name in active:
            self.set(name)

    def set(self, name: str) -> None:
        """Switch a fault on; one that is on already keeps its time."""
        if name not in FAULTS:
            raise UnknownFaultError(name)
        self._since.setdefault(name, self._clock())

    def clear(self, name: str) -> None:
        """Switch a fault off; one that is off stays off."""
        if name not in FAULTS:
            raise UnknownFaultError(name)
        self._since.pop(name, None)

    def is_on(self, name: str) -> bool:
        """Whether the fault is on. The name must be in ``FAULTS``."""
        if name not in FAULTS:
            raise UnknownFaultError(name)
        return name in self._since

    def since(self, name: str) -> float | None:
        """Epoch seconds at which the fault was switched on; None while it is off."""
        return self._since.get(name)
