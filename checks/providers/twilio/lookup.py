"""What Twilio Lookup says of one number. Each package that is asked for is billed.

https://www.twilio.com/docs/lookup/v2-api/line-type-intelligence, read 2026-11. The list of types is open.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from ...clients import LineType, NumberLookup
from ...errors import BadResponseError
from ...messages import UNKNOWN_OPERATOR
from ...messages.operator import operator_label
from ..http import Reply

FIELDS: Final = "line_type_intelligence"

_TYPES: Final[Mapping[str, LineType]] = MappingProxyType(
    {
        "mobile": LineType.MOBILE,
        "landline": LineType.LANDLINE,
        "fixedVoip": LineType.VOIP,
        "nonFixedVoip": LineType.VOIP,
    }
)


def parse_lookup(reply: Reply) -> NumberLookup:
    """Return what is known of a number. Raises BadResponseError."""
    answer = reply.json()
    if not isinstance(answer, Mapping) or not isinstance(answer.get("valid"), bool):
        raise BadResponseError("Twilio's answer about a number is not of the documented shape")
    line = answer.get("line_type_intelligence")
    if not answer["valid"] or not isinstance(line, Mapping):
        return NumberLookup(is_valid=answer["valid"])
    return NumberLookup(is_valid=True, line_type=_type(line.get("type")), operator=_operator(line.get("carrier_name")))


def _type(word: Any) -> LineType | None:
    return _TYPES.get(word, LineType.OTHER) if isinstance(word, str) and word else None


def _operator(name: Any) -> str | None:
    label = operator_label(name) if isinstance(name, str) else UNKNOWN_OPERATOR
    return None if label == UNKNOWN_OPERATOR else label
