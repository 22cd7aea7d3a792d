//! Answers that wait for a slot.

use std::collections::{HashMap, VecDeque};

use super::Scope;
use super::answer::Answer;

/// Served in turns: one answer of each scope, then again. Within a scope in order of arrival. So a
/// client that asks for much waits for itself, and no other waits for more than one answer of it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Those with answers waiting, the next one first.
    turns: VecDeque<Scope>,
    waiting: HashMap<Scope, VecDeque<Answer>>,
}

impl Queue {
    pub fn push(&mut self, answer: Answer) {
        let scope = answer.row.scope;
        let of_scope = self.waiting.entry(scope).or_default();
        if of_scope.is_empty() {
            self.turns.push_back(scope);
        }
        of_scope.push_back(answer);
    }

    pub fn pop(&mut self) -> Option<Answer> {
        let scope = self.turns.pop_front()?;
        let answer = self.waiting.get_mut(&scope)?.pop_front();
        if self.has_waiting(&scope) {
            self.turns.push_back(scope);
        }
        answer
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Answer> {
        self.waiting.values_mut().flatten()
    }

    /// Forgets answers; gives how many.
    pub fn remove(&mut self, is_it: impl Fn(&Answer) -> bool) -> usize {
        let count = |queue: &Self| queue.waiting.values().map(VecDeque::len).sum::<usize>();
        let before = count(self);
        for of_scope in self.waiting.values_mut() {
            of_scope.retain(|answer| !is_it(answer));
        }
        let removed = before - count(self);
        let turns = std::mem::take(&mut self.turns);
        self.turns = turns.into_iter().filter(|scope| self.has_waiting(scope)).collect();
        removed
    }

    /// A scope without any is forgotten: there may be a new one for each client, for ever.
    fn has_waiting(&mut self, scope: &Scope) -> bool {
        let has = self.waiting.get(scope).is_some_and(|of_scope| !of_scope.is_empty());
        if !has {
            self.waiting.remove(scope);
        }
        has
    }
}
