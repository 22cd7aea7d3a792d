//! `GET /health`: the process answers. `GET /ready`: a call would be served. `GET /metrics`,
//! `GET /openapi.json`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{metrics, openapi, state::App};

pub async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// 200, or 503; in both cases with the state of each part by its name.
pub async fn ready(State(app): State<App>) -> Response {
    let ledger = app.settlement.ledger.health().await.map_err(|error| error.to_string());
    let snapshot = app.settlement.directory.snapshot();
    let worker = match &snapshot {
        Ok(snapshot) if snapshot.candidates.is_empty() => Err("no live worker".to_owned()),
        Ok(_) => Ok(()),
        Err(_) => Err("unknown while the chain is away".to_owned()),
    };
    let chain = match &snapshot {
        Ok(snapshot) if snapshot.paused => Err("the market is paused".to_owned()),
        Ok(_) => Ok(()),
        Err(reason) => Err(reason.clone()),
    };
    let has_market = !app.settlement.directory.is_closed();
    let market = has_market && chain.is_ok() && worker.is_ok();
    let serves = market || app.upstreams.states().any(|(_, trouble)| trouble.is_none());
    let ready = serves && ledger.is_ok();
    let word = |part: Result<(), String>| part.map_or_else(|reason| reason, |()| "ok".to_owned());
    let mut body = json!({"ready": ready, "ledger": word(ledger)});
    if has_market {
        body["chain"] = word(chain).into();
        body["worker"] = word(worker).into();
    }
    if !app.upstreams.is_empty() {
        let states = app.upstreams.states();
        let words = states.map(|(name, trouble)| (name, word(trouble.map_or(Ok(()), Err))));
        body["upstreams"] = json!(words.collect::<BTreeMap<_, _>>());
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

pub async fn metrics(State(app): State<App>) -> Response {
    metrics::tasks();
    let text = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, text)], app.metrics.render()).into_response()
}

pub async fn openapi() -> Response {
    Json(openapi::document()).into_response()
}
