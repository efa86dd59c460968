"""What has to hold before a release: ``make release-check``.

Each step says what it found. The exit code is 1 when one failed; a step that the network keeps from being taken is
skipped, which is said at the end too. The wheel, the source distribution and the SBOM are left in ``dist``.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from tests.release import artifacts
from tests.release.environment import Dependency, Environment, canonical, install
from tests.repo import ROOT, source_files

_TOOLS: Final = Path(sys.executable).parent
_BANDIT: Final = re.compile(r"S\d{3}")
_SUPPRESSION: Final = re.compile(r"#\s*noqa:.*\bS\d{3}\b")
_SILENT: Final = re.compile(r"#\s*noqa:\s*[A-Z]+\d+(\s*,\s*[A-Z]+\d+)*\s*$")
_ASSERTION: Final = re.compile(r'\s*assert .+, f?".+"\s+#')
_SHIPPED: Final = ("alerts", "checks", "dashboards", "exporter")


class FailedError(Exception):
    """A step found what keeps from a release; the message says what."""


class SkippedError(Exception):
    """A step could not be taken; the message says why."""


@dataclass(frozen=True)
class Release:
    """What is checked, each part made when it is first needed."""

    folder: Path  # for what is thrown away
    out: Path  # for what is kept

    @cached_property
    def date(self) -> str:
        """SOURCE_DATE_EPOCH."""
        return artifacts.epoch()

    @cached_property
    def sdist(self) -> Path:
        """The source distribution."""
        return artifacts.build(ROOT, self._new("sdist"), kind="sdist", date=self.date)

    @cached_property
    def wheel(self) -> Path:
        """The wheel, built from the checkout."""
        return artifacts.build(ROOT, self._new("wheel"), kind="wheel", date=self.date)

    @cached_property
    def environment(self) -> Environment:
        """The wheel in an environment of its own."""
        return install(self.wheel, self.folder / "environment")

    @cached_property
    def dependencies(self) -> Sequence[Dependency]:
        """All that is in there."""
        return self.environment.dependencies()

    def _new(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def check_wheel_again(self) -> str:
        """Build the wheel from a copy elsewhere with other times, modes, time zone and locale: the same bytes."""
        copy = artifacts.copy_sources(self._new("copy"), age_seconds=86_400 * 400, mode=0o600)
        again = artifacts.build(
            copy, self._new("again"), kind="wheel", date=self.date, zone="Pacific/Chatham", locale="C"
        )
        return self._same(again, "a copy")

    def check_sdist(self) -> str:
        """Build the wheel from the source distribution: the same bytes."""
        sources = artifacts.unpack(self.sdist, self._new("unpacked"))
        return self._same(
            artifacts.build(sources, self._new("from-sdist"), kind="wheel", date=self.date), "the source distribution"
        )

    def _same(self, other: Path, origin: str) -> str:
        if different := artifacts.differences(self.wheel, other):
            raise FailedError(f"the wheel from {origin} is another: {', '.join(different[:10])}")
        return f"sha256 {artifacts.sha256(self.wheel)}"

    def check_metadata(self) -> str:
        """Have twine check what indexes would show."""
        run_tool("twine", "check", "--strict", str(self.wheel), str(self.sdist))
        return "as an index would take it"

    def check_bandit_rules(self) -> str:
        """Run the rules of bandit, and ask that each exception among the shipped files says why it is one."""
        lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
        if "S" not in lint["select"]:
            raise FailedError("pyproject.toml does not select them")
        off = [code for code in lint["ignore"] if _BANDIT.fullmatch(code)]
        run_tool("ruff", "check", "--quiet", "--no-cache", "--select", "S", "--ignore", ",".join(off), str(ROOT))
        count, silent = 0, []
        for name in source_files(*_SHIPPED):
            for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1):
                if name.endswith(".py") and _SUPPRESSION.search(line):
                    count += 1
                    silent += [] if says_why(line) else [f"{name}:{number}"]
        if silent:
            raise FailedError(f"exceptions without a reason: {', '.join(silent)}")
        return f"nothing found; off: {', '.join(off) or 'none'}; {count} exceptions, each with its reason"

    def check_licences(self) -> str:
        """Ask that no licence reaches further than its own files."""
        refused = [f"{each.name} {each.licence or 'tells none'}" for each in self.dependencies if not each.is_accepted]
        if refused:
            raise FailedError(", ".join(refused))
        lines = [f"    {each.name} {each.version}: {each.licence}" for each in self.dependencies]
        return "\n".join([f"{len(lines)} distributions", *lines])

    def check_advisories(self) -> str:
        """Ask whether a version that the image pins has a known hole."""
        requirements = self.folder / "audited.txt"
        requirements.write_text(self.environment.requirements(), encoding="utf-8")
        options = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json")
        done = call_tool("pip-audit", *options, "--requirement", str(requirements))
        return judge_audit(done.stdout, done.stderr)

    def write_sbom(self) -> str:
        """Write the software bill of materials, and ask that it names all that is installed."""
        path = self.out / f"{self.wheel.name.removesuffix('.whl')}.cdx.json"
        run_tool(
            "cyclonedx-py", "environment", str(self.environment.python), "--pyproject", str(ROOT / "pyproject.toml"),
            "--output-reproducible", "--validate", "--of", "JSON", "--output-file", str(path),
        )  # fmt: skip
        named = sbom_names(json.loads(path.read_text(encoding="utf-8")))
        missing = sorted({each.name for each in self.dependencies} - named)
        if missing:
            raise FailedError(f"it does not name {', '.join(missing)}")
        return f"{path.name}: {len(named)} components"

    def keep(self) -> None:
        """Copy what is released to where it is looked for."""
        for path in (self.wheel, self.sdist):
            shutil.copy2(path, self.out / path.name)


def says_why(line: str) -> bool:
    """Return whether a line with a ``noqa`` has words after its codes, or is an assertion with words of its own."""
    return _SILENT.search(line) is None or _ASSERTION.match(line) is not None


def sbom_names(sbom: Mapping[str, object]) -> set[str]:
    """Return what a CycloneDX document names, itself too, as distributions are called."""
    metadata, components = sbom.get("metadata"), sbom.get("components")
    assert isinstance(metadata, dict)
    assert isinstance(components, list)
    return {canonical(each["name"]) for each in (metadata["component"], *components)}


def judge_audit(report: str, words: str) -> str:
    """Return what pip-audit found, in words. Raises FailedError and, when nothing could be asked, SkippedError.

    pip-audit calls it a success when it knows nothing of a distribution.
    """
    try:
        audited = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        last = words.strip().rpartition("\n")[2]
        if "requests.exceptions" in last or "ConnectionError" in last or "Timeout" in last:
            raise SkippedError(f"the advisories cannot be reached: run it where they can ({last[:200]})") from None
        raise FailedError(f"pip-audit: {words.strip()[-1000:]}") from None
    holes = [f"{each['name']} {each['version']}: {hole['id']}" for each in audited for hole in each.get("vulns", ())]
    if holes:
        raise FailedError(", ".join(holes))
    unknown = [each["name"] for each in audited if "skip_reason" in each]
    if len(unknown) == len(audited):
        raise SkippedError("the index that answers here has no advisories: run it where it has")
    if unknown:
        raise FailedError(f"nothing is known of {', '.join(unknown)}")
    return f"no known hole in {len(audited)} distributions"


def call_tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of the group ``release``. Raises FailedError when it is not there."""
    path = _TOOLS / name
    if not path.exists():
        raise FailedError(f"{name} is not installed: make release-check installs it")
    return subprocess.run([path, *arguments], check=False, cwd=ROOT, capture_output=True, text=True, timeout=600)


def run_tool(name: str, *arguments: str) -> None:
    """Run a tool of the group ``release``. Raises FailedError with what it says when it is not content."""
    done = call_tool(name, *arguments)
    if done.returncode != 0:
        raise FailedError(f"{name}: {(done.stdout + done.stderr).strip()[-3000:]}")


def steps(release: Release) -> Mapping[str, Callable[[], str]]:
    """Return what is checked, in order."""
    return {
        "wheel": release.check_wheel_again,
        "sdist": release.check_sdist,
        "metadata": release.check_metadata,
        "bandit": release.check_bandit_rules,
        "licences": release.check_licences,
        "sbom": release.write_sbom,
        "advisories": release.check_advisories,
    }


def take(step: Callable[[], str]) -> tuple[str, str]:
    """Return how a step ended, "ok", "SKIPPED" or "FAILED", and its words."""
    try:
        return "ok", step()
    except SkippedError as skipped:
        return "SKIPPED", str(skipped)
    except FailedError as failed:
        return "FAILED", str(failed)
    except subprocess.CalledProcessError as failed:
        return "FAILED", f"{failed} {failed.stdout or ''} {failed.stderr or ''}"[-3000:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="tests.release", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out: Path = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="twofa-release-") as folder:
        release = Release(Path(folder), out)
        ended = {}
        for name, step in steps(release).items():
            ended[name], words = take(step)
            print(f"{name}: {ended[name]}: {words}", flush=True)
        is_failure = "FAILED" in ended.values()
        if not is_failure:
            release.keep()
    skipped = [name for name, word in ended.items() if word == "SKIPPED"]
    if skipped:
        print(f"NOT CHECKED: {', '.join(skipped)}")
    return int(is_failure)


if __name__ == "__main__":
    sys.exit(main())
