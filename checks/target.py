"""One row of a table of vendors: what it needs in the configuration, and the client that it becomes."""

from dataclasses import dataclass
from typing import Any

from .settings import TargetSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One vendor."""

    settings: type[TargetSettings]
    client: type[Any]  # called with the settings and ``observer=``; its methods say which checks it can answer
    domains: tuple[str, ...] = ()  # whose hosts, and hosts below, are the vendor's: what goes there needs the vendor
