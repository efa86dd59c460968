"""Logs: one event a line, machine-readable, without phone numbers."""

import json
import logging

import pytest
import structlog

from exporter.logs import LogFormat, LogLevel, configure


@pytest.fixture(autouse=True)
def _restore() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_logfmt_lines_begin_with_time_level_and_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.LOGFMT)
    structlog.stdlib.get_logger("x").info("check done", check="balance", detail='holds "5"')
    line = capsys.readouterr().err
    assert line.startswith("time=")
    assert line.endswith(r'level=info event="check done" check=balance detail="holds \"5\""' + "\n")


def test_json_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.JSON)
    structlog.stdlib.get_logger("x").warning("check done", check="balance")
    event = json.loads(capsys.readouterr().err)
    assert (event["level"], event["event"], event["check"]) == ("warning", "check done", "balance")


def test_lines_of_libraries_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.JSON)
    logging.getLogger("library").warning("hello %s", "you")
    assert json.loads(capsys.readouterr().err)["event"] == "hello you"


def test_a_level_below_the_least_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.WARN, LogFormat.LOGFMT)
    structlog.stdlib.get_logger("x").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", ["+14155550100", "%2B14155550100"])
@pytest.mark.parametrize("format_", LogFormat)
def test_a_phone_number_is_masked_wherever_it_stands(
    number: str, format_: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogLevel.DEBUG, format_)
    structlog.stdlib.get_logger("x").info("sent to " + number, to=number)
    logging.getLogger("library").info("GET /Messages.json?To=%s", number)
    try:
        raise RuntimeError(number)
    except RuntimeError:
        structlog.stdlib.get_logger("x").exception("broken")
    err = capsys.readouterr().err
    assert "4155550100" not in err
    assert err.count("<phone number>") == 4


def test_an_event_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogLevel.INFO, LogFormat.LOGFMT)
    structlog.stdlib.get_logger("x").info("two\nlines", detail="a\r\nlevel=error event=forged")
    assert capsys.readouterr().err.count("\n") == 1
