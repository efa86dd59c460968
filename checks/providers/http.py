"""The one transport: HTTP over ``requests``, with hard deadlines and every fault turned into our errors.

It retries nothing, follows no redirect, keeps no cookie, logs nothing, and sends nothing to a host that
it was not given.
"""

import json
import logging
import math
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from threading import Lock
from time import monotonic, time
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import allowed_gai_family

from ..addresses import is_loopback, is_public
from ..errors import (
    BadResponseError,
    DeadlineExceededError,
    ProviderError,
    TLSFailedError,
    UnreachableError,
)
from ..reason import Reason
from .limiter import RateLimiter, parse_retry_after
from .observer import NoObserver, Observer

BODY_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""The largest body that is read unless a call asks for more: after decompression."""

_HEAD_LIMIT_BYTES: Final = 256 * 1024  # headers and chunk framing come on top of the body
_STEP_BYTES: Final = 64 * 1024  # where the length of a body is not told

# An idle connection that the server closes just as we use it looks like an outage. Common servers keep
# idle connections for 5 s (uvicorn, Node.js) to 75 s (nginx), so ours are given up before that.
_MAX_IDLE_SECONDS: Final = 4.0
_MOST_HOSTS: Final = 256  # whose idle connections are kept
_MOST_IDLE: Final = 128  # connections to one host

_USER_AGENT: Final = "twofa-exporter"

_CONTENT_CODINGS: Final = ("", "identity", "gzip")  # as the header's whole value; in any case, RFC 9110 section 8.4.1

# urllib3 logs URLs: each request at DEBUG, odd headers at WARNING. Phone numbers stand in URLs.
_TALKATIVE_LOGGERS: Final = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")

_REASON_OF_STATUS: Final[Mapping[int, Reason]] = {
    401: Reason.CREDENTIALS_REJECTED,
    403: Reason.PERMISSION_MISSING,
    408: Reason.TIMEOUT,  # the server gave up waiting for the rest of our request
    429: Reason.RATE_LIMITED,
}

OUTCOMES: Final = (
    Reason.OK,
    Reason.CREDENTIALS_REJECTED,
    Reason.PERMISSION_MISSING,
    Reason.RATE_LIMITED,
    Reason.PROVIDER_OUTAGE,
    Reason.UNREACHABLE,
    Reason.TIMEOUT,
    Reason.TLS_FAILED,
    Reason.BAD_RESPONSE,
)
"""All outcomes of one HTTP request. A refusal is told by its status alone, not by the vendor's code."""


def reason_for_status(status: int) -> Reason | None:
    """Return what an HTTP status means when the vendor gives no code of its own; None for a success.

    A gateway's 504 is an outage like any 5xx: the provider's own gateway got no answer from the provider.
    Status codes: RFC 9110 section 15, RFC 6585 section 4.
    """
    if 200 <= status < 300:
        return None
    if 500 <= status < 600:
        return Reason.PROVIDER_OUTAGE
    return _REASON_OF_STATUS.get(status, Reason.BAD_RESPONSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that came completely, whatever its status."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in any case
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the decoded body. Raises BadResponseError when it is not JSON (RFC 8259: no NaN either)."""
        try:
            return json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            raise BadResponseError("the answer is not JSON") from None


def _refuse_constant(name: str) -> float:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


# Deadlines. Every socket of ours looks at the call that it serves before it reads or writes, so that a
# server that sends one byte a second cannot outlive it. Only the resolver cannot be interrupted: it
# keeps its own limits (resolv.conf(5): timeout, attempts), and the deadline counts again after it.

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_call: ContextVar["_Call | None"] = ContextVar("call", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Make every request inside end within ``seconds`` from now; the earliest of nested ones rules.

    Past it, requests raise DeadlineExceededError.
    """
    ends_at = monotonic() + seconds
    outer = _deadline.get()
    token = _deadline.set(ends_at if outer is None else min(ends_at, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return the seconds until the deadline around the caller; infinite without one."""
    ends_at = _deadline.get()
    return math.inf if ends_at is None else ends_at - monotonic()


@dataclass(slots=True)
class _Call:
    ends_at: float  # by the monotonic clock
    bytes_left: int  # that may still be received
    public_only: bool = False  # connect to no address of a private network

    @property
    def is_over(self) -> bool:
        return monotonic() >= self.ends_at

    def seconds_left(self) -> float:
        left = self.ends_at - monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def received(self, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            raise _TooLargeError


class _TooLargeError(OSError):
    """More bytes came than a call accepts. An OSError, so that urllib3 cleans up after it."""


class _Socket(socket.socket):
    """A TCP socket on which nothing outlives the call that it serves."""

    __slots__ = ()

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return _receive_within_call(self, super().recv_into, buffer, nbytes, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        _limit_to_call(self)
        super().sendall(data, flags)


class _TLSSocket(ssl.SSLSocket):
    """As ``_Socket``. The handshake is one operation for the timeout, however often the server drips."""

    def do_handshake(self, block: bool = False) -> None:
        _limit_to_call(self)
        super().do_handshake(block)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        return _receive_within_call(self, super().recv_into, buffer, nbytes, flags)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:  # used by TLS inside TLS, with an https proxy
        _limit_to_call(self)
        return super().recv(buflen, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        _limit_to_call(self)
        return super().send(data, flags)


def _limit_to_call(sock: socket.socket) -> None:
    call = _call.get()
    if call is not None:
        sock.settimeout(call.seconds_left())


def _receive_within_call(sock: socket.socket, receive: Any, *args: Any) -> int:
    _limit_to_call(sock)
    count: int = receive(*args)
    call = _call.get()
    if call is not None:
        call.received(count)
    return count


# Who looks on: a command that shows what a provider answers.

_listener: ContextVar["Callable[[Reply], None] | None"] = ContextVar("listener", default=None)


@contextmanager
def overheard(listener: "Callable[[Reply], None]") -> Iterator[None]:
    """Tell ``listener`` of every complete answer that comes to requests of this thread inside."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class _Connection(HTTPConnection):
    _answered_at = 0.0

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers; each gets its share of the time left."""
        call = _call.get()
        addresses = _resolve(self._dns_host, self.port)
        if call is not None and call.public_only and self.proxy is None:  # a proxy is of our own network
            addresses = [each for each in addresses if is_public(each[4][0])]
            if not addresses:
                raise _PrivateAddressError
        problem: OSError = _UnknownHostError()
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = _Socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                if call is not None:
                    sock.settimeout(call.seconds_left() / (len(addresses) - position))
                sock.connect(address)
            except OSError as error:
                sock.close()
                problem = error
            else:
                return sock
        raise problem

    def getresponse(self) -> Any:
        response = super().getresponse()
        self._answered_at = monotonic()
        return response

    @property
    def is_connected(self) -> bool:
        return super().is_connected and monotonic() - self._answered_at < _MAX_IDLE_SECONDS


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _UnknownHostError(OSError):
    """A host name that has no address."""


class _PrivateAddressError(OSError):
    """A host whose name leads into a private network, which nobody has allowed."""


def _resolve(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    try:
        return socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # UnicodeError: a label that no host name can have
        raise _UnknownHostError from None


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _Adapter(HTTPAdapter):
    """The adapter of ``requests`` with our connections, and one TLS context for all of them.

    By itself it would read the whole CA bundle again for each new connection.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=_MOST_HOSTS, pool_maxsize=_MOST_IDLE, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context, proxy_ssl_context=self._context)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context, which demands a trusted certificate for the right name."""


class _Shared:
    """One adapter for all clients that connect alike, so that a thousand accounts share connections.

    Alike is: with the same TLS context, and to public addresses only or to all. An adapter is made for the first of
    them and closed after the last. Nothing of an account stays with a connection: credentials
    are in each request, and no cookie is kept.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._adapters: dict[tuple[ssl.SSLContext, bool], _Adapter] = {}
        self._users: Counter[_Adapter] = Counter()

    def take(self, context: ssl.SSLContext, *, public_only: bool) -> _Adapter:
        """Return the adapter; who takes it gives it back."""
        with self._lock:
            adapter = self._adapters.get((context, public_only))
            if adapter is None:
                adapter = self._adapters[context, public_only] = _Adapter(context)
            self._users[adapter] += 1
            return adapter

    def give_back(self, adapter: _Adapter) -> None:
        """Close the idle connections when nobody else has the adapter."""
        with self._lock:
            self._users[adapter] -= 1
            if self._users[adapter]:
                return
            del self._users[adapter]
            self._adapters = {key: other for key, other in self._adapters.items() if other is not adapter}
        adapter.close()


_shared: Final = _Shared()


@cache
def _tls_context(bundle: str) -> ssl.SSLContext:
    is_directory = os.path.isdir(bundle)
    context = ssl.create_default_context(
        cafile=None if is_directory else bundle, capath=bundle if is_directory else None
    )
    context.sslsocket_class = _TLSSocket
    return context


def environment_bundle() -> str:
    """Return the CAs that the environment names, or else those that come with ``requests``: a file or a folder."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or DEFAULT_CA_BUNDLE_PATH


def _environment_tls_context() -> ssl.SSLContext:
    bundle = environment_bundle()
    try:
        return _tls_context(bundle)
    except OSError:
        msg = f'the CA bundle "{bundle}" cannot be read'
        raise ValueError(msg) from None


def origin_of(url: str) -> str:
    """Return scheme, host and port of a URL, which is what may be asked of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Http:
    """Sends requests to a closed set of hosts. Safe to use from several threads; shares connections with
    all others.

    Proxies and the CA bundle (``REQUESTS_CA_BUNDLE``, ``SSL_CERT_FILE``) are taken from the environment once,
    at construction; a loopback address is never asked through a proxy.
    """

    def __init__(
        self,
        origins: Mapping[str, str],
        *,
        timeout_seconds: float,
        requests_per_second: int | None = None,
        public_only: bool = False,
        observer: Observer | None = None,
    ) -> None:
        """Take ``origins``: the hosts that may be asked, each with the URL that stands for its root.

        Such a URL's own host may be asked too: a service that pages by absolute URLs names itself.
        No more than ``requests_per_second`` requests begin in one second, None for any number of them, and none
        while an answer 429 asks for quiet. With ``public_only`` no address of a private network is connected to.
        Raises ValueError when the CA bundle cannot be read.
        """
        own = {urlsplit(origin).netloc: origin_of(origin) for origin in origins.values()}
        self._origins = {host.lower(): origin for host, origin in {**own, **origins}.items()}
        self._timeout_seconds = timeout_seconds
        self._public_only = public_only
        self._limiter = None if requests_per_second is None else RateLimiter(requests_per_second)
        self._observer = observer or NoObserver()
        self._proxies = {origin: _proxies_for(origin) for origin in self._origins.values()}
        self._adapter = _shared.take(_environment_tls_context(), public_only=public_only)
        self._is_open = True
        for name in _TALKATIVE_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def close(self) -> None:
        """Close the idle connections, unless other clients use them too."""
        if self._is_open:
            self._is_open = False
            _shared.give_back(self._adapter)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        body_limit_bytes: int = BODY_LIMIT_BYTES,
        yields: bool = False,
    ) -> Reply:
        """Send one request and return the complete answer, whatever its status but a redirect.

        A ``body`` is sent as it is, instead of ``data`` or ``json``: a signature may be over it.

        It takes as long as the timeout and the ``deadline`` around it allow, as a whole, waiting for its turn
        included. ``auth`` is sent as HTTP Basic in UTF-8 (RFC 7617). A request that ``yields`` lets all others
        go first.

        Raises UnreachableError, DeadlineExceededError, TLSFailedError, or BadResponseError for an answer that
        is a redirect, too large or no HTTP, and for a URL on a host that it was not given; ProviderError (rate
        limited) without asking while the provider wants quiet for longer than there is time.
        """
        origin, target = self._locate(url)
        request = requests.Request(
            method=method,
            url=target,
            params=dict(params or {}),
            data=dict(data or {}) if body is None else body,
            json=None if json is None else dict(json),
            headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "gzip", **(headers or {})},
            auth=None if auth is None else (auth[0].encode(), auth[1].encode()),
        )
        try:
            reply = self._exchange(request, self._proxies[origin], body_limit_bytes, yields=yields)
        except ProviderError as error:
            self._observer.request_done(error.reason)
            raise
        if reply.status == 429 and self._limiter is not None:
            self._limiter.keep_quiet(parse_retry_after(reply.headers.get("Retry-After", ""), time()))
        self._observer.request_done(reason_for_status(reply.status) or Reason.OK)
        listener = _listener.get()
        if listener is not None:
            listener(reply)
        return reply

    def _locate(self, url: str) -> tuple[str, str]:
        """Return the origin to ask, and the URL there."""
        try:
            parts = urlsplit(url)
        except ValueError:
            raise BadResponseError("refused to call a URL that is none") from None
        origin = self._origins.get(parts.netloc.lower())
        if origin is None or parts.scheme not in ("http", "https"):
            raise BadResponseError("refused to call an unknown host")
        query = f"?{parts.query}" if parts.query else ""
        return origin, f"{origin}{parts.path}{query}"

    def _exchange(
        self, request: requests.Request, proxies: Mapping[str, str], body_limit_bytes: int, *, yields: bool
    ) -> Reply:
        call = _Call(self._ends_at(), body_limit_bytes + _HEAD_LIMIT_BYTES, self._public_only)
        if self._limiter is not None:
            self._limiter.wait(call.ends_at, yields=yields)
        if call.is_over:
            raise DeadlineExceededError("no time was left to ask")
        token = _call.set(call)
        try:
            response = self._adapter.send(
                request.prepare(), stream=True, timeout=self._timeout_seconds, proxies=proxies
            )
            try:
                return _read(response, body_limit_bytes)
            finally:
                response.close()
        except (requests.RequestException, urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            fault = _fault(error, call)
        finally:
            _call.reset(token)
        raise fault

    def _ends_at(self) -> float:
        ends_at = monotonic() + self._timeout_seconds
        limit = _deadline.get()
        return ends_at if limit is None else min(ends_at, limit)


def _proxies_for(origin: str) -> dict[str, str]:
    host = urlsplit(origin).hostname or ""
    return {} if is_loopback(host) else dict(get_environ_proxies(origin))


def _read(response: requests.Response, body_limit_bytes: int) -> Reply:
    if 300 <= response.status_code < 400:
        raise BadResponseError("answered with a redirect, which is not followed")
    # Only what was asked for: each coding more multiplies what a small answer may unpack to.
    if response.raw.headers.get("Content-Encoding", "").lower() not in _CONTENT_CODINGS:
        raise BadResponseError("the answer is compressed in a way that was not asked for")
    # In one step where the length is known: small ones cost as much as understanding a page of a message log.
    told = min(response.raw.length_remaining or _STEP_BYTES, body_limit_bytes + 1)
    steps, length = [], 0
    for step in response.raw.stream(max(told, _STEP_BYTES), decode_content=True):
        steps.append(step)
        length += len(step)
        if length > body_limit_bytes:
            raise _TooLargeError
    return Reply(
        status=response.status_code, headers=response.headers, body=steps[0] if len(steps) == 1 else b"".join(steps)
    )


# The first row of which anything is among an exception and its causes says what happened.
_FAULTS: Final[Sequence[tuple[tuple[type[BaseException], ...], Callable[[str], ProviderError], str]]] = (
    ((_TooLargeError,), BadResponseError, "the answer is too large"),
    ((TimeoutError,), DeadlineExceededError, "no complete answer came in time"),
    ((ssl.SSLCertVerificationError,), TLSFailedError, "the certificate is not trusted"),
    ((ssl.SSLError, urllib3.exceptions.SSLError), TLSFailedError, "no secure connection could be made"),
    ((urllib3.exceptions.DecodeError,), BadResponseError, "the answer cannot be decompressed"),
    ((urllib3.exceptions.ProxyError,), UnreachableError, "the proxy makes no connection"),
    ((_UnknownHostError,), UnreachableError, "the host name has no address"),
    ((_PrivateAddressError,), UnreachableError, "the host name leads into a private network, which is not allowed"),
    ((ConnectionRefusedError,), UnreachableError, "the connection was refused"),
    (
        (urllib3.exceptions.InvalidChunkLength, urllib3.exceptions.InvalidHeader),
        BadResponseError,
        "the answer is not HTTP",
    ),
    (
        (RemoteDisconnected, IncompleteRead, ConnectionError),
        UnreachableError,
        "the connection broke before the answer was complete",
    ),
    ((BadStatusLine, HTTPException), BadResponseError, "the answer is not HTTP"),
    (
        (urllib3.exceptions.ProtocolError,),
        UnreachableError,
        "the connection broke before the answer was complete",
    ),
)


def _fault(error: BaseException, call: _Call) -> ProviderError:
    if call.is_over:
        return DeadlineExceededError("no complete answer came in time")
    chain = tuple(_with_causes(error))
    if type(chain[-1]) is urllib3.exceptions.ProtocolError:  # without a cause: urllib3 itself found a fault
        return BadResponseError("the answer is not HTTP")
    for kinds, fault, detail in _FAULTS:
        if any(isinstance(link, kinds) for link in chain):
            return fault(detail)
    return UnreachableError("no connection could be made")


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None and not isinstance(error, ProviderError):
        yield error
        error = error.__cause__ or error.__context__
