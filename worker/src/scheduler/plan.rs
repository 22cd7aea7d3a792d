//! What goes into a step: one token for each running answer, and prompts.

use super::answer::{Allowance, Answer};
use super::{Move, Scheduler, Slot, Step, Work, place};

/// How much longer a step may be that keeps no running answer waiting. Not as long as it likes: who
/// comes or leaves meanwhile waits for its end.
const ALONE: usize = 5;

/// Steps that a prompt may be passed over for shorter ones.
pub(super) const PREFILL_PATIENCE: usize = 8;

/// Which answers wait for their next token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    Nothing,
    /// Such as have no more than their first: those of others come before anybody's second.
    Begun,
    On,
}

/// A prompt that is to be read.
struct Waiting {
    /// It may still be passed over.
    is_patient: bool,
    ready: usize,
    slot: Slot,
}

impl Scheduler {
    /// The next step; without work when every answer waits for an allowance or there is none. What
    /// is planned counts as done.
    pub fn plan(&mut self) -> Step {
        self.now += 1;
        let mut step = Step::default();
        place::join_leaders(&mut self.places, &mut step.moves);
        self.fill_slots(&mut step.moves);
        let waiting = self.waiting_prompts();
        let running = self.running();
        let mut left = self.pause(running).saturating_sub(self.read_since_decode);
        // Answers that begin together are computed together, which is faster: a prompt that fits into
        // the pause is read first.
        let is_in_pause = running == Running::Begun || self.read_since_decode > 0;
        if !(is_in_pause && waiting.first().is_some_and(|prompt| prompt.ready <= left)) {
            self.decode(&mut step.work);
            self.read_since_decode = 0;
            left = if step.work.is_empty() { self.pause(running) } else { self.pause(Running::On) };
        }
        let room = left.min(self.limits.step_tokens_max - step.work.len());
        let read = self.prefill(room, waiting, &mut step.work);
        self.read_since_decode += if running == Running::Nothing { 0 } else { read };
        // llama.cpp computes slots together only where they follow one another.
        step.work.sort_unstable_by_key(|work| work.slot);
        step
    }

    fn running(&self) -> Running {
        let answers = self.places.iter().filter_map(|place| place.answer.as_ref());
        let may_sample =
            |answer: &Answer| self.calls.get(&answer.id).is_some_and(Allowance::is_open);
        let is_running = |answer: &&Answer| answer.unread() == 1 && may_sample(answer);
        let produced = |answer: &Answer| answer.row.tokens.len() - answer.prompt;
        match answers.filter(is_running).map(produced).max() {
            None => Running::Nothing,
            Some(0 | 1) => Running::Begun,
            Some(_) => Running::On,
        }
    }

    /// Prompt tokens that may be read before running answers get their next token.
    fn pause(&self, running: Running) -> usize {
        let most = self.limits.prefill_beside_decode_max;
        if running == Running::On { most } else { most.saturating_mul(ALONE) }
    }

    fn fill_slots(&mut self, moves: &mut Vec<Move>) {
        while self.places.iter().any(|place| place.answer.is_none()) {
            let Some(answer) = self.queue.pop() else { return };
            let reuse = self.limits.prefix_reuse && !answer.reads_anew;
            place::put(&mut self.places, answer, reuse, self.now, moves);
        }
    }

    /// Slots in the order of this step's turn.
    fn turn(&self) -> impl Iterator<Item = Slot> + use<> {
        let (count, first) = (self.places.len(), self.now);
        (0..count).map(move |n| (first + n) % count)
    }

    /// One token for each answer that has begun: nobody's stream waits for another's prompt.
    fn decode(&mut self, work: &mut Vec<Work>) {
        for slot in self.turn() {
            self.take(slot, 1, work, |answer, may_sample| answer.unread() == 1 && may_sample);
        }
    }

    /// Prompts in the order in which they are to be read: the shortest first, since their answers can
    /// begin soonest; but none waits for long.
    fn waiting_prompts(&self) -> Vec<Waiting> {
        let mut waiting: Vec<Waiting> = self
            .turn()
            .filter_map(|slot| {
                let place = &self.places[slot];
                let answer = place.answer.as_ref()?;
                let may_sample = self.calls.get(&answer.id)?.is_open();
                let is_patient = self.now - place.used_at < PREFILL_PATIENCE;
                let is_running = answer.unread() == 1 && may_sample;
                let ready = if is_running { 0 } else { answer.ready(may_sample) };
                (ready > 0).then_some(Waiting { is_patient, ready, slot })
            })
            .collect();
        // A stable sort keeps the turn among equals.
        waiting.sort_by_key(|prompt| (prompt.is_patient, prompt.ready));
        waiting
    }

    /// Fills `room` with prompts, as far as that is faster than one alone. Gives how many tokens.
    fn prefill(&mut self, room: usize, waiting: Vec<Waiting>, work: &mut Vec<Work>) -> usize {
        let enough = room.min(self.limits.prefill_enough);
        let mut read = 0;
        for Waiting { slot, .. } in waiting {
            if read >= enough {
                break;
            }
            read += self.take(slot, room - read, work, |_, _| true);
        }
        read
    }

    /// Plans up to `most` tokens of the answer in `slot`, if it is fit; gives how many. Asks the
    /// allowance anew each time: answers of one call share it.
    fn take(
        &mut self,
        slot: Slot,
        most: usize,
        work: &mut Vec<Work>,
        is_fit: impl Fn(&Answer, bool) -> bool,
    ) -> usize {
        let place = &mut self.places[slot];
        let Some(answer) = place.answer.as_mut() else { return 0 };
        let Some(call) = self.calls.get_mut(&answer.id) else { return 0 };
        let len = answer.ready(call.is_open()).min(most);
        if len == 0 || !is_fit(answer, call.is_open()) {
            return 0;
        }
        place.used_at = self.now;
        let taken = answer.take(slot, len);
        call.produced += u64::from(taken.samples);
        work.push(taken);
        len
    }
}
