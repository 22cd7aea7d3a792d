//! `Idempotency-Key`: a request that is sent again is answered again, and paid once.
//!
//! Such a call goes on when its client has left: to get its answer after all is what the header is
//! for. Names live for a day, as with Stripe; what they stand for is the method, the path, and the
//! body byte for byte.

use axum::{
    body::{Body, Bytes},
    extract::{Extension, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use http_body_util::BodyDataStream;
use sha2::{Digest, Sha256};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument;

use crate::{
    access::Caller,
    clock::now_unix_ms,
    limits,
    openai::ApiError,
    repeats::{Claim, Kept, Repeat, RepeatId},
    routes::call::{self, RouteError},
    settlement::CallError,
    state::App,
};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How many pieces of an answer may wait for a slow client.
const PIECES_WAITING_MAX: usize = 16;

pub async fn once(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    let name = match request.headers().get(HEADER) {
        Some(name) if request.method() == Method::POST => name.clone(),
        _ => return next.run(request).await,
    };
    let Some(name) = plain(&name) else {
        let most = limits::REPEAT_NAME_BYTES_MAX;
        let message = format!("'Idempotency-Key' must be 1 to {most} visible ASCII characters.");
        return ApiError::invalid(message).code("invalid_idempotency_key").into_response();
    };
    let (parts, body) = request.into_parts();
    let body = match call::read(&app, body).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    let fingerprint = fingerprint(&name, &parts, &body);
    let id = RepeatId { key_id: caller.key_id().to_owned(), name };
    match app.repeats.begin(&id, &fingerprint, now_unix_ms()).await {
        Ok(Repeat::First(claim)) => {
            let request = Request::from_parts(parts, Body::from(body));
            make(&app, claim, request, next).await
        }
        Ok(repeat) => answer(repeat),
        Err(error) => {
            tracing::error!(%error, "an Idempotency-Key could not be recorded");
            CallError::Ledger(error).to_api().into_response()
        }
    }
}

/// Answers what is not made now.
fn answer(repeat: Repeat) -> Response {
    let refused = match repeat {
        Repeat::Known(kept) => return replay(&kept),
        Repeat::Other => ApiError::new(
            StatusCode::BAD_REQUEST,
            "idempotency_error",
            "This Idempotency-Key was first used with another request; use a new key for this one.",
        )
        .code("idempotency_key_reused"),
        Repeat::First(_) | Repeat::Running => conflict(
            "idempotency_key_in_use",
            "A request with this Idempotency-Key is in progress; repeat it for the answer.",
        )
        .retry_after(1),
        Repeat::Lost => conflict(
            "idempotency_result_lost",
            "A request with this Idempotency-Key was made, but its answer is not kept any more. It is \
             not made again; use a new key if you want to pay for another.",
        )
        .never_retry(),
    };
    refused.into_response()
}

fn conflict(code: &'static str, message: &str) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "idempotency_error", message).code(code)
}

fn plain(name: &HeaderValue) -> Option<String> {
    let name = name.to_str().ok()?;
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = (1..=limits::REPEAT_NAME_BYTES_MAX).contains(&name.len());
    (plain && fits).then(|| name.to_owned())
}

/// The name goes in too: two fingerprints of one prompt have nothing in common.
fn fingerprint(name: &str, parts: &Parts, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [name, parts.method.as_str(), &parts.uri.to_string()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(body);
    hex::encode(hash.finalize())
}

/// Makes the request in a task of its own, which nobody's leaving ends.
async fn make(app: &App, claim: Claim, request: Request, next: Next) -> Response {
    let (head, answered) = oneshot::channel();
    let work = async move { record(claim, next.run(request).await, head).await };
    app.settlement.tasks.spawn(work.in_current_span());
    // A task that panicked has dropped its claim: repeats are refused.
    answered.await.unwrap_or_else(|_| RouteError::Lost.into_response())
}

/// Passes an answer on and keeps it.
async fn record(claim: Claim, response: Response, head: oneshot::Sender<Response>) {
    let (parts, body) = response.into_parts();
    let cost = parts.headers.contains_key("x-should-retry");
    if !parts.status.is_success() && !cost {
        claim.forget().await;
        drop(head.send(Response::from_parts(parts, body)));
        return;
    }
    let (status, headers) = (parts.status, parts.headers.clone());
    let (sender, pieces) = mpsc::channel::<Result<Bytes, axum::Error>>(PIECES_WAITING_MAX);
    let stream = Body::from_stream(ReceiverStream::new(pieces));
    drop(head.send(Response::from_parts(parts, stream)));

    let mut client = Some(sender);
    let mut kept = Kept { status, headers, body: Vec::new() };
    let mut room = limits::REPEAT_BYTES_MAX;
    let mut body = BodyDataStream::new(body);
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return };
        room = room.saturating_sub(piece.len());
        // One that is too large to be kept is passed on all the same.
        if room > 0 {
            kept.body.push(piece.clone());
        } else {
            kept.body.clear();
        }
        if let Some(sender) = &client {
            let sent = timeout(limits::CLIENT_STALL_DEADLINE, sender.send(Ok(piece))).await;
            if !matches!(sent, Ok(Ok(()))) {
                client = None;
            }
        }
        if room == 0 && client.is_none() {
            return;
        }
    }
    if room > 0 {
        claim.keep(kept, now_unix_ms());
    }
}

fn replay(kept: &Kept) -> Response {
    let pieces: Vec<_> = kept.body.iter().cloned().map(Ok::<_, axum::Error>).collect();
    let mut response = match kept.body.as_slice() {
        [whole] => Body::from(whole.clone()).into_response(),
        _ => Body::from_stream(futures_util::stream::iter(pieces)).into_response(),
    };
    *response.status_mut() = kept.status;
    *response.headers_mut() = kept.headers.clone();
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
