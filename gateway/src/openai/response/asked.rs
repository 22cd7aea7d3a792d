//! What a response repeats of its request.

use std::{collections::BTreeMap, fmt};

use chainference_protocol::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::store::OwnResponses;

/// The fields of a response that its request determines, in the schema's words. What may be null is
/// not left out.
#[derive(PartialEq, Serialize)]
pub struct Asked {
    pub(super) background: bool,
    pub(super) instructions: Option<String>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) max_tool_calls: Option<u32>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) parallel_tool_calls: bool,
    pub(super) previous_response_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_cache_key: Option<String>,
    pub(super) reasoning: Reasoning,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) safety_identifier: Option<String>,
    pub(super) service_tier: &'static str,
    pub(super) store: bool,
    pub(super) temperature: Option<f32>,
    pub(super) text: Map<String, Value>,
    pub(super) tool_choice: Value,
    pub(super) tools: Vec<Map<String, Value>>,
    pub(super) top_logprobs: u32,
    pub(super) top_p: Option<f32>,
    pub(super) truncation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Whether each token's probability is told.
    #[serde(skip)]
    pub(super) logprobs: bool,
    /// Where the response is kept, if anywhere.
    #[serde(skip)]
    pub(super) keep: Option<Keep>,
}

#[derive(PartialEq, Serialize)]
pub(super) struct Reasoning {
    pub effort: Option<String>,
    pub summary: Option<String>,
}

/// Where a response is kept, and what was said before it.
#[derive(PartialEq)]
pub(super) struct Keep {
    pub responses: OwnResponses,
    pub conversation: Vec<Message>,
}

// Instructions and conversations must never reach a log.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked(…)")
    }
}

/// What is repeated as the client wrote it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Verbatim {
    pub tools: Option<Vec<Map<String, Value>>>,
    pub tool_choice: Option<Value>,
    pub text: Option<Map<String, Value>>,
}

impl Verbatim {
    /// A tool has all that the schema requires.
    pub fn tools(&mut self) -> Vec<Map<String, Value>> {
        let mut tools = self.tools.take().unwrap_or_default();
        for tool in &mut tools {
            for (name, default) in [("parameters", Value::Null), ("strict", false.into())] {
                let value = tool.entry(name).or_insert(Value::Null);
                if value.is_null() {
                    *value = default;
                }
            }
        }
        tools
    }

    pub fn text(&mut self) -> Map<String, Value> {
        let mut text = self.text.take().unwrap_or_default();
        for (name, default) in [("format", json!({"type": "text"})), ("verbosity", "medium".into())]
        {
            let value = text.entry(name).or_insert(Value::Null);
            if value.is_null() {
                *value = default;
            }
        }
        text
    }
}
