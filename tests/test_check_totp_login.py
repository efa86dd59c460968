"""The check `totp_login`: which codes are given when, what comes of it, and that the client is never locked."""

import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from checks.back_office import SignIn, TotpSignInClient
from checks.backoffices.b2core import B2CoreClient, B2CoreSettings
from checks.errors import ProviderError, StorageUnavailableError, UnreachableError
from checks.past import Past
from checks.providers.http import deadline
from checks.reason import Outcome, Reason
from checks.result import AcceptedSteps, CheckResult
from checks.secret import Secret
from checks.totp import code_of, matching_step, step_at
from checks.totp_login import TotpLoginSettings, accepted_steps, check_totp_login
from exporter.meters import Meters
from exporter.sandbox import Sandbox
from exporter.storage import Storage

START = 1_800_000_000.0  # the beginning of a step
STEP = 30.0
DAY, HOUR = 86_400.0, 3600.0
EMAIL, PASSWORD, SECRET = "canary@broker.example", "correct-horse-battery", "JBSWY3DPEHPK3PXP"
ALL_WELL = "a right code passes, a wrong one and a used one do not"


def settings(**other: Any) -> TotpLoginSettings:
    known: dict[str, Any] = {"email": EMAIL, "password": Secret(PASSWORD), "totp_secret": Secret(SECRET)}
    return TotpLoginSettings(target="office", **{**known, **other})


@dataclass
class Platform:
    """Verifies codes as a platform does: in a window of steps, each code once and none older, five tries."""

    now: float = START + 5
    window: int = 1
    fast: float = 0.0  # seconds that its clock is ahead
    refuses_used: bool = True
    takes_wrong: bool = False
    most_tries: int = 5
    refuses_right: bool = False
    answer: SignIn | Exception | None = None  # instead of looking at the code
    used: int = -1
    given: list[str] = field(default_factory=list)
    outcomes: list[SignIn] = field(default_factory=list)
    fails_at: set[int] = field(default_factory=set)  # sign-ins whose answer gets lost, by number

    def sign_in(self, *, email: str, password: Secret, code: str) -> SignIn:
        assert (email, password.reveal()) == (EMAIL, PASSWORD)
        self.given.append(code)
        outcome = self._look_at(code)
        self.outcomes.append(outcome)
        if len(self.given) in self.fails_at:
            raise UnreachableError("the connection broke before the answer was complete")
        return outcome

    @property
    def refused_in_a_row(self) -> int:
        tail = 0
        for outcome in reversed(self.outcomes):
            if outcome is SignIn.ACCEPTED:
                break
            tail += 1
        return tail

    def _look_at(self, code: str) -> SignIn:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            return self.answer
        if self.refused_in_a_row >= self.most_tries:
            return SignIn.LOCKED
        if self.takes_wrong:
            return SignIn.ACCEPTED
        here = step_at(self.now + self.fast)
        steps = range(here - self.window, here + self.window + 1)
        step = matching_step(Secret(SECRET), code, (each for each in steps if each > self.used))
        if step is None or self.refuses_right:
            return SignIn.CODE_REFUSED
        if self.refuses_used:
            self.used = step
        return SignIn.ACCEPTED


@dataclass
class Runs:
    """Runs the check again and again, on notes that are kept as ever."""

    platform: Platform
    settings: TotpLoginSettings = field(default_factory=settings)
    storage: Storage = field(default_factory=lambda: Storage.in_memory(Meters()))
    results: list[CheckResult] = field(default_factory=list)

    def past(self) -> Past:
        return self.storage.past("totp-login", "office", datetime.fromtimestamp(self.platform.now, UTC))

    def run(self) -> CheckResult:
        """Run once, at the platform's time; waiting for the next step takes as long as it says."""

        def wait(seconds: float) -> None:
            self.platform.now = round(self.platform.now + seconds, 3)

        result = check_totp_login(self.platform, self.settings, self.past(), wait=wait)
        self.results.append(result)
        return result

    def after(self, seconds: float) -> CheckResult:
        self.platform.now += seconds
        return self.run()

    def times(self, count: int, *, every: float = 300.0) -> CheckResult:
        """Run so many times, one interval apart; the last result."""
        for _ in range(count):
            self.after(every)
        return self.results[-1]

    @property
    def note(self) -> str:
        return self.storage.notebook("totp-login").read() or ""


def steps_of(result: CheckResult) -> int | None:
    found = [each.steps for each in result.measured if isinstance(each, AcceptedSteps)]
    return found[0] if found else None


# A sign-in that is well


def test_a_right_code_passes() -> None:
    runs = Runs(Platform())
    result = runs.run()
    assert result.reason is Reason.OK
    assert runs.platform.given[0] == code_of(Secret(SECRET), step_at(runs.platform.now))
    assert result.detail == "a right code passes, a wrong one does not"


def test_a_run_gives_one_right_code_and_one_other_at_the_most() -> None:
    runs = Runs(Platform())
    for _ in range(40):
        before, right = len(runs.platform.given), code_of(Secret(SECRET), step_at(runs.platform.now))
        runs.run()
        given = runs.platform.given[before:]
        assert 1 <= len(given) <= 2
        assert right in given
        runs.platform.now += 300


def test_each_other_code_is_given_once_in_a_probe_interval() -> None:
    runs = Runs(Platform())
    runs.times(288)  # a day
    assert len(runs.platform.given) == 288 + 6  # a wrong one, a used one and four of other steps
    runs.times(288)
    assert len(runs.platform.given) == 2 * (288 + 6)
    assert {result.reason for result in runs.results} == {Reason.OK}
    assert runs.results[-1].detail == ALL_WELL


def test_no_step_is_tried_when_none_is_asked_for() -> None:
    runs = Runs(Platform(), settings(max_steps=0))
    result = runs.times(288)
    assert len(runs.platform.given) == 288 + 2
    assert (result.detail, result.measured) == (ALL_WELL, ())


def test_a_code_is_not_given_twice_within_its_step() -> None:
    runs = Runs(Platform())
    first = runs.run()
    given = len(runs.platform.given)
    assert runs.after(10) == first
    assert len(runs.platform.given) == given
    assert runs.after(20).reason is Reason.OK
    assert len(runs.platform.given) > given


@pytest.mark.parametrize(("at", "waited"), [(26.9, 0.0), (27.1, 2.9), (29.5, 0.5)])
def test_it_waits_for_the_next_step_when_little_of_this_one_is_left(at: float, waited: float) -> None:
    platform = Platform(now=START + at, window=0)
    assert Runs(platform).run().reason is Reason.OK
    assert platform.now == pytest.approx(START + at + waited, abs=1e-3)
    assert platform.given[0] == code_of(Secret(SECRET), step_at(START) + (waited > 0))


def test_it_does_not_wait_beyond_its_deadline() -> None:
    waits: list[float] = []
    platform = Platform(now=START + 28)
    with deadline(1.0):
        check_totp_login(platform, settings(), Runs(platform).past(), wait=waits.append)
    assert waits == []
    assert platform.given


def test_a_platform_that_refuses_late_codes_is_no_false_alarm_at_any_moment() -> None:
    runs = Runs(Platform(window=0))
    moments = random.Random(1)
    for _ in range(300):
        assert runs.after(270 + 60 * moments.random()).reason is Reason.OK


# Wrong codes that pass


def test_a_wrong_code_that_passes_is_told_until_it_is_refused() -> None:
    runs = Runs(Platform(takes_wrong=True))
    result = runs.run()
    assert (result.reason, result.detail) == (Reason.WRONG_CODE_ACCEPTED, "a wrong code passes")
    assert result.outcome is Outcome.FAIL
    assert runs.times(12).reason is Reason.WRONG_CODE_ACCEPTED
    runs.platform.takes_wrong = False
    assert runs.times(3).reason is Reason.OK


def test_a_used_code_that_passes_is_told_in_other_words_until_it_is_refused() -> None:
    runs = Runs(Platform(refuses_used=False))
    result = runs.times(3)
    assert (result.reason, result.detail) == (Reason.WRONG_CODE_ACCEPTED, "a code passes twice")
    assert runs.times(20).detail == "a code passes twice"
    runs.platform.refuses_used = True
    runs.platform.used = step_at(runs.platform.now)
    assert runs.times(1).reason is Reason.OK


def test_both_are_told_and_the_steps_are_tried_all_the_same() -> None:
    runs = Runs(Platform(takes_wrong=True))
    result = runs.times(20)
    assert result.detail == "a wrong code passes and a code passes twice"
    assert steps_of(result) == 2


# How far off a code may be


@pytest.mark.parametrize("refuses_used", [True, False], ids=["each once", "again and again"])
@pytest.mark.parametrize(("window", "measured"), [(0, 0), (1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("interval", [35.0, 60.0, 300.0])
def test_the_steps_that_pass_are_measured(window: int, measured: int, refuses_used: bool, interval: float) -> None:
    runs = Runs(Platform(window=window, refuses_used=refuses_used), settings(probe_interval="5m"))
    assert steps_of(runs.times(60, every=interval)) == measured
    expected = Reason.OK if refuses_used else Reason.WRONG_CODE_ACCEPTED
    assert {result.reason for result in runs.results[3:]} == {expected}


def test_a_later_code_that_is_refused_delays_no_run() -> None:
    runs = Runs(Platform(window=0), settings(probe_interval="1m"))
    later = 0
    for _ in range(60):
        given = len(runs.platform.given)
        was_later = code_of(Secret(SECRET), step_at(runs.platform.now) + 1) in runs.platform.given[-1:]
        runs.after(35)
        assert len(runs.platform.given) > given or not was_later
        later += was_later
    assert later > 5


def test_runs_in_quick_succession_stand_back_until_an_earlier_code_proves_something() -> None:
    runs = Runs(Platform(window=1, fast=-30.0), settings(probe_interval="10m"))  # it takes this step and two before it
    measured = [steps_of(runs.after(35)) for _ in range(200)]
    assert set(measured[60:]) == {2}
    before = code_of(Secret(SECRET), step_at(runs.platform.now) - 2)
    assert before not in runs.platform.given[-1:]
    assert len(runs.platform.given) > 200  # few runs stand back


@pytest.mark.parametrize("most", [1, 3, 5])
def test_more_steps_are_tried_where_that_is_asked_for(most: int) -> None:
    assert steps_of(Runs(Platform(window=3), settings(max_steps=most)).times(40)) == min(3, most)


@pytest.mark.parametrize(("fast", "measured"), [(-30.0, 2), (30.0, 2)])
def test_a_clock_that_is_off_widens_one_side(fast: float, measured: int) -> None:
    assert steps_of(Runs(Platform(window=1, fast=fast), settings(max_steps=3)).times(40)) == measured


def test_nothing_is_measured_before_each_step_was_tried_or_a_nearer_one_is_refused() -> None:
    measured = {}
    for window in (0, 1, 2, 3):
        runs = Runs(Platform(window=window))
        measured[window] = [steps_of(runs.after(300)) for _ in range(8)]
    assert measured[0] == [None, None, None, None, 0, 0, 0, 0]
    assert measured[1] == [None, None, None, None, None, None, 1, 1]
    assert measured[2] == measured[3] == [None, None, None, None, None, None, 2, 2]


def test_a_step_beyond_one_that_is_refused_is_not_tried() -> None:
    runs = Runs(Platform(window=0), settings(max_steps=5))
    runs.times(288)
    assert len(runs.platform.given) == 288 + 4  # a wrong one, a used one, the step before and the step after
    assert steps_of(runs.results[-1]) == 0
    runs.platform.window = 5
    assert steps_of(runs.times(310)) == 5


def test_the_measure_follows_a_platform_that_changes() -> None:
    runs = Runs(Platform(window=2))
    assert steps_of(runs.times(20)) == 2
    runs.platform.window = 1
    assert steps_of(runs.times(300)) == 1


@pytest.mark.parametrize(
    ("accepted", "steps"),
    [
        ({}, None),
        ({"wrong": True, "replay": True}, None),
        ({"-1": False}, None),
        ({"1": False}, None),
        ({"-1": False, "1": False}, 0),
        ({"-1": True, "1": False}, None),
        ({"-1": True, "-2": False, "1": False}, 1),
        ({"-1": False, "1": True, "2": False}, 1),
        ({"-1": True, "-2": True, "1": False}, 2),
        ({"-1": True, "-2": True, "1": True}, None),
        ({"-1": True, "-2": True, "1": True, "2": True}, 2),
        ({"-2": False, "2": False}, None),
        ({"-1": False, "-2": True, "1": False, "2": True}, 0),
        ({"3": True, "1": True}, None),
        ({"x": True, "": True, "1e9": True, "0": True}, None),
    ],
)
def test_only_the_steps_that_are_asked_for_count(accepted: Mapping[str, bool], steps: int | None) -> None:
    assert accepted_steps(dict(accepted), 2) == steps


# Never locked


@pytest.mark.parametrize("refuses_used", [True, False], ids=["each once", "again and again"])
@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("loses_answers", [False, True], ids=["well", "answers get lost"])
def test_between_two_codes_that_are_refused_there_is_a_right_one(
    window: int, refuses_used: bool, loses_answers: bool
) -> None:
    dice = random.Random(window)
    platform = Platform(window=window, refuses_used=refuses_used)
    if loses_answers:
        platform.fails_at = {number for number in range(9000) if dice.random() < 0.2}
    runs = Runs(platform, settings(probe_interval="1m"))
    longest = 0
    for _ in range(2000):
        platform.now += dice.choice([35.0, 41.0, 60.0, 97.0, 300.0])
        seen = len(platform.outcomes)
        try:
            runs.run()
        except UnreachableError:
            assert loses_answers
        for end in range(seen + 1, len(platform.outcomes) + 1):
            longest = max(
                longest, replace(platform, outcomes=platform.outcomes[max(0, end - 9) : end]).refused_in_a_row
            )
    assert SignIn.LOCKED not in platform.outcomes
    assert platform.outcomes.count(SignIn.CODE_REFUSED) > 150  # so that it says something
    assert longest == 1


def test_a_right_code_that_is_refused_fails_at_once_and_rests_after_three() -> None:
    runs = Runs(Platform())
    runs.times(10)
    runs.platform.refuses_right = True
    assert [runs.after(300).detail for _ in range(3)] == [
        "a right code is refused",
        "a right code is refused, 2 times in a row",
        "a right code is refused, 3 times in a row; tried again in an hour",
    ]
    assert {result.reason for result in runs.results[-3:]} == {Reason.CODE_REJECTED}
    assert all(result.measured == () for result in runs.results[-3:])
    given = len(runs.platform.given)
    assert runs.times(11) == runs.results[-12]
    assert len(runs.platform.given) == given
    runs.platform.refuses_right = False
    assert runs.times(2).reason is Reason.OK
    assert len(runs.platform.given) == given + 2
    assert SignIn.LOCKED not in runs.platform.outcomes


def test_refused_right_codes_are_counted_from_the_last_one_that_passed() -> None:
    runs = Runs(Platform(refuses_right=True))
    runs.times(2)
    runs.platform.refuses_right = False
    runs.times(1)
    runs.platform.refuses_right = True
    assert runs.times(1).detail == "a right code is refused"
    assert runs.times(2).detail == "a right code is refused, 3 times in a row; tried again in an hour"


def test_no_other_code_is_tried_while_right_ones_are_refused() -> None:
    runs = Runs(Platform(refuses_right=True))
    runs.times(3)
    assert runs.platform.given == [code_of(Secret(SECRET), step_at(START + 5 + 300 * number)) for number in (1, 2, 3)]


@pytest.mark.parametrize("lost", [{1, 3, 5}, {2, 4, 6}, {1, 2, 4}, {2, 3}], ids=str)
def test_answers_that_get_lost_count_towards_the_rest(lost: set[int]) -> None:
    runs = Runs(Platform(refuses_right=True, fails_at=lost))
    for number in (1, 2, 3):
        runs.platform.now += 300
        if number in lost:
            with pytest.raises(UnreachableError):
                runs.run()
        else:
            assert runs.run().reason is Reason.CODE_REJECTED
    result = runs.times(11)
    assert len(runs.platform.given) == 3
    assert result.detail.endswith("; tried again in an hour")
    runs.platform.refuses_right, runs.platform.fails_at = False, set()
    assert runs.times(2).reason is Reason.OK


def test_an_outage_rests_for_a_quarter_of_an_hour_and_is_over_then() -> None:
    runs = Runs(Platform(answer=UnreachableError("the connection was refused")))
    for _ in range(3):
        with pytest.raises(UnreachableError):
            runs.after(300)
    given = len(runs.platform.given)
    result = runs.times(2)
    assert (result.reason, len(runs.platform.given)) == (Reason.UNREACHABLE, given)
    assert result.detail == "the connection was refused; tried again in a quarter of an hour"
    runs.platform.answer = None
    assert runs.times(1).reason is Reason.OK


def test_an_outage_that_lasts_rests_for_an_hour_then() -> None:
    runs = Runs(Platform(answer=UnreachableError("the connection was refused")))
    for seconds in (300, 300, 300, 900, 3600):
        with pytest.raises(UnreachableError):
            runs.after(seconds)
    assert runs.times(11).detail == "the connection was refused; tried again in an hour"
    assert len(runs.platform.given) == 5


def test_broken_sign_ins_are_counted_from_the_last_right_code_that_passed() -> None:
    runs = Runs(Platform())
    for _ in range(6):
        runs.platform.fails_at = {len(runs.platform.given) + 1}
        with pytest.raises(UnreachableError):
            runs.after(300)
        assert runs.after(300).reason is Reason.OK


@pytest.mark.parametrize("reason", [Reason.PERMISSION_MISSING, Reason.RATE_LIMITED, Reason.TLS_FAILED])
def test_errors_before_a_code_is_given_need_no_rest(reason: Reason) -> None:
    runs = Runs(Platform(answer=ProviderError(reason, "refused")))
    for number in range(1, 8):
        with pytest.raises(ProviderError):
            runs.after(300)
        assert len(runs.platform.given) == number
    runs.platform.answer = SignIn.CODE_REFUSED
    assert runs.after(300).detail == "a right code is refused"


def test_a_client_is_not_locked_while_codes_are_refused_and_answers_get_lost() -> None:
    for seed in range(20):
        dice = random.Random(seed)
        platform = Platform(refuses_right=True, fails_at={number for number in range(99) if dice.random() < 0.5})
        runs = Runs(platform)
        for _ in range(11):
            platform.now += 300
            with suppress(UnreachableError):
                runs.run()
        assert platform.refused_in_a_row <= 4
        assert SignIn.LOCKED not in platform.outcomes


@pytest.mark.parametrize("phase", range(8))
def test_the_client_is_not_locked_whenever_codes_begin_to_be_refused(phase: int) -> None:
    runs = Runs(Platform(window=0), settings(probe_interval="1m"))
    runs.times(10 + phase)
    runs.platform.refuses_right = True
    runs.times(11)
    assert runs.platform.refused_in_a_row <= 4
    assert SignIn.LOCKED not in runs.platform.outcomes


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (SignIn.PASSWORD_REFUSED, Reason.CREDENTIALS_REJECTED, "refuses the canary client's e-mail or password"),
        (SignIn.LOCKED, Reason.TOO_MANY_ATTEMPTS, "has locked the canary client"),
    ],
)
@pytest.mark.parametrize("runs_before", range(8))
def test_a_refused_password_and_a_lock_rest_for_an_hour_after_one_try(
    answer: SignIn, reason: Reason, words: str, runs_before: int
) -> None:
    runs = Runs(Platform())
    for _ in range(runs_before):
        runs.after(300)
    given = len(runs.platform.given)
    runs.platform.answer = answer
    result = runs.after(300)
    assert result.reason is reason
    assert words in result.detail
    assert "tried again in an hour" in result.detail
    assert result.measured == ()
    assert runs.times(11) == result
    assert len(runs.platform.given) == given + 1
    runs.platform.answer = None
    assert runs.times(1).reason is Reason.OK


class AnyClient:
    """Lets whoever comes sign in without a code."""

    asked = 0

    def sign_in(self, **_: object) -> SignIn:
        self.asked += 1
        return SignIn.CODE_NOT_ASKED


@pytest.mark.parametrize("mended", ["email", "password", "totp_secret"])
@pytest.mark.parametrize("answer", [SignIn.PASSWORD_REFUSED, SignIn.CODE_REFUSED, SignIn.LOCKED])
def test_other_settings_end_a_rest_at_once(answer: SignIn, mended: str) -> None:
    new = {"email": "other@broker.example", "password": Secret("mended"), "totp_secret": Secret("GEZDGNBVGY3TQOJQ")}
    runs = Runs(Platform(answer=answer))
    runs.times(4)
    runs.settings = settings(**{mended: new[mended]})
    client = AnyClient()
    past = replace(runs.past(), now=datetime.fromtimestamp(runs.platform.now + 300, UTC))
    assert check_totp_login(client, runs.settings, past).reason is Reason.CLIENT_2FA_DISABLED
    assert client.asked == 1


@pytest.mark.parametrize("other", [{"interval": "10m"}, {"max_steps": 5}, {"probe_interval": "2h"}], ids=str)
def test_settings_that_are_not_about_the_client_end_no_rest(other: Mapping[str, Any]) -> None:
    runs = Runs(Platform(answer=SignIn.PASSWORD_REFUSED))
    runs.run()
    runs.settings = settings(**other)
    assert runs.times(11).reason is Reason.CREDENTIALS_REJECTED
    assert len(runs.platform.given) == 1


def test_a_new_process_ends_a_rest_and_one_more_refusal_begins_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = Runs(Platform(refuses_right=True))
    runs.times(3)
    digest = msgspec.json.decode(runs.note)["account"]
    monkeypatch.setattr("checks.totp_login._PROCESS_KEY", b"of another process" * 2)
    result = runs.times(11)
    assert len(runs.platform.given) == 4
    assert result.detail == "a right code is refused, 4 times in a row; tried again in an hour"
    assert msgspec.json.decode(runs.note)["account"] not in ("", digest)


def test_what_is_noted_of_the_settings_is_the_same_in_no_two_processes() -> None:
    code = (
        "from checks.totp_login import TotpLoginSettings, _account;"
        "from checks.secret import Secret;"
        f"print(_account(TotpLoginSettings(target='office', email='{EMAIL}', password=Secret('x'),"
        f" totp_secret=Secret('{SECRET}'))))"
    )
    digests = {subprocess.check_output([sys.executable, "-c", code], text=True) for _ in range(2)}
    assert len(digests) == 2


def test_a_client_that_is_locked_by_a_wrong_code_is_told_at_once() -> None:
    platform = Platform()
    runs = Runs(platform)

    def lock_after_the_right_code(*, email: str, password: Secret, code: str) -> SignIn:
        outcome = Platform.sign_in(platform, email=email, password=password, code=code)
        platform.answer = SignIn.LOCKED
        return outcome

    platform.sign_in = lock_after_the_right_code  # type: ignore[method-assign]
    assert runs.run().reason is Reason.TOO_MANY_ATTEMPTS
    assert len(platform.given) == 2


def test_a_client_whose_second_factor_is_off_is_told() -> None:
    runs = Runs(Platform(answer=SignIn.CODE_NOT_ASKED))
    result = runs.run()
    assert (result.reason, result.measured) == (Reason.CLIENT_2FA_DISABLED, ())
    assert len(runs.platform.given) == 1
    runs.platform.answer = None
    assert runs.times(1).reason is Reason.OK


# The note


def test_the_note_survives_a_restart() -> None:
    first = Runs(Platform())
    first.times(20)
    again = Runs(first.platform, storage=first.storage)
    given = len(first.platform.given)
    assert again.after(300) == first.results[-1]
    assert len(first.platform.given) == given + 1


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "{",
        "null",
        "[]",
        '"x"',
        '{"reason":"nonsense"}',
        '{"last_step":"x"}',
        '{"probed_at":[1]}',
        '{"accepted":{"wrong":2}}',
        '{"rest_until":1e400}',
        '{"probed_at":{"wrong":null}}',
        "\x00\x01",
        "9" * 10_000,
    ],
    ids=lambda text: text[:24] or "empty",
)
def test_a_note_that_is_garbage_is_begun_anew(garbage: str) -> None:
    runs = Runs(Platform())
    runs.storage.notebook("totp-login").write(garbage)
    assert runs.run().detail == "a right code passes, a wrong one does not"
    assert runs.times(20).detail == ALL_WELL


def test_an_error_is_noted_so_that_the_same_step_says_the_same() -> None:
    runs = Runs(Platform())
    runs.times(2)
    runs.platform.fails_at = {len(runs.platform.given) + 1}
    with pytest.raises(UnreachableError):
        runs.after(300)
    result = runs.after(10)
    assert (result.reason, result.measured) == (Reason.UNREACHABLE, ())
    assert "connection broke" in result.detail
    assert runs.after(30).reason is Reason.OK


def test_a_code_whose_answer_was_lost_is_not_given_again() -> None:
    runs = Runs(Platform())
    runs.platform.fails_at = {1}
    with pytest.raises(UnreachableError):
        runs.run()
    given = len(runs.platform.given)
    runs.after(10)
    assert len(runs.platform.given) == given
    assert runs.after(30).reason is Reason.OK


class FullDisk:
    """A notebook that can be read and not written."""

    def read(self) -> str | None:
        return None

    def write(self, note: str) -> None:
        raise StorageUnavailableError("the disk is full")


def test_nobody_signs_in_when_that_cannot_be_noted() -> None:
    platform = Platform()
    with pytest.raises(StorageUnavailableError):
        check_totp_login(platform, settings(), replace(Runs(platform).past(), notebook=FullDisk()))
    assert platform.given == []


@pytest.mark.parametrize("set_back", [20.0, 90.0, 590.0, 3600.0, DAY, 3650 * DAY])
def test_a_clock_that_was_ahead_does_not_block_for_long(set_back: float) -> None:
    runs = Runs(Platform(refuses_used=False))
    runs.times(20)
    runs.platform.now -= set_back
    given = len(runs.platform.given)
    runs.times(3)
    assert len(runs.platform.given) > given
    runs.platform.refuses_used = True
    runs.platform.used = step_at(runs.platform.now)
    assert runs.times(8).reason is Reason.OK
    given = len(runs.platform.given)
    assert runs.times(300).reason is Reason.OK
    assert len(runs.platform.given) >= given + 300 + 6  # more than a day: other codes are tried as well


def test_a_rest_that_was_noted_by_a_clock_ahead_ends() -> None:
    runs = Runs(Platform(now=START + 3650 * DAY, answer=SignIn.LOCKED))
    assert runs.run().reason is Reason.TOO_MANY_ATTEMPTS
    runs.platform.now, runs.platform.answer = START + 5, None
    assert runs.run().reason is Reason.OK


def test_a_clock_that_jumps_ahead_and_back_leaves_the_check_at_work() -> None:
    runs = Runs(Platform())
    runs.times(12)
    runs.platform.now += 3650 * DAY
    runs.times(12)
    runs.platform.now -= 3650 * DAY
    runs.platform.used = -1
    before = len(runs.platform.given)
    assert runs.times(12).detail == ALL_WELL
    assert len(runs.platform.given) == before + 12 + 6  # the right ones, and every probe anew


def test_nothing_personal_or_secret_is_noted_told_or_shown() -> None:
    runs = Runs(Platform(window=1), settings(probe_interval="1m"))
    notes = []
    for number in range(60):
        runs.platform.refuses_right = number > 50
        runs.after(300)
        notes.append(runs.note)
    shown = " ".join([*notes, *map(repr, runs.results), repr(runs.settings), str(runs.settings)])
    for private in (EMAIL, "canary", PASSWORD, SECRET, *runs.platform.given):
        assert private not in shown.replace("the canary client", "")
    assert all(len(note) < 1000 for note in notes)
    assert set(msgspec.json.decode(notes[-1])["probed_at"]) == {"wrong", "replay", "-1", "1", "-2", "2"}


# Settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"totp_secret": Secret("not base32 at all!")},
        {"interval": "34s"},
        {"probe_interval": "59s"},
        {"max_steps": 6},
        {"max_steps": -1},
        {"max_steps": True},
        {"email": "x"},
    ],
    ids=str,
)
def test_a_setting_that_cannot_work_is_refused_and_not_quoted(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**wrong)
    assert "base32 at all" not in str(refused.value)


# Against the back office of the sandbox, over HTTP


class Clock:
    """The sandbox's clock, set by the test."""

    now = START + 5

    def __call__(self) -> float:
        return self.now


@dataclass
class Office:
    """A client's sign-in at a back office that is really asked."""

    sandbox: Sandbox
    clock: Clock
    client: TotpSignInClient
    storage: Storage
    settings: TotpLoginSettings

    def run(self, seconds: float = 300.0) -> CheckResult:
        self.clock.now += seconds
        past = self.storage.past("totp-login", "office", datetime.fromtimestamp(self.clock.now, UTC))
        return check_totp_login(self.client, self.settings, past)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, Clock]]:
    clock = Clock()
    with Sandbox(clock=clock, history_hours=0.0, speed=0.0) as sandbox:
        yield sandbox, clock


@pytest.fixture
def office(running: tuple[Sandbox, Clock]) -> Iterator[Office]:
    sandbox, clock = running
    clock.now += HOUR
    known, canary = sandbox.credentials, sandbox.client("canary")
    client = B2CoreClient(
        B2CoreSettings(
            type="b2core", url=sandbox.b2core_url, email=known.b2core_email, password=Secret(known.b2core_password)
        )
    )
    mine = settings(email=canary.email, password=Secret(canary.password), totp_secret=Secret(canary.totp_secret))
    yield Office(sandbox, clock, client, Storage.in_memory(Meters()), mine)
    client.close()
    for fault in ("code_rejected", "wrong_code_accepted", "client_2fa_disabled", "server_clock_skewed"):
        sandbox.clear_fault(fault)


def test_a_day_at_a_back_office_is_well_and_measures_its_window(office: Office) -> None:
    results = [office.run() for _ in range(12)]
    assert {result.reason for result in results} == {Reason.OK}
    assert results[-1].detail == ALL_WELL
    assert steps_of(results[-1]) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("code_rejected", Reason.CODE_REJECTED),
        ("server_clock_skewed", Reason.CODE_REJECTED),
        ("wrong_code_accepted", Reason.WRONG_CODE_ACCEPTED),
        ("client_2fa_disabled", Reason.CLIENT_2FA_DISABLED),
    ],
)
def test_each_fault_of_a_back_office_is_told_and_ends(office: Office, fault: str, reason: Reason) -> None:
    assert office.run().reason is Reason.OK
    office.sandbox.set_fault(fault)
    assert office.run().reason is reason
    office.sandbox.clear_fault(fault)
    assert [office.run().reason for _ in range(7)][-1] is Reason.OK  # other codes may come before


def test_a_back_office_never_locks_the_client_while_codes_are_refused(office: Office) -> None:
    office.run()
    office.sandbox.set_fault("server_clock_skewed")
    reasons = [office.run().reason for _ in range(40)]
    assert set(reasons) == {Reason.CODE_REJECTED}
    office.sandbox.clear_fault("server_clock_skewed")
    assert office.run(HOUR).reason is Reason.OK


def test_a_wrong_password_at_a_back_office_is_tried_once(office: Office) -> None:
    office.settings = office.settings.model_copy(update={"password": Secret("wrong")})
    first = office.run()
    assert first.reason is Reason.CREDENTIALS_REJECTED
    assert replace(office, client=Platform(answer=AssertionError("asked"))).run() == first


def test_a_back_office_that_is_gone_is_an_error_and_not_a_refusal() -> None:
    sandbox = Sandbox(history_hours=0.0, speed=0.0)
    client = B2CoreClient(B2CoreSettings(type="b2core", url=sandbox.b2core_url, token=Secret("x")))
    sandbox.close()
    past = Runs(Platform()).past()
    with pytest.raises(ProviderError) as gone:
        check_totp_login(client, settings(), past)
    assert gone.value.reason is Reason.UNREACHABLE
    note = msgspec.json.decode(past.notebook.read() or "")
    assert (note["failures"], note["rest_until"]) == (0, 0.0)
    client.close()
