"""A link to an SMSC over SMPP 3.4: bound as a transmitter, asked whether it lives, unbound again.

Facts are from the Short Message Peer to Peer Protocol Specification v3.4, issue 1.2 (12 October 1999), by section.

It sends no message and reads none. It never binds as a receiver, and accepts no message that comes all the same:
either would take delivery receipts away from the production. A bind as such may displace the production's, or be
refused for it, as many an SMSC allows few of one system_id: so nobody gets here without having said which it is.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from struct import Struct
from time import monotonic
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ..addresses import is_loopback
from ..back_office import Identifier
from ..errors import BadResponseError, DeadlineExceededError, ProviderError, UnreachableError
from ..reason import Reason
from ..secret import Secret
from ..settings import Count, Demanded, Flag, Pace, ProviderSettings, SecretSetting
from .causes import Cause, Codes, ErrorCodes, code_table
from .http import seconds_left
from .observer import NoObserver, Observer
from .tcp import Connection, build_tls_context

_SHORTEST_INTERVAL: Final = 60.0  # seconds from bind to bind: a link is meant to be held, not to be made all the time
_LONGEST_CREDENTIAL: Final = 64  # sections 5.2.1 and 5.2.2 allow 15 and 8 letters, many an SMSC more

_LINKS_OF_ITS_OWN: Final = (
    "a check binds, and a bind may displace the one that production sends through, or be refused for it, as many"
    " SMSCs allow few of one system_id; say dedicated where this system_id is for the checks alone, and"
    " may_displace_production where it is not and that is accepted"
)


def _absolute(value: str) -> str:
    if not Path(value).is_absolute():
        raise PydanticCustomError("path", "must be a path that begins with /")
    return value


def _credential(value: Secret) -> Secret:
    text = value.reveal()
    if not text.isascii() or not text.isprintable() or len(text) > _LONGEST_CREDENTIAL:
        raise PydanticCustomError(
            "credential", "must be ASCII in one line, of {most} characters at most", {"most": _LONGEST_CREDENTIAL}
        )
    return value


_Path = Annotated[str, AfterValidator(_absolute)]
_Credential = Annotated[SecretSetting, AfterValidator(_credential)]


class SmppSettings(ProviderSettings):
    """How to reach an SMSC over SMPP 3.4, and whether the link is ours to make."""

    type: Literal["smpp"] = Field(description="the vendor: any SMSC that speaks SMPP 3.4")
    bind: Annotated[Literal["dedicated", "may_displace_production"], Demanded(_LINKS_OF_ITS_OWN)] = Field(
        description="dedicated: this system_id is for the checks alone; may_displace_production: production binds with"
        " it, too, and a check may cut that link or be refused for it"
    )
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")] = Field(description="the host of the SMSC")
    port: Count = Field(ge=1, le=65535, description="often 2775, with TLS 3550")
    tls: Flag = Field(True, description="false: without TLS, so that the password can be read on the way")
    ca_file: _Path | None = Field(
        None, description="PEM, whose signature on the certificate is trusted; those of the environment unless given"
    )
    client_certificate_file: _Path | None = Field(
        None, description="PEM, our own certificate, where the SMSC asks for one"
    )
    client_key_file: _Path | None = Field(
        None, description="PEM without a password; in client_certificate_file unless given"
    )
    system_id: _Credential = Field(description="the system_id of the account")
    password: _Credential = Field(description="the password of the account")
    system_type: Annotated[str, Field(pattern=r"^[!-~]{0,12}$")] = Field(
        "", description="only where the SMSC asks for one"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='a command_status that means another reason than built in: "ESME_RBINDFAIL", or a vendor\'s own'
        ' as "status-0x411"',
    )

    @model_validator(mode="after")
    def _files_have_their_use(self) -> Self:
        files = ("ca_file", "client_certificate_file", "client_key_file")
        given = next((name for name in files if getattr(self, name) is not None), None)
        if given is not None and not self.tls:
            raise PydanticCustomError("tls", "{given} is of no use without tls", {"given": given})
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise PydanticCustomError("tls", "client_key_file needs client_certificate_file")
        return self

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the system_id."""
        return {Identifier.ACCOUNT: frozenset({self.system_id})}

    def paces(self) -> Mapping[str, Pace]:
        """Return how often a check may bind."""
        return {"credentials": Pace(_SHORTEST_INTERVAL, "each run binds to the SMSC anew")}

    def warnings(self) -> Sequence[str]:
        """Return what the link may cost others."""
        found = []
        if self.bind == "may_displace_production":
            found.append(
                "bind: each run of a check may cut the link that production sends through, or be refused for it; have"
                " the SMSC give the checks a system_id of their own, and say dedicated"
            )
        if not self.tls and not is_loopback(self.host):
            found.append("tls: without it the password can be read on the way; a VPN to the SMSC would do as well")
        return found


# PDUs: sections 3.2 (layout), 5.1.2.1 (command ids), 5.1.4 (sequence numbers)

PDU_LIMIT_BYTES: Final = 4096
"""The longest PDU that is read. What this link is answered has less than 100 bytes."""

_HEADER: Final = Struct("!IIII")
_RESPONSE: Final = 0x8000_0000  # the bit that makes a command its answer
_VERSION: Final = 0x34  # section 5.2.4
_MOST_OTHERS: Final = 32  # PDUs that are not the one waited for


class Command(IntEnum):
    """The commands that matter to a transmitter that sends nothing."""

    BIND_TRANSMITTER = 0x002
    DELIVER_SM = 0x005
    UNBIND = 0x006
    ENQUIRE_LINK = 0x015
    DATA_SM = 0x103


_GENERIC_NACK: Final = _RESPONSE  # section 4.3

_WORDS: Final[Mapping[Command, str]] = {
    Command.BIND_TRANSMITTER: "the bind",
    Command.ENQUIRE_LINK: "enquire_link",
    Command.UNBIND: "unbind",
}


class Pdu(NamedTuple):
    """A PDU without its body, which is of no use here and may hold numbers and texts."""

    command: int
    status: int
    sequence: int


def pack_pdu(command: int, sequence: int, *, status: int = 0, body: bytes = b"") -> bytes:
    """Return a PDU as it is sent."""
    return _HEADER.pack(_HEADER.size + len(body), command, status, sequence) + body


def read_pdu(receive: Callable[[int], bytes]) -> Pdu:
    """Return the next PDU; ``receive`` returns exactly as many bytes as it is asked for.

    Raises BadResponseError for one that no SMSC sends, before its body is read, and what ``receive`` raises.
    """
    length, command, status, sequence = _HEADER.unpack(receive(_HEADER.size))
    if not _HEADER.size <= length <= PDU_LIMIT_BYTES:
        raise BadResponseError("the answer is not SMPP, or longer than any that is due")
    if length > _HEADER.size:
        receive(length - _HEADER.size)
    return Pdu(command, status, sequence)


# Refusals

_STATUS: Final = "SMPP v3.4 issue 1.2, section 5.1.3, table 5-2"

_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0x01: "ESME_RINVMSGLEN",
        0x02: "ESME_RINVCMDLEN",
        0x03: "ESME_RINVCMDID",
        0x04: "ESME_RINVBNDSTS",
        0x05: "ESME_RALYBND",
        0x08: "ESME_RSYSERR",
        0x0D: "ESME_RBINDFAIL",
        0x0E: "ESME_RINVPASWD",
        0x0F: "ESME_RINVSYSID",
        0x14: "ESME_RMSGQFUL",
        0x53: "ESME_RINVSYSTYP",
        0x58: "ESME_RTHROTTLED",
        0xFF: "ESME_RUNKNOWNERR",
    }
)

_MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ESME_RALYBND": "the system_id is bound already, as often as it may be",
        "ESME_RBINDFAIL": "it does not say whether for the credentials, our address or the number of binds",
        "ESME_RINVPASWD": "the password is wrong",
        "ESME_RINVSYSID": "there is no such system_id",
        "ESME_RINVSYSTYP": "the system_type is wrong",
        "ESME_RTHROTTLED": "too much is asked of it",
        "ESME_RSYSERR": "it has a fault of its own",
    }
)

STATUSES: Final = code_table(
    # The table says of RBINDFAIL only that the bind failed. Production is refused alike, so it is no less urgent.
    (Cause.AUTH_FAILED, _STATUS, ["ESME_RINVPASWD", "ESME_RINVSYSID", "ESME_RINVSYSTYP", "ESME_RBINDFAIL"]),
    (Cause.QUOTA_EXCEEDED, _STATUS, ["ESME_RALYBND"]),
    (Cause.RATE_LIMITED, _STATUS, ["ESME_RTHROTTLED", "ESME_RMSGQFUL"]),
    (Cause.PROVIDER_ERROR, _STATUS, ["ESME_RSYSERR", "ESME_RUNKNOWNERR"]),
    (Cause.INVALID_REQUEST, _STATUS, ["ESME_RINVMSGLEN", "ESME_RINVCMDLEN", "ESME_RINVCMDID", "ESME_RINVBNDSTS"]),
)

_LAST_STATUS: Final = 0x4FF  # those of vendors end there, what comes after is reserved
_RX_T_APPN: Final = 0x64  # of a receiver: not now, try again


def code_of(status: int) -> str | None:
    """Return how a command_status is called here; None for what can be none."""
    if status in _NAMES:
        return _NAMES[status]
    return f"status-0x{status:03x}" if 0 < status <= _LAST_STATUS else None


class SmppClient:
    """Makes a link when it is asked, and keeps none. Safe to use from several threads."""

    def __init__(self, settings: SmppSettings, *, observer: Observer | None = None) -> None:
        """Raises ValueError for a file of a certificate or CA that cannot be used."""
        self._host, self._port = settings.host, settings.port
        self._timeout_seconds = settings.timeout
        self._system_id, self._password = settings.system_id, settings.password
        self._system_type = settings.system_type
        self._codes = Codes(STATUSES, settings.error_codes)
        self._observer = observer or NoObserver()
        self._tls: ssl.SSLContext | None = None
        if settings.tls:
            self._tls = build_tls_context(
                ca_file=settings.ca_file,
                certificate_file=settings.client_certificate_file,
                key_file=settings.client_key_file,
            )

    def close(self) -> None:
        """Close nothing: no link outlives the call that made it."""

    def verify_credentials(self) -> None:
        """Bind as a transmitter, have the SMSC answer an enquire_link, and unbind, within one deadline.

        Raises ProviderError when the bind is refused, or anything else is not answered as it should be.
        """
        seconds = min(self._timeout_seconds, seconds_left())
        if seconds <= 0:
            raise DeadlineExceededError("no time was left to ask")
        ends_at = monotonic() + seconds
        last_word_at = ends_at - min(_LEAVE_SECONDS, seconds / 10)
        with closing(Connection.open(self._host, self._port, ends_at=last_word_at, tls=self._tls)) as connection:
            link = _Link(connection, self._refusal)
            try:
                link.ask(Command.BIND_TRANSMITTER, self._bind_body())
                link.ask(Command.ENQUIRE_LINK)
            finally:
                link.leave(ends_at)

    def _bind_body(self) -> bytes:
        """Return the fields of section 4.1.1, the last three empty: no address is bound."""
        texts = (self._system_id.reveal(), self._password.reveal(), self._system_type)
        return b"".join(text.encode("ascii") + b"\0" for text in texts) + bytes([_VERSION, 0, 0, 0])

    def _refusal(self, command: Command, status: int) -> ProviderError:
        code = code_of(status)
        if code is None:
            return BadResponseError(f"the SMSC refuses {_WORDS[command]} with a command_status that is reserved")
        reason = self._codes.of_call(code)
        if reason is None:
            self._observer.code_unmapped(code)
            reason = Reason.BAD_RESPONSE
        meaning = f", {_MEANINGS[code]}" if code in _MEANINGS else ""
        return ProviderError(reason, f"the SMSC refuses {_WORDS[command]}: {code}{meaning}", code=code)


_LEAVE_SECONDS: Final = 1.0  # that the unbind may take


@dataclass(slots=True)
class _Link:
    """The conversation over one connection. Its sequence numbers count from 1."""

    connection: Connection
    refusal: Callable[[Command, int], ProviderError]
    sequence: int = 0
    may_be_bound: bool = False

    def ask(self, command: Command, body: bytes = b"") -> None:
        """Return once the SMSC has said yes. Raises ProviderError."""
        self.sequence += 1
        is_bind = command is Command.BIND_TRANSMITTER
        self.may_be_bound |= is_bind  # from now on: the answer may be lost
        try:
            self.connection.send(pack_pdu(command, self.sequence, body=body))
            status = self._await(command)
        except DeadlineExceededError:
            status = None
        if status is None:
            raise DeadlineExceededError(f"no answer to {_WORDS[command]} came in time")
        if status != 0:
            self.may_be_bound &= not is_bind
            raise self.refusal(command, status)

    def leave(self, ends_at: float) -> None:
        """Unbind where that is needed. The link has shown by then what it can: an answer that is missing says nothing.

        An SMSC that hears of no unbind may count the bind until its own timers end it (section 7.2).
        """
        if not self.may_be_bound:
            return
        self.connection.ends_at = min(ends_at, monotonic() + _LEAVE_SECONDS)
        with suppress(ProviderError):
            self.ask(Command.UNBIND)

    def _await(self, command: Command) -> int:
        """Return the command_status of the answer; serve what the SMSC asks meanwhile."""
        for _ in range(_MOST_OTHERS):
            pdu = read_pdu(self.connection.receive)
            if pdu.command == _GENERIC_NACK and pdu.sequence in (self.sequence, 0):  # 0: it could not read ours
                if pdu.status == 0:
                    raise BadResponseError("the SMSC refuses without a command_status")
                return pdu.status
            if pdu.command & _RESPONSE:
                if (pdu.command, pdu.sequence) != (command | _RESPONSE, self.sequence):
                    raise BadResponseError("the SMSC answers another question than it was asked")
                return pdu.status
            self._serve(pdu)
        raise BadResponseError("the SMSC sends much that it was not asked for, and no answer")

    def _serve(self, pdu: Pdu) -> None:
        if pdu.command == Command.ENQUIRE_LINK:
            self._answer(pdu)
        elif pdu.command in (Command.DELIVER_SM, Command.DATA_SM):
            self._answer(pdu, status=_RX_T_APPN, body=b"\0")  # not ours to take: the SMSC shall try elsewhere, or later
        elif pdu.command == Command.UNBIND:
            self._answer(pdu)
            self.may_be_bound = False
            raise UnreachableError("the SMSC ended the link before it answered")

    def _answer(self, pdu: Pdu, *, status: int = 0, body: bytes = b"") -> None:
        self.connection.send(pack_pdu(pdu.command | _RESPONSE, pdu.sequence, status=status, body=body))
