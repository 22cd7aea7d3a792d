//! Attack: a claim by somebody else than the job's worker, or beyond the stake.
//! Gain: the client settles its own job with an old, smaller voucher and the worker is robbed; a stranger ends jobs; a
//! worker is paid out of other jobs' reservations. Stopped by: the operator of the record that locked signs each claim;
//! a cost above the stake refuses the claim as a whole.

use chainference_chain::accounts::*;
use chainference_chain::instruction::ClaimRequest;
use chainference_chain::{Keypair, Lamports, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn nobody_but_the_job_s_worker_claims() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(20_000, 0), false).unwrap();
    let (other, other_client) = (market.second_provider(), market.second_client());
    let thieves = [
        &market.gateway,
        &market.wallet,
        &market.owner,
        &market.stranger,
        &market.admin,
        &job.session,
        &other.operator,
        &other_client.gateway,
    ]
    .map(Keypair::insecure_clone);
    let payer = market.stranger.insecure_clone();
    for thief in thieves {
        // The newest voucher, an older one, and letting go: each would end the job.
        for voucher in [Some(totals(20_000, 0)), Some(PAID), None] {
            let request = ClaimRequest { operator: thief.pubkey(), ..job.claim(voucher, true) };
            let claim = instruction::claim(&request);
            refused(&mut market, &[claim], &[&payer, &thief], "NotOperator");
        }
    }
    let mut as_another = job.claim(Some(totals(20_000, 0)), true);
    (as_another.operator, as_another.worker) = (other.operator.pubkey(), other.worker());
    denied(&mut market, &instruction::claim(&as_another), &other.operator, "WrongWorker");
    market.claim(&job, totals(20_000, 0), true).unwrap();
}

#[test]
fn no_claim_is_paid_beyond_the_stake() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let at_stake = totals(1_666_666, 0); // 999,999.6 lamports
    for (beyond, refusal) in [
        (totals(1_666_667, 1), "BeyondStake"),
        (totals(1_666_668, 0), "BeyondStake"),
        (totals(0, 833_334), "BeyondStake"),
        (totals(u64::MAX, 0), "BeyondStake"),
        (totals(u64::MAX, u64::MAX), "Overflow"),
    ] {
        for is_final in [false, true] {
            let claim = instruction::claim(&job.claim(Some(beyond), is_final));
            denied(&mut market, &claim, &operator, refusal);
        }
    }
    market.claim(&job, at_stake, true).unwrap();
    assert_eq!(market.load_job(&job).credited, STAKE);
    // The other job's stake is still whole.
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, STAKE);
    market.claim(&other, at_stake, true).unwrap();
    market.check_conservation();
}

#[test]
fn a_stake_that_is_added_to_pays_as_much_more() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [gateway, operator] = [&market.gateway, &market.operator].map(Keypair::insecure_clone);
    let beyond = instruction::claim(&job.claim(Some(totals(1_666_668, 0)), false));
    denied(&mut market, &beyond, &operator, "BeyondStake");
    let top_up = instruction::top_up(&gateway.pubkey(), &market.vault(), &job.address, Lamports(1));
    market.send(&[top_up], &gateway, &[]).unwrap();
    market.send(&[beyond], &operator, &[]).unwrap();
    assert_eq!(market.load_job(&job).credited, STAKE + 1);
    market.check_conservation();
}

#[test]
fn a_rotated_operator_is_one_no_more() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [owner, old, new] =
        [&market.owner, &market.operator, &market.stranger].map(Keypair::insecure_clone);
    let rotate = UpdateWorkerArgs { operator: Some(new.pubkey()), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), rotate)], &owner, &[]).unwrap();
    let by_old = instruction::claim(&job.claim(Some(PAID), true));
    denied(&mut market, &by_old, &old, "NotOperator");
    let by_new = ClaimRequest { operator: new.pubkey(), ..job.claim(Some(PAID), true) };
    market.send(&[instruction::claim(&by_new)], &new, &[]).unwrap();
}
