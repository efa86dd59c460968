"""The repository as files: what the tests about the repository itself start from."""

import os
import shutil
import subprocess
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


def require_program(*names: str) -> str:
    """The first of these programs that is installed; otherwise skips, or fails where CI=true."""
    for name in names:
        if path := shutil.which(name):
            return path
    message = f"not installed: {' or '.join(names)} (make test says how)"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
