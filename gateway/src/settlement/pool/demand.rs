//! How many calls a second come, and so how many jobs must be ready. No clock: time is an argument.

use std::time::Duration;

/// Follows a rise within seconds …
const FAST_HALF_LIFE_S: f64 = 5.0;
/// … and a fall within minutes.
const SLOW_HALF_LIFE_S: f64 = 300.0;
/// A single call keeps a job ready for two half-lives.
const FORGOTTEN_BELOW_PER_S: f64 = std::f64::consts::LN_2 / SLOW_HALF_LIFE_S / 4.0;

/// Arrivals of one kind of call.
#[derive(Debug)]
pub struct Demand {
    fast: Rate,
    slow: Rate,
}

/// A moving rate that halves with each half-life without an arrival.
#[derive(Debug)]
struct Rate {
    half_life_s: f64,
    per_s: f64,
    at: Duration,
}

impl Demand {
    pub fn new(now: Duration) -> Self {
        let rate = |half_life_s| Rate { half_life_s, per_s: 0.0, at: now };
        Self { fast: rate(FAST_HALF_LIFE_S), slow: rate(SLOW_HALF_LIFE_S) }
    }

    pub fn arrived(&mut self, now: Duration) {
        self.fast.arrived(now);
        self.slow.arrived(now);
    }

    /// How many jobs must be ready so that calls find one while others are being locked, which takes
    /// `lock_s`: the calls of that time, twice their spread more, and one.
    pub fn ready_wanted(&self, now: Duration, lock_s: f64) -> usize {
        let per_s = self.fast.per_s(now).max(self.slow.per_s(now));
        if self.slow.per_s(now) < FORGOTTEN_BELOW_PER_S {
            return 0;
        }
        let meanwhile = per_s * lock_s.clamp(0.0, 60.0);
        // From a float: it saturates, and a NaN is 0.
        (meanwhile + 2.0 * meanwhile.sqrt()).ceil() as usize + 1
    }
}

impl Rate {
    fn per_s(&self, now: Duration) -> f64 {
        let elapsed_s = now.saturating_sub(self.at).as_secs_f64();
        self.per_s * (-elapsed_s / self.half_life_s).exp2()
    }

    fn arrived(&mut self, now: Duration) {
        self.per_s = self.per_s(now) + std::f64::consts::LN_2 / self.half_life_s;
        self.at = now.max(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn nobody_calls_and_nothing_is_ready() {
        assert_eq!(Demand::new(at(0)).ready_wanted(at(0), 1.0), 0);
    }

    #[test]
    fn one_call_keeps_a_job_ready_for_ten_minutes() {
        let mut demand = Demand::new(at(0));
        demand.arrived(at(0));
        assert!((1..=3).contains(&demand.ready_wanted(at(0), 0.4)));
        assert!(demand.ready_wanted(at(599_000), 0.4) > 0);
        assert_eq!(demand.ready_wanted(at(601_000), 0.4), 0);
    }

    #[test]
    fn as_many_are_ready_as_come_while_one_is_locked_and_some_more() {
        let mut demand = Demand::new(at(0));
        for call in 0..400 {
            demand.arrived(at(call * 50)); // 20 a second
        }
        let wanted = demand.ready_wanted(at(20_000), 0.5);
        assert!((15..=20).contains(&wanted), "{wanted} for ten at a time");
        assert!(demand.ready_wanted(at(20_000), 1.0) > wanted, "a slower chain needs more");
        let later = demand.ready_wanted(at(60_000), 0.5);
        assert!(later < wanted, "{later}");
    }
}
