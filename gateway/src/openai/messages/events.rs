//! The typed events of a streamed message.

use std::sync::Arc;

use chainference_protocol::{Delta, FinishReason};
use serde::Serialize;

use super::{
    answer::{Answer, Caller, Content, MessageUsage, Stop},
    error::error_json,
};
use crate::openai::{
    blocks::{Block, Blocks, Step},
    call::{Events, StreamEvent, json},
    error::ApiError,
    usage::{Facts, Usage},
};

/// Renders a message's events; knows what was told before.
#[derive(Debug)]
pub(in super::super) struct MessageEvents {
    facts: Facts,
    stops: Arc<Vec<String>>,
    blocks: Blocks,
    reason: FinishReason,
    stop: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told<'a> {
    MessageStart {
        message: Answer<'a>,
    },
    ContentBlockStart {
        index: usize,
        content_block: Content<'a>,
    },
    ContentBlockDelta {
        index: usize,
        delta: Piece<'a>,
    },
    ContentBlockStop {
        index: usize,
    },
    /// What is only known at the end.
    MessageDelta {
        delta: Last<'a>,
        usage: MessageUsage<'a>,
    },
    MessageStop,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Piece<'a> {
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'static str },
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

#[derive(Serialize)]
struct Last<'a> {
    #[serde(flatten)]
    stop: Stop<'a>,
    stop_details: Option<()>,
    container: Option<()>,
}

fn event(told: &Told<'_>) -> StreamEvent {
    let name = match told {
        Told::MessageStart { .. } => "message_start",
        Told::ContentBlockStart { .. } => "content_block_start",
        Told::ContentBlockDelta { .. } => "content_block_delta",
        Told::ContentBlockStop { .. } => "content_block_stop",
        Told::MessageDelta { .. } => "message_delta",
        Told::MessageStop => "message_stop",
    };
    StreamEvent { name: Some(name), data: json(told) }
}

/// A failure, which may come at any time.
pub(in super::super) fn failed(error: &ApiError) -> StreamEvent {
    StreamEvent { name: Some("error"), data: error_json(error, None) }
}

impl MessageEvents {
    pub fn new(facts: Facts, stops: Arc<Vec<String>>) -> Self {
        let blocks = Blocks::default();
        Self { facts, stops, blocks, reason: FinishReason::Stop, stop: None }
    }

    fn tell(&self, steps: Vec<Step>) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        for step in steps {
            match step {
                Step::Opened(at) => events.extend(self.blocks.get(at).map(|it| opened(at, it))),
                Step::Grew { at, piece, .. } => {
                    events.extend(self.blocks.get(at).map(|block| grew(at, block, &piece)));
                }
                Step::Closed(at) => {
                    if let Some(Block::Reasoning(_)) = self.blocks.get(at) {
                        let delta = Piece::Signature { signature: "" };
                        events.push(event(&Told::ContentBlockDelta { index: at, delta }));
                    }
                    events.push(event(&Told::ContentBlockStop { index: at }));
                }
            }
        }
        events
    }
}

/// A block begins empty, whatever of it is known by now.
fn opened(index: usize, block: &Block) -> StreamEvent {
    let content_block = match block {
        Block::Reasoning(_) => Content::Thinking { thinking: "", signature: "" },
        Block::Text { .. } => Content::Text { text: "", citations: None },
        Block::Call(call) => {
            let (id, name) = (&*call.id, &*call.name);
            Content::ToolUse { id, name, input: serde_json::Map::new(), caller: Caller::Direct }
        }
    };
    event(&Told::ContentBlockStart { index, content_block })
}

fn grew(index: usize, block: &Block, piece: &str) -> StreamEvent {
    let delta = match block {
        Block::Reasoning(_) => Piece::Thinking { thinking: piece },
        Block::Text { .. } => Piece::Text { text: piece },
        Block::Call(_) => Piece::InputJson { partial_json: piece },
    };
    event(&Told::ContentBlockDelta { index, delta })
}

impl Events for MessageEvents {
    fn begin(&mut self, tokens_in: u64) -> Vec<StreamEvent> {
        let usage = MessageUsage::of_input(tokens_in);
        vec![event(&Told::MessageStart { message: Answer::begun(&self.facts, usage) })]
    }

    fn delta(&mut self, delta: Delta) -> Vec<StreamEvent> {
        let steps = self.blocks.take(delta);
        self.tell(steps)
    }

    fn finish(&mut self, _: u32, reason: FinishReason, stop: Option<String>) -> Vec<StreamEvent> {
        self.reason = reason;
        self.stop = stop.filter(|text| self.stops.contains(text));
        let steps = self.blocks.close();
        self.tell(steps)
    }

    fn end(&mut self, usage: &Usage) -> Vec<StreamEvent> {
        let stop = Stop::new(self.reason, self.stop.as_deref());
        let delta = Last { stop, stop_details: None, container: None };
        let usage = MessageUsage::new(usage);
        vec![event(&Told::MessageDelta { delta, usage }), event(&Told::MessageStop)]
    }

    fn fail(&mut self, error: &ApiError) -> StreamEvent {
        failed(error)
    }
}
