//! The largest legal form of each transaction fits a packet, and runs. (`Market::sign` refuses what no packet carries,
//! which the VM itself would take.)

mod common;

use std::collections::BTreeSet;

use chainference_chain::accounts::{Filters, JobStatus, Preferred, PublishArgs, SetDelegateArgs};
use chainference_chain::instruction::{self, Compared};
use chainference_chain::{
    Instruction, Keypair, Lamports, Pubkey, SignError, SignedTransaction, Signer,
};
use common::tour::Tour;
use common::*;

/// What a packet carries.
const BYTES_MAX: usize = 1_232;

/// Lands it and says how many bytes it has.
#[track_caller]
fn check(market: &mut Market, what: &str, instructions: &[Instruction], signers: &[&Keypair]) {
    let signed = market.sign(instructions, signers[0], &signers[1..]);
    market.land(&signed).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
    println!("{what}: {} bytes, {} compute units", signed.wire.len(), market.compute_units);
    assert!(signed.wire.len() <= BYTES_MAX, "{what}: {} bytes", signed.wire.len());
}

/// The tour's requests have their longest arguments; here another key pays the fee.
#[test]
fn each_instruction_fits_a_packet_with_all_its_signers_apart() {
    let steps = Tour::new().steps();
    assert!(steps.len() > 30);
    for mut step in steps {
        let payer = numbered_key("payer", 0);
        step.market.mint(&payer.pubkey(), SOL);
        let has_signer = step.instruction.accounts.iter().any(|account| account.is_signer);
        let signers = if has_signer { vec![&payer, &step.signer] } else { vec![&payer] };
        check(&mut step.market, step.name, &[step.instruction], &signers);
    }
}

#[test]
fn publish_and_lock_with_8_workers_and_three_signers() {
    let mut market = Market::new();
    let [gateway, operator, payer] =
        [&market.gateway, &market.operator, &market.stranger].map(Keypair::insecure_clone);
    let (terms, _) = market.terms();
    let mut allowed: Vec<Pubkey> = (1..8).map(|byte| Pubkey::new_from_array([byte; 32])).collect();
    allowed.push(terms.worker);
    let filters =
        Filters { success_bps_min: 10_000, preference_bps_min: 5_000, fees_completed_min: 0 };
    let args = PublishArgs { filters, allowed, ..publish_args(&terms) };
    let publish = instruction::publish(&terms.authority, &terms.vault, args);
    let (worker, offer, vault) = (&terms.worker, &terms.offer, &terms.vault);
    let lock = instruction::lock(&terms.operator, worker, offer, vault, &terms.job());
    let signers = [&payer, &gateway, &operator];
    check(&mut market, "publish and lock", &[publish, lock], &signers);
}

#[test]
fn a_whole_client_and_a_whole_worker_in_one_transaction() {
    let mut market = Market::new();
    let payer = market.stranger.insecure_clone();
    let (client, worker) = (Client::new("new client"), Provider::new("new worker"));
    for key in [&client.wallet, &worker.owner] {
        market.mint(&key.pubkey(), SOL);
    }
    let (wallet, vault) = (client.wallet.pubkey(), client.vault());
    let open = [
        instruction::open_vault(&wallet),
        instruction::deposit(&payer.pubkey(), &vault, Lamports(SOL)),
        instruction::set_delegate(&wallet, delegation(Some(client.gateway.pubkey()))),
    ];
    check(&mut market, "open, deposit and delegate", &open, &[&payer, &client.wallet]);
    let mut registration = registration(&worker.operator.pubkey(), BOND);
    registration.endpoint = tour::long_endpoint();
    let owner = worker.owner.pubkey();
    let enter = [
        instruction::register_worker(&owner, registration),
        instruction::post_offer(&owner, &worker.worker(), tour::long_offer(&worker.worker())),
    ];
    check(&mut market, "register and offer", &enter, &[&payer, &worker.owner]);
}

#[test]
fn a_comparison_of_jobs_that_two_keys_paid_for() {
    let mut market = Market::new();
    let (client, payer) = (market.client(), market.stranger.insecure_clone());
    let mut paid = |authority: &Keypair, provider: Provider| {
        let (mut terms, session) = market.terms_between(&client, &provider);
        terms.authority = authority.pubkey();
        let publish = instruction::publish(&terms.authority, &terms.vault, publish_args(&terms));
        let job = TestJob { address: terms.job(), session, terms };
        let lock = market.lock_instruction(&job);
        market.send(&[publish, lock], authority, &[&provider.operator]).unwrap();
        market.claim(&job, PAID, true).unwrap();
        Compared { job: job.address, worker: job.terms.worker, authority: job.terms.authority }
    };
    let (first, second) = (Market::new().provider(), Market::new().second_provider());
    let jobs = [paid(&client.wallet, first), paid(&client.gateway, second)];
    market.warp_past_closing();
    let key = client.gateway.pubkey();
    let compare = instruction::compare(&key, &client.vault(), jobs, Preferred::Second);
    check(&mut market, "compare", &[compare], &[&payer, &client.gateway]);
}

/// Sends the most of these claims that one transaction carries, and says how many.
fn most(market: &mut Market, claims: &[Instruction], operator: &Keypair) -> usize {
    let blockhash = market.blockhash();
    let fits = |count: &usize| {
        let signed = SignedTransaction::sign(&claims[..*count], operator, &[], &blockhash);
        !matches!(signed, Err(SignError::TooLarge { .. }))
    };
    let most = (1..=claims.len()).rev().find(fits).expect("one claim fits");
    assert!(most < claims.len(), "more would fit");
    let what = format!("{most} claims");
    check(market, &what, &claims[..most], &[operator]);
    most
}

#[test]
fn as_many_claims_as_a_transaction_carries() {
    let mut market = Market::new();
    let operator = market.operator.insecure_clone();
    let (client, provider) = (market.client(), market.provider());
    let unlimited =
        SetDelegateArgs { limit: u64::MAX, ..delegation(Some(client.gateway.pubkey())) };
    let delegate = instruction::set_delegate(&client.wallet.pubkey(), unlimited);
    market.send(&[delegate], &client.wallet, &[]).unwrap();
    let claim = |market: &mut Market, client: &Client| {
        let job = market.locked_job_between(client, &provider);
        instruction::claim(&job.claim(Some(PAID), true))
    };
    let of_one: Vec<_> = (0..12).map(|_| claim(&mut market, &client)).collect();
    let of_many: Vec<_> = (0..12)
        .map(|number| {
            let client = Client::new(&format!("client {number}"));
            for key in [&client.wallet, &client.gateway] {
                market.mint(&key.pubkey(), 2 * SOL);
            }
            market.open_vault(&client);
            claim(&mut market, &client)
        })
        .collect();
    let counts = [most(&mut market, &of_one, &operator), most(&mut market, &of_many, &operator)];
    println!("of one client: {}, of unrelated clients: {}", counts[0], counts[1]);
    assert!(counts[0] > 5 && counts[1] > 5, "{counts:?}");
    market.check_books();
    market.check_conservation();
}

/// All accounts that the steps of a job's life write, from its publish to its close.
fn written(market: &mut Market, client: &Client, worker: &Provider) -> BTreeSet<Pubkey> {
    let (terms, session) = market.terms_between(client, worker);
    let job = TestJob { address: terms.job(), session, terms };
    let (key, vault) = (client.gateway.pubkey(), client.vault());
    let claim = |totals, is_final| instruction::claim(&job.claim(Some(totals), is_final));
    let steps = [
        (&client.gateway, instruction::publish(&key, &vault, publish_args(&job.terms))),
        (&worker.operator, market.lock_instruction(&job)),
        (&client.gateway, instruction::top_up(&key, &vault, &job.address, Lamports(1))),
        (&worker.operator, claim(PAID, false)),
        (&client.gateway, instruction::finish(&key, &vault, &job.address)),
        (&worker.operator, claim(totals(20_000, 0), true)),
        (&client.gateway, market.close_instruction(&job, &key, OK)),
    ];
    let mut written = BTreeSet::new();
    for (signer, step) in steps {
        written
            .extend(step.accounts.iter().filter(|meta| meta.is_writable).map(|meta| meta.pubkey));
        if market.exists(&job.address) && market.load_job(&job).status() == JobStatus::Settled {
            market.warp_past_closing();
        }
        market.send(&[step], signer, &[]).unwrap();
    }
    assert!(written.is_superset(&[job.address, vault, worker.worker()].into()));
    written
}

/// The chain runs side by side what writes no common account: nothing that the market has one of may be in a job's way.
#[test]
fn jobs_of_different_parties_write_no_common_account() {
    let mut market = Market::new();
    let (client, worker) = (market.client(), market.provider());
    let (second_client, second_worker) = (market.second_client(), market.second_provider());
    let ours = written(&mut market, &client, &worker);
    let theirs = written(&mut market, &second_client, &second_worker);
    assert!(ours.is_disjoint(&theirs), "{:?}", ours.intersection(&theirs));
}
