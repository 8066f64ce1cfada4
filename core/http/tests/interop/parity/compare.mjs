// Asks two gateways the same and compares: status, the body's SHA-256, and the headers that clients and caches live by.
//
//   node compare.mjs KUBO_URL OUR_URL EXPECTED_JSON [--kubo-with-itself]
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import { differences } from './differences.mjs'

const [kuboUrl, ourUrl, expectedFile, mode] = process.argv.slice(2)
const expected = JSON.parse(fs.readFileSync(expectedFile))
const headers = ['content-length', 'content-range', 'content-type', 'etag', 'cache-control', 'accept-ranges', 'location', 'x-ipfs-path', 'x-ipfs-roots']
const LISTED_AT_MOST = 40 // sorts of unexpected differences printed, each with one example

const agents = new Map([kuboUrl, ourUrl].map((url) => [url, new http.Agent({ keepAlive: true, maxSockets: 8 })]))

/** One answer as { status, sha256 and text of the body, headers }; a broken transfer is an answer too. */
function ask(base, { method = 'GET', path, headers = {} }) {
  const { hostname, port } = new URL(base)
  return new Promise((resolve) => {
    const request = http.request({ hostname, port, method, path, headers, agent: agents.get(base) }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', (error) => resolve({ status: `broken off: ${error.message}`, headers: response.headers, body: '' }))
      response.on('end', () => {
        const body = Buffer.concat(parts)
        resolve({ status: String(response.statusCode), headers: response.headers, body: createHash('sha256').update(body).digest('hex'), text: body })
      })
    })
    request.on('error', (error) => resolve({ status: `no answer: ${error.message}`, headers: {}, body: '' }))
    request.setTimeout(30_000, () => request.destroy(new Error('30 s without a byte')))
    request.end()
  })
}

const encode = (text) => [...Buffer.from(text)].map((b) => (/[A-Za-z0-9._~\/-]/.test(String.fromCharCode(b)) && b < 128 ? String.fromCharCode(b) : `%${b.toString(16).toUpperCase().padStart(2, '0')}`)).join('')
// `label/path` -> the path of a request.
const address = (place) => place.replace(/^[^/]*/, (label) => `/ipfs/${expected.roots[label]}`)

/** The [first, last] that one range names of `size` bytes, by RFC 9110 §14.1.2; null when it cannot be satisfied. */
function partOf(range, size) {
  const [first, last] = range.split('-')
  if (first === '') return Number(last) === 0 || size === 0 ? null : [Math.max(size - Number(last), 0), size - 1]
  if (Number(first) >= size) return null
  return [Number(first), last === '' ? size - 1 : Math.min(Number(last), size - 1)]
}

function requestsForFile(path, place, known) {
  const { size } = known
  const get = (kind, range, extra) => ({ kind, path, headers: { ...(range ? { range: `bytes=${range}` } : {}), ...extra } })
  const list = [{ ...get('file'), known }, { kind: 'head', method: 'HEAD', path, headers: {} }]
  const middle = Math.floor(size / 2)
  const ranges = ['0-0', '0-99', `${middle}-${middle + 99}`, `${middle}-`, '-1', '-100', `${Math.max(size - 1, 0)}-`, `${size}-`, `0-${size + 10}`, `${Math.max(size - 50, 0)}-${size + 50}`, '-0', `-${size + 1}`]
  if (size > 262144) ranges.push('262143-262144', '262144-262144', `262100-${Math.min(size, 700000)}`)
  for (const range of new Set(ranges)) list.push({ ...get('range', range), place, size, part: partOf(range, size), expectError: partOf(range, size) === null })
  list.push({ ...get('several ranges', '0-1,4-5'), size })
  for (const bad of ['x', '5-2', '', '-']) list.push({ kind: 'malformed range', path, known, headers: { range: `bytes=${bad}` } })
  list.push({ kind: 'head with range', method: 'HEAD', path, headers: { range: 'bytes=0-1' } })
  return list
}

function allRequests() {
  const list = []
  const places = [
    ...Object.entries(expected.files).map(([place, known]) => [encode(place), known]),
    ...Object.entries(expected.files_percent),
  ]
  let wide = 0
  for (const [place, known] of places) {
    // The entries of the sharded folders are alike: each whole, a few in full.
    if (/\/entry-/.test(place) && (wide += 1) > 5) list.push({ kind: 'file', path: address(place), headers: {}, known })
    else list.push(...requestsForFile(address(place), place, known))
  }
  for (const place of Object.keys(expected.links)) list.push({ kind: 'symlink', path: address(place), headers: {} })
  for (const [place, entries] of Object.entries(expected.listings)) {
    const index = entries.find(({ name }) => name === 'index.html')
    if (index) list.push({ kind: 'index page', path: address(place) + '/', headers: {}, expectError: index.type !== 'file' })
    else list.push({ kind: 'listing', path: address(place) + '/', headers: {}, entries })
    list.push({ kind: 'slash', path: address(place), headers: {} })
    list.push({ kind: 'slash with query', path: address(place) + '?a=b%20c', headers: {} })
    list.push({ kind: 'missing name', path: address(place) + '/no-such-name', headers: {}, expectError: true })
  }
  for (const place of Object.keys(expected.disputed)) list.push({ kind: 'disputed', path: address(place), headers: {} })
  for (const [label, cid] of Object.entries(expected.roots)) {
    if (expected.errors[label]) list.push({ kind: 'refused by kubo', path: `/ipfs/${cid}/`, headers: {}, expectError: true })
  }
  for (const path of ['/ipfs/not-a-cid', '/ipfs/bafkreieeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee']) list.push({ kind: 'missing root', path, headers: {}, expectError: true })
  return list
}

const used = new Map(differences.map((difference) => [difference, 0]))
const surprises = []
let compared = 0

function compare(request, kubo, ours) {
  const fields = [['status', kubo.status, ours.status], ...headers.map((name) => [name, kubo.headers[name], ours.headers[name]])]
  if ((request.method ?? 'GET') === 'GET') fields.push(['body', kubo.body, ours.body])
  for (const [field, theirs, mine] of fields) {
    compared += 1
    if (theirs === mine) continue
    const reason = differences.find((d) => d.applies({ request, field, kubo: theirs, ours: mine, kuboStatus: kubo.status, ourStatus: ours.status }))
    if (reason) used.set(reason, used.get(reason) + 1)
    else surprises.push({ request, field, kubo: theirs, ours: mine })
  }
}

// Whole files as Kubo's `cat` gave them, for the parts that are cut from them; checked against the golden sum when fetched.
const wholes = new Map()
async function whole(request) {
  if (!wholes.has(request.place)) {
    wholes.set(request.place, ask(kuboUrl, { path: request.path }).then(({ text, body }) => {
      const wanted = (expected.files[decodeText(request.place)] ?? expected.files_percent[request.place]).sha256
      if (body !== wanted) throw new Error(`Kubo's own answer for ${request.path} is not what it was: ${body}, expected ${wanted}`)
      return text
    }))
  }
  return wholes.get(request.place)
}

// What must hold of our answer alone, whatever Kubo says.
async function checkOurs(request, ours) {
  const complain = (field, wanted, got) => { if (wanted !== got) surprises.push({ request, field: `our ${field}`, kubo: wanted, ours: got }) }
  if (request.known) {
    complain('status', '200', ours.status)
    complain('body', request.known.sha256, ours.body)
  }
  if (request.part === null) {
    complain('status', '416', ours.status)
    complain('content-range', `bytes */${request.size}`, ours.headers['content-range'])
  } else if (request.part) {
    const [first, last] = request.part
    complain('status', '206', ours.status)
    complain('content-range', `bytes ${first}-${last}/${request.size}`, ours.headers['content-range'])
    complain('content-length', String(last - first + 1), ours.headers['content-length'])
    complain('body', createHash('sha256').update((await whole(request)).subarray(first, last + 1)).digest('hex'), ours.body)
  }
  if (request.entries) {
    if (ours.status !== '200') return complain('status', '200', ours.status)
    const hrefs = new Set([...ours.text.toString().matchAll(/href="([^"]*)"/g)].map(([, href]) => decodedBytes(href.replace(/&amp;/g, '&').replace(/\?.*$/, '').replace(/\/$/, '').replace(/^.*\//, ''))))
    for (const { name } of request.entries) if (!hrefs.has(decodedBytes(name))) complain('listing', `a link to ${name}`, undefined)
  }
  if (/^5/.test(ours.status) && request.kind !== 'refused by kubo') complain('status', 'no 5xx', ours.status)
}

const decodeText = (text) => Buffer.from(decodedBytes(text), 'latin1').toString()
const decodedBytes = (text) => text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)))

async function settle(request) {
  const [kubo, ours] = await Promise.all([ask(kuboUrl, request), ask(ourUrl, request)])
  compare(request, kubo, ours)
  if (mode !== '--kubo-with-itself') await checkOurs(request, ours)
  // The tag that each gave must bring its own 304.
  if (request.kind === 'file' && ours.headers.etag && kubo.headers.etag) {
    const again = (etag) => ({ ...request, kind: 'not modified', known: undefined, headers: { 'if-none-match': etag } })
    const [theirs, mine] = await Promise.all([ask(kuboUrl, again(kubo.headers.etag)), ask(ourUrl, again(ours.headers.etag))])
    compare(again(''), theirs, mine)
  }
}

const requests = allRequests()
const queue = [...requests]
await Promise.all(Array.from({ length: 4 }, async () => { while (queue.length > 0) await settle(queue.shift()) }))

const sorts = new Map()
for (const surprise of surprises) {
  const { request, field, kubo, ours } = surprise
  const short = (value) => (value !== undefined && field.endsWith('status') ? value : value === undefined ? 'none' : 'some')
  const sort = `${request.kind} ${field} ${short(kubo)} ${short(ours)}`
  sorts.set(sort, [...(sorts.get(sort) ?? []), surprise])
}
for (const alike of [...sorts.values()].slice(0, LISTED_AT_MOST)) {
  const { request, field, kubo, ours } = alike[0]
  console.log(`differs, ${alike.length} times like this: ${request.kind}: ${request.method ?? 'GET'} ${request.path.slice(0, 160)} ${JSON.stringify(request.headers)}: ${field}: kubo ${JSON.stringify(kubo)}, ours ${JSON.stringify(ours)}`)
}
if (sorts.size > LISTED_AT_MOST) console.log(`… and ${sorts.size - LISTED_AT_MOST} more sorts`)
for (const [{ why }, times] of used) if (times > 0) console.log(`on purpose, ${times} times: ${why}`)
const idle = mode === '--kubo-with-itself' ? [] : [...used].filter(([, times]) => times === 0).map(([{ why }]) => why)
for (const why of idle) console.log(`never seen, so take it off differences.mjs: ${why}`)
console.log(`parity: ${requests.length} requests, ${compared} values compared, ${surprises.length} unexpected differences`)
for (const agent of agents.values()) agent.destroy()
process.exitCode = surprises.length > 0 || idle.length > 0 ? 1 : 0
