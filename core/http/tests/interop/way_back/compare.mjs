// compare.mjs EXPECTED SAID: what Kubo said of the first repository (core/tests/golden/expected.mjs) and what it says of
// the one that came back (the function `said` of `run`). Ends with 1 and the differences.
import { readFileSync } from 'node:fs'

const [expectedFile, saidFile] = process.argv.slice(2)
const expected = JSON.parse(readFileSync(expectedFile, 'utf8'))
const said = {}
let part
for (const line of readFileSync(saidFile, 'utf8').split('\n')) {
  if (line.startsWith('--- ')) said[part = line.slice(4)] = []
  else if (line) said[part].push(line)
}

const differences = []
const same = (what, was, is) => {
  if (JSON.stringify(was) !== JSON.stringify(is)) differences.push(`${what}: was ${JSON.stringify(was).slice(0, 300)}, is ${JSON.stringify(is).slice(0, 300)}`)
}
const pins = (kind) => said.pins.filter((line) => line.split(' ')[1] === kind).map((line) => line.trim()).sort()
const pinsThen = (kind) => (expected.pin_ls?.[kind] ?? []).map(({ Cid, Name }) => `${Cid} ${kind} ${Name ?? ''}`.trim()).sort()

same('identity', [expected.peer_id], said.id)
same('recursive pins', pinsThen('recursive'), pins('recursive'))
same('direct pins', pinsThen('direct'), pins('direct'))
same('number of indirect pins', expected.pin_ls_indirect_count, pins('indirect').length)
same('blocks', [...expected.refs_local].sort(), [...said.blocks].sort())
same('MFS root', expected.mfs_root, said.files.at(-1))
const key = said.keys.find((line) => line.startsWith(expected.key_site))
same('the key', true, key !== undefined)
if (expected.ipns_record_published) {
  const name = said.names.find((line) => line.startsWith(expected.key_site))
  same('the published name', true, /^\S+ \/ipfs\/\S+$/.test(name ?? ''))
}

for (const difference of differences) console.error(difference)
process.exit(differences.length ? 1 : 0)
