//! A response, whole or at any moment of its life. Written by hand, since the schema wants fields
//! present and null.

use chainference_protocol::{FinishReason, Message, MessageContent};
use serde::Serialize;

use super::{asked::Asked, store::Stored};
use crate::openai::{
    answers::Answers,
    blocks::{Block, Blocks},
    call::json,
    error::ApiError,
    logprobs::Token,
    usage::{Facts, Settlement, Usage},
};

/// A response as it stands.
#[derive(Serialize)]
pub(super) struct Response<'a> {
    id: &'a str,
    object: &'static str,
    created_at: i64,
    status: &'static str,
    error: Option<Failed<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: Vec<Item<'a>>,
    /// Only the end knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ResponseUsage<'a>>,
    #[serde(flatten)]
    asked: &'a Asked,
}

#[derive(Serialize)]
struct Failed<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Reasoning {
        id: String,
        status: &'static str,
        /// Thoughts are told as they are.
        summary: [(); 0],
        content: Vec<Part<'a>>,
    },
    Message {
        id: String,
        status: &'static str,
        role: &'static str,
        content: Vec<Part<'a>>,
    },
    FunctionCall {
        id: String,
        status: &'static str,
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Part<'a> {
    ReasoningText { text: &'a str },
    OutputText { text: &'a str, annotations: [(); 0], logprobs: Vec<Token> },
}

#[derive(Serialize)]
struct ResponseUsage<'a> {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
    chainference: &'a Settlement,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    /// What a worker keeps of a prompt has no price of its own.
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl<'a> Response<'a> {
    /// At its beginning.
    pub fn begun(facts: &'a Facts, asked: &'a Asked) -> Self {
        Self {
            id: &facts.id,
            object: "response",
            created_at: facts.created_unix_s,
            status: "in_progress",
            error: None,
            incomplete_details: None,
            model: &facts.model,
            output: Vec::new(),
            usage: None,
            asked,
        }
    }

    /// At its end.
    pub fn ended(
        facts: &'a Facts,
        asked: &'a Asked,
        blocks: &'a Blocks,
        reason: FinishReason,
        usage: &'a Usage,
    ) -> Self {
        let cut = reason == FinishReason::Length;
        let status = if cut { "incomplete" } else { "completed" };
        let output = blocks.iter().map(|(at, block)| {
            let status = if blocks.is_last(at) { status } else { "completed" };
            item(facts, at, block, status, asked.logprobs)
        });
        Self {
            status,
            incomplete_details: cut.then_some(Incomplete { reason: "max_output_tokens" }),
            output: output.collect(),
            usage: Some(ResponseUsage::new(usage)),
            ..Self::begun(facts, asked)
        }
    }

    /// Where it broke off.
    pub fn failed(
        facts: &'a Facts,
        asked: &'a Asked,
        blocks: &'a Blocks,
        error: &'a ApiError,
    ) -> Self {
        let output = blocks
            .iter()
            .map(|(at, block)| item(facts, at, block, "incomplete", asked.logprobs))
            .collect();
        let code = match error.status.as_u16() {
            400 => "invalid_prompt",
            429 => "rate_limit_exceeded",
            _ => "server_error",
        };
        let error = Some(Failed { code, message: &error.message });
        Self { status: "failed", error, output, ..Self::begun(facts, asked) }
    }
}

impl<'a> ResponseUsage<'a> {
    fn new(usage: &'a Usage) -> Self {
        let tokens = usage.tokens();
        Self {
            input_tokens: tokens.prompt,
            input_tokens_details: InputDetails {
                cached_tokens: tokens.cached,
                cache_write_tokens: 0,
            },
            output_tokens: tokens.completion,
            output_tokens_details: OutputDetails { reasoning_tokens: tokens.reasoning },
            total_tokens: tokens.prompt.saturating_add(tokens.completion),
            chainference: usage.settlement(),
        }
    }
}

/// The id of the item at that place: the response's, with another beginning.
pub(super) fn item_id(facts: &Facts, at: usize, block: &Block) -> String {
    let prefix = match block {
        Block::Reasoning(_) => "rs",
        Block::Text { .. } => "msg",
        Block::Call(_) => "fc",
    };
    let response = facts.id.split_once('_').map_or(facts.id.as_str(), |(_, rest)| rest);
    format!("{prefix}_{response}{at:02x}")
}

/// A block as an item.
pub(super) fn item<'a>(
    facts: &Facts,
    at: usize,
    block: &'a Block,
    status: &'static str,
    logprobs: bool,
) -> Item<'a> {
    let id = item_id(facts, at, block);
    let content = || part(block, logprobs).into_iter().collect();
    match block {
        Block::Reasoning(_) => Item::Reasoning { id, status, summary: [], content: content() },
        Block::Text { .. } => Item::Message { id, status, role: "assistant", content: content() },
        Block::Call(call) => Item::FunctionCall {
            id,
            status,
            call_id: &call.id,
            name: &call.name,
            arguments: &call.arguments,
        },
    }
}

/// What is inside an item; calls have no parts.
pub(super) fn part(block: &Block, told: bool) -> Option<Part<'_>> {
    match block {
        Block::Reasoning(text) => Some(Part::ReasoningText { text }),
        Block::Text { text, logprobs } => {
            let logprobs = logprobs.iter().filter(|_| told).map(Token::new).collect();
            Some(Part::OutputText { text, annotations: [], logprobs })
        }
        Block::Call(_) => None,
    }
}

/// A whole response, kept where it is to be kept.
pub(in super::super) fn response(
    facts: &Facts,
    asked: &Asked,
    answers: &Answers,
    usage: &Usage,
) -> String {
    // A response has one answer.
    let Some((_, answer)) = answers.iter().next() else { return String::new() };
    let reason = answer.reason.unwrap_or(FinishReason::Stop);
    let blocks = Blocks::of(answer);
    let text = json(&Response::ended(facts, asked, &blocks, reason, usage));
    keep(facts, asked, &blocks, &text);
    text
}

/// Keeps a complete response, where the client and the gateway's operator want it kept.
pub(super) fn keep(facts: &Facts, asked: &Asked, blocks: &Blocks, text: &str) {
    let Some(keep) = &asked.keep else { return };
    let mut conversation = keep.conversation.clone();
    conversation.push(message(blocks));
    let stored = Stored { id: facts.id.clone(), json: text.to_owned(), conversation };
    keep.responses.keep(stored);
}

/// An answer as the next prompt has it.
fn message(blocks: &Blocks) -> Message {
    let mut message = Message { role: "assistant".into(), ..Message::default() };
    let mut said = String::new();
    for (_, block) in blocks.iter() {
        match block {
            Block::Reasoning(text) => {
                message.reasoning_content.get_or_insert_default().push_str(text);
            }
            Block::Text { text, .. } => said.push_str(text),
            Block::Call(call) => message.tool_calls.push(call.clone()),
        }
    }
    let silent = said.is_empty() && !message.tool_calls.is_empty();
    message.content = (!silent).then_some(MessageContent::Text(said));
    message
}
