//! Errors in Anthropic's form: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openai::{call::json, error::ApiError};

/// An error in Anthropic's form.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct AnthropicError<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[schema(inline)]
    error: Object<'a>,
    request_id: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
struct Object<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
}

pub fn error_json(error: &ApiError, request_id: Option<&str>) -> String {
    let kind = match error.status.as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    let error = Object { kind, message: &error.message };
    json(&AnthropicError { kind: "error", error, request_id })
}

/// Tells the errors of Anthropic's endpoints in its form, wherever they arose.
pub async fn error_shape(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let concerned = path == "/v1/messages" || path.starts_with("/v1/messages/");
    let mut response = next.run(request).await;
    if !concerned {
        return response;
    }
    let id = response.headers().get("x-request-id").cloned();
    if let Some(id) = &id {
        response.headers_mut().insert(HeaderName::from_static("request-id"), id.clone());
    }
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let text = error_json(&error, id.as_ref().and_then(|id| id.to_str().ok()));
    let (mut parts, _) = response.into_parts();
    set_length(&mut parts.headers, text.len());
    Response::from_parts(parts, Body::from(text))
}

fn set_length(headers: &mut HeaderMap, bytes: usize) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
}
