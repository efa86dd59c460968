"""A database that several exporters share: what is accepted, what is refused, and what it holds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from checks.reason import Reason
from exporter.app import App
from exporter.config import ConfigError, load, masked
from exporter.database import StorageError
from exporter.meters import Meters
from exporter.metrics import TwofaCollector
from exporter.migrations import MIGRATIONS
from exporter.postgresql import open_shared, translated
from exporter.shard import Shard
from exporter.storage import SCHEMA, Storage
from exporter.storage_settings import StorageSettings
from tests.fakes import receipt, run
from tests.postgresql_server import GROUP, Server, Shared, open_leading
from tests.processes import free_port, wait_for

pytestmark = GROUP

KEY = "k" * 32
CONFIG = {
    "providers": {
        "twilio": {"type": "twilio", "account_sid": "AC" + "1" * 32, "auth_token": {"env": "TOKEN"}},
    },
    "checks": {"keys": {"type": "credentials", "target": "twilio"}},
}


@pytest.fixture
def shared(postgresql: Server) -> Shared:
    return postgresql.new_database()


@pytest.fixture
def write_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    monkeypatch.setenv("TOKEN", "t" * 32)
    monkeypatch.setenv("KEY", KEY)

    def write(storage: object) -> Path:
        path = tmp_path / "c.yml"
        path.write_text(yaml.safe_dump({**CONFIG, "storage": storage}))
        return path

    return write


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("postgresql://host/db", "storage: must be a mapping, got text"),
        ({"url": "postgresql://host/db"}, "storage.key: is required"),
        ({"url": "postgresql://u:secret@host/db", "key": {"env": "KEY"}}, "storage.url: must not hold the password"),
        ({"url": "postgresql://host/db?password=secret", "key": {"env": "KEY"}}, "must not hold the password"),
        ({"url": "mysql://host/db", "key": {"env": "KEY"}}, "storage.url: must be a URL such as"),
        ({"url": "postgresql://host/", "key": {"env": "KEY"}}, "storage.url: must be a URL such as"),
        ({"url": "postgresql://host/db", "key": {"env": "TOKEN"}}, None),
        ({"url": "postgresql://host/db", "key": {"env": "SHORT"}}, "storage.key: must have at least 32 characters"),
        ({"url": "postgresql://host/db", "key": {"env": "KEY"}, "lease": "1s"}, "storage.lease: "),
        ({"url": "postgresql://host/db", "key": {"env": "KEY"}, "leese": "9s"}, 'did you mean "lease"?'),
    ],
)
def test_what_is_accepted(
    storage: object, words: str | None, write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHORT", "s" * 31)
    path = write_config(storage)
    if words is None:
        assert load(path).storage is not None
        return
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    assert words in problem
    assert "secret" not in problem


def test_the_secrets_are_masked(write_config: Callable[..., Path]) -> None:
    storage = {"url": "postgresql://host/db", "password": {"env": "TOKEN"}, "key": {"env": "KEY"}, "lease": "20s"}
    shown = yaml.safe_load(masked(load(write_config(storage))))["storage"]
    assert KEY not in str(shown)
    assert "ttt" not in str(shown)
    assert (shown["url"], shown["lease"]) == ("postgresql://host/db", "20s")


def test_a_driver_that_is_missing_is_said(write_config: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.storage_settings.find_spec", lambda _: None)
    path = write_config({"url": "postgresql://host/db", "key": {"env": "KEY"}})
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.problems == (
        f"{path}: storage.url: needs the driver of PostgreSQL: pip install 'twofa-exporter[postgresql]'",
    )


def test_a_driver_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch, shared: Shared) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StorageError, match="needs the driver of PostgreSQL"):
        Storage.open_shared(shared.settings(), Shard(), Meters())


def test_tables_of_sqlite_become_tables_of_postgresql() -> None:
    assert translated(
        "CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL, at REAL, b BLOB) WITHOUT ROWID;"
    ) == (
        "CREATE TABLE a (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n BIGINT NOT NULL, at DOUBLE PRECISION,"
        " b BYTEA);"
    )


def test_all_is_there_after_a_restart(shared: Shared) -> None:
    first = open_leading(shared, Meters())
    first.record(run(Reason.BALANCE_LOW, detail="näher 東京"))
    first.book("twilio").take([receipt(1), receipt(2)])
    before = first.snapshot()
    first.close()
    second = open_leading(shared, Meters())
    after = second.snapshot()
    second.close()
    assert (after.checks, after.tallies["twilio"].messages) == (before.checks, before.tallies["twilio"].messages)


def test_neither_message_ids_nor_numbers_nor_the_key_reach_the_server(shared: Shared, postgresql: Server) -> None:
    storage = open_leading(shared, Meters())
    storage.book("twilio").take([receipt(0xABCDEF)])
    storage.close()
    rows = str([shared.query(f"SELECT * FROM twofa.{table}") for table in ("messages", "journal", "kept", "detectors")])
    assert "delivered" in rows
    assert receipt(0xABCDEF).message_id not in rows
    assert receipt(0xABCDEF).recipient not in rows
    assert shared.settings().key.reveal() not in rows


def test_another_key_is_refused(shared: Shared) -> None:
    open_leading(shared, Meters()).close()
    with pytest.raises(StorageError) as caught:
        open_leading_with(shared.settings(key="another key that has more than 32 characters"))
    assert str(caught.value) == "storage.key: is not the key that the database was begun with"


def open_leading_with(settings: StorageSettings) -> None:
    Storage.open_leading(settings, {}, Meters()).close()


def test_a_database_of_a_newer_version_is_refused(shared: Shared) -> None:
    open_leading(shared, Meters()).close()
    newer = len(MIGRATIONS) + 2
    shared.query(f"UPDATE twofa.kept SET version = {newer}")
    with pytest.raises(StorageError) as caught:
        Storage.open_shared(shared.settings(), Shard(), Meters())
    assert str(caught.value) == (
        f"storage.url: the database was written by a newer version (schema {newer}, this version knows {newer - 1});"
        " run that version"
    )


def test_an_older_database_is_changed_by_who_leads_and_by_nobody_else(shared: Shared) -> None:
    open_leading(shared, Meters()).close()
    step = "ALTER TABLE notes ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;"
    migrations = (*MIGRATIONS, step)
    database = open_shared(shared.settings(), Shard(), SCHEMA, migrations, Meters())
    assert shared.query("SELECT version FROM twofa.kept") == [(len(migrations),)]
    assert database.lease is not None
    assert database.lease.take()
    with database.lock:
        database.lead()
    assert shared.query("SELECT version FROM twofa.kept") == [(len(migrations) + 1,)]
    assert shared.query("SELECT weight FROM twofa.notes") == []
    database.close()


def test_a_database_made_by_steps_has_the_tables_of_one_made_at_once(shared: Shared) -> None:
    open_leading(shared, Meters()).close()
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'twofa'"
    found = set(shared.query(columns))
    assert {"messages", "canaries", "lease", "kept", "runs"} <= {table for table, _, _ in found}
    assert {kind for _, _, kind in found} == {
        *("text", "bigint", "bytea", "double precision", "timestamp with time zone"),
    }


def test_shards_have_tables_and_a_leader_each(shared: Shared) -> None:
    with ExitStack() as stack:
        stores = []
        for number in range(2):
            storage = Storage.open_shared(shared.settings(), Shard(number, 2), Meters())
            stack.callback(storage.close)
            assert storage.lease is not None
            assert storage.lease.take()
            storage.load()
            stores.append(storage)
        stores[0].record(run(check="one"))
        stores[1].record(run(check="two"))
        assert shared.query("SELECT name FROM twofa_shard_0_of_2.checks") == [("one",)]
        assert shared.query("SELECT name FROM twofa_shard_1_of_2.checks") == [("two",)]


def test_a_command_that_writes_is_refused_while_an_exporter_leads(shared: Shared) -> None:
    storage = open_leading(shared, Meters())
    with pytest.raises(StorageError, match="an exporter that uses it runs, and leads; stop all that do"):
        open_leading(shared, Meters())
    storage.close()


@pytest.fixture
def app(shared: Shared, tmp_path: Path, write_config: Callable[..., Path]) -> Iterator[App]:
    path = write_config(shared.document(tmp_path, lease="2s"))
    meters = Meters()
    app = App.load(path, lambda: Storage.in_memory(meters), meters)
    yield app
    app.stop()


def names_of(app: App) -> set[str]:
    collector = TwofaCollector(lambda: app.config, app.storage, app.meters, leads=app.leads, shard=app.shard)
    return {metric.name for metric in collector.collect()}


def test_an_app_stands_by_as_long_as_another_leads_and_then_leads(app: App, shared: Shared) -> None:
    other = open_leading(shared, Meters())
    app.start()
    assert (app.leads(), app.is_ready(), app.is_healthy()) == (False, False, True)
    assert {name for name in names_of(app) if not name.startswith("twofa_exporter_")} == set()
    assert app.reload() == ()
    assert shared.query("SELECT count(*) FROM twofa.checks") == [(0,)]
    other.close()
    wait_for(app.leads)
    assert "twofa_check_info" in names_of(app)
    wait_for(lambda: shared.query("SELECT count(*) FROM twofa.checks") == [(1,)])


def test_an_app_that_loses_the_lease_forgets_and_can_lead_again(app: App, shared: Shared) -> None:
    app.start()
    wait_for(app.storage.checks)
    shared.query("UPDATE twofa.lease SET holder = 'b', epoch = epoch + 1, expires_at = clock_timestamp() + '1 hour'")
    wait_for(lambda: not app.leads())
    wait_for(lambda: not app.storage.checks())
    assert app.is_healthy()
    shared.query("UPDATE twofa.lease SET expires_at = clock_timestamp()")
    wait_for(app.leads)
    assert app.storage.checks()["keys"].last.check == "keys"


def test_storage_cannot_change_by_a_reload(app: App, write_config: Callable[..., Path]) -> None:
    app.start()
    path = write_config({"url": "postgresql://elsewhere/db", "key": {"env": "KEY"}})
    assert app.reload() == (f"{path}: storage: cannot change while the exporter runs; restart it",)


def test_a_server_that_cannot_be_reached_yet_is_waited_for(
    write_config: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    path = write_config({"url": f"postgresql://127.0.0.1:{port}/db", "key": {"env": "KEY"}})
    meters = Meters()
    app = App.load(path, lambda: Storage.in_memory(meters), meters)
    app.start()
    assert (app.leads(), app.is_healthy(), app.is_ready()) == (False, True, False)
    app.stop()
    (line,) = [record for record in caplog.records if record.name == "exporter.lease"]
    assert "refused" in vars(line)["problem"]
