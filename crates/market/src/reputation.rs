//! What clients paid for and said of a worker, and the ratios that are read out of it.
//!
//! Every opinion weighs the platform fees of its job: praising oneself costs what it moves. A fee of zero
//! weighs nothing; only the raw counts beside the weights tell that there was a job. Counters saturate: a
//! full one stops moving, it never wraps and never blocks a payment.

use crate::Lamports;

const BPS: u64 = 10_000;
/// What a worker of whom nothing is known scores where the rating has no opinion: the value that moves no
/// share.
pub(crate) const NEUTRAL_BPS: u64 = 8_000;
/// How many heartbeat windows at [`NEUTRAL_BPS`] the uptime starts from.
const PRIOR_WINDOWS: u64 = 10;

/// The counters of one worker. `fees_*` are platform fees in lamports, `jobs_*` and `beats_*` are counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reputation {
    /// Fees of all that was paid.
    pub fees_completed: u64,
    /// Fees of the jobs that their clients flagged: a part of `fees_completed`.
    pub fees_flagged: u64,
    /// The smaller fee of each pair of jobs that was compared.
    pub fees_compared: u64,
    /// The part of it in which this worker's answer was the preferred one.
    pub fees_preferred: u64,
    /// Fees of the jobs whose speed was stated.
    pub fees_timed: u64,
    /// The same, each times its speed: `fees_timed` if all were as fast as the offer says.
    pub fees_timed_fast: u64,
    /// Fees of the jobs that were audits.
    pub fees_audited: u64,
    /// The part of it that passed.
    pub fees_audited_ok: u64,
    /// Jobs that ended with something paid.
    pub jobs_completed: u32,
    pub jobs_flagged: u32,
    pub jobs_compared: u32,
    pub jobs_preferred: u32,
    pub jobs_timed: u32,
    pub jobs_audited: u32,
    pub jobs_audited_ok: u32,
    /// Heartbeat windows that have ended.
    pub beats_due: u32,
    /// The windows that a heartbeat was given for.
    pub beats_kept: u32,
    /// When the running heartbeat window began.
    pub beats_from_unix_s: i64,
}

impl Reputation {
    /// A worker of whom nothing is known, whose first heartbeat window begins now.
    pub fn new(now_unix_s: i64) -> Self {
        Self { beats_from_unix_s: now_unix_s, ..Self::default() }
    }

    /// A claim has paid `fee` to the platform.
    pub fn pay(&mut self, fee: Lamports) {
        add(&mut self.fees_completed, fee);
    }

    /// A job with something paid has ended.
    pub fn completed(&mut self) {
        count(&mut self.jobs_completed);
    }

    /// A client says that its job, which paid `fee`, was bad.
    pub fn flag(&mut self, fee: Lamports) {
        add(&mut self.fees_flagged, fee);
        count(&mut self.jobs_flagged);
    }

    /// A client has compared this worker's answer with another's. `weight` is the smaller fee of the two:
    /// a dear job can't be judged by a cheap one.
    pub fn compare(&mut self, weight: Lamports, preferred: bool) {
        add(&mut self.fees_compared, weight);
        count(&mut self.jobs_compared);
        if preferred {
            add(&mut self.fees_preferred, weight);
            count(&mut self.jobs_preferred);
        }
    }

    /// A client states how fast its job was, in basis points of the speed that was offered.
    pub fn time(&mut self, fee: Lamports, speed_bps: u16) {
        let speed_bps = u128::from(speed_bps).min(u128::from(BPS));
        let fast = u128::from(fee.0) * speed_bps / u128::from(BPS);
        add(&mut self.fees_timed, fee);
        add(&mut self.fees_timed_fast, Lamports(u64::try_from(fast).unwrap_or(fee.0)));
        count(&mut self.jobs_timed);
    }

    /// A client states whether its job, the same as one on another worker, gave the same.
    pub fn audit(&mut self, fee: Lamports, passed: bool) {
        add(&mut self.fees_audited, fee);
        count(&mut self.jobs_audited);
        if passed {
            add(&mut self.fees_audited_ok, fee);
            count(&mut self.jobs_audited_ok);
        }
    }

    /// The worker says that it is there. Counts once a window however often it is said, and ends the
    /// windows that went by: the last of them was kept, those before it were missed.
    pub fn beat(&mut self, now_unix_s: i64, heartbeat_s: u32) {
        let ended = self.windows_ended(now_unix_s, heartbeat_s);
        if ended > 0 {
            let ended = u32::try_from(ended).unwrap_or(u32::MAX);
            self.beats_due = self.beats_due.saturating_add(ended);
            count(&mut self.beats_kept);
            self.beats_from_unix_s = now_unix_s;
        }
    }

    /// `1 − flagged / all`, in basis points, as if `prior` lamports of good jobs came first.
    pub fn success_bps(&self, prior: u64) -> u16 {
        let good = self.fees_completed.saturating_sub(self.fees_flagged);
        ratio_bps(good, self.fees_completed, Prior { weight: prior, bps: BPS })
    }

    /// `preferred / compared`, in basis points, as if `prior` lamports came first of which half preferred
    /// this worker. An honest one tends to a half.
    pub fn preference_bps(&self, prior: u64) -> u16 {
        ratio_bps(self.fees_preferred, self.fees_compared, Prior { weight: prior, bps: BPS / 2 })
    }

    /// How fast its jobs were, in basis points of the speed that was offered.
    pub fn speed_bps(&self, prior: u64) -> u16 {
        let prior = Prior { weight: prior, bps: NEUTRAL_BPS };
        ratio_bps(self.fees_timed_fast, self.fees_timed, prior)
    }

    /// `passed / audited`, in basis points.
    pub fn accuracy_bps(&self, prior: u64) -> u16 {
        let prior = Prior { weight: prior, bps: NEUTRAL_BPS };
        ratio_bps(self.fees_audited_ok, self.fees_audited, prior)
    }

    /// `kept / due` heartbeat windows, in basis points. A worker that went silent falls without anybody's
    /// doing: windows that are over count as missed, except the last, which a heartbeat can still keep.
    pub fn uptime_bps(&self, now_unix_s: i64, heartbeat_s: u32) -> u16 {
        let missed = self.windows_ended(now_unix_s, heartbeat_s).saturating_sub(1);
        let due = u64::from(self.beats_due).saturating_add(missed);
        let prior = Prior { weight: PRIOR_WINDOWS, bps: NEUTRAL_BPS };
        ratio_bps(u64::from(self.beats_kept), due, prior)
    }

    /// Whole windows since the running one began. None where the clock or the length says nothing.
    fn windows_ended(&self, now_unix_s: i64, heartbeat_s: u32) -> u64 {
        let elapsed_s = now_unix_s.saturating_sub(self.beats_from_unix_s);
        u64::try_from(elapsed_s).unwrap_or(0).checked_div(u64::from(heartbeat_s)).unwrap_or(0)
    }
}

/// What is assumed before anything is known: a weight and its ratio.
struct Prior {
    weight: u64,
    bps: u64,
}

/// `(part + prior.weight · prior.bps) / (whole + prior.weight)` in basis points, rounded down; the prior's
/// own ratio where there is nothing at all.
fn ratio_bps(part: u64, whole: u64, prior: Prior) -> u16 {
    let assumed = u128::from(prior.weight) * u128::from(prior.bps);
    let known = u128::from(part.min(whole)) * u128::from(BPS);
    let bps = (known + assumed)
        .checked_div(u128::from(whole) + u128::from(prior.weight))
        .unwrap_or(u128::from(prior.bps));
    bps as u16 // at most 10,000: a part never exceeds its whole
}

fn add(counter: &mut u64, fee: Lamports) {
    *counter = counter.saturating_add(fee.0);
}

fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}

#[cfg(test)]
mod tests;
