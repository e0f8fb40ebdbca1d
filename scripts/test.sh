#!/usr/bin/env bash
# Installs what the tests need on Debian or Ubuntu with Rust, then runs all of them.
#
# It may be run again at any time: what is there already is not installed again. Root rights are
# asked for (by sudo) only when a system package is missing. `--json` is handed to the last step.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly DENY_VERSION=0.20.2
readonly REQUIREMENTS=e2e/interop/requirements.txt
readonly VENV="$PWD/target/interop-venv"
readonly PROMTOOL="$PWD/target/promtool"

say() { printf 'test.sh: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    fail "needs root rights or sudo for: $*"
  fi
}

apt_is_fresh=no
apt_refresh() {
  has apt-get || fail "only Debian and Ubuntu are prepared by this script; install by hand: $*"
  if [[ $apt_is_fresh == no ]]; then
    as_root apt-get update -qq || fail "apt-get update failed, is the network up?"
    apt_is_fresh=yes
  fi
}
apt_install() {
  apt_refresh "$@"
  say "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >/dev/null || fail "apt-get could not install: $*"
}
apt_offers() { apt-cache show "$1" >/dev/null 2>&1; }

need_rust() {
  if ! has cargo && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  has cargo || fail "cargo not found, install Rust from https://rustup.rs"
  cargo fmt --version >/dev/null && cargo clippy --version >/dev/null ||
    fail "rustfmt or clippy is missing: rustup component add rustfmt clippy"
}

need_compiler() {
  local missing=()
  has cc || missing+=(gcc libc6-dev)
  has make || missing+=(make)
  has c++ || missing+=(g++)
  if ((${#missing[@]})); then apt_install "${missing[@]}"; fi
}

# The suite `faults` mounts a disk of its own: root does that itself, others by fusermount3.
need_fuse() {
  [[ -n ${PALISADE_NO_FUSE:-} ]] && return
  [[ -e /dev/fuse ]] || as_root modprobe fuse 2>/dev/null || true
  [[ -e /dev/fuse ]] ||
    fail "no /dev/fuse; PALISADE_NO_FUSE=1 leaves out the cases that need it, and the report says so"
  if [[ $(id -u) != 0 ]] && ! has fusermount3; then apt_install fuse3; fi
}

# The step `instructions` counts those of the hot path; its figures are of this architecture.
need_valgrind() {
  [[ $(uname -m) != x86_64 ]] || has valgrind || apt_install valgrind
}

need_deny() {
  [[ $(cargo deny --version 2>/dev/null) == "cargo-deny $DENY_VERSION" ]] && return
  say "installing cargo-deny $DENY_VERSION, this takes some minutes, but only once"
  cargo install cargo-deny --locked --version "$DENY_VERSION" || fail "cargo-deny was not installed"
}

# Prints the first Python among those named that is on the machine.
find_python() {
  local version found
  for version in "$@"; do
    for found in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/python python3; do
      if "$found" -c "import sys; sys.exit(sys.version_info[:2] != (${version/./, }))" \
        >/dev/null 2>&1; then
        command -v "$found"
        return
      fi
    done
  done
  return 1
}

# Sets `python`: 3.13 or newer, which mas-framework asks for, else 3.12 or 3.11, on which it runs.
choose_python() {
  local version
  python=$(find_python 3.14 3.13) && return
  apt_refresh python3.13
  if apt_offers python3.13; then
    apt_install python3.13 python3.13-venv
    python=$(find_python 3.13) && return
  fi
  python=$(find_python 3.12 3.11) && return
  for version in 3.12 3.11; do
    if apt_offers "python$version"; then
      apt_install "python$version" "python$version-venv"
      python=$(find_python "$version") && return
    fi
  done
  fail "no Python 3.11 or newer found or offered by apt-get"
}

need_interop() {
  if cmp -s "$REQUIREMENTS" "$VENV/installed.txt" && "$VENV/bin/python" -c '' 2>/dev/null; then
    return
  fi
  local python
  choose_python
  say "preparing the foreign clients with $("$python" --version)"
  if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  fi
  rm -rf "$VENV"
  mkdir -p "$(dirname "$VENV")"
  "$python" -m venv "$VENV" || fail "no environment could be made in $VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
    --ignore-requires-python --requirement "$REQUIREMENTS" ||
    fail "pip could not install $REQUIREMENTS"
  cp "$REQUIREMENTS" "$VENV/installed.txt"
}

# Takes promtool out of Debian's package of Prometheus, whose service nobody needs here.
need_promtool() {
  local folder
  has promtool || [[ -x $PROMTOOL/usr/bin/promtool ]] && return
  apt_refresh promtool
  apt_offers prometheus || fail "no package prometheus; put promtool on the PATH"
  say "fetching promtool"
  folder=$(mktemp -d)
  (cd "$folder" && apt-get download -qq prometheus >/dev/null 2>&1) ||
    fail "apt-get could not download: prometheus"
  mkdir -p "$PROMTOOL"
  dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar -x -C "$PROMTOOL" ./usr/bin/promtool ||
    fail "no promtool in the package prometheus"
  rm -rf "$folder"
}

need_rust
need_compiler
need_fuse
need_valgrind
need_deny
need_interop
need_promtool

export PALISADE_INTEROP_VENV="$VENV"
exec cargo xtask ci "$@"
