"""Structured logs: one event a line on standard error, as logfmt or JSON."""

import logging
import re
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, Final

import structlog

_PHONE_NUMBER: Final = re.compile(r"(\+|%2B)\d{7,15}")
_FIRST_KEYS: Final = ("time", "level", "event")


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
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        _without_phone_numbers,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format_ is LogFormat.JSON
        else structlog.processors.LogfmtRenderer(key_order=_FIRST_KEYS, drop_missing=True)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _one_line, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level], force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _without_phone_numbers(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what looks like a phone number: the last net under what no code of ours should log at all."""
    return {
        key: _PHONE_NUMBER.sub("<phone number>", value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep each event on one line: logfmt refuses control characters only in keys, readers in values too."""
    return {
        key: value.replace("\n", "\\n").replace("\r", "\\r") if isinstance(value, str) else value
        for key, value in event.items()
    }
