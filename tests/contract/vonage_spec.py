"""Vonage's own OpenAPI documents, merged into one that Prism can hold a server to.

They are those of github.com/Nexmo/api-specification ad04200 (2021-07, MIT: see vonage/LICENSE). Each patch is a place
where a document contradicts the examples in itself; without them Prism refuses what Vonage really sends.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = "vonage"
PATHS: Final = {
    "account.yml": {"/account/get-balance": "/account/get-balance"},
    "reports.yml": {"/v2/reports/records": "/v2/reports/records"},
    "sms.yml": {"/{format}": "/sms/{format}"},
}
"""What is asked of Vonage, by document: its path there, and the path with that of its server."""

Schema = dict[str, Any]


def _allow_a_time(_name: str, schema: Schema) -> None:
    """What is called a date has a time, in the examples and the descriptions."""
    if schema.get("format") == "date":
        del schema["format"]


def _choose_outbound_sms(name: str, schema: Schema) -> None:
    """No alternative has required fields, so that a wrong record of one product is a right one of another."""
    if name == "json_record_response":
        answer = schema["content"]["application/json"]
        answer["schema"] = next(
            each for each in answer["schema"]["oneOf"] if "SMS (Outbound)" in json.dumps(each, default=str)
        )


def _choose_any(_name: str, schema: Schema) -> None:
    """The alternatives have no required fields, so that any answer is all of them at once."""
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")


def _free_reference(name: str, schema: Schema) -> None:
    """A reference of the client's is described as up to 40 letters, and one was not always given."""
    if name == "client_ref":
        schema.pop("minLength", None)


def _page_by_cursor(name: str, schema: Schema) -> None:
    """Cursors came later: developer.vonage.com/en/reports/guides/how-to-handle-pagination."""
    if name == "/v2/reports/records":
        for parameter in ("cursor", "iv"):
            schema["get"]["parameters"].append({"name": parameter, "in": "query", "schema": {"type": "string"}})


PATCHES: Final[tuple[Callable[[str, Schema], None], ...]] = (
    _allow_a_time,
    _choose_outbound_sms,
    _choose_any,
    _free_reference,
    _page_by_cursor,
)


def write_spec(home: Path, target: Path) -> Path:
    """Write the merged document of what is asked of Vonage, and return where.

    Names of components are made those of their document, as two of them define some differently.
    """
    merged: dict[str, Any] = {
        "openapi": "3.0.1",
        "info": {"title": "Vonage, the calls that are used", "version": "ad04200"},
        "paths": {},
        "components": {},
    }
    for name, paths in PATHS.items():
        text = (home / FOLDER / name).read_text("utf-8")
        stem = name.removesuffix(".yml")
        document = _renamed(yaml.safe_load(text), stem)
        for key, schema in _walk("", document):
            for patch in PATCHES:
                patch(key, schema)
        for path, there in paths.items():
            merged["paths"][there] = _without_servers(document["paths"][path])
        for kind, components in document["components"].items():
            if kind == "securitySchemes":
                merged["components"].setdefault(kind, {}).update(components)
            else:
                prefixed = {f"{stem}-{key}": value for key, value in components.items()}
                merged["components"].setdefault(kind, {}).update(prefixed)
    target.write_text(json.dumps(merged, default=str), "utf-8")
    return target


def _renamed(node: Any, stem: str) -> Any:
    if isinstance(node, dict):
        return {key: _renamed(value, stem) if key != "$ref" else _reference(value, stem) for key, value in node.items()}
    return [_renamed(each, stem) for each in node] if isinstance(node, list) else node


def _reference(reference: str, stem: str) -> str:
    head, _, name = reference.rpartition("/")
    return f"{head}/{stem}-{name}"


def _without_servers(item: Schema) -> Schema:
    calls = {key: value for key, value in item.items() if key != "servers"}
    for call in calls.values():
        if isinstance(call, dict):
            call.pop("servers", None)
            call.pop("callbacks", None)
    return calls


def _walk(name: str, node: Any) -> Iterator[tuple[str, Schema]]:
    """Yield every object in the document with its name: a parameter's own, or its key."""
    if isinstance(node, dict):
        yield str(node["name"]) if isinstance(node.get("name"), str) else name, node
        for key, child in list(node.items()):
            yield from _walk(str(key), child)
    elif isinstance(node, list):
        for child in node:
            yield from _walk(name, child)
