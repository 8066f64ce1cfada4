#!/usr/bin/env bash
# Makes the lists beside it anew: `state export` by a real ipfs-cluster-service, `pin ls` in all its forms by a real Kubo.
# Needs both programs, which core/http/tests/interop/{cluster,kubo}/build make.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
interop=$here/../../http/tests/interop
cluster=$("$interop/cluster/build") ipfs=$("$interop/kubo/build")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

export IPFS_CLUSTER_PATH=$folder/cluster IPFS_PATH=$folder/kubo
"$cluster" init --consensus crdt >/dev/null 2>&1
"$cluster" state import -f "$here/made-by-hand.json" >/dev/null 2>&1
"$cluster" state export 2>/dev/null > "$here/cluster-state-export.json"

"$ipfs" init --profile=test >/dev/null
folder_cid=$(mkdir "$folder/in" && echo one > "$folder/in/one" && echo two > "$folder/in/two" && "$ipfs" add -Qr --pin=false "$folder/in")
leaf=$(echo three | "$ipfs" add -Q --pin=false)
"$ipfs" pin add --name "a folder" "$folder_cid" >/dev/null
"$ipfs" pin add --recursive=false --name '"direct" <one>' "$leaf" >/dev/null
"$ipfs" pin ls --names > "$here/kubo-pin-ls.txt"
"$ipfs" pin ls --names --enc=json > "$here/kubo-pin-ls.json"
"$ipfs" pin ls --names --stream --enc=json > "$here/kubo-pin-ls-stream.json"
"$ipfs" pin ls -q > "$here/kubo-pin-ls-q.txt"
