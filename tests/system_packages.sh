#!/usr/bin/env bash
# The programs beside Python that the demo and the tests use.
#
#   system_packages.sh demo          Prometheus and Alertmanager; never fails: the demo goes on without
#   system_packages.sh test          what the tests need; with CI=true a missing program is a failure
#   system_packages.sh install NAME  one Debian package; fails where it cannot
#
# Installs what is missing with apt, as root or with a sudo that asks no password, and says so.
# SYSTEM_PACKAGES=skip installs nothing. Elsewhere (macOS) it says what to install.
#
# The rules have to work in Prometheus 2 and 3. Where the system has an older one, `test` unpacks one of Debian's newer
# packages into .programs/<release>/, once: nothing of it is installed, and no rights are needed.
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

has_postgresql() {
  has initdb || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1
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
    has_postgresql || missing="$missing postgresql"
    ! has apt-get || has systemd-analyze || missing="$missing systemd-analyze"
  fi
  printf '%s' "${missing# }"
}

# The Debian packages of such programs; promtool is in `prometheus` up to Debian 12, then on its own.
packages_of() {
  local program
  for program in $1; do
    case $program in
      alertmanager | amtool) echo prometheus-alertmanager ;;
      systemd-analyze) echo systemd ;;
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

keep_cluster_away() { # Debian makes a database of its own, and starts it, unless told not to
  apt_install postgresql-common \
    && as_root sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf || true
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

# The newer generation, from the machine's own Debian mirror.

has_prometheus_3() {
  local promtool
  for promtool in promtool .programs/*/bin/promtool; do
    if has "$promtool" && "$promtool" --version 2>&1 | grep -Eq '^promtool, version ([3-9]|[0-9]{2,})\.'; then return; fi
  done
  return 1
}

debian_mirror() { # prints its address, as apt knows it
  apt-get "$@" indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null \
    | awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }'
}

unpack_prometheus_of() { # RELEASE MIRROR FOLDER
  local release=$1 mirror=$2 folder=$3 package keyring options
  mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$folder/unpacked"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$mirror" "$release" >"$folder/one.sources"
  for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
    if [ -e "$keyring" ]; then printf 'Signed-By: %s\n' "$keyring" >>"$folder/one.sources" && break; fi
  done
  options=("${apt_aside[@]}" -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache"
    -o Dir::Etc::sourcelist="$folder/one.sources" -o Dir::Etc::sourceparts=/dev/null)
  apt-get "${options[@]}" update && (
    cd "$folder" && apt-get "${options[@]}" download prometheus promtool prometheus-alertmanager \
      && for package in *.deb; do dpkg-deb -x "$package" unpacked || exit 1; done
  ) && unpacked_runs "$folder/unpacked/usr/bin"
}

unpacked_runs() { # in FOLDER; on a system that is too old they do not
  local program
  for program in prometheus promtool prometheus-alertmanager amtool; do
    "$1/$program" --version >/dev/null 2>&1 || { say "$program does not run here"; return 1; }
  done
}

fetch_prometheus_3() { # from the first release that has it; Debian 13 has a newer 2
  local work mirror release
  work=$(mktemp -d "$PWD/.programs/fetching.XXXXXX") # apt takes a relative path as one below its own folders
  apt_aside=(--quiet=2 -o Dir::State::status=/dev/null -o APT::Sandbox::User=root -o Acquire::Languages=none
    -o Acquire::Retries=0 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15)
  mirror=$(debian_mirror)
  if [ -z "$mirror" ]; then # no lists, as in a container: read them aside
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    local aside=("${apt_aside[@]}" -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache")
    apt-get "${aside[@]}" update >/dev/null 2>&1 || true
    mirror=$(debian_mirror "${aside[@]}")
  fi
  if [ -z "$mirror" ]; then
    say "apt knows no Debian mirror."
  else
    for release in forky sid trixie; do
      if [ -e ".programs/$release" ]; then continue; fi
      if unpack_prometheus_of "$release" "$mirror" "$work/$release" >"$work/$release.log" 2>&1; then
        mkdir ".programs/$release" && mv "$work/$release/unpacked/usr/bin" ".programs/$release/bin"
        break
      fi
      sed "s/^/Debian $release: /" "$work/$release.log" >&2
    done
  fi
  rm -rf "$work"
}

provide_prometheus_3() {
  if has_prometheus_3; then return; fi
  if has apt-get && has dpkg-deb; then
    say "Unpacking a newer Prometheus, promtool and Alertmanager of Debian into .programs"
    mkdir -p .programs
    echo '*' >.programs/.gitignore
    fetch_prometheus_3
    if has_prometheus_3; then return; fi
  fi
  say ""
  say "Missing here: a promtool 3 or newer, which tells that the alert rules work in Prometheus 3."
  say "  Put one on the PATH, or the programs of a release into .programs/NAME/bin (https://prometheus.io/download/)."
  if [ "${CI:-}" = true ] && has apt-get; then
    say "CI=true: every test has to run, so this is a failure."
    exit 1
  fi
  say "The tests that need it are skipped and say so."
  say ""
}

provide_programs() {
  local purpose=$1 missing
  missing=$(missing_programs "$purpose")
  if [ -n "$missing" ] && may_install; then
    update_package_lists
    case " $missing " in *" postgresql "*) keep_cluster_away ;; esac
    # shellcheck disable=SC2046  # package names hold no spaces
    install_all $(packages_of "$missing")
    hash -r
    missing=$(missing_programs "$purpose")
  fi
  [ -n "$missing" ] || return 0

  say ""
  say "Missing here: $missing"
  if [ "$(uname -s)" = Darwin ]; then
    say "  brew install prometheus node postgresql       (Alertmanager: https://prometheus.io/download/)"
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
}

if [ "${1:-}" = install ]; then
  may_install || exit 1
  update_package_lists
  apt_install "$2"
  exit
fi

provide_programs "$1"
if [ "$1" = test ]; then provide_prometheus_3; fi
