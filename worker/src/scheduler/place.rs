//! Slots, what their caches hold, and where a new answer begins.

use std::cmp::Reverse;

use super::answer::{Answer, Follows};
use super::{Move, Scope, Slot, Token};

/// A copy between slots moves a whole slot's cache, where prompts of so few tokens are read as soon.
pub(super) const COPY_TOKENS_MIN: usize = 32;

/// Tokens and whose they are.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub scope: Scope,
    pub tokens: Vec<Token>,
}

impl Row {
    /// How many tokens both begin with; none of another scope.
    fn common(&self, other: &Self) -> usize {
        if self.scope != other.scope {
            return 0;
        }
        self.tokens.iter().zip(&other.tokens).take_while(|(one, two)| one == two).count()
    }
}

/// A slot.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub answer: Option<Answer>,
    /// What the cache of a free slot still holds.
    kept: Row,
    /// The plan that used it last.
    pub used_at: usize,
}

impl Place {
    pub fn serves(&self, is_it: impl Fn(&Answer) -> bool) -> bool {
        self.answer.as_ref().is_some_and(is_it)
    }

    /// Takes the answer out; what it has read stays.
    pub fn free(&mut self) {
        if let Some(mut answer) = self.answer.take() {
            answer.row.tokens.truncate(answer.done);
            self.kept = answer.row;
        }
    }

    /// Tokens that were read.
    fn read(&self) -> usize {
        self.answer.as_ref().map_or(self.kept.tokens.len(), |answer| answer.done)
    }

    /// The tokens that an answer could take over from here, now or once they are read. The last one
    /// of its prompt must be read anew: something has to be sampled from. The last one of a running
    /// answer may never be read.
    fn offers(&self, answer: &Answer) -> usize {
        let prompt = answer.row.tokens.len();
        let common = match &self.answer {
            Some(running) => running.row.common(&answer.row).min(running.row.tokens.len() - 1),
            None => self.kept.common(&answer.row),
        };
        common.min(prompt - 1)
    }
}

/// Lets answers begin whose leaders have read what both share, or have left before that.
pub(super) fn join_leaders(places: &mut [Place], moves: &mut Vec<Move>) {
    for to in 0..places.len() {
        let follows = places[to].answer.as_ref().and_then(|answer| answer.follows);
        let Some(Follows { leader, len }) = follows else { continue };
        let read = places[leader].read();
        if places[leader].answer.is_some() && read < len {
            continue;
        }
        let len = read.min(len);
        if let Some(answer) = places[to].answer.as_mut() {
            answer.skip(len);
        }
        if len > 0 {
            moves.push(Move::Copy { from: leader, to, len });
        }
    }
}

/// Where a new answer begins.
enum Start {
    /// In this free slot, after the first `len` tokens that it holds.
    Here { slot: Slot, len: usize },
    /// With a copy of what another slot has read, or will have.
    Copy { from: Slot, to: Slot, len: usize },
}

/// The free slot that has read most of the prompt, unless that would destroy more than it saves; else
/// the one that was used longest ago, with a copy where that is worth it. `None` when no slot is free.
fn choose(places: &[Place], answer: &Answer, prefix_reuse: bool) -> Option<Start> {
    let offers = |slot: Slot| if prefix_reuse { places[slot].offers(answer) } else { 0 };
    let is_free = |slot: Slot| places[slot].answer.is_none();
    let oldest = oldest_free(places)?;
    let worth = |&slot: &Slot| {
        let in_place = if is_free(slot) { COPY_TOKENS_MIN } else { 0 };
        (offers(slot) + in_place, Reverse((places[slot].used_at, slot)))
    };
    let best = (0..places.len()).max_by_key(worth)?;
    let len = offers(best);
    if is_free(best) && places[best].kept.tokens.len() <= 2 * len {
        Some(Start::Here { slot: best, len })
    } else if best == oldest || len < offers(oldest) + COPY_TOKENS_MIN {
        Some(Start::Here { slot: oldest, len: offers(oldest) })
    } else {
        Some(Start::Copy { from: best, to: oldest, len })
    }
}

/// A free slot to begin anew in: one beside running answers, since slots that follow one another are
/// computed together; of several the one that was used longest ago. What the youngest keeps is the
/// likeliest to be asked for again: that one is spared, unless its answer would run apart from the others.
fn oldest_free(places: &[Place]) -> Option<Slot> {
    let is_busy = |slot: Slot| places.get(slot).is_some_and(|place| place.answer.is_some());
    let free = || (0..places.len()).filter(|&slot| !is_busy(slot));
    let youngest = free().max_by_key(|&slot| places[slot].used_at);
    let neighbours =
        |slot: Slot| u8::from(is_busy(slot + 1)) + u8::from(slot > 0 && is_busy(slot - 1));
    free().min_by_key(|&slot| {
        (Reverse(neighbours(slot)), Some(slot) == youngest, places[slot].used_at)
    })
}

/// Puts an answer into a free slot, of which there must be one.
pub(super) fn put(
    places: &mut [Place],
    mut answer: Answer,
    prefix_reuse: bool,
    now: usize,
    moves: &mut Vec<Move>,
) {
    let Some(start) = choose(places, &answer, prefix_reuse) else { return };
    let slot = match start {
        Start::Here { slot, len } => {
            answer.skip(len);
            moves.push(Move::Cut { slot, len });
            slot
        }
        Start::Copy { from, to, len } if places[from].read() >= len => {
            answer.skip(len);
            moves.push(Move::Copy { from, to, len });
            to
        }
        Start::Copy { from: leader, to: slot, len } => {
            answer.follows = Some(Follows { leader, len });
            moves.push(Move::Cut { slot, len: 0 });
            slot
        }
    };
    (places[slot].answer, places[slot].used_at) = (Some(answer), now);
}
