"""Works out what the status page says from the configuration and the results. Pure, storage's history aside."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from checks.balance import BalanceSettings
from checks.delivery import DeliverySettings
from checks.kinds import KINDS
from checks.reason import Outcome, Reason
from checks.result import Balance
from checks.settings import format_duration

from ..config import Config, ConfiguredCheck
from ..meters import MeterReadings
from ..readiness import OTHER, CountryReadiness, Readiness, Usability, judge_providers, judge_routes
from ..routes import RouteSettings
from ..shipped import runbook_path
from ..snapshot import CheckState, Snapshot
from ..storage import PastRun, Storage
from .sparkline import build_sparkline
from .views import ChartView, CheckView, PageView, RouteView, RunView, State, TargetView
from .words import amount, counted, listed, moment, span

REFRESH_SECONDS: Final = 15
_STALE_INTERVALS: Final = 3
_VALUES: Final = 40


_STATE_OF: Final = {Outcome.PASS: State.PASS, Outcome.FAIL: State.FAIL, Outcome.ERROR: State.ERROR}
_SEVERITY: Final = {state: position for position, state in enumerate(State)}
_REASON_ORDER: Final = {reason: position for position, reason in enumerate(Reason)}  # causes before effects


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What storage remembers of one check."""

    values: Sequence[float] = ()  # oldest first
    runs: Sequence[PastRun] = ()  # newest first
    earlier_failures: Sequence[PastRun] = ()  # newest first, older than ``runs``


def read_history(storage: Storage, config: Config, opened: frozenset[str]) -> Mapping[str, History]:
    """Return the history of each check; of its runs only where they are shown."""
    history = {}
    for name in config.checks:
        values = storage.recent_values(name, limit=_VALUES)
        if name in opened:
            runs = storage.recent_runs(name)
            failures = storage.recent_runs(name, passed=False)
            earlier = [run for run in failures if not runs or run.finished_at < runs[-1].finished_at]
            history[name] = History(values=values, runs=runs, earlier_failures=earlier)
        else:
            history[name] = History(values=values)
    return history


def build_page(
    *,
    config: Config,
    snapshot: Snapshot,
    history: Mapping[str, History],
    readings: MeterReadings,
    scheduled: bool,
    now: datetime,
    opened: frozenset[str] = frozenset(),
    refreshes: bool = True,
    leads: bool = True,
) -> PageView:
    """Return the page for one moment. ``opened`` names the checks whose runs are shown; unknown names do not count.

    ``leads`` says whether checks run here, or this exporter stands by for another one.
    """
    opened &= config.checks.keys()
    views = {
        check.name: _check_view(
            check,
            snapshot.checks.get(check.name),
            history.get(check.name, History()),
            now=now,
            is_open=check.name in opened,
            toggle=_link(opened ^ {check.name}, refreshes, check.name),
        )
        for check in config.checks.values()
    }
    by_target = {
        target: tuple(sorted((views[c.name] for c in config.checks.values() if c.target == target), key=_rank))
        for target in config.targets
    }
    targets = [
        TargetView(
            name=target,
            vendor=settings.type,
            state=_worst(by_target[target]),
            summary=_headline(by_target[target]) if by_target[target] else "No check looks at it",
            checks=by_target[target],
        )
        for target, settings in config.targets.items()
    ]
    checks = sorted(views.values(), key=_rank)
    return PageView(
        state=_worst(checks),
        headline=_headline(checks),
        lead=_lead(checks, by_target, judge_providers(config, snapshot)),
        worst=checks[0] if checks and checks[0].reason is not None and checks[0].state is not State.PASS else None,
        notices=_notices(readings, scheduled, leads, now),
        targets=tuple(sorted(targets, key=lambda target: _SEVERITY[target.state])),
        routes=tuple(_route_views(config, snapshot)),
        now=moment(now, now),
        refresh_seconds=REFRESH_SECONDS if refreshes else None,
        refresh_toggle=_link(opened, not refreshes, None),
    )


def _link(opened: frozenset[str], refreshes: bool, anchor: str | None) -> str:
    query = [("runs", name) for name in sorted(opened)] + ([] if refreshes else [("refresh", "off")])
    return f"/{'?' if query else ''}{urlencode(query)}{f'#check-{anchor}' if anchor else ''}"


# --- one check -------------------------------------------------------------------------------------


def _check_view(
    check: ConfiguredCheck, known: CheckState | None, history: History, *, now: datetime, is_open: bool, toggle: str
) -> CheckView:
    interval = check.settings.interval
    age = None if known is None else (now - known.last.finished_at).total_seconds()
    stale = age is not None and age > _STALE_INTERVALS * interval
    state = State.WAITING if known is None else _STATE_OF[known.last.result.outcome]
    if stale and state is State.PASS:
        state = State.STALE
    result = None if known is None else known.last.result
    passes = state is State.PASS
    return CheckView(
        name=check.name,
        kind=check.kind_name,
        state=state,
        reason=None if result is None else result.reason,
        runbook=None if result is None or result.reason is Reason.OK else runbook_path(result.reason),
        title="Not run yet" if result is None else result.reason.row.title,
        detail="" if result is None else result.detail,
        since=None if known is None else moment(known.reason_since, now),
        last_run=None if known is None else moment(known.last.finished_at, now),
        last_success=moment(known.last_success_at, now) if known and known.last_success_at and not passes else None,
        interval=format_duration(interval),
        stale=stale,
        chart=_chart(check, known, history.values),
        toggle=toggle,
        is_open=is_open,
        runs=tuple(_run_view(run, now) for run in history.runs) if is_open else (),
        earlier_failures=tuple(_run_view(run, now) for run in history.earlier_failures) if is_open else (),
    )


def _run_view(run: PastRun, now: datetime) -> RunView:
    return RunView(
        state=_STATE_OF[run.reason.outcome],
        at=moment(run.finished_at, now),
        title=run.reason.row.title,
        detail=run.detail,
        took=span(run.duration_seconds),
    )


def _chart(check: ConfiguredCheck, known: CheckState | None, values: Sequence[float]) -> ChartView | None:
    measured = () if known is None else known.last.result.measured
    balance = next((part for part in measured if isinstance(part, Balance)), None)
    limit: float | None = None
    match check.settings:
        case BalanceSettings(min_amount=least) if balance is not None:
            caption, words, limit = "Balance", [amount(value, balance.currency) for value in values], least
        case BalanceSettings():  # not known now, or a sub-account: it has none
            return None
        case DeliverySettings(max_latency=most):
            caption, words, limit = "90 % within", [span(value) for value in values], most
        case _:
            caption, words = "Run takes", [span(value) for value in values]
    sparkline = build_sparkline(values, limit)
    if sparkline is None:
        return None
    lowest, highest = (words[values.index(extreme)] for extreme in (min(values), max(values)))
    description = f"{caption}: {len(values)} values, from {words[0]} to {words[-1]}, lowest {lowest}, highest {highest}"
    return ChartView(sparkline=sparkline, caption=caption, latest=words[-1], description=description)


# --- all of them -----------------------------------------------------------------------------------


def _rank(check: CheckView) -> tuple[int, bool, int]:
    order = -1 if check.reason is None else _REASON_ORDER[check.reason]
    return _SEVERITY[check.state], not _stops_codes(check), order


def _stops_codes(check: CheckView) -> bool:
    return check.state is State.FAIL and check.reason is not None and KINDS[check.kind].stops_codes(check.reason)


def _worst(checks: Sequence[CheckView]) -> State:
    return min((check.state for check in checks), key=_SEVERITY.__getitem__, default=State.WAITING)


_PREDICATES: Final = {  # of one and of several
    State.FAIL: ("fails", "fail"),
    State.ERROR: ("gives no answer", "give no answer"),
    State.STALE: ("is stale", "are stale"),
    State.WAITING: ("has not run yet", "have not run yet"),
    State.PASS: ("passes", "pass"),
}


def _headline(checks: Sequence[CheckView]) -> str:
    states = Counter(check.state for check in checks)
    if len(states) == 1:
        ((state, count),) = states.items()
        if state is State.WAITING:
            return "No check has run yet"
        return f"{'The only check' if count == 1 else f'All {count} checks'} {_predicate(state, count)}"
    worst, *rest = sorted(states, key=_SEVERITY.__getitem__)
    first = f"{states[worst]} of {counted(len(checks), 'check')} {_predicate(worst, states[worst])}"
    others = [f"{states[state]} {_predicate(state, states[state])}" for state in rest if state is not State.PASS]
    return ", ".join([first, *others])


def _predicate(state: State, count: int) -> str:
    singular, plural = _PREDICATES[state]
    return singular if count == 1 else plural


def _lead(
    checks: Sequence[CheckView], by_target: Mapping[str, Sequence[CheckView]], providers: Mapping[str, Readiness]
) -> str:
    """Return the sentence that answers: can clients get codes now?"""
    stopped = [target for target, of_target in by_target.items() if any(map(_stops_codes, of_target))]
    usable = [
        target
        for target, readiness in providers.items()
        if readiness.state is Usability.USABLE and target not in stopped
    ]
    match _worst(checks):
        case State.FAIL if not stopped:
            return "Codes can still be sent, but something needs attention before they stop."
        case State.FAIL:
            sentence = f"Clients do not get codes through {listed(stopped)}."
            can_be_used = usable and all(target in providers for target in stopped)  # codes go through the back office
            return f"{sentence} {listed(usable)} can be used." if can_be_used else sentence
        case State.ERROR:
            return "Nothing is known to keep codes from clients, but not every question could be answered."
        case State.STALE:
            return "The last answers were good, but they are too old to rely on."
        case State.WAITING:
            return "Results come in as the checks run for the first time."
        case State.PASS:
            return "Nothing that the checks can see keeps codes from clients."


_ROUTE_STATES: Final = {Usability.USABLE: "usable", Usability.UNKNOWN: "not known yet"}


def _route_views(config: Config, snapshot: Snapshot) -> Iterator[RouteView]:
    """Yield the routes, those countries together whose providers stand alike."""
    alike: dict[tuple[RouteSettings, tuple[Readiness, ...]], list[CountryReadiness]] = {}
    for judged in judge_routes(config, snapshot):
        alike.setdefault((judged.route, tuple(judged.providers.values())), []).append(judged)
    for together in alike.values():
        one = together[0]
        usable, configured = one.count(Usability.USABLE), len(one.providers)
        yield RouteView(
            countries=", ".join("every other" if each.country == OTHER else each.country for each in together),
            state=_route_state(one),
            count=f"{usable} of {configured}",
            providers=tuple(
                f"{name}: {_ROUTE_STATES.get(each.state) or ', '.join(fault.row.title for fault in each.faults)}"
                for name, each in one.providers.items()
            ),
        )


def _route_state(judged: CountryReadiness) -> State:
    """Return how bad it is, as the alerts see it: one that is left of several, at most, is bad."""
    possible = judged.count(Usability.USABLE) + judged.count(Usability.UNKNOWN)
    if possible == 0 or (possible == 1 and len(judged.providers) > 1):
        return State.FAIL
    return State.PASS if judged.count(Usability.USABLE) else State.WAITING


def _notices(readings: MeterReadings, scheduled: bool, leads: bool, now: datetime) -> tuple[str, ...]:
    notices = []
    if not leads:
        notices.append("This exporter stands by and runs no checks. Look at the one that leads, which is ready.")
    if not scheduled:
        notices.append("No checks are being scheduled: these results will not change. Restart the exporter.")
    if readings.reload_succeeded_at is not None and not readings.reload_succeeded:
        at = moment(readings.reload_succeeded_at, now)
        notices.append(f"The last reload of the configuration was refused; that of {at.clock} is in force.")
    if readings.storage_errors:
        notices.append("Results could not be written to the database: see the exporter's log.")
    return tuple(notices)
