"""Is the time right, on this host and where codes are verified?"""

import math
from typing import Annotated, Final

from pydantic import Field

from .clients import ClockClient, ClockReading
from .reason import Reason
from .result import CheckResult, ClockOffset, ClockSource
from .settings import CheckSettings, Seconds, between
from .totp import STEP_SECONDS

_SHARE_OF_STEP: Final = 6
"""A verifier accepts the step before and the step after (RFC 6238 section 5.2), which leaves a client between 30 and
60 seconds to read and type. A sixth of a step takes little of it: about as many codes are refused as ever. A third of
it, 10 seconds, is what must be named for certain, before codes are refused at 15 to 20 seconds."""


class ClockSettings(CheckSettings):
    """When a clock is wrong."""

    max_offset: Annotated[Seconds, between("500ms", "30s")] = Field(
        STEP_SECONDS / _SHARE_OF_STEP, description="a clock that is certainly further off is wrong"
    )


def check_clock(client: ClockClient, settings: ClockSettings) -> CheckResult:
    """Fail when this host's or the platform's clock is further from true time than ``max_offset``, for certain.

    Raises ProviderError when no NTP server is to be believed or the platform gives no date.
    """
    host = client.measure_host()
    relative = client.measure_platform()
    measured = [ClockOffset(seconds=host.offset_seconds, source=ClockSource.HOST)]
    readings = [("this host's clock", host)]
    if relative is not None:
        platform = ClockReading(
            offset_seconds=relative.offset_seconds + host.offset_seconds,
            uncertainty_seconds=relative.uncertainty_seconds + host.uncertainty_seconds,
        )
        measured.append(ClockOffset(seconds=platform.offset_seconds, source=ClockSource.PLATFORM))
        readings.append(("the platform's clock", platform))
    wrong = [(name, each) for name, each in readings if _least(each) > settings.max_offset]
    details = "; ".join(describe(name, each) for name, each in wrong or readings)
    if host.ignored:
        details += f" ({'; '.join(host.ignored)})"
    reason = Reason.SERVER_CLOCK_SKEWED if wrong else Reason.OK
    return CheckResult(reason=reason, detail=details, measured=tuple(measured))


def _least(reading: ClockReading) -> float:
    """Return how far off it is at the least."""
    return abs(reading.offset_seconds) - reading.uncertainty_seconds


def describe(name: str, reading: ClockReading) -> str:
    """Return an offset in words."""
    seconds, within = abs(reading.offset_seconds), math.ceil(reading.uncertainty_seconds * 10) / 10
    if seconds <= reading.uncertainty_seconds:
        return f"{name} is right within {within:.1f} s"
    way = "fast" if reading.offset_seconds > 0 else "slow"
    return f"{name} is {seconds:.1f} s {way} (within {within:.1f} s)"
