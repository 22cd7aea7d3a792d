//! `Authorization: Bearer sk-cf-…`

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{access::Denied, openai::ApiError, settlement::CallError, state::App};

/// Lets a request on, with its [`Caller`](crate::access::Caller) among its extensions.
pub async fn require_key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(presented) = bearer(&request) else {
        return refuse(
            "No API key was given: send it as 'Authorization: Bearer sk-cf-…'.",
            "missing_api_key",
        );
    };
    match app.access.identify(presented).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(Denied::Ledger(error)) => {
            tracing::error!(%error, "a key could not be looked up");
            CallError::Ledger(error).to_api().into_response()
        }
        Err(denied) => refuse(&denied.to_string(), "invalid_api_key"),
    }
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
