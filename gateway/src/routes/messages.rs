//! `POST /v1/messages` and `POST /v1/messages/count_tokens`: Anthropic's shape.

use axum::{
    Json,
    extract::{Extension, Request, State},
    response::Response,
};
use serde::Serialize;

use super::call::{self, RouteError};
use crate::{
    access::Caller,
    openai::{Names, parse_count, parse_message},
    settlement::{CallError, Failure, tokens_in_at_most},
    state::App,
};

/// How long a prompt is. Only the worker's tokenizer knows exactly, and it sees no prompt that is not
/// paid for: this is the bound that a call's stake is made of, never less than what is billed.
#[derive(Debug, Serialize)]
pub struct Count {
    input_tokens: u64,
    chainference: Precision,
}

#[derive(Debug, Serialize)]
struct Precision {
    input_tokens: &'static str,
}

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_message(&body)?;
    drop(body);
    call::answer(&app, caller, parsed).await
}

pub async fn count_tokens(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Count>, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_count(&body)?;
    let input_tokens = match app.upstreams.find(&parsed.model) {
        Some(served) if caller.models().allows(served.id()) => tokens_in_at_most(&parsed),
        _ => app.settlement.tokens_in_at_most(&parsed, caller.models()).map_err(failed)?,
    };
    Ok(Json(Count { input_tokens, chainference: Precision { input_tokens: "upper_bound" } }))
}

fn failed(error: CallError) -> RouteError {
    RouteError::call(Failure { error, costs: false }, Names::Message)
}
