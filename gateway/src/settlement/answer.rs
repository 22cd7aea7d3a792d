//! What a call tells whoever answers the client, and what that has taken of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chainference_market::{Lamports, Totals};
use tokio::sync::mpsc;

use super::CallError;

/// What a call tells whoever answers the client.
#[derive(Debug)]
pub enum Event {
    /// The first token, or the end, is next: no other worker will be tried.
    Started(Started),
    /// A piece of the answer, of so many tokens.
    Text {
        text: String,
        tokens: u64,
    },
    /// The answer is complete.
    Ended(Ended),
    Failed(Failure),
}

#[derive(Clone, Debug)]
pub struct Started {
    pub job: String,
    pub worker: String,
    /// The model's id in the market.
    pub model: String,
    /// Time from the call's arrival to its sending to the worker.
    pub overhead: Duration,
}

#[derive(Clone, Debug)]
pub struct Ended {
    pub finish_reason: &'static str,
    pub totals: Totals,
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
pub struct Answer {
    events: mpsc::Receiver<Event>,
    delivered: Arc<AtomicU64>,
}

impl Answer {
    pub(super) fn new(events: mpsc::Receiver<Event>, delivered: Arc<AtomicU64>) -> Self {
        Self { events, delivered }
    }

    /// The next event. Its tokens count as delivered from now on.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await;
        if let Some(Event::Text { tokens, .. }) = &event {
            self.delivered.fetch_add(*tokens, Ordering::Relaxed);
        }
        event
    }
}
