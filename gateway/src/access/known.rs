//! Keys that were looked up a moment ago. One counts again only while nothing was written to the ledger since, by whichever
//! process, and for a short time at most: so a key that is revoked opens nothing from then on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Caller;
use crate::ledger::Stamp;

/// Bounds what a change could be missed for that left the stamp as it was.
const KNOWN_FOR: Duration = Duration::from_millis(250);

/// By the hash of their secrets; only good keys come in, so that strangers can't fill it.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<String, Entry>>>);

struct Entry {
    caller: Caller,
    stamp: Stamp,
    since: Instant,
}

impl Known {
    pub fn get(&self, hash: &str, stamp: Stamp) -> Option<Caller> {
        let all = self.lock();
        let entry = all.get(hash)?;
        let holds = entry.stamp == stamp && entry.since.elapsed() < KNOWN_FOR;
        holds.then(|| entry.caller.clone())
    }

    /// `stamp` was taken before the key was looked up.
    pub fn put(&self, hash: String, caller: Caller, stamp: Stamp) {
        self.lock().insert(hash, Entry { caller, stamp, since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
