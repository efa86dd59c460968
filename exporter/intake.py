"""Takes receipts from callbacks into the database: each is durable before its sender is answered.

Many requests share one commit, which waits for the disk: what arrives meanwhile goes into the next one. A short pause
before each lets more of them gather, and costs a sender nothing that it would notice.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from checks.errors import StorageUnavailableError
from checks.messages import Receipt

from .messages import Messages
from .runner import Defect, contained

_log: Final = logging.getLogger(__name__)

_MOST_WAITING: Final = 10_000  # receipts
_GATHER_SECONDS: Final = 0.003


class OverloadedError(Exception):
    """More receipts arrive than the database can take."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """One request that is answered once its receipts are kept, or cannot be."""

    target: str
    receipts: Sequence[Receipt]
    kept: "asyncio.Future[bool]"


class Intake:
    """One thread that writes, for all requests of one event loop or of several."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._waiting: list[_Waiting] = []
        self._count = 0  # receipts waiting
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._write_on, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is waiting, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    async def keep(self, target: str, receipts: Sequence[Receipt]) -> bool:
        """Return whether the receipts are in the database now, for good. Raises OverloadedError."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._stopping or self._count + len(receipts) > _MOST_WAITING:
                raise OverloadedError
            self._waiting.append(_Waiting(target, receipts, kept))
            self._count += len(receipts)
            self._changed.notify()
        return await kept

    def _write_on(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                is_last = self._stopping
            if not is_last:
                time.sleep(_GATHER_SECONDS)
            with self._changed:
                batch, self._waiting, self._count = self._waiting, [], 0
            self._write(batch)
            if is_last:
                return

    def _write(self, batch: Sequence[_Waiting]) -> None:
        by_target: defaultdict[str, list[_Waiting]] = defaultdict(list)
        for waiting in batch:
            by_target[waiting.target].append(waiting)
        for target, requests in by_target.items():
            self._keep(target, requests)

    def _keep(self, target: str, requests: Sequence[_Waiting]) -> None:
        receipts = [receipt for request in requests for receipt in request.receipts]
        try:
            done: object = contained(lambda: self._messages.take(target, receipts))
        except StorageUnavailableError:
            _answer(requests, kept=False)
            return
        if isinstance(done, Defect) and len(requests) > 1:
            for request in requests:  # what one post holds must not be the end of the others
                self._keep(target, [request])
            return
        _answer(requests, kept=not isinstance(done, Defect))


def _answer(requests: Sequence[_Waiting], *, kept: bool) -> None:
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = defaultdict(list)
    for request in requests:
        by_loop[request.kept.get_loop()].append(request.kept)
    for loop, futures in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, futures, kept)


def _resolve(futures: Sequence["asyncio.Future[bool]"], kept: bool) -> None:  # called by the loop
    for future in futures:
        if not future.done():  # its client may have gone
            future.set_result(kept)
