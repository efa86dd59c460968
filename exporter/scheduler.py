"""Runs each check at its interval. The only module that knows APScheduler."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from .meters import Meters, SchedulerEvent

_log: Final = logging.getLogger(__name__)

# Little's law: threads busy at once = runs a second x seconds a run. Made only as they are needed;
# APScheduler's own default of ten loses most runs of a few hundred checks to one slow provider.
_MAX_THREADS: Final = 64
_JITTER_SHARE: Final = 0.05  # of the interval: keeps checks of many targets from marching in step
_CLOCK_TOLERANCE_SECONDS: Final = 5.0
_CLOCK_WATCH_SECONDS: Final = 1.0

_EVENTS: Final = {
    EVENT_JOB_MISSED: SchedulerEvent.MISSED,
    EVENT_JOB_MAX_INSTANCES: SchedulerEvent.OVERLAP,
    EVENT_JOB_ERROR: SchedulerEvent.ERROR,
}


class Scheduler:
    """Calls ``run(name)`` for each scheduled name, at once and then at its interval, side by side."""

    def __init__(self, run: Callable[[str], None], meters: Meters) -> None:
        self._run = run
        self._meters = meters
        self._intervals: dict[str, float] = {}
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(_MAX_THREADS)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._scheduler.add_listener(self._count, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        self._watch = ClockWatch(self._clock_jumped)

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
        for name in self._intervals.keys() - intervals.keys():
            self._scheduler.remove_job(name)
        for name, interval in intervals.items():
            if self._intervals.get(name) != interval:
                self._add(name, interval)
        self._intervals = dict(intervals)

    def run_soon(self, name: str) -> None:
        """Run a scheduled name now, out of turn."""
        self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))

    def _add(self, name: str, interval: float) -> None:
        self._scheduler.add_job(
            self._run,
            "interval",
            args=(name,),
            id=name,
            seconds=interval,
            jitter=interval * _JITTER_SHARE,
            next_run_time=datetime.now(UTC),
            replace_existing=True,
        )

    def _count(self, event: JobEvent) -> None:
        kind = _EVENTS[event.code]
        self._meters.scheduler_event(kind)
        _log.warning("scheduler event", extra={"scheduler_event": kind.value, "check": event.job_id})

    def _clock_jumped(self, seconds: float) -> None:
        """Lay the schedule anew: APScheduler keeps due times by the wall clock, so a step back would pause it."""
        self._meters.scheduler_event(SchedulerEvent.CLOCK_JUMP)
        _log.warning("the wall clock jumped; the schedule is laid anew", extra={"seconds": round(seconds, 1)})
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC) + timedelta(seconds=0.1))


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
            self.look()
