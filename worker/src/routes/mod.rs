//! The worker's HTTP interface: every route on one screen.

mod answer;
mod calls;
mod error;
mod quotes;
mod status;
mod vouchers;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chainference_chain::{Chain, Keypair, Pubkey};
use chainference_market::Prices;
use chainference_protocol::WorkerSecret;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::de::DeserializeOwned;
use tower_http::catch_panic::CatchPanicLayer;

use crate::host::{Host, ModelId};
use crate::models::Hold;
use crate::pricing::PriceTag;
use crate::server::Visit;
use crate::settlement::Settlement;
use error::RouteError;

/// Terms and vouchers are small; whatever is larger is an attack.
const BODY_BYTES_MAX: usize = 16 << 10;
/// A sealed call: a prompt of 128k tokens with room to spare.
const CALL_BYTES_MAX: usize = 4 << 20;
/// From the end of a request's headers to the end of its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// From the end of the headers to the answer's: reading the body, the chain, the prompt's tokens. An
/// answer's stream has deadlines of its own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the routes work with.
pub(crate) struct App {
    pub settlement: Settlement,
    pub chain: Chain,
    pub host: Host,
    pub operator: Arc<Keypair>,
    pub x25519: WorkerSecret,
    pub owner: Pubkey,
    /// Address of the worker's record.
    pub worker: Pubkey,
    pub offers: Vec<Offered>,
    pub limits: Limits,
    pub metrics: PrometheusHandle,
    pub began: Instant,
}

/// An offer that this worker serves, as it stands on chain.
pub(crate) struct Offered {
    /// The host's number of the model.
    pub id: ModelId,
    pub address: Pubkey,
    pub model: String,
    pub quantisation: String,
    pub model_hash: [u8; 32],
    /// As they stand now: they may follow demand.
    pub prices: PriceTag,
    /// What they follow.
    pub base: Prices,
    /// The file can't be removed while it is offered.
    pub _hold: Hold,
}

impl App {
    /// The offer at this address, if it is one of ours that is served now.
    fn offer(&self, address: &Pubkey) -> Option<&Offered> {
        self.offers.iter().find(|offered| offered.address == *address)
    }
}

pub(crate) struct Limits {
    pub serve_max_s: u32,
    pub voucher_timeout: Duration,
    pub call_max: Duration,
    /// From a call's acceptance to its first token.
    pub first_token_max: Duration,
    /// Between two tokens.
    pub idle_max: Duration,
}

pub(crate) fn router(app: Arc<App>) -> Router {
    let small = || from_fn_with_state(BODY_BYTES_MAX, whole_body);
    let large = || from_fn_with_state(CALL_BYTES_MAX, whole_body);
    Router::new()
        .route("/v1/quotes", post(quotes::post).layer(small()))
        .route("/v1/vouchers", post(vouchers::post).layer(small()))
        .route("/v1/calls", post(calls::post).layer(large()))
        .route("/health", get(status::health))
        .route("/status", get(status::status))
        .route("/metrics", get(status::metrics))
        .fallback(|| async { RouteError::not_found() })
        .method_not_allowed_fallback(|| async { RouteError::method_not_allowed() })
        // A handler that waits too long is dropped; a call that it began ends by itself.
        .layer(from_fn(answer_in_time))
        // A bug in one request must not end the process that holds everybody's vouchers.
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// Takes a request's body as a whole, within its size and its time. From then on its connection keeps
/// its place until the answer is out.
async fn whole_body(State(bytes_max): State<usize>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let read = axum::body::to_bytes(body, bytes_max);
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return RouteError::body(bytes_max, &error).into_response(),
        Err(_) => return RouteError::late("the request's body took too long").into_response(),
    };
    let busy = head.extensions.get::<Visit>().map(Visit::busy);
    let response = next.run(Request::from_parts(head, Body::from(bytes))).await;
    match busy {
        Some(busy) => response.map(|body| busy.with(body)),
        None => response,
    }
}

async fn answer_in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => RouteError::late("the request took too long").into_response(),
    }
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a handler panicked");
    RouteError::internal().into_response()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, RouteError> {
    serde_json::from_slice(body)
        .map_err(|error| RouteError::invalid(format!("the body can't be read: {error}")))
}

fn empty() -> Json<serde_json::Value> {
    Json(serde_json::json!({}))
}
