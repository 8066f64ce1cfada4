// Writes the files that the golden repositories hold, all but the video, into the folder given: the same bytes on every
// machine. Each name and size stands for a case that a reader of UnixFS has to get right.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

const top = process.argv[2]
if (!top) throw new Error('usage: node content.mjs FOLDER')

function write(name, bytes) {
  const file = Buffer.isBuffer(name) ? Buffer.concat([Buffer.from(top + '/'), name]) : path.join(top, name)
  if (!Buffer.isBuffer(name)) fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, bytes)
}

/** Bytes that say where they are: every 256 begin with their offset, so a slice cut at a wrong place shows. */
function counted(size) {
  const records = []
  const filler = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(7)
  for (let offset = 0; offset < size; offset += 256) {
    records.push(`${String(offset).padStart(11, '0')}:${filler.slice(0, 243)}\n`)
  }
  return Buffer.from(records.join('')).subarray(0, size)
}

/** Bytes without a period, so that content-defined chunkers cut at places of their own; a third of it compresses away. */
function grain(size, seed) {
  const out = Buffer.alloc(size, '.')
  let state = seed >>> 0
  for (let at = 0; at < size; at += 1) {
    if (at % 24 >= 3) continue
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    out[at] = 33 + (state % 94)
  }
  return out
}

const chunk = 262144

// Sizes around a chunk.
write('v1/big.bin', counted(5 * 1024 * 1024))
for (const tree of ['v1', 'v0']) {
  write(`${tree}/empty.bin`, '')
  write(`${tree}/one-byte.bin`, 'A')
  write(`${tree}/exact-256k.bin`, counted(chunk))
  write(`${tree}/over-256k.bin`, counted(chunk + 1))
  write(`${tree}/repeat.bin`, Buffer.concat([counted(chunk), counted(chunk), counted(chunk)]))
}
write('v0/big.bin', counted(1_590_000))

// Names.
const odd = [
  '#hash?.txt', 'a%20b+c.txt', 'a b+c.txt', '100%.txt', '%2e%2e', 'quote"s & <tags>.html', "it's.txt", 'semi;colon,comma.txt',
  'back\\slash.txt', ' leading and trailing ', 'tab\there.txt', 'line\nbreak.txt', '...', '.hidden', '~tilde', '-dash',
  'ünï cødé ☂.txt', '\u00e9-composed.txt', 'e\u0301-decomposed.txt', '日本語.txt', '😀.txt', 'שלום.txt', 'x'.repeat(250) + '.txt',
]
for (const name of odd) write(`v1/docs/${name}`, `the file named ${JSON.stringify(name)}\n`)
write(Buffer.from([...Buffer.from('v1/docs/latin-'), 0xe9, 0xff, ...Buffer.from('.txt')]), 'a name that is not UTF-8\n')
write('v1/deep/' + Array.from({ length: 24 }, (_, i) => `d${i}`).join('/') + '/leaf.txt', 'at the bottom of a deep path\n')
fs.mkdirSync(path.join(top, 'v1/empty-dir'))

// Links: to a file, to a folder, up and out, to nothing.
fs.symlinkSync('docs/a b+c.txt', path.join(top, 'v1/link-to-file'))
fs.symlinkSync('docs', path.join(top, 'v1/link-to-folder'))
fs.symlinkSync('../../outside', path.join(top, 'v1/link-out'))
fs.symlinkSync('nothing-here', path.join(top, 'v1/link-dangling'))

// A folder large enough for a HAMT at the threshold that make.sh sets.
for (let i = 0; i < 130; i += 1) {
  const name = `entry-${(Math.imul(i + 1, 2654435761) >>> 0).toString(16).padStart(8, '0')}.json`
  write(`v1/many/${name}`, JSON.stringify({ entry: i }) + '\n')
}

// A website; `odd` has a folder where a page is expected.
const page = (title, body) => `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>\n<body>\n${body}\n</body></html>\n`
write('v1/site/index.html', page('Home', '<h1>Home</h1>\n<p><a href="about/">About</a></p>\n<img src="dot.svg" alt="a dot">'))
write('v1/site/about/index.html', page('About', '<h1>About</h1>\n<p><a href="../">Home</a></p>'))
write('v1/site/404.html', page('Not here', '<h1>Not here</h1>'))
write('v1/site/_redirects', '/old /about/ 301\n/* /404.html 404\n')
write('v1/site/dot.svg', '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><circle cx="10" cy="10" r="9"/></svg>\n')
write('v1/site/odd/index.html/page.txt', 'index.html is a folder here\n')

// Content without a usable extension, for sniffing.
write('v1/kinds/plain', 'plain text without an extension\n')
write('v1/kinds/page', page('A page without an extension', ''))
write('v1/kinds/playlist', '#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-ENDLIST\n')
write('v1/kinds/png', Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==', 'base64'))
write('v1/kinds/zeros', Buffer.alloc(1000))
write('v1/kinds/data.json', '{"a":1}\n')

// The page that `make demo` opens.
write('v1/watch/index.html', page('coldfront', `<h1>Served from a Kubo archive</h1>
<video src="../video/movie.mp4" controls preload="metadata" width="640">
<track src="../video/subs.vtt" kind="subtitles" srclang="en" label="English" default>
</video>
<p>The film is one MP4 file, read by byte ranges. The same film as HLS, for players and browsers that know it:
<a href="../video/manifest.m3u8">manifest.m3u8</a>; as DASH: <a href="../video/dash/manifest.mpd">manifest.mpd</a>.</p>
<p><a href="../">The folder above</a> has no index page and is listed.</p>`))

// Roots that are added one by one, with options of their own.
write('single/big.bin', counted(5 * 1024 * 1024))
write('single/grain.bin', grain(600_000, 20_240_229))
write('single/middle.bin', counted(700_000))
write('single/small.bin', counted(5_000))
write('single/tiny.txt', 'tiny\n')
write('dated/report.txt', 'a file with a mode and a time\n')
write('dated/inner/tool.sh', '#!/bin/sh\necho ran\n')
fs.chmodSync(path.join(top, 'dated/report.txt'), 0o640)
fs.chmodSync(path.join(top, 'dated/inner/tool.sh'), 0o755)
fs.chmodSync(path.join(top, 'dated/inner'), 0o750)
fs.chmodSync(path.join(top, 'dated'), 0o755)
for (const name of ['dated/report.txt', 'dated/inner/tool.sh', 'dated/inner', 'dated']) {
  execFileSync('touch', ['-d', '2021-02-03T04:05:06.789012345Z', path.join(top, name)])
}

// For the repositories of the other two shard functions.
write('few/one-byte.bin', 'A')
write('few/empty.bin', '')
write('few/over-256k.bin', counted(chunk + 1))
write('few/docs/a b+c.txt', 'a few files are enough to prove a shard function\n')
for (let i = 0; i < 40; i += 1) write(`few/many/entry-${i}.txt`, `entry ${i}\n`)
