//! A call as it was checked, and the shapes in which its answer goes back.

use std::{fmt, sync::Arc};

use chainference_protocol::{CallRequest, Delta, FinishReason};

use super::{
    answers::Answers,
    chat::{self, ChatChunks},
    completion::{self, TextChunks},
    error::ApiError,
    messages::{self, MessageEvents},
    names::Names,
    response::{self, Asked, ResponseEvents},
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
#[derive(Clone, Debug)]
pub struct Form {
    pub style: Style,
    /// How many there are: each prompt has `n`.
    pub answers: u32,
    /// Log-probabilities, with so many alternatives, if any.
    pub logprobs: Option<u32>,
    pub include_usage: bool,
}

/// Whose shapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Style {
    Chat,
    Completion,
    /// A response repeats what it was asked for.
    Response(Arc<Asked>),
    /// Anthropic's; with the stop texts that the client asked for.
    Message(Arc<Vec<String>>),
}

impl Style {
    /// What a call's id begins with.
    pub fn id_prefix(&self) -> &'static str {
        match self {
            Self::Chat => "chatcmpl-",
            Self::Completion => "cmpl-",
            Self::Response(_) => "resp_",
            Self::Message(_) => "msg_",
        }
    }

    pub fn names(&self) -> Names {
        match self {
            Self::Chat => Names::Chat,
            Self::Completion => Names::Completion,
            Self::Response(_) => Names::Response,
            Self::Message(_) => Names::Message,
        }
    }
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its name, in the shapes that name their events.
    pub name: Option<&'static str>,
    pub data: String,
}

impl StreamEvent {
    /// Whether it only says that a stream of events has ended; a socket says so itself.
    pub fn is_mark(&self) -> bool {
        self.data == MARK
    }

    fn unnamed(data: String) -> Self {
        Self { name: None, data }
    }
}

/// Renders an answer as the events of a stream.
pub trait Events: fmt::Debug + Send {
    /// What a stream begins with, once the prompt was read.
    fn begin(&mut self, tokens_in: u64) -> Vec<StreamEvent>;
    /// New text; nothing where a client would see nothing new.
    fn delta(&mut self, delta: Delta) -> Vec<StreamEvent>;
    /// `stop` is the stop text that ended the answer, as the worker says.
    fn finish(
        &mut self,
        choice: u32,
        reason: FinishReason,
        stop: Option<String>,
    ) -> Vec<StreamEvent>;
    /// What a complete stream ends with.
    fn end(&mut self, usage: &Usage) -> Vec<StreamEvent>;
    /// What a stream ends with that has begun and breaks off.
    fn fail(&mut self, error: &ApiError) -> StreamEvent;
}

/// Renders the chunks of OpenAI's older streams as JSON texts.
pub(super) trait Chunks: fmt::Debug + Send {
    /// What a stream begins with.
    fn begin(&self) -> Vec<String>;
    /// New text; `None` where a client would see nothing new.
    fn delta(&mut self, delta: Delta) -> Option<String>;
    fn finish(&self, choice: u32, reason: FinishReason) -> String;
    /// The chunk without choices that tells the usage; `None` where the client did not ask.
    fn usage(&self, usage: &Usage) -> Option<String>;
}

/// What OpenAI's older streams end with.
const MARK: &str = "[DONE]";

/// A stream of chunks that have no names, with a mark at its end.
#[derive(Debug)]
struct Marked<T>(T);

impl<T: Chunks> Events for Marked<T> {
    fn begin(&mut self, _: u64) -> Vec<StreamEvent> {
        self.0.begin().into_iter().map(StreamEvent::unnamed).collect()
    }

    fn delta(&mut self, delta: Delta) -> Vec<StreamEvent> {
        self.0.delta(delta).map(StreamEvent::unnamed).into_iter().collect()
    }

    fn finish(&mut self, choice: u32, reason: FinishReason, _: Option<String>) -> Vec<StreamEvent> {
        vec![StreamEvent::unnamed(self.0.finish(choice, reason))]
    }

    fn end(&mut self, usage: &Usage) -> Vec<StreamEvent> {
        let last = self.0.usage(usage);
        last.into_iter().chain([MARK.to_owned()]).map(StreamEvent::unnamed).collect()
    }

    fn fail(&mut self, error: &ApiError) -> StreamEvent {
        StreamEvent::unnamed(error.to_json())
    }
}

impl Form {
    pub fn events(&self, facts: Facts) -> Box<dyn Events> {
        match &self.style {
            Style::Chat => Box::new(Marked(ChatChunks::new(facts, self.clone()))),
            Style::Completion => Box::new(Marked(TextChunks::new(facts, self.clone()))),
            Style::Response(asked) => Box::new(ResponseEvents::new(facts, asked.clone())),
            Style::Message(stops) => Box::new(MessageEvents::new(facts, stops.clone())),
        }
    }

    /// The whole answer of a call that is not streamed.
    pub fn whole(&self, facts: &Facts, answers: &Answers, usage: &Usage) -> String {
        match &self.style {
            Style::Chat => chat::completion(facts, answers, self.logprobs.is_some(), usage),
            Style::Completion => completion::completion(facts, answers, self.logprobs, usage),
            Style::Response(asked) => response::response(facts, asked, answers, usage),
            Style::Message(stops) => messages::message(facts, stops, answers, usage),
        }
    }

    /// The only event of a stream that breaks off before it has begun.
    pub fn failed(&self, error: &ApiError) -> StreamEvent {
        match &self.style {
            Style::Chat | Style::Completion => StreamEvent::unnamed(error.to_json()),
            Style::Response(_) => response::failed(0, error),
            Style::Message(_) => messages::failed(error),
        }
    }

    /// What shows that a stream is alive while nothing comes.
    pub fn silence(&self) -> &'static str {
        match self.style {
            Style::Message(_) => "event: ping\ndata: {\"type\": \"ping\"}\n\n",
            _ => ": keep-alive\n\n",
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
    // What most events of a stream take.
    let mut text = Vec::with_capacity(320);
    serde_json::to_writer(&mut text, value).expect("strings and numbers always serialise");
    String::from_utf8(text).expect("JSON is UTF-8")
}
