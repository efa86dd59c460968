"""Metrics as bytes: which format and encoding a scraper gets, and the body in it."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from .rendering import Renderer

_GZIP_LEVEL: Final = 1  # nearly as small as level 9 for this text, at a fifth of its time


@dataclass(frozen=True, slots=True)
class Format:
    """One exposition format."""

    media_type: str
    version: str
    generate: Callable[[Collector], bytes]  # by the library
    render: Callable[[Renderer, Collector], bytes]  # the same, fast

    @property
    def content_type(self) -> str:
        """What the Content-Type header says; scrapers refuse a body without it."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


def _generate_openmetrics(registry: Collector) -> bytes:
    return cast("bytes", generate_openmetrics(registry))


TEXT: Final = Format("text/plain", "0.0.4", generate_text, Renderer.text)
OPENMETRICS: Final = Format("application/openmetrics-text", "1.0.0", _generate_openmetrics, Renderer.openmetrics)
FORMATS: Final = (TEXT, OPENMETRICS)


@dataclass(frozen=True, slots=True)
class _Range:
    """One entry of an Accept or Accept-Encoding header."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    quality: float


def _ranges(header: str) -> Iterator[_Range]:
    """Yield the entries of a header; one that cannot be understood counts as not given."""
    for entry in header.lower().split(","):
        name, *rest = (part.strip() for part in entry.split(";"))
        pairs = [part.partition("=") for part in rest if part]
        parameters = [(key.strip(), value.strip().strip('"')) for key, _, value in pairs]
        quality = _quality(next((value for key, value in parameters if key == "q"), "1"))
        if name and quality is not None:
            yield _Range(name, tuple(pair for pair in parameters if pair[0] != "q"), quality)


def _quality(text: str) -> float | None:
    try:
        quality = float(text)
    except ValueError:
        return None
    return quality if 0 <= quality <= 1 else None


def choose_format(accept: str) -> Format:
    """Return the format that the Accept header prefers, by RFC 9110; the text format when none fits.

    Between equals the more specific entry wins, then the earlier one; ``*/*`` alone means the text format.
    """
    ranges = list(_ranges(accept))
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = TEXT
    for format_ in FORMATS:
        fitting = [
            (specificity, -position, range_.quality)
            for position, range_ in enumerate(ranges)
            if (specificity := _specificity(range_, format_)) is not None
        ]
        if not fitting:
            continue
        specificity, position, quality = max(fitting)
        if quality > 0 and (quality, specificity, position) > best:
            best, chosen = (quality, specificity, position), format_
    return chosen


def _specificity(range_: _Range, format_: Format) -> int | None:
    """Return how closely an entry describes a format, or None when it does not."""
    kind = format_.media_type.partition("/")[0]
    steps = {"*/*": 1, f"{kind}/*": 2, format_.media_type: 3}
    if range_.name not in steps:
        return None
    # our names need no escaping, so that any scheme of escaping is kept
    ours = {"version": format_.version, "charset": "utf-8"}
    if any(key != "escaping" and ours.get(key) != value for key, value in range_.parameters):
        return None
    return steps[range_.name] + len(range_.parameters)


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    qualities = {range_.name: range_.quality for range_ in _ranges(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def render(
    registry: CollectorRegistry, format_: Format, names: Sequence[str], renderer: Renderer | None = None
) -> bytes:
    """Return the metrics, only those called ``names`` unless there are none; slow enough to need a thread.

    A renderer that is kept from one scrape to the next makes it a tenth of the work.
    """
    if names:  # for people: few series
        return format_.generate(registry.restricted_registry(names))
    return format_.render(renderer or Renderer(), registry)


def compress(body: bytes) -> bytes:
    """Return a body as gzip; slow enough to need a thread."""
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)


class Scrapes:
    """Answers scrapes. One that comes while the same is being rendered for another gets that one's body.

    So many scrapers at once cost little more than one, and what each gets is as old as one rendering takes.
    All calls must come from one event loop.
    """

    def __init__(self, registry: CollectorRegistry, run: Callable[[Callable[[], bytes]], Awaitable[bytes]]) -> None:
        """``run`` does work in a thread; what it raises is raised in every scrape that waits for it."""
        self._registry = registry
        self._run = run
        self._renderer: Final = Renderer()
        self._under_way: Final[dict[object, asyncio.Task[bytes]]] = {}

    async def body(self, format_: Format, names: Sequence[str], *, gzipped: bool) -> bytes:
        """Return the metrics, only those called ``names`` unless there are none."""
        plain = (format_.media_type, *names)
        work = self._gzipped if gzipped else self._plain
        return await self._shared((*plain, gzipped), lambda: work(format_, names))

    async def _gzipped(self, format_: Format, names: Sequence[str]) -> bytes:
        body = await self.body(format_, names, gzipped=False)
        return await self._run(lambda: compress(body))

    async def _plain(self, format_: Format, names: Sequence[str]) -> bytes:
        return await self._run(lambda: render(self._registry, format_, names, self._renderer))

    async def _shared(self, key: object, work: Callable[[], Coroutine[None, None, bytes]]) -> bytes:
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)  # a scraper that goes away leaves the others theirs

    def _ended(self, key: object, task: asyncio.Task[bytes]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # whoever still waits is told; nobody else need know
