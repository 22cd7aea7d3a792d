//! How many calls a second come, and so how many jobs must be ready. No clock: time is an argument.

use std::{collections::VecDeque, time::Duration};

/// Follows a rise within seconds …
const FAST_HALF_LIFE_S: f64 = 5.0;
/// … and a fall within minutes.
const SLOW_HALF_LIFE_S: f64 = 300.0;
/// A single call keeps a job ready for two half-lives.
const FORGOTTEN_BELOW_PER_S: f64 = std::f64::consts::LN_2 / SLOW_HALF_LIFE_S / 4.0;

/// So many are ready for each that came at once: the next burst may be larger.
const BURST_SPREAD: f64 = 1.25;
/// More calls at once than this are not remembered.
const BURST_MAX: usize = 64;

/// Arrivals of one kind of call.
#[derive(Debug)]
pub struct Demand {
    fast: Rate,
    slow: Rate,
    burst: Burst,
}

/// The most calls that came while one job is locked. Forgotten like the slow rate: whoever asks six things at once will do so
/// again.
#[derive(Debug)]
struct Burst {
    newest: VecDeque<Duration>,
    most: f64,
    at: Duration,
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
        let burst = Burst { newest: VecDeque::new(), most: 0.0, at: now };
        Self { fast: rate(FAST_HALF_LIFE_S), slow: rate(SLOW_HALF_LIFE_S), burst }
    }

    /// A call has come, when locking a job takes `lock_s`.
    pub fn arrived(&mut self, now: Duration, lock_s: f64) {
        self.fast.arrived(now);
        self.slow.arrived(now);
        self.burst.arrived(now, lock_s);
    }

    /// It found no job: had there been one more, the next call would have come sooner.
    pub fn missed(&mut self, now: Duration) {
        self.burst.most = (self.burst.most(now) + 1.0).min(BURST_MAX as f64);
        self.burst.at = now;
    }

    /// How many jobs must be ready so that calls find one while others are being locked, which takes
    /// `lock_s`: the calls of that time and twice their spread more, or a quarter more than came at once lately, and one.
    pub fn ready_wanted(&self, now: Duration, lock_s: f64) -> usize {
        if self.slow.per_s(now) < FORGOTTEN_BELOW_PER_S {
            return 0;
        }
        let meanwhile = self.meanwhile(now, lock_s);
        let burst = self.burst.most(now) * BURST_SPREAD;
        // From a float: it saturates, and a NaN is 0.
        (meanwhile + 2.0 * meanwhile.sqrt()).max(burst).ceil() as usize + 1
    }

    /// How many calls come while a job is locked, which takes `lock_s`.
    pub fn meanwhile(&self, now: Duration, lock_s: f64) -> f64 {
        self.fast.per_s(now).max(self.slow.per_s(now)) * lock_s.clamp(0.0, 60.0)
    }
}

impl Burst {
    fn most(&self, now: Duration) -> f64 {
        halved(self.most, now.saturating_sub(self.at), SLOW_HALF_LIFE_S)
    }

    fn arrived(&mut self, now: Duration, lock_s: f64) {
        let began = now.saturating_sub(Duration::from_secs_f64(lock_s.clamp(0.0, 60.0)));
        self.newest.push_back(now);
        while self.newest.len() > BURST_MAX || self.newest.front().is_some_and(|at| *at < began) {
            self.newest.pop_front();
        }
        self.most = self.most(now).max(self.newest.len() as f64);
        self.at = now;
    }
}

fn halved(value: f64, elapsed: Duration, half_life_s: f64) -> f64 {
    value * (-elapsed.as_secs_f64() / half_life_s).exp2()
}

impl Rate {
    fn per_s(&self, now: Duration) -> f64 {
        halved(self.per_s, now.saturating_sub(self.at), self.half_life_s)
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
        demand.arrived(at(0), 0.4);
        assert!((1..=3).contains(&demand.ready_wanted(at(0), 0.4)));
        assert!(demand.ready_wanted(at(599_000), 0.4) > 0);
        assert_eq!(demand.ready_wanted(at(601_000), 0.4), 0);
    }

    #[test]
    fn as_many_are_ready_as_come_while_one_is_locked_and_some_more() {
        let mut demand = Demand::new(at(0));
        for call in 0..400 {
            demand.arrived(at(call * 50), 0.5); // 20 a second
        }
        let wanted = demand.ready_wanted(at(20_000), 0.5);
        assert!((15..=20).contains(&wanted), "{wanted} for ten at a time");
        assert!(demand.ready_wanted(at(20_000), 1.0) > wanted, "a slower chain needs more");
        let later = demand.ready_wanted(at(60_000), 0.5);
        assert!(later < wanted, "{later}");
    }

    #[test]
    fn as_many_are_ready_as_came_at_once_lately() {
        let mut demand = Demand::new(at(0));
        for call in 0..6 {
            demand.arrived(at(call * 40), 0.5);
        }
        assert_eq!(demand.ready_wanted(at(30_000), 0.5), 9);
        assert!(demand.ready_wanted(at(330_000), 0.5) < 6, "not for ever");
    }

    #[test]
    fn calls_that_had_to_wait_for_their_jobs_are_as_many_at_once_as_they_would_have_been() {
        let mut demand = Demand::new(at(0));
        for call in 0..6 {
            demand.arrived(at(call * 600), 0.5);
            demand.missed(at(call * 600));
        }
        assert!((6..=10).contains(&demand.ready_wanted(at(3_600), 0.5)));
    }
}
