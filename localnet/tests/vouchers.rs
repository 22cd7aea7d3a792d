//! Who may claim with which voucher: every way to be paid for what nobody vouched for.

mod common;

use chainference_chain::accounts::{Job, JobStatus, Vault, Worker};
use chainference_chain::instruction::{self, ClaimRequest};
use chainference_chain::{Instruction, Keypair, Signer};
use chainference_market::Voucher;
use common::*;

const PAID: chainference_chain::Totals =
    chainference_chain::Totals { tokens_in: 10_000, tokens_out: 0 };

#[track_caller]
fn check(market: &mut Market, instructions: &[Instruction], payer: &Keypair, refusal: &str) {
    let before = (market.balance(&market.vault()), market.balance(&market.worker()));
    let outcome = market.send(instructions, payer, &[]);
    let name = outcome.expect_err("a refusal");
    assert!(name.contains(refusal), "{name}, not {refusal}");
    assert_eq!((market.balance(&market.vault()), market.balance(&market.worker())), before);
}

#[test]
fn only_the_jobs_own_worker_claims() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(20_000, 0), false).unwrap();
    // The client knows an older, smaller voucher and would settle its own job with it.
    for thief in [&market.gateway, &market.wallet, &market.owner].map(Keypair::insecure_clone) {
        let request = ClaimRequest { operator: thief.pubkey(), ..job.claim(Some(PAID), true) };
        check(&mut market, &instruction::claim(&request), &thief, "NotOperator");
    }
    // Another worker of the market is no better.
    let other = market.admin.insecure_clone();
    let mut registration = market.registration(BOND);
    registration.operator = other.pubkey();
    market
        .send(&[instruction::register_worker(&other.pubkey(), registration)], &other, &[])
        .unwrap();
    let worker = chainference_chain::address::worker(&other.pubkey());
    let request = ClaimRequest { operator: other.pubkey(), worker, ..job.claim(Some(PAID), true) };
    check(&mut market, &instruction::claim(&request), &other, "WrongWorker");
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
        check(&mut market, &instruction::claim(&job.claim(Some(older), true)), &operator, refusal);
    }
    assert_eq!(market.load::<Job>(&job.address).tokens_in, 10_000);
}

#[test]
fn a_voucher_is_for_one_job_and_one_session_key() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    // Another job's voucher, claimed as this job's: the precompile refuses the signature.
    let mut request = job.claim(Some(PAID), true);
    request.voucher = Some((PAID, other.vouch(PAID)));
    check(&mut market, &instruction::claim(&request), &operator, "Custom");
    // The same with the signature that fits it: the precompile is content, the program is not.
    let [proof, _] = pair(&other.claim(Some(PAID), true));
    let [_, claim] = pair(&job.claim(Some(PAID), true));
    check(&mut market, &[proof, claim], &operator, "BadVoucherSignature");
    // This job's voucher, signed by a key of the worker's.
    let voucher = Voucher { job: job.address.to_bytes(), totals: PAID }.to_bytes();
    let mut request = job.claim(Some(PAID), true);
    request.session_key = operator.pubkey();
    request.voucher = Some((PAID, operator.sign_message(&voucher)));
    check(&mut market, &instruction::claim(&request), &operator, "BadVoucherSignature");
    // More tokens than were signed for.
    let mut request = job.claim(Some(totals(20_000, 0)), true);
    request.voucher = Some((totals(20_000, 0), job.vouch(PAID)));
    check(&mut market, &instruction::claim(&request), &operator, "Custom");
    let [proof, _] = pair(&job.claim(Some(PAID), true));
    let [_, claim] = pair(&job.claim(Some(totals(20_000, 0)), true));
    check(&mut market, &[proof, claim], &operator, "BadVoucherSignature");
}

#[test]
fn the_proof_stands_right_before_its_claim() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    let [proof, claim] = pair(&job.claim(Some(PAID), true));
    let beat = instruction::heartbeat(&operator.pubkey(), &market.worker());
    check(&mut market, std::slice::from_ref(&claim), &operator, "NoVoucherSignature");
    check(&mut market, &[claim.clone(), proof.clone()], &operator, "NoVoucherSignature");
    check(&mut market, &[proof.clone(), beat, claim.clone()], &operator, "NoVoucherSignature");
    let partial_of_nothing = instruction::claim(&job.claim(None, false));
    check(&mut market, &partial_of_nothing, &operator, "NoVoucherSignature");
    market.send(&[proof, claim], &operator, &[]).unwrap();
}

#[test]
fn a_proof_that_reads_from_elsewhere_is_refused() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    let [proof, claim] = pair(&job.claim(Some(PAID), true));
    // Index fields at 4, 8 and 14: instruction 0 is the proof itself, so the precompile is content with each.
    for at in [4, 8, 14] {
        let mut foreign = proof.clone();
        foreign.data[at..at + 2].copy_from_slice(&0u16.to_le_bytes());
        check(&mut market, &[foreign, claim.clone()], &operator, "BadVoucherSignature");
    }
    let mut longer = proof.clone();
    longer.data.push(0);
    check(&mut market, &[longer, claim.clone()], &operator, "BadVoucherSignature");
    let mut none = proof.clone();
    none.data[0] = 0;
    check(&mut market, &[none, claim], &operator, "");
    assert_eq!(market.load::<Job>(&job.address).status, JobStatus::Locked);
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
    let mut request = job.claim(None, true);
    request.voucher = Some((PAID, signature.into()));
    check(&mut market, &instruction::claim(&request), &operator, "Custom");
}

#[test]
fn the_same_job_twice_in_one_transaction_is_paid_once() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let before = market.balance(&market.worker());
    let [proof, claim] = pair(&job.claim(Some(PAID), false));
    market
        .send(&[proof.clone(), claim.clone(), proof.clone(), claim.clone()], &operator, &[])
        .unwrap();
    assert_eq!(market.balance(&market.worker()), before + 6_000);
    let [_, last] = pair(&job.claim(Some(PAID), true));
    check(&mut market, &[proof.clone(), last, proof, claim], &operator, "WrongStatus");
    // Two different jobs in one transaction are two claims.
    let mut both = instruction::claim(&job.claim(Some(PAID), true));
    both.extend(instruction::claim(&other.claim(Some(PAID), true)));
    market.send(&both, &operator, &[]).unwrap();
    assert_eq!(market.balance(&market.worker()), before + 12_000);
    assert_eq!(market.load::<Worker>(&market.worker()).live_jobs, 0);
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
}

#[test]
fn a_settled_job_is_claimed_no_more() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, PAID, true).unwrap();
    let operator = market.operator.insecure_clone();
    let more = instruction::claim(&job.claim(Some(totals(20_000, 0)), true));
    check(&mut market, &more, &operator, "WrongStatus");
}

#[test]
fn a_rotated_operator_claims_what_the_old_one_locked() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [owner, old, new] =
        [&market.owner, &market.operator, &market.admin].map(Keypair::insecure_clone);
    let update = chainference_chain::accounts::UpdateWorkerArgs {
        operator: Some(new.pubkey()),
        ..Default::default()
    };
    market.send(&[instruction::update_worker(&owner.pubkey(), update)], &owner, &[]).unwrap();
    check(&mut market, &instruction::claim(&job.claim(Some(PAID), true)), &old, "NotOperator");
    let request = ClaimRequest { operator: new.pubkey(), ..job.claim(Some(PAID), true) };
    market.send(&instruction::claim(&request), &new, &[]).unwrap();
}

fn pair(request: &ClaimRequest) -> [Instruction; 2] {
    instruction::claim(request).try_into().expect("a proof and a claim")
}
