//! What calls on an offer have cost lately: by it `auto` tells whether fees matter.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chainference_chain::Pubkey;
use chainference_market::Lamports;

/// One part in eight is the newest call's.
#[derive(Clone, Debug, Default)]
pub struct Typical(Arc<Mutex<HashMap<Pubkey, Lamports>>>);

impl Typical {
    pub fn observe(&self, offer: Pubkey, cost: Lamports) {
        // A call that came to nothing says nothing.
        if cost == Lamports::ZERO {
            return;
        }
        let mut costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = costs.entry(offer).or_insert(cost);
        let mean = (u128::from(known.0) * 7 + u128::from(cost.0)) / 8;
        known.0 = u64::try_from(mean).unwrap_or(u64::MAX);
    }

    pub fn cost(&self, offer: Pubkey) -> Option<Lamports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&offer).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_call_is_typical_and_later_ones_move_it_slowly() {
        let (typical, offer) = (Typical::default(), Pubkey::new_unique());
        assert_eq!(typical.cost(offer), None);
        typical.observe(offer, Lamports::ZERO);
        assert_eq!(typical.cost(offer), None);
        typical.observe(offer, Lamports(800));
        assert_eq!(typical.cost(offer), Some(Lamports(800)));
        typical.observe(offer, Lamports(1_600));
        assert_eq!(typical.cost(offer), Some(Lamports(900)));
    }
}
