"""``twofa-exporter diagnose``: what it takes, where it asks, how it ends; and that a TOTP secret stays where it is."""

import io
import json
import logging
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyotp
import pytest
from typer.testing import CliRunner

from checks.diagnosis import CodeMatch
from checks.secret import Secret
from exporter import config as configuration
from exporter import documents
from exporter.answer_format import REASON_HEADER, AnswerFormat
from exporter.app import App
from exporter.asking import AskError, ask_exporter, ask_here, build_question, read_code
from exporter.commands import app as command
from exporter.config import DiagnoseSettings
from exporter.diagnosing import Question, QuestionError
from exporter.meters import Meters
from exporter.storage import Storage
from exporter.web.internal import build_internal
from exporter.web.server import ThreadedServer, bind
from tests import stub_server as stubs
from tests.processes import COMMAND, ROOT, free_port
from tests.stub_server import StubServer
from tests.test_exporter_diagnosing import ACCOUNT, NUMBER, OFFICE_ID, SID, answer_as_b2core, answer_as_twilio, row

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
TOKEN = "a-token-for-questions"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    """The command sends the logs of this process to a standard error that is closed at its end."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="module")
def provider() -> Iterator[StubServer]:
    with StubServer() as stub:
        answer_as_twilio(stub, row(status="undelivered", error_code=30003))
        yield stub


@pytest.fixture(scope="module")
def office() -> Iterator[StubServer]:
    with StubServer() as stub:
        answer_as_b2core(stub)
        yield stub


def write_config(folder: Path, provider_url: str, office_url: str, **diagnose: Any) -> Path:
    (folder / "secret").write_text("ready")
    (folder / "token").write_text(TOKEN)
    document = {
        "providers": {
            "twilio": {
                "type": "twilio",
                "account_sid": ACCOUNT,
                "auth_token": {"file": "secret"},
                "base_url": provider_url,
            }
        },
        "back_offices": {"b2core": {"type": "b2core", "url": office_url, "token": {"file": "secret"}}},
        "checks": {"credentials": {"type": "credentials", "target": "twilio"}},
        "diagnose": diagnose,
    }
    path = folder / "twofa-exporter.yml"
    path.write_text(documents.dump(document))
    return path


@pytest.fixture(scope="module")
def config(provider: StubServer, office: StubServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("config"), provider.url, office.url, token={"file": "token"})


def run(config: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, with this on its standard input."""
    program = [*COMMAND, "diagnose", f"--config.file={config}", *arguments]
    return subprocess.run(program, input=stdin, capture_output=True, timeout=30, check=False, cwd=ROOT)


@contextmanager
def served(config: Path) -> Iterator[str]:
    """A running exporter whose checks have not run, and its URL."""
    exporter = App.load(config, lambda: Storage.in_memory(Meters()), Meters())
    try:
        with ThreadedServer(build_internal(exporter), bind("127.0.0.1:0")) as server:
            yield server.url
    finally:
        exporter.stop()


# --- a code and its secret


def code_at(seconds: float) -> str:
    return pyotp.TOTP(SECRET).at(int(time.time() + seconds))


def test_without_code_and_secret_there_is_no_match() -> None:
    assert read_code(None, None) is None


@pytest.mark.parametrize("shown", [SECRET, SECRET.lower(), f"  {SECRET}  ", "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"])
def test_the_secret_is_read_as_it_is_shown(shown: str) -> None:
    code = code_at(-300)
    written = f"{code[:3]} {code[3:]}"

    match = read_code(written, io.BytesIO(f"{shown}\nand no more\n".encode()))

    assert match is not None
    assert match.step in (-10, -9)  # a step may have begun meanwhile


@pytest.mark.parametrize(
    ("code", "stdin", "words"),
    [
        ("123456", None, "--code and --secret-stdin belong together"),
        (None, SECRET.encode(), "--code and --secret-stdin belong together"),
        ("12345", SECRET.encode(), "--code must be 6 digits"),
        ("12345a", SECRET.encode(), "--code must be 6 digits"),
        ("١٢٣٤٥٦", SECRET.encode(), "--code must be 6 digits"),
        ("123456", b"", "standard input must hold a TOTP secret in Base32"),
        ("123456", b"not!base32\n", "standard input must hold a TOTP secret in Base32"),
        ("123456", b"\xff\xfe\x00\n", "standard input must hold a TOTP secret in Base32"),
        ("123456", b"A" * 100_000, "standard input must hold a TOTP secret in Base32"),
        ("123456", b"AAAAAAAA " * 60, "standard input must hold a TOTP secret in Base32"),
    ],
)
def test_what_is_no_code_or_no_secret_is_refused_without_being_quoted(
    code: str | None, stdin: bytes | None, words: str
) -> None:
    with pytest.raises(QuestionError, match=words) as refusal:
        read_code(code, None if stdin is None else io.BytesIO(stdin))

    assert "not!base32" not in str(refusal.value)
    assert refusal.value.__cause__ is None


# --- the command line, as far as it goes before anything is asked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give one of: a client's id, a phone number, a message id"),
        (["--client=1", f"--phone={NUMBER}"], "give one of"),
        ([f"--message={SID}", f"--phone={NUMBER}"], "give one of"),
        (["--client=jane@example.com"], "a client's id has up to 64 letters, digits, - and _"),
        (["--phone=07700900123"], 'a phone number must be in E.164 form, such as "+14155550100"'),
        (["--client=1", "--code=123456"], "--code and --secret-stdin belong together"),
        (["--client=1", "--secret-stdin"], "--code and --secret-stdin belong together"),
        (["--client=1", "--code=123456", "--secret-stdin"], "standard input must hold a TOTP secret"),
        (["--client=1", "--timeout=soon"], '--timeout must be a duration such as "5s"'),
        (["--client=1", "--exporter-url=localhost:10687"], "--exporter-url must be a URL"),
        (["--client=1", "--exporter-url=http://[::1"], "--exporter-url must be a URL"),
        (["--client=1", "--exporter-url=http://127.0.0.1:99999"], "--exporter-url must be a URL"),
    ],
)
def test_a_usage_error_ends_with_2_and_says_what_is_accepted(config: Path, arguments: list[str], words: str) -> None:
    ended = CliRunner().invoke(command, ["diagnose", f"--config.file={config}", *arguments])

    assert ended.exit_code == 2
    assert words in ended.output


def test_a_configuration_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    ended = CliRunner().invoke(command, ["diagnose", f"--config.file={tmp_path / 'none.yml'}", "--client=1"])

    assert ended.exit_code == 2


# --- asked here, by the real program


def test_the_program_answers_by_text_and_ends_with_1_when_something_was_found(config: Path) -> None:
    ended = run(config, f"--client={OFFICE_ID}")

    assert (ended.returncode, ended.stderr) == (1, b"")
    text = ended.stdout.decode()
    assert "1. The phone cannot be reached [recipient_unreachable, likely]" in text
    assert "alarms of operators: only a running exporter watches them" in text
    assert NUMBER not in text


def test_the_program_tells_a_skewed_phone_by_a_code_and_a_secret_on_standard_input(config: Path) -> None:
    ended = run(
        config,
        f"--client={OFFICE_ID}",
        f"--code={code_at(-120)}",
        "--secret-stdin",
        "--format=json",
        "--log.level=debug",
        stdin=f"{SECRET}\n".encode(),
    )

    document = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert document["findings"][0]["reason"] == "device_clock_skewed"
    assert "s behind" in document["findings"][0]["evidence"][0]["text"]
    for stream in (ended.stdout, ended.stderr):
        assert SECRET.encode() not in stream
        assert OFFICE_ID.encode() not in stream


def test_the_program_ends_with_3_and_in_time_when_it_could_not_find_out(tmp_path: Path, office: StubServer) -> None:
    with StubServer() as silent:
        silent.everywhere(stubs.hang())
        config = write_config(tmp_path, silent.url, office.url)
        started = time.monotonic()
        ended = run(config, f"--phone={NUMBER}", "--timeout=1s", "--format=markdown")
        took = time.monotonic() - started

    assert ended.returncode == 3
    assert took < 1 + 5, "the calls under way are not waited for"
    text = ended.stdout.decode()
    assert "(`timeout`, possible)" in text
    assert "- messages (twilio): did not answer in time" in text
    assert "- check credentials: it has no result" in text


def test_asked_here_nothing_found_ends_with_0(provider: StubServer, office: StubServer, tmp_path: Path) -> None:
    with StubServer() as healthy:
        answer_as_twilio(healthy, row())
        loaded = configuration.load(write_config(tmp_path, healthy.url, office.url))
        answer = ask_here(Question(phone=NUMBER), loaded, None, AnswerFormat.TEXT)

    assert answer.exit_code == 0
    assert "Nothing was found that keeps codes from this client" in answer.text
    assert "1 of 1 checks pass" in answer.text


def test_asked_here_no_look_up_is_paid_for(config: Path) -> None:
    answer = ask_here(Question(phone=NUMBER, look_up=True), configuration.load(config), None, AnswerFormat.TEXT)

    assert "look-up: it is billed, and only a running exporter keeps count of what was paid" in answer.text


def test_asked_here_nobody_signs_in_as_a_client(tmp_path: Path, provider: StubServer) -> None:
    with StubServer() as office:
        answer_as_b2core(office)
        path = write_config(tmp_path, provider.url, office.url)
        document = documents.dump(
            {
                "sign-in": {
                    "type": "totp_login",
                    "target": "b2core",
                    "email": "canary@example.com",
                    "password": {"file": "secret"},
                    "totp_secret": {"file": "totp"},
                }
            }
        )
        (tmp_path / "totp").write_text(SECRET)
        indented = "".join(f"  {line}\n" for line in document.splitlines())
        path.write_text(path.read_text().replace("checks:\n", f"checks:\n{indented}"))

        answer = ask_here(Question(client=OFFICE_ID), configuration.load(path), "2s", AnswerFormat.TEXT)

    assert "check sign-in: it has no result" in answer.text
    assert {request.method for request in office.requests} == {"GET"}


# --- asked of a running exporter


def settings(token: str | None = TOKEN) -> DiagnoseSettings:
    return DiagnoseSettings(token=None if token is None else Secret(token))


ONE = Question(client=OFFICE_ID)


def ask(url: str, *, token: str | None = TOKEN, timeout: str = "5s", question: Question = ONE) -> Any:
    return ask_exporter(question, url, settings(token), timeout, AnswerFormat.TEXT)


def test_the_program_asks_a_running_exporter_and_ends_as_it_says(config: Path) -> None:
    with served(config) as url:
        ended = run(config, f"--exporter-url={url}/", f"--phone={NUMBER}", "--format=json")

    assert (ended.returncode, ended.stderr) == (1, b"")
    document = json.loads(ended.stdout)
    assert document["findings"][0]["reason"] == "recipient_unreachable"
    assert document["facts"]["alarms"] == "none"


@pytest.mark.parametrize("format_", AnswerFormat)
def test_a_running_exporter_answers_in_every_format(config: Path, format_: AnswerFormat) -> None:
    with served(config) as url:
        answer = ask_exporter(ONE, url, settings(), None, format_)

    assert answer.exit_code == 1
    assert "recipient_unreachable" in answer.text
    assert answer.text.startswith({"text": "About ", "json": "{", "markdown": "**Why"}[format_])


@pytest.mark.parametrize("token", [None, "another-token-of-questions"])
def test_a_running_exporter_refuses_a_wrong_token_in_words(config: Path, token: str | None) -> None:
    with served(config) as url, pytest.raises(AskError, match=r"answers HTTP 401: .*diagnose\.token") as refusal:
        ask(url, token=token)

    assert refusal.value.exit_code == 2
    assert TOKEN not in str(refusal.value)


def test_after_many_wrong_tokens_a_running_exporter_says_when_to_ask_again(config: Path) -> None:
    with served(config) as url:
        for _ in range(10):
            with pytest.raises(AskError, match="answers HTTP 401"):
                ask(url, token="another-token-of-questions")
        with pytest.raises(
            AskError, match=r"answers HTTP 429: too many wrong passwords; ask again in \d+ s"
        ) as refusal:
            ask(url, token="another-token-of-questions")

    assert refusal.value.exit_code == 2


def test_a_message_that_no_provider_has_ends_with_2_asked_here_or_of_a_running_exporter(config: Path) -> None:
    asked = f"--message=SM{'9' * 32}"
    with served(config) as url:
        ends = [run(config, asked), run(config, asked, f"--exporter-url={url}")]

    for ended in ends:
        assert (ended.returncode, ended.stdout) == (2, b"")
        assert b"no provider here has a message of this id" in ended.stderr
        assert b"Traceback" not in ended.stderr


def test_what_is_no_exporter_is_told_so() -> None:
    with StubServer() as other:
        other.everywhere(stubs.answer(b"Not Found", status=404, headers={"Content-Type": "text/plain"}))
        with pytest.raises(AskError, match="answers HTTP 404: nothing there answers such questions") as refusal:
            ask(other.url)

    assert refusal.value.exit_code == 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"hello", {}),
        (b"hello", {REASON_HEADER: "no_such_reason"}),
        (b"\xff\xfe", {REASON_HEADER: "ok"}),
        (b"\x1b[2Jhello", {REASON_HEADER: "ok"}),
    ],
)
def test_an_answer_that_is_none_of_ours_is_not_printed(body: bytes, headers: Mapping[str, str]) -> None:
    with StubServer() as other:
        other.everywhere(stubs.answer(body, headers=headers))
        with pytest.raises(AskError, match="is no twofa-exporter of this version") as refusal:
            ask(other.url)

    assert refusal.value.exit_code == 3


@pytest.mark.parametrize("error", [["a", "list"], "x" * 1000, "\x1b[2J", {"deep": 1}])
def test_the_words_of_a_refusal_are_printed_only_when_they_are_words(error: Any) -> None:
    with StubServer() as other:
        other.everywhere(stubs.answer({"error": error}, status=500))
        with pytest.raises(AskError) as refusal:
            ask(other.url)

    assert str(refusal.value) == f"the exporter at {other.netloc} answers HTTP 500"
    assert refusal.value.exit_code == 3


def test_too_many_questions_are_refused_in_the_exporters_words(
    provider: StubServer, office: StubServer, tmp_path: Path
) -> None:
    config = write_config(tmp_path, provider.url, office.url, requests_per_minute=1)
    with served(config) as url:
        ask(url, token=None)
        with pytest.raises(AskError, match="answers HTTP 429: too many questions; ask again in") as refusal:
            ask(url, token=None)

    assert refusal.value.exit_code == 2


def test_an_exporter_that_does_not_answer_is_given_up_in_time() -> None:
    with StubServer() as silent:
        silent.everywhere(stubs.hang())
        started = time.monotonic()
        with pytest.raises(AskError, match=f"the exporter at {silent.netloc}: ") as refusal:
            ask(silent.url, timeout="500ms")

    assert time.monotonic() - started < 1.5
    assert refusal.value.exit_code == 3


def test_an_exporter_that_is_not_there_ends_with_3() -> None:
    with pytest.raises(AskError, match="the exporter at 127") as refusal:
        ask(f"http://127.0.0.1:{free_port()}")

    assert refusal.value.exit_code == 3


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(QuestionError, match="must hold no password") as refusal:
        ask("http://support:hunter2@127.0.0.1:10687")

    assert "hunter2" not in str(refusal.value)


def test_a_running_exporter_is_told_which_step_matched_and_never_code_or_secret() -> None:
    code = code_at(-90)
    match = read_code(code, io.BytesIO(SECRET.encode()))
    question = build_question(OFFICE_ID, "", "", match, device_lost=True, look_up=False)
    with StubServer() as exporter:
        exporter.everywhere(stubs.answer(b"words\n", headers={REASON_HEADER: "ok"}))
        answer = ask(exporter.url, question=question)
    (request,) = exporter.requests

    assert (answer.text, answer.exit_code) == ("words", 0)
    assert request.target == "/api/v1/diagnose", "nothing that was asked is in the URL"
    assert json.loads(request.body) == {
        "client": OFFICE_ID,
        "code": {"step": match.step if match else None, "tried": 240},
        "device_lost": True,
        "look_up": False,
    }
    for secret in (code, SECRET):
        assert secret.encode() not in request.body
        assert not any(secret in value for value in request.headers.values())


def test_a_code_that_was_matched_here_is_diagnosed_there(config: Path) -> None:
    question = Question(client=OFFICE_ID, code=CodeMatch(step=None, tried=240))

    with served(config) as url:
        answer = ask(url, question=question)

    assert answer.text.split("\n")[2] == "1. The client's app holds another secret [secret_mismatch, likely]"
