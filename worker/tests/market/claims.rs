//! Claims in batches and in parts, and what they cost.

use std::time::Duration;

use chainference_chain::accounts::JobStatus;
use chainference_market::Lamports;
use chainference_protocol::ErrorCode;

use crate::client::{Ask, Client, Job};
use crate::place::Place;

const FEE: u64 = 5_000;
const LONG: &str = "Count from one to fifty in words.";

async fn served(client: &Client) -> (Job, u64) {
    let job = client.open_job(100_000).await;
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(client).await;
    client.vouch(&job, said.totals, true).await.unwrap();
    (job, said.totals.tokens_out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_claims_of_unrelated_clients_share_one_transaction() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.claim_company_s = 600).await;
    let clients = [place.client().await, place.other_client().await, place.other_client().await];
    let fees_from = place.operator_balance().await;
    let earned_from = place.record().await.earnings;
    // Each costs the least charge, 2,000 lamports: two don't earn the fee of 5,000, three do.
    let (first, _) = served(&clients[0]).await;
    let (second, _) = served(&clients[1]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for job in [&first, &second] {
        assert_eq!(place.status(job).await, JobStatus::Locked, "not sent at a loss");
    }
    let (third, _) = served(&clients[2]).await;
    for job in [&first, &second, &third] {
        assert_eq!(place.settled(job).await.credited, 2_000);
    }
    assert_eq!(fees_from - place.operator_balance().await, FEE, "one signature for all three");
    assert_eq!(place.record().await.earnings - earned_from, 3 * 1_800);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_claim_goes_alone_in_the_end_since_it_frees_the_clients_stake() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.claim_company_s = 2).await;
    let client = place.client().await;
    let (job, _) = served(&client).await;
    assert_eq!(place.status(&job).await, JobStatus::Locked);
    assert_eq!(place.settled(&job).await.credited, 2_000);
    let vault = place.chain.vault(&client.vault).await.unwrap().unwrap();
    assert_eq!(vault.reserved, 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_fails_takes_no_other_with_it() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.claim_company_s = 600).await;
    let clients = [place.client().await, place.other_client().await, place.other_client().await];
    let (first, _) = served(&clients[0]).await;
    let (second, _) = served(&clients[1]).await;
    // Behind the worker's back the first is settled: the batch with it is refused as a whole.
    place.let_go(&first).await;
    let (third, _) = served(&clients[2]).await;
    for job in [&second, &third] {
        assert_eq!(place.settled(job).await.credited, 2_000);
    }
    assert_eq!(place.settled(&first).await.credited, 0);
    clients[0].eventually("/health", "\"jobs_live\":0").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_goes_on_is_claimed_in_parts_and_costs_the_same() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.part_claim_min = Lamports(2_000)).await;
    let client = place.client().await;
    let job = client.open_job(1_000_000).await;
    let first = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    let part = place.once(&job, |job| job.credited > 0).await;
    assert_eq!(part.status(), JobStatus::Locked);
    let second = client.call(&job, 1, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(second.totals.covers(first.totals));
    client.vouch(&job, second.totals, true).await.unwrap();
    let settled = place.settled(&job).await;
    assert_eq!(settled.credited, place.prices().cost(second.totals).unwrap().0);
    assert_eq!(worker.record().await.reputation.jobs_completed, 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_owes_for_its_prompts_is_refused_by_name_until_it_pays() {
    let place = Place::new().await;
    let worker = place.worker(|options| options.unpaid_in_max = Some(60)).await;
    let (client, other) = (place.client().await, place.other_client().await);
    let (job, second) = (client.open_job(100_000).await, client.open_job(100_000).await);
    let mut owing = client.call(&job, 0, Ask::new(LONG, 5)).await.unwrap();
    let said = owing.unpaid().await;
    // Another job of the same client, the same debt.
    let refused = client.call(&second, 0, Ask::new(LONG, 5)).await.unwrap_err();
    assert_eq!(refused, (402, ErrorCode::Unpaid));
    let others = other.open_job(100_000).await;
    other.call(&others, 0, Ask::new(LONG, 5)).await.expect("a debt is its client's own");
    client.vouch(&job, said.totals, false).await.unwrap();
    client.call(&second, 1, Ask::new(LONG, 5)).await.expect("paid up");
    worker.stop().await;
}
