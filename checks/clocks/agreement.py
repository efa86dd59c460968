"""What several time servers say together, of which a few may be wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from ..clients import ClockReading


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReading:
    """What one server says."""

    offset_seconds: float  # how far our clock is ahead of it
    distance_seconds: float  # true time is within this of it, unless it is wrong: RFC 5905, appendix A.5.5.2


def agree(readings: Mapping[str, ServerReading]) -> ClockReading:
    """Return how far our clock is ahead of true time, from at least one reading, by the server's name.

    The offset is the median. Half of the servers are within the median distance to it, so a wrong one among three
    adds nothing to the uncertainty, and two that differ add half of the difference. Who is outvoted is ``ignored``.
    """
    offset = median(each.offset_seconds for each in readings.values())
    off = {name: abs(each.offset_seconds - offset) for name, each in readings.items()}
    uncertainty = median(off.values()) + median(each.distance_seconds for each in readings.values())
    outvoted = [name for name, each in readings.items() if off[name] > uncertainty + each.distance_seconds]
    return ClockReading(
        offset_seconds=offset,
        uncertainty_seconds=uncertainty,
        sources=len(readings) - len(outvoted),
        ignored=tuple(f"{name} is outvoted, it is {off[name]:.1f} s off" for name in outvoted),
    )
