"""B2CORE, the back office by B2Broker: the one folder that knows it.

Read 2026-11 in its public documentation, https://docs.b2core.b2broker.com: the REST API v2 reference (up to 2023)
and the Back Office guide. What neither of them tells is inferred, and marked so where it matters.
"""

from .client import B2CoreClient
from .settings import B2CoreSettings

__all__ = ["B2CoreClient", "B2CoreSettings"]
