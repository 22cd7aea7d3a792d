//! A session that grows old is followed by another, and no call notices.

use std::{
    fs::File,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chainference_e2e::{
    client::{QUESTION, chat, post},
    eventually,
    market::{Market, Place},
    money::{Books, Keys, audit},
};
use serde_json::{Value, json};

/// A session is served for 3,000 s and followed by another in its last 600.
const OLD_S: i64 = 2_430;
/// Then no call could be sure to end in time.
const TOO_OLD_S: i64 = 2_700;
const LONG: u64 = 1_900;
/// A worker is held for dead after such a leap, until its next heartbeat: once a minute, from its start.
const BEFORE_HEARTBEAT: Duration = Duration::from_secs(46);

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Slots go by with the time: a settled job's account may be closed at once.
fn is_over(job: &Value) -> bool {
    job["status"] == "settled" || job["status"] == "closed"
}

/// The job that a call was answered on; `None` where nobody serves.
fn ask(market: &Market) -> Option<Value> {
    let body = chat(QUESTION, json!({"max_tokens": 12})).to_string();
    let answer = post(market, &market.key(), &body);
    let is_served = answer.status == 200;
    assert!(is_served || answer.status == 503, "{}", answer.body);
    is_served.then(|| answer.body["usage"]["chainference"]["job"].clone())
}

/// A long answer, written to a file as it comes.
fn stream(market: &Market, path: &Path) -> Child {
    let more = json!({"stream": true, "max_tokens": LONG, "ignore_eos": true, "stream_options": {"include_usage": true}});
    let body = chat("Tell me a long story.", more);
    Command::new("curl")
        .args(["-sN", "--max-time", "120", &format!("{}/chat/completions", market.base_url())])
        .args(["-H", &format!("authorization: Bearer {}", market.key()), "-d", &body.to_string()])
        .stdout(File::create(path).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("curl")
}

#[test]
fn a_session_that_grows_old_is_followed_by_another_and_no_call_notices() {
    let market = Place::new().with(&["--mode", "session"]).start();
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let first = ask(&market).expect("served");
    std::thread::sleep(BEFORE_HEARTBEAT);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events");
    let mut curl = stream(&market, &path);
    let said = || std::fs::read_to_string(&path).unwrap_or_default();
    eventually("tokens flow", 60, || said().contains("\"content\"").then_some(()));
    // Not before: a worker claims what has not been called for two minutes.
    market.time_travel(OLD_S);
    let next = eventually("another session", 90, || ask(&market).filter(|job| *job != first));
    let is_running = curl.try_wait().expect("waited for").is_none();
    eprintln!("followed while a call was running: {is_running}");
    eventually("the long call ends", 60, || curl.try_wait().expect("waited for"));
    assert!(said().contains("[DONE]"), "nothing was cut: {}", said());
    let last = said()
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
    let last = last.expect("usage");
    assert_eq!(last["usage"]["chainference"]["job"], first, "{last}");
    assert_eq!(last["usage"]["completion_tokens"], LONG);
    let settled = |id: &Value| {
        let is_it = |job: &&Value| job["id"] == *id;
        market.jobs().iter().find(is_it).is_some_and(is_over).then_some(())
    };
    eventually("the old one is settled", 60, || settled(&first));
    assert_eq!(ask(&market), Some(next.clone()), "calls go on with its successor");

    // Too old at once: it ends, and a call opens another.
    market.time_travel(TOO_OLD_S);
    let is_another = |job: &Value| *job != next && *job != first;
    eventually("a third session", 90, || ask(&market).filter(is_another));
    eventually("the second is settled", 60, || settled(&next));

    let (place, ended) = market.interrupt();
    assert!(ended.success());
    let jobs = place.jobs();
    assert!(jobs.len() == 3 && jobs.iter().all(is_over), "{jobs:?}");
    let market = Market::start(place);
    let after = Books::take(&market, &keys);
    let paid: u64 = jobs.iter().map(|job| number(&job["paid"])).sum();
    assert_eq!((before.vault - after.vault, after.reserved), (paid, 0));
    assert_eq!(after.total(), before.total());
    audit(&market, &keys);
}
