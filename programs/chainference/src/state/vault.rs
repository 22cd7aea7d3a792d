use anchor_lang::prelude::*;
use chainference_market::{Allowance, Lamports, MarketError};

use super::key;
use crate::error::FromMarket;
use crate::money;

/// A client's deposit: the account's own lamports above its rent, of which `reserved` is promised to
/// live jobs. A plain transfer to the account is a deposit too.
#[account(zero_copy, discriminator = b"cf.vlt\0\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Vault {
    /// The cold key: sets the delegate and withdraws.
    pub owner: Pubkey,
    /// The gateway's hot key: publishes, finishes, cancels and closes, within the limit; zeros: nobody.
    pub delegate: Pubkey,
    /// Lamports that the owner paid for the account's rent.
    pub rent: u64,
    /// Stakes of live jobs less what was credited for them, in lamports.
    pub reserved: u64,
    /// The most, in lamports, that may be reserved and settled in a period for the delegate to publish.
    pub limit: u64,
    /// Paid to workers in this period, in lamports.
    pub settled_in_period: u64,
    pub period_start_unix_s: i64,
    /// Length of a period, in seconds; 0: one period for ever.
    pub period_s: u32,
    /// Job accounts that still exist, settled ones included.
    pub unclosed_jobs: u32,
}

impl Vault {
    pub fn delegate(&self) -> Option<Pubkey> {
        key(&self.delegate)
    }

    /// Whether `key` acts for this client: the owner or the present delegate.
    pub fn is_client(&self, key: &Pubkey) -> bool {
        self.owner == *key || self.delegate() == Some(*key)
    }

    /// Reserves a stake out of what is free of the account's `lamports`.
    pub fn reserve(
        &mut self,
        stake: Lamports,
        by: &Pubkey,
        now_unix_s: i64,
        lamports: u64,
    ) -> Result<()> {
        self.roll(now_unix_s);
        if self.owner != *by {
            self.allowance().check(Lamports(self.reserved), stake).or_refuse()?;
        }
        if stake > self.free(lamports) {
            return Err(MarketError::InsufficientBalance).or_refuse();
        }
        self.reserved = Lamports(self.reserved).plus(stake).or_refuse()?.0;
        Ok(())
    }

    /// Takes `paid` and `refund` out of what is reserved; `paid` leaves the vault, by the caller.
    pub fn settle(&mut self, paid: Lamports, refund: Lamports, now_unix_s: i64) -> Result<()> {
        let released = paid.plus(refund).or_refuse()?;
        self.reserved = Lamports(self.reserved).minus(released).or_refuse()?.0;
        self.roll(now_unix_s);
        self.settled_in_period = Lamports(self.settled_in_period).plus(paid).or_refuse()?.0;
        Ok(())
    }

    /// What the owner may withdraw and new jobs may reserve, of the account's `lamports`.
    pub fn free(&self, lamports: u64) -> Lamports {
        Lamports(lamports.saturating_sub(self.rent).saturating_sub(self.reserved))
    }

    pub fn job_opened(&mut self) -> Result<()> {
        self.unclosed_jobs =
            self.unclosed_jobs.checked_add(1).ok_or(MarketError::Overflow).or_refuse()?;
        Ok(())
    }

    pub fn job_closed(&mut self) -> Result<()> {
        self.unclosed_jobs =
            self.unclosed_jobs.checked_sub(1).ok_or(MarketError::Overflow).or_refuse()?;
        Ok(())
    }

    /// What is promised is there, above the rent.
    pub fn invariant(&self, lamports: u64) -> Result<()> {
        money::holds(lamports, &[self.rent, self.reserved])
    }

    fn allowance(&self) -> Allowance {
        Allowance {
            limit: Lamports(self.limit),
            period_s: self.period_s,
            period_start_unix_s: self.period_start_unix_s,
            settled: Lamports(self.settled_in_period),
        }
    }

    fn roll(&mut self, now_unix_s: i64) {
        let mut allowance = self.allowance();
        allowance.roll(now_unix_s);
        self.period_start_unix_s = allowance.period_start_unix_s;
        self.settled_in_period = allowance.settled.0;
    }
}
