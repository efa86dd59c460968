"""What a user may say of a Twilio account."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from ...back_office import Identifier
from ...secret import Secret
from ...settings import Count, ProviderSettings, SecretSetting, Settings, Url
from ..causes import ReasonSetting

# Functions run below twil.io: twilio.com/docs/serverless/functions-assets/visibility, 2026-11.
TWILIO_DOMAINS: Final = ("twilio.com", "twil.io")


_AccountSid = Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")]
_KeySid = Annotated[str, Field(pattern=r"^SK[0-9a-fA-F]{32}$")]


class CallbackSettings(Settings):
    """How to believe what Twilio posts to us."""

    public_url: Url = Field(
        description="the URL that Twilio was given, as it was given: it is part of the signature; its path ends in"
        " /callbacks/ and the provider's name, unless a proxy says otherwise"
    )
    auth_token: SecretSetting | None = Field(
        None, description="the account's Auth Token, which signs callbacks; needed beside an API key"
    )
    shared_key: SecretSetting | None = Field(
        None, description="the secret of the shared key, for callbacks that are signed with HMAC_SHA256"
    )
    forward_to: Url | None = Field(
        None, description="genuine callbacks are sent on to this URL as they came: that of the application that sends"
    )


class TwilioSettings(ProviderSettings):
    """How to reach a Twilio account."""

    type: Literal["twilio"] = Field(description="the vendor")
    account_sid: _AccountSid = Field(description="the account's SID, from the console")
    auth_token: SecretSetting | None = Field(None, description="the account's Auth Token; instead of an API key")
    api_key: _KeySid | None = Field(None, description="the SID of an API key; a restricted one needs read rights")
    api_key_secret: SecretSetting | None = Field(None, description="the API key's secret")
    base_url: Url | None = Field(
        None, description="send all API calls here instead of to Twilio: a proxy, a sandbox, a test double"
    )
    status_page: Url = Field("https://status.twilio.com", description="the Statuspage to read")
    max_requests_per_second: Count = Field(
        30,
        ge=1,
        le=1000,
        description="no more than this many API calls begin in one second; the message log waits for all others",
    )
    callbacks: CallbackSettings | None = Field(
        None, description="status callbacks and Event Streams, taken on --public.listen-address; off unless given"
    )
    error_codes: dict[Annotated[int, Strict()], ReasonSetting] = Field(
        default_factory=dict, description="Twilio's error codes that mean another reason than built in"
    )

    def identity(self) -> Mapping[Identifier, frozenset[Secret]]:
        """Return the account's and the key's SID."""
        key = frozenset[Secret]() if self.api_key is None else frozenset({Secret(self.api_key)})
        return {Identifier.ACCOUNT: frozenset({Secret(self.account_sid)}), Identifier.KEY: key}

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        by_token = self.auth_token is not None
        by_key = (self.api_key is not None, self.api_key_secret is not None)
        if by_key != (not by_token, not by_token):
            raise PydanticCustomError("credentials", "needs either auth_token, or api_key and api_key_secret")
        if self.callbacks is not None and self.auth_token is None and self.callbacks.auth_token is None:
            raise PydanticCustomError(
                "credentials", "needs callbacks.auth_token beside an API key: the Auth Token signs callbacks"
            )
        return self
