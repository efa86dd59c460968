"""The geometry of the small charts: numbers to the points of an SVG polyline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 160
HEIGHT: Final = 36
_MARGIN: Final = 3  # for the line's width and the dot at its end
_LIMIT_IN_SIGHT: Final = 3.0  # a limit is drawn when it is at most so many times the largest value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """A line of values from left to right, 0 at the bottom."""

    line: str  # points of a polyline
    area: str  # points of the polygon below it
    end_x: int
    end_y: float
    limit_y: float | None  # of the configured limit; None when there is none in sight


def build_sparkline(values: Sequence[float], limit: float | None = None) -> Sparkline | None:
    """Return the chart of ``values``, oldest first, or None when there are too few for a line."""
    if len(values) < 2:
        return None
    largest = max(0.0, *values)
    shown_limit = limit if limit is not None and 0 < limit <= _LIMIT_IN_SIGHT * largest else None
    top = max(largest, shown_limit or 0.0)
    bottom = min(0.0, *values)
    scale = (HEIGHT - 2 * _MARGIN) / (top - bottom) if top > bottom else 0.0
    step = (WIDTH - 2 * _MARGIN) / (len(values) - 1)

    def height_of(value: float) -> float:
        return round(HEIGHT - _MARGIN - (value - bottom) * scale, 1)

    points = [(round(_MARGIN + index * step), height_of(value)) for index, value in enumerate(values)]
    line = " ".join(f"{x},{y}" for x, y in points)
    (first_x, _), (last_x, last_y) = points[0], points[-1]
    return Sparkline(
        line=line,
        area=f"{first_x},{HEIGHT} {line} {last_x},{HEIGHT}",
        end_x=last_x,
        end_y=last_y,
        limit_y=None if shown_limit is None else height_of(shown_limit),
    )
