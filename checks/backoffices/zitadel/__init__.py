"""ZITADEL as a back office."""

from .client import ZitadelClient
from .settings import ZitadelSettings

__all__ = ["ZitadelClient", "ZitadelSettings"]
