//! From a request's bytes to a call that a worker can serve, or a named reason why not.

use std::{collections::BTreeMap, ops::RangeInclusive};

use chainference_protocol::{
    CallRequest, Chat, Decoding, Message as ChatMessage, MessageContent, Sampling, Task,
};
use thiserror::Error;

use super::{
    refused,
    request::{ChatRequest, Content, Message, Part, ResponseFormat, Stop},
};
use crate::limits;

/// What is wrong with a request. Each names the JSON path at fault, where there is one.
#[derive(Debug, Error)]
pub enum RequestError {
    #[error("The body is not valid JSON: {reason}")]
    Json { reason: String },
    #[error("Invalid type for '{param}': {reason}")]
    Type { param: String, reason: String },
    #[error("Missing required parameter: '{param}'.")]
    Missing { param: String },
    #[error("Invalid value for '{param}': {reason}")]
    Value { param: String, reason: String },
    #[error("The parameter '{param}' is not supported by any worker in this market yet.")]
    Unsupported { param: String },
}

impl RequestError {
    pub(super) fn json(error: serde_json::Error) -> Self {
        Self::Json { reason: error.to_string() }
    }

    fn value(param: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { param: param.into(), reason: reason.into() }
    }
}

/// A checked call: what the worker gets, and how the client wants its answer.
#[derive(Debug)]
pub struct ChatCall {
    pub request: CallRequest,
    pub stream: bool,
    pub include_usage: bool,
}

/// Reads and checks the body of a chat completion.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, of a wrong type or value, or that asks for what
/// no worker offers.
pub fn parse_chat(body: &[u8]) -> Result<ChatCall, RequestError> {
    let request = read(body)?;
    refused::check(body)?;
    check_ranges(&request)?;
    check_format(request.response_format.as_ref())?;
    let messages = messages(request.messages)?;
    let sampling = Sampling {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        min_p: request.min_p,
        seed: request.seed.map(worker_seed),
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        logit_bias: logit_bias(request.logit_bias.unwrap_or_default())?,
        ..Sampling::default()
    };
    let decoding = Decoding {
        sampling,
        stop: stop(request.stop)?,
        max_tokens: max_tokens(request.max_completion_tokens, request.max_tokens),
        ..Decoding::default()
    };
    let task = Task::Chat(Chat { messages, decoding, ..Chat::default() });
    Ok(ChatCall {
        request: CallRequest { model: request.model, task },
        stream: request.stream.unwrap_or(false),
        include_usage: request.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
    })
}

fn read(body: &[u8]) -> Result<ChatRequest, RequestError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let param = error.path().to_string();
        let inner = error.into_inner();
        if !inner.is_data() {
            return RequestError::json(inner);
        }
        let reason = inner.to_string();
        match reason.strip_prefix("missing field `").and_then(|r| r.split('`').next()) {
            Some(field) if param == "." => RequestError::Missing { param: field.to_owned() },
            Some(field) => RequestError::Missing { param: format!("{param}.{field}") },
            None => RequestError::Type { param, reason },
        }
    })?;
    json.end().map_err(RequestError::json)?;
    Ok(request)
}

fn check_ranges(request: &ChatRequest) -> Result<(), RequestError> {
    in_range("temperature", request.temperature, 0.0..=2.0)?;
    in_range("top_p", request.top_p, 0.0..=1.0)?;
    in_range("min_p", request.min_p, 0.0..=1.0)?;
    in_range("presence_penalty", request.presence_penalty, -2.0..=2.0)?;
    in_range("frequency_penalty", request.frequency_penalty, -2.0..=2.0)?;
    for (param, tokens) in [
        ("max_tokens", request.max_tokens),
        ("max_completion_tokens", request.max_completion_tokens),
    ] {
        if tokens == Some(0) {
            return Err(RequestError::value(param, "it must be at least 1."));
        }
    }
    match request.n {
        None | Some(1) => {}
        Some(0) => return Err(RequestError::value("n", "it must be at least 1.")),
        Some(_) => return Err(RequestError::Unsupported { param: "n".into() }),
    }
    if request.stream_options.is_some() && request.stream != Some(true) {
        return Err(RequestError::value("stream_options", "it goes with 'stream': true only."));
    }
    if request.model.is_empty() {
        return Err(RequestError::value("model", "it must not be empty."));
    }
    Ok(())
}

fn in_range(
    param: &str,
    value: Option<f32>,
    range: RangeInclusive<f32>,
) -> Result<(), RequestError> {
    match value {
        Some(value) if !range.contains(&value) => {
            let (low, high) = range.into_inner();
            Err(RequestError::value(param, format!("{value} is not between {low} and {high}.")))
        }
        _ => Ok(()),
    }
}

fn check_format(format: Option<&ResponseFormat>) -> Result<(), RequestError> {
    let param = || "response_format.type".to_owned();
    match format.map(|format| format.kind.as_str()) {
        None | Some("text") => Ok(()),
        Some("json_object" | "json_schema") => Err(RequestError::Unsupported { param: param() }),
        Some(other) => Err(RequestError::value(param(), format!("'{other}' is no known format."))),
    }
}

fn messages(messages: Vec<Message>) -> Result<Vec<ChatMessage>, RequestError> {
    if messages.is_empty() {
        return Err(RequestError::value("messages", "at least one message is needed."));
    }
    messages.into_iter().enumerate().map(|(at, message)| one_message(at, message)).collect()
}

fn one_message(at: usize, message: Message) -> Result<ChatMessage, RequestError> {
    let path = |field: &str| format!("messages[{at}].{field}");
    let role = match message.role.as_str() {
        // The templates of open models know no developer; it is their system role by another name.
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        "tool" | "function" => return Err(RequestError::Unsupported { param: path("role") }),
        other => {
            return Err(RequestError::value(path("role"), format!("'{other}' is no known role.")));
        }
    };
    if message.tool_calls.is_some_and(|calls| !calls.is_empty()) {
        return Err(RequestError::Unsupported { param: path("tool_calls") });
    }
    if message.function_call.is_some() {
        return Err(RequestError::Unsupported { param: path("function_call") });
    }
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => join_parts(&path("content"), parts)?,
        None => return Err(RequestError::Missing { param: path("content") }),
    };
    let content = Some(MessageContent::Text(content));
    Ok(ChatMessage { role: role.to_owned(), content, name: message.name, ..Default::default() })
}

fn join_parts(path: &str, parts: Vec<Part>) -> Result<String, RequestError> {
    let mut text = String::new();
    for (at, part) in parts.into_iter().enumerate() {
        if part.kind != "text" {
            return Err(RequestError::Unsupported { param: format!("{path}[{at}].type") });
        }
        let missing = || RequestError::Missing { param: format!("{path}[{at}].text") };
        text.push_str(&part.text.ok_or_else(missing)?);
    }
    Ok(text)
}

fn stop(stop: Option<Stop>) -> Result<Vec<String>, RequestError> {
    let sequences = stop.map(|stop| stop.0).unwrap_or_default();
    if sequences.len() > limits::STOP_SEQUENCES_MAX {
        let most = limits::STOP_SEQUENCES_MAX;
        return Err(RequestError::value("stop", format!("at most {most} sequences are possible.")));
    }
    if sequences.iter().any(String::is_empty) {
        return Err(RequestError::value("stop", "a sequence must not be empty."));
    }
    Ok(sequences)
}

fn logit_bias(
    biases: std::collections::HashMap<String, f32>,
) -> Result<BTreeMap<u32, f32>, RequestError> {
    let mut checked = BTreeMap::new();
    for (token, bias) in biases {
        let param = || format!("logit_bias.{token}");
        let id =
            token.parse().map_err(|_| RequestError::value(param(), "the key is no token id."))?;
        in_range(&param(), Some(bias), -100.0..=100.0)?;
        checked.insert(id, bias);
    }
    Ok(checked)
}

/// Models take 32 bits, of which the highest value means "any": every seed maps to another one.
fn worker_seed(seed: i64) -> u32 {
    let folded = seed.rem_euclid(i64::from(u32::MAX));
    u32::try_from(folded).unwrap_or_default()
}

/// Where a client sends both the old and the new name, the smaller bound holds.
fn max_tokens(new: Option<u32>, old: Option<u32>) -> Option<u32> {
    match (new, old) {
        (Some(new), Some(old)) => Some(new.min(old)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
