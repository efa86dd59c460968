"""What a check found: a reason, a line for a human and what was measured on the way."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .reason import Outcome, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Money in a provider account at one moment."""

    amount: float
    currency: str  # ISO 4217
    runway_seconds: float | None = None  # at the current spend, the time until 0; None when not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Money spent on a provider account since its beginning: only ever grows."""

    total: float
    currency: str  # ISO 4217


class ServiceState(StrEnum):
    """What a provider says of a part of its service. The words are those of Atlassian Statuspage's API v2."""

    OPERATIONAL = "operational"
    UNDER_MAINTENANCE = "under_maintenance"
    DEGRADED_PERFORMANCE = "degraded_performance"
    PARTIAL_OUTAGE = "partial_outage"
    MAJOR_OUTAGE = "major_outage"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceComponent:
    """One part of a provider's service, as its status page names it."""

    component: str
    state: ServiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryTime:
    """How long recent messages took."""

    seconds: float  # 90 % of them took no longer


class ClockSource(StrEnum):
    """Which clock was compared with true time."""

    HOST = "host"  # where the exporter runs
    PLATFORM = "platform"  # by the Date header of its answers
    VERIFIER = "verifier"  # by the steps that clients' codes matched


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """How far a clock is ahead of true time."""

    seconds: float  # positive: ahead
    source: ClockSource


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedSteps:
    """How far off a TOTP code may be and still pass."""

    steps: int  # of 30 s


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEnabled:
    """Whether a back office has an SMS provider switched on."""

    provider: str  # the back office's name for it
    is_enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCountry:
    """A country that a provider account may not send to."""

    country: str  # ISO 3166 alpha-2


class MethodGroup(StrEnum):
    """Which second factors clients have."""

    SMS = "sms"
    TOTP = "totp"
    BOTH = "both"
    OTHER = "other"
    NONE = "none"
    UNKNOWN = "unknown"  # not told, or not readable


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientShare:
    """Clients of a sample who have these second factors."""

    methods: MethodGroup
    clients: int
    without_phone: int = 0  # of them: by SMS, and with no confirmed number


Measured = (
    Balance
    | Spend
    | ServiceComponent
    | DeliveryTime
    | ClockOffset
    | AcceptedSteps
    | ProviderEnabled
    | RefusedCountry
    | ClientShare
)
"""Everything a check can measure. `exporter/metrics.py` matches on it exhaustively: adding a member
without a metric does not pass mypy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check found. The reason implies the outcome, so the two never contradict."""

    reason: Reason
    detail: str = ""  # one line for a human; never a label, never a secret or a phone number
    measured: tuple[Measured, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Whether the check passed, failed or could not find out."""
        return self.reason.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """One run of a configured check: what the runner adds to the result."""

    check: str
    kind: str
    target: str
    result: CheckResult
    started_at: datetime  # aware, UTC
    finished_at: datetime  # aware, UTC
    duration_seconds: float  # by the monotonic clock
