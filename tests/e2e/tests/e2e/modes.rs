//! How calls come to their jobs: each its own ahead of need, or many in one; and that the books balance
//! in every mode.

use std::process::Child;

use chainference_e2e::{
    client::{QUESTION, Sdk, chat, post, sdk, sdk_command},
    eventually,
    market::{Market, Place},
    money::{Books, Keys},
};
use serde_json::{Value, json};

fn number(job: &Value, name: &str) -> u64 {
    job[name].as_u64().unwrap_or_else(|| panic!("no {name} in {job}"))
}

fn ask(market: &Market, body: &Value) -> Value {
    let answer = post(market, &market.key(), &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn waiting(market: &Market) -> Vec<Value> {
    let waits =
        |job: &Value| job["status"] == "locked" && job["call"].is_null() && job["calls"] == 0;
    market.jobs().into_iter().filter(waits).collect()
}

fn at_once(market: &Market, calls: usize) -> Vec<Value> {
    let started: Vec<Child> = (0..calls)
        .map(|call| {
            let body = chat(&format!("Name {call} animals."), json!({"max_tokens": 20}));
            sdk_command(market, Sdk::Python, "stream", &body).spawn().expect("a client")
        })
        .collect();
    let ended = started.into_iter().map(|client| client.wait_with_output().expect("ended"));
    ended.map(|output| serde_json::from_slice(&output.stdout).expect("an answer")).collect()
}

#[test]
fn a_job_is_ready_before_its_call_and_let_go_where_none_comes() {
    let market = Market::new();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let body = chat(QUESTION, json!({"max_tokens": 24}));
    ask(&market, &body);
    let ready = eventually("jobs are ready", 30, || {
        Some(waiting(&market)).filter(|ready| !ready.is_empty())
    });
    let answer = ask(&market, &body);
    let id = &answer["usage"]["chainference"]["job"];
    assert!(ready.iter().any(|job| job["id"] == *id), "{id} was ready: {ready:?}");

    let jobs = eventually("both calls are settled", 30, || {
        let jobs = market.used_jobs();
        (jobs.len() == 2 && jobs.iter().all(|job| job["status"] == "settled")).then_some(jobs)
    });
    let after = Books::take(&market, &keys);
    assert_eq!(before.vault - after.vault, jobs.iter().map(|job| number(job, "paid")).sum::<u64>());
    assert_eq!(after.total(), before.total());

    let (place, ended) = market.interrupt();
    assert!(ended.success());
    for job in place.jobs() {
        assert_eq!(job["status"], "settled", "a gateway that ends leaves no stake behind: {job}");
    }
    let market = Market::start(place);
    let again = Books::take(&market, &keys);
    assert_eq!((again.vault, again.reserved), (after.vault, 0));
}

#[test]
fn a_session_carries_calls_one_after_another_and_at_once_and_one_claim_settles_it() {
    let market = Place::new().with(&["--mode", "session"]).start();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let mut costs = 0;
    let mut tokens = (0, 0);
    let first = ask(&market, &chat(QUESTION, json!({"max_tokens": 40})));
    let second = ask(&market, &chat(QUESTION, json!({"max_tokens": 40})));
    for answer in [first, second].into_iter().chain(at_once(&market, 4)) {
        let usage = &answer["usage"];
        costs += number(&usage["chainference"], "cost_lamports");
        tokens.0 += number(usage, "prompt_tokens");
        tokens.1 += number(usage, "completion_tokens");
    }
    let jobs = market.jobs();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((&jobs[0]["mode"], &jobs[0]["calls"]), (&json!("session"), &json!(6)));

    let (place, ended) = market.interrupt();
    assert!(ended.success());
    let job = place.jobs().remove(0);
    assert_eq!(job["status"], "settled", "{job}");
    assert_eq!((number(&job, "tokens_in"), number(&job, "tokens_out")), tokens);
    let paid = number(&job, "paid");
    assert!(paid > 0 && paid <= costs, "{paid} in all, {costs} as it looked when calls ended");
    let spend = &place.json(&["spend", "--json"])["spend"][0];
    assert_eq!(number(spend, "cost_lamports"), paid, "{spend}");
    let market = Market::start(place);
    let after = Books::take(&market, &keys);
    assert_eq!((before.vault - after.vault, after.reserved), (paid, 0));
    assert_eq!(after.worker - before.worker, paid);
    assert_eq!(after.total(), before.total());
}

#[test]
fn a_key_may_have_its_own_mode() {
    let market = Market::new();
    let made = market.json(&["keys", "create", "thrifty", "--mode", "session", "--json"]);
    assert_eq!(made["key"]["mode"], "session");
    let secret = made["secret"].as_str().expect("a secret");
    let body = chat(QUESTION, json!({"max_tokens": 8})).to_string();
    for _ in 0..2 {
        assert_eq!(post(&market, secret, &body).status, 200);
    }
    assert_eq!(post(&market, &market.key(), &body).status, 200);
    let carried = |mode: &str| -> u64 {
        let jobs = market.used_jobs().into_iter().filter(|job| job["mode"] == mode);
        jobs.map(|job| number(&job, "calls")).sum()
    };
    eventually("all three are on their jobs", 20, || {
        ((carried("session"), carried("per-call")) == (2, 1)).then_some(())
    });
    let shown = market.place.run(&["keys", "show", "thrifty"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("mode session"), "{shown:?}");
}

#[test]
fn a_session_gets_more_stake_when_it_is_nearly_used() {
    let market = Place::new().with(&["--mode", "session", "--charge-min", "0"]).start();
    ask(&market, &chat("Hi.", json!({"max_tokens": 1})));
    let begun = market.jobs().remove(0);
    // Each of these may cost many times as much as the first, by which the stake was measured.
    let long = "Say only yes to this: ".to_owned() + &"so it is. ".repeat(150);
    let grown = eventually("the stake grows", 90, || {
        ask(&market, &chat(&long, json!({"max_tokens": 30})));
        let job = market.jobs().into_iter().find(|job| job["id"] == begun["id"])?;
        (number(&job, "stake") > number(&begun, "stake")).then_some(job)
    });
    assert_eq!(number(&grown, "stake"), 2 * number(&begun, "stake"), "{grown}");
    for _ in 0..3 {
        ask(&market, &chat(&long, json!({"max_tokens": 30})));
    }
    let (place, _) = market.interrupt();
    for job in place.jobs() {
        assert_eq!(job["status"], "settled", "{job}");
        assert_eq!(number(&job, "stake"), number(&job, "paid") + number(&job, "refund"));
    }
}

#[test]
fn a_client_that_leaves_a_session_harms_no_other_call() {
    let market = Place::new().with(&["--mode", "session"]).start();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let body = chat("Tell me a long story about the sea.", json!({"max_tokens": 1500}));
    for _ in 0..3 {
        let mut gone =
            sdk_command(&market, Sdk::Python, "stream", &body).spawn().expect("a client");
        eventually("a call runs", 30, || {
            market.jobs().iter().any(|job| number(job, "tokens_out") > 0).then_some(())
        });
        let staying = at_once(&market, 1);
        gone.kill().expect("killed");
        gone.wait().expect("waited for");
        assert!(number(&staying[0]["usage"], "completion_tokens") > 0, "{staying:?}");
        let answer = sdk(&market, Sdk::Python, "plain", &chat(QUESTION, json!({})));
        assert!(answer["content"].as_str().is_some_and(|text| text.contains("Paris")), "{answer}");
    }
    let (place, _) = market.interrupt();
    let jobs = place.jobs();
    assert!(jobs.iter().all(|job| job["status"] == "settled"), "{jobs:?}");
    let market = Market::start(place);
    let after = Books::take(&market, &keys);
    assert_eq!(before.vault - after.vault, jobs.iter().map(|job| number(job, "paid")).sum::<u64>());
    assert_eq!(after.total(), before.total());
}

#[test]
fn a_jobs_whole_story_is_told_and_a_reader_may_leave_early() {
    let market = Market::new();
    let answer = ask(&market, &chat(QUESTION, json!({"max_tokens": 24})));
    let id = answer["usage"]["chainference"]["job"].as_str().expect("a job").to_owned();
    market.await_job("settled", 30);
    let story = market.json(&["jobs", "--json", "show", &id[..8]]);
    assert_eq!((&story["id"], &story["status"]), (&json!(id), &json!("settled")));
    assert_eq!(story["terms"]["stake"], story["stake"]);
    assert_eq!(story["calls_made"][0]["id"], answer["id"]);
    let usage = &answer["usage"];
    let totals = (&usage["prompt_tokens"], &usage["completion_tokens"]);
    let list = |name: &str| story[name].as_array().expect("a list").clone();
    let last = list("vouchers").pop().expect("a voucher");
    assert_eq!((&last["tokens_in"], &last["tokens_out"]), totals);
    let receipts = list("receipts");
    let end = receipts.iter().find(|receipt| receipt["kind"] == "end").expect("the last receipt");
    assert_eq!((&end["tokens_in"], &end["tokens_out"]), totals);
    assert!(receipts.iter().all(|receipt| receipt["problem"].is_null()), "{receipts:?}");
    let sent = list("transactions");
    assert_eq!((&sent[0]["kind"], &sent[0]["status"]), (&json!("publish"), &json!("landed")));
    let fees: u64 = sent.iter().map(|sent| number(sent, "fee")).sum();
    assert_eq!(fees, number(&story, "fees"));
    let text = market.place.run(&["jobs", "show", &id]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for word in ["session_key", "publish", "landed", "accepted", "good", "serve_until_unix_s"] {
        assert!(text.contains(word), "no {word}: {text}");
    }

    let binary = chainference_e2e::binary("chainference");
    let piped = format!("set -o pipefail; {} jobs | {{ exec <&-; sleep 1; }}", binary.display());
    let output = std::process::Command::new("bash")
        .args(["-c", &piped])
        .env("CHAINFERENCE_HOME", market.place.home())
        .output()
        .expect("bash");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
