"""The check `verifier`: which clocks are told, how soon, and what is not taken for a wrong clock.

The simulation knows nothing of the model: clients read codes at random moments and type them some seconds later.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import pytest

from checks.reason import Reason
from checks.result import CheckResult, ClockOffset, ClockSource
from checks.totp_steps import (
    CERTAIN,
    WINDOW,
    Slot,
    accepted_shares,
    find_wrong_clock,
    learn_typing,
    step_shares,
)
from checks.verifier import VerifierSettings, check_verifier
from tests.fakes import NOW, past

NOW_UNIX = NOW.timestamp()
HOUR, DAY = 3600.0, 86_400.0
SETTINGS = VerifierSettings(target="platform")


def sign_in(chance: random.Random, *, offset: float, typing: float) -> int | None:
    """The step that a client's code matches, None when it is refused."""
    device = chance.uniform(-90, 90) if chance.random() < 0.02 else 0.0
    read_at = chance.uniform(0, 30)
    verified_at = read_at + chance.lognormvariate(math.log(typing), 0.465)
    step = math.floor((read_at + device) / 30) - math.floor((verified_at + offset) / 30)
    return step if step in WINDOW else None


def simulate(
    chance: random.Random, slots: int, sign_ins: int, *, offset: float = 0.0, typing: float = 7.0, at: float = 0.0
) -> list[Slot]:
    """Slots of five minutes with so many successful sign-ins each, from ``at`` on."""
    simulated = []
    for number in range(slots):
        steps: Counter[int] = Counter()
        while steps.total() < sign_ins:
            step = sign_in(chance, offset=offset, typing=typing)
            if step is not None:
                steps[step] += 1
        simulated.append(Slot(at=at + 300 * number, steps=steps, unmatched=0, replayed=0))
    return simulated


def sign_ins_until_told(chance: random.Random, *, offset: float, sign_ins: int = 3) -> tuple[int, float]:
    """How many sign-ins with a wrong clock, after a healthy day, until it is told, and what offset is told."""
    slots = simulate(chance, 100, sign_ins)
    for number in range(1, 200):
        slots += simulate(chance, 1, sign_ins, offset=offset, at=300.0 * len(slots))
        wrong = find_wrong_clock(slots, 7.0, min_sign_ins=20, min_offset=5.0)
        if wrong is not None:
            return number * sign_ins, wrong.seconds
    raise AssertionError("never told")


@pytest.mark.parametrize(
    ("offset", "before", "refused"),
    [
        (0, 0.26, 0.010),
        (5, 0.42, 0.011),
        (10, 0.58, 0.013),
        (15, 0.74, 0.019),
        (20, 0.85, 0.041),
        (30, 0.73, 0.27),
        (45, 0.24, 0.75),
        (60, 0.0, 0.99),
        (-30, 0.0, 0.01),
        (-60, 0.0, 0.73),
    ],
)
def test_a_clock_shifts_the_steps_as_far_as_it_is_wrong(offset: float, before: float, refused: float) -> None:
    shares = step_shares(offset, 7.0)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[-1] == pytest.approx(before, abs=0.015)
    assert 1 - sum(shares[step] for step in WINDOW) == pytest.approx(refused, abs=0.01)


@pytest.mark.parametrize(("offset", "typing"), [(0, 7.0), (10, 7.0), (-12, 7.0), (20, 12.0), (-40, 4.0)])
def test_the_shares_are_those_of_clients_who_read_and_type(offset: float, typing: float) -> None:
    chance = random.Random(5)
    steps = Counter(sign_in(chance, offset=offset, typing=typing) for _ in range(20_000))
    accepted = sum(steps[step] for step in WINDOW)
    seen = tuple(steps[step] / accepted for step in WINDOW)
    assert seen == pytest.approx(accepted_shares(offset, typing), abs=0.012)


@pytest.mark.parametrize(("offset", "needed"), [(5, 187), (10, 49), (15, 23), (20, 13)])
def test_so_many_sign_ins_are_needed_to_be_sure(offset: float, needed: int) -> None:
    wrong, right = accepted_shares(offset, 7.0), accepted_shares(0, 7.0)
    information = sum(share * math.log(share / usual) for share, usual in zip(wrong, right, strict=True))
    assert pytest.approx(needed, rel=0.1) == CERTAIN / information


@pytest.mark.parametrize(("offset", "most"), [(10, 60), (20, 24), (-10, 40), (-20, 15)])
def test_a_wrong_clock_is_told_after_few_sign_ins(offset: float, most: int) -> None:
    told = [sign_ins_until_told(random.Random(seed), offset=offset) for seed in range(51)]
    assert median(count for count, _ in told) <= most
    assert all(math.copysign(5, offset) * seconds >= 25 for _, seconds in told)


@pytest.mark.parametrize("offset", [10, 20, 30, -10, -20, -30])
def test_after_some_more_sign_ins_the_offset_is_told_well(offset: float) -> None:
    for seed in range(10):
        chance = random.Random(seed)
        slots = simulate(chance, 100, 5) + simulate(chance, 40, 5, offset=offset, at=30_000.0)
        wrong = find_wrong_clock(slots, 7.0, min_sign_ins=20, min_offset=5.0)
        assert wrong is not None
        assert wrong.seconds == pytest.approx(offset, abs=max(4, abs(offset) / 4))


def test_a_clock_that_is_right_is_not_called_wrong() -> None:
    false_alarms = 0
    for seed in range(200):
        slots = simulate(random.Random(seed), 100, 20)
        false_alarms += any(
            find_wrong_clock(slots[:count], 7.0, min_sign_ins=20, min_offset=5.0) for count in range(2, 101, 2)
        )
    assert false_alarms <= 1


def test_a_clock_that_was_put_right_is_soon_no_fault_any_more() -> None:
    chance = random.Random(1)
    slots = simulate(chance, 100, 10) + simulate(chance, 60, 10, offset=10, at=30_000.0)
    assert find_wrong_clock(slots, 7.0, min_sign_ins=20, min_offset=5.0) is not None
    slots += simulate(chance, 6, 10, at=48_000.0)
    assert find_wrong_clock(slots, 7.0, min_sign_ins=20, min_offset=5.0) is None


@pytest.mark.parametrize("typing", [4.0, 7.0, 12.0])
def test_how_long_clients_type_is_learnt(typing: float) -> None:
    learnt = learn_typing(simulate(random.Random(2), 3000, 2, typing=typing))
    assert learnt.sign_ins == 6000
    assert learnt.median_seconds == pytest.approx(typing, abs=1)


def test_little_history_moves_what_is_assumed_little() -> None:
    learnt = learn_typing(simulate(random.Random(2), 25, 2, typing=15.0))
    assert not learnt.is_learnt
    assert 7.0 < learnt.median_seconds < 10.0
    assert learn_typing([]).median_seconds == 7.0


def test_some_days_with_a_wrong_clock_do_not_pass_for_slow_typing() -> None:
    chance = random.Random(3)
    right, wrong = simulate(chance, 288 * 8, 2), simulate(chance, 288 * 5, 2, offset=12, at=8 * DAY)
    assert learn_typing([*right, *wrong]).median_seconds == pytest.approx(7.0, abs=1)


@dataclass(frozen=True)
class Told:
    """A book with these slots."""

    kept: Sequence[Slot]

    def slots(self, since: float) -> Sequence[Slot]:
        return [slot for slot in self.kept if slot.at >= since]


def slot(before: int, same: int, after: int = 0, *, ago: float = 600.0, refused: int = 0) -> Slot:
    return Slot(at=NOW_UNIX - ago, steps={-1: before, 0: same, 1: after, -9: refused}, unmatched=9, replayed=2)


def check(*slots: Slot, settings: VerifierSettings = SETTINGS) -> CheckResult:
    return check_verifier(None, settings, replace(past("verifier"), verifier=Told(slots)))


def usual(before: int = 26, same: int = 74) -> list[Slot]:
    """Twelve days of 100 sign-ins each."""
    return [slot(before, same, ago=day * DAY) for day in range(13, 1, -1)]


def test_a_fast_clock_is_told_with_its_evidence() -> None:
    result = check(*usual(), slot(36, 26, ago=300))
    assert result == CheckResult(
        reason=Reason.SERVER_CLOCK_SKEWED,
        detail="62 sign-ins since 11:55 UTC: 58% matched the step before, 26% do so normally:"
        " the platform's clock is about 10 s fast",
        measured=(ClockOffset(seconds=10, source=ClockSource.VERIFIER),),
    )


def test_a_slow_clock_is_told_by_the_step_that_differs_most() -> None:
    result = check(*usual(), slot(1, 30, 20, ago=300))
    assert result.reason is Reason.SERVER_CLOCK_SKEWED
    assert result.detail == (
        "51 sign-ins since 11:55 UTC: 39% matched the next step, 0% do so normally:"
        " the platform's clock is about 19 s slow"
    )
    assert result.measured == (ClockOffset(seconds=-19, source=ClockSource.VERIFIER),)


def test_evidence_of_many_quiet_days_has_its_date() -> None:
    quiet = [slot(9, 5, ago=day * DAY) for day in (4, 3, 2, 1, 0)]
    result = check(*quiet)
    assert result.detail == (
        "70 sign-ins since 2026-02-25 12:00 UTC: 64% matched the step before, 33% would do so with a right clock:"
        " the platform's clock is about 10 s fast"
    )


def test_a_right_clock_passes_with_its_offset() -> None:
    result = check(*usual(), slot(8, 22), slot(8, 22, ago=900))
    assert result == CheckResult(
        reason=Reason.OK,
        detail="60 sign-ins in the last hour, offset about 0 s",
        measured=(ClockOffset(seconds=0, source=ClockSource.VERIFIER),),
    )


def test_few_sign_ins_are_not_judged() -> None:
    result = check(*usual(), slot(19, 0))
    assert result == CheckResult(
        reason=Reason.OK, detail="19 sign-ins in the last hour: not judged, fewer than 20", measured=()
    )
    assert check().detail == "0 sign-ins in the last hour: not judged, fewer than 20"


def test_a_platform_that_accepts_no_other_step_tells_nothing() -> None:
    result = check(*usual(0, 100), slot(0, 200))
    assert result == CheckResult(
        reason=Reason.OK,
        detail="200 sign-ins in the last hour, none with a code of another step: nothing to judge",
        measured=(),
    )
    assert learn_typing(usual(0, 100)).median_seconds == 7.0
    assert check(*usual(), slot(0, 80)).reason is Reason.OK


def test_refused_codes_are_no_evidence() -> None:
    assert check(*usual(), slot(8, 22, refused=500)).reason is Reason.OK


def test_slow_typing_is_no_fast_clock_where_it_is_usual() -> None:
    slow = slot(210, 290)  # 42 % at the step before, as with a clock that is 5 s fast
    assert check(*usual(42, 58), slow).reason is Reason.OK
    assert check(*usual(), slow).reason is Reason.SERVER_CLOCK_SKEWED


def test_until_typing_is_learnt_only_a_larger_offset_is_told() -> None:
    assert check(slot(210, 290)).reason is Reason.OK
    assert check(slot(290, 210)).reason is Reason.SERVER_CLOCK_SKEWED


def test_how_wrong_a_clock_may_be_is_a_setting() -> None:
    tolerant = VerifierSettings(target="platform", max_offset="15s")
    assert check(*usual(), slot(58, 42)).reason is Reason.SERVER_CLOCK_SKEWED
    assert check(*usual(), slot(58, 42), settings=tolerant).reason is Reason.OK


def test_sign_ins_of_the_future_are_left_out() -> None:
    assert check(*usual(), slot(90, 10, ago=-600)).reason is Reason.OK
