"""The running exporter: configuration, clients, schedule and storage, held together."""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

from checks.providers import build_client
from checks.providers.http import OUTCOMES
from checks.result import CheckRun
from checks.settings import ProviderSettings

from . import config as configuration
from .config import Config, ConfigError, ConfiguredCheck
from .meters import Meters
from .metrics import TwofaCollector, build_registry
from .runner import run_check
from .scheduler import Scheduler
from .storage import Storage

_log: Final = logging.getLogger(__name__)

_MAX_AT_ONCE: Final = 32


class Clients:
    """One client a configured target, kept for as long as its settings stay the same."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._clients: dict[str, tuple[ProviderSettings, Any]] = {}

    def use(self, providers: Mapping[str, ProviderSettings]) -> None:
        """Build clients for new or changed providers and close those no longer needed."""
        kept = {name: held for name, held in self._clients.items() if name in providers and providers[name] == held[0]}
        closed = [client for name, (_, client) in self._clients.items() if name not in kept]
        for name, settings in providers.items():
            if name not in kept:
                observer = self._meters.observer(name, OUTCOMES)
                kept[name] = (settings, build_client(settings, observer))
        self._clients = kept
        for client in closed:
            client.close()

    def of(self, target: str) -> Any:
        """Return the client of a configured target."""
        return self._clients[target][1]

    def close(self) -> None:
        """Close every client."""
        self.use({})


class App:
    """Everything that runs; reload swaps the configuration as a whole or not at all."""

    def __init__(self, config_path: Path, config: Config, storage: Storage, meters: Meters) -> None:
        self.version: Final = version("twofa-exporter")
        self.config_path: Final = config_path
        self.storage: Final = storage
        self.meters: Final = meters
        self._config = config
        self._reload_lock = threading.Lock()
        self._clients = Clients(meters)
        self._scheduler = Scheduler(self._run, meters)
        self.registry: Final = build_registry(TwofaCollector(lambda: self.config, storage.snapshot, meters))

    @classmethod
    def load(cls, config_path: Path, open_storage: Callable[[], Storage], meters: Meters) -> Self:
        """Return an app with the configuration of ``config_path``; storage is opened only when that is good.

        Raises ConfigError and StorageError.
        """
        config = configuration.load(config_path)
        return cls(config_path, config, open_storage(), meters)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def start(self) -> None:
        """Begin to run checks."""
        self._put_in_force(self._config)
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for the runs under way, then close clients and storage."""
        self._scheduler.stop()
        self._clients.close()
        self.storage.close()

    def is_healthy(self) -> bool:
        """Return whether checks are being scheduled; says nothing of their results."""
        return self._scheduler.is_alive()

    def is_ready(self) -> bool:
        """Return whether there is a result of every configured check."""
        return self._config.checks.keys() <= self.storage.snapshot().checks.keys()

    def reload(self) -> tuple[str, ...]:
        """Put the configuration file in force; when it is bad, keep the old one and return what is wrong."""
        with self._reload_lock:
            try:
                config = configuration.load(self.config_path)
            except ConfigError as error:
                self.meters.config_loaded(False, datetime.now(UTC))
                for problem in error.problems:
                    _log.error("configuration not reloaded, the old one stays in force", extra={"problem": problem})
                return error.problems
            self._put_in_force(config)
            _log.info("configuration reloaded", extra={"checks": len(config.checks)})
            return ()

    def _put_in_force(self, config: Config) -> None:
        for warning in config.warnings:
            _log.warning("configuration", extra={"problem": warning})
        changed = [name for name, check in config.checks.items() if self._config.checks.get(name) != check]
        self._clients.use(config.providers)
        self._config = config
        self.storage.keep_only({check.name: (check.kind_name, check.target) for check in config.checks.values()})
        self._scheduler.schedule({check.name: check.settings.interval for check in config.checks.values()})
        for name in changed:
            self._scheduler.run_soon(name)
        self.meters.config_loaded(True, datetime.now(UTC))

    def _run(self, name: str) -> None:
        check = self._config.checks.get(name)
        if check is None:  # removed by a reload while it was due
            return
        past = self.storage.past(check.target, datetime.now(UTC))
        self.storage.record(run_check(check, self._clients.of(check.target), past))


def run_once(
    config: Config, storage: Storage, meters: Meters, *, on_done: Callable[[CheckRun], None] = lambda _: None
) -> list[CheckRun]:
    """Run every check once, side by side, and return the runs in the order of the configuration."""
    clients = Clients(meters)
    clients.use(config.providers)

    def run(check: ConfiguredCheck) -> CheckRun:
        past = storage.past(check.target, datetime.now(UTC))
        done = run_check(check, clients.of(check.target), past)
        storage.record(done)
        on_done(done)
        return done

    with closing(clients), ThreadPoolExecutor(max_workers=min(len(config.checks), _MAX_AT_ONCE)) as pool:
        return list(pool.map(run, config.checks.values()))
