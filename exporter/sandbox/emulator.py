"""One vendor's wire before the same traffic: what an emulator file offers to the sandbox."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp

from .account import Account
from .message import Message
from .outbox import Post


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every emulator stands on."""

    account: Account
    child: Account  # owns and sends nothing
    clock: Callable[[], float]  # epoch seconds
    closing: asyncio.Event  # set when held connections are to be dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """How one vendor answers, posts and is configured."""

    prefix: str  # of all its paths; "" for the one at the root
    build: Callable[[Ground], ASGIApp]
    settings: Callable[[Account], Mapping[str, Any]]  # without type, base_url and status_page; secrets are Secrets
    callback_settings: Callable[[Account], Mapping[str, Any]]  # what makes the posts believed, without public_url
    post: Callable[[Account, str, str | None, Message, str, float], Post]
    """Builds the post about a message: to a URL, signed as if to another one, with its status and since when."""
    has_status_page: bool = True  # one that the adapter can read
    signs_url: bool = False  # the URL that is posted to is part of the signature, and so of the settings
    cannot_show: Mapping[str, str] = field(default_factory=dict)  # fault -> why nobody sees it on this wire
