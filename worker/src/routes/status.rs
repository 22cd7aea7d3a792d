//! Liveness and numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::error::RouteError;
use super::{App, Offered};
use crate::host::Standing;
use crate::{memory, metrics};

/// 200 while calls would be served, else 503; the body says why.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let state = state(&app);
    let body = json!({
        "status": state,
        "worker": app.worker.to_string(),
        "models": standings(&app).map(model).collect::<Vec<_>>(),
        "jobs_live": app.settlement.live_jobs(),
        "seats_free": app.host.seats_free(),
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
    let total = |part: fn(&Standing) -> usize| -> usize {
        standings(&app).map(|(_, standing)| part(&standing)).sum()
    };
    Ok(Json(json!({
        "status": state(&app),
        "worker": app.worker.to_string(),
        "uptime_s": app.began.elapsed().as_secs(),
        "models": standings(&app).map(model).collect::<Vec<_>>(),
        "calls": {
            "running": total(running),
            "waiting": total(waiting),
            "slots": total(|standing| standing.slots),
            "seats_free": app.host.seats_free(),
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
    metrics::seats_free(app.host.seats_free());
    metrics::calls_waiting(standings(&app).map(|(_, standing)| waiting(&standing)).sum());
    metrics::snapshot(&app.settlement.snapshot());
    metrics::memory(memory::family());
    app.metrics.render()
}

fn state(app: &App) -> &'static str {
    if app.settlement.is_draining() {
        "draining"
    } else if standings(app).all(|(_, standing)| standing.word == "restarting") {
        "engine_restarting"
    } else if app.settlement.is_retiring() {
        "retiring"
    } else {
        "ok"
    }
}

fn standings(app: &App) -> impl Iterator<Item = (&Offered, Standing)> {
    app.offers.iter().map(|offer| (offer, app.host.standing(offer.id)))
}

fn model((offer, standing): (&Offered, Standing)) -> Value {
    let prices = offer.prices.get();
    json!({
        "model": offer.model,
        "quantisation": offer.quantisation,
        "state": standing.word,
        "seats_free": standing.seats_free,
        "memory_bytes": standing.memory_bytes,
        "prices": {
            "input_per_mtok": prices.input_per_mtok,
            "output_per_mtok": prices.output_per_mtok,
            "charge_min": prices.charge_min,
        },
    })
}

/// A worker that leaves the market is well: it serves what it has locked.
fn is_well(state: &str) -> bool {
    matches!(state, "ok" | "retiring")
}

fn running(standing: &Standing) -> usize {
    standing.busy.min(standing.slots)
}

fn waiting(standing: &Standing) -> usize {
    standing.busy.saturating_sub(standing.slots)
}
