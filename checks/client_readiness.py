"""How many clients could get a code at all? A few are looked at in each run, all of them in time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from pydantic import Field

from .back_office import Client, ClientDirectory, ClientPage, Method
from .errors import PermissionMissingError, ProviderError
from .past import Past
from .providers.http import seconds_left
from .reason import Reason
from .result import CheckResult, ClientShare, MethodGroup
from .settings import CheckSettings, Count, Number, Seconds, between

_RESERVE: Final = 0.1  # of the run's time: for one more client, and for the note
_BLOCKS: Final = 20  # whose counts are remembered
_OUTAGE: Final = 3  # clients without an answer, from the first one on: it is not they who are at fault
_BY_SMS: Final = (MethodGroup.SMS, MethodGroup.BOTH)


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
    phone_untold: dict[str, int] = {}  # of those by SMS: whether they have a confirmed one


class _Note(msgspec.Struct):
    """Where the next run goes on, and what the last runs counted."""

    resume: str | None = None
    limit: Annotated[int, msgspec.Meta(ge=1)] = 1000  # clients that a run had time for
    blocks: list[_Block] = []
    last_round: int = 0  # ids from the eldest client to the youngest, when all had been looked at last
    this_round: int = 0  # ids since the eldest client


@dataclass(slots=True)
class _Look:
    """What came of looking at the clients of one page."""

    seen: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    without_phone: Counter[str] = field(default_factory=Counter)
    phone_untold: Counter[str] = field(default_factory=Counter)
    error: ProviderError | None = None  # the last one
    was_slowed: bool = False  # asked for fewer requests

    def count(self, client: Client) -> None:
        group = group_of(client)
        self.methods[group.value] += 1
        if group in _BY_SMS:
            self.without_phone[group.value] += client.has_confirmed_phone is False
            self.phone_untold[group.value] += client.has_confirmed_phone is None


def check_client_readiness(client: ClientDirectory, settings: ClientReadinessSettings, past: Past) -> CheckResult:
    """Fail when too many clients have 2FA by SMS and no confirmed phone. Only counts leave this function.

    Judged are the clients of the last runs. A client of whom the back office gives no answer is passed over. Raises
    ProviderError when it cannot be asked, and PermissionMissingError when it shows the phone of no client.
    """
    note = _read(past.notebook.read())
    limit = min(note.limit, settings.clients_per_run)
    page = client.read_clients(resume=note.resume, limit=limit)
    look = _look_at(page.ids, client, settings)
    if look.was_slowed:
        note.limit = max(1, limit // 2)
    elif look.seen < len(page.ids):  # a place within a page cannot be told: these clients come again, fewer at once
        note.limit = max(1, look.seen)
    else:
        note.limit = 2 * limit
        _add(note, page, look)
    past.notebook.write(msgspec.json.encode(note).decode())
    if look.error is not None and (look.seen == 0 if look.was_slowed else not _anybody_known(note)):
        raise look.error
    return _result(note, settings)


def _look_at(ids: Sequence[str], client: ClientDirectory, settings: ClientReadinessSettings) -> _Look:
    """Look at clients until there are no more, no time is left or fewer requests are asked for.

    Raises ProviderError when the first few fail, and when a sign-in is refused.
    """
    look = _Look()
    failed = 0
    for client_id in ids:
        if look.seen and seconds_left() < _RESERVE * settings.timeout:
            break
        try:
            found = client.fetch_client(client_id)
        except ProviderError as error:
            look.error, look.was_slowed = error, error.reason is Reason.RATE_LIMITED
            if look.was_slowed:
                break
            failed += 1
            if error.reason is Reason.CREDENTIALS_REJECTED or failed == look.seen + 1 == _OUTAGE:
                raise
            look.methods[MethodGroup.UNKNOWN.value] += 1
        else:
            if found is not None:  # deleted meanwhile
                look.count(found)
        look.seen += 1
    return look


def _add(note: _Note, page: ClientPage, look: _Look) -> None:
    """Count a page that was looked at to its end, and go on after it."""
    note.resume = page.resume
    note.this_round += look.seen
    if page.resume is None:
        note.last_round, note.this_round = note.this_round, 0
    block = _Block(look.seen, dict(look.methods), dict(look.without_phone), dict(look.phone_untold))
    note.blocks = _last_blocks([*note.blocks, block], max(note.last_round, note.this_round))


def _last_blocks(blocks: Sequence[_Block], most_ids: int) -> list[_Block]:
    """Return the last blocks that hold no more ids than there are in one round: nobody is in two of them."""
    kept: list[_Block] = []
    for block in reversed(blocks[-_BLOCKS:]):
        most_ids -= block.ids
        if most_ids < 0:
            break
        kept.insert(0, block)
    return kept


def _anybody_known(note: _Note) -> bool:
    return any(block.methods.keys() - {MethodGroup.UNKNOWN.value} for block in note.blocks)


def _result(note: _Note, settings: ClientReadinessSettings) -> CheckResult:
    clients: Counter[str] = Counter()
    without: Counter[str] = Counter()
    untold: Counter[str] = Counter()
    for block in note.blocks:
        clients.update(block.methods)
        without.update(block.without_phone)
        untold.update(block.phone_untold)
    by_sms = sum(clients[group.value] for group in _BY_SMS)
    hidden = sum(untold.values())
    if by_sms and hidden == by_sms:
        raise PermissionMissingError(f"whether clients have a confirmed phone is readable of none of {by_sms}")
    shares = _shares(clients, without, untold)
    lost, none, unknown = sum(without.values()), clients[MethodGroup.NONE.value], clients[MethodGroup.UNKNOWN.value]
    known = sum(clients.values()) - unknown
    detail = f"{lost} of {by_sms - hidden} clients with 2FA by SMS have no confirmed phone"
    detail += f", not readable of {hidden} more" if hidden else ""
    detail += f"; {none} of {known} no 2FA"
    detail += f", not readable of {unknown} more" if unknown else ""
    if known - hidden < settings.min_clients:
        return CheckResult(reason=Reason.OK, detail=f"{detail}; too few to judge", measured=shares)
    if none == known:
        return CheckResult(reason=Reason.CLIENT_2FA_DISABLED, detail=detail, measured=shares)
    too_many = by_sms > 0 and lost / (by_sms - hidden) > settings.max_without_phone
    return CheckResult(
        reason=Reason.CLIENT_PHONE_UNCONFIRMED if too_many else Reason.OK, detail=detail, measured=shares
    )


def _shares(clients: Counter[str], without: Counter[str], untold: Counter[str]) -> tuple[ClientShare, ...]:
    """Return the counts by group, of those alone whose phone is told; no group of which that is told of nobody."""
    return tuple(
        ClientShare(
            methods=group, clients=clients[group.value] - untold[group.value], without_phone=without[group.value]
        )
        for group in MethodGroup
        if clients[group.value] == 0 or clients[group.value] > untold[group.value]
    )


def group_of(client: Client) -> MethodGroup:
    """Return which second factors a client has."""
    if not client.methods:
        return MethodGroup.UNKNOWN
    by_sms, by_app = client.methods.get(Method.SMS, False), client.methods.get(Method.TOTP, False)
    if by_sms and by_app:
        return MethodGroup.BOTH
    if by_sms or by_app:
        return MethodGroup.SMS if by_sms else MethodGroup.TOTP
    return MethodGroup.OTHER if client.methods.get(Method.OTHER, False) else MethodGroup.NONE


def _read(note: str | None) -> _Note:
    try:
        return _Note() if note is None else _NOTES.decode(note)
    except msgspec.MsgspecError:  # of another version
        return _Note()


_NOTES: Final = msgspec.json.Decoder(_Note)
