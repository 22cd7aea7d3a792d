//! Keys that were looked up a moment ago. One counts again only while no key was made or revoked since, by whichever
//! process, and for a short time at most: so a key that is revoked opens nothing from then on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::Caller;
use crate::ledger::KeysMark;

/// Bounds what a change could be missed for that left no mark: one by hand, or of a process that died over it.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// Signed tokens come and go: what counts no more is thrown out when there are more than this.
const KNOWN_MAX: usize = 1_024;

/// By the hash of their secrets; only good keys come in, so that strangers can't fill it.
#[derive(Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<String, Entry>>>);

struct Entry {
    caller: Caller,
    mark: KeysMark,
    since: Instant,
}

impl Entry {
    fn holds(&self, mark: KeysMark) -> bool {
        self.mark == mark && self.since.elapsed() < KNOWN_FOR
    }
}

impl Known {
    pub fn get(&self, hash: &str, mark: KeysMark) -> Option<Caller> {
        let all = self.lock();
        let entry = all.get(hash)?;
        entry.holds(mark).then(|| entry.caller.clone())
    }

    /// `mark` was taken before the key was looked up.
    pub fn put(&self, hash: String, caller: Caller, mark: KeysMark) {
        let mut all = self.lock();
        if all.len() >= KNOWN_MAX {
            all.retain(|_, entry| entry.holds(mark));
        }
        all.insert(hash, Entry { caller, mark, since: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
