//! Functions in the flat form that responses have them in, and which of them are to be called.

use chainference_protocol::{Tool, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{
    chat::{check_name, known, mode_of},
    read::{RequestError, Structured, TextOr},
};
use crate::limits;

#[derive(Deserialize)]
pub(in super::super) struct ToolRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
    #[serde(default)]
    strict: Option<bool>,
}

/// The structured form of `tool_choice`.
#[derive(Deserialize)]
pub(in super::super) struct ChoiceRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    tools: Option<Vec<Allowed>>,
}

impl Structured for ChoiceRequest {
    const KIND: &'static str = "an object";
}

#[derive(Deserialize)]
struct Allowed {
    #[serde(default)]
    name: Option<String>,
}

const FUNCTIONS_ONLY: &str = "models here call functions only.";

/// The tools that may be called, and whether they must.
pub(super) fn tools(
    asked: Option<Vec<ToolRequest>>,
    choice: Option<TextOr<ChoiceRequest>>,
) -> Result<(Vec<Tool>, ToolChoice), RequestError> {
    let asked = asked.unwrap_or_default();
    if asked.len() > limits::TOOLS_MAX {
        let reason = format!("at most {} tools are possible.", limits::TOOLS_MAX);
        return Err(RequestError::value("tools", reason));
    }
    let tools = asked.into_iter().enumerate().map(|(at, tool)| one_tool(at, tool));
    let mut tools = tools.collect::<Result<Vec<_>, _>>()?;
    let choice = match choice {
        None => ToolChoice::Auto,
        Some(TextOr::Text(mode)) => mode_of("tool_choice", &mode)?,
        Some(TextOr::Other(choice)) => structured(choice, &mut tools)?,
    };
    let forced = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
    if forced && tools.is_empty() {
        return Err(RequestError::value("tool_choice", "there are no 'tools' to call."));
    }
    Ok((tools, choice))
}

fn one_tool(at: usize, tool: ToolRequest) -> Result<Tool, RequestError> {
    if tool.kind != "function" {
        return Err(RequestError::unsupported(format!("tools[{at}].type"), FUNCTIONS_ONLY));
    }
    let param = format!("tools[{at}].name");
    let name = tool.name.ok_or_else(|| RequestError::missing(&param))?;
    check_name(&param, &name)?;
    let parameters = tool.parameters.map(Value::Object);
    let strict = tool.strict.unwrap_or(false);
    Ok(Tool { name, description: tool.description, parameters, strict })
}

fn structured(choice: ChoiceRequest, tools: &mut Vec<Tool>) -> Result<ToolChoice, RequestError> {
    match choice.kind.as_str() {
        "function" => {
            let name = choice.name.ok_or_else(|| RequestError::missing("tool_choice.name"))?;
            known("tool_choice.name", &name, tools)?;
            Ok(ToolChoice::Named(name))
        }
        "allowed_tools" => allow(choice, tools),
        _ => Err(RequestError::unsupported("tool_choice.type", FUNCTIONS_ONLY)),
    }
}

/// Leaves only the tools that are allowed: what a model is not shown it can't call.
fn allow(choice: ChoiceRequest, tools: &mut Vec<Tool>) -> Result<ToolChoice, RequestError> {
    let missing = |field: &str| RequestError::missing(format!("tool_choice.{field}"));
    let mode = choice.mode.ok_or_else(|| missing("mode"))?;
    let mut names = Vec::new();
    for (at, tool) in choice.tools.ok_or_else(|| missing("tools"))?.into_iter().enumerate() {
        let param = format!("tool_choice.tools[{at}].name");
        let name = tool.name.ok_or_else(|| RequestError::missing(&param))?;
        known(&param, &name, tools)?;
        names.push(name);
    }
    tools.retain(|tool| names.contains(&tool.name));
    mode_of("tool_choice.mode", &mode)
}
