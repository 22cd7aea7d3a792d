//! A gateway dies as by kill −9 at each step between a store and what follows it, and comes back. Each job
//! ends once, and the ledger says to the lamport what the chain says.
//!
//! `CHAINFERENCE_CRASH_SEEDS` says how often each point is met, if it can be at a later pass.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
};

use chainference_e2e::{
    client::{QUESTION, chat, curl},
    eventually,
    market::{Market, Place},
    process,
    stranger::{Gateway, Stranger},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const VARIABLE: &str = "CHAINFERENCE_TEST_ABORT_GATEWAY_AT";
const SIGABRT: i32 = 6;
/// The points of a job's life, in the mode in which they are met.
const POINTS: [(&str, &str); 16] = [
    ("per-call", "job intended"),
    ("per-call", "publish stored"),
    ("per-call", "publish sent"),
    ("per-call", "job locked"),
    ("per-call", "voucher stored"),
    ("per-call", "job ended"),
    ("per-call", "last voucher posted"),
    ("per-call", "job settled"),
    ("strict", "publish stored"),
    ("strict", "publish sent"),
    ("session", "voucher stored"),
    ("session", "publish sent"),
    ("session", "top-up stored"),
    ("session", "top-up sent"),
    ("per-call", "close stored"),
    ("per-call", "close sent"),
];

fn seeds() -> u32 {
    std::env::var("CHAINFERENCE_CRASH_SEEDS").ok().and_then(|set| set.parse().ok()).unwrap_or(1)
}

fn ask(stranger: &Stranger<'_>, body: &Value) {
    curl(&[
        "-s",
        "--max-time",
        "20",
        &format!("{}/chat/completions", stranger.place.base_url()),
        "-H",
        &format!("authorization: Bearer {}", stranger.place.key()),
        "-H",
        "content-type: application/json",
        "-d",
        &body.to_string(),
    ]);
}

/// Calls, the later ones dearer, until the gateway is dead.
fn drive(stranger: &Stranger<'_>, gateway: &mut Gateway) -> ExitStatus {
    eventually("a key", 20, || stranger.place.home().join("api-key").exists().then_some(()));
    let long = "Say only yes to this: ".to_owned() + &"so it is. ".repeat(150);
    let mut calls = 0;
    eventually("the gateway has died", 120, || {
        let ended = gateway.ended();
        if ended.is_none() {
            let body = match calls {
                0 => chat("Hi.", json!({"max_tokens": 1})),
                call if call % 2 == 1 => chat(&long, json!({"max_tokens": 30})),
                _ => chat(QUESTION, json!({"stream": true})),
            };
            ask(stranger, &body);
            calls += 1;
        }
        ended
    })
}

#[test]
fn gateway_killed_at_any_stored_step_ends_each_job_once_and_its_ledger_is_the_chains() {
    // Without a least charge a session that begins with a small call is soon nearly used.
    let market = Place::new().with(&["--charge-min", "0"]).start();
    let stranger = Stranger::new(&market, Place::new());
    let before = stranger.purse();
    for seed in 0..seeds() {
        for (mode, point) in POINTS {
            // A session is opened and topped up once in many calls.
            let pass = if mode == "session" { 1 } else { 1 + seed % 3 };
            let at = format!("{point}:{pass}");
            eprintln!("{mode}, {at}");
            let mut armed = stranger.start(mode, &[], &[(VARIABLE, &at)]);
            let status = drive(&stranger, &mut armed);
            assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}");
            drop(armed);
            let again = stranger.start("strict", &[], &[]);
            again.await_ready(&stranger);
            let jobs = stranger.audit(before, 60);
            assert!(!jobs.is_empty());
            assert!(again.stop().success());
        }
    }
}

#[test]
fn gateway_killed_while_it_leaves_a_dead_worker_gets_every_stake_back_once() {
    let market = Market::new();
    let stranger = Stranger::new(&market, Place::new());
    let before = stranger.purse();
    let gateway = stranger.start("strict", &[], &[]);
    gateway.await_ready(&stranger);
    let calls: Vec<Child> = (0..3).map(|_| stream(&stranger)).collect();
    let count =
        |status: &str| stranger.place.jobs().iter().filter(|job| job["status"] == status).count();
    eventually("three calls run", 60, || {
        let paid_for = |job: &Value| job["tokens_out"].as_u64().is_some_and(|tokens| tokens > 0);
        (stranger.place.jobs().iter().filter(|job| paid_for(job)).count() == 3).then_some(())
    });
    let worker = market.part("worker");
    process::send(worker, Signal::SIGSTOP);
    // Orderly it would finish its jobs at once.
    gateway.send(Signal::SIGKILL);
    drop(gateway);
    for mut call in calls {
        let _ = call.wait();
    }
    ["finish stored", "finish sent"].into_iter().for_each(|point| die_at(&stranger, point));
    let again = stranger.start("strict", &[], &[]);
    eventually("all three are finished", 90, || {
        (count("ended") == 3 && finished(&stranger) == 3).then_some(())
    });
    again.stop();
    market.time_travel(700);
    ["expire stored", "expire sent"].into_iter().for_each(|point| die_at(&stranger, point));
    let again = stranger.start("strict", &[], &[]);
    let jobs = stranger.audit(before, 90);
    assert_eq!((jobs.len(), again.stop().success()), (3, true));
    assert_eq!(stranger.purse().vault, before.vault, "nothing was claimed");
    process::send(worker, Signal::SIGCONT);
}

/// A long answer that nobody reads, in the background.
fn stream(stranger: &Stranger<'_>) -> Child {
    let body = chat("Tell me a long story.", json!({"stream": true, "max_tokens": 1500}));
    Command::new("curl")
        .args(["-sN", "--max-time", "60"])
        .arg(format!("{}/chat/completions", stranger.place.base_url()))
        .args(["-H", &format!("authorization: Bearer {}", stranger.place.key())])
        .args(["-H", "content-type: application/json", "-d", &body.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .expect("curl")
}

/// A gateway that has nothing to do but to end jobs, until it dies of that.
fn die_at(stranger: &Stranger<'_>, point: &str) {
    let mut armed = stranger.start("strict", &[], &[(VARIABLE, point)]);
    let status = eventually("it died", 90, || armed.ended());
    assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}");
}

/// How many of its jobs may be claimed only for the grace period from now on.
fn finished(stranger: &Stranger<'_>) -> usize {
    let chain = stranger.market.chain();
    let jobs = chainference_e2e::market::block_on(chain.jobs_of_vault(&stranger.vault()));
    let is_finished = |job: &chainference_chain::accounts::Job| {
        job.claim_until_unix_s < job.serve_until_unix_s + 600
    };
    jobs.expect("answered").iter().filter(|(_, job)| is_finished(job)).count()
}
