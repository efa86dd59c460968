"""The check `clock`: whose clock is wrong, from when on, and in which words."""

import time
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from checks.clients import ClockReading
from checks.clock import ClockSettings, check_clock, describe
from checks.clocks.ntp import NtpClock, NtpSettings
from checks.errors import BadResponseError, ProviderError, UnreachableError
from checks.reason import Outcome, Reason
from checks.result import CheckResult, ClockOffset, ClockSource
from exporter.sandbox import Sandbox
from exporter.sandbox.b2core_office import SKEW_SECONDS as PLATFORM_SKEW
from exporter.sandbox.ntp import SKEW_SECONDS as HOST_SKEW

SETTINGS = ClockSettings(target="time")


def reading(offset: float, uncertainty: float = 0.05, **other: Any) -> ClockReading:
    return ClockReading(offset_seconds=offset, uncertainty_seconds=uncertainty, **other)


@dataclass
class Clocks:
    """Says what a test tells it to; an error is raised."""

    host: ClockReading | ProviderError
    platform: ClockReading | ProviderError | None = None  # by the host's clock

    def measure_host(self) -> ClockReading:
        if isinstance(self.host, ProviderError):
            raise self.host
        return self.host

    def measure_platform(self) -> ClockReading | None:
        if isinstance(self.platform, ProviderError):
            raise self.platform
        return self.platform


def check(host: ClockReading, platform: ClockReading | None = None, **settings: Any) -> CheckResult:
    return check_clock(Clocks(host, platform), ClockSettings(target="time", **settings))


def offsets(result: CheckResult) -> dict[ClockSource, float]:
    return {each.source: each.seconds for each in result.measured if isinstance(each, ClockOffset)}


def test_a_clock_that_is_right_passes() -> None:
    result = check(reading(0.01))
    assert (result.reason, result.detail) == (Reason.OK, "this host's clock is right within 0.1 s")
    assert offsets(result) == {ClockSource.HOST: 0.01}


def test_both_clocks_are_told_when_both_are_right() -> None:
    result = check(reading(-1.0), reading(1.4, 0.1))
    assert result.reason is Reason.OK
    assert result.detail == (
        "this host's clock is 1.0 s slow (within 0.1 s); the platform's clock is 0.4 s fast (within 0.2 s)"
    )
    assert offsets(result) == {ClockSource.HOST: -1.0, ClockSource.PLATFORM: pytest.approx(0.4)}


@pytest.mark.parametrize(
    ("offset", "uncertainty", "is_wrong"),
    [
        (5.0, 0.0, False),
        (5.1, 0.0, True),
        (-5.1, 0.0, True),
        (5.1, 0.2, False),
        (-5.1, 0.2, False),
        (10.0, 4.9, True),
        (9.9, 5.0, False),
    ],
)
def test_a_clock_is_wrong_only_when_it_is_so_for_certain(offset: float, uncertainty: float, is_wrong: bool) -> None:
    expected = Reason.SERVER_CLOCK_SKEWED if is_wrong else Reason.OK
    assert check(reading(offset, uncertainty)).reason is expected
    assert check(reading(0.0, 0.0), reading(offset, uncertainty)).reason is expected
    assert check(reading(0.0, 0.0), reading(1000.0, 2000.0)).reason is Reason.OK


def test_what_both_measures_do_not_know_adds_up() -> None:
    assert check(reading(0.0, 0.1), reading(5.3, 0.1)).reason is Reason.SERVER_CLOCK_SKEWED
    assert check(reading(0.0, 0.2), reading(5.3, 0.2)).reason is Reason.OK


def test_a_platform_is_judged_by_true_time_and_not_by_this_host() -> None:
    result = check(reading(-40.0), reading(40.0))
    assert result.reason is Reason.SERVER_CLOCK_SKEWED
    assert result.detail == "this host's clock is 40.0 s slow (within 0.1 s)"
    assert offsets(result)[ClockSource.PLATFORM] == pytest.approx(0.0)

    result = check(reading(-40.0), reading(0.0))
    assert result.detail == (
        "this host's clock is 40.0 s slow (within 0.1 s); the platform's clock is 40.0 s slow (within 0.1 s)"
    )


def test_only_the_wrong_clock_is_named() -> None:
    result = check(reading(0.2), reading(93.8))
    assert result.outcome is Outcome.FAIL
    assert result.detail == "the platform's clock is 94.0 s fast (within 0.1 s)"
    assert offsets(result) == {ClockSource.HOST: 0.2, ClockSource.PLATFORM: pytest.approx(94.0)}


@pytest.mark.parametrize("host", [0.0, 60.0])
def test_servers_that_were_ignored_are_told_in_any_case(host: float) -> None:
    ignored = ("NTP server 1 does not answer", "NTP server 3 is not synchronised itself")
    detail = check(reading(host, ignored=ignored)).detail
    assert detail.endswith(" (NTP server 1 does not answer; NTP server 3 is not synchronised itself)")


def test_the_threshold_may_be_set() -> None:
    assert check(reading(2.0), max_offset="1s").reason is Reason.SERVER_CLOCK_SKEWED
    assert check(reading(20.0), max_offset="30s").reason is Reason.OK
    assert SETTINGS.max_offset == 5.0


@pytest.mark.parametrize("max_offset", ["499ms", "31s", 5, "0s"])
def test_a_threshold_that_makes_no_sense_is_refused(max_offset: object) -> None:
    with pytest.raises(ValidationError):
        ClockSettings(target="time", max_offset=max_offset)


@pytest.mark.parametrize(
    ("offset", "uncertainty", "words"),
    [
        (12.44, 0.1, "it is 12.4 s fast (within 0.1 s)"),
        (-12.44, 0.1, "it is 12.4 s slow (within 0.1 s)"),
        (0.3, 0.4, "it is right within 0.4 s"),
        (-0.3, 0.4, "it is right within 0.4 s"),
        (0.0001, 0.001, "it is right within 0.1 s"),
    ],
)
def test_an_offset_has_words(offset: float, uncertainty: float, words: str) -> None:
    assert describe("it", reading(offset, uncertainty)) == words


@pytest.mark.parametrize(
    "clocks",
    [
        Clocks(UnreachableError("NTP server 1 does not answer")),
        Clocks(reading(0.0), BadResponseError("the platform's answer has no Date, or is a cached one")),
    ],
)
def test_what_cannot_be_measured_is_an_error(clocks: Clocks) -> None:
    with pytest.raises(ProviderError):
        check_clock(clocks, SETTINGS)


def test_a_host_that_is_wrong_is_told_though_the_platform_gives_no_date() -> None:
    gone = UnreachableError("the connection was refused")
    result = check_clock(Clocks(reading(-40.0, ignored=("NTP server 2 does not answer",)), gone), SETTINGS)
    assert result.reason is Reason.SERVER_CLOCK_SKEWED
    assert result.detail == (
        "this host's clock is 40.0 s slow (within 0.1 s); the platform's clock cannot be read:"
        " the connection was refused (NTP server 2 does not answer)"
    )
    assert offsets(result) == {ClockSource.HOST: -40.0}
    with pytest.raises(UnreachableError, match="refused"):
        check_clock(Clocks(reading(-5.0), gone), SETTINGS)


@pytest.mark.parametrize("platform", [None, reading(0.0), UnreachableError("the connection was refused")])
@pytest.mark.parametrize("offset", [0.0, 20.0, 1000.0])
def test_time_servers_that_contradict_each_other_measure_nothing(
    offset: float, platform: ClockReading | ProviderError | None
) -> None:
    host = reading(offset, 5.01, sources=2, ignored=("NTP server 3 does not answer",))
    with pytest.raises(BadResponseError, match=r"^the NTP servers disagree \(NTP server 3 does not answer\)$"):
        check_clock(Clocks(host, platform), SETTINGS)


def test_one_time_server_that_is_not_sure_enough_measures_nothing() -> None:
    with pytest.raises(BadResponseError, match="the one NTP server is itself less sure of the time than max_offset"):
        check(reading(0.0, 0.9), max_offset="500ms")
    assert check(reading(0.0, 0.9)).reason is Reason.OK


# With the sandbox, over UDP and HTTP


def test_two_time_servers_that_are_half_a_minute_apart_measure_nothing() -> None:
    with (
        Sandbox(clock=time.time, history_hours=0.0, speed=0.0) as right,
        Sandbox(clock=lambda: time.time() + 30, history_hours=0.0, speed=0.0) as wrong,
    ):
        servers = [right.ntp_address, wrong.ntp_address]
        with pytest.raises(BadResponseError, match="the NTP servers disagree"):
            check_clock(NtpClock(NtpSettings(type="ntp", servers=servers)), SETTINGS)
        servers.append(right.ntp_address)
        assert check_clock(NtpClock(NtpSettings(type="ntp", servers=servers)), SETTINGS).reason is Reason.OK


def test_each_fault_of_time_is_told_and_ends() -> None:
    with Sandbox(clock=time.time, history_hours=0.0, speed=0.0) as sandbox:
        client = NtpClock(
            NtpSettings(type="ntp", servers=[sandbox.ntp_address], platform_url=f"{sandbox.b2core_url}/api/v2"),
            wait=lambda _: None,  # to a second is enough here
        )

        well = check_clock(client, SETTINGS)
        assert well.reason is Reason.OK
        assert set(offsets(well)) == {ClockSource.HOST, ClockSource.PLATFORM}

        sandbox.set_fault("host_clock_skewed")
        result = check_clock(client, SETTINGS)
        assert result.reason is Reason.SERVER_CLOCK_SKEWED
        assert offsets(result)[ClockSource.HOST] == pytest.approx(-HOST_SKEW, abs=0.1)
        assert "this host's clock is 40.0 s slow" in result.detail
        sandbox.clear_fault("host_clock_skewed")

        sandbox.set_fault("server_clock_skewed")
        result = check_clock(client, SETTINGS)
        assert result.reason is Reason.SERVER_CLOCK_SKEWED
        assert offsets(result)[ClockSource.PLATFORM] == pytest.approx(PLATFORM_SKEW, abs=1.0)
        assert result.detail.startswith("the platform's clock is 9")
        sandbox.clear_fault("server_clock_skewed")

        sandbox.set_fault("ntp_unsynchronised")
        with pytest.raises(UnreachableError, match="not synchronised"):
            check_clock(client, SETTINGS)
        sandbox.clear_fault("ntp_unsynchronised")
        assert check_clock(client, SETTINGS).reason is Reason.OK
        client.close()
