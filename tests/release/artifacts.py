"""The wheel and the source distribution: built from anywhere, they are the same to the byte."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.repo import ROOT, source_files

EPOCH: Final = "1767225600"
"""The date in the files where git does not tell one: 2026-01-01."""


def epoch() -> str:
    """Return SOURCE_DATE_EPOCH: the time of the commit that is built."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], check=False, cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    return done.stdout.strip() or EPOCH


def copy_sources(folder: Path, *, age_seconds: float, mode: int) -> Path:
    """Copy what belongs to the repository, with other times and modes of files than here."""
    for name in source_files():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)
        path.chmod(mode | (0o111 if os.access(ROOT / name, os.X_OK) else 0))
        at = path.stat().st_mtime - age_seconds
        os.utime(path, (at, at))
    return folder


def build(sources: Path, out: Path, *, kind: str, date: str, zone: str = "UTC", locale: str = "C.UTF-8") -> Path:
    """Build a wheel or an sdist (``kind``) in an environment of its own; return it. Raises CalledProcessError."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": date, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": "random"}
    command = [sys.executable, "-m", "build", f"--{kind}", "--outdir", str(out), str(sources)]
    subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=300)
    (made,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


def unpack(sdist: Path, folder: Path) -> Path:
    """Unpack a source distribution; return the folder of its sources."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (inner,) = folder.iterdir()
    return inner


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(one: Path, two: Path) -> Sequence[str]:
    """Return the names of files that two wheels do not share; nothing for wheels that are the same to the byte."""
    if sha256(one) == sha256(two):
        return ()
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(two) as second:
        contents = [{name: archive.read(name) for name in archive.namelist()} for archive in (first, second)]
    names = sorted(contents[0].keys() | contents[1].keys())
    return [name for name in names if contents[0].get(name) != contents[1].get(name)] or ["the archive itself"]
