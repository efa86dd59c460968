"""The building blocks of every settings model: what a user may write, and what it becomes.

The models say what is accepted; ``exporter/config.py`` reads the file, composes them and words the errors.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

from phonenumbers import SUPPORTED_REGIONS
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from .addresses import is_loopback
from .back_office import Identifier
from .messages.country import E164, mask_number
from .secret import Secret

SecretResolver = Callable[[Mapping[str, str]], Secret]
"""Turns ``{"env": NAME}`` or ``{"file": PATH}`` into the secret; raises ValueError in the user's words."""


class Settings(BaseModel):
    """A frozen model that refuses unknown keys, and quotes no value in its errors: it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True)


Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A number; text that looks like one is refused, not guessed."""

Count = Annotated[int, Strict()]
"""A whole number."""

Flag = Annotated[bool, Strict()]
"""true or false."""


_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"


def parse_duration(text: str) -> float:
    """Return the seconds in ``"30s"``, ``"5m"``, ``"1h30m"``, ``"250ms"`` or ``"2d"``.

    Raises ValueError for anything else.
    """
    if not re.fullmatch(_DURATION_PATTERN, text):
        msg = f'"{text}" is not a duration'
        raise ValueError(msg)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(text))


def format_duration(seconds: float) -> str:
    """Return the shortest text that ``parse_duration`` reads back as ``seconds``, such as ``"5m"``."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _UNIT_SECONDS[unit]
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{seconds * 1000:g}ms"


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("duration", 'must be a duration such as "30s" or "5m"')
    try:
        return parse_duration(value)
    except ValueError:
        raise PydanticCustomError("duration", 'must be a duration such as "30s" or "5m"') from None


def between(low: str, high: str) -> AfterValidator:
    """Return an annotation that keeps a duration between two others, and words its refusal in durations."""
    low_seconds, high_seconds = parse_duration(low), parse_duration(high)

    def check(value: float) -> float:
        if value < low_seconds:
            raise PydanticCustomError("range", 'must be at least "{low}"', {"low": low})
        if value > high_seconds:
            raise PydanticCustomError("range", 'must be at most "{high}"', {"high": high})
        return value

    return AfterValidator(check)


Seconds = Annotated[
    float,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["30s", "5m"]}),
]
"""A duration: text in the file, seconds in the code."""


def _secret(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, Mapping):
        raise PydanticCustomError(
            "inline_secret",
            "a secret is never written into the file; give it as {env: NAME} or {file: PATH}",
        )
    if len(value) != 1 or not set(value) <= {"env", "file"} or not isinstance(next(iter(value.values())), str):
        raise PydanticCustomError("secret", "must be {env: NAME} or {file: PATH}")
    if info.context is None:
        raise PydanticCustomError("secret", "cannot be resolved here")
    resolve: SecretResolver = info.context["resolve_secret"]
    try:
        return resolve(value)
    except ValueError as problem:
        raise PydanticCustomError("secret", "{problem}", {"problem": str(problem)}) from None


SecretSetting = Annotated[
    Secret,
    BeforeValidator(_secret),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {key: {"type": "string"}},
                    "required": [key],
                    "additionalProperties": False,
                }
                for key in ("env", "file")
            ]
        }
    ),
]
"""A secret: a reference in the file, a ``Secret`` in the code."""


def _url(value: Any, *, may_be_plain: bool = False) -> Any:
    problem = PydanticCustomError("url", 'must be a URL such as "https://status.example.com"')
    if not isinstance(value, str):
        raise problem
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise problem
    if parts.username or parts.password:
        raise PydanticCustomError("url", "must not hold credentials")
    if parts.scheme == "http" and not (is_loopback(parts.hostname) or may_be_plain):
        raise PydanticCustomError("url", "must use https; http is accepted for loopback addresses only")
    return f"{parts.scheme}{value[len(parts.scheme) :]}".rstrip("/")  # the scheme in small letters


Url = Annotated[str, BeforeValidator(_url), WithJsonSchema({"type": "string", "format": "uri"})]
"""An http(s) URL without credentials, query and trailing slash, its scheme in small letters; http for loopback only."""

PlainUrl = Annotated[
    str,
    BeforeValidator(partial(_url, may_be_plain=True)),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
"""As ``Url``, and plain http for any host: the model that takes it asks whether that is meant."""


def _country(value: Any) -> Any:
    if not isinstance(value, str) or value not in SUPPORTED_REGIONS:
        raise PydanticCustomError("country", 'must be an ISO 3166 code of two capital letters in quotes, such as "DE"')
    return value


CountryCode = Annotated[str, BeforeValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
"""ISO 3166 alpha-2, upper case. YAML reads an unquoted NO as false: such values are refused."""


def _phone_number(value: Any) -> Any:
    if not isinstance(value, str) or not E164.fullmatch(value):
        raise PydanticCustomError(
            "phone_number", 'must be a phone number in E.164 form in quotes, such as "+14155550100"'
        )
    return value


PhoneNumber = Annotated[
    str,
    BeforeValidator(_phone_number),
    PlainSerializer(mask_number, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{E164.pattern}$"}),
]
"""E.164 with the plus sign, in quotes; masked wherever settings are shown."""


def _masked_email(value: str) -> str:
    name, _, domain = value.rpartition("@")
    return f"{name[:1]}***@{domain}"


EmailAddress = Annotated[
    str,
    Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254),
    PlainSerializer(_masked_email, return_type=str),
]
"""An e-mail address; masked wherever settings are shown."""


def _pattern(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError("pattern", "must be a regular expression in quotes")
    try:
        re.compile(value)
    except re.error as problem:
        raise PydanticCustomError(
            "pattern", "is not a regular expression: {problem}", {"problem": str(problem)}
        ) from None
    return value


RegexPattern = Annotated[str, BeforeValidator(_pattern), WithJsonSchema({"type": "string", "format": "regex"})]
"""A regular expression, compiled once at load to prove that it is one."""


class CheckSettings(Settings):
    """What every check may set; each check's own model adds to it."""

    target: str = Field(description="the provider, back office or clock that the check looks at")
    interval: Annotated[Seconds, between("100ms", "7d")] = Field(60.0, description="time between runs")
    timeout: Annotated[Seconds, between("100ms", "1h")] = Field(30.0, description="time that one run may take")


class ConfirmationSettings(Settings):
    """How to believe the application that tells which codes were typed."""

    token: SecretSetting = Field(description="what the application sends as bearer token")


class Demanded(NamedTuple):
    """An annotation of a required setting: why it has no default, said to whoever leaves it out."""

    why: str  # in words


Asked = type
"""A protocol of ``checks.clients`` or ``checks.callbacks``: what a check asks of a client."""


class Pace(NamedTuple):
    """How often a kind of check may run, and why not more often."""

    seconds: float  # the shortest interval
    why: str  # in words


class TargetSettings(Settings):
    """What everything that a check can look at may set."""

    type: str = Field(description="the vendor")
    timeout: Annotated[Seconds, between("100ms", "5m")] = Field(10.0, description="time that one API call may take")

    def paces(self) -> Mapping[str, Pace]:
        """Return how often kinds of checks may run, by kind; those that are not there may run as often as wanted."""
        return {}

    def lacks(self, protocol: Asked) -> str | None:  # noqa: ARG002  # most clients can do all that their class can
        """Return the setting without which the client cannot do what a protocol asks, though its class can."""
        return None

    def hosts(self) -> tuple[str, ...]:
        """Return the hosts of the vendor's that are not known from its type, as its table of vendors has no row."""
        return ()

    def warnings(self) -> Sequence[str]:
        """Return what is allowed and yet dangerous, in words; each begins with the setting."""
        return ()


class VerifierEventSettings(Settings):
    """How to believe the platform that tells which step each code matched."""

    token: SecretSetting = Field(description="what the platform sends as bearer token")


class BackOfficeSettings(TargetSettings):
    """What every back office may set; each vendor's own model adds to it."""

    max_requests_per_second: Count = Field(
        30, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )

    verifier_events: VerifierEventSettings | None = Field(
        None,
        description="the platform posts to /api/v1/verifier-events/ which step each code matched; off unless given",
    )


class ProviderSettings(TargetSettings):
    """What every provider may set; each vendor's own model adds to it."""

    confirmations: ConfirmationSettings | None = Field(
        None, description="the application posts which codes were typed to /api/v1/confirmations/; off unless given"
    )

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return what the account is known by elsewhere; what a vendor does not tell is left out."""
        return {}

    def silence(self) -> str | None:
        """Return why nothing is ever told of what became of a test message, in words; None where it is told."""
        return None
