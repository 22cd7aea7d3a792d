//! One call from beginning to end: tries workers, relays the answer, vouches for it, ends the job.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chainference_chain::{Lamports, Pubkey};
use chainference_market::Totals;
use chainference_protocol::{CallRequest, FinishReason, Frame, WorkerPublic, seal_call};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    CallError, Settlement,
    meter::Meter,
    prepare::{Prepared, generator},
    vouchers::Vouchers,
    worker::Frames,
};
use crate::{clock::now_unix_ms, ledger::CallEnd, limits, metrics, routing::Candidate};

/// How many pieces of an answer may wait for a slow client.
const PIECES_WAITING_MAX: usize = 16;

/// What a call tells whoever answers the client.
#[derive(Debug)]
pub enum Event {
    /// The first token, or the end, is next: no other worker will be tried.
    Started(Started),
    /// A piece of the answer, of so many tokens.
    Text {
        text: String,
        tokens: u64,
    },
    /// The answer is complete.
    Ended(Ended),
    Failed(Failure),
}

#[derive(Clone, Debug)]
pub struct Started {
    pub job: String,
    pub worker: String,
    /// The model's id in the market.
    pub model: String,
    /// Time from the call's arrival to its sending to the worker.
    pub overhead: Duration,
}

#[derive(Clone, Debug)]
pub struct Ended {
    pub finish_reason: &'static str,
    pub totals: Totals,
    pub cost: Lamports,
}

#[derive(Debug)]
pub struct Failure {
    pub error: CallError,
    /// Whether anything is owed for what was delivered.
    pub costs: bool,
}

/// The answer as it comes. Dropping it ends the call: only what was taken from it is paid.
#[derive(Debug)]
pub struct Answer {
    events: mpsc::Receiver<Event>,
    delivered: Arc<AtomicU64>,
}

impl Answer {
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if let Some(Event::Text { tokens, .. }) = &event {
            self.delivered.fetch_add(*tokens, Ordering::Relaxed);
        }
        event
    }
}

/// A call in progress.
struct Call {
    settlement: Settlement,
    id: String,
    request: CallRequest,
    began: Instant,
    events: mpsc::Sender<Event>,
    delivered: Arc<AtomicU64>,
}

/// How an attempt on one worker ended.
enum Attempt {
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
        Answer { events, delivered }
    }
}

impl Call {
    async fn run(self, streamed: bool) {
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
        let model = &self.request.model;
        let mut tried: Vec<Pubkey> = Vec::new();
        let mut last = None;
        let mut costs = false;
        while tried.len() < limits::ATTEMPTS_MAX {
            if self.events.is_closed() {
                return Ok((None, CallEnd::abandoned(Totals::ZERO)));
            }
            let candidate = match directory.pick(model, &tried) {
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

    fn blame(&self, candidate: &Candidate, error: &CallError) {
        if error.trips_breaker() {
            self.settlement.directory.failed(candidate.worker);
        }
    }

    async fn attempt(&self, candidate: &Candidate) -> Attempt {
        let unseen = |error| Attempt::Unseen { error, owed: Totals::ZERO };
        let settlement = &self.settlement;
        // Never cut short in the middle: each of its steps has its own deadline.
        let prepared = match settlement.prepare(&self.id, &self.request.chat, candidate).await {
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
            overhead,
        };
        self.relay(candidate, prepared, frames, started).await
    }

    /// Seals the call and posts it.
    async fn send(&self, candidate: &Candidate, prepared: &Prepared) -> Result<Frames, CallError> {
        let job = &prepared.job;
        let request =
            CallRequest { model: candidate.model.clone(), chat: self.request.chat.clone() };
        let to = WorkerPublic(candidate.x25519);
        let mut rng = generator()?;
        let sealed = seal_call(&to, &job.session_key, job.wire_address(), 0, &request, &mut rng);
        let (sealed, opener) = sealed.map_err(|error| CallError::Protocol(error.to_string()))?;
        let deadline = self.left(limits::FIRST_TOKEN_DEADLINE);
        self.settlement.workers.call(&job.endpoint, &sealed, opener, deadline).await
    }

    /// Passes frames on until the end, then ends the job for exactly what was delivered.
    async fn relay(
        &self,
        candidate: &Candidate,
        prepared: Prepared,
        frames: Frames,
        started: Started,
    ) -> Attempt {
        let mut relay = Relay {
            call: self,
            meter: Meter::new(prepared.bounds),
            vouchers: Vouchers::start(&self.settlement, &prepared.job),
            prices: prepared.job.prices,
            started: Some(started),
            frames,
        };
        let outcome = relay.run().await;
        let Relay { started, mut meter, vouchers, frames, .. } = relay;
        // Nothing more is wanted from the worker: its connection ends here.
        drop(frames);
        let seen = started.is_none();
        let job = prepared.job.id();
        let text = outcome.as_ref().err().map(ToString::to_string);
        if !seen && let Err(error) = outcome {
            let owed = meter.vouched();
            vouchers.stop().await;
            self.settlement.end_soon(prepared, owed, text);
            return Attempt::Unseen { error, owed };
        }
        let broke_off = outcome.is_err();
        match outcome {
            Ok(()) => self.settlement.directory.succeeded(candidate.worker),
            Err(error) => {
                tracing::warn!(call = %self.id, %error, "an answer broke off");
                self.blame(candidate, &error);
                self.tell(Event::Failed(Failure { error, costs: true })).await;
            }
        }
        // The client takes what is still on its way to it, or leaves.
        let _ = timeout(limits::CLIENT_STALL_DEADLINE, self.events.closed()).await;
        meter.delivered(self.delivered.load(Ordering::Relaxed));
        let owed = meter.owed();
        vouchers.stop().await;
        let end = match &text {
            Some(error) if broke_off => CallEnd::failed(owed, error.clone()),
            _ if meter.is_complete() => CallEnd::completed(owed),
            _ => CallEnd::abandoned(owed),
        };
        metrics::served(&candidate.model, &end, self.began.elapsed());
        self.settlement.end_soon(prepared, owed, text);
        Attempt::Over { job, end }
    }

    /// Hands an event to the client's side; `false` where that has left, or takes nothing.
    async fn tell(&self, event: Event) -> bool {
        let sent = timeout(limits::CLIENT_STALL_DEADLINE, self.events.send(event)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// What is left of a deadline that began with the call.
    fn left(&self, deadline: Duration) -> Duration {
        deadline.saturating_sub(self.began.elapsed())
    }
}

/// An answer on its way from a worker to a client.
struct Relay<'a> {
    call: &'a Call,
    meter: Meter,
    vouchers: Vouchers,
    prices: chainference_market::Prices,
    /// What the client is told first; gone once it was told.
    started: Option<Started>,
    frames: Frames,
}

impl Relay<'_> {
    /// Relays until the answer is complete or the client has left.
    async fn run(&mut self) -> Result<(), CallError> {
        let mut tick = interval(limits::VOUCH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let silence = self.silence_allowed(heard);
            tokio::select! {
                () = self.call.events.closed() => return Ok(()),
                () = self.call.settlement.cut.cancelled() => return Err(CallError::ShuttingDown),
                frame = self.frames.next() => {
                    heard = Instant::now();
                    if self.pass_on(frame?).await?.is_break() {
                        return Ok(());
                    }
                }
                () = tokio::time::sleep(silence) => return Err(self.too_silent()),
                _ = tick.tick() => {}
            }
            self.vouch_if_due();
        }
    }

    /// One frame. It breaks off after the last one, or where the client has left.
    async fn pass_on(&mut self, frame: Frame) -> Result<ControlFlow<()>, CallError> {
        match frame {
            Frame::Accepted { tokens_in, .. } => self.meter.accepted(tokens_in)?,
            Frame::Delta { tokens, text } => {
                let tokens = tokens.len() as u64;
                self.meter.received(tokens)?;
                let told = self.start().await && self.call.tell(Event::Text { text, tokens }).await;
                if !told {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Frame::VoucherWanted { .. } => {
                self.note_delivered();
                if let Some(totals) = self.meter.wanted(self.call.began.elapsed()) {
                    self.vouchers.want(totals);
                }
            }
            Frame::End { finish_reason, receipt } => {
                let totals = self.meter.received_totals()?;
                if receipt.totals() != totals {
                    tracing::warn!(?totals, receipt = ?receipt.totals(), "the worker counts otherwise");
                }
                self.end(finish_reason, totals).await?;
                return Ok(ControlFlow::Break(()));
            }
            Frame::Error { code, message } => {
                let refusal = chainference_protocol::WireError { code, message };
                return Err(CallError::Worker(refusal));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn end(&mut self, reason: FinishReason, totals: Totals) -> Result<(), CallError> {
        self.meter.ended();
        let cost = self.prices.cost(totals)?;
        let finish_reason = match reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
        };
        let ended = Event::Ended(Ended { finish_reason, totals, cost });
        if self.start().await {
            self.call.tell(ended).await;
        }
        Ok(())
    }

    /// Tells the client whose answer follows, once.
    async fn start(&mut self) -> bool {
        match self.started.take() {
            Some(started) => {
                metrics::first_token(&started.model, self.call.began.elapsed());
                self.call.tell(Event::Started(started)).await
            }
            None => true,
        }
    }

    fn note_delivered(&mut self) {
        self.meter.delivered(self.call.delivered.load(Ordering::Relaxed));
    }

    fn vouch_if_due(&mut self) {
        self.note_delivered();
        if let Some(totals) = self.meter.due(self.call.began.elapsed()) {
            self.vouchers.want(totals);
        }
    }

    fn silence_allowed(&self, heard: Instant) -> Duration {
        let silence = match self.started {
            Some(_) => self.call.left(limits::FIRST_TOKEN_DEADLINE),
            None => limits::IDLE_DEADLINE.saturating_sub(heard.elapsed()),
        };
        silence.min(self.call.left(limits::CALL_DEADLINE))
    }

    fn too_silent(&self) -> CallError {
        match self.started {
            _ if self.call.left(limits::CALL_DEADLINE).is_zero() => CallError::TooLong,
            Some(_) => CallError::FirstTokenLate,
            None => CallError::Silent,
        }
    }
}
