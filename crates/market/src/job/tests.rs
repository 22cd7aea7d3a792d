use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;
const SLOT: u64 = 50_000;
const NEW: NewJob = NewJob {
    stake: Lamports(10_000),
    highest: Prices { input_per_mtok: 1_000_000, output_per_mtok: 1_000_000, charge_min: 20_000 },
    open_slot: SLOT,
    serve_until_unix_s: NOW + 300,
    grace_s: GRACE_S_MIN,
};
const TERMS: Terms = Terms {
    prices: Prices { input_per_mtok: 1_000_000, output_per_mtok: 1_000_000, charge_min: 10 },
    shares: Shares::OPEN,
};

fn totals(tokens_in: u64, tokens_out: u64) -> Totals {
    Totals { tokens_in, tokens_out }
}

fn open() -> Job {
    Job::publish(NEW, NOW, SLOT).unwrap()
}

fn locked() -> Job {
    let mut job = open();
    job.lock(TERMS, NOW).unwrap();
    job
}

fn settled() -> Job {
    let mut job = locked();
    job.claim(Claim::Final(None), NOW).unwrap();
    job
}

/// A cell of the guard table: what one step does to a job, and that a refusal changes nothing.
fn check<T: PartialEq + std::fmt::Debug>(
    from: Job,
    step: impl Fn(&mut Job) -> Result<T, MarketError>,
    expected: Result<Status, MarketError>,
) {
    let mut job = from;
    let outcome = step(&mut job).map(|_| job.status);
    assert_eq!(outcome, expected);
    assert!(job.invariant());
    if outcome.is_err() {
        assert_eq!(job, from, "a refusal must change nothing");
    }
}

#[test]
fn publish_checks_each_limit_at_its_edge() {
    let serve = |ahead_s| NewJob { serve_until_unix_s: NOW + ahead_s, ..NEW };
    let slot = |open_slot| NewJob { open_slot, ..NEW };
    let grace = |grace_s| NewJob { grace_s, ..NEW };
    for (new, expected) in [
        (NEW, Ok(())),
        (serve(0), Err(MarketError::BadServeUntil)),
        (serve(1), Ok(())),
        (serve(SERVE_S_MAX), Ok(())),
        (serve(SERVE_S_MAX + 1), Err(MarketError::BadServeUntil)),
        (slot(SLOT + 1), Err(MarketError::BadOpenSlot)),
        (slot(SLOT - OPEN_SLOT_AGE_MAX), Ok(())),
        (slot(SLOT - OPEN_SLOT_AGE_MAX - 1), Err(MarketError::BadOpenSlot)),
        (grace(GRACE_S_MIN - 1), Err(MarketError::BadGrace)),
        (grace(GRACE_S_MAX), Ok(())),
        (grace(GRACE_S_MAX + 1), Err(MarketError::BadGrace)),
        (NewJob { stake: Lamports::ZERO, ..NEW }, Err(MarketError::StakeTooSmall)),
    ] {
        assert_eq!(Job::publish(new, NOW, SLOT).map(|_| ()), expected, "{new:?}");
    }
}

#[test]
fn lock_guards() {
    let lock = |now| move |job: &mut Job| job.lock(TERMS, now);
    let until = NEW.serve_until_unix_s;
    check(open(), lock(until - 1), Ok(Status::Locked));
    check(open(), lock(until), Err(MarketError::TooLateToLock));
    check(locked(), lock(NOW), Err(MarketError::WrongStatus));
    check(settled(), lock(NOW), Err(MarketError::WrongStatus));
}

#[test]
fn lock_refuses_prices_beyond_the_clients() {
    let with = |prices| move |job: &mut Job| job.lock(Terms { prices, ..TERMS }, NOW);
    let at = TERMS.prices;
    check(open(), with(Prices { input_per_mtok: 1_000_001, ..at }), Err(MarketError::PriceTooHigh));
    check(
        open(),
        with(Prices { output_per_mtok: 1_000_001, ..at }),
        Err(MarketError::PriceTooHigh),
    );
    check(open(), with(Prices { charge_min: 20_001, ..at }), Err(MarketError::PriceTooHigh));
    check(open(), with(Prices { charge_min: 10_001, ..at }), Err(MarketError::StakeTooSmall));
    check(open(), with(Prices { charge_min: 10_000, ..at }), Ok(Status::Locked));
}

#[test]
fn claim_guards() {
    let claim = |claim| move |job: &mut Job| job.claim(claim, NOW);
    check(open(), claim(Claim::Final(None)), Err(MarketError::WrongStatus));
    check(settled(), claim(Claim::Final(None)), Err(MarketError::WrongStatus));
    check(locked(), claim(Claim::Partial(totals(1, 1))), Ok(Status::Locked));
    check(locked(), claim(Claim::Final(Some(totals(5_000, 5_000)))), Ok(Status::Settled));
    check(locked(), claim(Claim::Final(Some(totals(5_000, 5_001)))), Err(MarketError::BeyondStake));

    let mut paid = locked();
    paid.claim(Claim::Partial(totals(100, 100)), NOW).unwrap();
    check(paid, claim(Claim::Final(Some(totals(99, 500)))), Err(MarketError::VoucherGoesBack));
    check(paid, claim(Claim::Final(Some(totals(500, 99)))), Err(MarketError::VoucherGoesBack));
    check(paid, claim(Claim::Final(None)), Ok(Status::Settled));
}

#[test]
fn a_late_claim_is_paid_until_somebody_expires_the_job() {
    let mut job = locked();
    let late = job.claim_until_unix_s + 1;
    assert_eq!(job.claim(Claim::Final(Some(totals(100, 0))), late).unwrap().paid, Lamports(100));
}

#[test]
fn finish_only_ever_brings_the_end_nearer() {
    let mut job = locked();
    job.finish(NOW).unwrap();
    assert_eq!(job.claim_until_unix_s, NOW + i64::from(GRACE_S_MIN));
    job.finish(NOW + 10_000).unwrap();
    assert_eq!(job.claim_until_unix_s, NOW + i64::from(GRACE_S_MIN));
    check(open(), |job| job.finish(NOW), Err(MarketError::WrongStatus));
    check(settled(), |job| job.finish(NOW), Err(MarketError::WrongStatus));
}

#[test]
fn top_up_guards() {
    let top_up = |lamports, now| move |job: &mut Job| job.top_up(Lamports(lamports), now);
    let until = NEW.serve_until_unix_s;
    check(open(), top_up(1, until - 1), Ok(Status::Open));
    check(locked(), top_up(1, until - 1), Ok(Status::Locked));
    check(settled(), top_up(1, NOW), Err(MarketError::WrongStatus));
    check(open(), top_up(1, until), Err(MarketError::ServingOver));
    check(locked(), top_up(1, until), Err(MarketError::ServingOver));
    check(locked(), top_up(0, NOW), Err(MarketError::StakeTooSmall));
    check(locked(), top_up(u64::MAX - NEW.stake.0, NOW), Ok(Status::Locked));
    check(locked(), top_up(u64::MAX - NEW.stake.0 + 1, NOW), Err(MarketError::Overflow));
}

#[test]
fn what_is_topped_up_can_be_claimed_and_returns_with_the_rest() {
    let mut job = locked();
    job.claim(Claim::Partial(totals(NEW.stake.0, 0)), NOW).unwrap();
    let more = Claim::Partial(totals(NEW.stake.0 + 5, 0));
    assert_eq!(job.claim(more, NOW), Err(MarketError::BeyondStake));
    job.top_up(Lamports(7), NOW).unwrap();
    assert_eq!(job.stake.0, NEW.stake.0 + 7);
    assert_eq!(job.terms, Some(TERMS));
    assert_eq!(job.claim(more, NOW).unwrap().paid, Lamports(5));
    assert_eq!(job.expire(job.claim_until_unix_s), Ok(Lamports(2)));
}

#[test]
fn expire_guards() {
    let expire = |now| move |job: &mut Job| job.expire(now);
    let (serve, claim) = (open().serve_until_unix_s, open().claim_until_unix_s);
    check(open(), expire(serve - 1), Err(MarketError::TooEarlyToExpire));
    check(open(), expire(serve), Ok(Status::Settled));
    check(locked(), expire(serve), Err(MarketError::TooEarlyToExpire));
    check(locked(), expire(claim - 1), Err(MarketError::TooEarlyToExpire));
    check(locked(), expire(claim), Ok(Status::Settled));
    check(settled(), expire(i64::MAX), Err(MarketError::WrongStatus));
}

#[test]
fn cancel_is_for_open_jobs_only() {
    assert_eq!(open().cancel(NOW), Ok(NEW.stake));
    check(open(), |job| job.cancel(NOW), Ok(Status::Settled));
    check(locked(), |job| job.cancel(NOW), Err(MarketError::WrongStatus));
    check(settled(), |job| job.cancel(NOW), Err(MarketError::WrongStatus));
}

#[test]
fn close_waits_for_the_slot_window_and_strangers_an_hour_longer() {
    let (window, hour) = (SLOT + OPEN_SLOT_AGE_MAX, NOW + CLOSE_BY_ANYONE_S);
    let early = Err(MarketError::TooEarlyToClose);
    for (by_client, now, slot, expected) in [
        (true, NOW, window, early),
        (true, NOW, window + 1, Ok(())),
        (false, hour - 1, window + 1, early),
        (false, hour, window + 1, Ok(())),
        (false, hour, window, early),
    ] {
        assert_eq!(settled().may_close(by_client, now, slot), expected);
    }
    assert_eq!(locked().may_close(true, hour, window + 1), Err(MarketError::WrongStatus));
}

proptest! {
    /// However a job is claimed, in pieces or at once, the same is paid and the rest returns.
    #[test]
    fn claims_and_refund_sum_to_the_stake(steps in prop::collection::vec((0u64..3_000, 0u64..3_000), 0..6), ends_by_claim: bool) {
        let mut job = locked();
        let mut vouched = Totals::ZERO;
        let (mut paid, mut parts) = (0, 0);
        for (more_in, more_out) in steps {
            let next = totals(vouched.tokens_in + more_in, vouched.tokens_out + more_out);
            match job.claim(Claim::Partial(next), NOW) {
                Ok(credit) => {
                    vouched = next;
                    paid += credit.paid.0;
                    parts += credit.split.worker.0 + credit.split.stakers.0 + credit.split.platform.0;
                }
                Err(error) => prop_assert_eq!(error, MarketError::BeyondStake),
            }
        }
        let refund = if ends_by_claim {
            job.claim(Claim::Final(None), NOW).unwrap().refund
        } else {
            job.expire(job.claim_until_unix_s).unwrap()
        };
        prop_assert_eq!(paid, TERMS.prices.cost(vouched).unwrap().0);
        prop_assert_eq!(parts, paid);
        prop_assert_eq!(paid + refund.0, NEW.stake.0);
        prop_assert!(job.invariant());
    }
}
