//! The chain's clock between two looks at it.

use std::sync::Mutex;
use std::time::Instant;

/// Deadlines are the chain's: this machine's wall clock is never asked, only how long ago the chain
/// was.
#[derive(Debug)]
pub struct ChainTime(Mutex<(Instant, i64)>);

impl ChainTime {
    pub fn new(chain_unix_s: i64) -> Self {
        Self(Mutex::new((now(), chain_unix_s)))
    }

    /// The chain's clock was just read.
    pub fn set(&self, chain_unix_s: i64) {
        *lock(&self.0) = (now(), chain_unix_s);
    }

    pub fn now_unix_s(&self) -> i64 {
        let (seen_at, chain_unix_s) = *lock(&self.0);
        let elapsed_s = i64::try_from(seen_at.elapsed().as_secs()).unwrap_or(i64::MAX);
        chain_unix_s.saturating_add(elapsed_s)
    }
}

fn now() -> Instant {
    Instant::now()
}

/// A panic while the lock was held would be a bug elsewhere; what it guards is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
