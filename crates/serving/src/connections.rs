//! Who holds a connection. One whose request isn't whole yet, or that waits between two, has a place
//! only until somebody else needs it: however many sockets trickle their bytes, a client that asks is
//! served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::held::holding;

/// The places of all connections.
pub struct Connections {
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// Connections that nothing is done for, by when they became so.
#[derive(Default)]
struct Idle {
    last: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    fn add(&mut self, evicted: &CancellationToken) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, evicted.clone());
        self.last
    }
}

impl Connections {
    pub fn new(most: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(most)), idle: Arc::default() }
    }

    /// A place for a new connection. Where there is none, the one that has been idle for longest
    /// ends; where none is idle, the next that ends makes room.
    pub async fn enter(&self) -> Visit {
        let places = Arc::clone(&self.places);
        let place = match places.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => {
                let oldest = lock(&self.idle).waiting.pop_first();
                if let Some((_, evicted)) = oldest {
                    evicted.cancel();
                }
                places.acquire_owned().await.ok() // never closed
            }
        };
        let evicted = CancellationToken::new();
        let number = lock(&self.idle).add(&evicted);
        let (idle, state) = (Arc::clone(&self.idle), Mutex::new(Some(number)));
        Visit(Arc::new(Held { idle, evicted, state, _place: place }))
    }
}

/// A connection's place, from its first byte to its last.
#[derive(Clone)]
pub struct Visit(Arc<Held>);

struct Held {
    idle: Arc<Mutex<Idle>>,
    evicted: CancellationToken,
    /// Its number among the idle ones; `None` while something is done for it.
    state: Mutex<Option<u64>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(number) = *lock(&self.state) {
            lock(&self.idle).waiting.remove(&number);
        }
    }
}

impl Visit {
    /// A whole request is here: the place is safe until what this gives is dropped.
    pub fn busy(&self) -> Busy {
        if let Some(number) = lock(&self.0.state).take() {
            lock(&self.0.idle).waiting.remove(&number);
        }
        Busy(self.clone())
    }

    /// Runs the connection, unless its place goes to another: then `None`.
    pub async fn until_evicted<T>(&self, connection: impl Future<Output = T>) -> Option<T> {
        self.0.evicted.run_until_cancelled(connection).await
    }
}

/// A request of a connection, in progress.
pub struct Busy(Visit);

impl Busy {
    /// Stays with the answer until its last byte is out or its reader has left.
    pub fn with(self, body: Body) -> Body {
        holding(body, self)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let Visit(held) = &self.0;
        *lock(&held.state) = Some(lock(&held.idle).add(&held.evicted));
    }
}

/// A panic while the lock was held would be a bug elsewhere; what it guards is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn is_evicted(visit: &Visit) -> bool {
        visit.0.evicted.is_cancelled()
    }

    #[tokio::test]
    async fn the_one_that_has_been_idle_for_longest_makes_room() {
        let connections = Connections::new(3);
        let (a, b, c) =
            (connections.enter().await, connections.enter().await, connections.enter().await);
        let (busy_a, busy_b) = (a.busy(), b.busy());
        drop(busy_a); // idle again, and later than c
        let entering = tokio::spawn(async move { connections.enter().await });
        tokio::time::timeout(Duration::from_secs(5), c.0.evicted.cancelled()).await.unwrap();
        assert_eq!((is_evicted(&a), is_evicted(&b)), (false, false));
        assert!(c.until_evicted(std::future::pending::<()>()).await.is_none());
        drop(c);
        entering.await.unwrap();
        drop(busy_b);
    }

    #[tokio::test]
    async fn where_all_are_busy_a_new_one_waits() {
        let connections = Connections::new(1);
        let visit = connections.enter().await;
        let busy = visit.busy();
        let waits = tokio::time::timeout(Duration::from_millis(50), connections.enter()).await;
        assert!(waits.is_err() && !is_evicted(&visit));
        drop((busy, visit));
        tokio::time::timeout(Duration::from_secs(5), connections.enter()).await.unwrap();
        assert!(lock(&connections.idle).waiting.is_empty(), "who left is forgotten");
    }
}
