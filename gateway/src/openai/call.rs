//! A call as it was checked, and the shapes in which its answer goes back.

use std::fmt;

use chainference_protocol::{CallRequest, Delta, FinishReason};

use super::{
    answers::Answers,
    chat::{self, ChatChunks},
    completion::{self, TextChunks},
    usage::{Facts, Usage},
};

/// A checked call: what the worker gets, and how the client wants its answer.
#[derive(Debug)]
pub struct Call {
    pub request: CallRequest,
    pub stream: bool,
    pub form: Form,
}

/// The form of the answers to one call.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub style: Style,
    /// How many there are: each prompt has `n`.
    pub answers: u32,
    /// Log-probabilities, with so many alternatives, if any.
    pub logprobs: Option<u32>,
    pub include_usage: bool,
}

/// Whose shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Chat,
    Completion,
}

impl Style {
    /// What a call's id begins with.
    pub fn id_prefix(self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl",
            Self::Completion => "cmpl",
        }
    }

    /// The parameter that holds the prompt.
    pub fn input(self) -> &'static str {
        match self {
            Self::Chat => "messages",
            Self::Completion => "prompt",
        }
    }
}

/// Renders a stream's chunks as JSON texts.
pub trait Chunks: fmt::Debug + Send {
    /// What a stream begins with.
    fn begin(&self) -> Vec<String>;
    /// New text; `None` where a client would see nothing new.
    fn delta(&mut self, delta: Delta) -> Option<String>;
    fn finish(&self, choice: u32, reason: FinishReason) -> String;
    /// The chunk without choices that tells the usage; `None` where the client did not ask.
    fn usage(&self, usage: &Usage) -> Option<String>;
}

impl Form {
    pub fn chunks(self, facts: Facts) -> Box<dyn Chunks> {
        match self.style {
            Style::Chat => Box::new(ChatChunks::new(facts, self)),
            Style::Completion => Box::new(TextChunks::new(facts, self)),
        }
    }

    /// The whole answer of a call that is not streamed.
    pub fn whole(self, facts: &Facts, answers: &Answers, usage: &Usage) -> String {
        match self.style {
            Style::Chat => chat::completion(facts, answers, self.logprobs.is_some(), usage),
            Style::Completion => completion::completion(facts, answers, self.logprobs, usage),
        }
    }
}

/// Why an answer ended, in OpenAI's words.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// Renders what is made of strings, numbers and lists of these.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers always serialise")
}
