"""How a problem with the configuration is worded: lower case, no full stop, values in double quotes.

One form for all: what is wrong, what is accepted, and a guess at what was meant.
"""

import difflib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final, get_args

from pydantic_core import ErrorDetails

from checks.settings import CheckSettings, Demanded, Settings

_MAX_SHOWN: Final = 60
_MAX_NUMBER: Final = 10**15
_MAX_LINE: Final = 1000

_KINDS: Final[tuple[tuple[Any, str], ...]] = (
    (Mapping, "a mapping"),
    (list | tuple | set, "a list"),
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "text"),
    (date, "a date"),
    (bytes, "binary data"),
)

# Words for pydantic's kinds of error; the placeholders are its error context and `got`, the value.
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "string_type": "must be text in quotes, got {got}",
    "int_type": "must be a whole number, got {got}",
    "int_parsing": "must be a whole number, got {got}",
    "int_from_float": "must be a whole number, got {got}",
    "float_type": "must be a number, got {got}",
    "bool_type": "must be true or false, got {got}",
    "finite_number": "must be a finite number, got {got}",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "string_pattern_mismatch": "must match {pattern}",  # the value may be a secret in the wrong place
    "greater_than": "must be more than {gt:g}, got {got}",
    "greater_than_equal": "must be at least {ge:g}, got {got}",
    "less_than": "must be less than {lt:g}, got {got}",
    "less_than_equal": "must be at most {le:g}, got {got}",
    "literal_error": "must be {expected}, got {got}",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "duration": "{message}, got {got}",
    "range": "{message}, got {got}",
    "country": "{message}, got {got}",
}


def words_of(details: ErrorDetails, model: type[Settings]) -> str:
    """Return what pydantic found in a settings model, in the user's words."""
    kind = details["type"]
    if kind == "extra_forbidden":
        known = keys_of(_model_at(details["loc"][:-1], model))
        return f"unknown key{hint(details['loc'][-1], known) or f', must be {one_of(known)}'}"
    if kind == "enum":
        expected = str(details["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        given = details["input"]
        return f"unknown value {shown(given)}, must be {one_of(expected)}{hint(given, expected)}"
    if kind == "missing" and len(details["loc"]) == 1:
        field = model.model_fields.get(str(details["loc"][0]))
        whys = [] if field is None else [each.why for each in field.metadata if isinstance(each, Demanded)]
        return ": ".join([_WORDS[kind], *whys])
    template = _WORDS.get(kind)
    if template is None:
        return details["msg"]
    return template.format(message=details["msg"], got=shown(details["input"]), **details.get("ctx", {}))


def keys_of(model: type[Settings]) -> tuple[str, ...]:
    """Return what a user may write in a settings model; a check's type chooses the model and is no field of it."""
    return (*(("type",) if issubclass(model, CheckSettings) else ()), *model.model_fields)


def _model_at(location: tuple[int | str, ...], model: type[Settings]) -> type[Settings]:
    """Return the model that stands at a location below another one."""
    for part in location:
        field = model.model_fields.get(str(part))
        inner = None if field is None else _settings_in(field.annotation)
        model = inner or model
    return model


def _settings_in(annotation: Any) -> type[Settings] | None:
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    return next((found for part in get_args(annotation) if (found := _settings_in(part)) is not None), None)


def location_of(details: ErrorDetails) -> tuple[str | int, ...]:
    """Return where pydantic found it, below the model."""
    return tuple(part for part in details["loc"] if part != "[key]")


def one_of(names: Iterable[str]) -> str:
    """Return what is accepted, to stand after "must be"."""
    names = sorted(names)
    return names[0] if len(names) == 1 else f"one of: {', '.join(names)}"


def known_names(names: Iterable[str]) -> str:
    """Return what is accepted as the end of a sentence; nothing when nothing is."""
    return f", must be {one_of(names)}" if names else ""


def hint(given: Any, known: Iterable[str]) -> str:
    """Return a guess at what was meant as the end of a sentence; nothing without a close one."""
    close = difflib.get_close_matches(str(given), list(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


def shown(value: Any) -> str:
    """Return a value as the user wrote it, short. Never used on a value that may be a secret."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        return "a very large number"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        text = value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"
        return f'"{text}"' if text.isprintable() else ascii(text)
    return kind_of(value)


def one_line(words: str) -> str:
    """Return words, which may quote a file, as one line that no terminal takes for commands, and not too long."""
    short = words if len(words) <= _MAX_LINE else f"{words[:_MAX_LINE]}…"
    return short if short.isprintable() else "".join(map(_printable, short))


def _printable(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


def kind_of(value: Any) -> str:
    """Return what a value is where its contents do not matter."""
    for types, words in _KINDS:
        if isinstance(value, types):
            return words
    return "nothing" if value is None else "something else"


def words_of_os(problem: OSError) -> str:
    """Return what the operating system found."""
    return (problem.strerror or type(problem).__name__).lower()
