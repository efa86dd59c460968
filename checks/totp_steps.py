"""What the time steps of many sign-ins say of a server's clock.

A TOTP code belongs to a step of 30 s (RFC 6238, section 4.1). The client reads it at a random moment of its step and
types it some seconds later, so a part of all codes belongs to the step before the server's: how large a part tells the
server's clock long before codes are refused. Step -1 is the step before the server's, +1 the step after it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from .totp import STEP_SECONDS

WINDOW: Final = (-1, 0, 1)
"""The steps that a verifier accepts: RFC 6238, section 5.2, recommends one step of network delay at the most."""

USUAL_TYPING_SECONDS: Final = 7.0
"""The median time from reading a code to its arrival, assumed where nothing is known. Log-normal."""

CERTAIN: Final = math.log(1e5)
"""The log-likelihood ratio at which a wrong clock is told: chance alone reaches it once in 100 000 times."""

# The spread of typing, the share of badly set devices and how badly they are set are our assumptions. Together they
# give: 26 % of sign-ins at step -1 with a right clock, 42 % when it is 5 s fast, 58 % at 10 s, 74 % at 15 s; 1 % of
# all codes are refused, 4 % at 20 s, 27 % at 30 s.
_TYPING_SIGMA: Final = 0.465
_BADLY_SET: Final = 0.02
_BADLY_SET_SECONDS: Final = 90.0  # uniform to either side

_FACTORS: Final = tuple(math.exp(NormalDist(0, _TYPING_SIGMA).inv_cdf((n + 0.5) / 100)) for n in range(100))
_MEAN_FACTOR: Final = math.exp(_TYPING_SIGMA**2 / 2)
_FURTHEST: Final = 7  # steps: the largest offset, the worst device and the slowest typist together

_OFFSETS: Final = tuple(range(-45, 46))  # beyond, most codes are refused, and those that are not tell of bad devices
_TYPING_GRID: Final = tuple(n / 2 for n in range(6, 41))  # 3 s to 20 s
_PRIOR_SIGN_INS: Final = 200  # what the assumed typing time counts for, beside what is seen
_BLOCK_SIGN_INS: Final = 100
_BLOCK_SECONDS: Final = 86_400.0
_CONTRADICTION: Final = math.log(100)


@dataclass(frozen=True, slots=True)
class Slot:
    """The attempts of a few minutes, of all clients together."""

    at: float  # its beginning, Unix time
    steps: Mapping[int, int]  # attempts by matched step, those of a step that was used already left out
    unmatched: int  # attempts whose code matched no step
    replayed: int  # attempts whose code matched a step that was used already


class VerifierBook(Protocol):
    """All that is kept of what a platform's verifier told."""

    def slots(self, since: float) -> Sequence[Slot]:
        """Return the slots that begin at ``since`` (Unix time) or later, oldest first; empty ones are left out.

        Raises StorageUnavailableError.
        """


class SignIns(NamedTuple):
    """Accepted codes by step."""

    before: int = 0
    same: int = 0
    after: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.before + self.same + self.after

    @property
    def tells_nothing(self) -> bool:
        """Whether all are of the server's own step, as where it accepts no other."""
        return self.before == self.after == 0

    def plus(self, slot: Slot) -> "SignIns":
        """Return these and those of a slot."""
        before, same, after = (slot.steps.get(step, 0) for step in WINDOW)
        return SignIns(self.before + before, self.same + same, self.after + after)

    def log_likelihood(self, offset: float, typing: float) -> float:
        """Return how likely they are with a clock ``offset`` seconds fast and ``typing`` seconds in the median."""
        before, same, after = _log_shares(offset, typing)
        return self.before * before + self.same * same + self.after * after


@dataclass(frozen=True, slots=True)
class Typing:
    """How long the clients of a site take to type."""

    median_seconds: float
    sign_ins: int  # that it was learnt from

    @property
    def is_learnt(self) -> bool:
        """Whether it rests on what was seen more than on what is assumed."""
        return self.sign_ins >= _PRIOR_SIGN_INS


@dataclass(frozen=True, slots=True)
class Offset:
    """What some sign-ins say of the server's clock."""

    seconds: float  # positive: fast
    log_likelihood_ratio: float  # against a clock that is right
    seen: SignIns
    since: float  # Unix time


@lru_cache(maxsize=8192)
def step_shares(offset: float, typing: float) -> Mapping[int, float]:
    """Return the share of all codes that match each step.

    The server's clock is ``offset`` seconds fast, negative for slow, 60 at the most; clients take ``typing`` seconds
    in the median. The shares sum to 1.
    """
    shares = dict.fromkeys(range(-_FURTHEST, _FURTHEST + 1), 0.0)
    well_set = (1 - _BADLY_SET) / len(_FACTORS)
    for factor in _FACTORS:
        steps_late, part = divmod((offset + typing * factor) / STEP_SECONDS, 1)
        shares[-int(steps_late)] += well_set * (1 - part)
        shares[-int(steps_late) - 1] += well_set * part
    mean = offset + typing * _MEAN_FACTOR
    for step in shares:
        from_middle = mean + step * STEP_SECONDS
        mass = _triangle(from_middle + _BADLY_SET_SECONDS) - _triangle(from_middle - _BADLY_SET_SECONDS)
        shares[step] += _BADLY_SET * mass / (2 * _BADLY_SET_SECONDS)
    return MappingProxyType(shares)


def _triangle(seconds: float) -> float:
    """Return the area, up to a moment, under the chance to meet a step whose middle is at 0."""
    if seconds <= 0:
        return max(0.0, seconds + STEP_SECONDS) ** 2 / (2 * STEP_SECONDS)
    return STEP_SECONDS - max(0.0, STEP_SECONDS - seconds) ** 2 / (2 * STEP_SECONDS)


@lru_cache(maxsize=8192)
def accepted_shares(offset: float, typing: float) -> tuple[float, float, float]:
    """Return the shares of the accepted codes that match the step before, the server's own and the step after."""
    shares = step_shares(offset, typing)
    accepted = sum(shares[step] for step in WINDOW)
    before, same, after = (shares[step] / accepted for step in WINDOW)
    return before, same, after


@lru_cache(maxsize=8192)
def _log_shares(offset: float, typing: float) -> tuple[float, float, float]:
    before, same, after = accepted_shares(offset, typing)
    return math.log(before), math.log(same), math.log(after)


def learn_typing(slots: Iterable[Slot]) -> Typing:
    """Return how long clients take to type, from slots (oldest first) in which the clock was right most of the time.

    Each block of at least a day and 100 sign-ins has its most likely median; the one in the middle is taken, so that
    a clock that was wrong on fewer than half of the days does not pass for slow typing.
    """
    blocks = sorted((_likely_typing(seen), seen.total) for seen in _blocks(slots) if not seen.tells_nothing)
    total = sum(sign_ins for _, sign_ins in blocks)
    middle, passed = USUAL_TYPING_SECONDS, 0
    for typing, sign_ins in blocks:
        passed += sign_ins
        if 2 * passed >= total:
            middle = typing
            break
    shrunk = (total * middle + _PRIOR_SIGN_INS * USUAL_TYPING_SECONDS) / (total + _PRIOR_SIGN_INS)
    return Typing(median_seconds=round(2 * shrunk) / 2, sign_ins=total)


def _blocks(slots: Iterable[Slot]) -> Sequence[SignIns]:
    blocks: list[SignIns] = []
    begin = -math.inf
    for slot in slots:
        if not blocks or (slot.at >= begin + _BLOCK_SECONDS and blocks[-1].total >= _BLOCK_SIGN_INS):
            blocks.append(SignIns())
            begin = slot.at
        blocks[-1] = blocks[-1].plus(slot)
    return blocks


def _likely_typing(seen: SignIns) -> float:
    return max(_TYPING_GRID, key=lambda typing: seen.log_likelihood(0, typing))


def estimate_offset(seen: SignIns, typing: float, *, since: float) -> Offset:
    """Return the most likely offset of the server's clock, 45 s to either side at the most."""
    seconds = max(_OFFSETS, key=lambda offset: seen.log_likelihood(offset, typing))
    ratio = seen.log_likelihood(seconds, typing) - seen.log_likelihood(0, typing)
    return Offset(seconds=seconds, log_likelihood_ratio=ratio, seen=seen, since=since)


def find_wrong_clock(slots: Sequence[Slot], typing: float, *, min_sign_ins: int, min_offset: float) -> Offset | None:
    """Return what tells most surely of a clock that is wrong by at least ``min_offset`` seconds now, None if nothing.

    ``slots`` are given oldest first; the newest 1, 2, 3 and so on of them are judged together, where there are
    ``min_sign_ins`` and not only of the server's own step. What newer sign-ins contradict is not told: the clock was
    put right since.
    """
    newest: list[SignIns] = []
    found: list[Offset] = []
    for seen, since in _suffixes(slots):
        newest.append(seen)
        if seen.total < min_sign_ins or seen.tells_nothing or _largest_ratio(seen, typing) <= CERTAIN:
            continue
        offset = estimate_offset(seen, typing, since=since)
        is_wrong = abs(offset.seconds) >= min_offset and offset.log_likelihood_ratio > CERTAIN
        if is_wrong and not any(_contradicts(newer, offset.seconds, typing) for newer in newest):
            found.append(offset)
    return max(found, key=lambda offset: offset.log_likelihood_ratio, default=None)


def _suffixes(slots: Sequence[Slot]) -> Iterable[tuple[SignIns, float]]:
    """Yield the sign-ins of ever more of the newest slots, an eighth more each time, and since when they are."""
    seen, wanted = SignIns(), 1
    for count, slot in enumerate(reversed(slots), start=1):
        seen = seen.plus(slot)
        if count == wanted or count == len(slots):
            yield seen, slot.at
            wanted += max(1, wanted // 8)


def _largest_ratio(seen: SignIns, typing: float) -> float:
    """Return a log-likelihood ratio that that of no offset exceeds: it saves the search nearly always."""
    best = sum(count * math.log(count / seen.total) for count in seen if count)
    return best - seen.log_likelihood(0, typing)


def _contradicts(seen: SignIns, offset: float, typing: float) -> bool:
    return seen.log_likelihood(0, typing) - seen.log_likelihood(offset, typing) > _CONTRADICTION
