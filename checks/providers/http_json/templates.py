"""Texts of requests with places to fill: ``{name}``, and ``{from:%d.%m.%Y}`` for a time. Nothing else is replaced.

What is filled in is not looked at again, so that no value can name another.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ...errors import BadResponseError
from ...secret import MASK
from .times import UNIX, check_form, format_time

_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)(?::([^{}]+))?\}")
_BRACE: Final = re.compile(r"[{}]")
NUMBER_FORM: Final = "number"

Value = str | float
"""A text, or a time in Unix seconds."""


class Template:
    """One text. Equal to another with the same text."""

    __slots__ = ("literals", "names", "places", "text")

    def __init__(self, text: str) -> None:
        """Raise ValueError for a text with a brace that begins or ends nothing, and for a form that there is not."""
        self.text: Final = text
        found = list(_PLACE.finditer(text))
        self.places: Final[Sequence[tuple[str, str | None]]] = tuple((match[1], match[2]) for match in found)
        self.names: Final = frozenset(name for name, _ in self.places)
        edges = [0, *(edge for match in found for edge in match.span()), len(text)]
        self.literals: Final = tuple(text[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True))
        if any(_BRACE.search(literal) for literal in self.literals):
            msg = "has a brace that is part of no {name}"
            raise ValueError(msg)
        for name, form in self.places:
            self._check_form(name, form)

    def _check_form(self, name: str, form: str | None) -> None:
        if form is None:
            return
        if form == NUMBER_FORM:
            if len(self.places) > 1 or any(self.literals):
                msg = f"{{{name}:{form}}} must be the whole text"
                raise ValueError(msg)
            return
        try:
            check_form(form)
        except ValueError as problem:
            msg = f"{{{name}:{form}}}: {problem}"
            raise ValueError(msg) from None

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
        if match is not None and match[2] == NUMBER_FORM:
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


def templates_in(value: Any) -> Iterator[Template]:
    """Yield all templates in a template, a body or a mapping of them."""
    if isinstance(value, Template):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    for each in inner:
        yield from templates_in(each)


def names_in(value: Any) -> frozenset[str]:
    """Return the names of all places in a template, a body or a mapping of them."""
    return frozenset().union(*(each.names for each in templates_in(value)))


_SCHEME: Final = re.compile(r"[A-Za-z]{1,12} ")  # before a place, such as Bearer: RFC 9110 section 11.1
_OF_NO_WORD: Final = re.compile(r"[^A-Za-z0-9]*", re.ASCII)


def hidden_in(value: Any) -> Iterator[str]:
    """Yield what stands in templates itself and may be a secret: all words but the scheme that begins a header."""
    for each in templates_in(value):
        for position, literal in enumerate(each.literals):
            is_scheme = position == 0 and len(each.literals) > 1 and _SCHEME.fullmatch(literal)
            if not is_scheme and not _OF_NO_WORD.fullmatch(literal):
                yield literal


def _masked(value: Template) -> str:
    hidden = set(hidden_in(value))
    literals = [MASK if literal in hidden else literal for literal in value.literals]
    places = [match[0] for match in _PLACE.finditer(value.text)]
    return "".join(part for pair in zip(literals, [*places, ""], strict=True) for part in pair)


CredentialTemplateSetting = Annotated[
    Template,
    BeforeValidator(_template),
    PlainSerializer(_masked, return_type=str),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["{api_key}"]}),
]
"""As ``TemplateSetting``, for what shows who asks: where settings are shown, its places alone are."""
