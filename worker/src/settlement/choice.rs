//! Which jobs a worker takes, pure: the same rules for terms that a client sends and for jobs that it
//! has published.

use chainference_chain::accounts::{Job as ChainJob, Offer, Worker};
use chainference_chain::{OpenJob, Pubkey};
use chainference_market::Prices;

/// A job must leave time for one short call, in seconds.
const SERVE_S_MIN: i64 = 5;
/// The ledger's integers are signed.
const STAKE_MAX: u64 = i64::MAX as u64;

/// What a job offers, whoever says so.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub stake: u64,
    /// The highest prices that the client pays.
    pub highest: Prices,
    pub serve_until_unix_s: i64,
}

/// How jobs are served here.
#[derive(Clone, Copy, Debug)]
pub struct Serving {
    /// The offer's prices now.
    pub prices: Prices,
    /// How far ahead a job may end.
    pub serve_max_s: u32,
}

impl Serving {
    /// Whether a job fits; the refusal says why not.
    pub fn check(&self, wanted: &Wanted, now_unix_s: i64) -> Result<(), &'static str> {
        // The least charge has a bound of its own on chain; beyond the stake it can't be paid.
        let least = wanted.highest.charge_min.min(wanted.stake);
        let highest = Prices { charge_min: least, ..wanted.highest };
        if !self.prices.within(&highest) {
            return Err("the offer asks more than these terms allow");
        }
        if wanted.stake == 0 || wanted.stake > STAKE_MAX {
            return Err("the stake doesn't fit the offer");
        }
        let serve_s = wanted.serve_until_unix_s.saturating_sub(now_unix_s);
        if !(SERVE_S_MIN..=i64::from(self.serve_max_s)).contains(&serve_s) {
            return Err("serve_until is too near or too far");
        }
        Ok(())
    }
}

/// A worker as the program will look at it when it locks.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    pub worker: Pubkey,
    pub record: &'a Worker,
    pub offer: &'a Offer,
    /// Of the market's configuration.
    pub reputation_prior: u64,
}

impl Applicant<'_> {
    /// Whether the program will let this worker lock the job: its list and its filters.
    pub fn passes(&self, open: &OpenJob) -> bool {
        let is_named = open.allowed.is_empty() || open.allowed.contains(&self.worker);
        is_named && open.job.admit(self.record, self.offer, self.reputation_prior).is_ok()
    }
}

impl From<&ChainJob> for Wanted {
    fn from(job: &ChainJob) -> Self {
        Self {
            stake: job.stake,
            highest: Prices {
                input_per_mtok: job.max_price_in_per_mtok,
                output_per_mtok: job.max_price_out_per_mtok,
                charge_min: job.max_charge_min,
            },
            serve_until_unix_s: job.serve_until_unix_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices { input_per_mtok: 6, output_per_mtok: 12, charge_min: 2_000 };
    const SERVING: Serving = Serving { prices: PRICES, serve_max_s: 3_600 };
    const WANTED: Wanted = Wanted { stake: 10_000, highest: PRICES, serve_until_unix_s: 1_600 };

    #[test]
    fn a_job_is_taken_at_its_edges_and_refused_beyond_them() {
        let price = |highest| Wanted { highest, ..WANTED };
        let stake = |stake| Wanted { stake, ..WANTED };
        let until = |serve_until_unix_s| Wanted { serve_until_unix_s, ..WANTED };
        for (wanted, fits) in [
            (WANTED, true),
            (price(Prices { input_per_mtok: 5, ..PRICES }), false),
            (price(Prices { output_per_mtok: 11, ..PRICES }), false),
            (price(Prices { charge_min: 1_999, ..PRICES }), false),
            (stake(2_000), true),
            (stake(1_999), false),
            (stake(0), false),
            (stake(STAKE_MAX), true),
            (stake(STAKE_MAX + 1), false),
            (until(1_005), true),
            (until(1_004), false),
            (until(0), false),
            (until(i64::MIN), false),
            (until(4_600), true),
            (until(4_601), false),
            (until(i64::MAX), false),
        ] {
            assert_eq!(SERVING.check(&wanted, 1_000).is_ok(), fits, "{wanted:?}");
        }
    }
}
