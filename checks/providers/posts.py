"""Posts of vendors that hold one message each: what stands in them, and whether they are of now."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_plus

from pydantic import Field

from ..callbacks import Callback, CallbackOutcome, CallbackRefusedError
from ..settings import Settings, Url

_MOST_FIELDS: Final = 200
_AHEAD_SECONDS: Final = 300.0


class ForwardSettings(Settings):
    """What becomes of genuine callbacks; each vendor's own model adds how they are believed."""

    forward_to: Url | None = Field(
        None, description="genuine callbacks are sent on to this URL as they came: that of the application that sends"
    )


def parse_fields(callback: Callback) -> Mapping[str, str]:
    """Return the fields of a form or of a flat JSON object, by what the post says it is.

    Raises CallbackRefusedError for what is neither, and for a field that is there twice.
    """
    kind = callback.headers.get("content-type", "").partition(";")[0].strip().lower()
    pairs = _parse_object(callback.body) if kind.endswith("json") else parse_form(callback.body)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    return fields


def refuse_replay(told_at: float, callback: Callback, *, within_seconds: float) -> None:
    """Raise CallbackRefusedError for a post whose signed time is not of now.

    What is sent again within that time says nothing new: a message counts once for each status.
    """
    age = callback.at - told_at
    if not -_AHEAD_SECONDS <= age <= within_seconds:
        raise CallbackRefusedError(CallbackOutcome.REPLAYED)


def parse_form(body: bytes) -> list[tuple[str, str]]:
    """Return the fields as ``urllib.parse.parse_qsl`` does, which decodes also what has nothing to decode."""
    try:
        pairs = body.decode("ascii").split("&")
    except UnicodeDecodeError:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
    if len(pairs) > _MOST_FIELDS:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    fields = []
    for pair in pairs:
        if pair:
            name, _, value = pair.partition("=")
            fields.append((_decoded(name), _decoded(value)))
    return fields


def _decoded(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _parse_object(body: bytes) -> list[tuple[str, str]]:
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError):
        raise CallbackRefusedError(CallbackOutcome.MALFORMED) from None
    is_object = isinstance(pairs, list) and all(isinstance(pair, tuple) for pair in pairs)
    if not is_object or len(pairs) > _MOST_FIELDS:
        raise CallbackRefusedError(CallbackOutcome.MALFORMED)
    fields = []
    for name, value in pairs:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise CallbackRefusedError(CallbackOutcome.MALFORMED)
        fields.append((name, str(value)))
    return fields
