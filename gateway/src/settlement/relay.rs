//! An answer on its way from a worker to a client: frames in, events and vouchers out.

use std::{ops::ControlFlow, sync::atomic::Ordering, time::Duration};

use chainference_chain::Pubkey;
use chainference_market::{ReceiptKind, Totals};
use chainference_protocol::{Delta, Frame, SignedReceipt, WireError};
use tokio::{
    task::yield_now,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{
    CallError,
    answer::{Ended, Event, Failure, Started},
    call::{Attempt, Call, Over, Signed},
    exact::Finding,
    meter::Meter,
    pieces::Pieces,
    receipts::{BadReceipt, Receipts},
    recount::Recount,
    session::Lease,
    worker::Frames,
};
use crate::{
    clock::now_unix_ms,
    ledger::CallEnd,
    limits, metrics,
    routing::{Candidate, Taken, Visit},
};

impl Call {
    /// Passes frames on until the end, then ends the job for exactly what was delivered.
    pub(super) async fn relay(
        &self,
        (candidate, visit): (&Candidate, &Visit),
        lease: Lease,
        frames: Frames,
        started: Started,
    ) -> Attempt {
        let pieces = Pieces::new(&self.request.task, candidate.context_tokens);
        let mut relay = Relay::new((self, visit), lease, pieces, frames, started);
        relay.recount = Recount::begin(&self.settlement.tokenizers, candidate, &self.request.task);
        let outcome = relay.run().await;
        let taken = relay.taken();
        let Relay { started, first, mut meter, mut receipts, lease, frames, recount, .. } = relay;
        if meter.is_whole() {
            self.settlement.tasks.spawn(frames.hear_out());
        } else {
            // Nothing more is wanted from the worker: its connection ends here.
            drop(frames);
        }
        let seen = started.is_none();
        let job = lease.job().id();
        let text = outcome.as_ref().err().map(ToString::to_string);
        if !seen && let Err(error) = outcome {
            let owed = meter.vouched();
            self.check_late(candidate.worker, &mut receipts);
            self.keep(job, receipts);
            let cost = self.settlement.settle(lease, owed, false, text);
            return Attempt::Unseen { error, cost };
        }
        let broke_off = outcome.is_err();
        if let Some(taken) = taken {
            self.settlement.directory.served(candidate, taken, self.beginning);
        }
        if let Err(error) = outcome {
            tracing::warn!(call = %self.id, %error, "an answer broke off");
            self.blame(candidate, &error);
            self.tell(Event::Failed(Failure { error, costs: true })).await;
        }
        // The client takes what is still on its way to it, or leaves.
        let (found, _) = tokio::join!(
            self.judge(candidate, recount, broke_off),
            timeout(limits::CLIENT_STALL_DEADLINE, self.events.closed()),
        );
        if let Some(found) = &found {
            meter.counted(found.most);
        }
        meter.delivered(self.delivered.load(Ordering::Relaxed));
        let owed = meter.owed();
        let end = match &text {
            Some(error) if broke_off => CallEnd::failed(owed, error.clone()),
            _ if meter.is_complete() => CallEnd::completed(owed),
            _ => CallEnd::abandoned(owed),
        };
        let (task, model) = (&self.request.task, &candidate.model);
        metrics::served(task, model, &end, first, self.began.elapsed());
        let cost = self.settlement.settle(lease, owed, meter.is_complete(), text);
        let Candidate { worker, x25519, .. } = *candidate;
        Attempt::Over(Over {
            end: end.on(job),
            cost,
            signed: Some(Box::new(Signed { worker, x25519, receipts, found })),
        })
    }
}

impl Call {
    /// What the model's tokenizer says in the end of what the worker counts. That decides whether the worker did well.
    async fn judge(
        &self,
        candidate: &Candidate,
        recount: Option<Recount>,
        broke_off: bool,
    ) -> Option<Finding> {
        let mut found = None;
        if let Some(recount) = recount {
            found = recount.last().await;
            metrics::recounted(found.as_ref().map_or("unknown", Finding::verdict));
        }
        let wrong = found.as_ref().filter(|found| !found.is_right());
        if let Some(Finding { input, output, .. }) = wrong {
            let (input, output) = (input.as_deref(), output.as_deref());
            let worker = candidate.worker;
            tracing::warn!(call = %self.id, %worker, input, output, "a worker miscounts");
        }
        let directory = &self.settlement.directory;
        match wrong {
            // It was blamed already.
            _ if broke_off => {}
            Some(_) => directory.failed(candidate.worker),
            None => directory.succeeded(candidate.worker),
        }
        found
    }

    /// Checks what has come too late to be checked on the way.
    pub(super) fn check_late(&self, worker: Pubkey, receipts: &mut Receipts) {
        let Some(BadReceipt { kind, problem }) = receipts.check() else { return };
        tracing::warn!(call = %self.id, ?kind, problem, "a bad receipt");
        if kind == ReceiptKind::Accepted {
            self.settlement.directory.failed(worker);
        }
    }

    /// Stores what the worker of an attempt that was given up has signed, while the call goes on.
    fn keep(&self, job: String, receipts: Receipts) {
        let (ledger, call) = (self.settlement.ledger.clone(), self.id.clone());
        self.settlement.tasks.spawn(async move {
            let stored = receipts.into_stored();
            if let Err(error) = ledger.store_receipts(&job, &call, &stored, now_unix_ms()).await {
                tracing::error!(job, %error, "receipts could not be stored");
            }
        });
    }
}

/// An answer on its way from a worker to a client.
struct Relay<'a> {
    call: &'a Call,
    visit: &'a Visit,
    meter: Meter,
    /// What of the answer has come.
    pieces: Pieces,
    /// What the worker has signed of it.
    receipts: Receipts,
    /// Where the model's tokenizer is at hand.
    recount: Option<Recount>,
    lease: Lease,
    /// What the client is told first; gone once it was told.
    started: Option<Started>,
    /// When that was, since the call's arrival.
    first: Option<Duration>,
    /// The same since the worker was chosen, and what the client took to take all that has come since.
    first_here: Option<Duration>,
    waited: Duration,
    tokens_reasoning: u64,
    frames: Frames,
    /// Whether something has come since signatures were last made and checked. They wait until nothing follows at once, so
    /// that a short answer is told whole before them.
    owes_signatures: bool,
}

impl<'a> Relay<'a> {
    fn new(
        (call, visit): (&'a Call, &'a Visit),
        lease: Lease,
        pieces: Pieces,
        frames: Frames,
        started: Started,
    ) -> Self {
        let (job, operator) = (lease.job().wire_address(), lease.job().terms.operator);
        Self {
            call,
            visit,
            meter: Meter::new(lease.bounds),
            receipts: Receipts::new(job, lease.call, operator, lease.is_alone()),
            recount: None,
            lease,
            pieces,
            started: Some(started),
            first: None,
            first_here: None,
            waited: Duration::ZERO,
            tokens_reasoning: 0,
            frames,
            owes_signatures: false,
        }
    }

    /// Relays until the answer is complete or the client has left.
    async fn run(&mut self) -> Result<(), CallError> {
        let mut tick = interval_at(Instant::now() + limits::VOUCH_INTERVAL, limits::VOUCH_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let silence = self.silence_allowed(heard);
            let gap = if self.owes_signatures { silence.min(limits::PIECES_GAP) } else { silence };
            tokio::select! {
                () = self.call.events.closed() => return Ok(()),
                () = self.call.settlement.cut.cancelled() => return Err(CallError::ShuttingDown),
                frame = self.frames.next() => {
                    if self.pass_on(frame?).await?.is_break() {
                        return Ok(());
                    }
                    // Only the worker's silence counts, not the time that the client took.
                    heard = Instant::now();
                    self.owes_signatures = true;
                    // Where tokens are counted again, an answer that comes all at once is vouched for by what is counted.
                    let is_window_used = self.meter.is_window_used() && self.recount.is_none();
                    if is_window_used || self.pieces.are_vectors() {
                        self.sign_and_check()?;
                    }
                }
                found = Recount::found(&mut self.recount) => self.meter.counted(found.most),
                () = tokio::time::sleep(gap) => {
                    if !self.owes_signatures {
                        return Err(self.too_silent());
                    }
                    self.sign_and_check()?;
                }
                _ = tick.tick() => self.sign_and_check()?,
            }
        }
    }

    /// One frame. It breaks off after the last one, or where the client has left.
    async fn pass_on(&mut self, frame: Frame) -> Result<ControlFlow<()>, CallError> {
        let told = match frame {
            Frame::Accepted { tokens_in, receipt } => {
                self.meter.accepted(tokens_in)?;
                if let Some(recount) = &mut self.recount {
                    self.meter.counted(recount.accepted(tokens_in).most);
                }
                if let Some(started) = &mut self.started {
                    started.tokens_in = tokens_in;
                }
                self.heard(ReceiptKind::Accepted, receipt)?;
                true
            }
            Frame::Delta(delta) => self.delta(delta).await?,
            Frame::VoucherWanted { receipt } => {
                self.heard(ReceiptKind::VoucherWanted, receipt)?;
                self.check_receipts()?;
                self.note_delivered();
                if let Some(totals) = self.meter.wanted(self.call.began.elapsed()) {
                    self.lease.vouch(totals);
                }
                true
            }
            Frame::Finish { choice, reason, tokens_reasoning, stop } => {
                self.pieces.finished(choice)?;
                if let Some(recount) = &mut self.recount {
                    recount.finished(choice, reason);
                }
                self.tokens_reasoning = self.tokens_reasoning.saturating_add(tokens_reasoning);
                self.tell(Event::Finished { choice, reason, stop }).await
            }
            Frame::Embedding { index, vector } => {
                self.pieces.embedding(index, &vector)?;
                self.tell(Event::Embedding { index, vector }).await
            }
            Frame::End { tokens_cached, receipt } => {
                let totals = self.meter.received_totals()?;
                self.heard(ReceiptKind::End, receipt)?;
                self.end(tokens_cached, totals).await?;
                return Ok(ControlFlow::Break(()));
            }
            Frame::Error { code, message } => {
                let refusal = WireError { code, message };
                return Err(CallError::Worker(refusal));
            }
        };
        Ok(if told { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    }

    /// A receipt, to be held against what has come.
    fn heard(&mut self, kind: ReceiptKind, receipt: SignedReceipt) -> Result<(), CallError> {
        let received = self.meter.received_totals()?;
        self.receipts.heard(kind, receipt, self.frames.digest_before(), received);
        Ok(())
    }

    fn sign_and_check(&mut self) -> Result<(), CallError> {
        self.owes_signatures = false;
        self.check_receipts()?;
        self.vouch_if_due();
        Ok(())
    }

    /// Who signs for nothing from the start is no worker to go on with.
    fn check_receipts(&mut self) -> Result<(), CallError> {
        match self.receipts.check() {
            Some(BadReceipt { kind: ReceiptKind::Accepted, problem }) => {
                Err(CallError::Protocol(problem.to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn delta(&mut self, delta: Delta) -> Result<bool, CallError> {
        self.meter.received(delta.tokens.len() as u64)?;
        self.pieces.delta(&delta)?;
        if let Some(recount) = &mut self.recount {
            recount.delta(&delta);
        }
        let is_first = self.started.is_some();
        let told = self.tell(Event::Delta(delta)).await;
        if is_first {
            // It goes out before those that have come behind it are opened.
            yield_now().await;
        }
        Ok(told)
    }

    async fn end(&mut self, tokens_cached: u64, totals: Totals) -> Result<(), CallError> {
        self.pieces.all()?;
        self.meter.ended();
        let cost = self.lease.price_of(totals)?;
        self.tell(Event::Ended(Ended {
            totals,
            // These two are the worker's word; nothing is paid by them.
            tokens_cached: tokens_cached.min(totals.tokens_in),
            tokens_reasoning: self.tokens_reasoning.min(totals.tokens_out),
            cost,
        }))
        .await;
        Ok(())
    }

    /// Tells the client, first of all whose answer follows; `false` where it has left.
    async fn tell(&mut self, event: Event) -> bool {
        let began = Instant::now();
        let told = self.start().await && self.call.tell(event).await;
        self.waited += began.elapsed();
        // What a slow client has not taken fills the credit window that it shares with other calls.
        if began.elapsed() > limits::SLOW_CLIENT && !self.lease.is_alone() {
            self.lease.session.close();
        }
        told
    }

    /// Tells the client whose answer follows, once.
    async fn start(&mut self) -> bool {
        match self.started.take() {
            Some(started) => {
                let elapsed = self.call.began.elapsed();
                metrics::first_token(&self.call.request.task, &started.model, elapsed);
                self.first = Some(elapsed);
                self.first_here = Some(self.visit.elapsed());
                self.call.tell(Event::Started(started)).await
            }
            None => true,
        }
    }

    /// What a whole answer took, by the worker's doing; `None` of one that is not whole.
    fn taken(&self) -> Option<Taken> {
        let first = self.first_here.filter(|_| self.meter.is_whole())?;
        let rest = self.visit.elapsed().saturating_sub(first).saturating_sub(self.waited);
        let tokens = self.meter.received_totals().ok()?.tokens_out;
        Some(Taken { first, rest, tokens })
    }

    fn note_delivered(&mut self) {
        self.meter.delivered(self.call.delivered.load(Ordering::Relaxed));
    }

    fn vouch_if_due(&mut self) {
        self.note_delivered();
        if let Some(totals) = self.meter.due(self.call.began.elapsed()) {
            self.lease.vouch(totals);
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
