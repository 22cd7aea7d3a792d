//! `GET /v1/chainference/jobs`, `GET /v1/chainference/balance`: what OpenAI has no word for.

use axum::{
    Json,
    extract::{Extension, State},
    http::StatusCode,
};
use serde::Serialize;

use crate::{
    access::Caller,
    ledger::JobSummary,
    openai::ApiError,
    settlement::{Balance, CallError},
    state::App,
};

#[derive(Debug, Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<JobSummary>,
}

/// A job says what others' calls cost, and may carry calls of several keys: it is the operator's.
pub async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List>, ApiError> {
    if !caller.is_operator() {
        let message = "Jobs are listed for the gateway's own key; GET /v1/chainference/spend tells \
                       what yours has spent.";
        return Err(ApiError::invalid(message).status(StatusCode::FORBIDDEN).code("operator_only"));
    }
    let jobs = app.settlement.ledger.list_jobs().await;
    let data = jobs.map_err(|error| {
        tracing::error!(%error, "jobs could not be listed");
        CallError::Ledger(error).to_api()
    })?;
    Ok(Json(List { object: "list", data }))
}

pub async fn balance(State(app): State<App>) -> Result<Json<Balance>, ApiError> {
    app.settlement.balance().await.map(Json).map_err(|error| error.to_api())
}
