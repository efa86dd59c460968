"""What began with a fault ends with it, and what goes on is found."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import msgspec
import pytest

from checks.messages.detector import Detector, DetectorSettings, Hypothesis, NodeReading, Scope, Verdict
from checks.messages.detector.ending import end_faults
from checks.messages.detector.learning import Operator as Watched
from checks.messages.detector.learning import State
from checks.messages.detector.node import Climb, Node
from checks.messages.detector.signatures import HYPOTHESES, LEAVES, Normal, Outcome
from checks.reason import Reason
from tests.bench.detect import DirectPath
from tests.bench.traffic import DAY, EPOCH, HOUR, Fault, Kind, Message, Operator, Poll, Traffic, World, size_of
from tests.test_detector_sessions import movement

WORLD = World(1, messages_a_day=6000, countries=6, operators=20)
OPERATORS = WORLD.draw()
LATER = EPOCH + 2.3 * DAY
BEGIN, END = LATER + HOUR, LATER + 2 * HOUR
QUIET_HOURS = 6.0

Lasting = tuple[Fault, float]  # a fault and its end


@dataclass
class Passing(Traffic):
    """Traffic with faults that end. Of several that meet a message the first has it."""

    lasting: Sequence[Lasting] = ()

    def _message(self, operator: Operator, at: float, recipient: str, failing: float) -> Message:
        met = (fault for fault, end in self.lasting if fault.since <= at < end and fault.meets(operator))
        self.fault = next(met, None)
        message = super()._message(operator, at, recipient, failing)
        self.fault = None  # what else the simulator asks of it is of a fault without an end
        return message


def polls(lasting: Sequence[Lasting], since: float, until: float, *, every: float = 30.0) -> Iterator[Poll]:
    traffic = Passing(WORLD, "passing", lasting=lasting)
    return takewhile(lambda poll: poll.at <= until, traffic.polls(since, every))


@pytest.fixture(scope="module")
def learned() -> bytes:
    """A detector that has seen some healthy days."""
    path = DirectPath(Detector(DetectorSettings()))
    for poll in takewhile(lambda poll: poll.at <= LATER, Traffic(WORLD, "x").polls(EPOCH, 60.0)):
        path.take(poll)
    assert not path.detector.verdicts()
    return path.detector.dump()


def told(learned: bytes, *lasting: Lasting, until: float = END + QUIET_HOURS * HOUR) -> list[tuple[float, Verdict]]:
    """Return every verdict of every poll, with the time of the poll."""
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    found = []
    for poll in polls(lasting, LATER, until):
        path.take(poll)
        found += [(poll.at, verdict) for verdict in path.detector.verdicts()]
    return found


Name = tuple[Reason, str, str]


def name(verdict: Verdict) -> Name:
    return verdict.reason, verdict.country, verdict.operator


def biggest(size: str) -> Operator:
    return max((each for each in OPERATORS if size_of(each) == size), key=lambda each: each.a_day)


LARGE, MID = biggest("large"), biggest("mid")


@pytest.mark.parametrize(
    "kind", [Kind.PROVIDER_30, Kind.PROVIDER_SLOW, Kind.OUTAGE, Kind.SILENT, Kind.NO_RECEIPTS, Kind.SUSPENDED]
)
def test_after_a_fault_of_the_provider_nothing_is_named_at_its_parts(learned: bytes, kind: Kind) -> None:
    found = told(learned, (Fault(kind, BEGIN), END))
    assert any(verdict.scope is Scope.PROVIDER for at, verdict in found if BEGIN < at <= END)
    assert [name(verdict) for at, verdict in found if at > END and verdict.scope is not Scope.PROVIDER] == []
    assert max(at for at, _ in found) < END + 600


@pytest.mark.parametrize("kind", [Kind.BLOCK, Kind.SILENT, Kind.DELAY, Kind.GEO_OFF])
def test_after_a_fault_of_a_country_nothing_is_named_at_its_operators(learned: bytes, kind: Kind) -> None:
    country = LARGE.country
    assert sum(each.country == country for each in OPERATORS) > 1
    found = told(learned, (Fault(kind, BEGIN, country), END))
    assert any(verdict.scope is Scope.COUNTRY for at, verdict in found if BEGIN < at <= END)
    assert [name(verdict) for at, verdict in found if at > END and verdict.scope is Scope.OPERATOR] == []
    assert max(at for at, _ in found) < END + 1200


@pytest.mark.parametrize("operator", [LARGE, MID], ids=size_of)
@pytest.mark.parametrize("kind", [Kind.NO_RECEIPTS, Kind.SILENT, Kind.BLOCK])
def test_a_fault_of_an_operator_ends_under_the_name_that_it_had(learned: bytes, operator: Operator, kind: Kind) -> None:
    end = BEGIN + 4 * HOUR
    found = told(learned, (Fault(kind, BEGIN, operator.country, operator.number), end), until=end + QUIET_HOURS * HOUR)
    during = {name(verdict) for at, verdict in found if BEGIN < at <= end}
    assert during
    assert {name(verdict) for at, verdict in found if at > end} <= during


@pytest.mark.parametrize("wide", [Kind.OUTAGE, Kind.PROVIDER_30, Kind.SILENT])
@pytest.mark.parametrize(("operator", "minutes"), [(LARGE, 15.0), (MID, 60.0)], ids=["large", "mid"])
def test_an_operator_that_stays_broken_is_named_from_what_it_shows_since(
    learned: bytes, wide: Kind, operator: Operator, minutes: float
) -> None:
    own = Fault(Kind.BLOCK, BEGIN, operator.country, operator.number)
    found = told(learned, (own, math.inf), (Fault(wide, BEGIN), END), until=END + 2 * HOUR)
    since = [(at, verdict) for at, verdict in found if at > END and verdict.operator == operator.name]
    assert since[0][0] < END + minutes * 60
    assert since[-1][0] > END + 1.99 * HOUR
    assert all(verdict.reason is Reason.OPERATOR_BLOCKING for _, verdict in since)
    late = {name(verdict) for at, verdict in found if at > END + HOUR}
    assert late == {(Reason.OPERATOR_BLOCKING, operator.country, operator.name)}


def test_a_fault_that_was_there_before_the_provider_s_is_named_again_at_once(learned: bytes) -> None:
    own = Fault(Kind.BLOCK, BEGIN, MID.country, MID.number)
    begin, end = BEGIN + 6 * HOUR, BEGIN + 7 * HOUR
    found = told(learned, (own, math.inf), (Fault(Kind.OUTAGE, begin), end), until=end + HOUR)
    assert {name(verdict) for at, verdict in found if begin - 600 < at <= begin} == {
        (Reason.OPERATOR_BLOCKING, MID.country, MID.name)
    }
    after = [verdict for at, verdict in found if at > end + 600]
    assert {name(verdict) for verdict in after} == {(Reason.OPERATOR_BLOCKING, MID.country, MID.name)}
    assert after[0].since < begin


def test_of_two_faults_the_one_that_goes_on_keeps_its_name(learned: bytes) -> None:
    first = Fault(Kind.BLOCK, BEGIN, MID.country, MID.number)
    second = Fault(Kind.SILENT, BEGIN + 4 * HOUR, LARGE.country, LARGE.number)
    end = BEGIN + 6 * HOUR
    found = told(learned, (first, math.inf), (second, end), until=end + 2 * HOUR)
    assert (Reason.OPERATOR_BLOCKING, LARGE.country, LARGE.name) in {name(verdict) for _, verdict in found}
    goes_on = (Reason.OPERATOR_BLOCKING, MID.country, MID.name)
    named_at = {at for at, verdict in found if name(verdict) == goes_on}
    assert {at for at, _ in found if at > end + 600} <= named_at
    assert {name(verdict) for at, verdict in found if at > end + 600} == {goes_on}


# --- order and size of steps, and what older versions remember --------------------------------------------------------


def test_a_fault_ends_the_same_way_in_steps_of_any_size(learned: bytes) -> None:
    def readings(every: float) -> list[NodeReading]:
        path = DirectPath(Detector.load(DetectorSettings(), learned))
        for poll in polls([(Fault(Kind.OUTAGE, BEGIN), END)], LATER, END + HOUR, every=every):
            path.take(poll)
        return list(path.detector.readings())

    assert readings(30.0) == readings(300.0)


def test_a_fault_that_an_older_version_named_ends_as_well(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    lasting = [(Fault(Kind.OUTAGE, BEGIN), END)]
    for poll in polls(lasting, LATER, END + 2 * HOUR):
        if poll.at == END:
            path.detector = Detector.load(DetectorSettings(), as_written_before(path.detector.dump()))
            assert [verdict.scope for verdict in path.detector.verdicts()] == [Scope.PROVIDER]
        path.take(poll)
        if poll.at > END:
            assert all(verdict.scope is Scope.PROVIDER for verdict in path.detector.verdicts())
    assert not path.detector.verdicts()


def as_written_before(dump: bytes) -> bytes:
    """Return a dump without the fields that older versions did not have."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(each) for key, each in value.items() if key not in ("named_at", "explained_until")}
        return [without(each) for each in value] if isinstance(value, list) else value

    return msgspec.msgpack.encode(without(msgspec.msgpack.decode(dump, strict=False)))


def test_when_the_latest_fault_ended_is_remembered(learned: bytes) -> None:
    path = DirectPath(Detector.load(DetectorSettings(), learned))
    assert path.detector.explained_until() == 0.0
    for poll in polls([(Fault(Kind.OUTAGE, BEGIN), END)], LATER, END + HOUR):
        path.take(poll)
    again = Detector.load(DetectorSettings(), path.detector.dump())
    assert END < again.explained_until() < END + 600


# --- one look ---------------------------------------------------------------------------------------------------------

SETTINGS = DetectorSettings()
NORMAL = Normal([0.86] + [0.01] * (len(LEAVES) - 1), 0.1, [0.8] * 4)
NOW = 10_000.0
BLOCKED, SILENT, DELAYED, LOST = (
    HYPOTHESES.index(each)
    for each in (Hypothesis.BLOCKED, Hypothesis.SILENT, Hypothesis.DELAYED, Hypothesis.RECEIPTS_LOST)
)


def climb(height: float, *, since: float = 5000.0, named_at: float = 5100.0, seen: Outcome = Outcome.BLOCKED) -> Climb:
    """Return a verdict that has been as high as that; lower than 10 it is none."""
    tally = [0] * len(Outcome)
    tally[seen] = 20
    return Climb(height, height, since, since, is_verdict=height >= 10, named_at=named_at, tally=tally)


def state(provider: dict[int, Climb], *operators: dict[int, Climb]) -> tuple[State, tuple[Node, Node, Node]]:
    """Return a detector's memory, and the nodes of a look at the last operator, each in a country of its own."""

    def node(scope: Scope, climbs: dict[int, Climb], country: str = "", operator: str = "") -> Node:
        return Node(scope, country, operator, 10.0, NOW, climbs, NORMAL)

    watched = [Watched(node(Scope.OPERATOR, each, f"{n}", f"{n}")) for n, each in enumerate(operators)]
    countries = {f"{n}": node(Scope.COUNTRY, {}, f"{n}") for n in range(len(operators))}
    remembered = State(provider=node(Scope.PROVIDER, provider), countries=countries, operators=watched)
    return remembered, remembered.nodes_of(watched[-1])


def test_what_a_part_shows_of_the_fault_of_the_whole_goes_with_it() -> None:
    memory, nodes = state({BLOCKED: climb(60.0), DELAYED: climb(12.0)}, {BLOCKED: climb(30.0), SILENT: climb(8.0)}, {})
    end_faults(memory, nodes, {Scope.PROVIDER: [BLOCKED]}, NOW, SETTINGS.half_life)
    assert not memory.provider.climbs
    assert not memory.operators[0].node.climbs
    assert {each.node.explained_until for each in memory.operators} == {NOW}


def test_a_part_s_verdict_from_before_the_fault_stays() -> None:
    older, younger = climb(30.0, since=4000.0, named_at=4500.0), climb(30.0, since=4000.0, named_at=5200.0)
    memory, nodes = state({BLOCKED: climb(60.0)}, {BLOCKED: older}, {BLOCKED: younger})
    end_faults(memory, nodes, {Scope.PROVIDER: [BLOCKED]}, NOW, SETTINGS.half_life)
    assert [list(each.node.climbs) for each in memory.operators] == [[BLOCKED], []]


def test_the_shadow_of_a_part_s_fault_takes_nothing_with_it() -> None:
    memory, nodes = state({BLOCKED: climb(31.0)}, {BLOCKED: climb(30.0)}, {})
    end_faults(memory, nodes, {Scope.PROVIDER: [BLOCKED]}, NOW, SETTINGS.half_life)
    assert not memory.provider.climbs
    assert list(memory.operators[0].node.climbs) == [BLOCKED]
    assert memory.operators[0].node.explained_until == 0.0


def test_a_hypothesis_that_does_not_name_the_fault_ends_alone() -> None:
    seen = Outcome.LOST_TYPED
    memory, nodes = state({}, {SILENT: climb(20.0, seen=seen), LOST: climb(30.0, seen=seen)})
    end_faults(memory, nodes, {Scope.OPERATOR: [SILENT]}, NOW, SETTINGS.half_life)
    assert list(memory.operators[0].node.climbs) == [LOST]
    end_faults(memory, nodes, {Scope.OPERATOR: [LOST]}, NOW, SETTINGS.half_life)
    assert not memory.operators[0].node.climbs


def test_the_hypothesis_that_names_the_fault_takes_the_others_with_it_and_relieves_the_wider_nodes() -> None:
    seen = Outcome.LOST_TYPED
    memory, nodes = state({SILENT: climb(30.0), LOST: climb(20.0)}, {SILENT: climb(20.0, seen=seen), LOST: climb(29.0)})
    memory.operators[0].node.climbs[LOST].tally = memory.operators[0].node.climbs[SILENT].tally
    end_faults(memory, nodes, {Scope.OPERATOR: [LOST]}, NOW, SETTINGS.half_life)
    assert not memory.operators[0].node.climbs
    assert {number: each.score for number, each in memory.provider.climbs.items()} == {SILENT: 10.0}


@pytest.mark.parametrize(("created_at", "says"), [(-1.0, False), (0.0, True)])
def test_messages_from_before_the_end_say_nothing_and_later_ones_do(
    learned: bytes, created_at: float, says: bool
) -> None:
    detector = Detector.load(SETTINGS, learned)
    (nodes,) = (each for each in detector._nodes if each[0].operator == LARGE.name)
    detector.advance([], known_until=LATER + 700)
    for node in nodes:
        node.take_back(0.0)
    nodes[0].take_back(LATER + 700)
    at = LATER + 700 + created_at
    lost = movement("a", "x", at, failed_after=5.0, country=LARGE.country, operator=LARGE.name)
    detector.advance([lost], known_until=at + 20)
    assert [bool(node.climbs) for node in nodes] == [says] * 3
