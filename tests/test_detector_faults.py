"""Every fault gets its own name, scope and words, and healthy traffic gets none."""

from collections.abc import Callable, Iterator
from itertools import takewhile

import pytest

from checks.messages import Confirmation
from checks.messages.detector import Detector, DetectorSettings, Scope, Verdict
from checks.reason import Reason
from tests.bench.detect import DirectPath
from tests.bench.traffic import DAY, EPOCH, HOUR, Fault, Kind, Operator, Poll, Traffic, World
from tests.test_detector_sessions import keyed, movement

WORLD = World(3, messages_a_day=4000, countries=3, operators=6)
LEARNED_DAYS = 3
LATER = EPOCH + LEARNED_DAYS * DAY
BIGGEST = max(WORLD.draw(), key=lambda operator: operator.a_day)
NEIGHBOURS = [each for each in WORLD.draw() if each.country == BIGGEST.country]


def polls(fault: Fault | None, since: float, until: float, seed: str = "x") -> Iterator[Poll]:
    return takewhile(lambda poll: poll.at <= until, Traffic(WORLD, seed, fault).polls(since, 30.0))


@pytest.fixture(scope="module")
def learned() -> bytes:
    """A detector that has seen some healthy days, without a word."""
    path = DirectPath(Detector(DetectorSettings()))
    for poll in polls(None, EPOCH, LATER):
        path.take(poll)
        assert not path.detector.verdicts()
    return path.detector.dump()


def first_verdict(learned: bytes, fault: Fault, *, hours: float = 8) -> tuple[Verdict, Detector]:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(fault, LATER, LATER + hours * HOUR):
        path.take(poll)
        for verdict in path.detector.verdicts():
            return verdict, path.detector
    raise AssertionError("nothing was found")


def at_operator(kind: Kind, operator: Operator = BIGGEST) -> Fault:
    return Fault(kind, LATER + HOUR, operator.country, operator.number)


@pytest.mark.parametrize(
    ("kind", "reason", "words"),
    [
        (Kind.BLOCK, Reason.OPERATOR_BLOCKING, "got 3000"),
        (Kind.BLOCK_30, Reason.OPERATOR_BLOCKING, "got 3000"),
        (Kind.SILENT, Reason.OPERATOR_BLOCKING, "got no receipt"),
        (Kind.LYING, Reason.RECEIPTS_FALSE, "typed the code that they are said to have got"),
        (Kind.DELAY, Reason.OPERATOR_DELAY, "took longer than expected"),
        (Kind.NO_RECEIPTS, Reason.RECEIPTS_MISSING, "got no receipt"),
        (Kind.PUMPING, Reason.SMS_PUMPING, "messages where"),
    ],
)
def test_a_fault_of_one_operator_is_named_as_such(learned: bytes, kind: Kind, reason: Reason, words: str) -> None:
    verdict, _ = first_verdict(learned, at_operator(kind))
    assert (verdict.reason, verdict.scope) == (reason, Scope.OPERATOR)
    assert (verdict.country, verdict.operator) == (BIGGEST.country, BIGGEST.name)
    assert verdict.score > verdict.threshold
    assert verdict.since >= LATER + HOUR - 300
    assert words in verdict.evidence
    assert f"recipients at {BIGGEST.name} ({BIGGEST.country}) since " in verdict.evidence
    assert verdict.pages == (kind is not Kind.NO_RECEIPTS)


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        (Kind.PROVIDER_30, {Reason.PROVIDER_OUTAGE, Reason.DELIVERY_FAILING}),
        (Kind.PROVIDER_SLOW, {Reason.DELIVERY_SLOW}),
        (Kind.SUSPENDED, {Reason.ACCOUNT_SUSPENDED}),
        (Kind.OUTAGE, {Reason.PROVIDER_OUTAGE}),
    ],
)
def test_a_fault_of_the_provider_is_named_once(learned: bytes, kind: Kind, reasons: set[Reason]) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(Fault(kind, LATER + HOUR), LATER, LATER + 2 * HOUR):
        path.take(poll)
    (verdict,) = path.detector.verdicts()
    assert verdict.reason in reasons
    assert (verdict.scope, verdict.country, verdict.operator) == (Scope.PROVIDER, "", "")
    assert " everywhere since " in verdict.evidence


def test_a_country_that_is_switched_off_is_one_verdict_on_the_country(learned: bytes) -> None:
    assert len(NEIGHBOURS) > 1
    verdict, _ = first_verdict(learned, Fault(Kind.GEO_OFF, LATER + HOUR, BIGGEST.country))
    assert (verdict.reason, verdict.scope) == (Reason.COUNTRY_NOT_PERMITTED, Scope.COUNTRY)
    assert (verdict.country, verdict.operator) == (BIGGEST.country, "")
    assert f"recipients in {BIGGEST.country} since " in verdict.evidence


def test_evidence_compares_with_healthy_days(learned: bytes) -> None:
    verdict, _ = first_verdict(learned, at_operator(Kind.BLOCK))
    failed, _, seen, *_ = verdict.evidence.split()
    assert 3 <= int(failed) <= int(seen) < 40
    healthy = float(verdict.evidence.split("healthy rate ")[1].removesuffix(" %"))
    assert 0 < healthy < 100 * 3 * BIGGEST.failing


def test_a_suspicion_comes_before_the_verdict(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    fault = at_operator(Kind.BLOCK)
    for poll in polls(fault, LATER, LATER + 4 * HOUR):
        path.take(poll)
        suspicions = [each for each in path.detector.suspicions() if each.operator == BIGGEST.name]
        if poll.at > fault.since and suspicions:
            break
    (suspicion,) = suspicions
    assert suspicion.reason is Reason.OPERATOR_BLOCKING
    assert suspicion.threshold / 2 < suspicion.score < suspicion.threshold
    assert not path.detector.verdicts()


def test_two_failed_probes_count_and_a_third_does_not(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    fault = at_operator(Kind.BLOCK)
    for poll in polls(fault, LATER, LATER + 4 * HOUR):
        path.take(poll)
        if poll.at > fault.since and path.detector.suspicions():
            break
    scores = [path.detector.suspicions()[0].score]
    for _ in range(3):
        path.detector.note_probe(BIGGEST.country, BIGGEST.name, arrived=False)
        scores.append(path.detector.suspicions()[0].score)
    assert scores[1] == pytest.approx(scores[0] + 2.5, abs=0.01)
    assert scores[2] == pytest.approx(scores[0] + 5.0, abs=0.01)
    assert scores[3] == scores[2]


def test_a_probe_that_arrives_speaks_against_a_block_and_one_without_suspicion_says_nothing(learned: bytes) -> None:
    detector = Detector.load(DetectorSettings(), learned)
    before = detector.suspicions()
    for _ in range(2):
        detector.note_probe(BIGGEST.country, BIGGEST.name, arrived=False)
        detector.note_probe("XX", "nobody", arrived=False)
    assert not detector.verdicts()
    verdict, detector = first_verdict(learned, at_operator(Kind.BLOCK))
    detector.note_probe(BIGGEST.country, BIGGEST.name, arrived=True)
    assert detector.verdicts()[0].score == pytest.approx(verdict.score - 2.5, abs=0.01)
    assert not before


def test_a_fault_is_over_soon_after_messages_arrive_again(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(at_operator(Kind.BLOCK), LATER, LATER + 4 * HOUR):
        path.take(poll)
    assert path.detector.verdicts()
    for poll in polls(None, LATER + 4 * HOUR, LATER + 6 * HOUR, "after"):
        path.take(poll)
    assert not path.detector.verdicts()


def test_a_fault_that_is_over_leaves_no_wider_one_behind(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(at_operator(Kind.BLOCK), LATER, LATER + 8 * HOUR):
        path.take(poll)
    (verdict,) = path.detector.verdicts()
    wider = [reading for reading in path.detector.readings() if reading.scope is not Scope.OPERATOR]
    assert any(max(reading.scores.values()) > reading.threshold for reading in wider)
    for poll in polls(None, LATER + 8 * HOUR, LATER + 10 * HOUR, "after"):
        path.take(poll)
        assert all(each.scope is verdict.scope for each in path.detector.verdicts())


def test_a_new_operator_that_loses_receipts_is_given_time(learned: bytes) -> None:
    detector = Detector.load(DetectorSettings(), learned)
    for number in range(100):
        at = LATER + number * 400.0
        recipient = f"newcomer {number}"
        detector.advance(
            [
                movement(
                    f"{number}",
                    recipient,
                    at,
                    delivered_after=5.0 if number % 2 else None,
                    country=BIGGEST.country,
                    operator="newcomer",
                )
            ],
            confirmations=[Confirmation(keyed(recipient), at + 20)] if number % 5 else [],
            known_until=at + 300,
        )
        assert not detector.verdicts()


def test_a_fault_of_days_does_not_become_normal(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(at_operator(Kind.BLOCK), LATER, LATER + 3 * DAY):
        path.take(poll)
    assert [verdict.operator for verdict in path.detector.verdicts()] == [BIGGEST.name]
    for poll in polls(None, LATER + 3 * DAY, LATER + 4 * DAY, "after"):
        path.take(poll)
    assert baseline(path.detector)["blocked"] < 0.01


def baseline(detector: Detector) -> dict[str, float]:
    (reading,) = [each for each in detector.readings() if each.operator == BIGGEST.name]
    return dict(reading.baseline)


def test_what_lasts_as_long_as_the_history_is_normal_in_the_end(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings.model_validate({"history": "2d"}), learned))
    for poll in polls(at_operator(Kind.NO_RECEIPTS), LATER, LATER + 4 * DAY):
        path.take(poll)
    assert not path.detector.verdicts()
    assert baseline(path.detector)["lost"] > 0.5


@pytest.mark.parametrize(
    ("kind", "reason", "pages"),
    [(Kind.SILENT, Reason.OPERATOR_BLOCKING, True), (Kind.NO_RECEIPTS, Reason.RECEIPTS_MISSING, False)],
)
def test_without_word_of_typed_codes_resends_tell_silence_from_lost_receipts(
    kind: Kind, reason: Reason, pages: bool
) -> None:
    path = DirectPath(Detector(DetectorSettings()))
    for fault, since, until in ((None, EPOCH, LATER), (at_operator(kind), LATER, LATER + 4 * HOUR)):
        for poll in polls(fault, since, until, f"{fault}"):
            path.take(Poll(poll.at, poll.receipts, []))
    (verdict,) = path.detector.verdicts()
    assert (verdict.reason, verdict.pages) == (reason, pages)
    assert "typed" not in verdict.evidence


def test_when_nobody_tells_of_typed_codes_any_more_nobody_is_accused(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    for poll in polls(None, LATER, LATER + 8 * HOUR):
        path.take(poll if poll.at < LATER + HOUR else Poll(poll.at, poll.receipts, []))
        assert not path.detector.verdicts()


def test_a_new_detector_says_nothing_on_its_first_day() -> None:
    path = DirectPath(Detector(DetectorSettings()))
    for poll in polls(Fault(Kind.BLOCK_30, EPOCH), EPOCH, EPOCH + 0.99 * DAY):
        path.take(poll)
        assert not path.detector.verdicts()
    assert all(reading.threshold == float("inf") for reading in path.detector.readings())


@pytest.mark.parametrize("change", [lambda operator: operator, lambda _: "brand new"])
def test_one_client_alone_never_brings_a_verdict(learned: bytes, change: Callable[[str], str]) -> None:
    detector = Detector.load(DetectorSettings(), learned)
    for attempt in range(200):
        at = LATER + attempt * 400.0
        detector.advance(
            [
                movement(
                    f"{attempt}",
                    "one client",
                    at,
                    failed_after=5.0,
                    reason=Reason.OPERATOR_BLOCKING,
                    country=BIGGEST.country,
                    operator=change(BIGGEST.name),
                )
            ],
            known_until=at + 300,
        )
        assert not detector.verdicts()
