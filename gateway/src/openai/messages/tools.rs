//! Tools as messages have them, and which of them are to be called.

use chainference_protocol::{Tool, ToolChoice};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::super::{chat::known, read::RequestError};
use crate::limits;

/// The longest name that Anthropic's API takes.
const NAME_BYTES_MAX: usize = 128;

#[derive(Deserialize)]
pub(in super::super) struct ToolRequest {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Map<String, Value>>,
    #[serde(default)]
    strict: Option<bool>,
    #[serde(default, rename = "cache_control")]
    _cache_control: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(in super::super) struct ChoiceRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    disable_parallel_tool_use: Option<bool>,
}

/// The tools that may be called, whether they must, and whether several at once may.
pub(super) fn tools(
    asked: Option<Vec<ToolRequest>>,
    choice: Option<ChoiceRequest>,
) -> Result<(Vec<Tool>, ToolChoice, bool), RequestError> {
    let asked = asked.unwrap_or_default();
    if asked.len() > limits::TOOLS_MAX {
        let reason = format!("at most {} tools are possible.", limits::TOOLS_MAX);
        return Err(RequestError::value("tools", reason));
    }
    let tools = asked.into_iter().enumerate().map(|(at, tool)| one_tool(at, tool));
    let tools = tools.collect::<Result<Vec<_>, _>>()?;
    let Some(choice) = choice else { return Ok((tools, ToolChoice::Auto, true)) };
    let parallel = !choice.disable_parallel_tool_use.unwrap_or(false);
    let choice = choice_of(choice, &tools)?;
    let forced = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
    if forced && tools.is_empty() {
        return Err(RequestError::value("tool_choice", "there are no 'tools' to call."));
    }
    Ok((tools, choice, parallel))
}

fn choice_of(choice: ChoiceRequest, tools: &[Tool]) -> Result<ToolChoice, RequestError> {
    match choice.kind.as_str() {
        "auto" => Ok(ToolChoice::Auto),
        "any" => Ok(ToolChoice::Required),
        "none" => Ok(ToolChoice::None),
        "tool" => {
            let name = choice.name.ok_or_else(|| RequestError::missing("tool_choice.name"))?;
            known("tool_choice.name", &name, tools)?;
            Ok(ToolChoice::Named(name))
        }
        other => {
            Err(RequestError::value("tool_choice.type", format!("'{other}' is no known choice.")))
        }
    }
}

fn one_tool(at: usize, tool: ToolRequest) -> Result<Tool, RequestError> {
    if tool.kind.is_some_and(|kind| kind != "custom") {
        let reason = "the only tools here are the client's own.";
        return Err(RequestError::unsupported(format!("tools[{at}].type"), reason));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = tool.name;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
        let reason =
            format!("a name is made of 1 to {NAME_BYTES_MAX} letters, digits, '_' and '-'.");
        return Err(RequestError::value(format!("tools[{at}].name"), reason));
    }
    let missing = || RequestError::missing(format!("tools[{at}].input_schema"));
    let parameters = Some(Value::Object(tool.input_schema.ok_or_else(missing)?));
    let strict = tool.strict.unwrap_or(false);
    Ok(Tool { name, description: tool.description, parameters, strict })
}
