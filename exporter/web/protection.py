"""What a web configuration file asks for, in force: read again when it or a certificate changes, without a restart."""

import asyncio
import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ..config import ConfigError
from .tls import Encryption, build_encryption
from .users import RateLimit, Users
from .webconfig import WebConfig, load

_log: Final = logging.getLogger("exporter.web")

WATCH_SECONDS: Final = 2.0

_Signature = dict[Path, tuple[int, int, int] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _InForce:
    """One file with all that it names, built; swapped as a whole."""

    config: WebConfig
    encryption: Encryption | None
    users: Users | None
    rate: RateLimit | None

    @classmethod
    def build(cls, config: WebConfig, before: Self | None) -> Self:
        """Return what ``config`` asks for; users and limit go on as they are where they are the same.

        Raises ValueError for what cannot be used.
        """
        encryption = None if config.tls is None else build_encryption(config.tls)
        if before is not None and (before.encryption is None) != (encryption is None):
            msg = "tls_server_config: TLS is turned on and off by a restart only"
            raise ValueError(msg)
        has_same_users = before is not None and before.config.users == config.users
        has_same_rate = before is not None and before.config.rate == config.rate
        return cls(
            config=config,
            encryption=encryption,
            users=before.users if before and has_same_users else Users(config.users) if config.users else None,
            rate=before.rate if before and has_same_rate else RateLimit(config.rate) if config.rate else None,
        )


class Protection:
    """A web configuration that follows its file. A bad file changes nothing, and is told of."""

    def __init__(self, path: Path, *, is_public: bool = False) -> None:
        """Raises ConfigError."""
        self._path = path
        self._is_public = is_public
        self._lock = threading.Lock()
        self._looked_at: _Signature = {}
        self._in_force = self._load(None)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is done otherwise than it is asked for."""
        return tuple(f"{self._path}: {warning}" for warning in self._in_force.config.warnings)

    @property
    def encryption(self) -> Encryption | None:
        """What new connections need; None for none, which does not change."""
        return self._in_force.encryption

    @property
    def users(self) -> Users | None:
        """Who may ask; None for all."""
        return self._in_force.users

    @property
    def rate(self) -> RateLimit | None:
        """How many may ask; None without a limit."""
        return self._in_force.rate

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of every answer."""
        return self._in_force.config.headers

    def described(self) -> str:
        """Return what is in force, in a few words."""
        config = self._in_force.config
        parts = ["no TLS" if config.tls is None else "TLS"]
        if config.tls is not None and config.tls.client_ca is not None:
            parts.append("client certificates" + ("" if config.tls.requires_client else " where they are given"))
        if config.users:
            parts.append(f"{len(config.users)} user{'s' if len(config.users) > 1 else ''}")
        if config.rate is not None:
            parts.append("a rate limit")
        return ", ".join(parts)

    def tell(self) -> None:
        """Log the warnings."""
        for warning in self.warnings:
            _log.warning("web configuration", extra={"problem": warning})

    def reload(self) -> tuple[str, ...]:
        """Read the file again; return what is wrong with it, and keep what is in force then."""
        with self._lock:
            before, looked_at = self._in_force, self._looked_at
            try:
                self._in_force = self._load(before)
            except ConfigError as error:
                for problem in error.problems:
                    _log.error("web configuration not reloaded, the old one stays in force", extra={"problem": problem})
                return error.problems
            if self._looked_at != looked_at:
                self.tell()
                _log.info("web configuration reloaded", extra={"in_force": self.described()})
            return ()

    def reload_if_changed(self) -> None:
        """Read the file again when it, or a file that it names, has changed since it was looked at."""
        looked_at = self._looked_at
        if _signature(looked_at) != looked_at:
            self.reload()

    async def watch(self) -> None:
        """Follow the files until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await asyncio.to_thread(self.reload_if_changed)

    def _load(self, before: _InForce | None) -> _InForce:
        self._looked_at = _signature([self._path])  # before it is read: a change while it is read is a change
        config = load(self._path, is_public=self._is_public)
        self._looked_at |= _signature(config.files())
        try:
            return _InForce.build(config, before)
        except ValueError as problem:
            raise ConfigError([f"{self._path}: {problem}"]) from None


def _signature(paths: Iterable[Path]) -> _Signature:
    """Return what changes with the files."""
    return {path: _signature_of(path) for path in paths}


def _signature_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file; None for one that is not there."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
