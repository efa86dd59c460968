"""What a user may say of a B2CORE back office."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ...secret import Secret
from ...settings import BackOfficeSettings, EmailAddress, SecretSetting, Url
from ...totp import is_secret


class B2CoreSettings(BackOfficeSettings):
    """How to reach a B2CORE back office."""

    type: Literal["b2core"] = Field(description="the vendor")
    url: Url = Field(description="the root of the Back Office API, without /api/v2")
    client_url: Url | None = Field(
        None, description="the root of the client-facing API, without /api/v2/my; the same as url if left out"
    )
    email: EmailAddress | None = Field(
        None, repr=False, description="the service user's e-mail address; a View-only group will do"
    )
    password: SecretSetting | None = Field(None, description="the service user's password")
    totp_secret: SecretSetting | None = Field(
        None, description="the service user's TOTP secret in Base32, where sign-in asks for a code"
    )
    token: SecretSetting | None = Field(None, description="a ready bearer token, instead of e-mail and password")

    @field_validator("totp_secret")
    @classmethod
    def _base32(cls, secret: Secret | None) -> Secret | None:
        if secret is not None and not is_secret(secret):
            raise PydanticCustomError("totp_secret", "must be a TOTP secret in Base32, as the set-up shows it")
        return secret

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        by_password = (self.email is not None, self.password is not None)
        if by_password != (self.token is None, self.token is None):
            raise PydanticCustomError("credentials", "needs either email and password, or token")
        if self.totp_secret is not None and self.token is not None:
            raise PydanticCustomError("credentials", "totp_secret belongs to email and password, not to token")
        return self
