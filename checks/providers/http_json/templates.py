"""Texts of requests with places to fill: ``{name}``, and ``{from:%d.%m.%Y}`` for a time. Nothing else is replaced.

What is filled in is not looked at again, so that no value can name another.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ...errors import BadResponseError
from .times import UNIX, format_time

_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]+))?\}")
_BRACE: Final = re.compile(r"[{}]")
_NUMBER_FORM: Final = "number"

Value = str | float
"""A text, or a time in Unix seconds."""


class Template:
    """One text. Equal to another with the same text."""

    __slots__ = ("names", "text")

    def __init__(self, text: str) -> None:
        """Raise ValueError for a text with a brace that begins or ends nothing."""
        self.text: Final = text
        self.names: Final = frozenset(match[1] for match in _PLACE.finditer(text))
        if _BRACE.search(_PLACE.sub("", text)):
            msg = "has a brace that is part of no {name}"
            raise ValueError(msg)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Template, self.text))

    def fill(self, values: Mapping[str, Value], zone: str, encode: Callable[[str], str] = str) -> str:
        """Return the text with its places filled, each value encoded on its own."""
        return _PLACE.sub(lambda match: encode(_shown(values[match[1]], match[2], zone)), self.text)

    def fill_leaf(self, values: Mapping[str, Value], zone: str) -> str | int:
        """Return as ``fill``, and a number where the whole text is one place with the form "number"."""
        match = _PLACE.fullmatch(self.text)
        if match is not None and match[2] == _NUMBER_FORM:
            return int(str(values[match[1]]))
        return self.fill(values, zone)


def _shown(value: Value, form: str | None, zone: str) -> str:
    return value if isinstance(value, str) else format_time(value, form or UNIX, zone)


def encode_for_path(value: str) -> str:
    """Return a value as one segment of a path. Raises BadResponseError for one that would lead elsewhere."""
    if value.strip(".") == "":
        raise BadResponseError("an id of the provider cannot stand in a path")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise BadResponseError("an id of the provider cannot stand in a path") from None


def _template(value: Any) -> Any:
    if isinstance(value, Template):
        return value
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise PydanticCustomError("template", "must be text in quotes")
    try:
        return Template(value)
    except ValueError as problem:
        raise PydanticCustomError("template", "{problem}", {"problem": str(problem)}) from None


TemplateSetting = Annotated[
    Template,
    BeforeValidator(_template),
    PlainSerializer(lambda value: value.text, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["{from:%Y-%m-%d}"]}),
]
"""A text with places: text in the file, a ``Template`` in the code."""


def _body(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _body(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_body(each) for each in value)
    return _template(value) if isinstance(value, str | Template) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.text if isinstance(value, Template) else value


BodySetting = Annotated[
    Mapping[str, Any],
    BeforeValidator(_body),
    PlainSerializer(_plain),
    WithJsonSchema({"type": "object"}),
]
"""A body of JSON whose texts have places, however deep they stand."""


def fill_body(value: Any, values: Mapping[str, Value], zone: str) -> Any:
    """Return a body with its places filled."""
    if isinstance(value, Mapping):
        return {key: fill_body(each, values, zone) for key, each in value.items()}
    if isinstance(value, tuple):
        return [fill_body(each, values, zone) for each in value]
    return value.fill_leaf(values, zone) if isinstance(value, Template) else value


def names_in(value: Any) -> frozenset[str]:
    """Return the names of all places in a template, a body or a mapping of them."""
    if isinstance(value, Template):
        return value.names
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return frozenset().union(*(names_in(each) for each in inner))
