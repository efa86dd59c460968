"""Runs one check and turns whatever happens into a ``CheckRun``."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TypeVar

from checks.errors import ProviderError
from checks.past import Past
from checks.providers.http import deadline
from checks.reason import Outcome, Reason
from checks.result import CheckResult, CheckRun

from .config import ConfiguredCheck

_log: Final = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defect:
    """Stands for the value that our own bug kept us from having. The log has the traceback."""

    name: str  # of the exception


def contained(work: Callable[[], T]) -> T | Defect:
    """Return what ``work`` returns, or the defect that it hit, logged with its traceback."""
    try:
        return work()
    except ProviderError:
        raise
    except Exception as defect:  # noqa: BLE001  # the one broad except: one bad run must not lose the others
        _log.error("defect", extra={"defect": type(defect).__name__}, exc_info=_without_values(defect))
        return Defect(type(defect).__name__)


def words_of(defect: Defect) -> str:
    """Return what is said of a defect where its result should stand."""
    return f"a defect of the exporter ({defect.name}); see its log"


def _without_values(defect: Exception) -> tuple[type[Exception], Exception, TracebackType | None]:
    """Return exception info whose message is left out: it may quote an answer, and so a phone number."""
    bare = RuntimeError(f"{type(defect).__name__} (message withheld)")
    return type(bare), bare, defect.__traceback__


def run_check(check: ConfiguredCheck, client: Any, past: Past) -> CheckRun:
    """Run a check against its target's client within the check's timeout. Never raises."""
    started_at = datetime.now(UTC)
    started = time.monotonic()
    result = _result_of(check, client, past)
    duration_seconds = time.monotonic() - started
    _log.info(
        "check done",
        extra={
            "check": check.name,
            "kind": check.kind_name,
            "target": check.target,
            "outcome": result.outcome.value,
            "reason": result.reason.value,
            "duration_seconds": round(duration_seconds, 3),
            "detail": result.detail,
        },
    )
    return CheckRun(
        check=check.name,
        kind=check.kind_name,
        target=check.target,
        result=result,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        duration_seconds=duration_seconds,
    )


def _result_of(check: ConfiguredCheck, client: Any, past: Past) -> CheckResult:
    try:
        with deadline(check.settings.timeout):
            result = contained(lambda: check.kind.function(client, check.settings, past))
    except ProviderError as error:
        return CheckResult(reason=error.reason, detail=str(error))
    if isinstance(result, Defect):
        return CheckResult(reason=Reason.INTERNAL, detail=words_of(result))
    if result.outcome is Outcome.ERROR and result.measured:
        return CheckResult(reason=result.reason, detail=result.detail)  # what is unknown is absent
    return result
