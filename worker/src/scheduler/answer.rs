//! One answer on its way, and what its call may produce.

use super::place::Row;
use super::{CallId, Choice, Slot, Work};

/// What the answers of a call may produce together.
#[derive(Debug)]
pub(super) struct Allowance {
    pub allowed: u64,
    pub produced: u64,
    /// Answers that have not ended.
    pub answers: usize,
}

impl Allowance {
    pub fn is_open(&self) -> bool {
        self.produced < self.allowed
    }
}

/// An answer that waits for another one to read the tokens that both begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follows {
    pub leader: Slot,
    pub len: usize,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub id: CallId,
    pub choice: Choice,
    /// Prompt and answer: what the model has read or will read next.
    pub row: Row,
    pub done: usize,
    /// Tokens of its prompt.
    pub prompt: usize,
    /// Prompt tokens that did not have to be read.
    pub cached: usize,
    pub follows: Option<Follows>,
    /// Nothing that was read before is to be used again.
    pub reads_anew: bool,
}

impl Answer {
    pub fn new(id: CallId, choice: Choice, row: Row) -> Self {
        let prompt = row.tokens.len();
        Self { id, choice, row, done: 0, prompt, cached: 0, follows: None, reads_anew: false }
    }

    pub fn is(&self, id: CallId, choice: Choice) -> bool {
        (self.id, self.choice) == (id, choice)
    }

    pub fn unread(&self) -> usize {
        self.row.tokens.len() - self.done
    }

    /// Tokens that may be read now. Nothing is unread between a sampling step and its push.
    pub fn ready(&self, may_sample: bool) -> usize {
        match self.unread() {
            _ if self.follows.is_some() => 0,
            unread if may_sample => unread,
            unread => unread.saturating_sub(1),
        }
    }

    /// Begins after the first `len` tokens of its prompt.
    pub fn skip(&mut self, len: usize) {
        (self.done, self.cached, self.follows) = (len, len, None);
    }

    /// Books `len` tokens as read.
    pub fn take(&mut self, slot: Slot, len: usize) -> Work {
        let (id, choice, from) = (self.id, self.choice, self.done);
        self.done += len;
        Work { id, choice, slot, from, len, samples: self.unread() == 0 }
    }
}
