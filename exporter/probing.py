"""Asks a provider once for all that it is configured to tell, and says what was understood of each answer.

It sends nothing and changes nothing. Beside it may stand what the answers look like: ``shapes``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from checks.clients import (
    AccountClient,
    BalanceClient,
    CredentialsClient,
    LogPage,
    MessageLogClient,
    SendersClient,
    ServiceStatusClient,
)
from checks.errors import ProviderError
from checks.providers import PROVIDERS
from checks.providers.http import Reply, overheard
from checks.providers.http_json import HttpJsonSettings
from checks.reason import Reason
from checks.result import ServiceState
from checks.senders import SendersSettings, check_senders
from checks.settings import ProviderSettings
from checks.targets import build_client

from .runner import Defect, contained, words_of
from .shapes import Shapes, secrets_in

HOUR_SECONDS: Final = 3600.0
_MOST_NAMED: Final = 8  # of countries, codes and the like
_MOST_ANSWERS: Final = 4  # that are shown of one question


@dataclass(slots=True)
class _Notes:
    """An observer that remembers what was not understood."""

    unreadable: int = 0
    unmapped: Counter[str] = field(default_factory=Counter)

    def request_done(self, outcome: str) -> None:
        """Leave it to whoever asks."""

    def code_unmapped(self, code: str) -> None:
        self.unmapped[code] += 1

    def message_unreadable(self) -> None:
        self.unreadable += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One thing that a provider may be asked."""

    name: str
    protocol: type
    ask: Callable[[Any, float], Iterable[str]]  # of a client, at a Unix time: what was understood


def _credentials(client: CredentialsClient, _now: float) -> Iterator[str]:
    client.verify_credentials()
    yield "accepted"


def _account(client: AccountClient, _now: float) -> Iterator[str]:
    account = client.fetch_account()
    yield f"{account.state}{'' if account.restriction is None else f', {account.restriction}'}"
    if account.unreadable:
        yield f"not told: {', '.join(account.unreadable)}"


def _balance(client: BalanceClient, _now: float) -> Iterator[str]:
    money = client.fetch_balance()
    yield "none: the account pays later" if money is None else f"{money.amount:.2f} {money.currency}"


def _service_status(client: ServiceStatusClient, _now: float) -> Iterator[str]:
    status = client.fetch_service_status()
    up = sum(part.state is ServiceState.OPERATIONAL for part in status.components)
    yield f"{len(status.components)} components, {up} operational; {len(status.incidents)} unresolved incidents"


def _messages(client: MessageLogClient, now: float) -> Iterator[str]:
    page = client.read_page(since=now - HOUR_SECONDS)
    return _of_page(page, now)


def _of_page(page: LogPage, now: float) -> Iterator[str]:
    receipts = page.receipts
    more = "" if page.resume is None else ", and there are more pages"
    yield f"{len(receipts)} of the last hour on the first page{more}"
    if not receipts:
        return
    yield f"statuses: {_counted(each.status for each in receipts)}"
    failed = [each for each in receipts if each.reason is not None]
    if failed:
        yield f"reasons: {_counted(each.reason or '' for each in failed)}"
        yield f"codes: {_counted(each.code or 'none' for each in failed)}"
    yield f"countries: {_counted(each.country for each in receipts)}"
    yield f"operators: {_counted(each.operator for each in receipts)}"
    moments = sorted(each.created_at for each in receipts if each.created_at is not None)
    if moments:
        yield f"created: {_time(moments[0])} to {_time(moments[-1])}, the newest {_ago(now - moments[-1])}"
    took = sorted(each.delivery_seconds for each in receipts if each.delivery_seconds is not None)
    yield f"delivered within: {took[len(took) // 2]:.0f} s in the middle" if took else "delivery times: not told"


def _senders(checks: Sequence[SendersSettings], client: SendersClient, _now: float) -> Iterator[str]:
    if not checks:
        yield "not asked: no check of type senders names any"
    for settings in checks:
        result = check_senders(client, settings)
        yield f"{result.reason}: {result.detail}"


QUESTIONS: Final = (
    Question(name="credentials", protocol=CredentialsClient, ask=_credentials),
    Question(name="account", protocol=AccountClient, ask=_account),
    Question(name="balance", protocol=BalanceClient, ask=_balance),
    Question(name="messages", protocol=MessageLogClient, ask=_messages),
    Question(name="service status", protocol=ServiceStatusClient, ask=_service_status),
)
"""All that is asked of every provider: what neither sends nor changes anything. Its senders have to be named."""


class UnusableError(Exception):
    """A provider cannot be asked with its settings as they are, in the user's words."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was said of one question."""

    lines: Sequence[str]
    is_understood: bool


def probe(
    settings: ProviderSettings, *, dump: bool, now: Callable[[], float], senders: Sequence[SendersSettings] = ()
) -> Iterator[Probe]:
    """Yield what a provider's answers tell, one question at a time; ``now`` is Unix time.

    It is asked for the senders that the checks ask for, which are ``senders``. With ``dump`` the shape of each answer
    stands below, redacted. Raises UnusableError when the account cannot be asked at all.
    """
    notes = _Notes()
    try:
        client = build_client(settings, notes)
    except ValueError as problem:  # the CA bundle that the environment names cannot be read
        raise UnusableError(str(problem)) from None
    shapes = Shapes(secrets=secrets_in(settings))
    if isinstance(settings, HttpJsonSettings):
        shapes = Shapes(secrets=secrets_in(settings), redacted=settings.redact, words=settings.words())
    spec = PROVIDERS[settings.type]
    of_senders = Question(name="senders", protocol=SendersClient, ask=partial(_senders, senders))
    try:
        for question in (*QUESTIONS, of_senders):
            if not spec.implements(question.protocol, settings):
                yield Probe([f"{question.name}: not there"], is_understood=True)
                continue
            yield _asked(question, client, notes, shapes if dump else None, now())
    finally:
        client.close()


def _asked(question: Question, client: Any, notes: _Notes, shapes: Shapes | None, now: float) -> Probe:
    replies: list[Reply] = []
    notes.unreadable = 0
    notes.unmapped.clear()
    with overheard(replies.append):
        try:
            found = contained(lambda: list(question.ask(client, now)))
        except ProviderError as error:
            told, is_understood = [f"{error.reason}: {error}"], False
        else:
            is_understood = not isinstance(found, Defect)
            told = [f"{Reason.INTERNAL}: {words_of(found)}"] if isinstance(found, Defect) else found
    if notes.unreadable:
        told.append(f"not understood and left out: {notes.unreadable}")
        is_understood = False
    if notes.unmapped:
        told.append(f"codes that no table has: {_most(notes.unmapped)}")
    lines = [f"{question.name}: {told[0]}", *(f"  {line}" for line in told[1:])]
    if shapes is not None:
        for reply in replies[:_MOST_ANSWERS]:
            lines.append(f"  answer: HTTP {reply.status}, {len(reply.body)} bytes")
            lines += (f"    {line}" for line in shapes.of_body(reply.body))
    return Probe(lines, is_understood)


def _counted(words: Iterable[str]) -> str:
    return _most(Counter(words))


def _most(counts: Mapping[str, int]) -> str:
    common = Counter(counts).most_common()
    named = [f"{word} ({count})" for word, count in common[:_MOST_NAMED]]
    return ", ".join([*named, *([f"{len(common) - _MOST_NAMED} more"] if len(common) > _MOST_NAMED else [])])


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s ago" if seconds >= 0 else f"{-seconds:.0f} s ahead: a wrong time zone?"
