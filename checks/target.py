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
    CONFIGURED = "configured"  # the configuration says how it speaks: it is as right as that


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One vendor."""

    settings: type[TargetSettings]
    client: type[Any]  # called with the settings and ``observer=``; its methods say which checks it can answer
    domains: tuple[str, ...] = ()  # whose hosts, and hosts below, are the vendor's: what goes there needs the vendor
    wire: Wire = Wire.DOCUMENTED
    speaks_http: bool = True  # what holds for all that do is tested once for all, the rest has its own tests

    def implements(self, protocol: type, settings: TargetSettings | None = None) -> bool:
        """Return whether a client can do what a protocol of ``checks.clients`` or ``checks.callbacks`` asks.

        Its class has to have every method and, where settings are given, these must not lack anything for it.
        """
        methods = [name for name, member in vars(protocol).items() if name[0] != "_" and callable(member)]
        has_methods = all(callable(getattr(self.client, name, None)) for name in methods)
        return has_methods and (settings is None or settings.lacks(protocol) is None)
