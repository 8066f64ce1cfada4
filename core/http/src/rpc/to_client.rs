//! Bytes that a command writes, on their way to its client.
//!
//! Owns collecting them into pieces. Must not know what they are.

use std::io::{self, Write};

use super::call::Call;
use super::error::Failed;

/// Bytes that leave at once.
const OUT: usize = 64 * 1024;

/// A writer to the client. What ends it, as a client that is gone does, is kept beside the error that a writer can give.
pub(crate) struct ToClient<'c> {
    pub(crate) call: &'c mut Call,
    pub(crate) failed: Option<Failed>,
    waiting: Vec<u8>,
}

impl<'c> ToClient<'c> {
    pub(crate) fn new(call: &'c mut Call) -> Self {
        ToClient { call, failed: None, waiting: Vec::with_capacity(OUT) }
    }

    /// Sends what waits.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.waiting);
        self.call.bytes(piece.into()).map_err(|failed| {
            self.failed = Some(failed);
            io::ErrorKind::ConnectionAborted.into()
        })
    }
}

impl Write for ToClient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= OUT {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}
