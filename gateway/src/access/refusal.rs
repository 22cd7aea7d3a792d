//! Why a key's request is refused, in OpenAI's words.

use axum::http::StatusCode;
use thiserror::Error;

use super::rates::duration;
use crate::{clock::now_unix_ms, ledger::UsedUp, openai::ApiError};

#[derive(Clone, Debug, Error)]
pub enum Refusal {
    #[error("the key may make {limit} requests a minute")]
    Requests { limit: u64, after_ms: u64 },
    #[error("the key may use {limit} tokens a minute")]
    Tokens { limit: u64, tokens: u64, after_ms: u64 },
    #[error("the key may have {limit} requests in progress")]
    Concurrency { limit: u64 },
    #[error("the key's budget of its {} is used up", .0.span.name())]
    Budget(UsedUp),
    #[error("the key may not use '{model}'")]
    Model { model: String },
}

impl Refusal {
    pub fn to_api(&self) -> ApiError {
        match self {
            Self::Requests { limit, after_ms } => {
                let message = format!(
                    "Rate limit reached on requests per min: Limit {limit}. Please try again in {}.",
                    duration(*after_ms)
                );
                limited("requests", message, *after_ms)
            }
            Self::Tokens { limit, tokens, after_ms } => {
                let message = format!(
                    "Rate limit reached on tokens per min: Limit {limit}, Requested up to {tokens}. \
                     Please try again in {}; a smaller max_tokens asks for less.",
                    duration(*after_ms)
                );
                limited("tokens", message, *after_ms)
            }
            Self::Concurrency { limit } => {
                let message =
                    format!("This API key has {limit} requests in progress, which is its limit.");
                limited("requests", message, 1_000)
            }
            Self::Budget(used_up) => budget(used_up),
            // As OpenAI answers a project that has a list of models.
            Self::Model { model } => ApiError::invalid(format!(
                "This API key does not have access to the model '{model}'; GET /v1/models lists \
                 those that it has."
            ))
            .status(StatusCode::FORBIDDEN)
            .code("model_not_found")
            .param("model"),
        }
    }
}

fn limited(kind: &'static str, message: String, after_ms: u64) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message)
        .code("rate_limit_exceeded")
        .retry_after(after_ms.div_ceil(1_000).max(1))
}

/// 429 as with OpenAI, whose clients know it as a quota; to repeat it at once is no use.
fn budget(used_up: &UsedUp) -> ApiError {
    let UsedUp { span, budget, needed, until_unix_ms } = used_up;
    let (of, wait) = match until_unix_ms {
        None => ("in total".to_owned(), String::new()),
        Some(_) => {
            let name = span.name();
            (format!("a {name}"), format!(" wait for the next {name} (UTC),"))
        }
    };
    let message = format!(
        "This API key may spend {} lamports {of}. What is left of it does not cover this call, which may \
         cost up to {}:{wait} ask for less (max_tokens), or ask the operator for a larger budget \
         (chainference keys).",
        budget.0, needed.0
    );
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message)
        .code("insufficient_quota")
        .never_retry();
    match until_unix_ms {
        None => error,
        Some(until) => {
            let seconds = until.saturating_sub(now_unix_ms()).max(1_000) / 1_000;
            error.retry_after(seconds.unsigned_abs())
        }
    }
}

#[cfg(test)]
mod tests {
    use chainference_market::Lamports;

    use super::*;
    use crate::ledger::Span;

    #[test]
    fn each_refusal_has_its_status_and_code_and_says_when_or_what_then() {
        let budget = |span, until_unix_ms| {
            let (budget, needed) = (Lamports(9), Lamports(10));
            Refusal::Budget(UsedUp { span, budget, needed, until_unix_ms })
        };
        let later = Some(i64::MAX);
        for (refusal, status, code, waits) in [
            (Refusal::Requests { limit: 1, after_ms: 1 }, 429, "rate_limit_exceeded", true),
            (
                Refusal::Tokens { limit: 1, tokens: 2, after_ms: 9 },
                429,
                "rate_limit_exceeded",
                true,
            ),
            (Refusal::Concurrency { limit: 1 }, 429, "rate_limit_exceeded", true),
            (budget(Span::Day, later), 429, "insufficient_quota", true),
            (budget(Span::Total, None), 429, "insufficient_quota", false),
            (Refusal::Model { model: "a".into() }, 403, "model_not_found", false),
        ] {
            let api = refusal.to_api();
            assert_eq!((api.status.as_u16(), api.code), (status, Some(code)), "{refusal}");
            assert_eq!(api.retry_after_s.is_some(), waits, "{refusal}");
        }
    }
}
