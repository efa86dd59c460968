"""A simulator of one-time codes: clients, operators and their faults, as a provider's message log shows them.

It is one model, made up around published figures: latencies are log-normal (Hung et al. 2004), 90 % arrive within
30 s (operators' contracts), 1 to 15 % fail, some operators lose receipts, and some clients have dead numbers. Real
traffic will differ. Only the log and the typed codes reach what is measured.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from checks.messages import Receipt, Status
from checks.reason import Reason

HOUR: Final = 3600.0
DAY: Final = 86_400.0
EPOCH: Final = 1_767_571_200.0  # a Monday, 00:00 UTC
NEVER: Final = math.inf
SIGMA: Final = 0.85  # of the latencies

_R = Reason
CODES: Final[Mapping[str, Reason]] = MappingProxyType(
    {
        "21408": _R.COUNTRY_NOT_PERMITTED,
        "30001": _R.RATE_LIMITED,
        "30002": _R.ACCOUNT_SUSPENDED,
        "30003": _R.RECIPIENT_UNREACHABLE,
        "30004": _R.RECIPIENT_BLOCKED,
        "30005": _R.RECIPIENT_INVALID,
        "30006": _R.RECIPIENT_LANDLINE,
        "30007": _R.OPERATOR_BLOCKING,
        "30008": _R.DELIVERY_FAILING,
        "30500": _R.PROVIDER_OUTAGE,
    }
)
"""Twilio's codes as its adapter reads them."""

ORDINARY_CODES: Final = {
    "30003": 0.38,
    "30005": 0.2,
    "30006": 0.08,
    "30008": 0.18,
    "30004": 0.06,
    "30007": 0.05,
    "30001": 0.03,
    "30500": 0.02,
}
BLOCKING_CODES: Final = {"30007": 0.6, "30008": 0.15, "30003": 0.15, "30004": 0.1}
OUTAGE_CODES: Final = {"30008": 0.4, "30001": 0.3, "30500": 0.3}
DEAD_CODES: Final = {"30005": 0.5, "30006": 0.2, "30003": 0.3}


class Kind(StrEnum):
    """What goes wrong."""

    BLOCK = "block"
    BLOCK_30 = "block of 30 %"
    SILENT = "silent drop"
    LYING = "lying receipts"
    DELAY = "delay x10"
    NO_RECEIPTS = "receipts missing"
    PUMPING = "pumping"
    GEO_OFF = "geo off"
    PROVIDER_30 = "provider 30 %"
    PROVIDER_SLOW = "provider x10 slow"
    SUSPENDED = "account suspended"
    OUTAGE = "provider outage"


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator on ordinary days."""

    number: int
    country: str
    name: str
    utc_offset: int  # hours
    a_day: float  # sessions
    median_seconds: float
    failing: float
    codes: Mapping[str, float]
    lost_receipts: float
    typed: float


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, from when, and where: at an operator, in a country, or everywhere."""

    kind: Kind
    since: float
    country: str = ""
    operator: int = -1

    def meets(self, operator: Operator) -> bool:
        """Return whether it concerns an operator."""
        return self.operator == operator.number or (self.operator < 0 and self.country in ("", operator.country))


@dataclass(slots=True)
class Message:
    """What really became of one message."""

    number: int
    created_at: float
    operator: Operator
    recipient: str
    arrives_at: float
    status: Status
    final_at: float  # when the log shows the status; NEVER: it shows "sent" for ever
    code: str | None = None
    is_harmed: bool = False  # by the fault
    is_first: bool = False
    is_pumped: bool = False
    typed_at: float = NEVER


class Poll(NamedTuple):
    """What one reading of the log shows."""

    at: float
    receipts: list[Receipt]
    typed: list[tuple[str, float]]  # recipient, Unix time


@dataclass(frozen=True)
class World:
    """Countries and operators, drawn by chance."""

    seed: int
    messages_a_day: int = 20_000
    countries: int = 15
    operators: int = 40
    wobble: float = 0.25  # standard deviation of the hourly failure rate, in logits

    def draw(self) -> list[Operator]:
        """Return the operators; the same for the same world."""
        chance = random.Random(f"world {self.seed}")
        weights = [rank**-1.4 for rank in range(1, self.countries + 1)]
        homes = list(range(self.countries))
        homes += [chance.randrange(self.countries) for _ in range(self.operators - self.countries)]
        losing = set(chance.sample(range(self.operators), max(1, self.operators // 10)))
        shares = [chance.gammavariate(2.0, 1.0) for _ in homes]
        offsets = [chance.choice((-8, -5, -3, 0, 1, 1, 2, 3, 4, 5, 8)) for _ in range(self.countries)]
        drawn = []
        for number, home in enumerate(homes):
            of_country = sum(share for share, other in zip(shares, homes, strict=True) if other == home)
            a_day = (
                self.messages_a_day / _MESSAGES_A_SESSION * weights[home] / sum(weights) * shares[number] / of_country
            )
            drawn.append(
                Operator(
                    number=number,
                    country=f"{chr(65 + home // 26)}{chr(65 + home % 26)}",
                    name=f"operator {number}",
                    utc_offset=offsets[home],
                    a_day=a_day,
                    median_seconds=min(20.0, max(2.0, 5.5 * math.exp(chance.gauss(0, 0.5)))),
                    failing=min(0.15, max(0.01, 0.035 * math.exp(chance.gauss(0, 0.6)))),
                    codes=_varied(chance, ORDINARY_CODES),
                    lost_receipts=chance.uniform(0.15, 0.6) if number in losing else chance.uniform(0.0, 0.01),
                    typed=chance.uniform(0.65, 0.95),
                )
            )
        return drawn


_MESSAGES_A_SESSION: Final = 1.09


def _varied(chance: random.Random, codes: Mapping[str, float]) -> dict[str, float]:
    drawn = {code: share * chance.gammavariate(3.0, 1 / 3) for code, share in codes.items()}
    whole = sum(drawn.values())
    return {code: share / whole for code, share in drawn.items()}


def clock_share(local_hour: float) -> float:
    """Return the traffic of an hour of the local day, relative to the busiest: a night has a tenth of it."""
    return (
        0.1 + 0.9 * max(0.0, math.sin(math.pi * ((local_hour - 6.0) % 24.0) / 18.0)) ** 0.8
        if (local_hour - 6.0) % 24.0 < 18.0
        else 0.1
    )


_CLOCK: Final = tuple(clock_share(hour + 0.5) for hour in range(24))
_CLOCK_SUM: Final = sum(_CLOCK)


@dataclass
class Traffic:
    """The messages of a world, with or without faults."""

    world: World
    seed: str
    fault: Fault | None = None
    _chance: random.Random = field(init=False)
    _operators: list[Operator] = field(init=False)
    _known: dict[int, int] = field(init=False)
    _number: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"{self.world.seed} {self.seed}")
        self._operators = self.world.draw()
        self._strangers = self._chance.randrange(10**6, 9 * 10**6)

    def messages(self, since: float) -> Iterator[list[Message]]:
        """Yield the messages of each hour from ``since`` on, by creation. Resends may lie in the next hours."""
        waiting: list[tuple[float, int, Message]] = []
        hour = since
        while True:
            for operator in self._operators:
                for message in self._hour(operator, hour):
                    heapq.heappush(waiting, (message.created_at, message.number, message))
            hour += HOUR
            done = []
            while waiting and waiting[0][0] < hour:
                done.append(heapq.heappop(waiting)[2])
            yield done

    def polls(self, since: float, every: float) -> Iterator[Poll]:
        """Yield what the log shows every so many seconds: new messages, and once more those that may still change."""
        hours = self.messages(since)
        ahead: deque[Message] = deque()
        pending: list[Message] = []
        typed: list[tuple[float, str]] = []
        loaded, at = since, since
        self.newest: list[Message] = []
        while True:
            at += every
            while loaded < at:
                for message in next(hours):
                    ahead.append(message)
                loaded += HOUR
            new = []
            while ahead and ahead[0].created_at <= at:
                message = ahead.popleft()
                new.append(message)
                if message.typed_at < NEVER:
                    heapq.heappush(typed, (message.typed_at, message.recipient))
            self.newest = new
            receipts = []
            still = []
            for message in (*pending, *new):
                receipts.append(_shown(message, at))
                if message.final_at > at and message.created_at > at - _READ_AGAIN:
                    still.append(message)
            pending = still
            told = []
            while typed and typed[0][0] <= at:
                when, recipient = heapq.heappop(typed)
                told.append((recipient, when))
            yield Poll(at, receipts, told)

    def sample(self, operator: Operator, sessions: int) -> Iterator[Message]:
        """Yield the first messages of so many sessions of one operator, in the middle of the day."""
        for _ in range(sessions):
            if self.fault is not None and self.fault.kind is Kind.PUMPING:
                yield self._pumped(operator, EPOCH)
                continue
            attempts = list(self._session(operator, EPOCH, operator.failing))
            attempts[0].typed_at = attempts[-1].typed_at
            yield attempts[0]

    def _hour(self, operator: Operator, hour: float) -> Iterator[Message]:
        chance = self._chance
        local = int((hour / HOUR + operator.utc_offset) % 24)
        day = int((hour + operator.utc_offset * HOUR) // DAY)
        is_night = local < 7
        weekend = 0.85 if (day - _A_MONDAY) % 7 >= 5 else 1.0
        rate = operator.a_day * _CLOCK[local] / _CLOCK_SUM * weekend * math.exp(chance.gauss(0, 0.15))
        logit = math.log(operator.failing / (1 - operator.failing)) + chance.gauss(0, self.world.wobble)
        failing = 1 / (1 + math.exp(-logit)) * (1.4 if is_night else 1.0)
        for _ in range(_poisson(chance, rate)):
            yield from self._session(operator, hour + chance.random() * HOUR, failing)
        fault = self.fault
        if fault is not None and fault.kind is Kind.PUMPING and fault.meets(operator):
            for _ in range(_poisson(chance, max(60.0, 4 * operator.a_day / 24))):
                at = hour + chance.random() * HOUR
                if at >= fault.since:
                    yield self._pumped(operator, at)

    def _session(self, operator: Operator, at: float, failing: float) -> Iterator[Message]:
        chance = self._chance
        if chance.random() < _DEAD_CLIENTS:
            yield from self._dead_client(operator, at)
            return
        recipient = self._recipient(operator)
        is_first = True
        arrives_at = NEVER
        while True:
            message = self._message(operator, at, recipient, failing)
            message.is_first = is_first
            is_first = False
            wait = chance.uniform(30, 60)
            arrives_at = min(arrives_at, message.arrives_at)
            if arrives_at <= at + wait or chance.random() > _RESENDS:
                break
            yield message
            at += wait
        if arrives_at < at + 600 and chance.random() < operator.typed * (1.0 if arrives_at < at + 90 else 0.6):
            message.typed_at = max(at, arrives_at) + math.exp(chance.gauss(math.log(12), 0.6))
        yield message

    def _message(self, operator: Operator, at: float, recipient: str, failing: float) -> Message:
        chance = self._chance
        self._number += 1
        fault = self.fault
        if fault is None or at < fault.since or not fault.meets(operator):
            return self._ordinary(operator, at, recipient, failing, 1.0)
        kind = fault.kind
        is_met = chance.random() < _SHARES.get(kind, 1.0)
        if not is_met or kind is Kind.PUMPING:
            return self._ordinary(operator, at, recipient, failing, 1.0)
        if kind in (Kind.DELAY, Kind.PROVIDER_SLOW):
            message = self._ordinary(operator, at, recipient, failing, 10.0)
            message.is_harmed = message.arrives_at > at + 60
            return message
        if kind is Kind.NO_RECEIPTS:
            message = self._ordinary(operator, at, recipient, failing, 1.0)
            if message.status is Status.DELIVERED:
                message.final_at = NEVER
            return message
        harmed = Message(self._number, at, operator, recipient, NEVER, Status.DELIVERED, NEVER, is_harmed=True)
        if kind is Kind.LYING:
            harmed.final_at = at + self._latency(operator)
        elif kind is not Kind.SILENT:
            harmed.code = _drawn(chance, _FAULT_CODES[kind])
            is_refused = kind in (Kind.GEO_OFF, Kind.SUSPENDED)
            harmed.status = Status.FAILED if is_refused else Status.UNDELIVERED
            harmed.final_at = at + (1.0 if is_refused else math.exp(chance.gauss(math.log(6), 0.8)))
        return harmed

    def _ordinary(self, operator: Operator, at: float, recipient: str, failing: float, slower: float) -> Message:
        chance = self._chance
        if chance.random() < failing:
            code = _drawn(chance, operator.codes)
            took = math.exp(chance.gauss(math.log(20 if code == "30003" else 6), 1.0))
            return Message(self._number, at, operator, recipient, NEVER, Status.UNDELIVERED, at + took, code)
        arrives_at = at + self._latency(operator) * slower
        is_lost = chance.random() < operator.lost_receipts
        return Message(
            self._number, at, operator, recipient, arrives_at, Status.DELIVERED, NEVER if is_lost else arrives_at
        )

    def _dead_client(self, operator: Operator, at: float) -> Iterator[Message]:
        chance = self._chance
        recipient = self._stranger(operator)
        code = _drawn(chance, DEAD_CODES)
        for attempt in range(20):
            self._number += 1
            took = math.exp(chance.gauss(math.log(6), 0.8))
            yield Message(
                self._number, at, operator, recipient, NEVER, Status.UNDELIVERED, at + took, code, is_first=not attempt
            )
            if chance.random() > 0.75:
                return
            at += chance.expovariate(1 / (7200 if chance.random() < 0.15 else 150)) + 20

    def _pumped(self, operator: Operator, at: float) -> Message:
        self._number += 1
        arrives_at = at + self._latency(operator)
        return Message(
            self._number,
            at,
            operator,
            self._stranger(operator),
            arrives_at,
            Status.DELIVERED,
            arrives_at,
            is_first=True,
            is_pumped=True,
        )

    def _latency(self, operator: Operator) -> float:
        return math.exp(self._chance.gauss(math.log(operator.median_seconds), SIGMA))

    def _recipient(self, operator: Operator) -> str:
        if self._chance.random() < _RETURNING:
            return f"+{100 + operator.number}0{self._chance.randrange(max(20, int(operator.a_day * 20))):07}"
        return self._stranger(operator)

    def _stranger(self, operator: Operator) -> str:
        self._strangers += 1
        return f"+{100 + operator.number}1{self._strangers:09}"


_A_MONDAY: Final = int(EPOCH // DAY)
_DEAD_CLIENTS: Final = 0.006  # of the sessions
_RESENDS: Final = 0.55
_RETURNING: Final = 0.6
_READ_AGAIN: Final = 600.0  # seconds
_SHARES: Final[Mapping[Kind, float]] = MappingProxyType({Kind.BLOCK_30: 0.3, Kind.PROVIDER_30: 0.3, Kind.OUTAGE: 0.9})
_FAULT_CODES: Final[Mapping[Kind, Mapping[str, float]]] = MappingProxyType(
    {
        Kind.BLOCK: BLOCKING_CODES,
        Kind.BLOCK_30: BLOCKING_CODES,
        Kind.PROVIDER_30: OUTAGE_CODES,
        Kind.OUTAGE: {"30500": 0.7, "30001": 0.2, "30008": 0.1},
        Kind.GEO_OFF: {"21408": 1.0},
        Kind.SUSPENDED: {"30002": 1.0},
    }
)


def _shown(message: Message, at: float) -> Receipt:
    operator = message.operator
    is_final = message.final_at <= at
    status = message.status if is_final else Status.SENT
    code = message.code if is_final else None
    final_at = math.ceil(message.final_at) if is_final else message.created_at  # the log tells whole seconds
    return Receipt(
        message_id=f"SM{message.number}",
        status=status,
        at=float(final_at),
        created_at=message.created_at,
        recipient=message.recipient,
        country=operator.country,
        operator=operator.name,
        reason=None if code is None else CODES[code],
        code=code,
    )


def _drawn(chance: random.Random, shares: Mapping[str, float]) -> str:
    left = chance.random()
    for code, share in shares.items():
        left -= share
        if left < 0:
            return code
    return code


def _poisson(chance: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


def size_of(operator: Operator) -> str:
    """Return the class of an operator by its messages a day."""
    a_day = operator.a_day * _MESSAGES_A_SESSION
    return "large" if a_day > 1000 else "mid" if a_day >= 200 else "small" if a_day >= 50 else "tiny"


SIZES: Final[Sequence[str]] = ("large", "mid", "small", "tiny")
