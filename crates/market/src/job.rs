//! The life of a job: which step is allowed in which status, and what money it moves.
//!
//! ```text
//! Open    lock → Locked · top_up → Open · cancel → Settled · expire (now ≥ serve_until) → Settled
//! Locked  claim → Locked or, final, Settled · finish, top_up → Locked · expire (now ≥ claim_until) → Settled
//! Settled close → gone
//! ```
//! A step changes nothing when it is refused. Times are unix seconds of the chain's clock.

use crate::limits::{CLOSE_BY_ANYONE_S, GRACE_S_MAX, GRACE_S_MIN, OPEN_SLOT_AGE_MAX, SERVE_S_MAX};
use crate::{Lamports, MarketError, Prices, Shares, Split, Totals};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Published; any worker that passes may lock it.
    Open = 0,
    /// One worker serves it, on terms that no longer change.
    Locked = 1,
    /// Paid and refunded; only the account is left.
    Settled = 2,
}

/// What was agreed when the job was locked. Later changes of offer or market never touch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub prices: Prices,
    pub shares: Shares,
}

/// What a client asks for at publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// The most that the job may cost.
    pub stake: Lamports,
    /// The highest prices that the client pays.
    pub highest: Prices,
    /// Makes the job's address unique; at most [`OPEN_SLOT_AGE_MAX`] slots old.
    pub open_slot: u64,
    pub serve_until_unix_s: i64,
    /// Time between `serve_until` and `claim_until`.
    pub grace_s: u32,
}

/// A job as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    pub status: Status,
    pub stake: Lamports,
    pub highest: Prices,
    pub open_slot: u64,
    pub serve_until_unix_s: i64,
    pub claim_until_unix_s: i64,
    pub grace_s: u32,
    /// Set at lock.
    pub terms: Option<Terms>,
    /// The highest totals that were credited.
    pub totals: Totals,
    /// What was credited so far, fees included. Never above the stake.
    pub credited: Lamports,
    /// When the job was settled; 0 before.
    pub settled_unix_s: i64,
}

/// What a worker claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Credits up to these vouched totals; the job stays Locked.
    Partial(Totals),
    /// The same and settles the job. With nothing vouched it is how a worker lets go.
    Final(Option<Totals>),
}

/// What a claim moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Leaves the vault: the sum of the split.
    pub paid: Lamports,
    pub split: Split,
    /// Is free again in the vault. Not zero only when the job settles.
    pub refund: Lamports,
}

impl Job {
    /// A job as published at (`now`, `slot`).
    pub fn publish(new: NewJob, now_unix_s: i64, slot: u64) -> Result<Self, MarketError> {
        if !(GRACE_S_MIN..=GRACE_S_MAX).contains(&new.grace_s) {
            return Err(MarketError::BadGrace);
        }
        let ahead_s = new.serve_until_unix_s.saturating_sub(now_unix_s);
        if !(1..=SERVE_S_MAX).contains(&ahead_s) {
            return Err(MarketError::BadServeUntil);
        }
        let age = slot.checked_sub(new.open_slot).ok_or(MarketError::BadOpenSlot)?;
        if age > OPEN_SLOT_AGE_MAX {
            return Err(MarketError::BadOpenSlot);
        }
        if new.stake == Lamports::ZERO {
            return Err(MarketError::StakeTooSmall);
        }
        Ok(Self {
            status: Status::Open,
            stake: new.stake,
            highest: new.highest,
            open_slot: new.open_slot,
            serve_until_unix_s: new.serve_until_unix_s,
            claim_until_unix_s: new.serve_until_unix_s.saturating_add(i64::from(new.grace_s)),
            grace_s: new.grace_s,
            terms: None,
            totals: Totals::ZERO,
            credited: Lamports::ZERO,
            settled_unix_s: 0,
        })
    }

    /// A worker takes the job on its offer's prices.
    pub fn lock(&mut self, terms: Terms, now_unix_s: i64) -> Result<(), MarketError> {
        self.must_be(Status::Open)?;
        if now_unix_s >= self.serve_until_unix_s {
            return Err(MarketError::TooLateToLock);
        }
        if !terms.prices.within(&self.highest) {
            return Err(MarketError::PriceTooHigh);
        }
        if terms.prices.charge_min > self.stake.0 {
            return Err(MarketError::StakeTooSmall);
        }
        self.terms = Some(terms);
        self.status = Status::Locked;
        Ok(())
    }

    /// Credits vouched totals, and settles the job when the claim is final. Valid as long as the job
    /// is Locked: a worker is never too late for what nobody has expired.
    pub fn claim(&mut self, claim: Claim, now_unix_s: i64) -> Result<Credit, MarketError> {
        self.must_be(Status::Locked)?;
        let terms = self.terms.ok_or(MarketError::WrongStatus)?;
        let (vouched, is_final) = match claim {
            Claim::Partial(totals) => (Some(totals), false),
            Claim::Final(totals) => (totals, true),
        };
        let totals = vouched.unwrap_or(self.totals);
        if !totals.covers(self.totals) {
            return Err(MarketError::VoucherGoesBack);
        }
        let cost = terms.prices.cost(totals)?;
        if cost > self.stake {
            return Err(MarketError::BeyondStake);
        }
        let paid = cost.minus(self.credited)?;
        self.totals = totals;
        self.credited = cost;
        let refund = if is_final { self.settle(now_unix_s)? } else { Lamports::ZERO };
        Ok(Credit { paid, split: terms.shares.split(paid), refund })
    }

    /// The client wants no more: the worker has one grace period left to claim.
    pub fn finish(&mut self, now_unix_s: i64) -> Result<(), MarketError> {
        self.must_be(Status::Locked)?;
        let soonest = now_unix_s.saturating_add(i64::from(self.grace_s));
        self.claim_until_unix_s = self.claim_until_unix_s.min(soonest);
        Ok(())
    }

    /// The client adds `amount` to the stake of a job that is still served. The agreed prices stay.
    pub fn top_up(&mut self, amount: Lamports, now_unix_s: i64) -> Result<(), MarketError> {
        if self.status == Status::Settled {
            return Err(MarketError::WrongStatus);
        }
        if now_unix_s >= self.serve_until_unix_s {
            return Err(MarketError::ServingOver);
        }
        if amount == Lamports::ZERO {
            return Err(MarketError::StakeTooSmall);
        }
        self.stake = self.stake.plus(amount)?;
        Ok(())
    }

    /// The client takes back a job that nobody locked. Returns what is free again in the vault.
    pub fn cancel(&mut self, now_unix_s: i64) -> Result<Lamports, MarketError> {
        self.must_be(Status::Open)?;
        self.settle(now_unix_s)
    }

    /// Anyone ends a job whose time is over. Returns what is free again in the vault.
    pub fn expire(&mut self, now_unix_s: i64) -> Result<Lamports, MarketError> {
        let from_unix_s = match self.status {
            Status::Open => self.serve_until_unix_s,
            Status::Locked => self.claim_until_unix_s,
            Status::Settled => return Err(MarketError::WrongStatus),
        };
        if now_unix_s < from_unix_s {
            return Err(MarketError::TooEarlyToExpire);
        }
        self.settle(now_unix_s)
    }

    /// Whether the account may go: its address must have left the slot window, and only the client
    /// may do it in the first hour.
    pub fn may_close(
        &self,
        by_client: bool,
        now_unix_s: i64,
        slot: u64,
    ) -> Result<(), MarketError> {
        self.must_be(Status::Settled)?;
        let address_is_safe = slot > self.open_slot.saturating_add(OPEN_SLOT_AGE_MAX);
        let is_old = now_unix_s >= self.settled_unix_s.saturating_add(CLOSE_BY_ANYONE_S);
        if address_is_safe && (by_client || is_old) {
            Ok(())
        } else {
            Err(MarketError::TooEarlyToClose)
        }
    }

    /// What is true of every job at any time; checked after each step on chain.
    pub fn invariant(&self) -> bool {
        let locked_once = self.terms.is_some();
        let terms_fit_status = match self.status {
            Status::Open => !locked_once && self.totals.is_zero(),
            Status::Locked => locked_once,
            Status::Settled => true,
        };
        self.credited <= self.stake
            && terms_fit_status
            && (locked_once || self.credited == Lamports::ZERO)
            && self.claim_until_unix_s > 0
    }

    fn settle(&mut self, now_unix_s: i64) -> Result<Lamports, MarketError> {
        let refund = self.stake.minus(self.credited)?;
        self.status = Status::Settled;
        self.settled_unix_s = now_unix_s;
        Ok(refund)
    }

    fn must_be(&self, status: Status) -> Result<(), MarketError> {
        if self.status == status { Ok(()) } else { Err(MarketError::WrongStatus) }
    }
}

#[cfg(test)]
mod tests;
