// Asks a running Kubo what its repository holds and prints it as JSON. Nothing here is worked out by us but the SHA-256 of
// what Kubo streams. README.md says what each key means.
//
//   node expected.mjs REPO ROOTS_FILE        (ROOTS_FILE: a line `LABEL CID` a root)
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { apiOf, call, fields, lines, percent } from './kubo.mjs'

const [repo, rootsFile] = process.argv.slice(2)
const api = apiOf(repo)
const json = async (...args) => JSON.parse(await call(api, ...args))

const roots = Object.fromEntries(fs.readFileSync(rootsFile, 'utf8').trim().split('\n').map((line) => line.split(' ')))
const kinds = { 0: 'raw', 1: 'directory', 2: 'file', 4: 'symlink', 5: 'directory' }
const files = {}
const filesPercent = {}
const listings = {}
const links = {}
const filesStat = {}
const dagStat = {}
const errors = {}
const disputed = {}
const dagGet = {}

const isText = (name) => Buffer.from(name.toString()).equals(name)

async function noteFile(cid, at, saidSize) {
  const body = await call(api, 'cat', [`/ipfs/${cid}`])
  const known = { size: body.length, sha256: createHash('sha256').update(body).digest('hex') }
  // A listing says the size of a raw leaf as its link says it; the last word is the node's own.
  if (body.length !== saidSize) saidSize = (await json('files/stat', [`/ipfs/${cid}`])).Size
  if (body.length !== saidSize) disputed[percent(at)] = { ...known, said_size: saidSize }
  else if (isText(at)) files[at.toString()] = known
  else filesPercent[percent(at)] = known
}

// Kubo's JSON bends names that are not UTF-8; the directory's block has them as they are, in the same order.
async function trueNames(cid, entries) {
  if (!entries.some((entry) => entry.Name.includes('\ufffd'))) return entries.map((entry) => Buffer.from(entry.Name))
  const block = await call(api, 'block/get', [cid])
  return fields(block).filter(([n]) => n === 2).map(([, link]) => fields(link).find(([n]) => n === 2)?.[1] ?? Buffer.alloc(0))
}

async function walk(cid, at) {
  const entries = (await json('ls', [`/ipfs/${cid}`], { 'resolve-type': true, size: true })).Objects[0].Links
  const names = await trueNames(cid, entries)
  listings[percent(at)] = entries.map((entry, i) => ({
    name: percent(names[i]), cid: entry.Hash, size: entry.Size, type: kinds[entry.Type] ?? String(entry.Type),
    ...(entry.Mode ? { mode: entry.Mode } : {}), ...(entry.ModTime && !entry.ModTime.startsWith('0001-01-01') ? { mtime: entry.ModTime } : {}),
  }))
  const done = new Set()
  for (const [i, entry] of entries.entries()) {
    const below = Buffer.concat([at, Buffer.from('/'), names[i]])
    if (done.has(percent(below))) continue
    done.add(percent(below))
    if (entry.Type === 1 || entry.Type === 5) await walk(entry.Hash, below)
    else if (entry.Type === 4) links[percent(below)] = entry.Target
    else await noteFile(entry.Hash, below, entry.Size)
  }
}

async function noteRoot(label, cid) {
  const stat = await json('files/stat', [`/ipfs/${cid}`])
  filesStat[label] = stat
  if (stat.Type === 'directory') await walk(cid, Buffer.from(label))
  else await noteFile(cid, Buffer.from(label), stat.Size)
}

for (const [label, cid] of Object.entries(roots)) {
  try {
    if (/^(bafyrei|baguqe)/.test(cid)) dagGet[label] = await json('dag/get', [cid])
    else await noteRoot(label, cid)
    const counted = await json('dag/stat', [cid], { progress: false })
    dagStat[label] = { blocks: counted.DagStats[0].NumBlocks, size: counted.DagStats[0].Size }
  } catch (error) {
    errors[label] = error.message
  }
}

const lsLines = async (target) => (await json('ls', [target], { 'resolve-type': true, size: true })).Objects[0].Links.map(
  (entry) => `${entry.Hash} ${entry.Type === 1 || entry.Type === 5 ? '-' : entry.Size} ${entry.Name}${entry.Type === 1 || entry.Type === 5 ? '/' : ''}`)
const pins = Object.entries((await json('pin/ls', [], { type: 'recursive' })).Keys).map(([Cid, { Type }]) => ({ Cid, Type }))
const stored = lines(await call(api, 'refs/local')).map(({ Ref }) => Ref)
const expected = {
  ipfs_version: (await json('version')).Version,
  repo_version: (await json('version')).Repo,
  spec: JSON.parse(fs.readFileSync(`${repo}/datastore_spec`)),
  roots,
  files,
  files_percent: filesPercent,
  links,
  listings,
  files_stat: filesStat,
  dag_stat: dagStat,
  dag_get: dagGet,
  errors,
  disputed,
  'ls_tree-v1': await lsLines(`/ipfs/${roots['tree-v1']}`),
  ls_many: await lsLines(`/ipfs/${roots['tree-v1']}/many`),
  pin_ls: { recursive: pins.sort((a, b) => (a.Cid < b.Cid ? -1 : 1)) },
  refs_local: stored.sort(),
}
console.log(JSON.stringify(expected, null, 1))
