# shellcheck shell=bash
# Sourced by quickstart, test and bench: finds what they need and installs what is missing on a Debian-like machine, as root or with sudo.
#
# Every need_* function is silent and takes milliseconds when the thing is there, shows progress while it installs, and returns 1 after one
# clear line when it cannot. Nothing is ever removed or upgraded.

# shellcheck source=scripts/progress.sh
source "$(dirname "${BASH_SOURCE[0]}")/progress.sh"

# Where downloads and build output are kept between runs.
COUNTERSIGN_CACHE="${COUNTERSIGN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/countersign}"
RUST_MIN_MINOR=95
RUST_PINNED=1.95.0
POSTGRES_MIN=13

# missing WHAT HOW: the one line that ends a run.
missing() {
  echo "missing: $1. $2" >&2
  return 1
}

# as_root COMMAND...: runs it as root; fails when there is no way to.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    # Ask for the password here, where a person can see it, not behind a progress line.
    sudo -v && sudo "$@"
  else
    return 126
  fi
}

# have_package NAME: true when dpkg has it installed.
have_package() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_lists_fresh=

# need_packages WHAT NAME...: installs those packages that are not there yet.
need_packages() {
  local what=$1 name absent=()
  shift
  if ! command -v apt-get >/dev/null; then
    missing "$what" "This is not a Debian-like system: install it with your package manager and start again."
    return 1
  fi
  for name in "$@"; do
    have_package "$name" || absent+=("$name")
  done
  [ ${#absent[@]} = 0 ] && return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    missing "$what" "Run as root or install sudo, or run yourself: apt-get install ${absent[*]}"
    return 1
  fi
  [ "$(id -u)" = 0 ] || sudo -v
  if [ -z "$apt_lists_fresh" ]; then
    with_progress "reading package lists" as_root apt-get update -q || true
    apt_lists_fresh=1
  fi
  # The lock is waited for: a fresh machine often updates itself in its first minutes.
  with_progress "installing $what" as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "${absent[@]}" ||
    missing "$what" "apt-get install ${absent[*]} failed: see above."
}

# need_c_compiler: cc and the C library's headers, which the TLS and SQLite crates compile with.
need_c_compiler() {
  if command -v cc >/dev/null && [ -e /usr/include/stdio.h ] && command -v make >/dev/null; then
    return 0
  fi
  need_packages "a C compiler" gcc libc6-dev make
}

# need_libclang: libclang with its headers, which the binding to PostgreSQL's parser is generated with.
need_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] && return 0
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null &&
    return 0
  compgen -G '/usr/lib*/libclang.so*' >/dev/null && return 0
  need_packages "libclang" libclang-dev
}

# rust_minor [+TOOLCHAIN]: the middle number of that rustc's version, or 0.
rust_minor() {
  local version
  version=$(rustc "$@" --version 2>/dev/null) || version=
  [[ $version =~ ^rustc\ 1\.([0-9]+)\. ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

# need_openssh [NAME...]: OpenSSH's client and server, and these packages, each with a program of its own name. The programs are what is
# needed: a system that had no server must not become reachable by one, now or at its next start.
need_openssh() {
  local name absent=() failed= quiet=
  command -v ssh >/dev/null || absent+=(openssh-client)
  [ -x /usr/sbin/sshd ] || absent+=(openssh-server)
  for name in "$@"; do
    command -v "$name" >/dev/null || absent+=("$name")
  done
  [ ${#absent[@]} = 0 ] && return 0
  if [ ! -x /usr/sbin/sshd ] && command -v apt-get >/dev/null && [ ! -e /usr/sbin/policy-rc.d ] &&
    printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null 2>&1; then
    quiet=1
    as_root chmod 755 /usr/sbin/policy-rc.d
  fi
  need_packages "OpenSSH" "${absent[@]}" || failed=1
  if [ -n "$quiet" ]; then
    as_root rm -f /usr/sbin/policy-rc.d
    if command -v systemctl >/dev/null; then
      as_root systemctl --quiet disable ssh.service ssh.socket 2>/dev/null || true
    fi
  fi
  [ -z "$failed" ]
}

# need_rust: cargo and rustc that are new enough, with cargo on PATH. May set RUSTUP_TOOLCHAIN.
need_rust() {
  local toolchain
  if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
  fi
  if ! command -v rustup >/dev/null; then
    if command -v cargo >/dev/null && [ "$(rust_minor)" -ge $RUST_MIN_MINOR ]; then
      return 0
    fi
    need_rustup || return 1
  fi
  if [ -n "${RUSTUP_TOOLCHAIN:-}" ] && [ "$(rust_minor)" -ge $RUST_MIN_MINOR ]; then
    return 0
  fi
  if rustup toolchain list 2>/dev/null | grep -q "^$RUST_PINNED-"; then
    return 0
  fi
  if with_progress "installing Rust $RUST_PINNED" \
    rustup toolchain install "$RUST_PINNED" --no-self-update --profile minimal --component rustfmt --component clippy; then
    return 0
  fi
  # No way to the toolchain server: any newer one that is already here will do.
  for toolchain in $(rustup toolchain list 2>/dev/null | sed 's/ .*//' | sort); do
    if [[ $toolchain != nightly* ]] && [ "$(rust_minor "+$toolchain")" -ge $RUST_MIN_MINOR ]; then
      export RUSTUP_TOOLCHAIN=$toolchain
      echo "  using Rust $toolchain instead"
      return 0
    fi
  done
  missing "Rust 1.$RUST_MIN_MINOR or newer" "https://static.rust-lang.org could not be reached: install Rust from https://rustup.rs and start again."
}

# need_rustup: from the distribution where it has it, else from its own server.
need_rustup() {
  local candidate arch init
  candidate=$(apt-cache policy rustup 2>/dev/null | sed -n 's/^  Candidate: //p')
  if [ -n "$candidate" ] && [ "$candidate" != "(none)" ]; then
    need_packages "rustup" rustup
    return
  fi
  command -v curl >/dev/null && [ -e /etc/ssl/certs/ca-certificates.crt ] || need_packages "curl" curl ca-certificates || return 1
  arch=$(uname -m)
  init=$(mktemp -d)
  if with_progress "fetching rustup" fetch_rustup "$arch" "$init"; then
    with_progress "installing rustup" "$init/rustup-init" -y --no-modify-path --profile minimal --default-toolchain none || init=
  else
    init=
  fi
  if [ -z "$init" ]; then
    missing "Rust" "rustup could not be fetched from https://static.rust-lang.org: install Rust from https://rustup.rs and start again."
    return 1
  fi
  rm -rf "$init"
  PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  export PATH
}

fetch_rustup() {
  local url="https://static.rust-lang.org/rustup/dist/$1-unknown-linux-gnu/rustup-init"
  curl --proto '=https' --tlsv1.2 -fsS --max-time 300 -o "$2/rustup-init" "$url" &&
    curl --proto '=https' --tlsv1.2 -fsS --max-time 60 -o "$2/sum" "$url.sha256" &&
    [ "$(sha256sum <"$2/rustup-init" | cut -d' ' -f1)" = "$(cut -d' ' -f1 "$2/sum")" ] &&
    chmod +x "$2/rustup-init"
}

# need_rust_tools: what only the tests need of the toolchain.
need_rust_tools() {
  if cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; then
    return 0
  fi
  if command -v rustup >/dev/null; then
    with_progress "installing rustfmt and clippy" rustup component add rustfmt clippy && return 0
  fi
  missing "rustfmt or clippy" "Install them with the package manager that your Rust came from."
}

# postgres_bin: prints the folder of the newest server's programs; fails when there is none that is new enough.
postgres_bin() {
  local folder best= best_major=0 major
  for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin "$(dirname "$(command -v initdb 2>/dev/null || echo /none/x)")"; do
    [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] || continue
    major=$("$folder/postgres" --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    if [ "${major:-0}" -ge $POSTGRES_MIN ] && [ "$major" -gt "$best_major" ]; then
      best=$folder best_major=$major
    fi
  done
  [ -n "$best" ] && echo "$best"
}

# need_postgres: a PostgreSQL server's programs and psql. No system-wide cluster is made: ours are throwaway ones.
need_postgres() {
  if postgres_bin >/dev/null && command -v psql >/dev/null; then
    return 0
  fi
  if ! have_package postgresql-common && [ ! -e /etc/postgresql-common/createcluster.conf ] && command -v apt-get >/dev/null; then
    as_root sh -c 'mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf' || true
  fi
  need_packages "PostgreSQL" postgresql postgresql-client || return 1
  postgres_bin >/dev/null || missing "PostgreSQL $POSTGRES_MIN or newer" "The installed one is older."
}

# as_postgres COMMAND...: runs it as a user that PostgreSQL accepts, which root is not.
as_postgres() {
  if [ "$(id -u)" != 0 ]; then
    "$@"
  elif ! id postgres >/dev/null 2>&1; then
    missing "the user 'postgres'" "PostgreSQL does not run as root: create it with useradd --system postgres."
  elif command -v runuser >/dev/null; then
    runuser -u postgres -- "$@"
  else
    setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
  fi
}

# need_python: python3 that can make virtual environments.
need_python() {
  command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null && return 0
  need_packages "Python" python3 python3-venv
}

# need_node: node and npm.
need_node() {
  command -v node >/dev/null && command -v npm >/dev/null && return 0
  need_packages "Node.js" nodejs npm
}

# chromium_program: prints the browser's program; fails when there is none.
chromium_program() {
  command -v chromium || command -v chromium-browser || command -v google-chrome
}

# need_chromium: a browser that tests can drive.
need_chromium() {
  chromium_program >/dev/null && return 0
  need_packages "Chromium" chromium
}

# need_java: a JDK and Maven.
need_java() {
  command -v javac >/dev/null && command -v mvn >/dev/null && return 0
  if command -v javac >/dev/null; then
    need_packages "Maven" maven
  else
    need_packages "a JDK and Maven" default-jdk-headless maven
  fi
}

# need_valgrind: what counts instructions and system calls.
need_valgrind() {
  command -v callgrind_control >/dev/null && command -v strace >/dev/null && return 0
  need_packages "valgrind and strace" valgrind strace
}

# need_go: the Go toolchain.
need_go() {
  command -v go >/dev/null && return 0
  need_packages "Go" golang-go
}

# etcd_program: prints etcd's program; fails when there is none.
etcd_program() {
  command -v etcd && return 0
  [ -x "$COUNTERSIGN_CACHE/etcd/usr/bin/etcd" ] && echo "$COUNTERSIGN_CACHE/etcd/usr/bin/etcd"
}

# need_etcd: etcd, taken out of Debian's package: installing that would start a server that nobody asked for.
need_etcd() {
  etcd_program >/dev/null && return 0
  if ! command -v apt-get >/dev/null; then
    missing "etcd" "This is not a Debian-like system: install it with your package manager and start again."
    return 1
  fi
  with_progress "fetching etcd" unpack_package etcd-server "$COUNTERSIGN_CACHE/etcd" || missing "etcd" "apt-get download etcd-server failed: see above."
}

# unpack_package NAME FOLDER: a package's files, without installing it.
unpack_package() {
  local part="$2.part"
  rm -rf "$part" && mkdir -p "$part/files" || return 1
  # Lists that were never read know no package; reading them takes root.
  [ -n "$(apt-cache show "$1" 2>/dev/null)" ] || as_root apt-get update -q || true
  (cd "$part" && apt-get download -q "$1") && dpkg-deb -x "$part/$1"_*.deb "$part/files" && rm -rf "$2" && mv "$part/files" "$2" && rm -rf "$part"
}

# kube_apiserver_program: prints the program of the version that tests/kubernetes pins; fails when it was not built yet.
kube_apiserver_program() {
  local program
  program="$COUNTERSIGN_CACHE/kubernetes-$(kubernetes_version)/kube-apiserver"
  echo "$program"
  [ -x "$program" ]
}

kubernetes_version() {
  sed -nE 's/^(require )?[[:space:]]*k8s\.io\/kubernetes v([0-9.]+).*/\2/p' "$(dirname "${BASH_SOURCE[0]}")/../tests/kubernetes/apiserver/go.mod"
}

# need_kube_apiserver: kube-apiserver, built once for each version: about 4 minutes on two idle processors. What the build needs (3 GB) goes when
# it is done.
need_kube_apiserver() {
  kube_apiserver_program >/dev/null && return 0
  need_go || return 1
  with_progress "building kube-apiserver $(kubernetes_version)" \
    build_kube_apiserver "$(dirname "${BASH_SOURCE[0]}")/../tests/kubernetes/apiserver" "$COUNTERSIGN_CACHE" "$(kube_apiserver_program)" ||
    missing "kube-apiserver" "It could not be built: see above. It takes Go 1.21 or newer and a way to the Go module proxy."
}

# build_kube_apiserver MODULE CACHE PROGRAM: a build that was broken off goes on where it was.
build_kube_apiserver() {
  local work="$2/kubernetes-build"
  mkdir -p "$work" "$(dirname "$3")" || return 1
  # A toolchain that is older than go.mod wants fetches that one. The program is there to be asked, not to be fast: without optimisation and
  # debugging information it is built sooner.
  (
    cd "$1" && export GOTOOLCHAIN=auto GOCACHE="$work/cache" GOMODCACHE="$work/modules" GOFLAGS="-modcacherw -buildvcs=false" &&
      nice go build -v -trimpath -gcflags=all='-N -l -dwarf=false' -ldflags='-s -w' -o "$work/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
  ) && mv "$work/kube-apiserver" "$3" && rm -rf "$work"
}

# It runs on Java 17, which Debian 12 has.
KEYCLOAK_VERSION=26.0.8

# need_keycloak FOLDER: Keycloak's distribution from Maven Central, unpacked there.
need_keycloak() {
  [ -e "$1/keycloak-$KEYCLOAK_VERSION/bin/kc.sh" ] && return 0
  with_progress "fetching Keycloak $KEYCLOAK_VERSION" unpack_keycloak "$1" || missing "Keycloak" "It could not be fetched with Maven: see above."
}

unpack_keycloak() {
  local zip="keycloak-quarkus-dist-$KEYCLOAK_VERSION.zip" part="$1/keycloak.part"
  rm -rf "$part" && mkdir -p "$part" || return 1
  mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy -Dartifact="org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:zip" \
    -DoutputDirectory="$part" && python3 -m zipfile -e "$part/$zip" "$part" && mv "$part/keycloak-$KEYCLOAK_VERSION" "$1/" && rm -rf "$part"
}

# need_bench: what the benchmarks compare with.
need_bench() {
  PATH="$PATH:/usr/sbin"
  command -v haproxy >/dev/null && command -v pgbouncer >/dev/null && return 0
  need_packages "haproxy and pgbouncer" haproxy pgbouncer
}
