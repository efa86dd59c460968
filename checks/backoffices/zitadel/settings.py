"""What a user may say of a ZITADEL instance."""

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ...secret import Secret
from ...settings import BackOfficeSettings, SecretSetting, Url

_BEARER: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750 section 2.1


def _token(value: Secret) -> Secret:
    if not _BEARER.fullmatch(value.reveal()):
        raise PydanticCustomError("token", "holds something else than a personal access token")
    return value


class ZitadelSettings(BackOfficeSettings):
    """How to reach a ZITADEL instance.

    The token is a personal access token of a service user. ``IAM_OWNER_VIEWER`` lets it answer everything;
    ``ORG_OWNER_VIEWER`` of an organisation lets it read that organisation's clients, but no SMS providers: they
    belong to the instance. https://zitadel.com/docs/guides/manage/console/administrators (read 2026-11)
    """

    type: Literal["zitadel"] = Field(description="the vendor")
    url: Url = Field(description="the instance, such as https://login.example.com")
    token: Annotated[SecretSetting, AfterValidator(_token)] = Field(
        description="a personal access token of a service user that is IAM_OWNER_VIEWER"
    )
    organization: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        None,
        description="the id of the organisation whose users are the clients; all that the token may see if not given",
    )
