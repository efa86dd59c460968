"""Writes the dashboards: ``python -m dashboards.generate``."""

from pathlib import Path

from .board import Board
from .delivery import board as delivery
from .exporter_itself import board as exporter
from .overview import board as overview
from .provider import board as provider
from .totp import board as totp

FOLDER = Path(__file__).parent


def boards() -> list[Board]:
    """Return every dashboard."""
    return [overview(), provider(), delivery(), totp(), exporter()]


def generate() -> dict[str, str]:
    """Return the text of every dashboard by the name of its file."""
    return {f"{board.uid}.json": board.text() for board in boards()}


if __name__ == "__main__":
    for name, text in generate().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
