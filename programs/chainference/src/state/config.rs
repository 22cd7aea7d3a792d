use anchor_lang::prelude::*;
use chainference_market::Shares;

use crate::error::FromMarket;

/// The market's settings; there is one.
#[account]
#[derive(InitSpace, Debug, PartialEq, Eq)]
pub struct Config {
    pub version: u8,
    /// The address's bump seed.
    pub bump: u8,
    /// May change these settings; moves no money of others.
    pub admin: Pubkey,
    /// Becomes the admin when it accepts.
    pub pending_admin: Option<Pubkey>,
    /// How a job's cost is cut; snapshotted by each job at lock.
    pub shares: SharesBps,
    /// Where the platform's fees are swept to.
    pub platform_payout: Pubkey,
    /// Where the stakers' fees are swept to.
    pub stakers_payout: Pubkey,
    /// Least bond of a new worker, in lamports.
    pub bond_min: u64,
    /// Platform fees, in lamports, that a new worker's success ratio starts from: worth ten typical
    /// calls, so that one bad job doesn't ruin a beginner.
    pub reputation_prior: u64,
    /// Time between a job's `serve_until` and its `claim_until`, in seconds.
    pub grace_s: u32,
    /// Stops new workers, offers, publishes and locks. What is live is always paid and refunded.
    pub paused: bool,
}

/// Shares of a cost in basis points (1/10,000); they sum to 10,000.
#[derive(
    AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, Default, PartialEq, Eq,
)]
pub struct SharesBps {
    pub worker: u16,
    pub stakers: u16,
    pub platform: u16,
}

impl SharesBps {
    /// The market's form of these shares, refused unless they sum to 10,000.
    pub fn checked(&self) -> Result<Shares> {
        Shares::new(self.worker, self.stakers, self.platform).or_refuse()
    }
}

impl From<Shares> for SharesBps {
    fn from(shares: Shares) -> Self {
        Self {
            worker: shares.worker_bps(),
            stakers: shares.stakers_bps(),
            platform: shares.platform_bps(),
        }
    }
}
