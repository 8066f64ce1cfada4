#!/usr/bin/env bash
# Makes the stores of this folder anew: NAME.tar.gz with the store NAME and NAME.pairs, what it must hold. README.md names them.
#
#   pebble-compat/tests/golden/make.sh
#
# Needs bash, tar, gzip and a Go toolchain, which fetches the libraries from the Go module proxy.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
command -v go >/dev/null || { echo "make.sh: go is missing; install Go 1.26 or newer and run again" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$here/make" && go run -mod=readonly . "$work")
for pairs in "$work"/*.pairs; do
  name=$(basename "$pairs" .pairs)
  tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 --mode=u=rwX,go=rX -cf - "$name" "$name.pairs" |
    gzip -9n > "$here/$name.tar.gz"
done
