//! The engine loop: orders in, one step after another, deltas out.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::token::LlamaToken;

use super::super::Event;
use super::super::error::CallError;
use super::super::wire::Reply;
use super::ChildError;
use super::front::Order;
use super::model::Model;
use super::pipe::Output;
use super::prepare::Ready;
use super::sequence::Sequence;
use super::threads::Threads;
use crate::scheduler::{CallId, Limits, Move, Scheduler, Step, Work};

/// How long running answers wait for a piece of another's prompt.
const PREFILL_PAUSE: Duration = Duration::from_millis(200);
/// Prompt tokens in such a piece, until the speed is known; and the fewest, since the weights are
/// read once for each step however few tokens it has.
const PREFILL_TOKENS_FIRST: usize = 64;
const PREFILL_TOKENS_MIN: usize = 16;
/// As many make the best of a processor's cores; a GPU takes more at once.
const PREFILL_TOKENS_ENOUGH: usize = 32;

pub(super) struct Runner<'a> {
    model: &'a Model,
    context: LlamaContext<'a>,
    threads: Threads,
    output: &'a Output,
    batch: LlamaBatch<'static>,
    scheduler: Scheduler,
    calls: HashMap<CallId, Call>,
    /// What a step brought; sent together at its end.
    replies: Vec<Reply>,
}

/// A call and its answers that have not ended.
struct Call {
    answers: HashMap<u32, Sequence>,
    /// Answers to one prompt.
    answers_each: u32,
    tokens_out: u64,
    tokens_cached: u64,
}

impl<'a> Runner<'a> {
    pub fn new(
        model: &'a Model,
        context: LlamaContext<'a>,
        threads: Threads,
        output: &'a Output,
    ) -> Self {
        let step_tokens_max = context.n_batch() as usize;
        let limits = Limits {
            step_tokens_max,
            prefill_beside_decode_max: PREFILL_TOKENS_FIRST,
            prefill_enough: if model.on_gpu { step_tokens_max } else { PREFILL_TOKENS_ENOUGH },
            // A recurrent state holds all that was read; it can't be cut back.
            prefix_reuse: !model.llama.is_recurrent() && !model.llama.is_hybrid(),
        };
        Self {
            model,
            context,
            threads,
            output,
            batch: LlamaBatch::new(step_tokens_max, 1),
            scheduler: Scheduler::new(model.slots as usize, limits),
            calls: HashMap::new(),
            replies: Vec::new(),
        }
    }

    /// Runs until the front desk is gone. Orders are taken between steps, so a cancellation counts
    /// from the next step on.
    pub fn run(mut self, inbox: &Receiver<Order>) -> Result<(), ChildError> {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(order) => self.take(order),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            let step = self.scheduler.plan();
            self.apply(&step.moves)?;
            if !step.work.is_empty() {
                self.step(&step)?;
                continue;
            }
            // Nobody may go on: sleep until something changes that.
            match inbox.recv() {
                Ok(order) => self.take(order),
                Err(_) => return Ok(()),
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Start { id, ready } => self.start(id, *ready),
            Order::Allow { id, tokens_out } => self.scheduler.allow(id, tokens_out),
            Order::Cancel { id } => {
                self.calls.remove(&id);
                self.scheduler.remove(id);
            }
        }
    }

    fn start(&mut self, id: CallId, ready: Ready) {
        let ids = |prompt: Vec<LlamaToken>| prompt.into_iter().map(|token| token.0).collect();
        let prompts = ready.prompts.into_iter().map(ids).collect();
        self.scheduler.add(id, ready.scope, prompts, ready.allowed_tokens);
        if ready.reads_anew {
            self.scheduler.read_anew(id);
        }
        let answers = ready.answers.into_iter().map(|answer| (answer.choice, answer)).collect();
        let answers_each = ready.answers_each;
        self.calls.insert(id, Call { answers, answers_each, tokens_out: 0, tokens_cached: 0 });
    }

    /// Makes the cache hold what the scheduler says. A cache that can't would give wrong answers:
    /// that ends the process.
    fn apply(&mut self, moves: &[Move]) -> Result<(), ChildError> {
        for &one in moves {
            match one {
                Move::Cut { slot, len } => self.cut(slot, len)?,
                Move::Copy { from, to, len } => {
                    self.cut(to, 0)?;
                    // Between slots that have a stretch of the cache each, only all can be copied.
                    let [from, slot] = [from, to].map(i32::try_from);
                    let (Ok(from), Ok(slot)) = (from, slot) else { return Err(ChildError::Cache) };
                    self.context
                        .copy_kv_cache_seq(from, slot, None, None)
                        .map_err(|_| ChildError::Cache)?;
                    self.cut(to, len)?;
                }
            }
        }
        Ok(())
    }

    fn cut(&mut self, slot: usize, len: usize) -> Result<(), ChildError> {
        let (Ok(slot), Ok(len)) = (u32::try_from(slot), u32::try_from(len)) else {
            return Err(ChildError::Cache);
        };
        match self.context.clear_kv_cache_seq(Some(slot), Some(len), None) {
            Ok(true) => Ok(()),
            _ => Err(ChildError::Cache),
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), ChildError> {
        let began = Instant::now();
        if let Err(detail) = self.compute(&step.work) {
            return self.fail(&detail);
        }
        self.learn_speed(&step.work, began.elapsed());
        let mut row = 0;
        for work in &step.work {
            self.read_prompt(work, row);
            row += work.len;
            if work.samples {
                self.sample(work, row - 1);
            }
        }
        self.output.send_all(&self.replies)?;
        self.replies.clear();
        Ok(())
    }

    /// Lets the model read the work's tokens, all in one batch.
    fn compute(&mut self, work: &[Work]) -> Result<(), String> {
        self.batch.clear();
        for work in work {
            let slot = i32::try_from(work.slot).map_err(|error| error.to_string())?;
            let all = self.wants_prompt_logprobs(work);
            for (at, &token) in (work.from..).zip(self.scheduler.tokens(work)) {
                let position = i32::try_from(at).map_err(|error| error.to_string())?;
                let wanted = all || work.samples && at + 1 == work.from + work.len;
                self.batch
                    .add(LlamaToken(token), position, &[slot], wanted)
                    .map_err(|error| error.to_string())?;
            }
        }
        let decode = || self.context.decode(&mut self.batch);
        self.threads.run(decode).map_err(|error| error.to_string())
    }

    /// Fits the pieces of prompts to the machine: a few tokens of a large model take as long as many
    /// of a small one.
    fn learn_speed(&mut self, work: &[Work], took: Duration) {
        let tokens: usize = work.iter().map(|work| work.len).sum();
        // Steps that only decode say little about prompts.
        if tokens < PREFILL_TOKENS_MIN || tokens == work.len() {
            return;
        }
        let fit = tokens as f64 * PREFILL_PAUSE.as_secs_f64() / took.as_secs_f64().max(1e-6);
        let fit = (fit as usize).max(PREFILL_TOKENS_MIN);
        let now = self.scheduler.prefill_beside_decode_max();
        self.scheduler.set_prefill_beside_decode_max((3 * now + fit) / 4);
    }

    fn wants_prompt_logprobs(&self, work: &Work) -> bool {
        let answer = self.calls.get(&work.id).and_then(|call| call.answers.get(&work.choice));
        answer.is_some_and(Sequence::wants_prompt_logprobs)
    }

    /// Tells the answer about its prompt, if it asks; the work begins in this row of the batch.
    fn read_prompt(&mut self, work: &Work, row: usize) {
        if !self.wants_prompt_logprobs(work) {
            return;
        }
        let Some(call) = self.calls.get_mut(&work.id) else { return };
        let Some(answer) = call.answers.get_mut(&work.choice) else { return };
        for n in 0..work.len {
            let logits = self.context.get_logits_ith(index(row + n));
            answer.read_prompt(work.from + n, logits, self.model);
        }
    }

    /// Samples the answer whose last token is in this row of the batch.
    fn sample(&mut self, work: &Work, row: usize) {
        let &Work { id, choice, .. } = work;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(answer) = call.answers.get_mut(&choice) else { return };
        let told = match answer.step(self.context.get_logits_ith(index(row)), self.model) {
            Ok(told) => told,
            Err(error) => return self.fail_call(id, error.to_string()),
        };
        if let Some(token) = told.token {
            self.scheduler.push(id, choice, token.0);
            call.tokens_out += 1;
        }
        let delta = |delta| Reply::Event { id, event: Event::Delta(delta) };
        self.replies.extend(told.deltas.into_iter().map(delta));
        let Some(finish) = told.finish else { return };
        // Further answers to a prompt count it no second time, cached or not.
        if choice.is_multiple_of(call.answers_each) {
            call.tokens_cached += self.scheduler.cached(id, choice) as u64;
        }
        self.scheduler.end(id, choice);
        call.answers.remove(&choice);
        self.replies.push(Reply::Event { id, event: finish });
        if call.answers.is_empty() {
            let (tokens_out, tokens_cached) = (call.tokens_out, call.tokens_cached);
            self.calls.remove(&id);
            self.replies.push(Reply::Event { id, event: Event::End { tokens_out, tokens_cached } });
        }
    }

    /// Ends one call that can't go on; the others do.
    fn fail_call(&mut self, id: CallId, detail: String) {
        self.calls.remove(&id);
        self.scheduler.remove(id);
        self.replies.push(Reply::Failed { id, error: CallError::Compute { detail } });
    }

    /// A step that llama.cpp refused: the calls that had begun fail, those in the queue go on.
    fn fail(&mut self, detail: &str) -> Result<(), ChildError> {
        let begun = self.scheduler.discard();
        eprintln!("error: a step of {} calls failed: {detail}", begun.len());
        self.context.clear_kv_cache();
        for id in begun {
            self.calls.remove(&id);
            let error = CallError::Compute { detail: detail.to_owned() };
            self.output.send(&Reply::Failed { id, error })?;
        }
        Ok(())
    }
}

/// A row of the batch as llama.cpp counts.
fn index(row: usize) -> i32 {
    i32::try_from(row).expect("a step has at most so many rows as a batch")
}
