//! Continuous batching, pure: which tokens of which answers are computed in the next step, and what
//! of earlier answers is used again. No model, no clock, no IO.
//!
//! An answer is a row of tokens: its prompt, then one more token each time the model is sampled.
//! `done` counts how much of the row the model has read. Reading the last token is what samples the
//! next one, so prefill and decode are the same thing: decode is the case where only one token is
//! left to read. An answer whose call has used up what it is allowed may still read up to its last
//! token, but not that one. That makes "wait without computing" one subtraction.
//!
//! A slot keeps what it has read after its answer ends. A later prompt that begins alike starts
//! there ([`place`]); prompts that arrive together and begin alike are read once. Nothing is ever
//! shared between scopes: how fast a prompt is read would tell one client what another asked.

mod answer;
mod place;
mod plan;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use answer::{Allowance, Answer};
use place::{Place, Row};
use queue::Queue;

/// A call's number, unique for the life of the engine.
pub type CallId = u64;

/// Which answer of its call, counted from 0.
pub type Choice = u32;

/// A place in the model's KV cache.
pub type Slot = usize;

/// A token of the model's vocabulary.
pub type Token = i32;

/// Whose call it is: what was computed is used again within one scope only.
pub type Scope = [u8; 32];

/// How much is put into one step.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tokens in one step; at least the number of slots.
    pub step_tokens_max: usize,
    /// Prompt tokens in a step that others wait for to get their next token: the pause that one
    /// call's prompt costs the rest. At least one a slot.
    pub prefill_beside_decode_max: usize,
    /// Prompt tokens in a step after which no further prompt is put into it. llama.cpp computes slots
    /// together as far as they read equally many tokens and the rests apart: prompts that fill a
    /// processor by themselves are read faster one after the other, and each answer begins sooner.
    pub prefill_enough: usize,
    /// Whether a slot's cache can be cut back to a prefix. Recurrent models can't.
    pub prefix_reuse: bool,
}

/// What the engine does next: first the moves in their order, then the work in one batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub moves: Vec<Move>,
    pub work: Vec<Work>,
}

/// A change of what a slot's cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Only the first `len` tokens stay.
    Cut { slot: Slot, len: usize },
    /// Slot `to` holds the first `len` tokens of slot `from`, and nothing else.
    Copy { from: Slot, to: Slot, len: usize },
}

/// One answer's share of a step: tokens `from..from + len` of its row, to be read in `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub id: CallId,
    pub choice: Choice,
    pub slot: Slot,
    pub from: usize,
    pub len: usize,
    /// Whether the end of the row is reached: a token must be sampled and given to
    /// [`Scheduler::push`] before the next plan.
    pub samples: bool,
}

/// The answers in the slots and those that wait for one.
#[derive(Debug)]
pub struct Scheduler {
    places: Vec<Place>,
    queue: Queue,
    calls: HashMap<CallId, Allowance>,
    limits: Limits,
    /// Prompt tokens that were read since running answers got their last token.
    read_since_decode: usize,
    /// Counts plans: the age of what a slot keeps, and whose turn it is. Rounding favours nobody for
    /// long.
    now: usize,
}

impl Scheduler {
    /// # Panics
    /// When a step could not hold one token for each slot.
    pub fn new(slots: usize, mut limits: Limits) -> Self {
        assert!(
            slots > 0 && slots <= limits.step_tokens_max,
            "a step must hold a token of each slot"
        );
        limits.prefill_beside_decode_max = limits.prefill_beside_decode_max.max(slots);
        let places = (0..slots).map(|_| Place::default()).collect();
        Self {
            places,
            queue: Queue::default(),
            calls: HashMap::new(),
            limits,
            read_since_decode: 0,
            now: 0,
        }
    }

    /// Takes a call with one prompt (of at least one token) for each of its answers; `allowed` is
    /// what they may produce together. Several answers to one prompt read it once.
    pub fn add(&mut self, id: CallId, scope: Scope, prompts: Vec<Vec<Token>>, allowed: u64) {
        debug_assert!(
            prompts.iter().all(|prompt| !prompt.is_empty()),
            "an empty prompt gives nothing to sample from"
        );
        if prompts.is_empty() {
            return;
        }
        self.calls.insert(id, Allowance { allowed, produced: 0, answers: prompts.len() });
        for (choice, prompt) in (0..).zip(prompts) {
            self.queue.push(Answer::new(id, choice, Row { scope, tokens: prompt }));
        }
    }

    /// Reads a call's prompts from their first token on, whatever was read before: for who is told
    /// about each of them. Before its first plan.
    pub fn read_anew(&mut self, id: CallId) {
        for answer in self.queue.iter_mut().filter(|answer| answer.id == id) {
            answer.reads_anew = true;
        }
    }

    /// Raises what a call may produce in total. Unknown calls (already over) are ignored.
    pub fn allow(&mut self, id: CallId, allowed: u64) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.allowed = call.allowed.max(allowed);
        }
    }

    /// The token that was sampled for an answer.
    pub fn push(&mut self, id: CallId, choice: Choice, token: Token) {
        let answers = self.places.iter_mut().filter_map(|place| place.answer.as_mut());
        for answer in answers.filter(|answer| answer.is(id, choice)) {
            answer.row.tokens.push(token);
        }
    }

    /// Prompt tokens of an answer in a slot that were there already.
    pub fn cached(&self, id: CallId, choice: Choice) -> usize {
        let answers = self.places.iter().filter_map(|place| place.answer.as_ref());
        answers.filter(|answer| answer.is(id, choice)).map(|answer| answer.cached).sum()
    }

    /// Ends one answer. Its slot is free, and keeps what it has read.
    pub fn end(&mut self, id: CallId, choice: Choice) {
        let is_it = |answer: &Answer| answer.is(id, choice);
        let in_slots = self.places.iter_mut().filter(|place| place.serves(is_it));
        let ended = in_slots.map(Place::free).count() + self.queue.remove(is_it);
        if let Some(call) = self.calls.get_mut(&id) {
            call.answers = call.answers.saturating_sub(ended);
            if call.answers == 0 {
                self.calls.remove(&id);
            }
        }
    }

    /// Forgets a call that was cancelled, with all its answers.
    pub fn remove(&mut self, id: CallId) {
        let is_it = |answer: &Answer| answer.id == id;
        self.queue.remove(is_it);
        self.places.iter_mut().filter(|place| place.serves(is_it)).for_each(Place::free);
        self.calls.remove(&id);
    }

    /// After a step that failed nothing that a slot holds can be trusted: forgets all of it, and the
    /// calls that had begun. Gives those.
    pub fn discard(&mut self) -> Vec<CallId> {
        let begun = self.places.iter().filter_map(|place| place.answer.as_ref());
        let mut begun: Vec<CallId> = begun.map(|answer| answer.id).collect();
        begun.sort_unstable();
        begun.dedup();
        begun.iter().for_each(|&id| self.remove(id));
        self.places.fill_with(Place::default);
        begun
    }

    pub fn prefill_beside_decode_max(&self) -> usize {
        self.limits.prefill_beside_decode_max
    }

    /// Changes the prompt tokens that a step may hold while others wait for their next token.
    pub fn set_prefill_beside_decode_max(&mut self, tokens: usize) {
        self.limits.prefill_beside_decode_max = tokens.max(self.places.len());
    }

    /// Tokens that a plan's work reads.
    pub fn tokens(&self, work: &Work) -> &[Token] {
        let answer = self.places[work.slot].answer.as_ref().filter(|a| a.is(work.id, work.choice));
        answer.map_or(&[], |answer| &answer.row.tokens[work.from..work.from + work.len])
    }
}
