"""The literal table of back offices: the systems that keep clients and hand their codes to a provider."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec
from .b2core import B2CoreClient, B2CoreSettings
from .zitadel import ZitadelClient, ZitadelSettings

BACK_OFFICES: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "b2core": TargetSpec(settings=B2CoreSettings, client=B2CoreClient),
        "zitadel": TargetSpec(settings=ZitadelSettings, client=ZitadelClient),
    }
)
