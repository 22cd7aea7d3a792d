//! What a vault's delegate may spend.

use crate::{Lamports, MarketError};

/// A delegate's limit per period: at publish, `live reserved + settled this period ≤ limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub limit: Lamports,
    /// Length of a period, in seconds; 0: one period for ever.
    pub period_s: u32,
    /// When the current period began, in unix seconds.
    pub period_start_unix_s: i64,
    /// What was settled since then.
    pub settled: Lamports,
}

impl Allowance {
    /// Begins a new period where the old one is over.
    pub fn roll(&mut self, now_unix_s: i64) {
        let age_s = now_unix_s.saturating_sub(self.period_start_unix_s);
        if self.period_s > 0 && age_s >= i64::from(self.period_s) {
            self.period_start_unix_s = now_unix_s;
            self.settled = Lamports::ZERO;
        }
    }

    /// Whether the delegate may reserve `stake` on top of `reserved`.
    pub fn check(&self, reserved: Lamports, stake: Lamports) -> Result<(), MarketError> {
        let used = reserved.plus(self.settled)?.plus(stake)?;
        if used > self.limit { Err(MarketError::OverDelegateLimit) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance() -> Allowance {
        Allowance {
            limit: Lamports(100),
            period_s: 60,
            period_start_unix_s: 1_000,
            settled: Lamports(40),
        }
    }

    #[test]
    fn reserved_and_settled_count_against_the_limit() {
        assert_eq!(allowance().check(Lamports(30), Lamports(30)), Ok(()));
        assert_eq!(
            allowance().check(Lamports(30), Lamports(31)),
            Err(MarketError::OverDelegateLimit)
        );
    }

    #[test]
    fn a_period_of_no_length_never_ends() {
        let mut for_ever = Allowance { period_s: 0, ..allowance() };
        for_ever.roll(i64::MAX);
        assert_eq!(for_ever.settled, allowance().settled);
    }

    #[test]
    fn a_new_period_forgets_what_was_settled() {
        let mut at_the_edge = allowance();
        at_the_edge.roll(1_059);
        assert_eq!(at_the_edge, allowance());
        at_the_edge.roll(1_060);
        assert_eq!((at_the_edge.settled, at_the_edge.period_start_unix_s), (Lamports::ZERO, 1_060));
    }
}
