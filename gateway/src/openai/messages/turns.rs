//! The turns of a conversation, as messages: what a tool gave back is a block of the user's turn
//! here, and a message of its own for a model's template.

use chainference_protocol::{ContentPart, Message, MessageContent, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::read::{RequestError, TextOr};

#[derive(Deserialize)]
pub(in super::super) struct TurnRequest {
    role: String,
    content: TextOr<Vec<BlockRequest>>,
}

#[derive(Deserialize)]
pub(in super::super) struct BlockRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    input: Option<Map<String, Value>>,
    #[serde(default)]
    tool_use_id: Option<String>,
    #[serde(default)]
    content: Option<TextOr<Vec<BlockRequest>>>,
    #[serde(default)]
    is_error: Option<bool>,
}

/// What a tool's failure is told with: templates have no other word for it.
const FAILED: &str = "Error: ";

pub(super) fn system(asked: TextOr<Vec<BlockRequest>>) -> Result<MessageContent, RequestError> {
    texts("system", asked)
}

pub(super) fn messages(turns: Vec<TurnRequest>) -> Result<Vec<Message>, RequestError> {
    if turns.is_empty() {
        return Err(RequestError::value("messages", "at least one message is needed."));
    }
    let last = turns.len() - 1;
    let mut messages = Vec::with_capacity(turns.len());
    for (at, turn) in turns.into_iter().enumerate() {
        let path = format!("messages[{at}]");
        match turn.role.as_str() {
            "user" => user(&path, turn.content, &mut messages)?,
            "assistant" if at == last => {
                let reason = "an answer can't be begun for the model: end with a user's message.";
                return Err(RequestError::unsupported(path, reason));
            }
            "assistant" => messages.push(assistant(&path, turn.content)?),
            other => {
                let reason = format!("'{other}' is no known role.");
                return Err(RequestError::value(format!("{path}.role"), reason));
            }
        }
    }
    Ok(messages)
}

/// A user's turn: each tool's result is a message, and so is each run of text between them.
fn user(
    path: &str,
    content: TextOr<Vec<BlockRequest>>,
    messages: &mut Vec<Message>,
) -> Result<(), RequestError> {
    let blocks = match content {
        TextOr::Text(text) => {
            messages.push(Message::text("user", text));
            return Ok(());
        }
        TextOr::Other(blocks) => blocks,
    };
    if blocks.is_empty() {
        return Err(RequestError::value(format!("{path}.content"), "it must not be empty."));
    }
    let mut texts = Vec::new();
    for (at, block) in blocks.into_iter().enumerate() {
        let path = format!("{path}.content[{at}]");
        if block.kind == "tool_result" {
            said(&mut texts, messages);
            let message = tool_result(&path, block, messages)?;
            messages.push(message);
        } else {
            texts.push(ContentPart::Text { text: text(&path, block)? });
        }
    }
    said(&mut texts, messages);
    Ok(())
}

fn said(texts: &mut Vec<ContentPart>, messages: &mut Vec<Message>) {
    if !texts.is_empty() {
        let content = Some(MessageContent::Parts(std::mem::take(texts)));
        messages.push(Message { role: "user".into(), content, ..Message::default() });
    }
}

/// What a tool gave back. Templates want its name, which only the call holds.
fn tool_result(
    path: &str,
    block: BlockRequest,
    before: &[Message],
) -> Result<Message, RequestError> {
    let id = needed(path, "tool_use_id", block.tool_use_id)?;
    let mut calls = before.iter().rev().flat_map(|message| message.tool_calls.iter().rev());
    let Some(call) = calls.find(|call| call.id == id) else {
        let reason = format!("'{id}' is the id of no tool_use before this block.");
        return Err(RequestError::value(format!("{path}.tool_use_id"), reason));
    };
    let nothing = TextOr::Text(String::new());
    let content = texts(&format!("{path}.content"), block.content.unwrap_or(nothing))?;
    let content = match block.is_error {
        Some(true) => MessageContent::Text(format!("{FAILED}{}", content.text())),
        _ => content,
    };
    Ok(Message {
        role: "tool".into(),
        content: Some(content),
        name: Some(call.name.clone()),
        tool_call_id: Some(id),
        ..Message::default()
    })
}

fn assistant(path: &str, content: TextOr<Vec<BlockRequest>>) -> Result<Message, RequestError> {
    let blocks = match content {
        TextOr::Text(text) => return Ok(Message::text("assistant", text)),
        TextOr::Other(blocks) => blocks,
    };
    let mut message = Message { role: "assistant".into(), ..Message::default() };
    let mut texts = Vec::new();
    for (at, block) in blocks.into_iter().enumerate() {
        let path = format!("{path}.content[{at}]");
        match block.kind.as_str() {
            "thinking" => {
                let thought = needed(&path, "thinking", block.thinking)?;
                message.reasoning_content.get_or_insert_default().push_str(&thought);
            }
            "tool_use" => message.tool_calls.push(tool_use(&path, block)?),
            _ => texts.push(ContentPart::Text { text: text(&path, block)? }),
        }
    }
    let silent = texts.is_empty() && !message.tool_calls.is_empty();
    message.content = (!silent).then_some(MessageContent::Parts(texts));
    Ok(message)
}

fn tool_use(path: &str, block: BlockRequest) -> Result<ToolCall, RequestError> {
    let arguments = Value::Object(needed(path, "input", block.input)?).to_string();
    let id = needed(path, "id", block.id)?;
    Ok(ToolCall { id, name: needed(path, "name", block.name)?, arguments })
}

fn texts(path: &str, asked: TextOr<Vec<BlockRequest>>) -> Result<MessageContent, RequestError> {
    let blocks = match asked {
        TextOr::Text(text) => return Ok(MessageContent::Text(text)),
        TextOr::Other(blocks) => blocks,
    };
    let mut texts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        texts.push(ContentPart::Text { text: text(&format!("{path}[{at}]"), block)? });
    }
    Ok(MessageContent::Parts(texts))
}

fn text(path: &str, block: BlockRequest) -> Result<String, RequestError> {
    match block.kind.as_str() {
        "text" => needed(path, "text", block.text),
        other => {
            let reason = format!("models here read text only, and this block is '{other}'.");
            Err(RequestError::value(path, reason))
        }
    }
}

fn needed<T>(path: &str, field: &str, value: Option<T>) -> Result<T, RequestError> {
    value.ok_or_else(|| RequestError::missing(format!("{path}.{field}")))
}
