//! Why a call could not be served, and how a client is told.

use axum::http::StatusCode;
use chainference_chain::{Abilities, ChainError, SubmitError};
use chainference_market::{Lamports, MarketError};
use chainference_protocol::{ErrorCode, WireError};
use thiserror::Error;

use super::{meter::MeterError, pieces::PieceError};
use crate::{
    access::Refusal,
    ledger::LedgerError,
    openai::{ApiError, RequestError},
    routing::{NoCandidate, lacking},
    upstream::UpstreamError,
};

/// A call's failure. What is told outside is in [`CallError::to_api`]; `Display` is for the log.
#[derive(Debug, Error)]
pub enum CallError {
    #[error("no worker has ever offered '{model}'")]
    UnknownModel { model: String },
    #[error("no worker serves '{model}' now")]
    NobodyServes { model: String },
    #[error("'{model}' is offered, but not for this: {missing}")]
    Unable { model: String, missing: Abilities },
    #[error(transparent)]
    Key(#[from] Refusal),
    #[error("the market is paused")]
    Paused,
    #[error("the chain is away: {0}")]
    ChainAway(String),
    #[error("the vault {vault} holds {free} free, the call needs {needed}")]
    InsufficientBalance { vault: String, free: Lamports, needed: Lamports },
    #[error("there is no vault at {vault}")]
    NoVault { vault: String },
    #[error("the gateway's key {key} is not the delegate of vault {vault}")]
    NotDelegate { key: String, vault: String },
    #[error("the delegate's limit does not allow {needed} more")]
    OverLimit { vault: String, needed: Lamports },
    #[error("the gateway's key {key} holds {held}, fees and rent need {needed}")]
    GatewayUnfunded { key: String, held: Lamports, needed: Lamports },
    #[error("the chain refused the job: {0}")]
    Refused(String),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the prices of the offer can't be paid: {0}")]
    Price(#[from] MarketError),
    #[error("the system gave no random bytes")]
    Random,
    #[error("the worker refused: {0}")]
    Worker(WireError),
    #[error("the worker could not be reached: {0}")]
    Unreachable(String),
    #[error("the worker broke the protocol: {0}")]
    Protocol(String),
    #[error("the worker miscounts: {0}")]
    Miscount(#[from] MeterError),
    #[error("the worker's answer is not what was asked for: {0}")]
    Piece(#[from] PieceError),
    #[error("no token came in time")]
    FirstTokenLate,
    #[error("the worker fell silent")]
    Silent,
    #[error("the call took longer than a call may")]
    TooLong,
    #[error("the gateway is shutting down")]
    ShuttingDown,
    #[error("this gateway has no market")]
    NoMarket,
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// An upstream failed on it, and this is why.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl CallError {
    pub fn nobody(model: &str, why: NoCandidate) -> Self {
        let model = model.to_owned();
        match why {
            NoCandidate::Unknown => Self::UnknownModel { model },
            NoCandidate::Nobody => Self::NobodyServes { model },
            NoCandidate::Forbidden => Self::Key(Refusal::Model { model }),
            NoCandidate::Unable { missing } => Self::Unable { model, missing },
            NoCandidate::ChainAway(reason) => Self::ChainAway(reason),
        }
    }

    /// Whether this worker is to blame, so that another one may do better.
    pub fn is_the_workers(&self) -> bool {
        match self {
            Self::Worker(refusal) => !is_the_clients(refusal.code),
            Self::Unreachable(_) | Self::Protocol(_) | Self::Silent => true,
            Self::Miscount(_) | Self::Piece(_) => true,
            Self::Refused(_) | Self::FirstTokenLate => true,
            _ => false,
        }
    }

    /// Whether a worker that failed like this is to be left alone for a while.
    pub fn trips_breaker(&self) -> bool {
        match self {
            Self::Worker(refusal) => refusal.code != ErrorCode::Busy && self.is_the_workers(),
            _ => self.is_the_workers(),
        }
    }

    /// Whether more free money would help.
    pub fn is_short_of_money(&self) -> bool {
        matches!(self, Self::InsufficientBalance { .. } | Self::OverLimit { .. })
    }

    /// Whether a job that was there before the call is to blame: the worker has let it go, or counts
    /// more on it than we do. Another job may do.
    pub fn is_the_jobs(&self) -> bool {
        let code = match self {
            Self::Worker(refusal) => refusal.code,
            _ => return false,
        };
        matches!(code, ErrorCode::UnknownJob | ErrorCode::Unpaid | ErrorCode::TermsRefused)
    }

    /// Whether the worker doesn't like the terms.
    pub fn is_about_terms(&self) -> bool {
        matches!(self, Self::Worker(refusal) if refusal.code == ErrorCode::TermsRefused)
    }

    /// Whether the worker said no before it did anything.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Worker(_))
    }

    /// What the client is told.
    pub fn to_api(&self) -> ApiError {
        let unavailable = |code, message: String| {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message)
                .code(code)
                .retry_after(5)
        };
        match self {
            Self::UnknownModel { model } => {
                ApiError::invalid(format!("The model '{model}' does not exist here."))
                    .status(StatusCode::NOT_FOUND)
                    .code("model_not_found")
                    .param("model")
            }
            Self::NobodyServes { model } => {
                unavailable("no_worker", format!("No worker serves '{model}' right now."))
            }
            Self::Unable { model, missing } => unable(model, *missing),
            Self::Key(refusal) => refusal.to_api(),
            Self::Paused => unavailable("market_paused", "The market is paused.".into()),
            Self::ChainAway(reason) => {
                unavailable("chain_unavailable", format!("The chain can't be used: {reason}."))
            }
            Self::InsufficientBalance { .. }
            | Self::NoVault { .. }
            | Self::NotDelegate { .. }
            | Self::OverLimit { .. }
            | Self::GatewayUnfunded { .. } => self.unpaid(),
            Self::Ledger(_) => unavailable(
                "ledger_unavailable",
                "The gateway's ledger can't be written; nothing was spent.".into(),
            ),
            Self::Worker(refusal) => refused(refusal),
            Self::FirstTokenLate | Self::Silent | Self::TooLong => {
                let message = format!("The call timed out: {self}.");
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", message).code("timeout")
            }
            Self::ShuttingDown => unavailable("shutting_down", format!("{self}.")),
            Self::NoMarket => {
                let message = "This gateway has no market: it serves its upstreams' models, which cost nothing.";
                ApiError::invalid(message).status(StatusCode::NOT_FOUND).code("no_market")
            }
            Self::Upstream(error) => error.to_api(),
            Self::Request(error) => ApiError::invalid(error.to_string()),
            Self::Random => ApiError::internal("The gateway failed on this request."),
            Self::Refused(_)
            | Self::Price(_)
            | Self::Unreachable(_)
            | Self::Protocol(_)
            | Self::Miscount(_)
            | Self::Piece(_) => worker_failed("The worker failed on this call."),
        }
    }

    /// 402: says which address lacks how much.
    fn unpaid(&self) -> ApiError {
        let message = match self {
            Self::InsufficientBalance { vault, free, needed } => {
                let top_up = needed.0.saturating_sub(free.0);
                format!(
                    "This call may cost up to {needed}, but the vault {vault} has {free} free: \
                     deposit at least {top_up} lamports more."
                )
            }
            Self::NoVault { vault } => {
                format!("There is no vault at {vault} yet: open one and deposit into it.")
            }
            Self::NotDelegate { key, vault } => {
                format!("This gateway's key {key} may not spend from the vault {vault}.")
            }
            Self::GatewayUnfunded { key, held, needed } => {
                let top_up = needed.0.saturating_sub(held.0);
                format!(
                    "The gateway's own key {key} holds {held}, but fees and rent need {needed}: \
                     send it at least {top_up} lamports more."
                )
            }
            other => format!("This call can't be paid: {other}."),
        };
        let code = match self {
            Self::OverLimit { .. } => "spending_limit_exceeded",
            _ => "insufficient_balance",
        };
        ApiError::new(StatusCode::PAYMENT_REQUIRED, "insufficient_quota", message).code(code)
    }
}

fn is_the_clients(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::ContextLengthExceeded
            | ErrorCode::InvalidRequest
            | ErrorCode::UnsupportedParameter
    )
}

fn refused(refusal: &WireError) -> ApiError {
    let message = refusal.message.as_str();
    match refusal.code {
        ErrorCode::ContextLengthExceeded => {
            ApiError::invalid(message).code("context_length_exceeded").param("messages")
        }
        ErrorCode::InvalidRequest => at_fault(message, "invalid_value"),
        ErrorCode::UnsupportedParameter => at_fault(message, "unsupported_parameter"),
        ErrorCode::Busy | ErrorCode::Draining => {
            let message = "All workers of this model are busy.";
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
                .code("workers_busy")
                .retry_after(2)
        }
        ErrorCode::TermsRefused
        | ErrorCode::UnknownJob
        | ErrorCode::Unpaid
        | ErrorCode::EngineFailed
        | ErrorCode::Internal => worker_failed("The worker failed on this call."),
    }
}

fn unable(model: &str, missing: Abilities) -> ApiError {
    let (param, why) = lacking(missing);
    let what = if param == "model" { "be called here" } else { "honour what is asked" };
    ApiError::invalid(format!("The model '{model}' can't {what} ('{param}'): {why}."))
        .code("unsupported_by_model")
        .param(param)
}

/// A worker names the parameter at fault in front of its reason: `suffix: the model has no …`.
fn at_fault(message: &str, code: &'static str) -> ApiError {
    let api = ApiError::invalid(message).code(code);
    let name = |c: char| c.is_ascii_alphanumeric() || "_.[]".contains(c);
    match message.split_once(": ") {
        Some((param, _)) if !param.is_empty() && param.chars().all(name) => api.param(param),
        _ => api,
    }
}

fn worker_failed(message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, "server_error", message).code("worker_failed")
}

impl From<ChainError> for CallError {
    fn from(error: ChainError) -> Self {
        Self::ChainAway(error.to_string())
    }
}

impl From<SubmitError> for CallError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Unreachable(error) => error.into(),
            // No worker's fault: the chain was too slow to take it.
            SubmitError::Expired => Self::ChainAway(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(code: ErrorCode) -> CallError {
        CallError::Worker(WireError { code, message: "no".into() })
    }

    #[test]
    fn each_failure_has_its_status_and_code() {
        let vault = || "V".to_owned();
        let key = || "K".to_owned();
        let needed = Lamports(10);
        for (error, status, code) in [
            (CallError::UnknownModel { model: "m".into() }, 404, "model_not_found"),
            (CallError::NobodyServes { model: "m".into() }, 503, "no_worker"),
            (
                CallError::Unable { model: "m".into(), missing: Abilities::INFILL },
                400,
                "unsupported_by_model",
            ),
            (CallError::Paused, 503, "market_paused"),
            (CallError::ChainAway("x".into()), 503, "chain_unavailable"),
            (CallError::NoVault { vault: vault() }, 402, "insufficient_balance"),
            (CallError::NotDelegate { key: key(), vault: vault() }, 402, "insufficient_balance"),
            (CallError::OverLimit { vault: vault(), needed }, 402, "spending_limit_exceeded"),
            (CallError::Ledger(LedgerError::TooLarge { value: 1 }), 503, "ledger_unavailable"),
            (worker(ErrorCode::ContextLengthExceeded), 400, "context_length_exceeded"),
            (worker(ErrorCode::InvalidRequest), 400, "invalid_value"),
            (worker(ErrorCode::UnsupportedParameter), 400, "unsupported_parameter"),
            (worker(ErrorCode::Busy), 429, "workers_busy"),
            (worker(ErrorCode::EngineFailed), 502, "worker_failed"),
            (CallError::Unreachable("x".into()), 502, "worker_failed"),
            (CallError::FirstTokenLate, 504, "timeout"),
            (CallError::ShuttingDown, 503, "shutting_down"),
        ] {
            let api = error.to_api();
            assert_eq!((api.status.as_u16(), api.code), (status, Some(code)), "{error}");
            let passes = matches!(status, 429 | 503);
            assert_eq!(api.retry_after_s.is_some(), passes, "{error}");
        }
    }

    #[test]
    fn a_worker_names_the_parameter_at_fault() {
        for (message, param) in [
            ("suffix: the model has no infill", Some("suffix")),
            ("prompt[1]: no such token", Some("prompt[1]")),
            ("the messages don't fit: no", None),
            ("no", None),
        ] {
            for code in [ErrorCode::InvalidRequest, ErrorCode::UnsupportedParameter] {
                let refusal = WireError { code, message: message.into() };
                let api = CallError::Worker(refusal).to_api();
                assert_eq!((api.status.as_u16(), api.param.as_deref()), (400, param), "{message}");
            }
        }
    }

    #[test]
    fn an_empty_vault_says_where_to_put_how_much() {
        let error = CallError::InsufficientBalance {
            vault: "VaultAddress".into(),
            free: Lamports(400),
            needed: Lamports(1_000),
        };
        let api = error.to_api();
        assert_eq!((api.status.as_u16(), api.code), (402, Some("insufficient_balance")));
        assert!(api.message.contains("VaultAddress") && api.message.contains("600 lamports"));
    }

    #[test]
    fn another_worker_is_tried_only_where_the_worker_is_to_blame() {
        assert!(worker(ErrorCode::Busy).is_the_workers());
        assert!(!worker(ErrorCode::Busy).trips_breaker());
        assert!(worker(ErrorCode::EngineFailed).trips_breaker());
        assert!(!worker(ErrorCode::ContextLengthExceeded).is_the_workers());
        assert!(CallError::Unreachable("x".into()).trips_breaker());
        assert!(!CallError::ChainAway("x".into()).is_the_workers());
        assert!(!CallError::TooLong.is_the_workers());
    }
}
