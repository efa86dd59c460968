"""``make image-check``: what the Containerfile does, done without a container engine.

Builds the wheel and installs it from the lock files as the Containerfile does, into an environment without pip. Then it
starts the exporter with the command of the image, as the user of the image, on a file system that is read-only but for
the folder of the database, and asks it with the image's own HEALTHCHECK. That takes root and Linux' namespaces; where
they are not to be had it goes on without, and says so. Whether the base image has what it needs, only a build can tell.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.processes import free_port
from tests.repo import ROOT

_CONTAINERFILE: Final = (ROOT / "deploy" / "container" / "Containerfile").read_text(encoding="utf-8")
_USER: Final = "10001"
_VOLUME: Final = "/var/lib/twofa-exporter"
_CONFIG: Final = "/etc/twofa-exporter/twofa-exporter.yml"
_WAIT_SECONDS: Final = 30
# A provider where nobody answers: the exporter runs, its check finds nothing out, and no one is called.
_DOCUMENT: Final = """\
providers:
  nobody:
    type: twilio
    account_sid: AC00000000000000000000000000000000
    auth_token: { file: auth_token }
    base_url: http://127.0.0.1:9
checks:
  credentials: { type: credentials, target: nobody }
"""


class CheckError(Exception):
    """The image would not work; the text says why."""


def main() -> None:
    """Check, and end with 1 when the image would not work."""
    python = _find_python()
    _say(f"Python {_version_of(python)}; the image has {_python_version()}")
    with tempfile.TemporaryDirectory(prefix="twofa-image-") as folder:
        try:
            environment = _build(Path(folder), python)
            _run(Path(folder), environment)
        except CheckError as problem:
            sys.exit(f"image-check: {problem}")
    _say("ok")


def _build(folder: Path, python: str) -> Path:
    folder.chmod(0o755)
    sources, stage, environment = folder / "src", folder / "stage", folder / "environment"
    sources.mkdir()
    for line in re.findall(r"^COPY (?!--)(.+)$", _CONTAINERFILE, flags=re.MULTILINE):
        for name in line.split()[:-1]:
            origin = ROOT / name
            if origin.is_dir():
                shutil.copytree(origin, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(origin, sources)
    _call([python, "-m", "venv", stage])
    _call([python, "-m", "venv", "--without-pip", environment])
    pip = [str(stage / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    into = [*pip, "--python", str(environment / "bin" / "python"), "install"]
    locked = ["--require-hashes", "--only-binary=:all:", "--requirement"]
    _call([*pip, "install", *locked, sources / "build.lock"])
    _call([*into, *locked, sources / "requirements.lock"])
    alone = ["--no-deps", "--no-index"]
    _call([*pip, "wheel", *alone, "--no-build-isolation", "--wheel-dir", folder / "dist", sources])
    _call([*into, *alone, *(folder / "dist").glob("*.whl")])
    _call([*pip, "--python", environment / "bin" / "python", "check"])
    if list(environment.glob("lib/*/site-packages/pip")):
        raise CheckError("pip is in the environment of the image")
    size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
    _say(f"installed: {size / 1e6:.0f} MB over the base image")
    return environment


def _run(folder: Path, environment: Path) -> None:
    port, data, config = free_port(), folder / "data", folder / "twofa-exporter.yml"
    data.mkdir(mode=0o750)
    config.write_text(_DOCUMENT, encoding="utf-8")
    (folder / "auth_token").write_text("0" * 32, encoding="utf-8")
    places = {_VOLUME: str(data), _CONFIG: str(config), "0.0.0.0:10687": f"127.0.0.1:{port}"}
    command = [str(environment / "bin" / "twofa-exporter")]
    for argument in _command_of("CMD"):
        option, _, value = argument.partition("=")
        for theirs, ours in places.items():
            value = value.replace(theirs, ours)
        command.append(f"{option}={value}" if value else option)
    program, *words = _command_of("HEALTHCHECK")
    probe = [str(environment / "bin" / program), *(word.replace("10687", str(port)) for word in words)]
    if subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        raise CheckError("the HEALTHCHECK is content where nothing listens")
    started = time.monotonic()
    running = subprocess.Popen(_contained(command, folder, data), cwd=data, env=_environment())
    try:
        while subprocess.run(probe, check=False, capture_output=True).returncode != 0:
            if running.poll() is not None:
                raise CheckError(f"the exporter ended with {running.returncode}")
            if time.monotonic() - started > _WAIT_SECONDS:
                raise CheckError(f"not healthy after {_WAIT_SECONDS} s")
            time.sleep(0.1)
        _say(f"healthy after {time.monotonic() - started:.1f} s")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            if b"\ntwofa_" not in answer.read():
                raise CheckError("/metrics has no metric of ours")
        (stop,) = re.findall(r"^STOPSIGNAL (\w+)$", _CONTAINERFILE, flags=re.MULTILINE)
        running.send_signal(signal.Signals[stop])
        if (code := running.wait(timeout=10)) != 0:
            raise CheckError(f"the exporter ended with {code} on {stop}")
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
    kept = sorted(path.name for path in data.iterdir())
    if "twofa-exporter.db" not in kept:
        raise CheckError(f"no database in the volume, but {kept}")
    _say(f"in the volume: {', '.join(kept)}")


def _contained(command: Sequence[str], folder: Path, data: Path) -> list[str]:
    """Return the command as the engine would run it, as far as this machine can."""
    if os.geteuid() != 0 or not (shutil.which("setpriv") and shutil.which("unshare")):
        _say("not root, or no setpriv and unshare: runs as this user, on a file system that can be written")
        return list(command)
    os.chown(data, int(_USER), int(_USER))
    as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--no-new-privs"]
    as_user += ["--bounding-set=-all", "--inh-caps=-all"]
    if subprocess.run([*as_user, command[0], "--version"], check=False, capture_output=True).returncode != 0:
        raise CheckError("another user cannot run that Python; name one of the system, as PYTHON=/usr/bin/python3")
    # every mount read-only, but the volume and what the kernel shows of itself
    script = """
        set -e
        mount --make-rprivate /
        mount --bind "$1" "$1"
        awk '{ print $5 }' /proc/self/mountinfo | while read -r place; do
            case $place in
                "$1" | /proc* | /sys* | /dev*) ;;
                *) mount -o remount,bind,ro "$place" 2>/dev/null || true ;;
            esac
        done
        if touch "$2/written" 2>/dev/null; then echo "the file system can still be written" >&2; exit 1; fi
        shift 2
        exec "$@"
    """
    inside = ["unshare", "--mount", "sh", "-c", script, "sh", str(data), str(folder), *as_user]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode != 0:
        _say("no mount namespace: the file system can be written by root, and the exporter is not root")
        return [*as_user, *command]
    _say(f"runs as {_USER}, read-only but for the volume, without any capability")
    return [*inside, *command]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def _command_of(instruction: str) -> list[str]:
    """Return the words of CMD or of HEALTHCHECK's CMD in the last stage."""
    lines = _CONTAINERFILE.replace("\\\n", " ").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{instruction} "))
    words: list[str] = json.loads(line[line.index("[") :])
    return words


def _find_python() -> str:
    """Return the Python that PYTHON names, else one of the image's version, else the one that runs this."""
    candidates = [os.environ.get("PYTHON") or f"python{_python_version()}", sys.executable]
    return next(python for python in candidates if shutil.which(python) and _version_of(python))


def _python_version() -> str:
    versions = re.findall(r"^FROM docker.io/library/python:(3\.\d+)-slim", _CONTAINERFILE, flags=re.MULTILINE)
    return str(versions[0])


def _version_of(python: str) -> str:
    show = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", show], check=False, capture_output=True, text=True).stdout.strip()


def _call(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CheckError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def _say(words: str) -> None:
    print(f"image-check: {words}", flush=True)


if __name__ == "__main__":
    main()
