//! The open market: published jobs, locked by whoever likes them.

use std::time::Duration;

use chainference_chain::accounts::{Filters, JobStatus, PublishArgs};
use chainference_chain::{Commitment, Lamports};
use chainference_protocol::FinishReason;
use chainference_worker::Clients;

use crate::client::Ask;
use crate::place::Place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_job_is_locked_served_and_claimed_to_the_lamport() {
    let place = Place::new().await;
    // It doesn't look again by itself: the chain tells of the job.
    let worker = place.worker(|options| options.market_poll_s = 3_600).await;
    let client = place.client().await;
    let vault_before = place.chain.balance(&client.vault).await.unwrap().0;
    let job = client.publish(100_000, |_| {}).await;
    let locked = place.once(&job, |job| job.status() == JobStatus::Locked).await;
    assert_eq!(locked.worker, place.worker_record());
    assert_eq!(locked.prices(), place.prices());
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(said.text.contains("Paris"), "{}", said.text);
    client.vouch(&job, said.totals, true).await.unwrap();
    let cost = place.prices().cost(said.totals).unwrap().0;
    assert_eq!(place.settled(&job).await.credited, cost);
    assert_eq!(vault_before - place.chain.balance(&client.vault).await.unwrap().0, cost);
    client.eventually("/metrics", "chainference_worker_locks_total{end=\"landed\"} ").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_jobs_that_do_not_fit_are_left_to_others() {
    let place = Place::new().await;
    let setup = place.worker(|_| {}).await; // posts the offer that clients read
    let (client, blocked) = (place.client().await, place.other_client().await);
    setup.stop().await;

    let stranger = client.vault;
    let unfit: [&dyn Fn(&mut PublishArgs); 7] = [
        &|job| job.max_price_in_per_mtok -= 1,
        &|job| job.max_price_out_per_mtok -= 1,
        &|job| job.max_charge_min -= 1,
        &|job| job.model_hash = [7; 32],
        &|job| job.allowed = vec![stranger],
        &|job| job.filters = Filters { fees_completed_min: 1, ..Filters::default() },
        &|job| job.serve_until_unix_s += 10_000,
    ];
    let mut left = Vec::new();
    for change in unfit {
        left.push(client.publish(10_000, change).await);
    }
    left.push(client.publish(1_999, |_| {}).await); // less than the least charge
    left.push(blocked.publish(10_000, |_| {}).await);
    let worker = place.worker(|options| {
        options.market_poll_s = 1;
        options.clients = Clients::new(&[], &[blocked.vault]);
    });
    let worker = worker.await;
    let named = place.worker_record();
    let fits = client.publish(10_000, |job| job.allowed = vec![stranger, named]).await;
    place.once(&fits, |job| job.status() == JobStatus::Locked).await;
    tokio::time::sleep(Duration::from_secs(3)).await; // three more looks at the market
    for (index, job) in left.iter().enumerate() {
        assert_eq!(place.status(job).await, JobStatus::Open, "{index}");
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_open_jobs_are_locked_than_there_is_room_for() {
    let place = Place::new().await;
    let worker = place.worker(|options| {
        options.market_poll_s = 1;
        options.jobs_per_client_max = 2;
    });
    let worker = worker.await;
    let (client, other) = (place.client().await, place.other_client().await);
    let mut jobs = Vec::new();
    for _ in 0..4 {
        jobs.push(client.publish(10_000, |_| {}).await);
    }
    let others = other.publish(10_000, |_| {}).await;
    place.once(&others, |job| job.status() == JobStatus::Locked).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut locked = 0;
    for job in &jobs {
        locked += usize::from(place.status(job).await == JobStatus::Locked);
    }
    assert_eq!(locked, 2, "the cap of a client");
    worker.stop().await;
    for job in &jobs {
        assert_ne!(place.status(job).await, JobStatus::Locked, "unused ones are let go at the end");
    }
}

/// On a chain that can fork, little is served before the lock is final; then the call goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_once_the_lock_is_final() {
    let place = Place::new().await;
    let worker = place
        .worker(|options| {
            options.commitment = Commitment::Confirmed;
            options.prices.output_per_mtok = 1_000_000_000; // a thousand lamports a token
            options.unfinal_max = Lamports(3_500);
        })
        .await;
    let client = place.client().await;
    let job = client.publish(1_000_000, |_| {}).await;
    place.once(&job, |job| job.status() == JobStatus::Locked).await;
    let said = client.call(&job, 0, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(said.tokens > 4, "more than the cap pays for: {said:?}");
    assert_eq!(said.finish, Some(FinishReason::Stop));
    worker.stop().await;
}
