// Puts dag-pb nodes that `ipfs add` no longer writes, or never wrote, into a running Kubo and prints `LABEL CID` for each.
// Real archives hold all of them: other implementations and old versions wrote them.
//
//   node nodes.mjs API_FILE CID_OF_A_RAW_LEAF
import path from 'node:path'
import { apiOf, call } from './kubo.mjs'

const [apiFile, leaf] = process.argv.slice(2)
const api = apiOf(path.dirname(apiFile))

const varint = (value) => (value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))])
const bytes = (number, value) => Buffer.concat([Buffer.from([...varint((number << 3) | 2), ...varint(value.length)]), Buffer.from(value)])
const number = (field, value) => Buffer.from([...varint(field << 3), ...varint(value)])

// The binary form of a base32 CIDv1.
function binary(cid) {
  let bits = ''
  for (const letter of cid.slice(1)) bits += 'abcdefghijklmnopqrstuvwxyz234567'.indexOf(letter).toString(2).padStart(5, '0')
  return Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
}

const link = (name, size) => bytes(2, Buffer.concat([bytes(1, binary(leaf)), ...(name === null ? [] : [bytes(2, name)]), ...(size === null ? [] : [number(3, size)])]))
const data = (...parts) => bytes(1, Buffer.concat(parts))
const [rawType, directory, file] = [0, 1, 2].map((kind) => number(1, kind))
const tiny = 5 // length of the leaf

const nodes = {
  // Data before Links, as the oldest writers laid dag-pb.
  'node-data-first': [data(directory), link('tiny.txt', tiny)],
  'node-not-utf8': [link(Buffer.from([0x61, 0xff, 0xfe, 0x62]), tiny), data(directory)],
  'node-no-tsize': [link('tiny.txt', null), data(directory)],
  // Links in no order, and one name twice: the first is found.
  'node-unsorted': [link('z.txt', tiny), link('a.txt', tiny), link('z.txt', tiny), data(directory)],
  'node-type-raw': [data(rawType, bytes(2, 'old leaf\n'), number(3, 9))],
  'node-no-filesize': [data(file, bytes(2, 'size unsaid\n'))],
  // Bytes in a node that has children too: they come first.
  'node-inner-data': [link('', tiny), link('', tiny), data(file, bytes(2, 'head\n'), number(3, 5 + 2 * tiny), number(4, tiny), number(4, tiny))],
  // The sizes of the children packed in one field, as protobuf allows a reader to meet.
  'node-packed-sizes': [link('', tiny), link('', tiny), data(file, number(3, 2 * tiny), bytes(4, Buffer.from([tiny, tiny])))],
  'node-null-name': [link(null, tiny), data(file, number(3, tiny), number(4, tiny))],
  'node-no-data': [link('tiny.txt', tiny)],
}
for (const [label, parts] of Object.entries(nodes)) {
  const reply = JSON.parse(await call(api, 'block/put', [], { 'cid-codec': 'dag-pb', mhtype: 'sha2-256', pin: true }, Buffer.concat(parts)))
  console.log(`${label} ${reply.Key}`)
}
