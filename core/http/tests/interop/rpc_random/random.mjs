// Gives the same random calls to two servers and compares status and answer of each, then what they hold in the end.
//   node random.mjs OURS KUBO SEED CALLS
const [ours, kubo, seed, calls] = process.argv.slice(2)

// A generator of its own, so that a seed is the same run everywhere (mulberry32).
let state = Number(seed) >>> 0
const random = () => {
  state = (state + 0x6d2b79f5) >>> 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
}
const below = (n) => Math.floor(random() * n)
const one = (list) => list[below(list.length)]

const EMPTY_ROOT = 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn'

async function call(url, { path, files }) {
  const body = files && new FormData()
  for (const [name, content] of files ?? []) body.append('file', new Blob([content]), encodeURIComponent(name))
  let text, status
  try {
    const answer = await fetch(`${url}/api/v0/${path}`, { method: 'POST', body, signal: AbortSignal.timeout(60_000) })
    status = answer.status
    text = await answer.text()
  } catch (error) { text = `${text ?? ''} broken off: ${error}` }
  return { status, text }
}

// CIDs and MFS paths that came up so far: those that are there, and those that were.
const cids = ['QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN', 'QmcKQJXFzZbbBTvmDCi5Cpek1Nbr8BQxckz1AKsDsU8eCP']
const names = ['a', 'b', 'c', 'ä ö']
const mfsPath = () => '/' + Array.from({ length: 1 + below(3) }, () => one(names)).join('/')
const content = () => {
  const size = one([0, 1, 5, 100, 262144, 262145, 600000])
  return Buffer.alloc(size, one(['x', 'y', 'zz', '\0']))
}
const e = encodeURIComponent
const kinds = [
  [6, () => ({ path: `add?pin=${one(['true', 'true', 'false'])}&cid-version=${below(2)}`, files: [[one(names), content()]] })],
  [3, () => ({ path: `add?wrap-with-directory=${one(['true', 'false'])}`, files: [['d/x', content()], ['d/y/z', content()], ['d/y/w', content()]] })],
  [2, () => ({ path: `dag/put?pin=${one(['true', 'false'])}`, files: [['x', JSON.stringify({ n: below(50), to: one(cids.slice(2).map((cid) => ({ '/': cid })).concat([null])) })]], risky: true })],
  [2, () => ({ path: `block/put?pin=${one(['true', 'false'])}`, files: [['x', `block ${below(30)}`]] })],
  [4, () => ({ path: `pin/add?arg=${one(cids)}&recursive=${one(['true', 'true', 'false'])}${one(['', '', `&name=n${below(4)}`])}`, anyReason: true })],
  [4, () => ({ path: `pin/rm?arg=${one(cids)}&recursive=${one(['true', 'true', 'false'])}` })],
  [2, () => ({ path: `pin/update?arg=${one(cids)}&arg=${one(cids)}&unpin=${one(['true', 'false'])}` })],
  [3, () => ({ path: `pin/ls?arg=${one(cids)}&type=${one(['all', 'direct', 'recursive', 'indirect'])}`, loose: true })],
  [2, () => ({ path: `block/rm?arg=${one(cids)}`, loose: true })],
  [1, () => ({ path: 'repo/gc', mute: true })],
  [2, () => ({ path: `block/stat?arg=${one(cids)}` })],
  [2, () => ({ path: `cat?arg=${one(cids)}` })],
  [2, () => ({ path: `ls?arg=${one(cids)}` })],
  [2, () => ({ path: `refs?arg=${one(cids)}&recursive=true&unique=true` })],
  [2, () => ({ path: `dag/stat?arg=${one(cids)}&progress=false` })],
  [3, () => ({ path: `files/mkdir?arg=${e(mfsPath())}&parents=${one(['true', 'false'])}` })],
  [3, () => ({ path: `files/write?arg=${e(mfsPath())}&create=true&parents=${one(['true', 'false'])}&truncate=${one(['true', 'false'])}`, files: [['x', `text ${below(9)}`]] })],
  // With two reasons to refuse, which one is told first differs.
  [3, () => ({ path: `files/cp?arg=/ipfs/${one(cids)}&arg=${e(mfsPath())}`, anyReason: true })],
  [2, () => ({ path: `files/cp?arg=${e(mfsPath())}&arg=${e(mfsPath())}` })],
  [2, () => {
    const [from, to] = [mfsPath(), mfsPath()]
    // A directory that is moved into itself is gone in Kubo; here it is refused. And what is moved, under its own name, from one
    // directory into another one of the same name stays in the first as well in Kubo, which compares names alone.
    const [name, above] = from.split('/').reverse()
    const [last, before] = to.split('/').reverse()
    const inItself = `${from}/`.startsWith(`${to}/`) || `${to}/`.startsWith(`${from}/`)
    const sameName = above === last || (above === before && name === last)
    return { path: inItself || sameName ? `files/stat?arg=${e(from)}` : `files/mv?arg=${e(from)}&arg=${e(to)}` }
  }],
  [2, () => ({ path: `files/rm?arg=${e(mfsPath())}&recursive=${one(['true', 'false'])}`, loose: true })],
  [3, () => ({ path: `files/stat?arg=${e(mfsPath())}` })],
  [2, () => ({ path: `files/ls?arg=${e(mfsPath())}&long=true` })],
  [2, () => ({ path: `files/read?arg=${e(mfsPath())}` })],
]
const weighted = kinds.flatMap(([weight, make]) => Array(weight).fill(make))

// What is compared: lines in any order, and for texts that name one of several reasons, that there is one.
const normal = ({ status, text }, loose) => {
  // What Kubo takes for a race is a file on the way.
  if (loose) text = text.replace(/cannot access [^"]+: Not a directory|expected \*mfs.Directory, didn't get it. This is likely a race condition/g, 'NOT A DIRECTORY')
  if (loose) text = text.replace(/indirect through \w+|pinned via \w+/g, 'INDIRECT').replace(/pinned: indirect/g, 'INDIRECT')
  // Where several blocks are missing, Kubo names none.
  text = text.replace(/block was not found locally \(offline\): ipld: could not find \w+"}$|failed to fetch all nodes"}$/gm, 'MISSING"}')
  // Ours names the block and its codec.
  text = text.replace(/block \w+ has codec \w+, which is not read as files and directories/, 'unknown node type')
  return JSON.stringify([status, text.split('\n').sort()])
}
const note = (text) => {
  for (const [, cid] of text.matchAll(/"(Qm\w{44}|baf\w{50,})"/g)) if (cid !== EMPTY_ROOT && !cids.includes(cid) && cids.length < 400) cids.push(cid)
}

let wrong = 0
const log = []
for (let at = 0; at < Number(calls) && wrong < 5; at++) {
  const made = one(weighted)()
  if (made.risky) {
    // A link to what is not there would leave Kubo with a pin that fails its collections.
    const target = /"\/":"(\w+)"/.exec(made.files[0][1])?.[1]
    if (target && (await call(kubo, { path: `dag/stat?arg=${target}&progress=false` })).status !== 200) continue
  }
  // An update to what is pinned directly leaves it pinned twice in Kubo, recursively and directly, and listed as both. Here, as after
  // Kubo's own pin/add, the recursive pin takes the place of the direct one.
  const updated = /^pin\/update\?arg=\w+&arg=(\w+)/.exec(made.path)?.[1]
  if (updated && (await call(kubo, { path: `pin/ls?arg=${updated}&type=direct` })).status === 200) continue
  const a = await call(ours, made)
  // Ours keeps what the files rest on from block/rm as it keeps what is pinned. Kubo removes it, and the files are broken.
  const guarded = made.path.startsWith('block/rm') && a.text.includes('pinned via')
  if (guarded && (await call(kubo, { path: `pin/ls?arg=${made.path.split('=')[1]}` })).status !== 200) continue
  const b = await call(kubo, made)
  log.push(made.path)
  // What a collection names may be states of the files that only Kubo stored.
  if (!made.mute) note(b.text)
  // Of a DAG without bytes Kubo divides by zero, and answers with nothing.
  if (made.path.startsWith('dag/stat') && b.text === '' && a.text.includes('"Ratio":0')) continue
  const byStatus = made.mute || (made.anyReason && b.status === 500)
  if (byStatus ? a.status !== b.status : normal(a, made.loose) !== normal(b, made.loose)) {
    wrong++
    console.log(`call ${at}: ${made.path}\n  ours: ${a.status} ${a.text.slice(0, 300)}\n  kubo: ${b.status} ${b.text.slice(0, 300)}`)
  }
}

// The end: what is pinned, what the files are, and what is there.
const both = async (path, change = (text) => text) => {
  const [a, b] = [await call(ours, { path }), await call(kubo, { path })]
  const [x, y] = [a, b].map(({ status, text }) => normal({ status, text: change(text) }))
  if (x !== y) { wrong++; console.log(`in the end, ${path}\n  ours: ${x.slice(0, 400)}\n  kubo: ${y.slice(0, 400)}`) }
}
const withoutRoot = (text) => text.split('\n').filter((line) => !line.includes(EMPTY_ROOT)).join('\n')
for (const type of ['recursive', 'direct', 'indirect']) await both(`pin/ls?type=${type}&stream=true&names=true`, withoutRoot)
await both('files/stat?arg=/')
await call(ours, { path: 'repo/gc' })
await call(kubo, { path: 'repo/gc' })
for (const cid of cids) if (cid !== EMPTY_ROOT) await both(`block/stat?arg=${cid}`)
for (const cid of cids) if (cid !== EMPTY_ROOT) await both(`refs?arg=${cid}&recursive=true&unique=true`)
console.log(`${wrong ? 'FAIL' : 'ok  '}  seed ${seed}: ${log.length} calls, ${cids.length} CIDs, ${wrong} differences`)
process.exit(wrong ? 1 : 0)
