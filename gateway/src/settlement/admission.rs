//! What a call may cost its key: reserved before anything leaves, settled when it has ended.

use chainference_market::{Lamports, Totals};

use super::{CallError, call::Call, stake};
use crate::{
    access::Refusal,
    clock::now_unix_ms,
    ledger::{CallEnd, NewCall, ReserveError},
    metrics,
    routing::Candidate,
};

/// What a call has reserved and owes.
#[derive(Debug)]
pub(super) struct Charge {
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
        let candidate =
            self.pick(&[]).map_err(|why| CallError::nobody(&self.request.model, why))?;
        let bounds = stake::bounds(&self.request.task, candidate.context_tokens);
        let reserved = stake::stake(&candidate.prices, bounds)?;
        let tokens = bounds.tokens_in.saturating_add(bounds.tokens_out);
        self.caller.take_tokens(tokens)?;
        let call = NewCall {
            id: &self.id,
            key_id: self.caller.key_id(),
            model: &candidate.model,
            streamed,
            reserve: reserved,
        };
        let ledger = &self.settlement.ledger;
        let begun = ledger.begin_call(call, self.caller.budgets(), now_unix_ms()).await;
        if let Err(error) = begun {
            self.caller.correct_tokens(tokens, 0);
            return Err(refused(error));
        }
        Ok(Charge { tokens, reserved, owed: Lamports::ZERO })
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
            let ledger = &self.settlement.ledger;
            let reserved = ledger.reserve_more(&self.id, self.caller.budgets(), more).await;
            reserved.map_err(refused)?;
            charge.reserved = most;
        }
        Ok(())
    }

    /// Records how the call ended and what it cost.
    pub(super) async fn conclude(&self, charge: Charge, job: Option<&str>, end: CallEnd) {
        let end = end.costing(charge.owed);
        self.caller.correct_tokens(charge.tokens, end.tokens_in.saturating_add(end.tokens_out));
        metrics::spent(self.caller.key_name(), charge.owed);
        let ended = self.settlement.ledger.end_call(&self.id, job, &end, now_unix_ms()).await;
        if let Err(error) = ended {
            tracing::error!(call = %self.id, %error, "a call's end could not be recorded");
        }
    }
}

impl Charge {
    /// A worker is owed `totals` for this call.
    pub fn owe(&mut self, candidate: &Candidate, totals: Totals) {
        // Both were within what was reserved, so that neither can overflow.
        let cost = candidate.prices.cost(totals).unwrap_or(self.reserved);
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
