//! Prices of an offer and the cost of what was served.

use crate::{Lamports, MarketError, Totals};

const TOKENS_PER_PRICE_UNIT: u128 = 1_000_000;

/// An offer's prices. `*_per_mtok` is lamports for 1,000,000 tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prices {
    pub input_per_mtok: u64,
    pub output_per_mtok: u64,
    /// The least that a job costs once anything is vouched, in lamports: lets a small call be worth
    /// its claim.
    pub charge_min: u64,
}

impl Prices {
    /// `max(charge_min, ⌈(in·price_in + out·price_out) / 10⁶⌉)`, or nothing where nothing was vouched.
    /// Rounded once per job: costs of partial totals must be subtracted, never added.
    pub fn cost(&self, totals: Totals) -> Result<Lamports, MarketError> {
        if totals.is_zero() {
            return Ok(Lamports::ZERO);
        }
        let input = u128::from(totals.tokens_in) * u128::from(self.input_per_mtok);
        let output = u128::from(totals.tokens_out) * u128::from(self.output_per_mtok);
        let exact = input.checked_add(output).ok_or(MarketError::Overflow)?;
        let rounded = exact.div_ceil(TOKENS_PER_PRICE_UNIT);
        let cost = u64::try_from(rounded).map_err(|_| MarketError::Overflow)?;
        Ok(Lamports(cost.max(self.charge_min)))
    }

    /// Whether every price is within a client's highest.
    pub fn within(&self, highest: &Self) -> bool {
        self.input_per_mtok <= highest.input_per_mtok
            && self.output_per_mtok <= highest.output_per_mtok
            && self.charge_min <= highest.charge_min
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICES: Prices =
        Prices { input_per_mtok: 600_000, output_per_mtok: 1_200_000, charge_min: 2_000 };

    fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
        Totals { tokens_in, tokens_out }
    }

    #[test]
    fn cost_is_rounded_up_once_and_never_below_the_least_charge() {
        for (tokens_in, tokens_out, cost) in [
            (0, 0, 0),
            (1, 0, 2_000),
            (0, 1, 2_000),
            (3_333, 0, 2_000),
            (3_334, 0, 2_001),
            (1_000_000, 1_000_000, 1_800_000),
            (1_000_001, 1_000_001, 1_800_002),
        ] {
            assert_eq!(
                PRICES.cost(totals(tokens_in, tokens_out)),
                Ok(Lamports(cost)),
                "{tokens_in} {tokens_out}"
            );
        }
    }

    #[test]
    fn cost_beyond_64_bits_is_refused() {
        let dear = Prices { input_per_mtok: u64::MAX, output_per_mtok: u64::MAX, charge_min: 0 };
        assert_eq!(dear.cost(totals(u64::MAX, u64::MAX)), Err(MarketError::Overflow));
        assert_eq!(dear.cost(totals(1_000_001, 0)), Err(MarketError::Overflow));
    }

    proptest! {
        #[test]
        fn cost_never_falls_when_totals_rise(
            a in 0u64..1 << 40, b in 0u64..1 << 40, more_in in 0u64..1 << 20, more_out in 0u64..1 << 20,
            input in 0u64..1 << 20, output in 0u64..1 << 20, charge_min in 0u64..1 << 20,
        ) {
            let prices = Prices { input_per_mtok: input, output_per_mtok: output, charge_min };
            let before = prices.cost(totals(a, b)).unwrap();
            let after = prices.cost(totals(a + more_in, b + more_out)).unwrap();
            prop_assert!(after >= before);
        }
    }
}
