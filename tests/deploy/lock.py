"""``make lock``: writes down which versions, and which files of them, the image is made of.

``requirements.lock`` is what the exporter needs, ``build.lock`` what makes its wheel. Versions that are locked already
stay, as long as pyproject.toml allows them; ``--upgrade`` takes the newest.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from tests.repo import ROOT

_FOLDER: Final = ROOT / "deploy" / "container"
_UV: Final = Path(sys.executable).parent / "uv"

# where pyproject.toml says what each file is to hold
LOCKS: Final = {"requirements.lock": ("project", "dependencies"), "build.lock": ("build-system", "requires")}


def lock(name: str, requirements: list[str], options: list[str]) -> None:
    """Write one lock file. Raises CalledProcessError when there is no solution."""
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(requirements))
        file.flush()
        compile_ = [str(_UV), "pip", "compile", file.name, "--output-file", str(_FOLDER / name), "--quiet"]
        # for every system and every Python that the project runs on: what installs it takes the files that fit
        kind = ["--universal", "--python-version", "3.11", "--generate-hashes"]
        words = ["--no-annotate", "--no-emit-index-url", "--custom-compile-command", "make lock"]
        subprocess.run([*compile_, *kind, *words, *options], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Write both lock files."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for name, (section, key) in LOCKS.items():
        lock(name, declared[section][key], sys.argv[1:])


if __name__ == "__main__":
    main()
