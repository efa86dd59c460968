#!/usr/bin/env bash
# Makes .venv with the first Python >= 3.11 that it finds. PYTHON=... names one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
  if is_new_enough "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  say "twofa-exporter needs Python 3.11 or newer; tried: ${PYTHON:-python3, python3.14, python3.13, python3.12, python3.11}."
  say "python3 here: $(python3 --version 2>&1 || true)"
  say "  Debian 12+, Ubuntu 24.04+: sudo apt-get install python3 python3-venv"
  say "  Ubuntu 22.04:              sudo apt-get install python3.11 python3.11-venv"
  say "  macOS:                     brew install python"
  say "Or name one: make demo PYTHON=/path/to/python3.11"
  exit 1
fi

# Debian and Ubuntu split ensurepip off into pythonX.Y-venv.
if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
  package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  say "$python has no ensurepip, which a virtual environment needs: installing $package."
  if ! bash tests/system_packages.sh install "$package"; then
    say "Could not install it. Run: sudo apt-get install $package"
    say "(not Debian or Ubuntu: install the part of Python that brings the module ensurepip)"
    exit 1
  fi
fi

say "Making .venv with $("$python" --version)"
if ! "$python" -m venv --clear .venv; then
  rm -rf .venv
  say "$python -m venv .venv failed; the message above says why."
  exit 1
fi
