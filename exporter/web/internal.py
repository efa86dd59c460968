"""The internal listener: metrics, health, reload, configuration, status page, runbooks and questions about clients."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio.to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from checks.secret import Secret
from checks.settings import BackOfficeSettings

from ..config import Config, masked
from ..diagnosing import Known
from ..meters import Meters
from ..runner import Defect, contained
from ..shipped import runbook_path, runbooks_folder
from ..storage import Storage
from .confirmations import confirmation_routes
from .diagnose import diagnose_routes
from .exposition import accepts_gzip, choose_format, render
from .guards import is_cross_site
from .received import received_routes
from .runbooks import runbook_routes
from .server import WebError
from .status import build_page, read_history
from .verifier_events import verifier_event_routes

_FOLDER: Final = Path(__file__).parent
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_SCRAPES_AT_ONCE: Final = 4  # rendering is work for the processor: more at once would only all be later
_PAGES_AT_ONCE: Final = 4
_DEFECT: Final = "A defect of the exporter; its log has the traceback.\n"

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class ServedApp(Protocol):
    """What the pages need of the running exporter."""

    @property
    def config(self) -> Config:
        """The configuration in force."""

    @property
    def storage(self) -> Storage:
        """All results."""

    @property
    def registry(self) -> CollectorRegistry:
        """All metrics."""

    @property
    def meters(self) -> Meters:
        """What the exporter counts about itself."""

    @property
    def version(self) -> str:
        """The version of the exporter."""

    def known(self) -> Known:
        """Return what a question about a client starts from."""

    def is_healthy(self) -> bool:
        """Return whether checks are being scheduled."""

    def is_ready(self) -> bool:
        """Return whether every configured check has run."""

    def reload(self) -> tuple[str, ...]:
        """Read the configuration again; return what is wrong with it, and keep the old one then."""


class _Threads:
    """Runs work beside the event loop, so that it never waits; a flood of one kind does not hold up another."""

    def __init__(self, at_once: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)

    async def run(self, work: Callable[[], T]) -> T:
        done = await anyio.to_thread.run_sync(contained, work, limiter=self._limiter, abandon_on_cancel=True)
        if isinstance(done, Defect):
            raise HTTPException(500, _DEFECT)
        return done


class _Static(StaticFiles):
    """Files that a browser keeps and asks for again by their ETag: an upgrade shows at once."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["Cache-Control"] = "no-cache"
        return response


def build_internal(app: ServedApp, *, telemetry_path: str = "/metrics", runbooks: Path | None = None) -> Starlette:
    """Return the application of the internal listener; ``runbooks`` are those that come with it unless given.

    Raises WebError for a path that cannot be used.
    """
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    routes = [
        *_status_routes(app, telemetry_path, templates),
        *diagnose_routes(app.known, lambda: app.config.diagnose, app.meters, templates, app.version),
        *runbook_routes(runbooks or runbooks_folder(), templates, app.version),
        *_health_routes(app),
        Route("/config", _config_endpoint(app)),
        *received_routes(lambda: app.config, app.storage.canaries),
        *confirmation_routes(lambda: app.config, app.storage.messages, app.meters),
        *verifier_event_routes(
            lambda target: _verifier_token(app.config, target), app.storage.verifier, app.meters.verifier_events
        ),
        Mount("/static", _Static(directory=_FOLDER / "static")),
    ]
    taken = {route.path for route in routes if isinstance(route, Route | Mount)}
    if not _PATH.fullmatch(telemetry_path) or any(f"{telemetry_path}/".startswith(f"{path}/") for path in taken):
        raise WebError(f'--web.telemetry-path: must be a path of its own, such as "/metrics", got "{telemetry_path}"')
    routes.append(Route(telemetry_path, _metrics_endpoint(app)))
    starlette = Starlette(routes=routes, exception_handlers={Exception: _on_defect})
    starlette.router.redirect_slashes = False
    return starlette


def _verifier_token(config: Config, target: str) -> Secret | None:
    settings = config.targets.get(target)
    if not isinstance(settings, BackOfficeSettings) or settings.verifier_events is None:
        return None
    return settings.verifier_events.token


async def _on_defect(request: Request, defect: Exception) -> Response:  # noqa: ARG001  # Starlette's signature
    return PlainTextResponse(_DEFECT, 500)


def _metrics_endpoint(app: ServedApp) -> Endpoint:
    threads = _Threads(_SCRAPES_AT_ONCE)

    async def metrics(request: Request) -> Response:
        format_ = choose_format(",".join(request.headers.getlist("accept")))
        compress = accepts_gzip(",".join(request.headers.getlist("accept-encoding")))
        names = request.query_params.getlist("name[]")
        body = await threads.run(lambda: render(app.registry, format_, names, compress=compress))
        headers = {"Content-Type": format_.content_type, "Vary": "Accept, Accept-Encoding"}
        if compress:
            headers["Content-Encoding"] = "gzip"
        return Response(body, headers=headers)

    return metrics


def _health_routes(app: ServedApp) -> list[Route]:
    threads = _Threads(1)

    async def healthy(_: Request) -> Response:
        if app.is_healthy():
            return PlainTextResponse("twofa-exporter is healthy.\n")
        return PlainTextResponse("twofa-exporter is not healthy: no checks are scheduled.\n", 503)

    async def ready(_: Request) -> Response:
        if app.is_ready():
            return PlainTextResponse("twofa-exporter is ready.\n")
        return PlainTextResponse("twofa-exporter is not ready: not every check has run yet.\n", 503)

    async def reload(request: Request) -> Response:
        if is_cross_site(request.headers):
            return PlainTextResponse("The configuration is not reloaded for a page of another site.\n", 403)
        problems = await threads.run(app.reload)
        if problems:
            lines = "".join(f"{problem}\n" for problem in problems)
            return PlainTextResponse(f"The old configuration stays in force:\n{lines}", 500)
        return PlainTextResponse("The configuration has been reloaded.\n")

    return [
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload, methods=["POST", "PUT"]),
    ]


def _config_endpoint(app: ServedApp) -> Endpoint:
    threads = _Threads(_PAGES_AT_ONCE)

    async def config(_: Request) -> Response:
        return PlainTextResponse(await threads.run(lambda: masked(app.config)))

    return config


def _status_routes(app: ServedApp, telemetry_path: str, templates: Environment) -> list[Route]:
    threads = _Threads(_PAGES_AT_ONCE)

    def page(opened: frozenset[str], refreshes: bool) -> str:
        config = app.config
        view = build_page(
            config=config,
            snapshot=app.storage.snapshot(),
            history=read_history(app.storage, config, opened),
            readings=app.meters.read(),
            scheduled=app.is_healthy(),
            now=datetime.now(UTC),
            opened=opened,
            refreshes=refreshes,
        )
        return templates.get_template("status.html").render(
            page=view, version=app.version, telemetry_path=telemetry_path, runbooks_path=runbook_path("")
        )

    async def status(request: Request) -> Response:
        opened = frozenset(request.query_params.getlist("runs"))
        refreshes = request.query_params.get("refresh") != "off"
        return Response(await threads.run(lambda: page(opened, refreshes)), media_type="text/html")

    return [Route("/", status)]
