//! `Authorization: Bearer sk-cf-…`, or `x-api-key: sk-cf-…` as Anthropic's clients send it; or a token of the issuer that the
//! operator trusts, in the same place.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::{
    access::{Denied, JwtError},
    openai::ApiError,
    settlement::CallError,
    state::App,
};

/// Lets a request on, with its [`Caller`](crate::access::Caller) among its extensions.
pub async fn require_key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(presented) = presented_key(request.headers()) else {
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
        Err(Denied::Token(JwtError::NoKeys(reason))) => {
            tracing::error!(reason, "a token could not be checked");
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable",
                "Tokens can't be checked now: their issuer's keys can't be had.",
            )
            .code("issuer_unavailable")
            .retry_after(5)
            .into_response()
        }
        Err(denied) => refuse(&denied.to_string(), "invalid_api_key"),
    }
}

/// The key that a request came with, whether it is one or not.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).or_else(|| headers.get("x-api-key")?.to_str().ok())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
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
