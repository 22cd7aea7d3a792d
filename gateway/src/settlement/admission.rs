//! What a call may cost its key: reserved before anything leaves, settled when it has ended.

use chainference_market::Lamports;
use tokio::sync::OnceCell;

use super::{
    CallError,
    call::{Call, Over, Signed},
    stake,
};
use crate::{
    access::{Caller, Refusal},
    clock::now_unix_ms,
    ledger::{Ledger, NewCall, ReserveError},
    limits, metrics,
    routing::Candidate,
};

/// A call's row. It is written before anything is promised or shown for the call; where no budget has to be asked
/// first, it is written while the worker reads the prompt.
#[derive(Debug)]
pub(super) struct Row {
    ledger: Ledger,
    caller: Caller,
    id: String,
    model: String,
    streamed: bool,
    reserve: Lamports,
    began_ms: i64,
    written: OnceCell<()>,
}

impl Row {
    /// Writes it, unless that was done; with the job that the call uses, where that is known. Tells whether it stands there with
    /// that.
    pub async fn write(&self, job: Option<&str>) -> Result<bool, CallError> {
        let mut is_new = false;
        let write = async || {
            let call = NewCall {
                id: &self.id,
                key_id: self.caller.key_id(),
                model: &self.model,
                streamed: self.streamed,
                job,
                reserve: self.reserve,
            };
            is_new = true;
            self.ledger.begin_call(call, self.caller.budgets(), self.began_ms).await
        };
        self.written.get_or_try_init(write).await.map_err(refused)?;
        Ok(is_new)
    }
}

/// What a call has reserved and owes.
#[derive(Debug)]
pub(super) struct Charge {
    pub row: Row,
    /// Of the key's tokens a minute.
    tokens: u64,
    reserved: Lamports,
    /// What all workers that were tried are owed.
    owed: Lamports,
}

impl Call {
    /// Records the call, if its key may make it and can pay for it. What nobody serves is not worth
    /// a row.
    pub(super) async fn admit(&self, streamed: bool) -> Result<Charge, CallError> {
        let picked = self.pick(&[]).map_err(|why| CallError::nobody(&self.request.model, why))?;
        let candidate = picked.candidate;
        let bounds = stake::bounds(&self.request.task, candidate.context_tokens);
        let reserved = stake::stake(&candidate.prices, bounds)?;
        let tokens = bounds.tokens_in.saturating_add(bounds.tokens_out);
        self.caller.take_tokens(tokens)?;
        let row = Row {
            ledger: self.settlement.ledger.clone(),
            caller: self.caller.clone(),
            id: self.id.clone(),
            model: candidate.model,
            streamed,
            reserve: reserved,
            began_ms: now_unix_ms(),
            written: OnceCell::new(),
        };
        // A budget must hold the call before it leaves.
        if self.caller.budgets().is_some()
            && let Err(error) = row.write(None).await
        {
            self.caller.correct_tokens(tokens, 0);
            return Err(error);
        }
        Ok(Charge { row, tokens, reserved, owed: Lamports::ZERO })
    }

    /// Reserves what another worker may cost beyond what is reserved already.
    pub(super) async fn cover(
        &self,
        charge: &mut Charge,
        candidate: &Candidate,
    ) -> Result<(), CallError> {
        let bounds = stake::bounds(&self.request.task, candidate.context_tokens);
        let most = charge.owed.plus(stake::stake(&candidate.prices, bounds)?)?;
        if most > charge.reserved {
            let more = most.minus(charge.reserved)?;
            charge.row.write(None).await?;
            let ledger = &self.settlement.ledger;
            let reserved = ledger.reserve_more(&self.id, self.caller.budgets(), more).await;
            reserved.map_err(refused)?;
            charge.reserved = most;
        }
        Ok(())
    }

    /// Records how the call ended, what it cost and what was signed of it.
    pub(super) async fn conclude(&self, charge: Charge, Over { end, signed, .. }: Over) {
        let mut end = end.costing(charge.owed);
        self.caller.correct_tokens(charge.tokens, end.tokens_in.saturating_add(end.tokens_out));
        metrics::spent(self.caller.key_name(), charge.owed);
        // What a budget holds for it is let go of at once: the key's next call may need that.
        let _turn = if self.caller.budgets().is_some() {
            None
        } else {
            self.settlement.lull.turn(limits::BOOKS_WAIT_MAX).await
        };
        if let Some(signed) = signed {
            let Signed { worker, x25519, mut receipts, found } = *signed;
            self.check_late(worker, &mut receipts);
            found.iter().for_each(|found| receipts.judged(found));
            end.receipts = receipts.into_stored();
            self.settlement.envelopes.prepare(x25519);
        }
        let ledger = &self.settlement.ledger;
        let ended = async {
            charge.row.write(end.job.as_deref()).await?;
            let (began_ms, now_ms) = (charge.row.began_ms, now_unix_ms());
            Ok::<_, CallError>(ledger.end_call(&self.id, &end, began_ms, now_ms).await?)
        };
        if let Err(error) = ended.await {
            tracing::error!(call = %self.id, %error, "a call's end could not be recorded");
        }
    }
}

impl Charge {
    /// A worker is owed this for the call.
    pub fn owe(&mut self, cost: Lamports) {
        // It is within what was reserved, so that it can't overflow.
        self.owed = self.owed.plus(cost).unwrap_or(self.reserved);
    }
}

fn refused(error: ReserveError) -> CallError {
    match error {
        ReserveError::UsedUp(used_up) => Refusal::Budget(used_up).into(),
        ReserveError::Ledger(error) => {
            tracing::error!(%error, "a call could not be recorded, and was not made");
            error.into()
        }
    }
}
