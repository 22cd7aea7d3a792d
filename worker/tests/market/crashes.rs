//! The worker dies as by kill −9 at each step between a store and what follows it, and comes back.

use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::time::Duration;

use chainference_chain::accounts::JobStatus;
use chainference_protocol::{ErrorCode, Frame};
use tokio_util::sync::CancellationToken;

use crate::client::{Ask, Client, Job};
use crate::place::{Place, childs_options, signal};

const LONG: &str = "Count from one to fifty in words.";
const SIGABRT: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(3);
const POINTS: [&str; 6] =
    ["lock stored", "lock seen", "lock booked", "voucher stored", "claim stored", "claim sent"];

/// Not a test by itself: what `Place::spawn_worker` runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_process() {
    let Some(options) = childs_options() else { return };
    chainference_worker::run(options, CancellationToken::new()).await.unwrap();
}

/// Each step of a job from the open market, as often as it takes.
async fn drive(place: &Place, client: &Client, job: &Job, first_call: u32) -> Option<u64> {
    let locked = place.once(job, |job| job.status() != JobStatus::Open).await;
    assert_eq!(locked.worker, place.worker_record());
    let mut answer = client.call(job, first_call, Ask::short()).await.ok()?;
    let totals = answer.try_to_the_end(client).await?;
    Some(place.prices().cost(totals).unwrap().0)
}

async fn died(worker: &mut Child) {
    for _ in 0..600 {
        if let Some(status) = worker.try_wait().unwrap() {
            assert_eq!(status.signal(), Some(SIGABRT), "{status}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the worker reached no such point");
}

fn kill(mut worker: Child) {
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_at_any_stored_step_locks_serves_and_claims_exactly_once() {
    let place = Place::new().await;
    kill(place.spawn_worker(None).await); // registered, with its offer
    let client = place.client().await;
    for (done, point) in POINTS.into_iter().enumerate() {
        let before = (place.chain.balance(&client.vault).await.unwrap().0, place.record().await);
        let job = client.publish(100_000, |_| {}).await;
        let mut armed = place.spawn_worker(Some(point)).await;
        let mut driving = Box::pin(drive(&place, &client, &job, 0));
        let paid_before = tokio::select! {
            paid = &mut driving => {
                died(&mut armed).await;
                paid
            }
            // The client may have all it needs, though the worker is dead.
            () = died(&mut armed) => tokio::time::timeout(PATIENCE, driving).await.ok().flatten(),
        };

        let worker = place.spawn_worker(None).await;
        let cost = match paid_before {
            Some(cost) => cost,
            None => drive(&place, &client, &job, 1).await.expect("served when it is back"),
        };
        assert_eq!(place.settled(&job).await.credited, cost, "{point}");
        client.eventually("/health", "\"jobs_live\":0").await;
        kill(worker);
        let (vault, record) =
            (place.chain.balance(&client.vault).await.unwrap().0, place.record().await);
        assert_eq!(before.0 - vault, cost, "{point}");
        assert_eq!(record.earnings - before.1.earnings, cost * 9 / 10, "{point}");
        assert_eq!(
            (record.live_jobs, record.reputation.jobs_completed),
            (0, done as u32 + 1),
            "{point}"
        );
    }
}

/// The processes that this one has started.
fn children(worker: &Child) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", worker.id())).unwrap().flatten();
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
    let found: Vec<String> = tasks.filter_map(|task| of_task(task).ok()).collect();
    found.iter().flat_map(|pids| pids.split_whitespace()).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_falls_silent_is_an_error_for_its_call_and_what_was_vouched_is_claimed() {
    let place = Place::new().await;
    let worker = place.spawn_worker(None).await;
    let client = place.client().await;
    let job = client.open_job(1_000_000).await;
    let mut answer = client.call(&job, 0, Ask::new(LONG, 900)).await.unwrap();
    let mut vouched = answer.until_silent(Duration::from_millis(2_000)).await;
    let engine = children(&worker);
    assert_eq!(engine.len(), 1);
    client.vouch(&job, vouched.totals, false).await.unwrap();
    signal(&engine, "-STOP");
    let code = loop {
        match answer.next().await.expect("an error before the end") {
            Frame::Error { code, .. } => break code,
            frame => vouched.add(frame),
        }
    };
    assert_eq!(code, ErrorCode::EngineFailed);
    signal(&engine, "-CONT");
    client.vouch(&job, vouched.totals, true).await.unwrap();
    let cost = place.prices().cost(vouched.totals).unwrap().0;
    assert_eq!(place.settled(&job).await.credited, cost);
    let next = client.open_job(100_000).await;
    let said = client.call(&next, 0, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(said.text.contains("Paris"), "{}", said.text);
    kill(worker);
}
