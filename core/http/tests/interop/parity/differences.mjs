// Where our answers differ from Kubo 0.42's on purpose, and why. A difference that never shows fails the run as well, so
// that this list stays true.
//
// `applies` gets { request: {kind, path, method, headers}, field, kubo, ours } with the two values of the field.

const ours404 = (c) => c.kubo.startsWith('5') || c.kubo === '404'

export const differences = [
  {
    why: 'media types come from our own table and from byte 0, not from the host or from the range (Kubo asks the host\'s mime database)',
    applies: (c) => c.field === 'content-type' && c.request.kind !== 'listing',
  },
  {
    why: 'the listing is a page of our own: other bytes, so another length and another tag',
    applies: (c) => c.request.kind === 'listing' && ['content-length', 'etag', 'body', 'content-type', 'cache-control', 'accept-ranges'].includes(c.field),
  },
  {
    why: 'errors are not cached as if they were content, and their text is ours',
    applies: (c) => c.request.expectError && ['body', 'content-length', 'content-type', 'cache-control', 'etag', 'x-ipfs-path', 'x-ipfs-roots', 'accept-ranges', 'content-range'].includes(c.field),
  },
  {
    why: 'a suffix longer than the file, and a range of an empty file, are answered as RFC 9110 §14 says (Kubo: 500)',
    applies: (c) => c.request.kind === 'range' && c.kuboStatus === '500',
  },
  {
    why: '`bytes=-0` cannot be satisfied (Kubo: 206 with an invalid Content-Range)',
    applies: (c) => c.request.headers.range === 'bytes=-0',
  },
  {
    why: 'a range that is not one is ignored, as RFC 9110 §14.2 says (Kubo: 400)',
    applies: (c) => c.request.kind === 'malformed range',
  },
  {
    why: 'several ranges get all their parts (Kubo: the first alone)',
    applies: (c) => c.request.kind === 'several ranges' && ['content-type', 'content-length', 'content-range', 'body'].includes(c.field),
  },
  {
    why: 'HEAD ignores Range, which RFC 9110 §14.2 defines for GET alone',
    applies: (c) => c.request.kind === 'head with range' && ['status', 'content-length', 'content-range', 'accept-ranges'].includes(c.field),
  },
  {
    why: 'Accept-Ranges is said on every answer that a range could be asked of, HEAD and 206 included',
    applies: (c) => c.field === 'accept-ranges' && c.kubo === undefined && c.ours === 'bytes',
  },
  {
    why: '304 repeats what RFC 9110 §15.4.5 asks for (Kubo: none of it)',
    applies: (c) => c.request.kind === 'not modified' && c.kubo === undefined,
  },
  {
    why: 'bytes of a node that has children are part of the file, and a size that is not said is the length of the data (Kubo: skipped; 0)',
    applies: (c) => c.request.kind === 'disputed',
  },
  {
    why: 'a block that Kubo cannot read as UnixFS is our error as well, with a status of its own',
    applies: (c) => c.request.kind === 'refused by kubo' && c.field === 'status' && ours404(c),
  },
]
