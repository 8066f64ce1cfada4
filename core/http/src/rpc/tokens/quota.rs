//! How much one token may ask for at a time.
//!
//! Owns its three limits: calls under way, calls that wait for those, and bytes a second, both ways together. One
//! token's flood is answered with 429 and leaves the places of others alone. Must not know HTTP.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Bytes that may pass at once before the rate counts, as the time that they are worth.
const BURST: Duration = Duration::from_secs(1);

/// New calls are refused while so much is owed beyond the burst: those under way are slowed down already.
const MOST_OWED: Duration = Duration::from_secs(2);

/// The longest that a call waits for its token's other calls to end.
const MOST_WAITING: Duration = Duration::from_secs(30);

/// What a refused client waits before it tries again, unless more is known.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// The limits of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLimits {
    /// Calls under way at a time. Default 64.
    pub streams: usize,
    /// Calls that wait for one of those to end, for 30 s at most. One more gets 429. Default 64.
    pub queue: usize,
    /// Bytes a second, of bodies and answers together: calls under way are slowed down to it. 0, the default, is no limit.
    pub bytes_per_second: u64,
}

impl Default for TokenLimits {
    fn default() -> Self {
        TokenLimits { streams: 64, queue: 64, bytes_per_second: 0 }
    }
}

/// What is left of a token's limits.
#[derive(Debug)]
pub(crate) struct Quota {
    streams: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    rate: Option<Rate>,
}

/// There is no room for one more call of this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany {
    pub(crate) retry_after: Duration,
}

impl Quota {
    pub(crate) fn new(limits: &TokenLimits) -> Quota {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Quota {
            streams: places(limits.streams.max(1)),
            queue: places(limits.queue),
            rate: (limits.bytes_per_second > 0).then(|| Rate::new(limits.bytes_per_second)),
        }
    }

    /// Takes a place for a call, which is given back when it is dropped. Waits in the queue, if there is room in it.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, TooMany> {
        if let Some(owed) = self.rate.as_ref().map(Rate::owed).filter(|owed| *owed > MOST_OWED) {
            return Err(TooMany { retry_after: owed });
        }
        if let Ok(place) = self.streams.clone().try_acquire_owned() {
            return Ok(place);
        }
        let too_many = TooMany { retry_after: TRY_AGAIN };
        let _waiting = self.queue.try_acquire().map_err(|_| too_many)?;
        let place = tokio::time::timeout(MOST_WAITING, self.streams.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(too_many)
    }

    /// Counts bytes that passed, and says until when the next have to wait.
    fn passed(&self, bytes: usize) -> Option<Instant> {
        self.rate.as_ref().and_then(|rate| rate.passed(bytes))
    }
}

/// Bytes a second.
#[derive(Debug)]
struct Rate {
    bytes_per_second: u64,
    /// When all that has passed will have been paid for.
    paid_at: Mutex<Instant>,
}

impl Rate {
    fn new(bytes_per_second: u64) -> Rate {
        Rate { bytes_per_second, paid_at: Mutex::new(Instant::now()) }
    }

    fn passed(&self, bytes: usize) -> Option<Instant> {
        let worth = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        *paid_at = (*paid_at).max(Instant::now()) + worth;
        paid_at.checked_sub(BURST)
    }

    /// What is owed beyond the burst.
    fn owed(&self) -> Duration {
        let paid_at = *self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        paid_at.saturating_duration_since(Instant::now()).saturating_sub(BURST)
    }
}

/// Slows one direction of a call down to its token's rate.
#[derive(Debug)]
pub(crate) struct Pace {
    quota: Arc<Quota>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) fn new(quota: Arc<Quota>) -> Pace {
        Pace { quota, sleep: None }
    }

    /// Counts bytes that passed.
    pub(crate) fn passed(&mut self, bytes: usize) {
        let until = self.quota.passed(bytes).filter(|until| *until > Instant::now());
        self.sleep = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
    }

    /// Resolves when the next bytes may pass.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        Poll::Ready(())
    }

    pub(crate) async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn quota(streams: usize, queue: usize, bytes_per_second: u64) -> Arc<Quota> {
        Arc::new(Quota::new(&TokenLimits { streams, queue, bytes_per_second }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_beyond_streams_waits_and_one_beyond_the_queue_is_refused() {
        let quota = quota(1, 1, 0);
        let first = quota.enter().await.unwrap();
        let other = quota.clone();
        let waiting = tokio::spawn(async move { other.enter().await.is_ok() });
        tokio::task::yield_now().await;
        assert_eq!(quota.enter().await.unwrap_err().retry_after, TRY_AGAIN);
        drop(first);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let quota = quota(1, 1, 0);
        let _first = quota.enter().await.unwrap();
        let began = Instant::now();
        assert!(quota.enter().await.is_err());
        assert_eq!(began.elapsed(), MOST_WAITING);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_pass_at_the_rate_after_the_burst() {
        let quota = quota(4, 0, 1000);
        let began = Instant::now();
        let mut pace = Pace::new(quota);
        for _ in 0..11 {
            pace.passed(500);
            pace.ready().await;
        }
        // 5.5 s worth of bytes, of which 1 s may run ahead.
        assert_eq!(began.elapsed().as_millis(), 4500);
    }

    #[tokio::test(start_paused = true)]
    async fn who_owes_much_is_told_when_to_come_back() {
        let quota = quota(4, 0, 1000);
        Pace::new(quota.clone()).passed(10_000);
        let refused = quota.enter().await.unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(9));
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(quota.enter().await.is_ok());
    }
}
