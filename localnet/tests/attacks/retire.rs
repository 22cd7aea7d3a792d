//! Attack: a worker takes its bond and goes: with jobs that it has locked, with fees that are the market's, or so
//! soon after cheating that its bond meant nothing.
//! Gain: the bond as no price of entry; the platform's and stakers' share.
//! Stopped by: a record closes only retiring, after its cooldown, without live jobs, and swept.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn a_worker_leaves_when_all_is_done_and_not_before() {
    let mut market = Market::with_preset(Preset::Far);
    let cooldown = UpdateConfigArgs { bond_cooldown_s: Some(86_400), ..Default::default() };
    update_config(&mut market, cooldown);
    let [owner, operator, stranger] =
        [&market.owner, &market.operator, &market.stranger].map(Keypair::insecure_clone);
    let (key, worker) = (owner.pubkey(), market.worker());
    let job = market.locked_job();
    let retire = instruction::retire_worker(&key);
    denied(&mut market, &retire, &owner, "WorkerActive");
    let leaving = UpdateWorkerArgs { status: Some(WorkerStatus::Retiring), ..Default::default() };
    let leaving = instruction::update_worker(&key, leaving);
    let both = [leaving.clone(), retire.clone()];
    refused(&mut market, &both, &[&owner], "BondCoolingDown");
    market.send(std::slice::from_ref(&leaving), &owner, &[]).unwrap();
    let free_unix_s = market.load::<Worker>(&worker).bond_free_unix_s;
    assert_eq!(free_unix_s, market.now_unix_s() + 86_400);
    // To the hour; with the job live; with the fees in it: one reason after the other.
    market.go_to(free_unix_s - 1);
    denied(&mut market, &retire, &owner, "BondCoolingDown");
    market.warp(0, 1);
    denied(&mut market, &retire, &owner, "HasJobs");
    market.claim(&job, PAID, false).unwrap();
    denied(&mut market, &retire, &owner, "HasJobs");
    let let_go = instruction::claim(&job.claim(None, true));
    market.send(&[let_go], &operator, &[]).unwrap();
    denied(&mut market, &retire, &owner, "UnsweptFees");
    let stolen = with_account(&retire, 0, stranger.pubkey());
    denied(&mut market, &stolen, &stranger, "NotWorkerOwner");
    by_stranger(&mut market, instruction::sweep_fees(&worker)).unwrap();
    market.send(&[retire], &owner, &[]).unwrap();
    let treasury: Treasury = market.load(&address::treasury());
    assert_eq!((treasury.platform, treasury.stakers), (1_200, 1_200));
    market.check_conservation();
}

#[test]
fn no_word_shortens_the_cooldown() {
    let mut market = Market::new();
    let cooldown =
        |cooldown_s| UpdateConfigArgs { bond_cooldown_s: Some(cooldown_s), ..Default::default() };
    update_config(&mut market, cooldown(86_400));
    let (owner, worker) = (market.owner.insecure_clone(), market.worker());
    let retire = instruction::retire_worker(&owner.pubkey());
    set_worker(&mut market, &owner, WorkerStatus::Retiring);
    let free_unix_s = market.load::<Worker>(&worker).bond_free_unix_s;
    // Said again, it changes nothing; nor does the market's admin, in either direction.
    market.warp(1, 3_600);
    for cooldown_s in [0, 2_592_000] {
        update_config(&mut market, cooldown(cooldown_s));
        set_worker(&mut market, &owner, WorkerStatus::Retiring);
        assert_eq!(market.load::<Worker>(&worker).bond_free_unix_s, free_unix_s);
        denied(&mut market, &retire, &owner, "BondCoolingDown");
    }
    let admin = market.admin.insecure_clone();
    let for_ever = instruction::update_config(&admin.pubkey(), cooldown(2_592_001));
    denied(&mut market, &for_ever, &admin, "BadLimits");
    // Who works on meanwhile begins anew.
    set_worker(&mut market, &owner, WorkerStatus::Active);
    denied(&mut market, &retire, &owner, "WorkerActive");
    set_worker(&mut market, &owner, WorkerStatus::Retiring);
    let later_unix_s = market.now_unix_s() + 2_592_000;
    assert_eq!(market.load::<Worker>(&worker).bond_free_unix_s, later_unix_s);
    market.go_to(later_unix_s);
    market.send(&[retire], &owner, &[]).unwrap();
}

#[test]
fn a_leaving_worker_locks_nothing_more() {
    let mut market = Market::new();
    let (job, owner) = (market.open_job(), market.owner.insecure_clone());
    let operator = market.operator.insecure_clone();
    set_worker(&mut market, &owner, WorkerStatus::Retiring);
    let lock = market.lock_instruction(&job);
    denied(&mut market, &lock, &operator, "WorkerRetiring");
    set_worker(&mut market, &owner, WorkerStatus::Active);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn the_operator_can_not_take_the_bond_or_turn_the_payout() {
    let mut market = Market::new();
    market.paid_job();
    let [owner, operator] = [&market.owner, &market.operator].map(Keypair::insecure_clone);
    let (key, thief) = (owner.pubkey(), operator.pubkey());
    let worker = market.worker();
    let retire = with_account(&instruction::retire_worker(&key), 0, thief);
    let earnings = with_account(&instruction::withdraw_earnings(&key), 1, thief);
    let rotate = UpdateWorkerArgs { operator: Some(thief), ..Default::default() };
    let mut rotate = instruction::update_worker(&thief, rotate);
    rotate.accounts[2].pubkey = worker;
    for (stolen, refusal) in
        [(retire, "NotWorkerOwner"), (rotate, "NotWorkerOwner"), (earnings, "WrongDestination")]
    {
        denied(&mut market, &stolen, &operator, refusal);
    }
    market.send(&[instruction::withdraw_earnings(&key)], &operator, &[]).unwrap();
    assert_eq!(market.load::<Worker>(&worker).earnings, 0);
}
