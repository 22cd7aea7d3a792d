//! Attack: expire as a way to be paid, or to settle with a voucher of one's choice; or expire before the time.
//! Gain: the client ends a job with an old voucher; the worker with a forged one.
//! Stopped by: expire takes no voucher and moves no money: what was credited stays, the rest is free again, and only
//! the clock says when.

use chainference_chain::accounts::*;
use chainference_chain::instruction;

use crate::common::*;
use crate::support::*;

#[test]
fn expire_takes_no_voucher() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, PAID, false).unwrap();
    let (vault, worker) = (market.vault(), market.worker());
    market.go_to(market.load_job(&job).claim_until_unix_s);
    let mut expire = instruction::expire(&vault, &job.address, Some(worker));
    assert_eq!(expire.data.len(), 8, "nothing but its name");
    // Whatever is written behind it: a newer voucher pays nothing, an older one takes nothing back.
    let claim = instruction::claim(&job.claim(Some(totals(20_000, 0)), true));
    expire.data.extend_from_slice(&claim.data[8..]);
    let before = (market.balance(&vault), market.balance(&worker));
    by_stranger(&mut market, expire).unwrap();
    assert_eq!((market.balance(&vault), market.balance(&worker)), before);
    let settled = market.load_job(&job);
    assert_eq!(
        (settled.status(), settled.credited, settled.tokens_in),
        (JobStatus::Settled, 6_000, 10_000)
    );
    assert_eq!(market.load::<Vault>(&vault).reserved, 0);
}

#[test]
fn expire_waits_for_the_clock() {
    let mut market = Market::new();
    let (open, locked) = (market.open_job(), market.locked_job());
    let stranger = market.stranger.insecure_clone();
    let vault = market.vault();
    let expire_open = instruction::expire(&vault, &open.address, None);
    let expire_locked = instruction::expire(&vault, &locked.address, Some(market.worker()));
    let too_early = "TooEarlyToExpire";
    market.warp(10, SERVE_S - 1);
    denied(&mut market, &expire_open, &stranger, too_early);
    market.warp(0, 1);
    denied(&mut market, &expire_locked, &stranger, too_early);
    // An Open job is nobody's: naming a worker for it is an error, not a way to its record.
    let named = instruction::expire(&vault, &open.address, Some(market.worker()));
    denied(&mut market, &named, &stranger, "WrongWorker");
    by_stranger(&mut market, expire_open.clone()).unwrap();
    market.warp(0, i64::from(GRACE_S) - 1);
    denied(&mut market, &expire_locked, &stranger, too_early);
    market.warp(0, 1);
    by_stranger(&mut market, expire_locked.clone()).unwrap();
    for again in [expire_open, expire_locked] {
        denied(&mut market, &again, &stranger, "WrongStatus");
    }
    assert_eq!(market.load::<Vault>(&vault).reserved, 0);
}

#[test]
fn a_claim_in_time_wins_however_late_the_job_is_expired() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.go_to(market.load_job(&job).claim_until_unix_s + 86_400);
    market.claim(&job, PAID, true).unwrap();
    let stranger = market.stranger.insecure_clone();
    let expire = instruction::expire(&market.vault(), &job.address, Some(market.worker()));
    denied(&mut market, &expire, &stranger, "WrongStatus");
    assert_eq!(market.load_job(&job).credited, 6_000);
}
