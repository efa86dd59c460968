"""The check `enablement`: is the back office set up to send codes by a provider that delivers, and by ours?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from checks.back_office import Identifier, SmsProvider, SmsTemplate
from checks.backoffices.b2core import B2CoreClient, B2CoreSettings
from checks.enablement import EnablementSettings, check_enablement
from checks.errors import PermissionMissingError, ProviderError
from checks.past import ProviderIdentity
from checks.reason import Reason
from checks.result import CheckResult, ProviderEnabled
from checks.secret import Secret
from exporter.sandbox.server import Sandbox
from tests.fakes import past

DEFAULT: Final = SmsTemplate(name="default", carries_code=True)
TWILIO: Final = SmsProvider(name="main", vendor="twilio", is_enabled=True)
FAKE: Final = SmsProvider(name="fake", vendor="fake", is_enabled=False, delivers=False)

OURS: Final = "AC" + "1" * 32
THEIRS: Final = "AC" + "2" * 32


@dataclass
class Office:
    """A back office that answers so."""

    providers: Sequence[SmsProvider] | ProviderError = (TWILIO,)
    templates: Sequence[SmsTemplate] | None = (DEFAULT,)

    def fetch_sms_providers(self) -> Sequence[SmsProvider]:
        if isinstance(self.providers, ProviderError):
            raise self.providers
        return self.providers

    def fetch_sms_templates(self) -> Sequence[SmsTemplate] | None:
        return self.templates


def check(
    *providers: SmsProvider,
    templates: Sequence[SmsTemplate] | None = (DEFAULT,),
    identity: ProviderIdentity | None = None,
    **more: Any,
) -> CheckResult:
    identities = {} if identity is None else {"twilio": identity}
    return check_enablement(
        Office(providers, templates),
        EnablementSettings(target="office", **more),
        replace(past("enablement"), identities=identities),
    )


def told(result: CheckResult) -> tuple[Reason, str]:
    return result.reason, result.detail


def off(provider: SmsProvider) -> SmsProvider:
    return replace(provider, is_enabled=False)


def on(provider: SmsProvider) -> SmsProvider:
    return replace(provider, is_enabled=True)


def identity(*, account: str = "", key: str = "", senders: Sequence[str] = ()) -> ProviderIdentity:
    return {
        Identifier.ACCOUNT: {Secret(account)} if account else frozenset(),
        Identifier.KEY: {Secret(key)} if key else frozenset(),
        Identifier.SENDER: [Secret(sender) for sender in senders],
    }


def known_as(account: str = "", key: str = "", sender: str = "", name: str = "main") -> SmsProvider:
    values = {Identifier.ACCOUNT: account, Identifier.KEY: key, Identifier.SENDER: sender}
    return replace(TWILIO, name=name, identifiers={what: Secret(value) for what, value in values.items() if value})


# Against the sandbox.


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(history_hours=0) as running:
        yield running


def check_sandbox(sandbox: Sandbox, account: str = "", senders: Sequence[str] = ()) -> CheckResult:
    own = sandbox.credentials
    client = B2CoreClient(
        B2CoreSettings(
            type="b2core",
            max_requests_per_second=1000,
            url=sandbox.b2core_url,
            email=own.b2core_plain_email,
            password=Secret(own.b2core_plain_password),
            timeout="5s",
        )
    )
    ours = identity(account=account or own.account_sid, senders=senders or [own.long_code])
    result = check_enablement(
        client,
        EnablementSettings(target="office", compare_with="twilio"),
        replace(past("enablement"), identities={"twilio": ours}),
    )
    client.close()
    return result


BOTH: Final = {"twilio-main": True, "fake": False}


@pytest.mark.parametrize(
    ("fault", "reason", "detail", "states"),
    [
        (None, Reason.OK, "twilio-main is on", BOTH),
        (
            "provider_missing",
            Reason.PROVIDER_MISSING,
            "the back office has no SMS provider that delivers",
            {"fake": False},
        ),
        (
            "provider_disabled",
            Reason.PROVIDER_DISABLED,
            "twilio-main is off",
            {"twilio-main": False, "fake": False},
        ),
        ("provider_incomplete", Reason.PROVIDER_INCOMPLETE, "twilio-main has no auth_token, from", BOTH),
        (
            "provider_is_test",
            Reason.PROVIDER_IS_TEST,
            "fake is on, and no other one",
            {"twilio-main": False, "fake": True},
        ),
        ("template_missing", Reason.TEMPLATE_MISSING, 'no template is named "default"', BOTH),
    ],
)
def test_each_fault_of_the_back_office_is_its_reason(
    sandbox: Sandbox, fault: str | None, reason: Reason, detail: str, states: dict[str, bool]
) -> None:
    if fault is not None:
        sandbox.set_fault(fault)
    measured = tuple(ProviderEnabled(provider=name, is_enabled=is_on) for name, is_on in states.items())
    assert check_sandbox(sandbox) == CheckResult(reason=reason, detail=detail, measured=measured)


def test_another_account_and_sender_than_ours_are_named_and_not_shown(sandbox: Sandbox) -> None:
    result = check_sandbox(sandbox, OURS, ["+15005550006"])
    assert told(result) == (
        Reason.PROVIDER_INCOMPLETE,
        "twilio-main has another account id and sender than twilio here",
    )
    for hidden in (OURS, "15005550006", sandbox.credentials.account_sid, sandbox.credentials.long_code):
        assert hidden not in repr(result)


# Which provider is judged.


def test_one_provider_that_is_on_and_whole_is_enough() -> None:
    incomplete = replace(TWILIO, name="half", missing=("from",))
    assert told(check(off(replace(TWILIO, name="old")), incomplete, TWILIO, FAKE)) == (Reason.OK, "main is on")
    assert told(check(TWILIO, replace(TWILIO, name="second"))) == (Reason.OK, "main, second are on")


@pytest.mark.parametrize("more", [{}, {"provider": "main"}])
def test_a_test_type_that_is_on_beside_a_real_one_is_told(more: dict[str, Any]) -> None:
    assert told(check(TWILIO, on(FAKE), **more)) == (
        Reason.OK,
        "main is on; fake is on too; which one is used is not told",
    )
    second = replace(on(FAKE), name="dummy")
    assert told(check(on(FAKE), TWILIO, second, **more)) == (
        Reason.OK,
        "main is on; fake, dummy are on too; which one is used is not told",
    )
    assert told(check(FAKE, TWILIO, **more)) == (Reason.OK, "main is on")


def test_gaps_are_told_for_each_provider_that_is_on() -> None:
    first, second = replace(TWILIO, missing=("from", "sid")), replace(TWILIO, name="second", missing=("key",))
    assert told(check(first, second, off(replace(TWILIO, name="old", missing=("from",))))) == (
        Reason.PROVIDER_INCOMPLETE,
        "main has no from, sid; second has no key",
    )


def test_a_back_office_without_any_provider_has_none() -> None:
    assert told(check()) == (Reason.PROVIDER_MISSING, "the back office has no SMS provider that delivers")


def test_a_test_type_alone_that_is_on_delivers_nothing() -> None:
    assert told(check(on(FAKE))) == (Reason.PROVIDER_IS_TEST, "fake is on, and delivers nothing")
    assert told(check(FAKE)) == (Reason.PROVIDER_MISSING, "the back office has no SMS provider that delivers")


def test_only_real_providers_are_said_to_be_off() -> None:
    assert told(check(off(TWILIO), FAKE)) == (Reason.PROVIDER_DISABLED, "main is off")
    assert told(check(off(TWILIO), off(replace(TWILIO, name="second")))) == (
        Reason.PROVIDER_DISABLED,
        "main, second are off",
    )


def test_a_provider_that_does_not_tell_whether_it_is_on_is_not_understood() -> None:
    result = check(replace(TWILIO, is_enabled=None))
    assert told(result) == (Reason.BAD_RESPONSE, "the back office does not tell whether its SMS provider is on")
    assert result.measured == ()
    assert check(off(TWILIO), replace(FAKE, is_enabled=None)).reason is Reason.PROVIDER_DISABLED


def test_the_named_provider_is_the_one_that_has_to_be_on() -> None:
    second = replace(TWILIO, name="second")
    assert told(check(TWILIO, second, provider="second")) == (Reason.OK, "second is on")
    assert told(check(TWILIO, off(second), provider="second")) == (Reason.PROVIDER_DISABLED, "second is off")
    assert told(check(TWILIO, provider="second")) == (
        Reason.PROVIDER_MISSING,
        'no SMS provider is named "second"',
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("MAIN", "main"),
        ("main", "Main"),
        ("  Straße  2 ", "STRASSE 2"),
        ("Twilio +1 415 555 0100", "Twilio ***"),
        ("x" * 100, "x" * 80),
    ],
)
def test_a_provider_is_named_as_the_back_office_shows_it_or_as_it_was_typed(ours: str, theirs: str) -> None:
    assert told(check(replace(TWILIO, name=theirs), provider=ours)) == (Reason.OK, f"{theirs} is on")


def test_a_name_that_no_provider_has_is_shown_made_safe() -> None:
    assert told(check(TWILIO, provider="Second\x1b[31m +14155550100")) == (
        Reason.PROVIDER_MISSING,
        'no SMS provider is named "Second[31m ***"',
    )


def test_the_named_provider_is_off_and_not_a_test_while_another_real_one_is_on() -> None:
    second = off(replace(TWILIO, name="second"))
    assert told(check(TWILIO, second, on(FAKE), provider="second")) == (Reason.PROVIDER_DISABLED, "second is off")
    assert told(check(off(TWILIO), second, on(FAKE), provider="second")) == (
        Reason.PROVIDER_IS_TEST,
        "fake is on, and no other one",
    )


@pytest.mark.parametrize("more", [{}, {"provider": "main"}])
@pytest.mark.parametrize("providers", [(off(TWILIO), TWILIO), (TWILIO, off(TWILIO))])
def test_of_two_providers_with_one_name_one_that_is_on_is_enough(
    providers: Sequence[SmsProvider], more: dict[str, Any]
) -> None:
    result = check(*providers, replace(FAKE, is_enabled=None), **more)
    assert told(result) == (Reason.OK, "main is on")
    assert result.measured == (ProviderEnabled(provider="main", is_enabled=True),)  # once, and nothing of the untold


def test_what_cannot_be_read_is_said_once_and_fails_nothing() -> None:
    halves = [replace(TWILIO, name=name, unreadable=("its settings",)) for name in ("main", "second")]
    assert told(check(*halves)) == (Reason.OK, "main, second are on; not readable: its settings")


def test_a_back_office_that_cannot_be_asked_raises() -> None:
    office = Office(PermissionMissingError("no right"))
    with pytest.raises(PermissionMissingError):
        check_enablement(office, EnablementSettings(target="office"), past("enablement"))


# Templates.


def test_the_template_has_to_exist_by_its_very_name_and_carry_the_code() -> None:
    codeless = SmsTemplate(name="default", carries_code=False)
    other = SmsTemplate(name="Default", carries_code=True)
    assert told(check(TWILIO, templates=[other])) == (
        Reason.TEMPLATE_MISSING,
        'no template is named "default"',
    )
    assert told(check(TWILIO, templates=[other, codeless])) == (
        Reason.TEMPLATE_MISSING,
        'the template "default" has no placeholder for the code',
    )
    assert check(TWILIO, templates=[codeless, DEFAULT]).reason is Reason.OK
    assert check(TWILIO, templates=[other], template="Default").reason is Reason.OK


def test_a_back_office_that_needs_no_templates_is_not_failed_for_them() -> None:
    assert check(TWILIO, templates=None).reason is Reason.OK
    assert check(TWILIO, templates=[]).reason is Reason.TEMPLATE_MISSING


# The comparison with a provider of ours.


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (known_as(account=THEIRS), "account id"),
        (known_as(key=THEIRS), "key name"),
        (known_as(sender=THEIRS), "sender"),
        (known_as(account=OURS, key=THEIRS, sender=THEIRS), "key name and sender"),
    ],
)
def test_what_differs_from_ours_is_named_and_neither_value_is_shown(provider: SmsProvider, words: str) -> None:
    ours = identity(account=OURS, key=OURS, senders=[OURS])
    result = check(provider, identity=ours, compare_with="twilio")
    assert told(result) == (Reason.PROVIDER_INCOMPLETE, f"main has another {words} than twilio here")
    assert OURS not in repr(result)
    assert THEIRS not in repr(result)


@pytest.mark.parametrize(
    ("provider", "ours"),
    [
        (known_as(account=OURS, key=OURS, sender=OURS), identity(account=OURS, key=OURS, senders=[THEIRS, OURS])),
        (known_as(account=OURS), identity(account=OURS, key=OURS, senders=[OURS])),
        (known_as(account=OURS, key=THEIRS, sender=THEIRS), identity(account=OURS)),
    ],
)
def test_only_what_both_sides_know_is_compared(provider: SmsProvider, ours: ProviderIdentity | None) -> None:
    assert told(check(provider, identity=ours, compare_with="twilio")) == (Reason.OK, "main is on")


@pytest.mark.parametrize(
    ("provider", "ours"),
    [
        (known_as(), identity(account=OURS)),
        (known_as(account=THEIRS), identity(key=OURS)),
        (known_as(account=THEIRS), identity()),
        (known_as(account=THEIRS), None),
    ],
)
def test_a_comparison_of_nothing_passes_and_is_told(provider: SmsProvider, ours: ProviderIdentity | None) -> None:
    nothing = "nothing can be compared with twilio here"
    assert told(check(provider, identity=ours, compare_with="twilio")) == (Reason.OK, f"main is on; {nothing}")


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([known_as(OURS, name="second")], ""),
        ([known_as(THEIRS, name="second")], "; nothing can be compared with twilio here"),
    ],
)
def test_a_provider_with_nothing_to_compare_neither_hides_ours_nor_fails(
    others: Sequence[SmsProvider], words: str
) -> None:
    for providers in ((known_as(), *others), (*others, known_as())):
        result = check(*providers, identity=identity(account=OURS), compare_with="twilio")
        assert result.reason is Reason.OK
        assert result.detail.endswith(f" are on{words}")


def test_nothing_is_compared_unless_asked_for() -> None:
    assert check(known_as(account=THEIRS), identity=identity(account=OURS)).reason is Reason.OK


def test_one_provider_that_is_ours_is_enough() -> None:
    ours, theirs, others = known_as(OURS), known_as(THEIRS, name="second"), known_as(THEIRS, name="third")
    mine = identity(account=OURS)
    assert check(theirs, ours, identity=mine, compare_with="twilio").reason is Reason.OK
    assert check(theirs, others, identity=mine, compare_with="twilio").detail == (
        "second has another account id; third has another account id than twilio here"
    )
    assert check(theirs, off(ours), identity=mine, compare_with="twilio").reason is Reason.PROVIDER_INCOMPLETE
