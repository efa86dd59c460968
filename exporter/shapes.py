"""What an answer of a provider looks like, without what stands in it: shown to people who describe a provider.

Nothing is shown unless it is known to be harmless: words of the trade under keys such as "status", and numbers of up
to three digits where no key says that they are private. Of the rest there is the shape alone: how many digits, how
many letters, how a time is written. A word that is not known may be a code or a name, so that it is not shown.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from checks.messages import Status
from checks.providers.http_json.settings import AuthSettings
from checks.reason import Reason
from checks.secret import Secret
from checks.settings import Settings

_DEEPEST: Final = 12
_MOST_KEYS: Final = 60  # of an object
_MOST_SHAPES: Final = 12  # of one place in all rows of a list
_MOST_ROWS: Final = 2000  # that are looked at
_SHORTEST_SECRET: Final = 4

_TELLING_KEY: Final = re.compile(
    r"status|state|code|type|kind|direction|currency|country|reason|error|class|unit|network|operator|carrier",
    re.IGNORECASE,
)
_PRIVATE_KEY: Final = re.compile(
    r"name|text|message|body|title|desc|detail|secret|token|key|pass|pin|otp|auth|verif|login|confirm|user|mail|phone|number"
    r"|address|url|link",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[A-Za-z]{1,20}([_-][A-Za-z]{1,20}){0,3}|[A-Za-z_-]{0,8}\d{1,3}", re.ASCII)
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_CODE_OF_A_PLACE_KEY: Final = re.compile(r"(.*[_.-])?(currency|country)([_.-]?(code|iso))?", re.IGNORECASE)
_CODE_OF_A_PLACE: Final = re.compile(r"[A-Z]{2,3}")  # ISO 3166 and 4217
_KEY: Final = re.compile(r"[$@]?[A-Za-z_][A-Za-z_-]{0,31}\d{0,3}[A-Za-z_]{0,12}", re.ASCII)
_MASKED: Final = re.compile(r"[A-Za-z0-9 .,:+/_-]{1,32}", re.ASCII)
_MOST_LETTERS_OF_A_MASK: Final = 6  # of a time or an amount; more may be a text
_SHOWN_DIGITS: Final = 3


def parts_of(word: str) -> Iterator[str]:
    """Yield the parts of a word such as DELIVERED_TO_HANDSET or DeliveredToHandset, in small letters."""
    return (part.lower() for part in _PART.findall(word))


_TRADE: Final = """
    accept acceptd account active all and answered api approved at available back bad balance blocked bounced
    buffered by callback canceled cancelled carrier closed completed completion content country created credit
    deactivated debit deferred deleted delivered delivery delivrd denied device disabled dispatched done down dropped
    duplicate enabled enroute error exceeded expd expired expird fail failed failure false filtered final flash
    forbidden format from gateway gsm handset http https id in inactive inbound incoming incomplete insufficient
    internal invalid landline limit live local lost mixed missing mms mo mobile mt national network no none not ok
    on one open operator opted out outbound outgoing parts paid partial pending permanent postpaid prepaid price
    processed processing promotional queue queued quota rate read received recipient rejectd rejected reply
    restricted retry route routed running scheduled seen sender sending sent service skipped sms spam
    standard started status stopped submit submitted subscriber success successful suspended system temporary test
    timeout to toll transactional trial true unavailable undeliv undeliverable undelivered unicode unknown unpaid
    unreachable unrouted unsubscribed validity viber voice waiting wait warning whatsapp wireless yes
"""
_OF_THE_TRADE: Final = frozenset(
    {*_TRADE.split(), *(part for kind in (Status, Reason) for word in kind for part in parts_of(word))}
)
"""The words that are shown: those of which answers say how a message or an account fares."""


def secrets_in(settings: Settings) -> frozenset[str]:
    """Return every secret in settings, however deep."""
    return frozenset(text for text in _secrets(settings) if len(text) >= _SHORTEST_SECRET)


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Secret):
        yield value.reveal()
    elif isinstance(value, Settings):
        if isinstance(value, AuthSettings):
            yield from value.hidden()
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secrets(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets(each)


class Shapes:
    """Shows answers of one provider."""

    def __init__(
        self, *, secrets: Collection[str], redacted: Collection[str] = (), words: Collection[str] = ()
    ) -> None:
        """``redacted`` are keys of which nothing is shown, with dots between where one is meant within another.

        ``words`` are shown besides those that every vendor has: the configuration names them.
        """
        self._secrets = secrets
        self._words = frozenset(word.lower() for word in words)
        self._redacted = [tuple(each.lower().split(".")) for each in redacted]

    def of_body(self, body: bytes) -> Sequence[str]:
        """Return the lines that show a body."""
        try:
            payload = json.loads(body)
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace").strip()
            return [self._of_text("", text) if text else "<nothing>"]
        return self._of_values([payload], ())

    def _of_values(self, values: Sequence[Any], path: tuple[str, ...]) -> Sequence[str]:
        """Return the lines for all that stands at one place: the objects as one, the lists as one."""
        if self._is_redacted(path):
            return ["<redacted>"]
        if len(path) > _DEEPEST:
            return ["<deeper>"]
        objects = [each for each in values if isinstance(each, dict)]
        lists = [each for each in values if isinstance(each, list)]
        lines: list[str] = []
        leaves = dict.fromkeys(
            self._of_leaf(path[-1] if path else "", each) for each in values if not isinstance(each, dict | list)
        )
        if leaves:
            more = len(leaves) - _MOST_SHAPES
            lines.append(" | ".join([*list(leaves)[:_MOST_SHAPES], *([f"<{more} more>"] if more > 0 else [])]))
        if objects:
            lines += self._of_objects(objects, path)
        if lists:
            lines += self._of_lists(lists, path)
        return lines

    def _of_objects(self, objects: Sequence[Mapping[str, Any]], path: tuple[str, ...]) -> Iterator[str]:
        keys = list(dict.fromkeys(key for each in objects for key in each))
        yield "{"
        for key in keys[:_MOST_KEYS]:
            present = [each[key] for each in objects if key in each]
            seldom = "" if len(present) == len(objects) else f"  (in {len(present)} of {len(objects)})"
            lines = self._of_values(present, (*path, key))
            yield f"  {self._of_key(key)}: {lines[0] if lines else '<nothing>'}{seldom}"
            yield from (f"  {line}" for line in lines[1:])
        if len(keys) > _MOST_KEYS:
            yield f"  <{len(keys) - _MOST_KEYS} more keys>"
        yield "}"

    def _of_lists(self, lists: Sequence[Sequence[Any]], path: tuple[str, ...]) -> Iterator[str]:
        rows = [row for each in lists for row in each]
        if not rows:
            yield "[]"
            return
        lines = self._of_values(rows[:_MOST_ROWS], path)
        yield f"[{len(rows)} of"
        yield from (f"  {line}" for line in lines)
        yield "]"

    def _of_key(self, key: str) -> str:
        is_plain = _KEY.fullmatch(key) and not self._holds_secret(key)
        return key if is_plain else f"<key: {_counted(key)}>"

    def _of_leaf(self, key: str, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return json.dumps(value)
        if isinstance(value, int | float):
            return _of_number(value, is_private=_PRIVATE_KEY.search(key) is not None)
        return self._of_text(key, str(value))

    def _of_text(self, key: str, text: str) -> str:
        if not text:
            return '""'
        if self._holds_secret(text):
            return "<secret>"
        is_telling = _TELLING_KEY.search(key) is not None and _PRIVATE_KEY.search(key) is None
        if is_telling and _WORD.fullmatch(text) and self._is_harmless(key, text):
            return f'"{text}"'
        letters = sum(each.isalpha() for each in text)
        digits = sum(each.isdigit() for each in text)
        if digits and letters <= _MOST_LETTERS_OF_A_MASK and letters + digits < len(text) and _MASKED.fullmatch(text):
            return f"<{re.sub('[A-Z]', 'A', re.sub('[a-z]', 'a', re.sub('[0-9]', '9', text)))}>"
        return f"<{_counted(text)}>"

    def _is_harmless(self, key: str, word: str) -> bool:
        if _CODE_OF_A_PLACE_KEY.fullmatch(key) and _CODE_OF_A_PLACE.fullmatch(word):
            return True
        return word.lower() in self._words or all(part in _OF_THE_TRADE for part in parts_of(word))

    def _holds_secret(self, text: str) -> bool:
        return any(secret in text for secret in self._secrets)

    def _is_redacted(self, path: tuple[str, ...]) -> bool:
        lowered = tuple(part.lower() for part in path)
        return any(lowered[-len(each) :] == each for each in self._redacted)


def _of_number(value: float, *, is_private: bool) -> str:
    text = str(abs(value))
    whole, point, behind = text.partition(".")
    if not point and len(text) <= _SHOWN_DIGITS and not is_private:
        return str(value)
    if not whole.isdigit() or not (behind or "0").isdigit():
        return "<number>"
    digits = f"<number of {len(whole)} digit{'s' * (len(whole) != 1)}"
    return f"{digits}, {len(behind)} behind the point>" if point else f"{digits}>"


def _counted(text: str) -> str:
    """Return how long a text is and what it is made of."""
    kinds = {
        "letters": any(each.isalpha() for each in text),
        "digits": any(each.isdigit() for each in text),
        "other signs": any(not each.isalnum() for each in text),
    }
    made_of = [kind for kind, is_there in kinds.items() if is_there]
    return f"{len(text)} {' and '.join(made_of)}"
