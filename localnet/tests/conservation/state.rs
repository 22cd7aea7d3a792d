//! What the model knows of each account.

use chainference::state as chain;
use chainference::state::Stored;
use chainference_chain::Pubkey;
use chainference_market::Reputation;

use crate::call::Slot;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
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
    pub far: bool,
    pub paused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Treasury {
    pub rent: u64,
    pub platform: u64,
    pub stakers: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    pub owner: Pubkey,
    pub delegate: Option<Pubkey>,
    pub rent: u64,
    pub reserved: u64,
    pub limit: u64,
    pub settled: u64,
    pub period_start_unix_s: i64,
    pub period_s: u32,
    pub unclosed_jobs: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    pub owner: Pubkey,
    pub operator: Pubkey,
    pub rent: u64,
    pub bond: u64,
    pub earnings: u64,
    pub fees_platform: u64,
    pub fees_stakers: u64,
    pub is_retiring: bool,
    pub bond_free_unix_s: i64,
    pub last_heartbeat_unix_s: i64,
    pub live_jobs: u32,
    pub reputation: Reputation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub worker: Pubkey,
    pub payer: Pubkey,
    pub model_hash: [u8; 32],
    pub prices: Prices,
    pub active: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    pub input: u64,
    pub output: u64,
    pub charge_min: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Open,
    Locked,
    Settled,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    pub vault: Pubkey,
    pub worker: Option<Pubkey>,
    pub authority: Pubkey,
    pub session_key: Pubkey,
    pub model_hash: [u8; 32],
    pub open_slot: u64,
    pub stake: u64,
    pub max_input: u64,
    pub max_output: u64,
    pub max_charge_min: u64,
    pub serve_until_unix_s: i64,
    pub claim_until_unix_s: i64,
    pub grace_s: u32,
    pub fees_completed_min: u64,
    pub success_bps_min: u16,
    pub preference_bps_min: u16,
    pub allowed: Vec<Pubkey>,
    pub status: Status,
    pub prices: Prices,
    pub worker_bps: u16,
    pub stakers_bps: u16,
    pub rating_bps: u16,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub credited: u64,
    pub fees_platform: u64,
    pub settled_unix_s: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The system program's, without data: people, and addresses that only hold a donation.
    Wallet,
    /// A program, a system variable, or an account of another program.
    Alien,
    /// The program's, of so many zeros.
    Blank(usize),
    Config(Config),
    Treasury(Treasury),
    Vault(Vault),
    Worker(Worker),
    Offer(Offer),
    Job(Job),
}

impl State {
    pub fn bytes(&self) -> usize {
        match self {
            Self::Wallet | Self::Alien => 0,
            Self::Blank(bytes) => *bytes,
            Self::Config(_) => chain::Config::BYTES,
            Self::Treasury(_) => chain::Treasury::BYTES,
            Self::Vault(_) => chain::Vault::BYTES,
            Self::Worker(_) => chain::Worker::BYTES,
            Self::Offer(_) => chain::Offer::BYTES,
            Self::Job(job) => chain::Job::space(job.allowed.len()),
        }
    }

    pub fn fits(&self, slot: Slot) -> bool {
        match slot {
            Slot::Config => matches!(self, Self::Config(_)),
            Slot::Treasury => matches!(self, Self::Treasury(_)),
            Slot::Vault => matches!(self, Self::Vault(_)),
            Slot::Worker | Slot::MaybeWorker => matches!(self, Self::Worker(_)),
            Slot::Offer => matches!(self, Self::Offer(_)),
            Slot::Job => matches!(self, Self::Job(_)),
            Slot::Signer | Slot::New | Slot::Any | Slot::System => true,
        }
    }
}
