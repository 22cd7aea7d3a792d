//! What clients see of their jobs, and what the chain hears of what they say.

use chainference_e2e::{
    client::{Answer, QUESTION, chat, get, post, post_to},
    eventually,
    market::{Market, block_on},
    money::{Keys, audit},
};
use serde_json::{Value, json};

/// A job's account goes 1,500 slots after its opening.
const CLOSED_WITHIN_S: u64 = 90;

fn key(market: &Market, name: &str) -> String {
    let made = market.json(&["keys", "create", name, "--json"]);
    made["secret"].as_str().expect("a secret").to_owned()
}

/// The job of a call that is made with this key.
fn job(market: &Market, key: &str) -> String {
    let answer = post(market, key, &chat(QUESTION, json!({"max_tokens": 8})).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["usage"]["chainference"]["job"].as_str().expect("a job").to_owned()
}

fn code(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["error"]["code"].as_str().unwrap_or("none"))
}

fn say(market: &Market, key: &str, job: &str, verdict: &str) -> Answer {
    let body = json!({"job": job, "verdict": verdict, "reason": "it rambles"}).to_string();
    post_to(market, "/chainference/feedback", key, &body)
}

#[test]
fn a_flag_given_before_the_close_counts_on_chain_and_after_it_none_is_taken() {
    let market = Market::new();
    let (alice, bob) = (key(&market, "alice"), key(&market, "bob"));
    let (mine, praised) = (job(&market, &alice), job(&market, &alice));
    let of = |id: &str| format!("/chainference/jobs/{id}");

    let story = eventually("its calls have ended", 20, || {
        let story = get(&market, &of(&mine), &alice).body;
        (story["receipts"].as_array()?.len() > 1).then_some(story)
    });
    assert_eq!(story["calls_made"].as_array().map(Vec::len), Some(1), "{story}");
    assert_eq!(code(&get(&market, &of(&mine), &bob)), (404, "job_not_found"));
    assert_eq!(get(&market, &of(&mine), &market.key()).body["id"], mine);
    let listed = |key: &str| -> Vec<Value> {
        get(&market, "/chainference/jobs?limit=10", key).body["data"]
            .as_array()
            .expect("a list")
            .clone()
    };
    assert_eq!((listed(&alice).len(), listed(&bob).len()), (2, 0));
    let receipts = get(&market, &format!("/chainference/receipts?job={mine}"), &alice).body;
    assert_eq!(receipts["data"], story["receipts"]);
    assert_eq!(receipts["operator"], story["terms"]["operator"]);

    assert_eq!(code(&say(&market, &bob, &mine, "flag")), (404, "job_not_found"));
    let said = say(&market, &alice, &mine, "ok");
    assert_eq!(said.body["data"][0], json!({"job": mine, "verdict": "ok"}));
    assert_eq!(say(&market, &alice, &mine, "flag").status, 200, "she may think again");
    assert_eq!(code(&say(&market, &market.key(), &mine, "ok")), (409, "already_judged"));
    assert_eq!(say(&market, &alice, &praised, "ok").status, 200);

    eventually("both are closed", CLOSED_WITHIN_S, || {
        let is_closed = |job: &Value| job["status"] == "closed";
        (listed(&alice).iter().filter(|job| is_closed(job)).count() == 2).then_some(())
    });
    assert_eq!(code(&say(&market, &alice, &mine, "ok")), (409, "job_closed"));
    let keys = Keys::of(&market);
    let record = block_on(market.chain().worker(&keys.worker())).expect("answered").expect("there");
    assert_eq!((record.reputation.jobs_completed, record.reputation.jobs_flagged), (2, 1));
    assert!(record.reputation.fees_flagged > 0);
    let shown = market.place.run(&["jobs", "show", &mine]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("verdict   flag: it rambles"), "{shown}");
    audit(&market, &keys);
}
