"""Clocks compared with NTP servers and with the Date of HTTP answers, over real sockets."""

import math
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self

import pytest
from pydantic import ValidationError

from checks.clients import ClockReading
from checks.clocks.agreement import ServerReading, agree
from checks.clocks.date import DateReading, Narrowing, read_date
from checks.clocks.ntp import NtpClock, NtpSettings
from checks.errors import BadResponseError, DeadlineExceededError, ProviderError, UnreachableError
from checks.providers.http import deadline
from checks.reason import Reason
from exporter.sandbox import Sandbox
from exporter.sandbox.ntp import SKEW_SECONDS
from tests.stub_server import Behaviour, Exchange, StubServer, answer, hang

UNIX_EPOCH = 2_208_988_800  # seconds since 1900
HEADER = struct.Struct("!BBbbII4s8s8s8s8s")
Reply = Callable[[bytes], Iterable[bytes]]


def stamp(moment: float) -> bytes:
    return struct.pack("!II", (int(moment) + UNIX_EPOCH) % 2**32, int(moment % 1 * 2**32))


def packet(
    question: bytes,
    ahead: float = 0.0,
    *,
    leap: int = 0,
    mode: int = 4,
    stratum: int = 2,
    root_delay: float = 0.001,
    root_dispersion: float = 0.001,
    origin: bytes | None = None,
    received: bytes | None = None,
    sent: bytes | None = None,
) -> bytes:
    now = stamp(time.time() + ahead)
    return HEADER.pack(
        leap << 6 | 4 << 3 | mode,
        stratum,
        6,
        -20,
        int(root_delay * 2**16),
        int(root_dispersion * 2**16),
        b"GPS\0",
        now,
        question[40:48] if origin is None else origin,
        now if received is None else received,
        now if sent is None else sent,
    )


def tells(ahead: float = 0.0, **fields: Any) -> Reply:
    """Answer as a server whose clock is so far ahead of this host's."""
    return lambda question: [packet(question, ahead, **fields)]


def says(*packets: bytes) -> Reply:
    return lambda _: packets


class TimeServer:
    """Answers each question on a UDP port of its own with what a function makes of it."""

    def __init__(self, reply: Reply) -> None:
        self.questions: list[bytes] = []
        self.client = ("", 0)  # who asked last
        self._reply = reply
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            question, self.client = self._socket.recvfrom(2048)
            if not question:
                return
            self.questions.append(question)
            for each in self._reply(question):
                self._socket.sendto(each, self.client)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
            own.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def measure_host(*replies: Reply, **settings: Any) -> ClockReading:
    """This host's clock by servers that answer so."""
    with ExitStack() as stack:
        servers = [stack.enter_context(TimeServer(reply)).address for reply in replies]
        return NtpClock(NtpSettings(type="ntp", servers=servers, **settings)).measure_host()


# NTP


@pytest.mark.parametrize("ahead", [0.0, 0.3, -0.3, 40.0, -40.0, 3e8, -1e9])
def test_a_server_that_is_ahead_makes_this_host_slow(ahead: float) -> None:
    reading = measure_host(tells(ahead))
    assert reading.offset_seconds == pytest.approx(-ahead, abs=0.05)
    assert abs(reading.offset_seconds + ahead) <= reading.uncertainty_seconds < 0.2
    assert (reading.sources, reading.ignored) == (1, ())


@pytest.mark.parametrize("ahead", [3.0, 5e8, -1.5e9])
def test_this_host_may_be_decades_off(monkeypatch: pytest.MonkeyPatch, ahead: float) -> None:
    monkeypatch.setattr("checks.clocks.ntp.time", lambda: time.time() + ahead)
    assert measure_host(tells()).offset_seconds == pytest.approx(ahead, abs=0.05)


def test_a_question_is_that_of_a_client_of_version_four() -> None:
    with TimeServer(tells()) as server:
        NtpClock(NtpSettings(type="ntp", servers=[server.address])).measure_host()
        (question,) = server.questions
    assert (len(question), question[0]) == (48, 4 << 3 | 3)


@pytest.mark.parametrize("lie", [1000.0, -1000.0, 3.0])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_three_servers_one_that_lies_is_outvoted_and_takes_no_certainty(lie: float, place: int) -> None:
    replies = [tells(40.0), tells(40.02)]
    replies.insert(place, tells(40.0 + lie))
    reading = measure_host(*replies)
    assert reading.offset_seconds == pytest.approx(-40.0, abs=0.05)
    assert reading.uncertainty_seconds < 0.2
    assert reading.sources == 2
    assert reading.ignored == (f"NTP server {place + 1} is outvoted, it is {abs(lie):.1f} s off",)


def test_two_servers_that_differ_leave_both_possible() -> None:
    reading = measure_host(tells(0.0), tells(40.0))
    assert reading.offset_seconds == pytest.approx(-20.0, abs=0.1)
    assert reading.uncertainty_seconds == pytest.approx(20.0, abs=0.1)
    assert (reading.sources, reading.ignored) == (2, ())


def test_what_a_server_says_of_its_own_distance_counts() -> None:
    reading = measure_host(tells(0.0, root_delay=0.4, root_dispersion=0.3))
    assert 0.499 <= reading.uncertainty_seconds < 0.6


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"leap": 3}, "is not synchronised itself"),
        ({"stratum": 0}, "is not synchronised itself"),
        ({"stratum": 16}, "is not synchronised itself"),
        ({"stratum": 255}, "is not synchronised itself"),
        ({"root_dispersion": 30.0}, "is not synchronised itself"),
        ({"root_delay": 60000.0}, "is not synchronised itself"),
        ({"mode": 3}, "gives an answer that cannot be right"),
        ({"mode": 5}, "gives an answer that cannot be right"),
        ({"sent": bytes(8)}, "gives an answer that cannot be right"),
        ({"received": bytes(8)}, "gives an answer that cannot be right"),
        ({"received": bytes(8), "sent": bytes(8)}, "gives an answer that cannot be right"),
        ({"received": b"\xff" * 8}, "gives an answer that cannot be right"),
        ({"received": stamp(time.time() + 3600)}, "gives an answer that cannot be right"),
        ({"sent": stamp(time.time() + 3600)}, "gives an answer that cannot be right"),
    ],
    ids=[f"answer {number}" for number in range(14)],  # of times: the same in each process
)
def test_an_answer_that_is_not_to_be_believed_is_ignored_and_told(fields: dict[str, Any], words: str) -> None:
    reading = measure_host(tells(1000.0, **fields), tells(0.0))
    assert reading.offset_seconds == pytest.approx(0.0, abs=0.05)
    assert (reading.sources, reading.ignored) == (1, (f"NTP server 1 {words}",))
    with pytest.raises(UnreachableError, match=words):
        measure_host(tells(1000.0, **fields))


@pytest.mark.parametrize("leap", [0, 1, 2])
@pytest.mark.parametrize("stratum", [1, 15])
def test_an_announced_leap_second_and_any_real_stratum_are_believed(leap: int, stratum: int) -> None:
    assert measure_host(tells(0.0, leap=leap, stratum=stratum)).sources == 1


def test_two_good_clocks_may_differ_by_less_than_the_way_takes() -> None:
    early = 0.0005

    def reply(question: bytes) -> Sequence[bytes]:
        now = time.time()  # by a clock that counts more time between receiving and sending than passed here
        return [packet(question, received=stamp(now - early), sent=stamp(now + early))]

    assert measure_host(reply).uncertainty_seconds >= 0


GARBAGE = [
    says(b""),
    says(b"\0"),
    says(b"\xff" * 47),
    says(b"\xff" * 48),
    says(b"\xff" * 2000),
    says(bytes(48)),
    lambda question: [packet(question, origin=bytes(8))],
    lambda question: [packet(question, origin=stamp(time.time() - 0.0001))],
    lambda question: [packet(question)[:47]],
    lambda question: [question],
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_and_an_answer_to_another_question_are_no_answer(garbage: Reply) -> None:
    with pytest.raises(UnreachableError, match=r"^NTP server 1 does not answer$"):
        measure_host(garbage, timeout="100ms")


@pytest.mark.parametrize("garbage", GARBAGE)
def test_the_right_answer_is_found_after_garbage(garbage: Reply) -> None:
    reading = measure_host(lambda question: [*garbage(question), packet(question, 2.0)])
    assert reading.offset_seconds == pytest.approx(-2.0, abs=0.05)


def test_a_packet_from_anybody_else_is_not_taken() -> None:
    def reply(question: bytes) -> Sequence[bytes]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(packet(question, 1000.0), server.client)
        time.sleep(0.02)
        return [packet(question)]

    with TimeServer(reply) as server:
        reading = NtpClock(NtpSettings(type="ntp", servers=[server.address])).measure_host()
    assert reading.offset_seconds == pytest.approx(0.0, abs=0.05)


def test_garbage_without_end_does_not_hold_it_up() -> None:
    def reply(question: bytes) -> Iterator[bytes]:
        for _ in range(40):
            time.sleep(0.01)
            yield question[:40]

    with TimeServer(reply) as server:
        clock = NtpClock(NtpSettings(type="ntp", servers=[server.address], timeout="100ms"))
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            clock.measure_host()
        assert time.monotonic() - began < 0.3


def test_garbage_does_not_begin_the_time_of_a_server_anew() -> None:
    def reply(_: bytes) -> Iterator[bytes]:
        time.sleep(0.3)
        yield b"garbage"

    began = time.monotonic()
    with pytest.raises(UnreachableError):
        measure_host(reply, timeout="400ms")
    assert 0.39 < time.monotonic() - began < 0.6


def test_a_silent_server_takes_its_share_of_the_time_and_no_more() -> None:
    began = time.monotonic()
    with deadline(1.0):
        reading = measure_host(says(), says(), says(), tells(5.0))
    assert 0.5 < time.monotonic() - began < 0.95
    assert reading.offset_seconds == pytest.approx(-5.0, abs=0.05)
    assert reading.ignored == tuple(f"NTP server {place} does not answer" for place in (1, 2, 3))


def test_the_platform_has_a_share_of_the_time_too() -> None:
    with StubServer() as stub, TimeServer(says()) as silent, TimeServer(tells()) as server:
        clock = NtpClock(NtpSettings(type="ntp", servers=[silent.address, server.address], platform_url=stub.url))
        began = time.monotonic()
        with deadline(0.9):
            assert clock.measure_host().sources == 1
        clock.close()
    assert time.monotonic() - began < 0.4


def test_no_time_left_is_a_timeout() -> None:
    with pytest.raises(DeadlineExceededError), deadline(0.0):
        measure_host(tells())


def test_all_that_is_wrong_is_told_when_no_server_is_to_be_believed() -> None:
    with pytest.raises(UnreachableError) as refused:
        measure_host(tells(leap=3), says(), tells(mode=3), timeout="100ms")
    assert str(refused.value) == (
        "NTP server 1 is not synchronised itself; NTP server 2 does not answer;"
        " NTP server 3 gives an answer that cannot be right"
    )


def test_a_host_without_address_and_a_closed_port_are_told_apart_and_quickly() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
    servers = ["ntp.invalid", "." * 9, "x" * 200, closed]
    began = time.monotonic()
    with pytest.raises(UnreachableError) as refused:
        NtpClock(NtpSettings(type="ntp", servers=servers)).measure_host()
    assert time.monotonic() - began < 2.0
    assert str(refused.value).count("cannot be found") == 3
    assert str(refused.value).endswith("NTP server 4 does not answer")
    assert not [server for server in servers if server in str(refused.value)]


@pytest.mark.skipif(not socket.has_ipv6, reason="this host has no IPv6")
def test_a_server_may_be_written_as_an_address_of_ipv6() -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        NtpClock(NtpSettings(type="ntp", servers=["[::1]:9"], timeout="100ms")).measure_host()


@pytest.mark.parametrize("ahead", [0.0, 40.0, -7.5])
def test_the_time_server_of_the_sandbox_is_understood(ahead: float) -> None:
    with Sandbox(clock=lambda: time.time() + ahead, history_hours=0.0, speed=0.0) as sandbox:
        clock = NtpClock(NtpSettings(type="ntp", servers=[sandbox.ntp_address]))
        assert clock.measure_host().offset_seconds == pytest.approx(-ahead, abs=0.05)
        sandbox.set_fault("host_clock_skewed")
        assert clock.measure_host().offset_seconds == pytest.approx(-ahead - SKEW_SECONDS, abs=0.05)
        sandbox.set_fault("ntp_unsynchronised")
        with pytest.raises(UnreachableError, match="not synchronised"):
            clock.measure_host()


def test_a_majority_counts_whatever_the_number_of_servers() -> None:
    def reading(offset: float) -> ServerReading:
        return ServerReading(offset_seconds=offset, distance_seconds=0.01)

    for good in range(2, 6):
        for bad in range(good):
            offsets = [0.001 * each for each in range(good)] + [100.0 * (each + 1) for each in range(bad)]
            said = agree({f"{place}": reading(offset) for place, offset in enumerate(offsets)})
            assert abs(said.offset_seconds) <= said.uncertainty_seconds < 0.1, offsets
            assert (said.sources, len(said.ignored)) == (good, bad)


@pytest.mark.parametrize(
    "server",
    [
        "",
        "a b",
        "time.example:0",
        "time.example:65536",
        "time.example:x",
        "[::1",
        "http://time.example",
        "x\n",
        "é.example",
    ],
)
def test_what_is_no_server_is_refused(server: str) -> None:
    with pytest.raises(ValidationError):
        NtpSettings(type="ntp", servers=[server])


# Dates


def dated(clock: Callable[[], float], *, after: float = 0.0, **headers: str) -> Behaviour:
    """Answer with the Date of a clock."""

    def behave(exchange: Exchange) -> None:
        time.sleep(after)
        answer(b"", headers={"Date": formatdate(clock(), usegmt=True), **headers})(exchange)

    return behave


@dataclass
class Measured:
    """What came of measuring a platform's clock."""

    reading: ClockReading
    requests: int
    seconds: float
    waits: list[float] = field(default_factory=list)


def measure_platform(
    behaviour: Behaviour, *, within: float = 30.0, wait: Callable[[float], None] = time.sleep
) -> Measured:
    waits: list[float] = []

    def note_and_wait(seconds: float) -> None:
        waits.append(seconds)
        wait(seconds)

    with StubServer() as stub:
        stub.everywhere(behaviour)
        settings = NtpSettings(type="ntp", servers=["127.0.0.1"], platform_url=f"{stub.url}/api")
        clock = NtpClock(settings, wait=note_and_wait)
        began = time.monotonic()
        try:
            with deadline(within):
                reading = clock.measure_platform()
        finally:
            clock.close()
        assert reading is not None
        assert {request.method for request in stub.requests} == {"HEAD"}
        return Measured(reading, len(stub.requests), time.monotonic() - began, waits)


def shifted(seconds: float) -> Callable[[], float]:
    return lambda: time.time() + seconds


OFFSETS = (0.0, 0.3, 0.5, 0.94, -0.94, -12.4, 3600.01)
MADE_EACH = [(seconds, phase, 2.0) for seconds in (0.9, 1.0, 1.03) for phase in (0.0, 0.35, 0.7)]


def made_each(seconds: float, phase: float, offset: float) -> Callable[[], float]:
    """A clock that is read once in so many seconds, as some servers make their Date."""
    began = time.time()
    return lambda: began + phase + (time.time() - began - phase) // seconds * seconds + offset


DELAY = 0.3  # seconds
DELAYED_AT = ("there", "back", "both ways")
DELAYED_OFFSETS = (0.0, 0.4, 0.8)


def delayed(place: str, offset: float) -> Behaviour:
    """Answer with a date that is made before a delay, after it, or in its midst."""
    there = {"there": DELAY, "back": 0.0, "both ways": DELAY / 2}[place]

    def behave(exchange: Exchange) -> None:
        time.sleep(there)
        date = formatdate(time.time() + offset, usegmt=True)
        time.sleep(DELAY - there)
        answer(b"", headers={"Date": date})(exchange)

    return behave


@pytest.fixture(scope="module")
def measured() -> Mapping[object, Measured]:
    """What comes of many platforms, measured at the same time, since it takes seconds of waiting."""
    behaviours: dict[object, Behaviour] = {offset: dated(shifted(offset)) for offset in OFFSETS}
    behaviours |= {way: dated(made_each(*way)) for way in MADE_EACH}
    behaviours["slow"] = dated(shifted(5.0), after=0.4)
    behaviours |= {(place, offset): delayed(place, offset) for place in DELAYED_AT for offset in DELAYED_OFFSETS}
    with ThreadPoolExecutor(len(behaviours)) as threads:
        return dict(zip(behaviours, threads.map(measure_platform, behaviours.values()), strict=True))


@pytest.mark.parametrize("offset", OFFSETS)
def test_a_clock_is_measured_to_a_tenth_of_a_second_by_few_questions(
    measured: Mapping[object, Measured], offset: float
) -> None:
    found = measured[offset]
    assert found.reading.offset_seconds == pytest.approx(offset, abs=0.1)
    assert abs(found.reading.offset_seconds - offset) <= found.reading.uncertainty_seconds <= 0.1
    assert found.requests == found.reading.sources <= 6
    assert all(0 <= wait <= 1 for wait in found.waits)
    assert found.seconds < 5


def test_a_slow_platform_is_measured_as_well_as_its_answers_allow(measured: Mapping[object, Measured]) -> None:
    found = measured["slow"]
    assert 0.1 < found.reading.uncertainty_seconds <= 0.5
    assert abs(found.reading.offset_seconds - 5.0) <= found.reading.uncertainty_seconds
    assert found.requests <= 8


@pytest.mark.parametrize("offset", DELAYED_OFFSETS)
@pytest.mark.parametrize("place", DELAYED_AT)
def test_a_delay_takes_no_more_certainty_than_it_lasts_and_no_more_questions(
    measured: Mapping[object, Measured], place: str, offset: float
) -> None:
    found = measured[place, offset]
    assert abs(found.reading.offset_seconds - offset) <= found.reading.uncertainty_seconds <= DELAY + 0.1
    assert found.requests <= 4


def test_a_pause_lets_the_next_reading_halve_what_is_possible_whatever_the_delay() -> None:
    for delay in (0.0, 0.1, 0.3, 0.6):
        for ahead in (0.0, 0.25, 0.5, 0.75):
            narrowing, now = Narrowing(), 1000.0
            for _ in range(4):
                pause = narrowing.pause(now)
                assert 0 <= pause <= 1
                before, asked_at = narrowing.uncertainty_seconds, now + pause
                now = asked_at + delay
                date = math.floor(asked_at + delay / 2 + ahead)
                narrowing.add(DateReading(asked_at=asked_at, answered_at=now, date=date))
                halved = min(before / 2 + delay / 4, (1 + delay) / 2)
                assert narrowing.uncertainty_seconds <= halved + 1e-6
                assert abs(narrowing.offset_seconds - ahead) <= narrowing.uncertainty_seconds + 1e-6


@pytest.mark.parametrize("way", MADE_EACH, ids=str)
def test_a_date_that_is_made_once_a_second_is_no_more_than_a_second_wrong(
    measured: Mapping[object, Measured], way: tuple[float, float, float]
) -> None:
    found = measured[way]
    assert 0.8 <= found.reading.offset_seconds <= 2.2
    assert 0 <= found.reading.uncertainty_seconds <= 1.1
    assert found.requests <= 8


def test_a_clock_that_is_set_meanwhile_leaves_all_possible() -> None:
    dates = iter([0.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0])
    measured = measure_platform(dated(lambda: time.time() + next(dates)), wait=lambda _: None)
    for offset in (0.0, 100.0):
        assert abs(measured.reading.offset_seconds - offset) <= measured.reading.uncertainty_seconds < 52
    assert measured.requests == 8


def test_it_never_waits_beyond_the_deadline_and_says_what_it_has() -> None:
    began = time.monotonic()
    measured = measure_platform(dated(shifted(7.0)), within=1.2)
    assert time.monotonic() - began < 1.2
    assert measured.requests < 4
    assert abs(measured.reading.offset_seconds - 7.0) <= measured.reading.uncertainty_seconds <= 0.6


def test_a_platform_that_does_not_answer_is_a_timeout() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        measure_platform(hang(), within=0.2)
    assert time.monotonic() - began < 0.6


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Date": ""},
        {"Date": "now"},
        {"Date": "Tue, 99 Nov 2026 15:00:00 GMT"},
        {"Date": "Tue, 24 Nov 99999999999999999999 15:00:00 GMT"},
        {"Date": "Tue, 24 Nov 2026 15:00:00 +999999999999"},
        {"Date": "\xff" * 5000},
        {"Date": "1 " * 3000},
        {"Date": "Tue, 24 Nov 2026 15:00:00 GMT", "Age": "1"},
        {"Date": "Tue, 24 Nov 2026 15:00:00 GMT", "Age": "86400"},
        {"Date": "Tue, 24 Nov 2026 15:00:00 GMT", "Age": "x"},
    ],
    ids=lambda headers: str(headers)[:60],
)
def test_no_date_and_a_date_of_a_cache_are_bad_responses(headers: dict[str, str]) -> None:
    with pytest.raises(BadResponseError, match="has no Date, or is a cached one"):
        measure_platform(answer(b"", headers=headers))


@pytest.mark.parametrize("status", [200, 204, 401, 404, 405, 500])
def test_a_date_tells_the_time_whatever_the_status(status: int) -> None:
    moment = 1_790_000_000.0

    def behave(exchange: Exchange) -> None:
        answer(b"", status=status, headers={"Date": formatdate(moment, usegmt=True), "Age": "0"})(exchange)

    measured = measure_platform(behave, wait=lambda _: None)
    assert measured.reading.offset_seconds == pytest.approx(moment - time.time(), abs=2)


def test_a_platform_that_is_gone_is_unreachable() -> None:
    with StubServer() as stub:
        url = stub.url
    clock = NtpClock(NtpSettings(type="ntp", servers=["127.0.0.1"], platform_url=url))
    with pytest.raises(ProviderError) as gone:
        clock.measure_platform()
    assert gone.value.reason is Reason.UNREACHABLE
    clock.close()


def test_without_an_url_nothing_is_asked() -> None:
    clock = NtpClock(NtpSettings(type="ntp", servers=["127.0.0.1"]))
    assert clock.measure_platform() is None
    clock.close()


def test_dates_of_every_form_of_the_standard_are_read() -> None:
    forms = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994")
    assert {read_date({"Date": form}) for form in forms} == {784_111_777.0}  # RFC 9110 section 5.6.7


def test_readings_share_what_is_possible() -> None:
    narrowing = Narrowing()
    assert (narrowing.readings, narrowing.pause(5.0), narrowing.least_delay) == (0, 0.0, 0.0)
    narrowing.add(DateReading(asked_at=100.2, answered_at=100.4, date=110))
    assert narrowing.offset_seconds == pytest.approx(10.2)
    assert narrowing.uncertainty_seconds == pytest.approx(0.6)
    narrowing.add(DateReading(asked_at=100.7, answered_at=100.8, date=111))
    assert narrowing.offset_seconds == pytest.approx((10.2 + 10.8) / 2)
    assert narrowing.uncertainty_seconds == pytest.approx(0.3)
    assert narrowing.least_delay == pytest.approx(0.1)


def test_readings_that_contradict_each_other_are_of_a_date_that_is_up_to_a_second_old() -> None:
    narrowing = Narrowing()
    narrowing.add(DateReading(asked_at=100.0, answered_at=100.0, date=100))  # 0 to 1 s ahead
    narrowing.add(DateReading(asked_at=199.6, answered_at=199.6, date=198))  # 1.6 to 0.6 s behind
    assert narrowing.offset_seconds == pytest.approx(0.2)  # the second date was at least 0.6 s old
    assert narrowing.uncertainty_seconds == pytest.approx(0.2)
