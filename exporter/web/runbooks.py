"""The runbooks as pages: what an alert links to, served by the exporter that raised it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from checks.reason import Reason, ReasonRow

from ..runner import Defect, contained
from ..shipped import RUNBOOKS_PATH, runbook_path

if TYPE_CHECKING:
    from markdown_it.token import Token

_AT_ONCE: Final = 4
_INDEX: Final = "README"
_OTHER_RUNBOOK: Final = re.compile(r"(\w+)\.md(#.*)?")
_INSIDE_A_NAME: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=_)")
_NOT_IN_AN_ID: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class _Page:
    """A runbook as HTML."""

    title: str
    title_parts: Sequence[str]  # where the name of an alert may break
    sections: Sequence[tuple[str, str]]  # id and heading
    body: str


def runbook_routes(folder: Path, templates: Environment, version: str) -> Sequence[Route]:
    """Return the index and a page for each Markdown file in ``folder``, by its name."""
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def answer(request: Request, name: str) -> Response:
        path = _files(folder).get(name)
        if path is None:
            raise HTTPException(404, "There is no such runbook.\n")

        def html() -> str:
            return templates.get_template("runbook.html").render(
                page=_rendered(path.read_text(encoding="utf-8")),
                row=_row(name),
                index=None if name == _INDEX else f"{RUNBOOKS_PATH}/",
                version=version,
            )

        body = await anyio.to_thread.run_sync(contained, html, limiter=limiter)
        if isinstance(body, Defect):
            raise HTTPException(500, "A defect of the exporter; its log has the traceback.\n")
        tag = f'"{sha256(body.encode()).hexdigest()[:32]}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if tag in (each.strip() for each in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="text/html")

    async def index(request: Request) -> Response:
        return await answer(request, _INDEX)

    async def runbook(request: Request) -> Response:
        name = request.path_params["name"]
        if name == Reason.OK:  # dashboards link every reason: nothing is to be done about this one
            return RedirectResponse("./", 303)
        return await answer(request, "" if name == _INDEX else name)

    async def to_index(_: Request) -> Response:
        return RedirectResponse(f"{RUNBOOKS_PATH}/", 308)

    return [
        Route(RUNBOOKS_PATH, to_index),
        Route(f"{RUNBOOKS_PATH}/", index),
        Route(runbook_path("{name}"), runbook),
    ]


def _files(folder: Path) -> Mapping[str, Path]:
    """Return what can be asked for: a name from outside is looked up here, and never part of a path."""
    return {path.stem: path for path in folder.glob("*.md")}


def _row(name: str) -> ReasonRow | None:
    return Reason(name).row if name in set(Reason) else None


def _rendered(text: str) -> _Page:
    from markdown_it import MarkdownIt  # noqa: PLC0415  # 25 ms that only a reader of runbooks pays

    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    title = ""
    if [token.type for token in tokens[:1]] == ["heading_open"]:
        title, tokens = _plain(tokens[1]), tokens[3:]  # the page has its own place for it
    sections = []
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            heading = _plain(inline)
            anchor = _NOT_IN_AN_ID.sub("-", heading.lower()).strip("-")
            opening.attrSet("id", anchor)
            if opening.tag == "h2":
                sections.append((anchor, heading))
    for token in _all(tokens):
        token.attrs.pop("style", None)  # the alignment of a column, which the page's own policy refuses
        if token.type == "link_open":
            token.attrSet("href", _href(str(token.attrGet("href"))))
    return _Page(title, _INSIDE_A_NAME.split(title), sections, markdown.renderer.render(tokens, markdown.options, {}))


def _plain(inline: "Token") -> str:
    return "".join(child.content for child in inline.children or ())


def _all(tokens: Sequence["Token"]) -> Iterator["Token"]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())


def _href(written: str) -> str:
    """Return a link as it works here; in the files it leads to the file of another runbook."""
    found = _OTHER_RUNBOOK.fullmatch(written)
    if found is None:
        return written
    name, anchor = found[1], found[2] or ""
    return runbook_path("" if name == _INDEX else name) + anchor
