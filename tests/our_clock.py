"""Our clock, as clients of JSON APIs see it: a vendor's Date that is days from it is not believed."""

from collections.abc import Callable

import pytest

from checks.providers.json_api import JsonApi


def set_our_clock(monkeypatch: pytest.MonkeyPatch, now: Callable[[], float]) -> None:
    """Let the clients that are made from now on take ``now`` for our time (Unix time)."""
    made = JsonApi.__init__
    monkeypatch.setattr(made, "__kwdefaults__", {**(made.__kwdefaults__ or {}), "now": now})
