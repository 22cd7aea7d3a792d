//! Tools, and which of them are to be called.

use std::collections::HashSet;

use chainference_protocol::{Tool, ToolChoice};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::read::{RequestError, Structured, TextOr};
use crate::limits;

#[derive(Deserialize)]
pub(in super::super) struct ToolRequest {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
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
    function: Option<Named>,
    #[serde(default)]
    allowed_tools: Option<Allowed>,
}

impl Structured for ChoiceRequest {
    const KIND: &'static str = "an object";
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Allowed {
    mode: String,
    tools: Vec<AllowedTool>,
}

#[derive(Deserialize)]
struct AllowedTool {
    #[serde(default)]
    function: Option<Named>,
}

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
    let mut tools = Vec::with_capacity(asked.len());
    for (at, tool) in asked.into_iter().enumerate() {
        tools.push(one_tool(at, tool)?);
    }
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
        let param = format!("tools[{at}].type");
        return Err(RequestError::unsupported(param, "models here call functions only."));
    }
    let missing = || RequestError::missing(format!("tools[{at}].function"));
    let Function { name, description, parameters, strict } = tool.function.ok_or_else(missing)?;
    super::check_name(&format!("tools[{at}].function.name"), &name)?;
    let parameters = parameters.map(Value::Object);
    Ok(Tool { name, description, parameters, strict: strict.unwrap_or(false) })
}

pub(in super::super) fn mode_of(param: &str, mode: &str) -> Result<ToolChoice, RequestError> {
    match mode {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" => Ok(ToolChoice::Required),
        other => Err(RequestError::value(param, format!("'{other}' is no known choice."))),
    }
}

fn structured(choice: ChoiceRequest, tools: &mut Vec<Tool>) -> Result<ToolChoice, RequestError> {
    match choice.kind.as_str() {
        "function" => {
            let missing = || RequestError::missing("tool_choice.function");
            let name = choice.function.ok_or_else(missing)?.name;
            known("tool_choice.function.name", &name, tools)?;
            Ok(ToolChoice::Named(name))
        }
        "allowed_tools" => {
            let missing = || RequestError::missing("tool_choice.allowed_tools");
            allow(choice.allowed_tools.ok_or_else(missing)?, tools)
        }
        "custom" => {
            Err(RequestError::unsupported("tool_choice.type", "models here call functions only."))
        }
        other => {
            Err(RequestError::value("tool_choice.type", format!("'{other}' is no known choice.")))
        }
    }
}

/// Leaves only the tools that are allowed: what a model is not shown it can't call.
fn allow(allowed: Allowed, tools: &mut Vec<Tool>) -> Result<ToolChoice, RequestError> {
    let mut names = HashSet::new();
    for (at, tool) in allowed.tools.into_iter().enumerate() {
        let param = format!("tool_choice.allowed_tools.tools[{at}].function");
        let name = tool.function.ok_or_else(|| RequestError::missing(&param))?.name;
        known(&format!("{param}.name"), &name, tools)?;
        names.insert(name);
    }
    tools.retain(|tool| names.contains(&tool.name));
    mode_of("tool_choice.allowed_tools.mode", &allowed.mode)
}

pub(in super::super) fn known(param: &str, name: &str, tools: &[Tool]) -> Result<(), RequestError> {
    if tools.iter().any(|tool| tool.name == name) {
        return Ok(());
    }
    Err(RequestError::value(param, format!("'{name}' is none of the 'tools'.")))
}
