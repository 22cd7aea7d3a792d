//! One call from the first token to the last: the engine's events become sealed frames, as far as
//! credit and stake allow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chainference_chain::Signer;
use chainference_market::{Receipt, ReceiptKind, Totals};
use chainference_protocol::{
    Delta, ErrorCode, FinishReason, Frame, FrameError, FrameSealer, Signature, SignedReceipt,
};
use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::yield_now;

use crate::engine::{EngineError, Event, Generate, Generation};
use crate::host::{Lease, ModelId};
use crate::metrics;
use crate::settlement::{Gate, Job, Refusal, SettlementError};

use super::App;
use super::error::RouteError;

/// What to do next about output.
enum Next {
    Event(Option<Result<Event, EngineError>>),
    /// A voucher came, or the job's state changed.
    Changed,
}

/// Why a call ended before its last token.
enum Break {
    /// Nobody reads any more.
    Gone,
    Unpaid,
    TooSlow,
    /// The client said "last", or the job is being claimed.
    JobOver,
    Engine(EngineError),
    Seal(FrameError),
}

pub(crate) struct Answer {
    app: Arc<App>,
    job: Arc<Job>,
    call: u32,
    sealer: FrameSealer,
    frames: mpsc::Sender<String>,
    /// This call's own tokens.
    sent: Totals,
    began: Instant,
    first_token: Option<Instant>,
    /// The answers that are not complete yet.
    open: BTreeSet<u32>,
    /// The job's input up to this call: what must be vouched for before its vectors go out.
    input_due: u64,
    /// Since when the next token waits for a voucher.
    unpaid_since: Option<Instant>,
    /// Since when the engine, free to go on, has said nothing.
    silent_since: Instant,
}

impl Answer {
    pub fn new(
        app: Arc<App>,
        job: Arc<Job>,
        call: u32,
        sealer: FrameSealer,
        frames: mpsc::Sender<String>,
    ) -> Self {
        let (sent, began) = (Totals::ZERO, Instant::now());
        Self {
            app,
            job,
            call,
            sealer,
            frames,
            sent,
            began,
            first_token: None,
            open: BTreeSet::new(),
            input_due: 0,
            unpaid_since: None,
            silent_since: began,
        }
    }

    /// Runs the call to its end, whatever becomes of the request that began it. `accepted` hears
    /// whether there will be a stream.
    pub async fn run(
        mut self,
        model: ModelId,
        mut generate: Generate,
        accepted: oneshot::Sender<Result<(), RouteError>>,
    ) {
        if let Err(error) = self.app.settlement.begin_call(&self.job, self.call).await {
            accepted.send(Err(error.into())).ok();
            return;
        }
        metrics::call_began();
        if let Gate::Open { room_tokens } = self.app.settlement.gate(&self.job) {
            generate.allowed_tokens = room_tokens;
        }
        self.open =
            (0..generate.answers()).filter_map(|choice| u32::try_from(choice).ok()).collect();
        let outcome = match self.start(model, generate).await {
            // The lease ends with the call: until then the model stays in memory.
            Ok((_lease, generation)) => {
                accepted.send(Ok(())).ok(); // if nobody hears it, the stream is closed as well
                self.stream(generation).await
            }
            Err(error) => {
                accepted.send(Err(error)).ok();
                "refused"
            }
        };
        self.finish(outcome).await;
    }

    async fn start(
        &mut self,
        model: ModelId,
        generate: Generate,
    ) -> Result<(Lease, Generation), RouteError> {
        let settlement = &self.app.settlement;
        settlement.store_call(&self.job, self.call).await?;
        let lease = self.app.host.lease(model).await?;
        let generation = lease.generate(generate).await?;
        let tokens_in = generation.tokens_in();
        let accepted = match settlement.accept_input(&self.job, tokens_in) {
            Err(SettlementError::Refused(Refusal::BeyondStake)) if self.has_more_stake().await => {
                settlement.accept_input(&self.job, tokens_in)?
            }
            accepted => accepted?,
        };
        self.input_due = accepted.tokens_in;
        self.sent.tokens_in = tokens_in;
        Ok((lease, generation))
    }

    /// Asked before a call is cut for want of stake: the client may have added some meanwhile.
    async fn has_more_stake(&self) -> bool {
        self.app.settlement.has_more_stake(&self.job).await
    }

    async fn stream(&mut self, generation: Generation) -> &'static str {
        let reader = self.frames.clone();
        let call_max = self.app.limits.call_max;
        let relayed = tokio::select! {
            () = reader.closed() => Err(Break::Gone),
            relayed = tokio::time::timeout(call_max, self.relay(generation)) => {
                relayed.unwrap_or(Err(Break::TooSlow))
            }
        };
        match relayed {
            Ok(()) => "ok",
            Err(broken) => self.break_off(broken).await,
        }
    }

    async fn relay(&mut self, mut generation: Generation) -> Result<(), Break> {
        let tokens_in = generation.tokens_in();
        let receipt = self.receipt(ReceiptKind::Accepted);
        self.send(&Frame::Accepted { tokens_in, receipt }).await?;
        let mut changes = self.job.changes();
        let mut held: Option<Delta> = None;
        let mut allowed_tokens = 0;
        loop {
            changes.borrow_and_update();
            if let Some(delta) = held.take() {
                match self.pass(delta).await? {
                    Passed::Sent => {}
                    Passed::StakeUsed(delta) if self.has_more_stake().await => {
                        // Nothing that follows may overtake it.
                        held = Some(delta);
                        continue;
                    }
                    Passed::StakeUsed(_) => return self.cut().await,
                    Passed::Held(delta) => {
                        held = Some(delta);
                        self.voucher(&mut changes).await?;
                        continue;
                    }
                }
            }
            // What is ready goes out before credit is asked about: the end may be among it.
            let next = match generation.next().now_or_never() {
                Some(event) => Next::Event(event),
                None => match self.app.settlement.gate(&self.job) {
                    Gate::Open { room_tokens } => {
                        self.unpaid_since = None;
                        // Between two vouchers the room shrinks as much as was sent: nothing new.
                        let allow = self.sent.tokens_out.saturating_add(room_tokens);
                        if allow > allowed_tokens {
                            allowed_tokens = allow;
                            generation.allow(allow);
                        }
                        let left = self.silence_max().saturating_sub(self.silent_since.elapsed());
                        next(&mut generation, &mut changes, left).await
                    }
                    Gate::Wait => tokio::select! {
                        event = generation.next() => Next::Event(event),
                        waited = self.voucher(&mut changes) => waited.map(|()| Next::Changed)?,
                    },
                    Gate::StakeUsed if self.has_more_stake().await => Next::Changed,
                    Gate::StakeUsed => return self.cut().await,
                    Gate::Closed => return Err(Break::JobOver),
                },
            };
            if matches!(next, Next::Event(_)) {
                self.silent_since = Instant::now();
            }
            match next {
                Next::Changed => {}
                Next::Event(Some(Ok(Event::Delta(delta)))) => held = Some(delta),
                Next::Event(Some(Ok(Event::Finish { choice, reason, tokens_reasoning, stop }))) => {
                    self.finish_choice(choice, reason, tokens_reasoning, stop).await?;
                }
                Next::Event(Some(Ok(Event::Embedding { index, vector }))) => {
                    self.vector(index, vector, &mut changes).await?;
                }
                Next::Event(Some(Ok(Event::End { tokens_cached, .. }))) => {
                    return self.end(tokens_cached).await;
                }
                Next::Event(Some(Err(error))) => return Err(Break::Engine(error)),
                Next::Event(None) => return Err(Break::Engine(EngineError::Stopped)),
            }
        }
    }

    /// Sends a piece if credit and stake allow it.
    async fn pass(&mut self, delta: Delta) -> Result<Passed, Break> {
        let count = delta.tokens.len() as u64;
        let (gate, ask) = self.app.settlement.pass(&self.job, count);
        match gate {
            Gate::Wait => return Ok(Passed::Held(delta)),
            Gate::StakeUsed => return Ok(Passed::StakeUsed(delta)),
            Gate::Closed => return Err(Break::JobOver),
            Gate::Open { .. } => self.unpaid_since = None,
        }
        let is_first = self.first_token.is_none();
        if is_first {
            self.first_token = Some(Instant::now());
            metrics::first_token(self.began.elapsed().as_secs_f64());
        }
        self.sent.tokens_out = self.sent.tokens_out.saturating_add(count);
        self.send(&Frame::Delta(delta)).await?;
        if is_first {
            // It goes out before those that are ready behind it are sealed.
            yield_now().await;
        }
        if ask {
            let receipt = self.receipt(ReceiptKind::VoucherWanted);
            self.send(&Frame::VoucherWanted { receipt }).await?;
        }
        Ok(Passed::Sent)
    }

    /// Vectors are all that such a call gives, and its input all that is paid: they go out once that is
    /// vouched for.
    async fn vector(
        &mut self,
        index: u32,
        vector: Vec<u8>,
        changes: &mut watch::Receiver<()>,
    ) -> Result<(), Break> {
        while !self.job.is_input_vouched(self.input_due) {
            self.voucher(changes).await?;
        }
        self.unpaid_since = None;
        self.send(&Frame::Embedding { index, vector }).await
    }

    /// Waits for the job to change; a client that sends no voucher in time has left.
    async fn voucher(&mut self, changes: &mut watch::Receiver<()>) -> Result<(), Break> {
        let since = *self.unpaid_since.get_or_insert_with(Instant::now);
        let patience = self.app.settlement.patience(&self.job, self.app.limits.voucher_timeout);
        let left = patience.saturating_sub(since.elapsed());
        let changed = tokio::time::timeout(left, changes.changed()).await;
        self.silent_since = Instant::now(); // it was us who kept the engine waiting
        match changed {
            Ok(Ok(())) => Ok(()),
            _ => Err(Break::Unpaid),
        }
    }

    /// How long the engine may say nothing: before the first token others may come first.
    fn silence_max(&self) -> Duration {
        let limits = &self.app.limits;
        if self.first_token.is_none() { limits.first_token_max } else { limits.idle_max }
    }

    async fn finish_choice(
        &mut self,
        choice: u32,
        reason: FinishReason,
        tokens_reasoning: u64,
        stop: Option<String>,
    ) -> Result<(), Break> {
        self.open.remove(&choice);
        self.send(&Frame::Finish { choice, reason, tokens_reasoning, stop }).await
    }

    /// The stake is used: answers that are not complete end here.
    async fn cut(&mut self) -> Result<(), Break> {
        for choice in std::mem::take(&mut self.open) {
            self.finish_choice(choice, FinishReason::Length, 0, None).await?;
        }
        self.end(0).await
    }

    async fn end(&mut self, tokens_cached: u64) -> Result<(), Break> {
        metrics::tokens_cached(tokens_cached);
        let receipt = self.receipt(ReceiptKind::End);
        self.send(&Frame::End { tokens_cached, receipt }).await
    }

    /// Tells the client why, where there is one, and names the outcome.
    async fn break_off(&mut self, broken: Break) -> &'static str {
        let (outcome, code, message) = match broken {
            Break::Gone => return "client_gone",
            Break::Seal(error) => {
                tracing::error!(%error, "a frame could not be sealed");
                return "failed";
            }
            Break::JobOver => ("job_over", ErrorCode::UnknownJob, "the job is over".to_owned()),
            Break::Unpaid => ("unpaid", ErrorCode::Unpaid, "no voucher came in time".to_owned()),
            Break::TooSlow => {
                ("too_long", ErrorCode::EngineFailed, "the call's time is over".to_owned())
            }
            Break::Engine(error) => ("engine_failed", ErrorCode::EngineFailed, error.to_string()),
        };
        tracing::warn!(job = %self.job.address, call = self.call, outcome, "call broken off");
        self.send(&Frame::Error { code, message }).await.ok();
        outcome
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), Break> {
        let sealed = self.sealer.seal(frame).map_err(Break::Seal)?;
        let patience = self.app.limits.voucher_timeout;
        self.frames.send_timeout(sealed, patience).await.map_err(|_| Break::Gone)
    }

    /// The worker's word on the job's totals and on every frame of this call so far.
    fn receipt(&self, kind: ReceiptKind) -> SignedReceipt {
        let totals = self.job.produced();
        let frames = self.sealer.digest();
        let job = self.job.address.to_bytes();
        let statement = Receipt { job, call: self.call, kind, totals, frames }.to_bytes();
        let signature = Signature(self.app.operator.sign_message(&statement).into());
        SignedReceipt { tokens_in: totals.tokens_in, tokens_out: totals.tokens_out, signature }
    }

    async fn finish(self, outcome: &'static str) {
        // The stream ends, and its connection is free for another call.
        drop(self.frames);
        metrics::call_ended(outcome, self.sent.tokens_in, self.sent.tokens_out);
        if let Some(first) = self.first_token {
            let millis = first.elapsed().max(Duration::from_millis(1)).as_millis() as u64;
            self.app.settlement.observe_speed(self.sent.tokens_out.saturating_mul(1_000) / millis);
        }
        tracing::info!(
            job = %self.job.address,
            call = self.call,
            outcome,
            tokens_in = self.sent.tokens_in,
            tokens_out = self.sent.tokens_out,
            "call ended"
        );
        self.app.settlement.end_call(&self.job, self.call, self.sent, outcome).await;
    }
}

enum Passed {
    Sent,
    Held(Delta),
    StakeUsed(Delta),
}

async fn next(
    generation: &mut Generation,
    changes: &mut watch::Receiver<()>,
    silence_left: Duration,
) -> Next {
    tokio::select! {
        () = tokio::time::sleep(silence_left) => Next::Event(Some(Err(EngineError::Silent))),
        event = generation.next() => Next::Event(event),
        _ = changes.changed() => Next::Changed,
    }
}
