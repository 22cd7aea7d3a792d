//! What the program refuses for reasons of its own, by its name on chain. Who may do what, and when, is in `guards`.

mod common;

use chainference_chain::accounts::{
    Filters, PublishArgs, UpdateOfferArgs, UpdateWorkerArgs, Vault, WorkerStatus,
};
use chainference_chain::{Keypair, Lamports, Pubkey, Signer, instruction};
use common::*;

/// Publishes a changed job, open to any worker that it admits.
fn publish(market: &mut Market, change: &dyn Fn(&mut PublishArgs)) -> TestJob {
    let gateway = market.gateway.insecure_clone();
    let (terms, session) = market.terms();
    let mut args = publish_args(&terms);
    change(&mut args);
    let publish = instruction::publish(&terms.authority, &terms.vault, args);
    market.send(&[publish], &gateway, &[]).unwrap();
    TestJob { address: terms.job(), session, terms }
}

#[test]
fn reserved_money_can_not_be_withdrawn() {
    let mut market = Market::new();
    market.locked_job();
    let wallet = market.wallet.insecure_clone();
    let key = wallet.pubkey();
    for lamports in [DEPOSIT - STAKE + 1, u64::MAX] {
        let too_much = instruction::withdraw(&key, Lamports(lamports));
        refused(&mut market, &[too_much], &[&wallet], "InsufficientBalance");
    }
    refused(&mut market, &[instruction::close_vault(&key)], &[&wallet], "HasJobs");
    market.send(&[instruction::withdraw(&key, Lamports(DEPOSIT - STAKE))], &wallet, &[]).unwrap();
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, STAKE);
    let more = instruction::top_up(&key, &market.vault(), &market.vault(), Lamports(1));
    refused(&mut market, &[more], &[&wallet], "AccountDiscriminatorMismatch");
}

#[test]
fn a_vault_outlives_its_settled_jobs() {
    let mut market = Market::new();
    let job = market.paid_job();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let close_vault = instruction::close_vault(&wallet.pubkey());
    refused(&mut market, std::slice::from_ref(&close_vault), &[&wallet], "HasJobs");
    market.warp_past_closing();
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::NONE);
    market.send(&[close], &gateway, &[]).unwrap();
    market.send(&[close_vault], &wallet, &[]).unwrap();
}

#[test]
fn a_stake_is_topped_up_with_something_that_is_free() {
    let mut market = Market::new();
    let job = market.locked_job();
    let wallet = market.wallet.insecure_clone();
    for (lamports, refusal) in [
        (0, "StakeTooSmall"),
        (DEPOSIT - STAKE + 1, "InsufficientBalance"),
        (u64::MAX - STAKE, "InsufficientBalance"),
        (u64::MAX, "Overflow"),
    ] {
        let key = wallet.pubkey();
        let more = instruction::top_up(&key, &job.terms.vault, &job.address, Lamports(lamports));
        refused(&mut market, &[more], &[&wallet], refusal);
    }
}

#[test]
fn lock_refuses_whom_the_job_does_not_admit() {
    let mut market = Market::new();
    let operator = market.operator.insecure_clone();
    type Change = Box<dyn Fn(&mut PublishArgs)>;
    let cases: [(&str, Change); 9] = [
        ("WorkerNotAllowed", Box::new(|args| args.allowed = vec![Pubkey::new_unique(); 2])),
        ("WorkerNotAllowed", Box::new(|args| args.filters.fees_completed_min = 1)),
        ("WorkerNotAllowed", Box::new(|args| args.filters.success_bps_min = 10_001)),
        ("WorkerNotAllowed", Box::new(|args| args.filters.preference_bps_min = 5_001)),
        ("WrongOffer", Box::new(|args| args.model_hash = [3; 32])),
        ("PriceTooHigh", Box::new(|args| args.max_price_in_per_mtok -= 1)),
        ("PriceTooHigh", Box::new(|args| args.max_price_out_per_mtok -= 1)),
        ("PriceTooHigh", Box::new(|args| args.max_charge_min -= 1)),
        ("StakeTooSmall", Box::new(|args| args.stake = CHARGE_MIN - 1)),
    ];
    for (refusal, change) in cases {
        let job = publish(&mut market, &*change);
        let lock = market.lock_instruction(&job);
        refused(&mut market, &[lock], &[&operator], refusal);
    }
    // A beginner has a good name and an even one.
    let admitted = publish(&mut market, &|args| {
        args.filters =
            Filters { success_bps_min: 10_000, preference_bps_min: 5_000, fees_completed_min: 0 };
        args.stake = CHARGE_MIN;
    });
    let lock = market.lock_instruction(&admitted);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn a_resting_offer_and_a_retiring_worker_take_no_job() {
    let mut market = Market::new();
    let [owner, operator] = [&market.owner, &market.operator].map(Keypair::insecure_clone);
    let job = market.open_job();
    let lock = [market.lock_instruction(&job)];
    let (key, worker, offer) = (operator.pubkey(), market.worker(), market.offer());
    let rest = |active| {
        let args = UpdateOfferArgs { active: Some(active), ..Default::default() };
        instruction::update_offer(&key, &worker, &offer, args)
    };
    let retire = |status| {
        let args = UpdateWorkerArgs { status: Some(status), ..Default::default() };
        instruction::update_worker(&owner.pubkey(), args)
    };
    market.send(&[rest(false)], &operator, &[]).unwrap();
    refused(&mut market, &lock, &[&operator], "WrongOffer");
    market.send(&[rest(true)], &operator, &[]).unwrap();
    market.send(&[retire(WorkerStatus::Retiring)], &owner, &[]).unwrap();
    refused(&mut market, &lock, &[&operator], "WorkerRetiring");
    market.send(&[retire(WorkerStatus::Active)], &owner, &[]).unwrap();
    market.send(&lock, &operator, &[]).unwrap();
}

#[test]
fn nobody_is_the_worker_of_his_own_job() {
    let mut market = Market::new();
    let owner = market.owner.insecure_clone();
    for client in [&market.gateway, &market.wallet].map(Keypair::insecure_clone) {
        let job = market.open_job();
        let update = UpdateWorkerArgs { operator: Some(client.pubkey()), ..Default::default() };
        market.send(&[instruction::update_worker(&owner.pubkey(), update)], &owner, &[]).unwrap();
        let mut lock = market.lock_instruction(&job);
        lock.accounts[0].pubkey = client.pubkey();
        refused(&mut market, &[lock], &[&client], "WorkerIsClient");
    }
}

#[test]
fn nobody_is_the_worker_of_a_job_that_he_published_as_a_former_delegate() {
    let mut market = Market::new();
    let [wallet, gateway, owner] =
        [&market.wallet, &market.gateway, &market.owner].map(Keypair::insecure_clone);
    let job = market.open_job();
    let nobody = instruction::set_delegate(&wallet.pubkey(), delegation(None));
    market.send(&[nobody], &wallet, &[]).unwrap();
    let update = UpdateWorkerArgs { operator: Some(gateway.pubkey()), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), update)], &owner, &[]).unwrap();
    let mut lock = market.lock_instruction(&job);
    lock.accounts[0].pubkey = gateway.pubkey();
    refused(&mut market, &[lock], &[&gateway], "WorkerIsClient");
}

#[test]
fn the_market_is_made_once() {
    let mut market = Market::new();
    let again = market.initialize(Preset::Far).unwrap_err();
    assert!(again.contains("Custom(0)"), "the account is in use: {again}");
}

#[test]
fn a_worker_registers_with_its_bond_and_plain_texts() {
    let mut market = Market::new();
    let [newcomer, owner] = [&market.stranger, &market.owner].map(Keypair::insecure_clone);
    let (key, worker) = (newcomer.pubkey(), market.worker());
    let small = instruction::register_worker(&key, market.registration(BOND - 1));
    refused(&mut market, &[small], &[&newcomer], "BondTooSmall");
    let long = format!("http://{}", "x".repeat(122));
    for endpoint in ["", "ftp://x", "http://a b", "http://\u{1b}[2J", "http://é", &long] {
        let mut args = market.registration(BOND);
        args.endpoint = endpoint.into();
        let register = instruction::register_worker(&key, args);
        refused(&mut market, &[register], &[&newcomer], "BadText");
        let change = UpdateWorkerArgs { endpoint: Some(endpoint.into()), ..Default::default() };
        let update = instruction::update_worker(&owner.pubkey(), change);
        refused(&mut market, &[update], &[&owner], "BadText");
    }
    let long = "m".repeat(97);
    for model in
        [("", "Q4_1"), ("a model", "Q4_1"), ("m", ""), ("m", "12345678901234567"), (&long, "q")]
    {
        let post = instruction::post_offer(&owner.pubkey(), &worker, offer_args(model));
        refused(&mut market, &[post], &[&owner], "BadText");
    }
    for revision in ["", "a b", &"r".repeat(41)] {
        let mut args = offer_args(("another", "Q4_1"));
        args.revision = revision.into();
        let post = instruction::post_offer(&owner.pubkey(), &worker, args);
        refused(&mut market, &[post], &[&owner], "BadText");
    }
}
