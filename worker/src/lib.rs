//! The worker: serves a model to the market and is paid for it.
//!
//! The model side: [`models`] finds a model, [`engine`] runs it in a supervised child process, [`host`] has
//! several of them share the memory,
//! [`scheduler`] batches calls, [`chat`] applies the model's template. The market side: `registration`
//! keeps the record and the offer on chain, `routes` quotes, serves and takes vouchers, `settlement`
//! keeps every job's life and claims what is owed, [`ledger`] remembers it through a crash.

mod catalog;
pub mod chat;
pub mod engine;
mod error;
mod failpoint;
pub mod host;
mod keys;
pub mod ledger;
mod memory;
mod metrics;
pub mod models;
mod options;
mod pricing;
mod registration;
mod routes;
mod run;
pub mod scheduler;
mod server;
mod settlement;

pub use error::WorkerError;
pub use keys::KeyError;
pub use options::{ModelOptions, OnProgress, Options};
pub use pricing::Pricing;
pub use registration::RegistrationError;
pub use run::run;
pub use settlement::{Clients, SettlementError};
