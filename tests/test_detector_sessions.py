"""What is judged: one session a recipient, at its own time, whatever the order and the size of the steps."""

import random
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks.messages import Confirmation, Movement, Status
from checks.messages.detector import Detector, DetectorSettings, NodeReading
from checks.reason import Reason

START = 1_767_571_200.0


def keyed(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def movement(
    message: str,
    recipient: str,
    created_at: float,
    *,
    delivered_after: float | None = None,
    failed_after: float | None = None,
    reason: Reason | None = None,
    country: str = "NG",
    operator: str = "MTN",
) -> Movement:
    """Return the latest that the log shows of a message."""
    status, at = Status.SENT, created_at
    if delivered_after is not None:
        status, at = Status.DELIVERED, created_at + delivered_after
    if failed_after is not None:
        status, at = Status.UNDELIVERED, created_at + failed_after
    return Movement(keyed(message), keyed(recipient), created_at, country, operator, status, at, reason, "30007")


def outcomes(detector: Detector) -> dict[str, int]:
    """Return the sessions by outcome: a detector counts before it judges."""
    from checks.messages.detector.signatures import Outcome

    totals = [0] * len(Outcome)
    for operator in detector._state.operators:
        for counts in (operator.counts, operator.node.history.total, *(counts for _, counts in operator.fresh)):
            totals = [a + b for a, b in zip(totals, counts, strict=True)]
    return {outcome.label: totals[outcome] for outcome in Outcome if totals[outcome]}


def judged(*movements: Movement, confirmations: Sequence[Confirmation] = (), later: float = 3600.0) -> dict[str, int]:
    detector = Detector(DetectorSettings())
    detector.advance(movements, confirmations=confirmations, known_until=START + later)
    return outcomes(detector)


@pytest.mark.parametrize(
    ("delivered_after", "expected"),
    [
        (5.0, {"fast": 1}),
        (10.0, {"fast": 1}),
        (11.0, {"slow": 1}),
        (30.0, {"slow": 1}),
        (31.0, {"late": 1, "pending": 1}),
        (180.0, {"late": 1, "pending": 1}),
        (181.0, {"lost": 1, "pending": 1}),
        (None, {"lost": 1, "pending": 1}),
    ],
)
def test_a_message_is_judged_by_when_it_arrived(delivered_after: float | None, expected: dict[str, int]) -> None:
    assert judged(movement("a", "x", START, delivered_after=delivered_after)) == expected


@pytest.mark.parametrize(
    ("failed_after", "expected"),
    [(5.0, {"blocked": 1}), (60.0, {"pending": 1, "blocked": 1}), (200.0, {"pending": 1, "lost": 1})],
)
def test_a_failure_counts_when_it_is_told_before_the_second_look(failed_after: float, expected: dict[str, int]) -> None:
    failed = movement("a", "x", START, failed_after=failed_after, reason=Reason.OPERATOR_BLOCKING)
    assert judged(failed) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.ACCOUNT_SUSPENDED, "account"),
        (Reason.COUNTRY_NOT_PERMITTED, "country"),
        (Reason.RECIPIENT_INVALID, "number_wrong"),
        (Reason.RECIPIENT_UNREACHABLE, "unreachable"),
        (Reason.RECIPIENT_BLOCKED, "refused"),
        (Reason.SENDER_UNREGISTERED, "sender"),
        (Reason.PROVIDER_OUTAGE, "provider"),
        (Reason.SMS_PUMPING, "pumping"),
        (Reason.DELIVERY_FAILING, "failing"),
        (None, "failing"),
    ],
)
def test_the_reason_of_the_vendors_table_decides_the_outcome(reason: Reason | None, expected: str) -> None:
    assert judged(movement("a", "x", START, failed_after=1.0, reason=reason)) == {expected: 1}


def test_a_number_where_messages_arrived_is_not_wrong_all_of_a_sudden() -> None:
    assert judged(
        movement("a", "x", START, delivered_after=5.0),
        movement("b", "x", START + 1000, failed_after=5.0, reason=Reason.RECIPIENT_INVALID),
    ) == {"fast": 1, "number_gone": 1}


def test_resends_are_not_judged() -> None:
    assert judged(
        movement("a", "x", START),
        movement("b", "x", START + 40, delivered_after=3.0),
        movement("c", "x", START + 500, delivered_after=3.0),
        movement("d", "x", START + 1000, delivered_after=3.0),
        movement("e", "x", START + 1700, delivered_after=3.0),
    ) == {"pending": 1, "lost": 1, "fast": 1}


def test_a_dead_number_counts_once_however_often_it_is_tried() -> None:
    tries = [
        movement(f"{n}", "x", START + n * 1800, failed_after=3.0, reason=Reason.RECIPIENT_INVALID) for n in range(20)
    ]
    assert judged(*tries, later=40_000.0) == {"number_wrong": 1}


def test_messages_without_a_recipient_are_each_judged() -> None:
    unknown = [Movement(keyed(f"{n}"), b"", START + n, "NG", "MTN", Status.DELIVERED, START + n + 3) for n in range(3)]
    assert judged(*unknown) == {"fast": 3}


def test_a_message_that_its_sender_withdrew_is_not_judged() -> None:
    withdrawn = Movement(keyed("a"), keyed("x"), START, "NG", "MTN", Status.CANCELED, START + 2)
    assert judged(movement("a", "x", START), withdrawn) == {}


def test_typed_codes_count_by_recipient_until_the_second_look() -> None:
    sent = [movement(f"{n}", f"client {n}", START + n, delivered_after=4.0) for n in range(3)]
    typed = [Confirmation(keyed("client 0"), START + 20), Confirmation(keyed("client 1"), START + 400)]
    assert judged(*sent, confirmations=typed) == {"fast": 3, "fast_untyped": 2, "fast_typed": 1}


def test_a_target_without_any_word_of_typed_codes_has_none_untyped() -> None:
    assert judged(movement("a", "x", START, delivered_after=4.0)) == {"fast": 1}


@pytest.mark.parametrize("created_at", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_absurd_dates_are_left_out(created_at: float) -> None:
    detector = Detector(DetectorSettings())
    detector.advance([movement("a", "x", START, delivered_after=3.0)], known_until=START + 600)
    detector.advance([movement("b", "y", created_at, delivered_after=3.0)], known_until=START + 1200)
    assert outcomes(detector) == {"fast": 1}
    assert Detector.load(DetectorSettings(), detector.dump()).dump() == detector.dump()


def test_what_comes_late_is_judged_now_and_what_comes_much_too_late_is_not() -> None:
    detector = Detector(DetectorSettings())
    detector.advance([], known_until=START + 1000)
    detector.advance([movement("a", "x", START + 500, delivered_after=3.0)], known_until=START + 1010)
    detector.advance([movement("b", "y", START, delivered_after=3.0)], known_until=START + 1020)
    detector.advance([], known_until=START + 2000)
    assert outcomes(detector) == {"fast": 1}


# --- order, repetition and the size of steps --------------------------------------------------------------------------


def traffic(seed: int, messages: int) -> tuple[list[Movement], list[Confirmation]]:
    """Two days of a few operators, the second with a block at one of them."""
    chance = random.Random(seed)
    movements, confirmations = [], []
    for number in range(messages):
        created_at = START + number * 172_800 / messages + chance.random()
        operator = chance.choice(["MTN", "Airtel", "Glo"])
        recipient = f"client {chance.randrange(messages // 2)}"
        movements.append(movement(f"{number}", recipient, created_at, operator=operator))
        is_blocked = operator == "MTN" and created_at > START + 130_000
        if chance.random() < (0.9 if is_blocked else 0.05):
            reason = chance.choice([Reason.OPERATOR_BLOCKING, Reason.RECIPIENT_UNREACHABLE, Reason.DELIVERY_FAILING])
            took = chance.expovariate(1 / 20)
            movements.append(
                movement(f"{number}", recipient, created_at, failed_after=took, reason=reason, operator=operator)
            )
        elif chance.random() < 0.97:
            took = chance.lognormvariate(1.6, 0.9)
            movements.append(movement(f"{number}", recipient, created_at, delivered_after=took, operator=operator))
            if chance.random() < 0.8:
                confirmations.append(Confirmation(keyed(recipient), created_at + took + chance.expovariate(1 / 15)))
    return movements, confirmations


MOVEMENTS, CONFIRMATIONS = traffic(1, 2500)
END = START + 172_800 + 3600.0


def known_at(known_until: float, since: float) -> tuple[list[Movement], list[Confirmation]]:
    """Return what became known in a stretch of time."""
    return (
        [each for each in MOVEMENTS if since <= each.at < known_until],
        [each for each in CONFIRMATIONS if since <= each.at < known_until],
    )


def steps(every: float) -> Iterator[tuple[list[Movement], list[Confirmation], float]]:
    since = START
    while since < END:
        until = min(END, since + every)
        yield *known_at(until, since), until
        since = until


def scores(detector: Detector) -> list[NodeReading]:
    return sorted(detector.readings(), key=lambda each: (each.scope, each.country, each.operator))


@pytest.fixture(scope="module")
def replayed() -> Detector:
    """One that got all at once."""
    detector = Detector(DetectorSettings())
    detector.advance(MOVEMENTS, confirmations=CONFIRMATIONS, known_until=END)
    return detector


def test_the_replay_finds_the_block(replayed: Detector) -> None:
    (verdict,) = replayed.verdicts()
    assert (verdict.reason, verdict.operator) == (Reason.OPERATOR_BLOCKING, "MTN")


@pytest.mark.parametrize("every", [30.0, 300.0, 86_400.0])
def test_live_in_steps_and_one_replay_give_identical_scores(replayed: Detector, every: float) -> None:
    detector = Detector(DetectorSettings())
    for movements, confirmations, known_until in steps(every):
        detector.advance(movements, confirmations=confirmations, known_until=known_until)
    assert scores(detector) == scores(replayed)
    assert detector.verdicts() == replayed.verdicts()


def test_a_detector_that_is_written_down_and_read_again_goes_on_exactly(replayed: Detector) -> None:
    detector = Detector(DetectorSettings())
    for turn, (movements, confirmations, known_until) in enumerate(steps(1800.0)):
        detector.advance(movements, confirmations=confirmations, known_until=known_until)
        if turn % 7 == 0:
            written = detector.dump()
            detector = Detector.load(DetectorSettings(), written)
            assert detector.dump() == written
    assert scores(detector) == scores(replayed)
    assert detector.verdicts() == replayed.verdicts()


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.floats(60.0, 30_000.0), st.floats(0.0, 0.3))
def test_order_and_repetition_do_not_matter(replayed: Detector, seed: int, every: float, repeated: float) -> None:
    chance = random.Random(seed)
    detector = Detector(DetectorSettings())
    before: list[Movement] = []
    for movements, confirmations, known_until in steps(every):
        told = movements + [each for each in before if chance.random() < repeated]
        chance.shuffle(told)
        chance.shuffle(confirmations)
        detector.advance(told, confirmations=confirmations, known_until=known_until)
        before = movements
    assert scores(detector) == scores(replayed)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.floats(60.0, 30_000.0))
def test_what_is_known_early_does_not_matter(replayed: Detector, seed: int, lag: float) -> None:
    chance = random.Random(seed)
    detector = Detector(DetectorSettings())
    for movements, confirmations, known_until in steps(lag):
        behind = max(START, known_until - lag * chance.random())
        detector.advance(movements, confirmations=confirmations, known_until=behind)
    detector.advance([], known_until=END)
    assert scores(detector) == scores(replayed)


def test_totals_of_points_only_grow(replayed: Detector) -> None:
    detector = Detector(DetectorSettings())
    before: dict[tuple[str, ...], float] = {}
    for movements, confirmations, known_until in steps(3600.0):
        detector.advance(movements, confirmations=confirmations, known_until=known_until)
        for reading in detector.readings():
            for kind, totals in (("gain", reading.gains), ("loss", reading.losses)):
                for hypothesis, total in totals.items():
                    key = (kind, hypothesis, reading.scope, reading.country, reading.operator)
                    assert total >= before.get(key, 0.0) - 1e-9
                    before[key] = total
    assert any(before.values())
