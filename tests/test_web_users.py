"""Users, headers and the rate limit of a web configuration: who is let in to what, and what a password costs."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anyio
import bcrypt
import pytest
from starlette.routing import Mount, Route

from checks.secret import Secret
from exporter.config import DiagnoseSettings
from exporter.web.guards import SECURITY_HEADERS
from exporter.web.internal import build_internal
from exporter.web.protection import Protection
from exporter.web.users import BusyError, RateLimit, Users
from exporter.web.webconfig import RateSettings
from tests.protected import Listener, basic, hashed, protected
from tests.served import FakeApp

USERS = f"basic_auth_users:\n  alice: {hashed('right')}\n  søren: {hashed('pässwörd')}\n"
TOKEN = "0123456789abcdef-token"
ASKED = 'Basic realm="twofa-exporter users", charset="UTF-8"'
OPEN = {"/-/healthy", "/-/ready"}
GUARDED = {
    "/diagnose",
    "/api/v1/diagnose",
    "/api/v1/canary/{check}/received",
    "/api/v1/confirmations/{target}",
    "/api/v1/verifier-events/{target}",
}


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with protected(tmp_path, USERS) as running:
        yield running


def paths_of(folder: Path) -> dict[str, str]:
    """Every route of the internal listener, with a method that it takes."""
    (folder / "web.yml").write_text(USERS)
    app = FakeApp()
    site = build_internal(app, protection=Protection(folder / "web.yml"))
    app.storage.close()
    found = {}
    for route in site.routes:
        if isinstance(route, Route):
            methods = route.methods or set()
            found[route.path] = "GET" if "GET" in methods else min(methods)
        elif isinstance(route, Mount):
            found[f"{route.path}/status.css"] = "GET"
    return found


def test_without_a_user_there_is_nothing_but_health(listener: Listener, tmp_path: Path) -> None:
    paths = paths_of(tmp_path)
    assert OPEN | GUARDED | {"/", "/metrics", "/config", "/-/reload", "/static/status.css"} <= paths.keys()
    asked = {
        path: listener.ask(path.replace("{check}", "x").replace("{target}", "x"), method=method)
        for path, method in paths.items()
    }
    assert {path for path, answer in asked.items() if answer.status == 200} == OPEN
    others = {path: answer for path, answer in asked.items() if path not in OPEN | GUARDED}
    assert {path: (answer.status, answer.text) for path, answer in others.items()} == dict.fromkeys(
        others, (401, "Unauthorized\n")
    )
    assert {answer.headers["www-authenticate"] for answer in others.values()} == {ASKED}
    assert listener.app.reloads == 0
    for path in (
        "/nothing",
        "/metrics/",
        "//metrics",
        "/static/../config",
        "/-/healthy/",
        "/-//healthy",
        "/%2d/reload",
    ):
        assert listener.ask(path).status == 401, path


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_no_method_gets_round_it(listener: Listener, method: str) -> None:
    for path in ("/metrics", "/config", "/-/reload"):
        assert listener.ask(path, method=method).status == 401


def test_a_user_is_let_in_everywhere(listener: Listener) -> None:
    for credentials in (basic("alice", "right"), basic("søren", "pässwörd")):
        for path in ("/", "/metrics", "/config", "/static/status.css"):
            assert listener.ask(path, headers=credentials).status == 200
    assert listener.ask("/-/reload", method="POST", headers=basic("alice", "right")).status == 200
    assert listener.app.reloads == 1


@pytest.mark.parametrize(
    "credentials",
    [
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("alice", "right "),
        basic("alice", "RIGHT"),
        basic("alice", "right\0"),
        basic("Alice", "right"),
        basic("søren", "right"),
        basic("", "right"),
        basic("", ""),
        basic("nobody", "right"),
        basic("alice", hashed("right")),
        basic("alice", "x" * 5000),
        {"Authorization": "Basic"},
        {"Authorization": "Basic ****"},
        {"Authorization": "Basic YWxpY2U="},  # no colon
        {"Authorization": "Bearer right"},
        {"Authorization": f"Digest {basic('alice', 'right')['Authorization'][6:]}"},
    ],
    ids=range(17),
)
def test_who_is_no_user_is_not(listener: Listener, credentials: dict[str, str]) -> None:
    answer = listener.ask("/metrics", headers=credentials)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, ASKED)


def test_two_headers_are_no_credentials(listener: Listener) -> None:
    header = f"Authorization: {basic('alice', 'right')['Authorization']}\r\n"
    with listener.connect() as client:
        client.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}{header}\r\n".encode())
        assert client.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_password_is_72_bytes_here_as_in_go(tmp_path: Path) -> None:
    with protected(tmp_path, f"basic_auth_users: {{alice: {hashed('x' * 72)}}}") as listener:
        assert listener.ask("/metrics", headers=basic("alice", "x" * 80)).status == 200
        assert listener.ask("/metrics", headers=basic("alice", "x" * 71)).status == 401


def test_users_change_without_a_restart(listener: Listener) -> None:
    assert listener.ask("/config", headers=basic("alice", "right")).status == 200
    listener.write(f"basic_auth_users: {{alice: {hashed('new')}, bob: {hashed('right')}}}")
    listener.protection.reload_if_changed()
    statuses = [
        listener.ask("/config", headers=basic(user, password)).status
        for user, password in (("alice", "right"), ("alice", "new"), ("bob", "right"), ("søren", "pässwörd"))
    ]
    assert statuses == [401, 200, 200, 401]
    listener.write("")
    listener.protection.reload_if_changed()
    assert listener.ask("/config").status == 200


# --- what asks for a token of its own ----------------------------------------------------------------


def with_token(app: FakeApp) -> FakeApp:
    app.config = replace(app.config, diagnose=DiagnoseSettings(token=Secret(TOKEN)))
    return app


QUESTION = b'{"client": "1042"}'
JSON = {"Content-Type": "application/json"}


def test_without_a_token_users_may_ask_about_clients_and_nobody_else(listener: Listener) -> None:
    right, wrong = basic("alice", "right"), basic("alice", "wrong")
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert listener.ask("/diagnose", headers=right).status == 200
    assert listener.ask("/api/v1/diagnose", method="POST", headers=right | JSON, body=QUESTION).status == 200
    for headers in ({}, wrong, bearer):
        assert listener.ask("/diagnose", headers=headers).status == 401
        answer = listener.ask("/api/v1/diagnose", method="POST", headers=headers | JSON, body=QUESTION)
        assert (answer.status, answer.headers["www-authenticate"]) == (401, ASKED)
        assert "client" not in answer.text


def test_with_a_token_the_password_of_the_scraper_opens_no_clients_data(tmp_path: Path) -> None:
    with protected(tmp_path, USERS, app=with_token(FakeApp())) as listener:
        right = basic("alice", "right")
        assert listener.ask("/metrics", headers=right).status == 200
        assert listener.ask("/diagnose", headers=right).status == 401
        for headers in ({"Authorization": f"Bearer {TOKEN}"}, basic("support", TOKEN)):
            assert listener.ask("/diagnose", headers=headers).status == 200
            answer = listener.ask("/api/v1/diagnose", method="POST", headers=headers | JSON, body=QUESTION)
            assert answer.status == 200
            assert listener.ask("/metrics", headers=headers).status == 401  # and the other way round


def test_a_metrics_path_below_the_api_is_not_guarded_by_a_token(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text(USERS)
    app = FakeApp()
    site = build_internal(app, telemetry_path="/api/v1/metrics", protection=Protection(tmp_path / "web.yml"))
    sent: list[int] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            sent.append(int(str(message["status"])))

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/api/v1/metrics", "headers": [], "query_string": b""}
        await site(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    app.storage.close()
    assert sent == [401]


# --- what a password costs ---------------------------------------------------------------------------


def spent(users: Users, user: str, password: str, times: int = 5) -> float:
    """The processor seconds of one look at a password: the median of a few."""

    async def look() -> float:
        costs = []
        for _ in range(times):
            began = time.process_time()
            await users.has(basic(user, password)["Authorization"])
            costs.append(time.process_time() - began)
        return statistics.median(costs)

    return asyncio.run(look())


def test_a_right_password_costs_a_bcrypt_once_and_a_wrong_one_always() -> None:
    users = Users({"alice": hashed("right", 8)})
    wrong = spent(users, "alice", "wrong")
    spent(users, "alice", "right", times=1)
    assert spent(users, "alice", "right") < wrong / 5
    assert spent(users, "alice", "wrong") > wrong / 3


def test_that_there_is_no_such_user_cannot_be_timed() -> None:
    users = Users({"alice": hashed("right", 9), "bob": hashed("right", 9)})
    spent(users, "alice", "right", times=1)
    known, unknown = spent(users, "alice", "wrong", times=9), spent(users, "nobody", "wrong", times=9)
    assert known / 2 < unknown < known * 2


def test_who_does_not_exist_does_not_get_in_with_the_password_of_who_does() -> None:
    users = Users({"alice": hashed("right")})
    found = [asyncio.run(users.has(basic(name, "right")["Authorization"])) for name in ("nobody", "alice", "nobody")]
    assert found == [False, True, False]


def test_neither_passwords_nor_hashes_are_shown() -> None:
    users = Users({"alice": hashed("right")})
    asyncio.run(users.has(basic("alice", "right")["Authorization"]))
    assert "right" not in str(vars(users)["_right"])


def test_a_flood_of_guesses_does_not_hold_up_who_is_known(tmp_path: Path) -> None:
    with protected(tmp_path, f"basic_auth_users: {{alice: {hashed('right', 10)}}}") as listener:
        assert listener.ask("/metrics", headers=basic("alice", "right")).status == 200

        def guess(number: int) -> tuple[int, str | None]:
            answer = listener.ask("/metrics", headers=basic("alice", f"guess {number}"))
            return answer.status, answer.headers.get("retry-after")

        with ThreadPoolExecutor(40) as guessers:
            guesses = [guessers.submit(guess, number) for number in range(40)]
            began = time.monotonic()
            known = [listener.ask("/metrics", headers=basic("alice", "right")).status for _ in range(3)]
            took = time.monotonic() - began
            answers = {guess.result() for guess in guesses}
    assert known == [200] * 3
    assert took < 2
    assert answers == {(401, None), (503, "1")}


def test_no_more_than_so_many_guesses_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    users = Users({"alice": hashed("right")})

    async def flood() -> list[object]:
        go_on = anyio.Event()

        def stuck(*_: bytes) -> bool:
            anyio.from_thread.run(go_on.wait)
            return False

        monkeypatch.setattr(bcrypt, "checkpw", stuck)
        tasks = [asyncio.create_task(users.has(basic("alice", str(n))["Authorization"])) for n in range(20)]
        await asyncio.sleep(0.1)
        done = [task for task in tasks if task.done()]
        go_on.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [type(task.exception()) for task in done]

    assert asyncio.run(flood()) == [BusyError] * 4


# --- headers -----------------------------------------------------------------------------------------


def test_configured_headers_stand_in_for_ours_but_not_for_those_of_a_page(tmp_path: Path) -> None:
    text = """
http_server_config:
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: sameorigin
    Content-Security-Policy: "default-src 'self'; frame-ancestors https://grafana.example"
"""
    with protected(tmp_path, text) as listener:
        page, form, missing = listener.ask("/"), listener.ask("/diagnose"), listener.ask("/nothing")
        for answer in (page, form, missing):
            assert answer.headers["strict-transport-security"] == "max-age=31536000"
            assert answer.headers["x-frame-options"] == "sameorigin"
            assert answer.headers["referrer-policy"] in (SECURITY_HEADERS["Referrer-Policy"], "same-origin")
        assert page.headers["content-security-policy"].endswith("frame-ancestors https://grafana.example")
        assert "frame-ancestors 'none'" in form.headers["content-security-policy"]  # it is about clients
        listener.write("")
        listener.protection.reload_if_changed()
        assert listener.ask("/").headers["x-frame-options"] == "DENY"


# --- the rate limit ----------------------------------------------------------------------------------


def test_a_bucket_empties_and_fills_again_up_to_its_size() -> None:
    now = [0.0]
    limit = RateLimit(RateSettings(interval_seconds=2.0, burst=3), now=lambda: now[0])
    assert [limit.takes() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 1.9
    assert not limit.takes()
    now[0] = 2.1
    assert [limit.takes() for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [limit.takes() for _ in range(5)] == [True, True, True, False, False]


def test_more_requests_than_the_limit_are_told_so_whoever_asks(tmp_path: Path) -> None:
    with protected(tmp_path, f"{USERS}rate_limit: {{interval: 1h, burst: 3}}") as listener:
        statuses = [listener.ask("/metrics", headers=basic("alice", "right")).status for _ in range(4)]
        statuses.append(listener.ask("/-/healthy").status)
        listener.protection.reload()  # the same limit goes on as it is
        statuses.append(listener.ask("/-/healthy").status)
    assert statuses == [200, 200, 200, 429, 429, 429]
