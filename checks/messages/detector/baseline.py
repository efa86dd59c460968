"""What is normal: shares of outcomes over the last days, learned from hours in which nothing was wrong.

A small operator borrows from its country, a country from the provider, the provider from a generic guess
(empirical Bayes by pseudo-counts).
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from .signatures import ARRIVALS, LEAVES, TYPED, UNTYPED, Normal, Outcome

HOUR: Final = 3600.0
DAY_HOURS: Final = 24
_FEWEST_DAYS: Final = 2  # of which the newest does not count
_BORROWED: Final = 30.0  # sessions that the wider node's shares count for
_HEAD_ROOM: Final = 1.4  # by how much of the measured spread bad outcomes may be more frequent than on average
_STRANGE_LATE: Final = 0.1  # so much more may be late, lost or untyped at an operator of which nothing is known yet
_STRANGE_LOST: Final = 0.3
_STRANGE_UNTYPED: Final = 0.15
_LEAST_SHARE: Final = 2e-4
_GUESS: Final = (0.7, 0.2, 0.03, 0.02, 0.002, 0.002, 0.012, 0.008, 0.012, 0.001, 0.004, 0.0005, 0.0005, 0.002, 0.001)
_GUESSED_TYPED: Final = 0.75


class History(msgspec.Struct):
    """How often each outcome came about at one node."""

    total: list[int] = msgspec.field(default_factory=lambda: [0] * len(Outcome))
    days: dict[int, list[int]] = {}  # by the day since 1970, UTC
    hours: list[float] = msgspec.field(default_factory=lambda: [0.0] * DAY_HOURS)  # messages by hour of the day, fading

    def add(self, hour: int, counts: Sequence[int], history_days: int) -> None:
        """Add the counts of an hour (since 1970, UTC), and forget days that are too old."""
        day = hour // DAY_HOURS
        into = self.days.get(day)
        if into is None:
            into = self.days[day] = [0] * len(Outcome)
            for old in [each for each in self.days if each <= day - history_days]:
                for outcome, count in enumerate(self.days.pop(old)):
                    self.total[outcome] -= count
            fade = 1 - 1 / history_days
            self.hours = [count * fade for count in self.hours]
        for outcome, count in enumerate(counts):
            if count:
                into[outcome] += count
                self.total[outcome] += count
        self.hours[hour % DAY_HOURS] += sessions_in(counts)

    @property
    def sessions(self) -> int:
        """Sessions counted."""
        return sessions_in(self.total)

    def a_day(self) -> float:
        """Return the sessions of an ordinary day; the newest day may be incomplete and does not count."""
        if len(self.days) < _FEWEST_DAYS:
            return float(self.sessions)
        newest = max(self.days)
        return (self.sessions - sessions_in(self.days[newest])) / (newest - min(self.days))


def sessions_in(counts: Sequence[int]) -> int:
    """Return how many sessions these counts of outcomes are of."""
    return sum(counts[: Outcome.PENDING])


def day_share(hours: Sequence[float], since: float, until: float) -> float:
    """Return how many ordinary days' worth of messages fall between two Unix times."""
    whole = sum(hours)
    if whole <= 0:
        return max(0.0, until - since) / (DAY_HOURS * HOUR)
    share, hour = 0.0, math.floor(since / HOUR)
    until = min(until, since + 30 * DAY_HOURS * HOUR)
    while hour * HOUR < until:
        part = min(until, (hour + 1) * HOUR) - max(since, hour * HOUR)
        share += hours[hour % DAY_HOURS] / whole * part / HOUR
        hour += 1
    return share


class Spread(msgspec.Struct):
    """How much more the share of bad outcomes varies from hour to hour than chance makes it (over-dispersion)."""

    excess: float = 0.0
    weight: float = 0.0

    def note(self, bad: float, sessions: int, share: float) -> None:
        """Note the bad outcomes of an hour of one operator."""
        expected = sessions * share
        self.excess += (bad - expected) ** 2 - expected * (1.0 - share)
        self.weight += expected * expected

    def fade(self, kept: float) -> None:
        """Forget a little."""
        self.excess *= kept
        self.weight *= kept

    def head_room(self) -> float:
        """Return by what factor bad outcomes may be more frequent for an hour."""
        if self.weight <= 0:
            return 1.0 + _HEAD_ROOM * 0.3
        return 1.0 + _HEAD_ROOM * math.sqrt(max(0.0, self.excess / self.weight))


class Shares(msgspec.Struct, frozen=True):
    """Shares of outcomes at one node, before any caution."""

    leaves: tuple[float, ...]
    pending: float
    typed: tuple[float, ...]
    sessions: float  # that they are known from


GENERIC: Final = Shares(_GUESS, 0.06, (_GUESSED_TYPED,) * len(ARRIVALS), 0.0)


def shares_of(total: Sequence[int], wider: Shares) -> Shares:
    """Return the shares of a node; few sessions of its own leave it near the wider one."""
    sessions = sessions_in(total)
    own = sessions + _BORROWED
    typed = []
    for arrival, share in enumerate(wider.typed):
        yes, no = total[TYPED + arrival], total[UNTYPED + arrival]
        typed.append((yes + _BORROWED * share) / (yes + no + _BORROWED))
    return Shares(
        leaves=tuple((total[leaf] + _BORROWED * wider.leaves[leaf]) / own for leaf in LEAVES),
        pending=(total[Outcome.PENDING] + _BORROWED * wider.pending) / own,
        typed=tuple(typed),
        sessions=float(sessions),
    )


def cautious(shares: Shares, *, late: float, failing: float, untyped: float) -> Normal:
    """Return the shares with head-room for bad outcomes, by these factors, and for what is not known well."""
    known = shares.sessions + _BORROWED
    strangeness = (_BORROWED / known) ** 2

    def raised(share: float, factor: float) -> float:
        return max(_LEAST_SHARE, share * factor + _doubt(share, known))

    leaves = [max(_LEAST_SHARE, share * failing + _doubt(share, known) / 2) for share in shares.leaves]
    leaves[Outcome.FAST] = 0.0
    leaves[Outcome.SLOW] = raised(shares.leaves[Outcome.SLOW], 1.0)
    leaves[Outcome.LATE] = raised(shares.leaves[Outcome.LATE], late) + _STRANGE_LATE * strangeness
    leaves[Outcome.LOST] = raised(shares.leaves[Outcome.LOST], late) + _STRANGE_LOST * strangeness
    bad = sum(leaves)
    if bad > _MOST_BAD:
        leaves = [share * _MOST_BAD / bad for share in leaves]
        bad = _MOST_BAD
    leaves[Outcome.FAST] = 1.0 - bad
    typed = [
        max(0.02, min(0.98, 1.0 - raised(1.0 - share, untyped) - _STRANGE_UNTYPED * strangeness))
        for share in shares.typed
    ]
    pending = raised(shares.pending, late) + (_STRANGE_LATE + _STRANGE_LOST) * strangeness
    return Normal(leaves, min(0.9, pending), typed)


def _doubt(share: float, sessions: float) -> float:
    """Return the standard error of a share that is known from so many sessions."""
    return math.sqrt(share * (1.0 - share) / sessions)


_MOST_BAD: Final = 0.97
