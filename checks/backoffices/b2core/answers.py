"""What single answers say, taken apart with patience: the documentation is silent about most fields.

What is documented and still odd: ``total`` counts something else than ``data`` (1 beside two entries), one method is
called ``SMS`` in the text and ``sms`` in the example, and filters spell true as ``true`` here and ``1`` there
(https://docs.b2core.b2broker.com/en/rest-api-reference-back-2fa.html and its siblings, read 2026-11).
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from ...back_office import ID, ClientPhone, Identifier, Method, SmsTemplate, normalise_number, normalise_sender
from ...errors import BadResponseError
from ...names import clean_name
from ...secret import Secret

CODE_PLACEHOLDER: Final = "%CODE%"
"""https://docs.b2core.b2broker.com/en/how-to-set-up-2fa.html, read 2026-11."""

TEST_TYPES: Final = frozenset({"fake"})
"""The type in the documented example of the list; that it delivers nothing is inferred from its name."""

_TRUE: Final = frozenset({"1", "true", "yes", "on", "enabled"})
_FALSE: Final = frozenset({"0", "false", "no", "off", "disabled", ""})
_MASKED: Final = re.compile("[*\N{BULLET}\N{HORIZONTAL ELLIPSIS}]")  # wholly or in part: nothing to compare with

# The settings of a type are told at run time only, so their names are inferred from other products.
_IDENTIFIERS: Final[Mapping[str, Identifier]] = MappingProxyType(
    {
        "accountsid": Identifier.ACCOUNT,
        "accountid": Identifier.ACCOUNT,
        "account": Identifier.ACCOUNT,
        "sid": Identifier.ACCOUNT,
        "apikey": Identifier.KEY,
        "apikeysid": Identifier.KEY,
        "keysid": Identifier.KEY,
        "key": Identifier.KEY,
        "from": Identifier.SENDER,
        "fromnumber": Identifier.SENDER,
        "sender": Identifier.SENDER,
        "senderid": Identifier.SENDER,
        "sendernumber": Identifier.SENDER,
        "phone": Identifier.SENDER,
        "messagingservicesid": Identifier.SENDER,
    }
)


def is_id(value: str) -> bool:
    """Return whether it can be an id, and is safe in a path."""
    return ID.fullmatch(value) is not None


def parse_id(value: Any) -> str:
    """Return an id as text; empty for what is none."""
    text = str(value) if type(value) is int else value if isinstance(value, str) else ""
    return text if is_id(text) else ""


def first_told(entry: Mapping[str, Any], *keys: str) -> Any:
    """Return what the first of the keys says that is there and not null; None when none is."""
    return next((entry[key] for key in keys if entry.get(key) is not None), None)


def parse_flag(value: Any) -> bool | None:
    """Return what true and false, 1 and 0 and their texts mean; None for anything else."""
    if isinstance(value, bool):
        return value
    text = str(value) if type(value) is int else value.strip().lower() if isinstance(value, str) else None
    return True if text in _TRUE else False if text in _FALSE else None


def parse_entries(payload: Any) -> Sequence[Mapping[str, Any]]:
    """Return the objects of a list, whatever its ``total`` says. Raises BadResponseError when there is no list."""
    data = payload.get("data") if isinstance(payload, Mapping) else payload
    if isinstance(data, Mapping):
        data = list(data.values())
    if not isinstance(data, list):
        raise BadResponseError("the back office's answer has no list")
    return [entry for entry in data if isinstance(entry, Mapping)]


def identity_of(entry: Mapping[str, Any]) -> Hashable:
    """Return what tells an entry of a list from the others: its id, or all that is flat in it when it has none."""
    flat = ((key, value) for key, value in entry.items() if isinstance(value, str | int | float))
    return parse_id(entry.get("id")) or frozenset(flat)


def parse_object(payload: Any) -> Mapping[str, Any]:
    """Return the object of an answer, in ``data`` or not. Raises BadResponseError when there is none."""
    inner = payload.get("data") if isinstance(payload, Mapping) else None
    found = inner if isinstance(inner, Mapping) else payload
    if not isinstance(found, Mapping):
        raise BadResponseError("the back office's answer is no object")
    return found


def parse_name(entry: Mapping[str, Any], *keys: str) -> str:
    """Return the first of the keys that holds a text, cleaned for display; empty when none does."""
    return next((clean_name(entry[key]) for key in keys if isinstance(entry.get(key), str) and entry[key].strip()), "")


@dataclass(frozen=True, slots=True)
class Token:
    """An access or refresh token."""

    value: Secret
    lifetime_seconds: float | None  # by the back office's own dates; None: not told


def parse_token(value: Any) -> Token | None:
    """Return a token with its lifetime; None for what is none. https://docs.b2core.b2broker.com/en/rest-api-reference-back-authentication.html."""
    token = value.get("token") if isinstance(value, Mapping) else value
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]{1,8192}", token):
        return None
    lifetime = None
    if isinstance(value, Mapping):
        created, expires = _moment(value.get("createdAt")), _moment(value.get("expiresAt"))
        if created is not None and expires is not None and expires > created:
            lifetime = expires - created
    return Token(Secret(token), lifetime)


def _moment(value: Any) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class ProviderSettingsRead:
    """The settings of one SMS provider as the back office shows them."""

    filled: frozenset[str]  # plain names of settings that hold something
    empty: frozenset[str]  # of those that are shown and hold nothing
    identifiers: Mapping[Identifier, Secret] = field(repr=False)


def parse_provider_settings(entry: Mapping[str, Any]) -> ProviderSettingsRead | None:
    """Return the settings in a provider's details; None when they are not shown, or none of them is understood."""
    pairs = _setting_pairs(first_told(entry, "settings", "config"))
    if not pairs:
        return None
    identifiers: dict[Identifier, Secret] = {}
    for name, value in pairs.items():
        what = _IDENTIFIERS.get(_plain(name))
        if what is not None and isinstance(value, str) and 0 < len(value.strip()) <= 256 and not _MASKED.search(value):
            known_as = normalise_sender(value) if what is Identifier.SENDER else value.strip()
            identifiers.setdefault(what, Secret(known_as))
    empty = frozenset(_plain(name) for name, value in pairs.items() if _is_empty(value))
    told = frozenset(_plain(name) for name, value in pairs.items() if value is not None)
    return ProviderSettingsRead(told - empty, empty, MappingProxyType(identifiers))


def _setting_pairs(shown: Any) -> Mapping[str, Any]:
    if isinstance(shown, Mapping):
        return shown
    items = [item for item in shown if isinstance(item, Mapping)] if isinstance(shown, list) else []
    named = ((first_told(item, "name", "key"), item.get("value")) for item in items)
    return {name: value for name, value in named if isinstance(name, str)}


def parse_required(payload: Any) -> Mapping[str, str] | None:
    """Return what a type of provider demands: plain name -> name to be shown; None when that is not understood."""
    try:
        entries = parse_entries(payload)
    except BadResponseError:  # its form is not documented
        return None
    required: dict[str, str] = {}
    told = (payload.get("data") if isinstance(payload, Mapping) else payload) == []  # nothing is demanded
    for entry in entries:
        demanded, name = _is_demanded(entry), first_told(entry, "name", "key")
        if demanded is not None and isinstance(name, str) and _plain(name):
            told = True
            if demanded:
                required[_plain(name)] = clean_name(name)
    return required if told else None


def _is_demanded(entry: Mapping[str, Any]) -> bool | None:
    demanded, rules = parse_flag(first_told(entry, "required", "isRequired")), entry.get("rules")
    if demanded is None and isinstance(rules, str | list):
        return "required" in (rules.split("|") if isinstance(rules, str) else rules)
    return demanded


def missing_settings(required: Mapping[str, str], found: ProviderSettingsRead) -> tuple[str, ...]:
    """Return the names of demanded settings that are empty."""
    return tuple(name for plain, name in required.items() if plain in found.empty)


def untold_settings(required: Mapping[str, str], found: ProviderSettingsRead) -> tuple[str, ...]:
    """Return the names of demanded settings that are not shown, or as null: that may be how a secret is masked."""
    return tuple(name for plain, name in required.items() if plain not in found.filled | found.empty)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else value in ([], {})


def parse_template(entry: Mapping[str, Any]) -> SmsTemplate:
    """Return a text that carries codes; the text itself goes no further."""
    texts = (entry.get(key) for key in ("text", "template", "body", "content"))
    text = next((text for text in texts if isinstance(text, str)), "")
    return SmsTemplate(name=parse_name(entry, "name", "caption") or "unnamed", carries_code=CODE_PLACEHOLDER in text)


def parse_methods(payload: Any) -> Mapping[Method, bool]:
    """Return which methods are on. One that is not listed is not offered or not told: it stays away."""
    methods: dict[Method, bool] = {}
    for entry in parse_entries(payload):
        name, is_on = entry.get("name"), parse_flag(first_told(entry, "isEnabled", "enabled"))
        if isinstance(name, str) and is_on is not None:
            method = _METHODS.get(name.strip().lower(), Method.OTHER)
            methods[method] = methods.get(method, False) or is_on
    return MappingProxyType(methods)


_METHODS: Final[Mapping[str, Method]] = MappingProxyType({"sms": Method.SMS, "google": Method.TOTP})


def parse_phones(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ClientPhone]]:
    """Yield client ids with their numbers; the id is empty when it is not told."""
    for entry in entries:
        number = first_told(entry, "number", "phone")
        is_confirmed = parse_flag(first_told(entry, "confirmed", "isConfirmed"))
        phone = ClientPhone(
            number=normalise_number(number) if isinstance(number, str) else "", is_confirmed=is_confirmed
        )
        yield parse_id(first_told(entry, "clientId", "client_id")), phone
