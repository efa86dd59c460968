"""One client's connection: a deadline for all that the client has to do, a limit to what it sends, and no ambiguity.

uvicorn closes a connection that is idle after an answer. By itself it would wait without end for the first
request, for a request that trickles in and for a client that does not read, and take a header of any size. What two
programs on the way could read in two ways, and one of them let pass, is refused: RFC 9112, section 11.2.
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


class AmbiguousError(Exception):
    """The head of a request can be read in more than one way, or is meant for a proxy."""


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits: an idle, slow or endless client costs one connection, for a short time."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._deadline: TimerHandle | None = None
        self._since = 0.0  # the loop's time when the last deadline was set
        self._incomplete = False  # a request has begun and not ended
        self._is_in_head = False  # of the present request
        self._received_bytes = 0  # of the present request
        self._limit_bytes = self.limits.request_bytes  # of the present request
        self._draining = False  # answered, and the client has not read it all
        self.beneath: Transport | None = None  # what carries the encrypted bytes, where the transport encrypts

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
            min(waiting, key=lambda other: other._since).abort()

    def abort(self) -> None:
        """End the connection at once, whatever is still to be sent; it counts no more from now on."""
        self.connections.discard(self)  # uvicorn's, which would forget it later: many may come in a turn of the loop
        self.transport.abort()
        if self.beneath is not None:  # an encrypted one that is being closed does not listen any more
            self.beneath.abort()

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
        self._is_in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field of the head. One that comes after the body has passed by whoever looks at heads on the way."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Allow for a body. Raises AmbiguousError."""
        self._check_head()
        self._is_in_head = False
        super().on_headers_complete()
        self._limit_bytes = self.limits.request_bytes + self.limits.body_bytes

    def _check_head(self) -> None:
        """Raise AmbiguousError, which the parser takes for a malformed request."""
        version = self.parser.get_http_version()
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        hosts = sum(name == b"host" for name, _ in self.headers)
        if version not in ("1.0", "1.1"):  # RFC 9112, section 2.3
            raise AmbiguousError
        if hosts > 1 or (hosts == 0 and version == "1.1"):  # section 3.2
            raise AmbiguousError
        if codings and (codings != [b"chunked"] or version == "1.0"):  # section 6.1
            raise AmbiguousError
        if not self.url.startswith(b"/") and self.url != b"*":  # section 3.2.2; it would have a host of its own
            raise AmbiguousError

    def send_400_response(self, msg: str) -> None:
        """Say that a request is malformed, where nobody could take it for the answer to another one."""
        is_waited_for = not getattr(self.cycle, "response_complete", True)  # no cycle: no request yet
        is_in_body = self._incomplete and not self._is_in_head  # of the request that is waited for
        if self.pipeline or self._draining or (is_waited_for and (self.cycle.response_started or not is_in_body)):
            self.abort()
        else:
            super().send_400_response(msg)

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
            if self._has_unsent():
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
            self.abort()

    def _expect_within(self, seconds: float) -> None:
        self._forget_deadline()
        self._since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self._missed)

    def _missed(self) -> None:
        self._deadline = None
        if self._draining and not self._has_unsent():
            self._draining = False  # read in time; idle since
        else:
            self.abort()

    def _has_unsent(self) -> bool:
        transports = (self.transport, self.beneath)
        return any(each.get_write_buffer_size() for each in transports if each is not None)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def limited(limits: Limits) -> type[Connection]:
    """Return the protocol with other limits."""
    return type("LimitedConnection", (Connection,), {"limits": limits})
