use chainference_chain::{ChainError, SignError};

use super::Refusal;
use crate::ledger::LedgerError;

/// Why a job, a call or a voucher is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    #[error("this worker has no such job")]
    UnknownJob,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the signature is not the job's session key's")]
    ForeignSignature,
    #[error("this call was served before")]
    Replayed,
    #[error("this client has too many live jobs here")]
    ClientFull,
    #[error("this worker has too many live jobs")]
    Full,
    #[error("this job was quoted before")]
    QuotedBefore,
    #[error("the job on chain is not the one that was quoted")]
    TermsDiffer,
    #[error("another transaction of this job is on its way")]
    TransactionPending,
    #[error("this worker doesn't serve this client")]
    ClientRefused,
    #[error("the worker is shutting down")]
    Draining,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("the terms can't be stored: {0}")]
    Encode(#[from] serde_json::Error),
}
