"""The literal table of what is fuzzed."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tests.fuzz import answers, callbacks, configuration, metrics, web_configuration
from tests.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = MappingProxyType(
    {module.TARGET.name: module.TARGET for module in (answers, callbacks, configuration, metrics, web_configuration)}
)
