//! Responses that later ones go on from, where storing is switched on. They are kept in memory only:
//! prompts and answers are on no disk, and are gone when the gateway ends.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chainference_protocol::Message;

use crate::limits;

/// The latest responses, up to a bound of their number and of their bytes. Cheap to clone.
#[derive(Clone, Default)]
pub struct Responses(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    responses: VecDeque<(Owner, Stored)>,
    bytes: usize,
}

/// Whose responses: the hash of the key that they were made with.
pub type Owner = [u8; 32];

/// One key's responses; no other key sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnResponses {
    all: Responses,
    owner: Owner,
}

/// One response, and the conversation up to its end.
#[derive(Clone)]
pub(super) struct Stored {
    pub id: String,
    /// As it was told to the client.
    pub json: String,
    /// Without instructions: they hold for one response only.
    pub conversation: Vec<Message>,
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responses(…)")
    }
}

impl PartialEq for Responses {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Responses {
    pub fn of(&self, owner: Owner) -> OwnResponses {
        OwnResponses { all: self.clone(), owner }
    }

    /// No step in between leaves it half changed, so that a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnResponses {
    /// A stored response's JSON.
    pub fn json(&self, id: &str) -> Option<String> {
        self.find(id, |stored| stored.json.clone())
    }

    /// Forgets a response; says whether it was there.
    pub fn forget(&self, id: &str) -> bool {
        let mut kept = self.all.lock();
        let Some(at) = kept.responses.iter().position(|one| self.is(one, id)) else {
            return false;
        };
        kept.remove(at);
        true
    }

    pub(super) fn conversation(&self, id: &str) -> Option<Vec<Message>> {
        self.find(id, |stored| stored.conversation.clone())
    }

    /// Keeps one, and lets go of the oldest where there are too many.
    pub(super) fn keep(&self, stored: Stored) {
        let mut kept = self.all.lock();
        kept.bytes = kept.bytes.saturating_add(stored.bytes());
        kept.responses.push_back((self.owner, stored));
        while kept.responses.len() > limits::STORED_RESPONSES_MAX
            || kept.bytes > limits::STORED_BYTES_MAX
        {
            kept.remove(0);
        }
    }

    fn find<T>(&self, id: &str, take: impl Fn(&Stored) -> T) -> Option<T> {
        let kept = self.all.lock();
        kept.responses.iter().find(|one| self.is(one, id)).map(|(_, stored)| take(stored))
    }

    fn is(&self, (owner, stored): &(Owner, Stored), id: &str) -> bool {
        *owner == self.owner && stored.id == id
    }
}

impl Kept {
    fn remove(&mut self, at: usize) {
        if let Some((_, stored)) = self.responses.remove(at) {
            self.bytes = self.bytes.saturating_sub(stored.bytes());
        }
    }
}

impl Stored {
    /// About what it holds in memory.
    fn bytes(&self) -> usize {
        let messages = serde_json::to_string(&self.conversation).map_or(0, |text| text.len());
        self.id.len() + self.json.len() + messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(id: usize, bytes: usize) -> Stored {
        let conversation = vec![Message::text("user", "x".repeat(bytes))];
        Stored { id: format!("resp_{id}"), json: "{}".into(), conversation }
    }

    #[test]
    fn the_oldest_responses_make_room() {
        let responses = Responses::default().of([1; 32]);
        for id in 0..=limits::STORED_RESPONSES_MAX {
            responses.keep(stored(id, 1));
        }
        assert!(responses.conversation("resp_0").is_none());
        assert!(responses.conversation("resp_1").is_some());
        responses.keep(stored(usize::MAX, limits::STORED_BYTES_MAX - 1_000));
        assert!(responses.json("resp_1").is_none());
        assert!(responses.json(&format!("resp_{}", usize::MAX)).is_some());
    }

    #[test]
    fn a_forgotten_response_is_gone() {
        let responses = Responses::default().of([1; 32]);
        responses.keep(stored(1, 1));
        assert!(responses.forget("resp_1") && !responses.forget("resp_1"));
        assert!(responses.json("resp_1").is_none());
        assert_eq!(responses.all.lock().bytes, 0);
    }

    #[test]
    fn no_key_sees_what_another_has_stored() {
        let all = Responses::default();
        let (mine, other) = (all.of([1; 32]), all.of([2; 32]));
        mine.keep(stored(1, 1));
        assert!(other.json("resp_1").is_none() && other.conversation("resp_1").is_none());
        assert!(!other.forget("resp_1") && mine.json("resp_1").is_some());
    }
}
