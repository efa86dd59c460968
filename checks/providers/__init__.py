"""The literal table of vendors that send codes by SMS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec
from .twilio import TWILIO_DOMAINS, TwilioClient, TwilioSettings

PROVIDERS: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "twilio": TargetSpec(settings=TwilioSettings, client=TwilioClient, domains=TWILIO_DOMAINS),
    }
)
