//! Why the gateway as a whole can't run.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use crate::{keys::KeyError, ledger::LedgerError, upstream::SettingError};

/// An error that ends the gateway. Each says what to look at.
#[derive(Debug, Error)]
pub enum GatewayError {
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    ApiKey(#[from] KeyError),
    #[error("gateway key {path}: {reason}")]
    GatewayKey { path: PathBuf, reason: String },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the HTTP client for workers can't be set up: {0}")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Upstream(#[from] SettingError),
    #[error("metrics can't be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}
