"""The literal table of vendors that send codes by SMS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec, Wire
from .infobip import INFOBIP_DOMAINS, InfobipClient, InfobipSettings
from .messagebird import MESSAGEBIRD_DOMAINS, MessageBirdClient, MessageBirdSettings
from .plivo import PLIVO_DOMAINS, PlivoClient, PlivoSettings
from .telnyx import TELNYX_DOMAINS, TelnyxClient, TelnyxSettings
from .twilio import TWILIO_DOMAINS, TwilioClient, TwilioSettings
from .vonage import VONAGE_DOMAINS, VonageClient, VonageSettings

PROVIDERS: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "twilio": TargetSpec(settings=TwilioSettings, client=TwilioClient, domains=TWILIO_DOMAINS, wire=Wire.CONTRACT),
        "vonage": TargetSpec(settings=VonageSettings, client=VonageClient, domains=VONAGE_DOMAINS, wire=Wire.CONTRACT),
        "infobip": TargetSpec(settings=InfobipSettings, client=InfobipClient, domains=INFOBIP_DOMAINS),
        "plivo": TargetSpec(settings=PlivoSettings, client=PlivoClient, domains=PLIVO_DOMAINS, wire=Wire.UNVERIFIED),
        "telnyx": TargetSpec(
            settings=TelnyxSettings, client=TelnyxClient, domains=TELNYX_DOMAINS, wire=Wire.UNVERIFIED
        ),
        "messagebird": TargetSpec(
            settings=MessageBirdSettings,
            client=MessageBirdClient,
            domains=MESSAGEBIRD_DOMAINS,
            wire=Wire.UNVERIFIED,  # spans and pages of the log, most fields of a status report
        ),
    }
)
