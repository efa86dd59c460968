"""What is known when somebody asks about one client or one message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ..back_office import Client, Method
from ..clients import NumberLookup
from ..messages import Receipt
from ..messages.detector import Verdict
from ..messages.verification import Attempt
from ..reason import Outcome, Reason
from ..result import Measured

METHOD_WORDS: Final[Mapping[Method, str]] = MappingProxyType(
    {Method.SMS: "SMS", Method.TOTP: "authenticator app", Method.OTHER: "another method"}
)
"""What a method is called in an answer."""


class Subject(StrEnum):
    """What was asked about."""

    CLIENT = "client"
    PHONE = "phone"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStanding:
    """What the latest run of a check found."""

    check: str
    kind: str
    target: str
    reason: Reason
    detail: str
    since: datetime  # aware, UTC: when this reason was first given without a break
    at: datetime  # aware, UTC
    stops_codes: bool  # while it lasts, nobody gets a code through what the check looks at
    measured: Sequence[Measured] = ()

    @property
    def outcome(self) -> Outcome:
        """Whether it passed, failed or could not find out."""
        return self.reason.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A fault that the detector tells of one provider."""

    target: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeMatch:
    """Which time step a client's code was the code of. The code and its secret are not kept."""

    step: int | None  # 0 is the present one, negative an earlier one; None: of none that was tried
    tried: int  # steps to either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What could not be found out, and why."""

    what: str
    why: str
    reason: Reason | None = None  # of the error, when it was one


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was gathered. None stands for what is not known, never for what is not there."""

    now: datetime  # aware, UTC
    subject: Subject
    number: str = field(default="", repr=False)  # E.164; empty: not known
    country: str = ""  # of the number
    operator: str = ""  # of the number
    is_known: bool | None = None  # whether the back office knows the client
    client: Client | None = None
    messages: Sequence[Receipt] | None = None  # newest first
    attempts: Sequence[Attempt] | None = None  # newest first
    checks: Sequence[CheckStanding] | None = None
    alarms: Sequence[Alarm] | None = None
    code: CodeMatch | None = None
    is_device_lost: bool = False  # as the client says
    lookup: NumberLookup | None = None
    missing: Sequence[Missing] = ()

    def uses(self, method: Method) -> bool:
        """Return whether the client may be waiting for a code of this method: it is on, or nothing is known."""
        if self.code is not None and self._may_have(Method.TOTP):
            return method is Method.TOTP  # they have a code at hand: the app's
        if self.subject is not Subject.CLIENT:
            return method is Method.SMS or (self.subject is Subject.PHONE and self._has(method))
        if self.client is None:
            return self.is_known is not False
        return self.client.methods.get(method, not self.client.methods)

    def _may_have(self, method: Method) -> bool:
        return self.client is None or self.client.methods.get(method, True)

    def _has(self, method: Method) -> bool:
        return self.client is not None and self.client.methods.get(method, False)

    @property
    def latest(self) -> Receipt | None:
        """The latest message; None when there is none, or it is not known."""
        return self.messages[0] if self.messages else None
