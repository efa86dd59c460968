"""Metrics as bytes: which format and encoding a scraper gets, and the body in it."""

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

_GZIP_LEVEL: Final = 1  # nearly as small as level 9 for this text, at a fifth of its time


@dataclass(frozen=True, slots=True)
class Format:
    """One exposition format."""

    media_type: str
    version: str
    generate: Callable[[Collector], bytes]

    @property
    def content_type(self) -> str:
        """What the Content-Type header says; scrapers refuse a body without it."""
        return f"{self.media_type}; version={self.version}; charset=utf-8"


def _generate_openmetrics(registry: Collector) -> bytes:
    return cast("bytes", generate_openmetrics(registry))


TEXT: Final = Format("text/plain", "0.0.4", generate_text)
OPENMETRICS: Final = Format("application/openmetrics-text", "1.0.0", _generate_openmetrics)
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


def render(registry: CollectorRegistry, format_: Format, names: Sequence[str], *, compress: bool) -> bytes:
    """Return the metrics, only those called ``names`` unless there are none; slow enough to need a thread."""
    body = format_.generate(registry.restricted_registry(names) if names else registry)
    return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compress else body
