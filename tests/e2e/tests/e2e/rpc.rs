//! A gateway whose node of the chain is away, loses things, or tells nonsense.

use std::time::Duration;

use chainference_e2e::{
    client::{Answer, QUESTION, chat, curl, post},
    market::{Market, Place},
    stranger::Stranger,
};
use chainference_testkit::{Faults, RpcProxy};
use serde_json::json;

/// No subscriptions: what is lost on the way can only be asked for again.
const NO_WS: &str = "ws://127.0.0.1:1";
/// What the chain said last is not acted on after so long.
const DIRECTORY_IS_OLD: Duration = Duration::from_secs(11);

fn ask(stranger: &Stranger<'_>) -> Answer {
    post(&stranger.place, &stranger.place.key(), &chat(QUESTION, json!({})).to_string())
}

fn check(stranger: &Stranger<'_>, when: &str) {
    let answer = ask(stranger);
    assert_eq!(answer.status, 200, "{when}: {}", answer.body);
}

#[test]
fn another_node_is_asked_where_the_first_is_away() {
    let market = Market::new();
    let stranger = Stranger::new(&market, Place::new());
    let proxy = RpcProxy::start(&market.rpc_url(), 1);
    let fallback = market.rpc_url();
    let nodes = ["--rpc-url", proxy.url(), "--ws-url", NO_WS, "--rpc-fallback", fallback.as_str()];
    let gateway = stranger.start("strict", &nodes, &[]);
    gateway.await_ready(&stranger);
    check(&stranger, "all is well");
    assert!(proxy.seen("sendTransaction") > 0, "the first node is asked first");
    proxy.set(Faults { away: true, ..Faults::default() });
    check(&stranger, "at once");
    std::thread::sleep(DIRECTORY_IS_OLD);
    check(&stranger, "later");
    proxy.set(Faults::default());
    assert!(gateway.stop().success());
}

#[test]
fn calls_on_a_locked_job_go_on_without_the_chain_and_others_hear_when_to_come_back() {
    let market = Place::new().with(&["--charge-min", "0"]).start();
    let stranger = Stranger::new(&market, Place::new());
    let before = stranger.purse();
    let proxy = RpcProxy::start(&market.rpc_url(), 1);
    let gateway = stranger.start("session", &["--rpc-url", proxy.url(), "--ws-url", NO_WS], &[]);
    gateway.await_ready(&stranger);
    let short = chat("Hi.", json!({"max_tokens": 2})).to_string();
    let key = stranger.place.key();
    assert_eq!(post(&stranger.place, &key, &short).status, 200);
    proxy.set(Faults { away: true, ..Faults::default() });
    std::thread::sleep(DIRECTORY_IS_OLD);
    let answer = post(&stranger.place, &key, &short);
    assert_eq!(answer.status, 200, "{}", answer.body);

    // Its greatest cost is beyond what is left of the session's stake.
    let dear = chat(&"word ".repeat(600), json!({"n": 8, "max_tokens": 2000})).to_string();
    let answer = post(&stranger.place, &key, &dear);
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.body["error"]["code"], "chain_unavailable", "{}", answer.body);
    let headers = curl(&[
        "-s",
        "-D",
        "-",
        "-o",
        "/dev/null",
        &format!("{}/chat/completions", stranger.place.base_url()),
        "-H",
        &format!("authorization: Bearer {key}"),
        "-H",
        "content-type: application/json",
        "-d",
        &dear,
    ]);
    assert!(headers.to_lowercase().contains("retry-after:"), "{headers}");
    proxy.set(Faults::default());
    assert!(gateway.stop().success());
    let again = stranger.start("strict", &[], &[]);
    stranger.audit(before, 60);
    assert!(again.stop().success());
}

#[test]
fn what_a_node_loses_delays_doubles_and_denies_costs_nobody_a_lamport() {
    let market = Market::new();
    let stranger = Stranger::new(&market, Place::new());
    let before = stranger.purse();
    let proxy = RpcProxy::start(&market.rpc_url(), 7);
    for mode in ["strict", "per-call"] {
        let gateway = stranger.start(mode, &["--rpc-url", proxy.url(), "--ws-url", NO_WS], &[]);
        gateway.await_ready(&stranger);
        let (slow, twice) = (Duration::from_millis(150), true);
        proxy.set(Faults {
            drop_one_in: 8,
            delay_max: slow,
            duplicate: twice,
            ..Faults::default()
        });
        let answered = (0..8).filter(|_| ask(&stranger).status == 200).count();
        assert!(answered >= 1, "{mode}: a node that answers now and then is of some use");
        // Longer than a blockhash lives here: what has landed looks as if it never could.
        proxy.set(Faults { forget_for: Duration::from_secs(8), ..Faults::default() });
        check(&stranger, mode);
        proxy.set(Faults::default());
        check(&stranger, mode);
        assert!(gateway.stop().success());
    }
    let again = stranger.start("strict", &[], &[]);
    stranger.audit(before, 90);
    assert!(again.stop().success());
}
