//! One call from beginning to end: which workers are tried, and what is recorded of it.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use chainference_chain::Pubkey;
use chainference_market::Totals;
use chainference_protocol::{CallRequest, WorkerPublic, seal_call};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{
    Answer, CallError, Settlement,
    answer::{Event, Failure, Started},
    prepare::{Prepared, generator},
    worker::Frames,
};
use crate::{
    clock::now_unix_ms,
    ledger::CallEnd,
    limits, metrics,
    routing::{Candidate, needs},
};

/// How many pieces of an answer may wait for a slow client.
const PIECES_WAITING_MAX: usize = 16;

/// A call in progress.
pub(super) struct Call {
    pub settlement: Settlement,
    pub id: String,
    pub request: CallRequest,
    pub began: Instant,
    pub events: mpsc::Sender<Event>,
    pub delivered: Arc<AtomicU64>,
}

/// How an attempt on one worker ended.
pub(super) enum Attempt {
    /// The client has its answer, or the part of it that there is, or has left.
    Over { job: String, end: CallEnd },
    /// Nothing reached the client: another worker may be tried. `owed` is what this one was
    /// promised before it failed.
    Unseen { error: CallError, owed: Totals },
}

impl Settlement {
    /// Begins a call. Its work goes on in a task until its job has been ended, whatever becomes
    /// of the answer.
    pub fn call(&self, id: String, request: CallRequest, streamed: bool) -> Answer {
        let (sender, events) = mpsc::channel(PIECES_WAITING_MAX);
        let delivered = Arc::new(AtomicU64::new(0));
        let call = Call {
            settlement: self.clone(),
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
        // What nobody serves is not worth a row.
        let needs = needs(&self.request.task);
        if let Err(why) = self.settlement.directory.pick(&self.request.model, needs, &[]) {
            let error = CallError::nobody(&self.request.model, why);
            metrics::call_ended("failed");
            self.tell(Event::Failed(Failure { error, costs: false })).await;
            return;
        }
        let ledger = self.settlement.ledger.clone();
        let begun = ledger.begin_call(&self.id, &self.request.model, streamed, now_unix_ms()).await;
        if let Err(error) = begun {
            tracing::error!(%error, "a call could not be recorded, and was not made");
            let failure = Failure { error: error.into(), costs: false };
            self.tell(Event::Failed(failure)).await;
            return;
        }
        let (job, end) = match self.attempts().await {
            Ok(over) => over,
            Err(failure) => {
                tracing::warn!(call = %self.id, error = %failure.error, "a call failed");
                let end = CallEnd::failed(Totals::ZERO, failure.error.to_string());
                self.tell(Event::Failed(failure)).await;
                (None, end)
            }
        };
        metrics::call_ended(end.status);
        let ended = ledger.end_call(&self.id, job.as_deref(), &end, now_unix_ms()).await;
        if let Err(error) = ended {
            tracing::error!(call = %self.id, %error, "a call's end could not be recorded");
        }
    }

    /// Tries one worker after the other until a client sees something, or no more is worth it.
    async fn attempts(&self) -> Result<(Option<String>, CallEnd), Failure> {
        let directory = &self.settlement.directory;
        let (model, needs) = (&self.request.model, needs(&self.request.task));
        let mut tried: Vec<Pubkey> = Vec::new();
        let mut last = None;
        let mut costs = false;
        while tried.len() < limits::ATTEMPTS_MAX {
            if self.events.is_closed() {
                return Ok((None, CallEnd::abandoned(Totals::ZERO)));
            }
            let candidate = match directory.pick(model, needs, &tried) {
                Ok(candidate) if !self.left(limits::FIRST_TOKEN_DEADLINE).is_zero() => candidate,
                Ok(_) => return Err(Failure { error: CallError::FirstTokenLate, costs }),
                Err(why) => {
                    let error = last.unwrap_or_else(|| CallError::nobody(model, why));
                    return Err(Failure { error, costs });
                }
            };
            let (error, owed) = match self.attempt(&candidate).await {
                Attempt::Over { job, end } => return Ok((Some(job), end)),
                Attempt::Unseen { error, owed } => (error, owed),
            };
            costs |= !owed.is_zero();
            if !error.is_the_workers() {
                return Err(Failure { error, costs });
            }
            tracing::warn!(worker = %candidate.worker, %error, "a worker failed on a call");
            self.blame(&candidate, &error);
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

    async fn attempt(&self, candidate: &Candidate) -> Attempt {
        let unseen = |error| Attempt::Unseen { error, owed: Totals::ZERO };
        let settlement = &self.settlement;
        // Never cut short in the middle: each of its steps has its own deadline.
        let prepared = match settlement.prepare(&self.id, &self.request.task, candidate).await {
            Ok(prepared) => prepared,
            Err(error) => return unseen(error),
        };
        let overhead = self.began.elapsed();
        metrics::overhead(overhead);
        let frames = match self.send(candidate, &prepared).await {
            Ok(frames) => frames,
            Err(error) => {
                settlement.end_soon(prepared, Totals::ZERO, Some(error.to_string()));
                return unseen(error);
            }
        };
        let started = Started {
            job: prepared.job.id(),
            worker: candidate.worker.to_string(),
            model: candidate.model.clone(),
            tokens_in: 0,
            overhead,
        };
        self.relay(candidate, prepared, frames, started).await
    }

    /// Seals the call and posts it.
    async fn send(&self, candidate: &Candidate, prepared: &Prepared) -> Result<Frames, CallError> {
        let job = &prepared.job;
        let request =
            CallRequest { model: candidate.model.clone(), task: self.request.task.clone() };
        let to = WorkerPublic(candidate.x25519);
        let mut rng = generator()?;
        let sealed = seal_call(&to, &job.session_key, job.wire_address(), 0, &request, &mut rng);
        let (sealed, opener) = sealed.map_err(|error| CallError::Protocol(error.to_string()))?;
        let deadline = self.left(limits::FIRST_TOKEN_DEADLINE);
        self.settlement.workers.call(&job.endpoint, &sealed, opener, deadline).await
    }

    /// Hands an event to the client's side; `false` where that has left, or takes nothing.
    pub(super) async fn tell(&self, event: Event) -> bool {
        let sent = timeout(limits::CLIENT_STALL_DEADLINE, self.events.send(event)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// What is left of a deadline that began with the call.
    pub(super) fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.began.elapsed())
    }
}
