//! Parts are killed at the worst moments. Nobody loses more than the protocol says, and nothing is paid twice.

use std::{fs::File, path::PathBuf, process::Child};

use chainference_chain::Pubkey;
use chainference_e2e::{
    client::{QUESTION, Sdk, chat, post, sdk, sdk_command},
    eventually,
    history::transactions_of,
    market::Market,
    money::{Books, Keys, audit},
    process,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const LONG: &str = "Tell me a long story about a lighthouse keeper, with many details.";

/// A streamed call that runs in the background, its events written to a file.
struct Streaming {
    curl: Child,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Streaming {
    fn start(market: &Market) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("events");
        let body = chat(LONG, json!({"stream": true, "max_tokens": 1500}));
        let curl = std::process::Command::new("curl")
            .args(["-sN", "--max-time", "120", &format!("{}/chat/completions", market.base_url())])
            .args([
                "-H",
                &format!("authorization: Bearer {}", market.key()),
                "-H",
                "content-type: application/json",
            ])
            .args(["-d", &body.to_string()])
            .stdout(File::create(&file).expect("a file"))
            .spawn()
            .expect("curl");
        let streaming = Self { curl, file, _folder: folder };
        eventually("tokens flow", 60, || {
            (streaming.text().matches("\"content\"").count() > 40).then_some(())
        });
        streaming
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// Waits for the end of the stream, however it comes.
    fn end(mut self) -> String {
        eventually("the stream ends", 60, || self.curl.try_wait().expect("waited for"));
        self.text()
    }
}

fn paid(job: &Value) -> u64 {
    job["paid"].as_u64().expect("lamports")
}

#[test]
fn worker_killed_in_a_stream_is_an_error_for_the_client_and_claims_once_when_it_is_back() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let stream = Streaming::start(&market);
    market.kill_part("worker");
    let events = stream.end();
    assert!(events.contains("\"error\""), "{events}");
    assert!(!events.contains("[DONE]"), "an error is no completion");

    // `up` starts the worker again; what was vouched is claimed from its ledger, once.
    let job = market.await_job("settled", 90);
    let after = Books::take(&market, &keys);
    assert!(paid(&job) > 0, "what was delivered and vouched is paid: {job}");
    assert_eq!(before.vault - after.vault, paid(&job));
    assert_eq!(after.worker - before.worker, paid(&job));
    assert_eq!(after.total(), before.total());
    market.await_recovery();
    check_still_works(&market);
    audit(&market, &keys);
}

#[test]
fn stake_comes_back_from_a_worker_that_never_returns() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let stream = Streaming::start(&market);
    // Stopped, not killed: `up` has nothing to restart, and the worker never claims.
    let worker = market.part("worker");
    process::send(worker, Signal::SIGSTOP);
    let events = stream.end();
    assert!(events.contains("\"error\""), "{events}");

    // The gateway finishes the job, which makes it expire after the grace period, 600 s.
    let open = eventually("the job has ended", 60, || {
        market.used_jobs().into_iter().find(|job| job["status"] == "ended")
    });
    let id: Pubkey = open["id"].as_str().expect("an address").parse().expect("base58");
    eventually("the gateway has finished the job", 60, || {
        (transactions_of(&market, &id).len() >= 2).then_some(())
    });
    market.time_travel(700);
    let job = market.await_job("settled", 60);
    let after = Books::take(&market, &keys);
    assert_eq!(paid(&job), 0, "nothing was claimed: {job}");
    assert_eq!(after.vault, before.vault, "the whole stake is back");
    assert_eq!(after.total(), before.total());
    audit(&market, &keys);
    process::send(worker, Signal::SIGCONT);
}

#[test]
fn gateway_killed_in_a_call_ends_the_job_once_when_it_is_back() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let stream = Streaming::start(&market);
    market.kill_part("gateway");
    stream.end();
    market.await_recovery();
    let job = eventually("the job is settled", 120, || {
        market
            .used_jobs()
            .into_iter()
            .find(|job| job["status"] == "settled" || job["status"] == "closed")
    });
    let after = Books::take(&market, &keys);
    assert_eq!(market.used_jobs().len(), 1);
    assert_eq!(before.vault - after.vault, paid(&job), "the ledger says what the chain says");
    assert_eq!(after.worker - before.worker, paid(&job));
    assert_eq!(after.total(), before.total());
    check_still_works(&market);
    audit(&market, &keys);
}

#[test]
fn client_that_leaves_pays_for_what_it_got_and_no_more() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let mut stream = Streaming::start(&market);
    stream.curl.kill().expect("killed");
    stream.curl.wait().expect("waited for");
    let delivered = stream.text().matches("\"content\"").count() as u64;
    let job = market.await_job("settled", 60);
    let after = Books::take(&market, &keys);
    let tokens_out = job["tokens_out"].as_u64().expect("a count");
    assert!(
        tokens_out > 0 && tokens_out < delivered + 200,
        "{tokens_out} paid, about {delivered} delivered"
    );
    assert_eq!(before.vault - after.vault, paid(&job));
    assert_eq!(after.total(), before.total());
    audit(&market, &keys);
}

#[test]
fn chain_that_is_away_is_a_503_and_its_return_is_noticed() {
    let market = Market::new();
    check_still_works(&market);
    let chain = market.part("chain");
    process::send(chain, Signal::SIGSTOP);
    let body = chat("Say hello.", json!({"max_tokens": 5})).to_string();
    let answer = eventually("a 503", 60, || {
        Some(post(&market, &market.key(), &body)).filter(|answer| answer.status != 200)
    });
    assert_eq!(answer.status, 503, "{}", answer.body);
    process::send(chain, Signal::SIGCONT);
    eventually("an answer again", 60, || {
        (post(&market, &market.key(), &body).status == 200).then_some(())
    });

    market.kill_part("chain");
    market.await_recovery();
    check_still_works(&market);
}

#[test]
fn concurrent_calls_are_each_their_own_job_and_the_books_still_balance() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let calls: Vec<_> = (0..6)
        .map(|number| {
            let body = chat(&format!("Name {number} animals."), json!({"max_tokens": 20}));
            let client = if number % 2 == 0 { Sdk::Python } else { Sdk::Node };
            sdk_command(&market, client, "stream", &body).spawn().expect("a client")
        })
        .collect();
    for call in calls {
        let output = call.wait_with_output().expect("ended");
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert!(
            answer["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens > 0),
            "{answer}"
        );
    }
    let jobs = eventually("six settled jobs", 60, || {
        let jobs = market.used_jobs();
        (jobs.len() == 6 && jobs.iter().all(|job| job["status"] == "settled")).then_some(jobs)
    });
    let after = Books::take(&market, &keys);
    assert_eq!(before.vault - after.vault, jobs.iter().map(paid).sum::<u64>());
    assert_eq!(after.total(), before.total());
    audit(&market, &keys);
}

fn check_still_works(market: &Market) {
    let answer = sdk(market, Sdk::Python, "plain", &chat(QUESTION, json!({})));
    assert!(answer["content"].as_str().is_some_and(|text| text.contains("Paris")), "{answer}");
}
