//! What a call tells whoever answers the client, and what that has taken of it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chainference_market::{Lamports, Totals};
use chainference_protocol::{Delta, FinishReason};
use tokio::sync::mpsc;

use super::CallError;
use crate::{
    routing::Choice,
    upstream::{Direct, Turn},
};

/// What a call tells whoever answers the client.
pub enum Event {
    /// The first token, or the end, is next: no other worker will be tried.
    Started(Started),
    /// A piece of one answer.
    Delta(Delta),
    /// One answer is complete.
    Finished {
        choice: u32,
        reason: FinishReason,
        /// The stop text that ended it, as the worker says.
        stop: Option<String>,
    },
    /// One input's embedding.
    Embedding {
        index: u32,
        vector: Vec<u8>,
    },
    /// The whole call is complete.
    Ended(Ended),
    Failed(Failure),
}

// An answer must never reach a log.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started(started) => started.fmt(f),
            Self::Delta(delta) => write!(f, "Delta of {}", delta.choice),
            Self::Finished { choice, reason, .. } => write!(f, "Finished {choice}: {reason:?}"),
            Self::Embedding { index, .. } => write!(f, "Embedding {index}"),
            Self::Ended(ended) => ended.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Started {
    /// Empty where no job pays for it.
    pub job: String,
    /// Its record's address, or `upstream` and a name.
    pub worker: String,
    /// The model's id in the market.
    pub model: String,
    /// Why this worker; `None` of an upstream, which isn't chosen among workers.
    pub choice: Option<Choice>,
    /// Tokens of the prompt.
    pub tokens_in: u64,
    /// Time from the call's arrival to its sending to the worker.
    pub overhead: Duration,
}

#[derive(Clone, Debug)]
pub struct Ended {
    pub totals: Totals,
    /// Of the input: tokens that the worker did not compute again, as it says.
    pub tokens_cached: u64,
    /// Of the output: tokens that were reasoning, as the worker says.
    pub tokens_reasoning: u64,
    pub cost: Lamports,
}

#[derive(Debug)]
pub struct Failure {
    pub error: CallError,
    /// Whether anything is owed for what was delivered.
    pub costs: bool,
}

/// The answer as it comes. Dropping it ends the call: only what was taken from it is paid.
#[derive(Debug)]
pub struct Answer(Source);

/// Where an answer comes from.
#[derive(Debug)]
enum Source {
    /// A worker in the market.
    Market { events: mpsc::Receiver<Event>, delivered: Arc<AtomicU64> },
    /// An upstream, which costs nothing.
    Upstream(Direct),
}

impl Answer {
    pub(super) fn new(events: mpsc::Receiver<Event>, delivered: Arc<AtomicU64>) -> Self {
        Self(Source::Market { events, delivered })
    }

    pub fn direct(direct: Direct) -> Self {
        Self(Source::Upstream(direct))
    }

    /// An event that has come with the one before it. A worker's are never told so: what it is paid for is what the
    /// client takes, one by one.
    pub fn at_hand(&mut self) -> Option<Event> {
        match &mut self.0 {
            Source::Market { .. } => None,
            Source::Upstream(direct) => direct.at_hand(),
        }
    }

    /// The next event. Its tokens count as delivered from now on.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match &mut self.0 {
                Source::Market { events, delivered } => {
                    let event = events.recv().await;
                    if let Some(Event::Delta(delta)) = &event {
                        delivered.fetch_add(delta.tokens.len() as u64, Ordering::Relaxed);
                    }
                    return event;
                }
                Source::Upstream(direct) => match direct.next().await {
                    Turn::Event(event) => return Some(event),
                    Turn::Market(answer) => *self = answer,
                    Turn::Over => return None,
                },
            }
        }
    }
}
