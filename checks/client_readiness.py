"""How many clients could get a code at all? A few are looked at in each run, all of them in time."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from pydantic import Field

from .back_office import Client, ClientDirectory, Method
from .past import Past
from .providers.http import seconds_left
from .reason import Reason
from .result import CheckResult, ClientShare, MethodGroup
from .settings import CheckSettings, Count, Number, Seconds, between

_RESERVE: Final = 0.1  # of the run's time: for one more client, and for the note
_BLOCKS: Final = 20  # whose counts are remembered


class ClientReadinessSettings(CheckSettings):
    """How many clients are looked at, and how many may be without a phone."""

    interval: Annotated[Seconds, between("10s", "7d")] = Field(900.0, description="time between runs")
    timeout: Annotated[Seconds, between("100ms", "1h")] = Field(120.0, description="time that one run may take")
    clients_per_run: Annotated[Count, Field(ge=1, le=1000)] = Field(
        50, description="clients that one run looks at, with two requests each"
    )
    max_without_phone: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.05, description="share of the clients with 2FA by SMS who may be without a confirmed phone"
    )
    min_clients: Annotated[Count, Field(ge=1, le=1_000_000)] = Field(
        100, description="clients that must have been looked at before their shares are judged"
    )


class _Block(msgspec.Struct):
    """What one run counted. Nothing of a client but that there was one more."""

    ids: int  # that it looked at, clients deleted meanwhile included
    methods: dict[str, int]
    without_phone: dict[str, int]


class _Note(msgspec.Struct):
    """Where the next run goes on, and what the last runs counted."""

    resume: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = 1000  # clients that a run had time for
    blocks: list[_Block] = []
    last_round: int = 0  # ids from the eldest client to the youngest, when all had been looked at last
    this_round: int = 0  # ids since the eldest client


def check_client_readiness(client: ClientDirectory, settings: ClientReadinessSettings, past: Past) -> CheckResult:
    """Fail when too many clients have 2FA by SMS and no confirmed phone. Only counts leave this function.

    Judged are the clients of the last runs. Raises ProviderError when the back office cannot be asked.
    """
    note = _read(past.notebook.read())
    limit = min(note.limit, settings.clients_per_run)
    page = client.read_clients(resume=note.resume, limit=limit)
    methods: Counter[str] = Counter()
    without: Counter[str] = Counter()
    seen = 0
    for client_id in page.ids:
        if seen and seconds_left() < _RESERVE * settings.timeout:
            break
        seen += 1
        found = client.fetch_client(client_id)
        if found is not None:  # deleted meanwhile
            group = group_of(found)
            methods[group.value] += 1
            without[group.value] += _needs_phone(found)
    if seen < len(page.ids):  # a place within a page cannot be told: these clients come again, fewer at once
        note.limit = max(1, seen)
    else:
        note.limit = 2 * limit
        note.resume = page.resume
        note.this_round += seen
        if page.resume is None:
            note.last_round, note.this_round = note.this_round, 0
        note.blocks.append(_Block(seen, dict(methods), dict(without)))
        note.blocks = _last_blocks(note.blocks, max(note.last_round, note.this_round))
    past.notebook.write(msgspec.json.encode(note).decode())
    return _result(note, settings)


def _last_blocks(blocks: Sequence[_Block], most_ids: int) -> list[_Block]:
    """Return the last blocks that hold no more ids than there are in one round: nobody is in two of them."""
    kept: list[_Block] = []
    for block in reversed(blocks[-_BLOCKS:]):
        most_ids -= block.ids
        if most_ids < 0:
            break
        kept.insert(0, block)
    return kept


def _result(note: _Note, settings: ClientReadinessSettings) -> CheckResult:
    clients: Counter[str] = Counter()
    without: Counter[str] = Counter()
    for block in note.blocks:
        clients.update(block.methods)
        without.update(block.without_phone)
    shares = tuple(
        ClientShare(methods=group, clients=clients[group.value], without_phone=without[group.value])
        for group in MethodGroup
    )
    by_sms = clients[MethodGroup.SMS.value] + clients[MethodGroup.BOTH.value]
    lost, looked_at = sum(without.values()), sum(clients.values())
    none = clients[MethodGroup.NONE.value]
    detail = f"{lost} of {by_sms} clients with 2FA by SMS have no confirmed phone; {none} of {looked_at} no 2FA"
    if looked_at < settings.min_clients:
        return CheckResult(reason=Reason.OK, detail=f"{detail}; too few to judge", measured=shares)
    if none == looked_at:
        return CheckResult(reason=Reason.CLIENT_2FA_DISABLED, detail=detail, measured=shares)
    too_many = by_sms > 0 and lost / by_sms > settings.max_without_phone
    return CheckResult(
        reason=Reason.CLIENT_PHONE_UNCONFIRMED if too_many else Reason.OK, detail=detail, measured=shares
    )


def group_of(client: Client) -> MethodGroup:
    """Return which second factors a client has."""
    by_sms, by_app = client.methods.get(Method.SMS, False), client.methods.get(Method.TOTP, False)
    if by_sms and by_app:
        return MethodGroup.BOTH
    if by_sms or by_app:
        return MethodGroup.SMS if by_sms else MethodGroup.TOTP
    return MethodGroup.OTHER if client.methods.get(Method.OTHER, False) else MethodGroup.NONE


def _needs_phone(client: Client) -> bool:
    return client.methods.get(Method.SMS, False) and client.has_confirmed_phone is False


def _read(note: str | None) -> _Note:
    try:
        return _Note() if note is None else _NOTES.decode(note)
    except msgspec.MsgspecError:  # of another version
        return _Note()


_NOTES: Final = msgspec.json.Decoder(_Note)
