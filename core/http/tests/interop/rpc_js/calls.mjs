// Calls every method that is served through kubo-rpc-client, over one keep-alive agent, and prints one JSON line a call:
// what it returned, or the error that it threw. The same calls go to Kubo, so what is expected is what Kubo answers.
//
//   node calls.mjs MODULES http://HOST:PORT
import { createHash, randomBytes } from 'node:crypto'
import http from 'node:http'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [modules, url] = process.argv.slice(2)
const require = createRequire(`${modules}/package.json`)
const load = (name) => import(pathToFileURL(require.resolve(name)))
const { create } = await load('kubo-rpc-client')
const { CID } = await load('multiformats/cid')

const agent = new http.Agent({ keepAlive: true, maxSockets: 20 })
const ipfs = create({ url: `${url}/api/v0`, agent })

const all = async (source) => { const items = []; for await (const item of source) items.push(item); return items }
const bytes = async (source) => Buffer.concat(await all(source))
const sha = (buffer) => `${buffer.length} bytes ${createHash('sha256').update(buffer).digest('hex').slice(0, 16)}`
const pattern = (length, seed = 7) => { const out = Buffer.alloc(length); let x = seed; for (let i = 0; i < length; i++) { x = (x * 1103515245 + 12345) & 0x7fffffff; out[i] = x >> 16 } return out }
const plain = (value) => {
  if (value === undefined || value === null) return value ?? null
  if (CID.asCID(value)) return CID.asCID(value).toString()
  if (value instanceof Uint8Array) return sha(Buffer.from(value))
  if (value instanceof Date) return 'a date'
  if (typeof value === 'bigint') return `${value}n`
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Map) return plain([...value.entries()])
  if (typeof value === 'object') {
    if (typeof value.toCID === 'function' || value.constructor?.name?.includes('PeerId')) return 'a peer id'
    return Object.fromEntries(Object.keys(value).sort().map((key) => [key, plain(value[key])]))
  }
  if (typeof value === 'function') return 'a function'
  return value
}
// What a tar holds. Kubo says when it was asked for as each entry's time, in extended headers if a client is not given the archive as it is.
const entries = (tar) => {
  const found = []
  let longName
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const field = (from, length) => tar.subarray(at + from, at + from + length).toString().replace(/\0.*$/s, '')
    const size = parseInt(field(124, 12), 8) || 0
    const type = field(156, 1)
    const name = longName ?? `${field(345, 155)}${field(0, 100)}`
    longName = type === 'x' ? tar.subarray(at + 512, at + 512 + size).toString().match(/\d+ path=(.*)\n/)?.[1] : undefined
    if (type !== 'x') found.push([name, type, field(100, 8), sha(tar.subarray(at + 512, at + 512 + size))])
    at += 512 + Math.ceil(size / 512) * 512
  }
  return found
}
const byCid = (items) => items.sort((a, b) => JSON.stringify(plain(a)) < JSON.stringify(plain(b)) ? -1 : 1)

let failures = 0
const call = async (name, work) => {
  let line
  try {
    line = { call: name, result: plain(await work()) }
  } catch (error) {
    line = { call: name, error: error.name === 'HTTPError' ? `${error.response?.status} ${error.message}` : `${error.name}: ${error.message}` }
    failures++
  }
  console.log(JSON.stringify(line))
  return line.result
}

const big = pattern(3_000_000)
const tree = [
  { path: 'folder/a.txt', content: Buffer.from('a\n') },
  { path: 'folder/deep/er/b.bin', content: pattern(300_000, 3) },
  { path: 'folder/empty', content: Buffer.alloc(0) },
  { path: 'folder/näme mit leer%20zeichen.txt', content: Buffer.from('odd\n') }
]

await call('version', async () => Object.keys(await ipfs.version()))
await call('id', async () => Object.keys(await ipfs.id()).sort())
await call('isOnline', () => ipfs.isOnline())

// add
for (const [name, options] of Object.entries({
  plain: {},
  'cid-version 1': { cidVersion: 1 },
  'raw leaves': { rawLeaves: true },
  'v1 without raw leaves': { cidVersion: 1, rawLeaves: false },
  'chunker size-1000': { chunker: 'size-1000' },
  'chunker rabin': { chunker: 'rabin-1000-2000-4000' },
  'chunker buzhash': { chunker: 'buzhash' },
  trickle: { trickle: true },
  'blake2b-256': { hashAlg: 'blake2b-256' },
  'sha2-512': { hashAlg: 'sha2-512' },
  'only hash': { onlyHash: true },
  'without pin': { pin: false },
  wrapped: { wrapWithDirectory: true },
  inline: { inline: true, inlineLimit: 64 }
})) await call(`add ${name}`, () => ipfs.add(name === 'inline' ? 'short' : big, options))
await call('add with a path, wrapped', () => all(ipfs.addAll([{ path: 'x/y.txt', content: 'hello' }], { wrapWithDirectory: true })))
await call('add mode and mtime', () => ipfs.add({ path: 'm.txt', content: 'm', mode: 0o600, mtime: { secs: 1_700_000_000, nsecs: 5 } }))
const folder = await call('addAll folder', () => all(ipfs.addAll(tree)))
await call('addAll folder v1', () => all(ipfs.addAll(tree, { cidVersion: 1 })))
await call('addAll sharded', async () => (await all(ipfs.addAll(Array.from({ length: 60 }, (_, i) => ({ path: `s/${'n'.repeat(60)}${i}`, content: `${i}` })), { shardSplitThreshold: 10 }))).at(-1))
await call('add progress', async () => { let last = 0; let grows = true; await ipfs.add(big, { progress: (n) => { grows &&= n >= last; last = n } }); return { last, grows } })
await call('add nothing', () => ipfs.add(Buffer.alloc(0)))
await call('add wrong chunker', () => ipfs.add('x', { chunker: 'nope-1' }))
await call('add wrong hash', () => ipfs.add('x', { hashAlg: 'nope' }))
const file = (await ipfs.add(big)).cid
const small = (await ipfs.add('small', { cidVersion: 1 })).cid
const root = folder?.at(-1)?.cid ?? 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n'

// cat, get, ls
await call('cat', async () => sha(await bytes(ipfs.cat(file))))
await call('cat range', async () => sha(await bytes(ipfs.cat(file, { offset: 262_140, length: 300_000 }))))
await call('cat beyond the end', async () => sha(await bytes(ipfs.cat(file, { offset: 4_000_000 }))))
await call('cat path', async () => sha(await bytes(ipfs.cat(`/ipfs/${root}/deep/er/b.bin`))))
await call('cat no such name', () => bytes(ipfs.cat(`/ipfs/${root}/nope`)))
await call('cat folder', () => bytes(ipfs.cat(root)))
await call('cat missing block', () => bytes(ipfs.cat('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy', { timeout: 5000 })))
await call('get file', async () => entries(await bytes(ipfs.get(file))))
await call('get folder', async () => entries(await bytes(ipfs.get(root))))
await call('get archive', async () => entries(await bytes(ipfs.get(root, { archive: true }))))
await call('ls', () => all(ipfs.ls(root)))
await call('ls deep', () => all(ipfs.ls(`${root}/deep`)))
await call('ls file', () => all(ipfs.ls(file)))

// block
await call('block.put raw', () => ipfs.block.put(Buffer.from('block'), { format: 'raw' }))
await call('block.put dag-pb', () => ipfs.block.put(Buffer.from('0a020801', 'hex'), { format: 'dag-pb', version: 0 }))
await call('block.put sha3', () => ipfs.block.put(Buffer.from('block'), { format: 'raw', mhtype: 'sha3-256' }))
await call('block.get', async () => sha(Buffer.from(await ipfs.block.get(small))))
await call('block.stat', () => ipfs.block.stat(small))
const loose = (await ipfs.block.put(Buffer.from('loose'), { format: 'raw' }))
await call('block.rm', () => all(ipfs.block.rm(loose)))
await call('block.rm again', () => all(ipfs.block.rm(loose)))
await call('block.rm force', () => all(ipfs.block.rm(loose, { force: true })))
await call('block.rm pinned', () => all(ipfs.block.rm(small)))
await call('block.get missing', async () => sha(Buffer.from(await ipfs.block.get(loose, { timeout: 5000 }))))

// dag
const node = await call('dag.put cbor', () => ipfs.dag.put({ a: 1, b: [true, null, 'x'], l: small })) ?? 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'
await call('dag.get', () => ipfs.dag.get(CID.parse(node)))
await call('dag.get path', () => ipfs.dag.get(CID.parse(node), { path: 'b/2' }))
await call('dag.resolve', () => ipfs.dag.resolve(CID.parse(node), { path: 'l' }))
await call('dag.put json', () => ipfs.dag.put({ a: 1 }, { storeCodec: 'dag-json' }))
await call('dag.get pb', () => ipfs.dag.get(CID.parse(root)))
let car = Buffer.alloc(100)
await call('dag.export', async () => { car = Buffer.from(await bytes(ipfs.dag.export(CID.parse(root)))); return sha(car) })
await call('dag.import', () => all(ipfs.dag.import([[car]])))
await call('dag.import without pins', () => all(ipfs.dag.import([[car]], { pinRoots: false })))
await call('dag.import broken', () => all(ipfs.dag.import([[car.subarray(0, car.length - 20)]])))
await call('dag.get missing', () => ipfs.dag.get(loose, { timeout: 5000 }))

// pin
await call('pin.add', () => ipfs.pin.add(root))
await call('pin.add named', () => ipfs.pin.add(file, { name: 'film' }))
await call('pin.add direct', () => ipfs.pin.add(CID.parse(node), { recursive: false }))
await call('pin.ls recursive', async () => byCid(await all(ipfs.pin.ls({ type: 'recursive' }))))
await call('pin.ls direct', async () => byCid(await all(ipfs.pin.ls({ type: 'direct' }))))
await call('pin.ls indirect', async () => byCid(await all(ipfs.pin.ls({ type: 'indirect' }))))
await call('pin.ls all', async () => byCid(await all(ipfs.pin.ls())))
await call('pin.ls one', () => all(ipfs.pin.ls({ paths: root })))
await call('pin.ls not pinned', () => all(ipfs.pin.ls({ paths: loose })))
await call('pin.ls wrong type', () => all(ipfs.pin.ls({ type: 'nope' })))
const other = (await all(ipfs.addAll([...tree, { path: 'folder/new', content: 'new' }], { pin: false }))).at(-1).cid
await call('pin.update', async () => (await ipfs.pin.update?.(CID.parse(root), other)) ?? 'no such method')
await call('pin.rm', () => ipfs.pin.rm(root))
await call('pin.rm again', () => ipfs.pin.rm(root))
await call('pin.addAll', () => all(ipfs.pin.addAll([root, other])))
await call('pin.rmAll', () => all(ipfs.pin.rmAll([root, other])))
await call('pin.add missing', () => ipfs.pin.add(loose, { timeout: 5000 }))

// refs
await call('refs', () => all(ipfs.refs(root)))
await call('refs recursive', async () => byCid(await all(ipfs.refs(root, { recursive: true }))))
await call('refs unique edges', async () => byCid(await all(ipfs.refs(root, { recursive: true, unique: true, edges: true }))))
await call('refs.local', async () => byCid(await all(ipfs.refs.local())).length > 50)

// files (MFS)
await call('files.mkdir', () => ipfs.files.mkdir('/one/two', { parents: true }))
await call('files.mkdir again', () => ipfs.files.mkdir('/one/two'))
await call('files.write', () => ipfs.files.write('/one/two/f', 'hello world', { create: true }))
await call('files.write offset', () => ipfs.files.write('/one/two/f', 'WORLD', { offset: 6 }))
// Below 2 MiB: beyond, where Kubo cuts its leaves depends on the pieces in which the network brings them.
await call('files.write big', () => ipfs.files.write('/big', big.subarray(0, 1_500_000), { create: true, cidVersion: 1, rawLeaves: true }))
await call('files.write middle', () => ipfs.files.write('/big', pattern(1000, 5), { offset: 1_000_000 }))
await call('files.read', async () => (await bytes(ipfs.files.read('/one/two/f'))).toString())
await call('files.read range', async () => sha(await bytes(ipfs.files.read('/big', { offset: 999_990, length: 1020 }))))
await call('files.stat', () => ipfs.files.stat('/one/two/f'))
await call('files.stat big', () => ipfs.files.stat('/big'))
await call('files.stat root', () => ipfs.files.stat('/'))
await call('files.stat missing', () => ipfs.files.stat('/nope'))
await call('files.cp', () => ipfs.files.cp(`/ipfs/${root}`, '/copy'))
await call('files.cp exists', () => ipfs.files.cp(`/ipfs/${root}`, '/copy'))
await call('files.mv', () => ipfs.files.mv('/one/two/f', '/one/g'))
await call('files.ls', () => all(ipfs.files.ls('/')))
await call('files.ls copy', () => all(ipfs.files.ls('/copy')))
await call('files.chmod', () => ipfs.files.chmod('/one/g', 0o640))
await call('files.touch', () => ipfs.files.touch('/one/g', { mtime: { secs: 1_700_000_000 } }))
await call('files.stat after', () => ipfs.files.stat('/one/g'))
await call('files.chcid', () => ipfs.files.chcid?.('/one', { cidVersion: 1 }) ?? 'no such method')
await call('files.flush', () => ipfs.files.flush('/'))
await call('files.rm', () => ipfs.files.rm('/one/g'))
await call('files.rm folder', () => ipfs.files.rm('/copy'))
await call('files.rm recursive', () => ipfs.files.rm('/copy', { recursive: true }))
await call('files.ls empty', () => all(ipfs.files.ls('/one/two')))

// keys and names
const keyNames = async () => (await ipfs.key.list()).map((key) => key.name).sort()
await call('key.list', keyNames)
await call('key.gen', async () => (await ipfs.key.gen('k', { type: 'ed25519' })).name)
await call('key.gen another', async () => (await ipfs.key.gen('r', { type: 'ed25519' })).name)
await call('key.gen again', async () => (await ipfs.key.gen('k', { type: 'ed25519' })).name)
await call('key.rename', async () => { const { was, now, overwrite } = await ipfs.key.rename('k', 'l'); return { was, now, overwrite } })
await call('key.rm', async () => (await ipfs.key.rm('r')).map((key) => key.name))
await call('key.list after', keyNames)
await call('name.publish', async () => (await ipfs.name.publish(`/ipfs/${root}`, { allowOffline: true, resolve: false, key: 'l' })).value)
await call('name.resolve', async () => { const id = (await ipfs.key.list()).find((key) => key.name === 'l').id; return all(ipfs.name.resolve(id, { nocache: false })) })
await call('resolve path', () => ipfs.resolve(`/ipfs/${root}/deep/er`))

// the rest
await call('repo.stat', async () => Object.keys(await ipfs.repo.stat()).sort())
await call('repo.version', () => ipfs.repo.version())
await call('repo.gc', async () => { const gone = await all(ipfs.repo.gc()); return { some: gone.length > 0, errors: gone.filter((item) => item.err).length } })
await call('block.get after gc', async () => sha(Buffer.from(await ipfs.block.get(small))))
await call('cat after gc', async () => sha(await bytes(ipfs.cat(file))))
await call('config.get', () => ipfs.config.get('Identity.PeerID').then((id) => typeof id))
await call('config.get missing', () => ipfs.config.get('Nope.Nope'))
await call('config.getAll', async () => 'PrivKey' in ((await ipfs.config.getAll()).Identity ?? {}))
await call('swarm.peers', () => ipfs.swarm.peers())
await call('swarm.localAddrs', async () => Array.isArray(await ipfs.swarm.localAddrs()))
await call('bitswap.stat', async () => Object.keys(await ipfs.bitswap.stat()).sort())
await call('bitswap.wantlist', () => ipfs.bitswap.wantlist())
await call('stats.repo', async () => Object.keys(await ipfs.stats.repo()).sort())
await call('stats.bw', async () => (await all(ipfs.stats.bw())).length)
await call('bootstrap.list', () => ipfs.bootstrap.list())
await call('commands', async () => (await ipfs.commands()).Name ?? (await ipfs.commands()).name)

// Many on one agent: the connection is kept and nothing is lost.
await call('1,000 one after another', async () => { for (let i = 0; i < 1000; i++) await ipfs.block.stat(small); return 'fine' })
await call('200 at once', async () => { const sizes = await Promise.all(Array.from({ length: 200 }, () => ipfs.block.stat(small))); return sizes.every(({ size }) => size === 5) })
await call('200 adds at once', async () => { const made = await Promise.all(Array.from({ length: 200 }, (_, i) => ipfs.add(`add ${i}`))); return made.length })
await call('an upload that is dropped', async () => {
  const abort = new AbortController()
  async function * endless () { for (let i = 0; i < 100; i++) { yield randomBytes(65536); if (i === 20) abort.abort() } }
  await ipfs.add(endless(), { signal: abort.signal }).then(() => { throw new Error('it went through') }, () => {})
  return ipfs.block.stat(small)
})

agent.destroy()
console.error(`${failures} calls threw`)
process.exit(0)
