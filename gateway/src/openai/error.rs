//! The one error object of the API: `{"error": {"message", "type", "param", "code"}}`.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// An error as the OpenAI clients understand it. All four keys are always present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub kind: &'static str,
    pub code: Option<&'static str>,
    pub param: Option<String>,
    pub message: String,
    pub retry_after_s: Option<u64>,
    /// `Some(false)` keeps the clients from repeating a call that has cost money.
    pub should_retry: Option<bool>,
}

/// An error.
#[derive(Serialize, ToSchema)]
pub(super) struct Envelope<'a> {
    #[schema(inline)]
    error: Object<'a>,
}

#[derive(Serialize, ToSchema)]
struct Object<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl ApiError {
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            kind,
            code: None,
            param: None,
            message,
            retry_after_s: None,
            should_retry: None,
        }
    }

    /// A request that is wrong as it stands; 400 unless another status is set.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// Something on this side failed; the message must hold nothing internal.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub fn never_retry(mut self) -> Self {
        self.should_retry = Some(false);
        self
    }

    /// The JSON text, as it stands in a response body or in an SSE event.
    pub fn to_json(&self) -> String {
        let object = Object {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: self.code,
        };
        serde_json::to_string(&Envelope { error: object }).expect("strings always serialise")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let json = HeaderValue::from_static("application/json");
        let mut response = (self.status, self.to_json()).into_response();
        // For the endpoints that tell errors in another form.
        response.extensions_mut().insert(self.clone());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.should_retry == Some(false) {
            let name = HeaderName::from_static("x-should-retry");
            headers.insert(name, HeaderValue::from_static("false"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_keys_are_present_even_when_empty() {
        let object: serde_json::Value =
            serde_json::from_str(&ApiError::invalid("no").to_json()).unwrap();
        let error = object["error"].as_object().unwrap();
        assert_eq!(error.len(), 4);
        assert_eq!(error["message"], "no");
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["param"].is_null() && error["code"].is_null());
    }

    #[test]
    fn retry_advice_is_in_the_headers() {
        let busy = ApiError::internal("later").retry_after(7).never_retry().into_response();
        assert_eq!(busy.headers()["retry-after"], "7");
        assert_eq!(busy.headers()["x-should-retry"], "false");
        assert_eq!(busy.headers()["content-type"], "application/json");
    }
}
