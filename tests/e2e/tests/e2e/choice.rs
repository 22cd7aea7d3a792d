//! Which worker a call goes to, why, and what clients say of two.

use chainference_e2e::{
    MODEL,
    client::{QUESTION, chat, curl, get, post_to},
    colleague::Colleague,
    eventually,
    market::{Market, Place, block_on},
    money::{Keys, audit},
};
use serde_json::{Value, json};

const CLOSED_WITHIN_S: u64 = 90;

/// A call's head and body.
fn ask(market: &Market, body: &Value, more: &[&str]) -> (String, Value) {
    let key = format!("authorization: Bearer {}", market.key());
    let url = format!("{}/chat/completions", market.base_url());
    let body = body.to_string();
    let text = curl(&[&["-si", &url, "-H", &key, "-d", &body], more].concat());
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

fn workers(market: &Market) -> Vec<Value> {
    let shown = market.json(&["workers", "--model", MODEL, "--json"]);
    shown.as_array().expect("a list").clone()
}

#[test]
fn the_choice_is_explained_and_two_answers_are_compared_on_chain() {
    let market = Place::new().with(&["--price-out-per-mtok", "1200000"]).start();
    let dear =
        Colleague::start(&market, &["--price-out-per-mtok", "9600000", "--charge-min", "8000"]);
    let body = chat(QUESTION, json!({"max_tokens": 8}));
    let shown =
        eventually("both are seen", 20, || Some(workers(&market)).filter(|all| all.len() == 2));
    let cheap = shown[0]["worker"].as_str().expect("a worker").to_owned();
    assert_eq!(shown[1]["worker"], dear.worker.to_string());
    let choice = |place: usize| &shown[place]["offers"][0]["choice"];
    assert_eq!((&choice(0)["chosen"], &choice(0)["price_bps"]), (&json!(true), &json!(10_000)));
    assert_eq!(choice(1)["why"], "it scores less");
    assert_eq!(shown[0]["breaker"]["state"], "closed");

    let (head, first) = ask(&market, &body, &[]);
    assert_eq!(header(&head, "x-chainference-worker"), cheap, "{head}");
    let why = header(&head, "x-chainference-choice");
    assert!(why.starts_with("price=1.00 ") && why.ends_with(" of=2"), "{head}");
    let (head, _) = ask(&market, &body, &[]);
    let why = header(&head, "x-chainference-choice");
    assert!(why.contains("sticky=1.00"), "it has seen this conversation begin: {head}");
    let (measured, offered) =
        (workers(&market), get(&market, "/chainference/offers", &market.key()));
    assert!(measured[0]["offers"][0]["choice"]["expected_ms"].as_u64() > Some(0), "{measured:?}");
    assert_eq!(offered.body["data"].as_array().map(Vec::len), Some(2), "{}", offered.body);

    let avoid = format!("x-chainference-avoid: {cheap}");
    let (head, second) = ask(&market, &body, &["-H", &avoid]);
    assert_eq!(header(&head, "x-chainference-worker"), dear.worker.to_string(), "{head}");
    assert!(header(&head, "x-chainference-choice").ends_with(" of=1"), "{head}");
    let (head, refused) = ask(&market, &body, &["-H", "x-chainference-avoid: nobody"]);
    assert!(head.contains(" 400 ") && refused["error"]["code"] == "invalid_value", "{head}");

    let job =
        |answer: &Value| answer["usage"]["chainference"]["job"].as_str().expect("a job").to_owned();
    let jobs = [job(&first), job(&second)];
    let compare = |preferred: &str| {
        let body = json!({"jobs": jobs, "preferred": preferred}).to_string();
        post_to(&market, "/chainference/compare", &market.key(), &body)
    };
    let kept = compare(&jobs[1]);
    assert_eq!(
        (kept.status, &kept.body["data"][0]["verdict"]),
        (200, &json!("better")),
        "{}",
        kept.body
    );
    assert_eq!(compare(&jobs[0]).body["error"]["code"], "already_judged");
    eventually("both are closed", CLOSED_WITHIN_S, || {
        let listed = market.jobs();
        let is_closed = |id: &String| {
            listed.iter().any(|job| job["id"] == id.as_str() && job["status"] == "closed")
        };
        jobs.iter().all(is_closed).then_some(())
    });
    let record =
        |worker| block_on(market.chain().worker(&worker)).expect("answered").expect("there");
    let compared = |worker| {
        let reputation = record(worker).reputation;
        (reputation.jobs_compared, reputation.jobs_preferred)
    };
    assert_eq!(compared(dear.worker), (1, 1));
    assert_eq!(compared(cheap.parse().expect("base58")), (1, 0));
    audit(&market, &Keys::of(&market));
}

#[test]
fn a_worker_that_is_gone_is_shown_as_such_and_the_other_one_serves() {
    let market = Market::new();
    let dear = Colleague::start(&market, &["--price-out-per-mtok", "9600000"]);
    let away = dear.worker;
    eventually("both are seen", 20, || (workers(&market).len() == 2).then_some(()));
    let cheap = workers(&market)[0]["worker"].clone();
    let avoid = format!("x-chainference-avoid: {}", cheap.as_str().expect("a worker"));
    drop(dear);
    // Its offer still stands: the call finds out that nobody answers there.
    let (head, answer) = ask(&market, &chat(QUESTION, json!({"max_tokens": 4})), &["-H", &avoid]);
    assert!(head.contains(" 50"), "{head} {answer}");
    let shown = workers(&market);
    let gone = shown.iter().find(|one| one["worker"] == away.to_string()).expect("still listed");
    assert!(
        gone["breaker"]["failures"].as_u64() > Some(0) || gone["standing"] != "serving",
        "{gone}"
    );
    let (head, _) = ask(&market, &chat(QUESTION, json!({"max_tokens": 4})), &[]);
    assert_eq!(header(&head, "x-chainference-worker"), cheap, "{head}");
}
