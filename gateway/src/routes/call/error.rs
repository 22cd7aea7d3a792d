//! What a call can fail with.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use thiserror::Error;

use crate::{
    openai::{ApiError, Names, RequestError},
    settlement::{CallError, Failure},
};

#[derive(Debug, Error)]
pub enum RouteError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("The request's body is larger than {bytes_max} bytes.")]
    BodyTooLarge { bytes_max: usize },
    #[error("The request's body did not arrive in time.")]
    BodyLate,
    #[error("The request's body could not be read.")]
    BodyBroken,
    #[error("{error}")]
    Call { error: CallError, costs: bool, names: Names },
    /// The call's task is gone: a bug, but this request's only.
    #[error("The gateway failed on this request.")]
    Lost,
}

impl RouteError {
    /// `names` are those of the endpoint that was called.
    pub fn call(failure: Failure, names: Names) -> Self {
        match failure.error {
            CallError::Request(error) => Self::Request(error),
            error => Self::Call { error, costs: failure.costs, names },
        }
    }

    pub fn to_api(&self) -> ApiError {
        match self {
            Self::Request(error) => request(error),
            Self::BodyTooLarge { .. } => ApiError::invalid(self.to_string())
                .status(StatusCode::PAYLOAD_TOO_LARGE)
                .code("request_too_large"),
            Self::BodyLate => ApiError::invalid(self.to_string())
                .status(StatusCode::REQUEST_TIMEOUT)
                .code("request_timeout"),
            Self::BodyBroken => ApiError::invalid(self.to_string()).code("invalid_body"),
            Self::Call { error, costs, names } => call(error, *costs, *names),
            Self::Lost => ApiError::internal(self.to_string()).code("internal_error"),
        }
    }
}

fn call(error: &CallError, costs: bool, names: Names) -> ApiError {
    let api = names.told(error.to_api());
    if costs { api.never_retry() } else { api }
}

fn request(error: &RequestError) -> ApiError {
    let (code, param) = match error {
        RequestError::Json { .. } => ("invalid_json", None),
        RequestError::Type { param, .. } => ("invalid_type", Some(param)),
        RequestError::Missing { param } => ("missing_required_parameter", Some(param)),
        RequestError::Value { param, .. } => ("invalid_value", Some(param)),
        RequestError::Unsupported { param, .. } => ("unsupported_parameter", Some(param)),
    };
    let api = ApiError::invalid(error.to_string()).code(code);
    match param {
        Some(param) => api.param(param),
        None => api,
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        self.to_api().into_response()
    }
}

#[cfg(test)]
mod tests {
    use chainference_protocol::{ErrorCode, WireError};

    use super::*;

    #[test]
    fn each_failure_has_its_status_code_and_param() {
        let param = || "messages[0].role".to_owned();
        let reason = || "no".to_owned();
        for (error, status, code, param) in [
            (RequestError::Json { reason: reason() }.into(), 400, "invalid_json", None),
            (
                RequestError::Type { param: param(), reason: reason() }.into(),
                400,
                "invalid_type",
                Some(param()),
            ),
            (
                RequestError::Unsupported { param: param(), reason: "no" }.into(),
                400,
                "unsupported_parameter",
                Some(param()),
            ),
            (RouteError::BodyTooLarge { bytes_max: 1 }, 413, "request_too_large", None),
            (RouteError::BodyLate, 408, "request_timeout", None),
            (RouteError::Lost, 500, "internal_error", None),
        ] {
            let api = error.to_api();
            assert_eq!((api.status.as_u16(), api.code), (status, Some(code)), "{error}");
            assert_eq!(api.param, param, "{error}");
        }
    }

    #[test]
    fn a_call_that_cost_money_is_not_to_be_repeated() {
        let failed = |costs| {
            RouteError::call(Failure { error: CallError::Silent, costs }, Names::Chat).to_api()
        };
        assert_eq!(failed(true).should_retry, Some(false));
        assert_eq!(failed(false).should_retry, None);
    }
    #[test]
    fn what_is_too_long_is_named_as_the_endpoint_names_it() {
        let refusal =
            WireError { code: ErrorCode::ContextLengthExceeded, message: "too long".into() };
        let failure = Failure { error: CallError::Worker(refusal), costs: false };
        let api = RouteError::call(failure, Names::Completion).to_api();
        assert_eq!(
            (api.code, api.param.as_deref()),
            (Some("context_length_exceeded"), Some("prompt"))
        );
    }
}
