"""Structured logs: one event a line on standard error, as logfmt or JSON.

A module logs with ``logging.getLogger(__name__)`` and hands its values over in ``extra``.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from logfmter import Logfmter
from pythonjsonlogger.json import JsonFormatter

_PHONE_NUMBER: Final = re.compile(r"(\+|%2B)[0-9]{7,15}")


class LogFormat(StrEnum):
    """How a line is written."""

    LOGFMT = "logfmt"
    JSON = "json"


class LogLevel(StrEnum):
    """The least severity that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


_LEVELS: Final = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARN: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


def configure(level: LogLevel, format_: LogFormat) -> None:
    """Send all logs of this process, those of libraries too, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if format_ is LogFormat.JSON else _Logfmt())
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)


class _Line(logging.Formatter):
    """What both forms share: time and level in our form, and no phone number in the whole line.

    The mask is the last net under what no code of ours should log at all.
    """

    def format(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return _PHONE_NUMBER.sub("<phone number>", super().format(record))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  # logging's
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Logfmt(_Line, Logfmter):
    def __init__(self) -> None:
        super().__init__(
            keys=["time", "level"], mapping={"time": "asctime", "level": "levelname"}, ignored_keys=["taskName"]
        )


class _Json(_Line, JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            ["asctime", "levelname", "message"],
            rename_fields={"asctime": "time", "levelname": "level", "message": "msg"},
            json_ensure_ascii=False,
        )
