//! The accounts that the program owns. Each is read and written in place: a fixed struct behind eight bytes
//! that name the type and its layout's version, so that another type and another version are refused by the
//! same check. Fields lie widest first where that saves padding; what clients filter by comes first.

mod config;
mod job;
mod offer;
mod reputation;
mod text;
mod treasury;
mod vault;
mod worker;

pub use config::{Config, Preset};
pub use job::{Filters, Job, JobStatus};
pub use offer::{model_hash, Offer};
pub use reputation::Reputation;
pub use text::Text;
pub use treasury::{FeePart, Treasury};
pub use vault::Vault;
pub use worker::{Worker, WorkerStatus};

use anchor_lang::{prelude::Pubkey, Discriminator, ZeroCopy};

/// Bytes of the type's name and layout version in front of every account.
pub const TAG_BYTES: usize = 8;

/// An account as it lies on chain.
pub trait Stored: ZeroCopy + Discriminator {
    /// Bytes of the account, its tag included; a job's list of workers comes on top.
    const BYTES: usize = TAG_BYTES + core::mem::size_of::<Self>();

    /// Reads an account's data; `None` for another type, another layout, or too few bytes.
    fn read(data: &[u8]) -> Option<Self> {
        let rest = data.strip_prefix(Self::DISCRIMINATOR)?;
        rest.get(..core::mem::size_of::<Self>()).map(bytemuck::pod_read_unaligned)
    }
}

impl<T: ZeroCopy + Discriminator> Stored for T {}

/// A key that may be missing: all zeros, which nobody can sign for.
fn key(stored: &Pubkey) -> Option<Pubkey> {
    (*stored != Pubkey::default()).then_some(*stored)
}
