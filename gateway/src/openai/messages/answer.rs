//! A whole message. Written by hand: all fields are present, and null where there is nothing.

use chainference_protocol::FinishReason;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::openai::{
    answers::Answers,
    blocks::{Block, Blocks},
    call::json,
    usage::{Facts, Settlement, Tokens, Usage},
};

/// A message as it stands.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: Vec<Content<'a>>,
    stop_reason: Option<&'static str>,
    stop_sequence: Option<&'a str>,
    stop_details: Option<()>,
    container: Option<()>,
    usage: MessageUsage<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    /// Thoughts are told as they are, and need no signature to be sent back.
    Thinking {
        thinking: &'a str,
        signature: &'static str,
    },
    Text {
        text: &'a str,
        citations: Option<()>,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Map<String, Value>,
        caller: Caller,
    },
}

/// The model calls a tool by itself, not out of a program.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Caller {
    Direct,
}

/// Why and by what an answer ended.
#[derive(Serialize)]
pub(super) struct Stop<'a> {
    pub stop_reason: &'static str,
    pub stop_sequence: Option<&'a str>,
}

/// In this shape what came from the cache is no part of the input's number.
#[derive(Serialize)]
pub(super) struct MessageUsage<'a> {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    cache_creation: Option<()>,
    output_tokens: u64,
    output_tokens_details: Option<OutputDetails>,
    server_tool_use: Option<()>,
    service_tier: &'static str,
    inference_geo: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chainference: Option<&'a Settlement>,
}

#[derive(Serialize)]
struct OutputDetails {
    thinking_tokens: u64,
}

impl<'a> MessageUsage<'a> {
    pub fn new(usage: &'a Usage) -> Self {
        let details = OutputDetails { thinking_tokens: usage.tokens().reasoning };
        Self {
            output_tokens_details: Some(details),
            chainference: Some(usage.settlement()),
            ..Self::of(usage.tokens())
        }
    }

    /// Before the answer has come.
    pub fn of_input(tokens_in: u64) -> Self {
        Self::of(Tokens { prompt: tokens_in, ..Tokens::default() })
    }

    fn of(tokens: Tokens) -> Self {
        Self {
            input_tokens: tokens.prompt.saturating_sub(tokens.cached),
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: tokens.cached,
            cache_creation: None,
            output_tokens: tokens.completion,
            output_tokens_details: None,
            server_tool_use: None,
            service_tier: "standard",
            inference_geo: None,
            chainference: None,
        }
    }
}

impl<'a> Answer<'a> {
    pub fn begun(facts: &'a Facts, usage: MessageUsage<'a>) -> Self {
        Self {
            id: &facts.id,
            kind: "message",
            role: "assistant",
            model: &facts.model,
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            stop_details: None,
            container: None,
            usage,
        }
    }
}

impl<'a> Stop<'a> {
    /// `text` is the stop text that came, where one did.
    pub fn new(reason: FinishReason, text: Option<&'a str>) -> Self {
        let stop_reason = match reason {
            FinishReason::Length => "max_tokens",
            FinishReason::ToolCalls => "tool_use",
            FinishReason::Stop if text.is_some() => "stop_sequence",
            FinishReason::Stop => "end_turn",
        };
        Self { stop_reason, stop_sequence: text.filter(|_| stop_reason == "stop_sequence") }
    }
}

pub(super) fn content(block: &Block) -> Content<'_> {
    match block {
        Block::Reasoning(text) => Content::Thinking { thinking: text, signature: "" },
        Block::Text { text, .. } => Content::Text { text, citations: None },
        Block::Call(call) => Content::ToolUse {
            id: &call.id,
            name: &call.name,
            // Where the answer was cut within a call, nothing of it can be told.
            input: serde_json::from_str(&call.arguments).unwrap_or_default(),
            caller: Caller::Direct,
        },
    }
}

/// A whole message. A worker's stop text counts only where the client had asked for it.
pub(in super::super) fn message(
    facts: &Facts,
    stops: &[String],
    answers: &Answers,
    usage: &Usage,
) -> String {
    // A message has one answer.
    let Some((_, answer)) = answers.iter().next() else { return String::new() };
    let blocks = Blocks::of(answer);
    let text = answer.stop.as_deref().filter(|text| stops.iter().any(|stop| stop == text));
    let Stop { stop_reason, stop_sequence } =
        Stop::new(answer.reason.unwrap_or(FinishReason::Stop), text);
    json(&Answer {
        content: blocks.iter().map(|(_, block)| content(block)).collect(),
        stop_reason: Some(stop_reason),
        stop_sequence,
        ..Answer::begun(facts, MessageUsage::new(usage))
    })
}
