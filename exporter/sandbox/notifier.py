"""Follows messages and posts what becomes of them: status callbacks, events, and what a phone of our own receives."""

import asyncio
import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from .account import Account
from .message import Message
from .outbox import Outbox, Post, is_loopback_url
from .posts import Signer, build_event, build_received
from .vendors import EMULATORS
from .wire import Json

STEP_SECONDS: Final = 0.1
MOST_FOLLOWED: Final = 100_000
"""Changes that lie ahead; a message beyond that is not posted about."""
MOST_EVENTS: Final = 50
"""In one post, so that it stays below what receivers take."""
LATE_SECONDS: Final = (0.2, 4.0)


class NotificationError(ValueError):
    """What should be posted cannot be, as asked; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """What is posted and where to, on this machine only, and how well the posts travel. Shares are 0 to 1.

    Raises NotificationError.
    """

    vendor: str = "twilio"  # whose posts the callbacks are
    callback_url: str | None = None  # all messages; one that is sent with a StatusCallback goes there instead
    event_url: str | None = None  # a webhook sink of Event Streams
    signed_as: str | None = None  # the URL that is signed, where a proxy would stand before the receiver
    disorder: float = 0.0  # posts that are late, so that later ones overtake them
    repeats: float = 0.0  # posts that come twice
    loss: float = 0.0  # posts that never come
    phones: tuple[str, ...] = ()  # E.164: phones of our own, whose gateway posts what they receive
    phone_url: str | None = None
    phone_token: str = field(default="", repr=False)  # for the bearer of these posts

    def __post_init__(self) -> None:
        urls = (self.callback_url, self.event_url, self.phone_url)
        if any(url is not None and not is_loopback_url(url) for url in urls):
            raise NotificationError("the sandbox posts to HTTP on loopback addresses only")
        if self.vendor not in EMULATORS:
            raise NotificationError(f"no vendor {self.vendor}, must be one of: {', '.join(EMULATORS)}")
        if not all(0 <= share <= 1 for share in (self.disorder, self.repeats, self.loss)):
            raise NotificationError("a share must be between 0 and 1")
        if bool(self.phones) != (self.phone_url is not None):
            raise NotificationError("phones and the URL that their gateway posts to go together")


@dataclass(order=True, slots=True)
class _Change:
    at: float  # epoch seconds
    number: int
    status: str = field(compare=False)
    message: Message = field(compare=False)


RECEIVED: Final = "received"  # by the phone; no status of Twilio's


class Notifier:
    """Follows one account's messages in the server's loop; outboxes post from threads of their own."""

    def __init__(self, account: Account, wanted: Notifications, clock: Callable[[], float]) -> None:
        self._account = account
        self._wanted = wanted
        self._clock = clock
        self._signer = Signer(account_sid=account.sid, auth_token=account.auth_token, signed_as=wanted.signed_as)
        self._callbacks, self._events, self._phones = Outbox(), Outbox(), Outbox()
        self._changes: list[_Change] = []  # a heap: the next one first
        self._number = 0
        self._follows_traffic = (wanted.callback_url, wanted.event_url, wanted.phone_url) != (None, None, None)
        account.on_created = self._follow

    async def run(self) -> None:
        """Post until cancelled."""
        try:
            while True:
                await asyncio.sleep(STEP_SECONDS)
                self._step(self._clock())
        finally:
            for outbox in (self._callbacks, self._events, self._phones):
                outbox.close()

    def _step(self, now: float) -> None:
        if self._follows_traffic:
            self._account.advance(now)
        events: list[Json] = []
        while self._changes and self._changes[0].at <= now:
            events += self._tell(heapq.heappop(self._changes))
        for start in range(0, len(events), MOST_EVENTS):
            self._post_events(events[start : start + MOST_EVENTS])

    def _follow(self, messages: Sequence[Message]) -> None:
        for message in messages:
            for status, at in self._stages(message):
                if len(self._changes) < MOST_FOLLOWED:
                    self._number += 1
                    heapq.heappush(self._changes, _Change(at, self._number, status, message))

    def _stages(self, message: Message) -> Iterator[tuple[str, float]]:
        """Yield the statuses that somebody wants to know of, with their times."""
        if self._wanted.event_url is not None:
            yield "queued", message.created
        if self._wanted.event_url is not None or self._callback_url(message) is not None:
            if message.sent is not None:
                yield "sent", message.sent
            if message.closed is not None:
                yield message.last_status, message.closed
        if message.arrived is not None and message.to in self._wanted.phones:
            yield RECEIVED, message.arrived

    def _callback_url(self, message: Message) -> str | None:
        return message.status_callback or self._wanted.callback_url

    def _tell(self, change: _Change) -> Iterator[Json]:
        """Post a change; yield it when it is an event, which are posted together."""
        message, status, at = change.message, change.status, change.at
        if status == RECEIVED:
            if self._wanted.phone_url is not None:
                self._phones.put(build_received(self._wanted.phone_url, self._wanted.phone_token, message, at))
            return
        url = self._callback_url(message)
        if url is not None and status != "queued":  # of the first status Twilio does not tell
            post = EMULATORS[self._wanted.vendor].post(self._account, url, self._wanted.signed_as, message, status, at)
            closed_after = (message.closed or at) - at
            self._send(self._callbacks, post, f"{message.sid}/{status}", overtaken_after=closed_after)
        if self._wanted.event_url is not None:
            yield build_event(self._account.sid, message, status, at)

    def _post_events(self, events: Sequence[Json]) -> None:
        if self._wanted.event_url is not None:
            self._send(self._events, self._signer.events(self._wanted.event_url, events), events[0]["id"])

    def _send(self, outbox: Outbox, post: Post, name: str, *, overtaken_after: float = 0.0) -> None:
        """Post along a way that may lose it, repeat it or hold it up; the same for the same name."""
        rng = Random(name)  # noqa: S311  a made-up network, no secret
        if rng.random() < self._wanted.loss:
            return
        for _ in range(2 if rng.random() < self._wanted.repeats else 1):
            is_late = rng.random() < self._wanted.disorder
            outbox.put(post, delay_seconds=overtaken_after + rng.uniform(*LATE_SECONDS) if is_late else 0.0)
