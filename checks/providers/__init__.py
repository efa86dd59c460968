"""The literal table of vendors that send codes by SMS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec, Wire
from .twilio import TWILIO_DOMAINS, TwilioClient, TwilioSettings
from .vonage import VONAGE_DOMAINS, VonageClient, VonageSettings

PROVIDERS: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "twilio": TargetSpec(settings=TwilioSettings, client=TwilioClient, domains=TWILIO_DOMAINS, wire=Wire.CONTRACT),
        "vonage": TargetSpec(settings=VonageSettings, client=VonageClient, domains=VONAGE_DOMAINS, wire=Wire.CONTRACT),
    }
)
