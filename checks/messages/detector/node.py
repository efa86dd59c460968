"""The score of each hypothesis at one node: an operator, a country or the provider.

A score is a cumulative sum of points that cannot fall below 0 (CUSUM, Page 1954) and fades with a half-life. A fault
is over, however high its score, after a run of healthy looks that a fault as severe as it was seldom allows. What was
created before the end of a fault is explained by it, and begins no other one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from .baseline import History
from .sessions import Look
from .settings import DetectorSettings
from .signatures import TYPED, UNTYPED, Normal, Outcome
from .verdict import Scope

_MOST_CODES: Final = 8  # of the vendor's, in one climb
_LEAST_A_MONTH: Final = 400.0  # messages: below that one more or less says nothing
_OVER: Final = 7.0  # points: a run that a fault which goes on allows once in e^7, about a thousand
_MOST_SEVERE: Final = 0.9  # share of the looks: one that is healthy must always be possible
_MONTH_DAYS: Final = 30

# Plain numbers: this runs for every look at every node.
_LOST, _PENDING, _UNTYPED, _TYPED = (int(each) for each in (Outcome.LOST, Outcome.PENDING, UNTYPED, TYPED))


class Move(NamedTuple):
    """What going from one outcome to the next is worth at one operator."""

    points: tuple[float, ...]  # by hypothesis
    rising: tuple[int, ...]  # the hypotheses for which they are positive


class Climb(msgspec.Struct):
    """A score above 0, and what was seen since it left 0."""

    score: float
    peak: float
    since: float  # Unix time: creation of the first message that spoke for it
    begun_at: float  # Unix time: the look that began it
    is_verdict: bool = False  # it has been above the threshold
    named_at: float = 0.0  # Unix time: the look that made it a verdict
    supported: int = 1  # looks that spoke for it
    opposed: int = 0  # looks between them that spoke against it
    run: int = 0  # looks that spoke against it since the last that spoke for it
    probes: int = 0  # test messages that had a say
    resent: int = 0  # sessions without a typed code in which the client asked for another one
    tally: list[int] = msgspec.field(default_factory=lambda: [0] * len(Outcome))  # sessions by latest outcome
    failures: dict[tuple[str, str], int] = {}  # by reason and the vendor's code, as the provider told them

    @property
    def is_over(self) -> bool:
        """Whether the fault has ended."""
        severity = min(_MOST_SEVERE, self.supported / (self.supported + self.opposed))
        return -math.log1p(-severity) * self.run >= _OVER


class Node(msgspec.Struct):
    """A part of the provider's traffic."""

    scope: Scope
    country: str = ""
    operator: str = ""
    threshold: float = math.inf  # points; infinite until there is a baseline
    at: float = 0.0  # Unix time: when the scores were right
    climbs: dict[int, Climb] = {}  # by the number of the hypothesis
    normal: Normal | None = None  # None: not known yet
    explained_until: float = 0.0  # Unix time: messages created earlier are of a fault that is over
    history: History = msgspec.field(default_factory=History)

    def add(self, look: Look, move: Move, settings: DetectorSettings) -> Sequence[int]:
        """Add the points of a look. Return by number the verdicts that are over with it: they stay for now."""
        climbs = self.climbs
        over = self._climb_on(look, move, settings) if climbs else ()
        self.at = look.at
        for hypothesis in move.rising:
            if hypothesis not in climbs:
                worth = move.points[hypothesis]
                climb = climbs[hypothesis] = Climb(worth, worth, look.session.created_at, look.at)
                if worth > self.threshold:
                    climb.is_verdict, climb.named_at = True, look.at
                climb.tally[look.after] = 1
                climb.resent = int(look.session.is_resent and look.after >= _UNTYPED)
                if _LOST < look.after < _PENDING:
                    climb.failures[look.session.told] = 1
        return over

    def _climb_on(self, look: Look, move: Move, settings: DetectorSettings) -> Sequence[int]:
        at, session, before, after, _ = look
        points, threshold = move.points, self.threshold
        fade = 2.0 ** ((self.at - at) / settings.half_life)
        created_at, told = session.created_at, session.told
        is_failure = _LOST < after < _PENDING
        is_resent = session.is_resent and (after == _LOST or _UNTYPED <= after < _TYPED)
        over = []
        for hypothesis, climb in self.climbs.items():
            worth = points[hypothesis]
            climb.score = score = climb.score * fade + worth
            climb.peak *= fade
            if worth > 0.0:
                climb.supported += 1
                climb.opposed += climb.run
                climb.run = 0
                if score > climb.peak:
                    climb.peak = score
                    if score > threshold and not climb.is_verdict:
                        climb.is_verdict, climb.named_at = True, at
            elif worth < 0.0:
                climb.run += 1
                if score <= 0.0 or (climb.is_verdict and climb.is_over):
                    over.append(hypothesis)
                    continue
            if created_at >= climb.since:
                tally = climb.tally
                tally[after] += 1
                if before >= 0 and tally[before] > 0 and created_at + settings.first_look >= climb.begun_at:
                    tally[before] -= 1
                climb.resent += is_resent
                if is_failure and (told in climb.failures or len(climb.failures) < _MOST_CODES):
                    climb.failures[told] = climb.failures.get(told, 0) + 1
        return self._drop_suspicions(over) if over else ()

    def _drop_suspicions(self, over: Sequence[int]) -> Sequence[int]:
        verdicts = []
        for hypothesis in over:
            if self.climbs[hypothesis].is_verdict:
                verdicts.append(hypothesis)
            else:
                del self.climbs[hypothesis]
        return verdicts

    def take_back(self, at: float, *, unless_older_than: Climb | None = None) -> Mapping[int, Climb]:
        """Begin anew with what is created from now (Unix time) on; return the climbs that this ends, by hypothesis.

        A verdict that began, and was one, before a fault that is over is another fault's: it stays.
        """
        self.explained_until = at
        fault = unless_older_than
        ended, self.climbs = self.climbs, {}
        if fault is not None:
            for hypothesis, climb in ended.items():
                if climb.is_verdict and climb.since < fault.since and climb.named_at < fault.named_at:
                    self.climbs[hypothesis] = climb
        return ended

    def relieve(self, ended: Mapping[int, Climb]) -> None:
        """Take away what a narrower node contributed to scores, now that its fault is over."""
        for hypothesis, contributed in ended.items():
            climb = self.climbs.get(hypothesis)
            if climb is not None:
                climb.score -= contributed.score
                climb.peak = max(climb.score, climb.peak - contributed.score)
                if climb.score <= 0.0:
                    del self.climbs[hypothesis]

    def add_probe(self, hypothesis: int, worth: float, most: int) -> None:
        """Add the points of a test message to a score above 0, unless so many had their say already."""
        climb = self.climbs.get(hypothesis)
        if climb is None or climb.probes >= most:
            return
        climb.probes += 1
        climb.score += worth
        climb.peak = max(climb.peak, climb.score)
        if climb.score > self.threshold and not climb.is_verdict:
            climb.is_verdict, climb.named_at = True, self.at
        if climb.score <= 0.0:
            del self.climbs[hypothesis]

    def set_threshold(self, caution: float) -> None:
        """Set it by the node's own volume: what chance shows once a month, and ``caution`` points more."""
        self.threshold = math.log(max(_LEAST_A_MONTH, _MONTH_DAYS * self.history.a_day())) + caution

    def scores(self, now: float, half_life: float) -> dict[int, float]:
        """Return the scores above 0 as they are now."""
        fade = 2.0 ** (min(0.0, self.at - now) / half_life)
        return {hypothesis: climb.score * fade for hypothesis, climb in self.climbs.items()}

    def highest(self) -> float:
        """Return the largest score, as it was at the latest look."""
        return max((climb.score for climb in self.climbs.values()), default=0.0)
