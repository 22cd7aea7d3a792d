//! The items of `input`, as messages: a message, its reasoning and its calls are items of their own
//! here, and one message for a model's template.

use chainference_protocol::{ContentPart, Message, MessageContent, ToolCall};
use serde::Deserialize;

use super::super::read::{RequestError, TextOr};

#[derive(Deserialize)]
pub(in super::super) struct ItemRequest {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<TextOr<Vec<Part>>>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// JSON in a string.
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    output: Option<TextOr<Vec<Part>>>,
    #[serde(default)]
    summary: Option<Vec<Part>>,
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

/// Adds `input` to what was said before.
pub(super) fn add_input(
    mut messages: Vec<Message>,
    input: TextOr<Vec<ItemRequest>>,
) -> Result<Vec<Message>, RequestError> {
    match input {
        TextOr::Text(text) => messages.push(Message::text("user", text)),
        TextOr::Other(items) if items.is_empty() && messages.is_empty() => {
            return Err(RequestError::value("input", "at least one item is needed."));
        }
        TextOr::Other(items) => {
            for (at, item) in items.into_iter().enumerate() {
                add(&mut messages, &format!("input[{at}]"), item)?;
            }
        }
    }
    // A thought that nothing came of is no message by itself.
    messages.retain(|message| message.content.is_some() || !message.tool_calls.is_empty());
    Ok(messages)
}

fn add(messages: &mut Vec<Message>, path: &str, item: ItemRequest) -> Result<(), RequestError> {
    match item.kind.as_deref() {
        None | Some("message") => message(messages, path, item),
        Some("reasoning") => reasoning(messages, path, item),
        Some("function_call") => function_call(messages, path, item),
        Some("function_call_output") => function_call_output(messages, path, item),
        Some("item_reference") => {
            let reason = "items are not stored one by one: send the item itself.";
            Err(RequestError::unsupported(format!("{path}.type"), reason))
        }
        Some(_) => {
            let reason = "models here read messages, reasoning, and functions' calls and outputs.";
            Err(RequestError::unsupported(format!("{path}.type"), reason))
        }
    }
}

fn message(messages: &mut Vec<Message>, path: &str, item: ItemRequest) -> Result<(), RequestError> {
    let role = needed(path, "role", item.role)?;
    let content = content(path, "content", item.content)?;
    match role.as_str() {
        // The templates of open models know no developer; it is their system role by another name.
        "system" | "developer" => messages.push(said("system", content)),
        "user" => messages.push(said("user", content)),
        "assistant" => {
            let message = current(messages, |last| last.content.is_none());
            message.content = Some(content);
        }
        other => {
            let reason = format!("'{other}' is no known role.");
            return Err(RequestError::value(format!("{path}.role"), reason));
        }
    }
    Ok(())
}

fn said(role: &str, content: MessageContent) -> Message {
    Message { role: role.into(), content: Some(content), ..Message::default() }
}

/// The assistant's message that an item belongs to: the last one, where it has room, or a new one.
fn current(messages: &mut Vec<Message>, has_room: impl Fn(&Message) -> bool) -> &mut Message {
    let goes_on = messages.last().is_some_and(|last| last.role == "assistant" && has_room(last));
    if !goes_on {
        messages.push(Message { role: "assistant".into(), ..Message::default() });
    }
    let last = messages.len() - 1;
    &mut messages[last]
}

fn reasoning(
    messages: &mut Vec<Message>,
    path: &str,
    item: ItemRequest,
) -> Result<(), RequestError> {
    let mut text = String::new();
    let thoughts = match item.content {
        Some(TextOr::Other(parts)) if !parts.is_empty() => parts,
        Some(TextOr::Text(_)) => {
            return Err(RequestError::value(format!("{path}.content"), "it is a list of parts."));
        }
        _ => item.summary.unwrap_or_default(),
    };
    for (at, part) in thoughts.into_iter().enumerate() {
        text.push_str(&needed(path, &format!("content[{at}].text"), part.text)?);
    }
    let untouched = |last: &Message| last.content.is_none() && last.tool_calls.is_empty();
    let message = current(messages, untouched);
    message.reasoning_content.get_or_insert_default().push_str(&text);
    Ok(())
}

fn function_call(
    messages: &mut Vec<Message>,
    path: &str,
    item: ItemRequest,
) -> Result<(), RequestError> {
    let id = needed(path, "call_id", item.call_id)?;
    let name = needed(path, "name", item.name)?;
    let arguments = needed(path, "arguments", item.arguments)?;
    current(messages, |_| true).tool_calls.push(ToolCall { id, name, arguments });
    Ok(())
}

/// What a function gave back. Templates want its name, which only the call holds.
fn function_call_output(
    messages: &mut Vec<Message>,
    path: &str,
    item: ItemRequest,
) -> Result<(), RequestError> {
    let id = needed(path, "call_id", item.call_id)?;
    let mut calls = messages.iter().rev().flat_map(|message| message.tool_calls.iter().rev());
    let Some(call) = calls.find(|call| call.id == id) else {
        let reason = format!("'{id}' is the id of no function call before this item.");
        return Err(RequestError::value(format!("{path}.call_id"), reason));
    };
    let name = Some(call.name.clone());
    let content = content(path, "output", item.output)?;
    messages.push(Message { name, tool_call_id: Some(id), ..said("tool", content) });
    Ok(())
}

fn needed<T>(path: &str, field: &str, value: Option<T>) -> Result<T, RequestError> {
    value.ok_or_else(|| RequestError::missing(format!("{path}.{field}")))
}

fn content(
    path: &str,
    field: &str,
    asked: Option<TextOr<Vec<Part>>>,
) -> Result<MessageContent, RequestError> {
    let parts = match needed(path, field, asked)? {
        TextOr::Text(text) => return Ok(MessageContent::Text(text)),
        TextOr::Other(parts) => parts,
    };
    let mut texts = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let text = part_text(&format!("{path}.{field}[{at}]"), part)?;
        texts.push(ContentPart::Text { text });
    }
    Ok(MessageContent::Parts(texts))
}

fn part_text(path: &str, part: Part) -> Result<String, RequestError> {
    match part.kind.as_str() {
        "input_text" | "output_text" | "text" => needed(path, "text", part.text),
        "refusal" => needed(path, "refusal", part.refusal),
        other => {
            let reason = format!("models here read text only, and this part is '{other}'.");
            Err(RequestError::value(path, reason))
        }
    }
}
