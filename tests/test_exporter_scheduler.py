"""The scheduler: everything at once, nothing lost, nothing twice at a time, whatever the clock does."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from exporter.meters import Meters, SchedulerEvent
from exporter.scheduler import ClockWatch, Scheduler, _Rhythm, _Turns

PATIENCE_SECONDS = 10


def wait_for(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends_at, "did not happen in time"
        time.sleep(0.005)


class Bench:
    """A scheduler whose runs are counted and may be held up."""

    def __init__(self, threads: int = 64) -> None:
        self.meters = Meters()
        self.runs: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self.scheduler = Scheduler(self._run, self.meters, threads=threads)

    def _run(self, name: str) -> None:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.gate.wait(PATIENCE_SECONDS)
        with self._lock:
            self.at_once -= 1
            self.runs[name] += 1

    def events(self, event: SchedulerEvent) -> int:
        return self.meters.read().scheduler_events[event]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.gate.set()
    made.scheduler.stop()


def test_everything_runs_at_once_and_then_again(bench: Bench) -> None:
    bench.scheduler.schedule({"a": 0.05, "b": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.runs["a"] >= 3 and bench.runs["b"] == 1)


def test_checks_run_side_by_side(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.schedule({f"c{n}": 3600.0 for n in range(30)})
    bench.scheduler.start()
    wait_for(lambda: bench.at_once == 30)


def test_a_run_that_is_still_going_is_not_started_again_but_counted(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.schedule({"slow": 0.05})
    bench.scheduler.start()
    wait_for(lambda: bench.events(SchedulerEvent.OVERLAP) >= 2)
    assert bench.most_at_once == 1


def test_turns_that_pass_while_no_thread_is_free_are_counted_as_missed() -> None:
    bench = Bench(threads=1)
    bench.gate.clear()
    bench.scheduler.schedule({"a": 0.1, "b": 0.1})
    bench.scheduler.start()
    try:
        wait_for(lambda: bench.events(SchedulerEvent.MISSED) >= 2)
        assert bench.events(SchedulerEvent.OVERLAP) >= 1
        assert bench.most_at_once == 1
    finally:
        bench.gate.set()
        bench.scheduler.stop()


def test_turns_that_apscheduler_merges_are_counted_as_missed() -> None:
    rhythm = _Rhythm(60.0)
    starts = [0.0, 61.0, 118.0, 358.0, 418.0, 420.0]  # one was three turns late, the last one out of turn
    assert [rhythm.start(at) for at in starts] == [0, 0, 0, 3, 0, 0]


def test_a_turn_that_was_reported_is_not_counted_again() -> None:
    rhythm = _Rhythm(60.0)
    rhythm.start(0.0)
    rhythm.reported = 2
    assert rhythm.start(180.0) == 0


def test_a_check_asked_for_while_it_runs_runs_once_more_without_overlap(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.schedule({"a": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.at_once == 1)
    bench.scheduler.run_soon("a")
    bench.scheduler.run_soon("a")
    bench.gate.set()
    wait_for(lambda: bench.runs["a"] == 2)
    time.sleep(0.1)
    assert bench.runs["a"] == 2
    assert bench.events(SchedulerEvent.OVERLAP) == 0


def test_a_check_asked_for_at_the_very_end_of_a_run_still_runs_once_more() -> None:
    meters = Meters()
    runs: Counter[str] = Counter()

    def run(name: str) -> None:
        runs[name] += 1

    def has_run(times: int) -> Callable[[], bool]:
        return lambda: runs["a"] >= times

    scheduler = Scheduler(run, meters)
    scheduler.schedule({"a": 3600.0})
    scheduler.start()
    try:
        for expected in range(1, 201):
            wait_for(has_run(expected))
            scheduler.run_soon("a")  # before, while or after APScheduler notices the end
        wait_for(lambda: runs["a"] == 201)
        assert meters.read().scheduler_events[SchedulerEvent.OVERLAP] == 0
        assert meters.read().scheduler_events[SchedulerEvent.MISSED] == 0
    finally:
        scheduler.stop()


def test_first_runs_are_spread(bench: Bench) -> None:
    bench.scheduler.schedule({f"c{n}": 60.0 for n in range(50)})
    due = [job.next_run_time for job in bench.scheduler._scheduler.get_jobs()]
    assert timedelta(seconds=0.5) < max(due) - min(due) <= timedelta(seconds=3)


def test_what_leaves_the_schedule_stops_and_what_stays_keeps_its_rhythm(bench: Bench) -> None:
    bench.scheduler.schedule({"gone": 0.05, "stays": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.runs["gone"] >= 1 and bench.runs["stays"] == 1)
    bench.scheduler.schedule({"stays": 3600.0, "new": 3600.0})
    wait_for(lambda: bench.runs["new"] == 1)
    count = bench.runs["gone"]
    time.sleep(0.2)
    assert bench.runs["gone"] <= count + 1  # one may have been under way
    assert bench.runs["stays"] == 1


def test_a_check_can_be_run_out_of_turn(bench: Bench) -> None:
    bench.scheduler.schedule({"a": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.runs["a"] == 1)
    bench.scheduler.run_soon("a")
    wait_for(lambda: bench.runs["a"] == 2)


def test_a_defect_in_a_run_is_counted_and_the_next_run_comes(bench: Bench) -> None:
    meters = Meters()

    def broken(name: str) -> None:
        raise RuntimeError(name)

    scheduler = Scheduler(broken, meters)
    scheduler.schedule({"a": 0.05})
    scheduler.start()
    wait_for(lambda: meters.read().scheduler_events[SchedulerEvent.ERROR] >= 2)
    scheduler.stop()


def test_it_is_alive_from_start_to_stop(bench: Bench) -> None:
    assert not bench.scheduler.is_alive()
    bench.scheduler.start()
    assert bench.scheduler.is_alive()
    bench.scheduler.stop()
    assert not bench.scheduler.is_alive()


def test_a_clock_that_is_set_back_does_not_pause_the_checks(bench: Bench) -> None:
    bench.scheduler.schedule({"a": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.runs["a"] == 1)
    # As after a step back of two hours: what was due in one hour is now due in three.
    bench.scheduler._scheduler.modify_job("a", next_run_time=datetime.now(UTC) + timedelta(hours=3))
    bench.scheduler._clock_jumped(-7200.0)
    wait_for(lambda: bench.runs["a"] == 2)
    assert bench.events(SchedulerEvent.CLOCK_JUMP) == 1


@pytest.mark.parametrize(("wall_step", "reported"), [(1.0, None), (5.9, None), (7200.0, 7199.0), (-3600.0, -3601.0)])
def test_only_a_step_of_the_clock_is_a_jump(wall_step: float, reported: float | None) -> None:
    jumps: list[float] = []
    wall, monotonic = [1000.0], [50.0]
    watch = ClockWatch(jumps.append, wall=lambda: wall[0], monotonic=lambda: monotonic[0])
    wall[0] += wall_step
    monotonic[0] += 1.0
    watch.look()
    watch.look()
    assert jumps == ([] if reported is None else [pytest.approx(reported)])


def test_first_runs_of_many_checks_are_spread_over_their_interval(bench: Bench) -> None:
    bench.scheduler.schedule({f"c{n}": 20.0 for n in range(3000)})
    due = sorted(job.next_run_time for job in bench.scheduler._scheduler.get_jobs())
    assert timedelta(seconds=18) < due[-1] - due[0] < timedelta(seconds=22)  # to add them takes a moment
    assert min(later - due[at] for at, later in enumerate(due[300:])) > timedelta(seconds=1)  # two, if evenly


def test_turns_come_at_the_interval_on_average() -> None:
    turns, at = _Turns(60.0), datetime(2026, 11, 24, tzinfo=UTC)
    begin = at
    for _ in range(2000):
        at = turns.get_next_fire_time(at, at)
    assert (at - begin).total_seconds() / 2000 == pytest.approx(60.0, rel=0.002)


def test_three_hundred_slow_checks_have_three_hundred_threads(bench: Bench) -> None:
    bench = Bench(threads=512)
    bench.gate.clear()
    bench.scheduler.schedule({f"c{n}": 3600.0 for n in range(300)})
    bench.scheduler.start()
    wait_for(lambda: bench.at_once == 300)
    bench.gate.set()
    bench.scheduler.stop()


def test_the_threads_and_the_time_that_they_were_busy_are_counted(bench: Bench) -> None:
    bench.gate.clear()
    bench.scheduler.schedule({"a": 3600.0})
    bench.scheduler.start()
    wait_for(lambda: bench.at_once == 1)
    time.sleep(0.1)
    assert bench.meters.read().scheduler_busy_seconds == 0
    bench.gate.set()
    wait_for(lambda: bench.meters.read().scheduler_busy_seconds >= 0.1)
    assert bench.meters.read().scheduler_threads == 64


def test_who_waits_for_a_thread_does_not_begin_after_the_stop() -> None:
    bench = Bench(threads=1)
    bench.gate.clear()
    bench.scheduler.schedule({f"c{n}": 0.1 for n in range(5)})
    bench.scheduler.start()
    wait_for(lambda: bench.events(SchedulerEvent.MISSED) >= 4)  # all five are due, one runs
    stopping = threading.Thread(target=bench.scheduler.stop)
    stopping.start()
    wait_for(lambda: not bench.scheduler.is_alive())
    bench.gate.set()
    stopping.join(PATIENCE_SECONDS)
    assert bench.runs.total() == 1
