"""What providers answer, pages of their message logs above all: it is understood or refused, and tells no number.

Every vendor of the table of faults joins by itself: with recorded answers in the corpus, which ``record.py`` makes from
the sandbox, and without them by the words that its adapter's sources look for. Back offices have tests of this
kind of their own.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import fields, is_dataclass
from functools import cache, partial
from types import GenericAlias
from typing import Any, Final, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from checks import clients
from checks.errors import ProviderError
from checks.messages import Receipt
from checks.messages.verification import Attempt
from checks.providers import PROVIDERS
from checks.providers.http import deadline
from checks.targets import build_client
from tests.fuzz.target import Run, Target, corpus
from tests.repo import ROOT, source_files
from tests.spoiling import anything, spoiled
from tests.stub_server import Request, StubServer, answer_by
from tests.test_backoffice_b2core import assert_is
from tests.test_provider_faults import NUMBER, TOKEN, VENDORS

NAME: Final = "answers"
EVERYWHERE: Final = "*"  # the path that stands for all that have no answer of their own
_SECONDS: Final = 10.0
_WORD: Final = re.compile(r"[A-Za-z_][\w.-]{1,30}")
_ODD: Final = (
    "\ud800",
    NUMBER,
    TOKEN,
    "9" * 5000,
    "Thu, 31 Dec 9999 23:59:59 -1200",
    "1e999",
    "\x00\x1b[31m",
    "-0",
    "\u0661",
)


@cache
def words_of(vendor: str) -> Sequence[str]:
    """Return the words that a vendor's adapter looks for: keys and values of its answers."""
    own = [path for path in source_files("checks/providers") if f"/{vendor}." in path or f"/{vendor}/" in path]
    nodes = [node for path in own for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    texts |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    return sorted(text for text in texts if _WORD.fullmatch(text)) or ["id"]


@cache
def _strange(vendor: str) -> st.SearchStrategy[Any]:
    words = st.sampled_from(words_of(vendor))
    of_words = st.recursive(
        words | st.integers(-1, 10**12) | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
        max_leaves=12,
    )
    return of_words | anything(_ODD)


@st.composite
def _put(draw: st.DrawFn, body: Any, vendor: str) -> Any:
    """Draw a copy of an answer in which something strange stands where the adapter looks."""
    places = list(_places(body, frozenset(words_of(vendor))))
    if not places:
        return draw(_strange(vendor))
    copy = json.loads(json.dumps(body))
    *way, last = draw(st.sampled_from(places))
    inner = copy
    for step in way:
        inner = inner[step]
    inner[last] = draw(_strange(vendor))
    return copy


def _places(body: Any, words: Set[str]) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to each value of a key that is one of the words."""
    pairs: Iterable[tuple[str | int, Any]] = ()
    if isinstance(body, dict):
        pairs = body.items()
        yield from ((key,) for key in body if key in words)
    elif isinstance(body, list):
        pairs = enumerate(body)
    for step, inner in pairs:
        yield from ((step, *way) for way in _places(inner, words))


@st.composite
def _examples(draw: st.DrawFn) -> Any:
    vendor = draw(st.sampled_from(sorted(VENDORS)))
    recorded = [each for each in corpus(NAME) if each["vendor"] == vendor and each["answers"]]
    if not recorded or draw(st.integers(0, 9)) == 0:
        call = draw(st.sampled_from(sorted(VENDORS[vendor].calls)))
        return {"vendor": vendor, "call": call, "answers": {EVERYWHERE: draw(_strange(vendor))}}
    pages = [each for each in recorded if each["call"] == "read_page"]  # most of what is read
    wants_page = draw(st.booleans())
    example = draw(st.sampled_from(pages if pages and wants_page else recorded))
    answers = dict(example["answers"])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(answers)))
        answers[path] = draw(spoiled(answers[path], _strange(vendor), words_of(vendor)) | _put(answers[path], vendor))
    return {**example, "answers": answers}


@contextmanager
def _opened() -> Iterator[Run]:
    with StubServer() as stub:
        yield partial(check, stub)


def build(vendor: str, url: str) -> Any:
    """Return a vendor's client that asks at a URL as fast as it can."""
    row, spec = VENDORS[vendor], PROVIDERS[vendor]
    given = {**row.settings, **dict.fromkeys(row.url_settings, url), "timeout": "1m"}
    if "max_requests_per_second" in spec.settings.model_fields:
        given["max_requests_per_second"] = 1000
    return build_client(spec.settings.model_validate(given))


def check(stub: StubServer, example: Any) -> bool:
    """Ask one question, and judge what becomes of the answers; return whether they are understood."""
    answers: Mapping[str, Any] = example["answers"]

    def answer_of(request: Request) -> Any:
        return answers.get(request.path, answers.get(EVERYWHERE))

    stub.everywhere(answer_by(answer_of))
    stub.requests.clear()
    call: str = example["call"]
    with closing(build(example["vendor"], stub.url)) as client:
        try:
            with deadline(_SECONDS):
                result = VENDORS[example["vendor"]].calls[call](client)
        except ProviderError as error:
            _check_words(error)
            return False
    assert_is(result, _declared(call))
    assert_sane(result)
    assert NUMBER not in repr(result)
    assert TOKEN not in repr(result)
    return True


def _check_words(error: ProviderError) -> None:
    assert NUMBER not in f"{error} {error!r}"
    assert TOKEN not in f"{error} {error!r}"
    assert str(error).isprintable()


@cache
def _declared(call: str) -> Any:
    """Return what the protocol says that a call returns; the table of calls makes a list of what is yielded."""
    protocols = [each for each in vars(clients).values() if isinstance(each, type) and hasattr(each, call)]
    declared = get_type_hints(getattr(protocols[0], call))["return"]
    yields = get_origin(declared) is Iterator
    return GenericAlias(Sequence, get_args(declared)) if yields else declared


def assert_sane(value: Any) -> None:
    """Assert that every number in a value is one, and every text can be shown."""
    match value:
        case float():
            assert math.isfinite(value)
        case str():
            assert value.isprintable()
        case list() | tuple():
            for part in value:
                assert_sane(part)
        case Receipt() | Attempt():
            for name, hint in get_type_hints(type(value)).items():
                assert_is(getattr(value, name), hint)
                assert_sane(getattr(value, name))
        case _ if is_dataclass(value):
            for each in fields(value):
                assert_sane(getattr(value, each.name))
        case _:
            pass


TARGET: Final = Target(name=NAME, examples=_examples(), open=_opened)
