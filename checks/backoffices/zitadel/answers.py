"""What ZITADEL's answers mean.

They are protocol buffers as JSON (https://protobuf.dev/programming-guides/json/): what has its zero value is left out,
null is the same as left out, and 64-bit numbers are text. Anything else than that is no answer of ZITADEL's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from ...back_office import ID, Client, ClientPhone, Identifier, Method, SmsProvider, normalise_sender
from ...errors import BadResponseError
from ...messages.country import E164
from ...names import clean_name
from ...secret import Secret

_COUNT: Final = re.compile(r"[0-9]{1,18}")

_ACTIVE: Final = "SMS_PROVIDER_CONFIG_ACTIVE"

_METHODS: Final[Mapping[str, Method]] = {
    "AUTHENTICATION_METHOD_TYPE_TOTP": Method.TOTP,
    "AUTHENTICATION_METHOD_TYPE_OTP_SMS": Method.SMS,
}

_FIRST_FACTORS: Final = (
    "AUTHENTICATION_METHOD_TYPE_UNSPECIFIED",
    "AUTHENTICATION_METHOD_TYPE_PASSWORD",
    "AUTHENTICATION_METHOD_TYPE_IDP",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One human user in a list."""

    id: str = field(repr=False)
    phone: str = field(repr=False)  # E.164; empty when there is none, or none of that form


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """One page of a list of users."""

    listed: int  # of any type, before those without an id that we can use were left out
    humans: Sequence[User]
    total: int  # on all pages


def is_id(text: str) -> bool:
    """Return whether a text can be an id of ZITADEL's: it is then safe in the path of a URL."""
    return ID.fullmatch(text) is not None


def parse_count(value: Any) -> int | None:
    """Return a 64-bit number that may be text; None for anything else, and for more than 18 digits."""
    text = str(value) if isinstance(value, (int, str)) else ""
    return int(text) if _COUNT.fullmatch(text) else None


def parse_object(value: Any) -> Mapping[str, Any]:
    """Return a message. Raises BadResponseError for anything else."""
    if not isinstance(value, dict):
        raise BadResponseError("the answer is not as ZITADEL documents it")
    return value


def parse_providers(answer: Mapping[str, Any]) -> tuple[SmsProvider, ...]:
    """Return what ListSMSProviders lists.

    A state that is not told or not known is a provider that is not enabled, as in ZITADEL itself.

    https://zitadel.com/docs/reference/api/admin/zitadel.admin.v1.AdminService.ListSMSProviders (read 2026-11)
    """
    return tuple(_provider(item) for item in _messages(answer, "result"))


def parse_users(answer: Mapping[str, Any]) -> Users:
    """Return what ListUsers lists; users with an id that is none to us are left out of it.

    https://zitadel.com/docs/apis/resources/user_service/user-service-list-users (read 2026-11)
    """
    users = list(_messages(answer, "result"))
    humans = ((_text(user, "userId"), _message(user, "human")) for user in users)
    return Users(
        listed=len(users),
        humans=tuple(User(id=id_, phone=_phone(human)) for id_, human in humans if human is not None and is_id(id_)),
        total=_total(answer),
    )


def parse_human(answer: Mapping[str, Any], client_id: str) -> Mapping[str, Any] | None:
    """Return the human part of what GetUserByID gives; None for a service user, which is no client.

    Fields: proto/zitadel/user/v2/user.proto and phone.proto in https://github.com/zitadel/zitadel (read 2026-11)
    """
    user = parse_object(answer.get("user"))
    if _text(user, "userId") != client_id:
        raise BadResponseError("ZITADEL answered with another user than was asked for")
    human = _message(user, "human")
    if human is None and _message(user, "machine") is None:
        raise BadResponseError("ZITADEL answered with a user that is neither human nor machine")
    return human


def parse_client(human: Mapping[str, Any], methods: Mapping[str, Any]) -> Client:
    """Return a client, from the human part of a user and what ListAuthenticationMethodTypes gives.

    ZITADEL lists the methods that are on: one that is not listed is off.

    https://zitadel.com/docs/reference/api/user/zitadel.user.v2.UserService.ListAuthenticationMethodTypes (read 2026-11)
    """
    names = _list(methods, "authMethodTypes")
    if not all(isinstance(name, str) for name in names):
        raise BadResponseError("ZITADEL names an authentication method by something else than a text")
    on = {_METHODS.get(name, Method.OTHER) for name in names if name not in _FIRST_FACTORS}
    return Client(methods=MappingProxyType({method: method in on for method in Method}), phones=_phones(human))


def _provider(item: Mapping[str, Any]) -> SmsProvider:
    state = _text(item, "state")
    twilio, http = _message(item, "twilio"), _message(item, "http")
    if twilio is not None:
        return SmsProvider(
            name=_name(item, "twilio"),
            vendor="twilio",
            is_enabled=state == _ACTIVE,
            missing=_missing_of_twilio(twilio),
            identifiers=_identifiers(twilio),
        )
    if http is not None:
        missing = () if _text(http, "endpoint") else ("endpoint",)
        return SmsProvider(name=_name(item, "http"), vendor="http", is_enabled=state == _ACTIVE, missing=missing)
    return SmsProvider(
        name=_name(item, "unknown"),
        vendor="unknown",
        is_enabled=state == _ACTIVE,
        unreadable=("the settings, of a type that is not known",),
    )


def _name(item: Mapping[str, Any], vendor: str) -> str:
    """Return the description, which is all the name that ZITADEL knows, or type and id for a provider without one."""
    id_, description = _text(item, "id"), _text(item, "description")
    if not is_id(id_):
        raise BadResponseError("ZITADEL has an SMS provider without an id")
    return clean_name(description) if description.strip() else f"{vendor} {id_}"


def _missing_of_twilio(twilio: Mapping[str, Any]) -> tuple[str, ...]:
    missing = () if _text(twilio, "sid") else ("sid",)
    if _text(twilio, "senderNumber") or _text(twilio, "verifyServiceSid"):
        return missing
    return (*missing, "senderNumber or verifyServiceSid")


def _identifiers(twilio: Mapping[str, Any]) -> Mapping[Identifier, Secret]:
    sender = normalise_sender(_text(twilio, "senderNumber"))
    texts = {Identifier.ACCOUNT: _text(twilio, "sid"), Identifier.SENDER: sender}
    return MappingProxyType({identifier: Secret(text) for identifier, text in texts.items() if text})


def _phones(human: Mapping[str, Any]) -> tuple[ClientPhone, ...]:
    phone = _message(human, "phone")
    if phone is None or not _text(phone, "phone"):
        return ()
    return (ClientPhone(number=_phone(human), is_confirmed=_flag(phone, "isVerified")),)


def _phone(human: Mapping[str, Any]) -> str:
    phone = _message(human, "phone")
    number = "" if phone is None else _text(phone, "phone")
    return number if E164.fullmatch(number) else ""


def _total(answer: Mapping[str, Any]) -> int:
    details = _message(answer, "details") or {}
    total = parse_count(details["totalResult"]) if details.get("totalResult") is not None else 0
    if total is None:
        raise BadResponseError("ZITADEL counts in something else than numbers")
    return total


def _messages(parent: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    return (parse_object(item) for item in _list(parent, name))


def _list(parent: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = parent.get(name)
    if value is not None and not isinstance(value, list):
        raise _mistyped(name, "list")
    return value or ()


def _message(parent: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = parent.get(name)
    return None if value is None else parse_object(value)


def _text(parent: Mapping[str, Any], name: str) -> str:
    value = parent.get(name)
    if value is not None and not isinstance(value, str):
        raise _mistyped(name, "text")
    return value or ""


def _flag(parent: Mapping[str, Any], name: str) -> bool:
    value = parent.get(name)
    if value is not None and not isinstance(value, bool):
        raise _mistyped(name, "flag")
    return value or False


def _mistyped(name: str, kind: str) -> BadResponseError:
    return BadResponseError(f"{name} in ZITADEL's answer is not a {kind}")
