//! A gateway dies as by kill −9 at each step between a store and what follows it, and comes back. Each job
//! ends once, and the ledger says to the lamport what the chain says.
//!
//! `CHAINFERENCE_CRASH_SEEDS` says how often each point is met, each time at another pass and among other calls;
//! `CHAINFERENCE_CRASH_FIRST_SEED` with which to begin.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
};

use chainference_chain::{Keypair, SignedTransaction, Signer, instruction};
use chainference_e2e::{
    client::{QUESTION, chat, curl},
    eventually,
    market::{Market, Place, block_on},
    money::Keys,
    process,
    stranger::{Gateway, Stranger},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const VARIABLE: &str = "CHAINFERENCE_TEST_ABORT_GATEWAY_AT";
const SIGABRT: i32 = 6;
/// A session's age at which it is followed by another.
const OLD_S: i64 = 2_430;
/// What 1,650 slots of this chain take, after which a job's account waits for no others, and some.
const SLOTS_S: i64 = 45;

/// What happens beside ordinary calls until a point is met.
#[derive(Clone, Copy, PartialEq)]
enum Course {
    Calls,
    /// Clients leave, which ends a session: the next call opens another.
    Leaving,
    /// The session grows old and is followed by another before a call needs that.
    Growing,
    /// The slots pass after which the accounts of the first calls' jobs may be closed.
    Closing,
}
use Course::{Calls, Closing, Growing, Leaving};

/// A point of a job's life, in the mode in which it is met; of how many passes, from which.
struct Point(&'static str, &'static str, Course, std::ops::Range<u32>);

const POINTS: [Point; 22] = [
    Point("per-call", "job intended", Calls, 1..4),
    Point("per-call", "publish stored", Calls, 1..4),
    Point("per-call", "publish sent", Calls, 1..4),
    Point("per-call", "job locked", Calls, 1..4),
    Point("per-call", "voucher stored", Calls, 1..4),
    Point("per-call", "job ended", Calls, 1..4),
    Point("per-call", "last voucher posted", Calls, 1..4),
    Point("per-call", "job settled", Calls, 1..4),
    Point("strict", "publish stored", Leaving, 1..4),
    Point("strict", "publish sent", Leaving, 1..4),
    Point("session", "voucher stored", Calls, 1..8),
    Point("session", "publish sent", Leaving, 1..4),
    Point("session", "job ended", Leaving, 1..3),
    Point("session", "last voucher posted", Leaving, 1..3),
    Point("session", "job settled", Leaving, 1..3),
    Point("session", "top-up stored", Calls, 1..3),
    Point("session", "top-up sent", Calls, 1..3),
    Point("session", "publish stored", Growing, 2..3),
    Point("session", "job locked", Growing, 2..3),
    Point("session", "job ended", Growing, 1..2),
    Point("per-call", "close stored", Closing, 1..3),
    Point("per-call", "close sent", Closing, 1..3),
];

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|set| set.parse().ok()).unwrap_or(default)
}

/// Whether the call was answered.
fn ask(stranger: &Stranger<'_>, body: &Value, within_s: &str) -> bool {
    let status = curl(&[
        "-s",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--max-time",
        within_s,
        &format!("{}/chat/completions", stranger.place.base_url()),
        "-H",
        &format!("authorization: Bearer {}", stranger.place.key()),
        "-H",
        "content-type: application/json",
        "-d",
        &body.to_string(),
    ]);
    status == "200"
}

/// The call of that number: after a small one dear ones and streams, from another beginning with each seed.
fn call(stranger: &Stranger<'_>, course: Course, seed: u32, number: u32) -> bool {
    let long = "Say only yes to this: ".to_owned() + &"so it is. ".repeat(150);
    match (number, (number + seed) % 4) {
        (0, _) => ask(stranger, &chat("Hi.", json!({"max_tokens": 1})), "20"),
        (_, 0) if course == Leaving => {
            let story = chat("Tell me a long story.", json!({"stream": true, "max_tokens": 1500}));
            ask(stranger, &story, "0.7")
        }
        (_, 0 | 2) => ask(stranger, &chat(QUESTION, json!({"stream": true})), "20"),
        _ => ask(stranger, &chat(&long, json!({"max_tokens": 30})), "20"),
    }
}

/// Calls until the gateway is dead.
fn drive(stranger: &Stranger<'_>, gateway: &mut Gateway, course: Course, seed: u32) -> ExitStatus {
    eventually("a key", 20, || stranger.place.home().join("api-key").exists().then_some(()));
    let mut calls = 0;
    let mut running = None;
    let status = eventually("the gateway has died", 240, || {
        let ended = gateway.ended();
        if ended.is_none() && call(stranger, course, seed, calls) {
            calls += 1;
            match (course, calls) {
                (Growing, 2) => running = Some(grow_old(stranger)),
                (Closing, 4 | 8) => stranger.market.time_travel(SLOTS_S),
                _ => {}
            }
        }
        ended
    });
    if let Some(mut running) = running {
        running.wait().expect("waited for");
    }
    status
}

/// Lets a session grow old in the middle of a call: its worker would claim a job that nobody has called for so long.
fn grow_old(stranger: &Stranger<'_>) -> Child {
    let running = stream(stranger);
    eventually("the call runs", 20, || {
        let worker = stranger.market.json(&["worker", "status", "--json"]);
        (worker["running"]["calls"]["running"] == 1).then_some(())
    });
    stranger.market.time_travel(OLD_S);
    beat(stranger.market);
    running
}

/// A heartbeat of the market's worker, which sends one a minute by another clock, and would be held for dead until then.
fn beat(market: &Market) {
    let key = std::fs::read_to_string(market.home().join("keys/worker-operator.json"));
    let bytes: Vec<u8> = serde_json::from_str(&key.expect("a key")).expect("bytes");
    let operator = Keypair::try_from(bytes.as_slice()).expect("a key");
    let beat = instruction::heartbeat(&operator.pubkey(), &Keys::of(market).worker());
    let chain = market.chain();
    block_on(async {
        let blockhash = chain.blockhash().await.expect("a blockhash");
        let signed = SignedTransaction::sign(&[beat], &operator, &[], &blockhash);
        chain.submit(&signed.expect("signed")).await.expect("landed");
    });
}

#[test]
fn gateway_killed_at_any_stored_step_ends_each_job_once_and_its_ledger_is_the_chains() {
    // Without a least charge a session that begins with a small call is soon nearly used.
    let market = Place::new().with(&["--charge-min", "0"]).start();
    let stranger = Stranger::new(&market, Place::new());
    let before = stranger.purse();
    let first = number("CHAINFERENCE_CRASH_FIRST_SEED", 0);
    for seed in first..first + number("CHAINFERENCE_CRASH_SEEDS", 1) {
        for Point(mode, point, course, passes) in POINTS {
            let pass = passes.start + seed % (passes.end - passes.start);
            let at = format!("{point}:{pass}");
            let began = std::time::Instant::now();
            let mut armed = stranger.start(mode, &[], &[(VARIABLE, &at)]);
            let status = drive(&stranger, &mut armed, course, seed);
            assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}");
            drop(armed);
            let again = stranger.start("strict", &[], &[]);
            again.await_ready(&stranger);
            let jobs = stranger.audit(before, 60);
            assert!(!jobs.is_empty());
            assert!(again.stop().success());
            eprintln!("seed {seed}: {mode}, {at}: {} s", began.elapsed().as_secs());
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
    let are_finished = || finished(&stranger) == 3;
    ["finish stored", "finish sent"]
        .into_iter()
        .for_each(|point| die_at(&stranger, point, are_finished));
    let again = stranger.start("strict", &[], &[]);
    eventually("all three are finished", 90, || {
        (count("ended") == 3 && finished(&stranger) == 3).then_some(())
    });
    again.stop();
    market.time_travel(700);
    let are_settled = || count("settled") == 3;
    ["expire stored", "expire sent"]
        .into_iter()
        .for_each(|point| die_at(&stranger, point, are_settled));
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

/// A gateway that has nothing to do but to end jobs, until it dies of that. Where all of them were stored when it last died,
/// they are sent again as they are, and none comes to the point any more.
fn die_at(stranger: &Stranger<'_>, point: &str, are_done: impl Fn() -> bool) {
    let mut armed = stranger.start("strict", &[], &[(VARIABLE, point)]);
    let status = eventually("it died", 90, || {
        armed.ended().map(Some).or_else(|| are_done().then_some(None))
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(SIGABRT), "{point}: {status}");
    }
}

/// How many of its jobs may be claimed only for the grace period from now on.
fn finished(stranger: &Stranger<'_>) -> usize {
    let chain = stranger.market.chain();
    let jobs = block_on(chain.jobs_of_vault(&stranger.vault()));
    let is_finished = |job: &chainference_chain::accounts::Job| {
        job.claim_until_unix_s < job.serve_until_unix_s + 600
    };
    jobs.expect("answered").iter().filter(|(_, job)| is_finished(job)).count()
}
