//! Attack: the rules of a job are changed once it is locked: prices, the market's preset, the worker's rating, the
//! grace, a pause, a retracted offer.
//! Gain: an answer for less than agreed, or a stake that is held for longer.
//! Stopped by: lock takes a copy of prices, shares, rating and grace; a live job reads nothing else ever again.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

/// What a job's claim paid to worker, platform and stakers.
fn paid(market: &mut Market, job: &TestJob) -> (u64, u64, u64) {
    let before: Worker = market.load(&market.worker());
    market.claim(job, PAID, true).unwrap();
    let after: Worker = market.load(&market.worker());
    (
        after.earnings - before.earnings,
        after.fees_platform - before.fees_platform,
        after.fees_stakers - before.fees_stakers,
    )
}

#[test]
fn prices_are_those_of_the_lock() {
    let mut market = Market::new();
    let job = market.locked_job();
    let dearer = UpdateOfferArgs {
        price_in_per_mtok: Some(PRICE_IN * 100),
        price_out_per_mtok: Some(PRICE_OUT * 100),
        charge_min: Some(STAKE),
        ..Default::default()
    };
    update_offer(&mut market, dearer);
    assert_eq!(paid(&mut market, &job), (5_400, 600, 0));
    // The next job at the old prices is refused, not locked at the new ones.
    let (terms, _) = market.terms();
    assert_eq!(market.lock_on(&terms), Err("PriceTooHigh".into()));
}

#[test]
fn a_retracted_offer_or_a_leaving_worker_changes_no_live_job() {
    let mut market = Market::new();
    let (job, open) = (market.locked_job(), market.open_job());
    let [owner, operator] = [&market.owner, &market.operator].map(Keypair::insecure_clone);
    let key = owner.pubkey();
    let retract = instruction::retract_offer(&key, &market.offer(), &key);
    market.send(&[retract], &owner, &[]).unwrap();
    let lock = market.lock_instruction(&open);
    denied(&mut market, &lock, &operator, "AccountOwnedByWrongProgram");
    let post = instruction::post_offer(&key, &market.worker(), offer_args(MODEL));
    market.send(&[post], &owner, &[]).unwrap();
    set_worker(&mut market, &owner, WorkerStatus::Retiring);
    denied(&mut market, &lock, &operator, "WorkerRetiring");
    assert_eq!(paid(&mut market, &job), (5_400, 600, 0));
    set_worker(&mut market, &owner, WorkerStatus::Active);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn shares_are_those_of_the_lock() {
    for (from, to, agreed, next) in [
        (Preset::Open, Preset::Far, (5_400, 600, 0), (3_600, 1_200, 1_200)),
        (Preset::Far, Preset::Open, (3_600, 1_200, 1_200), (5_400, 600, 0)),
    ] {
        let mut market = Market::with_preset(from);
        let job = market.locked_job();
        update_config(&mut market, UpdateConfigArgs { preset: Some(to), ..Default::default() });
        assert_eq!(paid(&mut market, &job), agreed);
        let job = market.locked_job();
        assert_eq!(paid(&mut market, &job), next);
    }
}

#[test]
fn a_rating_moves_no_job_that_is_locked() {
    let mut market = Market::with_preset(Preset::Far);
    let rated = UpdateConfigArgs { rated_fees_min: Some(0), ..Default::default() };
    update_config(&mut market, rated);
    let job = market.locked_job();
    let agreed = market.load_job(&job);
    // A day of silence: the uptime falls, and with it the share of whatever is locked next.
    market.warp(1, 86_400);
    assert_eq!(market.load_job(&job), agreed);
    let (earned, platform, stakers) = paid(&mut market, &job);
    assert_eq!(earned, 6_000 * u64::from(agreed.worker_bps) / 10_000);
    assert_eq!(earned + platform + stakers, 6_000);
    let later = market.locked_job();
    let later = market.load_job(&later);
    assert!(later.rating_bps < agreed.rating_bps && later.worker_bps < agreed.worker_bps);
}

#[test]
fn times_are_those_of_the_publish() {
    let mut market = Market::new();
    let (job, gateway) = (market.locked_job(), market.gateway.insecure_clone());
    let agreed = market.load_job(&job);
    update_config(&mut market, UpdateConfigArgs { grace_s: Some(86_400), ..Default::default() });
    let finish = instruction::finish(&gateway.pubkey(), &job.terms.vault, &job.address);
    market.send(&[finish], &gateway, &[]).unwrap();
    let finished = market.load_job(&job).claim_until_unix_s;
    assert_eq!(finished, market.now_unix_s() + i64::from(agreed.grace_s));
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    market.go_to(finished - 1);
    assert_eq!(by_stranger(&mut market, expire.clone()), Err("TooEarlyToExpire".into()));
    market.warp(0, 1);
    by_stranger(&mut market, expire).unwrap();
    let next = market.locked_job();
    assert_eq!(market.load_job(&next).grace_s, 86_400);
}

#[test]
fn a_pause_holds_nobody_s_money() {
    let mut market = Market::new();
    let (live, open) = (market.locked_job(), market.open_job());
    let [wallet, gateway, operator] =
        [&market.wallet, &market.gateway, &market.operator].map(Keypair::insecure_clone);
    update_config(&mut market, UpdateConfigArgs { paused: Some(true), ..Default::default() });
    let (terms, _) = market.terms();
    let publish = instruction::publish(&gateway.pubkey(), &market.vault(), publish_args(&terms));
    let lock = market.lock_instruction(&open);
    denied(&mut market, &publish, &gateway, "Paused");
    denied(&mut market, &lock, &operator, "Paused");
    let post =
        instruction::post_offer(&operator.pubkey(), &market.worker(), offer_args(("m", "q")));
    denied(&mut market, &post, &operator, "Paused");
    let register = registration(&operator.pubkey(), BOND);
    let register = instruction::register_worker(&gateway.pubkey(), register);
    denied(&mut market, &register, &gateway, "Paused");

    market.claim(&live, PAID, true).unwrap();
    let cancel = instruction::cancel(&gateway.pubkey(), &market.vault(), &open.address);
    market.send(&[cancel], &gateway, &[]).unwrap();
    for paid in [
        instruction::withdraw_earnings(&market.owner.pubkey()),
        instruction::sweep_fees(&market.worker()),
        instruction::withdraw_fees(FeePart::Platform, &config(&market)),
    ] {
        by_stranger(&mut market, paid).unwrap();
    }
    market.warp_past_closing();
    for job in [&live, &open] {
        let close = market.close_instruction(job, &gateway.pubkey(), Feedback::NONE);
        market.send(&[close], &gateway, &[]).unwrap();
    }
    market.send(&[instruction::close_vault(&wallet.pubkey())], &wallet, &[]).unwrap();
    let owner = market.owner.insecure_clone();
    leave(&mut market, &owner);
    market.send(&[instruction::retire_worker(&owner.pubkey())], &owner, &[]).unwrap();
    market.check_conservation();
}
