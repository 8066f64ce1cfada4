// The traffic of live_kubo/run: one side adds content to Kubo, takes it away and collects garbage; the other reads stable
// content through our gateway, whole and in ranges, and the short-lived content as well.
//
//   node churn.mjs KUBO_API_URL OUR_URL EXPECTED_JSON SECONDS
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'

const [kuboApi, ourUrl, expectedFile, seconds] = process.argv.slice(2)
const expected = JSON.parse(fs.readFileSync(expectedFile))
const READERS = 6 // stable content
const MORTAL_READERS = 2 // content that may vanish at any time
const END = Date.now() + Number(seconds) * 1000

const agent = new http.Agent({ keepAlive: true, maxSockets: READERS + MORTAL_READERS })
const counts = { stable: 0, ranges: 0, 'mortal read': 0, 'mortal gone': 0, 'mortal broken off': 0, 'collected unseen': 0, added: 0, collections: 0 }
const MAY_BE_NONE = ['mortal gone', 'mortal broken off'] // by luck; the rest must happen
const wrong = []

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex')

function fetchBytes(base, path, { method = 'GET', headers = {}, body, pool } = {}) {
  const { hostname, port } = new URL(base)
  return new Promise((resolve) => {
    const request = http.request({ hostname, port, path, method, headers, agent: pool }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', (error) => resolve({ status: response.statusCode, brokenOff: error.message, body: Buffer.alloc(0) }))
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts) }))
    })
    request.on('error', (error) => resolve({ status: 0, brokenOff: error.message, body: Buffer.alloc(0) }))
    request.setTimeout(30_000, () => request.destroy(new Error('30 s without a byte')))
    request.end(body)
  })
}

const encode = (text) => text.split('/').map(encodeURIComponent).join('/')
const stable = Object.entries(expected.files)
  .map(([place, known]) => ({ path: encode(place).replace(/^[^/]*/, (label) => `/ipfs/${expected.roots[decodeURIComponent(label)]}`), ...known }))
const pick = (list) => list[Math.floor(Math.random() * list.length)]

async function kubo(command, options = {}) {
  const answer = await fetchBytes(kuboApi, `/api/v0/${command}`, { method: 'POST', ...options })
  if (answer.status !== 200) throw new Error(`kubo ${command}: ${answer.status} ${answer.brokenOff ?? answer.body}`)
  return answer.body
}

/** Files that may vanish: CID, bytes. The oldest leave the list when the newest come. */
const mortal = []
const MORTAL_AT_MOST = 12

async function addOne() {
  const bytes = randomBytes(10_000 + Math.floor(Math.random() * 1_200_000))
  const boundary = 'churn-3b1f'
  const body = Buffer.concat([
    Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="f"\r\ncontent-type: application/octet-stream\r\n\r\n`),
    bytes, Buffer.from(`\r\n--${boundary}--\r\n`),
  ])
  const options = pick(['cid-version=1&raw-leaves=true', 'cid-version=0&raw-leaves=false', 'cid-version=1&trickle=true&chunker=size-65536'])
  const said = await kubo(`add?pin=false&progress=false&${options}`, { body, headers: { 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': body.length } })
  counts.added += 1
  return { cid: JSON.parse(said).Hash, bytes }
}

async function addMortal() {
  mortal.push(await addOne())
  if (mortal.length > MORTAL_AT_MOST) mortal.shift()
}

async function disturb() {
  while (Date.now() < END) {
    for (let i = 0; i < 6; i += 1) await addMortal()
    await kubo(`block/rm?arg=${pick(mortal).cid}&force=true&quiet=true`)
    const unseen = await addOne()
    await kubo('repo/gc?quiet=true')
    counts.collections += 1
    // We never read it while it was there, so nothing of it can be in memory or open: it is gone, and that is no failure.
    const answer = await fetchBytes(ourUrl, `/ipfs/${unseen.cid}`, { pool: agent })
    counts['collected unseen'] += 1
    if (answer.status !== 404) wrong.push(`GET /ipfs/${unseen.cid}, collected before it was ever read: status ${answer.status}, expected 404`)
  }
}

async function readStable() {
  while (Date.now() < END) {
    const { path, size, sha256: wanted } = pick(stable)
    const whole = await fetchBytes(ourUrl, path, { pool: agent })
    counts.stable += 1
    if (whole.status !== 200 || whole.brokenOff || sha256(whole.body) !== wanted) {
      wrong.push(`GET ${path}: status ${whole.status}, ${whole.brokenOff ?? `${whole.body.length} bytes`}, expected 200 and ${size} bytes of ${wanted}`)
      continue
    }
    if (size === 0) continue
    const from = Math.floor(Math.random() * size)
    const to = Math.min(size - 1, from + Math.floor(Math.random() * 300_000))
    const part = await fetchBytes(ourUrl, path, { pool: agent, headers: { range: `bytes=${from}-${to}` } })
    counts.ranges += 1
    if (part.status !== 206 || !part.body.equals(whole.body.subarray(from, to + 1))) wrong.push(`GET ${path} bytes=${from}-${to}: status ${part.status}, ${part.brokenOff ?? 'other bytes than the slice'}`)
  }
}

async function readMortal() {
  while (Date.now() < END) {
    const chosen = pick(mortal)
    if (!chosen) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      continue
    }
    const answer = await fetchBytes(ourUrl, `/ipfs/${chosen.cid}`, { pool: agent })
    if (answer.status === 404) counts['mortal gone'] += 1
    else if (answer.brokenOff && answer.status < 500) counts['mortal broken off'] += 1
    else if (answer.status === 200 && answer.body.equals(chosen.bytes)) counts['mortal read'] += 1
    else wrong.push(`GET /ipfs/${chosen.cid} (may vanish): status ${answer.status}, ${answer.body.length} of ${chosen.bytes.length} bytes; expected all of them, 404, or a transfer broken off`)
  }
}

await Promise.all([disturb(), ...Array.from({ length: READERS }, readStable), ...Array.from({ length: MORTAL_READERS }, readMortal)])
console.log(`live_kubo: ${Object.entries(counts).map(([what, times]) => `${what} ${times}`).join(', ')}`)
for (const line of wrong.slice(0, 20)) console.log(`wrong: ${line}`)
if (wrong.length > 0) console.log(`live_kubo: ${wrong.length} wrong answers`)
for (const [what, times] of Object.entries(counts)) {
  if (times > 0 || MAY_BE_NONE.includes(what)) continue
  console.log(`live_kubo: nothing of '${what}' happened; the run proves nothing`)
  wrong.push(what)
}
agent.destroy()
process.exitCode = wrong.length > 0 ? 1 : 0
