"""Can the configured senders send SMS, and to the countries that we serve?"""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .clients import CountryPermissions, Sender, SendersClient
from .reason import Reason
from .result import CheckResult, RefusedCountry
from .settings import CheckSettings, CountryCode, PhoneNumber, Seconds, between


class SendersSettings(CheckSettings):
    """Which senders and countries must work."""

    interval: Annotated[Seconds, between("100ms", "7d")] = Field(900.0, description="time between runs")
    numbers: tuple[PhoneNumber, ...] = Field((), description="our own sender numbers, E.164, in quotes")
    messaging_services: tuple[str, ...] = Field((), description="ids of messaging services that send for us")
    countries: tuple[CountryCode, ...] = Field((), description="countries to reach, ISO 3166 alpha-2")

    @model_validator(mode="after")
    def _something_to_check(self) -> Self:
        if not (self.numbers or self.messaging_services or self.countries):
            raise PydanticCustomError("nothing_to_check", "needs numbers, messaging_services or countries")
        return self


def check_senders(client: SendersClient, settings: SendersSettings) -> CheckResult:
    """Pass when every sender exists, can send SMS and is registered, and every country is permitted.

    The detail names all that is wrong; the reason is the worst: a sender that cannot send at all, then a
    missing registration, then a country that is switched off. Such countries are measured whatever the reason is.

    Raises ProviderError when the senders cannot be read.
    """
    senders = [client.fetch_number(number) for number in settings.numbers]
    senders += [
        client.fetch_messaging_service(sid, countries=settings.countries) for sid in settings.messaging_services
    ]
    permissions = client.fetch_country_permissions(settings.countries) if settings.countries else CountryPermissions()
    findings = {
        Reason.SENDER_INVALID: [problem for sender in senders if (problem := _sending_problem(sender))],
        Reason.SENDER_UNREGISTERED: [
            f"{sender.label}: {sender.registration_problem}" for sender in senders if sender.registration_problem
        ],
        Reason.COUNTRY_NOT_PERMITTED: [f"sending to {country} is switched off" for country in permissions.refused],
    }
    refused = tuple(RefusedCountry(country=country) for country in permissions.refused)
    for reason, problems in findings.items():
        if problems:
            return CheckResult(
                reason=reason, detail="; ".join(chain.from_iterable(findings.values())), measured=refused
            )
    return CheckResult(reason=Reason.OK, detail=_describe(senders, permissions))


def _sending_problem(sender: Sender) -> str | None:
    if not sender.exists:
        return f"{sender.label} is not in this account"
    if not sender.sends_sms:
        return f"{sender.label} cannot send SMS"
    if sender.pool_size == 0:
        return f"{sender.label} has no sender in its pool"
    return None


def _describe(senders: Sequence[Sender], permissions: CountryPermissions) -> str:
    unreadable = [f"{sender.label}: {part}" for sender in senders for part in sender.unreadable]
    if not permissions.readable:
        unreadable.append("country permissions")
    if permissions.unknown:
        unreadable.append(f"permission for {', '.join(permissions.unknown)}")
    usable = f"{len(senders)} sender{'' if len(senders) == 1 else 's'} usable"
    return f"{usable}; not readable: {'; '.join(unreadable)}" if unreadable else usable
