"""The application tells which codes were typed: the one thing about a message that only it can know.

``POST /api/v1/confirmations/<target>`` with ``Authorization: Bearer …``, off unless the provider's settings have a
token. A batch is taken as a whole or not at all; the answer comes when it is on disk.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.routing import Route

from checks.messages.country import E164
from checks.messages.verification import TypedCode
from checks.secret import Secret

from ..config import Config
from ..messages import Messages
from ..meters import ConfirmationOutcome, Meters
from .batches import Endpoint, Fault, Items, batch_route, is_recent, malformed, moment_of, parse_body, parse_items

_MESSAGE_ID: Final = re.compile(r"[!-~]{1,64}")

_ACCEPTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "an object with either message_id or recipient, and at and typed if need be",
        "message_id": "the provider's id of the message: up to 64 printable ASCII characters",
        "recipient": 'a phone number in E.164 form, such as "+14155550100"',
        "at": "when the code was typed, within the last day: ISO 8601 or Unix seconds; now if left out beside an id",
        "typed": "true or false; true if left out",
    }
)
"""What is accepted, by field of a code; "" for the whole."""

_EXAMPLE: Final = '{"confirmations": [{"message_id": "SM…", "at": "2026-11-24T12:00:00Z", "typed": true}]}'


class _Code(msgspec.Struct, forbid_unknown_fields=True):
    """One code as it is posted."""

    message_id: str = ""
    recipient: str = ""
    at: str | float | None = None
    typed: bool = True


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The body; each code is decoded by itself, so that all problems can be told."""

    confirmations: list[msgspec.Raw]


_batches: Final = msgspec.json.Decoder(_Batch)


def confirmation_routes(config: Callable[[], Config], messages: Messages, meters: Meters) -> Sequence[Route]:
    """Return the endpoint."""

    def token(target: str) -> Secret | None:
        settings = config().providers.get(target)
        return None if settings is None or settings.confirmations is None else settings.confirmations.token

    def take(target: str, codes: Sequence[TypedCode]) -> None:
        unknown = messages.confirm(target, codes)
        meters.confirmations(target, ConfirmationOutcome.TAKEN, len(codes) - unknown)
        meters.confirmations(target, ConfirmationOutcome.UNKNOWN_MESSAGE, unknown)

    return [
        batch_route(
            Endpoint(
                path="/api/v1/confirmations/{target}",
                token=token,
                absent="no such target, or its providers entry has no confirmations.token",
                parse=_parse,
                take=take,
                count=meters.confirmations,
                unauthorized=ConfirmationOutcome.UNAUTHORIZED,
                malformed=ConfirmationOutcome.MALFORMED,
                storage_unavailable=ConfirmationOutcome.STORAGE_UNAVAILABLE,
            )
        )
    ]


def _parse(body: bytes, now: float) -> Sequence[TypedCode]:
    """Return the codes in a body. Raises RefusedError with all that is wrong."""
    codes, problems = parse_items(_CODES, parse_body(body, _batches, _EXAMPLE).confirmations, now)
    if problems:
        raise malformed(problems)
    return codes


def _faults(code: _Code, now: float) -> Sequence[Fault]:
    """Return each field that is wrong, and what is."""
    faults = []
    if bool(code.message_id) == bool(code.recipient):
        faults.append(("", "has both message_id and recipient, or neither"))
    if code.message_id and not _MESSAGE_ID.fullmatch(code.message_id):
        faults.append(("message_id", "is no id"))
    if code.recipient and not E164.fullmatch(code.recipient):
        faults.append(("recipient", "is no phone number"))
    if code.recipient and code.at is None:  # without it a repetition would be another code
        faults.append(("at", "is missing beside a recipient"))
    if code.at is not None and not is_recent(code.at, now):
        faults.append(("at", "is no such time"))
    return faults


def _build(code: _Code, now: float) -> TypedCode:
    at = now if code.at is None else moment_of(code.at)
    return TypedCode(message_id=code.message_id, recipient=code.recipient, at=at, typed=code.typed)


_CODES: Final = Items(
    name="confirmations",
    noun="codes",
    decoder=msgspec.json.Decoder(_Code),
    faults=_faults,
    build=_build,
    accepted=_ACCEPTED,
)
