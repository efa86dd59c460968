"""The files that users put beside their own Prometheus, Alertmanager and Grafana, with the addresses of their site."""

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .shipped import EXPORTER_URL, GRAFANA_URL, JOB, RUNBOOKS_URL, alerts_folder, dashboards_folder, runbooks_folder

RULES: Final = "twofa.rules.yml"
ALERTMANAGER: Final = "alertmanager.example.yml"
_PROVISIONING: Final = "provisioning"

_URL: Final = re.compile(
    r"https?://[A-Za-z0-9\[][A-Za-z0-9._~:/\[\]+-]*[A-Za-z0-9_~\]]"
)  # safe in YAML, JSON, templates
_JOB: Final = re.compile(r"[A-Za-z_]([A-Za-z0-9_.:/-]*[A-Za-z0-9_])?")
_JOB_IN_RULES: Final = re.compile(rf'\b(job="|job: |job |called |called `){JOB}(?![\w/-])')


class ExportError(Exception):
    """Nothing is written; ``problems`` holds one line for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the users' own things are. Raises ExportError for what cannot stand in the files."""

    runbooks: str = RUNBOOKS_URL
    exporter: str = EXPORTER_URL
    grafana: str = GRAFANA_URL
    job: str = JOB

    def __post_init__(self) -> None:
        problems = [
            f'{option}: must be an http(s) URL without query and trailing slash, got "{url}"'
            for option, url in self._urls.items()
            if not _URL.fullmatch(url)
        ]
        if not _JOB.fullmatch(self.job):
            problems.append(
                f'--job: must be made of letters, digits and _.:/- and begin with a letter, got "{self.job}"'
            )
        if problems:
            raise ExportError(problems)

    @property
    def _urls(self) -> Mapping[str, str]:
        return {"--runbook-url": self.runbooks, "--exporter-url": self.exporter, "--grafana-url": self.grafana}

    def warnings(self, *options: str) -> list[str]:
        """Return which of these addresses nobody but who sits at this machine can open, in words."""
        return [
            f"{option}: links lead to {self._urls[option]}, which opens on the exporter's own machine only"
            for option in options
            if self._urls[option] in (RUNBOOKS_URL, EXPORTER_URL, GRAFANA_URL)
        ]

    def apply(self, text: str) -> str:
        """Return a shipped text with these addresses in it."""
        addresses = {
            RUNBOOKS_URL: self.runbooks,  # before what it begins with
            EXPORTER_URL: self.exporter,
            GRAFANA_URL: self.grafana,
        }
        return re.sub("|".join(map(re.escape, addresses)), lambda found: addresses[found[0]], text)

    def apply_to_rules(self, text: str) -> str:
        """Return shipped rules, their tests or a runbook with these addresses and this job in them."""
        return _JOB_IN_RULES.sub(lambda found: found[1] + self.job, self.apply(text))


def rule_files(site: Site) -> Mapping[str, str]:
    """Return the rules with their tests, the Alertmanager example and the runbooks: text by path."""
    folder = alerts_folder()
    rules = {path.name: site.apply_to_rules(_text(path)) for path in sorted(folder.glob("*.rules*.yml"))}
    runbooks = {
        f"runbooks/{path.name}": site.apply_to_rules(_text(path)) for path in sorted(runbooks_folder().glob("*.md"))
    }
    return {**rules, ALERTMANAGER: _text(folder / ALERTMANAGER), **runbooks}


def dashboard_files(site: Site) -> Mapping[str, str]:
    """Return the dashboards and their provisioning: text by path."""
    folder = dashboards_folder() / _PROVISIONING
    provisioning = {f"{_PROVISIONING}/{path.name}": _text(path) for path in sorted(folder.glob("*.yml"))}
    return {**dashboards(site), **provisioning}


def dashboards(site: Site) -> Mapping[str, str]:
    """Return the dashboards: text by name of the file."""
    return {path.name: site.apply(_text(path)) for path in sorted(dashboards_folder().glob("*.json"))}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def write(files: Mapping[str, str], folder: Path, *, force: bool = False) -> list[Path]:
    """Write files below a folder, each whole or not at all; return those that were not there as they should be.

    Raises ExportError, and has written nothing then, when one is there and differs, unless ``force`` is set; and when
    a file cannot be written.
    """
    paths = {folder / name: text.encode() for name, text in files.items()}
    try:
        changed = {path: content for path, content in paths.items() if not _holds(path, content)}
        differing = [] if force else [path for path in changed if path.exists()]
        if differing:
            words = [f"{path}: differs" for path in differing]
            raise ExportError([*words, "nothing was written; --force writes over them"])
        for path, content in changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
    except OSError as problem:
        why = (problem.strerror or type(problem).__name__).lower()
        raise ExportError([f"{problem.filename}: {why}"]) from None
    return list(changed)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _replace(path: Path, content: bytes) -> None:
    """Put a file into place in one step: who reads it meanwhile sees the old one or the new one."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as problem:
        with suppress(OSError):
            unfinished.unlink()
        raise OSError(problem.errno, problem.strerror, str(path)) from None
