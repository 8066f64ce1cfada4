// Asks the pinned Kubo for the roots of many contents under many options, and writes them as a table:
//
//   node core/tests/golden/import.mjs                    to import.tsv beside it (a minute)
//   node core/tests/golden/import.mjs long               to import-long.tsv, files of 300 MB
//   node core/tests/golden/import.mjs random N FILE      N cells drawn at random, to a file of their own; then
//       COLDFRONT_IMPORT_TABLE=FILE cargo test -p coldfront --test import -- --ignored table
//
// A line is OPTIONS, CONTENT, CID. Options are those of `ipfs add`; `@threshold=` and `@estimate=` are config of Import.
// Contents are the specifications below, which core/tests/import/content.rs follows word for word.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const here = path.dirname(new URL(import.meta.url).pathname)
const ipfs = process.env.IPFS_PROGRAM ?? execFileSync(`${here}/../../http/tests/interop/kubo/build`, { encoding: 'utf8' }).trim()
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'import-'))

// --- content -----------------------------------------------------------------------------------------------------------

/** noise:SEED:LEN, zeros:LEN, cycle:LEN (bytes counting to 250 and again). */
function bytes(spec) {
  const [kind, ...numbers] = spec.split(':')
  const len = Number(numbers.at(-1))
  const out = Buffer.alloc(len)
  if (kind === 'cycle') for (let at = 0; at < len; at++) out[at] = at % 251
  if (kind === 'noise') {
    let state = ((Number(numbers[0]) + 1) * 0x9e3779b1) | 1
    for (let at = 0; at < len; at += 4) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      for (let byte = 0; byte < 4 && at + byte < len; byte++) out[at + byte] = state >>> (8 * byte)
    }
  }
  return out
}

const trees = {
  // N files of LEN bytes whose names are W characters long.
  flat(top, n, len, w) {
    for (let i = 0; i < n; i++) fs.writeFileSync(`${top}/${String(i).padStart(w, 'f')}`, bytes(`noise:${i}:${len}`))
  },
  // N directories with one file each.
  dirs(top, n, len) {
    for (let i = 0; i < n; i++) {
      fs.mkdirSync(`${top}/d${i}`)
      fs.writeFileSync(`${top}/d${i}/file`, bytes(`noise:${i}:${len}`))
    }
  },
  // N directories in one another, a file in each.
  deep(top, n) {
    for (let i = 0; i < n; i++) {
      fs.writeFileSync(`${top}/file`, bytes(`noise:${i}:10`))
      top += `/d${i % 10}`
      fs.mkdirSync(top)
    }
  },
  // Names that are no words, links, directories without entries.
  odd(top) {
    const names = ['a b', 'ünï ☂', '日本語', '%2e', 'quote"<&>', 'tab\there', 'line\nbreak', '...', '~', '-dash', 'x'.repeat(255), 'B', 'a', 'A']
    names.forEach((name, i) => fs.writeFileSync(`${top}/${name}`, bytes(`noise:${i}:${i * 7}`)))
    fs.symlinkSync('B', `${top}/link`)
    fs.symlinkSync('../nowhere/☂', `${top}/zlink`)
    fs.mkdirSync(`${top}/empty`)
    fs.mkdirSync(`${top}/one`)
    fs.mkdirSync(`${top}/one/empty`)
    fs.mkdirSync(`${top}/two`)
    fs.writeFileSync(`${top}/two/big`, bytes('noise:7:600000'))
  },
  // Modes and times of their own, for --preserve-mode and --preserve-mtime.
  stat(top) {
    fs.mkdirSync(`${top}/dir`)
    for (let i = 0; i < 8; i++) {
      const file = `${top}/dir/f${i}`
      fs.writeFileSync(file, bytes(`noise:${i}:${i * 1000}`))
      fs.chmodSync(file, [0o644, 0o600, 0o755, 0o444, 0o664, 0o777, 0o400, 0o640][i])
      fs.utimesSync(file, 0, 1_600_000_000 + i * 1000 + (i % 2) * 0.5)
    }
    fs.symlinkSync('f0', `${top}/dir/link`)
    fs.lutimesSync(`${top}/dir/link`, 0, 1_500_000_000)
    fs.chmodSync(`${top}/dir`, 0o750)
    fs.utimesSync(`${top}/dir`, 0, 1_400_000_000)
    fs.chmodSync(top, 0o755)
    fs.utimesSync(top, 0, 1_300_000_000.25)
  },
}

let lastContent
/** The path of a content on disk; of the last one asked for only. */
function place(spec) {
  const target = `${work}/content/content`
  if (lastContent === spec) return target
  execFileSync('rm', ['-rf', `${work}/content`])
  fs.mkdirSync(`${work}/content`)
  lastContent = spec
  const [kind, ...numbers] = spec.split(':')
  if (trees[kind]) {
    fs.mkdirSync(target)
    trees[kind](target, ...numbers.map(Number))
  } else fs.writeFileSync(target, bytes(spec))
  return target
}

// --- cells -------------------------------------------------------------------------------------------------------------

const sizes = ['zeros:0', 'noise:1:1', 'noise:1:999', 'noise:1:1000', 'noise:1:1001', 'noise:2:5000', 'noise:2:5001', 'noise:3:25001',
  'noise:4:262143', 'noise:4:262144', 'noise:4:262145', 'noise:5:1000000', 'cycle:3000000', 'zeros:10000000', 'noise:6:10000000']
const small = sizes.slice(0, 12)
const files = [
  ['', sizes], ['--cid-version=1', sizes], ['--cid-version=1 --raw-leaves=false', sizes], ['--raw-leaves', sizes],
  ['--trickle', sizes], ['--trickle --cid-version=1', sizes],
  ['--chunker=size-1000 --max-file-links=5', sizes], ['--trickle --chunker=size-1000 --max-file-links=5 --cid-version=1', sizes],
  ['--chunker=size-1000 --max-file-links=2 --cid-version=1', small], ['--chunker=size-2096896 --cid-version=1', sizes.slice(9)],
  ['--chunker=size-1048576 --max-file-links=1024 --cid-version=1', sizes.slice(9)],
  ['--chunker=rabin', sizes.slice(4)], ['--chunker=rabin-4096 --cid-version=1', sizes.slice(4)], ['--chunker=rabin-16-64-256 --cid-version=1', small],
  ['--chunker=rabin-min:1000-avg:2000-max:9000 --trickle', sizes.slice(4)],
  ['--chunker=buzhash --cid-version=1', sizes.slice(8)], ['--chunker=buzhash --trickle', sizes.slice(8)],
  ['--inline --cid-version=1', small], ['--inline --inline-limit=128 --chunker=size-100', small], ['--inline --inline-limit=0 --cid-version=1', small.slice(0, 3)],
  ['--mode=420', small], ['--mode=420 --cid-version=1 --mtime=1700000000', small], ['--trickle --mtime=-5 --mtime-nsecs=123456789', small],
  ['-w --cid-version=1', small.slice(0, 4)], ['-w --mode=493 --mtime=1', small.slice(0, 4)],
]
for (const hash of ['sha1', 'sha2-512', 'sha3', 'sha3-224', 'sha3-256', 'sha3-384', 'sha3-512', 'shake-256', 'keccak-256', 'keccak-512', 'blake3',
  'dbl-sha2-256', 'blake2b-160', 'blake2b-256', 'BLAKE2B-512', 'blake2s-256']) files.push([`--hash=${hash} --chunker=size-2000`, ['zeros:0', 'noise:2:5001']])
files.push(['--hash=identity', ['noise:1:1', 'zeros:0']])

const many = ['flat:0:0:0', 'flat:1:5:3', 'flat:500:3:5', 'dirs:30:100', 'deep:40', 'odd']
const folders = [
  ['', many], ['--cid-version=1', many], ['--cid-version=1 @threshold=4KiB', [...many, 'flat:3000:3:5', 'dirs:300:9']],
  ['@threshold=4KiB', [...many, 'flat:3000:3:5']], ['--cid-version=1 @threshold=4KiB --max-hamt-fanout=8', [...many, 'flat:3000:3:5']],
  ['--cid-version=1 @threshold=1KiB --max-hamt-fanout=1024', ['flat:500:3:5', 'flat:3000:3:5']],
  ['--cid-version=1 --max-hamt-fanout=16 --max-directory-links=20', many], ['--cid-version=1 --max-directory-links=500', ['flat:500:3:5', 'flat:501:3:5']],
  // 36 bytes of CID and 5 of name: 41 an entry.
  ['--cid-version=1 @threshold=4100B', ['flat:99:3:5', 'flat:100:3:5', 'flat:101:3:5']],
  // 34 bytes of CID for directories, 36 for raw leaves.
  ['--raw-leaves @threshold=4100B', ['flat:99:3:5', 'flat:100:3:5', 'flat:101:3:5']],
  // 8 + 44 and a byte or two an entry.
  ['--cid-version=1 @threshold=4096B @estimate=block', ['flat:80:3:5', 'flat:81:3:5', 'flat:82:3:5', 'flat:83:3:5', 'flat:84:3:5', 'flat:85:3:5', 'flat:86:3:5', 'flat:87:3:5', 'dirs:70:300', 'dirs:75:300', 'dirs:80:300']],
  ['--cid-version=1 @threshold=4096B @estimate=block --mode=493 --mtime=-1 --mtime-nsecs=5', ['flat:70:3:5', 'flat:75:3:5', 'flat:80:3:5', 'flat:85:3:5']],
  ['--cid-version=1 @threshold=1KiB @estimate=disabled', ['flat:500:3:5']], ['--cid-version=1 @threshold=1KiB @estimate=disabled --max-directory-links=100', ['flat:100:3:5', 'flat:101:3:5']],
  ['--cid-version=1', ['flat:6393:0:5', 'flat:6394:0:5', 'flat:1000:1:200', 'flat:1111:1:200', 'flat:1110:1:200']],
  ['--inline --cid-version=1', many], ['--inline --inline-limit=128 @threshold=1KiB', many], ['--hash=blake2b-256 @threshold=4KiB', many],
  ['--mode=493 --mtime=1700000000 @threshold=4KiB', [...many, 'flat:1000:3:5']], ['--trickle --chunker=size-1000', ['odd']],
  ['-w --cid-version=1', many], ['--empty-dirs=false --cid-version=1', ['odd', 'flat:0:0:0']], ['-w --empty-dirs=false --cid-version=1', ['odd', 'flat:0:0:0']],
  ['--preserve-mode', ['stat']], ['--preserve-mtime --cid-version=1', ['stat']], ['--preserve-mode --preserve-mtime -w', ['stat']], ['--preserve-mode --preserve-mtime --mode=420 --mtime=7', ['stat']],
]

const mb300 = 'noise:9:300000000'
const long = [['', [mb300]], ['--cid-version=1', [mb300]], ['--trickle', [mb300]], ['--trickle --cid-version=1', [mb300]],
  ['--chunker=rabin --cid-version=1', [mb300]], ['--chunker=buzhash --cid-version=1', [mb300]], ['--chunker=size-1048576 --max-file-links=1024 --cid-version=1', [mb300]],
  ['--chunker=size-10000 --max-file-links=11 --cid-version=1', [mb300]], ['--hash=blake3', [mb300]], ['--cid-version=1 --raw-leaves=false', ['zeros:300000000']]]

/** N cells of options and contents drawn at random: other ones each time, but the same for the same seed. */
function random(n, seed) {
  let state = seed | 1
  const below = (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
  const pick = (list) => list[below(list.length)]
  const often = (share, text) => (below(100) < share ? [text()] : [])
  const cell = () => {
    const folder = below(3) === 0
    const v1 = below(2) === 0
    const min = 16 + below(500)
    const avg = min + 1 + below(3000)
    const chunker = () => `--chunker=${pick([`size-${1 + below(5000)}`, `size-${200 + below(300000)}`, `rabin-${min}-${avg}-${avg + 1 + below(9000)}`, 'rabin', `rabin-${48 + below(90000)}`, 'buzhash'])}`
    const stat = often(15, () => pick([`--mode=${1 + below(4095 & 0o777)}`, `--mtime=${1 + below(2 ** 31)}`, `--mtime=-${1 + below(10 ** 9)} --mtime-nsecs=${below(10 ** 9)}`]))
    const options = [
      ...(v1 ? ['--cid-version=1'] : []), ...often(25, () => (stat.length > 0 ? '--raw-leaves=false' : `--raw-leaves=${pick(['true', 'false'])}`)),
      ...often(40, () => '--trickle'), ...often(70, chunker), ...often(60, () => `--max-file-links=${2 + below(40)}`),
      ...(v1 ? often(15, () => `--hash=${pick(['sha1', 'blake3', 'sha2-512', 'blake2b-256', 'keccak-256', 'sha3-384'])}`) : []),
      ...often(20, () => `--inline --inline-limit=${below(129)}`), ...stat, ...often(15, () => '-w'),
      ...(folder ? [...often(50, () => `--max-hamt-fanout=${pick([8, 16, 32, 64, 128, 256, 512, 1024])}`), ...often(25, () => `--max-directory-links=${1 + below(60)}`),
        ...often(60, () => `@threshold=${pick(['1KiB', '3000B', '4KiB', '10KiB'])}`), ...often(40, () => `@estimate=${pick(['block', 'disabled'])}`),
        ...often(15, () => '--empty-dirs=false')] : []),
    ]
    const len = pick([below(300), below(5000), below(60000), below(900000)])
    const spec = folder
      ? pick([`flat:${below(400)}:${below(40)}:${3 + below(60)}`, `dirs:${below(90)}:${below(3000)}`, `deep:${below(30)}`, 'odd'])
      : `${pick(['noise:1', 'noise:2', 'zeros', 'cycle'])}:${len}`
    return [options.join(' '), [spec]]
  }
  return Array.from({ length: n }, cell)
}

// --- Kubo --------------------------------------------------------------------------------------------------------------

const repos = new Map()
/** A repository with the config of a cell; one for each that is needed. */
function repo(config) {
  const key = config.join(' ')
  if (repos.has(key)) return repos.get(key)
  const folder = `${work}/repo-${repos.size}`
  run(folder, ['init', '--profile=test', '--empty-repo'])
  const file = `${folder}/config`
  const json = JSON.parse(fs.readFileSync(file))
  for (const entry of config) {
    const [name, value] = entry.slice(1).split('=')
    json.Import[name === 'threshold' ? 'UnixFSHAMTDirectorySizeThreshold' : 'UnixFSHAMTDirectorySizeEstimation'] = value
  }
  fs.writeFileSync(file, JSON.stringify(json, null, 2))
  repos.set(key, folder)
  return folder
}

function run(folder, args) {
  return execFileSync(ipfs, args, { env: { ...process.env, IPFS_PATH: folder }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 })
}

function root(options, spec) {
  const args = options.split(' ').filter(Boolean)
  const config = args.filter((arg) => arg.startsWith('@'))
  const plain = args.filter((arg) => !arg.startsWith('@'))
  // With --only-hash Kubo forgets the shape of the topmost directory, so directories are added.
  const how = trees[spec.split(':')[0]] || plain.includes('-w') ? ['-r', '--pin=false', '--hidden'] : ['--only-hash']
  return run(repo(config), ['add', '-Q', ...how, ...plain, place(spec)]).trim()
}

const [mode, count, file] = process.argv.slice(2)
const table = mode === 'long' ? long : mode === 'random' ? random(Number(count), Number(process.env.SEED ?? Date.now())) : [...files, ...folders]
const cells = table.flatMap(([options, specs]) => specs.map((spec) => ({ options, spec })))
// By content, so that each is made once.
const made = new Map()
const failed = []
for (const { options, spec } of cells.toSorted((a, b) => (a.spec < b.spec ? -1 : Number(a.spec > b.spec)))) {
  try { made.set(`${options}\t${spec}`, root(options, spec)) } catch (error) { failed.push(`${options} ${spec}: ${error.stderr}`) }
}
const lines = [...made.keys()].filter((key, at, all) => all.indexOf(key) === at).sort().map((key) => `${key}\t${made.get(key)}\n`)
fs.writeFileSync(mode === 'random' ? file : `${here}/${mode === 'long' ? 'import-long.tsv' : 'import.tsv'}`, lines.join(''))
console.error(`import: ${lines.length} roots`)
execFileSync('rm', ['-rf', work])
if (failed.length > 0) throw new Error(`import: Kubo refused\n${failed.join('\n')}`)
