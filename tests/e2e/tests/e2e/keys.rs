//! Keys with limits of their own, what they have spent, and requests that are sent twice.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use chainference_e2e::{
    MODEL,
    client::{Answer, QUESTION, chat, curl, post},
    eventually,
    market::{Market, Place},
    money::{Keys, audit},
};
use serde_json::{Value, json};

/// Makes a key with these limits and returns its secret.
fn key(market: &Market, name: &str, limits: &[&str]) -> String {
    let made = market.json(&[&["keys", "create", name, "--json"], limits].concat());
    made["secret"].as_str().expect("a secret").to_owned()
}

fn ask(market: &Market, key: &str, max_tokens: u32) -> Answer {
    post(market, key, &chat(QUESTION, json!({"max_tokens": max_tokens})).to_string())
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or("none"))
}

fn spend(market: &Market, name: &str) -> Value {
    market.json(&["spend", "--json", "--key", name])["spend"][0].clone()
}

/// A long answer that is being streamed to a client with the key of that name.
fn streaming(market: &Market, name: &str, key: &str) -> Child {
    let body = chat("Tell me a long story.", json!({"stream": true, "max_tokens": 1500}));
    let mut curl = Command::new("curl");
    curl.args(["-sN", "--max-time", "120", &format!("{}/chat/completions", market.base_url())])
        .args(["-H", &format!("authorization: Bearer {key}"), "-d", &body.to_string()]);
    let curl = curl.stdout(Stdio::null()).spawn().expect("curl");
    eventually("it is reserved", 30, || {
        (spend(market, name)["reserved_lamports"].as_u64() > Some(0)).then_some(())
    });
    curl
}

#[test]
fn a_key_sees_its_models_and_spends_its_budget_and_no_lamport_more() {
    let market = Market::new();
    let listed = |key: &str| -> Value {
        let url = format!("{}/models", market.base_url());
        let text = curl(&["-s", &url, "-H", &format!("authorization: Bearer {key}")]);
        serde_json::from_str::<Value>(&text).expect("JSON")["data"].clone()
    };
    let stranger = key(&market, "stranger", &["--model", "someone/*"]);
    assert_eq!(listed(&stranger), json!([]));
    assert_eq!(code(&ask(&market, &stranger, 5)), (403, "model_not_found"));

    // One call reserves its greatest cost, about 2,000 lamports here, and costs the least charge.
    let poor = key(&market, "poor", &["--model", "huggingfacetb/*", "--budget-total", "5000"]);
    assert_eq!(listed(&poor)[0]["id"], MODEL);
    let mut served = 0;
    let last = loop {
        let answer = ask(&market, &poor, 5);
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 9, "the budget never ends");
    };
    assert_eq!(code(&last), (429, "insufficient_quota"));
    assert_eq!(last.body["error"]["type"], "insufficient_quota");
    assert!(served > 0, "it could have paid for one");
    let spent = eventually("all has ended", 20, || {
        Some(spend(&market, "poor")).filter(|spent| spent["reserved_lamports"] == 0)
    });
    assert_eq!((&spent["calls"], &spent["model"]), (&json!(served), &json!(MODEL)));
    let cost = spent["cost_lamports"].as_u64().expect("lamports");
    assert!((1..=5_000).contains(&cost), "{spent}");

    let shown = market.json(&["keys", "show", "poor", "--json"]);
    assert_eq!(shown["used"][2]["spent_lamports"], cost);
    assert!(market.place.run(&["keys", "revoke", "poor"]).status.success());
    assert_eq!(code(&ask(&market, &poor, 5)), (401, "invalid_api_key"));
    assert_eq!(ask(&market, &market.key(), 5).status, 200, "the first key has no limits");
    assert!(!market.place.run(&["keys", "revoke", "default"]).status.success());
    audit(&market, &Keys::of(&market));
}

#[test]
fn a_place_is_held_as_long_as_the_stream_and_what_a_crash_reserved_is_free_again() {
    let market = Market::new();
    let narrow = key(&market, "narrow", &["--concurrency", "1", "--tokens-per-min", "100000"]);
    let mut stream = streaming(&market, "narrow", &narrow);
    assert_eq!(code(&ask(&market, &narrow, 5)), (429, "rate_limit_exceeded"));
    stream.kill().expect("killed");
    stream.wait().expect("ended");
    eventually("its place is free", 20, || (ask(&market, &narrow, 5).status == 200).then_some(()));
    let headers = curl(&[
        "-si",
        &format!("{}/models", market.base_url()),
        "-H",
        &format!("authorization: Bearer {narrow}"),
    ]);
    assert!(headers.contains("x-ratelimit-limit-tokens: 100000"), "{headers}");

    let mut stream = streaming(&market, "narrow", &narrow);
    market.kill_part("gateway");
    market.await_recovery();
    assert_eq!(spend(&market, "narrow")["reserved_lamports"], 0);
    let _ = stream.kill();
    stream.wait().expect("ended");
}

#[test]
fn a_request_with_an_idempotency_key_is_paid_once_however_often_it_is_sent() {
    let market = Market::new();
    let send = |name: &str, body: &Value| {
        let key = market.key();
        let text = curl(&[
            "-si",
            &format!("{}/chat/completions", market.base_url()),
            "-H",
            &format!("authorization: Bearer {key}"),
            "-H",
            &format!("idempotency-key: {name}"),
            "-d",
            &body.to_string(),
        ]);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    };
    let whole = chat(QUESTION, json!({"max_tokens": 8}));
    let streamed = chat(QUESTION, json!({"max_tokens": 8, "stream": true}));
    for (name, body) in [("whole", &whole), ("streamed", &streamed)] {
        let (head, first) = send(name, body);
        assert!(head.contains("200 OK") && !head.contains("idempotent-replayed"), "{head}");
        let (head, again) = send(name, body);
        assert!(head.contains("idempotent-replayed: true"), "{head}");
        assert_eq!(again, first);
    }
    assert!(send("streamed", &streamed).1.ends_with("data: [DONE]\n\n"));
    let used = || market.jobs().iter().filter_map(|job| job["calls"].as_u64()).sum::<u64>();
    assert_eq!(used(), 2, "one job for each request");
    let (head, other) = send("whole", &streamed);
    assert!(head.contains("400") && other.contains("idempotency_key_reused"), "{head} {other}");

    market.kill_part("gateway");
    market.await_recovery();
    let (head, lost) = send("whole", &whole);
    assert!(head.contains("409") && lost.contains("idempotency_result_lost"), "{head} {lost}");
    assert!(head.contains("x-should-retry: false"), "{head}");
    assert_eq!(used(), 2, "and nothing was paid again");
}

#[test]
fn a_log_for_machines_is_json_and_holds_neither_prompt_nor_key() {
    let market = Place::new()
        .with(&["--log-format", "json", "--low-balance-lamports", "99000000000"])
        .start();
    assert_eq!(ask(&market, &market.key(), 8).status, 200);
    let log = eventually("the log warns of the vault", 40, || {
        Some(market.log("gateway.log")).filter(|log| log.contains("runs low"))
    });
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    assert!(!log.contains("capital of France") && !log.contains(&market.key()), "{log}");
    let url = format!("{}/chainference/balance", market.base_url());
    let told = curl(&["-s", &url, "-H", &format!("authorization: Bearer {}", market.key())]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (&told["low"], &told["low_below_lamports"]),
        (&json!(true), &json!(99_000_000_000_u64))
    );
}

#[test]
fn settings_are_shown_with_where_they_are_from_and_mistakes_with_what_was_meant() {
    let place = Place::new();
    let file = place.home().join("config.toml");
    fs::write(&file, "[gateway]\nconcurrency_max = 7\n").expect("written");
    let mut show = place.command(&["config", "show", "--json", "--rpc-port", "1234"]);
    let shown = show.env("CHAINFERENCE_WORKER_SLOTS", "3").output().expect("shown");
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let from = |name: &str| {
        let all = shown.as_array().expect("a list");
        let one = all.iter().find(|one| one["name"] == name).expect("a setting");
        (one["from"].as_str().expect("a source").to_owned(), one["value"].clone())
    };
    assert_eq!(from("chain.rpc_port"), ("flag".into(), json!(1234)));
    assert_eq!(from("worker.slots"), ("environment".into(), json!(3)));
    assert_eq!(from("gateway.concurrency_max"), ("file".into(), json!(7)));
    assert_eq!(from("gateway.listen"), ("default".into(), Value::Null));
    assert!(place.run(&["config", "check"]).status.success());
    fs::write(&file, "[gateway]\nconcurency_max = 7\n").expect("written");
    let checked = place.run(&["config", "check"]);
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1));
    assert!(told.contains("line 2") && told.contains("did you mean `concurrency_max`?"), "{told}");
    let schema = place.json(&["config", "schema"]);
    assert!(schema["properties"]["gateway"].is_object(), "{schema}");
}
