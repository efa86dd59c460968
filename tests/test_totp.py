"""Codes of an authenticator app: what a secret may look like, and which code belongs to which step."""

import time
from base64 import b32encode
from collections.abc import Iterator
from itertools import pairwise

import pytest

from checks.secret import Secret
from checks.totp import CODE_DIGITS, code_of, is_secret, matching_step, step_at, wrong_code

RFC_SECRET = Secret(b32encode(b"12345678901234567890").decode())
RFC_CODES = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}
"""RFC 6238, appendix B, SHA-1: eight digits, of which an app shows the last six."""

SHORT_SECRET = Secret("JBSWY3DPEHPK3PXP")  # the example of the apps' own format: 16 characters, 80 bits
NOW_STEP = step_at(1_800_000_000)


@pytest.mark.parametrize(("moment", "code"), RFC_CODES.items())
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    assert code_of(RFC_SECRET, step_at(moment)) == code[-CODE_DIGITS:]


def test_a_step_takes_thirty_seconds() -> None:
    assert [step_at(moment) for moment in (0.0, 29.999, 30.0, 59.999, 60.0)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Pacific/Kiritimati"])
def test_codes_are_the_same_in_every_zone_and_in_the_hour_that_comes_twice(
    monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    autumn = range(step_at(1_792_890_000), step_at(1_793_600_000), 60)  # both ends of summer time in 2026
    expected = [code_of(RFC_SECRET, step) for step in autumn]
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert [code_of(RFC_SECRET, step) for step in autumn] == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "written",
    [
        "JBSWY3DPEHPK3PXP",
        "jbswy3dpehpk3pxp",
        "JBSW Y3DP EHPK 3PXP",
        "jbsw-y3dp-ehpk-3pxp",
        " JBSWY3DPEHPK3PXP======",
    ],
)
def test_a_secret_may_be_written_in_groups_small_letters_and_with_padding(written: str) -> None:
    assert is_secret(Secret(written))
    assert code_of(Secret(written), NOW_STEP) == code_of(SHORT_SECRET, NOW_STEP)


@pytest.mark.parametrize("length", [10, 13, 16, 20, 32, 64])
def test_a_secret_needs_no_padding_whatever_its_length(length: int) -> None:
    padded = b32encode(bytes(range(length))).decode()
    bare = Secret(padded.rstrip("="))
    assert is_secret(bare)
    assert code_of(bare, NOW_STEP) == code_of(Secret(padded), NOW_STEP)


@pytest.mark.parametrize(
    "written",
    [
        "",
        " - ",
        "====",
        "JBSWY3DP",
        "JBSWY3DPEHPK",
        "JBSWY3DPEHPK3PX1",
        "JBSWY3DPEHPK3PXP!",
        "JBSWY3DPEHPK3PXPA",
        "JBSW=Y3DPEHPK3PXP",
        "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP",
        "\u0408BSWY3DPEHPK3PXP",
        "JBSWY3DP\x00EHPK3PXP",
        "\ud800" * 16,
    ],
    ids=ascii,
)
def test_what_is_no_secret_is_refused(written: str) -> None:
    secret = Secret(written)
    assert not is_secret(secret)
    with pytest.raises(ValueError, match="not a TOTP secret"):
        code_of(secret, NOW_STEP)
    with pytest.raises(ValueError, match="not a TOTP secret"):
        wrong_code(secret, NOW_STEP, 1)


def test_a_code_is_found_at_its_step() -> None:
    around = range(NOW_STEP - 5, NOW_STEP + 6)
    assert [matching_step(RFC_SECRET, code_of(RFC_SECRET, step), around) for step in around] == list(around)
    assert matching_step(RFC_SECRET, code_of(RFC_SECRET, NOW_STEP + 6), around) is None
    assert matching_step(SHORT_SECRET, code_of(RFC_SECRET, NOW_STEP), around) is None


def steps_of_one_code() -> tuple[int, int]:
    """Two steps of the same code, which chance gives within some thousand."""
    seen: dict[str, int] = {}
    for step in range(NOW_STEP, NOW_STEP + 20_000):
        code = code_of(RFC_SECRET, step)
        if code in seen:
            return seen[code], step
        seen[code] = step
    raise AssertionError("no code comes twice")


def test_of_two_steps_the_one_that_is_given_first_is_found() -> None:
    earlier, later = steps_of_one_code()
    code = code_of(RFC_SECRET, earlier)
    assert matching_step(RFC_SECRET, code, [earlier, later]) == earlier
    assert matching_step(RFC_SECRET, code, [later, earlier]) == later


def test_no_more_codes_are_computed_than_needed() -> None:
    taken: list[int] = []

    def steps() -> Iterator[int]:
        for step in (NOW_STEP, NOW_STEP - 1, NOW_STEP + 1):
            taken.append(step)
            yield step

    assert matching_step(RFC_SECRET, code_of(RFC_SECRET, NOW_STEP), steps()) == NOW_STEP
    assert taken == [NOW_STEP]


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "12345\ud800", "\x00" * 6, "9" * 100_000])
def test_what_is_no_code_is_of_no_step(code: str) -> None:
    assert matching_step(RFC_SECRET, code, range(NOW_STEP - 2, NOW_STEP + 3)) is None


def test_steps_before_1970_have_no_code() -> None:
    assert matching_step(RFC_SECRET, "000000", range(-240, 1)) is None
    assert len(wrong_code(RFC_SECRET, 3, 20)) == CODE_DIGITS
    with pytest.raises(ValueError, match="positive"):
        code_of(RFC_SECRET, -1)


def test_a_wrong_code_is_of_no_step_near_and_differs_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    near = [code_of(RFC_SECRET, step) for step in range(NOW_STEP - 20, NOW_STEP + 21)]
    drawn = iter([int(code) for code in near] + [42])
    monkeypatch.setattr("checks.totp.secrets.randbelow", lambda _: next(drawn))  # what chance nearly never draws
    assert wrong_code(RFC_SECRET, NOW_STEP, 20) == "000042"
    monkeypatch.undo()
    codes = [wrong_code(RFC_SECRET, NOW_STEP, 20) for _ in range(20)]
    assert all(len(code) == CODE_DIGITS and code.isdecimal() for code in codes)
    assert not set(codes) & set(near)
    assert any(one != other for one, other in pairwise(codes))


def test_errors_and_the_secret_itself_show_nothing_of_it() -> None:
    secret = Secret("NOT BASE32 AT ALL 0189")
    with pytest.raises(ValueError, match="TOTP") as refused:
        code_of(secret, NOW_STEP)
    assert "BASE32" not in str(refused.value) + repr(refused.value) + repr(secret)
