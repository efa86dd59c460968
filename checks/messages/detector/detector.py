"""The detector of operator faults: what goes in, and what it says."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ..movement import Confirmation, Movement
from .baseline import GENERIC, HOUR, shares_of
from .ending import end_faults
from .evidence import evidence_of
from .learning import LEAST_LEARNT, Gains, Operator, State, end_hour
from .node import Move, Node
from .ranking import NO_ARRIVAL, QUIET, Finding, Ranking, reason_of
from .sessions import Look, Sessions
from .settings import DetectorSettings
from .signatures import HYPOTHESES, LEAVES, Outcome, points_of
from .verdict import NodeReading, Scope, Suspicion, Verdict

_MOST_OPERATORS: Final = 1000
_MOST_COUNTRIES: Final = 300
_OTHER: Final = "other"
_PROBE_POINTS: Final = 2.5  # 90 % of the probes fail during a fault, some 7 % otherwise
_MOST_PROBES: Final = 2  # for one fault: a test number may be treated unlike all others
_OUTCOMES: Final = len(Outcome)
_PENDING: Final = int(Outcome.PENDING)


class Detector:
    """Watches the messages of one provider for faults of operators, of countries and of the provider itself.

    It is pure: no clock, no I/O, no chance. First it learns what is normal: it says nothing before it has seen
    some hundred sessions and a whole day. What it knows little of it takes from the operator's country, and
    from the provider.
    """

    def __init__(self, settings: DetectorSettings, state: State | None = None) -> None:
        self._settings = settings
        self._state = State() if state is None else state
        self._sessions = Sessions(settings, self._state.sessions)
        self._numbers = {
            (each.node.country, each.node.operator): number for number, each in enumerate(self._state.operators)
        }
        self._points = [
            None if each.node.normal is None else points_of(each.node.normal) for each in self._state.operators
        ]
        self._moves: list[dict[int, Move]] = [{} for _ in self._state.operators]
        self._nodes = [self._state.nodes_of(each) for each in self._state.operators]

    @classmethod
    def load(cls, settings: DetectorSettings, data: bytes) -> "Detector":
        """Return a detector that goes on from what ``dump`` returned. Raises msgspec.DecodeError."""
        return cls(settings, _DECODER.decode(data))

    def dump(self) -> bytes:
        """Return all that it remembers; of recipients and messages that is keyed hashes."""
        return msgspec.msgpack.encode(self._state)

    def advance(
        self,
        movements: Sequence[Movement],
        *,
        confirmations: Sequence[Confirmation] = (),
        known_until: float,
        typed_until: float = math.inf,
    ) -> None:
        """Take in what is new, and judge what can be judged.

        ``known_until`` is Unix time: every message created and every status reached before it is known now, and so
        is every confirmation. While that is true, the size, order and repetition of the steps do not matter. What
        comes late all the same is judged as if it happened now, if it is not older than a session.

        ``typed_until`` is Unix time too: of what is judged later it is not known whether a code was typed, because
        nobody could tell.
        """
        numbers = self._numbers
        for movement in movements:
            number = numbers.get((movement.country, movement.operator))
            if number is None:
                number = self._add_operator(movement.country, movement.operator)
            self._sessions.take(movement, number, known_until)
        for confirmation in confirmations:
            self._sessions.confirm(confirmation, known_until)
        for look in self._sessions.looks(known_until, typed_until):
            self._judge(look)

    def _add_operator(self, country: str, operator: str) -> int:
        state = self._state
        if country not in state.countries and len(state.countries) >= _MOST_COUNTRIES:
            country = _OTHER
        if len(state.operators) >= _MOST_OPERATORS:
            operator = _OTHER
        number = self._numbers.get((country, operator))
        if number is None:
            state.countries.setdefault(country, Node(Scope.COUNTRY, country))
            number = self._numbers[country, operator] = len(state.operators)
            state.operators.append(Operator(Node(Scope.OPERATOR, country, operator)))
            self._points.append(None)
            self._moves.append({})
            self._nodes.append(state.nodes_of(state.operators[number]))
        return number

    def _judge(self, look: Look) -> None:
        state, settings = self._state, self._settings
        if look.at >= (state.hour + 1) * HOUR:
            self._renew(end_hour(state, int(look.at // HOUR), settings))
        _, session, before, after, leaf = look
        operator = state.operators[session.operator]
        if leaf >= 0:
            operator.counts[leaf] += 1
        if after >= _PENDING:
            operator.counts[after] += 1
        if self._points[session.operator] is None:
            return
        key = (before + 1) * _OUTCOMES + after
        looks = operator.looks
        looks[key] = looks.get(key, 0) + 1
        move = self._moves[session.operator].get(key) or self._move(session.operator, key)
        nodes = self._nodes[session.operator]
        over: dict[Scope, Sequence[int]] = {}
        for node in nodes:
            if session.created_at < node.explained_until:
                break  # else what is wider would show more of a fault than the part that it is of
            if node.climbs or move.rising:
                verdicts = node.add(look, move, settings)
                if verdicts:
                    over[node.scope] = verdicts
        if over:
            end_faults(state, nodes, over, look.at, settings.half_life)

    def _move(self, number: int, key: int) -> Move:
        points = self._points[number]
        if points is None:
            raise ValueError("an operator without a baseline has no points")
        before, after = divmod(key, _OUTCOMES)
        worth = points[after]
        if before:
            worth = tuple(new - old for new, old in zip(worth, points[before - 1], strict=True))
        rising = tuple(hypothesis for hypothesis, each in enumerate(worth) if each > 0)
        move = self._moves[number][key] = Move(worth, rising)
        return move

    def _renew(self, numbers: Sequence[int]) -> None:
        """Compute anew what outcomes are worth at these operators."""
        for number in numbers:
            operator = self._state.operators[number]
            operator.gains = self._gains(number)
            operator.looks = {}
            if operator.node.normal is not None:
                self._points[number] = points_of(operator.node.normal)
            self._moves[number] = {}

    def _gains(self, number: int) -> Gains:
        operator = self._state.operators[number]
        gains = Gains(list(operator.gains.gained), list(operator.gains.lost))
        for key, times in operator.looks.items():
            gains.add((self._moves[number].get(key) or self._move(number, key)).points, times)
        return gains

    def note_probe(self, country: str, operator: str, *, arrived: bool) -> None:
        """Let a test message by a suspected route have its say; it begins no suspicion, and two say enough."""
        number = self._numbers.get((country, operator))
        if number is None:
            return
        worth = -_PROBE_POINTS if arrived else _PROBE_POINTS
        for node in self._nodes[number]:
            for hypothesis in NO_ARRIVAL:
                node.add_probe(HYPOTHESES.index(hypothesis), worth, _MOST_PROBES)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the faults that chance does not explain, each once and with its own scope; the worst first."""
        return tuple(
            Verdict(
                reason=reason_of(found),
                scope=found.node.scope,
                country=found.node.country,
                operator=found.node.operator,
                score=found.score,
                threshold=found.node.threshold,
                since=found.climb.since,
                evidence=evidence_of(found),
                pages=found.hypothesis not in QUIET,
            )
            for found in self._found(1.0)
        )

    def explained_until(self) -> float:
        """Return the end of the latest fault that was named and is over (Unix time); 0 when there was none."""
        state = self._state
        nodes = (state.provider, *state.countries.values(), *(operator.node for operator in state.operators))
        return max(node.explained_until for node in nodes)

    def suspicions(self) -> tuple[Suspicion, ...]:
        """Return what would page with twice the evidence, and what does page; the worst first."""
        return tuple(
            Suspicion(
                reason=reason_of(found),
                scope=found.node.scope,
                country=found.node.country,
                operator=found.node.operator,
                score=found.score,
                threshold=found.node.threshold,
            )
            for found in self._found(0.5)
            if found.hypothesis not in QUIET
        )

    def _found(self, above: float) -> list[Finding]:
        state, settings = self._state, self._settings
        ranking = Ranking(state.sessions.now, settings.half_life, settings.second_look, above)
        return ranking.search(state.provider, state.countries, [operator.node for operator in state.operators])

    def readings(self) -> Iterator[NodeReading]:
        """Yield the numbers of every node: the provider, the countries, the operators."""
        state = self._state
        in_order = [(operator, self._gains(number)) for number, operator in state.in_order()]
        of_country: dict[str, list[Gains]] = {}
        for operator, gains in in_order:
            of_country.setdefault(operator.node.country, []).append(gains)
        yield self._reading(state.provider, Gains.sum_of(gains for _, gains in in_order))
        for country, each in of_country.items():
            yield self._reading(state.countries[country], Gains.sum_of(each))
        for operator, gains in in_order:
            yield self._reading(operator.node, gains)

    def _reading(self, node: Node, gains: Gains) -> NodeReading:
        scores = node.scores(self._state.sessions.now, self._settings.half_life)
        return NodeReading(
            scope=node.scope,
            country=node.country,
            operator=node.operator,
            threshold=node.threshold,
            scores={each: scores.get(number, 0.0) for number, each in enumerate(HYPOTHESES)},
            gains=dict(zip(HYPOTHESES, gains.gained, strict=True)),
            losses=dict(zip(HYPOTHESES, gains.lost, strict=True)),
            baseline=_baseline_of(node),
        )


def _baseline_of(node: Node) -> dict[str, float]:
    if node.history.sessions < LEAST_LEARNT:
        return {}
    shares = shares_of(node.history.total, GENERIC).leaves
    return {leaf.label: share for leaf, share in zip(LEAVES, shares, strict=True)}


_DECODER: Final = msgspec.msgpack.Decoder(State)
