//! One generation, as the caller holds it.

use std::fmt;

use chainference_protocol::{Delta, FinishReason};
use serde::{Deserialize, Serialize};
use serde_with::{base64::Base64, serde_as};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::EngineError;
use super::supervisor::Command;

/// What a generation yields.
#[serde_as]
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// Tokens of one answer as the model produced them, end-of-turn included, and what of it is
    /// certain by now. Text can lag behind its tokens: it is held back while it may be the
    /// beginning of a stop string or of a tool call, or while a character is incomplete.
    Delta(Delta),
    /// One answer is complete.
    Finish { choice: u32, reason: FinishReason, tokens_reasoning: u64, stop: Option<String> },
    /// One text's vector: its numbers, each as four bytes, little-endian.
    Embedding {
        index: u32,
        #[serde_as(as = "Base64")]
        vector: Vec<u8>,
    },
    /// The last event: all answers are complete. `tokens_out` counts every token of every delta.
    End { tokens_out: u64, tokens_cached: u64 },
}

/// Without the text: answers don't belong in logs.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delta(delta) => {
                write!(f, "Delta {{ choice: {}, {} tokens }}", delta.choice, delta.tokens.len())
            }
            Self::Finish { choice, reason, .. } => {
                write!(f, "Finish {{ choice: {choice}, {reason:?} }}")
            }
            Self::Embedding { index, .. } => write!(f, "Embedding {{ {index} }}"),
            Self::End { tokens_out, .. } => write!(f, "End {{ {tokens_out} tokens }}"),
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

    /// Lets the generation produce up to `tokens_out` tokens in total, over all its answers. At that point it waits,
    /// computing nothing, until it is allowed more. What was allowed once stays allowed: a smaller
    /// value changes nothing.
    pub fn allow(&self, tokens_out: u64) {
        // A closed channel means that the engine stopped; the next event says so.
        let _ = self.commands.send(Command::Allow { id: self.id, tokens_out });
    }

    /// The next event; `None` after [`Event::End`] or an error. Cancel-safe.
    ///
    /// # Errors
    /// [`EngineError::Crashed`], [`EngineError::Stopped`] or [`EngineError::Compute`]: the
    /// generation is over without an end.
    pub async fn next(&mut self) -> Option<Result<Event, EngineError>> {
        if self.finished {
            return None;
        }
        let event = self.events.recv().await.unwrap_or(Err(EngineError::Stopped));
        self.finished = matches!(event, Ok(Event::End { .. }) | Err(_));
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
