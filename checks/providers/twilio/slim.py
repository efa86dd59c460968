"""The SDK without what nobody asks it for: 120 of its modules are loaded when they are used, which is never here.

Importing one resource of the SDK imports all its sisters: calls, conferences, recordings, SIP. They take 9 MB.
"""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_USED: Final = {
    "twilio.rest.api.v2010.account": {"balance", "incoming_phone_number", "usage"},
    "twilio.rest.api.v2010.account.incoming_phone_number": set[str](),
    "twilio.rest.api.v2010.account.usage": {"record"},
    "twilio.rest.api.v2010.account.usage.record": {"all_time", "daily"},
    "twilio.rest.messaging": {"MessagingBase", "v1"},
    "twilio.rest.messaging.v1": {"service", "tollfree_verification"},
    "twilio.rest.messaging.v1.service": {
        "alpha_sender",
        "destination_alpha_sender",
        "phone_number",
        "short_code",
        "us_app_to_person",
    },
    "twilio.rest.trusthub.v1": {"customer_profiles"},
    "twilio.rest.trusthub.v1.customer_profiles": set[str](),
    "twilio.rest.accounts.v1": {"messaging_geopermissions"},
}
"""By package, the modules that are loaded with it; the SDK names what it takes from them as classes to call."""


def load_sdk() -> None:
    """Import what is used of the SDK, once, unless somebody has imported all of it."""
    with _slim():
        for package in _USED:
            importlib.import_module(package)


@contextmanager
def _slim() -> Iterator[None]:
    """Inside, importing the SDK puts stand-ins for what is not used; each becomes the real one when it is called."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.stood_in:  # who imports one of them later, gets it
            sys.modules.pop(name, None)


class _Finder:
    def __init__(self) -> None:
        self.stood_in: list[str] = []

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002  # the protocol
        package, _, module = name.rpartition(".")
        used = _USED.get(package)
        if used is None or module in used:
            return None
        self.stood_in.append(name)
        return ModuleSpec(name, self)  # type: ignore[arg-type]  # it is a loader, too

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        module = self.__name__

        def build(*arguments: Any, **options: Any) -> Any:
            return getattr(importlib.import_module(module), name)(*arguments, **options)

        return build
