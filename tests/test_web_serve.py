"""The commands with a web configuration: serve, health, config check, demo."""

import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import pytest
import requests
import yaml

from exporter.config import ConfigError
from exporter.meters import Meters
from exporter.storage import Storage
from exporter.web.health import ask_health
from exporter.web.protection import Protection
from exporter.web.public import serve_public
from exporter.web.server import WebError, bind
from tests.certificates import Certificates, write_certificates
from tests.processes import COMMAND, free_port, run_command, running, wait_for
from tests.protected import CERT, TLS, hashed, protected
from tests.served import FakeApp

CONFIG = {
    "providers": {
        "twilio": {
            "type": "twilio",
            "account_sid": f"AC{'0' * 32}",
            "auth_token": {"file": "token"},
            "base_url": "http://127.0.0.1:9",
        }
    },
    "checks": {"balance": {"type": "balance", "target": "twilio", "interval": "1h"}},
}
MTLS = f"tls_server_config: {{{CERT}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, and certificates for a web configuration beside it."""
    write_certificates(tmp_path)
    (tmp_path / "token").write_text("0" * 32)
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump(CONFIG))
    return tmp_path


def write(folder: Path, text: str, name: str = "web.yml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_serve_encrypts_both_listeners_and_reads_their_files_again(folder: Path) -> None:
    write(folder, f"{TLS}basic_auth_users: {{alice: {hashed('right')}}}")
    write(folder, f"{TLS}http_server_config: {{headers: {{Strict-Transport-Security: max-age=1}}}}", "public.yml")
    port, public_port, log = free_port(), free_port(), folder / "serve.log"
    options = [
        f"--config.file={folder / 'exporter.yml'}",
        f"--storage.path={folder / 'x.db'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--public.listen-address=127.0.0.1:{public_port}",
        f"--public.web.config.file={folder / 'public.yml'}",
    ]
    url, ca = f"https://localhost:{port}", str(folder / "ca.pem")

    def status(path: str, user: str = "alice", password: str = "right", method: str = "GET") -> int:
        try:
            return requests.request(method, url + path, auth=(user, password), verify=ca, timeout=10).status_code
        except requests.RequestException:
            return 0

    with running([*COMMAND, "serve", *options], log) as process:
        wait_for(lambda: status("/metrics") == 200)
        assert (status("/metrics", password="wrong"), status("/-/healthy", "", "")) == (401, 200)
        clock = requests.get(f"https://localhost:{public_port}/clock", verify=ca, timeout=10)
        assert (clock.status_code, clock.headers["strict-transport-security"]) == (200, "max-age=1")
        health = ["health", f"--web.listen-address=127.0.0.1:{port}"]
        done = run_command(*health, f"--web.config.file={folder / 'web.yml'}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert run_command(*health).returncode == 1  # speaks no TLS

        write(folder, f"{TLS}basic_auth_users: {{bob: {hashed('right')}}}")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: status("/metrics", "bob") == 200, seconds=1.5)  # before it would have been seen to change
        assert status("/metrics") == 401
        write(folder, "nonsense", "public.yml")
        answer = requests.post(f"{url}/-/reload", auth=("bob", "right"), verify=ca, timeout=10)
        assert (answer.status_code, answer.text) == (
            500,
            f"The old configuration stays in force:\n{folder}/public.yml: must be a mapping, got text\n",
        )
    text = log.read_text()
    assert f"url=https://127.0.0.1:{port}" in text
    assert 'msg="web configuration not reloaded, the old one stays in force"' in text
    assert "right" not in text


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            ["--public.web.config.file=WEB"],
            "--public.web.config.file: has no use without --public.listen-address",
        ),
        (
            ["--public.web.config.file=WEB", "--public.listen-address=127.0.0.1:0"],
            "WEB: cannot be read: no such file or directory",
        ),
    ],
)
def test_serve_does_not_start_with_a_bad_file(folder: Path, options: list[str], problem: str) -> None:
    path = str(folder / "no.yml")
    options = [option.replace("WEB", path) for option in options]
    done = run_command(
        "serve",
        f"--config.file={folder / 'exporter.yml'}",
        f"--storage.path={folder / 'x.db'}",
        "--web.listen-address=127.0.0.1:0",
        *options,
    )
    assert (done.returncode, done.stderr) == (2, problem.replace("WEB", path) + "\n")


def test_config_check_looks_at_the_web_configurations_too(folder: Path) -> None:
    web = write(
        folder, f"{MTLS}basic_auth_users: {{a: {hashed('a')}, b: {hashed('b')}}}\nhttp_server_config: {{http2: on}}"
    )
    public = write(folder, TLS, "public.yml")
    arguments = ["config", "check", f"--config.file={folder / 'exporter.yml'}"]
    done = run_command(*arguments, f"--web.config.file={web}", f"--public.web.config.file={public}")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (
        0,
        [f"{web}: ok, TLS, client certificates, 2 users", f"{public}: ok, TLS"],
    )
    assert f"warning: {web}: http_server_config.http2: is ignored" in done.stderr
    (folder / "exporter.yml").write_text("checks: {}")
    write(folder, "nonsense: 1")
    done = run_command(*arguments, f"--web.config.file={web}")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "web.yml" in line] == [
        f"{web}: nonsense: unknown key, must be one of: basic_auth_users, http_server_config, rate_limit,"
        " tls_server_config"
    ]
    assert "exporter.yml" in done.stderr or "checks" in done.stderr  # all that is wrong with both


# --- health ------------------------------------------------------------------------------------------


def test_health_says_what_the_exporter_says(tmp_path: Path) -> None:
    app = FakeApp()
    write_certificates(tmp_path)
    with protected(tmp_path, f"basic_auth_users: {{alice: {hashed('right')}}}", app=app) as listener:
        address = f"127.0.0.1:{listener.address[1]}"
        assert ask_health(address) is None
        assert ask_health(f":{listener.address[1]}") is None
        assert ask_health(address, tmp_path / "web.yml") is None
        app.healthy = False
        assert ask_health(address) == (f"{address}: 503: twofa-exporter is not healthy: no checks are scheduled.")


def test_health_has_a_certificate_where_one_is_asked_for(folder: Path) -> None:
    with protected(folder, MTLS) as listener:
        address = f"127.0.0.1:{listener.address[1]}"
        web = folder / "web.yml"
        cert, key = (Path(file) for file in Certificates(folder).pair("client"))
        assert ask_health(address, web, (cert, key)) is None
        with pytest.raises(ConfigError) as caught:
            ask_health(address, web)
    assert caught.value.problems == (f"{web}: asks for a client certificate; give --client-cert and --client-key",)


def test_nobody_is_not_healthy(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    found = ask_health(address)
    assert found is not None
    assert "refused" in found
    with closing(bind("127.0.0.1:0")) as silent:  # listens, and never answers
        silent.settimeout(0)
        with pytest.raises(WebError):
            ask_health("nonsense")


def test_a_certificate_without_its_key_is_a_usage_error() -> None:
    done = run_command("health", "--client-cert=x.crt")
    assert (done.returncode, done.stderr) == (2, "--client-cert and --client-key: give both, or neither\n")


# --- the public listener -----------------------------------------------------------------------------


@pytest.fixture
def public(folder: Path) -> Iterator[str]:
    meters = Meters()
    storage = Storage.in_memory(meters)
    protection = Protection(write(folder, TLS), is_public=True)
    with (
        closing(storage),
        serve_public(
            bind("127.0.0.1:0"),
            lambda: MappingProxyType({}),
            storage.messages,
            meters,
            lambda: None,
            protection=protection,
        ) as url,
    ):
        yield url


def test_the_public_listener_can_be_encrypted(public: str, folder: Path) -> None:
    assert public.startswith("https://")
    answer = requests.get(f"{public}/clock", verify=str(folder / "ca.pem"), timeout=10)
    assert answer.status_code == 200
    assert requests.post(f"{public}/callbacks/x", verify=str(folder / "ca.pem"), timeout=10).status_code == 404
    assert requests.get(f"{public}/metrics", verify=str(folder / "ca.pem"), timeout=10).status_code == 404


def test_its_certificate_is_renewed_too(public: str, folder: Path) -> None:
    def names() -> str:
        host, port = public.removeprefix("https://").split(":")
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            return str(client.getpeercert())

    assert "renewed.example" not in names()
    for file, source in zip(("server.crt", "server.key"), Certificates(folder).pair("renewed"), strict=True):
        (folder / file).write_bytes(Path(source).read_bytes())
    wait_for(lambda: "renewed.example" in names(), seconds=10)


# --- the demo ----------------------------------------------------------------------------------------


def test_the_demo_has_it_on_its_pages(folder: Path) -> None:
    write(folder, f"{MTLS}basic_auth_users: {{alice: {hashed('right')}}}")
    port, log = free_port(), folder / "demo.log"
    options = [f"--web.listen-address=127.0.0.1:{port}", f"--web.config.file={folder / 'web.yml'}", "--no-companions"]
    url, cert = f"https://localhost:{port}", Certificates(folder).pair("client")

    def metrics() -> str:
        try:
            return requests.get(
                f"{url}/metrics", auth=("alice", "right"), cert=cert, verify=str(folder / "ca.pem"), timeout=10
            ).text
        except requests.RequestException:
            return ""

    with running([*COMMAND, "demo", *options], log):
        wait_for(metrics, seconds=30)
        assert f"https://127.0.0.1:{port}/" in log.read_text()
        with pytest.raises(requests.RequestException):
            requests.get(url, verify=str(folder / "ca.pem"), timeout=10)


def test_the_demo_does_not_start_with_a_bad_file(folder: Path) -> None:
    path = write(folder, "nonsense")
    done = subprocess.run(
        [*COMMAND, "demo", f"--web.config.file={path}", "--web.listen-address=127.0.0.1:0", "--no-companions"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (2, f"{path}: must be a mapping, got text\n")
