"""Is the time right, on this host and where codes are verified?"""

import math
from typing import Annotated, Final

from pydantic import Field

from .clients import ClockClient, ClockReading
from .errors import BadResponseError, ProviderError
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

    Raises BadResponseError when the NTP servers leave open whether this host's clock is, and any other ProviderError
    when no NTP server is to be believed, or the platform gives no date while this host's clock is right.
    """
    host = client.measure_host()
    if host.uncertainty_seconds > settings.max_offset:
        raise BadResponseError(_unsure(host) + _ignored(host))
    unread = ""
    try:
        relative = client.measure_platform()
    except ProviderError as error:
        if not _is_wrong(host, settings):
            raise
        relative, unread = None, f"; the platform's clock cannot be read: {error}"
    measured = [ClockOffset(seconds=host.offset_seconds, source=ClockSource.HOST)]
    readings = [("this host's clock", host)]
    if relative is not None:
        platform = ClockReading(
            offset_seconds=relative.offset_seconds + host.offset_seconds,
            uncertainty_seconds=relative.uncertainty_seconds + host.uncertainty_seconds,
        )
        measured.append(ClockOffset(seconds=platform.offset_seconds, source=ClockSource.PLATFORM))
        readings.append(("the platform's clock", platform))
    wrong = [(name, each) for name, each in readings if _is_wrong(each, settings)]
    details = "; ".join(describe(name, each) for name, each in wrong or readings)
    reason = Reason.SERVER_CLOCK_SKEWED if wrong else Reason.OK
    return CheckResult(reason=reason, detail=details + unread + _ignored(host), measured=tuple(measured))


def _is_wrong(reading: ClockReading, settings: ClockSettings) -> bool:
    """Return whether it is further off than it may be, at the least."""
    return abs(reading.offset_seconds) - reading.uncertainty_seconds > settings.max_offset


def _unsure(host: ClockReading) -> str:
    """Return in words why true time is not known."""
    if host.sources > 1:
        return "the NTP servers disagree"
    return "the one NTP server is itself less sure of the time than max_offset"


def _ignored(host: ClockReading) -> str:
    return f" ({'; '.join(host.ignored)})" if host.ignored else ""


def describe(name: str, reading: ClockReading) -> str:
    """Return an offset in words."""
    seconds, within = abs(reading.offset_seconds), math.ceil(reading.uncertainty_seconds * 10) / 10
    if seconds <= reading.uncertainty_seconds:
        return f"{name} is right within {within:.1f} s"
    way = "fast" if reading.offset_seconds > 0 else "slow"
    return f"{name} is {seconds:.1f} s {way} (within {within:.1f} s)"
