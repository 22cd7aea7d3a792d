//! A request's id, its span in the log, and the time that it took.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use tokio::time::Instant;
use tracing::Instrument;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const LENGTH_MAX: usize = 128;

pub async fn identify(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id =
        given(request.headers()).unwrap_or_else(|| format!("req_{:032x}", rand::random::<u128>()));
    let span = tracing::info_span!(
        "request", %id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;

    let elapsed = started.elapsed();
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), elapsed_ms = elapsed.as_millis()));
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(PROCESSING_MS, HeaderValue::from(milliseconds));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

/// A client may name its own requests, within reason: the id goes into headers and logs.
fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(HEADER)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!id.is_empty() && id.len() <= LENGTH_MAX && id.chars().all(plain)).then(|| id.to_owned())
}
