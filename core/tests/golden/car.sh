#!/usr/bin/env bash
# Asks the pinned Kubo to export the roots of flatfs-tree.tar.gz, and writes car.tsv beside it: LABEL, CID, length of the
# CAR, its SHA-256. Roots whose blocks are not all there, or that Kubo cannot walk, are left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ipfs=${IPFS_PROGRAM:-$("$here/../../http/tests/interop/kubo/build")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export IPFS_PATH=$work/repo
"$ipfs" init --profile=test,flatfs --empty-repo >/dev/null
tar -xzf "$here/flatfs-tree.tar.gz" -C "$work"
rm -rf "$IPFS_PATH/blocks"
mv "$work/flatfs-tree/blocks" "$IPFS_PATH/blocks"
node -e 'for (const [label, cid] of Object.entries(JSON.parse(require("fs").readFileSync(process.argv[1])).roots)) console.log(label, cid)' \
  "$here/flatfs-tree.expected.json" | sort | while read -r label cid; do
  "$ipfs" dag export --offline --progress=false "$cid" > "$work/car" 2>/dev/null || continue
  printf '%s\t%s\t%s\t%s\n' "$label" "$cid" "$(stat -c %s "$work/car")" "$(sha256sum < "$work/car" | cut -d' ' -f1)"
done > "$here/car.tsv"
