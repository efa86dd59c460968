"""Hours of the day, by the clock of a place, in which nothing is sent."""

from datetime import datetime
from typing import Annotated, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from .settings import Settings


def _time_zone(name: str) -> str:
    if name not in available_timezones():
        raise PydanticCustomError("time_zone", 'must be a time zone such as "Europe/Berlin"')
    return name


_Clock = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]


class QuietHours(Settings):
    """When nothing is sent."""

    begin: _Clock = Field(description='as "22:00"; in quotes')
    end: _Clock = Field(description='as "07:00", on the next day when it is earlier than begin; in quotes')
    time_zone: Annotated[str, AfterValidator(_time_zone)] = Field(description='such as "Europe/Berlin" or "UTC"')

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.begin == self.end:
            raise PydanticCustomError("quiet_hours", "begin and end must differ")
        return self

    def hold(self, now: datetime) -> bool:
        """Return whether it is quiet now; ``now`` is aware."""
        clock = now.astimezone(ZoneInfo(self.time_zone)).strftime("%H:%M")
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end
