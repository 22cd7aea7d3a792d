//! Against a real HTTP server on loopback that cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response};
use axum::routing::get;

use super::*;

const SIZE: usize = 300_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

/// Serves [`content`], at most `cut` bytes a response; notes where each request began.
async fn server(cut: usize, ranges: bool) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let starts = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&starts);
    let handler = move |headers: HeaderMap| async move {
        let range = headers.get(RANGE).filter(|_| ranges).and_then(|range| range.to_str().ok());
        let start: usize = range.map_or(0, |range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a range")
        });
        noted.lock().expect("not poisoned").push(start);
        let body = content()[start..].to_vec();
        let sent = Bytes::copy_from_slice(&body[..cut.min(body.len())]);
        let cut_off = (sent.len() < body.len()).then(|| Err(io::Error::other("cut")));
        // The cut comes after what was sent had time to leave.
        let cut_late = futures_util::stream::iter(cut_off).then(|cut| async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cut
        });
        let chunks = futures_util::stream::iter([Ok(sent)]).chain(cut_late);
        let status = if range.is_some() { 206 } else { 200 };
        let response = Response::builder().status(status).header("content-length", body.len());
        response.body(Body::from_stream(chunks)).expect("a response")
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().route("/model", get(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, starts)
}

async fn download(address: SocketAddr, path: &Path, sha256: &str) -> Result<(), ModelError> {
    let url = format!("http://{address}/model");
    Download { url, token: None, path, sha256, size_bytes: SIZE as u64 }.run(&|_| ()).await
}

fn sha256() -> String {
    hex::encode(Sha256::digest(content()))
}

#[tokio::test]
async fn a_cut_connection_is_resumed_where_it_ended() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("deep/model.gguf");
    let (address, starts) = server(120_000, true).await;
    download(address, &path, &sha256()).await.expect("downloaded");
    assert!(fs::read(&path).expect("readable") == content());
    let starts = starts.lock().expect("not poisoned").clone();
    assert_eq!((starts[0], starts.len()), (0, 3), "{starts:?}");
    assert!(starts.is_sorted() && starts[1] > 0, "{starts:?}");
    let left = fs::read_dir(path.parent().expect("deep")).expect("readable").count();
    assert_eq!(left, 2, "the file and its hash, no part");
    let note = fs::read_to_string(path.with_added_extension("sha256")).expect("readable");
    assert_eq!(note, format!("{}  model.gguf\n", sha256()));
}

#[tokio::test]
async fn a_part_of_an_earlier_run_is_not_fetched_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    fs::write(path.with_added_extension("part"), &content()[..100_000]).expect("written");
    let (address, starts) = server(SIZE, true).await;
    download(address, &path, &sha256()).await.expect("downloaded");
    assert!(fs::read(&path).expect("readable") == content());
    assert_eq!(*starts.lock().expect("not poisoned"), [100_000]);
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_beginning() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    fs::write(path.with_added_extension("part"), b"something else").expect("written");
    let (address, _) = server(SIZE, false).await;
    download(address, &path, &sha256()).await.expect("downloaded");
    assert!(fs::read(&path).expect("readable") == content());
}

#[tokio::test]
async fn a_file_with_another_hash_is_never_put_in_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    let (address, _) = server(SIZE, true).await;
    let error = download(address, &path, &"00".repeat(32)).await.expect_err("another hash");
    assert!(matches!(error, ModelError::HashMismatch { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
}

#[tokio::test]
async fn two_downloads_of_one_file_do_not_mix() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("model.gguf");
    let _first = Part::open(&path, &|_| (), 10).expect("opened");
    assert!(matches!(Part::open(&path, &|_| (), 10), Err(ModelError::Locked { .. })));
}
