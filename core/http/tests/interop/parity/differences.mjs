// Where our answers differ from Kubo 0.42's on purpose, and why. A difference that never shows fails the run as well, so
// that this list stays true.
//
// `applies` gets { request: {kind, path, method, headers}, field, kubo, ours } with the two values of the field.

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
    why: 'a suffix longer than the file is the whole file, as RFC 9110 §14.1.2 says (Kubo: 500)',
    applies: (c) => c.request.kind === 'range' && c.request.size > 0 && c.kuboStatus === '500',
  },
  {
    why: 'no range of an empty file can be satisfied, whatever its form (Kubo: 200 or 500, by the form)',
    applies: (c) => ['range', 'several ranges'].includes(c.request.kind) && c.request.size === 0,
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
    why: 'X-Ipfs-Path is left out where the path is not plain ASCII (Kubo: bytes above 127, which clients read as Latin-1; a newline as a space)',
    applies: (c) => c.field === 'x-ipfs-path' && c.ours === undefined && /%([89A-F][0-9A-F]|0[0-9A-F])/.test(c.request.path),
  },
  {
    why: 'the target of a symlink is not served in ranges',
    applies: (c) => c.request.kind === 'symlink' && c.field === 'accept-ranges',
  },
  {
    why: 'the redirect to a folder has no page of its own, and may be kept as long as what it names',
    applies: (c) => ['slash', 'slash with query'].includes(c.request.kind) && ['content-length', 'content-type', 'cache-control', 'body'].includes(c.field),
  },
  {
    why: 'the query of a redirect is handed on as it came (Kubo encodes it a second time)',
    applies: (c) => c.request.kind === 'slash with query' && c.field === 'location' && c.ours.endsWith('/?a=b%20c'),
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
    applies: (c) => c.request.kind === 'refused by kubo' && c.field === 'status',
  },
]
