"""The command line: flags, exit codes, and which parts are put together. No logic.

What a command needs is imported when it runs, so that ``--version`` costs next to nothing.
"""

import io
import os
import sys

USAGE_ERROR = 2

_METADATA, _FOLDER = "twofa_exporter-", ".dist-info"


def main() -> None:
    """Run the command line."""
    if problem := _shadowed():
        _fail(problem)
    if sys.argv[1:] == ["--version"]:
        print(f"twofa-exporter {_version()}")
        return
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a sign shows a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    from .commands import app

    app()


def _shadowed() -> str | None:
    """Return what is wrong when the generic name of one of our packages leads to somebody else's."""
    import checks

    ours, theirs = (
        os.path.dirname(os.path.dirname(os.path.realpath(path or "/"))) for path in (__file__, checks.__file__)
    )
    if ours == theirs:
        return None
    return f'another package named "checks" is installed in {theirs}; install twofa-exporter in its own environment'


def _version() -> str:
    """Return the version by the name of the folder of the metadata: the module that reads them costs 40 ms."""
    for folder in sys.path:
        try:
            found = [
                name for name in os.listdir(folder or ".") if name.startswith(_METADATA) and name.endswith(_FOLDER)
            ]
        except OSError:
            continue
        if len(found) == 1:
            return found[0].removeprefix(_METADATA).removesuffix(_FOLDER)
    from importlib.metadata import version

    return version("twofa-exporter")


def _fail(problem: str) -> None:
    print(f"twofa-exporter: {problem}", file=sys.stderr)
    raise SystemExit(USAGE_ERROR)
