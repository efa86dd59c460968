"""Times as vendors write them, in requests and in answers."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ...settings import Settings
from ..fields import parse_moment

ISO: Final = "iso8601"
UNIX: Final = "unix"
UNIX_MS: Final = "unix_ms"
_MOST_LETTERS: Final = 64
_LATEST: Final = 4e9  # the year 2096: what is later is no Unix time in seconds
_PROBE: Final = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone", 'must be a time zone such as "UTC" or "Europe/Moscow"') from None
    return value


def check_form(value: str) -> str:
    """Return the form of a time. Raises ValueError for one that writes nothing, or what it does not read again."""
    if value not in (ISO, UNIX, UNIX_MS):
        written = _PROBE.strftime(value)
        if "%" not in value or written == value:
            msg = f"must be {ISO}, {UNIX}, {UNIX_MS} or a form of strptime such as %d.%m.%Y %H:%M:%S"
            raise ValueError(msg)
        datetime.strptime(written, value)  # noqa: DTZ007  # a trial
    return value


def _form(value: str) -> str:
    try:
        return check_form(value)
    except ValueError as problem:
        raise PydanticCustomError("form", "{problem}", {"problem": str(problem)}) from None


Zone = Annotated[str, AfterValidator(_zone)]
Form = Annotated[str, AfterValidator(_form)]


class TimeSettings(Settings):
    """How the provider writes times."""

    format: Form = Field(ISO, description=f"{ISO}, {UNIX}, {UNIX_MS}, or a form of strptime such as %d.%m.%Y %H:%M:%S")
    timezone: Zone = Field("UTC", description="of times that name none, in answers and in requests")

    def parse(self, value: Any) -> float:
        """Return a time of an answer as Unix time. Raises ValueError for what is none."""
        return parse_time(value, self.format, self.timezone)


def parse_time(value: Any, form: str, zone: str) -> float:
    """Return a time as Unix time; one without an offset is of ``zone``. Raises ValueError for what is none."""
    text = str(value) if type(value) in (int, float) else value
    if not isinstance(text, str) or not 0 < len(text) <= _MOST_LETTERS or not text.isascii():
        msg = "not a time"
        raise ValueError(msg)
    if form in (UNIX, UNIX_MS):
        seconds = float(text) / (1000.0 if form == UNIX_MS else 1.0)
        if not 0.0 < seconds < _LATEST:
            msg = "beyond all times"
            raise ValueError(msg)
        return seconds
    try:
        moment = datetime.fromisoformat(text) if form == ISO else datetime.strptime(text, form)  # noqa: DTZ007
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return parse_moment(moment.isoformat())
    except OverflowError:
        msg = "beyond all times"
        raise ValueError(msg) from None


def format_time(moment: float, form: str, zone: str) -> str:
    """Return a Unix time as a request wants it: whole seconds but for %f."""
    if form == UNIX:
        return str(int(moment))
    if form == UNIX_MS:
        return str(int(moment * 1000))
    told = datetime.fromtimestamp(moment, ZoneInfo(zone))
    return told.isoformat(timespec="seconds") if form == ISO else told.strftime(form)
