"""The configuration file: any text becomes a configuration or a refusal in our words, and no secret is told.

Documents are made by the published schema, so that settings, vendors and kinds of checks join by themselves.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from unittest.mock import patch

import jsonschema
import yaml
from hypothesis import strategies as st

from exporter import documents
from exporter.config import ConfigError, load, masked, schema
from tests.fuzz import schemas
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Run, Target, corpus
from tests.repo import ROOT, source_files
from tests.spoiling import anything, spoiled

_SECRET: Final = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
_SCHEMA: Final = json.loads(json.dumps(schema()))  # as it is published: of plain values
_VALIDATOR: Final = jsonschema.Draft202012Validator(_SCHEMA)
SEEDS: Final = [(ROOT / path).read_bytes() for path in source_files("examples") if path.endswith((".yaml", ".yml"))]
_GOOD: Final = [yaml.safe_load(seed) for seed in SEEDS]
VARIABLES: Final = {
    schemas.SECRET_VARIABLE,
    *(name.decode() for seed in SEEDS for name in re.findall(rb"\benv: (\w+)", seed)),
}
"""The environment variables that good documents read secrets from."""
_ODD: Final = ("5m", "+14155550100", "twilio", "\x1b[31m", "a\nb", "\u2028", "9" * 5000, "balance", "*", "<<")
_WORDS: Final = (
    *(
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"<<: *a",
        b"<<: [*a, *a]",
        b"? ",
        b"!!python/name:os.system ",
        b"!!binary ",
        b"!!set ",
    ),
    *(b"!!omap ", b"!!timestamp ", b"{", b"}", b"[", b"]", b"[" * 2000, b"{a: " * 500, b"\t", b"\r", b"\x00", b"\xff"),
    *(b"\xef\xbb\xbf", b"--- ", b"\n---\n", b"...\n", b"%YAML 9.9\n", b"|\n", b">-\n", b"'", b'"', b'"\\ud800"', b"#"),
    *(b"2026-13-45", b"0x_", b"1_000", b"1:60", b".nan", b"-.inf", b"1e999", b"null", b"~", b"yes", b"9" * 5000),
    *(b"target: ", b"type: ", b"env: TWOFA_FUZZ_SECRET", b"file: /dev/null", b"file: .", b"file: \x22\\0\x22"),
    b"a: &b [x, x, x]\nc: &c [*b, *b, *b]\nd: &d [*c, *c, *c]\ne: [*d, *d, *d]\n",
    b"a: &a {a: *a}\n",
)


@st.composite
def _documents(draw: st.DrawFn) -> bytes:
    good = st.sampled_from(_GOOD).flatmap(lambda document: schemas.grafted(document, _SCHEMA))
    document = draw(good | schemas.documents(_SCHEMA))
    if draw(st.integers(0, 3)) == 0:
        document = draw(spoiled(document, anything(_ODD), ("stranger", "type", "target", "callbacks")))
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode("utf-8", "replace")


@contextmanager
def _opened() -> Iterator[Run]:
    with TemporaryDirectory() as folder, patch.dict(os.environ, dict.fromkeys(VARIABLES, _SECRET)):
        (Path(folder) / schemas.SECRET_FILE).write_text(_SECRET, encoding="utf-8")
        yield lambda text: _check(Path(folder) / "fuzz.yml", text)


def _check(path: Path, text: bytes) -> bool:
    """Judge what becomes of a file; return whether it is accepted."""
    path.write_bytes(text)
    try:
        config = load(path)
    except ConfigError as refusal:
        _check_words(refusal)
        return False
    shown = masked(config)
    assert _SECRET not in shown + repr(config) + "".join(config.warnings)
    assert isinstance(yaml.safe_load(shown), dict)
    assert [problem.message for problem in _VALIDATOR.iter_errors(documents.read(path))] == []
    return True


def _check_words(refusal: ConfigError) -> None:
    assert refusal.problems
    assert [line for line in refusal.problems if not line.isprintable()] == []
    assert max(map(len, refusal.problems)) < 2000
    assert _SECRET not in _told(refusal)


def _told(error: BaseException | None) -> str:
    """Return all that an error can tell: its words and those of what it came from."""
    told = ""
    while error is not None:
        told += f"{error} {error!r}"
        error = error.__context__
    return told


TARGET: Final = Target(
    name="configuration",
    examples=mutated([*SEEDS, *corpus("configuration")], _WORDS) | _documents(),
    open=_opened,
    suffix=".yml",
)
