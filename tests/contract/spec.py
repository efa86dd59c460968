"""Twilio's own OpenAPI documents, merged into one that Prism can hold a server to.

They come with the npm package `@twilio/cli-core` (MIT). Each patch is a place where the document
contradicts the examples in itself; without them Prism refuses what Twilio really sends.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path("node_modules/@twilio/cli-core/src/services/twilio-api")
PRODUCTS: Final = ("api_v2010", "messaging_v1", "accounts_v1", "trusthub_v1", "verify_v2", "lookups_v2")

Schema = dict[str, Any]


def _relax_uri(_name: str, schema: Schema) -> None:
    """Page URIs of the 2010 API are relative."""
    if schema.get("format") == "uri":
        schema["format"] = "uri-reference"


def _allow_empty_application(name: str, schema: Schema) -> None:
    """A number without an application has an empty SID."""
    if name.endswith("_application_sid"):
        for keyword in ("pattern", "minLength"):
            schema.pop(keyword, None)


def _untype_number(_name: str, schema: Schema) -> None:
    """Prices are decimal strings."""
    if schema.get("type") == "number":
        del schema["type"]


def _allow_no_error(name: str, schema: Schema) -> None:
    """Of what was looked up without an error the code is null: the examples of Lookup's own pages."""
    if name == "error_code":
        schema["nullable"] = True


PATCHES: Final[tuple[Callable[[str, Schema], None], ...]] = (
    _relax_uri,
    _allow_empty_application,
    _untype_number,
    _allow_no_error,
)


def write_spec(home: Path, target: Path) -> Path:
    """Write the merged document of all products, and return where.

    `home` is the folder that npm installed into. Raises FileNotFoundError when a document is not
    there, and ValueError when two documents disagree.
    """
    merged: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": {"title": "Twilio, the products that are used", "version": "9.0.0"},
        "paths": {},
        "components": {},
    }
    for product in PRODUCTS:
        document = json.loads((home / FOLDER / f"twilio_{product}.json").read_text("utf-8"))
        for name, schema in _walk("", document):
            for patch in PATCHES:
                patch(name, schema)
        _merge(merged["paths"], _without_hosts(document["paths"]))
        for kind, components in document["components"].items():
            _merge(merged["components"].setdefault(kind, {}), components)
    target.write_text(json.dumps(merged), "utf-8")
    return target


def _walk(name: str, node: Any) -> Iterator[tuple[str, Schema]]:
    """Yield every object in the document with its name: a parameter's own, or its key."""
    if isinstance(node, dict):
        yield str(node["name"]) if isinstance(node.get("name"), str) else name, node
        for key, child in node.items():
            yield from _walk(key, child)
    elif isinstance(node, list):
        for child in node:
            yield from _walk(name, child)


def _without_hosts(paths: Mapping[str, Schema]) -> Mapping[str, Schema]:
    return {path: {key: value for key, value in item.items() if key != "servers"} for path, item in paths.items()}


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for name, value in more.items():
        if into.setdefault(name, value) != value:
            raise ValueError(f"two documents define {name} differently")
