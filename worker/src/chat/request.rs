//! A chat as llama.cpp's chat code reads it: OpenAI's JSON.

use chainference_protocol::{Chat, Message, ResponseFormat, Tool, ToolChoice};
use serde_json::{Map, Value, json};

/// Whether tools may be called. A model that may not call any isn't told of them.
pub(super) fn offers_tools(chat: &Chat) -> bool {
    !chat.tools.is_empty() && chat.tool_choice != ToolChoice::None
}

/// Whether tools were called before.
pub(super) fn has_calls(chat: &Chat) -> bool {
    chat.messages.iter().any(|message| !message.tool_calls.is_empty() || message.role == "tool")
}

/// Whether an earlier call's arguments can't be read.
pub(super) fn has_broken_arguments(chat: &Chat) -> bool {
    let mut calls = chat.messages.iter().flat_map(|message| &message.tool_calls);
    calls.any(|call| serde_json::from_str::<Value>(&call.arguments).is_err())
}

pub(super) fn to_json(chat: &Chat) -> String {
    let variables = &chat.template_variables;
    let mut request = json!({
        "messages": chat.messages.iter().map(message).collect::<Vec<_>>(),
        "tool_choice": "none",
        "parallel_tool_calls": chat.parallel_tool_calls,
        "enable_thinking": variables.get("enable_thinking").and_then(Value::as_bool).unwrap_or(true),
        "template_variables": variables,
    });
    if offers_tools(chat) {
        let (choice, named) = match &chat.tool_choice {
            ToolChoice::None => ("none", ""),
            ToolChoice::Auto => ("auto", ""),
            ToolChoice::Required => ("required", ""),
            ToolChoice::Named(name) => ("required", name.as_str()),
        };
        request["tools"] = chat.tools.iter().map(tool).collect();
        request["tool_choice"] = choice.into();
        request["named_tool"] = named.into();
    }
    // A forced call leaves no text to be formed.
    match &chat.response_format {
        _ if is_forced(chat) => {}
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => request["json_schema"] = json!({ "type": "object" }),
        ResponseFormat::JsonSchema(schema) => request["json_schema"] = schema.clone(),
    }
    request.to_string()
}

/// Whether the answer must be a call.
pub(super) fn is_forced(chat: &Chat) -> bool {
    matches!(chat.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
}

fn message(message: &Message) -> Value {
    let mut json = Map::new();
    json.insert("role".into(), message.role.as_str().into());
    json.insert("content".into(), json!(message.content));
    for (key, value) in [
        ("name", &message.name),
        ("reasoning_content", &message.reasoning_content),
        ("tool_call_id", &message.tool_call_id),
    ] {
        if let Some(value) = value {
            json.insert(key.into(), value.as_str().into());
        }
    }
    if !message.tool_calls.is_empty() {
        let call = |call: &chainference_protocol::ToolCall| {
            json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": call.arguments },
            })
        };
        json.insert("tool_calls".into(), message.tool_calls.iter().map(call).collect());
    }
    json.into()
}

fn tool(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description.as_deref().unwrap_or_default(),
            "parameters": tool.parameters.clone().unwrap_or_else(|| json!({})),
        },
    })
}
