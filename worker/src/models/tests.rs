//! The whole way from a name to a checked file, with a hub on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Path as UrlPath;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::*;

const REVISION: &str = "0123abcd";

/// A hub with one repository, `owner/tiny`, that wants the token `secret`. Counts its requests.
async fn hub() -> (Hub, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let authorized = |headers: &HeaderMap| match headers.get("authorization") {
        Some(value) if value == "Bearer secret" => Ok(()),
        _ => Err(StatusCode::UNAUTHORIZED),
    };
    let counted = Arc::clone(&requests);
    let describe = move |headers: HeaderMap| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        authorized(&headers)?;
        let file = gguf::tests::file();
        let lfs = json!({ "sha256": hex::encode(Sha256::digest(&file)), "size": file.len() });
        let siblings = json!([
            { "rfilename": "README.md" },
            { "rfilename": "tiny-Q4_K_M.gguf", "lfs": lfs },
            { "rfilename": "tiny-Q8_0.gguf", "lfs": { "sha256": "00".repeat(32), "size": file.len() } },
        ]);
        Ok::<_, StatusCode>(Json(json!({ "sha": REVISION, "siblings": siblings })))
    };
    let counted = Arc::clone(&requests);
    let download = move |UrlPath(revision): UrlPath<String>, headers: HeaderMap| async move {
        counted.fetch_add(1, Ordering::Relaxed);
        authorized(&headers)?;
        assert_eq!(revision, REVISION);
        Ok::<_, StatusCode>(gguf::tests::file())
    };
    let app = Router::new()
        .route("/api/models/owner/tiny/revision/main", get(describe))
        .route("/owner/tiny/resolve/{revision}/tiny-Q4_K_M.gguf", get(download.clone()))
        .route("/owner/tiny/resolve/{revision}/tiny-Q8_0.gguf", get(download));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Hub { endpoint, token: Some("secret".to_owned()) }, requests)
}

fn source(text: &str) -> ModelSource {
    text.parse().expect("a source")
}

#[tokio::test]
async fn a_hub_model_is_fetched_once_and_then_found_without_the_network() {
    let dir = tempfile::tempdir().expect("a folder");
    let (hub, requests) = hub().await;
    let store = ModelStore::new(dir.path().to_owned(), hub);
    let first = store.resolve(&source("owner/tiny"), &|_| ()).await.expect("resolved");
    assert_eq!(
        (first.name.as_str(), first.revision.as_str(), first.quantisation.as_str()),
        ("owner/tiny", REVISION, "Q4_K_M")
    );
    assert_eq!(first.gguf.context_tokens, Some(2048));
    assert_eq!(first.sha256, <[u8; 32]>::from(Sha256::digest(gguf::tests::file())));
    assert_eq!(requests.load(Ordering::Relaxed), 2);

    let again = store.resolve(&source("owner/tiny"), &|_| ()).await.expect("resolved");
    assert_eq!(again, first);
    assert_eq!(requests.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_the_hub_cannot_give_is_an_error_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let (hub, _) = hub().await;
    let resolve = async |hub: &Hub, text: &str| {
        let store = ModelStore::new(dir.path().to_owned(), hub.clone());
        store.resolve(&source(text), &|_| ()).await.expect_err("refused")
    };
    let error = resolve(&hub, "owner/tiny:Q2_K").await;
    assert!(matches!(error, ModelError::NoSuchFile { .. }), "{error}");
    assert!(error.to_string().contains("tiny-Q4_K_M.gguf, tiny-Q8_0.gguf"), "{error}");

    let error = resolve(&hub, "owner/tiny:Q8_0").await;
    assert!(matches!(error, ModelError::HashMismatch { .. }), "{error}");

    let error = resolve(&hub, "owner/other").await;
    assert!(matches!(error, ModelError::HubRefused { .. }), "{error}");

    let stranger = Hub { token: None, ..hub };
    let error = resolve(&stranger, "owner/tiny").await;
    assert!(error.to_string().contains("HF_TOKEN"), "{error}");

    let nobody = Hub { endpoint: "http://127.0.0.1:1".to_owned(), token: None };
    let error = resolve(&nobody, "owner/tiny").await;
    assert!(matches!(error, ModelError::HubUnreachable(_)), "{error}");
}

/// A store with `owner/tiny` in it.
async fn filled() -> (tempfile::TempDir, ModelStore, Arc<AtomicUsize>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (hub, requests) = hub().await;
    let store = ModelStore::new(dir.path().to_owned(), hub);
    store.resolve(&source("owner/tiny"), &|_| ()).await.expect("resolved");
    (dir, store, requests)
}

fn only(store: &ModelStore) -> Stored {
    let mut stored = store.list().expect("listed");
    assert_eq!(stored.len(), 1);
    stored.remove(0)
}

#[tokio::test]
async fn stored_models_are_found_by_every_name_they_have() {
    let (dir, store, _) = filled().await;
    let stored = only(&store);
    assert_eq!((stored.name(), stored.quantisation()), ("owner/tiny", "Q4_K_M"));
    assert_eq!(stored.short_name(), "owner/tiny:Q4_K_M");
    assert_eq!(store.sha256(&stored), Some(hex::encode(Sha256::digest(gguf::tests::file()))));
    let path = stored.path.display().to_string();
    for (name, found) in [
        ("owner/tiny", true),
        ("owner/tiny:q4_k_m", true),
        ("owner/tiny@0123:Q4_K_M", true),
        (path.as_str(), true),
        ("owner/tiny:Q8_0", false),
        ("owner/tiny@abcd", false),
        ("other/tiny", false),
        ("quickstart", false),
        ("/elsewhere/tiny-Q4_K_M.gguf", false),
    ] {
        assert_eq!(store.find(&source(name)).is_ok(), found, "{name}");
    }
    // What people put there themselves is left alone.
    std::fs::write(dir.path().join("notes.txt"), "mine").expect("written");
    std::fs::create_dir(dir.path().join("odd")).expect("made");
    only(&store);
}

#[tokio::test]
async fn a_file_is_held_to_what_it_was_when_it_came() {
    let (_dir, store, _) = filled().await;
    let stored = only(&store);
    let verify = || store.verify(&only(&store), &|_| ()).expect("read");
    assert!(matches!(verify(), Verdict::Same { .. }));

    let was = hex::encode(Sha256::digest(gguf::tests::file()));
    let mut rotten = gguf::tests::file();
    *rotten.last_mut().expect("not empty") ^= 1;
    std::fs::write(&stored.path, &rotten).expect("written");
    let Verdict::Differs { expected, got } = verify() else { panic!("it differs") };
    assert_eq!((expected, got), (was.clone(), hex::encode(Sha256::digest(&rotten))));

    std::fs::write(&stored.path, &rotten[..rotten.len() - 1]).expect("written");
    assert!(matches!(only(&store).state, State::Damaged(ModelFileError::Truncated { .. })));
    assert!(matches!(verify(), Verdict::Differs { expected, .. } if expected == was));

    // Without a note nothing can be said but what it is.
    std::fs::write(&stored.path, gguf::tests::file()).expect("written");
    std::fs::remove_file(inventory::hash_note(&stored.path)).expect("removed");
    assert!(matches!(verify(), Verdict::Unknown { got } if got == was));
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_and_is_fetched_anew() {
    let (dir, store, requests) = filled().await;
    let stored = only(&store);
    let held = Hold::shared(&stored.path).expect("held");
    let refused = store.remove(&stored).expect_err("in use");
    assert!(matches!(refused, ModelError::InUse { .. }), "{refused}");
    drop(held);
    store.remove(&stored).expect("removed");
    assert!(store.list().expect("listed").is_empty());
    assert!(!dir.path().join("owner--tiny").exists(), "no notes are left");

    let before = requests.load(Ordering::Relaxed);
    store.resolve(&source("owner/tiny"), &|_| ()).await.expect("resolved");
    assert_eq!(requests.load(Ordering::Relaxed), before + 2);
}
