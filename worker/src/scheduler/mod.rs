//! Continuous batching, pure: which tokens of which calls are computed in the next step. No model,
//! no clock, no IO.
//!
//! A call is a row of tokens: its prompt, then one more token each time the model is sampled.
//! `known` counts the row, `done` how much of it the model has read. Computing the last known token
//! is what samples the next one, so prefill and decode are the same thing: decode is the case where
//! only one token is left to read. A call that has used up what it is allowed may still read up to
//! its last known token, but not that one. That makes "wait without computing" one subtraction.

use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// A call's number, unique for the life of the engine.
pub type CallId = u64;

/// A place in the model's KV cache.
pub type Slot = usize;

/// How much is put into one step.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tokens in one step; at least the number of slots.
    pub step_tokens_max: usize,
    /// Prompt tokens in a step that others wait for to get their next token: the pause that one
    /// call's prompt costs the rest.
    pub prefill_beside_decode_max: usize,
}

/// One call's share of a step: tokens `from..from + len` of its row, to be read in `slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    pub id: CallId,
    pub slot: Slot,
    pub from: usize,
    pub len: usize,
    /// Whether the end of the row is reached, so that a next token is sampled.
    pub samples: bool,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    known: usize,
    done: usize,
    produced: u64,
    allowed: u64,
}

impl Call {
    /// Tokens that may be read now.
    fn ready(&self) -> usize {
        let unread = self.known - self.done;
        if self.produced < self.allowed { unread } else { unread - 1 }
    }

    fn decodes(&self) -> bool {
        self.known - self.done == 1 && self.produced < self.allowed
    }

    /// Books `len` tokens as read and, at the end of the row, one more as produced.
    fn take(&mut self, slot: Slot, len: usize) -> Work {
        let work = Work {
            id: self.id,
            slot,
            from: self.done,
            len,
            samples: self.done + len == self.known,
        };
        self.done += len;
        if work.samples {
            self.known += 1;
            self.produced += 1;
        }
        work
    }
}

/// The calls in the slots and those that wait for one.
#[derive(Debug)]
pub struct Scheduler {
    slots: Vec<Option<Call>>,
    queue: VecDeque<Call>,
    limits: Limits,
    /// The slot that prefill begins with: moves on each step, so that rounding favours nobody for
    /// long.
    first: Slot,
}

impl Scheduler {
    /// # Panics
    /// When a step could not hold one token for each slot.
    pub fn new(slots: usize, limits: Limits) -> Self {
        assert!(
            slots > 0 && slots <= limits.step_tokens_max,
            "a step must hold a token of each slot"
        );
        Self { slots: (0..slots).map(|_| None).collect(), queue: VecDeque::new(), limits, first: 0 }
    }

    /// Takes a call with a prompt of `prompt_tokens` (at least one). It gets a slot in order of
    /// arrival.
    pub fn add(&mut self, id: CallId, prompt_tokens: usize, allowed: u64) {
        debug_assert!(prompt_tokens > 0, "an empty prompt gives nothing to sample from");
        self.queue.push_back(Call { id, known: prompt_tokens, done: 0, produced: 0, allowed });
    }

    /// Raises what a call may produce in total. Unknown calls (already over) are ignored.
    pub fn allow(&mut self, id: CallId, allowed: u64) {
        let calls = self.slots.iter_mut().flatten().chain(&mut self.queue);
        for call in calls.filter(|call| call.id == id) {
            call.allowed = call.allowed.max(allowed);
        }
    }

    /// Forgets a call that ended or was cancelled. Gives the slot that it held, whose cache must be
    /// cleared before the next plan.
    pub fn remove(&mut self, id: CallId) -> Option<Slot> {
        self.queue.retain(|call| call.id != id);
        let slot =
            self.slots.iter().position(|slot| slot.as_ref().is_some_and(|call| call.id == id))?;
        self.slots[slot] = None;
        Some(slot)
    }

    /// The next step; empty when every call waits for an allowance or there is none. What is
    /// planned counts as done.
    pub fn plan(&mut self) -> Vec<Work> {
        self.fill_slots();
        let mut plan = self.decodes();
        let room = self.limits.step_tokens_max - plan.len();
        let room =
            if plan.is_empty() { room } else { room.min(self.limits.prefill_beside_decode_max) };
        self.prefill(room, &mut plan);
        self.first = (self.first + 1) % self.slots.len();
        plan
    }

    fn fill_slots(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_none()) {
            *slot = self.queue.pop_front();
        }
    }

    /// One token for each call that is in the middle of its answer: nobody's stream waits for
    /// another's prompt.
    fn decodes(&mut self) -> Vec<Work> {
        let decoding = |(slot, call): (Slot, &mut Option<Call>)| {
            let call = call.as_mut().filter(|call| call.decodes())?;
            Some(call.take(slot, 1))
        };
        self.slots.iter_mut().enumerate().filter_map(decoding).collect()
    }

    /// Shares `room` among the prompts, evenly: a short prompt isn't kept waiting by a long one,
    /// and takes only what it needs.
    fn prefill(&mut self, mut room: usize, plan: &mut Vec<Work>) {
        let planned = |slot: Slot, plan: &[Work]| plan.iter().any(|work| work.slot == slot);
        let count = self.slots.len();
        let order = (0..count).map(|n| (self.first + n) % count);
        let mut waiting: Vec<(usize, Slot)> = order
            .filter(|&slot| !planned(slot, plan))
            .filter_map(|slot| Some((self.slots[slot].as_ref()?.ready(), slot)))
            .filter(|&(ready, _)| ready > 0)
            .collect();
        // Shortest first, so that what it leaves over is shared by the rest; a stable sort keeps
        // the turn among equals.
        waiting.sort_by_key(|&(ready, _)| ready);
        for (rank, &(ready, slot)) in waiting.iter().enumerate() {
            let share = room.div_ceil(waiting.len() - rank);
            let len = ready.min(share);
            if let (Some(call), true) = (self.slots[slot].as_mut(), len > 0) {
                plan.push(call.take(slot, len));
                room -= len;
            }
        }
    }
}
