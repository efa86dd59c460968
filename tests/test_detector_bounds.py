"""What comes from outside is hostile: the detector stays small, quick and readable."""

import random
import sys
import tracemalloc

import msgspec
import pytest

from checks.messages import Confirmation, Movement, Status
from checks.messages.detector import Detector, DetectorSettings, Scope
from checks.messages.detector.recipients import ReachedRecipients
from tests.test_detector_sessions import START, keyed, movement, outcomes


def test_operators_and_countries_without_end_become_others() -> None:
    detector = Detector(DetectorSettings())
    for start in range(0, 20_000, 1000):
        flood = [
            movement(f"{n}", f"{n}", START + n / 10, failed_after=2.0, country=f"{n % 5000}", operator=f"operator {n}")
            for n in range(start, start + 1000)
        ]
        detector.advance(flood, known_until=START + start / 10)
    detector.advance([], known_until=START + 4000)
    readings = list(detector.readings())
    assert len(readings) < 1700
    assert len({reading.country for reading in readings}) < 310
    assert sum(outcomes(detector).values()) == 20_000
    assert "other" in {reading.operator for reading in readings}
    assert len(detector.dump()) < 2_000_000


def test_messages_of_a_time_that_never_becomes_known_do_not_pile_up() -> None:
    detector = Detector(DetectorSettings())
    sent = [
        Movement(n.to_bytes(16, "big"), n.to_bytes(16, "big"), START + 100_000, "NG", "MTN", Status.SENT, START)
        for n in range(110_000)
    ]
    typed = [Confirmation(each.recipient, START + 100_000) for each in sent] * 4
    tracemalloc.start()
    detector.advance(sent, confirmations=typed, known_until=START)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000_000
    assert len(detector._state.sessions.sessions) <= 100_000
    assert len(detector._state.sessions.timeline) <= 400_000


def test_a_day_of_one_provider_is_remembered_in_little_memory() -> None:
    chance = random.Random(1)
    tracemalloc.start()
    detector = Detector(DetectorSettings())
    for start in range(0, 20_000, 2000):
        part = [
            movement(
                f"{n}",
                f"{n}",
                START + n * 9,
                delivered_after=chance.expovariate(0.1),
                country=f"{n % 50}",
                operator=f"{n % 500}",
            )
            for n in range(start, start + 2000)
        ]
        detector.advance(part, known_until=START + start * 9)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 60_000_000
    assert next(iter(detector.readings())).threshold < 20


def test_recipients_are_remembered_for_long_in_a_bounded_memory() -> None:
    recipients = ReachedRecipients(kept_for=90 * 86_400.0)
    for n in range(100_000):
        recipients.add(keyed(f"{n}"), START + n)
    assert all(keyed(f"{n}") in recipients for n in range(0, 100_000, 97))
    strangers = sum(keyed(f"stranger {n}") in recipients for n in range(5000))
    assert strangers < 5000 * 0.08
    assert sum(sys.getsizeof(each.bits) for each in recipients.filters) < 400_000
    for n in range(100_000, 230_000):
        recipients.add(keyed(f"{n}"), START + 100 * 86_400.0 + n)
    assert sum(keyed(f"{n}") in recipients for n in range(0, 8000, 7)) < 8000 / 7 * 0.08


@pytest.mark.parametrize("text", ["", "x" * 1000, "\x00", "{country}", "٣"])
def test_labels_of_any_kind_are_carried_and_written_down(text: str) -> None:
    detector = Detector(DetectorSettings())
    detector.advance(
        [movement("a", "b", START, delivered_after=1.0, country=text, operator=text)], known_until=START + 600
    )
    again = Detector.load(DetectorSettings(), detector.dump())
    assert [(each.scope, each.country) for each in again.readings()] == [
        (Scope.PROVIDER, ""),
        (Scope.COUNTRY, text),
        (Scope.OPERATOR, text),
    ]


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x80" + b"x" * 10, b"\xdf\xff\xff\xff\xff", b"[" * 10_000])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Detector.load(DetectorSettings(), data)


def test_neither_recipient_nor_body_shows_in_a_repr() -> None:
    detector = Detector(DetectorSettings())
    detector.advance([movement("a", "+491511234567", START)], known_until=START + 10)
    assert b"1511234567" not in detector.dump()
    assert "1511234567" not in repr(detector._state)
