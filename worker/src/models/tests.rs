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
