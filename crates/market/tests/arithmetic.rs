//! The arithmetic of money and of ratings, a million cases for each property, held against exact fractions:
//! what was rounded down must be the greatest whole number that the fraction reaches.

use chainference_market::{
    Allowance, Claim, Job, Lamports, MarketError, NewJob, Preset, Prices, Reputation, Shares,
    Terms, Totals,
};
use proptest::prelude::*;

const NOW: i64 = 1_000_000;
const HEARTBEAT_S: u32 = 60;

/// A million cases, unless `PROPTEST_CASES` says otherwise.
fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(1_000_000),
    }
}

/// Small, large, and next to the largest.
fn amount() -> impl Strategy<Value = u64> {
    (0u32..=64, any::<u64>()).prop_map(|(shift, bits)| match shift {
        64 => u64::MAX - bits % 3,
        _ => bits >> shift,
    })
}

fn totals() -> impl Strategy<Value = Totals> {
    (amount(), amount()).prop_map(|(tokens_in, tokens_out)| Totals { tokens_in, tokens_out })
}

fn prices() -> impl Strategy<Value = Prices> {
    (amount(), amount(), amount()).prop_map(|(input_per_mtok, output_per_mtok, charge_min)| {
        Prices { input_per_mtok, output_per_mtok, charge_min }
    })
}

fn preset() -> impl Strategy<Value = Preset> {
    any::<bool>().prop_map(|far| if far { Preset::Far } else { Preset::Open })
}

fn shares() -> impl Strategy<Value = Shares> {
    (0u16..=10_000, 0u16..=10_000).prop_map(|(worker, rest)| {
        let stakers = rest.min(10_000 - worker);
        Shares::new(worker, stakers, 10_000 - worker - stakers).unwrap()
    })
}

/// Counters as they can be: a part never exceeds its whole.
fn reputation() -> impl Strategy<Value = Reputation> {
    let pair = || (amount(), amount()).prop_map(|(a, b)| (a.max(b), a.min(b)));
    (pair(), pair(), pair(), pair(), any::<(u32, u32)>(), 0i64..100_000).prop_map(
        |(completed, compared, timed, audited, beats, from_s)| Reputation {
            fees_completed: completed.0,
            fees_flagged: completed.1,
            fees_compared: compared.0,
            fees_preferred: compared.1,
            fees_timed: timed.0,
            fees_timed_fast: timed.1,
            fees_audited: audited.0,
            fees_audited_ok: audited.1,
            beats_due: beats.0.max(beats.1),
            beats_kept: beats.0.min(beats.1),
            beats_from_unix_s: NOW - from_s,
            ..Reputation::default()
        },
    )
}

/// `⌈(in·price_in + out·price_out) / 10⁶⌉` without ever forming the sum: quotients and remainders apart.
fn exact_cost(prices: Prices, totals: Totals) -> u128 {
    const UNIT: u128 = 1_000_000;
    let parts = [
        u128::from(totals.tokens_in) * u128::from(prices.input_per_mtok),
        u128::from(totals.tokens_out) * u128::from(prices.output_per_mtok),
    ];
    let whole: u128 = parts.iter().map(|part| part / UNIT).sum();
    match parts.iter().map(|part| part % UNIT).sum::<u128>() {
        0 => whole,
        1..=UNIT => whole + 1,
        _ => whole + 2,
    }
}

fn is_floor(value: impl Into<u128>, numerator: u128, denominator: u128) -> bool {
    let value = value.into();
    value * denominator <= numerator && numerator < (value + 1) * denominator
}

/// Whether `bps` is `(part + prior·prior_bps) / (whole + prior)`, rounded down.
fn is_ratio(bps: u16, (part, whole): (u64, u64), (prior, prior_bps): (u64, u64)) -> bool {
    if whole == 0 && prior == 0 {
        return u64::from(bps) == prior_bps;
    }
    let numerator = u128::from(part) * 10_000 + u128::from(prior) * u128::from(prior_bps);
    is_floor(bps, numerator, u128::from(whole) + u128::from(prior))
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_cost_is_the_exact_price_rounded_up_once(prices in prices(), totals in totals()) {
        let exact = exact_cost(prices, totals).max(u128::from(prices.charge_min));
        let expected = match u64::try_from(exact) {
            _ if totals == Totals::ZERO => Ok(Lamports::ZERO),
            Ok(cost) => Ok(Lamports(cost)),
            Err(_) => Err(MarketError::Overflow),
        };
        prop_assert_eq!(prices.cost(totals), expected);
    }

    #[test]
    fn a_split_gives_each_its_floor_and_the_rest_to_the_platform(shares in shares(), cost in amount()) {
        let split = shares.split(Lamports(cost));
        let cost = u128::from(cost);
        prop_assert!(is_floor(split.worker.0, cost * u128::from(shares.worker_bps()), 10_000));
        prop_assert!(is_floor(split.stakers.0, cost * u128::from(shares.stakers_bps()), 10_000));
        let parts = [split.worker, split.stakers, split.platform].map(|part| u128::from(part.0));
        prop_assert_eq!(parts.iter().sum::<u128>(), cost);
        // The platform gains by rounding, less than a lamport from each of the others.
        let least = cost * u128::from(shares.platform_bps()) / 10_000;
        prop_assert!((least..=least + 2).contains(&parts[2]));
    }

    #[test]
    fn ratios_are_exact_and_start_from_what_is_assumed(r in reputation(), prior in amount()) {
        let good = r.fees_completed - r.fees_flagged;
        prop_assert!(is_ratio(r.success_bps(prior), (good, r.fees_completed), (prior, 10_000)));
        let preferred = (r.fees_preferred, r.fees_compared);
        prop_assert!(is_ratio(r.preference_bps(prior), preferred, (prior, 5_000)));
        let timed = (r.fees_timed_fast, r.fees_timed);
        prop_assert!(is_ratio(r.speed_bps(prior), timed, (prior, 8_000)));
        let audited = (r.fees_audited_ok, r.fees_audited);
        prop_assert!(is_ratio(r.accuracy_bps(prior), audited, (prior, 8_000)));
    }

    #[test]
    fn a_cost_never_falls_when_totals_or_prices_rise(
        prices in prices(), totals in totals(), which in 0..5, more in amount(),
    ) {
        let (mut dearer, mut further) = (prices, totals);
        let raised = match which {
            0 => &mut dearer.input_per_mtok,
            1 => &mut dearer.output_per_mtok,
            2 => &mut dearer.charge_min,
            3 => &mut further.tokens_in,
            _ => &mut further.tokens_out,
        };
        *raised = raised.saturating_add(more);
        match (prices.cost(totals), dearer.cost(further)) {
            (Ok(before), Ok(after)) => prop_assert!(after >= before),
            (before, after) => prop_assert!(after.is_err(), "{before:?} {after:?}"),
        }
    }

    #[test]
    fn a_rating_moves_a_share_by_half_its_distance_and_a_tenth_at_most(shares in shares(), rating: u16) {
        let rated = shares.rated(rating);
        let (before, after) = (i64::from(shares.worker_bps()), i64::from(rated.worker_bps()));
        // (rating − 0.8)·½ of the share, in 10⁻⁸: the move may fall short of it by its two roundings only.
        let wanted = (before * (i64::from(rating) - 8_000) * 5_000)
            .clamp(-before * 10_000_000, before * 10_000_000)
            .min(i64::from(shares.platform_bps()) * 100_000_000);
        let short = wanted - (after - before) * 100_000_000;
        prop_assert!(short * wanted.signum() >= 0, "never beyond what the rating says");
        prop_assert!(short.abs() < 100_000_000 + before * 10_000);
        prop_assert_eq!(rated.stakers_bps(), shares.stakers_bps());
        let sum = after + i64::from(rated.stakers_bps()) + i64::from(rated.platform_bps());
        prop_assert_eq!(sum, 10_000);
        prop_assert!(shares.rated(rating.saturating_add(1)).worker_bps() >= rated.worker_bps());
    }

    #[test]
    fn a_rating_is_the_weighted_sum_of_its_four_ratios(
        r in reputation(), prior in amount(), silent_s in 0i64..100_000,
    ) {
        let now = NOW + silent_s;
        let windows = u128::try_from((now - r.beats_from_unix_s) / i64::from(HEARTBEAT_S)).unwrap();
        let due = u128::from(r.beats_due) + windows.saturating_sub(1) + 10;
        let uptime = r.uptime_bps(now, HEARTBEAT_S);
        prop_assert!(is_floor(uptime, u128::from(r.beats_kept) * 10_000 + 80_000, due));
        let [uptime, speed, accuracy, success] =
            [uptime, r.speed_bps(prior), r.accuracy_bps(prior), r.success_bps(prior)].map(u128::from);
        let rating = r.rating_bps(now, HEARTBEAT_S, prior);
        prop_assert!(rating <= 10_000);
        let weighted = 4 * uptime + 3 * speed + 2 * accuracy + success;
        prop_assert!(is_floor(rating, weighted, 10));
    }

    #[test]
    fn what_is_said_of_a_worker_moves_its_rating_one_way(
        r in reputation(), prior in amount(), fee in amount(), speed: u16, late_s in 0i64..100_000,
    ) {
        let now = NOW + late_s;
        let fee = Lamports(fee);
        let rating = |r: &Reputation, now| r.rating_bps(now, HEARTBEAT_S, prior);
        let after = |step: &dyn Fn(&mut Reputation)| {
            let mut after = r;
            step(&mut after);
            after
        };
        let better: [&dyn Fn(&mut Reputation); 4] = [
            &|r| r.pay(fee),
            &|r| r.time(fee, 10_000),
            &|r| r.audit(fee, true),
            &|r| r.beat(now, HEARTBEAT_S),
        ];
        for step in better {
            prop_assert!(rating(&after(step), now) >= rating(&r, now));
        }
        let worse: [&dyn Fn(&mut Reputation); 3] =
            [&|r| r.flag(fee), &|r| r.time(fee, 0), &|r| r.audit(fee, false)];
        for step in worse {
            prop_assert!(rating(&after(step), now) <= rating(&r, now));
        }
        prop_assert!(rating(&r, now + 60) <= rating(&r, now), "silence never helps");
        let faster = after(&|r| r.time(fee, speed.saturating_add(1)));
        prop_assert!(rating(&faster, now) >= rating(&after(&|r| r.time(fee, speed)), now));
        let preferred = after(&|r| r.compare(fee, true));
        prop_assert!(preferred.preference_bps(prior) >= r.preference_bps(prior));
        let other = after(&|r| r.compare(fee, false));
        prop_assert!(other.preference_bps(prior) <= r.preference_bps(prior));
        prop_assert_eq!(rating(&preferred, now), rating(&r, now));
    }

    #[test]
    fn a_delegate_spends_up_to_its_limit_and_nothing_beyond(
        reserved in amount(), settled in amount(), stake in amount(), limit in amount(),
    ) {
        let allowance = Allowance {
            limit: Lamports(limit),
            period_s: 60,
            period_start_unix_s: NOW,
            settled: Lamports(settled),
        };
        let used = u128::from(reserved) + u128::from(settled) + u128::from(stake);
        let allowed = allowance.check(Lamports(reserved), Lamports(stake));
        prop_assert_eq!(allowed.is_ok(), used <= u128::from(limit));
    }

    /// However a job is claimed, in pieces or at once, topped up or not, the same is paid and the rest
    /// returns.
    #[test]
    fn claims_and_refund_sum_to_the_stake(
        prices in (0u64..5_000_000, 0u64..5_000_000, 0u64..1_000), preset in preset(), rating: u16,
        steps in prop::collection::vec((0u64..3_000, 0u64..3_000, 0u64..2_000), 0..6),
        ends_by_claim: bool,
    ) {
        let prices =
            Prices { input_per_mtok: prices.0, output_per_mtok: prices.1, charge_min: prices.2 };
        let mut job = locked(Terms { prices, shares: preset.shares().rated(rating) });
        let (mut paid, mut parts, mut stake) = (0, 0, job.stake.0);
        for (more_in, more_out, top_up) in steps {
            let next = Totals {
                tokens_in: job.totals.tokens_in + more_in,
                tokens_out: job.totals.tokens_out + more_out,
            };
            let affordable = exact_cost(prices, next) <= u128::from(stake);
            match job.claim(Claim::Partial(next), NOW) {
                Ok(credit) => {
                    prop_assert!(affordable);
                    paid += credit.paid.0;
                    parts += credit.split.worker.0 + credit.split.stakers.0 + credit.split.platform.0;
                }
                Err(error) => prop_assert!(error == MarketError::BeyondStake && !affordable),
            }
            prop_assert_eq!(job.top_up(Lamports(top_up), NOW).is_ok(), top_up > 0);
            stake += top_up;
        }
        let once = prices.cost(job.totals).unwrap();
        let refund = if ends_by_claim {
            job.claim(Claim::Final(None), NOW).unwrap().refund
        } else {
            job.expire(job.claim_until_unix_s).unwrap()
        };
        prop_assert_eq!(paid, once.0);
        prop_assert_eq!(parts, paid);
        prop_assert_eq!(paid + refund.0, stake);
        prop_assert!(job.invariant());
    }
}

fn locked(terms: Terms) -> Job {
    let new = NewJob {
        stake: Lamports(10_000),
        highest: Prices { charge_min: 10_000, ..terms.prices },
        open_slot: 0,
        serve_until_unix_s: NOW + 300,
        grace_s: 600,
    };
    let mut job = Job::publish(new, NOW, 0).unwrap();
    job.lock(terms, NOW).unwrap();
    job
}
