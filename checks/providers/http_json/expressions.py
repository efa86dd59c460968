"""Expressions in JMESPath (jmespath.org) with a few functions more: compiled when the configuration is read."""

import difflib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from jmespath import Options
from jmespath.exceptions import JMESPathError, LexerError, ParseError
from jmespath.functions import Functions, signature
from jmespath.parser import Parser
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ...errors import BadResponseError
from .times import parse_time

_MOST_LETTERS: Final = 2000  # of an expression
_LONGEST_SEARCHED: Final = 1000  # letters that a regular expression sees: it may be slow on more
_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?", re.ASCII)

_WRONG: Final = (JMESPathError, RecursionError, TypeError, ValueError, LookupError, ArithmeticError, re.error)
"""What evaluating raises for an answer that does not fit."""


class _OurFunctions(Functions):
    """What JMESPath has, and what answers of vendors need besides."""

    @signature({"types": ["object", "null"]})
    def _func_items(self, value: Mapping[str, Any] | None) -> list[list[Any]]:
        """Return the pairs of key and value: for rows that are kept by their id."""
        return [[key, each] for key, each in (value or {}).items()]

    @signature({"types": ["string", "null"]}, {"types": ["string"]}, {"types": ["number"]})
    def _func_regex(self, value: str | None, pattern: str, group: float) -> str | None:
        """Return a group of the first match, 0 for all of it; null for none."""
        match = re.search(pattern, (value or "")[:_LONGEST_SEARCHED])
        return None if match is None else match.group(int(group))

    @signature({"types": ["string", "null"]})
    def _func_lower(self, value: str | None) -> str | None:
        """Return a text in small letters."""
        return None if value is None else value.lower()

    @signature({"types": ["number", "string", "null"]}, {"types": ["number"]})
    def _func_scale(self, value: float | str | None, factor: float) -> float | None:
        """Return a number, also one that came as text, times a factor."""
        text = str(value)
        return float(text) * factor if _NUMBER.fullmatch(text) else None

    @signature({"types": []}, {"types": []})
    def _func_default(self, value: Any, instead: Any) -> Any:
        """Return the value, or what stands in for null and for an empty text."""
        return instead if value is None or value == "" else value

    @signature({"types": ["string", "number", "null"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_to_epoch(self, value: str | float | None, form: str, zone: str) -> float | None:
        """Return a time as Unix time: for one that is written otherwise than the rest."""
        return None if value is None else parse_time(value, form, zone)

    @signature({"types": ["string", "null"]})
    def _func_from_json(self, value: str | None) -> Any:
        """Return what a text holds that is JSON itself."""
        return None if value is None else json.loads(value)


_OPTIONS: Final = Options(custom_functions=_OurFunctions())
_TABLE: Final[Mapping[str, Any]] = _OurFunctions.FUNCTION_TABLE

FUNCTIONS: Final = tuple(sorted(_TABLE))
"""All functions that an expression may call."""


class Function(NamedTuple):
    """A function that is not of JMESPath."""

    name: str
    arguments: Sequence[tuple[str, Sequence[str]]]  # each with the types that it may have; none for any
    gives: str  # in words


def _describe(name: str, row: Mapping[str, Any]) -> Function:
    _self, *names = inspect.signature(row["function"]).parameters
    types = [argument["types"] for argument in row["signature"]]
    return Function(name, list(zip(names, types, strict=True)), row["function"].__doc__.removeprefix("Return "))


OWN_FUNCTIONS: Final = tuple(
    _describe(name, row) for name, row in sorted(_TABLE.items()) if name not in Functions.FUNCTION_TABLE
)
"""Those that are not of JMESPath."""


class ExpressionError(ValueError):
    """A text is not an expression; the words say where, and what is accepted."""


class Expression:
    """One expression. Equal to another with the same text."""

    __slots__ = ("_parsed", "text")

    def __init__(self, text: str) -> None:
        """Raise ExpressionError for a text that is none, and for one that calls a function that is not there."""
        self.text: Final = text
        if len(text) > _MOST_LETTERS:
            msg = f"an expression has at most {_MOST_LETTERS} letters"
            raise ExpressionError(msg)
        try:
            self._parsed = Parser().parse(text)
        except LexerError as error:
            raise ExpressionError(_unreadable(text, error.lexer_position)) from None
        except ParseError as error:
            raise ExpressionError(_unreadable(text, error.lex_position)) from None
        except (JMESPathError, RecursionError):
            raise ExpressionError(_unreadable(text, 0)) from None
        for call in _calls(self._parsed.parsed):
            _check_call(text, call)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Expression, self.text))

    def find(self, value: Any) -> Any:
        """Return what the expression finds in a value of JSON, None for nothing. Raises BadResponseError."""
        try:
            return self._parsed.search(value, _OPTIONS)
        except _WRONG:
            raise BadResponseError(f'the expression "{self.text}" does not fit the answer') from None

    def is_true(self, value: Any) -> bool:
        """Return whether it finds something that JMESPath takes for true: 0 is, and nothing and what is empty is not.

        Raises BadResponseError.
        """
        found = self.find(value)
        return not (found is None or found is False or found in ("", [], {}))


def _unreadable(text: str, position: int) -> str:
    shown = f'"{text}"' if text.isprintable() else ascii(text)
    if position >= len(text):
        where = "something is missing at its end"
    else:
        where = f"it goes wrong at letter {position + 1}, before {text[position : position + 20]!r}"
    return (
        f"{shown} is not an expression in JMESPath: {where}; accepted is, for one, data.balance, messages[0].status,"
        f" 'a text', or a call of {', '.join(FUNCTIONS)}"
    )


def _calls(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if node["type"] == "function_expression":
        yield node
    for child in node.get("children", ()):
        if isinstance(child, Mapping):  # those of a slice are numbers
            yield from _calls(child)


def _check_call(text: str, call: Mapping[str, Any]) -> None:
    """Raise ExpressionError for a call that no answer could make a right one."""
    name, given = call["value"], call["children"]
    if name not in _TABLE:
        close = difflib.get_close_matches(name, FUNCTIONS, n=1)
        guess = f'; did you mean "{close[0]}"?' if close else ""
        msg = f'"{text}" calls {name}(), which there is not; accepted are {", ".join(FUNCTIONS)}{guess}'
        raise ExpressionError(msg)
    wanted = _TABLE[name]["signature"]
    is_open = bool(wanted) and wanted[-1].get("variadic", False)
    if len(given) != len(wanted) and not (is_open and len(given) > len(wanted)):
        least = "at least " if is_open else ""
        msg = f'"{text}" gives {name}() {len(given)} arguments; it takes {least}{len(wanted)}'
        raise ExpressionError(msg)
    if name == "regex" and given[1]["type"] == "literal":
        try:
            re.compile(given[1]["value"])
        except (re.error, TypeError) as problem:
            msg = f'"{text}" has what is not a regular expression: {problem}'
            raise ExpressionError(msg) from None


def _expression(value: Any) -> Any:
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("expression", "must be an expression in JMESPath, as text in quotes")
    try:
        return Expression(value)
    except ExpressionError as problem:
        raise PydanticCustomError("expression", "{problem}", {"problem": str(problem)}) from None


ExpressionSetting = Annotated[
    Expression,
    BeforeValidator(_expression),
    PlainSerializer(lambda value: value.text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["data.balance"]}),
]
"""An expression: text in the file, an ``Expression`` in the code."""
