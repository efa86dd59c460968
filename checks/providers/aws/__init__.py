"""AWS: End User Messaging SMS (the API pinpoint-sms-voice-v2), or SMS by SNS. Needs the extra ``aws``."""

from .client import AwsClient
from .settings import AWS_DOMAINS, AwsSettings

__all__ = ["AWS_DOMAINS", "AwsClient", "AwsSettings"]
