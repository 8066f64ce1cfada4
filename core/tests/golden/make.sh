#!/usr/bin/env bash
# Makes the golden repositories of this folder with the pinned Kubo: NAME.tar.gz, and beside it NAME.expected.json, which
# says what Kubo itself answers about the repository. README.md names the contents.
#
#   core/tests/golden/make.sh            makes all of them anew (two minutes once Kubo is built)
#
# Needs bash, tar, gzip, node, ffmpeg and a Go toolchain. The same Kubo and ffmpeg give the same bytes again.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8 TZ=UTC
here=$(cd "$(dirname "$0")" && pwd)
for tool in node ffmpeg tar gzip go; do
  command -v "$tool" >/dev/null || { echo "make.sh: $tool is missing; install it (Debian: ffmpeg, nodejs, golang) and run again" >&2; exit 1; }
done
ipfs_program=$("$here/../../http/tests/interop/kubo/build")

work=$(mktemp -d)
daemon=
cleanup() { [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; rm -rf "$work"; }
trap cleanup EXIT
content=$work/content

ipfs() { "$ipfs_program" "$@"; }
say() { echo "golden: $*" >&2; }

# --- content -----------------------------------------------------------------------------------------------------------

# Three encodes of one film: a grainy one, longer than a block, for MP4; a small one for HLS with MPEG-TS, plain and
# encrypted; a wider one for fragmented MP4 and DASH.
make_video() {
  local out=$1 quiet=(-hide_banner -loglevel error -nostdin -y) exact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1)
  local coder=(-c:v libx264 -preset veryslow -threads 1 -pix_fmt yuv420p -profile:v main -bf 0 -g 20 -keyint_min 20 -sc_threshold 0 -c:a aac -b:a 16k -ac 1 -ar 22050)
  mkdir -p "$out/240p" "$out/360p-fmp4" "$out/locked" "$out/dash"
  local source=(-f lavfi -i "testsrc=size=320x180:rate=10:duration=12" -f lavfi -i "sine=frequency=330:sample_rate=22050:duration=12")
  ffmpeg "${quiet[@]}" "${source[@]}" "${coder[@]}" -vf noise=alls=12:allf=t:all_seed=7 -b:v 190k "${exact[@]}" -movflags +faststart "$out/movie.mp4"
  ffmpeg "${quiet[@]}" "${source[@]}" "${coder[@]}" -crf 34 "${exact[@]}" "$work/small.mp4"
  ffmpeg "${quiet[@]}" "${source[@]}" "${coder[@]}" -vf scale=480:270 -crf 36 "${exact[@]}" "$work/wide.mp4"

  local hls=(-c copy -f hls -hls_time 2 -hls_playlist_type vod -hls_list_size 0)
  ffmpeg "${quiet[@]}" -i "$work/small.mp4" "${exact[@]}" "${hls[@]}" -hls_segment_filename "$out/240p/seg_%03d.ts" "$out/240p/index.m3u8"
  ffmpeg "${quiet[@]}" -i "$work/wide.mp4" "${exact[@]}" "${hls[@]}" -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4 \
    -hls_segment_filename "$out/360p-fmp4/seg_%03d.m4s" "$out/360p-fmp4/index.m3u8"
  printf '0123456789abcdef' > "$out/locked/clip.key"
  printf 'clip.key\n%s\n%s\n' "$out/locked/clip.key" 000102030405060708090a0b0c0d0e0f > "$work/key-info"
  ffmpeg "${quiet[@]}" -t 4 -i "$work/small.mp4" "${exact[@]}" "${hls[@]}" -hls_key_info_file "$work/key-info" \
    -hls_segment_filename "$out/locked/seg_%03d.ts" "$out/locked/index.m3u8"
  ffmpeg "${quiet[@]}" -t 6 -i "$work/wide.mp4" "${exact[@]}" -c copy -f dash -seg_duration 2 -use_template 1 -use_timeline 1 \
    -init_seg_name 'init-$RepresentationID$.mp4' -media_seg_name 'part-$RepresentationID$-$Number%03d$.m4s' "$out/dash/manifest.mpd"

  cat > "$out/manifest.m3u8" <<'M3U8'
#EXTM3U
#EXT-X-VERSION:7
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="subs",NAME="English",LANGUAGE="en",AUTOSELECT=YES,DEFAULT=NO,URI="subs.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=120000,RESOLUTION=320x180,SUBTITLES="subs"
240p/index.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=180000,RESOLUTION=480x270,SUBTITLES="subs"
360p-fmp4/index.m3u8
M3U8
  printf '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:12\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXTINF:12.0,\nsubs.vtt\n#EXT-X-ENDLIST\n' > "$out/subs.m3u8"
  printf 'WEBVTT\n\n00:00.000 --> 00:06.000\nthe first half\n\n00:06.000 --> 00:12.000\nthe second half\n' > "$out/subs.vtt"
}

# --- repositories ------------------------------------------------------------------------------------------------------

# new_repo NAME SHARD: an empty Kubo repository with the shard function SHARD, reachable from nowhere. The first command
# after the change of its config lays the stores anew.
new_repo() {
  export IPFS_PATH=$work/$1
  ipfs init --profile=test,flatfs >/dev/null
  node -e '
    const fs = require("fs"), [repo, shard] = process.argv.slice(1)
    const config = JSON.parse(fs.readFileSync(repo + "/config"))
    config.Datastore.Spec.mounts[0].shardFunc = "/repo/flatfs/shard/v1/" + shard
    Object.assign(config.Import, { CidVersion: 1, UnixFSRawLeaves: true, UnixFSChunker: "size-262144", UnixFSFileMaxLinks: 174,
      HashFunction: "sha2-256", UnixFSHAMTDirectorySizeThreshold: "4KiB" })
    config.Bootstrap = []
    fs.writeFileSync(repo + "/config", JSON.stringify(config, null, 2) + "\n")
    const spec = JSON.parse(fs.readFileSync(repo + "/datastore_spec"))
    spec.mounts[0].shardFunc = "/repo/flatfs/shard/v1/" + shard
    fs.writeFileSync(repo + "/datastore_spec", JSON.stringify(spec))
  ' "$IPFS_PATH" "$2"
  rm -rf "$IPFS_PATH/blocks" "$IPFS_PATH/datastore"
  roots=$work/$1.roots
  : > "$roots"
  start_daemon
}

start_daemon() {
  "$ipfs_program" daemon --offline > "$work/daemon.log" 2>&1 &
  daemon=$!
  for _ in $(seq 200); do
    [ -s "$IPFS_PATH/api" ] && ipfs id >/dev/null 2>&1 && return
    sleep 0.1
  done
  say "Kubo did not start:"; cat "$work/daemon.log" >&2
  exit 1
}

stop_daemon() { ipfs shutdown; wait "$daemon" || true; daemon=; }

# add LABEL PATH OPTION...: adds PATH, pins it and notes its root under LABEL.
add() {
  local label=$1 source=$2 root
  shift 2
  root=$(ipfs add -Q "$@" "$source")
  note "$label" "$root"
}

# note LABEL CID: notes a root that another command made.
note() { printf '%s %s\n' "$1" "$2" >> "$roots"; }

# pack NAME: asks Kubo about everything it holds, stops it, and packs what a gateway reads. Identity, keys and the store
# of pins stay out: they differ from run to run and nothing here needs them.
pack() {
  node "$here/expected.mjs" "$IPFS_PATH" "$roots" > "$here/$1.expected.json"
  stop_daemon
  rm -rf "$work/pack" && mkdir "$work/pack" "$work/pack/$1"
  cp -a "$IPFS_PATH/blocks" "$IPFS_PATH/datastore_spec" "$IPFS_PATH/version" "$work/pack/$1/"
  node -e '
    const fs = require("fs"), [from, to] = process.argv.slice(1)
    const config = JSON.parse(fs.readFileSync(from))
    delete config.Identity
    fs.writeFileSync(to, JSON.stringify(config, null, 2) + "\n")
  ' "$IPFS_PATH/config" "$work/pack/$1/config"
  tar -C "$work/pack" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@1700000000 --mode=u=rwX,go=rX -cf - "$1" | gzip -9n > "$here/$1.tar.gz"
  say "$1: $(stat -c %s "$here/$1.tar.gz") bytes, $(find "$work/pack/$1/blocks" -name '*.data' | wc -l) blocks"
}

# --- the rich repository -----------------------------------------------------------------------------------------------

make_tree() {
  local single=$content/single v0=(--cid-version=0 --raw-leaves=false)
  new_repo flatfs-tree next-to-last/2
  add tree-v1 "$content/v1" -r -H
  add tree-v0 "$content/v0" -r "${v0[@]}"

  # Directories: HAMT of the default width is `many` of tree-v1; a narrow one is several levels deep.
  add hamt-8 "$content/v1/many" -r --max-hamt-fanout=8
  add hamt-8-v0 "$content/v1/many" -r --max-hamt-fanout=8 "${v0[@]}"
  add wrapped "$single/tiny.txt" -w
  add mode-mtime "$content/dated" -r --raw-leaves=false --preserve-mode --preserve-mtime
  add inline "$single/tiny.txt" --inline
  add inline-dir "$content/few/docs" -r --inline --inline-limit=100

  # Layouts and chunkers. Those with raw leaves of the default chunk share their leaves with big.bin.
  add big-narrow "$single/big.bin" --max-file-links=3
  add big-trickle "$single/big.bin" --trickle --max-file-links=3
  add trickle-v0 "$single/middle.bin" --trickle --chunker=size-8192 --max-file-links=4 "${v0[@]}"
  add trickle-narrow "$single/small.bin" --trickle --chunker=size-64 --max-file-links=2
  add deep-64 "$single/small.bin" --chunker=size-64 --max-file-links=2
  add deep-64-v0 "$single/small.bin" --chunker=size-64 --max-file-links=3 "${v0[@]}"
  add v1-dag-pb "$single/small.bin" --raw-leaves=false --chunker=size-1000
  add rabin "$single/grain.bin" --chunker=rabin-16384-32768-65536
  add buzhash "$single/grain.bin" --chunker=buzhash
  add buzhash-v0 "$single/grain.bin" --chunker=buzhash "${v0[@]}"
  add 240p-8k "$content/v1/video/240p" -r --chunker=size-8192 "${v0[@]}"
  add one-dag-pb "$single/tiny.txt" "${v0[@]}"
  add one-raw "$single/tiny.txt"
  add empty-v0 "$content/v0/empty.bin" "${v0[@]}"

  # Every hash function that Kubo can add with; of the many lengths of BLAKE2b a few.
  local hash
  for hash in sha1 sha2-256 sha2-512 sha3-224 sha3-256 sha3-384 sha3-512 shake-256 keccak-256 keccak-512 \
    blake3 dbl-sha2-256 blake2b-160 blake2b-256 blake2b-384 blake2b-512 blake2s-256; do
    add "hash-$hash" "$single/small.bin" --hash="$hash" --chunker=size-2000
  done

  # Blocks that are not files of `add`: codecs, and dag-pb nodes that older or foreign writers left behind.
  note dag-cbor "$(printf '{"hello":"world","n":7,"list":[1,2.5,null,"x"]}' | ipfs dag put --store-codec dag-cbor --input-codec dag-json --pin)"
  note dag-json "$(printf '{"a":{"b":[1,2]}}' | ipfs dag put --store-codec dag-json --input-codec dag-json --pin)"
  note raw-block "$(printf 'a raw block\n' | ipfs block put --cid-codec raw --pin)"
  node "$here/nodes.mjs" "$IPFS_PATH/api" "$(awk '$1=="one-raw"{print $2}' "$roots")" >> "$roots"
  pack flatfs-tree
}

make_few() {
  new_repo "$1" "$2"
  add tree-v1 "$content/few" -r
  add tree-v0 "$content/few" -r --cid-version=0 --raw-leaves=false
  pack "$1"
}

mkdir -p "$content"
node "$here/content.mjs" "$content"
make_video "$content/v1/video"
mkdir -p "$content/v0/video" && cp -r "$content/v1/video/"{240p,movie.mp4} "$content/v0/video/"
say "content: $(du -sb "$content/v1/video" | cut -f1) bytes of video"
make_tree
make_few flatfs-prefix-2 prefix/2
make_few flatfs-suffix-3 suffix/3
say "roots of imports"
IPFS_PROGRAM=$ipfs_program node "$here/import.mjs"
IPFS_PROGRAM=$ipfs_program node "$here/import.mjs" long
say "exports"
IPFS_PROGRAM=$ipfs_program "$here/car.sh"
