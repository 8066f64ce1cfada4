# What the scripts of this folder share: places, words, and the road to a running gateway. Sourced by bash, never run.
# shellcheck shell=bash

set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Everything that takes long to make lives outside the checkout, so that a fresh clone of a known machine is quick.
export COLDFRONT_CACHE=${COLDFRONT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coldfront}
mkdir -p "$COLDFRONT_CACHE"

# Debian keeps servers and tools of root out of a plain user's PATH.
export PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# use_rocksdb: lets every cargo below link the RocksDB of the cache, making it first if need be.
use_rocksdb() {
  [ -n "${ROCKSDB_LIB_DIR:-}" ] || eval "$("$top/.ci/rocksdb")"
}

# golden NAME FOLDER: unpacks the golden repository NAME into FOLDER and prints where it lies.
golden() {
  tar -xzf "$top/core/tests/golden/$1.tar.gz" -C "$2" || fail "cannot unpack core/tests/golden/$1.tar.gz into $2"
  printf '%s/%s\n' "$2" "$1"
}

# root_cid NAME LABEL: the CID of a root of the golden repository NAME.
root_cid() {
  local found
  found=$(sed -n '/^ "roots": {$/,/^ }/s/^  "'"$2"'": "\([^"]*\)".*/\1/p' "$top/core/tests/golden/$1.expected.json")
  [ -n "$found" ] || fail "core/tests/golden/$1.expected.json names no root $2"
  printf '%s\n' "$found"
}

# start_gateway PROGRAM LOG ARGUMENT...: starts `serve` on $gateway_address, a free loopback port if unset; sets gateway_pid
# and gateway_url. Waits at most ten seconds for the line that says where it listens.
start_gateway() {
  local program=$1 log=$2
  shift 2
  # There before it is looked into.
  : > "$log"
  "$program" serve --gateway "${gateway_address:-127.0.0.1:0}" "$@" > "$log" 2>&1 &
  gateway_pid=$!
  for _ in $(seq 200); do
    gateway_url=$(sed -n 's/.*gateway: \(http:\/\/[^ ]*\)\/.*/\1/p' "$log" | head -n 1)
    [ -z "$gateway_url" ] || return 0
    kill -0 "$gateway_pid" 2>/dev/null || break
    sleep 0.05
  done
  say "the gateway did not start; it said:"
  sed 's/^/  /' "$log" >&2
  fail "no line 'gateway: http://…' from $program"
}
