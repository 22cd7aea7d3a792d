//! What happened, for indexers: one event a change, with the addresses and amounts that the change needs to be
//! followed without reading accounts. Amounts are lamports. Heartbeats and plain transfers emit nothing.

use anchor_lang::prelude::*;

use crate::instructions::{Feedback, Preferred};
use crate::state::{Config, FeePart, Filters, Preset, WorkerStatus};

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigChanged {
    pub admin: Pubkey,
    pub pending_admin: Option<Pubkey>,
    pub platform_payout: Pubkey,
    pub stakers_payout: Pubkey,
    pub bond_min: u64,
    pub reputation_prior: u64,
    pub rated_fees_min: u64,
    pub bond_cooldown_s: u32,
    pub grace_s: u32,
    pub heartbeat_s: u32,
    pub preset: Preset,
    pub paused: bool,
}

impl ConfigChanged {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            admin: config.admin,
            pending_admin: config.pending_admin(),
            platform_payout: config.platform_payout,
            stakers_payout: config.stakers_payout,
            bond_min: config.bond_min,
            reputation_prior: config.reputation_prior,
            rated_fees_min: config.rated_fees_min,
            bond_cooldown_s: config.bond_cooldown_s,
            grace_s: config.grace_s,
            heartbeat_s: config.heartbeat_s,
            preset: config.preset(),
            paused: config.paused(),
        }
    }
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct WorkerRegistered {
    pub worker: Pubkey,
    pub owner: Pubkey,
    pub operator: Pubkey,
    pub endpoint: String,
    pub bond: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct WorkerChanged {
    pub worker: Pubkey,
    pub operator: Pubkey,
    /// `None`: as before.
    pub endpoint: Option<String>,
    pub status: WorkerStatus,
    pub bond_free_unix_s: i64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct WorkerRetired {
    pub worker: Pubkey,
    /// Bond, earnings, rent and whatever else was sent there.
    pub paid: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct OfferPosted {
    pub offer: Pubkey,
    pub worker: Pubkey,
    pub model: String,
    pub revision: String,
    pub quantisation: String,
    pub price_in_per_mtok: u64,
    pub price_out_per_mtok: u64,
    pub charge_min: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct OfferChanged {
    pub offer: Pubkey,
    pub price_in_per_mtok: u64,
    pub price_out_per_mtok: u64,
    pub charge_min: u64,
    pub active: bool,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct OfferRetracted {
    pub offer: Pubkey,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct EarningsWithdrawn {
    pub worker: Pubkey,
    pub lamports: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct FeesSwept {
    pub worker: Pubkey,
    pub platform: u64,
    pub stakers: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct FeesWithdrawn {
    pub part: FeePart,
    pub payout: Pubkey,
    pub lamports: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct VaultOpened {
    pub vault: Pubkey,
    pub owner: Pubkey,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct Deposited {
    pub vault: Pubkey,
    pub payer: Pubkey,
    pub lamports: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct DelegateSet {
    pub vault: Pubkey,
    pub delegate: Option<Pubkey>,
    pub limit: u64,
    pub period_s: u32,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct Withdrawn {
    pub vault: Pubkey,
    pub lamports: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct VaultClosed {
    pub vault: Pubkey,
    /// The deposit that was left, and the rent.
    pub paid: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobPublished {
    pub job: Pubkey,
    pub vault: Pubkey,
    pub model_hash: [u8; 32],
    pub stake: u64,
    pub serve_until_unix_s: i64,
    pub filters: Filters,
    pub allowed: Vec<Pubkey>,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobLocked {
    pub job: Pubkey,
    pub worker: Pubkey,
    pub price_in_per_mtok: u64,
    pub price_out_per_mtok: u64,
    pub charge_min: u64,
    pub worker_bps: u16,
    pub stakers_bps: u16,
    pub rating_bps: u16,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobToppedUp {
    pub job: Pubkey,
    /// The whole stake now.
    pub stake: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobClaimed {
    pub job: Pubkey,
    pub worker: Pubkey,
    /// Totals of the job so far.
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// What this claim moved, and the fees in it; the worker earned the rest.
    pub paid: u64,
    pub platform: u64,
    pub stakers: u64,
    /// Free again in the vault; only at the end.
    pub refund: u64,
    pub is_final: bool,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobFinished {
    pub job: Pubkey,
    pub claim_until_unix_s: i64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobCancelled {
    pub job: Pubkey,
    pub refund: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobExpired {
    pub job: Pubkey,
    pub refund: u64,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobClosed {
    pub job: Pubkey,
    pub worker: Pubkey,
    pub feedback: Feedback,
}

#[event]
#[derive(Debug, PartialEq, Eq)]
pub struct JobsCompared {
    pub first: Pubkey,
    pub second: Pubkey,
    pub preferred: Preferred,
    pub weight: u64,
}
