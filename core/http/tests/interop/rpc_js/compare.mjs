// Compares two transcripts of calls.mjs, line by line. Exit code 1 when they differ in what differences.mjs does not name.
import { readFileSync } from 'node:fs'
import differences from './differences.mjs'

const [ours, theirs] = process.argv.slice(2).map((file) => readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line)))
const theirOf = new Map(theirs.map((line) => [line.call, line]))
let equal = 0, meant = 0, wrong = 0
for (const our of ours) {
  const their = theirOf.get(our.call)
  theirOf.delete(our.call)
  const [a, b] = [our, their].map((line) => JSON.stringify({ ...line, call: undefined }))
  if (a === b) { equal++; if (differences[our.call]) { wrong++; console.log(`FAIL  ${our.call}: listed as a difference, but equal`) } }
  else if (differences[our.call] && a === JSON.stringify(differences[our.call].ours)) meant++
  else { wrong++; console.log(`FAIL  ${our.call}\n      ours:   ${a.slice(0, 600)}\n      Kubo's: ${b?.slice(0, 600)}`) }
}
for (const name of theirOf.keys()) { wrong++; console.log(`FAIL  ${name}: we gave no answer`) }
console.log(`${wrong ? 'FAIL' : 'ok  '}  kubo-rpc-client: ${equal} calls answered as Kubo answers them, ${meant} different on purpose, ${wrong} wrong`)
process.exit(wrong ? 1 : 0)
