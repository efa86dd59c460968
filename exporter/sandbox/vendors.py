"""The literal table of vendors whose wire the sandbox speaks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .emulator import Emulator
from .infobip import INFOBIP
from .messagebird import MESSAGEBIRD
from .plivo import PLIVO
from .telnyx import TELNYX
from .twilio import TWILIO
from .vonage import VONAGE

EMULATORS: Final[Mapping[str, Emulator]] = MappingProxyType(
    {
        "twilio": TWILIO,
        "vonage": VONAGE,
        "infobip": INFOBIP,
        "telnyx": TELNYX,
        "plivo": PLIVO,
        "messagebird": MESSAGEBIRD,
    }
)
