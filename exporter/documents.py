"""YAML files: read with bounds and without surprises, written as a user would write them.

The only module that speaks YAML.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

_MAX_BYTES: Final = 1 << 20
_LARGE_BYTES: Final = 1 << 15  # below that, it is not worth a second reader
_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})


class DocumentError(Exception):
    """A file is not a document. Its words may quote the file: they are not for one that holds secrets."""

    def __init__(self, words: str, line: int | None = None) -> None:
        self.line = line  # the first is 1; None where it is not known
        super().__init__(words)


def read(path: Path) -> Any:
    """Return what a YAML file holds; None for an empty one. Raises OSError and DocumentError."""
    return _read(path, _Loader)


def read_as_text(path: Path) -> Any:
    """Return what a YAML file holds, every value as it is written: no numbers, dates or merged keys; None for null.

    Raises OSError and DocumentError.
    """
    return _read(path, _TextLoader)


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as YAML."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True)


class _UniqueKeys(yaml.constructor.BaseConstructor):
    """A repeated key is an error, not the silent loss of the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE_TAG:  # what is merged in may be overridden: that is its use
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key "{key}" is given twice', key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Loader(_UniqueKeys, yaml.SafeLoader):
    pass


class _FastLoader(_UniqueKeys, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # if it is there
    """As ``_Loader``, by libyaml: ten thousand checks in a third of a second. What is wrong it says in fewer words."""


class _TextLoader(_UniqueKeys, yaml.BaseLoader):
    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        if node.style is None and node.value in _NULL:  # in quotes it is text
            return None
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        return {"" if key is None else key: value for key, value in super().construct_mapping(node, deep).items()}


def _read(path: Path, loader: type[_Loader | _TextLoader]) -> Any:
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES + 1)
    if len(raw) > _MAX_BYTES:
        raise DocumentError("is larger than 1 MiB")
    if loader is _Loader and len(raw) > _LARGE_BYTES:
        with suppress(yaml.YAMLError, ValueError, RecursionError):  # read once more below, for the words
            return yaml.load(raw.decode("utf-8-sig"), Loader=_FastLoader)  # noqa: S506  # it is safe
    try:
        return yaml.load(raw.decode("utf-8-sig"), Loader=loader)  # noqa: S506  # both are safe
    except UnicodeDecodeError:
        raise DocumentError("is not UTF-8 text") from None
    except yaml.MarkedYAMLError as problem:
        line = None if problem.problem_mark is None else problem.problem_mark.line + 1
        raise DocumentError(_words(problem), line) from None
    except yaml.YAMLError:
        raise DocumentError("is not YAML") from None
    except ValueError:  # raised by what YAML takes for a date or a number
        raise DocumentError("holds a date or a number that does not exist; put it in quotes") from None
    except RecursionError:
        raise DocumentError("is nested too deeply") from None


def _words(problem: yaml.MarkedYAMLError) -> str:
    if isinstance(problem, yaml.constructor.ConstructorError) and problem.problem:
        is_tag = "constructor for the tag" in problem.problem
        return "tags such as !!python are not accepted" if is_tag else problem.problem.partition("\n")[0]
    words = f"is not YAML: {problem.problem}"
    if problem.problem and "\\t" in problem.problem:
        words += "; indent with spaces"
    return words
