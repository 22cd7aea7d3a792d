//! Messages, the shape of Anthropic's API: a request's body to a call that a worker can serve. They
//! are chats in another shape, and become the same task.

mod answer;
mod error;
mod events;
mod tools;
mod turns;

use std::sync::Arc;

use chainference_protocol::{CallRequest, Chat, Decoding, Message, ResponseFormat, Task};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    call::{Call, Form, Style},
    chat,
    decoding::{DecodingRequest, check_model, in_range},
    depth::check_depth,
    read::{RequestError, TextOr, read},
    refused,
};
use crate::limits;

pub(super) use answer::message;
pub(super) use error::AnthropicError;
pub use error::error_shape;
pub(super) use events::{MessageEvents, failed};

/// What only messages have; the rest is in [`DecodingRequest`].
#[derive(Deserialize, ToSchema)]
pub(super) struct MessagesRequest {
    model: String,
    #[schema(value_type = Vec<Object>)]
    messages: Vec<turns::TurnRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    system: Option<TextOr<Vec<turns::BlockRequest>>>,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    tools: Option<Vec<tools::ToolRequest>>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    tool_choice: Option<tools::ChoiceRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    thinking: Option<ThinkingRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    output_config: Option<OutputRequest>,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    chat_template_kwargs: Option<Map<String, Value>>,
    /// Accepted and not passed on: it names a client's user.
    #[serde(default, rename = "metadata")]
    #[schema(value_type = Option<Object>)]
    _metadata: Option<Map<String, Value>>,
    /// A hint that is not needed: the prompts of one vault share a cache by themselves.
    #[serde(default, rename = "cache_control")]
    #[schema(value_type = Option<Object>)]
    _cache_control: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ThinkingRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    budget_tokens: Option<u32>,
    #[serde(default)]
    display: Option<String>,
}

#[derive(Deserialize)]
struct OutputRequest {
    #[serde(default)]
    effort: Option<String>,
    #[serde(default)]
    format: Option<FormatRequest>,
}

#[derive(Deserialize)]
struct FormatRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    schema: Option<Map<String, Value>>,
}

/// Reads and checks the body of a message.
///
/// # Errors
/// [`RequestError`], for a body that is not JSON, of a wrong type or value, or that asks for what
/// no worker offers.
pub fn parse_message(body: &[u8]) -> Result<Call, RequestError> {
    let decoding: DecodingRequest = read(body)?;
    let (stream, _) = decoding.streaming()?;
    if decoding.n.is_some_and(|n| n != 1) {
        return Err(RequestError::unsupported("n", "a message is one answer."));
    }
    let max_tokens = decoding.max_tokens.ok_or_else(|| RequestError::missing("max_tokens"))?;
    in_range("max_tokens", Some(max_tokens), 1, u32::MAX)?;
    let request = to_request(body, decoding, Some(max_tokens))?;
    let Task::Chat(Chat { decoding: Decoding { stop, .. }, .. }) = &request.task else {
        return Err(RequestError::missing("messages"));
    };
    let style = Style::Message(Arc::new(stop.clone()));
    let form = Form { style, answers: 1, logprobs: None, include_usage: true };
    Ok(Call { request, stream, form })
}

/// Reads and checks a message whose tokens are to be counted.
///
/// # Errors
/// [`RequestError`], as [`parse_message`].
pub fn parse_count(body: &[u8]) -> Result<CallRequest, RequestError> {
    let decoding: DecodingRequest = read(body)?;
    let max_tokens = decoding.max_tokens;
    to_request(body, decoding, max_tokens)
}

fn to_request(
    body: &[u8],
    decoding: DecodingRequest,
    max_tokens: Option<u32>,
) -> Result<CallRequest, RequestError> {
    let request: MessagesRequest = read(body)?;
    refused::check(refused::MESSAGE, body)?;
    check_model(&request.model)?;
    let stop = stop(request.stop_sequences)?;
    let mut decoding = Decoding { max_tokens, ..decoding.decoding(1)? };
    decoding.stop.extend(stop);
    let (tools, tool_choice, parallel_tool_calls) =
        tools::tools(request.tools, request.tool_choice)?;
    let (effort, response_format) = output(request.output_config)?;
    let mut template_variables =
        chat::variables(request.chat_template_kwargs, "output_config.effort", effort)?;
    if let Some(thinks) = thinking(request.thinking, max_tokens)? {
        template_variables.entry("enable_thinking").or_insert(thinks.into());
    }
    let system = request.system.map(turns::system).transpose()?;
    let system = system.map(|content| Message {
        role: "system".into(),
        content: Some(content),
        ..Message::default()
    });
    let messages = system.into_iter().chain(turns::messages(request.messages)?).collect();
    let chat = Chat {
        messages,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        template_variables,
        decoding,
    };
    chat::check_grammars(&chat)?;
    check_depth(&chat)?;
    Ok(CallRequest { model: request.model, task: Task::Chat(chat) })
}

fn stop(sequences: Option<Vec<String>>) -> Result<Vec<String>, RequestError> {
    let sequences = sequences.unwrap_or_default();
    let most = limits::STOP_SEQUENCES_MAX;
    if sequences.len() > most {
        let reason = format!("at most {most} sequences are possible.");
        return Err(RequestError::value("stop_sequences", reason));
    }
    if sequences.iter().any(String::is_empty) {
        return Err(RequestError::value("stop_sequences", "a sequence must not be empty."));
    }
    Ok(sequences)
}

/// Whether the model is to think, where the client says so. For how long can't be bounded apart from
/// the answer; so a budget is honoured only where it doesn't bind.
fn thinking(
    asked: Option<ThinkingRequest>,
    max_tokens: Option<u32>,
) -> Result<Option<bool>, RequestError> {
    let Some(asked) = asked else { return Ok(None) };
    if asked.display.is_some_and(|display| display != "summarized") {
        return Err(RequestError::unsupported("thinking.display", "thoughts are told whole."));
    }
    match asked.kind.as_str() {
        "disabled" => Ok(Some(false)),
        // As long as it wants, if it does.
        "adaptive" => Ok(None),
        "enabled" => {
            let param = "thinking.budget_tokens";
            let budget = asked.budget_tokens.ok_or_else(|| RequestError::missing(param))?;
            if max_tokens.is_some_and(|most| budget < most.saturating_sub(1)) {
                let reason = "thoughts have no bound of their own: set it to 'max_tokens' - 1, or \
                              'thinking' to {\"type\": \"adaptive\"}.";
                return Err(RequestError::unsupported(param, reason));
            }
            Ok(Some(true))
        }
        other => {
            let reason = format!("'{other}' is no known kind of thinking.");
            Err(RequestError::value("thinking.type", reason))
        }
    }
}

fn output(asked: Option<OutputRequest>) -> Result<(Option<String>, ResponseFormat), RequestError> {
    let Some(OutputRequest { effort, format }) = asked else {
        return Ok((None, ResponseFormat::Text));
    };
    let Some(format) = format else { return Ok((effort, ResponseFormat::Text)) };
    if format.kind != "json_schema" {
        let reason = format!("'{}' is no known format.", format.kind);
        return Err(RequestError::value("output_config.format.type", reason));
    }
    let missing = || RequestError::missing("output_config.format.schema");
    let schema = Value::Object(format.schema.ok_or_else(missing)?);
    Ok((effort, ResponseFormat::JsonSchema(schema)))
}

#[cfg(test)]
mod tests;
