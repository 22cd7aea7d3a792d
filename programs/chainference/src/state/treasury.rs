use anchor_lang::prelude::*;
use chainference_market::Lamports;

use crate::error::FromMarket;
use crate::money;

/// Fees on their way from workers' records to the market's payouts. Between the two, so that a payout that
/// can't be credited holds up nobody's retirement.
#[account(zero_copy, discriminator = b"cf.trsy\x01")]
#[derive(Debug, PartialEq, Eq)]
pub struct Treasury {
    /// Lamports that were paid in for the account's rent.
    pub rent: u64,
    /// The platform's fees, in lamports.
    pub platform: u64,
    /// The stakers' fees, in lamports.
    pub stakers: u64,
}

/// Whose fees.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeePart {
    Platform,
    Stakers,
}

impl Treasury {
    pub fn add(&mut self, platform: u64, stakers: u64) -> Result<()> {
        self.platform = Lamports(self.platform).plus(Lamports(platform)).or_refuse()?.0;
        self.stakers = Lamports(self.stakers).plus(Lamports(stakers)).or_refuse()?.0;
        Ok(())
    }

    /// Takes all of one part.
    pub fn take(&mut self, part: FeePart) -> u64 {
        core::mem::take(match part {
            FeePart::Platform => &mut self.platform,
            FeePart::Stakers => &mut self.stakers,
        })
    }

    /// Every lamport that is owed is there, above the rent.
    pub fn invariant(&self, lamports: u64) -> Result<()> {
        money::holds(lamports, &[self.rent, self.platform, self.stakers])
    }
}
