"""Days of message log, read once: they warm the detector's baselines and become blocks of Prometheus.

What is read is spooled day by day beside the output, as movements with hashed ids, so that an interrupted
backfill goes on where it was and memory holds no more than one day.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from checks.clients import LogPage, MessageLogClient
from checks.errors import BadResponseError
from checks.messages import Movement, Receipt
from checks.messages.windows import Window, read_windows

from .ledger import keyed_hash, movement_of
from .messages import Messages
from .openmetrics import History, write_history

_DAY: Final = 86_400.0
_STEP: Final = 5000  # movements


class _Spooled(msgspec.Struct, frozen=True, array_like=True):
    """One page of a day."""

    resume: str | None  # the bookmark of the next page
    is_last: bool
    movements: list[Movement]


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What came of a backfill."""

    messages: int
    days: int
    warmed: bool  # False: the target's log was being read before, so its baselines are its own already


def backfill(
    client: MessageLogClient,
    messages: Messages,
    target: str,
    *,
    days: int,
    now: datetime,
    output: Path,
    step_seconds: float,
    labels: Sequence[tuple[str, str]] = (),
    on_progress: Callable[[int, int], None] = lambda _day, _messages: None,
) -> BackfillReport:
    """Read the last ``days`` whole days (UTC) of a target's log, warm its detector and write OpenMetrics to ``output``.

    ``labels`` are added to every series, such as the job and instance that Prometheus gives to scraped ones.
    ``on_progress`` is told how many days are complete, and how many messages have been read in this run.

    Raises ProviderError when the log cannot be read and OSError when a file cannot be written: what was read until
    then is kept, and the same call again goes on from there.
    """
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [(midnight - timedelta(days=ago)).timestamp() for ago in range(days, 0, -1)]
    fingerprint = keyed_hash(messages.key, target).hex()[:8]  # what is spooled is of one target, under one key
    spool = _Spool(output.with_name(f"{output.name}.{target}-{fingerprint}.parts"))
    spool.read(client, messages.key, starts, on_progress)
    history = History(target, starts[0], midnight.timestamp(), step_seconds)
    warm_until = messages.warm_until(target)
    for start in starts:
        movements = spool.movements_of(start)
        history.add(movements)
        if warm_until is not None and start >= warm_until:
            _warm(messages, target, movements, start + _DAY)
    write_history(history, output, labels)
    spool.remove()
    return BackfillReport(messages=history.messages, days=days, warmed=warm_until is not None)


def _warm(messages: Messages, target: str, movements: Sequence[Movement], end: float) -> None:
    """Let the detector learn one day, in steps that are small enough for the database."""
    for begin in range(0, len(movements) or 1, _STEP):
        following = begin + _STEP
        known_until = movements[following].created_at if following < len(movements) else end
        messages.warm(target, movements[begin:following], known_until=known_until)


class _Spool:
    """The files of the days, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._decoder = msgspec.json.Decoder(_Spooled)

    def read(
        self,
        client: MessageLogClient,
        key: bytes,
        starts: Sequence[float],
        on_progress: Callable[[int, int], None],
    ) -> None:
        """Read what is missing of the days, several side by side, into their files."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        windows = [window for start in starts if (window := self._left(start)) is not None]
        complete, read = len(starts) - len(windows), 0
        on_progress(complete, read)
        for rest, page in self._pages(client, windows):
            movements = [movement_of(key, receipt) for receipt in _dated(page.receipts)]
            self._append(rest.since, _Spooled(rest.resume, rest.resume is None, movements))
            complete += rest.resume is None
            read += len(movements)
            on_progress(complete, read)

    def _pages(self, client: MessageLogClient, windows: Sequence[Window]) -> Iterator[tuple[Window, LogPage]]:
        """Read on. Bookmarks age: days that were begun are begun anew when the log does not know them any more."""
        try:
            yield from read_windows(client, windows)
        except BadResponseError:
            for window in windows:
                if window.resume is not None:
                    self._path(window.since).unlink(missing_ok=True)
            raise

    def movements_of(self, start: float) -> Sequence[Movement]:
        """Return a day's messages, each once, by creation."""
        furthest: dict[bytes, Movement] = {}
        for part in self._parts(start):
            for movement in part.movements:
                known = furthest.get(movement.message)
                if known is None or movement.status.rank > known.status.rank:
                    furthest[movement.message] = movement
        return sorted(furthest.values(), key=lambda movement: (movement.created_at, movement.message))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder)

    def _left(self, start: float) -> Window | None:
        """Return what is left to read of a day, None when nothing is. A line that a kill cut off is removed."""
        path = self._path(start)
        if path.exists():
            written = path.read_bytes()
            if not written.endswith(b"\n"):
                path.write_bytes(written[: written.rfind(b"\n") + 1])
        resume = None
        for part in self._parts(start):
            if part.is_last:
                return None
            resume = part.resume
        return Window(start, start + _DAY, resume)

    def _parts(self, start: float) -> Iterator[_Spooled]:
        path = self._path(start)
        if not path.exists():
            return
        with path.open("rb") as lines:
            for line in lines:
                yield self._decoder.decode(line)

    def _append(self, start: float, part: _Spooled) -> None:
        path = self._path(start)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(part) + b"\n")

    def _path(self, start: float) -> Path:
        return self._folder / f"{datetime.fromtimestamp(start, UTC):%Y-%m-%d}.jsonl"


def _dated(receipts: Iterable[Receipt]) -> Iterator[Receipt]:
    return (receipt for receipt in receipts if receipt.created_at is not None)
