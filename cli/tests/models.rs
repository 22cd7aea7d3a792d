//! `chainference models` as a person types it, against a hub on loopback.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path as UrlPath;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const REVISION: &str = "0123abcd";

/// A GGUF file with a header, one tensor, and a megabyte behind it.
fn gguf() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    out.extend(3_u32.to_le_bytes());
    out.extend(1_u64.to_le_bytes());
    out.extend(3_u64.to_le_bytes());
    text(&mut out, "general.architecture");
    out.extend(8_u32.to_le_bytes());
    text(&mut out, "llama");
    for (name, value) in [("general.file_type", 15_u32), ("llama.context_length", 2_048)] {
        text(&mut out, name);
        out.extend(4_u32.to_le_bytes());
        out.extend(value.to_le_bytes());
    }
    text(&mut out, "weight");
    out.extend(1_u32.to_le_bytes());
    out.extend(262_144_u64.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.resize(out.len().next_multiple_of(32) + (1 << 20), 7);
    out
}

/// What the hub does with the next downloads.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Fine,
    /// Sends the first half once, then nothing.
    CutsOff,
    Gone,
    /// Sends other bytes than it says.
    Lies,
}

struct Hub {
    endpoint: String,
    mood: Arc<Mutex<Mood>>,
    /// Where each download began.
    starts: Arc<Mutex<Vec<usize>>>,
    _runtime: tokio::runtime::Runtime,
}

impl Hub {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mood = Arc::new(Mutex::new(Mood::Fine));
        let starts = Arc::new(Mutex::new(Vec::new()));
        let (of_mood, noted) = (Arc::clone(&mood), Arc::clone(&starts));
        let download = move |UrlPath(_): UrlPath<String>, headers: HeaderMap| async move {
            let start = range(&headers);
            noted.lock().expect("not poisoned").push(start);
            answer(&mut of_mood.lock().expect("not poisoned"), start)
        };
        let app = Router::new()
            .route("/api/models/owner/tiny/revision/main", get(describe))
            .route("/owner/tiny/resolve/{revision}/tiny-Q4_K_M.gguf", get(download));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { endpoint, mood, starts, _runtime: runtime }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }

    fn starts(&self) -> Vec<usize> {
        std::mem::take(&mut *self.starts.lock().expect("not poisoned"))
    }
}

async fn describe() -> String {
    let lfs = json!({ "sha256": sha256(&gguf()), "size": gguf().len() });
    let file = json!({ "rfilename": "tiny-Q4_K_M.gguf", "lfs": lfs });
    json!({ "sha": REVISION, "siblings": [file] }).to_string()
}

fn range(headers: &HeaderMap) -> usize {
    let range = headers.get("range").and_then(|range| range.to_str().ok());
    range.map_or(0, |range| {
        range.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a range")
    })
}

fn answer(mood: &mut Mood, start: usize) -> Response {
    let mut body = gguf()[start..].to_vec();
    let whole = body.len();
    let mut cut = None;
    match *mood {
        Mood::Fine => {}
        Mood::Gone => {
            let gone = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
            return gone.body(Body::empty()).expect("a response");
        }
        Mood::Lies => body[whole - 1] ^= 1,
        Mood::CutsOff => {
            body.truncate(whole / 2);
            cut = Some(Err(std::io::Error::other("cut")));
            *mood = Mood::Gone;
        }
    }
    let chunks = std::iter::once(Ok(Bytes::from(body))).chain(cut);
    // The cut comes after what was sent had time to leave.
    let chunks = futures_util::stream::unfold(chunks, |mut chunks| async {
        let next = chunks.next()?;
        if next.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Some((next, chunks))
    });
    let status = if start > 0 { 206 } else { 200 };
    let response = Response::builder().status(status).header("content-length", whole);
    response.body(Body::from_stream(chunks)).expect("a response")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Place {
    home: tempfile::TempDir,
    hub: Hub,
}

impl Place {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder"), hub: Hub::start() }
    }

    fn models(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chainference"))
            .arg("models")
            .args(args)
            .env("CHAINFERENCE_HOME", self.home.path())
            .env("HF_ENDPOINT", &self.hub.endpoint)
            .env_remove("HF_TOKEN")
            .stdin(std::process::Stdio::null())
            .output()
            .expect("chainference runs")
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("models/owner--tiny").join(REVISION).join("tiny-Q4_K_M.gguf")
    }
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8(text).expect("text")
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("JSON alone on standard output")
}

#[test]
fn a_model_is_pulled_listed_verified_and_removed() {
    let place = Place::new();
    assert!(said(&place.models(&["ls"])).contains("models pull quickstart"));
    let pulled = json_of(&place.models(&["pull", "owner/tiny:Q4_K_M", "--json"]));
    assert_eq!(pulled[0]["sha256"], sha256(&gguf()));
    assert_eq!(place.hub.starts(), [0]);
    assert!(place.models(&["pull", "owner/tiny:Q4_K_M"]).status.success());
    assert!(place.hub.starts().is_empty(), "it is there already");

    let listed = said(&place.models(&["ls"]));
    let hash = &sha256(&gguf())[..12];
    for word in ["owner/tiny", "Q4_K_M", "1 MB", "2048", "chat, tools", hash] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let listed = json_of(&place.models(&["ls", "--json"]));
    assert_eq!(
        (&listed[0]["model"], &listed[0]["state"]),
        (&json!("owner/tiny:Q4_K_M"), &json!("whole"))
    );
    assert!(said(&place.models(&["verify"])).contains(&sha256(&gguf())));

    let asked = place.models(&["rm", "owner/tiny"]);
    assert!(!asked.status.success() && said(&asked).contains("--yes"), "{}", said(&asked));
    let removed = place.models(&["rm", "--yes", "owner/tiny"]);
    assert!(said(&removed).contains("Removed owner/tiny, 1 MB"), "{}", said(&removed));
    assert_eq!(json_of(&place.models(&["ls", "--json"])), json!([]));
    let again = place.models(&["rm", "--yes", "owner/tiny"]);
    assert!(!again.status.success() && said(&again).contains("models ls"), "{}", said(&again));
}

#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let place = Place::new();
    place.hub.is(Mood::CutsOff);
    let cut = place.models(&["pull", "owner/tiny"]);
    assert_eq!(cut.status.code(), Some(1), "{}", said(&cut));
    place.hub.starts();
    assert!(said(&place.models(&["ls"])).contains("cut off"));
    let checked = place.models(&["verify"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(said(&checked).contains("is cut off after"), "{}", said(&checked));

    place.hub.is(Mood::Fine);
    let went_on = place.models(&["pull", "owner/tiny"]);
    assert!(went_on.status.success(), "{}", said(&went_on));
    assert_eq!(place.hub.starts(), [gguf().len() / 2]);
    assert_eq!(std::fs::read(place.file()).expect("there"), gguf());
}

#[test]
fn bytes_that_are_not_those_announced_are_not_kept() {
    let place = Place::new();
    place.hub.is(Mood::Lies);
    let refused = place.models(&["pull", "owner/tiny"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&sha256(&gguf())), "{}", said(&refused));
    assert_eq!(json_of(&place.models(&["ls", "--json"])), json!([]));
}

#[test]
fn what_changed_on_the_disk_is_found_by_its_hash() {
    let place = Place::new();
    assert!(place.models(&["pull", "owner/tiny"]).status.success());
    let time = std::fs::metadata(place.file()).and_then(|facts| facts.modified()).expect("a time");
    let mut rotten = gguf();
    *rotten.last_mut().expect("not empty") ^= 1;
    write_with_time(&place.file(), &rotten, time);
    let checked = place.models(&["verify", "owner/tiny", "--json"]);
    assert_eq!(checked.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!(
        (&told[0]["verdict"], &told[0]["sha256"], &told[0]["sha256_found"]),
        (&json!("differs"), &json!(sha256(&gguf())), &json!(sha256(&rotten)))
    );
    assert!(said(&place.models(&["verify"])).contains("remove it and pull it again"));
}

/// As a failing disk would: nobody notices by the time of change.
fn write_with_time(path: &Path, bytes: &[u8], time: std::time::SystemTime) {
    std::fs::write(path, bytes).expect("written");
    let file = std::fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(time).expect("set");
}

#[test]
fn a_model_in_use_is_not_removed() {
    let place = Place::new();
    assert!(place.models(&["pull", "owner/tiny"]).status.success());
    let held = chainference_worker::models::Hold::shared(&place.file()).expect("held");
    let refused = place.models(&["rm", "-y", "owner/tiny"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("is in use by a worker"), "{}", said(&refused));
    drop(held);
    assert!(place.models(&["rm", "-y", "owner/tiny"]).status.success());
    assert!(!place.file().exists());
}
