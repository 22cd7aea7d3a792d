//! Envelopes that lie ready: half of what it takes to seal a call is the same for each, and is done when none waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chainference_protocol::{Envelope, WorkerPublic};

use super::{CallError, prepare::generator};

/// How many workers have some ready …
const WORKERS_MAX: usize = 64;
/// … and how many each has: calls come in bursts.
const READY_MAX: usize = 16;

/// Some for each worker that was called lately, by its X25519 key. Cheap to clone.
#[derive(Clone, Default)]
pub struct Envelopes(Arc<Mutex<HashMap<[u8; 32], Vec<Envelope>>>>);

impl Envelopes {
    /// One to a worker, which nobody else has or will get.
    pub fn take(&self, worker: [u8; 32]) -> Result<Envelope, CallError> {
        let ready = self.lock().get_mut(&worker).and_then(Vec::pop);
        ready.map_or_else(|| make(worker), Ok)
    }

    /// After a call to a worker: makes one for the next, and one more until there are enough for a burst of them.
    pub fn prepare(&self, worker: [u8; 32]) {
        let ready = self.lock().get(&worker).map_or(0, Vec::len);
        for _ in ready..READY_MAX.min(ready + 2) {
            // What fails here fails again, and is told, when it is needed.
            let Ok(envelope) = make(worker) else { return };
            let mut all = self.lock();
            if all.len() >= WORKERS_MAX && !all.contains_key(&worker) {
                all.clear();
            }
            all.entry(worker).or_default().push(envelope);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Vec<Envelope>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(worker: [u8; 32]) -> Result<Envelope, CallError> {
    let envelope = Envelope::to(&WorkerPublic(worker), &mut generator()?);
    envelope.map_err(|error| CallError::Protocol(error.to_string()))
}

#[cfg(test)]
mod tests {
    use chainference_protocol::WorkerSecret;

    use super::*;

    fn worker() -> [u8; 32] {
        WorkerSecret::generate(&mut generator().unwrap()).public().0
    }

    #[test]
    fn calls_leave_more_behind_than_they_take_until_there_are_enough() {
        let (envelopes, worker) = (Envelopes::default(), worker());
        let ready = || envelopes.lock().get(&worker).map_or(0, Vec::len);
        for called in 1..=READY_MAX {
            envelopes.take(worker).unwrap();
            envelopes.prepare(worker);
            assert_eq!(ready(), (called + 1).min(READY_MAX));
        }
        envelopes.prepare(worker);
        assert_eq!(ready(), READY_MAX);
    }

    #[test]
    fn workers_are_not_remembered_without_bound() {
        let envelopes = Envelopes::default();
        for _ in 0..=WORKERS_MAX {
            envelopes.prepare(worker());
        }
        assert_eq!(envelopes.lock().len(), 1);
    }
}
