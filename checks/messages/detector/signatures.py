"""How each fault shows in the outcomes of messages, and how many points an outcome is worth.

A point is a unit of log-likelihood: an outcome that is e times as likely under a fault as on a normal day is worth
one. A fault seldom meets all messages, so each hypothesis is a mixture: a share of the sessions shows its signature,
the others are as ever. No client is worth more than ``MOST`` points, so one row serves severe and mild faults alike;
blocks, the most frequent ones, have two.
"""

import math
from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from statistics import NormalDist
from types import MappingProxyType
from typing import Final, NamedTuple

from ...reason import Reason

LEAST: Final = -6.0  # points of one session
MOST: Final = 5.0  # so that no single client brings a verdict about
MOST_OF_A_NAMED_CAUSE: Final = 7.0  # where the provider's code names the cause, and it is not the client


class Outcome(IntEnum):
    """What became of a session's first message; the last eight tell of the code as well."""

    FAST = 0  # delivered within ten seconds
    SLOW = 1  # delivered by the first look
    LATE = 2  # delivered between the looks
    LOST = 3  # no receipt by the second look
    BLOCKED = 4  # by the operator
    REFUSED = 5  # by the phone, or for one recipient
    UNREACHABLE = 6
    FAILING = 7
    NUMBER_WRONG = 8
    NUMBER_GONE = 9  # said to be no number, but a message arrived there lately
    PROVIDER = 10
    ACCOUNT = 11
    COUNTRY = 12
    SENDER = 13
    PUMPING = 14
    PENDING = 15  # no receipt at the first look
    FAST_UNTYPED = 16
    SLOW_UNTYPED = 17
    LATE_UNTYPED = 18
    LOST_UNTYPED = 19
    FAST_TYPED = 20
    SLOW_TYPED = 21
    LATE_TYPED = 22
    LOST_TYPED = 23

    @property
    def label(self) -> str:
        """The outcome in a label."""
        return self.name.lower()


LEAVES: Final = tuple(Outcome)[: Outcome.PENDING]
"""What may become of a message in the end; their shares add up to 1."""

ARRIVALS: Final = (Outcome.FAST, Outcome.SLOW, Outcome.LATE, Outcome.LOST)
"""Outcomes after which a code may be typed: in the order of the untyped and of the typed ones."""

UNTYPED: Final = Outcome.FAST_UNTYPED
TYPED: Final = Outcome.FAST_TYPED

_O = Outcome
OUTCOME_OF: Final[Mapping[Reason, Outcome]] = MappingProxyType(
    {
        Reason.OPERATOR_BLOCKING: _O.BLOCKED,
        Reason.RECIPIENT_BLOCKED: _O.REFUSED,
        Reason.RECIPIENT_UNREACHABLE: _O.UNREACHABLE,
        Reason.RECIPIENT_INVALID: _O.NUMBER_WRONG,
        Reason.RECIPIENT_LANDLINE: _O.NUMBER_WRONG,
        Reason.RECIPIENT_OPTED_OUT: _O.REFUSED,
        Reason.TOO_MANY_ATTEMPTS: _O.REFUSED,
        Reason.PROVIDER_OUTAGE: _O.PROVIDER,
        Reason.RATE_LIMITED: _O.PROVIDER,
        Reason.ACCOUNT_SUSPENDED: _O.ACCOUNT,
        Reason.ACCOUNT_RESTRICTED: _O.ACCOUNT,
        Reason.BALANCE_EXHAUSTED: _O.ACCOUNT,
        Reason.CREDENTIALS_REJECTED: _O.ACCOUNT,
        Reason.COUNTRY_NOT_PERMITTED: _O.COUNTRY,
        Reason.SENDER_INVALID: _O.SENDER,
        Reason.SENDER_UNREGISTERED: _O.SENDER,
        Reason.SMS_PUMPING: _O.PUMPING,
    }
)
"""The outcome by the reason that the vendor's table gives; any other failure is ``FAILING``."""


class Hypothesis(StrEnum):
    """What may be wrong, as it shows in the outcomes of messages. Which reason it is depends on where it shows."""

    BLOCKED = "blocked"
    PARTLY_BLOCKED = "partly_blocked"
    SILENT = "silent"
    DELAYED = "delayed"
    RECEIPTS_LOST = "receipts_lost"
    UNCONVERTED = "unconverted"
    NUMBERS_WRONG = "numbers_wrong"
    PROVIDER_DOWN = "provider_down"
    ACCOUNT_STOPPED = "account_stopped"
    COUNTRY_OFF = "country_off"
    SENDER_REFUSED = "sender_refused"
    PUMPED = "pumped"


class Signature(NamedTuple):
    """What a message meets that meets the fault."""

    share: float  # of the sessions that meet it
    leaves: Mapping[Outcome, float] = MappingProxyType({})  # empty: as ever
    typed: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)  # codes typed by arrival, relative to normal
    most: float = MOST  # points of one session
    late: float = 0.1  # share of its failures that are told after the first look only


_H = Hypothesis
_UNTYPED: Final = (0.03, 0.03, 0.03, 0.03)
_BLOCKING: Final = MappingProxyType(
    {
        _O.BLOCKED: 0.5,
        _O.REFUSED: 0.08,
        _O.FAILING: 0.16,
        _O.UNREACHABLE: 0.13,
        _O.NUMBER_GONE: 0.08,
        _O.LOST: 0.05,
    }
)


def _named(outcome: Outcome, share: float, most: float = MOST) -> Signature:
    """Return the signature of a cause that the provider's code names, at once."""
    return Signature(share, MappingProxyType({outcome: 1.0}), _UNTYPED, most, late=0.0)


SIGNATURES: Final[Mapping[Hypothesis, Signature]] = MappingProxyType(
    {
        _H.BLOCKED: Signature(0.85, _BLOCKING, _UNTYPED),
        _H.PARTLY_BLOCKED: Signature(0.3, _BLOCKING, _UNTYPED),
        _H.SILENT: Signature(0.8, {_O.LOST: 0.97, _O.LATE: 0.03}, _UNTYPED),
        _H.DELAYED: Signature(0.75, {}, (1.0, 1.0, 0.7, 0.2), 3.5),  # its leaves are the operator's own, see _slowed
        _H.RECEIPTS_LOST: Signature(0.8, {_O.LOST: 0.98, _O.LATE: 0.02}),
        _H.UNCONVERTED: Signature(0.9, typed=_UNTYPED),
        _H.NUMBERS_WRONG: _named(_O.NUMBER_WRONG, 0.5),
        _H.PROVIDER_DOWN: Signature(0.4, {_O.PROVIDER: 0.6, _O.FAILING: 0.25, _O.LOST: 0.15}, _UNTYPED),
        _H.ACCOUNT_STOPPED: _named(_O.ACCOUNT, 0.8, MOST_OF_A_NAMED_CAUSE),
        _H.COUNTRY_OFF: _named(_O.COUNTRY, 0.8, MOST_OF_A_NAMED_CAUSE),
        _H.SENDER_REFUSED: _named(_O.SENDER, 0.6),
        _H.PUMPED: _named(_O.PUMPING, 0.5),
    }
)
"""One row a hypothesis, deliberately generic."""

HYPOTHESES: Final = tuple(Hypothesis)
_SLOWER: Final = 8.0  # times, where an operator is slow
_LOOK_SECONDS: Final = (10.0, 30.0, 180.0)  # that tell the arrivals apart, roughly


class Normal(NamedTuple):
    """What is normal at one operator."""

    leaves: Sequence[float]  # shares by leaf, all above 0
    pending: float  # share without a receipt at the first look
    typed: Sequence[float]  # shares of typed codes by arrival


def points_of(normal: Normal, *, is_clipped: bool = True) -> tuple[tuple[float, ...], ...]:
    """Return the points of each outcome for each hypothesis: ``points[outcome][hypothesis]``."""
    columns = []
    for hypothesis in HYPOTHESES:
        signature = SIGNATURES[hypothesis]
        least, most = (LEAST, signature.most) if is_clipped else (-_FARTHEST, _FARTHEST)
        leaves = _slowed(normal) if hypothesis is Hypothesis.DELAYED else signature.leaves
        columns.append([max(least, min(most, math.log(ratio))) for ratio in _ratios(signature, leaves, normal)])
    return tuple(zip(*columns, strict=True))


_FARTHEST: Final = 20.0  # points of one outcome, where faults are told from each other


def _ratios(signature: Signature, leaves: Mapping[Outcome, float], normal: Normal) -> list[float]:
    """Return how many times as likely as normal each outcome is."""
    if leaves:
        ratios = [leaves.get(leaf, 0.0) / share for leaf, share in zip(LEAVES, normal.leaves, strict=True)]
        failures = sum(share for leaf, share in leaves.items() if leaf not in ARRIVALS)
        pending = leaves.get(_O.LATE, 0.0) + leaves.get(_O.LOST, 0.0) + signature.late * failures
        pending /= normal.pending
    else:
        ratios = [1.0] * len(LEAVES)
        pending = 1.0
    typed, untyped = [], []
    for arrival, share, kept in zip(ARRIVALS, normal.typed, signature.typed, strict=True):
        typed.append(ratios[arrival] * kept)
        untyped.append(ratios[arrival] * (1.0 - kept * share) / (1.0 - share))
    share = signature.share
    return [share * ratio + 1.0 - share for ratio in (*ratios, pending, *untyped, *typed)]


def _slowed(normal: Normal) -> Mapping[Outcome, float]:
    """Return the arrivals of the same operator when it is slow.

    Latencies are taken as log-normal (Hung et al., IEEE Trans. Wireless Commun. 3(6), 2004), fitted to the shares
    that arrive by ten seconds and by the first look.
    """
    fast, slow, late, lost = (normal.leaves[arrival] for arrival in ARRIVALS)
    arrived = fast + slow + late
    by_ten, by_look = (min(0.999, max(0.001, share / arrived)) for share in (fast, fast + slow))
    low, high = _STANDARD.inv_cdf(by_ten), _STANDARD.inv_cdf(max(by_look, by_ten + 1e-4))
    spread = min(1.5, max(0.5, math.log(_LOOK_SECONDS[1] / _LOOK_SECONDS[0]) / (high - low)))
    median = math.log(_LOOK_SECONDS[0]) - low * spread + math.log(_SLOWER)
    by = [_STANDARD.cdf((math.log(seconds) - median) / spread) * (1.0 - lost) for seconds in _LOOK_SECONDS]
    return {_O.FAST: by[0], _O.SLOW: by[1] - by[0], _O.LATE: by[2] - by[1], _O.LOST: 1.0 - by[2]}


_STANDARD: Final = NormalDist()
