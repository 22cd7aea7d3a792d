//! What an operator does beside running a worker: looks at it, takes its earnings, leaves the market.

use std::process::Output;

use chainference_chain::{Pubkey, accounts::WorkerStatus};
use chainference_e2e::{
    client::{chat, post},
    eventually,
    market::{Market, Place, block_on},
    money::Keys,
};
use serde_json::json;

/// The embedded chain's market holds a bond for so long.
const COOLDOWN_S: i64 = 3_600;

fn ask(market: &Market) -> u16 {
    post(market, &market.key(), &chat("Say hello.", json!({"max_tokens": 5})).to_string()).status
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn status_tells_what_the_worker_does_and_has_and_withdraw_empties_its_record() {
    let market = Market::new();
    assert_eq!(ask(&market), 200);
    let paid = market.await_job("settled", 30)["paid"].clone();
    let found = eventually("the worker knows", 10, || {
        let found = market.json(&["worker", "status", "--json"]);
        let waiting = market.jobs().iter().filter(|job| job["status"] == "locked").count();
        let jobs = &found["running"]["jobs"];
        (jobs["settled"] == 1 && jobs["locked"] == waiting).then_some(found)
    });
    let (running, record) = (&found["running"], &found["chain"]["record"]);
    assert_eq!(running["status"], "ok");
    assert_eq!(running["settled"], paid);
    assert_eq!(running["calls"]["running"], 0);
    assert!(running["tokens"]["out"].as_u64().is_some_and(|tokens| tokens > 0), "{found}");
    // The engine's model is part of it.
    assert!(running["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 100 << 20), "{found}");
    assert_eq!(record["earnings"].as_u64(), paid.as_u64().map(|paid| paid * 9 / 10));
    assert_eq!(record["status"], "in the market");
    assert_eq!(record["reputation"]["jobs_completed"], 1);
    let text = said(&market.place.run(&["worker", "status"]));
    assert!(text.contains("in the market") && text.contains("1 settled"), "{text}");

    let text = said(&market.place.run(&["worker", "withdraw"]));
    assert!(text.contains("Withdrew"), "{text}");
    let found = market.json(&["worker", "status", "--json"]);
    assert_eq!(found["chain"]["record"]["earnings"], 0);
}

#[test]
fn worker_leaves_the_market_step_by_step_and_its_bond_comes_back() {
    let market = Market::new();
    let keys = Keys::of(&market);
    assert_eq!(ask(&market), 200);
    market.await_job("settled", 30);

    let text = said(&market.place.run(&["worker", "retire"]));
    assert!(text.contains("no new jobs") && text.contains("waits for the bond"), "{text}");
    eventually("no worker is left to call", 60, || (ask(&market) == 503).then_some(()));
    let text = said(&market.place.run(&["worker", "retire", "--undo"]));
    assert!(text.contains("back in the market"), "{text}");
    eventually("the worker serves again", 60, || (ask(&market) == 200).then_some(()));

    said(&market.place.run(&["worker", "retire"]));
    let chain = market.chain();
    let record = || block_on(chain.worker(&keys.worker())).expect("answered");
    assert_eq!(record().map(|record| record.status()), Some(WorkerStatus::Retiring));
    eventually("its jobs have ended", 60, || {
        record().is_some_and(|record| record.live_jobs == 0).then_some(())
    });
    market.time_travel(COOLDOWN_S + 10);
    let balance = |key: Pubkey| block_on(chain.balance(&key)).expect("answered").0;
    let (before, held) = (balance(keys.worker_owner), balance(keys.worker()));
    let fees = record().map_or(0, |record| record.fees_platform);
    let text = said(&market.place.run(&["worker", "retire", "--wait"]));
    assert!(text.contains("Retired."), "{text}");
    assert!(record().is_none());
    assert!(block_on(chain.offers()).expect("answered").is_empty());
    let got = balance(keys.worker_owner) - before;
    assert!(fees > 0 && got > held - fees, "bond, earnings, rent, and the offer's: {got}");
    let text = said(&market.place.run(&["worker", "retire"]));
    assert!(text.contains("nothing to retire"), "{text}");
}

#[test]
fn list_of_clients_with_a_mistake_is_refused_by_name() {
    drop(Market::new()); // the model is there
    let output = Place::new().run(&["worker", "--block-client", "nonsense"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("--block-client") && errors.contains("nonsense"), "{errors}");
}
