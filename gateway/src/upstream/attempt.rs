//! The way to an answer: which upstreams are tried, and what is done where none can serve.

use std::{collections::VecDeque, sync::Arc};

use axum::body::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    Upstream, Upstreams,
    answer::{Direct, Flow, Opened},
    client::whole,
    error::Trouble,
    live::Live,
    models::Served,
    read::Reader,
};
use crate::{
    access::Caller,
    limits, metrics,
    openai::{RequestError, Shape},
    settlement::{Answer, CallError, Event, EventReader, Failure, Started},
};

/// A call for an upstream.
pub struct Ask {
    pub caller: Caller,
    pub shape: Shape,
    pub served: Served,
    /// As it is sent.
    pub body: Bytes,
    pub stream: bool,
    /// How many answers or vectors are asked for.
    pub answers: usize,
    /// The most tokens that it may use, as far as that is known.
    pub tokens: u64,
    /// What is done where no upstream can serve it.
    pub otherwise: Last,
}

/// Asked once, where no upstream can serve a call: whether the request may be at fault.
pub type Last = Box<dyn FnOnce(bool) -> Otherwise + Send + Sync>;

/// What is left where no upstream can serve a call.
pub enum Otherwise {
    /// The market serves the model, too.
    Market(Answer),
    /// The request is wrong, and here is how.
    Wrong(RequestError),
    Nothing,
}

impl Upstreams {
    /// Begins a call. Dropping its answer ends it.
    pub fn call(&self, ask: Ask) -> Answer {
        Answer::direct(Direct::new(open(self.clone(), ask)))
    }
}

async fn open(upstreams: Upstreams, ask: Ask) -> Opened {
    if let Err(refusal) = ask.caller.take_tokens(ask.tokens) {
        metrics::call_ended("failed");
        metrics::refused(refusal.to_api().code.unwrap_or_default());
        return failed(refusal.into());
    }
    let served = &ask.served;
    let (caller, uses) = (ask.caller.clone(), upstreams.0.uses.clone());
    let mut live = Live::new(caller, ask.shape, served.model.clone(), ask.tokens, uses);
    let mut last = None;
    for at in upstreams.order(served) {
        let Some(upstream) = upstreams.0.all.get(at) else { continue };
        live.place = Some(upstream.enter());
        match upstream.attempt(&ask, live.began).await {
            Ok((ready, flow)) => {
                upstreams.succeeded(at);
                live.answered(flow.is_some());
                return opened(upstream, &ask, live, ready, flow);
            }
            Err(trouble) => {
                let error = upstreams.blame(at, trouble);
                let another_may_do = error.trouble.is_its_own();
                last = Some(error);
                if !another_may_do {
                    break;
                }
            }
        }
    }
    let nobody = || CallError::NobodyServes { model: served.id().to_owned() };
    let Some(error) = last else { return failed(nobody()) };
    live.give_back();
    if !error.trouble.is_its_own() {
        live.failed();
        return failed(error.into());
    }
    match (ask.otherwise)(error.trouble.may_be_the_requests()) {
        Otherwise::Market(answer) => {
            live.hand_over();
            Opened::Market(answer)
        }
        Otherwise::Wrong(wrong) => {
            live.failed();
            failed(wrong.into())
        }
        Otherwise::Nothing => {
            live.failed();
            failed(error.into())
        }
    }
}

fn failed(error: CallError) -> Opened {
    Opened::Failed(Failure { error, costs: false })
}

/// The answer has begun: no other upstream will be tried.
fn opened(
    upstream: &Upstream,
    ask: &Ask,
    mut live: Live,
    mut ready: VecDeque<Event>,
    flow: Option<Flow>,
) -> Opened {
    ready.push_front(Event::Started(Started {
        job: String::new(),
        worker: format!("upstream {}", upstream.client.name),
        model: ask.served.id().to_owned(),
        choice: None,
        tokens_in: 0,
        overhead: std::time::Duration::ZERO,
    }));
    match flow {
        Some(flow) => Opened::Streaming(ready, Box::new((flow, live))),
        None => {
            if let Some(Event::Ended(ended)) = ready.back() {
                live.used(ended.totals);
            }
            live.completed();
            Opened::Whole(ready)
        }
    }
}

impl Upstream {
    /// Sends the call and waits for its first piece; where it is not streamed, for all.
    async fn attempt(
        &self,
        ask: &Ask,
        began: Instant,
    ) -> Result<(VecDeque<Event>, Option<Flow>), Trouble> {
        let deadline =
            if ask.stream { limits::FIRST_TOKEN_DEADLINE } else { limits::CALL_DEADLINE };
        let by = began + deadline;
        let response = self.client.call(ask.shape, &ask.body, by).await?;
        let mut ready = VecDeque::new();
        let mut reader = match ask.shape {
            Shape::Embedding => Reader::of_vectors(ask.answers),
            Shape::Chat | Shape::Completion => Reader::of_texts(ask.answers),
        };
        if !ask.stream {
            let body = timeout_at(by, whole(response, limits::UPSTREAM_BYTES_MAX));
            let body = body.await.map_err(|_| Trouble::TooLong)??;
            reader.answer(&body, &mut ready)?;
            return Ok((ready, None));
        }
        let name = Arc::clone(&self.client.name);
        let events = EventReader::new(limits::FRAME_BYTES_MAX);
        let mut flow = Flow::new(name, response, events, reader, began + limits::CALL_DEADLINE);
        while ready.is_empty() {
            let chunk = timeout_at(by, flow.chunk()).await;
            flow.take(chunk.map_err(|_| Trouble::Silent)??, &mut ready)?;
        }
        Ok((ready, Some(flow)))
    }
}
