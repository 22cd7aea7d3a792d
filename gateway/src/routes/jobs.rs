//! `GET /v1/chainference/jobs`, `…/jobs/{id}`, `…/receipts?job=`, `…/balance`: what OpenAI has no word for.

use axum::{
    Json,
    extract::{Extension, Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};

use super::query;
use crate::{
    access::Caller,
    ledger::{Carried, JobStory, JobSummary, LedgerError, ReceiptLine, Which},
    openai::ApiError,
    settlement::{Balance, CallError},
    state::App,
};

const LIMIT: i64 = 100;
const LIMIT_MAX: i64 = 1_000;

#[derive(Debug, Deserialize)]
pub struct Page {
    limit: Option<i64>,
    /// The last job of the page before.
    after: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct List {
    object: &'static str,
    data: Vec<JobSummary>,
    has_more: bool,
}

#[derive(Debug, Deserialize)]
pub struct OfJob {
    job: Option<String>,
}

/// The receipts of a job's calls, and whose signatures they bear.
#[derive(Debug, Serialize)]
pub struct Receipts {
    object: &'static str,
    job: String,
    worker: String,
    /// Signs the receipts.
    operator: serde_json::Value,
    data: Vec<ReceiptLine>,
}

/// A key sees the jobs that carried its calls alone: others say what others' calls cost. The gateway's own
/// key sees all.
pub async fn list(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Page>, QueryRejection>,
) -> Result<Json<List>, ApiError> {
    let Page { limit, after } = query(asked)?;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let message = format!("'limit' must be from 1 to {LIMIT_MAX}.");
        return Err(ApiError::invalid(message).code("invalid_value").param("limit"));
    }
    let only_key = (!caller.is_operator()).then(|| caller.key_id());
    let which = Which { only_key, after: after.as_deref(), limit: limit + 1, id: None };
    let mut data = app.settlement.ledger.jobs(which).await.map_err(failed)?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = data.len() > most;
    data.truncate(most);
    Ok(Json(List { object: "list", data, has_more }))
}

pub async fn retrieve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<JobStory>, ApiError> {
    let carried = seen(&app, &caller, &id, "id").await?;
    if carried.others > 0 && !caller.is_operator() {
        let message = "This job carried other keys' calls, too: what it cost is the operator's to see. \
                       GET /v1/chainference/receipts?job= tells of your own calls.";
        return Err(ApiError::invalid(message).status(StatusCode::FORBIDDEN).code("shared_job"));
    }
    let ledger = &app.settlement.ledger;
    let which = Which { id: Some(&id), limit: 1, ..Which::default() };
    let found = ledger.jobs(which).await.map_err(failed)?.pop();
    let summary = found.ok_or_else(|| unknown(&id, "id"))?;
    ledger.story_of(summary).await.map(Json).map_err(failed)
}

/// What the worker signed of the caller's calls in a job.
pub async fn receipts(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<OfJob>, QueryRejection>,
) -> Result<Json<Receipts>, ApiError> {
    let Some(job) = query(asked)?.job else {
        let message = "Missing required parameter: 'job'.";
        return Err(ApiError::invalid(message).code("missing_required_parameter").param("job"));
    };
    seen(&app, &caller, &job, "job").await?;
    let only_key = (!caller.is_operator()).then(|| caller.key_id());
    read(&app, job, only_key).await.map(Json).map_err(failed)
}

async fn read(app: &App, job: String, only_key: Option<&str>) -> Result<Receipts, LedgerError> {
    let ledger = &app.settlement.ledger;
    let mut terms = ledger.terms_of(&job).await?;
    let row = ledger.job(&job).await?;
    Ok(Receipts {
        object: "list",
        data: ledger.receipts(&job, only_key).await?,
        worker: row.map(|row| row.worker).unwrap_or_default(),
        operator: terms["operator"].take(),
        job,
    })
}

/// Whose calls a job has carried, if it is one that the caller may know of; `param` named it.
pub(super) async fn seen(
    app: &App,
    caller: &Caller,
    job: &str,
    param: &'static str,
) -> Result<Carried, ApiError> {
    let carried = app.settlement.ledger.carried(job, caller.key_id()).await.map_err(failed)?;
    let known = carried.filter(|carried| caller.is_operator() || carried.own > 0);
    known.ok_or_else(|| unknown(job, param))
}

fn unknown(job: &str, param: &'static str) -> ApiError {
    ApiError::invalid(format!("Job '{job}' not found."))
        .status(StatusCode::NOT_FOUND)
        .code("job_not_found")
        .param(param)
}

fn failed(error: LedgerError) -> ApiError {
    tracing::error!(%error, "jobs could not be read");
    CallError::Ledger(error).to_api()
}

pub async fn balance(State(app): State<App>) -> Result<Json<Balance>, ApiError> {
    app.settlement.balance().await.map(Json).map_err(|error| error.to_api())
}
