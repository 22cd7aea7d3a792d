//! Attack: one account in two places of an instruction, or one job twice in a transaction (`[job1, job1]`).
//! Gain: a voucher that is paid twice, a comparison with oneself, rent or earnings that leave twice.
//! Stopped by: a claim is one instruction for one job and credits only what was not credited before; where two accounts
//! of one type meet, they must differ.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Lamports, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_job_twice_in_one_transaction_is_paid_once() {
    let mut market = Market::new();
    let (job, other) = (market.locked_job(), market.locked_job());
    let operator = market.operator.insecure_clone();
    let before = market.balance(&market.worker());
    let partial = instruction::claim(&job.claim(Some(PAID), false));
    let last = instruction::claim(&job.claim(Some(PAID), true));
    market.send(&[partial.clone(), partial.clone()], &operator, &[]).unwrap();
    assert_eq!(market.balance(&market.worker()), before + 6_000);
    refused(&mut market, &[last.clone(), partial], &[&operator], "WrongStatus");
    refused(&mut market, &[last.clone(), last.clone()], &[&operator], "WrongStatus");
    // Two jobs are two claims.
    let both = [last, instruction::claim(&other.claim(Some(PAID), true))];
    market.send(&both, &operator, &[]).unwrap();
    assert_eq!(market.balance(&market.worker()), before + 12_000);
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
}

#[test]
fn a_job_is_not_compared_with_itself() {
    let mut market = Market::new();
    let (client, other) = (market.client(), market.second_provider());
    let gateway = &client.gateway;
    let (one, again) = (market.paid_job(), market.paid_job());
    let two = market.locked_job_between(&client, &other);
    market.claim(&two, PAID, true).unwrap();
    market.warp(CLOSE_SLOTS, 0);
    let key = gateway.pubkey();
    let with_itself = compare(&key, &one, &one, Preferred::First);
    denied(&mut market, &with_itself, gateway, "NotComparable");
    let same_worker = compare(&key, &one, &again, Preferred::First);
    denied(&mut market, &same_worker, gateway, "NotComparable");
    // One record in both places, to be praised twice, or to be praised and not blamed.
    let genuine = compare(&key, &one, &two, Preferred::First);
    for (at, worker) in [(4, other.worker()), (5, market.worker())] {
        let twice = with_account(&genuine, at, worker);
        denied(&mut market, &twice, gateway, "WrongWorker");
    }
    market.send(&[genuine], gateway, &[]).unwrap();
    assert_eq!(market.load::<Worker>(&market.worker()).reputation.jobs_preferred, 1);
}

#[test]
fn money_leaves_once() {
    let mut market = Market::new();
    let [wallet, gateway, stranger] =
        [&market.wallet, &market.gateway, &market.stranger].map(Keypair::insecure_clone);
    let (worker, vault) = (market.worker(), market.vault());
    let job = market.paid_job();
    market.warp(CLOSE_SLOTS, 0);
    let config = config(&market);
    let all = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT - 6_000));
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::NONE);
    for (once, payer, refusal) in [
        (instruction::withdraw_earnings(&market.owner.pubkey()), &stranger, "NothingOwed"),
        (instruction::sweep_fees(&worker), &stranger, "NothingOwed"),
        (instruction::withdraw_fees(FeePart::Platform, &config), &stranger, "NothingOwed"),
        (close, &gateway, "AccountOwnedByWrongProgram"),
        (all, &wallet, "InsufficientBalance"),
        (instruction::close_vault(&wallet.pubkey()), &wallet, "AccountOwnedByWrongProgram"),
    ] {
        refused(&mut market, &[once.clone(), once.clone()], &[payer], refusal);
        market.send(&[once], payer, &[]).unwrap();
    }
    assert!(!market.exists(&vault));
    market.check_conservation();
}
