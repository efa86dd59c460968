"""True time from NTP servers, and the platform's clock from the ``Date`` header of its answers."""

import re
import socket
from collections.abc import Callable
from dataclasses import replace
from time import monotonic, sleep, time
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import ntplib
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ..clients import ClockReading
from ..errors import BadResponseError, DeadlineExceededError, UnreachableError
from ..providers.http import Http, origin_of, seconds_left
from ..providers.observer import Observer
from ..settings import TargetSettings, Url
from .agreement import ServerReading, agree
from .date import DateReading, narrow, read_date

_SERVER: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?", re.ASCII)
_PORT: Final = 123  # RFC 5905, section 7.2
_VERSION: Final = 4
_SERVER_SECONDS: Final = 2.0  # that one server may take
_CLIENT_MODE, _SERVER_MODE = 3, 4  # RFC 5905 section 7.3
_UNSYNCHRONISED: Final = 3  # leap indicator, RFC 5905 section 7.3
_STRATA: Final = range(1, 16)  # 0 is a kiss-o'-death packet, 16 is unsynchronised: RFC 5905 section 7.3
_LARGEST_DELAY: Final = 2.0  # seconds there and back: beyond it an offset says little
_LARGEST_DISTANCE: Final = 1.0  # seconds from true time, as the server itself says: MAXDIST, RFC 5905 section 7.2
_JITTER: Final = 0.001  # seconds: two good clocks may differ so that an answer seems to take less than no time
_ERA: Final = 2**32  # seconds after which NTP counts anew, next in February 2036: RFC 5905 section 6
_LARGEST_PACKET: Final = 1024  # bytes; of an answer the first 48 are read
_ORIGIN, _TRANSMIT = slice(24, 32), slice(40, 48)  # bytes of a packet: RFC 5905 section 7.3


def _server(value: str) -> str:
    found = _SERVER.fullmatch(value)
    if found is None or not 0 < int(found[2] or _PORT) < 65536:
        raise PydanticCustomError("ntp_server", 'must be a host such as "time.cloudflare.com", with a port if need be')
    return value


class NtpSettings(TargetSettings):
    """Whose time is true, and whose clock is judged by it."""

    type: Literal["ntp"] = Field(description="the vendor")
    servers: list[Annotated[str, AfterValidator(_server)]] = Field(
        min_length=1,
        max_length=10,
        description="NTP servers, host or host:port; three or more, so that one that is wrong is outvoted",
    )
    platform_url: Url | None = Field(
        None, description="a page of the platform that verifies codes; its Date header tells its clock"
    )


class NtpClock:
    """Compares clocks by NTP (RFC 5905) and by HTTP dates (RFC 9110 section 6.6.1)."""

    def __init__(
        self,
        settings: NtpSettings,
        *,
        observer: Observer | None = None,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        self._servers = [_split(server) for server in settings.servers]
        self._timeout_seconds = min(settings.timeout, _SERVER_SECONDS)
        self._url = settings.platform_url
        self._wait = wait
        self._http = None
        if self._url is not None:
            self._http = Http(
                {urlsplit(self._url).netloc: origin_of(self._url)}, timeout_seconds=settings.timeout, observer=observer
            )

    def close(self) -> None:
        """Close the idle connections."""
        if self._http is not None:
            self._http.close()

    def measure_host(self) -> ClockReading:
        """Return how far this host's clock is ahead: the median of the servers that are to be believed.

        Raises UnreachableError when none of them is, DeadlineExceededError when no time is left to ask.
        """
        readings: dict[str, ServerReading] = {}
        ignored: list[str] = []
        for place, (host, port) in enumerate(self._servers):
            name = f"NTP server {place + 1}"
            shares = len(self._servers) - place + (self._http is not None)  # of the time: the platform comes last
            answer = _ask(host, port, min(self._timeout_seconds, seconds_left() / shares))
            if isinstance(answer, str):
                ignored.append(f"{name} {answer}")
            else:
                readings[name] = answer
        if not readings:
            raise UnreachableError("; ".join(ignored))
        reading = agree(readings)
        return replace(reading, ignored=(*ignored, *reading.ignored))

    def measure_platform(self) -> ClockReading | None:
        """Return how far the platform's clock is ahead of this host's; None when no URL is configured.

        Raises ProviderError when it cannot be asked or gives no date of its own.
        """
        if self._http is None or self._url is None:
            return None
        http, url = self._http, self._url
        narrowing = narrow(lambda: _read_date(http, url), wait=self._wait)
        return ClockReading(
            offset_seconds=narrowing.offset_seconds,
            uncertainty_seconds=narrowing.uncertainty_seconds,
            sources=narrowing.readings,
        )


def _read_date(http: Http, url: str) -> DateReading:
    begun = time()
    reply = http.request("HEAD", url)
    ended = time()
    date = read_date(reply.headers)
    if date is None:
        raise BadResponseError("the platform's answer has no Date, or is a cached one")
    return DateReading(asked_at=begun, answered_at=max(begun, ended), date=date)


def _ask(host: str, port: int, seconds: float) -> ServerReading | str:
    """Return what a server says within so many seconds, or in words why it is not to be believed."""
    if seconds <= 0:
        raise DeadlineExceededError("no time was left to ask an NTP server")
    try:
        asked, answer, arrived = _exchange(host, port, seconds)
    except (socket.gaierror, UnicodeError):
        return "cannot be found"
    except OSError:
        return "does not answer"
    if answer.leap == _UNSYNCHRONISED or answer.stratum not in _STRATA:
        return "is not synchronised itself"
    there, back = _since(answer.recv_timestamp, asked), _since(answer.tx_timestamp, arrived)
    delay = there - back
    is_whole = answer.mode == _SERVER_MODE and answer.recv_timestamp and answer.tx_timestamp
    if not is_whole or not -_JITTER <= delay <= _LARGEST_DELAY:
        return "gives an answer that cannot be right"
    distance = max(0.0, delay) / 2 + answer.root_delay / 2 + answer.root_dispersion
    if distance > _LARGEST_DISTANCE:
        return "is not synchronised itself"
    return ServerReading(offset_seconds=-(there + back) / 2, distance_seconds=distance)


def _exchange(host: str, port: int, seconds: float) -> "tuple[float, ntplib.NTPPacket, float]":
    """Ask a server once; return the answer and, before and after it, when it was asked and came, as NTP writes times.

    ``ntplib``'s own request takes anybody's answer to any question, waits for ever while others send, and fails for
    a clock beyond February 2036. Raises OSError.
    """
    ends_at = monotonic() + seconds
    with _connect(host, port) as server:
        asked = _ntp_time()
        question = ntplib.NTPPacket(version=_VERSION, mode=_CLIENT_MODE, tx_timestamp=asked).to_data()
        server.send(question)
        while (left := ends_at - monotonic()) > 0:
            server.settimeout(left)
            packet, arrived = server.recv(_LARGEST_PACKET), _ntp_time()
            if len(packet) >= len(question) and packet[_ORIGIN] == question[_TRANSMIT]:
                answer = ntplib.NTPPacket()
                answer.from_data(packet)
                return asked, answer, arrived
    raise TimeoutError


def _ntp_time() -> float:
    return float(ntplib.system_to_ntp_time(time()) % _ERA)


def _since(later: float, earlier: float) -> float:
    """Return the seconds between two moments of whatever eras, which are less than 68 years apart."""
    return (later - earlier + _ERA / 2) % _ERA - _ERA / 2


def _connect(host: str, port: int) -> socket.socket:
    """Return a UDP socket that sends to a server, and takes from it alone."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        server = socket.socket(family, kind, protocol)
        try:
            server.connect(address)
        except OSError:  # no way there, as for IPv6 on many a host
            server.close()
        else:
            return server
    raise OSError


def _split(server: str) -> tuple[str, int]:
    found = _SERVER.fullmatch(server)
    assert found is not None, "the settings see to that"  # noqa: S101
    return found[1].strip("[]"), int(found[2] or _PORT)
