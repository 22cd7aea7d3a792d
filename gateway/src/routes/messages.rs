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
    settlement::{CallError, Failure, TokensIn, tokens_in_at_most},
    state::App,
};

/// How long a prompt is. Only the model's tokenizer knows exactly: where this gateway doesn't have it, this is the bound
/// that a call's stake is made of, never less than what is billed.
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
    let counted = match app.upstreams.find(&parsed.model) {
        Some(served) if caller.models().allows(served.id()) => {
            TokensIn::AtMost(tokens_in_at_most(&parsed))
        }
        _ => app.settlement.tokens_in(&parsed, caller.models()).await.map_err(failed)?,
    };
    let (input_tokens, precision) = match counted {
        TokensIn::Exactly(tokens) => (tokens, "exact"),
        TokensIn::AtMost(tokens) => (tokens, "upper_bound"),
    };
    Ok(Json(Count { input_tokens, chainference: Precision { input_tokens: precision } }))
}

fn failed(error: CallError) -> RouteError {
    RouteError::call(Failure { error, costs: false }, Names::Message)
}
