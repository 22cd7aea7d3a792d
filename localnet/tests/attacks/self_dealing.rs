//! Attack: a worker buys from itself to look good, or has its rivals flagged for nothing.
//! Gain: jobs that ask for a reputation; in the far preset, up to a tenth more of every job.
//! Stopped by: no key of a worker may be a key of the client; and with other keys, which nobody can tell apart, each
//! fake costs what it weighs: the platform's fee, which is the weight, is gone, and the stakers' and the chain's with
//! it.

use chainference_chain::accounts::*;
use chainference_chain::{Keypair, Signer, instruction};

use crate::common::*;
use crate::support::*;

#[test]
fn no_key_of_the_worker_is_a_key_of_the_client() {
    let market = Market::new();
    let [wallet, gateway, owner, operator] =
        [&market.wallet, &market.gateway, &market.owner, &market.operator]
            .map(Keypair::insecure_clone);
    // (the client's delegate, who publishes, the worker's operator): one key stands on both sides.
    let both_sides = [
        (&gateway, &gateway, &gateway),
        (&gateway, &wallet, &wallet),
        (&gateway, &gateway, &wallet),
        (&gateway, &wallet, &gateway),
        (&owner, &wallet, &operator),
        (&owner, &owner, &operator),
        (&operator, &wallet, &operator),
        (&operator, &operator, &operator),
    ];
    for (delegate, publisher, acting) in both_sides {
        let mut market = market.fork();
        set_keys(&mut market, delegate, acting);
        let job = published_by(&mut market, publisher);
        let lock = with_account(&market.lock_instruction(&job), 0, acting.pubkey());
        denied(&mut market, &lock, acting, "WorkerIsClient");
    }
    let mut market = market.fork();
    let job = published_by(&mut market, &gateway);
    let lock = market.lock_instruction(&job);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn a_delegate_that_published_and_was_dismissed_is_still_the_client() {
    let mut market = Market::new();
    let [wallet, gateway, operator] =
        [&market.wallet, &market.gateway, &market.operator].map(Keypair::insecure_clone);
    let job = published_by(&mut market, &gateway);
    set_keys(&mut market, &wallet, &gateway); // nobody's delegate now, and the worker's operator
    let lock = market.lock_instruction(&job);
    let own = with_account(&lock, 0, gateway.pubkey());
    denied(&mut market, &own, &gateway, "WorkerIsClient");
    set_keys(&mut market, &wallet, &operator);
    market.send(&[lock], &operator, &[]).unwrap();
}

#[test]
fn a_paid_fake_costs_its_weight_and_more() {
    for preset in [Preset::Open, Preset::Far] {
        let mut market = Market::with_preset(preset);
        // The second client and the second worker are one person.
        let (client, provider) = (market.second_client(), market.second_provider());
        let before = wealth(&market);
        let fees_before = market.fees;
        for _ in 0..10 {
            let job = market.locked_job_between(&client, &provider);
            market.claim(&job, totals(1_000_000, 0), true).unwrap(); // 600,000 lamports
        }
        market.warp(CLOSE_SLOTS, 0);
        close_all(&mut market, &client);
        let record: Worker = market.load(&provider.worker());
        let reputation = record.reputation;
        let chain_fees = market.fees - fees_before;
        let lost = before - wealth(&market) - chain_fees;
        println!(
            "{preset:?}: ten fakes of 600,000 lamports: {} of weight for {lost} lamports of market fees and \
             {chain_fees} of the chain's",
            reputation.fees_completed
        );
        // The weight is the platform's fee to the lamport; in the far preset the stakers' is lost beside it.
        assert_eq!(reputation.fees_completed, record.fees_platform);
        assert_eq!(lost, record.fees_platform + record.fees_stakers);
        assert_eq!(record.fees_stakers > 0, preset == Preset::Far);
        assert_eq!((reputation.jobs_completed, chain_fees), (10, 40 * FEE_PER_SIGNATURE));
    }
}

#[test]
fn praise_and_blame_weigh_no_more_than_was_paid() {
    let mut market = Market::new();
    let (client, provider) = (market.client(), market.provider());
    // A rival's nine cheapest jobs, all flagged, against one honest job of 600,000 lamports.
    let honest = market.locked_job_between(&market.second_client(), &provider);
    market.claim(&honest, totals(1_000_000, 0), true).unwrap();
    let mut jobs = Vec::new();
    for _ in 0..9 {
        let job = market.locked_job_between(&client, &provider);
        market.claim(&job, totals(1, 0), true).unwrap();
        jobs.push(job);
    }
    market.warp(CLOSE_SLOTS, 0);
    for job in &jobs {
        let flag = market.close_instruction(job, &client.gateway.pubkey(), FLAG);
        market.send(&[flag], &client.gateway, &[]).unwrap();
    }
    let reputation = market.load::<Worker>(&market.worker()).reputation;
    assert_eq!((reputation.fees_flagged, reputation.fees_completed), (9 * 200, 60_000 + 9 * 200));
    assert_eq!((reputation.jobs_flagged, reputation.jobs_completed), (9, 10));
    let rules: chainference_market::Reputation = reputation.into();
    let success_bps = rules.success_bps(config(&market).reputation_prior);
    println!("nine of ten jobs flagged, 2.9 % of the fees: success {success_bps} of 10,000");
    assert!(success_bps > 9_700);
}

/// Sets the first client's delegate and the first worker's operator.
fn set_keys(market: &mut Market, delegate: &Keypair, operator: &Keypair) {
    let [wallet, owner] = [&market.wallet, &market.owner].map(Keypair::insecure_clone);
    let delegate = delegation(Some(delegate.pubkey()));
    let delegate = instruction::set_delegate(&wallet.pubkey(), delegate);
    market.send(&[delegate], &wallet, &[]).unwrap();
    let operator = UpdateWorkerArgs { operator: Some(operator.pubkey()), ..Default::default() };
    market.send(&[instruction::update_worker(&owner.pubkey(), operator)], &owner, &[]).unwrap();
}

fn published_by(market: &mut Market, publisher: &Keypair) -> TestJob {
    let (mut terms, session) = market.terms();
    terms.authority = publisher.pubkey();
    let publish = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
    market.send(&[publish], publisher, &[]).unwrap();
    TestJob { address: terms.job(), session, terms }
}

/// All that the second client and the second worker own together; unswept fees are not theirs.
fn wealth(market: &Market) -> u64 {
    let (client, provider) = (market.second_client(), market.second_provider());
    let record: Worker = market.load(&provider.worker());
    let keys = [&client.wallet, &client.gateway, &provider.owner, &provider.operator];
    let wallets: u64 = keys.iter().map(|key| market.balance(&key.pubkey())).sum();
    let accounts = market.balance(&client.vault()) + market.balance(&provider.worker());
    wallets + accounts - record.fees_platform - record.fees_stakers
}

/// Closes every job of a client's that lies on chain.
fn close_all(market: &mut Market, client: &Client) {
    let program = chainference_chain::PROGRAM_ID.to_bytes().into();
    for (key, account) in market.svm.get_program_accounts(&program) {
        let Some(job) = Job::read(&account.data) else { continue };
        let close = instruction::close(&instruction::CloseRequest {
            closer: client.gateway.pubkey(),
            vault: job.vault,
            job: key.to_bytes().into(),
            authority: job.authority,
            feedback: None,
        });
        market.send(&[close], &client.gateway, &[]).unwrap();
    }
}
