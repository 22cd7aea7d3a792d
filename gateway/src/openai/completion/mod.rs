//! `POST /v1/completions`: text to continue as it is, without a chat template.

mod answer;

use chainference_protocol::{CallRequest, Completion, Decoding, Task};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    call::{Call, Form, Style},
    decoding::{DecodingRequest, check_model, in_range},
    prompts::{Prompts, prompts},
    read::{RequestError, read},
    refused,
};
use crate::limits;

pub(super) use answer::{TextChunks, completion};

/// What only completions have; the rest is in [`DecodingRequest`].
#[derive(Deserialize, ToSchema)]
pub(super) struct CompletionRequest {
    model: String,
    #[schema(value_type = serde_json::Value)]
    prompt: Prompts,
    #[serde(default)]
    suffix: Option<String>,
    #[serde(default)]
    echo: Option<bool>,
    #[serde(default)]
    logprobs: Option<u32>,
    #[serde(default)]
    best_of: Option<u32>,
}

/// Reads and checks the body of a completion.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, of a wrong type or value, or that asks for what
/// no worker offers.
pub fn parse_completion(body: &[u8]) -> Result<Call, RequestError> {
    let request: CompletionRequest = read(body)?;
    let decoding: DecodingRequest = read(body)?;
    refused::check(refused::COMPLETION, body)?;
    check_model(&request.model)?;
    let (stream, include_usage) = decoding.streaming()?;
    let prompts = prompts("prompt", request.prompt)?;
    let echo = request.echo.unwrap_or(false);
    in_range("logprobs", request.logprobs, 0, limits::TOP_LOGPROBS_MAX)?;
    let decoding = Decoding {
        logprobs: request.logprobs,
        max_tokens: Some(max_tokens(decoding.max_tokens, echo)?),
        ..decoding.decoding(prompts.len())?
    };
    check_best_of(request.best_of, decoding.n)?;
    let suffix = request.suffix.filter(|suffix| !suffix.is_empty());
    if suffix.is_some() && echo {
        return Err(RequestError::value("echo", "it doesn't go with 'suffix'."));
    }
    // Their number was checked: it fits.
    let of_prompts = u32::try_from(prompts.len()).unwrap_or(u32::MAX);
    let form = Form {
        style: Style::Completion,
        answers: decoding.n.saturating_mul(of_prompts),
        logprobs: decoding.logprobs,
        include_usage,
    };
    let task = Task::Complete(Completion { prompts, suffix, echo, decoding });
    Ok(Call { request: CallRequest { model: request.model, task }, stream, form })
}

/// OpenAI's default is small. An answer of nothing is for those who want the prompt's
/// log-probabilities alone.
fn max_tokens(asked: Option<u32>, echo: bool) -> Result<u32, RequestError> {
    in_range("max_tokens", asked, if echo { 0 } else { 1 }, u32::MAX)?;
    Ok(asked.unwrap_or(limits::COMPLETION_TOKENS))
}

/// Choosing the best of more answers than are told would bill what nobody sees.
fn check_best_of(best_of: Option<u32>, n: u32) -> Result<(), RequestError> {
    match best_of {
        Some(best_of) if best_of != 1 && best_of != n => {
            Err(RequestError::unsupported("best_of", "ask for 'n' answers and choose yourself."))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
