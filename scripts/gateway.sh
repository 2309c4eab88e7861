# shellcheck shell=bash
# Sourced after scripts/deps.sh by tests that need a gateway with a local issuer: start_gateway starts a throwaway one, which ends with the
# script. It has the people ana and bo, the machine robot, and the client "console" besides the built-in one.

# What everybody's password is there, the client's secret as well.
GATEWAY_PASSWORD="correct horse battery"
GATEWAY_URL=
GATEWAY_LOG=
gateway_folder=
gateway_pid=

stop_gateway() {
  if [ -n "$gateway_pid" ]; then
    kill "$gateway_pid" 2>/dev/null || true
    wait "$gateway_pid" 2>/dev/null || true
  fi
  [ -z "$gateway_folder" ] || rm -rf "$gateway_folder"
}

# start_gateway: sets GATEWAY_URL (the issuer) and GATEWAY_LOG.
start_gateway() {
  local program port tries
  program="${CARGO_TARGET_DIR:-$PWD/target}/debug/countersign"
  cargo build --quiet --locked --package countersign
  gateway_folder=$(mktemp -d "${TMPDIR:-/tmp}/countersign-gateway.XXXXXX")
  trap stop_gateway EXIT
  port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')
  GATEWAY_URL="http://127.0.0.1:$port"
  GATEWAY_LOG="$gateway_folder/gateway.log"
  export GATEWAY_URL GATEWAY_LOG GATEWAY_PASSWORD
  cp demo/policy.cedar "$gateway_folder/"
  cat >"$gateway_folder/countersign.toml" <<TOML
[gateway]
data_dir = "."

[[listener]]
protocol = "postgres"
address = "127.0.0.1:0"

[api]
address = "127.0.0.1:$port"

[local_issuer]
audience = "countersign"

[[local_issuer.client]]
id = "console"
redirect_uris = ["http://127.0.0.1/console"]
secret = { env = "GATEWAY_PASSWORD" }

[policy]
files = ["policy.cedar"]

[vault]
key = { file = "vault.key" }

[[target]]
name = "shop"
protocol = "postgres"
host = "127.0.0.1"
labels = { env = "prod" }

[target.tls]
mode = "disable"

[[target.account]]
default = true
user = "nobody"
TOML
  (
    cd "$gateway_folder"
    "$program" credentials init-key vault.key
    "$program" accounts add ana --group analysts --secret-stdin <<<"$GATEWAY_PASSWORD"
    "$program" accounts add bo --secret-stdin <<<"$GATEWAY_PASSWORD"
    "$program" accounts add robot --kind machine --secret-stdin <<<"$GATEWAY_PASSWORD"
  ) >"$gateway_folder/setup.log" 2>&1 || {
    cat "$gateway_folder/setup.log"
    return 1
  }
  (cd "$gateway_folder" && exec "$program" gateway --config countersign.toml) >"$GATEWAY_LOG" 2>&1 &
  gateway_pid=$!
  for tries in $(seq 1 150); do
    if node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$GATEWAY_URL/readyz"; then
      return 0
    fi
    if ! kill -0 "$gateway_pid" 2>/dev/null || [ "$tries" = 150 ]; then
      cat "$GATEWAY_LOG"
      return 1
    fi
    sleep 0.2
  done
}

# install_node_modules FROM INTO: the packages that the lock file in FROM pins, once for each of its versions.
install_node_modules() {
  local from=$1 into=$2 stamp
  stamp=$(sha256sum "$from/package-lock.json" | cut -d ' ' -f 1)
  if [ "$(cat "$into/.installed" 2>/dev/null || true)" != "$stamp" ]; then
    rm -rf "$into"
    mkdir -p "$into"
    cp "$from/package.json" "$from/package-lock.json" "$into/"
    npm ci --prefix "$into" --ignore-scripts --no-audit --no-fund
    echo "$stamp" >"$into/.installed"
  fi
}
