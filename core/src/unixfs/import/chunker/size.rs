//! Chunks of one length; the last may be shorter. Rules: boxo `chunker/splitting.go`.

use std::io::{self, Read};

use bytes::Bytes;

#[derive(Debug)]
pub(super) struct Size<R> {
    reader: R,
    size: usize,
}

impl<R: Read> Size<R> {
    pub(super) fn new(reader: R, size: usize) -> Self {
        Size { reader, size }
    }

    pub(super) fn next_chunk(&mut self) -> io::Result<Option<Bytes>> {
        let mut chunk = Vec::new();
        if !super::fill(&mut self.reader, &mut chunk, self.size)? {
            // Whoever keeps a short chunk must not keep the room of a long one.
            chunk.shrink_to_fit();
        }
        Ok((!chunk.is_empty()).then(|| Bytes::from(chunk)))
    }
}
