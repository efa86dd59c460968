"""At which time step a client's code would have been right, and that its secret shows nowhere."""

import pyotp
import pytest

from checks.diagnosis import CodeMatch, Evidence, Subject, diagnose
from checks.diagnosis.code import TRIED_STEPS, match_code
from checks.reason import Reason
from checks.secret import Secret
from exporter.diagnosing import Question
from tests.test_diagnosis_rules import BY_APP, NOW

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
AT = NOW.timestamp() + 7


def code_at(seconds: float, secret: str = SECRET) -> str:
    return pyotp.TOTP(secret).at(int(AT + seconds))


@pytest.mark.parametrize("step", [-200, -120, -3, -2, -1, 0, 1, 2, 3, 120, 200, TRIED_STEPS, -TRIED_STEPS])
def test_the_step_that_a_code_is_of_is_found(step: int) -> None:
    assert match_code(Secret(SECRET), code_at(30 * step), AT) == CodeMatch(step=step, tried=TRIED_STEPS)


def test_every_step_within_reach_is_found() -> None:
    # Two steps may have the same code by chance: then the nearer one is told, so a farther one never is.
    found = {step: match_code(Secret(SECRET), code_at(30 * step), AT).step for step in range(-200, 201, 7)}

    assert all(step is not None and abs(step) <= abs(given) for given, step in found.items())
    assert sum(given == step for given, step in found.items()) >= len(found) - 1


@pytest.mark.parametrize("step", [TRIED_STEPS + 1, -TRIED_STEPS - 1])
def test_beyond_reach_no_step_is_found(step: int) -> None:
    assert match_code(Secret(SECRET), code_at(30 * step), AT).step is None


def test_a_code_of_another_secret_matches_no_step() -> None:
    other = pyotp.random_base32()

    steps = [match_code(Secret(SECRET), code_at(0, other), AT + 30 * n).step for n in range(3)]

    assert steps.count(None) >= 2  # by chance one in some two thousand does


@pytest.mark.parametrize(
    "written", ["jbsw y3dp ehpk 3pxp jbsw y3dp ehpk 3pxp", "JBSWY3DP-EHPK3PXP-JBSWY3DP-EHPK3PXP", f"{SECRET}===="]
)
def test_a_secret_may_be_written_as_a_set_up_page_shows_it(written: str) -> None:
    assert match_code(Secret(written), code_at(0), AT).step == 0


@pytest.mark.parametrize("wrong", ["", "not base32!", "AAAA", "11111111111111111111111111111111", "ÄÖÜ" * 8])
def test_what_is_no_secret_is_refused_without_being_shown(wrong: str) -> None:
    with pytest.raises(ValueError, match="TOTP") as refusal:
        match_code(Secret(wrong), "123456", AT)

    assert wrong == "" or wrong not in str(refusal.value)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (-4, Reason.DEVICE_CLOCK_SKEWED),
        (3, Reason.DEVICE_CLOCK_SKEWED),
        (0, Reason.CODE_REPLAYED),
        (None, Reason.SECRET_MISMATCH),
    ],
)
def test_a_code_leads_to_its_reason_from_end_to_end(step: int | None, reason: Reason) -> None:
    code = code_at(30 * (TRIED_STEPS + 50 if step is None else step))
    match = match_code(Secret(SECRET), code, AT)

    found = diagnose(Evidence(now=NOW, subject=Subject.CLIENT, client=BY_APP, code=match)).first

    assert found.reason is reason


def test_neither_secret_nor_code_is_in_any_repr() -> None:
    code = code_at(-90)
    match = match_code(Secret(SECRET), code, AT)
    diagnosis = diagnose(Evidence(now=NOW, subject=Subject.CLIENT, client=BY_APP, code=match))

    shown = repr((Secret(SECRET), match, Question(client="1042", code=match), diagnosis))

    assert SECRET not in shown
    assert code not in shown
    assert "1042" not in shown
