//! Who may claim with which voucher: every way to be paid for what nobody vouched for.

mod common;

use chainference_chain::accounts::{JobStatus, UpdateWorkerArgs};
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{Keypair, Signer};
use chainference_market::Voucher;
use common::*;

const BAD: &str = "BadVoucherSignature";

#[test]
fn only_the_jobs_own_worker_claims() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(20_000, 0), false).unwrap();
    // The client knows an older, smaller voucher and would settle its own job with it.
    for thief in [&market.gateway, &market.wallet, &market.owner].map(Keypair::insecure_clone) {
        let request = ClaimRequest { operator: thief.pubkey(), ..job.claim(Some(PAID), true) };
        refused(&mut market, &[instruction::claim(&request)], &[&thief], "NotOperator");
    }
    // Another worker of the market is no better.
    let other = market.second_provider();
    let (operator, worker) = (other.operator.pubkey(), other.worker());
    let request = ClaimRequest { operator, worker, ..job.claim(Some(PAID), true) };
    refused(&mut market, &[instruction::claim(&request)], &[&other.operator], "WrongWorker");
}

#[test]
fn vouchers_only_rise_and_never_beyond_the_stake() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    market.claim(&job, totals(10_000, 100), false).unwrap();
    for (refusal, older) in [
        ("VoucherGoesBack", totals(9_999, 100)),
        ("VoucherGoesBack", totals(10_000, 99)),
        ("VoucherGoesBack", totals(1_000_000, 0)),
        ("BeyondStake", totals(1_666_668, 100)),
        ("Overflow", totals(u64::MAX, u64::MAX)),
    ] {
        let claim = instruction::claim(&job.claim(Some(older), true));
        refused(&mut market, &[claim], &[&operator], refusal);
    }
    assert_eq!(market.load_job(&job).tokens_in, 10_000);
}

#[test]
fn a_voucher_is_for_one_job_and_one_session_key() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let own = Voucher { job: job.address.to_bytes(), totals: PAID }.to_bytes();
    let forged = [
        ("another job's", other.vouch(PAID)),
        ("for fewer tokens", job.vouch(totals(PAID.tokens_in - 1, 0))),
        ("for the same tokens the other way round", job.vouch(totals(0, PAID.tokens_in))),
        ("signed by the worker", operator.sign_message(&own)),
        ("signed by another job's session key", other.session.sign_message(&own)),
        ("of zeros", [0; 64].into()),
    ];
    for (what, signature) in forged {
        for is_final in [false, true] {
            let request =
                ClaimRequest { voucher: Some((PAID, signature)), ..job.claim(None, is_final) };
            let outcome = market.send(&[instruction::claim(&request)], &operator, &[]);
            assert_eq!(outcome, Err("BadVoucherSignature".into()), "a voucher {what}");
        }
    }
    let mut bent: [u8; 64] = job.vouch(PAID).into();
    for byte in 0..64 {
        bent[byte] ^= 1;
        let voucher = Some((PAID, bent.into()));
        let request = ClaimRequest { voucher, ..job.claim(None, true) };
        refused(&mut market, &[instruction::claim(&request)], &[&operator], BAD);
        bent[byte] ^= 1;
    }
    assert_eq!(market.load_job(&job).status(), JobStatus::Locked);
}

#[test]
fn a_partial_claim_of_nothing_is_refused() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    let claim = instruction::claim(&job.claim(None, false));
    refused(&mut market, &[claim], &[&operator], "NoVoucher");
}

#[test]
fn a_small_order_session_key_gives_nothing_away() {
    let mut market = Market::new();
    let operator = market.operator.insecure_clone();
    let (mut terms, session) = market.terms();
    // The identity point: with it, loose verification takes S = 0, R = identity over any message.
    let mut identity = [0u8; 32];
    identity[0] = 1;
    terms.session_key = identity.into();
    market.lock_on(&terms).unwrap();
    let job = TestJob { address: terms.job(), session, terms };
    let mut signature = [0u8; 64];
    signature[0] = 1;
    let voucher = Some((PAID, signature.into()));
    let request = ClaimRequest { voucher, ..job.claim(None, true) };
    refused(&mut market, &[instruction::claim(&request)], &[&operator], BAD);
}

#[test]
fn the_same_job_twice_in_one_transaction_is_paid_once() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let before = market.balance(&market.worker());
    let claim = |job: &TestJob, is_final| instruction::claim(&job.claim(Some(PAID), is_final));
    market.send(&[claim(&job, false), claim(&job, false)], &operator, &[]).unwrap();
    assert_eq!(market.balance(&market.worker()), before + 6_000);
    let twice = [claim(&job, true), claim(&job, true)];
    refused(&mut market, &twice, &[&operator], "WrongStatus");
    // Two different jobs in one transaction are two claims.
    market.send(&[claim(&job, true), claim(&other, true)], &operator, &[]).unwrap();
    assert_eq!(market.balance(&market.worker()), before + 12_000);
    market.check_books();
}

#[test]
fn a_settled_job_is_claimed_no_more() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, PAID, true).unwrap();
    let operator = market.operator.insecure_clone();
    let more = instruction::claim(&job.claim(Some(totals(20_000, 0)), true));
    refused(&mut market, &[more], &[&operator], "WrongStatus");
}

#[test]
fn a_rotated_operator_claims_what_the_old_one_locked() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [owner, old, new] =
        [&market.owner, &market.operator, &market.stranger].map(Keypair::insecure_clone);
    let update = UpdateWorkerArgs { operator: Some(new.pubkey()), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), update)], &owner, &[]).unwrap();
    let claim = instruction::claim(&job.claim(Some(PAID), true));
    refused(&mut market, &[claim], &[&old], "NotOperator");
    let request = ClaimRequest { operator: new.pubkey(), ..job.claim(Some(PAID), true) };
    market.send(&[instruction::claim(&request)], &new, &[]).unwrap();
}
