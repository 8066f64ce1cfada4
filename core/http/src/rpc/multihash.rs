//! The multihash of bytes, by the number of its function.

use cid::multihash::Multihash;
use coldfront::multihash::{digest, usual_len};

use super::error::Failed;

/// Hashes. `len` is the length of the digest in bytes; `None` for the usual one of the function.
pub(crate) fn multihash(
    function: u64,
    len: Option<usize>,
    data: &[u8],
) -> Result<Multihash<128>, Failed> {
    let usual = match usual_len(function) {
        // Identity: as long as the bytes are.
        Some(0) => data.len(),
        Some(usual) => usual,
        None => {
            return Err(Failed::new(format!(
                "potentially insecure hash functions not allowed: 0x{function:x}"
            )));
        }
    };
    let digest = digest(function, len.unwrap_or(usual), data).ok_or_else(|| {
        Failed::new(format!(
            "hash function 0x{function:x} makes no digest of {} bytes here",
            len.unwrap_or(usual)
        ))
    })?;
    Multihash::wrap(function, digest.as_bytes()).map_err(|error| Failed::new(error.to_string()))
}
