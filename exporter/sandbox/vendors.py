"""The literal table of vendors whose wire the sandbox speaks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .aws import AWS
from .bird import BIRD
from .clicksend import CLICKSEND
from .elks import ELKS
from .emulator import Emulator
from .infobip import INFOBIP
from .links import Link
from .messagebird import MESSAGEBIRD
from .plivo import PLIVO
from .sinch import SINCH
from .smpp import SMPP
from .smsc import SMSC
from .telnyx import TELNYX
from .twilio import TWILIO
from .vonage import VONAGE

EMULATORS: Final[Mapping[str, Emulator]] = MappingProxyType(
    {
        "twilio": TWILIO,
        "vonage": VONAGE,
        "infobip": INFOBIP,
        "aws": AWS,
        "telnyx": TELNYX,
        "plivo": PLIVO,
        "sinch": SINCH,
        "bird": BIRD,
        "messagebird": MESSAGEBIRD,
        # presets
        "clicksend": CLICKSEND,
        "smsc": SMSC,
        "46elks": ELKS,
    }
)

LINKS: Final[Mapping[str, Link]] = MappingProxyType(
    {
        "smpp": SMPP,
    }
)
"""Those that speak no HTTP, each on a port of its own."""
