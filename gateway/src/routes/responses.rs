//! `POST /v1/responses`, and `GET` and `DELETE /v1/responses/{id}` where responses are stored.

use axum::{
    extract::{Extension, Path, Request, State},
    http::StatusCode,
    response::Response,
};
use sha2::{Digest, Sha256};

use super::{
    call::{self, RouteError},
    json,
};
use crate::{
    access::Caller,
    openai::{ApiError, OwnResponses, parse_response},
    state::App,
};

pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, RouteError> {
    let stored = own(&app, &caller);
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_response(&body, stored.as_ref())?;
    drop(body);
    call::answer(&app, caller, parsed).await
}

pub async fn retrieve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = own(&app, &caller).and_then(|responses| responses.json(&id));
    found.map(json).ok_or_else(|| unknown(&id))
}

pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    if !own(&app, &caller).is_some_and(|responses| responses.forget(&id)) {
        return Err(unknown(&id));
    }
    let deleted = serde_json::json!({"id": id, "object": "response", "deleted": true});
    Ok(json(deleted.to_string()))
}

/// The responses of the request's key, where responses are stored.
fn own(app: &App, caller: &Caller) -> Option<OwnResponses> {
    let owner = Sha256::digest(caller.key_id()).into();
    Some(app.responses.as_ref()?.of(owner))
}

fn unknown(id: &str) -> ApiError {
    ApiError::invalid(format!("Response with id '{id}' not found."))
        .status(StatusCode::NOT_FOUND)
        .code("response_not_found")
        .param("id")
}
