//! Messages, as clients write them and as workers get them.

use chainference_protocol::{ContentPart, Message, MessageContent, ToolCall};
use serde::{Deserialize, de::IgnoredAny};

use super::super::read::{RequestError, TextOr};

#[derive(Deserialize)]
pub(in super::super) struct MessageRequest {
    role: String,
    #[serde(default)]
    content: Option<TextOr<Vec<Part>>>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallRequest>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    function_call: Option<Function>,
    #[serde(default)]
    audio: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct CallRequest {
    id: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    /// JSON in a string.
    arguments: String,
}

pub(super) fn messages(asked: Vec<MessageRequest>) -> Result<Vec<Message>, RequestError> {
    if asked.is_empty() {
        return Err(RequestError::value("messages", "at least one message is needed."));
    }
    let mut messages: Vec<Message> = Vec::with_capacity(asked.len());
    for (at, message) in asked.into_iter().enumerate() {
        let path = Path(at);
        let message = match message.role.as_str() {
            // The templates of open models know no developer; it is their system role by another
            // name.
            "system" | "developer" => said(&path, "system", message)?,
            "user" => said(&path, "user", message)?,
            "assistant" => assistant(&path, message)?,
            "tool" => tool(&path, message, &messages)?,
            "function" => function(&path, message, &messages)?,
            other => {
                let reason = format!("'{other}' is no known role.");
                return Err(RequestError::value(path.to("role"), reason));
            }
        };
        messages.push(message);
    }
    Ok(messages)
}

/// Where a message stands.
struct Path(usize);

impl Path {
    fn to(&self, field: &str) -> String {
        format!("messages[{}].{field}", self.0)
    }
}

fn said(path: &Path, role: &str, asked: MessageRequest) -> Result<Message, RequestError> {
    let content = content(path, asked.content)?;
    let content = Some(content.ok_or_else(|| RequestError::missing(path.to("content")))?);
    Ok(Message { role: role.into(), content, name: asked.name, ..Message::default() })
}

fn assistant(path: &Path, asked: MessageRequest) -> Result<Message, RequestError> {
    if asked.audio.is_some() {
        return Err(RequestError::value(path.to("audio"), "models here hear and say nothing."));
    }
    let mut tool_calls = Vec::new();
    for (at, call) in asked.tool_calls.unwrap_or_default().into_iter().enumerate() {
        tool_calls.push(tool_call(&path.to(&format!("tool_calls[{at}]")), call)?);
    }
    if let Some(Function { name, arguments }) = asked.function_call {
        tool_calls.push(ToolCall { id: old_call_id(path.0), name, arguments });
    }
    let content = content(path, asked.content)?.or(asked.refusal.map(MessageContent::Text));
    if content.is_none() && tool_calls.is_empty() {
        return Err(RequestError::missing(path.to("content")));
    }
    Ok(Message {
        role: "assistant".into(),
        content,
        name: asked.name,
        reasoning_content: asked.reasoning_content,
        tool_calls,
        tool_call_id: None,
    })
}

/// The old form of a function call has no id; the message that answers it needs one.
fn old_call_id(at: usize) -> String {
    format!("call_{at}")
}

fn tool_call(path: &str, call: CallRequest) -> Result<ToolCall, RequestError> {
    if call.kind.is_some_and(|kind| kind != "function") {
        let param = format!("{path}.type");
        return Err(RequestError::unsupported(param, "models here call functions only."));
    }
    let missing = || RequestError::missing(format!("{path}.function"));
    let Function { name, arguments } = call.function.ok_or_else(missing)?;
    Ok(ToolCall { id: call.id, name, arguments })
}

/// What a tool said. Templates want its name, which only the call holds.
fn tool(path: &Path, asked: MessageRequest, before: &[Message]) -> Result<Message, RequestError> {
    let missing = || RequestError::missing(path.to("tool_call_id"));
    let id = asked.tool_call_id.clone().ok_or_else(missing)?;
    let Some(call) = calls(before).find(|call| call.id == id) else {
        let reason = format!("'{id}' is the id of no tool call before this message.");
        return Err(RequestError::value(path.to("tool_call_id"), reason));
    };
    let name = call.name.clone();
    let message = said(path, "tool", asked)?;
    let name = message.name.or(Some(name));
    Ok(Message { name, tool_call_id: Some(id), ..message })
}

/// The old form of a tool's message: it answers the last call of that function.
fn function(
    path: &Path,
    asked: MessageRequest,
    before: &[Message],
) -> Result<Message, RequestError> {
    let name = asked.name.clone().ok_or_else(|| RequestError::missing(path.to("name")))?;
    let Some(id) = calls(before).find(|call| call.name == name).map(|call| call.id.clone()) else {
        let reason = format!("'{name}' is not called before this message.");
        return Err(RequestError::value(path.to("name"), reason));
    };
    Ok(Message { tool_call_id: Some(id), ..said(path, "tool", asked)? })
}

/// All tool calls, the latest first.
fn calls(messages: &[Message]) -> impl Iterator<Item = &ToolCall> {
    messages.iter().rev().flat_map(|message| message.tool_calls.iter().rev())
}

fn content(
    path: &Path,
    asked: Option<TextOr<Vec<Part>>>,
) -> Result<Option<MessageContent>, RequestError> {
    let parts = match asked {
        None => return Ok(None),
        Some(TextOr::Text(text)) => return Ok(Some(MessageContent::Text(text))),
        Some(TextOr::Other(parts)) => parts,
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let text = part_text(&path.to(&format!("content[{at}]")), part)?;
        texts.push(ContentPart::Text { text });
    }
    Ok(Some(MessageContent::Parts(texts)))
}

fn part_text(path: &str, part: Part) -> Result<String, RequestError> {
    let (field, text) = match part.kind.as_str() {
        "text" => ("text", part.text),
        "refusal" => ("refusal", part.refusal),
        other => {
            let reason = format!("models here read text only, and this part is '{other}'.");
            return Err(RequestError::value(path, reason));
        }
    };
    text.ok_or_else(|| RequestError::missing(format!("{path}.{field}")))
}
