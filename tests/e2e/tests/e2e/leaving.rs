//! Clients that leave in the middle of an answer: the worker stops, what was delivered is paid, and nothing of
//! them stays behind.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use chainference_e2e::{
    client::{QUESTION, chat, curl, post},
    eventually,
    market::Market,
    money::{Books, Keys},
};
use serde_json::{Value, json};

const ASKED: u64 = 1_500;
/// The least credit window: what a worker may have produced beyond what is vouched for.
const WINDOW: u64 = 64;

/// Reads an answer until so many pieces of text have come, then is gone. Tells how many came.
fn leave_after(market: &Market, pieces: usize) -> u64 {
    let story = "Tell me a long story about a lighthouse keeper, with many details.";
    let body = chat(story, json!({"stream": true, "max_tokens": ASKED})).to_string();
    let mut stream =
        TcpStream::connect(("127.0.0.1", market.gateway)).expect("the gateway listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        market.key(),
        body.len()
    )
    .expect("sent");
    let (mut said, mut buffer) = (String::new(), [0; 4_096]);
    while said.matches("\"content\":\"").count() < pieces {
        let count = stream.read(&mut buffer).expect("an answer comes");
        assert!(count > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
    }
    said.matches("\"content\":\"").count() as u64
}

fn running(market: &Market) -> Value {
    market.json(&["worker", "status", "--json"])["running"].clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// How many tokens of answers that have ended the worker has sent in all.
fn produced(market: &Market) -> u64 {
    let metrics = curl(&["-s", &format!("http://127.0.0.1:{}/metrics", market.worker)]);
    let name = "chainference_worker_tokens_total{direction=\"out\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |tokens| tokens.parse().expect("a number"))
}

/// Waits until the worker has nothing to do.
fn await_rest(market: &Market) {
    eventually("the worker rests", 30, || (running(market)["calls"]["running"] == 0).then_some(()));
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux").count()
}

#[test]
fn worker_stops_for_a_client_that_left_and_what_was_delivered_is_paid() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let seen = leave_after(&market, 20);
    await_rest(&market);
    let job = market.await_job("settled", 60);
    let (paid_for, sent) = (number(&job["tokens_out"]), produced(&market));
    // A piece has a token or more; what lay in the sockets when the client left was delivered, too.
    assert!(paid_for >= seen / 2, "{paid_for} paid, {seen} pieces seen");
    assert!(sent >= paid_for, "{sent} sent, {paid_for} paid");
    assert!(sent <= paid_for + WINDOW, "{sent} sent, {paid_for} paid");
    assert!(sent < ASKED / 2, "the worker stopped: {sent} of {ASKED}");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(produced(&market), sent, "and does not go on");
    let after = Books::take(&market, &keys);
    assert_eq!(before.vault - after.vault, number(&job["paid"]));
    assert_eq!(after.total(), before.total());
}

#[test]
fn hundreds_of_clients_that_leave_leave_nothing_behind() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let body = chat(QUESTION, json!({})).to_string();
    assert_eq!(post(&market, &market.key(), &body).status, 200);
    let before = Books::take(&market, &keys);
    let gateway = market.part("gateway");
    let files = open_files(gateway);
    let paid_before: u64 = market.jobs().iter().map(|job| number(&job["paid"])).sum();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).map(|_| leave_after(&market, 1)).sum::<u64>());
        }
    });
    await_rest(&market);
    let jobs = eventually("all are settled", 120, || {
        let jobs = market.used_jobs();
        let is_over = |job: &Value| job["status"] == "settled" || job["status"] == "closed";
        (jobs.len() == 201 && jobs.iter().all(is_over)).then_some(jobs)
    });
    let after = Books::take(&market, &keys);
    let paid: u64 = jobs.iter().map(|job| number(&job["paid"])).sum();
    assert_eq!(before.vault - after.vault, paid - paid_before);
    assert_eq!(after.total(), before.total());
    eventually("its connections are gone", 30, || {
        (open_files(gateway) <= files + 16).then_some(())
    });
    assert_eq!(post(&market, &market.key(), &body).status, 200);
}
