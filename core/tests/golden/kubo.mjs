// Calls to the RPC API of a running Kubo, as far as the scripts of this folder need them.
import fs from 'node:fs'
import http from 'node:http'

/** The API address of the repository's running daemon, from the `api` file (a multiaddr of IPv4 and TCP). */
export function apiOf(repo) {
  const [, , host, , port] = fs.readFileSync(`${repo}/api`, 'utf8').trim().split('/')
  return { host, port: Number(port) }
}

/** POSTs `command`; `args` are byte strings or text, sent percent-encoded so that no name is bent. Resolves to the body. */
export function call(api, command, args = [], options = {}, upload) {
  const query = [
    ...args.map((arg) => `arg=${percent(arg)}`),
    ...Object.entries(options).map(([key, value]) => `${key}=${encodeURIComponent(value)}`),
  ].join('&')
  const boundary = 'golden-boundary-5f2c'
  const headers = upload ? { 'content-type': `multipart/form-data; boundary=${boundary}` } : {}
  return new Promise((resolve, reject) => {
    const request = http.request({ ...api, method: 'POST', path: `/api/v0/${command}?${query}`, headers }, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(parts)
        if (response.statusCode === 200 && !response.trailers['x-stream-error']) resolve(body)
        else reject(new Error(`${command}: ${response.statusCode} ${response.trailers['x-stream-error'] ?? body.toString().trim()}`))
      })
    })
    request.on('error', reject)
    if (upload) {
      request.write(`--${boundary}\r\ncontent-disposition: form-data; name="data"; filename="data"\r\ncontent-type: application/octet-stream\r\n\r\n`)
      request.write(upload)
      request.write(`\r\n--${boundary}--\r\n`)
    }
    request.end()
  })
}

/** The percent-encoded form of bytes or text; everything but unreserved characters and `/` is encoded. */
export function percent(name) {
  return [...Buffer.from(name)]
    .map((byte) => (/[A-Za-z0-9._~\/-]/.test(String.fromCharCode(byte)) && byte < 128 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`))
    .join('')
}

/** The lines of a body of one JSON value a line. */
export const lines = (body) => body.toString().split('\n').filter(Boolean).map((line) => JSON.parse(line))

/** Length-delimited and varint fields of a protobuf message, as [number, value] pairs. */
export function fields(message) {
  const found = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = BigInt(message[at++])
      value |= (byte & 127n) << shift
      if (byte < 128n) return Number(value)
    }
  }
  while (at < message.length) {
    const key = varint()
    if ((key & 7) === 0) found.push([key >> 3, varint()])
    else if ((key & 7) === 2) {
      const size = varint()
      found.push([key >> 3, message.subarray(at, at + size)])
      at += size
    } else throw new Error(`unexpected wire type in field ${key >> 3}`)
  }
  return found
}
