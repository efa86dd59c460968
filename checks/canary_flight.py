"""One test message, from its sending to its end: what each leg took, and what that means."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .canary_desk import CanaryDesk, Legs
from .clients import CanaryClient, CanaryStatus, PacedCanaryClient
from .errors import ProviderError
from .messages.receipt import Status
from .reason import Owner, Reason
from .result import CheckResult, DeliveryTime
from .settings import format_duration

if TYPE_CHECKING:
    from .canary import CanaryRecipient, CanarySettings

REFERENCE_LETTERS: Final = 8
"""How long the random reference is that the handset's word is known by."""

_POLLS_SECONDS: Final = (1.0, 1.0, 2.0, 3.0)  # then 5 s each
_POLL_SECONDS: Final = 5.0


class AbandonedError(Exception):
    """Nobody waits for the end of a message that was sent."""


class Flight:
    """One message from its sending to its end."""

    def __init__(
        self,
        client: CanaryClient,
        settings: "CanarySettings",
        recipient: "CanaryRecipient",
        desk: CanaryDesk,
        sleep: Callable[[float], Any],
    ) -> None:
        self._client = client
        self._settings = settings
        self._recipient = recipient
        self._desk = desk
        self._sleep = sleep
        self._reference = secrets.token_hex(REFERENCE_LETTERS // 2)
        self._began = time.monotonic()
        self._pace_seconds = client.canary_pace_seconds if isinstance(client, PacedCanaryClient) else 0.0
        self._message_cost = settings.cost_per_message
        self._look_ups_cost = 0.0
        self.legs = Legs()

    @property
    def cost(self) -> float:
        """What it cost as far as it is known: the message, and the questions how far it has come."""
        return self._message_cost + self._look_ups_cost

    @property
    def was_accepted(self) -> bool:
        """Whether the API took it."""
        return self.legs.accepted is not None

    def has_arrived(self, reason: Reason) -> bool | None:
        """Return whether the route let it through, None when it says nothing of the route."""
        if reason in (Reason.OK, Reason.DELIVERY_SLOW):
            return True if (self.legs.sent, self.legs.received) != (None, None) else None
        if self.legs.received is not None or reason.row.owner in (Owner.US, Owner.CLIENT):
            return None
        return False

    def fly(self) -> CheckResult:
        """Send it and follow it to its end. Raises AbandonedError when the process ends before."""
        settings = self._settings
        if self._recipient.tells:
            self._desk.expect(self._reference)
        self._began = time.monotonic()
        message_id = self._client.send_canary(
            to=self._recipient.number,
            sender=settings.sender or settings.messaging_service or "",
            text=f"{settings.text} {self._reference}",
            validity_seconds=int(settings.validity),
        )
        self.legs = Legs(accepted=self._elapsed())
        status = self._follow(message_id)
        if status.cost is not None and status.currency == settings.currency:
            self._message_cost = status.cost
        return self._judge(status)

    def _follow(self, message_id: str) -> CanaryStatus:
        """Ask for the status, less and less often, until nothing more is to come or the time is up.

        A question that fails is asked again with the next: it costs nothing, but the message did. Where questions cost
        money few are asked, and none once the provider has told of the end; the phone's word is looked for as before.
        """
        polls = iter(_POLLS_SECONDS)
        status, due = CanaryStatus(status=Status.ACCEPTED), self._pace_seconds
        while True:
            self._sleep(next(polls, _POLL_SECONDS))
            if self._desk.is_stopping():
                raise AbandonedError
            if not self._pace_seconds or (not status.status.is_final and (self._elapsed() >= due or self._is_over())):
                due = self._elapsed() + self._pace_seconds
                try:
                    status = self._client.fetch_canary(message_id)
                except ProviderError:
                    if self._is_over():
                        raise
                    continue
                if status.look_up is not None and status.look_up.currency == self._settings.currency:
                    self._look_ups_cost += status.look_up.amount
            self._note(status)
            if self._has_ended(status) or self._is_over():
                return status

    def _is_over(self) -> bool:
        if self.legs.delivered is None:
            return self._elapsed() >= self._settings.final_within
        return self._elapsed() >= self.legs.delivered + self._settings.received_within

    def _has_ended(self, told: CanaryStatus) -> bool:
        is_told = not self._recipient.tells or self.legs.received is not None
        if not told.is_timely and self.legs.received is not None:
            return True
        return told.status.is_final and (told.status is not Status.DELIVERED or is_told)

    def _note(self, told: CanaryStatus) -> None:
        status = told.status
        elapsed = self._elapsed()
        if told.delivered_seconds is not None:  # another clock's: it cannot have been later than now
            elapsed = min(elapsed, told.delivered_seconds)
        is_sent = status in (Status.SENT, Status.DELIVERED, Status.UNDELIVERED)
        if told.is_timely and is_sent and self.legs.sent is None:
            self.legs = replace(self.legs, sent=elapsed)
        if told.is_timely and status is Status.DELIVERED and self.legs.delivered is None:
            self.legs = replace(self.legs, delivered=elapsed)
        if self._recipient.tells and self.legs.received is None:
            self.legs = replace(self.legs, received=self._desk.received_after(self._reference))

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _judge(self, status: CanaryStatus) -> CheckResult:
        country, operator = self._recipient.route
        where = f"test message to {operator}, {country}"
        within = format_duration(self._settings.final_within)
        received = self.legs.received
        yet = "" if received is None else f"; the phone has it, after {received:.0f} s"
        if status.reason is not None:
            code = f" (code {status.code})" if status.code else ""
            return CheckResult(reason=status.reason, detail=f"{where} was not delivered{code}{yet}")
        if not status.is_timely:
            return self._judge_by_phone(where, status.status)
        if self.legs.delivered is None:
            if self.legs.sent is None and received is None:
                detail = f"{where} was not handed to the operator within {within}"
                return CheckResult(reason=Reason.DELIVERY_SLOW, detail=detail)
            return CheckResult(reason=Reason.RECEIPTS_MISSING, detail=f"{where}: no receipt within {within}{yet}")
        if self._recipient.tells and received is None:
            return CheckResult(
                reason=Reason.RECEIPTS_FALSE,
                detail=f"{where}: delivered, says the operator; the phone has not told of it",
            )
        return self._judge_time(where, self.legs.delivered if received is None else received)

    def _judge_by_phone(self, where: str, status: Status) -> CheckResult:
        """Return what a phone says, or that nobody can say it: receipts that may be late prove no delay."""
        if self.legs.received is not None:
            return self._judge_time(where, self.legs.received)
        if self._recipient.tells:
            within = format_duration(self._settings.final_within)
            return CheckResult(
                reason=Reason.DELIVERY_SLOW,
                detail=f"{where} was accepted; the phone has not told of it within {within}",
            )
        known = "arrived, says the operator" if status is Status.DELIVERED else "was accepted, and no failure is told"
        return CheckResult(reason=Reason.OK, detail=f"{where} {known}; when, this provider does not tell in time")

    def _judge_time(self, where: str, arrived: float) -> CheckResult:
        reason, detail = Reason.OK, f"{where} arrived after {arrived:.0f} s"
        if arrived > self._settings.max_latency:
            reason = Reason.DELIVERY_SLOW
            detail += f", more than max_latency {format_duration(self._settings.max_latency)}"
        return CheckResult(reason=reason, detail=detail, measured=(DeliveryTime(seconds=arrived),))
