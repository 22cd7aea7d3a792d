//! Why an upstream could not serve a call, and how a client is told.

use std::sync::Arc;

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::openai::ApiError;

/// A failure, with who failed.
#[derive(Clone, Debug, Error)]
#[error("upstream {name}: {trouble}")]
pub struct UpstreamError {
    pub name: Arc<str>,
    pub trouble: Trouble,
}

/// What went wrong. `Display` is for the log.
#[derive(Clone, Debug, Error)]
pub enum Trouble {
    #[error("it can't be reached: {0}")]
    Away(String),
    #[error("it refused the key that it was sent ({status})")]
    Key { status: u16 },
    #[error("it is busy: {}", .said.message)]
    Busy { retry_after_s: Option<u64>, said: Said },
    /// The request is at fault, not the upstream.
    #[error("it refused the request ({status}): {}", .said.message)]
    Refused { status: StatusCode, said: Said },
    #[error("it failed ({status}): {}", .said.message)]
    Failed { status: u16, said: Said },
    #[error("its answer can't be read: {0}")]
    Broken(String),
    #[error("it said no more")]
    Silent,
    #[error("it took longer than a call may")]
    TooLong,
}

/// An error in an upstream's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub message: String,
    pub param: Option<String>,
    pub code: Option<&'static str>,
}

/// No message that is passed on is longer, in characters.
const MESSAGE_MAX: usize = 1_000;

/// Codes that clients know. Others are not passed on: what they would mean here is not known.
const CODES: [&str; 12] = [
    "context_length_exceeded",
    "invalid_json",
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
    "model_not_found",
    "rate_limit_exceeded",
    "request_too_large",
    "string_above_max_length",
    "unsupported_by_model",
    "unsupported_parameter",
    "unsupported_value",
];

impl Trouble {
    /// What an answer with this status says.
    pub fn answered(status: StatusCode, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let said = Said::read(status, body);
        match status.as_u16() {
            401..=403 => Self::Key { status: status.as_u16() },
            429 => Self::Busy { retry_after_s, said },
            400..=499 => Self::Refused { status, said },
            // It can't do this at all, as llama-server says of embeddings.
            501 => {
                let said = Said { code: Some("unsupported_by_model"), ..said };
                Self::Refused { status: StatusCode::BAD_REQUEST, said }
            }
            other => Self::Failed { status: other, said },
        }
    }

    /// Whether another upstream, or the market, may do better.
    pub fn is_its_own(&self) -> bool {
        !matches!(self, Self::Refused { status, .. } if *status != StatusCode::NOT_FOUND)
    }

    /// Whether an upstream that failed like this is asked last for a while.
    pub fn trips_breaker(&self) -> bool {
        self.is_its_own() && !matches!(self, Self::Busy { .. } | Self::Refused { .. })
    }

    /// Whether the request itself may be what it failed at.
    pub fn may_be_the_requests(&self) -> bool {
        matches!(self, Self::Failed { status: 500, .. })
    }
}

impl UpstreamError {
    /// What the client is told.
    pub fn to_api(&self) -> ApiError {
        let name = &self.name;
        let server = |status, code, message: String| {
            ApiError::new(status, "server_error", message).code(code)
        };
        match &self.trouble {
            Trouble::Refused { status, said } => refused(*status, said),
            Trouble::Busy { retry_after_s, .. } => {
                let message = format!("The upstream {name} is busy; try again shortly.");
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
                    .code("upstream_busy")
                    .retry_after(retry_after_s.unwrap_or(2))
            }
            Trouble::Away(_) => {
                let message = format!("The upstream {name} can't be reached.");
                let status = StatusCode::SERVICE_UNAVAILABLE;
                ApiError::new(status, "service_unavailable", message)
                    .code("upstream_unavailable")
                    .retry_after(5)
            }
            Trouble::Key { .. } => {
                let message =
                    format!("The upstream {name} refused this gateway; its operator knows more.");
                server(StatusCode::BAD_GATEWAY, "upstream_failed", message)
            }
            Trouble::Failed { status: 503, said } => {
                let message = format!("The upstream {name} is not ready: {}", said.message);
                let status = StatusCode::SERVICE_UNAVAILABLE;
                ApiError::new(status, "service_unavailable", message)
                    .code("upstream_unavailable")
                    .retry_after(5)
            }
            Trouble::Failed { said, .. } => {
                let message = format!("The upstream {name} failed on this call: {}", said.message);
                server(StatusCode::BAD_GATEWAY, "upstream_failed", message)
            }
            Trouble::Broken(_) => {
                let message = format!("The upstream {name} failed on this call.");
                server(StatusCode::BAD_GATEWAY, "upstream_failed", message)
            }
            Trouble::Silent | Trouble::TooLong => {
                let message = format!("The call timed out: {self}.");
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message).code("timeout")
            }
        }
    }
}

fn refused(status: StatusCode, said: &Said) -> ApiError {
    let mut api = ApiError::invalid(said.message.clone()).status(status);
    api.code = said.code;
    api.param.clone_from(&said.param);
    api
}

impl Said {
    pub fn of(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Reads the body of an error, in whatever form it is.
    fn read(status: StatusCode, body: &[u8]) -> Self {
        let said = serde_json::from_slice(body).ok().and_then(Self::in_json);
        said.unwrap_or_else(|| Self::of(format!("it answered {status}.")))
    }

    /// OpenAI's form, llama-server's and vLLM's: the object may be a text, or stand alone.
    pub fn in_json(body: Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Object {
            message: String,
            #[serde(default, rename = "type")]
            kind: Option<String>,
            #[serde(default)]
            param: Option<String>,
            #[serde(default)]
            code: Value,
        }
        let error = match body {
            Value::Object(mut fields) => match fields.remove("error") {
                Some(error) => error,
                None => Value::Object(fields),
            },
            other => other,
        };
        if let Value::String(message) = error {
            return Some(Self::of(shortened(&message)));
        }
        let Object { message, kind, param, code } = serde_json::from_value(error).ok()?;
        let known = CODES.into_iter().find(|known| code.as_str() == Some(known));
        // llama-server says so by its type, vLLM by its words alone.
        let too_long = kind.as_deref() == Some("exceed_context_size_error")
            || message.contains("maximum context length");
        let code = known.or(too_long.then_some("context_length_exceeded"));
        Some(Self { message: shortened(&message), param, code })
    }
}

fn shortened(message: &str) -> String {
    message.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, body: &str) -> ApiError {
        let status = StatusCode::from_u16(status).unwrap();
        let trouble = Trouble::answered(status, Some(7), body.as_bytes());
        UpstreamError { name: "a:1".into(), trouble }.to_api()
    }

    #[test]
    fn what_is_the_clients_fault_is_told_in_the_upstreams_words() {
        let openai = r#"{"error": {"message": "no", "type": "invalid_request_error",
            "param": "messages[0]", "code": "invalid_value"}}"#;
        let llama = r#"{"error": {"code": 400, "message": "too long",
            "type": "exceed_context_size_error", "n_ctx": 4096}}"#;
        let vllm = r#"{"object": "error", "message": "This model's maximum context length is 9.",
            "type": "BadRequestError", "param": null, "code": 400}"#;
        for (status, body, expected, code, param) in [
            (400, openai, 400, Some("invalid_value"), Some("messages[0]")),
            (400, llama, 400, Some("context_length_exceeded"), None),
            (400, vllm, 400, Some("context_length_exceeded"), None),
            (422, r#"{"error": "no"}"#, 422, None, None),
            (404, "<html>", 404, None, None),
            (501, r#"{"error": {"message": "no"}}"#, 400, Some("unsupported_by_model"), None),
            (413, r#"{"error": {"message": "no", "code": "odd"}}"#, 413, None, None),
        ] {
            let api = told(status, body);
            assert_eq!((api.status.as_u16(), api.code), (expected, code), "{body}");
            assert_eq!(api.param.as_deref(), param, "{body}");
            assert_eq!(api.kind, "invalid_request_error");
            assert!(!api.message.is_empty());
        }
    }

    #[test]
    fn what_is_the_upstreams_fault_names_it_and_says_when_to_come_back() {
        let body = r#"{"error": {"message": "Loading model", "code": 503}}"#;
        for (status, expected, code, waits) in [
            (401, 502, "upstream_failed", None),
            (403, 502, "upstream_failed", None),
            (429, 429, "upstream_busy", Some(7)),
            (500, 502, "upstream_failed", None),
            (503, 503, "upstream_unavailable", Some(5)),
        ] {
            let api = told(status, body);
            assert_eq!((api.status.as_u16(), api.code), (expected, Some(code)), "{status}");
            assert_eq!(api.retry_after_s, waits, "{status}");
            assert!(api.message.contains("a:1"), "{}", api.message);
        }
        assert!(!told(401, body).message.contains("Loading"), "what it said is the operator's");
    }

    #[test]
    fn another_is_asked_only_where_the_request_is_not_at_fault() {
        let trouble =
            |status: u16| Trouble::answered(StatusCode::from_u16(status).unwrap(), None, b"{}");
        for (status, is_its_own, trips) in [
            (400, false, false),
            (404, true, false),
            (422, false, false),
            (501, false, false),
            (401, true, true),
            (429, true, false),
            (500, true, true),
        ] {
            let trouble = trouble(status);
            assert_eq!((trouble.is_its_own(), trouble.trips_breaker()), (is_its_own, trips));
        }
        assert!(Trouble::Away("x".into()).trips_breaker());
    }

    #[test]
    fn a_long_message_is_cut() {
        let body = format!(r#"{{"error": "{}"}}"#, "é".repeat(5_000));
        assert_eq!(told(400, &body).message.chars().count(), MESSAGE_MAX);
    }
}
