"""Sends genuine callbacks on to the application that sent the messages, as they came.

A provider posts each status to one URL. When that is ours, the application still gets what it always got: the same
body and the same signature. Kept in memory alone: a restart loses what had not been taken yet.
"""

import heapq
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests
from urllib3.exceptions import HTTPError

from .meters import ForwardOutcome, Meters
from .runner import Defect, contained

_log: Final = logging.getLogger(__name__)

_MOST_WAITING: Final = 2000
_THREADS: Final = 4
_TIMEOUT_SECONDS: Final = (3.0, 10.0)  # to connect, to be answered
_PAUSES_SECONDS: Final = (1.0, 5.0, 25.0, 120.0)  # before the second and each later attempt
_STOP_SECONDS: Final = 2.0
_HEADERS: Final = ("content-type", "user-agent")
_AGAIN: Final = (408, 425, 429)
_NO_ANSWER: Final = 0


@dataclass(order=True, slots=True)
class _Post:
    due_at: float  # by the monotonic clock
    target: str = field(compare=False)
    url: str = field(compare=False, repr=False)
    headers: Mapping[str, str] = field(compare=False, repr=False)
    body: bytes = field(compare=False, repr=False)
    method: str = field(compare=False, default="POST")
    attempts: int = field(compare=False, default=0)


class Forwarder:
    """A bounded queue and a few threads; whoever hands in a post never waits."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._posts: list[_Post] = []  # a heap: the next one first
        self._changed = threading.Condition()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._send_on, name=f"forward-{n}", daemon=True) for n in range(_THREADS)
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End soon; what was not taken yet is dropped and counted."""
        with self._changed:
            self._stopping = True
            dropped, self._posts = self._posts, []
            self._changed.notify_all()
        for post in dropped:
            self._meters.forward(post.target, ForwardOutcome.DROPPED)
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    def send(
        self,
        target: str,
        url: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        signed: Sequence[str] = (),
        method: str = "POST",
    ) -> None:
        """Send a post on to ``url``, soon, with the headers that are ``signed``.

        When too many wait already it is dropped and counted.
        """
        kept = {name: headers[name] for name in (*_HEADERS, *signed) if name in headers}
        post = _Post(time.monotonic(), target, f"{url}?{query}" if query else url, kept, body, method)
        if not self._put(post):
            self._meters.forward(target, ForwardOutcome.DROPPED)

    def _put(self, post: _Post) -> bool:
        with self._changed:
            if self._stopping or len(self._posts) >= _MOST_WAITING:
                return False
            heapq.heappush(self._posts, post)
            self._changed.notify()
            return True

    def _next(self) -> _Post | None:
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                if self._posts and self._posts[0].due_at <= now:
                    return heapq.heappop(self._posts)
                self._changed.wait(self._posts[0].due_at - now if self._posts else None)
        return None

    def _send_on(self) -> None:
        with requests.Session() as session:
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))  # nothing is added to what came
            session.trust_env = False  # no proxy and no .netrc between us and the application
            while (post := self._next()) is not None:
                self._attempt(session, post)

    def _attempt(self, session: requests.Session, post: _Post) -> None:
        status = contained(lambda: _post(session, post))  # a defect must not end the thread
        if isinstance(status, Defect):
            status = _NO_ANSWER
        if 200 <= status < 300:
            self._meters.forward(post.target, ForwardOutcome.TAKEN)
        elif 300 <= status < 500 and status not in _AGAIN:
            self._meters.forward(post.target, ForwardOutcome.REFUSED)
        elif post.attempts >= len(_PAUSES_SECONDS):
            self._meters.forward(post.target, ForwardOutcome.FAILED)
        else:
            post.due_at = time.monotonic() + _PAUSES_SECONDS[post.attempts]
            post.attempts += 1
            if not self._put(post):
                self._meters.forward(post.target, ForwardOutcome.DROPPED)


def _post(session: requests.Session, post: _Post) -> int:
    """Return the status of the answer; an error is told by none, as its text would quote the URL."""
    try:
        answer = session.request(
            post.method,
            post.url,
            data=post.body,
            headers=dict(post.headers),
            timeout=_TIMEOUT_SECONDS,
            allow_redirects=False,
            stream=True,
        )
    except (requests.RequestException, HTTPError):  # requests lets some of urllib3's through
        return _NO_ANSWER
    answer.close()
    return answer.status_code
