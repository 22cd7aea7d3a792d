//! The accounts that the program owns. Layouts are Borsh behind Anchor's 8-byte discriminator; fields
//! that clients filter by come first, at fixed offsets.

mod config;
mod job;
mod offer;
mod vault;
mod worker;

pub use config::{Config, SharesBps};
pub use job::{Filters, Job, JobStatus};
pub use offer::{model_hash, Offer};
pub use vault::Vault;
pub use worker::{Worker, WorkerStatus};

/// The layout of every account made by this version of the program.
pub const LAYOUT_VERSION: u8 = 1;
