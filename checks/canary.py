"""Does a test message arrive? Sent to a phone of our own, followed to its end, each leg timed.

It costs money: off unless configured, within a daily limit that survives a restart, and never sent twice. An outcome
that is not known (a timeout) counts as spent. While nothing may be sent the last answer stands.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .canary_desk import CanaryDesk, LastCanary, Limits, Refusal, Route
from .canary_flight import REFERENCE_LETTERS, AbandonedError, Flight
from .canary_probe import choose_probe
from .clients import CanaryClient
from .errors import ProviderError
from .messages.gsm import GSM_7, SEGMENT_LETTERS
from .messages.operator import origin_of
from .past import Past
from .quiet_hours import QuietHours
from .reason import Outcome, Reason
from .result import CheckResult
from .settings import (
    CheckSettings,
    Count,
    CountryCode,
    Flag,
    Number,
    PhoneNumber,
    Seconds,
    SecretSetting,
    Settings,
    between,
)

_MOST_LETTERS: Final = SEGMENT_LETTERS - REFERENCE_LETTERS - 1
_CERTAINLY_NOT_SENT: Final = frozenset(
    {
        Reason.CREDENTIALS_REJECTED,
        Reason.PERMISSION_MISSING,
        Reason.ACCOUNT_SUSPENDED,
        Reason.ACCOUNT_RESTRICTED,
        Reason.RATE_LIMITED,
        Reason.SENDER_INVALID,
        Reason.SENDER_UNREGISTERED,
        Reason.COUNTRY_NOT_PERMITTED,
        Reason.RECIPIENT_INVALID,
        Reason.RECIPIENT_LANDLINE,
        Reason.RECIPIENT_OPTED_OUT,
    }
)
"""The API refused: nothing was sent and nothing is charged."""


def _gsm_7(text: str) -> str:
    outside = sorted(set(text) - GSM_7)
    if outside or not text or len(text) > _MOST_LETTERS:
        words = f"; outside are {' '.join(map(repr, outside[:5]))}" if outside else ""
        raise PydanticCustomError(
            "gsm_7",
            "must be 1 to {most} letters of the GSM 7-bit alphabet, so that it costs one segment{words}",
            {"most": _MOST_LETTERS, "words": words},
        )
    return text


class CanaryRecipient(Settings):
    """A phone of our own."""

    number: PhoneNumber = Field(description="the phone's number")
    operator: str | None = Field(
        None, description="its operator, as in the metrics; by default that of the number plan"
    )
    country: CountryCode | None = Field(None, description="its country; by default that of the number")
    tells: Flag = Field(
        False, description="a gateway at this phone posts what it receives; a Twilio number cannot (error 30038)"
    )

    @property
    def route(self) -> Route:
        """Country and operator."""
        country, operator = origin_of(self.number)
        return self.country or country, self.operator or operator


class CanarySettings(CheckSettings):
    """What is sent, to whom, how often, and how much it may cost."""

    interval: Annotated[Seconds, between("100ms", "7d")] = Field(3600.0, description="time between runs")
    timeout: Annotated[Seconds, between("100ms", "1h")] = Field(600.0, description="time that one run may take")
    recipients: Annotated[list[CanaryRecipient], Field(min_length=1, max_length=50)] = Field(
        description="phones of our own, one after the other"
    )
    sender: PhoneNumber | None = Field(None, description="the number that sends; instead of messaging_service")
    messaging_service: str | None = Field(
        None, description="the service or the name that sends, as the provider knows it"
    )
    text: Annotated[str, AfterValidator(_gsm_7)] = Field(
        "Test of the code delivery. Please ignore.", description="the text; a random reference is added"
    )
    validity: Annotated[Seconds, between("10s", "10h")] = Field(
        300.0, description="the provider gives up after this time, as for a code"
    )
    final_within: Annotated[Seconds, between("1s", "50m")] = Field(
        180.0, description="a message without a receipt by then is receipts_missing"
    )
    received_within: Annotated[Seconds, between("1s", "5m")] = Field(
        60.0, description="a message that the phone has not told of so long after its receipt is receipts_false"
    )
    max_latency: Annotated[Seconds, between("1s", "1h")] = Field(
        60.0, description="a message that takes longer is delivery_slow"
    )
    cost_per_message: Number = Field(gt=0, description="counted before each send, until the real price is known")
    max_cost_per_day: Number = Field(gt=0, description="no more is spent in one day (UTC), whatever happens")
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = Field(description="of both, as ISO 4217, such as USD")
    max_sends_per_day: Count = Field(48, ge=1, le=10_000, description="no more messages in one day (UTC)")
    quiet_hours: QuietHours | None = Field(None, description="when nothing is sent")
    on_suspicion: Flag = Field(
        False, description="send at once by a route that the detector suspects, if a recipient is there"
    )
    receive_token: SecretSetting | None = Field(
        None,
        description="the bearer token of the gateway that posts to /api/v1/canary/; needed where a recipient tells",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.sender is None) == (self.messaging_service is None):
            raise PydanticCustomError("sender", "needs either sender or messaging_service")
        if self.receive_token is None and any(recipient.tells for recipient in self.recipients):
            raise PydanticCustomError("token", "receive_token is needed where a recipient tells")
        if self.timeout <= self.final_within + self.received_within:
            words = "timeout must be longer than final_within and received_within together"
            raise PydanticCustomError("timeout", words)
        if self.cost_per_message > self.max_cost_per_day:
            raise PydanticCustomError("cost", "max_cost_per_day must be enough for one message of cost_per_message")
        return self


def check_canary(
    client: CanaryClient, settings: CanarySettings, past: Past, sleep: Callable[[float], Any] = time.sleep
) -> CheckResult:
    """Pass when the latest test message to each recipient arrived, in time.

    Each run sends one message. Raises ProviderError when it could not be sent or not be followed; it is never
    sent again for that. StorageUnavailableError before the sending means that nothing was sent.
    """
    desk, now = past.desk, past.now.timestamp()
    if settings.quiet_hours is not None and settings.quiet_hours.hold(past.now):
        return _unsent(settings, desk, "quiet hours")
    probe = None
    if settings.on_suspicion:
        probe = choose_probe(past.book.suspicions(), settings.recipients, desk.probes(), now)
    if probe is None and not _is_due(settings, desk, now):
        return _unsent(settings, desk, "the next one is not due")
    recipient = _least_recent(settings.recipients, desk) if probe is None else probe.recipient
    limits = Limits(
        max_sends=settings.max_sends_per_day, max_cost=settings.max_cost_per_day, currency=settings.currency
    )
    busy_until = now + max(settings.timeout, settings.validity)
    number = desk.reserve(recipient.number, settings.cost_per_message, limits, now=now, busy_until=busy_until)
    if isinstance(number, Refusal):
        return _unsent(settings, desk, number.value)
    if probe is not None:
        desk.note_probe(probe.suspected, at=now)
    flight = Flight(client, settings, recipient, desk, sleep)
    try:
        result = flight.fly()
    except AbandonedError:  # as after a kill: it counts as spent, and nothing is known of it
        return _unsent(settings, desk, "the exporter ended before its answer came")
    except ProviderError as error:
        cost = 0.0 if error.reason in _CERTAINLY_NOT_SENT and not flight.was_accepted else flight.cost
        desk.settle(number, cost=cost, reason=error.reason, detail=str(error), legs=flight.legs)
        raise
    desk.settle(number, cost=flight.cost, reason=result.reason, detail=result.detail, legs=flight.legs)
    if probe is None:
        return _with_others(result, settings, desk)
    has_arrived = flight.has_arrived(result.reason)
    if has_arrived is not None:
        country, operator = recipient.route
        past.book.note_probe(country, operator, arrived=has_arrived)
    result = replace(result, detail=f"{result.detail}; sent as {probe.suspicion.reason} is suspected")
    return _with_others(result, settings, desk)


def _is_due(settings: CanarySettings, desk: CanaryDesk, now: float) -> bool:
    """Return whether it is time for an ordinary message: each restart runs every check, and a send costs money."""
    sent = [desk.last_to(recipient.number) or -math.inf for recipient in settings.recipients]
    return not any(0 <= now - at < settings.interval / 2 for at in sent)


def _least_recent(recipients: Sequence[CanaryRecipient], desk: CanaryDesk) -> CanaryRecipient:
    return min(recipients, key=lambda recipient: desk.last_to(recipient.number) or -math.inf)


_WORST_FIRST: Final = (Outcome.FAIL, Outcome.ERROR, Outcome.PASS)


def _worst(settings: CanarySettings, desk: CanaryDesk) -> LastCanary | None:
    """Return the worst of the latest answers of all recipients, None when there is none."""
    answers = [last for recipient in settings.recipients if (last := desk.last(recipient.number)) is not None]
    return min(answers, key=lambda last: _WORST_FIRST.index(last.reason.outcome), default=None)


def _unsent(settings: CanarySettings, desk: CanaryDesk, words: str) -> CheckResult:
    """Return the answer that stands: that nothing may be sent is no news about delivery."""
    last = _worst(settings, desk)
    if last is None:
        return CheckResult(reason=Reason.OK, detail=f"no test message yet: {words}")
    return CheckResult(reason=last.reason, detail=f"{last.detail}; no newer test message: {words}")


def _with_others(result: CheckResult, settings: CanarySettings, desk: CanaryDesk) -> CheckResult:
    """Return the new answer, unless it is good and another recipient's last one was a failure: that one stands."""
    last = _worst(settings, desk)
    if result.outcome is not Outcome.PASS or last is None or last.reason.outcome is not Outcome.FAIL:
        return result
    return replace(result, reason=last.reason, detail=f"{last.detail}; the latest: {result.detail}")
