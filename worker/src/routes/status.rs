//! Liveness and numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::error::RouteError;
use crate::{memory, metrics};

/// 200 while calls would be served, else 503; the body says why.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let state = state(&app);
    let body = json!({
        "status": state,
        "worker": app.worker.to_string(),
        "model": app.offer.model,
        "jobs_live": app.settlement.live_jobs(),
        "seats_free": app.engine.free_seats(),
    });
    let code = if is_well(state) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body))
}

/// All that an operator asks about, in lamports, tokens and bytes. No client is named.
pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Value>, RouteError> {
    let found = app.settlement.snapshot();
    let earned = app.settlement.earned().await.map_err(|error| {
        tracing::error!(%error, "the ledger could not be read");
        RouteError::internal()
    })?;
    let prices = app.offer.prices.get();
    Ok(Json(json!({
        "status": state(&app),
        "worker": app.worker.to_string(),
        "uptime_s": app.began.elapsed().as_secs(),
        "model": app.offer.model,
        "prices": {
            "input_per_mtok": prices.input_per_mtok,
            "output_per_mtok": prices.output_per_mtok,
            "charge_min": prices.charge_min,
        },
        "calls": {
            "running": running(&app),
            "waiting": waiting(&app),
            "slots": app.limits.slots,
            "seats_free": app.engine.free_seats(),
            "tokens_per_s": found.tokens_per_s,
        },
        "jobs": {
            "quoted": found.jobs_quoted,
            "locked": found.jobs_locked,
            "settled": earned.jobs_settled,
        },
        "tokens": {
            "in": earned.tokens_in,
            "out": earned.tokens_out,
            "cached": metrics::tokens_cached_sum(),
        },
        "settled": earned.settled,
        "unclaimed": found.unclaimed.0,
        "unpaid_input_tokens": found.unpaid_in,
        "memory_bytes": memory::family(),
    })))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> String {
    metrics::seats_free(app.engine.free_seats());
    metrics::calls_waiting(waiting(&app));
    metrics::snapshot(&app.settlement.snapshot());
    metrics::memory(memory::family());
    app.metrics.render()
}

fn state(app: &App) -> &'static str {
    if app.settlement.is_draining() {
        "draining"
    } else if !app.engine.is_ready() {
        "engine_restarting"
    } else if app.settlement.is_retiring() {
        "retiring"
    } else {
        "ok"
    }
}

/// A worker that leaves the market is well: it serves what it has locked.
fn is_well(state: &str) -> bool {
    matches!(state, "ok" | "retiring")
}

fn busy(app: &App) -> usize {
    app.limits.seats.saturating_sub(app.engine.free_seats())
}

fn running(app: &App) -> usize {
    busy(app).min(app.limits.slots)
}

fn waiting(app: &App) -> usize {
    busy(app).saturating_sub(app.limits.slots)
}
