"""Is the back office set up to send codes, by a provider that really delivers them?"""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from .back_office import Identifier, SmsProvider, SmsSetupClient, SmsTemplate
from .names import clean_name
from .past import Past, ProviderIdentity
from .reason import Reason
from .result import CheckResult, ProviderEnabled
from .settings import CheckSettings


class EnablementSettings(CheckSettings):
    """What is expected of the back office."""

    provider: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="the back office's name of the SMS provider that has to be the one in use"
    )
    template: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "default", description="the name of the SMS template that has to exist"
    )
    compare_with: str | None = Field(
        None, description="one of the providers here: the back office has to use the same account, key and sender"
    )


def check_enablement(client: SmsSetupClient, settings: EnablementSettings, past: Past) -> CheckResult:
    """Fail when no provider is on, the wrong one is, its settings are incomplete, or the template is not there.

    Raises ProviderError when the back office cannot be asked.
    """
    providers = client.fetch_sms_providers()
    templates = client.fetch_sms_templates()
    reason, detail = _judge(providers, templates, settings, past)
    measured = tuple(
        ProviderEnabled(provider=name, is_enabled=is_enabled) for name, is_enabled in _states(providers).items()
    )
    return CheckResult(reason=reason, detail=detail, measured=measured)


def _states(providers: Sequence[SmsProvider]) -> Mapping[str, bool]:
    """Return which are on, by name; of several with one name it is enough that one is."""
    states: dict[str, bool] = {}
    for each in providers:
        if each.is_enabled is not None:
            states[each.name] = states.get(each.name, False) or each.is_enabled
    return states


def _judge(
    providers: Sequence[SmsProvider],
    templates: Sequence[SmsTemplate] | None,
    settings: EnablementSettings,
    past: Past,
) -> tuple[Reason, str]:
    candidates = [each for each in providers if _is_meant(each, settings)]
    real = [each for each in candidates if each.delivers]
    if not real:
        return _nothing_that_delivers(providers, candidates, settings)
    usable = [each for each in real if each.is_enabled]
    if not usable:
        on = [each for each in providers if each.is_enabled]
        if on and not any(each.delivers for each in on):
            return Reason.PROVIDER_IS_TEST, f"{_names(on)} on, and no other one"
        if any(each.is_enabled is None for each in real):
            return Reason.BAD_RESPONSE, "the back office does not tell whether its SMS provider is on"
        return Reason.PROVIDER_DISABLED, f"{_names(real, on=False)} off"
    whole = [each for each in usable if not each.missing]
    if not whole:
        gaps = "; ".join(f"{each.name} has no {', '.join(each.missing)}" for each in usable)
        return Reason.PROVIDER_INCOMPLETE, gaps
    detail = f"{_names(whole)} on"
    if settings.compare_with is not None:
        difference = _difference(whole, past.identities.get(settings.compare_with))
        if difference:
            return Reason.PROVIDER_INCOMPLETE, f"{difference} than {settings.compare_with} here"
        if difference is None:
            detail += f"; nothing can be compared with {settings.compare_with} here"
    if templates is not None:
        fitting = [each for each in templates if each.name == settings.template]
        if not fitting:
            return Reason.TEMPLATE_MISSING, f'no template is named "{settings.template}"'
        if not any(each.carries_code for each in fitting):
            return Reason.TEMPLATE_MISSING, f'the template "{settings.template}" has no placeholder for the code'
    tests = [each for each in providers if not each.delivers and each.is_enabled]
    if tests:
        detail += f"; {_names(tests)} on too; which one is used is not told"
    unreadable = [what for each in whole for what in each.unreadable]
    if unreadable:
        detail += f"; not readable: {', '.join(dict.fromkeys(unreadable))}"
    return Reason.OK, detail


def _is_meant(provider: SmsProvider, settings: EnablementSettings) -> bool:
    """Return whether a provider, whose name was cleaned, may be the one in use."""
    return settings.provider is None or provider.name.casefold() == clean_name(settings.provider).casefold()


def _nothing_that_delivers(
    providers: Sequence[SmsProvider], candidates: Sequence[SmsProvider], settings: EnablementSettings
) -> tuple[Reason, str]:
    tests = [each for each in candidates or providers if not each.delivers and each.is_enabled]
    if tests:
        return Reason.PROVIDER_IS_TEST, f"{_names(tests)} on, and delivers nothing"
    if settings.provider is not None and not candidates:
        return Reason.PROVIDER_MISSING, f'no SMS provider is named "{clean_name(settings.provider)}"'
    return Reason.PROVIDER_MISSING, "the back office has no SMS provider that delivers"


def _names(providers: Sequence[SmsProvider], *, on: bool = True) -> str:
    """Return the names of those that are on, or off, and the verb."""
    names = list(dict.fromkeys(each.name for each in providers if bool(each.is_enabled) is on))
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _difference(providers: Sequence[SmsProvider], ours: ProviderIdentity | None) -> str | None:
    """Return what every provider has different from ours, in words; empty when one of them is the same.

    What only one side knows is not compared. None: none is the same, and one of them has nothing to compare.
    """
    known = {} if ours is None else {what: values for what, values in ours.items() if values}
    differences = []
    for each in providers:
        compared = [what for what in Identifier if what in known and what in each.identifiers]
        found = [what.value for what in compared if each.identifiers[what] not in known[what]]
        if compared and not found:
            return ""
        if found:
            differences.append(f"{each.name} has another {' and '.join(found)}")
    return "; ".join(differences) if len(differences) == len(providers) else None
