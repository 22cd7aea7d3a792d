//! Liveness and numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::App;
use crate::metrics;

/// 200 while calls would be served, else 503; the body says why.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let (engine, draining) = (app.engine.is_ready(), app.settlement.is_draining());
    let status = if draining {
        "draining"
    } else if engine {
        "ok"
    } else {
        "engine_restarting"
    };
    let body = json!({
        "status": status,
        "worker": app.worker.to_string(),
        "model": app.offer.model,
        "jobs_live": app.settlement.live_jobs(),
        "seats_free": app.engine.free_seats(),
    });
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> String {
    metrics::seats_free(app.engine.free_seats());
    metrics::jobs_live(app.settlement.live_jobs());
    app.metrics.render()
}
