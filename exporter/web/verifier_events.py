"""The platform tells which time step the code of each TOTP attempt matched, and nothing else of it.

``POST /api/v1/verifier-events/<target>`` with ``Authorization: Bearer …``, off unless there is a token for the target.
A batch is taken as a whole or not at all; the answer comes when it is on disk.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.routing import Route

from checks.secret import Secret

from ..verifier import FURTHEST_STEP, VerifierEvent, VerifierEventOutcome, VerifierStore
from .batches import (
    Endpoint,
    Fault,
    Items,
    Problem,
    batch_route,
    is_recent,
    malformed,
    moment_of,
    parse_body,
    parse_items,
)

_BATCH_ID: Final = re.compile(r"[!-~]{1,64}")

_ACCEPTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "an object with step, and used and at if need be",
        "step": f"a whole number from -{FURTHEST_STEP} to {FURTHEST_STEP}: 0 for the server's own step, -1 for the one"
        " before; null when the code matched none",
        "used": "true when the code of this step was used before; false if left out",
        "at": "when the code was verified, within the last day: ISO 8601 or Unix seconds; now if left out",
    }
)
"""What is accepted, by field of an event; "" for the whole."""

_BATCH_ACCEPTED: Final = "an id of your own for the batch: up to 64 printable ASCII characters"
_EXAMPLE: Final = '{"batch": "…", "events": [{"step": -1, "used": false, "at": "2026-11-24T12:00:00Z"}]}'


class _Event(msgspec.Struct, forbid_unknown_fields=True):
    """One attempt as it is posted."""

    step: int | None
    used: bool = False
    at: str | float | None = None


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The body; each event is decoded by itself, so that all problems can be told."""

    events: list[msgspec.Raw]
    batch: str | None = None


class _Batch(msgspec.Struct, frozen=True):
    """The events of one request."""

    batch: str  # "" when there is none
    events: Sequence[VerifierEvent]


_bodies: Final = msgspec.json.Decoder(_Body)


def verifier_event_routes(
    settings: Callable[[str], Secret | None],
    store: VerifierStore,
    count: Callable[[str, VerifierEventOutcome], None],
) -> Sequence[Route]:
    """Return the endpoint.

    ``settings`` gives the token of a target, None where nothing is taken; ``count`` hears what came of each request.
    """

    def take(target: str, batch: _Batch) -> None:
        store.take(target, batch.events, batch=batch.batch)
        count(target, VerifierEventOutcome.TAKEN)

    return [
        batch_route(
            Endpoint(
                path="/api/v1/verifier-events/{target}",
                token=settings,
                absent="no such target, or its entry has no verifier_events.token",
                parse=_parse,
                take=take,
                count=count,
                unauthorized=VerifierEventOutcome.UNAUTHORIZED,
                malformed=VerifierEventOutcome.MALFORMED,
                storage_unavailable=VerifierEventOutcome.STORAGE_UNAVAILABLE,
            )
        )
    ]


def _parse(body: bytes, now: float) -> _Batch:
    """Return the events in a body. Raises RefusedError with all that is wrong."""
    posted = parse_body(body, _bodies, _EXAMPLE)
    events, problems = parse_items(_EVENTS, posted.events, now)
    if posted.batch is not None and not _BATCH_ID.fullmatch(posted.batch):
        problems = [Problem("batch", "is no id", _BATCH_ACCEPTED), *problems]
    if problems:
        raise malformed(problems)
    return _Batch(batch=posted.batch or "", events=events)


def _faults(event: _Event, now: float) -> Sequence[Fault]:
    """Return each field that is wrong, and what is."""
    faults = []
    if event.step is not None and abs(event.step) > FURTHEST_STEP:
        faults.append(("step", f"is more than {FURTHEST_STEP} steps off"))
    if event.used and event.step is None:
        faults.append(("used", "is true although the code matched no step"))
    if event.at is not None and not is_recent(event.at, now):
        faults.append(("at", "is no such time"))
    return faults


def _build(event: _Event, now: float) -> VerifierEvent:
    return VerifierEvent(at=now if event.at is None else moment_of(event.at), step=event.step, used=event.used)


_EVENTS: Final = Items(
    name="events",
    noun="events",
    decoder=msgspec.json.Decoder(_Event),
    faults=_faults,
    build=_build,
    accepted=_ACCEPTED,
)
