//! Who gets which part of what a job cost.

use crate::{Lamports, MarketError};

const BPS: u16 = 10_000;

/// How the market cuts costs: one of two ways, so that no setting can take a worker's pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Preset {
    Open = 0,
    /// The worker's share moves with its rating: [`Shares::rated`].
    Far = 1,
}

impl Preset {
    /// The shares before any rating.
    pub const fn shares(self) -> Shares {
        match self {
            Self::Open => Shares::OPEN,
            Self::Far => Shares::FAR,
        }
    }
}

/// Shares in basis points (1/10,000). They always sum to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shares {
    worker_bps: u16,
    stakers_bps: u16,
}

/// A cost cut into its parts, which always sum to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    pub worker: Lamports,
    pub stakers: Lamports,
    pub platform: Lamports,
}

impl Shares {
    /// Worker 90 %, platform 10 %.
    pub const OPEN: Self = Self { worker_bps: 9_000, stakers_bps: 0 };
    /// Worker 60 %, stakers 20 %, platform 20 %.
    pub const FAR: Self = Self { worker_bps: 6_000, stakers_bps: 2_000 };

    /// Shares from basis points, refused unless they sum to 10,000.
    pub fn new(worker_bps: u16, stakers_bps: u16, platform_bps: u16) -> Result<Self, MarketError> {
        let sum = u32::from(worker_bps) + u32::from(stakers_bps) + u32::from(platform_bps);
        if sum != u32::from(BPS) {
            return Err(MarketError::SharesDoNotSum);
        }
        Ok(Self { worker_bps, stakers_bps })
    }

    pub const fn worker_bps(&self) -> u16 {
        self.worker_bps
    }

    pub const fn stakers_bps(&self) -> u16 {
        self.stakers_bps
    }

    pub const fn platform_bps(&self) -> u16 {
        BPS - self.worker_bps - self.stakers_bps
    }

    /// Moves basis points between worker and platform; what either doesn't have is not moved.
    pub(crate) fn moved_to_worker(self, bps: i16) -> Self {
        let highest = self.worker_bps + self.platform_bps();
        let worker_bps = self.worker_bps.saturating_add_signed(bps).min(highest);
        Self { worker_bps, ..self }
    }

    /// Floor for the worker, floor for the stakers, the rest to the platform: nothing is lost to
    /// rounding.
    pub fn split(&self, cost: Lamports) -> Split {
        let part = |bps: u16| {
            let exact = u128::from(cost.0) * u128::from(bps) / u128::from(BPS);
            u64::try_from(exact).unwrap_or(cost.0) // bps ≤ 10,000: a part never exceeds the whole
        };
        let (worker, stakers) = (part(self.worker_bps), part(self.stakers_bps));
        Split {
            worker: Lamports(worker),
            stakers: Lamports(stakers),
            platform: Lamports(cost.0 - worker - stakers),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_goes_to_the_platform() {
        let split = Shares::FAR.split(Lamports(9));
        assert_eq!((split.worker.0, split.stakers.0, split.platform.0), (5, 1, 3));
    }

    #[test]
    fn presets_name_their_shares() {
        assert_eq!(Shares::new(9_000, 0, 1_000), Ok(Preset::Open.shares()));
        assert_eq!(Shares::new(6_000, 2_000, 2_000), Ok(Preset::Far.shares()));
    }

    #[test]
    fn shares_that_do_not_sum_are_refused() {
        assert_eq!(Shares::new(9_000, 0, 999), Err(MarketError::SharesDoNotSum));
        assert_eq!(Shares::new(u16::MAX, u16::MAX, u16::MAX), Err(MarketError::SharesDoNotSum));
        assert_eq!(Shares::new(9_000, 0, 1_000), Ok(Shares::OPEN));
    }

    proptest! {
        #[test]
        fn the_parts_sum_to_the_cost(cost: u64, worker in 0u16..=10_000, rest in 0u16..=10_000) {
            let stakers = rest.min(10_000 - worker);
            let shares = Shares::new(worker, stakers, 10_000 - worker - stakers).unwrap();
            let split = shares.split(Lamports(cost));
            let sum = u128::from(split.worker.0) + u128::from(split.stakers.0) + u128::from(split.platform.0);
            prop_assert_eq!(sum, u128::from(cost));
        }
    }
}
