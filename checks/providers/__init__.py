"""The literal table of vendors: what each needs in the config, and the client that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from ..settings import ProviderSettings
from .observer import NoObserver, Observer
from .twilio import TwilioClient, TwilioSettings

__all__ = ["PROVIDERS", "NoObserver", "Observer", "ProviderSpec", "build_client"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSpec:
    """One vendor."""

    settings: type[ProviderSettings]
    client: type[Any]  # called with the settings and ``observer=``; its methods say which checks it can answer


PROVIDERS: Final[Mapping[str, ProviderSpec]] = MappingProxyType(
    {
        "twilio": ProviderSpec(settings=TwilioSettings, client=TwilioClient),
    }
)


def build_client(settings: ProviderSettings, observer: Observer | None = None) -> Any:
    """Return the client for the settings of any vendor in ``PROVIDERS``; its user closes it.

    Raises ValueError when the CA bundle that the environment names cannot be read.
    """
    spec = next(spec for spec in PROVIDERS.values() if type(settings) is spec.settings)
    return spec.client(settings, observer=observer)
