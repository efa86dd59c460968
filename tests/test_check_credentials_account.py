"""The checks `credentials` and `account`."""

import pytest

from checks.account import AccountSettings, check_account
from checks.clients import Account, AccountState
from checks.credentials import CredentialsSettings, check_credentials
from checks.errors import PermissionMissingError, ProviderError
from checks.reason import Reason
from tests.fakes import FakeClient

ACCOUNT = AccountSettings(target="twilio")


def test_accepted_credentials_pass() -> None:
    result = check_credentials(FakeClient(), CredentialsSettings(target="twilio"))
    assert (result.reason, result.detail) == (Reason.OK, "the provider accepts the credentials")


def test_the_reason_of_a_refusal_is_left_to_the_runner() -> None:
    client = FakeClient(error=PermissionMissingError("the key lacks a right"))
    with pytest.raises(ProviderError) as caught:
        check_credentials(client, CredentialsSettings(target="twilio"))
    assert caught.value.reason is Reason.PERMISSION_MISSING


@pytest.mark.parametrize(
    ("account", "reason", "detail"),
    [
        (Account(state=AccountState.ACTIVE), Reason.OK, "the account is active and unrestricted"),
        (
            Account(state=AccountState.ACTIVE, unreadable=("compliance profile",)),
            Reason.OK,
            "the account is active; not readable: compliance profile",
        ),
        (Account(state=AccountState.SUSPENDED), Reason.ACCOUNT_SUSPENDED, "the account is suspended"),
        (Account(state=AccountState.CLOSED), Reason.ACCOUNT_SUSPENDED, "the account is closed"),
        (
            Account(state=AccountState.ACTIVE, restriction="a trial account"),
            Reason.ACCOUNT_RESTRICTED,
            "a trial account",
        ),
        (
            Account(state=AccountState.SUSPENDED, restriction="a trial account"),
            Reason.ACCOUNT_SUSPENDED,
            "the account is suspended",
        ),
    ],
)
def test_the_account_tells_its_state(account: Account, reason: Reason, detail: str) -> None:
    result = check_account(FakeClient(account=account), ACCOUNT)
    assert (result.reason, result.detail) == (reason, detail)
