//! A call on an upstream, from its arrival until nothing more of it will reach the client. What is to be noted of it is
//! noted when this is dropped, however that comes about.

use std::{sync::Arc, time::Duration};

use chainference_market::Totals;
use tokio::time::Instant;

use super::{Place, models::Listed, uses::Uses};
use crate::{access::Caller, ledger::CallEnd, metrics, openai::Shape};

pub(super) struct Live {
    pub caller: Caller,
    pub shape: Shape,
    pub model: Arc<Listed>,
    pub began: Instant,
    /// Of the key's tokens a minute: those that were taken for it.
    pub tokens: u64,
    /// Its place on the upstream that serves it.
    pub place: Option<Place>,
    uses: Arc<Uses>,
    /// When the first piece of a stream came, since the call's arrival.
    first: Option<Duration>,
    /// Whether an upstream has answered.
    answered: bool,
    used: Totals,
    status: &'static str,
}

impl Live {
    pub fn new(
        caller: Caller,
        shape: Shape,
        model: Arc<Listed>,
        tokens: u64,
        uses: Arc<Uses>,
    ) -> Self {
        Self {
            caller,
            shape,
            model,
            began: Instant::now(),
            tokens,
            place: None,
            uses,
            first: None,
            answered: false,
            used: Totals::ZERO,
            status: "abandoned",
        }
    }

    /// The first piece of an answer is here, or all of it, which tells nothing of its first token.
    pub fn answered(&mut self, is_stream: bool) {
        self.answered = true;
        if is_stream {
            let elapsed = self.began.elapsed();
            self.first = Some(elapsed);
            metrics::first_token_as(operation(self.shape), &self.model.id, elapsed);
        }
    }

    pub fn used(&mut self, used: Totals) {
        self.used = used;
    }

    pub fn completed(&mut self) {
        self.status = "completed";
    }

    pub fn failed(&mut self) {
        self.status = "failed";
    }

    /// No upstream serves it: it holds nothing any more.
    pub fn give_back(&mut self) {
        self.place = None;
        self.caller.correct_tokens(std::mem::take(&mut self.tokens), 0);
    }

    /// The market takes the call over, and notes itself what becomes of it.
    pub fn hand_over(mut self) {
        self.status = "";
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let Totals { tokens_in, tokens_out } = self.used;
        self.caller.correct_tokens(self.tokens, tokens_in.saturating_add(tokens_out));
        if self.status.is_empty() {
            return;
        }
        metrics::call_ended(self.status);
        if self.answered {
            self.uses.add(self.caller.key_id(), &self.model.id, 1, self.used);
            let end = CallEnd { status: self.status, ..CallEnd::completed(self.used) };
            let (operation, elapsed) = (operation(self.shape), self.began.elapsed());
            metrics::served_as(operation, &self.model.id, &end, self.first, elapsed);
        }
    }
}

fn operation(shape: Shape) -> &'static str {
    match shape {
        Shape::Chat => "chat",
        Shape::Completion => "text_completion",
        Shape::Embedding => "embeddings",
    }
}
