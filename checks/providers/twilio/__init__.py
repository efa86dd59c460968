"""Twilio Programmable Messaging: the only folder that imports its SDK or knows its codes.

Facts are from Twilio's OpenAPI documents (github.com/twilio/twilio-oai d50069b, 2026-04), its error pages,
and the source of its SDK 9.13.0; each is named where it is used.
"""

from .client import TwilioClient
from .settings import TWILIO_DOMAINS, TwilioSettings

__all__ = ["TWILIO_DOMAINS", "TwilioClient", "TwilioSettings"]
