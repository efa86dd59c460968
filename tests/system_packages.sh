#!/usr/bin/env bash
# The programs beside Python that the demo and the tests use.
#
#   system_packages.sh demo          Prometheus and Alertmanager; never fails: the demo goes on without
#   system_packages.sh test          what the tests need; with CI=true a missing program is a failure
#   system_packages.sh install NAME  one Debian package; fails where it cannot
#
# Installs what is missing with apt, as root or with a sudo that asks no password, and says so.
# SYSTEM_PACKAGES=skip installs nothing. Elsewhere (macOS) it says what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }
has() { command -v "$1" >/dev/null 2>&1; }

has_chromium() {
  has chromium || has chromium-browser || has google-chrome \
    || [ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]
}

has_node() { # 18 or newer
  has node && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 18 ? 1 : 0)' >/dev/null 2>&1
}

# The missing programs, by the name people know them by.
missing_programs() {
  local missing=
  has prometheus || missing="$missing prometheus"
  has alertmanager || has prometheus-alertmanager || missing="$missing alertmanager"
  if [ "$1" = test ]; then
    has promtool || missing="$missing promtool"
    has amtool || missing="$missing amtool"
    has_chromium || missing="$missing chromium"
    has_node || missing="$missing nodejs"
    has npm || missing="$missing npm"
  fi
  printf '%s' "${missing# }"
}

# The Debian packages of such programs; promtool is in `prometheus` up to Debian 12, then on its own.
packages_of() {
  local program
  for program in $1; do
    case $program in
      alertmanager | amtool) echo prometheus-alertmanager ;;
      promtool) if apt-cache show promtool 2>/dev/null | grep -q .; then echo promtool; else echo prometheus; fi ;;
      *) echo "$program" ;;
    esac
  done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  [ "${SYSTEM_PACKAGES:-}" != skip ] && has apt-get \
    && { [ "$(id -u)" -eq 0 ] || { has sudo && sudo -n true 2>/dev/null; }; }
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends \
    -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

# Debian starts a server when it installs one; we want the program only.
stop_service() {
  case $1 in
    prometheus | prometheus-alertmanager)
      if [ -d /run/systemd/system ]; then as_root systemctl disable --quiet --now "$1" || true; fi
      ;;
  esac
}

update_package_lists() {
  as_root apt-get update --quiet=2 -o DPkg::Lock::Timeout=120 || say "apt-get update failed; going on with the lists as they are."
}

install_all() { # installs what it can: one unobtainable package must not keep the others away
  local package
  say "Installing with apt: $*"
  apt_install "$@" 2>/dev/null || for package in "$@"; do
    apt_install "$package" || say "apt could not install $package."
  done
  for package in "$@"; do stop_service "$package"; done
}

if [ "${1:-}" = install ]; then
  may_install || exit 1
  update_package_lists
  apt_install "$2"
  exit
fi

purpose=$1
missing=$(missing_programs "$purpose")
[ -n "$missing" ] || exit 0

if may_install; then
  update_package_lists
  # shellcheck disable=SC2046  # package names hold no spaces
  install_all $(packages_of "$missing")
  hash -r
  missing=$(missing_programs "$purpose")
  [ -n "$missing" ] || exit 0
fi

say ""
say "Missing here: $missing"
if [ "$(uname -s)" = Darwin ]; then
  say "  brew install prometheus node       (Alertmanager: https://prometheus.io/download/)"
elif has apt-get; then
  say "  sudo apt-get install --no-install-recommends $(packages_of "$missing")"
fi
if [ "$purpose" = demo ]; then
  say "The demo goes on without: you see the exporter, but no alert."
elif [ "${CI:-}" = true ]; then
  say "CI=true: every test has to run, so this is a failure."
  exit 1
else
  say "The tests that need them are skipped and say so."
fi
say ""
