"""Is the provider account active and free to send to everybody?"""

from .clients import Account, AccountClient, AccountState
from .reason import Reason
from .result import CheckResult
from .settings import CheckSettings


class AccountSettings(CheckSettings):
    """The account is the provider's; there is nothing more to set."""


def check_account(client: AccountClient, settings: AccountSettings) -> CheckResult:  # noqa: ARG001  # every check has the same shape
    """Pass when the account is active and unrestricted.

    Raises ProviderError when the account cannot be read.
    """
    account = client.fetch_account()
    if account.state is not AccountState.ACTIVE:
        return CheckResult(reason=Reason.ACCOUNT_SUSPENDED, detail=f"the account is {account.state}")
    if account.restriction is not None:
        return CheckResult(reason=Reason.ACCOUNT_RESTRICTED, detail=account.restriction)
    return CheckResult(reason=Reason.OK, detail=_describe(account))


def _describe(account: Account) -> str:
    if account.unreadable:
        return f"the account is active; not readable: {', '.join(account.unreadable)}"
    return "the account is active and unrestricted"
