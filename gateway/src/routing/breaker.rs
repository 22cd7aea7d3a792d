//! Leaves failing workers alone for a while. No clock: time is an argument.

use std::{collections::HashMap, hash::Hash, time::Duration};

use serde::Serialize;

use crate::limits::FAILURES_FORGOTTEN_AFTER;

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

/// How a worker stands with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    pub state: Position,
    /// In a row.
    pub failures: u32,
    /// How long it is left alone still.
    pub open_for_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Position {
    /// Calls go there.
    Closed,
    /// None does, for a while.
    Open,
    /// It has failed lately: calls go there where no other worker is well.
    HalfOpen,
}

impl<K> Default for Breaker<K> {
    fn default() -> Self {
        Self { failing: HashMap::new() }
    }
}

impl<K: Eq + Hash + Copy> Breaker<K> {
    /// A call on `worker` failed at `now`: each failure in a row doubles the pause.
    pub fn failed(&mut self, worker: K, now: Duration) {
        self.failing.retain(|_, failing| now < failing.until + FAILURES_FORGOTTEN_AFTER);
        let entry = self.failing.entry(worker).or_insert(Failing { failures: 0, until: now });
        let doublings = entry.failures.min(6);
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now + (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE);
    }

    pub fn succeeded(&mut self, worker: K) {
        self.failing.remove(&worker);
    }

    pub fn allows(&self, worker: K, now: Duration) -> bool {
        self.state(worker, now).state != Position::Open
    }

    /// Who was left alone for long enough starts anew: else it would stay behind the others for ever.
    pub fn state(&self, worker: K, now: Duration) -> State {
        let known = self.failing.get(&worker);
        let known = known.filter(|failing| now < failing.until + FAILURES_FORGOTTEN_AFTER);
        let Some(Failing { failures, until }) = known else {
            return State { state: Position::Closed, failures: 0, open_for_ms: 0 };
        };
        let left = until.saturating_sub(now);
        let state = if left.is_zero() { Position::HalfOpen } else { Position::Open };
        let open_for_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        State { state, failures: *failures, open_for_ms }
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
        let open = State { state: Position::Open, failures: 1, open_for_ms: 1 };
        assert_eq!(breaker.state(1, Duration::from_millis(999)), open);
        assert!(breaker.allows(1, second(1)));
        breaker.failed(1, second(1));
        assert!(!breaker.allows(1, Duration::from_millis(2_999)));
        assert!(breaker.allows(1, second(3)) && breaker.allows(2, second(1)));
        for _ in 0..40 {
            breaker.failed(1, second(10));
        }
        assert!(!breaker.allows(1, second(69)) && breaker.allows(1, second(70)));
        assert_eq!(breaker.state(1, second(70)).state, Position::HalfOpen);
        breaker.succeeded(1);
        assert!(breaker.allows(1, second(10)));
        assert_eq!(breaker.state(1, second(10)).failures, 0);
    }

    #[test]
    fn failures_are_forgotten_in_time() {
        let mut breaker = Breaker::default();
        breaker.failed(1, Duration::ZERO);
        let later = FIRST_PAUSE + FAILURES_FORGOTTEN_AFTER;
        assert_eq!(breaker.state(1, later - Duration::from_millis(1)).failures, 1);
        assert_eq!(breaker.state(1, later).state, Position::Closed);
        breaker.failed(1, later);
        assert_eq!(breaker.state(1, later).failures, 1, "and counted anew");
    }
}
