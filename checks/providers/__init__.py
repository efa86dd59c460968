"""The literal table of vendors that send codes by SMS."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec, Wire
from .aws import AWS_DOMAINS, AwsClient, AwsSettings
from .bird import BIRD_DOMAINS, BirdClient, BirdSettings
from .http_json import HttpJsonClient, HttpJsonSettings
from .infobip import INFOBIP_DOMAINS, InfobipClient, InfobipSettings
from .messagebird import MESSAGEBIRD_DOMAINS, MessageBirdClient, MessageBirdSettings
from .plivo import PLIVO_DOMAINS, PlivoClient, PlivoSettings
from .sinch import SINCH_DOMAINS, SinchClient, SinchSettings
from .smpp import SmppClient, SmppSettings
from .telnyx import TELNYX_DOMAINS, TelnyxClient, TelnyxSettings
from .twilio import TWILIO_DOMAINS, TwilioClient, TwilioSettings
from .vonage import VONAGE_DOMAINS, VonageClient, VonageSettings

PROVIDERS: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "twilio": TargetSpec(settings=TwilioSettings, client=TwilioClient, domains=TWILIO_DOMAINS, wire=Wire.CONTRACT),
        "vonage": TargetSpec(settings=VonageSettings, client=VonageClient, domains=VONAGE_DOMAINS, wire=Wire.CONTRACT),
        "infobip": TargetSpec(settings=InfobipSettings, client=InfobipClient, domains=INFOBIP_DOMAINS),
        "plivo": TargetSpec(settings=PlivoSettings, client=PlivoClient, domains=PLIVO_DOMAINS, wire=Wire.UNVERIFIED),
        "aws": TargetSpec(
            settings=AwsSettings,
            client=AwsClient,
            domains=AWS_DOMAINS,
            wire=Wire.CONTRACT,  # not in the models: events, and the words for an account's tier
        ),
        "telnyx": TargetSpec(
            settings=TelnyxSettings, client=TelnyxClient, domains=TELNYX_DOMAINS, wire=Wire.UNVERIFIED
        ),
        "sinch": TargetSpec(
            settings=SinchSettings,
            client=SinchClient,
            domains=SINCH_DOMAINS,
            wire=Wire.UNVERIFIED,  # what delivery reports are filtered by, codes of operators, refused sends
        ),
        "bird": TargetSpec(
            settings=BirdSettings,
            client=BirdClient,
            domains=BIRD_DOMAINS,
            wire=Wire.UNVERIFIED,  # the ends of a filter, one code of a refused send
        ),
        "messagebird": TargetSpec(
            settings=MessageBirdSettings,
            client=MessageBirdClient,
            domains=MESSAGEBIRD_DOMAINS,
            wire=Wire.UNVERIFIED,  # spans and pages of the log, most fields of a status report
        ),
        # Of any vendor, so that no domain is theirs.
        "http_json": TargetSpec(settings=HttpJsonSettings, client=HttpJsonClient, wire=Wire.CONFIGURED),
        "smpp": TargetSpec(settings=SmppSettings, client=SmppClient, speaks_http=False),
    }
)
