//! One generation, as the caller holds it.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::EngineError;
use super::supervisor::Command;

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// `max_tokens` or the end of the context.
    Length,
}

/// What a generation yields.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// Tokens as the model produced them, end-of-turn included, and the text that is certain by
    /// now. Text can lag behind its tokens: it is held back while it may be the beginning of a stop
    /// string or while a character is incomplete.
    Delta { tokens: Vec<u32>, text: String },
    /// The last event. `tokens_out` counts every token of every delta.
    Finish { reason: FinishReason, tokens_out: u64 },
}

/// Without the text: answers don't belong in logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delta { tokens, text } => {
                write!(f, "Delta {{ {} tokens, {} bytes }}", tokens.len(), text.len())
            }
            Self::Finish { reason, tokens_out } => {
                write!(f, "Finish {{ {reason:?}, {tokens_out} tokens }}")
            }
        }
    }
}

/// A running generation. Dropping it cancels it; its slot is free within one step.
#[derive(Debug)]
pub struct Generation {
    id: u64,
    tokens_in: u64,
    finished: bool,
    events: mpsc::UnboundedReceiver<Result<Event, EngineError>>,
    commands: mpsc::UnboundedSender<Command>,
    _seat: OwnedSemaphorePermit,
}

impl Generation {
    pub(super) fn new(
        id: u64,
        events: mpsc::UnboundedReceiver<Result<Event, EngineError>>,
        commands: mpsc::UnboundedSender<Command>,
        seat: OwnedSemaphorePermit,
    ) -> Self {
        Self { id, tokens_in: 0, finished: false, events, commands, _seat: seat }
    }

    pub(super) fn set_tokens_in(&mut self, tokens_in: u64) {
        self.tokens_in = tokens_in;
    }

    /// Tokens of the prompt after the chat template, as the model reads them.
    pub fn tokens_in(&self) -> u64 {
        self.tokens_in
    }

    /// Lets the generation produce up to `tokens_out` tokens in total. At that point it waits,
    /// computing nothing, until it is allowed more. What was allowed once stays allowed: a smaller
    /// value changes nothing.
    pub fn allow(&self, tokens_out: u64) {
        // A closed channel means that the engine stopped; the next event says so.
        let _ = self.commands.send(Command::Allow { id: self.id, tokens_out });
    }

    /// The next event; `None` after [`Event::Finish`] or an error. Cancel-safe.
    ///
    /// # Errors
    /// [`EngineError::Crashed`], [`EngineError::Stopped`] or [`EngineError::Compute`]: the
    /// generation is over without a finish.
    pub async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        if self.finished {
            return None;
        }
        let event = self.events.recv().await.unwrap_or(Err(EngineError::Stopped));
        self.finished = !matches!(event, Ok(Event::Delta { .. }));
        Some(event)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.commands.send(Command::Cancel { id: self.id });
        }
    }
}
