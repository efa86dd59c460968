"""The repository as files: what the tests about the repository itself start from."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def source_files(*folders: str) -> list[str]:
    """What belongs to the repository, as sorted paths below its root; ignored files do not."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    # a file just deleted is still in the index
    return sorted(path for path in set(listing.stdout.split("\0")) if path and (ROOT / path).is_file())


def require_program(*names: str, folder: Path | None = None) -> str:
    """The first of these programs that is installed; otherwise skips, or fails where CI=true."""
    for name in names:
        if path := shutil.which(name, path=folder):
            return path
    raise _missing(f"not installed: {' or '.join(names)} (make test says how)", is_failure=True)


@dataclass(frozen=True, slots=True, order=True)
class PrometheusPrograms:
    """The programs of one generation of Prometheus. Alertmanager and amtool may not be there: asking then skips."""

    version: tuple[int, ...]  # of Prometheus
    folder: Path | None  # None: those on the PATH

    def __str__(self) -> str:
        return ".".join(map(str, self.version[:2]))

    @property
    def prometheus(self) -> str:
        return require_program("prometheus", folder=self.folder)

    @property
    def promtool(self) -> str:
        return require_program("promtool", folder=self.folder)

    @property
    def alertmanager(self) -> str:
        return require_program("alertmanager", "prometheus-alertmanager", folder=self.folder)

    @property
    def amtool(self) -> str:
        return require_program("amtool", folder=self.folder)


@functools.cache
def prometheus_programs() -> tuple[PrometheusPrograms, ...]:
    """Every generation of Prometheus that there is, the oldest first: on the PATH, and in .programs (make test)."""
    found = {}
    for folder in (*sorted((ROOT / ".programs").glob("*/bin")), None):  # the PATH has the last word on its version
        if promtool := shutil.which("promtool", path=folder):
            version = _version(promtool)
            found[version] = PrometheusPrograms(version, folder)
    return tuple(found[version] for version in sorted(found))


def require_prometheus(major: int | None = None) -> PrometheusPrograms:
    """The oldest generation of all, or of those from a major version on; otherwise skips, or fails where CI=true.

    Where there is no apt, a newer one than what is installed is hard to come by: there it skips in any case.
    """
    for programs in prometheus_programs():
        if major is None or programs.version[0] >= major:
            return programs
    raise _missing(
        f"not installed: promtool{'' if major is None else f' of Prometheus {major} or newer'} (make test says how)",
        is_failure=major is None or shutil.which("apt-get") is not None,
    )


def _version(promtool: str) -> tuple[int, ...]:
    said = subprocess.run([promtool, "--version"], check=True, capture_output=True, text=True, timeout=30)
    match = re.match(r"promtool, version (\d+(?:\.\d+)*)", said.stdout + said.stderr)
    assert match is not None, said
    return tuple(map(int, match[1].split(".")))


def _missing(message: str, *, is_failure: bool) -> BaseException:
    """What a test without a program raises."""
    if is_failure and os.environ.get("CI") == "true":
        return pytest.fail.Exception(message)
    return pytest.skip.Exception(message)
