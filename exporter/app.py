"""The running exporter: configuration, clients, schedule and storage, held together."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from checks.back_office import Resting
from checks.callbacks import CallbackClient
from checks.canary import CanarySettings
from checks.canary_probe import choose_probe
from checks.clients import BudgetedClient
from checks.clock import ClockSettings
from checks.delivery import DeliverySettings
from checks.past import ProviderIdentity
from checks.providers.http import OUTCOMES
from checks.result import CheckRun, ClockOffset, ClockSource
from checks.settings import BackOfficeSettings
from checks.targets import build_client

from . import config as configuration
from .config import Config, ConfigError, ConfiguredCheck
from .diagnosing import Known, LookupBudget
from .meters import Meters
from .metrics import TwofaCollector, build_registry
from .runner import Defect, contained, run_check
from .scheduler import Scheduler
from .shard import Shard
from .storage import Storage

_log: Final = logging.getLogger(__name__)

_MAX_AT_ONCE: Final = 32
_STALE_INTERVALS: Final = 3
_LOOKUPS: Final = "diagnose/lookups"  # no check can have this name
_BILLED: Final = "/billed"  # nor one that ends so
_ALONE: Final = Shard()


@dataclass(frozen=True, slots=True)
class InForce:
    """A configuration and a client for each of its targets: swapped as one, so that no run mixes two."""

    config: Config
    clients: Mapping[str, Any]
    callback_clients: Mapping[str, CallbackClient]
    identities: Mapping[str, ProviderIdentity]  # the same for every run of a check

    @classmethod
    def build(cls, config: Config, meters: Meters, before: Self | None = None) -> Self:
        """Build clients for ``config``; those whose settings did not change are taken over from ``before``.

        Raises ConfigError when a client cannot be built.
        """
        clients: dict[str, Any] = {}
        for name, settings in config.targets.items():
            if before is not None and before.config.targets.get(name) == settings:
                clients[name] = before.clients[name]
                continue
            try:
                clients[name] = build_client(settings, meters.observer(name, OUTCOMES))
            except ValueError as problem:
                raise ConfigError([f"{config.section_of(name)}.{name}: {problem}"]) from None
        callback_clients = {
            name: client
            for name, client in clients.items()
            if isinstance(client, CallbackClient) and client.takes_callbacks
        }
        for name in callback_clients:
            meters.expect_callbacks(name)
        for name, provider in config.providers.items():
            if provider.confirmations is not None:
                meters.expect_confirmations(name)
        for name, settings in config.targets.items():
            if isinstance(settings, BackOfficeSettings) and settings.verifier_events is not None:
                meters.expect_verifier_events(name)
        return cls(config, MappingProxyType(clients), MappingProxyType(callback_clients), config.identities())

    def remember_in(self, storage: Storage) -> None:
        """Let the clients go on with what they counted before, today."""
        for name, client in self.clients.items():
            if isinstance(client, BudgetedClient):
                client.keep_count_in(storage.notebook(f"{name}{_BILLED}"))

    def run(self, check: ConfiguredCheck, storage: Storage) -> CheckRun:
        """Run one check now, with what is known of it, and keep the result."""
        past = storage.past(check.name, check.target, datetime.now(UTC), self.identities)
        done = run_check(check, self.clients[check.target], past)
        storage.record(done)
        return done

    def close(self, after: Self | None = None) -> None:
        """Close the clients that ``after`` did not take over."""
        kept = () if after is None else after.clients.values()
        for client in self.clients.values():
            if not any(client is other for other in kept):
                client.close()


class App:
    """Everything that runs; reload swaps the configuration as a whole or not at all.

    Where several share a database, one leads and runs checks. Another stands by: it knows its configuration, and
    nothing else.
    """

    def __init__(
        self, config_path: Path, in_force: InForce, storage: Storage, meters: Meters, shard: Shard = _ALONE
    ) -> None:
        self.version: Final = version("twofa-exporter")
        self.config_path: Final = config_path
        self.storage: Final = storage
        self.meters: Final = meters
        self.shard: Final = shard
        in_force.remember_in(storage)
        self._in_force = in_force
        self._leads = self._is_stopping = False
        self._reload_lock = threading.Lock()
        self._scheduler = Scheduler(self._run, meters)
        self.registry: Final = build_registry(
            TwofaCollector(lambda: self.config, storage, meters, leads=lambda: self._leads, shard=shard)
        )

    @classmethod
    def load(
        cls, config_path: Path, open_storage: Callable[[], Storage], meters: Meters, shard: Shard = _ALONE
    ) -> Self:
        """Return an app with the configuration of ``config_path``; storage is opened only when that is good.

        ``open_storage`` is for a configuration that names none. Raises ConfigError and StorageError.
        """
        config = configuration.for_shard(configuration.load(config_path), shard)
        in_force = InForce.build(config, meters)
        shared = config.storage
        storage = open_storage() if shared is None else Storage.open_shared(shared, shard, meters)
        return cls(config_path, in_force, storage, meters, shard)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._in_force.config

    def client(self, target: str) -> Any:
        """Return the client in force for a target."""
        return self._in_force.clients[target]

    def callback_clients(self) -> Mapping[str, CallbackClient]:
        """Return the clients in force that take callbacks, by target."""
        return self._in_force.callback_clients

    def known(self) -> Known:
        """Return what a question about a client starts from."""
        in_force = self._in_force
        return Known(
            config=in_force.config,
            clients=in_force.clients,
            checks=lambda _: self.storage.checks(),
            alarms=self.storage.messages.evidence(),
            lookups=LookupBudget(self.storage.notebook(_LOOKUPS), in_force.config.diagnose.max_lookups_per_day),
        )

    def true_time(self) -> float | None:
        """Return the time in Unix seconds as NTP servers have it; None when they were not asked lately."""
        checks = self.storage.checks()
        for check in self.config.checks.values():
            state = checks.get(check.name)
            if not isinstance(check.settings, ClockSettings) or state is None:
                continue
            age = time.time() - state.last.finished_at.timestamp()
            if not 0 <= age <= _STALE_INTERVALS * check.settings.interval + check.settings.timeout:
                continue
            for part in state.last.result.measured:
                if isinstance(part, ClockOffset) and part.source is ClockSource.HOST:
                    return time.time() - part.seconds
        return None

    def start(self) -> None:
        """Begin to run checks; where the database is shared, as soon as no other exporter does."""
        if self.storage.lease is None:
            self._lead()
        else:
            self._put_in_force(self._in_force, changed=())
            self.storage.lease.start(self._lead, self._stand_by)

    def _lead(self) -> None:
        """Go on from what the database holds. Raises as ``Storage.load`` does."""
        with self._reload_lock:
            if self._is_stopping:
                return
            if self.storage.lease is not None:
                self.storage.load()
            self._leads = True
            self._put_in_force(self._in_force, changed=())
            self._scheduler.start()

    def _stand_by(self) -> None:
        """Let another exporter run the checks: what is under way here ends, and nothing of it is written."""
        with self._reload_lock:
            if self._is_stopping or not self._leads:
                return
            self._leads = False
            self.storage.canaries.stop()
            self._scheduler.stop()
            self._scheduler = Scheduler(self._run, self.meters)
            self.storage.forget()

    def stop(self) -> None:
        """Wait for the runs under way, but for no test message to arrive; then close clients and storage."""
        with self._reload_lock:
            self._is_stopping = True
        self.storage.canaries.stop()
        self._scheduler.stop()
        self._in_force.close()
        self.storage.close()

    def is_healthy(self) -> bool:
        """Return whether checks are being scheduled, or the lease is watched; says nothing of their results."""
        lease = self.storage.lease
        return self._scheduler.is_alive() or (lease is not None and lease.is_alive())

    def leads(self) -> bool:
        """Return whether checks run here; where not, another exporter leads, or none does."""
        return self._leads

    def is_ready(self) -> bool:
        """Return whether there is a result of every configured check but those that cost money: they take minutes."""
        if not self._leads:
            return False
        waited_for = {name for name, check in self.config.checks.items() if not check.kind.costs_money}
        return waited_for <= self.storage.checks().keys()

    def reload(self) -> tuple[str, ...]:
        """Put the configuration file in force; when it is bad, keep the old one and return what is wrong."""
        with self._reload_lock:
            before = self._in_force
            loaded = contained(lambda: self._load(before))
            if isinstance(loaded, Defect):
                loaded = ConfigError([f"{self.config_path}: a defect of the exporter ({loaded.name}); see its log"])
            if isinstance(loaded, ConfigError):
                self.meters.config_loaded(False, datetime.now(UTC))
                for problem in loaded.problems:
                    _log.error("configuration not reloaded, the old one stays in force", extra={"problem": problem})
                return loaded.problems
            checks = loaded.config.checks
            self._put_in_force(
                loaded, changed=[name for name, check in checks.items() if before.config.checks.get(name) != check]
            )
            before.close(after=loaded)
            for client in loaded.clients.values():
                if isinstance(client, Resting):
                    client.end_rest()
            if gc.get_freeze_count():
                settle()
            _log.info("configuration reloaded", extra={"checks": len(checks)})
            return ()

    def _load(self, before: InForce) -> InForce | ConfigError:
        try:
            config = configuration.for_shard(configuration.load(self.config_path), self.shard)
            if config.storage != before.config.storage:
                return ConfigError([f"{self.config_path}: storage: cannot change while the exporter runs; restart it"])
            return InForce.build(config, self.meters, before)
        except ConfigError as error:
            return error

    def _put_in_force(self, in_force: InForce, *, changed: Iterable[str]) -> None:
        config = in_force.config
        for warning in config.warnings:
            _log.warning("configuration", extra={"problem": warning})
        in_force.remember_in(self.storage)
        self._in_force = in_force
        self.meters.config_loaded(True, datetime.now(UTC))
        self.storage.messages.watch(config.detectors())
        if not self._leads:
            return
        self.storage.keep_only({check.name: (check.kind_name, check.target) for check in config.checks.values()})
        self._scheduler.schedule({check.name: check.settings.interval for check in config.checks.values()})
        for name in changed:
            self._scheduler.run_soon(name)

    def _run(self, name: str) -> None:
        in_force = self._in_force
        check = in_force.config.checks.get(name)
        if check is None:  # removed by a reload while it was due
            return
        in_force.run(check, self.storage)
        if isinstance(check.settings, DeliverySettings):
            self._probe_suspicions(check.target, in_force.config)

    def _probe_suspicions(self, target: str, config: Config) -> None:
        """Let canaries go at once by the routes that the detector suspects, where the configuration wants it."""
        suspicions = self.storage.messages.suspicions(target)
        for check in config.checks.values() if suspicions else ():
            settings = check.settings
            if check.target == target and isinstance(settings, CanarySettings) and settings.on_suspicion:
                probes = self.storage.canaries.desk(check.name).probes()
                if choose_probe(suspicions, settings.recipients, probes, time.time()) is not None:
                    self._scheduler.run_soon(check.name)


def settle() -> None:
    """Spare the garbage collector what stays as long as the configuration does.

    With ten thousand checks, each of its rounds would hold up all runs for a quarter of a second.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def run_once(
    config: Config, storage: Storage, meters: Meters, *, on_done: Callable[[CheckRun], None] = lambda _: None
) -> list[CheckRun]:
    """Run every check once, side by side, and return the runs in the order of the configuration.

    Raises ConfigError when a client cannot be built.
    """
    in_force = InForce.build(config, meters)

    def run(check: ConfiguredCheck) -> CheckRun:
        done = in_force.run(check, storage)
        on_done(done)
        return done

    pool = ThreadPoolExecutor(max_workers=min(len(config.checks), _MAX_AT_ONCE))
    with closing(in_force):
        try:
            return list(pool.map(run, config.checks.values()))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted, nobody wants to wait for a timeout
