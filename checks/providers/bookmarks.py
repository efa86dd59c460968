"""Bookmarks of pages of a message log: they are kept on disk and are not trusted when they come back."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from ..errors import BadResponseError

_MOST_LETTERS: Final = 2048

Patterns = Mapping[str, re.Pattern[str]]
"""All that a bookmark may hold, by name. Nothing personal or secret may match."""


def write_bookmark(values: Mapping[str, str], patterns: Patterns, vendor: str) -> str:
    """Return a bookmark. Raises BadResponseError for what the patterns do not allow: it came from the vendor."""
    return urlencode(parse_bookmark(urlencode(values), patterns, vendor))


def parse_bookmark(bookmark: str, patterns: Patterns, vendor: str) -> Mapping[str, str]:
    """Return what a bookmark holds. Raises BadResponseError for one that we cannot have written."""
    try:
        given = parse_qsl(bookmark, keep_blank_values=True, strict_parsing=True, max_num_fields=len(patterns))
    except ValueError:
        given = []
    names = [name for name, _ in given]
    is_sound = all(name in patterns and patterns[name].fullmatch(value) for name, value in given)
    if not given or not is_sound or len(set(names)) < len(names) or len(bookmark) > _MOST_LETTERS:
        raise BadResponseError(f"{vendor}'s message log has no such page")
    return dict(given)
