//! Answers that an `Idempotency-Key` brings back. They are kept in memory, for a bounded time and in
//! a bounded space: neither prompts nor answers go to a disk.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
};

use crate::{
    ledger::{Ledger, LedgerError},
    limits,
};

/// A name that a client gave a request, within its API key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RepeatId {
    pub key_id: String,
    pub name: String,
}

/// An answer as it was first given.
#[derive(Debug)]
pub struct Kept {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<Bytes>,
}

/// What a request with an `Idempotency-Key` turns out to be.
pub enum Repeat {
    /// Nobody has made it yet: it is to be made now.
    First(Claim),
    Known(Arc<Kept>),
    /// It is being made.
    Running,
    /// The same name stands for another request.
    Other,
    /// It was made, but its answer isn't kept any more.
    Lost,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Repeats {
    ledger: Ledger,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    all: HashMap<RepeatId, Entry>,
    /// Those that are kept, oldest first, with when that was.
    order: VecDeque<(RepeatId, i64)>,
    bytes: usize,
}

struct Entry {
    fingerprint: String,
    /// `None` while it is being made.
    kept: Option<Arc<Kept>>,
}

impl Repeats {
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, memory: Arc::default() }
    }

    /// # Errors
    /// [`LedgerError`]; then the request is not to be made.
    pub async fn begin(
        &self,
        id: &RepeatId,
        fingerprint: &str,
        now_ms: i64,
    ) -> Result<Repeat, LedgerError> {
        {
            let mut memory = self.memory();
            memory.forget_old(now_ms);
            if let Some(entry) = memory.all.get(id) {
                return Ok(match &entry.kept {
                    _ if entry.fingerprint != fingerprint => Repeat::Other,
                    None => Repeat::Running,
                    Some(kept) => Repeat::Known(kept.clone()),
                });
            }
            let entry = Entry { fingerprint: fingerprint.to_owned(), kept: None };
            memory.all.insert(id.clone(), entry);
        }
        // From here on, however this ends, the entry goes with the claim.
        let claim = Claim { repeats: self.clone(), id: id.clone(), kept: false };
        let forget_before_ms = now_ms.saturating_sub(limits::REPEAT_NAME_AGE_MS);
        let earlier = self
            .ledger
            .claim_repeat(&id.key_id, &id.name, fingerprint, now_ms, forget_before_ms)
            .await?;
        Ok(match earlier {
            None => Repeat::First(claim),
            Some(earlier) if earlier == fingerprint => Repeat::Lost,
            Some(_) => Repeat::Other,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right and the duty to make a request. Dropped without an answer, its repeats are refused.
pub struct Claim {
    repeats: Repeats,
    id: RepeatId,
    kept: bool,
}

impl Claim {
    /// Repeats get this answer, as long as there is room for it.
    pub fn keep(mut self, kept: Kept, now_ms: i64) {
        self.kept = self.repeats.memory().keep(&self.id, kept, now_ms);
    }

    /// The request failed before it cost anything; a repeat makes it anew.
    pub async fn forget(self) {
        let RepeatId { key_id, name } = &self.id;
        if let Err(error) = self.repeats.ledger.forget_repeat(key_id, name).await {
            tracing::warn!(%error, "an Idempotency-Key could not be freed");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.kept {
            self.repeats.memory().all.remove(&self.id);
        }
    }
}

impl Memory {
    /// `false` where it is too large.
    fn keep(&mut self, id: &RepeatId, kept: Kept, now_ms: i64) -> bool {
        let bytes = kept.bytes();
        if bytes > limits::REPEAT_BYTES_MAX {
            return false;
        }
        while self.bytes + bytes > limits::REPEATS_BYTES_MAX && self.forget_oldest() {}
        let Some(entry) = self.all.get_mut(id) else { return false };
        entry.kept = Some(Arc::new(kept));
        self.bytes += bytes;
        self.order.push_back((id.clone(), now_ms));
        true
    }

    fn forget_old(&mut self, now_ms: i64) {
        let before = now_ms.saturating_sub(limits::REPEAT_AGE_MS);
        while self.order.front().is_some_and(|(_, at)| *at < before) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((id, _)) = self.order.pop_front() else { return false };
        let kept = self.all.remove(&id).and_then(|entry| entry.kept);
        self.bytes = self.bytes.saturating_sub(kept.map_or(0, |kept| kept.bytes()));
        true
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn id(name: &str) -> RepeatId {
        RepeatId { key_id: "k".into(), name: name.into() }
    }

    fn answer(bytes: usize) -> Kept {
        let body = vec![Bytes::from(vec![b'x'; bytes])];
        Kept { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    async fn first(repeats: &Repeats, name: &str, now_ms: i64) -> Claim {
        match repeats.begin(&id(name), "f", now_ms).await.unwrap() {
            Repeat::First(claim) => claim,
            _ => panic!("{name} is known"),
        }
    }

    #[tokio::test]
    async fn a_request_is_made_once_and_its_answer_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.sqlite");
        let repeats = Repeats::new(Ledger::open(&path).await.unwrap());
        let claim = first(&repeats, "a", 0).await;
        assert!(matches!(repeats.begin(&id("a"), "f", 0).await.unwrap(), Repeat::Running));
        assert!(matches!(repeats.begin(&id("a"), "g", 0).await.unwrap(), Repeat::Other));
        claim.keep(answer(3), 0);
        let Repeat::Known(kept) = repeats.begin(&id("a"), "f", 1).await.unwrap() else { panic!() };
        assert_eq!(kept.body.concat(), b"xxx");
        assert!(matches!(repeats.begin(&id("a"), "g", 0).await.unwrap(), Repeat::Other));

        first(&repeats, "failed", 0).await.forget().await;
        drop(first(&repeats, "failed", 0).await);
        assert!(matches!(repeats.begin(&id("failed"), "f", 0).await.unwrap(), Repeat::Lost));

        // After a restart only the fingerprint is left; after a day not even that.
        let again = Repeats::new(Ledger::open(&path).await.unwrap());
        assert!(matches!(again.begin(&id("a"), "f", HOUR_MS).await.unwrap(), Repeat::Lost));
        assert!(matches!(again.begin(&id("a"), "g", HOUR_MS).await.unwrap(), Repeat::Other));
        drop(first(&again, "a", 25 * HOUR_MS).await);
    }

    #[tokio::test]
    async fn answers_make_room_for_newer_ones_and_age() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger.sqlite")).await.unwrap();
        let repeats = Repeats::new(ledger);
        let fit = limits::REPEATS_BYTES_MAX / limits::REPEAT_BYTES_MAX;
        for n in 0..=fit {
            first(&repeats, &n.to_string(), 0).await.keep(answer(limits::REPEAT_BYTES_MAX), 0);
        }
        assert!(matches!(repeats.begin(&id("0"), "f", 0).await.unwrap(), Repeat::Lost));
        assert!(matches!(repeats.begin(&id("1"), "f", 0).await.unwrap(), Repeat::Known(_)));
        first(&repeats, "huge", 0).await.keep(answer(limits::REPEAT_BYTES_MAX + 1), 0);
        assert!(matches!(repeats.begin(&id("huge"), "f", 0).await.unwrap(), Repeat::Lost));
        let later = limits::REPEAT_AGE_MS + 1;
        assert!(matches!(repeats.begin(&id("1"), "f", later).await.unwrap(), Repeat::Lost));
        let memory = repeats.memory();
        assert_eq!((memory.bytes, memory.all.len()), (0, 0));
    }
}
