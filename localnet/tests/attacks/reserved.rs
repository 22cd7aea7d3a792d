//! Attack: the client spends a stake twice: it withdraws what a live job reserves, closes the vault, or reserves the
//! same money for two jobs.
//! Gain: an answer that can't be paid.
//! Stopped by: what is reserved is not free, in whatever order the steps come, in one transaction or in several.

use chainference_chain::accounts::*;
use chainference_chain::{Instruction, Keypair, Lamports, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn reserved_money_does_not_leave_the_vault() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let (key, vault) = (wallet.pubkey(), market.vault());
    let job = market.locked_job();
    let free = DEPOSIT - STAKE;
    let withdraw = |lamports| instruction::withdraw(&key, Lamports(lamports));
    for too_much in [free + 1, DEPOSIT, DEPOSIT + 1, u64::MAX] {
        denied(&mut market, &withdraw(too_much), &wallet, "InsufficientBalance");
    }
    refused(&mut market, &[withdraw(1), withdraw(free)], &[&wallet], "InsufficientBalance");
    denied(&mut market, &instruction::close_vault(&key), &wallet, "HasJobs");
    market.send(&[withdraw(free)], &wallet, &[]).unwrap();
    assert_eq!(market.balance(&vault), market.rent(&vault) + STAKE);
    market.claim(&job, totals(1_666_666, 0), true).unwrap();
    assert_eq!(market.balance(&vault), market.rent(&vault));
    // Settled, and its account still there: the vault stays until it is closed.
    denied(&mut market, &instruction::close_vault(&key), &wallet, "HasJobs");
    market.warp(CLOSE_SLOTS, 0);
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::NONE);
    market.send(&[close], &gateway, &[]).unwrap();
    market.send(&[instruction::close_vault(&key)], &wallet, &[]).unwrap();
    market.check_conservation();
}

#[test]
fn no_order_of_steps_spends_the_same_lamport_twice() {
    let market = {
        let mut market = Market::new();
        let wallet = market.wallet.insecure_clone();
        // Room for one stake and what is added to it, and not a lamport more.
        let rest = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT - STAKE - SOME));
        market.send(&[rest], &wallet, &[]).unwrap();
        market
    };
    let orders: [&[Step]; 6] = [
        &[Step::Publish, Step::TopUp, Step::Withdraw],
        &[Step::Publish, Step::Withdraw, Step::TopUp],
        &[Step::Withdraw, Step::Publish, Step::TopUp],
        &[Step::Publish, Step::TopUp, Step::TopUp],
        &[Step::Publish, Step::TopUp, Step::Publish],
        &[Step::Publish, Step::Publish],
    ];
    for order in orders {
        let mut at_once = market.fork();
        let wallet = at_once.wallet.insecure_clone();
        let steps = instructions(&mut at_once, order);
        refused(&mut at_once, &steps, &[&wallet], "InsufficientBalance");
        let mut one_by_one = market.fork();
        let steps = instructions(&mut one_by_one, order);
        let (last, first) = steps.split_last().unwrap();
        for step in first {
            one_by_one.send(std::slice::from_ref(step), &wallet, &[]).unwrap();
        }
        denied(&mut one_by_one, last, &wallet, "InsufficientBalance");
        let vault: Vault = one_by_one.load(&one_by_one.vault());
        assert!(vault.reserved <= one_by_one.balance(&one_by_one.vault()) - vault.rent);
    }
    let mut market = market.fork();
    let wallet = market.wallet.insecure_clone();
    let all = instructions(&mut market, &[Step::Publish, Step::TopUp]);
    market.send(&all, &wallet, &[]).unwrap();
}

#[derive(Clone, Copy)]
enum Step {
    Publish,
    TopUp,
    Withdraw,
}

/// The steps by the vault's owner, who has no limit; a top-up is for the first job that was published.
fn instructions(market: &mut Market, order: &[Step]) -> Vec<Instruction> {
    let (key, vault) = (market.wallet.pubkey(), market.vault());
    let terms: Vec<_> = order.iter().map(|_| market.terms().0).collect();
    let one = |(at, step): (usize, &Step)| match step {
        Step::Publish => instruction::publish(&key, &vault, publish_args(&terms[at])),
        Step::TopUp => {
            let first = order.iter().position(|step| matches!(step, Step::Publish)).unwrap();
            instruction::top_up(&key, &vault, &terms[first].job(), Lamports(SOME))
        }
        Step::Withdraw => instruction::withdraw(&key, Lamports(SOME)),
    };
    order.iter().enumerate().map(one).collect()
}

#[test]
fn a_transfer_that_is_no_deposit_is_free_money_of_the_owner() {
    let mut market = Market::new();
    let [wallet, stranger] = [&market.wallet, &market.stranger].map(Keypair::insecure_clone);
    market.locked_job();
    let gift = transfer(&stranger.pubkey(), &market.vault(), SOME);
    market.send(&[gift], &stranger, &[]).unwrap();
    let more = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT - STAKE + SOME + 1));
    denied(&mut market, &more, &wallet, "InsufficientBalance");
    let all = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT - STAKE + SOME));
    market.send(&[all], &wallet, &[]).unwrap();
}
