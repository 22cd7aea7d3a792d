//! `Authorization: Bearer sk-cf-…`, or `x-api-key: sk-cf-…` as Anthropic's clients send it.

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{openai::ApiError, state::App};

pub async fn require_key(State(app): State<App>, request: Request, next: Next) -> Response {
    let presented = presented(&request);
    match presented {
        Some(key) if app.api_key.matches(key) => next.run(request).await,
        Some(_) => refuse("Incorrect API key provided.", "invalid_api_key"),
        None => refuse(
            "No API key was given: send it as 'Authorization: Bearer sk-cf-…'.",
            "missing_api_key",
        ),
    }
}

fn presented(request: &Request) -> Option<&str> {
    bearer(request).or_else(|| request.headers().get("x-api-key")?.to_str().ok())
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn refuse(message: &str, code: &'static str) -> Response {
    let error = ApiError::invalid(message).status(StatusCode::UNAUTHORIZED).code(code);
    let mut response = error.into_response();
    let scheme = header::HeaderValue::from_static("Bearer");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    response
}
