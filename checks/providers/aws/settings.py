"""What a user may set of AWS, and which hosts that means."""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...back_office import Identifier
from ...secret import Secret
from ...settings import Count, Number, ProviderSettings, SecretSetting, Url
from ..causes import ErrorCodes
from ..posts import ForwardSettings

AWS_DOMAINS: Final = ("amazonaws.com", "amazonaws.com.cn")

_REGION: Final = r"[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}"
_TOPIC: Final = re.compile(rf"arn:aws[a-z-]*:sns:({_REGION}):[0-9]{{12}}:[0-9A-Za-z_-]{{1,256}}", re.ASCII)


class AwsCallbackSettings(ForwardSettings):
    """How to believe what SNS posts to us: events of a configuration set, by a topic with an HTTPS subscription.

    AWS says of these events that they may take up to 72 hours and are no means to notice a delay: they count messages
    and failures, and nothing that they say is ever taken for a latency. Raw message delivery must be off: what is
    sent raw is not signed.
    """

    topic_arn: Annotated[str, Field(pattern=f"^{_TOPIC.pattern}$")] = Field(
        description="the ARN of the topic; a subscription to it, and to no other, is confirmed as soon as it is asked"
        " for"
    )

    @property
    def topic_region(self) -> str:
        """The region of the topic."""
        found = _TOPIC.fullmatch(self.topic_arn)
        return found[1] if found else ""


class AwsSettings(ProviderSettings):
    """How to reach an AWS account. It needs `pip install 'twofa-exporter[aws]'`.

    AWS has no log of messages that could be read and no status page of this kind, and its events tell of no delay:
    there is no delivery check. Let a canary go to a phone that tells.
    """

    type: Literal["aws"] = Field(description="the vendor")
    region: Annotated[str, Field(pattern=f"^{_REGION}$")] = Field(description="the region that sends, as eu-central-1")
    sends_with: Literal["end_user_messaging", "sns"] = Field(
        "end_user_messaging",
        description="the service that the application sends with: End User Messaging SMS (SendTextMessage), or"
        " Publish of SNS, which tells of no message",
    )
    access_key_id: Annotated[str, Field(pattern=r"^[0-9A-Z]{16,128}$")] | None = Field(
        None,
        description="the id of an access key; without one credentials are sought where AWS's own tools do:"
        " environment, shared files, web identity, container, instance",
    )
    secret_access_key: SecretSetting | None = Field(None, description="the secret of that key")
    profile: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="a profile of AWS's shared files, instead of an access key"
    )
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to AWS: a sandbox, a test double; it is what is signed"
    )
    max_requests_per_second: Count = Field(
        10, ge=1, le=1000, description="no more than this many API calls begin in one second"
    )
    configuration_set: Annotated[str, Field(pattern=r"^[0-9A-Za-z_:/-]{1,256}$")] | None = Field(
        None, description="the configuration set that a canary is sent with: without one AWS tells no event of it"
    )
    max_price: Number | None = Field(
        None, gt=0, lt=100, description="a canary whose price would be above this, in USD, is not sent (MaxPrice)"
    )
    callbacks: AwsCallbackSettings | None = Field(
        None, description="signed events by SNS, taken on --public.listen-address; off unless given"
    )
    error_codes: ErrorCodes = Field(
        default_factory=dict,
        description='codes that mean another reason than built in: the reason or the name of an exception, such as "'
        'SENDER_ID_NOT_REGISTERED", or the type of an event, such as "TEXT_BLOCKED"',
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if find_spec("botocore") is None:  # looked for, not loaded
            words = "needs AWS's library, which is in an extra: pip install 'twofa-exporter[aws]'"
            raise PydanticCustomError("extra", words)
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise PydanticCustomError("key", "access_key_id and secret_access_key go together")
        if self.access_key_id is not None and self.profile is not None:
            raise PydanticCustomError("key", "needs either an access key or a profile")
        if self.callbacks is not None and self.sends_with == "sns":
            words = "callbacks are events of end_user_messaging: what sns sends, it tells of in CloudWatch Logs alone"
            raise PydanticCustomError("callbacks", words)
        return self

    def silence(self) -> str | None:
        """Return what is missing for events of a canary: they are all that AWS tells of it."""
        if self.sends_with == "sns":
            return "sns tells of no message"
        if self.callbacks is None or self.configuration_set is None:
            return "AWS tells of it by events alone, which need callbacks and a configuration_set"
        return None

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the id of the access key."""
        return {} if self.access_key_id is None else {Identifier.KEY: frozenset({Secret(self.access_key_id)})}


def host_of(service: str, region: str) -> str:
    """Return the host of a service in a region: the endpoints of botocore 1.44.8 (data/endpoints.json)."""
    return f"{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
