use chainference_market::{Allowance, Lamports, MarketError, Preset, Prices, Shares, Totals};

/// Rounding repeats every 10,000 lamports: what holds up to there holds everywhere.
const COSTS: u64 = 10_000;

/// What a rating makes of a worker's share: whole basis points, counted.
fn rated_worker_bps(worker: i64, platform: i64, rating: i64) -> i64 {
    let distance = (rating - 8_000).abs();
    let adjustment = (0..=1_000).rev().find(|bps| 2 * bps <= distance).unwrap();
    let moved = (0..=1_000).rev().find(|bps| bps * 10_000 <= worker * adjustment).unwrap();
    if rating < 8_000 { worker - moved } else { worker + moved.min(platform) }
}

#[test]
fn every_cost_of_every_preset_at_every_rating_is_split_to_the_lamport() {
    for preset in [Preset::Open, Preset::Far] {
        let base = preset.shares();
        let mut last = None;
        for rating in 0..=10_000 {
            let shares = base.rated(rating);
            let (worker, platform) = (i64::from(base.worker_bps()), i64::from(base.platform_bps()));
            let expected = rated_worker_bps(worker, platform, i64::from(rating));
            assert_eq!(i64::from(shares.worker_bps()), expected, "{preset:?} {rating}");
            assert_eq!(shares.stakers_bps(), base.stakers_bps());
            if last != Some(shares) {
                every_cost_is_split(shares);
            }
            last = Some(shares);
        }
    }
}

/// A part grows by a lamport where the cost has grown by enough, and never before.
fn every_cost_is_split(shares: Shares) {
    let grown = |part: u64, bps: u16, cost| (part + 1) * 10_000 <= cost * u64::from(bps);
    let (mut worker, mut stakers) = (0, 0);
    for cost in 0..=COSTS {
        worker += u64::from(grown(worker, shares.worker_bps(), cost));
        stakers += u64::from(grown(stakers, shares.stakers_bps(), cost));
        let split = shares.split(Lamports(cost));
        let parts = (split.worker.0, split.stakers.0, split.platform.0);
        assert_eq!(parts, (worker, stakers, cost - worker - stakers), "{shares:?} {cost}");
    }
}

#[test]
fn every_small_cost_is_the_least_that_covers_the_price() {
    let per_mtok = [0, 1, 333_333, 500_000, 999_999, 1_000_000, 1_000_001, 2_500_000];
    for (input_per_mtok, output_per_mtok) in pairs(per_mtok) {
        for charge_min in [0, 1, 2, 7, 60] {
            let prices = Prices { input_per_mtok, output_per_mtok, charge_min };
            for (tokens_in, tokens_out) in pairs(0..30) {
                let exact = tokens_in * input_per_mtok + tokens_out * output_per_mtok;
                let least = if tokens_in + tokens_out == 0 { 0 } else { charge_min };
                let expected = (least..).find(|cost| cost * 1_000_000 >= exact).unwrap();
                let totals = Totals { tokens_in, tokens_out };
                assert_eq!(prices.cost(totals), Ok(Lamports(expected)), "{prices:?} {totals:?}");
            }
        }
    }
}

#[test]
fn every_small_spending_of_a_delegate_stays_within_its_limit() {
    for ((limit, reserved), (settled, stake)) in pairs(pairs(0..5).collect::<Vec<_>>()) {
        for (period_s, age_s) in pairs(0..4) {
            let mut allowance = Allowance {
                limit: Lamports(limit),
                period_s,
                period_start_unix_s: 100,
                settled: Lamports(settled),
            };
            allowance.roll(100 + i64::from(age_s));
            let is_new = period_s > 0 && age_s >= period_s;
            let spent = if is_new { 0 } else { settled };
            let start = if is_new { 100 + i64::from(age_s) } else { 100 };
            assert_eq!((allowance.settled.0, allowance.period_start_unix_s), (spent, start));
            let expected = if reserved + spent + stake > limit {
                Err(MarketError::OverDelegateLimit)
            } else {
                Ok(())
            };
            assert_eq!(allowance.check(Lamports(reserved), Lamports(stake)), expected);
        }
    }
}

fn pairs<T: Clone>(
    all: impl IntoIterator<Item = T, IntoIter: Clone> + Clone,
) -> impl Iterator<Item = (T, T)> {
    let second = all.clone().into_iter();
    all.into_iter().flat_map(move |a| second.clone().map(move |b| (a.clone(), b)))
}
