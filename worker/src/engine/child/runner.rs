//! The engine loop: orders in, one step after another, deltas out.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};

use chainference_protocol::{Decoding, Task};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;

use super::super::Event;
use super::super::error::CallError;
use super::super::wire::Reply;
use super::ChildError;
use super::front::Order;
use super::model::{Model, STEP_TOKENS_MAX};
use super::pipe::Output;
use super::sequence::Sequence;
use crate::scheduler::{CallId, Limits, Scheduler, Work};

/// Prompt tokens that running answers wait for in one step: some 0.2 s for a small model on two
/// cores.
const PREFILL_BESIDE_DECODE_MAX: usize = 64;

pub(super) struct Runner<'a> {
    model: &'a Model,
    context: LlamaContext<'a>,
    output: &'a Output,
    batch: LlamaBatch<'static>,
    scheduler: Scheduler,
    sequences: HashMap<CallId, Sequence>,
}

impl<'a> Runner<'a> {
    pub fn new(model: &'a Model, context: LlamaContext<'a>, output: &'a Output) -> Self {
        let limits = Limits {
            step_tokens_max: STEP_TOKENS_MAX,
            prefill_beside_decode_max: PREFILL_BESIDE_DECODE_MAX,
        };
        Self {
            model,
            context,
            output,
            batch: LlamaBatch::new(STEP_TOKENS_MAX, 1),
            scheduler: Scheduler::new(model.slots as usize, limits),
            sequences: HashMap::new(),
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
            let plan = self.scheduler.plan();
            if !plan.is_empty() {
                self.step(&plan)?;
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
            Order::Start { id, prompt, request } => {
                self.scheduler.add(id, prompt.len(), request.allowed_tokens);
                let decoding = match request.task {
                    Task::Chat(chat) => chat.decoding,
                    Task::Complete(completion) => completion.decoding,
                    Task::Embed(_) => Decoding::default(),
                };
                self.sequences.insert(id, Sequence::new(0, prompt, decoding, self.model));
            }
            Order::Allow { id, tokens_out } => self.scheduler.allow(id, tokens_out),
            Order::Cancel { id } => self.forget(id),
        }
    }

    /// Ends a call, finished or not, and frees its slot.
    fn forget(&mut self, id: CallId) {
        self.sequences.remove(&id);
        if let Some(slot) = self.scheduler.remove(id) {
            let slot = u32::try_from(slot).ok();
            if let Err(error) = self.context.clear_kv_cache_seq(slot, None, None) {
                eprintln!("error: slot {slot:?} can't be cleared: {error}");
            }
        }
    }

    fn step(&mut self, plan: &[Work]) -> Result<(), ChildError> {
        if let Err(detail) = self.compute(plan) {
            return self.fail(plan, &detail);
        }
        let mut row = 0;
        for work in plan {
            row += work.len;
            if work.samples {
                self.sample(work.id, row - 1)?;
            }
        }
        Ok(())
    }

    /// Lets the model read the plan's tokens, all in one batch.
    fn compute(&mut self, plan: &[Work]) -> Result<(), String> {
        self.batch.clear();
        for work in plan {
            let Some(sequence) = self.sequences.get(&work.id) else {
                return Err(format!("call {} is unknown", work.id));
            };
            let slot = i32::try_from(work.slot).map_err(|error| error.to_string())?;
            let end = work.from + work.len;
            for at in work.from..end {
                let position = i32::try_from(at).map_err(|error| error.to_string())?;
                let wanted = work.samples && at + 1 == end;
                self.batch
                    .add(sequence.tokens[at], position, &[slot], wanted)
                    .map_err(|error| error.to_string())?;
            }
        }
        self.context.decode(&mut self.batch).map_err(|error| error.to_string())
    }

    /// Samples the call whose last token is in this row of the batch.
    fn sample(&mut self, id: CallId, row: usize) -> Result<(), ChildError> {
        let Some(sequence) = self.sequences.get_mut(&id) else {
            return Ok(());
        };
        let row = i32::try_from(row).expect("a step has at most STEP_TOKENS_MAX rows");
        let token = sequence.sampler.sample(&self.context, row);
        let (delta, finish) = sequence.accept(token, self.model);
        let tokens_out = sequence.tokens_out();
        self.output.send(&Reply::Event { id, event: Event::Delta(delta) })?;
        if let Some(finish) = finish {
            self.forget(id);
            self.output.send(&Reply::Event { id, event: finish })?;
            let end = Event::End { tokens_out, tokens_cached: 0 };
            self.output.send(&Reply::Event { id, event: end })?;
        }
        Ok(())
    }

    /// A step that llama.cpp refused: its calls fail, the others and later ones go on.
    fn fail(&mut self, plan: &[Work], detail: &str) -> Result<(), ChildError> {
        eprintln!("error: a step of {} calls failed: {detail}", plan.len());
        for work in plan {
            self.forget(work.id);
            let error = CallError::Compute { detail: detail.to_owned() };
            self.output.send(&Reply::Failed { id: work.id, error })?;
        }
        Ok(())
    }
}
