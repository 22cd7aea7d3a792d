//! What can wait until it is in no call's way: the books and the signatures of calls that have been answered, and what is done
//! regularly.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep, timeout},
};

use crate::limits::STILL_AFTER;

/// Knows when calls last did something that their clients wait for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lull(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// When a call last moved, in microseconds since `began`.
    moved_us: AtomicU64,
    /// One after the other: what has gathered must not stand in a row before a call that comes now.
    turn: Mutex<()>,
}

impl Lull {
    pub fn new() -> Self {
        let inner = Inner { began: Instant::now(), moved_us: 0.into(), turn: Mutex::default() };
        Self(Arc::new(inner))
    }

    /// A call moves: it came, or its client is told something.
    pub fn stir(&self) {
        let now_us = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.moved_us.store(now_us, Ordering::Relaxed);
    }

    /// Waits until no call moves, and for those that waited before; `most` at most, and then there is no turn to hold.
    pub async fn turn(&self, most: Duration) -> Option<MutexGuard<'_, ()>> {
        let still = async {
            let turn = self.0.turn.lock().await;
            self.pause_of(STILL_AFTER).await;
            turn
        };
        timeout(most, still).await.ok()
    }

    /// The same for whoever needs no turn: what waits next may begin at once.
    pub async fn pause(&self, most: Duration) {
        drop(self.turn(most).await);
    }

    /// Waits until no call has moved for so long.
    pub async fn pause_of(&self, length: Duration) {
        loop {
            let moved = Duration::from_micros(self.0.moved_us.load(Ordering::Relaxed));
            let still_for = self.0.began.elapsed().saturating_sub(moved);
            if still_for >= length {
                return;
            }
            sleep(length - still_for).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long beyond what a busy machine takes for a turn.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn waits_until_nothing_has_moved_for_a_while() {
        let (lull, began) = (Lull::new(), Instant::now());
        lull.stir();
        assert!(lull.turn(LONG).await.is_some());
        assert!(began.elapsed() >= STILL_AFTER);
    }

    #[tokio::test]
    async fn does_not_wait_for_ever() {
        let lull = Lull::new();
        let calls = async {
            loop {
                lull.stir();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            turn = lull.turn(4 * STILL_AFTER) => assert!(turn.is_none()),
            () = calls => unreachable!(),
        }
    }

    #[tokio::test]
    async fn one_goes_after_the_other_and_looks_again() {
        let lull = Lull::new();
        let first = lull.turn(LONG).await.unwrap();
        let second = async {
            assert!(lull.turn(LONG).await.is_some());
            Instant::now()
        };
        let free = async {
            sleep(2 * STILL_AFTER).await;
            lull.stir();
            drop(first);
            Instant::now()
        };
        let (began, freed) = tokio::join!(second, free);
        assert!(began >= freed + STILL_AFTER);
    }
}
