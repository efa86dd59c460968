"""A provider whose API the configuration describes: requests, and expressions that find things in the answers.

Nothing here knows a vendor. The data of some are in ``checks/providers/presets``.
"""

from .client import HttpJsonClient
from .settings import HttpJsonSettings

__all__ = ["HttpJsonClient", "HttpJsonSettings"]
