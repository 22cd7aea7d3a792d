//! Which claims go together in one transaction, pure: claims in, batches out. Times are milliseconds
//! of any clock that only rises.
//!
//! A transaction costs its fee once, however many claims it carries. So a claim that is worth less
//! than the fee waits a while for others. It doesn't wait for ever: a final claim frees the client's
//! stake, and that is owed even where it earns nothing.

use std::collections::VecDeque;

use chainference_market::Lamports;

/// Claims that fit into one transaction, each of another client: see the test in `claims`.
pub const CLAIMS_MAX: usize = 6;

/// When a batch leaves.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// What a transaction costs.
    pub fee: Lamports,
    /// So long any claim waits for those that come at the same moment.
    pub linger_ms: u64,
    /// So long claims wait that together don't earn the fee.
    pub company_ms: u64,
}

/// A claim that waits for its transaction.
#[derive(Debug)]
pub struct Waiting<T> {
    pub claim: T,
    pub worth: Lamports,
    pub is_urgent: bool,
    /// Shares a transaction with nobody.
    pub is_alone: bool,
    pub since_ms: u64,
}

#[derive(Debug)]
pub struct Batcher<T> {
    waiting: VecDeque<Waiting<T>>,
    timing: Timing,
}

impl<T> Batcher<T> {
    pub fn new(timing: Timing) -> Self {
        Self { waiting: VecDeque::new(), timing }
    }

    pub fn push(&mut self, claim: Waiting<T>) {
        self.waiting.push_back(claim);
    }

    /// The claims of the next transaction, if one should leave now. Oldest first.
    pub fn take(&mut self, now_ms: u64) -> Option<Vec<T>> {
        if let Some(alone) = self.waiting.iter().position(|waiting| waiting.is_alone) {
            return Some(vec![self.waiting.remove(alone)?.claim]);
        }
        if now_ms < self.leaves_at_ms()? {
            return None;
        }
        let count = self.waiting.len().min(CLAIMS_MAX);
        Some(self.waiting.drain(..count).map(|waiting| waiting.claim).collect())
    }

    /// When [`Self::take`] gives something, should nothing be pushed before; `None` for never.
    pub fn leaves_at_ms(&self) -> Option<u64> {
        let oldest = self.waiting.front()?;
        let group = || self.waiting.iter().take(CLAIMS_MAX);
        if self.waiting.len() >= CLAIMS_MAX || group().any(|waiting| waiting.is_alone) {
            return Some(oldest.since_ms);
        }
        let worth = group().fold(0, |sum: u64, waiting| sum.saturating_add(waiting.worth.0));
        let is_worth_it = worth >= self.timing.fee.0 || group().any(|waiting| waiting.is_urgent);
        let wait_ms = if is_worth_it { self.timing.linger_ms } else { self.timing.company_ms };
        Some(oldest.since_ms.saturating_add(wait_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { fee: Lamports(5_000), linger_ms: 100, company_ms: 10_000 };

    fn waiting(claim: u32, worth: u64, since_ms: u64) -> Waiting<u32> {
        let worth = Lamports(worth);
        Waiting { claim, worth, is_urgent: false, is_alone: false, since_ms }
    }

    fn batcher(claims: impl IntoIterator<Item = Waiting<u32>>) -> Batcher<u32> {
        let mut batcher = Batcher::new(TIMING);
        claims.into_iter().for_each(|claim| batcher.push(claim));
        batcher
    }

    /// Nothing leaves a moment earlier, and at `at_ms` these do.
    fn check(mut batcher: Batcher<u32>, at_ms: u64, expected: &[u32]) {
        assert_eq!(batcher.leaves_at_ms(), Some(at_ms));
        assert_eq!(batcher.take(at_ms.saturating_sub(1)), None);
        assert_eq!(batcher.take(at_ms).as_deref(), Some(expected));
    }

    #[test]
    fn a_claim_worth_its_fee_waits_only_for_those_of_the_same_moment() {
        check(batcher([waiting(1, 5_000, 7)]), 107, &[1]);
        check(batcher([waiting(1, 4_999, 7), waiting(2, 1, 50)]), 107, &[1, 2]);
    }

    #[test]
    fn a_claim_below_the_fee_waits_for_company_and_then_goes_alone() {
        check(batcher([waiting(1, 4_999, 7)]), 10_007, &[1]);
        check(batcher([waiting(1, 0, 7), waiting(2, 0, 5_000)]), 10_007, &[1, 2]);
    }

    #[test]
    fn an_urgent_claim_takes_the_others_with_it() {
        let urgent = Waiting { is_urgent: true, ..waiting(2, 0, 60) };
        check(batcher([waiting(1, 0, 7), urgent]), 107, &[1, 2]);
    }

    #[test]
    fn a_full_transaction_leaves_at_once_and_what_is_over_waits_on() {
        let mut full = batcher((0..8).map(|claim| waiting(claim, 0, 7)));
        assert_eq!(full.take(7), Some(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(full.take(10_006), None);
        assert_eq!(full.take(10_007), Some(vec![6, 7]));
        assert_eq!((full.take(99_999), full.leaves_at_ms()), (None, None));
    }

    #[test]
    fn a_claim_that_failed_before_goes_alone_and_at_once() {
        let alone = Waiting { is_alone: true, ..waiting(2, 0, 60) };
        let mut batcher = batcher([waiting(1, 9_000, 7), alone, waiting(3, 0, 61)]);
        assert_eq!(batcher.leaves_at_ms(), Some(7));
        assert_eq!(batcher.take(61), Some(vec![2]));
        assert_eq!(batcher.take(61), None);
        assert_eq!(batcher.take(107), Some(vec![1, 3]));
    }
}
