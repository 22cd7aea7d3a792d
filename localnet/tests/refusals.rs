//! What the program refuses: every refusal that guards money, by its name on chain.

mod common;

use chainference_chain::accounts::{
    Feedback, Filters, Job, PublishArgs, SetDelegateArgs, SharesBps, UpdateConfigArgs,
    UpdateOfferArgs, UpdateWorkerArgs, Vault, Worker, WorkerStatus,
};
use chainference_chain::{
    Instruction, JobTerms, Keypair, Lamports, Pubkey, Signer, address, instruction,
};
use common::*;

/// Sends as `payer` and expects a refusal that moved nothing but the fee.
#[track_caller]
fn check(
    market: &mut Market,
    instructions: &[Instruction],
    payer: &Keypair,
    others: &[&Keypair],
    refusal: &str,
) {
    let accounts = [market.vault(), market.worker(), market.owner.pubkey(), market.wallet.pubkey()];
    let before = accounts.map(|key| market.balance(&key));
    let (payer_before, fees_before) = (market.balance(&payer.pubkey()), market.fees);
    assert_eq!(market.send(instructions, payer, others), Err(refusal.to_string()));
    let fee = market.fees - fees_before;
    for (key, before) in accounts.iter().zip(before) {
        let fee = if *key == payer.pubkey() { fee } else { 0 };
        assert_eq!(market.balance(key) + fee, before, "a refusal moves nothing");
    }
    assert_eq!(market.balance(&payer.pubkey()) + fee, payer_before);
}

fn publish(market: &mut Market, change: impl FnOnce(&mut PublishArgs)) -> Instruction {
    let (terms, _) = market.terms();
    let mut args = publish_args(&terms);
    change(&mut args);
    instruction::publish(&terms.authority, &terms.vault, args)
}

#[test]
fn publish_refuses_what_the_vault_or_its_owner_did_not_allow() {
    let mut market = Market::new();
    let gateway = market.gateway.insecure_clone();
    let stranger = market.admin.insecure_clone();
    let clock = market.clock();
    type Change = Box<dyn FnOnce(&mut PublishArgs)>;
    let cases: Vec<(&str, Change)> = vec![
        ("StakeTooSmall", Box::new(|args| args.stake = 0)),
        ("OverDelegateLimit", Box::new(|args| args.stake = 10 * STAKE + 1)),
        ("OverDelegateLimit", Box::new(|args| args.stake = u64::MAX / 2)),
        ("Overflow", Box::new(|args| args.stake = u64::MAX)),
        ("BadServeUntil", Box::new(move |args| args.serve_until_unix_s = clock.unix_timestamp)),
        ("BadServeUntil", Box::new(|args| args.serve_until_unix_s = i64::MAX)),
        ("BadOpenSlot", Box::new(|args| args.open_slot += 1)),
        ("BadOpenSlot", Box::new(|args| args.open_slot -= 1_501)),
        ("TooManyAllowed", Box::new(|args| args.allowed = vec![Pubkey::new_unique(); 9])),
    ];
    // One stake is reserved already: the limit counts what is reserved and what is new.
    market.locked_job();
    for (refusal, change) in cases {
        let publish = publish(&mut market, |args| {
            change(args);
            if refusal == "Overflow" {
                args.stake = u64::MAX;
            }
        });
        check(&mut market, &[publish], &gateway, &[], refusal);
    }
    let (terms, _) = market.terms();
    let foreign = instruction::publish(&stranger.pubkey(), &terms.vault, publish_args(&terms));
    check(&mut market, &[foreign], &stranger, &[], "NotClient");
}

#[test]
fn a_delegate_reaches_its_limit_and_the_owner_does_not() {
    let mut market = Market::new();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let job = market.locked_job();
    market.claim(&job, totals(1_000_000, 300_000), true).unwrap(); // 960,000 settled in this period
    let at_limit = 10 * STAKE - 960_000;
    let over = publish(&mut market, |args| args.stake = at_limit + 1);
    check(&mut market, &[over], &gateway, &[], "OverDelegateLimit");
    let exact = publish(&mut market, |args| args.stake = at_limit);
    market.send(&[exact], &gateway, &[]).unwrap();
    let more = publish(&mut market, |_| {});
    check(&mut market, std::slice::from_ref(&more), &gateway, &[], "OverDelegateLimit");

    let (mut terms, _) = market.terms();
    terms.authority = wallet.pubkey();
    let by_owner = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
    market.send(&[by_owner], &wallet, &[]).unwrap();

    let delegate = SetDelegateArgs { delegate: None, limit: 0, period_s: 0 };
    market.send(&[instruction::set_delegate(&wallet.pubkey(), delegate)], &wallet, &[]).unwrap();
    check(&mut market, &[more], &gateway, &[], "NotClient");
}

#[test]
fn a_stake_beyond_the_free_balance_is_refused() {
    let mut market = Market::new();
    let wallet = market.wallet.insecure_clone();
    let stake = |market: &mut Market, stake: u64| {
        let (mut terms, _) = market.terms();
        (terms.authority, terms.stake) = (market.wallet.pubkey(), stake);
        instruction::publish(&terms.authority, &terms.vault, publish_args(&terms))
    };
    let all = stake(&mut market, DEPOSIT);
    let too_much = stake(&mut market, DEPOSIT + 1);
    check(&mut market, &[too_much], &wallet, &[], "InsufficientBalance");
    market.send(&[all], &wallet, &[]).unwrap();
    let one = stake(&mut market, 1);
    check(&mut market, &[one], &wallet, &[], "InsufficientBalance");
}

#[test]
fn reserved_money_can_not_be_withdrawn() {
    let mut market = Market::new();
    market.locked_job();
    let [wallet, gateway] = [&market.wallet, &market.gateway].map(Keypair::insecure_clone);
    let key = wallet.pubkey();
    let too_much = instruction::withdraw(&key, Lamports(DEPOSIT - STAKE + 1));
    check(&mut market, &[too_much], &wallet, &[], "InsufficientBalance");
    let mut stolen = instruction::withdraw(&key, Lamports(1));
    stolen.accounts[0].pubkey = gateway.pubkey();
    check(&mut market, &[stolen], &gateway, &[], "NotVaultOwner");
    check(&mut market, &[instruction::close_vault(&key)], &wallet, &[], "HasJobs");
    market.send(&[instruction::withdraw(&key, Lamports(DEPOSIT - STAKE))], &wallet, &[]).unwrap();
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, STAKE);
}

#[test]
fn lock_refuses_whom_the_job_does_not_admit() {
    let mut market = Market::new();
    let [gateway, operator, owner, stranger] =
        [&market.gateway, &market.operator, &market.owner, &market.admin]
            .map(Keypair::insecure_clone);
    let publish_to = |market: &mut Market, change: &dyn Fn(&mut PublishArgs)| {
        let (terms, session) = market.terms();
        let mut args = publish_args(&terms);
        change(&mut args);
        let publish = instruction::publish(&terms.authority, &terms.vault, args);
        market.send(&[publish], &gateway, &[]).unwrap();
        TestJob { address: terms.job(), session, terms }
    };
    type Change = Box<dyn Fn(&mut PublishArgs)>;
    let cases: Vec<(&str, Change)> = vec![
        ("WorkerNotAllowed", Box::new(|args| args.allowed = vec![Pubkey::new_unique(); 2])),
        ("WorkerNotAllowed", Box::new(|args| args.filters.fees_completed_min = 1)),
        ("WorkerNotAllowed", Box::new(|args| args.filters.success_bps_min = 10_001)),
        ("WrongOffer", Box::new(|args| args.model_hash = [3; 32])),
        ("PriceTooHigh", Box::new(|args| args.max_price_in_per_mtok -= 1)),
        ("PriceTooHigh", Box::new(|args| args.max_price_out_per_mtok -= 1)),
        ("StakeTooSmall", Box::new(|args| args.stake = CHARGE_MIN - 1)),
    ];
    for (refusal, change) in cases {
        let job = publish_to(&mut market, &*change);
        let lock = market.lock_instruction(&job);
        check(&mut market, &[lock], &operator, &[], refusal);
    }
    let admitted = publish_to(&mut market, &|args| {
        args.filters = Filters { success_bps_min: 10_000, fees_completed_min: 0 };
    });
    let mut foreign = market.lock_instruction(&admitted);
    foreign.accounts[0].pubkey = stranger.pubkey();
    check(&mut market, &[foreign], &stranger, &[], "NotOperator");
    let lock = market.lock_instruction(&admitted);
    market.send(std::slice::from_ref(&lock), &operator, &[]).unwrap();
    check(&mut market, &[lock], &operator, &[], "WrongStatus");

    let late = publish_to(&mut market, &|_| {});
    let resting = UpdateOfferArgs { active: Some(false), ..Default::default() };
    let set = instruction::update_offer(&owner.pubkey(), &market.offer(), resting);
    market.send(&[set], &owner, &[]).unwrap();
    let lock = market.lock_instruction(&late);
    check(&mut market, std::slice::from_ref(&lock), &operator, &[], "WrongOffer");
    let back = UpdateOfferArgs { active: Some(true), ..Default::default() };
    let set = instruction::update_offer(&owner.pubkey(), &market.offer(), back);
    market.send(&[set], &owner, &[]).unwrap();
    market.warp(1, SERVE_S);
    check(&mut market, &[lock], &operator, &[], "TooLateToLock");
}

#[test]
fn nobody_is_the_worker_of_his_own_job() {
    let mut market = Market::new();
    let [wallet, gateway, owner] =
        [&market.wallet, &market.gateway, &market.owner].map(Keypair::insecure_clone);
    let operators = [gateway.pubkey(), wallet.pubkey()];
    for operator in operators {
        let job = market.open_job();
        let update = UpdateWorkerArgs { operator: Some(operator), ..Default::default() };
        market.send(&[instruction::update_worker(&owner.pubkey(), update)], &owner, &[]).unwrap();
        let mut lock = market.lock_instruction(&job);
        lock.accounts[0].pubkey = operator;
        let signer = if operator == gateway.pubkey() { &gateway } else { &wallet };
        check(&mut market, &[lock], signer, &[], "WorkerIsClient");
    }
}

#[test]
fn a_retiring_worker_takes_no_job_and_a_busy_one_does_not_leave() {
    let mut market = Market::new();
    let [owner, operator, gateway] =
        [&market.owner, &market.operator, &market.gateway].map(Keypair::insecure_clone);
    let busy = market.locked_job();
    let retire = instruction::retire_worker(&owner.pubkey());
    check(&mut market, std::slice::from_ref(&retire), &owner, &[], "HasJobs");
    let open = market.open_job();
    let retiring = UpdateWorkerArgs { status: Some(WorkerStatus::Retiring), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), retiring)], &owner, &[]).unwrap();
    let lock = market.lock_instruction(&open);
    check(&mut market, &[lock], &operator, &[], "WorkerRetiring");
    market.claim(&busy, totals(1, 1), true).unwrap();
    check(&mut market, &[retire], &owner, &[], "UnsweptFees");
    let mut stolen = instruction::retire_worker(&owner.pubkey());
    stolen.accounts[0].pubkey = gateway.pubkey();
    check(&mut market, &[stolen], &gateway, &[], "NotWorkerOwner");
}

#[test]
fn each_step_is_refused_in_the_wrong_status_or_by_the_wrong_key() {
    let mut market = Market::new();
    let [gateway, stranger] = [&market.gateway, &market.admin].map(Keypair::insecure_clone);
    let (open, locked, settled) = (market.open_job(), market.locked_job(), market.locked_job());
    market.claim(&settled, totals(1, 1), true).unwrap();
    let step = |step: fn(&Pubkey, &Pubkey, &Pubkey) -> Instruction,
                terms: &JobTerms,
                by: &Keypair| { step(&by.pubkey(), &terms.vault, &terms.job()) };
    let expire =
        |job: &TestJob| instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    let cases = [
        ("WrongStatus", step(instruction::cancel, &locked.terms, &gateway), &gateway),
        ("WrongStatus", step(instruction::cancel, &settled.terms, &gateway), &gateway),
        ("WrongStatus", step(instruction::finish, &open.terms, &gateway), &gateway),
        ("WrongStatus", step(instruction::finish, &settled.terms, &gateway), &gateway),
        ("NotClient", step(instruction::cancel, &open.terms, &stranger), &stranger),
        ("NotClient", step(instruction::finish, &locked.terms, &stranger), &stranger),
        ("TooEarlyToExpire", expire(&locked), &stranger),
        ("WrongStatus", expire(&settled), &stranger),
        (
            "WrongStatus",
            market.close_instruction(&open, &gateway.pubkey(), Feedback::None),
            &gateway,
        ),
        (
            "WrongStatus",
            market.close_instruction(&locked, &gateway.pubkey(), Feedback::None),
            &gateway,
        ),
        (
            "TooEarlyToClose",
            market.close_instruction(&settled, &gateway.pubkey(), Feedback::None),
            &gateway,
        ),
    ];
    for (refusal, instruction, payer) in cases {
        check(&mut market, &[instruction], payer, &[], refusal);
    }
    let without_worker = instruction::expire(&locked.terms.vault, &locked.address, None);
    market.warp(1, SERVE_S + i64::from(GRACE_S));
    check(&mut market, &[without_worker], &stranger, &[], "WrongWorker");
    assert_eq!(market.load::<Worker>(&market.worker()).live_jobs, 1);
}

#[test]
fn feedback_is_the_clients_and_only_for_what_it_paid() {
    let mut market = Market::new();
    let [gateway, stranger, operator] =
        [&market.gateway, &market.admin, &market.operator].map(Keypair::insecure_clone);
    let (paid, unpaid) = (market.locked_job(), market.locked_job());
    market.claim(&paid, totals(1, 1), true).unwrap();
    market.send(&instruction::claim(&unpaid.claim(None, true)), &operator, &[]).unwrap();
    market.warp(1_501, 3_600);
    let by_stranger = market.close_instruction(&paid, &stranger.pubkey(), Feedback::Flag);
    check(&mut market, &[by_stranger], &stranger, &[], "NotClient");
    let for_nothing = market.close_instruction(&unpaid, &gateway.pubkey(), Feedback::Flag);
    check(&mut market, &[for_nothing], &gateway, &[], "NothingPaid");
    let mut to_another = market.close_instruction(&paid, &gateway.pubkey(), Feedback::None);
    to_another.accounts[3].pubkey = stranger.pubkey();
    check(&mut market, &[to_another], &gateway, &[], "WrongDestination");
}

#[test]
fn only_the_upgrade_authority_makes_the_market_and_only_the_admin_changes_it() {
    let mut market = Market::empty();
    let [admin, stranger] = [&market.admin, &market.gateway].map(Keypair::insecure_clone);
    let shares = SharesBps { worker: 9_000, stakers: 0, platform: 1_000 };
    let by_stranger = instruction::initialize(&stranger.pubkey(), market.initialize_args(shares));
    check(&mut market, &[by_stranger], &stranger, &[], "NotUpgradeAuthority");
    let uneven = SharesBps { worker: 9_000, stakers: 0, platform: 999 };
    assert_eq!(market.initialize(uneven), Err("SharesDoNotSum".into()));
    market.initialize(shares).unwrap();
    let again = market.initialize(shares).unwrap_err();
    assert!(again.contains("Custom(0)"), "the account is in use: {again}");

    let pause = |key: &Pubkey| {
        let args = UpdateConfigArgs { paused: Some(true), ..Default::default() };
        instruction::update_config(key, args)
    };
    check(&mut market, &[pause(&stranger.pubkey())], &stranger, &[], "NotAdmin");
    check(
        &mut market,
        &[instruction::accept_admin(&stranger.pubkey())],
        &stranger,
        &[],
        "NotAdmin",
    );
    let offer_it =
        UpdateConfigArgs { pending_admin: Some(stranger.pubkey()), ..Default::default() };
    market.send(&[instruction::update_config(&admin.pubkey(), offer_it)], &admin, &[]).unwrap();
    market.send(&[instruction::accept_admin(&stranger.pubkey())], &stranger, &[]).unwrap();
    check(&mut market, &[pause(&admin.pubkey())], &admin, &[], "NotAdmin");
}

#[test]
fn a_paused_market_takes_nothing_new_and_pays_what_is_live() {
    let mut market = Market::new();
    let [admin, gateway, operator] =
        [&market.admin, &market.gateway, &market.operator].map(Keypair::insecure_clone);
    let (live, open) = (market.locked_job(), market.open_job());
    let args = UpdateConfigArgs { paused: Some(true), ..Default::default() };
    market.send(&[instruction::update_config(&admin.pubkey(), args)], &admin, &[]).unwrap();
    let publish = publish(&mut market, |_| {});
    check(&mut market, &[publish], &gateway, &[], "Paused");
    let lock = market.lock_instruction(&open);
    check(&mut market, &[lock], &operator, &[], "Paused");
    market.claim(&live, totals(1, 1), true).unwrap();
    assert_eq!(market.load::<Job>(&live.address).credited, CHARGE_MIN);
}

#[test]
fn a_worker_registers_with_its_bond_and_plain_texts() {
    let mut market = Market::new();
    let newcomer = market.admin.insecure_clone();
    let key = newcomer.pubkey();
    let small = instruction::register_worker(&key, market.registration(BOND - 1));
    check(&mut market, &[small], &newcomer, &[], "BondTooSmall");
    for endpoint in
        ["", "ftp://x", "http://a b", "http://\u{1b}[2J", &format!("http://{}", "x".repeat(122))]
    {
        let mut args = market.registration(BOND);
        args.endpoint = endpoint.into();
        check(&mut market, &[instruction::register_worker(&key, args)], &newcomer, &[], "BadText");
    }
    let owner = market.owner.insecure_clone();
    for model in [("", "Q4_1"), ("a model", "Q4_1"), ("m", ""), ("m", "12345678901234567")] {
        let post = instruction::post_offer(&owner.pubkey(), offer_args(model));
        check(&mut market, &[post], &owner, &[], "BadText");
    }
}

#[test]
fn payouts_go_only_where_they_belong() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(1, 1), true).unwrap();
    let thief = market.gateway.insecure_clone();
    let owner = market.owner.pubkey();
    let mut earnings = instruction::withdraw_earnings(&owner);
    earnings.accounts[1].pubkey = thief.pubkey();
    check(&mut market, &[earnings], &thief, &[], "WrongDestination");
    let mut config = market.load::<chainference_chain::accounts::Config>(&address::config());
    config.platform_payout = thief.pubkey();
    let sweep = instruction::sweep_fees(&market.worker(), &config);
    check(&mut market, &[sweep], &thief, &[], "WrongDestination");
}
