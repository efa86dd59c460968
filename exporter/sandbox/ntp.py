"""A time server for SNTP: true time, unless a fault makes it seem otherwise.

Source: RFC 5905, section 7.3 (the header) and section 14 (a server answers a client's packet on its own).
"""

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from typing import Final

from .faults import Switches

SKEW_SECONDS: Final = 40.0
"""How far ahead of the host the answers are under `host_clock_skewed`: the host looks as slow as that."""

_HEADER: Final = struct.Struct("!BBbbII4s8s8s8s8s")
_UNIX_EPOCH: Final = 2_208_988_800  # in seconds since 1900
_CLIENT, _SERVER = 3, 4  # modes
_VERSIONS: Final = range(1, 5)
_UNKNOWN_LEAP: Final = 3
_UNSYNCHRONISED_STRATUM: Final = 16
_PRECISION: Final = -20  # log2 of seconds
_DISPERSION: Final = 66  # a millisecond, in 1/65536 seconds
_SET_SECONDS: Final = 16.0  # since its clock was last set


class TimeServer:
    """Answers SNTP clients on a UDP socket, from whatever loop `run` is awaited in."""

    def __init__(self, listener: socket.socket, switches: Switches, clock: Callable[[], float]) -> None:
        """``clock`` returns epoch seconds, the host's."""
        self._listener = listener
        self._switches = switches
        self._clock = clock

    async def run(self) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Protocol(self.answer), sock=self._listener)
        try:
            await asyncio.Event().wait()
        finally:
            transport.close()

    def answer(self, packet: bytes) -> bytes | None:
        """Return the answer to a packet; None for one that no client sends."""
        if len(packet) < _HEADER.size:
            return None
        version, mode = packet[0] >> 3 & 7, packet[0] & 7
        if mode != _CLIENT or version not in _VERSIONS:
            return None
        is_lost = self._switches.is_on("ntp_unsynchronised")
        now = self._clock() + (SKEW_SECONDS if self._switches.is_on("host_clock_skewed") else 0.0)
        return _HEADER.pack(
            (_UNKNOWN_LEAP if is_lost else 0) << 6 | version << 3 | _SERVER,
            _UNSYNCHRONISED_STRATUM if is_lost else 1,
            int.from_bytes(packet[2:3], signed=True),  # the client's poll interval
            _PRECISION,
            0,
            _DISPERSION,
            b"INIT" if is_lost else b"LOCL",
            _timestamp(now - _SET_SECONDS),
            packet[40:48],  # when the client sent, as it wrote it
            _timestamp(now),
            _timestamp(now),
        )


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # asyncio's own
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._answer(data)
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


def _timestamp(time: float) -> bytes:
    """Return epoch seconds as NTP writes them: seconds since 1900 in this era, and a fraction of 32 bits."""
    whole = math.floor(time)
    return struct.pack("!II", (whole + _UNIX_EPOCH) % 2**32, int((time - whole) * 2**32))
