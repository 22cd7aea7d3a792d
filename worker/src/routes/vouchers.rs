//! POST /v1/vouchers: money. 200 means that it is on disk.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use chainference_chain::{Pubkey, Signature};
use chainference_protocol::{Address, SignedVoucher};

use super::error::RouteError;
use super::{App, empty, parse};
use crate::ledger::StoredVoucher;
use crate::settlement::{Refusal, SettlementError};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<serde_json::Value>, RouteError> {
    let posted: SignedVoucher = parse(&body)?;
    match store(&app, &posted).await {
        // The answer to an earlier post may have been lost.
        Err(SettlementError::UnknownJob | SettlementError::Refused(Refusal::NotLocked))
            if app.settlement.was_covered(&key(posted.job), posted.totals()).await? => {}
        outcome => outcome?,
    }
    Ok(empty())
}

async fn store(app: &App, posted: &SignedVoucher) -> Result<(), SettlementError> {
    let job = app.settlement.job(&key(posted.job))?;
    if !posted.is_signed_by(&Address(job.terms.session_key.to_bytes())) {
        return Err(SettlementError::ForeignSignature);
    }
    let signature = Signature::from(posted.signature.0);
    let voucher = StoredVoucher { totals: posted.totals(), signature };
    app.settlement.voucher(&job, voucher, posted.last).await
}

fn key(job: Address) -> Pubkey {
    Pubkey::new_from_array(job.0)
}
