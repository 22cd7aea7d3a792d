//! Refusals as the client sees them; what is logged may say more.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chainference_chain::ChainError;
use chainference_protocol::{ErrorCode, SealError, WireError, WireErrorBody};

use crate::engine::EngineError;
use crate::settlement::{Refusal, SettlementError};

#[derive(Debug)]
pub(crate) struct RouteError {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    retry_after_s: Option<u16>,
}

impl RouteError {
    pub fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_s: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest, message)
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ErrorCode::TermsRefused, message)
    }

    pub fn unsigned(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::TermsRefused, message)
    }

    pub fn busy(message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::Busy, message);
        Self { retry_after_s: Some(1), ..error }
    }

    pub fn draining() -> Self {
        let message = "this worker is shutting down";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Draining, message);
        Self { retry_after_s: Some(30), ..error }
    }

    pub fn internal() -> Self {
        let message = "the worker failed; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal, message)
    }

    pub fn late(message: &'static str) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, ErrorCode::InvalidRequest, message)
    }

    /// A body that is too long, or that broke off.
    pub fn body(bytes_max: usize, error: &axum::Error) -> Self {
        let cause = std::error::Error::source(error);
        if cause.is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
            let message = format!("the body has more than {bytes_max} bytes");
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::InvalidRequest, message);
        }
        Self::invalid("the body broke off")
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::InvalidRequest, "there is nothing at this path")
    }

    pub fn method_not_allowed() -> Self {
        let message = "this path has no such method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::InvalidRequest, message)
    }

    /// For metrics: what kind of refusal this is.
    pub fn name(&self) -> &'static str {
        match self.code {
            ErrorCode::Busy => "busy",
            ErrorCode::TermsRefused => "refused",
            ErrorCode::Draining => "draining",
            ErrorCode::Internal => "failed",
            _ => "invalid",
        }
    }

    pub fn into_wire(self) -> WireError {
        WireError { code: self.code, message: self.message }
    }
}

impl IntoResponse for RouteError {
    fn into_response(self) -> Response {
        let (status, retry_after_s) = (self.status, self.retry_after_s);
        let body = Json(WireErrorBody { error: self.into_wire() });
        let mut response = (status, body).into_response();
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<SettlementError> for RouteError {
    fn from(error: SettlementError) -> Self {
        let message = error.to_string();
        match error {
            SettlementError::UnknownJob => {
                Self::new(StatusCode::NOT_FOUND, ErrorCode::UnknownJob, message)
            }
            SettlementError::Refused(refusal) => refusal.into(),
            SettlementError::ForeignSignature => Self::invalid(message),
            SettlementError::Replayed => {
                Self::new(StatusCode::CONFLICT, ErrorCode::InvalidRequest, message)
            }
            SettlementError::ClientFull | SettlementError::Full => Self::busy(message),
            SettlementError::QuotedBefore
            | SettlementError::TermsDiffer
            | SettlementError::ClientRefused => Self::refused(message),
            SettlementError::Draining => Self::draining(),
            SettlementError::Chain(error) => error.into(),
            SettlementError::TransactionPending
            | SettlementError::Ledger(_)
            | SettlementError::Sign(_)
            | SettlementError::Encode(_) => {
                tracing::error!(%error, "a request failed");
                Self::internal()
            }
        }
    }
}

impl From<Refusal> for RouteError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let (status, code) = match refusal {
            Refusal::NotLocked | Refusal::ServeOver | Refusal::Closed => {
                (StatusCode::CONFLICT, ErrorCode::UnknownJob)
            }
            Refusal::BeyondStake | Refusal::UnpaidInput { .. } => {
                (StatusCode::PAYMENT_REQUIRED, ErrorCode::Unpaid)
            }
            Refusal::NotFinal => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::Busy),
            Refusal::GoesBack | Refusal::BeyondProduced => {
                (StatusCode::CONFLICT, ErrorCode::InvalidRequest)
            }
        };
        Self::new(status, code, message)
    }
}

impl From<ChainError> for RouteError {
    fn from(error: ChainError) -> Self {
        if let ChainError::BadAccount { .. } = error {
            return Self::refused(error.to_string()); // the client named an account of another kind
        }
        tracing::warn!(%error, "the chain is away");
        let message = "the worker can't reach the chain now";
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Internal, message);
        Self { retry_after_s: Some(2), ..error }
    }
}

impl From<SealError> for RouteError {
    fn from(error: SealError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<EngineError> for RouteError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::Busy | EngineError::NotLoaded => Self::busy(message),
            EngineError::Stopped => Self::draining(),
            EngineError::ContextOverflow { .. } => {
                Self::new(StatusCode::BAD_REQUEST, ErrorCode::ContextLengthExceeded, message)
            }
            EngineError::Template { .. } | EngineError::Invalid { .. } => Self::invalid(message),
            EngineError::Restarting => {
                let error =
                    Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::EngineFailed, message);
                Self { retry_after_s: Some(2), ..error }
            }
            _ => {
                tracing::error!(%error, "the engine failed");
                Self::new(StatusCode::BAD_GATEWAY, ErrorCode::EngineFailed, message)
            }
        }
    }
}
