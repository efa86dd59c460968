"""The documents as a whole: every link leads somewhere, and the index of docs/ knows all of them."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.repo import ROOT, source_files

INDEX = ROOT / "docs" / "README.md"
DOCUMENTS = tuple(ROOT / path for path in source_files() if path.endswith(".md"))

# Documents that links may name before they are there.
LOOPBACK = ("127.0.0.1", "localhost")


@cache
def tokens(document: Path) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8")))


def links(document: Path) -> Iterator[str]:
    """Every target of a link or a picture, as it is written."""
    for token in tokens(document):
        for part in token.children or ():
            if part.type in {"link_open", "image"}:
                yield str(part.attrs["href" if part.type == "link_open" else "src"])


def anchors(document: Path) -> list[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: list[str] = []
    for heading, content in zip(tokens(document), tokens(document)[1:], strict=False):
        if heading.type == "heading_open":
            words = "".join(part.content for part in content.children or ())
            anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            repeated = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
            found.append(f"{anchor}-{repeated}" if repeated else anchor)
    return found


def file_of(document: Path, target: str) -> Path:
    path = unquote(urlsplit(target).path)
    return (document.parent / path).resolve() if path else document


def wrong(document: Path, target: str) -> str | None:
    """What is wrong with a link; None if nothing is. Other sites are not asked."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        is_good = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        return None if is_good else f"{target}: neither https nor this machine"
    file = file_of(document, target)
    if not file.is_relative_to(ROOT) or not file.exists():
        return f"{target}: no such file"
    if parts.fragment and (file.suffix != ".md" or parts.fragment not in anchors(file)):
        return f"{target}: no such heading"
    return None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [problem for target in links(document) if (problem := wrong(document, target))] == []


def test_the_index_has_every_document() -> None:
    indexed = {file_of(INDEX, target) for target in links(INDEX)}
    wanted = {path for path in DOCUMENTS if path.parent in {ROOT, INDEX.parent}} - {INDEX}
    assert sorted(str(path.relative_to(ROOT)) for path in wanted - indexed) == []


def test_every_picture_is_shown_by_a_document() -> None:
    shown = {file_of(document, target) for document in DOCUMENTS for target in links(document)}
    pictures = {ROOT / path for path in source_files("docs/images")}
    assert sorted(str(path.relative_to(ROOT)) for path in pictures - shown) == []


# --- what the tests above stand on ---------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c?\n\n## Same\n\n## Same\n\n| | |\n|---|---|\n| [x](y.md) | ![p](z.png) |\n\n"
        "`[code](no.md)` <http://127.0.0.1:1/>\n\n```\n[fence](no.md)\n```\n"
    )
    return page


def test_links_are_found_in_tables_and_not_in_code(page: Path) -> None:
    assert list(links(page)) == ["y.md", "z.png", "http://127.0.0.1:1/"]


def test_anchors_are_those_of_the_headings(page: Path) -> None:
    assert anchors(page) == ["a-b-c", "same", "same-1"]


@pytest.mark.parametrize(
    ("target", "is_good"),
    [
        ("metrics.md", True),
        ("metrics.md#metrics", True),
        ("configuration.md#type-twilio", True),
        ("#documents", True),
        ("../README.md", True),
        ("images", True),
        ("https://example.com/x", True),
        ("http://127.0.0.1:10687/", True),
        ("metrics.md#nope", False),
        ("nope.md", False),
        ("../../nope.md", False),
        ("images/architecture.svg#x", False),
        ("http://example.com/", False),
        ("ftp://example.com/", False),
    ],
)
def test_a_link_that_leads_nowhere_is_found(target: str, is_good: bool) -> None:
    assert (wrong(INDEX, target) is None) is is_good
