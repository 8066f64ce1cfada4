//! Buffers for bytes on their way to clients.
//!
//! Owns the budget of bytes in flight and the reuse of buffers. A buffer is taken, filled and sent as
//! `Bytes` without a copy; it comes back when the last reference to it is dropped, which is when the
//! socket has taken it. Must not know what is in them.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of a buffer in bytes: one read of the page cache. Measured against 16 to 256 KiB.
pub(crate) const BUFFER_LEN: usize = 64 * 1024;

/// Free buffers that are kept for reuse, at most; those above are given back to the allocator. Making
/// one anew costs more than filling it, so this is what some tens of viewers use at a time.
const MAX_FREE: usize = 128;

/// Buffers that one answer may have on its way while there is room. Four fill a vectored write with a
/// leaf; with eight, the buffers of sixteen viewers no longer fit a processor's cache, and each segment
/// cost a quarter more when it was measured (four segments over and over).
const WINDOW: usize = 4;

/// The pool: a budget, and buffers to reuse.
#[derive(Debug)]
pub(crate) struct Buffers {
    budget: Arc<Semaphore>,
    capacity: usize,
    /// Last in, first out: the buffer used last is the one in the processor's cache.
    free: Mutex<Vec<Box<[u8]>>>,
}

impl Buffers {
    /// A pool of `bytes` bytes, rounded down to whole buffers, two at least.
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        let capacity = (bytes / BUFFER_LEN).clamp(2, Semaphore::MAX_PERMITS);
        Arc::new(Buffers {
            budget: Arc::new(Semaphore::new(capacity)),
            capacity,
            free: Mutex::new(Vec::new()),
        })
    }

    /// All is taken: a new request would only wait.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget.available_permits() == 0
    }

    /// Bytes taken by buffers that are being filled or are on their way.
    pub(crate) fn taken(&self) -> usize {
        (self.capacity - self.budget.available_permits()) * BUFFER_LEN
    }

    fn is_tight(&self) -> bool {
        self.budget.available_permits() < self.capacity / 2
    }

    /// Buffers that so many bytes fill: one at least, and no more than there are.
    fn count_of(&self, bytes: u64) -> usize {
        let count = bytes.div_ceil(BUFFER_LEN as u64);
        usize::try_from(count).unwrap_or(usize::MAX).clamp(1, self.capacity)
    }

    fn memory(&self) -> Box<[u8]> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().unwrap_or_else(|| vec![0; BUFFER_LEN].into())
    }

    fn put_back(&self, memory: Box<[u8]>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < MAX_FREE {
            free.push(memory);
        }
    }
}

/// The buffers of one answer: how many are on their way, and who waits for one to come back.
#[derive(Debug)]
pub(crate) struct Window {
    pool: Arc<Buffers>,
    flight: Arc<Flight>,
    waiting: Waiting,
}

/// Waits for the budget; kept between polls so that the place in the queue is kept.
struct Waiting(Option<Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waiting").field(&self.0.is_some()).finish()
    }
}

#[derive(Debug, Default)]
struct Flight {
    out: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Window {
    pub(crate) fn new(pool: Arc<Buffers>) -> Self {
        Window { pool, flight: Arc::default(), waiting: Waiting(None) }
    }

    /// A share of the budget for `bytes` bytes, as soon as this answer may have so much more: twice as much may be on
    /// its way. When the budget is tight, it is granted when the answer has nothing else on its way. Never more than
    /// the whole budget.
    pub(crate) fn poll_take(&mut self, cx: &mut Context<'_>, bytes: u64) -> Poll<Share> {
        if let Some(share) = self.try_take(bytes) {
            self.waiting.0 = None;
            return Poll::Ready(share);
        }
        let count = self.pool.count_of(bytes);
        if self.is_full(count) {
            // ORDER: leave the waker before looking again, or a buffer that comes back in between is missed.
            *self.flight.waker.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(cx.waker().clone());
            if self.is_full(count) {
                return Poll::Pending;
            }
        }
        let budget = &self.pool.budget;
        let waiting = self.waiting.0.get_or_insert_with(|| {
            let (budget, permits) = (budget.clone(), permits(count));
            Box::pin(async move { budget.acquire_many_owned(permits).await.ok() })
        });
        match waiting.as_mut().poll(cx) {
            Poll::Ready(Some(permit)) => {
                self.waiting.0 = None;
                Poll::Ready(self.share(permit))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// A share, if this answer may have so much more right now.
    pub(crate) fn try_take(&self, bytes: u64) -> Option<Share> {
        let count = self.pool.count_of(bytes);
        if self.is_full(count) {
            return None;
        }
        let permit = self.pool.budget.clone().try_acquire_many_owned(permits(count)).ok()?;
        Some(self.share(permit))
    }

    /// Bytes that one read should fill, of `bytes` that it could: one buffer when the budget is tight.
    pub(crate) fn modestly(&self, bytes: u64) -> u64 {
        if self.pool.is_tight() { bytes.min(BUFFER_LEN as u64) } else { bytes }
    }

    fn is_full(&self, more: usize) -> bool {
        // A block that comes whole may be fetched while the one before it is sent.
        let allowed = if self.pool.is_tight() { 1 } else { WINDOW.max(2 * more) };
        let out = self.flight.out.load(Ordering::Acquire);
        out > 0 && out + more > allowed
    }

    fn share(&self, permit: OwnedSemaphorePermit) -> Share {
        self.flight.out.fetch_add(permit.num_permits(), Ordering::AcqRel);
        Share { permit, pool: self.pool.clone(), flight: self.flight.clone() }
    }
}

fn permits(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A part of the budget that belongs to an answer. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    permit: OwnedSemaphorePermit,
    pool: Arc<Buffers>,
    flight: Arc<Flight>,
}

impl Share {
    /// The share as buffers to be filled.
    pub(crate) fn into_buffers(mut self) -> Vec<Buffer> {
        let rest = std::iter::from_fn(|| self.split()).collect::<Vec<_>>();
        rest.into_iter().chain([self]).map(Buffer::new).collect()
    }

    /// The share as one buffer; what it has beyond that is given back.
    pub(crate) fn into_buffer(mut self) -> Buffer {
        match self.split() {
            Some(one) => Buffer::new(one),
            None => Buffer::new(self),
        }
    }

    /// Lets bytes that have memory of their own count against the budget until they are sent.
    pub(crate) fn charge(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _share: self })
    }

    /// One buffer's part, while more than that is left.
    fn split(&mut self) -> Option<Share> {
        let permit =
            if self.permit.num_permits() > 1 { self.permit.split(1)? } else { return None };
        Some(Share { permit, pool: self.pool.clone(), flight: self.flight.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.flight.out.fetch_sub(self.permit.num_permits(), Ordering::AcqRel);
        let waker = self.flight.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// 64 KiB that belong to an answer.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: Box<[u8]>,
    len: usize,
    share: Share,
}

impl Buffer {
    fn new(share: Share) -> Self {
        Buffer { memory: share.pool.memory(), len: 0, share }
    }

    /// All of it, to be written to.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// The first `len` bytes, as something to send. No copy.
    pub(crate) fn into_bytes(mut self, len: usize) -> Bytes {
        self.len = len.min(self.memory.len());
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.share.pool.put_back(std::mem::take(&mut self.memory));
    }
}

struct Charged {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::task::Waker;

    const ONE: u64 = BUFFER_LEN as u64;

    fn poll(window: &mut Window, bytes: u64) -> Poll<Share> {
        window.poll_take(&mut Context::from_waker(Waker::noop()), bytes)
    }

    #[test]
    fn a_sent_buffer_is_used_again() {
        let pool = Buffers::new(4 * BUFFER_LEN);
        let window = Window::new(pool.clone());
        let bytes = window.try_take(1).unwrap().into_buffer().into_bytes(3);
        let at = bytes.as_ptr();
        assert_eq!(bytes.len(), 3);
        drop(bytes);
        assert_eq!(window.try_take(1).unwrap().into_buffer().memory.as_ptr(), at);
    }

    #[test]
    fn one_answer_cannot_take_more_than_its_window() {
        let pool = Buffers::new(100 * BUFFER_LEN);
        let mut window = Window::new(pool);
        let held: Vec<_> = (0..WINDOW).map(|_| window.try_take(1).unwrap()).collect();
        assert!(poll(&mut window, 1).is_pending());
        drop(held);
        assert!(poll(&mut window, 1).is_ready());
    }

    #[test]
    fn when_half_of_the_budget_is_taken_each_answer_has_one_buffer() {
        let pool = Buffers::new(6 * BUFFER_LEN);
        let mut first = Window::new(pool.clone());
        let held: Vec<_> = std::iter::from_fn(|| first.try_take(1)).collect();
        assert_eq!(held.len(), WINDOW);
        let mut second = Window::new(pool.clone());
        let one = poll(&mut second, 1);
        assert!(one.is_ready());
        assert!(poll(&mut second, 1).is_pending());
        drop(held);
        assert!(poll(&mut first, 1).is_ready());
    }

    #[test]
    fn an_exhausted_budget_makes_answers_wait_and_says_so() {
        let pool = Buffers::new(2 * BUFFER_LEN);
        let mut windows: Vec<_> = (0..3).map(|_| Window::new(pool.clone())).collect();
        let a = poll(&mut windows[0], 1);
        let b = poll(&mut windows[1], 1);
        assert!(a.is_ready() && b.is_ready() && pool.is_exhausted());
        assert!(poll(&mut windows[2], 1).is_pending());
        drop(a);
        assert!(poll(&mut windows[2], 1).is_ready());
    }

    #[test]
    fn a_share_is_as_many_buffers_as_its_bytes_fill() {
        let pool = Buffers::new(8 * BUFFER_LEN);
        let window = Window::new(pool.clone());
        let buffers = window.try_take(2 * ONE + 1).unwrap().into_buffers();
        assert_eq!((buffers.len(), pool.taken()), (3, 3 * BUFFER_LEN));
        drop(buffers);
        assert_eq!(pool.taken(), 0);
    }

    #[test]
    fn bytes_of_their_own_memory_count_in_full_until_they_are_sent() {
        let pool = Buffers::new(8 * BUFFER_LEN);
        let window = Window::new(pool.clone());
        let bytes = window.try_take(3 * ONE).unwrap().charge(Bytes::from_static(b"x"));
        assert_eq!(pool.taken(), 3 * BUFFER_LEN);
        drop(bytes);
        assert_eq!(pool.taken(), 0);
    }

    #[test]
    fn what_is_larger_than_a_window_or_the_budget_has_its_turn_alone() {
        let pool = Buffers::new(6 * BUFFER_LEN);
        let mut window = Window::new(pool.clone());
        let small = window.try_take(1).unwrap();
        let also_large = window.try_take(2 * ONE).unwrap();
        assert!(poll(&mut window, 100 * ONE).is_pending());
        drop((small, also_large));
        let large = poll(&mut window, 100 * ONE);
        assert!(large.is_ready() && pool.is_exhausted());
        assert!(poll(&mut window, 1).is_pending());
    }
}
