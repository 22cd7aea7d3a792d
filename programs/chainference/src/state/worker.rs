use anchor_lang::prelude::*;
use chainference_market::{
    self as market, limits::ENDPOINT_BYTES_MAX, Lamports, MarketError, Split,
};

use super::{Reputation, Text};
use crate::error::{refuse, FromMarket, ProgramErrorCode};
use crate::money;

/// An operator's record. Its lamports are rent + bond + earnings + both kinds of fees; anything that
/// was sent to it besides goes to the owner when it retires.
#[account(zero_copy, discriminator = b"cf.wrkr\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Worker {
    /// The cold key: bond, payout, retirement.
    pub owner: Pubkey,
    /// The hot key: quotes, lock, claim, heartbeat, offers.
    pub operator: Pubkey,
    /// Calls are sealed to this key.
    pub x25519: [u8; 32],
    /// Lamports that the owner paid for the account's rent.
    pub rent: u64,
    /// Price of entry, in lamports; returned at retirement, never slashed.
    pub bond: u64,
    /// Earned and not yet withdrawn, in lamports.
    pub earnings: u64,
    /// The platform's part of what was claimed, not yet swept, in lamports.
    pub fees_platform: u64,
    /// The stakers' part of what was claimed, not yet swept, in lamports.
    pub fees_stakers: u64,
    /// When the bond may be taken back; 0 while the worker is active.
    pub bond_free_unix_s: i64,
    pub last_heartbeat_unix_s: i64,
    pub reputation: Reputation,
    /// Jobs in status Locked.
    pub live_jobs: u32,
    /// See [`WorkerStatus`].
    pub status: u8,
    pub padding: [u8; 3],
    /// Base URL of the worker's HTTP service. Hostile input to whoever reads it.
    pub endpoint: [u8; ENDPOINT_BYTES_MAX],
}

#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStatus {
    /// Takes jobs.
    Active,
    /// Takes no new job; serves and claims what it has locked. Its bond cools down.
    Retiring,
}

impl Worker {
    pub fn status(&self) -> WorkerStatus {
        if self.status == WorkerStatus::Active as u8 {
            WorkerStatus::Active
        } else {
            WorkerStatus::Retiring
        }
    }

    pub fn endpoint(&self) -> &str {
        self.endpoint.text()
    }

    /// Stores a URL of printable ASCII.
    pub fn set_endpoint(&mut self, endpoint: &str) -> Result<()> {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return refuse(ProgramErrorCode::BadText);
        }
        self.endpoint.set_text(endpoint)
    }

    /// Changes whether the worker takes jobs. Leaving starts the bond's cooldown, once; the length is fixed
    /// then, whatever the market's settings become.
    pub fn set_status(&mut self, status: WorkerStatus, cooldown_s: u32, now_unix_s: i64) {
        if self.status() != status {
            self.status = status as u8;
            self.bond_free_unix_s = match status {
                WorkerStatus::Active => 0,
                WorkerStatus::Retiring => now_unix_s.saturating_add(i64::from(cooldown_s)),
            };
        }
    }

    /// Whether `key` acts for this worker.
    pub fn is_agent(&self, key: &Pubkey) -> bool {
        self.owner == *key || self.operator == *key
    }

    /// Books a claim's parts. The caller moves the same lamports.
    pub fn credit(&mut self, split: &Split) -> Result<()> {
        self.earnings = sum(self.earnings, split.worker)?;
        self.fees_platform = sum(self.fees_platform, split.platform)?;
        self.fees_stakers = sum(self.fees_stakers, split.stakers)?;
        self.rate(|reputation| reputation.pay(split.platform));
        Ok(())
    }

    pub fn job_locked(&mut self) -> Result<()> {
        self.live_jobs = self.live_jobs.checked_add(1).ok_or(MarketError::Overflow).or_refuse()?;
        Ok(())
    }

    /// A locked job has ended; `paid` says whether anything was credited for it. One with nothing paid
    /// moves no counter: locking out a worker's rating must cost.
    pub fn job_ended(&mut self, paid: bool) -> Result<()> {
        self.live_jobs = self.live_jobs.checked_sub(1).ok_or(MarketError::Overflow).or_refuse()?;
        if paid {
            self.rate(market::Reputation::completed);
        }
        Ok(())
    }

    /// Changes the reputation by the market's rules.
    pub fn rate(&mut self, change: impl FnOnce(&mut market::Reputation)) {
        let mut reputation = self.reputation.into();
        change(&mut reputation);
        self.reputation = reputation.into();
    }

    /// Every lamport that the record owes is there, above the rent.
    pub fn invariant(&self, lamports: u64) -> Result<()> {
        let owed = [self.rent, self.bond, self.earnings, self.fees_platform, self.fees_stakers];
        money::holds(lamports, &owed)
    }
}

fn sum(amount: u64, more: Lamports) -> Result<u64> {
    Lamports(amount).plus(more).map(|total| total.0).or_refuse()
}
