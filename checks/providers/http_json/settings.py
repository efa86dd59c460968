"""What a configuration says of a provider that is described by it."""

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, WithJsonSchema, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from ...addresses import is_loopback, is_public
from ...callbacks import CallbackClient
from ...clients import (
    AccountClient,
    BalanceClient,
    CanaryClient,
    CredentialsClient,
    MessageLogClient,
    ServiceStatusClient,
)
from ...messages import Status
from ...settings import (
    Asked,
    Count,
    Flag,
    Pace,
    PlainUrl,
    ProviderSettings,
    RegexPattern,
    Seconds,
    SecretSetting,
    Settings,
    Url,
    between,
)
from ..causes import CauseOrReason
from ..posts import ForwardSettings
from .expressions import ExpressionSetting
from .presets import with_preset
from .signing import Digest, Encoding, KeyEncoding, decode_key
from .templates import (
    NUMBER_FORM,
    BodySetting,
    CredentialTemplateSetting,
    Template,
    TemplateSetting,
    hidden_in,
    names_in,
    templates_in,
)
from .times import TimeSettings

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]


def _key(value: Any) -> Any:
    if type(value) is int:
        return str(value)
    if not isinstance(value, str):
        raise PydanticCustomError("key", "must be a word of the provider, in quotes")
    return value.strip().lower()


def _header(value: Any) -> Any:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise PydanticCustomError("header", "must be the name of a header, such as X-Api-Key")
    return value


_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)  # RFC 9110 section 5.6.2

HeaderName = Annotated[str, BeforeValidator(_header)]

Word = Annotated[str, BeforeValidator(_key)]
"""A word or a code of the provider, in small letters: numbers or text in the file."""

ANY: Final = "*"

_STATUSES: Final = tuple(status for status in Status if status is not Status.RECEIPT_MISSING)


def _status(value: Any) -> Any:
    if value not in _STATUSES:
        accepted = ", ".join(_STATUSES)
        raise PydanticCustomError("status", "must be one of: {accepted}", {"accepted": accepted})
    return Status(value)


StatusWord = Annotated[Status, BeforeValidator(_status), WithJsonSchema({"type": "string", "enum": [*_STATUSES]})]


class AuthKind(StrEnum):
    """How a request shows who asks."""

    NONE = "none"
    BASIC = "basic"
    BEARER = "bearer"
    HEADER = "header"
    QUERY = "query"
    FORM = "form"
    HMAC = "hmac"
    OAUTH = "oauth2_client_credentials"


_OF_KIND: Final[Mapping[AuthKind, tuple[str, ...]]] = {
    AuthKind.NONE: (),
    AuthKind.BASIC: ("username", "password"),
    AuthKind.BEARER: ("token",),
    AuthKind.HEADER: ("headers",),
    AuthKind.QUERY: ("params",),
    AuthKind.FORM: ("params",),
    AuthKind.HMAC: ("key", "string_to_sign"),
    AuthKind.OAUTH: ("token_url", "client_id", "client_secret"),
}
"""What each kind needs."""

_MAY: Final[Mapping[AuthKind, tuple[str, ...]]] = {
    AuthKind.HMAC: ("headers", "params", "algorithm", "encoding", "key_encoding"),
    AuthKind.OAUTH: ("scope",),
}
"""What a kind may have besides."""

OF_A_SIGNATURE: Final = ("method", "path", "query", "body", "body_sha256", "timestamp", "nonce")


_MUST_NAME: Final = "must name a credential, such as {api_key}: no secret is written into the file"

SIGNATURE: Final = "signature"
"""The name of what is made with the key, which itself is not signed."""


class AuthSettings(Settings):
    """How a request shows who asks. Its texts name credentials, such as {api_key}."""

    kind: AuthKind = Field(AuthKind.NONE, description=f"one of: {', '.join(AuthKind)}")
    username: CredentialTemplateSetting | None = Field(None, description="of basic")
    password: CredentialTemplateSetting | None = Field(None, description="of basic")
    token: CredentialTemplateSetting | None = Field(None, description="of bearer")
    headers: dict[HeaderName, CredentialTemplateSetting] = Field(
        default_factory=dict, description="of header; of hmac, where {signature}, {timestamp} and {nonce} may stand"
    )
    params: dict[str, CredentialTemplateSetting] = Field(
        default_factory=dict, description="of query and form: fields that are added; of hmac: added to the query"
    )
    key: CredentialTemplateSetting | None = Field(None, description="of hmac: what signs")
    key_encoding: KeyEncoding = Field(KeyEncoding.TEXT, description="of hmac: how the key is given")
    algorithm: Digest = Field(Digest.SHA256, description="of hmac")
    string_to_sign: CredentialTemplateSetting | None = Field(
        None, description=f"of hmac; in it may stand {', '.join(f'{{{name}}}' for name in OF_A_SIGNATURE)}"
    )
    encoding: Encoding = Field(Encoding.HEX, description="of hmac: how the signature is written")
    token_url: PlainUrl | None = Field(None, description="of oauth2_client_credentials")
    client_id: CredentialTemplateSetting | None = Field(None, description="of oauth2_client_credentials")
    client_secret: CredentialTemplateSetting | None = Field(None, description="of oauth2_client_credentials")
    scope: str | None = Field(None, description="of oauth2_client_credentials, where it is wanted")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needed, fields = _OF_KIND[self.kind], type(self).model_fields
        given = {
            name for name, each in fields.items() if getattr(self, name) != each.get_default(call_default_factory=True)
        }
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise PydanticCustomError("auth", f"{self.kind} needs {', '.join(missing)}")
        odd = sorted(given - {"kind", *needed, *_MAY.get(self.kind, ())})
        if odd:
            raise PydanticCustomError("auth", f"{self.kind} has no {', '.join(odd)}")
        fixed = [name for name in ("password", "token", "key", "client_secret") if _is_fixed(getattr(self, name))]
        if self.kind in (AuthKind.HEADER, AuthKind.QUERY, AuthKind.FORM):
            fixed += [
                f"{name}.{key}" for name in needed for key, each in getattr(self, name).items() if _is_fixed(each)
            ]
        if fixed:
            raise PydanticCustomError("auth", "{what}", {"what": f"{', '.join(fixed)} {_MUST_NAME}"})
        return self

    def names(self) -> frozenset[str]:
        """Return the names of credentials that its texts need."""
        texts = (self.username, self.password, self.token, self.key, self.client_id, self.client_secret)
        of_all = names_in(tuple(each for each in texts if each is not None))
        made, signed = names_in((self.headers, self.params)), names_in(self.string_to_sign)
        if self.kind is AuthKind.HMAC:
            made, signed = made - {*OF_A_SIGNATURE, SIGNATURE}, signed - {*OF_A_SIGNATURE}
        return of_all | made | signed

    def hidden(self) -> Iterator[str]:
        """Yield what stands in its texts itself and may be a secret."""
        for name in type(self).model_fields:
            yield from hidden_in(getattr(self, name))


def _is_fixed(text: Template | None) -> bool:
    return text is not None and not text.names


class Method(StrEnum):
    """What may be asked with."""

    GET = "GET"
    POST = "POST"


class RequestSettings(Settings):
    """One request. Its texts may name credentials, times such as {now:%Y-%m-%d}, and what the endpoint gives."""

    method: Method = Field(Method.GET, description="GET or POST")
    path: TemplateSetting = Field(description="below base_url, with a slash before it")
    query: dict[str, TemplateSetting] = Field(default_factory=dict, description="parameters in the URL")
    form: dict[str, TemplateSetting] = Field(default_factory=dict, description="fields of a form in the body")
    body: BodySetting | None = Field(
        None, description='a body of JSON; "{validity_seconds:number}" stands for a number instead of a text'
    )
    headers: dict[HeaderName, TemplateSetting] = Field(default_factory=dict, description="headers")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if not self.path.text.startswith("/"):
            raise PydanticCustomError("request", "path must begin with a slash")
        if {"?", "#"} & set(self.path.text) or ".." in self.path.text.split("/"):
            raise PydanticCustomError("request", "path must be a path alone; parameters belong to query")
        if self.form and self.body is not None:
            raise PydanticCustomError("request", "a request has form or body, not both")
        if self.method is Method.GET and (self.form or self.body is not None):
            raise PydanticCustomError("request", "GET has no form and no body")
        return self

    def names(self) -> frozenset[str]:
        """Return the names of all that its texts need."""
        return names_in(self.texts())

    def texts(self) -> Any:
        """Return all that may have places, for ``names_in`` and ``templates_in``."""
        return (self.path, self.query, self.form, self.headers, self.body)


class RefusalSettings(Settings):
    """How an answer tells that it refuses, whatever its HTTP status."""

    when: ExpressionSetting = Field(description="true where the answer refuses")
    code: ExpressionSetting | None = Field(None, description="the code of the refusal")


class ErrorSettings(Settings):
    """How refusals are told, and what they mean."""

    when: ExpressionSetting | None = Field(None, description="true where an answer refuses, whatever its HTTP status")
    code: ExpressionSetting | None = Field(None, description="the code of a refusal")
    reasons: dict[Word, CauseOrReason] = Field(
        default_factory=dict,
        description='a cause or a reason for each code; "http-403" is an answer with that HTTP status and no such code',
    )

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.when is None) != (self.code is None):
            raise PydanticCustomError("error", "when and code go together")
        return self


class EndpointSettings(Settings):
    """What all endpoints have."""

    request: RequestSettings = Field(description="what is asked")
    text: RegexPattern | None = Field(
        None, description="for an answer that is no JSON: a regular expression whose named groups are then the answer"
    )
    refused: RefusalSettings | None = Field(None, description="how this endpoint refuses besides what error says")
    min_interval: Annotated[Seconds, between("1s", "7d")] | None = Field(
        None, description="a check of it may not run more often"
    )


class CredentialsEndpoint(EndpointSettings):
    """A cheap call that every good key may make."""

    ok_when: ExpressionSetting | None = Field(None, description="true in an answer to good credentials")


class AccountEndpoint(EndpointSettings):
    """Whether the account may send."""

    active_when: ExpressionSetting = Field(description="true for an account that is in use")
    suspended_when: ExpressionSetting | None = Field(None, description="true for one that is not, looked at first")
    restricted_when: ExpressionSetting | None = Field(None, description="true for a trial, which sends to few")


class BalanceEndpoint(EndpointSettings):
    """How much money is left."""

    amount: ExpressionSetting = Field(description="a number, also one that came as text")
    currency: ExpressionSetting = Field(description="ISO 4217; where the answer has none, a text such as \"'EUR'\"")
    pays_later_when: ExpressionSetting | None = Field(None, description="true for an account without a balance")


class RowFields(Settings):
    """Where the facts of one message stand in its row."""

    id: ExpressionSetting = Field(description="the provider's id of the message")
    status: ExpressionSetting = Field(description="its status, a key of statuses")
    to: ExpressionSetting | None = Field(None, description="the phone number, with or without its plus sign")
    created_at: ExpressionSetting | None = Field(None, description="when it was accepted; the log needs it")
    changed_at: ExpressionSetting | None = Field(None, description="when it came to its status")
    delivered_at: ExpressionSetting | None = Field(None, description="when it was delivered, where that is told")
    code: ExpressionSetting | None = Field(None, description="the code of a failure, a key of reasons")
    country: ExpressionSetting | None = Field(None, description="ISO 3166, for numbers that tell none")
    mcc_mnc: ExpressionSetting | None = Field(None, description="the codes of its network in one, such as 26201")
    price: ExpressionSetting | None = Field(None, description="what it cost; of a test message")
    currency: ExpressionSetting | None = Field(None, description="of the price")


class PagingKind(StrEnum):
    """How a list goes on."""

    NONE = "none"
    PAGE = "page"
    OFFSET = "offset"
    CURSOR = "cursor"
    LINK = "link"
    TIMESTAMP = "timestamp"


class PagingSettings(Settings):
    """How the log goes on behind a page."""

    kind: PagingKind = Field(PagingKind.NONE, description=f"one of: {', '.join(PagingKind)}")
    param: str | None = Field(
        None, description="of page, offset and cursor: the parameter of the query that names the page"
    )
    first: Count = Field(1, ge=0, le=1, description="of page: the number of the first one")
    next: ExpressionSetting | None = Field(
        None, description="of cursor and link: what names the next page, nothing at the last"
    )
    size: Count | None = Field(
        None, ge=1, le=10_000, description="rows of a full page; a shorter one is the last, unless more_when is given"
    )
    more_when: ExpressionSetting | None = Field(None, description="true in an answer that more pages follow")

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        kind = self.kind
        if kind in (PagingKind.PAGE, PagingKind.OFFSET, PagingKind.CURSOR) and self.param is None:
            raise PydanticCustomError("paging", f"{kind} needs param")
        if kind in (PagingKind.CURSOR, PagingKind.LINK) and self.next is None:
            raise PydanticCustomError("paging", f"{kind} needs next")
        if kind is PagingKind.TIMESTAMP and self.size is None:
            raise PydanticCustomError("paging", f"{kind} needs size")
        return self


class MessagesEndpoint(EndpointSettings):
    """The log of sent messages. Its request may name {from} and {until}, or is read from the newest message on."""

    items: ExpressionSetting = Field("@", validate_default=True, description="the list of rows")
    fields: RowFields = Field(description="where the facts of one message stand in its row")
    empty_when: ExpressionSetting | None = Field(None, description="true in an answer without a list: nothing is there")
    only_when: ExpressionSetting | None = Field(None, description="true for a row that is of a sent message")
    paging: PagingSettings = Field(default_factory=PagingSettings, description="how the log goes on behind a page")
    longest_span: Annotated[Seconds, between("10m", "30d")] = Field(
        86_400.0, description="no longer span of time is asked for at once"
    )
    edge: Annotated[Seconds, between("0s", "1d")] = Field(
        1.0, description="asked for before and behind a span: the step of {from} and {until}, 1d where they are days"
    )
    newest_first: Flag = Field(False, description="the rows come the newest first, so that little has to be read")

    @property
    def is_by_time(self) -> bool:
        """Whether it is asked for a span of time."""
        return "from" in self.request.names()


class MessageEndpoint(EndpointSettings):
    """One message by its {id}."""

    item: ExpressionSetting = Field("@", validate_default=True, description="the row")
    fields: RowFields | None = Field(None, description="as of the log, which are meant unless given")


class SendEndpoint(EndpointSettings):
    """Sending a test message: {to} and {sender}, without plus {to_digits} and {sender_digits}, {text}."""

    message_id: ExpressionSetting = Field(description="the id of the message that was sent")


class EndpointsSettings(Settings):
    """What can be asked. Of what is not here no check can be asked."""

    credentials: CredentialsEndpoint | None = Field(None, description="for the check credentials")
    account: AccountEndpoint | None = Field(None, description="for the check account")
    balance: BalanceEndpoint | None = Field(None, description="for the check balance")
    messages: MessagesEndpoint | None = Field(None, description="for the check delivery")
    message: MessageEndpoint | None = Field(None, description="for the check canary, with send")
    send: SendEndpoint | None = Field(None, description="for the check canary, with message")

    def given(self) -> Iterator[tuple[str, EndpointSettings]]:
        """Yield those that are there, with their names."""
        for name in type(self).model_fields:
            endpoint = getattr(self, name)
            if endpoint is not None:
                yield name, endpoint


class VerifyKind(StrEnum):
    """How a callback is known to be genuine."""

    HMAC = "hmac"
    BASIC = "basic"
    TOKEN = "token"  # noqa: S105  # a word of the configuration
    IP = "ip"


_VERIFY_NEEDS: Final[Mapping[VerifyKind, tuple[str, ...]]] = {
    VerifyKind.HMAC: ("key", "header"),
    VerifyKind.BASIC: ("username", "password"),
    VerifyKind.TOKEN: ("token", "header"),
    VerifyKind.IP: ("token", "param", "networks"),
}


_WIDEST: Final = ((IPv4Network, 8), (IPv6Network, 16))
"""Each kind of network, and the fewest bits that those of one vendor have in common."""

_SHORTEST_URL_SECRET: Final = 32  # letters: who finds it needs an address of the vendor's alone


def _network(value: Any) -> Any:
    for kind, fewest in _WIDEST:
        try:
            network = kind(value)
        except ValueError:
            continue
        if network.prefixlen < fewest:
            raise PydanticCustomError("network", "must be no wider than /{fewest}", {"fewest": fewest})
        return network
    raise PydanticCustomError("network", 'must be addresses such as "192.0.2.0/24"')


Network = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]

OF_A_POST: Final = ("body", "query", "timestamp")


class VerifySettings(Settings):
    """How a callback is known to be genuine."""

    kind: VerifyKind = Field(
        description="hmac signs it; basic and token (a header) show a secret; ip, for a provider that does none of"
        " this, wants an address of networks and a secret in the URL"
    )
    key: SecretSetting | None = Field(None, description="of hmac: what signs")
    key_encoding: KeyEncoding = Field(KeyEncoding.TEXT, description="of hmac: how the key is given")
    algorithm: Digest = Field(Digest.SHA256, description="of hmac")
    encoding: Encoding = Field(Encoding.HEX, description="of hmac: how the signature is written")
    prefix: str = Field("", description='of hmac: what stands before the signature, such as "sha256="')
    string_to_sign: TemplateSetting = Field(
        "{body}",
        validate_default=True,
        description=f"of hmac; in it may stand {', '.join(f'{{{name}}}' for name in OF_A_POST)}",
    )
    header: HeaderName | None = Field(
        None, description="of hmac: the header with the signature; of token: that with it"
    )
    timestamp_header: HeaderName | None = Field(None, description="of hmac: the header with the signed Unix time")
    max_age: Annotated[Seconds, between("10s", "1d")] = Field(300.0, description="an older timestamp is refused")
    username: SecretSetting | None = Field(None, description="of basic")
    password: SecretSetting | None = Field(None, description="of basic")
    token: SecretSetting | None = Field(None, description="of token and ip: the secret; of ip at least 32 characters")
    param: str | None = Field(None, description="of ip: the parameter of the URL with the secret")
    networks: tuple[Network, ...] = Field(
        (),
        description="addresses that may post, none wider than /8, or /16 of IPv6; of ip needed, of others a bar more",
    )
    address_header: HeaderName | None = Field(
        None, description="where a proxy of yours stands before: its header whose last address is the sender's"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        missing = [name for name in _VERIFY_NEEDS[self.kind] if not getattr(self, name)]
        if missing:
            raise PydanticCustomError("verify", f"{self.kind} needs {', '.join(missing)}")
        in_url = self.token if self.kind is VerifyKind.IP else None
        if in_url is not None and len(in_url.reveal()) < _SHORTEST_URL_SECRET:
            raise PydanticCustomError("verify", f"token of ip must have at least {_SHORTEST_URL_SECRET} characters")
        names = self.string_to_sign.names
        if not names <= set(OF_A_POST) or any(form is not None for _, form in self.string_to_sign.places):
            raise PydanticCustomError("verify", f"string_to_sign may name {', '.join(OF_A_POST)}, as they are")
        if "timestamp" in names and self.timestamp_header is None:
            raise PydanticCustomError("verify", "a signed timestamp needs timestamp_header")
        if self.timestamp_header is not None and "timestamp" not in names:
            raise PydanticCustomError("verify", "a timestamp that is not signed proves nothing")
        if self.key is not None:
            try:
                decode_key(self.key.reveal(), self.key_encoding)
            except ValueError as problem:
                raise PydanticCustomError("verify", "{problem}", {"problem": str(problem)}) from None
        return self


class CallbackFormat(StrEnum):
    """What a callback is."""

    FORM = "form"
    JSON = "json"
    QUERY = "query"  # a GET request


class HttpJsonCallbackSettings(ForwardSettings):
    """What a callback holds, and how it is believed."""

    format: CallbackFormat = Field(CallbackFormat.JSON, description="form, json, or query for GET requests")
    items: ExpressionSetting = Field("@", validate_default=True, description="the row, or the list of rows")
    fields: RowFields = Field(description="where the facts of one message stand in its row")
    times: TimeSettings | None = Field(None, description="how it writes times; as in answers unless given")
    verify: VerifySettings = Field(description="how it is believed")

    @model_validator(mode="after")
    def _is_signed_as_a_whole(self) -> Self:
        told = "query" if self.format is CallbackFormat.QUERY else "body"
        if self.verify.kind is VerifyKind.HMAC and told not in self.verify.string_to_sign.names:
            what = f"verify.string_to_sign must name {{{told}}}, which is what a callback of {self.format} says"
            raise PydanticCustomError("callbacks", "{what}", {"what": what})
        return self


_GIVEN_TO: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("from", "until"),
    "message": ("id",),
    "send": ("to", "to_digits", "sender", "sender_digits", "text", "validity_seconds", "validity_minutes"),
}
"""What each endpoint gives to its request; all give the time."""

_TIMES: Final = frozenset({"now", "from", "until"})
_NUMBERS: Final = frozenset({"to_digits", "validity_seconds", "validity_minutes"})

_TAKEN: Final = frozenset(
    {"now", SIGNATURE, *OF_A_SIGNATURE, *(name for given in _GIVEN_TO.values() for name in given)}
)
"""What no credential can be called, for it stands for something else."""

_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)

_SECRET_HEADER: Final = re.compile(r".*(authorization|cookie|key|token|secret|passw).*", re.IGNORECASE)
_SECRET_FIELD: Final = re.compile(
    r"(.*[_.-])?((api|auth|access|secret|private)[_.-]?(key|token)|password|passwd|pwd|psw|secret|token)", re.IGNORECASE
)

_Problem = tuple[str, str]
"""Where it is, with dots between, and what it is, in words."""

_CHECKS_OF: Final[Mapping[str, str]] = {
    "credentials": "credentials",
    "account": "account",
    "balance": "balance",
    "messages": "delivery",
}


class HttpJsonSettings(ProviderSettings):
    """A provider whose HTTP API this describes: what to ask, and where things stand in the answers.

    With preset most of it is there already, see presets.md; what the entry gives itself wins.
    """

    type: Literal["http_json"] = Field(description="described by the configuration")
    preset: str | None = Field(None, description="the name of a description that comes with the exporter")
    base_url: PlainUrl | None = Field(None, description="what all paths are below; no other host is asked")
    allow_insecure: Flag = Field(False, description="take a base_url without TLS: everybody on the way reads secrets")
    allow_private: Flag = Field(False, description="take a host with an address of a private network")
    credentials: dict[Name, SecretSetting] = Field(
        default_factory=dict, description="secrets by a name, which texts of auth and requests give as {name}"
    )
    auth: AuthSettings = Field(default_factory=AuthSettings, description="how a request shows who asks")
    headers: dict[HeaderName, TemplateSetting] = Field(default_factory=dict, description="headers of every request")
    times: TimeSettings = Field(default_factory=TimeSettings, description="how the provider writes times")
    max_requests_per_second: Count = Field(
        5, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    max_answer_bytes: Count = Field(1_048_576, ge=1024, le=16_777_216, description="a larger answer is refused")
    error: ErrorSettings = Field(default_factory=ErrorSettings, description="how refusals are told, and what they mean")
    endpoints: EndpointsSettings = Field(
        default_factory=EndpointsSettings, description="what can be asked; of what is not here no check can be asked"
    )
    statuses: dict[Word, StatusWord] = Field(
        default_factory=dict,
        description=f'what each status of a message means, one of: {", ".join(_STATUSES)}; "*" is for all others',
    )
    reasons: dict[Word, CauseOrReason] = Field(
        default_factory=dict,
        description='a cause or a reason for each code of a message; "status-22" is a status 22 whose code says less',
    )
    callbacks: HttpJsonCallbackSettings | None = Field(
        None, description="callbacks, taken on --public.listen-address; off unless given"
    )
    status_page: Url | None = Field(None, description="the Statuspage to read, for the check service_status")
    redact: tuple[str, ...] = Field(
        (), description="keys of answers, with dots between, that provider probe --dump never shows"
    )

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, given: Any, info: Any) -> Any:
        return with_preset(given, info.context)

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        found = [
            InitErrorDetails(
                type=PydanticCustomError("http_json", "{words}", {"words": words}),
                loc=tuple(where.split(".")),
                input=None,
            )
            for where, words in self._problems()
        ]
        if found:  # each at its place, which pydantic keeps
            raise ValidationError.from_exception_data("http_json", found, hide_input=True)
        return self

    def _problems(self) -> Iterator[_Problem]:
        if self.base_url is None:
            yield "base_url", "is required, or preset"
            return
        yield from self._problems_of_the_way()
        yield from self._problems_of_names()
        yield from self._problems_of_secrets()
        ends = self.endpoints
        if not any(True for _ in ends.given()) and self.callbacks is None:
            yield "endpoints", "needs at least one"
        if ends.messages is not None and ends.messages.fields.created_at is None:
            yield "endpoints.messages.fields.created_at", "is required"
        if ends.message is not None and ends.message.fields is None and ends.messages is None:
            yield "endpoints.message.fields", "is required where there is no endpoints.messages"
        if (ends.messages or ends.message or self.callbacks) and not self.statuses:
            yield "statuses", "is required, for messages have a status"
        paging = None if ends.messages is None else ends.messages.paging.kind
        if paging is PagingKind.TIMESTAMP and ends.messages is not None and not ends.messages.is_by_time:
            yield "endpoints.messages.paging", "timestamp needs {from} and {until} in the request"

    def _problems_of_the_way(self) -> Iterator[_Problem]:
        for name, url in (("base_url", self.base_url), ("auth.token_url", self.auth.token_url)):
            if url is None:
                continue
            parts = urlsplit(url)
            if parts.scheme != "https" and not is_loopback(parts.hostname or "") and not self.allow_insecure:
                yield name, "must use https; allow_insecure: true takes it as it is"
            if not self.allow_private and _is_private(parts.hostname or ""):
                yield name, "is an address of a private network; allow_private: true takes it as it is"

    def _problems_of_names(self) -> Iterator[_Problem]:
        for name in sorted(self.credentials.keys() & _TAKEN):
            yield f"credentials.{name}", f"must have another name: {{{name}}} stands for something else in requests"
        for name in sorted(self.auth.names() - self.credentials.keys()):
            yield f"credentials.{name}", "is required: auth names it"
        common = {*self.credentials, "now"}
        places: list[tuple[str, Any, set[str]]] = [("headers", self.headers, common)]
        places += [
            (f"endpoints.{name}.request", each.request.texts(), {*common, *_GIVEN_TO.get(name, ())})
            for name, each in self.endpoints.given()
        ]
        for where, texts, known in places:
            for name in sorted(names_in(texts) - known):
                accepted = ", ".join(sorted(known))
                yield where, f"nothing is called {{{name}}}, must be a credential or one of: {accepted}"
        places.append(("auth", tuple(templates_in(tuple(dict(self.auth).values()))), set()))
        for where, texts, _ in places:
            for name, form in sorted({place for each in templates_in(texts) for place in each.places}, key=str):
                yield from self._problems_of_a_form(where, name, form)

    def _problems_of_a_form(self, where: str, name: str, form: str | None) -> Iterator[_Problem]:
        secret = self.credentials.get(name)
        if form is None:
            return
        if form != NUMBER_FORM:
            if name not in _TIMES:
                yield where, f"{{{name}:{form}}} must be {{{name}}}, for it is no time"
        elif name in _TIMES:
            yield where, f"{{{name}:{form}}} must have the form of a time, such as {{{name}:unix}}"
        elif name not in _NUMBERS and not (secret is not None and _DIGITS.fullmatch(secret.reveal())):
            yield where, f"{{{name}:{form}}} must be {{{name}}}, for it need not be a number"

    def _problems_of_secrets(self) -> Iterator[_Problem]:
        """Yield what is written into the file that ought to be a credential, and what of those cannot be used."""
        headers: list[tuple[str, Mapping[str, Any]]] = [("headers", self.headers), ("auth.headers", self.auth.headers)]
        fields: list[tuple[str, Mapping[str, Any]]] = [("auth.params", self.auth.params)]
        for endpoint, each in self.endpoints.given():
            where, request = f"endpoints.{endpoint}.request", each.request
            headers.append((f"{where}.headers", request.headers))
            fields += [(f"{where}.query", request.query), (f"{where}.form", request.form)]
            fields.append((f"{where}.body", request.body or {}))
        for named, pattern in ((headers, _SECRET_HEADER), (fields, _SECRET_FIELD)):
            for where, texts in named:
                for key, text in texts.items():
                    if isinstance(text, Template) and _is_fixed(text) and text.text and pattern.fullmatch(key):
                        yield f"{where}.{key}", _MUST_NAME
        for where, texts in headers:
            for key, text in texts.items():
                if not all(fits_a_header(literal) for literal in text.literals):
                    yield f"{where}.{key}", "must be in one line, of letters that a header can hold"
        auth = self.auth
        if auth.kind is AuthKind.HMAC and auth.key is not None and auth.key.names <= self.credentials.keys():
            try:
                decode_key(auth.key.fill(self.revealed(), "UTC"), auth.key_encoding)
            except ValueError as problem:
                yield "auth.key", str(problem)

    def revealed(self) -> Mapping[str, str]:
        """Return the credentials as requests need them."""
        return {name: secret.reveal() for name, secret in self.credentials.items()}

    def words(self) -> frozenset[str]:
        """Return the words of the provider, in small letters, that its tables name."""
        return frozenset({*self.statuses, *self.reasons, *self.error.reasons})

    def lacks(self, protocol: Asked) -> str | None:
        """Return the setting without which the client cannot do what a protocol asks; None when it can."""
        for name in _NEEDED_BY.get(protocol, ()):
            value: Any = self
            for part in name.split("."):
                value = getattr(value, part)
            if value is None:
                return name
        return None

    def hosts(self) -> tuple[str, ...]:
        """Return the host that is asked."""
        return (urlsplit(self.base_url or "").hostname or "",)

    def paces(self) -> Mapping[str, Pace]:
        """Return how often each endpoint lets itself be asked."""
        return {
            _CHECKS_OF[name]: Pace(each.min_interval, f"endpoints.{name}.min_interval of the provider")
            for name, each in self.endpoints.given()
            if each.min_interval is not None and name in _CHECKS_OF
        }

    def public_only(self, url: str) -> bool:
        """Return whether only public addresses are connected to for a URL, whatever its host's name resolves to."""
        return not (self.allow_private or is_loopback(urlsplit(url).hostname or ""))


_NEEDED_BY: Final[Mapping[type, tuple[str, ...]]] = {
    CredentialsClient: ("endpoints.credentials",),
    AccountClient: ("endpoints.account",),
    BalanceClient: ("endpoints.balance",),
    MessageLogClient: ("endpoints.messages",),
    CanaryClient: ("endpoints.send", "endpoints.message"),
    ServiceStatusClient: ("status_page",),
    CallbackClient: ("callbacks",),
}


def _is_private(host: str) -> bool:
    try:
        return not is_loopback(host) and not is_public(host)
    except ValueError:  # a name: where it leads is seen when it is asked
        return False


def fits_a_header(value: str) -> bool:
    """Return whether a header can hold a value: Latin-1 (RFC 9110 section 5.5), in one line."""
    return value.isprintable() and all(ord(each) < 256 for each in value)
