"""The closed table of what can be made to go wrong in the sandbox, and the switches.

Two reasons that any check may give have no fault. `tls_failed` cannot happen to a client of a plain HTTP origin, and
the origin of a running exporter does not change; one that spoke TLS would need a certificate that the exporter trusts
while the fault is off. `internal` is a defect of the exporter: nothing that a vendor answers must make one.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

ALREADY_ON_SECONDS: Final = 45 * 60
"""How long a fault has been on that is on from the start: who reads half an hour then sees nothing healthy."""

AT_AN_OPERATOR: Final[Mapping[str, str]] = {
    "operator_blocking": "one operator blocks every message with 30007",
    "operator_blocking_partial": "one operator blocks three messages in ten with 30007",
    "operator_silent": "one operator drops every message and sends no receipt",
    "operator_delay": "messages to one operator take ten times as long to arrive",
    "receipts_false": "one operator claims that messages arrive, and no code is typed",
    "receipts_missing": "one operator sends no receipts; the messages arrive",
    "sms_pumping": "a burst of messages to sequential numbers of one operator, whose codes are never typed",
}
"""What can go wrong at one operator, which can be chosen."""

OF_THE_BACK_OFFICE: Final[Mapping[str, str]] = {
    "provider_missing": "the back office has no SMS provider but a Fake one, which is off",
    "provider_disabled": "the SMS provider of the back office is disabled",
    "provider_incomplete": "the SMS provider of the back office has no auth_token and no sender",
    "provider_is_test": "the back office sends codes through its Fake provider: to nobody",
    "template_missing": "the back office has no template for codes",
    "client_2fa_disabled": "every client has the second factor switched off",
    "client_phone_unconfirmed": "no client has a confirmed phone",
    "server_clock_skewed": "the clock of the back office is 94 s fast: its Date header and its TOTP windows",
    "code_rejected": "the back office refuses right TOTP codes of clients",
    "wrong_code_accepted": "the back office takes any code of a client",
    "back_office_down": "the back office answers 503",
    "back_office_unreachable": "the back office closes every connection without an answer",
    "back_office_timeout": "the back office holds every connection without an answer",
    "back_office_rejects": "the back office answers 401 to every sign-in, and to tokens that it gave before",
}
"""What can go wrong at the back office. None of it touches Twilio's API, nor do Twilio's faults touch its API."""

OF_TIME: Final[Mapping[str, str]] = {
    "host_clock_skewed": "the time server is 40 s ahead: the host looks slow",
    "ntp_unsynchronised": "the time server says that it does not know the time",
}
"""What can go wrong at the time server."""

FAULTS: Final[Mapping[str, str]] = {
    "credentials_rejected": "every API call answers 401 with code 20003",
    "permission_missing": "listing messages answers 401 with code 70051 and names the permission",
    "account_suspended": "the account says suspended, every other call answers 403 with code 20403",
    "account_restricted": "the account is a trial: it sends to verified recipients only (21608)",
    "balance_exhausted": "the balance is slightly below zero and nothing can be sent",
    "balance_low": "the balance is 1.50",
    "sender_invalid": "the long code has left the account and the messaging service has no sender",
    "sender_unregistered": "the A2P campaign has failed, the toll-free verification is rejected",
    "country_not_permitted": "the geo permission of one country is off; its messages fail with 21408",
    "provider_outage": "the API answers 503; the status page tells of a critical incident",
    "provider_degraded": "the API works; the status page tells of a minor incident",
    "rate_limited": "every API call answers 429 with code 20429 and Retry-After",
    "delivery_failing": "six messages in ten are undelivered with 30007, 30003 or 30008",
    "delivery_slow": "messages take ten times as long to arrive, from the provider to the phone",
    "provider_slow": "messages take ten times as long to arrive, all of it in the provider's queue",
    "provider_partial_outage": "three messages in ten fail with 30001 or 30500, or stay queued",
    **AT_AN_OPERATOR,
    "no_traffic": "no client asks for a code",
    "unreachable": "the API closes every connection without an answer",
    "timeout": "the API holds every connection without an answer",
    "bad_response": "the API answers 200 with a page of HTML",
    "maintenance": "the status page tells of scheduled maintenance, which is not an outage",
    **OF_THE_BACK_OFFICE,
    **OF_TIME,
}


_MOST_PERIODS: Final = 1000


class UnknownFaultError(ValueError):
    """The name is not in ``FAULTS``; the message lists the names that are."""

    def __init__(self, name: str) -> None:
        super().__init__(f'no fault "{name}", must be one of: {", ".join(sorted(FAULTS))}')


class PlaceError(ValueError):
    """The fault is not one of an operator: it strikes everywhere."""

    def __init__(self, name: str) -> None:
        known = ", ".join(sorted(AT_AN_OPERATOR))
        super().__init__(f"{name} strikes everywhere; a place can be chosen for: {known}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault of one operator strikes."""

    country: str  # ISO 3166 alpha-2
    operator: str


STRUCK: Final = Place("NG", "MTN")
"""Where these strike unless another place is asked for: an operator of middling size."""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time during which a fault was on. Times are epoch seconds."""

    since: float
    until: float  # infinite while the fault is on
    place: Place  # of a fault of one operator


class Switches:
    """Which faults are on, and when and where each of them was.

    What has been is kept: a message that was struck stays struck, as its fate may have been told already. A switch is
    one dict item: a request on the server's thread sees it whole, whichever thread set it.
    """

    def __init__(self, active: Iterable[str] = (), *, clock: Callable[[], float], kept_seconds: float) -> None:
        """``active`` are on from the start; periods older than ``kept_seconds`` are forgotten."""
        self._clock = clock
        self._kept_seconds = kept_seconds
        self._periods: dict[str, tuple[Period, ...]] = {}
        for name in active:
            self._begin(name, clock() - ALREADY_ON_SECONDS, STRUCK)

    def set(self, name: str, place: Place | None = None) -> None:
        """Switch a fault on, one of an operator at ``place``; one that is on there already keeps its time.

        Raises UnknownFaultError, and PlaceError when the fault has no place.
        """
        if name in FAULTS and place is not None and name not in AT_AN_OPERATOR:
            raise PlaceError(name)
        if self.is_on(name) and place in (None, self.place(name)):
            return
        self.clear(name)
        self._begin(name, self._clock(), STRUCK if place is None else place)

    def clear(self, name: str) -> None:
        """Switch a fault off; one that is off stays off."""
        if self.is_on(name):
            *before, last = self._periods[name]
            self._periods[name] = (*before, replace(last, until=self._clock()))

    def is_on(self, name: str) -> bool:
        """Whether the fault is on. The name must be in ``FAULTS``."""
        return self.since(name) is not None

    def place(self, name: str) -> Place:
        """Where a fault of one operator strikes, or did last."""
        periods = self.periods(name)
        return periods[-1].place if periods else STRUCK

    def since(self, name: str) -> float | None:
        """Epoch seconds at which the fault was switched on; None while it is off."""
        periods = self.periods(name)
        return periods[-1].since if periods and periods[-1].until == math.inf else None

    def periods(self, name: str) -> tuple[Period, ...]:
        """When the fault was on, the oldest first. The name must be in ``FAULTS``."""
        if name not in FAULTS:
            raise UnknownFaultError(name)
        return self._periods.get(name, ())

    def period_at(self, name: str, time: float) -> Period | None:
        """When the fault was on around that time; None when it was off then. The name must be in ``FAULTS``."""
        return next((each for each in self.periods(name) if each.since < time <= each.until), None)

    @property
    def are_untouched(self) -> bool:
        """Whether no fault has been on."""
        return not self._periods

    def _begin(self, name: str, since: float, place: Place) -> None:
        oldest = self._clock() - self._kept_seconds
        kept = [period for period in self.periods(name) if period.until >= oldest]
        self._periods[name] = (*kept[-_MOST_PERIODS:], Period(since, math.inf, place))
