# What the tests against real peers share: a live Kubo over a golden repository, and an end that leaves nothing running.
# Sourced by bash, never run.
# shellcheck shell=bash

. "$(dirname "${BASH_SOURCE[0]}")/../../../../.ci/lib.sh"

interop=$top/core/http/tests/interop
program=${COLDFRONT_GATEWAY_BIN:-${CARGO_TARGET_DIR:-$top/target}/debug/coldfront-gateway}
folder=$(mktemp -d)
chmod 755 "$folder"
gateway_pid='' kubo_pid='' nginx_pid='' rpc_pid=''

leave() {
  trap - EXIT INT TERM
  local pid
  for pid in $gateway_pid $rpc_pid $nginx_pid $kubo_pid; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
  done
  rm -rf "$folder"
}
trap leave EXIT
trap 'exit 130' INT TERM

need_gateway() { [ -x "$program" ] || fail "no program at $program; build it (cargo build -p coldfront-gateway) or name it in COLDFRONT_GATEWAY_BIN"; }

# kubo_repo NAME: unpacks the golden repository NAME as one that Kubo can run: with an identity of its own. Sets repo and
# IPFS_PATH. Its pins are not there: pin what a collection must not take.
kubo_repo() {
  ipfs_program=$("$interop/kubo/build")
  repo=$(golden "$1" "$folder")
  export IPFS_PATH=$folder/identity
  ipfs init --profile=test >/dev/null
  node -e '
    const fs = require("fs"), [from, to] = process.argv.slice(1)
    const config = JSON.parse(fs.readFileSync(to))
    config.Identity = JSON.parse(fs.readFileSync(from)).Identity
    config.Gateway.NoFetch = true
    fs.chmodSync(to, 0o600)
    fs.writeFileSync(to, JSON.stringify(config))
  ' "$IPFS_PATH/config" "$repo/config"
  chmod -R u+w "$repo"
  export IPFS_PATH=$repo
}

ipfs() { "$ipfs_program" "$@"; }

# start_kubo: runs the daemon over $IPFS_PATH, reachable from this machine alone; sets kubo_pid, kubo_api and kubo_gateway.
start_kubo() {
  rm -f "$IPFS_PATH/api" "$IPFS_PATH/gateway"
  # The program itself, not the function above: the id must be Kubo's, or the end would leave it running.
  : > "$folder/kubo.log"
  "$ipfs_program" daemon --offline > "$folder/kubo.log" 2>&1 &
  kubo_pid=$!
  for _ in $(seq 300); do
    if [ -s "$IPFS_PATH/gateway" ] && ipfs id >/dev/null 2>&1; then
      kubo_gateway=$(cat "$IPFS_PATH/gateway")
      kubo_api=http://$(sed 's:/ip4/\([^/]*\)/tcp/\([0-9]*\).*:\1\:\2:' "$IPFS_PATH/api")
      return 0
    fi
    kill -0 "$kubo_pid" 2>/dev/null || break
    sleep 0.1
  done
  sed 's/^/  /' "$folder/kubo.log" >&2
  fail "Kubo did not start; its words stand above"
}

# start_rpc PROGRAM LOG ARGUMENT...: starts `serve` with an RPC address on a free loopback port; sets rpc_pid and rpc_url.
start_rpc() {
  local server=$1 log=$2
  shift 2
  # There before it is looked into.
  : > "$log"
  "$server" serve --rpc 127.0.0.1:0 "$@" > "$log" 2>&1 &
  rpc_pid=$!
  for _ in $(seq 200); do
    rpc_url=$(sed -n 's/.*rpc: \(http:\/\/[^ ]*\)\/api\/v0.*/\1/p' "$log" | head -n 1)
    [ -z "$rpc_url" ] || return 0
    kill -0 "$rpc_pid" 2>/dev/null || break
    sleep 0.05
  done
  sed 's/^/  /' "$log" >&2
  fail "no line 'rpc: http://…' from $server"
}
