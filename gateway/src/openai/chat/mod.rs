//! `POST /v1/chat/completions`: from a request's bytes to a call that a worker can serve.

mod answer;
mod chunks;
mod format;
mod message;
mod tools;

use std::collections::HashMap;

use chainference_protocol::{CallRequest, Chat, Decoding, ResponseFormat, Task};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    call::{Call, Form, Style},
    decoding::{DecodingRequest, check_model, in_range},
    depth::check_depth,
    read::{RequestError, TextOr, read},
    refused,
};
use crate::limits;

pub(super) use answer::completion;
pub(super) use chunks::ChatChunks;
pub(super) use tools::{known, mode_of};

/// What only chats have; the rest is in [`DecodingRequest`].
#[derive(Deserialize, ToSchema)]
pub(super) struct ChatRequest {
    model: String,
    #[schema(value_type = Vec<Object>)]
    messages: Vec<message::MessageRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<tools::ToolRequest>>,
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    tool_choice: Option<TextOr<tools::ChoiceRequest>>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    response_format: Option<format::FormatRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    json_schema: Option<Map<String, Value>>,
    #[serde(default)]
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    top_logprobs: Option<u32>,
    #[serde(default)]
    reasoning_effort: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Accepted and not passed on, like a user's name.
    #[serde(default, rename = "metadata")]
    _metadata: Option<HashMap<String, String>>,
    #[serde(default, rename = "safety_identifier")]
    _safety_identifier: Option<String>,
    /// A hint that is not needed: the prompts of one vault share a cache by themselves.
    #[serde(default, rename = "prompt_cache_key")]
    _prompt_cache_key: Option<String>,
}

/// Reads and checks the body of a chat completion.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, of a wrong type or value, or that asks for what
/// no worker offers.
pub fn parse_chat(body: &[u8]) -> Result<Call, RequestError> {
    let request: ChatRequest = read(body)?;
    let decoding: DecodingRequest = read(body)?;
    refused::check(refused::CHAT, body)?;
    check_model(&request.model)?;
    let (stream, include_usage) = decoding.streaming()?;
    let decoding = Decoding {
        logprobs: logprobs(request.logprobs, request.top_logprobs)?,
        max_tokens: max_tokens(request.max_completion_tokens, decoding.max_tokens)?,
        ..decoding.decoding(1)?
    };
    let (tools, tool_choice) = tools::tools(request.tools, request.tool_choice)?;
    let response_format = format::format(request.response_format, request.json_schema)?;
    let chat = Chat {
        messages: message::messages(request.messages)?,
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        template_variables: variables(
            request.chat_template_kwargs,
            "reasoning_effort",
            request.reasoning_effort,
        )?,
        tools,
        tool_choice,
        response_format,
        decoding,
    };
    check_grammars(&chat)?;
    check_depth(&chat)?;
    let form = Form {
        style: Style::Chat,
        answers: chat.decoding.n,
        logprobs: chat.decoding.logprobs,
        include_usage,
    };
    let request = CallRequest { model: request.model, task: Task::Chat(chat) };
    Ok(Call { request, stream, form })
}

fn logprobs(asked: Option<bool>, top: Option<u32>) -> Result<Option<u32>, RequestError> {
    in_range("top_logprobs", top, 0, limits::TOP_LOGPROBS_MAX)?;
    match (asked.unwrap_or(false), top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => {
            Err(RequestError::value("top_logprobs", "it goes with 'logprobs': true only."))
        }
    }
}

/// Where a client sends both the old and the new name, the smaller bound holds.
fn max_tokens(new: Option<u32>, old: Option<u32>) -> Result<Option<u32>, RequestError> {
    for (param, tokens) in [("max_tokens", old), ("max_completion_tokens", new)] {
        in_range(param, tokens, 1, u32::MAX)?;
    }
    Ok(match (new, old) {
        (Some(new), Some(old)) => Some(new.min(old)),
        (one, other) => one.or(other),
    })
}

/// A template's variables. How much a model is to think is one of them.
pub(super) fn variables(
    given: Option<Map<String, Value>>,
    param: &str,
    effort: Option<String>,
) -> Result<Map<String, Value>, RequestError> {
    let mut variables = given.unwrap_or_default();
    let Some(effort) = effort else { return Ok(variables) };
    let (name, value) = match effort.as_str() {
        "none" => ("enable_thinking", Value::Bool(false)),
        "minimal" | "low" | "medium" | "high" | "xhigh" => ("reasoning_effort", effort.into()),
        other => {
            let reason = format!("'{other}' is no known effort.");
            return Err(RequestError::value(param, reason));
        }
    };
    variables.entry(name).or_insert(value);
    Ok(variables)
}

/// An answer follows one grammar; so only one may be asked for.
pub(super) fn check_grammars(chat: &Chat) -> Result<(), RequestError> {
    if chat.decoding.grammar.is_none() {
        return Ok(());
    }
    let wrong = |reason| Err(RequestError::value("grammar", reason));
    if chat.response_format != ResponseFormat::Text {
        return wrong("the response's format is a grammar already.");
    }
    if !chat.tools.is_empty() && chat.tool_choice != chainference_protocol::ToolChoice::None {
        return wrong("tool calls have a grammar of their own: set 'tool_choice' to 'none'.");
    }
    Ok(())
}

/// The name of a function or a schema, as OpenAI allows it.
pub(super) fn check_name(param: &str, name: &str) -> Result<(), RequestError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > limits::NAME_BYTES_MAX || !name.chars().all(plain) {
        let most = limits::NAME_BYTES_MAX;
        let reason = format!("a name is made of 1 to {most} letters, digits, '_' and '-'.");
        return Err(RequestError::value(param, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
