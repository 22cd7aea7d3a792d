//! What a worker's share comes to, worked out from the protocol's words alone.

use chainference_market::Reputation as Counters;

use crate::state::Config;

/// `part / whole` in basis points, after `prior` lamports (or windows) at `prior_bps`.
fn ratio(part: u64, whole: u64, prior: u64, prior_bps: u128) -> u16 {
    let (part, whole, prior) = (u128::from(part.min(whole)), u128::from(whole), u128::from(prior));
    if whole + prior == 0 {
        return prior_bps as u16;
    }
    ((part * 10_000 + prior * prior_bps) / (whole + prior)) as u16
}

pub fn success_bps(of: &Counters, prior: u64) -> u16 {
    let good = of.fees_completed.saturating_sub(of.fees_flagged);
    ratio(good, of.fees_completed, prior, 10_000)
}

pub fn preference_bps(of: &Counters, prior: u64) -> u16 {
    ratio(of.fees_preferred, of.fees_compared, prior, 5_000)
}

pub fn rating_bps(of: &Counters, config: &Config, now_unix_s: i64) -> u16 {
    let windows = u64::try_from(now_unix_s - of.beats_from_unix_s).unwrap_or(0)
        / u64::from(config.heartbeat_s);
    let due = u64::from(of.beats_due) + windows.saturating_sub(1);
    let uptime = ratio(of.beats_kept.into(), due, 10, 8_000);
    let speed = ratio(of.fees_timed_fast, of.fees_timed, config.reputation_prior, 8_000);
    let accuracy = ratio(of.fees_audited_ok, of.fees_audited, config.reputation_prior, 8_000);
    let good = success_bps(of, config.reputation_prior);
    let sum =
        4 * u64::from(uptime) + 3 * u64::from(speed) + 2 * u64::from(accuracy) + u64::from(good);
    (sum / 10) as u16
}

/// Basis points of the worker and of the stakers for a job that is locked now.
pub fn shares_bps(of: &Counters, config: &Config, now_unix_s: i64) -> (u16, u16) {
    if !config.far {
        return (9_000, 0);
    }
    if of.fees_completed < config.rated_fees_min {
        return (6_000, 2_000);
    }
    let points = (i64::from(rating_bps(of, config, now_unix_s)) - 8_000) / 2;
    let moved = 6_000 * points.clamp(-1_000, 1_000) / 10_000;
    ((6_000 + moved) as u16, 2_000)
}

/// A heartbeat: ends the windows that are over, of which one was kept.
pub fn beat(of: &mut Counters, now_unix_s: i64, heartbeat_s: u32) {
    let windows = (now_unix_s - of.beats_from_unix_s) / i64::from(heartbeat_s);
    if windows >= 1 {
        of.beats_due = of.beats_due.saturating_add(u32::try_from(windows).unwrap_or(u32::MAX));
        of.beats_kept += 1;
        of.beats_from_unix_s = now_unix_s;
    }
}
