//! Clients that leave in the middle of an answer: the worker stops, what was delivered is paid, and nothing of
//! them stays behind.
//!
//! `CHAINFERENCE_LEAVING_CLIENTS` says how many.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use chainference_e2e::{
    client::{QUESTION, chat, curl, post},
    eventually,
    market::{Market, Place, block_on},
    money::{Books, Keys, audit},
    process,
};
use serde_json::{Value, json};

const ASKED: u64 = 1_500;
/// The least credit window: what a worker may have produced beyond what is vouched for.
const WINDOW: u64 = 64;

/// How many leave at once, and how many calls the gateway takes at once: were places lost, they would soon be
/// missing.
const AT_ONCE: usize = 4;
const PLACES: usize = 8;

/// Reads an answer until so many pieces of text have come, then is gone. Tells how many came.
fn leave_after(market: &Market, pieces: usize) -> u64 {
    begin(market, pieces).1
}

/// A connection on which so many pieces of text have come, and how many it were. A worker has so many places for a
/// client; where its last jobs are not settled yet, it is asked again.
fn begin(market: &Market, pieces: usize) -> (TcpStream, u64) {
    eventually("a worker has a place", 60, || try_begin(market, pieces))
}

fn try_begin(market: &Market, pieces: usize) -> Option<(TcpStream, u64)> {
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
        let count = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            count => count.expect("an answer comes"),
        };
        assert!(count > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        if said.contains("workers_busy") {
            return None;
        }
    }
    let count = said.matches("\"content\":\"").count() as u64;
    Some((stream, count))
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
    let clients = std::env::var("CHAINFERENCE_LEAVING_CLIENTS").ok();
    let clients: usize = clients.and_then(|set| set.parse().ok()).unwrap_or(200);
    let market = Place::new().with(&["--concurrency-max", &PLACES.to_string()]).start();
    let keys = Keys::of(&market);
    let body = chat(QUESTION, json!({})).to_string();
    assert_eq!(post(&market, &market.key(), &body).status, 200);
    // What is allocated once is there after some.
    leave(&market, 40);
    let parts = ["gateway", "worker"].map(|name| market.part(name));
    let files = parts.map(open_files);
    let memory = parts.map(process::memory_bytes);
    let tasks = gateway_tasks(&market);
    let before = Books::take(&market, &keys);
    let paid_before: u64 = market.jobs().iter().map(|job| number(&job["paid"])).sum();

    let began = Instant::now();
    leave(&market, clients);
    let took = began.elapsed();
    let jobs = eventually("all are settled", 120, || {
        // Of those that were refused for a moment nothing came to be.
        let mut jobs = market.used_jobs();
        jobs.retain(|job| job["status"] != "failed");
        let is_over = |job: &Value| job["status"] == "settled" || job["status"] == "closed";
        (jobs.len() == clients + 41 && jobs.iter().all(is_over)).then_some(jobs)
    });
    let after = Books::take(&market, &keys);
    let paid: u64 = jobs.iter().map(|job| number(&job["paid"])).sum();
    assert_eq!(before.vault - after.vault, paid - paid_before);
    assert_eq!(after.total(), before.total());
    audit(&market, &keys);

    eventually("their connections are gone", 30, || {
        let is_well = |(part, files)| open_files(part) <= files + 16;
        parts.into_iter().zip(files).all(is_well).then_some(())
    });
    // What the pool does meanwhile has tasks of its own.
    eventually("their tasks are gone", 60, || (gateway_tasks(&market) <= tasks + 16).then_some(()));
    let grown = parts.map(process::memory_bytes).into_iter().zip(memory);
    let grown: Vec<u64> = grown.map(|(now, then)| now.saturating_sub(then) >> 10).collect();
    eprintln!("{clients} clients left within {took:?}; gateway and worker grew by {grown:?} KiB");
    assert!(grown.iter().all(|kib| *kib < 48 << 10), "{grown:?} KiB");
    let refused = std::thread::scope(|scope| {
        let call = || post(&market, &market.key(), &body).status;
        let calls: Vec<_> = (0..PLACES).map(|_| scope.spawn(call)).collect();
        let calls = calls.into_iter().map(|call| call.join().expect("a status"));
        calls.filter(|status| *status == 429).count()
    });
    assert_eq!(refused, 0, "every place is free again");
    assert_eq!(number(&running(&market)["calls"]["running"]), 0);
}

/// So many clients leave, some after one piece, some later.
fn leave(market: &Market, clients: usize) {
    std::thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || {
                for client in (first..clients).step_by(AT_ONCE) {
                    leave_after(market, 1 + client % 5);
                }
            });
        }
    });
    await_rest(market);
}

/// The tasks that the gateway's runtime holds.
fn gateway_tasks(market: &Market) -> u64 {
    let metrics = curl(&["-s", &format!("http://127.0.0.1:{}/metrics", market.gateway)]);
    let line = metrics.lines().find_map(|line| line.strip_prefix("chainference_gateway_tasks "));
    line.expect("the gateway counts its tasks").parse().expect("a number")
}

/// Prints how long after a client's leaving its place at the worker is free: no token is computed any more then.
#[test]
fn generation_ends_soon_after_its_client_has_left() {
    let market = Market::new();
    let mut took = block_on(async {
        let worker = Seats::new(&market);
        let all = worker.free().await;
        let mut took = Vec::new();
        for _ in 0..50 {
            let (stream, _) = begin(&market, 20);
            assert!(worker.free().await < all, "the call runs");
            let left = Instant::now();
            drop(stream);
            while worker.free().await < all {
                assert!(left.elapsed() < Duration::from_secs(10), "the worker goes on");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            took.push(left.elapsed());
        }
        took
    });
    took.sort_unstable();
    let [median, decile, most] = [50, 90, 100].map(|share| took[(took.len() - 1) * share / 100]);
    eprintln!(
        "free after {median:.0?} at the median, {decile:.0?} at the ninth decile, {most:.0?} at most"
    );
    assert!(median < Duration::from_secs(2), "{took:?}");
}

/// Asks a worker on one connection how many calls it would take.
struct Seats {
    http: reqwest::Client,
    url: String,
}

impl Seats {
    fn new(market: &Market) -> Self {
        let url = format!("http://127.0.0.1:{}/health", market.worker);
        Self { http: reqwest::Client::new(), url }
    }

    async fn free(&self) -> u64 {
        let told = self.http.get(&self.url).send().await.expect("it answers");
        number(&told.json::<Value>().await.expect("JSON")["seats_free"])
    }
}
