//! Leaves failing workers alone for a while. No clock: time is an argument.

use std::{collections::HashMap, hash::Hash, time::Duration};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Which workers are left alone, and until when.
#[derive(Debug)]
pub struct Breaker<K> {
    failing: HashMap<K, Failing>,
}

#[derive(Debug)]
struct Failing {
    failures: u32,
    until: Duration,
}

impl<K> Default for Breaker<K> {
    fn default() -> Self {
        Self { failing: HashMap::new() }
    }
}

impl<K: Eq + Hash + Copy> Breaker<K> {
    /// A call on `worker` failed at `now`: each failure in a row doubles the pause.
    pub fn failed(&mut self, worker: K, now: Duration) {
        let entry = self.failing.entry(worker).or_insert(Failing { failures: 0, until: now });
        let doublings = entry.failures.min(6);
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now + (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
    }

    pub fn succeeded(&mut self, worker: K) {
        self.failing.remove(&worker);
    }

    pub fn allows(&self, worker: K, now: Duration) -> bool {
        self.failing.get(&worker).is_none_or(|failing| now >= failing.until)
    }

    /// Past failures in a row: who has fewer is preferred.
    pub fn failures(&self, worker: K) -> u32 {
        self.failing.get(&worker).map_or(0, |failing| failing.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pause_doubles_with_each_failure_and_ends_with_a_success() {
        let second = Duration::from_secs;
        let mut breaker = Breaker::default();
        assert!(breaker.allows(1, second(0)));
        breaker.failed(1, second(0));
        assert!(!breaker.allows(1, Duration::from_millis(999)));
        assert!(breaker.allows(1, second(1)));
        breaker.failed(1, second(1));
        assert!(!breaker.allows(1, Duration::from_millis(2_999)));
        assert!(breaker.allows(1, second(3)) && breaker.allows(2, second(1)));
        for _ in 0..40 {
            breaker.failed(1, second(10));
        }
        assert!(!breaker.allows(1, second(69)) && breaker.allows(1, second(70)));
        breaker.succeeded(1);
        assert!(breaker.allows(1, second(10)));
        assert_eq!(breaker.failures(1), 0);
    }
}
