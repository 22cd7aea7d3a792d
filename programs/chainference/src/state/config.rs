use anchor_lang::prelude::*;
use chainference_market::{self as market, limits, MarketError, Shares};

use super::{key, FeePart};
use crate::error::{refuse, FromMarket, ProgramErrorCode};

/// The market's settings; there is one.
#[account(zero_copy, discriminator = b"cf.conf\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// May change these settings; moves no money of others.
    pub admin: Pubkey,
    /// Becomes the admin when it accepts; zeros: nobody.
    pub pending_admin: Pubkey,
    /// Where the platform's fees are paid to.
    pub platform_payout: Pubkey,
    /// Where the stakers' fees are paid to.
    pub stakers_payout: Pubkey,
    /// Least bond of a new worker, in lamports.
    pub bond_min: u64,
    /// Platform fees, in lamports, that every ratio of a reputation starts from: worth ten typical calls, so
    /// that one bad job doesn't ruin a beginner.
    pub reputation_prior: u64,
    /// Platform fees, in lamports, that a worker must have earned before its rating moves its share.
    pub rated_fees_min: u64,
    /// Time between a worker's word that it leaves and the return of its bond, in seconds.
    pub bond_cooldown_s: u32,
    /// Time between a job's `serve_until` and its `claim_until`, in seconds.
    pub grace_s: u32,
    /// Length of the windows in which a worker is to give a heartbeat, in seconds.
    pub heartbeat_s: u32,
    /// See [`Preset`].
    pub preset: u8,
    /// 1 stops new workers, offers, publishes and locks. What is live is always paid and refunded.
    pub paused: u8,
    pub padding: [u8; 2],
}

/// How a job's cost is cut. There is no third way: the admin can't name shares of its own.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Worker 90 %, platform 10 %.
    Open,
    /// Worker 60 %, stakers 20 %, platform 20 %; the worker's share moves with its rating.
    Far,
}

impl Config {
    pub fn paused(&self) -> bool {
        self.paused != 0
    }

    pub fn pending_admin(&self) -> Option<Pubkey> {
        key(&self.pending_admin)
    }

    pub fn preset(&self) -> Preset {
        if self.preset == Preset::Open as u8 {
            Preset::Open
        } else {
            Preset::Far
        }
    }

    /// The shares of a job that a worker of this reputation locks now, and its rating in basis points.
    pub fn shares_for(&self, reputation: &market::Reputation, now_unix_s: i64) -> (Shares, u16) {
        let rating = reputation.rating_bps(now_unix_s, self.heartbeat_s, self.reputation_prior);
        let shares = match self.preset() {
            Preset::Open => Shares::OPEN,
            Preset::Far if reputation.fees_completed < self.rated_fees_min => Shares::FAR,
            Preset::Far => Shares::FAR.rated(rating),
        };
        (shares, rating)
    }

    /// Where a part of the fees is paid to.
    pub fn payout(&self, part: FeePart) -> Pubkey {
        match part {
            FeePart::Platform => self.platform_payout,
            FeePart::Stakers => self.stakers_payout,
        }
    }

    /// Refuses settings that would hold money, or publishes, for ever.
    pub fn check(&self) -> Result<()> {
        if !(limits::GRACE_S_MIN..=limits::GRACE_S_MAX).contains(&self.grace_s) {
            return Err(MarketError::BadGrace).or_refuse();
        }
        let heartbeats = limits::HEARTBEAT_S_MIN..=limits::HEARTBEAT_S_MAX;
        if self.bond_cooldown_s > limits::BOND_COOLDOWN_S_MAX
            || !heartbeats.contains(&self.heartbeat_s)
        {
            return refuse(ProgramErrorCode::BadLimits);
        }
        Ok(())
    }
}
