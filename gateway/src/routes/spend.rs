//! `GET /v1/chainference/spend`: what the key has spent, by model and day, and what is left of its
//! budgets. The gateway's own key sees all keys.

use axum::{
    Json,
    extract::{Extension, Query, State, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::query;
use crate::{
    access::Caller,
    clock::now_unix_ms,
    ledger::{Budgets, LedgerError, Spend, Used},
    openai::ApiError,
    settlement::CallError,
    state::App,
};

const DAY_MS: i64 = 86_400_000;
const DAYS: i64 = 31;
const DAYS_MAX: i64 = 3_660;

#[derive(Debug, Deserialize)]
pub struct Asked {
    days: Option<i64>,
}

#[derive(Debug, Serialize)]
pub struct Told {
    object: &'static str,
    data: Vec<Spend>,
    key_id: String,
    budgets: Budgets,
    /// Of the caller's own key: this day, this month, in total.
    used: [Used; 3],
}

pub async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Told>, ApiError> {
    let days = query(asked)?.days.unwrap_or(DAYS);
    if !(1..=DAYS_MAX).contains(&days) {
        let message = format!("'days' must be from 1 to {DAYS_MAX}.");
        return Err(ApiError::invalid(message).code("invalid_value").param("days"));
    }
    read(&app, &caller, days).await.map(Json).map_err(|error| {
        tracing::error!(%error, "the spend could not be read");
        CallError::Ledger(error).to_api()
    })
}

async fn read(app: &App, caller: &Caller, days: i64) -> Result<Told, LedgerError> {
    let ledger = &app.settlement.ledger;
    let now_ms = now_unix_ms();
    let today_ms = now_ms - now_ms.rem_euclid(DAY_MS);
    let only = (!caller.is_operator()).then(|| caller.key_id());
    Ok(Told {
        object: "list",
        data: ledger.spend(only, today_ms - (days - 1) * DAY_MS).await?,
        key_id: caller.key_id().to_owned(),
        budgets: *caller.budgets(),
        used: ledger.used(caller.key_id(), now_ms).await?,
    })
}
