//! Envelopes that lie ready: half of what it takes to seal a call is the same for each, and is done when none waits for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chainference_protocol::{Envelope, WorkerPublic};

use super::{CallError, prepare::generator};

/// How many workers have one ready.
const READY_MAX: usize = 64;

/// One for each worker that was called lately, by its X25519 key. Cheap to clone.
#[derive(Clone, Default)]
pub struct Envelopes(Arc<Mutex<HashMap<[u8; 32], Envelope>>>);

impl Envelopes {
    /// One to a worker, which nobody else has or will get.
    pub fn take(&self, worker: [u8; 32]) -> Result<Envelope, CallError> {
        let ready = self.lock().remove(&worker);
        ready.map_or_else(|| make(worker), Ok)
    }

    /// Makes one for the next call to a worker.
    pub fn prepare(&self, worker: [u8; 32]) {
        if self.lock().contains_key(&worker) {
            return;
        }
        // What fails here fails again, and is told, when it is needed.
        if let Ok(envelope) = make(worker) {
            let mut ready = self.lock();
            if ready.len() >= READY_MAX {
                ready.clear();
            }
            ready.insert(worker, envelope);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Envelope>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(worker: [u8; 32]) -> Result<Envelope, CallError> {
    let envelope = Envelope::to(&WorkerPublic(worker), &mut generator()?);
    envelope.map_err(|error| CallError::Protocol(error.to_string()))
}
