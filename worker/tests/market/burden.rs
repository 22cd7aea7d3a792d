//! What a worker must bear: clients that vanish, more calls than it has room for, an engine that dies.

use std::fs;
use std::time::Duration;

use chainference_market::Totals;
use chainference_protocol::{ErrorCode, FinishReason, Frame};
use futures_util::future::join_all;

use crate::client::{Answer, Ask, Client, Job, Said};
use crate::place::{Place, engine_of, signal};

const LONG: &str = "Count from one to fifty in words.";
/// Slots and places in the queue of a worker with the default settings.
const SEATS: usize = 8;

/// Reads until the first token, pays for what came, and is gone.
async fn vanish(client: &Client, job: &Job, call: u32) -> Result<(), ErrorCode> {
    let refused = |(_, code)| code;
    let mut answer = client.call(job, call, Ask::new(LONG, 900)).await.map_err(refused)?;
    let said = first_token(&mut answer).await;
    client.vouch(job, said.totals, false).await.map_err(refused)
}

async fn first_token(answer: &mut Answer) -> Said {
    let mut said = Said::default();
    while said.tokens == 0 {
        said.add(answer.next().await.expect("a frame"));
    }
    said
}

/// So many calls, of which each is broken off; a place that isn't free yet is asked for again.
async fn vanish_often(client: &Client, job: &Job, calls: std::ops::Range<u32>) {
    for call in calls {
        // A refused call's number is free again, unless the refusal came late.
        for again in 0.. {
            match vanish(client, job, call + again * 100_000).await {
                Ok(()) => break,
                Err(ErrorCode::Busy) if again < 1_000 => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(code) => panic!("{code:?}"),
            }
        }
    }
}

/// What a process holds.
#[derive(Debug)]
struct Footprint {
    files: usize,
    threads: usize,
    /// Memory of the worker and its engine.
    resident_kb: u64,
}

impl Footprint {
    fn of(pid: u32) -> Self {
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let resident_kb = resident_kb(pid) + resident_kb(engine_of(pid));
        Self { files: count("fd"), threads: count("task"), resident_kb }
    }
}

fn resident_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_vanish_leave_nothing_behind() {
    const LANES: u32 = 4;
    const EACH: u32 = 250;
    let place = Place::new().await;
    let mut worker = place.spawn_worker(None).await;
    let client = place.client().await;
    let mut jobs = Vec::new();
    for _ in 0..LANES {
        jobs.push(client.open_job(100_000_000).await);
    }
    let round = |calls: std::ops::Range<u32>| {
        let lanes = jobs.iter().map(move |job| (job, calls.clone()));
        join_all(lanes.map(|(job, calls)| vanish_often(&client, job, calls)))
    };
    round(0..EACH / 5).await;
    client.eventually("/health", &format!("\"seats_free\":{SEATS}")).await;
    let before = Footprint::of(worker.id());
    round(EACH / 5..EACH).await;
    client.eventually("/health", &format!("\"seats_free\":{SEATS}")).await;
    client.eventually("/metrics", "chainference_worker_calls_running 0").await;
    let after = Footprint::of(worker.id());

    // Connections that are kept alive come and go.
    assert!(after.files <= before.files + 8, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + 4, "{before:?} {after:?}");
    assert!(after.resident_kb <= before.resident_kb + (32 << 10), "{before:?} {after:?}");
    let answer = client.call(&jobs[0], EACH, Ask::short()).await.unwrap().vouching(&client).await;
    assert!(answer.text.contains("Paris"), "{}", answer.text);
    worker.kill().unwrap();
    worker.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_ten_times_the_calls_it_has_room_for_a_worker_is_busy_and_serves_those_it_took() {
    let place = Place::new().await;
    let worker = place
        .worker(|options| {
            options.jobs_per_client_max = 10 * SEATS;
            options.voucher_timeout_s = 120;
        })
        .await;
    let client = place.client().await;
    let mut jobs = Vec::new();
    for _ in 0..10 * SEATS {
        jobs.push(client.open_job(1_000_000).await);
    }
    // More than one credit window: whoever is taken stays until vouchers come.
    let calls = jobs.iter().map(|job| client.call(job, 0, Ask::new(LONG, 80)));
    let outcomes = join_all(calls).await;
    let (taken, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), SEATS);
    for refusal in refused {
        assert_eq!(refusal.unwrap_err(), (429, ErrorCode::Busy));
    }
    let mut answers: Vec<Answer> = taken.into_iter().map(Result::unwrap).collect();
    let served = join_all(answers.iter_mut().map(|answer| answer.vouching(&client))).await;
    for said in served {
        assert_eq!((said.tokens, said.finish), (80, Some(FinishReason::Length)));
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_dies_in_a_batch_fails_its_calls_and_loses_no_voucher() {
    let place = Place::new().await;
    let mut worker = place.spawn_worker(None).await;
    let client = place.client().await;
    let jobs = [client.open_job(1_000_000).await, client.open_job(1_000_000).await];
    let mut running: Vec<(Answer, Totals)> = Vec::new();
    for job in &jobs {
        let mut answer = client.call(job, 0, Ask::new(LONG, 900)).await.unwrap();
        let said = first_token(&mut answer).await;
        client.vouch(job, said.totals, false).await.unwrap();
        running.push((answer, said.totals));
    }
    signal(&[engine_of(worker.id()).to_string()], "-ABRT");
    for (answer, _) in &mut running {
        let broken = loop {
            match answer.next().await.expect("the call ends with an error") {
                Frame::Error { code, .. } => break code,
                _ => continue,
            }
        };
        assert_eq!(broken, ErrorCode::EngineFailed);
    }

    // The first job goes on with the engine that was started anew; the second has had enough.
    let again = until_served(&client, &jobs[0]).await;
    assert!(again.text.contains("Paris"), "{}", again.text);
    client.vouch(&jobs[0], again.totals, true).await.unwrap();
    client.vouch(&jobs[1], running[1].1, true).await.unwrap();
    for (job, totals) in jobs.iter().zip([again.totals, running[1].1]) {
        let cost = place.prices().cost(totals).unwrap().0;
        assert_eq!(place.settled(job).await.credited, cost);
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
}

/// Asks until the engine is back.
async fn until_served(client: &Client, job: &Job) -> Said {
    for call in 1..200 {
        match client.call(job, call, Ask::short()).await {
            Ok(mut answer) => return answer.vouching(client).await,
            Err((503, ErrorCode::EngineFailed)) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
    panic!("the engine doesn't come back");
}
