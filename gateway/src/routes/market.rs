//! `GET /v1/chainference/workers` and `…/offers`: the market as this gateway sees it, and why a call for the `model` would
//! go where it goes.

use axum::{
    Json,
    extract::{Extension, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::query;
use crate::{
    access::Caller,
    openai::ApiError,
    routing::{OfferLine, WorkerLine},
    settlement::CallError,
    state::App,
};

#[derive(Debug, Deserialize)]
pub struct Asked {
    model: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct List<T> {
    object: &'static str,
    data: Vec<T>,
}

pub async fn workers(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<List<WorkerLine>>, ApiError> {
    let model = query(asked)?.model;
    list(app.settlement.directory.workers(caller.models(), model.as_deref()))
}

pub async fn offers(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<List<OfferLine>>, ApiError> {
    let model = query(asked)?.model;
    list(app.settlement.directory.offers(caller.models(), model.as_deref()))
}

fn list<T>(found: Result<Vec<T>, String>) -> Result<Json<List<T>>, ApiError> {
    let data = found.map_err(|reason| CallError::ChainAway(reason).to_api())?;
    Ok(Json(List { object: "list", data }))
}
