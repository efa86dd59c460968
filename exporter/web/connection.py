"""One client's connection: a deadline for all that the client has to do, and a limit to what it sends.

uvicorn closes a connection that is idle after an answer. By itself it would wait without end for the first
request, for a request that trickles in and for a client that does not read, and take a header of any size.
"""

from asyncio import TimerHandle, Transport
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may cost."""

    request_seconds: float = 10.0  # from the beginning of the connection or of a request until it is complete
    answer_seconds: float = 60.0  # from a complete request until the client has taken the answer
    keep_alive_seconds: int = 75  # between requests: longer than usual scrape intervals, so scrapers stay connected
    request_bytes: int = 64 * 1024
    body_bytes: int = 256 * 1024  # on top, once the header is complete
    connections: int = 256


_TOO_LARGE: Final = b"The request is too large.\n"
_TOO_LARGE_ANSWER: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\n"
    b"connection: close\r\n\r\n%s"
) % (len(_TOO_LARGE), _TOO_LARGE)


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits: an idle, slow or endless client costs one connection, for a short time."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: TimerHandle | None = None
        self._since = 0.0  # the loop's time when the last deadline was set
        self._incomplete = False  # a request has begun and not ended
        self._received_bytes = 0  # of the present request
        self._limit_bytes = self.limits.request_bytes  # of the present request
        self._draining = False  # answered, and the client has not read it all

    @property
    def is_waiting(self) -> bool:
        """Whether there is nothing to do before the client sends something."""
        return self._is_answered() or self._incomplete

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Expect the first request; past the limit, the client that has kept us waiting longest goes."""
        super().connection_made(transport)
        self._expect_within(self.limits.request_seconds)
        if len(self.connections) > self.limits.connections:
            waiting = [other for other in self.connections if isinstance(other, Connection) and other.is_waiting]
            min(waiting, key=lambda other: other._since).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within the deadline and the limit."""
        self._received_bytes += len(data)
        if self._draining:
            self._draining = False
            self._forget_deadline()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._received_bytes > self._limit_bytes:
            self._refuse()
        elif self._deadline is None:  # uvicorn has just stopped its own clock, that of keep-alive
            self._expect_within(self.limits.request_seconds)

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        super().on_message_begin()
        self._incomplete = True

    def on_headers_complete(self) -> None:
        """Allow for a body."""
        super().on_headers_complete()
        self._limit_bytes = self.limits.request_bytes + self.limits.body_bytes

    def on_message_complete(self) -> None:
        """Expect the client to take its answer."""
        super().on_message_complete()
        self._incomplete = False
        self._received_bytes = 0
        self._limit_bytes = self.limits.request_bytes
        if not self._is_answered():
            self._expect_within(self.limits.answer_seconds)

    def on_response_complete(self) -> None:
        """Leave an idle connection to uvicorn's keep-alive, once the client has read its answer."""
        super().on_response_complete()
        if self._is_answered() and not self._incomplete:
            if self.transport.get_write_buffer_size():
                self._draining = True
            else:
                self._forget_deadline()

    def _is_answered(self) -> bool:
        return bool(getattr(self.cycle, "response_complete", True)) and not self.pipeline  # no cycle: no request yet

    def _refuse(self) -> None:
        if self._is_answered() and not self._draining:
            self.transport.write(_TOO_LARGE_ANSWER)
            self.transport.close()
        else:  # an answer is under way: nothing else can be said
            self.transport.abort()

    def _expect_within(self, seconds: float) -> None:
        self._forget_deadline()
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self._missed)

    def _missed(self) -> None:
        self._deadline = None
        if self._draining and not self.transport.get_write_buffer_size():
            self._draining = False  # read in time; idle since
        else:
            self.transport.abort()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited(limits: Limits) -> type[Connection]:
    """Return the protocol with other limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
