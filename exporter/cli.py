"""The command line: flags, exit codes, and which parts are put together. No logic.

What a command needs is imported when it runs, so that ``--version`` costs next to nothing.
"""

import io
import sys
from importlib.metadata import version
from pathlib import Path

USAGE_ERROR = 2


def main() -> None:
    """Run the command line."""
    if problem := _shadowed():
        _fail(problem)
    if sys.argv[1:] == ["--version"]:
        print(f"twofa-exporter {version('twofa-exporter')}")
        return
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a sign shows a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from .commands import app

    app()


def _shadowed() -> str | None:
    """Return what is wrong when the generic name of one of our packages leads to somebody else's."""
    import checks

    ours = Path(__file__).resolve().parent.parent
    theirs = Path(checks.__file__ or "/").resolve().parent.parent
    if ours == theirs:
        return None
    return f'another package named "checks" is installed in {theirs}; install twofa-exporter in its own environment'


def _fail(problem: str) -> None:
    print(f"twofa-exporter: {problem}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)
