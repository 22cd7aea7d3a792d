//! The life of a job, with every lamport accounted for.

mod common;

use chainference_chain::accounts::{
    Config, FeePart, Job, JobStatus, UpdateConfigArgs, UpdateOfferArgs, UpdateWorkerArgs, Vault,
    Worker, WorkerStatus,
};
use chainference_chain::{Keypair, Lamports, Signer, address, instruction};
use chainference_market::Reputation;
use common::*;

#[test]
fn a_job_from_publish_to_close_moves_its_cost_and_nothing_else() {
    let mut market = Market::new();
    let (vault, worker) = (market.vault(), market.worker());
    let (vault_before, worker_before) = (market.balance(&vault), market.balance(&worker));
    let gateway_before = market.balance(&market.gateway.pubkey());

    let job = market.locked_job();
    assert_eq!(market.load::<Job>(&job.address).status(), JobStatus::Locked);
    assert_eq!(market.load::<Vault>(&vault).reserved, STAKE);
    assert_eq!(market.load::<Worker>(&worker).live_jobs, 1);
    assert_eq!(market.balance(&vault), vault_before, "a stake is reserved, not moved");
    market.check_conservation();

    market.claim(&job, totals(10_000, 0), false).unwrap(); // 6,000 lamports
    market.claim(&job, totals(10_000, 10_001), true).unwrap(); // 18,001.2 → 18,002 in all
    let cost = 18_002;
    let (worker_part, platform_part) = (5_400 + 10_801, 600 + 1_201); // each claim rounds for the platform
    assert_eq!(worker_part + platform_part, cost);

    let settled: Job = market.load(&job.address);
    assert_eq!((settled.status(), settled.credited), (JobStatus::Settled, cost));
    let record: Worker = market.load(&worker);
    assert_eq!(
        (record.earnings, record.fees_platform, record.fees_stakers),
        (worker_part, platform_part, 0)
    );
    assert_eq!(
        (record.live_jobs, record.reputation.jobs_completed, record.reputation.fees_completed),
        (0, 1, platform_part)
    );
    assert_eq!(market.load::<Vault>(&vault).reserved, 0, "the rest of the stake is free");
    assert_eq!(market.balance(&vault), vault_before - cost);
    assert_eq!(market.balance(&worker), worker_before + cost);
    market.check_conservation();

    market.warp(1_501, 600);
    let gateway = market.gateway.insecure_clone();
    let close = market.close_instruction(&job, &gateway.pubkey(), OK);
    market.send(&[close], &gateway, &[]).unwrap();
    assert!(!market.exists(&job.address));
    let fees = 3 * FEE_PER_SIGNATURE; // publish+lock carries two signatures, close one; the worker pays its claims
    assert_eq!(market.balance(&gateway.pubkey()), gateway_before - fees, "the job's rent is back");
    market.check_conservation();
}

#[test]
fn a_whole_market_closes_without_a_lamport_left_over() {
    let mut market = Market::new();
    let [wallet, owner, gateway] =
        [&market.wallet, &market.owner, &market.gateway].map(Keypair::insecure_clone);
    let job = market.locked_job();
    market.claim(&job, totals(1, 1), true).unwrap();
    market.warp(1_501, 600);
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::NONE);
    market.send(&[close], &gateway, &[]).unwrap();

    let config: Config = market.load(&address::config());
    let (key, worker, offer) = (owner.pubkey(), market.worker(), market.offer());
    let earned = 1_800;
    let before = market.balance(&key);
    market.send(&[instruction::withdraw_earnings(&key)], &gateway, &[]).unwrap();
    assert_eq!(market.balance(&key), before + earned, "anyone may send it, the owner gets it");
    let fees =
        [instruction::sweep_fees(&worker), instruction::withdraw_fees(FeePart::Platform, &config)];
    market.send(&fees, &gateway, &[]).unwrap();
    assert_eq!(market.balance(&market.platform), SOL + 200);
    let treasury = address::treasury();
    assert_eq!(market.balance(&treasury), market.rent(&treasury), "nothing waits in the treasury");

    let retiring = UpdateWorkerArgs { status: Some(WorkerStatus::Retiring), ..Default::default() };
    market.send(&[instruction::update_worker(&key, retiring)], &owner, &[]).unwrap();
    market.warp(1, i64::from(BOND_COOLDOWN_S));
    let leave = [instruction::retire_worker(&key), instruction::retract_offer(&key, &offer, &key)];
    market.send(&leave, &owner, &[]).unwrap();
    market.send(&[instruction::close_vault(&wallet.pubkey())], &wallet, &[]).unwrap();
    for gone in [worker, offer, market.vault()] {
        assert!(!market.exists(&gone));
    }
    market.check_conservation();
    let owner_fees = 3 * FEE_PER_SIGNATURE;
    assert_eq!(market.balance(&key), 10 * SOL - owner_fees + earned, "bond and rents are back");
}

#[test]
fn a_dead_worker_costs_the_client_nothing() {
    let mut market = Market::new();
    let job = market.locked_job();
    let gateway = market.gateway.insecure_clone();
    let vault_before = market.balance(&market.vault());
    let terms = &job.terms;
    let finish = instruction::finish(&terms.authority, &terms.vault, &job.address);
    market.send(&[finish], &gateway, &[]).unwrap();
    let finished: Job = market.load(&job.address);
    assert_eq!(finished.claim_until_unix_s, market.clock().unix_timestamp + i64::from(GRACE_S));

    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    market.warp(1, i64::from(GRACE_S) - 1);
    assert_eq!(
        market.send(std::slice::from_ref(&expire), &gateway, &[]),
        Err("TooEarlyToExpire".into())
    );
    market.warp(1, 1);
    let stranger = market.admin.insecure_clone();
    market.send(&[expire], &stranger, &[]).unwrap();

    assert_eq!(market.balance(&market.vault()), vault_before);
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
    let worker: Worker = market.load(&market.worker());
    assert_eq!(
        (worker.live_jobs, worker.reputation.jobs_completed, worker.earnings),
        (0, 0, 0),
        "nothing paid moves nothing"
    );
    market.check_conservation();
}

#[test]
fn an_expired_job_keeps_what_was_claimed_before() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(10_000, 0), false).unwrap();
    market.warp(1, SERVE_S + i64::from(GRACE_S));
    let expire = instruction::expire(&job.terms.vault, &job.address, Some(job.terms.worker));
    let anyone = market.admin.insecure_clone();
    market.send(&[expire], &anyone, &[]).unwrap();
    let worker: Worker = market.load(&market.worker());
    assert_eq!((worker.earnings, worker.fees_platform), (5_400, 600));
    assert_eq!(worker.reputation.jobs_completed, 1);
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
    market.check_conservation();
}

#[test]
fn a_worker_lets_go_with_a_final_claim_of_nothing() {
    let mut market = Market::new();
    let job = market.locked_job();
    let operator = market.operator.insecure_clone();
    market.send(&[instruction::claim(&job.claim(None, true))], &operator, &[]).unwrap();
    let settled: Job = market.load(&job.address);
    assert_eq!((settled.status(), settled.credited), (JobStatus::Settled, 0));
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);
    market.check_conservation();
}

#[test]
fn a_cancelled_job_keeps_its_address_taken_until_the_slot_window_is_over() {
    let mut market = Market::new();
    let job = market.open_job();
    let gateway = market.gateway.insecure_clone();
    let terms = &job.terms;
    let cancel = instruction::cancel(&terms.authority, &terms.vault, &job.address);
    market.send(&[cancel], &gateway, &[]).unwrap();
    assert_eq!(market.load::<Vault>(&market.vault()).reserved, 0);

    let again = instruction::publish(&terms.authority, &terms.vault, publish_args(terms));
    let refused = market.send(std::slice::from_ref(&again), &gateway, &[]).unwrap_err();
    assert!(refused.contains("Custom(0)"), "the address is in use: {refused}");
    let close = market.close_instruction(&job, &gateway.pubkey(), Feedback::NONE);
    market.warp(1_500, 600);
    assert_eq!(
        market.send(std::slice::from_ref(&close), &gateway, &[]),
        Err("TooEarlyToClose".into())
    );
    market.warp(1, 0);
    market.send(&[close], &gateway, &[]).unwrap();
    let mut late = job.terms.clone();
    late.serve_until_unix_s = market.clock().unix_timestamp + SERVE_S;
    let revived = instruction::publish(&late.authority, &late.vault, publish_args(&late));
    assert_eq!(market.send(&[revived], &gateway, &[]), Err("BadOpenSlot".into()));
    market.check_conservation();
}

#[test]
fn anyone_returns_the_rent_to_who_paid_it_after_an_hour() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(1, 1), true).unwrap();
    let stranger = market.admin.insecure_clone();
    let close = market.close_instruction(&job, &stranger.pubkey(), Feedback::NONE);
    market.warp(9_000, 3_599);
    assert_eq!(
        market.send(std::slice::from_ref(&close), &stranger, &[]),
        Err("TooEarlyToClose".into())
    );
    market.warp(1, 1);
    let (rent, before) = (market.balance(&job.address), market.balance(&job.terms.authority));
    market.send(&[close], &stranger, &[]).unwrap();
    assert_eq!(market.balance(&job.terms.authority), before + rent);
    assert_eq!(market.load::<Vault>(&market.vault()).unclosed_jobs, 0);
}

#[test]
fn later_prices_and_shares_do_not_touch_a_locked_job() {
    let mut market = Market::new();
    let job = market.locked_job();
    let owner = market.owner.insecure_clone();
    let dearer = UpdateOfferArgs {
        price_in_per_mtok: Some(PRICE_IN * 100),
        charge_min: Some(STAKE),
        ..Default::default()
    };
    let update =
        instruction::update_offer(&owner.pubkey(), &market.worker(), &market.offer(), dearer);
    market.send(&[update], &owner, &[]).unwrap();
    market.configure(UpdateConfigArgs { preset: Some(Preset::Far), ..Default::default() });
    market.claim(&job, PAID, true).unwrap();
    let worker: Worker = market.load(&market.worker());
    assert_eq!((worker.earnings, worker.fees_platform, worker.fees_stakers), (5_400, 600, 0));
}

#[test]
fn a_plain_transfer_to_a_vault_is_a_deposit() {
    let mut market = Market::new();
    let wallet = market.wallet.insecure_clone();
    let vault = market.vault();
    market.mint(&vault, SOL);
    let all = instruction::withdraw(&wallet.pubkey(), Lamports(DEPOSIT + SOL));
    market.send(&[all], &wallet, &[]).unwrap();
    assert_eq!(market.balance(&vault), market.rent(&vault), "the rent stays");
    market.check_conservation();
}

#[test]
fn a_flag_weighs_what_the_platform_earned_on_the_job() {
    let mut market = Market::new();
    let job = market.locked_job();
    market.claim(&job, totals(10_000, 0), true).unwrap();
    market.warp(1_501, 0);
    let gateway = market.gateway.insecure_clone();
    let close = market.close_instruction(&job, &gateway.pubkey(), FLAG);
    market.send(&[close], &gateway, &[]).unwrap();
    let reputation: Reputation = market.load::<Worker>(&market.worker()).reputation.into();
    assert_eq!((reputation.fees_completed, reputation.fees_flagged), (600, 600));
    assert_eq!((reputation.jobs_completed, reputation.jobs_flagged), (1, 1));
    assert_eq!(reputation.success_bps(REPUTATION_PRIOR), 7_692); // (2,000 + 600 − 600) / 2,600
}

#[test]
fn both_kinds_of_fees_may_go_to_one_account() {
    let mut market = Market::with_preset(Preset::Far);
    let stranger = market.stranger.insecure_clone();
    let payout = Some(market.platform);
    market.configure(UpdateConfigArgs { stakers_payout: payout, ..Default::default() });
    let job = market.locked_job();
    market.claim(&job, totals(1, 1), true).unwrap();
    let config: Config = market.load(&address::config());
    let fees = [
        instruction::sweep_fees(&market.worker()),
        instruction::withdraw_fees(FeePart::Platform, &config),
        instruction::withdraw_fees(FeePart::Stakers, &config),
    ];
    market.send(&fees, &stranger, &[]).unwrap();
    assert_eq!(market.balance(&market.platform), SOL + 400 + 400);
    market.check_conservation();
}

#[test]
fn a_session_goes_on_with_more_stake() {
    let mut market = Market::new();
    let job = market.locked_job();
    let [gateway, wallet] = [&market.gateway, &market.wallet].map(Keypair::insecure_clone);
    let all = totals(1_000_000, 400_000); // 600,000 + 480,000
    assert_eq!(market.claim(&job, all, false), Err("BeyondStake".into()));
    for client in [&gateway, &wallet] {
        let vault = &job.terms.vault;
        let more = instruction::top_up(&client.pubkey(), vault, &job.address, Lamports(40_000));
        market.send(&[more], client, &[]).unwrap();
    }
    assert_eq!(market.load_job(&job).stake, STAKE + 80_000);
    market.check_books();
    market.claim(&job, all, true).unwrap();
    assert_eq!(market.load_job(&job).credited, STAKE + 80_000);
    market.check_books();
    market.check_conservation();
}
