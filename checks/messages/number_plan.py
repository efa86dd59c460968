"""Which mobile operator a prefix was given to: the plan of ``phonenumbers``, in a fiftieth of its memory.

The library holds 30,000 dictionaries, 12 MB, for one look-up now and then. Here they are two arrays and 1,200 names.
"""

import ast
import importlib.util
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

_MODULE: Final = "phonenumbers.carrierdata"
_LANGUAGE: Final = "en"
_BEGIN, _END = "data = {\n", "}\n"
_ENTRY: Final = re.compile(r" '([0-9]+)':\{(.*)\},?\n?")
_NAME: Final = re.compile(r"""'en': (?:u\()?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_LONGEST: Final = 9  # digits of a prefix; longer ones would not fit into 32 bits
_OF_OPERATORS: Final = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE, PhoneNumberType.PAGER})


def operator_name(number: PhoneNumber) -> str:
    """Return what ``phonenumbers.carrier.name_for_number`` does in English; empty where the plan names no operator."""
    if phonenumbers.number_type(number) not in _OF_OPERATORS:
        return ""
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    prefixes, which, names = _plan()
    for length in range(min(_LONGEST, len(digits)), 0, -1):
        prefix = int(digits[:length])
        at = bisect_left(prefixes, prefix)
        if at < len(prefixes) and prefixes[at] == prefix:
            return names[which[at]]
    return ""


@cache
def _plan() -> tuple[Sequence[int], Sequence[int], tuple[str, ...]]:
    """Return all prefixes in order, and the place of each one's name in a list of names."""
    ordered, written = _packed()
    names = tuple(written.decode().split("\n"))
    return array("I", (each >> 16 for each in ordered)), array("H", (each & 0xFFFF for each in ordered)), names


def _packed() -> tuple[Sequence[int], bytes]:
    """Return each prefix with the place of its name, as one number, in order; and the names, one a line.

    As bytes: a text of the library's that we kept would keep the whole block of memory that it stands in.
    """
    places: dict[str, int] = {}
    packed = array("Q")
    for path in _parts():
        for prefix, name in _entries(path):
            packed.append(int(prefix) << 16 | places.setdefault(name, len(places)))
    return array("Q", sorted(packed)), "\n".join(places).encode()


def _parts() -> Sequence[Path]:
    """Return the files of the library's table. The package that puts them together is not imported."""
    package = importlib.util.find_spec(_MODULE)
    assert package is not None and package.submodule_search_locations, "phonenumbers is complete"  # noqa: S101, PT018
    return sorted(Path(package.submodule_search_locations[0]).glob("data*.py"))


def _entries(path: Path) -> Iterator[tuple[str, str]]:
    """Yield prefix and name from a file of literals, one prefix a line, line by line.

    To import it would take five times the memory for a moment, which Python seldom gives back afterwards. Where the
    file is written in another way, that is what is done.
    """
    names: dict[str, str] = {}
    entries = []
    line = ""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line == _BEGIN:
                break
        for line in lines:
            entry = _ENTRY.fullmatch(line)
            if entry is None:
                break
            name = _NAME.search(entry[2])
            if name is not None:
                entries.append((entry[1], names.setdefault(name[1], name[1])))
        is_read = line == _END and not any(each.strip() for each in lines)
    if is_read:
        said = {name: ast.literal_eval(name) for name in names}
        yield from ((prefix, said[name]) for prefix, name in entries)
    else:
        yield from _imported(path)


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    spec = importlib.util.spec_from_file_location(f"{_MODULE}.{path.stem}", path)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # it is a file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for prefix, by_language in module.data.items():
        if _LANGUAGE in by_language:
            yield prefix, by_language[_LANGUAGE]
