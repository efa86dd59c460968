"""One row of a table of vendors: what it needs in the configuration, and the client that it becomes."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .settings import TargetSettings


class Wire(StrEnum):
    """How well it is verified that a vendor speaks as we understand it."""

    CONTRACT = "contract"  # held to the vendor's own machine-readable documents by a test
    DOCUMENTED = "documented"  # read in the vendor's documentation
    UNVERIFIED = "unverified"  # parts of it are hearsay


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One vendor."""

    settings: type[TargetSettings]
    client: type[Any]  # called with the settings and ``observer=``; its methods say which checks it can answer
    domains: tuple[str, ...] = ()  # whose hosts, and hosts below, are the vendor's: what goes there needs the vendor
    wire: Wire = Wire.DOCUMENTED

    def implements(self, protocol: type) -> bool:
        """Return whether the client has every method of a protocol of ``checks.clients`` or ``checks.callbacks``."""
        methods = [name for name, member in vars(protocol).items() if name[0] != "_" and callable(member)]
        return all(callable(getattr(self.client, name, None)) for name in methods)
