"""What speaks on a TCP port of its own, beside the HTTP that all else is."""

import asyncio
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .account import Account
from .emulator import Ground

Converse = Callable[[StreamReader, StreamWriter], Awaitable[None]]
"""Holds the conversation over one connection, to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How one vendor converses and is configured."""

    build: Callable[[Ground], Converse]
    settings: Callable[[Account], Mapping[str, Any]]  # without type, host and port; secrets are Secrets


class LinkServer:
    """Accepts connections from whatever loop `run` is awaited in."""

    def __init__(self, listener: socket.socket, converse: Converse) -> None:
        self._listener = listener
        self._converse = converse

    async def run(self) -> None:
        """Serve until cancelled; conversations end with the loop."""
        server = await asyncio.start_server(self._serve, sock=self._listener)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        finally:
            writer.close()
