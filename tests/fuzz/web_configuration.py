"""The file of --web.config.file: nothing becomes weaker than what it asks for, and no value is told."""

import math
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from exporter import documents
from exporter.config import ConfigError
from exporter.documents import DocumentError
from exporter.web.protection import Protection
from exporter.web.webconfig import WebConfig, load
from tests.certificates import write_certificates
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Run, Target, corpus
from tests.repo import prometheus_programs
from tests.test_web_config import BAD, GOOD, GOOD_SINCE_NEW, HASH, NEW, STRICTER

_CANARY: Final = "Tr0ub4dor"  # a password in the place of a hash
_SEEDS: Final = [
    text.encode()
    for text in (
        *GOOD.values(),
        *GOOD_SINCE_NEW.values(),
        *(text for text, _ in BAD.values()),
        *(row.text for row in STRICTER.values()),
    )
]
_WORDS: Final = (
    *(
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!binary ",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b"\t",
        b"\x00",
        b"\xff",
        b"'",
    ),
    *(
        b"~",
        b"null",
        b"yes",
        b"off",
        b"true",
        b"!!str ",
        b"|\n  ",
        b"9" * 400,
        b"h",
        b"1h1m1s",
        b"-1s",
        b"1e3s",
        b".5s",
    ),
    *(b"tls_server_config:", b"basic_auth_users:", b"rate_limit:", b"http_server_config:", b"headers:", b"interval: "),
    *(b"burst: ", b"\xc2\xb5s", b"\xd9\xa1", b"client_allowed_sans: [a]", b"min_version: TLS13", b"max_version: TLS12"),
    *(HASH.encode(), f"alice: {_CANARY}".encode(), f"cert: {_CANARY}".encode(), f"key: {_CANARY}".encode()),
    b"cert_file: server.crt, key_file: server.key",
    b"client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem",
    b"a: &b [x, x, x]\nc: &c [*b, *b, *b]\nd: &d [*c, *c, *c]\n",
)
_HEADER: Final = re.compile(r"[\x20-\x7e]+")


@contextmanager
def _opened() -> Iterator[Run]:
    newest = max((programs for programs in prometheus_programs() if programs.version >= NEW), default=None)
    promtool = None if newest is None else newest.promtool
    with TemporaryDirectory() as folder:
        write_certificates(Path(folder))
        yield lambda text: _check(Path(folder) / "web.yml", text, promtool)


def _check(path: Path, text: bytes, promtool: str | None) -> None:
    path.write_bytes(text)
    keys = _keys_of(path)
    for is_public in (False, True):
        try:
            config = load(path, is_public=is_public)
        except ConfigError as refusal:
            _check_words(refusal, keys)
        else:
            _check_sane(config, is_public=is_public)
            if promtool is not None and not is_public and b"!" not in text:
                _check_peer(path, promtool)


def _check_words(refusal: ConfigError, keys: Sequence[str] | None) -> None:
    assert refusal.problems
    assert [line for line in refusal.problems if not line.isprintable()] == []
    assert keys is not None or _CANARY not in str(refusal)  # what is no document is not quoted
    assert _CANARY in str(keys) or _CANARY not in str(refusal)  # nor a value; a key is


def _check_peer(path: Path, promtool: str) -> None:
    """Assert that exporter-toolkit has nothing against a file that we take; to us, tags say nothing."""
    try:
        Protection(path)
    except ConfigError:  # what it names cannot be used
        return
    done = subprocess.run([promtool, "check", "web-config", str(path)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def _check_sane(config: WebConfig, *, is_public: bool) -> None:
    assert _CANARY not in repr(config)
    assert all(_HEADER.fullmatch(value) for value in config.headers.values())
    assert not (is_public and (config.users or config.rate))
    if config.rate is not None:
        assert math.isfinite(config.rate.interval_seconds)
        assert config.rate.interval_seconds > 0
        assert config.rate.burst > 0
    if config.tls is not None:
        assert ssl.TLSVersion.TLSv1_2 <= config.tls.oldest <= config.tls.newest
        assert not (config.tls.requires_client or config.tls.client_sans) or config.tls.client_ca is not None


def _keys_of(path: Path) -> list[str] | None:
    """Return all the keys in a document; None for what is none."""
    try:
        document = documents.read_as_text(path)
    except DocumentError:
        return None
    found: list[str] = []
    waiting: list[Any] = [document]
    while waiting:
        match waiting.pop():
            case Mapping() as mapping if len(found) < 10_000:
                found += map(str, mapping)
                waiting += mapping.values()
            case list() as several if len(found) < 10_000:
                waiting += several
            case _:
                pass
    return found


TARGET: Final = Target(
    name="web_configuration",
    examples=mutated([*_SEEDS, *corpus("web_configuration")], _WORDS),
    open=_opened,
    suffix=".yml",
)
