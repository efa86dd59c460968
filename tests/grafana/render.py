"""Draw the dashboards over the incident with Grafana's UI components, into ``docs/images/``.

It is no Grafana: the queries and the frame are ours, the panels are Grafana's own, and two kinds are drawn in its
colours. Good enough to see what a reader would see, and to find panels without data, units that mislead and legends
that are too long.

    make dashboard-images    # npm comes first: 450 MB in tests/grafana/node_modules
"""

import argparse
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests import chromium
from tests.incident import Incident, told
from tests.incident_story import END, STEP_SECONDS
from tests.processes import ROOT, wait_for
from tests.repo import require_program

DASHBOARDS: Final = ROOT / "dashboards"
IMAGES: Final = ROOT / "docs" / "images"
MODULES: Final = ROOT / "tests" / "grafana" / "node_modules"
PAGE: Final = MODULES / ".page"
FONTS: Final = MODULES / "@fontsource" / "inter" / "files"
PUBLIC: Final = {  # what Grafana's server would serve beside its page
    "/public/build/": MODULES / "@grafana" / "ui" / "dist" / "public",
    "/public/fonts/inter/Inter-Regular.woff2": FONTS / "inter-latin-400-normal.woff2",
    "/public/fonts/inter/Inter-Medium.woff2": FONTS / "inter-latin-500-normal.woff2",
}
WIDTH: Final = 1600
SHOWN_HOURS: Final = 6
HOURS: Final = 31  # so that all that is shown has a yesterday


class _Files(SimpleHTTPRequestHandler):
    """Serves the page, and a folder of dashboards beside it. Styles must come as text/css, or plots are displaced."""

    def __init__(self, *arguments: Any, dashboards: Path) -> None:
        self._dashboards = dashboards
        super().__init__(*arguments, directory=str(PAGE))

    def translate_path(self, path: str) -> str:
        """Return the file for a path of a request."""
        if path.startswith("/dashboards/"):
            return str(self._dashboards / Path(path).name)
        for start, where in PUBLIC.items():
            if path.startswith(start):
                return str(where / path.removeprefix(start))
        return super().translate_path(path)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the name of the parent's
        """Say nothing."""


@contextmanager
def served(dashboards: Path) -> Iterator[str]:
    """Serve the page on loopback; yields its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, dashboards=dashboards)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def draw(page: chromium.Page, origin: str, incident: Incident, name: str, theme: str) -> list[str]:
    """Let the page show one dashboard, to the end of the incident; return what went wrong."""
    asked = {
        "dashboard": f"/dashboards/{name}",
        "prometheus": incident.url,
        "from": incident.end - SHOWN_HOURS * 3600,
        "to": incident.end,
        "theme": theme,
        "width": WIDTH,
        "scrape": STEP_SECONDS,
    }
    page.open(f"{origin}/?{urlencode(asked)}", width=WIDTH, height=1200)
    is_drawn = "window.__failed || window.__panels?.length === window.__expected"
    wait_for(lambda: page.evaluate(is_drawn), seconds=30)
    height = page.evaluate("document.getElementById('root').scrollHeight")
    page.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=height, deviceScaleFactor=1, mobile=False)
    # What was drawn is painted two frames later.
    page.call(
        "Runtime.evaluate",
        expression="new Promise(done => setTimeout(() => requestAnimationFrame(done), 500))",
        awaitPromise=True,
    )
    found: list[str] = page.evaluate("window.__errors") + page.complaints
    empty = page.evaluate(
        "window.__panels.filter(each => !each.series && each.type !== 'text').map(each => each.title)"
    )
    return found + [f"no data: {title}" for title in empty]


def main() -> None:
    """Draw what is asked for; ends with 1 when a panel has an error."""
    parser = argparse.ArgumentParser(description="draw the dashboards with Grafana's UI components")
    parser.add_argument("names", nargs="*", help="uids; all when none is named")
    parser.add_argument("--dashboards", type=Path, default=DASHBOARDS)
    parser.add_argument("--output", type=Path, default=IMAGES)
    parser.add_argument("--theme", choices=["dark", "light"], default="dark")
    options = parser.parse_args()
    files = sorted(options.dashboards.glob("*.json"))
    wanted = [file for file in files if not options.names or file.stem in options.names]
    options.output.mkdir(parents=True, exist_ok=True)
    program = require_program("chromium", "chromium-browser", "google-chrome")
    problems = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (
            told(folder, hours=HOURS, end=END) as incident,
            served(options.dashboards) as origin,
            chromium.running(program, folder / "profile") as page,
        ):
            for file in wanted:
                found = draw(page, origin, incident, file.name, options.theme)
                image = options.output / f"{file.stem}{'' if options.theme == 'dark' else '-light'}.png"
                page.screenshot(image, whole=True)
                print(image, *found, sep="\n  ", flush=True)
                problems += sum(not each.startswith("no data") for each in found)
    sys.exit(min(problems, 1))


if __name__ == "__main__":
    main()
