//! `POST /v1/responses`, and `GET` and `DELETE /v1/responses/{id}` where responses are stored.

use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};

use super::{
    call::{self, RouteError},
    json,
};
use crate::{
    openai::{ApiError, parse_response},
    state::App,
};

pub async fn create(State(app): State<App>, request: Request) -> Result<Response, RouteError> {
    let body = call::read(&app, request.into_body()).await?;
    let parsed = parse_response(&body, app.responses.as_ref())?;
    drop(body);
    call::answer(&app, parsed).await
}

pub async fn retrieve(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = app.responses.as_ref().and_then(|responses| responses.json(&id));
    found.map(json).ok_or_else(|| unknown(&id))
}

pub async fn delete(State(app): State<App>, Path(id): Path<String>) -> Result<Response, ApiError> {
    if !app.responses.as_ref().is_some_and(|responses| responses.forget(&id)) {
        return Err(unknown(&id));
    }
    let deleted = serde_json::json!({"id": id, "object": "response", "deleted": true});
    Ok(json(deleted.to_string()))
}

fn unknown(id: &str) -> ApiError {
    ApiError::invalid(format!("Response with id '{id}' not found."))
        .status(StatusCode::NOT_FOUND)
        .code("response_not_found")
        .param("id")
}
