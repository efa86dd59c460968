"""The literal table of clocks."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..target import TargetSpec
from .ntp import NtpClock, NtpSettings

CLOCKS: Final[Mapping[str, TargetSpec]] = MappingProxyType(
    {
        "ntp": TargetSpec(settings=NtpSettings, client=NtpClock),
    }
)
