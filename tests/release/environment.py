"""The environment that users get: the wheel and what it needs, as the image pins it, and the licences in it."""

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.repo import ROOT

LOCK: Final = ROOT / "deploy" / "container" / "requirements.lock"

PERMISSIVE: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
"""SPDX identifiers of licences that ask for no more than their text and a notice."""

ALLOWED: Final[Mapping[str, str]] = {
    "certifi": "MPL-2.0",  # Mozilla's list of authorities, as it is: whoever changes that file has to give the change
}
"""What is not permissive and is used all the same, by the licence that it was let in with."""

# What a few packages still say in place of an SPDX expression.
_SPDX: Final[Mapping[str, str]] = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psf": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
}

_LIST: Final = """
import json
from importlib.metadata import distributions
print(json.dumps([{key: each.metadata.get_all(key) for key in
    ("Name", "Version", "License-Expression", "License", "Classifier")} for each in distributions()]))
"""


@dataclass(frozen=True, slots=True, order=True)
class Dependency:
    """An installed distribution."""

    name: str
    version: str
    licence: str  # an SPDX expression as far as it can be made one; empty when none is told

    @property
    def is_accepted(self) -> bool:
        """Whether nothing in its licence reaches further than itself."""
        return ALLOWED.get(self.name) == self.licence or is_permissive(self.licence)


def is_permissive(expression: str) -> bool:
    """Return whether an expression offers a way to use a thing by permissive licences alone."""
    if not expression or "WITH" in expression.split():
        return False
    return any(
        all(part.strip(" ()") in PERMISSIVE for part in re.split(r"\s+AND\s+", way))
        for way in re.split(r"\s+OR\s+", expression)
    )


def licence_of(metadata: Mapping[str, Any]) -> str:
    """Return the licence that a distribution's metadata tells: its expression, its classifiers or its field."""
    expression = (metadata.get("License-Expression") or [""])[0]
    if expression:
        return str(expression)
    prefix = "License :: "
    classifiers = [each.rpartition(" :: ")[2] for each in metadata.get("Classifier") or () if each.startswith(prefix)]
    told = [each for each in classifiers if each != "OSI Approved"] or (metadata.get("License") or [])[:1]
    words = [each.strip().splitlines()[0] for each in told if each.strip()]
    return " AND ".join(sorted({_SPDX.get(each.lower(), each) for each in words}))


def canonical(name: str) -> str:
    """Return the name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def dependencies_of(metadata: Iterable[Mapping[str, Any]]) -> list[Dependency]:
    """Return the distributions that metadata tell of."""
    return sorted(Dependency(canonical(each["Name"][0]), each["Version"][0], licence_of(each)) for each in metadata)


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment with the wheel in it, and nothing that it does not need."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def dependencies(self) -> list[Dependency]:
        """Return what is installed, our own wheel too."""
        done = subprocess.run([self.python, "-c", _LIST], check=True, capture_output=True, text=True, timeout=60)
        return dependencies_of(json.loads(done.stdout))

    def requirements(self) -> str:
        """Return what is installed beside our own wheel, pinned."""
        return "".join(
            f"{each.name}=={each.version}\n" for each in self.dependencies() if each.name != "twofa-exporter"
        )


def install(wheel: Path, folder: Path) -> Environment:
    """Make an environment as the image does: what is locked by its hashes, then the wheel alone.

    Raises CalledProcessError, also when the wheel needs what is not locked.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    environment = Environment(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(environment.python), "--disable-pip-version-check", "--quiet"]
    locked = ["--require-hashes", "--only-binary=:all:", "--requirement", str(LOCK)]
    for command in (["install", *locked], ["install", "--no-deps", "--no-index", str(wheel)], ["check"]):
        subprocess.run([*pip, *command], check=True, capture_output=True, text=True, timeout=600)
    return environment
