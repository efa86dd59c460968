"""The clients of a broker and the codes they ask for: seeded, pure, without input or output.

A slice of traffic, a minute or less, is a function of the seed, the speed and the slice's number alone, so the same
seed and speed and the same clock give the same world, however often and however late it is asked.

Speed makes messages more, and the day's rhythm faster; what happens to one message takes the time that it takes.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Final

from .faults import Place
from .geography import COUNTRIES, Country, Operator, find_home, find_operator
from .message import Message
from .trajectory import doom, draw_message

MESSAGES_A_DAY: Final = 20_000
KEPT_SECONDS: Final = 48 * 3600
KEPT_MESSAGES: Final = 250_000

ZIPF_EXPONENT: Final = 1.4
DIRICHLET_ALPHA: Final = 4.0
NIGHT: Final = 0.1  # of the peak
HOURLY_NOISE: Final = 0.15
PUMP_SECONDS: Final = 3.0  # between two messages of a burst, at speed 1
CLIENTS_AN_OPERATOR: Final = 900

US_LONG_CODE_COUNTRIES: Final = frozenset({"US"})


def day_rhythm(local_hour: float) -> float:
    """Return the traffic of that hour as a share of the peak: quiet nights, busy afternoons."""
    if local_hour < 6:
        return NIGHT
    return NIGHT + (1 - NIGHT) * math.sin(math.pi * (local_hour - 6) / 18)


def rhythm_speed(speed: float) -> float:
    """Return how many days of rhythm pass in one day: epoch seconds times this is the time of the rhythm.

    Less traffic than normal still has its nights.
    """
    return max(1.0, speed)


def kept_seconds(speed: float) -> float:
    """Return how far back messages are kept: two days, less where they are very many."""
    a_second = MESSAGES_A_DAY * speed / 86_400
    return min(KEPT_SECONDS, KEPT_MESSAGES / a_second) if a_second > 0 else KEPT_SECONDS


MEAN_RHYTHM: Final = sum(day_rhythm(h + 0.5) for h in range(24)) / 24


class World:
    """The traffic from `start` on, as far as `advance` has been told the time."""

    def __init__(
        self,
        *,
        seed: int,
        start: float,
        speed: float,
        service_sid: str,
        long_code: str,
        alpha_sender: str,
        fates: Mapping[str, int] | None = None,
    ) -> None:
        """``fates`` is how every message that is submitted to a number ends: an error code."""
        self._seed = seed
        self._speed = speed
        self._kept_seconds = kept_seconds(speed)
        self._service_sid = service_sid
        self._long_code = long_code
        self._alpha_sender = alpha_sender
        self._fates = fates or {}
        self._slice_seconds = min(60.0, 3600 / rhythm_speed(speed))  # an hour of rhythm at the most
        self._slice = self._slice_at(start)
        self._reached = start
        self._pending: list[Message] = []
        self._submitted = 0
        self._pumped_until = -math.inf
        self._messages: list[Message] = []
        self._by_sid: dict[str, Message] = {}
        self._homes, self._volumes = draw_volumes(seed)
        self._hour_weights = lru_cache(maxsize=64)(self._draw_hour_weights)

    @property
    def messages(self) -> list[Message]:
        """All messages so far, the oldest first. Not to be changed."""
        return self._messages

    @property
    def spend_micros_a_day(self) -> float:
        """The price of a normal day."""
        per_message = sum(
            volume * country.price_micros for (country, _), volume in zip(self._homes, self._volumes, strict=True)
        )
        return per_message * MESSAGES_A_DAY * self._speed

    def find(self, sid: str) -> Message | None:
        """Return the message; None when there is none, or none any more."""
        return self._by_sid.get(sid)

    def newest_first(self, *, before: Message | None = None) -> Iterator[Message]:
        """Yield the messages created before that one, or all, from the newest on."""
        end = len(self._messages) if before is None else self._index_of(before)
        for index in range(end - 1, -1, -1):
            yield self._messages[index]

    def advance(self, now: float) -> list[Message]:
        """Let clients ask for codes until `now`; return the new messages, the oldest first.

        A time before the last one changes nothing. A long sleep costs no more than what is kept.
        """
        if now <= self._reached:
            return []
        oldest = now - self._kept_seconds
        self._slice = max(self._slice, self._slice_at(oldest))
        arrivals = self._pending
        while self._slice * self._slice_seconds <= now:
            arrivals.extend(self._draw_slice(self._slice))
            self._slice += 1
        split = bisect_right(arrivals, now, key=_created)
        first = bisect_right(arrivals, self._reached, key=_created)
        fresh, self._pending = arrivals[first:split], arrivals[split:]
        self._reached = now
        self._keep(fresh)
        self._forget(oldest)
        return fresh

    def submit(
        self,
        *,
        to: str,
        sender: str,
        service_sid: str | None,
        body: str,
        status_callback: str | None = None,
        is_attempt: bool = False,
    ) -> Message:
        """Add a message that a user of the API sends now, and return it.

        It has good luck, unless its number has a fate.
        """
        self._submitted += 1
        rng = _seeded(self._seed, "submitted", self._submitted)
        drawn = draw_message(
            rng,
            to=to,
            home=find_home(to),
            created=self._reached,
            sender=sender,
            service_sid=service_sid,
            body=body,
        )
        message = replace(
            drawn, types_code=False, organic=False, is_attempt=is_attempt, status_callback=status_callback
        )
        if to in self._fates:
            message = doom(message, self._fates[to])
        self._keep([message])
        return message

    def pump(self, place: Place, *, since: float, until: float) -> list[Message]:
        """Let somebody ask for codes to sequential numbers of an operator; return the new messages, the oldest first.

        What has been asked for once is not asked for again.
        """
        if self._speed <= 0:
            return []
        home = country, operator = find_operator(place.country, place.operator)
        begin = max(since, self._pumped_until, until - self._kept_seconds)
        self._pumped_until = max(until, self._pumped_until)
        step = PUMP_SECONDS / self._speed
        pumped = []
        for number in range(math.floor(begin / step) + 1, math.floor(until / step) + 1):
            digits = number % 10**operator.digits
            message = draw_message(
                _seeded(self._seed, "pumped", number),
                to=f"+{country.calling_code}{operator.prefix}{digits:0{operator.digits}d}",
                home=home,
                created=number * step,
                sender=self._sender_for(country),
                service_sid=self._service_sid,
            )
            pumped.append(replace(message, types_code=False))
        self._merge(pumped)
        return pumped

    def _merge(self, messages: list[Message]) -> None:
        """Keep messages that may be older than the newest ones."""
        if messages:
            younger = bisect_right(self._messages, messages[0].created, key=_created)
            self._messages[younger:] = sorted([*self._messages[younger:], *messages], key=_created)
            self._by_sid.update((each.sid, each) for each in messages)

    def _keep(self, messages: list[Message]) -> None:
        self._messages.extend(messages)
        self._by_sid.update((each.sid, each) for each in messages)

    def _forget(self, oldest: float) -> None:
        surplus = bisect_left(self._messages, oldest, key=_created)
        for message in self._messages[:surplus]:
            del self._by_sid[message.sid]
        del self._messages[:surplus]

    def _index_of(self, message: Message) -> int:
        index = bisect_left(self._messages, message.created, key=_created)
        while self._messages[index].sid != message.sid:
            index += 1
        return index

    def _slice_at(self, time: float) -> int:
        return math.floor(time / self._slice_seconds)

    def _draw_hour_weights(self, hour: int) -> list[float]:
        noise = math.exp(_seeded(self._seed, "hour", hour).gauss(0, HOURLY_NOISE))
        return list(
            accumulate(
                volume * noise * day_rhythm((hour + country.utc_offset_hours) % 24 + 0.5)
                for (country, _), volume in zip(self._homes, self._volumes, strict=True)
            )
        )

    def _draw_slice(self, number: int) -> Iterator[Message]:
        rng = _seeded(self._seed, "slice", number)
        begin, middle, end = (place * self._slice_seconds for place in (number, number + 0.5, number + 1))
        weights = self._hour_weights(math.floor(middle * rhythm_speed(self._speed) / 3600))
        a_second = MESSAGES_A_DAY * self._speed / 86_400 * weights[-1] / MEAN_RHYTHM
        if a_second <= 0:
            return
        created = begin + rng.expovariate(a_second)
        while created < end:
            home = self._homes[bisect_left(weights, rng.random() * weights[-1])]
            country, operator = home
            client = int(CLIENTS_AN_OPERATOR * rng.random() ** 2)
            yield draw_message(
                rng,
                to=client_number(country, operator, client),
                home=home,
                created=created,
                sender=self._sender_for(country),
                service_sid=self._service_sid,
            )
            created += rng.expovariate(a_second)

    def _sender_for(self, country: Country) -> str:
        return self._long_code if country.code in US_LONG_CODE_COUNTRIES else self._alpha_sender


def client_number(country: Country, operator: Operator, client: int) -> str:
    """Return the E.164 number of an operator's n-th client; two clients never share one."""
    # 7919 is prime and divides no power of ten: the numbers spread and do not meet.
    digits = (client * 7919 + 123_457) % 10**operator.digits
    return f"+{country.calling_code}{operator.prefix}{digits:0{operator.digits}d}"


def _created(message: Message) -> float:
    return message.created


def _seeded(*parts: object) -> Random:
    return Random("/".join(map(str, parts)))  # noqa: S311  a made-up world, no secret


def draw_volumes(seed: int) -> tuple[list[tuple[Country, Operator]], list[float]]:
    """Return every operator with its share of the traffic: Zipf over countries x Dirichlet."""
    rng = _seeded(seed, "volumes")
    homes: list[tuple[Country, Operator]] = []
    volumes: list[float] = []
    for rank, country in enumerate(COUNTRIES, start=1):
        shares = [rng.gammavariate(DIRICHLET_ALPHA / n, 1.0) for n in _ranks(country)]
        for operator, share in zip(country.operators, shares, strict=True):
            homes.append((country, operator))
            volumes.append(rank**-ZIPF_EXPONENT * share / sum(shares))
    total = sum(volumes)
    return homes, [volume / total for volume in volumes]


def _ranks(country: Country) -> range:
    return range(1, len(country.operators) + 1)
