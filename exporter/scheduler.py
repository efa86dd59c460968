"""Runs each check at its interval. The only module that knows APScheduler."""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.executors.base import BaseExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from .meters import Meters, SchedulerEvent
from .runner import Defect, contained

_log: Final = logging.getLogger(__name__)

# Little's law: threads busy at once = runs a second x seconds a run. This is for 10,000 checks a minute that take
# three seconds each. Threads are made only as they are needed, so a few checks have a few of them; APScheduler's own
# default of ten loses most runs of a few hundred checks to one slow provider.
_MAX_THREADS: Final = 512
_JITTER_SHARE: Final = 0.05  # of the interval: keeps checks of many targets from marching in step
# First runs are spread, but nobody likes to wait for results. What begins together stays together, so many are
# spread more: all in three seconds would be a stampede in each interval.
_START_SPREAD_SECONDS: Final = 3.0
_FIRST_RUNS_A_SECOND: Final = 100.0
_CLOCK_TOLERANCE_SECONDS: Final = 5.0
_CLOCK_WATCH_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Rhythm:
    """How one check has been started, to notice turns that nobody else reports."""

    interval_seconds: float
    is_running: bool = False
    is_wanted: bool = False  # asked for out of turn, and not started since
    started_at: float | None = None  # by the monotonic clock
    reported: int = 0  # turns since that start that were counted already

    def start(self, now: float) -> int:
        """Note a start; return how many turns were missed unnoticed since the one before.

        APScheduler merges turns that it is late for into one (``coalesce``) and tells nobody.
        """
        turns = 1 if self.started_at is None else round((now - self.started_at) / self.interval_seconds)
        missed = max(0, turns - 1 - self.reported)
        self.is_running, self.is_wanted, self.started_at, self.reported = True, False, now, 0
        return missed


class _Turns(BaseTrigger):
    """Due once an interval, as long after the turn before as it was on average: the jitter goes both ways."""

    def __init__(self, interval_seconds: float) -> None:
        self._interval_seconds = interval_seconds

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return when the turn after ``previous_fire_time`` is due."""
        jitter = random.uniform(-_JITTER_SHARE, _JITTER_SHARE) / 2  # noqa: S311  # no secret
        return (previous_fire_time or now) + timedelta(seconds=self._interval_seconds * (1 + jitter))


class _Threads(BaseExecutor):
    """Runs what is due in threads, and tells when it was. As APScheduler's own, without its log and events."""

    def __init__(self, threads: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of APScheduler, not annotated
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="check")

    def shutdown(self, wait: bool = True) -> None:
        """Let runs under way end; those that wait for a thread do not begin."""
        self._pool.shutdown(wait, cancel_futures=True)

    def _do_submit_job(self, job: Job, run_times: Sequence[datetime]) -> None:
        self._pool.submit(self._run_job, job, run_times[-1])

    def _run_job(self, job: Job, due_at: datetime) -> None:
        contained(lambda: job.func(*job.args, due_at))
        self._run_job_success(job.id, ())  # type: ignore[no-untyped-call]  # frees its turn


class Scheduler:
    """Calls ``run(name)`` for each scheduled name, at once and then at its interval, side by side."""

    def __init__(self, run: Callable[[str], None], meters: Meters, *, threads: int = _MAX_THREADS) -> None:
        self._run = run
        self._meters = meters
        self._rhythms: dict[str, _Rhythm] = {}
        self._lock = threading.Lock()
        logging.getLogger("apscheduler").setLevel(logging.CRITICAL)  # we count and log the same, with names
        self._scheduler = BackgroundScheduler(
            executors={"default": _Threads(threads)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._turn_skipped, EVENT_JOB_MAX_INSTANCES)
        self._watch = ClockWatch(self._clock_jumped)
        meters.scheduler_threads(threads)

    def start(self) -> None:
        """Begin to run what is scheduled, in threads of its own."""
        self._scheduler.start()
        self._watch.start()

    def stop(self) -> None:
        """Start no more runs and wait for those under way."""
        self._watch.stop()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def is_alive(self) -> bool:
        """Return whether runs will be started."""
        thread = getattr(self._scheduler, "_thread", None)
        return self._scheduler.running and thread is not None and thread.is_alive()

    def schedule(self, intervals: Mapping[str, float]) -> None:
        """Make this the whole schedule: name -> interval in seconds. What did not change keeps its rhythm."""
        with self._lock:
            gone = self._rhythms.keys() - intervals.keys()
            new = {
                name: seconds
                for name, seconds in intervals.items()
                if name not in self._rhythms or self._rhythms[name].interval_seconds != seconds
            }
            for name in gone:
                del self._rhythms[name]
            for name, seconds in new.items():
                was_running = name in self._rhythms and self._rhythms[name].is_running
                self._rhythms[name] = _Rhythm(seconds, is_running=was_running, is_wanted=was_running)
        for name in gone:
            self._scheduler.remove_job(name)
        for name, seconds in new.items():
            self._add(name, seconds, _start_spread(seconds, len(new)))

    def run_soon(self, name: str) -> None:
        """Run a scheduled name now, out of turn; when it is running, once more right after."""
        with self._lock:
            rhythm = self._rhythms.get(name)
            if rhythm is None:
                return
            rhythm.is_wanted = True
            if rhythm.is_running:
                return
        self._run_now(name)

    def _run_now(self, name: str) -> None:
        with suppress(JobLookupError):  # it left the schedule meanwhile
            self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def _add(self, name: str, interval: float, spread: float) -> None:
        self._scheduler.add_job(
            self._start,
            _Turns(interval),
            args=(name,),
            id=name,
            next_run_time=_soon(spread),
            replace_existing=True,
        )

    def _start(self, name: str, due_at: datetime | None = None) -> None:  # noqa: ARG002  # for who measures
        """Run a check that was due; once more, in the same turn, when that was asked for meanwhile."""
        while True:
            began = time.monotonic()
            with self._lock:
                rhythm = self._rhythms.get(name)
                missed = 0 if rhythm is None else rhythm.start(began)
            for _ in range(missed):
                self._report(SchedulerEvent.MISSED, name)
            if isinstance(contained(lambda: self._run(name)), Defect):
                self._report(SchedulerEvent.ERROR, name)
            self._meters.scheduler_busy(time.monotonic() - began)
            with self._lock:
                rhythm = self._rhythms.get(name)
                if rhythm is None or not rhythm.is_wanted:
                    if rhythm is not None:
                        rhythm.is_running = False
                    return

    def _turn_skipped(self, event: JobEvent) -> None:
        """Called when a check is due whose run before has not ended, or waits for a free thread."""
        with self._lock:
            rhythm = self._rhythms.get(event.job_id)
            if rhythm is None:
                return
            just_ended = rhythm.is_wanted and not rhythm.is_running
            if not just_ended:
                rhythm.reported += 1
            is_running = rhythm.is_running
        if just_ended:  # APScheduler has not noticed yet that the run before is over
            self._run_now(event.job_id)
            return
        self._report(SchedulerEvent.OVERLAP if is_running else SchedulerEvent.MISSED, event.job_id)

    def _report(self, event: SchedulerEvent, name: str) -> None:
        self._meters.scheduler_event(event)
        _log.warning("scheduler event", extra={"scheduler_event": event.value, "check": name})

    def _clock_jumped(self, seconds: float) -> None:
        """Lay the schedule anew: APScheduler keeps due times by the wall clock, so a step back would pause it."""
        self._meters.scheduler_event(SchedulerEvent.CLOCK_JUMP)
        _log.warning("the wall clock jumped; the schedule is laid anew", extra={"seconds": round(seconds, 1)})
        with self._lock:
            waiting = {name: rhythm.interval_seconds for name, rhythm in self._rhythms.items() if not rhythm.is_running}
        for name, seconds in waiting.items():
            with suppress(JobLookupError):  # it left the schedule meanwhile
                self._scheduler.modify_job(name, next_run_time=_soon(_start_spread(seconds, len(waiting))))


def _start_spread(interval: float, checks: int) -> float:
    """Return over how many seconds the first runs of so many checks are spread."""
    return min(interval, max(checks / _FIRST_RUNS_A_SECOND, min(interval * _JITTER_SHARE, _START_SPREAD_SECONDS)))


def _soon(spread: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=random.uniform(0, spread))  # noqa: S311  # no secret


class ClockWatch:
    """Notices when the wall clock is set, by comparing it with the monotonic one."""

    def __init__(
        self,
        on_jump: Callable[[float], None],
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_jump = on_jump
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="clock-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Compare the clocks once and report a jump, in seconds, forwards positive."""
        offset = self._wall() - self._monotonic()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > _CLOCK_TOLERANCE_SECONDS:
            self._on_jump(jump)

    def _loop(self) -> None:
        while not self._stopped.wait(_CLOCK_WATCH_SECONDS):
            contained(self.look)
