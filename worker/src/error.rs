use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::EngineError;
use crate::keys::KeyError;
use crate::ledger::LedgerError;
use crate::models::ModelError;
use crate::registration::RegistrationError;
use crate::settlement::SettlementError;

/// Why a worker can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("can't listen on {listen}: {source}")]
    Listen { listen: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the chat template {} can't be read: {source}", path.display())]
    ChatTemplate { path: PathBuf, source: std::io::Error },
    #[error("{model} in {quantisation} is named twice: a worker has one offer for it")]
    SameModel { model: String, quantisation: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Settlement(#[from] SettlementError),
}
