//! `GET /v1/chainference/jobs`, `GET /v1/chainference/balance`: what OpenAI has no word for.

use axum::{Json, extract::State};
use serde::Serialize;

use crate::{
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

pub async fn list(State(app): State<App>) -> Result<Json<List>, ApiError> {
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
