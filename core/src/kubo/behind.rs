//! What the page cache holds of a store's files, asked for by those who read them through once.

use std::fs::File;

/// Whether all of a range is there; `false` where the system does not tell.
pub(crate) fn is_cached(file: &File, offset: u64, len: u64) -> bool {
    coldfront_flatfs::page_cache_holds(file, offset, len).unwrap_or(false)
}
