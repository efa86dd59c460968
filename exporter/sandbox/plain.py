"""What the wires of several vendors have in common that sign nothing: Basic authentication, and plain posts."""

import json
from base64 import b64decode
from binascii import Error as BinasciiError
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from checks.secret import Secret

from .outbox import Post


def basic_auth(request: Request) -> tuple[str, str]:
    """Return who a request says is asking (RFC 7617); two empty texts when it does not."""
    try:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        user, _, password = b64decode(given).decode().partition(":")
    except (BinasciiError, ValueError):
        return "", ""
    return user, password


def plain_post(url: str, report: Mapping[str, Any]) -> Post:
    """Return a post that nothing signs."""
    return Post(url=url, body=json.dumps(report).encode(), headers={"Content-Type": "application/json"})


def preset_settings(preset: str, **credentials: str) -> Mapping[str, Any]:
    """Return the settings of a provider that a preset describes."""
    return {
        "type": "http_json",
        "preset": preset,
        "credentials": {name: Secret(value) for name, value in credentials.items()},
    }
