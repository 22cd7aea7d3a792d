//! Attack: a worker locks jobs and serves none (lock-and-stall), so that a client's money lies still.
//! Gain: no money; a rival's clients wait.
//! Stopped by: the stall ends by the clock alone, at `claim_until`, or one grace after the client says finish; anyone
//! may end it, the worker can't lengthen it, and it earns nothing by it.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_stalled_stake_comes_back_by_the_clock_alone() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [operator, owner] = [&market.operator, &market.owner].map(Keypair::insecure_clone);
    let ends_unix_s = market.load_job(&job).claim_until_unix_s;
    assert_eq!(ends_unix_s - market.now_unix_s(), SERVE_S + i64::from(GRACE_S));
    // Nothing that the worker can do lengthens it, or pays without a voucher.
    let lock = market.lock_instruction(&job);
    denied(&mut market, &lock, &operator, "WrongStatus");
    let partial = instruction::claim(&job.claim(None, false));
    denied(&mut market, &partial, &operator, "NoVoucher");
    set_worker(&mut market, &owner, WorkerStatus::Retiring);
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    market.go_to(ends_unix_s - 1);
    assert_eq!(by_stranger(&mut market, expire.clone()), Err("TooEarlyToExpire".into()));
    market.warp(0, 1);
    by_stranger(&mut market, expire).unwrap();
    let vault: Vault = market.load(&market.vault());
    assert_eq!((vault.reserved, market.load_job(&job).credited), (0, 0));
    let worker: Worker = market.load(&market.worker());
    assert_eq!((worker.earnings, worker.live_jobs), (0, 0));
}

#[test]
fn a_client_that_wants_no_more_waits_one_grace() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let stalled = market.locked_job();
    let key = client.gateway.pubkey();
    let finish = instruction::finish(&key, &client.vault(), &stalled.address);
    market.send(std::slice::from_ref(&finish), &client.gateway, &[]).unwrap();
    let ends_unix_s = market.now_unix_s() + i64::from(GRACE_S);
    assert_eq!(market.load_job(&stalled).claim_until_unix_s, ends_unix_s);
    // Meanwhile the client goes on with another worker; a second finish does not put the end off.
    let served = market.locked_job_between(&client, &other);
    market.claim(&served, PAID, true).unwrap();
    market.warp(1, 60);
    market.send(&[finish], &client.gateway, &[]).unwrap();
    assert_eq!(market.load_job(&stalled).claim_until_unix_s, ends_unix_s);
    let expire = instruction::expire(&client.vault(), &stalled.address, Some(stalled.terms.worker));
    assert_eq!(by_stranger(&mut market, expire.clone()), Err("TooEarlyToExpire".into()));
    market.go_to(ends_unix_s);
    by_stranger(&mut market, expire).unwrap();
    // Too late for the worker: what nobody claimed in time is the client's again.
    let late = instruction::claim(&stalled.claim(Some(PAID), true));
    let operator = market.operator.insecure_clone();
    denied(&mut market, &late, &operator, "WrongStatus");
}

#[test]
fn no_setting_makes_a_stall_longer_than_two_days() {
    let mut market = Market::new();
    for too_long in [0, 599, 86_401, u32::MAX] {
        let grace = UpdateConfigArgs { grace_s: Some(too_long), ..Default::default() };
        let admin = market.admin.insecure_clone();
        let grace = instruction::update_config(&admin.pubkey(), grace);
        denied(&mut market, &grace, &admin, "BadGrace");
    }
    update_config(&mut market, UpdateConfigArgs { grace_s: Some(86_400), ..Default::default() });
    let (mut terms, _) = market.terms();
    terms.serve_until_unix_s = market.now_unix_s() + 86_401;
    assert_eq!(market.lock_on(&terms), Err("BadServeUntil".into()));
    terms.serve_until_unix_s -= 1;
    market.lock_on(&terms).unwrap();
    let job: Job = market.load(&terms.job());
    assert_eq!(job.claim_until_unix_s, market.now_unix_s() + 2 * 86_400);
}
