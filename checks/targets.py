"""Everything that a check can look at: the sections of the configuration, and the literal table behind each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from .backoffices import BACK_OFFICES
from .clocks import CLOCKS
from .providers import PROVIDERS
from .providers.observer import Observer
from .settings import TargetSettings
from .target import TargetSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section of the configuration."""

    noun: str  # what an entry is, in words
    types: Mapping[str, TargetSpec]
    is_required: bool = False


SECTIONS: Final[Mapping[str, Section]] = MappingProxyType(
    {
        "providers": Section(noun="provider", types=PROVIDERS, is_required=True),
        "back_offices": Section(noun="back office", types=BACK_OFFICES),
        "clocks": Section(noun="clock", types=CLOCKS),
    }
)


def build_client(settings: TargetSettings, observer: Observer | None = None) -> Any:
    """Return the client for the settings of anything in ``SECTIONS``; its user closes it.

    Raises ValueError when the CA bundle that the environment names cannot be read.
    """
    specs = (spec for section in SECTIONS.values() for spec in section.types.values())
    spec = next(spec for spec in specs if type(settings) is spec.settings)
    return spec.client(settings, observer=observer)
