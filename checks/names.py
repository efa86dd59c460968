"""Names from outside, made safe for a terminal, a log and a label."""

import re
import unicodedata
from typing import Final

MAX_LENGTH: Final = 80

# Seven digits or more, also in groups: a phone number, or what could be one.
_LONG_NUMBER: Final = re.compile(r"\+?\d(?:[ ()./-]{0,3}\d){6,}")


def clean_name(name: str) -> str:
    """Return a name without what would garble a terminal, a log or a label, without a phone number, not too long."""
    clean = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return _LONG_NUMBER.sub("***", " ".join(clean.split()))[:MAX_LENGTH] or "unnamed"
