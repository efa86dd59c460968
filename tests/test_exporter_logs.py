"""Logs: one event a line, machine-readable, without phone numbers."""

import json
import logging
from collections.abc import Iterator

import pytest

from exporter.logs import LogFormat, LogLevel, configure


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_logfmt_lines_begin_with_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.LOGFMT)
    logging.getLogger("x").info("check done", extra={"check": "balance", "detail": 'holds "5"'})
    time, _, rest = capsys.readouterr().err.partition(" ")
    assert time.startswith("time=20")
    assert time.endswith("Z")
    assert rest == r'level=info msg="check done" check=balance detail="holds \"5\""' + "\n"


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("x").warning("check done", extra={"check": "balance"})
    event = json.loads(capsys.readouterr().err)
    assert event.pop("time").endswith("Z")
    assert event == {"level": "warning", "msg": "check done", "check": "balance"}


def test_a_level_below_the_least_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.WARN, LogFormat.LOGFMT)
    logging.getLogger("x").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", ["+14155550100", "%2B14155550100"])
@pytest.mark.parametrize("format_", LogFormat)
def test_a_phone_number_is_masked_wherever_it_stands(
    number: str, format_: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogLevel.DEBUG, format_)
    log = logging.getLogger("x")
    log.info("sent to %s", number, extra={"to": number})
    try:
        raise RuntimeError(number)
    except RuntimeError:
        log.exception("broken")
    err = capsys.readouterr().err
    assert "4155550100" not in err
    assert err.count("<phone number>") == 3


@pytest.mark.parametrize("format_", LogFormat)
def test_an_event_stays_on_one_line(format_: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, format_)
    logging.getLogger("x").info("two\nlines", extra={"detail": "a\r\nlevel=error msg=forged"})
    line = capsys.readouterr().err
    assert line.endswith("\n")
    assert not set("\r\n") & set(line[:-1])
