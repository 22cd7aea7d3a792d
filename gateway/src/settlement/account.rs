//! What the calls of one job may still cost, and what is owed for them together. No clock, no I/O.
//!
//! A call's greatest cost is reserved before it leaves, and becomes what is owed once it has ended.

use std::collections::BTreeMap;

use chainference_market::{Lamports, MarketError, Prices, Totals};

/// The account of a job: all its calls, and the one voucher that covers them.
#[derive(Debug)]
pub struct Account {
    prices: Prices,
    stake: Lamports,
    calls_max: u32,
    begun: u32,
    live: BTreeMap<u32, Share>,
    /// Owed for the calls that have ended.
    settled: Totals,
    open: bool,
}

/// A running call's part in its job.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// The most that it may come to.
    bounds: Totals,
    /// What is vouched for it so far.
    vouched: Totals,
}

impl Account {
    /// A job that carries up to `calls_max` calls.
    pub fn new(prices: Prices, stake: Lamports, calls_max: u32) -> Self {
        let live = BTreeMap::new();
        Self { prices, stake, calls_max, begun: 0, live, settled: Totals::ZERO, open: true }
    }

    /// Reserves for a call and gives it its number; `None` where the unvouched stake does not cover
    /// it, or the job takes no more.
    pub fn admit(&mut self, bounds: Totals) -> Option<u32> {
        if !self.admits(bounds) {
            return None;
        }
        let call = self.begun;
        self.begun += 1;
        self.live.insert(call, Share { bounds, vouched: Totals::ZERO });
        Some(call)
    }

    pub fn admits(&self, bounds: Totals) -> bool {
        let fits = || {
            let cost = self.prices.cost(plus(self.committed()?, bounds)?);
            Some(cost.is_ok_and(|cost| cost <= self.stake))
        };
        self.open && self.begun < self.calls_max && fits() == Some(true)
    }

    /// A call has come to `totals`: what the job's next voucher says.
    pub fn vouch(&mut self, call: u32, totals: Totals) -> Totals {
        if let Some(share) = self.live.get_mut(&call) {
            share.vouched = within(totals, share.bounds);
        }
        self.vouched()
    }

    /// A call has ended and `owed` is paid for it. Returns what that costs: over all calls, it adds up to what the job
    /// costs. Unless `is_even`, the worker counts more than that, and what it counts beyond would use up the
    /// credit of later calls: the job takes no more.
    pub fn settle(&mut self, call: u32, owed: Totals, is_even: bool) -> Lamports {
        self.open &= is_even;
        let Some(share) = self.live.remove(&call) else { return Lamports::ZERO };
        let owed = within(owed, share.bounds);
        // It was within what the stake covers, so that it can't overflow.
        let cost = self.price_of(owed).unwrap_or(self.stake);
        self.settled = plus(self.settled, owed).unwrap_or(self.settled);
        cost
    }

    /// The worker refused a call before it did anything: as if it had not been, but for its number.
    pub fn take_back(&mut self, call: u32) {
        if self.live.remove(&call).is_some() {
            self.calls_max = self.calls_max.saturating_add(1);
        }
    }

    /// The job's totals, over all its calls.
    pub fn vouched(&self) -> Totals {
        let mut live = self.live.values().map(|share| share.vouched);
        live.try_fold(self.settled, plus).unwrap_or(self.settled)
    }

    /// What these totals add to the cost of the calls that have ended: a job's cost is rounded, and
    /// its least charge taken, once.
    pub fn price_of(&self, totals: Totals) -> Result<Lamports, MarketError> {
        let all = plus(self.settled, totals).ok_or(MarketError::Overflow)?;
        self.prices.cost(all)?.minus(self.prices.cost(self.settled)?)
    }

    /// The most that the calls so far may come to.
    pub fn used(&self) -> Lamports {
        let cost = self.committed().map(|totals| self.prices.cost(totals));
        cost.and_then(Result::ok).unwrap_or(self.stake)
    }

    /// The stake has grown to this.
    pub fn grow(&mut self, stake: Lamports) {
        self.stake = self.stake.max(stake);
    }

    pub fn stake(&self) -> Lamports {
        self.stake
    }

    /// No more calls.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Whether another call could begin, if its cost fits.
    pub fn is_open(&self) -> bool {
        self.open && self.begun < self.calls_max
    }

    /// Whether its totals are those of one call.
    pub fn is_for_one(&self) -> bool {
        self.calls_max.saturating_sub(self.begun) == 0
    }

    pub fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    fn committed(&self) -> Option<Totals> {
        let mut live = self.live.values().map(|share| share.bounds);
        live.try_fold(self.settled, plus)
    }
}

fn plus(a: Totals, b: Totals) -> Option<Totals> {
    Some(Totals {
        tokens_in: a.tokens_in.checked_add(b.tokens_in)?,
        tokens_out: a.tokens_out.checked_add(b.tokens_out)?,
    })
}

fn within(totals: Totals, bounds: Totals) -> Totals {
    Totals {
        tokens_in: totals.tokens_in.min(bounds.tokens_in),
        tokens_out: totals.tokens_out.min(bounds.tokens_out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICES: Prices =
        Prices { input_per_mtok: 1_000_000, output_per_mtok: 2_000_000, charge_min: 50 };

    fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
        Totals { tokens_in, tokens_out }
    }

    #[test]
    fn a_call_begins_only_where_the_unvouched_stake_covers_its_greatest_cost() {
        let mut account = Account::new(PRICES, Lamports(100), u32::MAX);
        assert_eq!(account.admit(totals(10, 20)), Some(0));
        assert_eq!(account.admit(totals(10, 20)), Some(1));
        assert_eq!(account.admit(totals(1, 0)), None, "all is reserved");
        assert_eq!(account.settle(0, totals(10, 5), true), Lamports(50));
        assert_eq!(account.vouched(), totals(10, 5));
        assert_eq!(account.admit(totals(10, 10)), Some(2), "what was not used is free again");
        assert_eq!(account.used(), Lamports(20 + 50 + 30));
    }

    #[test]
    fn the_calls_of_a_job_share_one_rising_total() {
        let mut account = Account::new(PRICES, Lamports(1_000), u32::MAX);
        let (first, second) =
            (account.admit(totals(10, 50)).unwrap(), account.admit(totals(10, 50)).unwrap());
        assert_eq!(account.vouch(first, totals(10, 1)), totals(10, 1));
        assert_eq!(account.vouch(second, totals(9, 2)), totals(19, 3));
        account.settle(first, totals(10, 7), true);
        assert_eq!(account.vouched(), totals(19, 9));
        assert_eq!(account.vouch(first, totals(10, 50)), totals(19, 9), "it has ended");
        account.settle(second, totals(9, 400), true);
        assert_eq!(account.vouched(), totals(19, 57), "bounded");
        assert!(account.is_idle() && account.is_open());
    }

    #[test]
    fn a_call_that_broke_off_is_the_last_of_its_job() {
        let mut account = Account::new(PRICES, Lamports(1_000), u32::MAX);
        let call = account.admit(totals(1, 1)).unwrap();
        account.settle(call, totals(1, 0), false);
        assert_eq!(account.admit(totals(1, 1)), None);
        assert!(!account.is_open());
    }

    #[test]
    fn a_job_for_one_call_carries_one() {
        let mut account = Account::new(PRICES, Lamports(1_000), 1);
        let call = account.admit(totals(1, 1)).unwrap();
        account.settle(call, Totals::ZERO, true);
        assert_eq!(account.admit(totals(1, 1)), None);
    }

    #[test]
    fn a_refused_call_leaves_its_place_to_another_with_another_number() {
        let mut account = Account::new(PRICES, Lamports(1_000), 1);
        let call = account.admit(totals(1, 1)).unwrap();
        account.take_back(call);
        assert_eq!(account.admit(totals(1, 1)), Some(1));
        account.settle(1, totals(1, 1), true);
        assert_eq!(account.admit(totals(1, 1)), None);
    }

    #[test]
    fn the_least_charge_is_the_first_calls_and_more_stake_takes_more_calls() {
        let mut account = Account::new(PRICES, Lamports(60), u32::MAX);
        let call = account.admit(totals(10, 0)).unwrap();
        assert_eq!(account.price_of(totals(10, 0)), Ok(Lamports(50)));
        assert_eq!(account.settle(call, totals(10, 0), true), Lamports(50));
        assert_eq!(account.settle(call, totals(10, 0), true), Lamports::ZERO, "once");
        assert_eq!(account.price_of(totals(40, 1)), Ok(Lamports(2)));
        assert!(!account.admits(totals(51, 0)));
        account.grow(Lamports(61));
        assert!(account.admits(totals(51, 0)));
    }

    proptest! {
        /// Whatever calls come and go, no voucher is beyond the stake, and none goes back; what they cost adds up.
        #[test]
        fn vouchers_rise_and_stay_within_the_stake(
            steps in proptest::collection::vec((0u8..4, 0u64..40, 0u64..40), 1..60),
        ) {
            let mut account = Account::new(PRICES, Lamports(200), u32::MAX);
            let mut live: Vec<(u32, Totals)> = Vec::new();
            let (mut before, mut costs) = (Totals::ZERO, Lamports::ZERO);
            for (step, tokens_in, tokens_out) in steps {
                let asked = totals(tokens_in, tokens_out);
                let now = match (step, live.pop()) {
                    (0, Some((call, at))) => {
                        let cost = account.settle(call, plus(at, asked).unwrap(), true);
                        costs = costs.plus(cost).unwrap();
                        account.vouched()
                    }
                    (1, Some((call, at))) => {
                        let at = plus(at, asked).unwrap();
                        live.push((call, at));
                        account.vouch(call, at)
                    }
                    (_, last) => {
                        live.extend(last);
                        live.extend(account.admit(asked).map(|call| (call, Totals::ZERO)));
                        account.vouched()
                    }
                };
                prop_assert!(now.covers(before), "{now:?} after {before:?}");
                prop_assert!(PRICES.cost(now).unwrap() <= Lamports(200));
                before = now;
            }
            for (call, at) in live {
                costs = costs.plus(account.settle(call, at, true)).unwrap();
            }
            prop_assert_eq!(costs, PRICES.cost(account.vouched()).unwrap());
        }
    }
}
