"""Documents made by a JSON Schema: what a model of settings describes, most of it acceptable."""

import json
from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

SECRET_VARIABLE: Final = "TWOFA_FUZZ_SECRET"
"""The environment variable that secrets are read from."""
SECRET_FILE: Final = "secret"
"""The file that they are read from, beside the document."""


def _mostly(good: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda chance: good if chance else rare)


_URLS: Final = _mostly(
    st.sampled_from(["https://codes.example.com/callbacks/twilio", "http://127.0.0.1:9", "https://[::1]:8443/x"]),
    st.sampled_from(["https://x?y=z", "http://x", "a:b", "https://a\n.example", "https://[", "https://u:p@x:99999"]),
)
_NAMES: Final = st.sampled_from(["twilio", "a", "b-2"])  # few: names refer to each other
_WORDS: Final = _mostly(
    st.sampled_from(["time.example.com", "10.0.0.1:123", "+14155550100", "Europe/Berlin", "a"]),
    st.sampled_from(["", "\u0661", " ", "a:b:c", "9" * 400]) | st.text(max_size=8),
)
_OF_NAME: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "env": st.just(SECRET_VARIABLE),
    "file": st.just(SECRET_FILE),
    "target": _NAMES,
    "compare_with": _NAMES,
}
"""What goes by the name of a property, whatever its schema says."""


def documents(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Return documents for a schema that has all its definitions in ``$defs``."""
    return _of(schema, schema.get("$defs", {}))


@st.composite
def grafted(draw: st.DrawFn, document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a copy of a good document in which some settings are others of the schema's, or an entry is new."""
    copy: dict[str, Any] = json.loads(json.dumps(document))
    sections = {
        name: each["additionalProperties"]["oneOf"]
        for name, each in schema["properties"].items()
        if "type" in each and "propertyNames" in each
    }
    for _ in range(draw(st.integers(1, 3))):
        section = draw(st.sampled_from(sorted(sections)))
        entries = copy.setdefault(section, {})
        branch = draw(st.sampled_from(sections[section]))
        vendor = branch["properties"]["type"]["const"]
        alike = sorted(name for name, entry in entries.items() if entry["type"] == vendor)
        if not alike:
            entries[f"{vendor}-new".replace("_", "-")] = draw(_of(branch, schema["$defs"]))
            continue
        setting = draw(st.sampled_from(sorted(branch["properties"].keys() - {"type", "target"})))
        entries[draw(st.sampled_from(alike))][setting] = draw(_of(branch["properties"][setting], schema["$defs"]))
    return copy


def _of(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _of(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return st.one_of([_of(each, parts) for each in schema[several]])
    match schema.get("type"):
        case "object":
            return _mapping(schema, parts)
        case "array":
            least, most = schema.get("minItems", 0), schema.get("maxItems", 3)
            return st.lists(_of(schema.get("items", {}), parts), min_size=least, max_size=min(most, least + 3))
        case "string":
            return _text(schema)
        case "integer" | "number" as kind:
            return _number(schema, is_whole=kind == "integer")
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case _:
            return st.one_of(st.none(), st.booleans(), st.integers(), _WORDS)


def _mapping(schema: Mapping[str, Any], parts: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    if not properties:
        values = schema.get("additionalProperties", {})
        described = _of(values if isinstance(values, Mapping) else {}, parts)
        keys = _NAMES if "propertyNames" in schema else _NAMES | st.integers(20000, 40000).map(str)
        return st.dictionaries(keys, described, min_size=schema.get("minProperties", 0), max_size=3)
    required = set(schema.get("required", ()))
    values_of = {name: _OF_NAME[name] if name in _OF_NAME else _of(each, parts) for name, each in properties.items()}
    return st.fixed_dictionaries(
        {name: each for name, each in values_of.items() if name in required},
        optional={name: each for name, each in values_of.items() if name not in required},
    )


def _text(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        of_pattern = st.from_regex(schema["pattern"])  # also with a line end after it, which "$" does not mind
        return _mostly(st.sampled_from(schema["examples"]), of_pattern) if "examples" in schema else of_pattern
    return _URLS if schema.get("format") == "uri" else _WORDS


def _number(schema: Mapping[str, Any], *, is_whole: bool) -> st.SearchStrategy[float]:
    least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if is_whole:
        return st.integers(least, most)
    return st.floats(least, most, allow_nan=False) | st.sampled_from([0, 1, 0.5])
