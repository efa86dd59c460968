"""Runs the benchmarks and writes what all of them measured, and on what, to docs/BENCHMARKS.md.

With names (``scrape histogram``) it runs only those and writes nothing. The exit code is 0 when every goal was met.
"""

import argparse
import ast
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

import msgspec

from tests.repo import ROOT

DOCUMENT: Final = ROOT / "docs" / "BENCHMARKS.md"
_FOLDER: Final = Path(__file__).parent
_RESULTS: Final = "TWOFA_BENCH_RESULTS"  # the file that a benchmark appends to, one result a line
_DEBIAN_PEERS: Final = ("prometheus-pushgateway", "prometheus-blackbox-exporter")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value and its goal."""

    name: str
    value: float = 0.0
    unit: str = ""
    goal: str = ""  # in words, as "<= 0.2 x"
    met: bool = True
    ours: str = ""  # what a ratio is of, in words
    peer: str = ""
    skipped: str = ""  # why it was not measured


def record(result: Result) -> None:
    """Keep a result for the document, where one is being written."""
    path = os.environ.get(_RESULTS)
    if path:
        with Path(path).open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")


def figure(value: float, unit: str) -> str:
    """Return a number as people read it, with its unit: three digits, or all of those before the point."""
    number = f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{number} {unit}".strip()


def benchmarks() -> dict[str, str]:
    """Return the first line of what each benchmark says of itself, by its name."""
    found = {}
    for path in sorted(_FOLDER.glob("bench_*.py")):
        described = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.removeprefix("bench_")] = described.partition("\n")[0]
    return found


def run(name: str) -> tuple[Sequence[Result], int]:
    """Run one benchmark, its output on ours; return its results and its exit code."""
    with tempfile.TemporaryDirectory(prefix="twofa-bench-") as folder:
        path = Path(folder) / "results.jsonl"
        path.touch()
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"tests.bench.bench_{name}"]
        done = subprocess.run(command, check=False, cwd=ROOT, env={**os.environ, _RESULTS: str(path)})
        return [msgspec.json.decode(line, type=Result) for line in path.read_bytes().splitlines()], done.returncode


def document(found: Iterable[tuple[str, str, Sequence[Result], int]], began: datetime, load: float) -> str:
    """Return the page: the machine, and for each benchmark name, description, results and exit code."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`, never by hand. A ratio compares with a peer that ran in turns with ours, on the same",
        "machine and in the same minutes: ratios hold elsewhere, times do not. All figures are medians.",
        "",
        *(f"- {name}: {value}" for name, value in machine(began, load)),
    ]
    for name, described, results, code in found:
        lines += ["", f"## {name}", "", described, "", f"`make bench ARGS={name}`", ""]
        if results:
            lines += ["| measured | ours | peer | result | goal | |", "|---|---:|---:|---:|---:|---|"]
            lines += [row(result) for result in results]
        if code != 0 and all(result.met for result in results):
            lines += ["", f"**It ended with exit code {code} before it had measured all.**"]
    return "\n".join(lines) + "\n"


def row(result: Result) -> str:
    """Return a result as a row of a table."""
    if result.skipped:
        cells = [result.name, "", "", "", "", f"skipped: {result.skipped}"]
    else:
        verdict = "met" if result.met else "**missed**"
        measured = figure(result.value, result.unit)
        cells = [result.name, result.ours, result.peer, measured, result.goal, verdict if result.goal else ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def machine(began: datetime, load: float) -> Iterator[tuple[str, str]]:
    """Yield what the figures depend on, with its name."""
    yield "Date", f"{began:%Y-%m-%d}"
    yield "Machine", f"{os.cpu_count()} x {_processor()}, {_memory()}, load average {load:.1f} at the beginning"
    yield "System", f"{_system()}, Linux {platform.release()}" if platform.system() == "Linux" else platform.platform()
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "twofa-exporter", version("twofa-exporter")
    yield "Packages", ", ".join(f"{name} {version(name)}" for name in _requirements())
    yield "Peers", ", ".join(_debian_peers()) or "none of Debian is installed"


def _requirements() -> Iterator[str]:
    for requirement in sorted(requires("twofa-exporter") or ()):
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            version(name)
        except PackageNotFoundError:
            continue  # of another platform
        yield name


def _debian_peers() -> Iterator[str]:
    for package in _DEBIAN_PEERS:
        command = ["dpkg-query", "--show", "--showformat=${Version}", package]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            return
        if done.returncode == 0 and done.stdout:
            yield f"{package} {done.stdout}"


def _processor() -> str:
    return _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def _memory() -> str:
    kibibytes = _field("/proc/meminfo", "MemTotal").removesuffix("kB")
    return f"{int(kibibytes) / 2**20:.0f} GiB" if kibibytes else "memory unknown"


def _system() -> str:
    return _field("/etc/os-release", "PRETTY_NAME").strip('"') or "unknown distribution"


def _field(path: str, name: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(rf"^{re.escape(name)}\s*[:=]\s*(.+)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else ""


def main() -> int:
    """Run, write, and say by the exit code whether every goal was met."""
    known = benchmarks()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    names = parser.parse_args().names
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    began, load = datetime.now(UTC), os.getloadavg()[0]
    found = [(name, known[name], *run(name)) for name in names or known]
    if not names:
        DOCUMENT.write_text(document(found, began, load), encoding="utf-8")
        print(f"\nwritten to {DOCUMENT.relative_to(ROOT)}")
    failed = [name for name, _, _, code in found if code]
    if failed:
        print(f"\nnot all goals were met: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
