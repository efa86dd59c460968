"""The objective of delivery, and the rules that follow from it: how fast its budget of errors is spent.

Several windows and several rates, as chapter 5 of the Site Reliability Workbook has them
(https://sre.google/workbook/alerting-on-slos/). Everything comes out of ``OBJECTIVE``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from checks.reason import Severity

from .rule import Alert, Dashboard, Recording, by_target

OBJECTIVE: Final = 0.9
"""The share of messages that arrive within ``WITHIN_SECONDS``. What operators lose on a good day is inside it."""

WITHIN_SECONDS: Final = 30
PERIOD_DAYS: Final = 30

_MOST_ERRORS: Final = 0.75
"""The largest error ratio that is waited for: with a budget of a tenth the rate of 14.4 would be out of reach."""
_FEWEST_MESSAGES: Final = 20  # in the short window: of fewer, one slow phone is a tenth of the budget

_FINISHED: Final = "target:twofa_messages_finished:rate5m"
_IN_TIME: Final = "target:twofa_messages_in_time:rate5m"
_OBJECTIVE: Final = "twofa:delivery_objective:ratio"


@dataclass(frozen=True, slots=True)
class _Window:
    """The share of the budget that may be spent in the long window. The short one ends the alert soon afterwards."""

    severity: Severity
    budget_share: float
    long: str
    short: str


_WINDOWS: Final = (
    _Window(Severity.CRITICAL, 0.02, "1h", "5m"),
    _Window(Severity.CRITICAL, 0.05, "6h", "30m"),
    _Window(Severity.WARNING, 0.10, "1d", "2h"),
    _Window(Severity.WARNING, 0.10, "3d", "6h"),
)
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86_400}


def seconds_of(window: str) -> int:
    """Return the seconds of a window such as ``30m``."""
    return int(window[:-1]) * _SECONDS[window[-1]]


def burn_rate(budget_share: float, long: str, objective: float = OBJECTIVE) -> float:
    """Return how many times faster than planned the budget is spent when that share goes in the window.

    Never more than can be reached, which is what a low objective allows. Raises ValueError for an objective that
    leaves no budget.
    """
    if not 0 < objective < 1:
        raise ValueError(f"objective: must be above 0 and below 1, got {objective}")
    planned = budget_share * PERIOD_DAYS * 86_400 / seconds_of(long)
    return min(planned, _MOST_ERRORS / (1 - objective))


def short_recordings() -> Iterator[Recording]:
    """Yield what the long windows average, and the ratios of windows of hours."""
    yield Recording(_OBJECTIVE, f"vector({OBJECTIVE})")
    yield Recording(
        _FINISHED,
        by_target("rate(twofa_message_delivery_seconds_count[5m])")
        + "\n+\n"
        + by_target('rate(twofa_messages_total{status=~"undelivered|failed"}[5m])'),
    )
    yield Recording(
        _IN_TIME,
        by_target(f'rate(twofa_message_delivery_seconds_bucket{{le="{float(WITHIN_SECONDS)}"}}[5m])'),
    )
    yield from _ratios(window for window in _windows() if seconds_of(window) < 86_400)


def long_recordings() -> Iterator[Recording]:
    """Yield the ratios of windows of days, which change slowly."""
    yield from _ratios(window for window in (*_windows(), f"{PERIOD_DAYS}d") if seconds_of(window) >= 86_400)


def _windows() -> list[str]:
    return sorted({window for each in _WINDOWS for window in (each.long, each.short)}, key=seconds_of)


def _ratios(windows: Iterator[str]) -> Iterator[Recording]:
    """Averages of rates, divided: a busy minute weighs more than a quiet one."""
    for window in windows:
        in_time, finished = (f"avg_over_time({name}[{window}])" for name in (_IN_TIME, _FINISHED))
        yield Recording(f"target:twofa_delivery_errors:ratio_rate{window}", f"1 - {in_time}\n/ ({finished} > 0)")


def burn_rate_alerts() -> Iterator[Alert]:
    """Yield one alert for each severity: both windows of a pair have to agree."""
    for severity in dict.fromkeys(each.severity for each in _WINDOWS):
        yield Alert(
            name="TwoFADeliveryBudgetBurn",
            severity=severity,
            expression="\nor\n".join(_burns(each) for each in _WINDOWS if each.severity is severity),
            for_="2m" if severity is Severity.CRITICAL else "15m",
            summary="Too many codes do not arrive in time.",
            description=(
                f"{{{{ $labels.target }}}}: {{{{ $value | humanizePercentage }}}} of messages do not arrive within"
                f" {WITHIN_SECONDS} s, where {1 - OBJECTIVE:.0%} may not. At this rate the"
                f" budget of {PERIOD_DAYS} days does not last."
            ),
            dashboard=Dashboard.DELIVERY,
            labels=("target",),
        )


def _burns(window: _Window) -> str:
    most = round(burn_rate(window.budget_share, window.long) * (1 - OBJECTIVE), 6)
    long, short = (f"target:twofa_delivery_errors:ratio_rate{each} > {most:g}" for each in (window.long, window.short))
    fewest = f"avg_over_time({_FINISHED}[{window.short}]) * {seconds_of(window.short)} >= {_FEWEST_MESSAGES}"
    return f"(\n  {long}\n  and\n  {short}\n  and\n  {fewest}\n)"
