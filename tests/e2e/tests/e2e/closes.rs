//! The accounts of settled jobs go together, for one fee.

use std::mem::offset_of;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chainference_chain::accounts::{Job, JobStatus};
use chainference_e2e::{
    client::{QUESTION, chat, post},
    eventually,
    market::Market,
    money::{Keys, audit},
};
use serde_json::{Value, json};

/// 1,650 slots of this chain and some: the oldest has waited for others for long enough, too.
const SLOTS_S: i64 = 45;
/// Where an account says how its job stands: behind its tag.
const STATUS_AT: usize = 8 + offset_of!(Job, status);

/// The jobs of so many calls, settled.
fn settled(market: &Market, calls: usize) -> Vec<String> {
    let call = |_| {
        let answer =
            post(market, &market.key(), &chat(QUESTION, json!({"max_tokens": 8})).to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["usage"]["chainference"]["job"].as_str().expect("a job").to_owned()
    };
    let jobs: Vec<String> = (0..calls).map(call).collect();
    await_status(market, &jobs, "settled");
    jobs
}

fn await_status(market: &Market, jobs: &[String], status: &str) {
    eventually(&format!("all are {status}"), 60, || {
        jobs.iter().all(|job| story(market, job)["status"] == status).then_some(())
    });
}

fn story(market: &Market, job: &str) -> Value {
    market.json(&["jobs", "--json", "show", job])
}

/// The closes of a job that have come to this.
fn closes(market: &Market, job: &str, status: &str) -> Vec<Value> {
    let all = story(market, job)["transactions"].as_array().expect("a list").clone();
    all.into_iter().filter(|sent| sent["kind"] == "close" && sent["status"] == status).collect()
}

/// Has the job's account say another status; returns the one that it said.
fn set_status(market: &Market, job: &str, status: u8) -> u8 {
    let account = market.rpc("getAccountInfo", json!([job, {"encoding": "base64"}]));
    let data = account["value"]["data"][0].as_str().expect("base64");
    let mut data = BASE64.decode(data).expect("base64");
    let before = std::mem::replace(&mut data[STATUS_AT], status);
    let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
    market.rpc("surfnet_setAccount", json!([job, {"data": hex}]));
    before
}

#[test]
fn accounts_are_closed_together_and_one_that_is_refused_holds_up_no_other() {
    let market = Market::new();
    let jobs = settled(&market, 4);
    market.time_travel(SLOTS_S);
    await_status(&market, &jobs, "closed");
    let landed: Vec<Value> = jobs.iter().flat_map(|job| closes(&market, job, "landed")).collect();
    assert_eq!(landed.len(), jobs.len(), "{landed:?}");
    assert!(landed.iter().all(|close| close["signature"] == landed[0]["signature"]), "{landed:?}");
    let fees: u64 = landed.iter().filter_map(|close| close["fee"].as_u64()).sum();
    assert_eq!(fees, 5_000, "one signature, borne once: {landed:?}");

    let jobs = settled(&market, 4);
    let (stuck, others) = jobs.split_first().expect("four");
    let was = set_status(&market, stuck, JobStatus::Locked as u8);
    market.time_travel(SLOTS_S);
    await_status(&market, others, "closed");
    assert_eq!(story(&market, stuck)["status"], "settled");
    assert!(!closes(&market, &others[0], "rejected").is_empty(), "first it was tried together");
    set_status(&market, stuck, was);
    await_status(&market, &jobs, "closed");
    audit(&market, &Keys::of(&market));
}
