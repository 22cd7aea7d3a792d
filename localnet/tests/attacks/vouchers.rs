//! Attack: a voucher where it doesn't belong: of another job, of another job of the same session key, of an address
//! that lived before, or one that is older than what was claimed.
//! Gain: paid twice for one answer; or a client that takes back what it has vouched.
//! Stopped by: the voucher names the job's address, which comes from vault, session key and slot and never comes
//! back; totals only rise.

use chainference_chain::instruction::ClaimRequest;
use chainference_chain::{Instruction, Keypair, Totals, instruction};

use crate::common::*;
use crate::support::*;

/// `job`'s claim with the voucher of `signed`.
fn borrowed(job: &TestJob, signed: &TestJob, totals: Totals) -> Instruction {
    let voucher = Some((totals, signed.vouch(totals)));
    instruction::claim(&ClaimRequest { voucher, ..job.claim(Some(totals), false) })
}

#[test]
fn a_voucher_is_of_one_job() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let foreign = borrowed(&job, &other, PAID);
    denied(&mut market, &foreign, &operator, "BadVoucherSignature");
    market.claim(&job, PAID, false).unwrap();
}

#[test]
fn a_voucher_is_of_one_slot_and_one_vault_whoever_signs_it() {
    let mut market = Market::new();
    let operator = market.operator.insecure_clone();
    let (first, session) = market.terms();
    market.lock_on(&first).unwrap();
    let first = TestJob { address: first.job(), session, terms: first };
    // A gateway that uses a session key again: in the next slot, then for another vault.
    market.warp(1, 0);
    let mut second = first.terms.clone();
    (second.open_slot, second.blockhash) = (market.clock().slot, market.blockhash().hash);
    market.lock_on(&second).unwrap();
    let (client, provider) = (market.second_client(), market.provider());
    let (mut third, _) = market.terms_between(&client, &provider);
    third.session_key = first.terms.session_key;
    market.lock_between(&third, &client, &provider).unwrap();
    market.claim(&first, PAID, false).unwrap();
    for terms in [second, third] {
        let again =
            TestJob { address: terms.job(), session: first.session.insecure_clone(), terms };
        let replayed = borrowed(&again, &first, PAID);
        denied(&mut market, &replayed, &operator, "BadVoucherSignature");
        market.claim(&again, PAID, false).unwrap();
    }
}

#[test]
fn a_voucher_does_not_outlive_its_job() {
    let mut market = Market::new();
    let operator = market.operator.insecure_clone();
    let gateway = market.gateway.insecure_clone();
    let job = market.paid_job();
    market.warp(CLOSE_SLOTS, 0);
    let close = market.close_instruction(
        &job,
        &job.terms.authority,
        chainference_chain::accounts::Feedback::NONE,
    );
    market.send(&[close], &gateway, &[]).unwrap();
    // Republished with the same key, as a gateway restored from a backup would: another slot, another address.
    let mut again = job.terms.clone();
    let clock = market.clock();
    (again.open_slot, again.blockhash) = (clock.slot, market.blockhash().hash);
    again.serve_until_unix_s = clock.unix_timestamp + SERVE_S;
    market.lock_on(&again).unwrap();
    let again =
        TestJob { address: again.job(), session: job.session.insecure_clone(), terms: again };
    let revived = borrowed(&again, &job, PAID);
    denied(&mut market, &revived, &operator, "BadVoucherSignature");
    let old = instruction::claim(&job.claim(Some(totals(20_000, 0)), true));
    denied(&mut market, &old, &operator, "AccountOwnedByWrongProgram");
    market.claim(&again, PAID, true).unwrap();
}

#[test]
fn an_older_voucher_takes_nothing_back() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    market.claim(&job, totals(10_000, 100), false).unwrap();
    let credited = market.load_job(&job).credited;
    for older in [totals(9_999, 100), totals(10_000, 99), totals(0, 0), totals(1_000_000, 0)] {
        for is_final in [false, true] {
            let claim = instruction::claim(&job.claim(Some(older), is_final));
            denied(&mut market, &claim, &operator, "VoucherGoesBack");
        }
    }
    // The same once more is no theft: nothing is new in it.
    market.claim(&job, totals(10_000, 100), false).unwrap();
    assert_eq!(market.load_job(&job).credited, credited);
    market.claim(&job, totals(10_000, 101), false).unwrap();
}

#[test]
fn a_settled_job_is_claimed_no_more() {
    let mut market = Market::new();
    let (settled, live) = (market.paid_job(), market.locked_job());
    let operator: Keypair = market.operator.insecure_clone();
    let more = instruction::claim(&settled.claim(Some(totals(20_000, 0)), false));
    denied(&mut market, &more, &operator, "WrongStatus");
    market.claim(&live, totals(20_000, 0), false).unwrap();
}
