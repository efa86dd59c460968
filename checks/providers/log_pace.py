"""A message log that may not be read as often as one wants."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from ..settings import Pace, ProviderSettings, Seconds, between


class PacedLogSettings(ProviderSettings):
    """What a provider with such a log may set; its own model says between which bounds, and why."""

    why_paced: ClassVar[str]  # in words

    log_interval: Annotated[Seconds, between("1s", "1d")] = Field(
        60.0, description="a delivery check may not run more often than this"
    )

    def paces(self) -> Mapping[str, Pace]:
        """Return how often a check that reads the log may run."""
        return {"delivery": Pace(self.log_interval, f"{self.why_paced} (log_interval)")}
