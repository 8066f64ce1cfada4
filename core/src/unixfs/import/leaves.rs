//! Leaves hashed side by side, and given back in the order of the content.
//!
//! Owns the pool of threads and how much of a file is in it. Must not know layouts or stores.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::encode::Made;
use super::error::ImportError;
use super::options::Plan;

/// Leaves of one file in the pool at once, for each thread: one that is being hashed, one that waits.
const LEAVES_A_THREAD: usize = 2;

/// Bytes of one file in the pool at once, but for one leaf, which may always be.
const BYTES_IN_POOL: usize = 16 * 1024 * 1024;

/// One pool for all imports of the process, with as many threads as there are cores, so that many
/// uploads share them. `None` when the system gave no threads: then callers hash for themselves.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    ThreadPoolBuilder::new().thread_name(|n| format!("import-hash-{n}")).build().ok()
});

/// Makes a leaf of every chunk and gives them to `each` in order. Holds as many chunks as
/// [`LEAVES_A_THREAD`] and [`BYTES_IN_POOL`] allow.
pub(super) fn make_leaves(
    plan: &Arc<Plan>,
    chunks: impl Iterator<Item = io::Result<Bytes>>,
    mut each: impl FnMut(Made) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let pool = if plan.threads > 1 { POOL.as_ref() } else { None };
    let Some(pool) = pool else {
        for chunk in chunks {
            each(plan.leaf(chunk.map_err(ImportError::Read)?)?)?;
        }
        return Ok(());
    };
    let mut window = Window { leaves: VecDeque::new(), bytes: 0 };
    for chunk in chunks {
        let chunk = chunk.map_err(ImportError::Read)?;
        while window.is_full(plan, chunk.len()) {
            window.next().map_or(Ok(()), |leaf| each(leaf?))?;
        }
        window.submit(pool, plan, chunk);
    }
    window.try_for_each(|leaf| each(leaf?))
}

/// The leaves in the pool, in the order of the content.
struct Window {
    leaves: VecDeque<(usize, Receiver<Result<Made, ImportError>>)>,
    bytes: usize,
}

impl Window {
    fn is_full(&self, plan: &Plan, next_len: usize) -> bool {
        let bytes = self.bytes.saturating_add(next_len);
        !self.leaves.is_empty()
            && (self.leaves.len() >= plan.threads.saturating_mul(LEAVES_A_THREAD)
                || bytes > BYTES_IN_POOL)
    }

    fn submit(&mut self, pool: &ThreadPool, plan: &Arc<Plan>, chunk: Bytes) {
        let (done, leaf) = bounded(1);
        self.bytes += chunk.len();
        self.leaves.push_back((chunk.len(), leaf));
        let plan = plan.clone();
        // The import may have been given up: then nobody waits for the leaf.
        pool.spawn(move || drop(done.send(plan.leaf(chunk))));
    }
}

impl Iterator for Window {
    type Item = Result<Made, ImportError>;

    fn next(&mut self) -> Option<Result<Made, ImportError>> {
        let (len, leaf) = self.leaves.pop_front()?;
        self.bytes -= len;
        // A sender that is gone without an answer means that its thread is: there is no leaf.
        Some(leaf.recv().unwrap_or(Err(ImportError::Poisoned)))
    }
}
