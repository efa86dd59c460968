"""The runner: whatever happens becomes a run with a reason."""

import logging
import time
from dataclasses import replace
from typing import Any

import pytest

from checks.errors import PermissionMissingError
from checks.kinds import KINDS
from checks.providers.http import _deadline
from checks.reason import Outcome, Reason
from checks.result import Balance, CheckResult
from checks.settings import CheckSettings
from exporter import runner
from exporter.config import ConfiguredCheck
from exporter.runner import run_check
from tests.fakes import past

PAST = past()
NUMBER = "+14155550100"


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    def with_function(function: Any) -> ConfiguredCheck:
        kind = replace(KINDS["balance"], function=function)
        monkeypatch.setattr("exporter.config.KINDS", {"balance": kind})
        return ConfiguredCheck(name="b", kind_name="balance", settings=CheckSettings(target="twilio", timeout="7s"))

    return with_function


def test_a_result_is_handed_on_with_times(check: Any) -> None:
    measured = Balance(amount=1.0, currency="EUR")
    run = run_check(check(lambda *_: CheckResult(reason=Reason.OK, measured=(measured,))), None, PAST)
    assert (run.check, run.kind, run.target) == ("b", "balance", "twilio")
    assert run.result.measured == (measured,)
    assert run.started_at <= run.finished_at
    assert 0 <= run.duration_seconds < 1


def test_an_error_of_the_provider_is_its_reason(check: Any) -> None:
    def function(*_: Any) -> CheckResult:
        raise PermissionMissingError("the key lacks a right")

    result = run_check(check(function), None, PAST).result
    assert (result.reason, result.detail) == (Reason.PERMISSION_MISSING, "the key lacks a right")


@pytest.mark.parametrize("defect", [ValueError, KeyError, ZeroDivisionError, RecursionError, MemoryError])
def test_a_defect_of_ours_is_internal_and_logged_without_its_message(
    check: Any, defect: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def function(*_: Any) -> CheckResult:
        raise defect(NUMBER)

    with caplog.at_level(logging.DEBUG):
        result = run_check(check(function), None, PAST).result
    assert result.reason is Reason.INTERNAL
    assert result.detail == f"a defect of the exporter ({defect.__name__}); see its log"
    assert "Traceback" in caplog.text
    assert NUMBER not in caplog.text


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_wish_to_end_is_not_caught(check: Any, end: type[BaseException]) -> None:
    def function(*_: Any) -> CheckResult:
        raise end

    with pytest.raises(end):
        run_check(check(function), None, PAST)


def test_a_check_runs_within_its_timeout(check: Any) -> None:
    seen: list[float] = []

    def function(*_: Any) -> CheckResult:
        ends_at = _deadline.get()
        assert ends_at is not None
        seen.append(ends_at - time.monotonic())
        return CheckResult(reason=Reason.OK)

    run_check(check(function), None, PAST)
    assert 6.5 < seen[0] <= 7.0
    assert _deadline.get() is None


def test_what_could_not_be_found_out_measures_nothing(check: Any) -> None:
    measured = (Balance(amount=1.0, currency="EUR"),)
    run = run_check(check(lambda *_: CheckResult(reason=Reason.BAD_RESPONSE, measured=measured)), None, PAST)
    assert run.result.outcome is Outcome.ERROR
    assert run.result.measured == ()


def test_there_is_one_log_line_for_a_run(check: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=runner.__name__):
        run_check(check(lambda *_: CheckResult(reason=Reason.BALANCE_LOW, detail="low")), None, PAST)
    (record,) = caplog.records
    assert (record.msg, vars(record)["reason"], vars(record)["detail"]) == ("check done", "balance_low", "low")
