"""An SMSC that speaks SMPP 3.4 with transmitters that send nothing: bind, enquire_link, unbind.

Source: Short Message Peer to Peer Protocol Specification v3.4, issue 1.2, sections 3.2, 4.1, 4.2, 4.3, 4.11 and 5.1.
Like many an SMSC it allows one bind of the system_id at a time. It has no word for an account that is suspended:
the bind fails, and nobody is told why.
"""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Mapping
from hmac import compare_digest
from typing import Any, Final

from checks.secret import Secret

from .account import Account
from .credentials import derive_hex
from .emulator import Ground
from .links import Converse, Link

_HEADER: Final = struct.Struct("!IIII")
_LONGEST: Final = 1024  # bytes of a PDU
_BIND_TRANSMITTER, _UNBIND, _ENQUIRE_LINK = 0x02, 0x06, 0x15
_RESPONSE: Final = 0x8000_0000
_NACK: Final = 0x8000_0000

_OK: Final = 0x00
_INVALID_LENGTH, _INVALID_COMMAND, _WRONG_STATE, _ALREADY_BOUND = 0x02, 0x03, 0x04, 0x05
_SYSTEM_ERROR, _BIND_FAILED, _WRONG_PASSWORD, _WRONG_SYSTEM_ID, _THROTTLED = 0x08, 0x0D, 0x0E, 0x0F, 0x58

_OF_ANY_REQUEST: Final[Mapping[str, int]] = {"provider_outage": _SYSTEM_ERROR, "rate_limited": _THROTTLED}
_OF_A_BIND: Final[Mapping[str, int]] = {"credentials_rejected": _WRONG_PASSWORD, "account_suspended": _BIND_FAILED}


def system_id_of(account: Account) -> str:
    """Return the account's name on this wire: 15 letters, all that fit."""
    return account.sid[:15]


def password_of(account: Account) -> str:
    """Return the account's password on this wire: 8 letters, all that fit."""
    return derive_hex("smpp password", account.auth_token)[:8]


def _settings(account: Account) -> Mapping[str, Any]:
    return {
        "bind": "dedicated",
        "tls": False,
        "system_id": Secret(system_id_of(account)),
        "password": Secret(password_of(account)),
    }


class _Smsc:
    def __init__(self, ground: Ground) -> None:
        self._account = ground.account
        self._switches = ground.account.switches
        self._bound: StreamWriter | None = None

    async def converse(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer one client until it leaves, or a fault does that for it."""
        try:
            while await self._answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # it has gone
            return
        finally:
            if self._bound is writer:
                self._bound = None

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> bool:
        """Answer the next PDU and return whether there may be another one."""
        if self._switches.is_on("unreachable"):
            writer.transport.abort()
            return False
        length, command, _, sequence = _HEADER.unpack(await reader.readexactly(_HEADER.size))
        if not _HEADER.size <= length <= _LONGEST:
            writer.write(_pack(_NACK, _INVALID_LENGTH, sequence))
            return False
        body = await reader.readexactly(length - _HEADER.size)
        if self._switches.is_on("unreachable"):
            writer.transport.abort()
            return False
        if self._switches.is_on("timeout"):
            await reader.read()  # until the client gives up
            return False
        if self._switches.is_on("bad_response"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html>")
            return False
        if command not in (_BIND_TRANSMITTER, _UNBIND, _ENQUIRE_LINK):
            writer.write(_pack(_NACK, _INVALID_COMMAND, sequence))
            return True
        status = next((each for fault, each in _OF_ANY_REQUEST.items() if self._switches.is_on(fault)), _OK)
        if status == _OK and command == _BIND_TRANSMITTER:
            status = self._bind(body, writer)
        elif status == _OK and command == _UNBIND:
            status = _OK if self._bound is writer else _WRONG_STATE
        name = b"SANDBOX\0" if command == _BIND_TRANSMITTER and status == _OK else b""
        writer.write(_pack(command | _RESPONSE, status, sequence, name))
        return command != _UNBIND or status != _OK

    def _bind(self, body: bytes, writer: StreamWriter) -> int:
        """Return how a bind ends."""
        for fault, status in _OF_A_BIND.items():
            if self._switches.is_on(fault):
                return status
        fields = body.split(b"\0")
        if len(fields) < 3:
            return _INVALID_LENGTH
        if not compare_digest(fields[0], system_id_of(self._account).encode()):
            return _WRONG_SYSTEM_ID
        if not compare_digest(fields[1], password_of(self._account).encode()):
            return _WRONG_PASSWORD
        if self._bound is not None:
            return _ALREADY_BOUND
        self._bound = writer
        return _OK


def _pack(command: int, status: int, sequence: int, body: bytes = b"") -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), command, status, sequence) + body


def _build(ground: Ground) -> Converse:
    return _Smsc(ground).converse


SMPP: Final = Link(build=_build, settings=_settings)
