use anchor_lang::prelude::*;
use chainference_market::{limits::ENDPOINT_BYTES_MAX, Lamports, MarketError, Split};

use crate::error::{FromMarket, ProgramErrorCode};

/// An operator's record. Its lamports are rent + bond + earnings + both kinds of fees; anything that
/// was sent to it besides goes to the owner when it retires.
#[account]
#[derive(InitSpace, Debug, PartialEq, Eq)]
pub struct Worker {
    pub version: u8,
    pub status: WorkerStatus,
    /// The cold key: bond, payout, offers, retirement.
    pub owner: Pubkey,
    /// The hot key: quotes, lock, claim, heartbeat.
    pub operator: Pubkey,
    /// Calls are sealed to this key.
    pub x25519: [u8; 32],
    /// Jobs in status Locked.
    pub live_jobs: u32,
    /// Price of entry, in lamports; returned at retirement, never slashed.
    pub bond: u64,
    /// Earned and not yet withdrawn, in lamports.
    pub earnings: u64,
    /// The platform's part of what was claimed, not yet swept, in lamports.
    pub fees_platform: u64,
    /// The stakers' part of what was claimed, not yet swept, in lamports.
    pub fees_stakers: u64,
    pub last_heartbeat_unix_s: i64,
    /// Platform fees of all paid jobs, in lamports: the weight of the reputation.
    pub fees_completed: u64,
    /// Platform fees of the flagged ones among them, in lamports.
    pub fees_flagged: u64,
    /// Settled jobs for which anything was paid.
    pub jobs_completed: u32,
    pub jobs_flagged: u32,
    /// Base URL of the worker's HTTP service. Hostile input to whoever reads it.
    #[max_len(ENDPOINT_BYTES_MAX)]
    pub endpoint: String,
}

#[derive(AnchorSerialize, AnchorDeserialize, InitSpace, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerStatus {
    /// Takes jobs.
    Active,
    /// Takes no new job; serves and claims what it has locked.
    Retiring,
}

impl Worker {
    /// Books a claim's parts. The caller moves the same lamports.
    pub fn credit(&mut self, split: &Split) -> Result<()> {
        self.earnings = sum(self.earnings, split.worker)?;
        self.fees_platform = sum(self.fees_platform, split.platform)?;
        self.fees_stakers = sum(self.fees_stakers, split.stakers)?;
        self.fees_completed = sum(self.fees_completed, split.platform)?;
        Ok(())
    }

    /// A locked job has ended; `paid` says whether anything was credited for it. One with nothing paid
    /// moves no counter: locking out a worker's rating must cost.
    pub fn job_ended(&mut self, paid: bool) -> Result<()> {
        self.live_jobs = self.live_jobs.checked_sub(1).ok_or(MarketError::Overflow).or_refuse()?;
        if paid {
            self.jobs_completed = self.jobs_completed.saturating_add(1);
        }
        Ok(())
    }

    /// 1 − flagged / all, in basis points, weighted by platform fees and started from `prior` lamports
    /// of good jobs. A record without any history is at 10,000.
    pub fn success_bps(&self, prior: u64) -> u16 {
        let all = u128::from(prior) + u128::from(self.fees_completed);
        let flagged = u128::from(self.fees_flagged).min(all);
        if all == 0 {
            return 10_000;
        }
        u16::try_from((all - flagged) * 10_000 / all).unwrap_or(10_000)
    }

    /// Lamports that the record owes, beyond its rent.
    pub fn owed(&self) -> Result<u64> {
        [self.earnings, self.fees_platform, self.fees_stakers]
            .into_iter()
            .try_fold(self.bond, |total, part| total.checked_add(part))
            .ok_or(MarketError::Overflow)
            .or_refuse()
    }

    /// Every lamport that is owed is there, above the rent.
    pub fn invariant(&self, account: &AccountInfo) -> Result<()> {
        let free = crate::money::above_rent(account)?;
        require!(self.owed()? <= free, ProgramErrorCode::InvariantBroken);
        Ok(())
    }
}

fn sum(amount: u64, more: Lamports) -> Result<u64> {
    Lamports(amount).plus(more).map(|total| total.0).or_refuse()
}
