//! The typed events of a streamed response.

use std::sync::Arc;

use chainference_protocol::{Delta, FinishReason, TokenLogprob};
use serde::Serialize;

use super::{
    answer::{Item, Part, Response, item, item_id, keep, part},
    asked::Asked,
};
use crate::openai::{
    blocks::{Block, Blocks, Step},
    call::{Events, StreamEvent, json},
    error::ApiError,
    logprobs::Token,
    usage::{Facts, Usage},
};

/// Renders a response's events; knows what was told before.
#[derive(Debug)]
pub(in super::super) struct ResponseEvents {
    facts: Facts,
    asked: Arc<Asked>,
    blocks: Blocks,
    reason: FinishReason,
    numbers: Numbers,
}

/// `sequence_number`s, from 0.
#[derive(Debug, Default)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        let number = self.0;
        self.0 += 1;
        number
    }
}

/// One event. Its fields are the type's own.
#[derive(Serialize)]
struct Typed<T> {
    #[serde(rename = "type")]
    name: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    fields: T,
}

#[derive(Serialize)]
struct OfResponse<'a> {
    response: Response<'a>,
}

#[derive(Serialize)]
struct OfItem<'a> {
    output_index: usize,
    item: Item<'a>,
}

#[derive(Serialize)]
struct OfPart<'a> {
    item_id: String,
    output_index: usize,
    content_index: u32,
    part: Part<'a>,
}

/// A piece or the whole of a text; which, the field's name says.
#[derive(Default, Serialize)]
struct OfText<'a> {
    item_id: String,
    output_index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<Token>>,
}

#[derive(Serialize)]
struct OfError<'a> {
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
}

fn event(name: &'static str, sequence_number: u64, fields: impl Serialize) -> StreamEvent {
    StreamEvent { name: Some(name), data: json(&Typed { name, sequence_number, fields }) }
}

/// The event of a failure before there is a response.
pub(in super::super) fn failed(sequence_number: u64, error: &ApiError) -> StreamEvent {
    let fields =
        OfError { code: error.code, message: &error.message, param: error.param.as_deref() };
    event("error", sequence_number, fields)
}

impl ResponseEvents {
    pub fn new(facts: Facts, asked: Arc<Asked>) -> Self {
        let (blocks, numbers) = (Blocks::default(), Numbers::default());
        Self { facts, asked, blocks, reason: FinishReason::Stop, numbers }
    }

    fn tell(&mut self, steps: Vec<Step>) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        for step in steps {
            match step {
                Step::Opened(at) => self.opened(at, &mut events),
                Step::Grew { at, piece, logprobs } => {
                    events.extend(self.grew(at, &piece, &logprobs));
                }
                Step::Closed(at) => self.closed(at, &mut events),
            }
        }
        events
    }

    /// An item begins empty, whatever of it is known by now.
    fn opened(&mut self, at: usize, events: &mut Vec<StreamEvent>) {
        let Some(block) = self.blocks.get(at) else { return };
        let id = item_id(&self.facts, at, block);
        let empty = match block {
            Block::Reasoning(_) => Item::Reasoning {
                id: id.clone(),
                status: "in_progress",
                summary: [],
                content: Vec::new(),
            },
            Block::Text { .. } => Item::Message {
                id: id.clone(),
                status: "in_progress",
                role: "assistant",
                content: Vec::new(),
            },
            Block::Call(call) => Item::FunctionCall {
                id: id.clone(),
                status: "in_progress",
                call_id: &call.id,
                name: &call.name,
                arguments: "",
            },
        };
        let fields = OfItem { output_index: at, item: empty };
        events.push(event("response.output_item.added", self.numbers.next(), fields));
        let part = match block {
            Block::Reasoning(_) => Part::ReasoningText { text: "" },
            Block::Text { .. } => {
                Part::OutputText { text: "", annotations: [], logprobs: Vec::new() }
            }
            Block::Call(_) => return,
        };
        let fields = OfPart { item_id: id, output_index: at, content_index: 0, part };
        events.push(event("response.content_part.added", self.numbers.next(), fields));
    }

    fn grew(&mut self, at: usize, piece: &str, logprobs: &[TokenLogprob]) -> Option<StreamEvent> {
        let number = self.numbers.next();
        let block = self.blocks.get(at)?;
        let told = logprobs.iter().filter(|_| self.asked.logprobs).map(Token::new).collect();
        let fields = OfText {
            item_id: item_id(&self.facts, at, block),
            output_index: at,
            delta: Some(piece),
            ..OfText::default()
        };
        let content_index = Some(0);
        Some(match block {
            Block::Reasoning(_) => {
                let fields = OfText { content_index, ..fields };
                event("response.reasoning_text.delta", number, fields)
            }
            Block::Text { .. } => {
                let fields = OfText { content_index, logprobs: Some(told), ..fields };
                event("response.output_text.delta", number, fields)
            }
            Block::Call(_) => event("response.function_call_arguments.delta", number, fields),
        })
    }

    fn closed(&mut self, at: usize, events: &mut Vec<StreamEvent>) {
        let last = self.blocks.is_last(at) && self.reason == FinishReason::Length;
        let status = if last { "incomplete" } else { "completed" };
        let Some(block) = self.blocks.get(at) else { return };
        let id = item_id(&self.facts, at, block);
        let fields = OfText { item_id: id.clone(), output_index: at, ..OfText::default() };
        let content_index = Some(0);
        events.push(match block {
            Block::Reasoning(text) => {
                let fields = OfText { content_index, text: Some(text), ..fields };
                event("response.reasoning_text.done", self.numbers.next(), fields)
            }
            Block::Text { text, logprobs } => {
                let told = logprobs.iter().filter(|_| self.asked.logprobs).map(Token::new);
                let logprobs = Some(told.collect());
                let fields = OfText { content_index, text: Some(text), logprobs, ..fields };
                event("response.output_text.done", self.numbers.next(), fields)
            }
            Block::Call(call) => {
                let (name, arguments) = (Some(&*call.name), Some(&*call.arguments));
                let fields = OfText { name, arguments, ..fields };
                event("response.function_call_arguments.done", self.numbers.next(), fields)
            }
        });
        if let Some(part) = part(block, self.asked.logprobs) {
            let fields = OfPart { item_id: id, output_index: at, content_index: 0, part };
            events.push(event("response.content_part.done", self.numbers.next(), fields));
        }
        let item = item(&self.facts, at, block, status, self.asked.logprobs);
        let fields = OfItem { output_index: at, item };
        events.push(event("response.output_item.done", self.numbers.next(), fields));
    }
}

impl Events for ResponseEvents {
    fn begin(&mut self, _: u64) -> Vec<StreamEvent> {
        let numbers = [self.numbers.next(), self.numbers.next()];
        ["response.created", "response.in_progress"]
            .into_iter()
            .zip(numbers)
            .map(|(name, number)| {
                let response = Response::begun(&self.facts, &self.asked);
                event(name, number, OfResponse { response })
            })
            .collect()
    }

    fn delta(&mut self, delta: Delta) -> Vec<StreamEvent> {
        let steps = self.blocks.take(delta);
        self.tell(steps)
    }

    fn finish(&mut self, _: u32, reason: FinishReason, _: Option<String>) -> Vec<StreamEvent> {
        self.reason = reason;
        let steps = self.blocks.close();
        self.tell(steps)
    }

    fn end(&mut self, usage: &Usage) -> Vec<StreamEvent> {
        let number = self.numbers.next();
        let (facts, asked, blocks) = (&self.facts, &self.asked, &self.blocks);
        let response = Response::ended(facts, asked, blocks, self.reason, usage);
        keep(facts, asked, blocks, &json(&response));
        let name = match self.reason {
            FinishReason::Length => "response.incomplete",
            FinishReason::Stop | FinishReason::ToolCalls => "response.completed",
        };
        vec![event(name, number, OfResponse { response })]
    }

    fn fail(&mut self, error: &ApiError) -> StreamEvent {
        let number = self.numbers.next();
        let response = Response::failed(&self.facts, &self.asked, &self.blocks, error);
        event("response.failed", number, OfResponse { response })
    }
}
