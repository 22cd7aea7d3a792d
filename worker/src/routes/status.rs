//! Liveness and numbers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{App, Offered};
use crate::host::Standing;
use crate::metrics;

/// 200 while calls would be served, else 503; the body says why.
pub(super) async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    let standings: Vec<_> = app.offers.iter().map(|offer| app.host.standing(offer.id)).collect();
    let status = if app.settlement.is_draining() {
        "draining"
    } else if standings.iter().all(|standing| standing.word == "restarting") {
        "engine_restarting"
    } else {
        "ok"
    };
    let model = |(offer, standing): (&Offered, &Standing)| {
        json!({
            "model": offer.model,
            "quantisation": offer.quantisation,
            "state": standing.word,
            "seats_free": standing.seats_free,
            "memory_bytes": standing.memory_bytes,
        })
    };
    let body = json!({
        "status": status,
        "worker": app.worker.to_string(),
        "models": app.offers.iter().zip(&standings).map(model).collect::<Vec<_>>(),
        "jobs_live": app.settlement.live_jobs(),
        "seats_free": app.host.seats_free(),
    });
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body))
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> String {
    metrics::seats_free(app.host.seats_free());
    metrics::jobs_live(app.settlement.live_jobs());
    app.metrics.render()
}
