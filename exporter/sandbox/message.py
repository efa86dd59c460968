"""One message of the sandbox: its whole trajectory, and what it looks like at a moment."""

from dataclasses import dataclass
from typing import Final

from .geography import Country, Operator

PATIENCE_SECONDS: Final = 120.0
"""A client who has no code by then does not type one."""
QUICKEST_TYPING_SECONDS: Final = 4.0
SLOWEST_TYPING_SECONDS: Final = 16.0
PRICING_SECONDS: Final = 60.0
"""From the send until the price is filled in. Twilio does not say how long it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message with everything that will happen to it. Times are epoch seconds."""

    sid: str
    to: str  # E.164
    sender: str
    service_sid: str | None
    created: float
    sent: float | None  # None: it never leaves Twilio
    arrived: float | None  # on the handset; None: it never does
    closed: float | None  # when the last status is set; None: no receipt comes
    last_status: str  # of `closed`
    error_code: int | None
    body: str
    segments: int
    price_micros: int  # millionths of the account's currency
    country: Country | None
    operator: Operator | None
    types_code: bool  # whether the client means to type the code once it is there
    organic: bool  # part of the traffic of clients, not sent through this API
    is_attempt: bool  # carries the code of a verification
    status_callback: str | None = None  # the URL that its sender gave

    @property
    def noise(self) -> int:
        """A number of 0..2^32 that is this message's own, for decisions that must not change."""
        return int(self.sid[2:10], 16)

    def status_at(self, now: float) -> str:
        """Return Twilio's word for the status at that time."""
        if self.closed is not None and self.closed <= now:
            return self.last_status
        if self.sent is not None and self.sent <= now:
            return "sent"
        return "accepted" if self.service_sid else "queued"

    def is_closed_at(self, now: float) -> bool:
        """Whether the last status has been reached."""
        return self.closed is not None and self.closed <= now

    def is_sent_at(self, now: float) -> bool:
        """Whether it has left Twilio, which is what costs money."""
        return self.sent is not None and self.sent <= now

    def is_priced_at(self, now: float) -> bool:
        """Whether the log shows its price."""
        return self.is_sent_at(now - PRICING_SECONDS)

    def changed_at(self, now: float) -> float:
        """Return the time of the last change until then."""
        return max(t for t in (self.created, self.sent, self.closed) if t is not None and t <= now)

    def converted_time(self) -> float | None:
        """Return when the client types the code; None when that never happens."""
        if not self.types_code or self.arrived is None:
            return None
        if self.arrived - self.created > PATIENCE_SECONDS:
            return None
        haste = self.noise / 2**32
        return self.arrived + QUICKEST_TYPING_SECONDS + haste * (SLOWEST_TYPING_SECONDS - QUICKEST_TYPING_SECONDS)
