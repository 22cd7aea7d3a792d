//! One call from beginning to end: which workers are tried, and what is recorded of it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use chainference_chain::Pubkey;
use chainference_market::{Lamports, Totals};
use chainference_protocol::{CallRequest, Task, seal_call};
use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{Instant, timeout},
};

use super::{
    Answer, CallError, Settlement,
    admission::{Charge, Row},
    answer::{Event, Failure, Started},
    exact::Finding,
    lease::Asked,
    receipts::Receipts,
    session::Lease,
    stake,
    worker::Frames,
};
use crate::{
    access::Caller,
    ledger::CallEnd,
    limits, metrics,
    mode::{Mode, Way},
    routing::{Candidate, NoCandidate, Picked, Size, Wish, needs},
};

/// How many pieces of an answer may wait for a slow client.
const PIECES_WAITING_MAX: usize = 16;

/// A call in progress.
pub(super) struct Call {
    pub settlement: Settlement,
    pub caller: Caller,
    pub id: String,
    pub request: CallRequest,
    pub mode: Mode,
    /// What a choice of the worker goes by.
    size: Size,
    pub beginning: Option<u64>,
    pub began: Instant,
    pub events: mpsc::Sender<Event>,
    pub delivered: Arc<AtomicU64>,
}

/// How an attempt on one worker ended.
pub(super) enum Attempt {
    /// The client has its answer, or the part of it that there is, or has left.
    Over(Over),
    /// Nothing reached the client: another worker may be tried. `cost` is of what this one was
    /// promised before it failed.
    Unseen { error: CallError, cost: Lamports },
}

/// A call that its client waits for no more.
pub(super) struct Over {
    pub end: CallEnd,
    /// Of the last attempt.
    pub cost: Lamports,
    pub signed: Option<Box<Signed>>,
}

/// What the worker has signed of it, and what the model's tokenizer found.
pub(super) struct Signed {
    pub worker: Pubkey,
    pub x25519: [u8; 32],
    pub receipts: Receipts,
    pub found: Option<Finding>,
}

impl From<CallEnd> for Over {
    fn from(end: CallEnd) -> Self {
        Self { end, cost: Lamports::ZERO, signed: None }
    }
}

impl Settlement {
    /// Begins a call. Its work goes on in a task until its job has been ended, whatever becomes
    /// of the answer.
    pub fn call(&self, caller: Caller, id: String, request: CallRequest, streamed: bool) -> Answer {
        self.lull.stir();
        let (sender, events) = mpsc::channel(PIECES_WAITING_MAX);
        let delivered = Arc::new(AtomicU64::new(0));
        let call = Call {
            settlement: self.clone(),
            mode: caller.mode().unwrap_or(self.mode),
            size: size(&request.task),
            beginning: self.directory.beginning(&request.task, &request.model),
            caller,
            id,
            request,
            began: Instant::now(),
            events: sender,
            delivered: delivered.clone(),
        };
        self.tasks.spawn(call.run(streamed));
        Answer::new(events, delivered)
    }
}

impl Call {
    async fn run(self, streamed: bool) {
        let mut charge = match self.admit(streamed).await {
            Ok(charge) => charge,
            Err(error) => {
                metrics::call_ended("failed");
                if let CallError::Key(refusal) = &error {
                    metrics::refused(refusal.to_api().code.unwrap_or_default());
                }
                self.tell(Event::Failed(Failure { error, costs: false })).await;
                return;
            }
        };
        let over = match self.attempts(&mut charge).await {
            Ok(over) => over,
            Err(failure) => {
                tracing::warn!(call = %self.id, error = %failure.error, "a call failed");
                let end = CallEnd::failed(Totals::ZERO, failure.error.to_string());
                self.tell(Event::Failed(failure)).await;
                end.into()
            }
        };
        metrics::call_ended(over.end.status);
        self.conclude(charge, over).await;
    }

    /// Tries one worker after the other until a client sees something, or no more is worth it.
    async fn attempts(&self, charge: &mut Charge) -> Result<Over, Failure> {
        let model = &self.request.model;
        let mut tried: Vec<Pubkey> = Vec::new();
        let mut last = None;
        let mut costs = false;
        while tried.len() < limits::ATTEMPTS_MAX {
            if self.events.is_closed() {
                return Ok(CallEnd::abandoned(Totals::ZERO).into());
            }
            let picked = match self.pick(&tried) {
                Ok(picked) if !self.left(limits::FIRST_TOKEN_DEADLINE).is_zero() => picked,
                Ok(_) => return Err(Failure { error: CallError::FirstTokenLate, costs }),
                Err(why) => {
                    let error = last.unwrap_or_else(|| CallError::nobody(model, why));
                    return Err(Failure { error, costs });
                }
            };
            let candidate = &picked.candidate;
            if let Err(error) = self.cover(charge, candidate).await {
                return Err(Failure { error, costs });
            }
            let (error, cost) = match self.attempt(&picked, &charge.row).await {
                Attempt::Over(over) => {
                    charge.owe(over.cost);
                    return Ok(over);
                }
                Attempt::Unseen { error, cost } => (error, cost),
            };
            charge.owe(cost);
            costs |= cost > Lamports::ZERO;
            if !error.is_the_workers() {
                return Err(Failure { error, costs });
            }
            tracing::warn!(worker = %candidate.worker, %error, "a worker failed on a call");
            self.blame(candidate, &error);
            tried.push(candidate.worker);
            last = Some(error);
        }
        let error = last.unwrap_or(CallError::FirstTokenLate);
        Err(Failure { error, costs })
    }

    pub(super) fn blame(&self, candidate: &Candidate, error: &CallError) {
        if error.trips_breaker() {
            self.settlement.directory.failed(candidate.worker);
        }
    }

    /// The best worker. With the chain away, one that could begin without it.
    pub(super) fn pick(&self, tried: &[Pubkey]) -> Result<Picked, NoCandidate> {
        let settlement = &self.settlement;
        let without = [tried, self.caller.avoided()].concat();
        let wish = Wish {
            asked: &self.request.model,
            needs: needs(&self.request.task),
            models: self.caller.models(),
            without: &without,
            size: self.size,
            beginning: self.beginning,
        };
        match settlement.directory.pick(&wish) {
            Err(NoCandidate::ChainAway(reason)) => {
                let can_begin =
                    |one: &Candidate| settlement.has_place(&self.request.task, one, self.way(one));
                let known = settlement.directory.pick_known(&wish, can_begin);
                known.ok_or(NoCandidate::ChainAway(reason))
            }
            picked => picked,
        }
    }

    fn way(&self, candidate: &Candidate) -> Way {
        let typical = self.settlement.typical.cost(candidate.offer);
        self.mode.way(self.settlement.fees_matter, typical)
    }

    async fn attempt(&self, picked: &Picked, row: &Row) -> Attempt {
        let candidate = &picked.candidate;
        let visit = self.settlement.directory.enter(candidate.worker);
        let unseen = |error| Attempt::Unseen { error, cost: Lamports::ZERO };
        let settlement = &self.settlement;
        let mut is_fresh = false;
        loop {
            let asked = Asked {
                call: &self.id,
                row,
                task: &self.request.task,
                candidate,
                way: self.way(candidate),
                is_fresh,
            };
            // Never cut short in the middle: each of its steps has its own deadline.
            let lease = match settlement.lease(&asked).await {
                Ok(lease) => lease,
                Err(error) => return unseen(error),
            };
            let overhead = self.began.elapsed();
            metrics::overhead(overhead);
            let job = lease.job().id();
            let written = async {
                // The call goes out first.
                yield_now().await;
                row.write(Some(&job)).await
            };
            let (sent, written) = tokio::join!(self.send(candidate, &lease), written);
            let error = match written.and_then(|names_job| Ok((names_job, sent?))) {
                Ok((names_job, frames)) => {
                    let started = Started {
                        job,
                        worker: candidate.worker.to_string(),
                        model: candidate.model.clone(),
                        choice: Some(picked.choice),
                        tokens_in: 0,
                        overhead,
                    };
                    if !names_job {
                        self.note_job(started.job.clone());
                    }
                    return self.relay((candidate, &visit), lease, frames, started).await;
                }
                Err(error) => error,
            };
            // A job that was there may have died meanwhile; the worker that lives gets another.
            is_fresh = lease.is_ahead && !is_fresh && error.is_the_jobs();
            let is_unharmed = error.is_refusal() && !error.is_the_jobs();
            if is_unharmed && lease.is_ahead && asked.way == Way::PerCall {
                settlement.give_back(lease);
                return unseen(error);
            }
            settlement.settle(lease, Totals::ZERO, error.is_refusal(), Some(error.to_string()));
            if !is_fresh {
                return unseen(error);
            }
        }
    }

    /// Records which job the call uses, while the worker reads the prompt.
    fn note_job(&self, job: String) {
        let (ledger, call) = (self.settlement.ledger.clone(), self.id.clone());
        self.settlement.tasks.spawn(async move {
            if let Err(error) = ledger.call_uses(&call, &job).await {
                tracing::error!(call, %error, "a call's job could not be recorded");
            }
        });
    }

    /// Seals the call and posts it.
    async fn send(&self, candidate: &Candidate, lease: &Lease) -> Result<Frames, CallError> {
        let job = lease.job();
        let request =
            CallRequest { model: candidate.model.clone(), task: self.request.task.clone() };
        let envelope = self.settlement.envelopes.take(candidate.x25519)?;
        let (key, address) = (&job.session_key, job.wire_address());
        let sealed = seal_call(envelope, key, address, lease.call, &request);
        let (sealed, opener) = sealed.map_err(|error| CallError::Protocol(error.to_string()))?;
        let deadline = self.left(limits::FIRST_TOKEN_DEADLINE);
        self.settlement.workers.call(&job.endpoint, &sealed, opener, deadline).await
    }

    /// Hands an event to the client's side; `false` where that has left, or takes nothing.
    pub(super) async fn tell(&self, event: Event) -> bool {
        self.settlement.lull.stir();
        let sent = timeout(limits::CLIENT_STALL_DEADLINE, self.events.send(event)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// What is left of a deadline that began with the call.
    pub(super) fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.began.elapsed())
    }
}

/// How long a call is likely to be. Four bytes make a token, about; few answers are as long as they may be.
fn size(task: &Task) -> Size {
    let most = stake::bounds(task, u32::MAX);
    Size {
        tokens_in: most.tokens_in / 4,
        tokens_out: most.tokens_out.min(Size::TYPICAL.tokens_out),
    }
}
