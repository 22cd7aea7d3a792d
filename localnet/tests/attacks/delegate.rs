//! Attack: a stolen gateway: the vault's hot key in a thief's hands, with a worker of the thief's own.
//! Gain: the vault, by jobs that the thief vouches for.
//! Stopped by: what a delegate can have reserved and settled in a period, by publishing and by adding to stakes,
//! never passes the owner's limit; and it can't withdraw, close or set keys.

use chainference_chain::accounts::*;
use chainference_chain::{Instruction, Keypair, Lamports, Pubkey, Signer, instruction};

use crate::common::*;
use crate::support::*;

const LIMIT: u64 = 10 * STAKE;

fn publish(market: &mut Market, by: &Pubkey, stake: u64) -> (Instruction, Pubkey) {
    let (mut terms, _) = market.terms();
    (terms.authority, terms.stake) = (*by, stake);
    (instruction::publish(by, &terms.vault, publish_args(&terms)), terms.job())
}

#[test]
fn publishing_and_adding_count_against_one_limit() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let (key, vault) = (gateway.pubkey(), market.vault());
    let add = |job: &Pubkey, lamports| instruction::top_up(&key, &vault, job, Lamports(lamports));
    let over = "OverDelegateLimit";
    let (too_much, _) = publish(&mut market, &key, LIMIT + 1);
    denied(&mut market, &too_much, &gateway, over);
    let (half, job) = publish(&mut market, &key, LIMIT / 2);
    let both = [half.clone(), add(&job, LIMIT / 2 + 1)];
    refused(&mut market, &both, &[&gateway], over);
    let (other_half, other) = publish(&mut market, &key, LIMIT / 2);
    let all = [half.clone(), other_half.clone(), add(&other, 1)];
    refused(&mut market, &all, &[&gateway], over);
    market.send(&[half, add(&job, LIMIT / 2)], &gateway, &[]).unwrap();
    // At the limit: not a lamport more, by either way; the owner has no limit.
    denied(&mut market, &other_half, &gateway, over);
    denied(&mut market, &add(&job, 1), &gateway, over);
    for amount in [u64::MAX, u64::MAX - LIMIT] {
        let outcome = market.send(&[add(&job, amount)], &gateway, &[]).unwrap_err();
        assert!(outcome == over || outcome == "Overflow", "{outcome}");
    }
    let by_owner = instruction::top_up(&wallet.pubkey(), &vault, &job, Lamports(1));
    market.send(&[by_owner], &wallet, &[]).unwrap();
    let (by_owner, _) = publish(&mut market, &wallet.pubkey(), STAKE);
    market.send(&[by_owner], &wallet, &[]).unwrap();
}

#[test]
fn a_new_period_forgets_what_was_paid_and_not_what_is_reserved() {
    let mut market = Market::new();
    let gateway = market.gateway.insecure_clone();
    let key = gateway.pubkey();
    // 600,000 lamports are paid; 4 · STAKE stay reserved over the end of the period.
    let job = market.locked_job();
    market.claim(&job, totals(1_000_000, 0), true).unwrap();
    let started_unix_s = market.load::<Vault>(&market.vault()).period_start_unix_s;
    market.go_to(started_unix_s + i64::from(PERIOD_S) - 1);
    let (live, _) = publish(&mut market, &key, 4 * STAKE);
    market.send(&[live], &gateway, &[]).unwrap();
    let rest = LIMIT - 4 * STAKE;
    let (too_much, _) = publish(&mut market, &key, rest - 600_000 + 1);
    denied(&mut market, &too_much, &gateway, "OverDelegateLimit");
    market.warp(0, 1);
    let (too_much, _) = publish(&mut market, &key, rest + 1);
    denied(&mut market, &too_much, &gateway, "OverDelegateLimit");
    let (all, _) = publish(&mut market, &key, rest);
    market.send(&[all], &gateway, &[]).unwrap();
}

#[test]
fn what_a_thief_can_have_paid_in_a_period_is_the_limit() {
    let mut market = Market::new();
    let vault_before = market.balance(&market.vault());
    let period_ends_unix_s = market.now_unix_s() + i64::from(PERIOD_S);
    let mut refusals = 0;
    // Every hour it vouches for whole stakes, as many as it is let.
    while market.now_unix_s() < period_ends_unix_s {
        for _ in 0..4 {
            let (mut terms, session) = market.terms();
            terms.stake = 2 * STAKE;
            match market.lock_on(&terms) {
                Ok(()) => {
                    let job = TestJob { address: terms.job(), session, terms };
                    market.claim(&job, totals(3_333_333, 0), true).unwrap();
                }
                Err(refusal) => {
                    assert_eq!(refusal, "OverDelegateLimit");
                    refusals += 1;
                }
            }
        }
        market.warp(9_000, 3_600);
    }
    assert!(refusals > 80, "{refusals} refusals");
    assert_eq!(vault_before - market.balance(&market.vault()), LIMIT);
}

#[test]
fn around_a_period_s_turn_it_is_twice_the_limit_and_no_more() {
    let mut market = Market::new();
    let before = market.balance(&market.vault());
    let turn_unix_s = market.now_unix_s() + i64::from(PERIOD_S);
    for unix_s in [turn_unix_s - 1, turn_unix_s, turn_unix_s + i64::from(PERIOD_S) - 1] {
        market.go_to(unix_s);
        while let Some(job) = whole_limit(&mut market) {
            market.claim(&job, totals(16_666_666, 0), true).unwrap();
        }
    }
    assert_eq!(before - market.balance(&market.vault()), 2 * LIMIT);
}

#[test]
fn with_a_period_of_no_length_it_is_the_limit_for_ever() {
    let mut market = Market::new();
    let wallet = market.wallet.insecure_clone();
    let for_ever = SetDelegateArgs { period_s: 0, ..delegation(Some(market.gateway.pubkey())) };
    let set = instruction::set_delegate(&wallet.pubkey(), for_ever);
    market.send(&[set], &wallet, &[]).unwrap();
    let before = market.balance(&market.vault());
    for _ in 0..3 {
        while let Some(job) = whole_limit(&mut market) {
            market.claim(&job, totals(16_666_666, 0), true).unwrap();
        }
        market.warp(9_000, 365 * 86_400);
    }
    assert_eq!(before - market.balance(&market.vault()), LIMIT);
}

/// A locked job with all that the delegate may spend for a stake; `None` where that is spent.
fn whole_limit(market: &mut Market) -> Option<TestJob> {
    let (mut terms, session) = market.terms();
    terms.stake = LIMIT;
    match market.lock_on(&terms) {
        Ok(()) => Some(TestJob { address: terms.job(), session, terms }),
        Err(refusal) => {
            assert_eq!(refusal, "OverDelegateLimit");
            None
        }
    }
}

#[test]
fn a_delegate_can_not_withdraw_close_or_set_keys() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let (key, thief) = (wallet.pubkey(), gateway.pubkey());
    let steps = |signer: Pubkey| {
        let raise = SetDelegateArgs { delegate: Some(thief), limit: u64::MAX, period_s: 0 };
        [
            with_account(&instruction::set_delegate(&key, raise), 0, signer),
            with_account(&instruction::withdraw(&key, Lamports(1)), 0, signer),
            with_account(&instruction::close_vault(&key), 0, signer),
        ]
    };
    for stolen in steps(thief) {
        denied(&mut market, &stolen, &gateway, "NotVaultOwner");
    }
    for genuine in steps(key) {
        market.send(&[genuine], &wallet, &[]).unwrap();
    }
}

#[test]
fn a_dismissed_delegate_is_a_stranger_at_once() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let (key, vault) = (gateway.pubkey(), market.vault());
    let nobody = instruction::set_delegate(&wallet.pubkey(), delegation(None));
    let (publish, _) = publish(&mut market, &key, STAKE);
    let finish = instruction::finish(&key, &vault, &job.address);
    let top_up = instruction::top_up(&key, &vault, &job.address, Lamports(1));
    market.send(&[finish.clone(), top_up.clone()], &gateway, &[]).unwrap();
    let mut dismissed = market.fork();
    dismissed.send(&[nobody], &wallet, &[]).unwrap();
    for step in [publish, finish, top_up] {
        denied(&mut dismissed, &step, &gateway, "NotClient");
        market.send(&[step], &gateway, &[]).unwrap();
    }
}
