"""The alert rules, runbooks and dashboards that come with the exporter: where they are, and what stands in them."""

from importlib.resources import files
from pathlib import Path
from typing import Final

RUNBOOKS_PATH: Final = "/runbooks"  # on the internal listener, which serves them as pages
EXPORTER_URL: Final = "http://127.0.0.1:10687"
RUNBOOKS_URL: Final = EXPORTER_URL + RUNBOOKS_PATH
GRAFANA_URL: Final = "http://127.0.0.1:3000"
JOB: Final = "twofa-exporter"


def runbook_path(name: str) -> str:
    """Return where the exporter serves the runbook of a reason or an alert."""
    return f"{RUNBOOKS_PATH}/{name}"


def alerts_folder() -> Path:
    """Return the folder of the alert rules."""
    return _folder("alerts")


def runbooks_folder() -> Path:
    """Return the folder of the runbooks, one Markdown file for each reason or alert."""
    return alerts_folder() / "runbooks"


def dashboards_folder() -> Path:
    """Return the folder of the Grafana dashboards."""
    return _folder("dashboards")


def _folder(name: str) -> Path:
    """Return a folder of the installed package or, in a checkout, the one at its top."""
    packaged = Path(str(files("exporter"))) / name
    return packaged if packaged.is_dir() else packaged.parent.parent / name
