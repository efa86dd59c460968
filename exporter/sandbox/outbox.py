"""Posts to a receiver on this machine, from a few threads, so that nobody waits for one that is slow or dead."""

import heapq
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

MOST_WAITING: Final = 5000
"""Posts; more are dropped, so that a dead receiver costs no more memory than that."""
THREADS: Final = 4
TIMEOUT_SECONDS: Final = 5.0
PAUSES_SECONDS: Final = (1.0, 5.0)
"""Before the second and the third attempt. Twilio's own are not published."""
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_loopback_url(url: str) -> bool:
    """Return whether the URL is HTTP to this machine, as the library that posts to it reads it."""
    try:
        parts = parse_url(url)
    except LocationParseError:
        return False
    return parts.scheme in ("http", "https") and parts.host in LOOPBACK and parts.auth is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What is posted. Nothing of it shows in a repr."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str = "POST"


@dataclass(order=True, slots=True)
class _Waiting:
    due_at: float  # by the monotonic clock
    number: int  # the first come of those that are due at the same time
    post: Post = field(compare=False)
    attempts: int = field(compare=False, default=0)


class Outbox:
    """Posts that wait, in memory alone. Its threads begin with the first post."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []  # a heap: the next one first
        self._number = 0
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._is_closed = False

    def put(self, post: Post, *, delay_seconds: float = 0.0) -> None:
        """Post soon, or after the delay. A receiver that fails is tried again."""
        with self._changed:
            if not self._threads:
                self._threads = [
                    threading.Thread(target=self._work, name=f"sandbox-post-{n}", daemon=True) for n in range(THREADS)
                ]
                for thread in self._threads:
                    thread.start()
            self._number += 1
            self._push(_Waiting(time.monotonic() + delay_seconds, self._number, post))

    def close(self) -> None:
        """Drop what waits and let the threads end with what they are at."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _push(self, waiting: _Waiting) -> None:
        if len(self._waiting) < MOST_WAITING:
            heapq.heappush(self._waiting, waiting)
            self._changed.notify()

    def _next(self) -> _Waiting | None:
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                if self._waiting and self._waiting[0].due_at <= now:
                    return heapq.heappop(self._waiting)
                self._changed.wait(self._waiting[0].due_at - now if self._waiting else None)
        return None

    def _work(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no .netrc between us and the receiver
            while (waiting := self._next()) is not None:
                if not _is_taken(session, waiting.post) and waiting.attempts < len(PAUSES_SECONDS):
                    waiting.due_at = time.monotonic() + PAUSES_SECONDS[waiting.attempts]
                    waiting.attempts += 1
                    with self._changed:
                        self._push(waiting)


def _is_taken(session: requests.Session, post: Post) -> bool:
    try:
        answer = session.request(
            post.method,
            post.url,
            data=post.body,
            headers=dict(post.headers),
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,  # the answer's body is nobody's business
        )
    except requests.RequestException:
        return False
    answer.close()
    return answer.status_code < 500
