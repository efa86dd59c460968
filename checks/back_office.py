"""What checks and the diagnosis ask of a back office: the system that keeps clients and hands their codes out.

Every method may raise ``ProviderError``. Phone numbers and settings are held where no repr shows them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from .messages.country import E164
from .secret import Secret

_NOT_DIGITS: Final = re.compile(r"[ ()./-]")


class Method(StrEnum):
    """A second factor that a client can have."""

    SMS = "sms"
    TOTP = "totp"  # an authenticator app
    OTHER = "other"  # a second factor that is neither: nothing that we look at


class Identifier(StrEnum):
    """What tells one provider account from another, as a back office holds it."""

    ACCOUNT = "account id"
    KEY = "key name"
    SENDER = "sender"


ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
"""What an id of a back office can be made of to be asked for: safe in a path."""


def normalise_number(text: str) -> str:
    """Return a number as people write it in E.164, also without its "+"; empty when it is not of that form."""
    digits = _NOT_DIGITS.sub("", text)
    number = digits if digits.startswith("+") else f"+{digits}"
    return number if E164.fullmatch(number) else ""


def normalise_sender(text: str) -> str:
    """Return a sender as it is compared: a number in E.164, anything else as it is, without the space around it."""
    return normalise_number(text) or text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsProvider:
    """One configuration of an SMS provider in a back office."""

    name: str  # shown to humans; the label of its metric
    vendor: str  # the back office's word for its type, in small letters
    is_enabled: bool | None  # None: not told
    delivers: bool = True  # False for a type made for tests, which sends nothing
    missing: tuple[str, ...] = ()  # names of settings that its type demands and that are empty
    unreadable: tuple[str, ...] = ()  # in words: what could not be judged
    identifiers: Mapping[Identifier, Secret] = field(default_factory=lambda: MappingProxyType({}), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsTemplate:
    """One text that carries codes."""

    name: str
    carries_code: bool  # the placeholder of the code is in it


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPhone:
    """A number of a client's."""

    number: str = field(repr=False)  # E.164; empty when it is not of that form
    is_confirmed: bool | None  # None: not told


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What a back office knows of one client's second factors."""

    methods: Mapping[Method, bool]  # whether it is on; one that is not told is absent
    phones: tuple[ClientPhone, ...] | None  # None: not readable
    unreadable: tuple[str, ...] = ()  # in words: what these credentials may not read

    @property
    def has_confirmed_phone(self) -> bool | None:
        """Whether a code by SMS has somewhere to go; None when none is known to be confirmed and not all is told."""
        if self.phones is None:
            return None
        told = [phone.is_confirmed for phone in self.phones]
        return True if any(told) else None if None in told else False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientPage:
    """Some ids of clients, and where the next ones are."""

    ids: Sequence[str] = field(repr=False)
    resume: str | None  # None: there are no more


@runtime_checkable
class SmsSetupClient(Protocol):
    """Can read how a back office is set up to send codes by SMS."""

    def fetch_sms_providers(self) -> Sequence[SmsProvider]:
        """Return every configuration of an SMS provider."""

    def fetch_sms_templates(self) -> Sequence[SmsTemplate] | None:
        """Return the texts that carry codes; None for a back office that has its own and needs none."""


@runtime_checkable
class ClientDirectory(Protocol):
    """Can read the second factors of clients."""

    def read_clients(self, *, resume: str | None, limit: int) -> ClientPage:
        """Return the next ids of clients, the eldest client first; ``resume`` is what an earlier page gave.

        ``resume`` is kept on disk between runs and not trusted when it comes back.
        """

    def fetch_client(self, client_id: str) -> Client | None:
        """Return one client's second factors; None when there is no such client."""

    def find_clients(self, number: str) -> Sequence[str]:
        """Return the ids of the clients who have an E.164 number."""


class BackOffice(SmsSetupClient, ClientDirectory, Protocol):
    """All that a back office can be asked."""

    def close(self) -> None:
        """Close the idle connections."""


@runtime_checkable
class Resting(Protocol):
    """Asks no more for a while after it was refused."""

    def end_rest(self) -> None:
        """Ask again at the next call: somebody says that it is mended."""


class SignIn(StrEnum):
    """What came of a client's sign-in."""

    ACCEPTED = "accepted"
    CODE_REFUSED = "code_refused"
    PASSWORD_REFUSED = "password_refused"  # noqa: S105  # an outcome
    LOCKED = "locked"  # too many attempts: neither is looked at
    CODE_NOT_ASKED = "code_not_asked"  # signed in without a second factor


@runtime_checkable
class TotpSignInClient(Protocol):
    """Can sign in as a client whose second factor is an authenticator app."""

    def sign_in(self, *, email: str, password: Secret, code: str) -> SignIn:
        """Sign in once with a code, and sign out again when it worked."""
