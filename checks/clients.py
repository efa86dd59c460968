"""What checks ask of the outside world, as small protocols: an adapter implements those it can.

Every method may raise ``ProviderError``; "may not be read" is told apart from "is not there".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from .messages.receipt import Receipt, Status
from .messages.verification import Attempt
from .notebook import Notebook
from .reason import Reason
from .result import ServiceComponent


class AccountState(StrEnum):
    """Whether an account is in use."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A provider account as the provider sees it."""

    state: AccountState
    restriction: str | None = None  # in words: what keeps it from sending to everybody
    unreadable: tuple[str, ...] = ()  # in words: what these credentials may not read


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """An amount in a currency."""

    amount: float
    currency: str  # ISO 4217


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentSpend:
    """Spend by calendar day, UTC, as usage records give it."""

    total: Money  # since the account's beginning
    today: float
    yesterday: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A number or a messaging service that sends our messages."""

    label: str  # shown to humans: never a whole phone number
    exists: bool = True
    sends_sms: bool = True
    pool_size: int | None = None  # senders in a messaging service's pool; None for a single number
    registration_problem: str | None = None  # in words; None when registered, not needed or not readable
    unreadable: tuple[str, ...] = ()  # in words: what these credentials may not read


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryPermissions:
    """Which countries the account may send to."""

    refused: tuple[str, ...] = ()  # ISO 3166 alpha-2
    unknown: tuple[str, ...] = ()  # asked for, but the provider gave no answer
    readable: bool = True


class IncidentImpact(StrEnum):
    """How bad an incident is. The words are those of Atlassian Statuspage's API v2."""

    NONE = "none"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An unresolved incident on a status page."""

    name: str = field(repr=False)  # free text from outside
    impact: IncidentImpact
    components: tuple[str, ...]  # names; empty when the page names none


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """A status page at one moment."""

    components: tuple[ServiceComponent, ...]
    incidents: tuple[Incident, ...]
    not_understood: tuple[str, ...] = ()  # names of components about which the page says something unknown


@runtime_checkable
class CredentialsClient(Protocol):
    """Can tell whether its credentials are accepted."""

    def verify_credentials(self) -> None:
        """Make the cheapest call that any kind of credential may make; raise when it is refused."""


@runtime_checkable
class AccountClient(Protocol):
    """Can read the account itself."""

    def fetch_account(self) -> Account:
        """Return the account's state and restrictions."""


@runtime_checkable
class BalanceClient(Protocol):
    """Can read money."""

    def fetch_balance(self) -> Money | None:
        """Return the balance, or None for an account that has none of its own (a sub-account, one that pays later)."""

    def fetch_spend(self) -> RecentSpend | None:
        """Return what was spent, or None when these credentials may not read it."""


@runtime_checkable
class SendersClient(Protocol):
    """Can read numbers, messaging services, registrations and permissions."""

    def fetch_number(self, number: str) -> Sender:
        """Return what the account knows of one E.164 number."""

    def fetch_messaging_service(self, sid: str, *, countries: Sequence[str]) -> Sender:
        """Return what the account knows of one messaging service, as far as it sends to ``countries``."""

    def fetch_country_permissions(self, countries: Sequence[str]) -> CountryPermissions:
        """Return which of the ISO 3166 alpha-2 ``countries`` the account may not send to."""


@runtime_checkable
class ServiceStatusClient(Protocol):
    """Can read a status page."""

    def fetch_service_status(self) -> ServiceStatus:
        """Return components and unresolved incidents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """A page of a message log, as far as it can be understood."""

    receipts: Sequence[Receipt]  # outbound messages created within the time asked for, about the newest first
    resume: str | None  # the bookmark of the next page; None: there is no older message
    reached: float | None  # Unix time: no page to come has a message created after it; None: cannot be told
    at: float | None = None  # Unix time: the provider's clock when it answered; None: not told


@runtime_checkable
class MessageLogClient(Protocol):
    """Can read the log of sent messages."""

    def read_page(self, *, since: float, until: float | None = None, resume: str | None = None) -> LogPage:
        """Return one page of the messages created at or after ``since`` and before ``until`` (Unix time), newest first.

        Without ``until`` it is the newest page of the whole log. With it the log may leave out what was
        never sent, and pages with nothing to return may come first and last.
        ``resume``, the bookmark of an earlier page, goes on from there; it may be kept on disk: it has nothing
        personal or secret in it, and is not trusted when it comes back.
        Raises BadResponseError when no message of a page can be understood.
        """


@runtime_checkable
class BudgetedClient(Protocol):
    """Counts what its provider bills, and uses no more of it in one day than its settings allow."""

    def keep_count_in(self, notebook: Notebook) -> None:
        """Count in a note that outlasts the process, from now on."""


@runtime_checkable
class ConversionClient(Protocol):
    """Can read which codes were typed."""

    def read_attempts(self, *, since: float, until: float) -> Iterator[Sequence[Attempt]]:
        """Yield, page by page, the codes sent by SMS between two moments (Unix time); the same may come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """How far a test message has come."""

    status: Status
    reason: Reason | None = None  # why it failed; None unless it did
    code: str | None = None  # the vendor's error code
    cost: float | None = None  # None: not known yet
    currency: str | None = None  # ISO 4217
    is_timely: bool = True  # False: receipts may come hours late, so that only the phone tells of time
    delivered_seconds: float | None = None  # after its sending, by the provider's clock; None: not told
    look_up: Money | None = None  # what it cost to be told this; None: nothing


@runtime_checkable
class CanaryClient(Protocol):
    """Can send a message and follow it."""

    def send_canary(self, *, to: str, sender: str, text: str, validity_seconds: int) -> str:
        """Send one message, once, and return its id. When it raises, the message may have been sent all the same."""

    def fetch_canary(self, message_id: str) -> CanaryStatus:
        """Return how far a message has come."""


@runtime_checkable
class PacedCanaryClient(Protocol):
    """Can follow a message too, and is asked seldom, as each question is billed."""

    @property
    def canary_pace_seconds(self) -> float:
        """The least time between two questions, and before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """How far a clock is ahead of another one."""

    offset_seconds: float  # positive: ahead
    uncertainty_seconds: float  # the true offset is within this of it
    sources: int = 1  # that agree on it
    ignored: tuple[str, ...] = ()  # in words: what was asked and not believed


@runtime_checkable
class ClockClient(Protocol):
    """Can compare clocks."""

    def measure_host(self) -> ClockReading:
        """Return how far this host's clock is ahead of true time."""

    def measure_platform(self) -> ClockReading | None:
        """Return how far the platform's clock is ahead of this host's; None when no platform is configured."""


class LineType(StrEnum):
    """What kind of line a number is."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    VOIP = "voip"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberLookup:
    """What a provider knows of a number."""

    is_valid: bool
    line_type: LineType | None = None  # None: not known
    operator: str | None = None  # that has the number now; None: not known


@runtime_checkable
class MessageSearchClient(Protocol):
    """Can find what was sent to one number."""

    def find_messages(self, number: str, *, limit: int) -> Sequence[Receipt]:
        """Return the latest messages to an E.164 number, newest first."""

    def find_message(self, message_id: str) -> Receipt | None:
        """Return one message; None when there is none of that id."""

    def find_attempts(self, number: str, *, since: float) -> Sequence[Attempt] | None:
        """Return the verification attempts for an E.164 number created since then (Unix time), newest first.

        None for an account whose attempts may not be read.
        """


@runtime_checkable
class NumberLookupClient(Protocol):
    """Can look a number up, for money."""

    def look_up_number(self, number: str) -> NumberLookup:
        """Return what is known of an E.164 number. Each call is billed."""
