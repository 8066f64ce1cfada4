//! The next segment of a stream, asked of the page cache ahead of its viewer.
//!
//! Owns when that is done: for a file in a folder whose name counts, once in a while for each segment,
//! only while the disks have room. Must not know how names count ([`super::next_segment`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coldfront::{Cid, ContentPath};
use quick_cache::sync::Cache;

use super::Gateway;
use super::known::Found;
use super::next_segment::next_segment;
use super::request::Wanted;

/// Segments that are remembered as asked for, about 200 bytes each.
const MAX_REMEMBERED: usize = 4096;

/// A segment is asked for again after this time: the page cache may have let it go.
const AGAIN_AFTER: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(super) struct Segments {
    asked: Cache<Cid, Instant>,
    count: AtomicU64,
}

impl Segments {
    pub(super) fn new() -> Self {
        Segments { asked: Cache::new(MAX_REMEMBERED), count: AtomicU64::new(0) }
    }

    pub(super) fn asked(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn is_due(&self, cid: &Cid) -> bool {
        self.asked.get(cid).is_none_or(|at| at.elapsed() > AGAIN_AFTER)
    }
}

impl Gateway {
    /// After a segment was asked for: brings the next one of its folder nearer, if there is one.
    pub(super) fn segment_ahead(&self, wanted: &Wanted<'_>, found: &Found) {
        let max_bytes = self.limits.next_segment;
        if wanted.is_head() || max_bytes == 0 {
            return;
        }
        let next = wanted.target.file_name().and_then(next_segment);
        let (Some(folder), Some(next)) = (&found.parent, next) else { return };
        let Some(cid) = self.repo().lookup_now(folder, &next) else { return };
        if !self.segments.is_due(&cid) {
            return;
        }
        let started = self.bridge.run_if_idle(move |repo| {
            // What is missing or broken is told to the viewer who asks for it.
            if let Ok(segment) = repo.resolve(&ContentPath::new(cid)) {
                repo.read(&segment.node, ..).warm(0, max_bytes);
            }
        });
        if started {
            self.segments.asked.insert(cid, Instant::now());
            self.segments.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}
