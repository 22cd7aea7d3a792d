//! From a request's bytes to a call that a worker can serve, or a named reason why not.

use std::{collections::BTreeMap, ops::RangeInclusive};

use chainference_protocol::{CallRequest, Chat, Message as ChatMessage, MessageContent, Sampling};
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
    };
    let chat = Chat {
        messages,
        sampling,
        stop: stop(request.stop)?,
        max_tokens: max_tokens(request.max_completion_tokens, request.max_tokens),
    };
    Ok(ChatCall {
        request: CallRequest { model: request.model, chat },
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
    let content = MessageContent::Text(content);
    Ok(ChatMessage { role: role.to_owned(), content, name: message.name })
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
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn chat(extra: Value) -> Value {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    }

    fn parse(body: &Value) -> Result<ChatCall, RequestError> {
        parse_chat(body.to_string().as_bytes())
    }

    #[test]
    fn common_parameters_reach_the_worker() {
        let call = parse(&chat(json!({
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [
                    {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": "c", "tool_calls": []},
            ],
            "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.5,
            "max_tokens": 9, "max_completion_tokens": 7, "stop": "x", "seed": -1,
            "logit_bias": {"50": -100}, "top_k": 5, "n": 1, "response_format": {"type": "text"},
            "user": "u", "metadata": {"k": "v"}, "tools": [], "tool_choice": "auto",
            "logprobs": null, "some_new_field": {"deep": [1]},
        })))
        .unwrap();
        assert!(call.stream && call.include_usage);
        let chat = call.request.chat;
        assert_eq!(chat.messages[0].role, "system");
        assert_eq!(chat.messages[1].content.text(), "ab");
        assert_eq!(chat.max_tokens, Some(7));
        assert_eq!(chat.stop, ["x"]);
        assert_eq!(chat.sampling.temperature, Some(0.5));
        assert_eq!(chat.sampling.seed, Some(u32::MAX - 1));
        assert_eq!(chat.sampling.logit_bias, BTreeMap::from([(50, -100.0)]));
    }

    #[test]
    fn wrong_types_name_their_path() {
        for (extra, param) in [
            (json!({"model": 3}), "model"),
            (json!({"messages": "hi"}), "messages"),
            (json!({"messages": [{"role": "user", "content": 5}]}), "messages[0].content"),
            (json!({"messages": [{"role": 1, "content": "a"}]}), "messages[0].role"),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}),
                "messages[0].content[0].text",
            ),
            (json!({"temperature": "hot"}), "temperature"),
            (json!({"stream": "yes"}), "stream"),
            (json!({"stop": [1]}), "stop[0]"),
            (json!({"stop": 1}), "stop"),
            (json!({"max_tokens": -1}), "max_tokens"),
            (json!({"max_tokens": 1.5}), "max_tokens"),
            (json!({"stream_options": 1}), "stream_options"),
            (json!({"metadata": {"a": 1}}), "metadata.a"),
            (json!({"logit_bias": {"1": "a"}}), "logit_bias.1"),
        ] {
            match parse(&chat(extra.clone())) {
                Err(RequestError::Type { param: found, .. }) => assert_eq!(found, param, "{extra}"),
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn wrong_values_name_their_path() {
        for (extra, param) in [
            (json!({"model": ""}), "model"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": [{"role": "boss", "content": "a"}]}), "messages[0].role"),
            (json!({"temperature": 2.5}), "temperature"),
            (json!({"top_p": -0.5}), "top_p"),
            (json!({"presence_penalty": 3}), "presence_penalty"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"n": 0}), "n"),
            (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
            (json!({"stop": ""}), "stop"),
            (json!({"logit_bias": {"x": 1}}), "logit_bias.x"),
            (json!({"logit_bias": {"1": 101}}), "logit_bias.1"),
            (json!({"stream_options": {"include_usage": true}}), "stream_options"),
            (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        ] {
            match parse(&chat(extra.clone())) {
                Err(RequestError::Value { param: found, .. }) => {
                    assert_eq!(found, param, "{extra}");
                }
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn unsupported_parameters_are_refused_by_name() {
        let image = json!([{"type": "image_url", "image_url": {"url": "x"}}]);
        for (extra, param) in [
            (json!({"tools": [{"type": "function"}]}), "tools"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (json!({"logprobs": true}), "logprobs"),
            (json!({"n": 2}), "n"),
            (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
            (json!({"grammar": "root ::= x"}), "grammar"),
            (json!({"modalities": ["text", "audio"]}), "modalities"),
            (
                json!({"messages": [{"role": "user", "content": image}]}),
                "messages[0].content[0].type",
            ),
            (json!({"messages": [{"role": "tool", "content": "1"}]}), "messages[0].role"),
            (
                json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}),
                "messages[0].tool_calls",
            ),
        ] {
            match parse(&chat(extra.clone())) {
                Err(RequestError::Unsupported { param: found }) => {
                    assert_eq!(found, param, "{extra}");
                }
                other => panic!("{extra}: {other:?}"),
            }
        }
    }

    #[test]
    fn missing_fields_are_named() {
        for (body, param) in [
            (json!({"messages": []}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": [{"content": "a"}]}), "messages[0].role"),
            (json!({"model": "m", "messages": [{"role": "user"}]}), "messages[0].content"),
        ] {
            match parse(&body) {
                Err(RequestError::Missing { param: found }) => assert_eq!(found, param, "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for body in ["", "{", "{\"model\": \"m\",}", "\u{0}", "{} {}"] {
            let error = parse_chat(body.as_bytes()).unwrap_err();
            let wanted = matches!(error, RequestError::Json { .. } | RequestError::Missing { .. });
            assert!(wanted, "{body:?}: {error:?}");
        }
        assert!(matches!(parse_chat(b"[1]"), Err(RequestError::Type { .. })));
    }
}
