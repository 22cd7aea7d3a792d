//! Starting, ending, starting again, and everything that a start can stumble over.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use chainference_e2e::{
    cache,
    client::{chat, post},
    eventually,
    market::{Market, Place},
    money::{Books, Keys},
    process,
};
use serde_json::json;

fn say_hello(market: &Market) {
    let answer =
        post(market, &market.key(), &chat("Say hello.", json!({"max_tokens": 5})).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ctrl_c_leaves_nothing_running_and_the_next_start_goes_on_where_it_was() {
    let market = Market::new();
    let status = market.status();
    assert_eq!(status["ready"], true, "{status}");
    for name in ["base_url", "api_key", "rpc_url", "program_id"] {
        assert!(status[name].is_string(), "no {name} in {status}");
    }
    say_hello(&market);
    let job = market.await_job("settled", 30);
    let keys = Keys::of(&market);
    let (vault, key) = (Books::take(&market, &keys).vault, market.key());
    let family = process::family(market.pid());
    assert!(family.len() >= 5, "up, chain, worker, engine, gateway: {family:?}");
    let (place, ended) = market.interrupt();
    assert!(ended.success(), "{ended}");
    assert!(family.iter().all(|pid| !process::is_alive(*pid)), "nothing is left of {family:?}");
    assert_eq!(place.run(&["status"]).status.code(), Some(3));
    assert!(
        place.jobs().iter().any(|told| told["id"] == job["id"]),
        "jobs are told without a running gateway too"
    );

    let began = Instant::now();
    let market = Market::start(place);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "the second start took {:?}",
        began.elapsed()
    );
    assert_eq!(market.key(), key);
    assert_eq!(Books::take(&market, &keys).vault, vault, "nothing was deposited a second time");
    say_hello(&market);
    eventually("both jobs", 10, || (market.used_jobs().len() == 2).then_some(()));
}

#[test]
fn kill_leaves_nothing_running_and_loses_nothing() {
    let market = Market::new();
    say_hello(&market);
    let job = market.await_job("settled", 30);
    let keys = Keys::of(&market);
    let before = Books::take(&market, &keys);
    let market = Market::start(market.kill());
    let after = Books::take(&market, &keys);
    assert_eq!((after.vault, after.earnings), (before.vault, before.earnings));
    assert!(market.jobs().iter().any(|again| again["id"] == job["id"]));
    say_hello(&market);
}

#[test]
fn second_up_in_the_same_home_says_so() {
    let market = Market::new();
    let second = market.place.up().output().expect("it runs");
    assert_eq!(second.status.code(), Some(4));
    let said = errors(&second);
    assert!(
        said.contains("already running")
            && said.contains(&market.pid().to_string())
            && said.contains("hint:"),
        "{said}"
    );
    assert_eq!(market.status()["ready"], true, "the first is not disturbed");
}

#[test]
fn taken_port_is_named_with_the_flag_that_changes_it() {
    let place = Place::new();
    let _holder = TcpListener::bind(("127.0.0.1", place.worker)).expect("free until now");
    let output = place.up().output().expect("it runs");
    assert_eq!(output.status.code(), Some(4));
    let said = errors(&output);
    assert!(said.contains(&place.worker.to_string()) && said.contains("--worker-listen"), "{said}");
}

#[test]
fn files_that_are_no_models_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(Market::new());
    let model = find_gguf(&cache().join("models"));
    let whole = fs::read(model).expect("the quickstart's model");
    let truncated = folder.path().join("truncated.gguf");
    fs::write(&truncated, &whole[..whole.len() / 2]).expect("written");
    let foreign = folder.path().join("foreign.gguf");
    fs::write(&foreign, "this is no model").expect("written");
    let missing = folder.path().join("missing.gguf");
    for (path, says) in [(truncated, "cut off"), (foreign, "not a GGUF"), (missing, "No such file")]
    {
        let place = Place::new().with(&["--model", path.to_str().expect("text")]);
        let output = place.up().output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        let said = errors(&output);
        assert!(
            said.contains(says)
                && said.contains(path.file_name().and_then(|name| name.to_str()).expect("a name")),
            "{said}"
        );
    }
}

fn find_gguf(folder: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "gguf") {
                return path;
            }
        }
    }
    panic!("no .gguf in {}", folder.display());
}

#[test]
fn settings_come_from_the_file_and_its_mistakes_are_shown_with_their_line() {
    let place = Place::new();
    let config = place.home().join("config.toml");
    fs::write(&config, "[gateway]\nlisten = \"127.0.0.1:1234\"\n").expect("written");
    assert_eq!(place.json(&["status", "--json"])["base_url"], "http://127.0.0.1:1234/v1");
    fs::write(&config, "[gateway]\nlissten = \"127.0.0.1:1234\"\n").expect("written");
    let output = place.run(&["status"]);
    assert_eq!(output.status.code(), Some(1));
    let said = errors(&output);
    assert!(said.contains("lissten") && said.contains("line 2"), "{said}");
}

#[test]
fn doctor_finds_what_is_wrong() {
    let market = Market::new();
    let well = market.place.run(&["doctor"]);
    assert!(well.status.success(), "{}", String::from_utf8_lossy(&well.stdout));
    let key = market.place.home().join("api-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
    let ill = market.place.run(&["doctor"]);
    assert!(!ill.status.success());
    assert!(String::from_utf8_lossy(&ill.stdout).contains("api-key"));
    let place: Arc<Place> = market.interrupt().0;
    let off = place.run(&["doctor"]);
    assert!(String::from_utf8_lossy(&off.stdout).contains("the chain doesn't answer"));
}
