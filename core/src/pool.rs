//! Work done side by side, and given back in order.
//!
//! Owns the one pool of threads for hashing and how much of one task may be in it. Must not know what the
//! work is.

use std::collections::VecDeque;
use std::sync::LazyLock;

use crossbeam_channel::{Receiver, bounded};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Pieces of one task in the pool at once, for each thread: one that is worked on, one that waits.
const PIECES_A_THREAD: usize = 2;

/// Bytes of one task in the pool at once, but for one piece, which may always be.
const BYTES_IN_POOL: usize = 16 * 1024 * 1024;

/// One pool for the whole process, with as many threads as there are cores, so that many imports share
/// them. `None` when the system gave no threads: then callers work for themselves.
static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    ThreadPoolBuilder::new().thread_name(|n| format!("import-hash-{n}")).build().ok()
});

/// Pieces of work under way, in the order in which they were submitted. An iterator over their results,
/// each of which it waits for.
#[derive(Debug)]
pub(crate) struct InOrder<R> {
    pool: &'static ThreadPool,
    pieces: VecDeque<(usize, Receiver<R>)>,
    bytes: usize,
    most: usize,
}

impl<R: Send + 'static> InOrder<R> {
    /// For a task that may use `threads` of the pool; `None` where it shall do its work itself.
    pub(crate) fn new(threads: usize) -> Option<Self> {
        let pool = (threads > 1).then(|| POOL.as_ref()).flatten()?;
        let most = threads.saturating_mul(PIECES_A_THREAD);
        Some(InOrder { pool, pieces: VecDeque::new(), bytes: 0, most })
    }

    /// Whether a result must be taken before a piece of `next_len` bytes may be submitted.
    pub(crate) fn is_full(&self, next_len: usize) -> bool {
        let bytes = self.bytes.saturating_add(next_len);
        !self.pieces.is_empty() && (self.pieces.len() >= self.most || bytes > BYTES_IN_POOL)
    }

    /// Hands a piece of `len` bytes to the pool. Does not wait.
    pub(crate) fn submit(&mut self, len: usize, work: impl FnOnce() -> R + Send + 'static) {
        let (done, result) = bounded(1);
        self.bytes += len;
        self.pieces.push_back((len, result));
        // The task may have been given up: then nobody waits for the result.
        self.pool.spawn(move || drop(done.send(work())));
    }
}

/// A result is `None` where the thread that worked for it is gone.
impl<R> Iterator for InOrder<R> {
    type Item = Option<R>;

    fn next(&mut self) -> Option<Option<R>> {
        let (len, result) = self.pieces.pop_front()?;
        self.bytes -= len;
        Some(result.recv().ok())
    }
}

/// As many threads as there are cores.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_thread_needs_no_pool() {
        assert!(InOrder::<()>::new(1).is_none());
        assert!(InOrder::<()>::new(0).is_none());
    }

    #[test]
    fn results_come_in_the_order_of_the_work_whichever_is_done_first() {
        let mut under_way = InOrder::new(4).unwrap();
        for i in 0..8u64 {
            assert!(!under_way.is_full(1));
            under_way.submit(1, move || {
                std::thread::sleep(Duration::from_millis(10 * (8 - i)));
                i
            });
        }
        assert!(under_way.is_full(1), "two pieces a thread");
        assert_eq!(under_way.map(Option::unwrap).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn the_bytes_in_the_pool_are_bounded_but_one_piece_may_always_be() {
        let mut under_way = InOrder::new(1000).unwrap();
        assert!(!under_way.is_full(10 * BYTES_IN_POOL));
        let piece = BYTES_IN_POOL / 4;
        for _ in 0..4 {
            assert!(!under_way.is_full(piece));
            under_way.submit(piece, || ());
        }
        assert!(under_way.is_full(1));
        assert_eq!(under_way.next(), Some(Some(())));
        assert!(!under_way.is_full(piece), "a result that is taken makes room");
        assert!(under_way.is_full(piece + 1));
    }

    #[test]
    fn a_task_that_is_given_up_leaves_the_pool_working() {
        let mut given_up = InOrder::new(2).unwrap();
        given_up.submit(1, || 1);
        drop(given_up);
        let mut under_way = InOrder::new(2).unwrap();
        under_way.submit(1, || 2);
        assert_eq!(under_way.next(), Some(Some(2)));
    }
}
