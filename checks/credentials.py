"""Does the provider accept our credentials?"""

from .clients import CredentialsClient
from .reason import Reason
from .result import CheckResult
from .settings import CheckSettings


class CredentialsSettings(CheckSettings):
    """The credentials are the provider's; there is nothing more to set."""


def check_credentials(client: CredentialsClient, settings: CredentialsSettings) -> CheckResult:  # noqa: ARG001  # every check has the same shape
    """Pass when the provider accepts the credentials.

    Raises ProviderError with the reason when it does not, or does not answer.
    """
    client.verify_credentials()
    return CheckResult(reason=Reason.OK, detail="the provider accepts the credentials")
