//! An answer on its way from an upstream to a client. It has no task of its own: who reads it drives it, and to drop it is
//! to end the call at once.

use std::{collections::VecDeque, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::FutureExt;
use reqwest::Response;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    client::away,
    error::{Trouble, UpstreamError},
    live::Live,
    read::Reader,
};
use crate::{
    limits,
    settlement::{Answer, Event, EventReader, Failure},
};

/// What an upstream's stream ends with.
const MARK: &[u8] = b"[DONE]";
/// How long the rest of a body may take that has said all, so that its connection can be used again.
const REST: Duration = Duration::from_secs(1);

/// An upstream's answer, as events.
pub struct Direct {
    state: State,
    ready: VecDeque<Event>,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Streaming(Box<(Flow, Live)>),
    Over,
}

/// What came of the way to an answer.
pub(super) enum Opened {
    Streaming(VecDeque<Event>, Box<(Flow, Live)>),
    Whole(VecDeque<Event>),
    Market(Answer),
    Failed(Failure),
}

/// What comes next.
pub enum Turn {
    Event(Event),
    /// The market goes on.
    Market(Answer),
    Over,
}

// An answer must never reach a log.
impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direct with {} events ready", self.ready.len())
    }
}

impl Direct {
    pub(super) fn new(opening: impl Future<Output = Opened> + Send + 'static) -> Self {
        Self { state: State::Opening(Box::pin(opening)), ready: VecDeque::new() }
    }

    /// An event that has come already.
    pub fn at_hand(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    /// The next event. To stop waiting for it loses nothing.
    pub async fn next(&mut self) -> Turn {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Turn::Event(event);
            }
            match &mut self.state {
                State::Opening(opening) => {
                    let opened = opening.await;
                    if let Some(market) = self.opened(opened) {
                        return Turn::Market(market);
                    }
                }
                State::Streaming(answer) => {
                    let (flow, live) = &mut **answer;
                    if flow.more(live, &mut self.ready).await {
                        self.state = State::Over;
                    }
                }
                State::Over => return Turn::Over,
            }
        }
    }

    /// Gives the answer that goes on instead, if one does.
    fn opened(&mut self, opened: Opened) -> Option<Answer> {
        self.state = State::Over;
        match opened {
            Opened::Streaming(ready, answer) => {
                self.ready = ready;
                self.state = State::Streaming(answer);
            }
            Opened::Whole(ready) => self.ready = ready,
            Opened::Market(answer) => return Some(answer),
            Opened::Failed(failure) => self.ready.push_back(Event::Failed(failure)),
        }
        None
    }
}

/// A stream that has begun.
pub(super) struct Flow {
    name: Arc<str>,
    /// Gone once it has said all.
    response: Option<Response>,
    events: EventReader,
    reader: Reader,
    ends_by: Instant,
    /// When the wait for what comes next began; the time that the client takes does not count.
    waits_since: Option<Instant>,
    is_over: bool,
}

impl Flow {
    pub fn new(
        name: Arc<str>,
        response: Response,
        events: EventReader,
        reader: Reader,
        ends_by: Instant,
    ) -> Self {
        let response = Some(response);
        Self { name, response, events, reader, ends_by, waits_since: None, is_over: false }
    }

    /// The next bytes of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Trouble> {
        match &mut self.response {
            Some(response) => response.chunk().await.map_err(away),
            None => Ok(None),
        }
    }

    /// Waits for more, and says whether that was the last of it.
    async fn more(&mut self, live: &mut Live, ready: &mut VecDeque<Event>) -> bool {
        let outcome = if self.is_over { Ok(()) } else { self.wait(ready).await };
        live.used(self.reader.totals());
        if let Err(trouble) = outcome {
            live.failed();
            let error = UpstreamError { name: self.name.clone(), trouble };
            tracing::warn!(%error, "an answer broke off");
            ready.push_back(Event::Failed(Failure { error: error.into(), costs: false }));
            return true;
        }
        if self.is_over {
            live.completed();
            if let Some(response) = self.response.take() {
                rest(response);
            }
        }
        self.is_over
    }

    async fn wait(&mut self, ready: &mut VecDeque<Event>) -> Result<(), Trouble> {
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let silent_by = since + limits::IDLE_DEADLINE;
        let late = if self.ends_by <= silent_by { Trouble::TooLong } else { Trouble::Silent };
        let chunk = timeout_at(silent_by.min(self.ends_by), self.chunk()).await;
        let chunk = chunk.map_err(|_| late)??;
        self.waits_since = None;
        self.take(chunk, ready)
    }

    /// A chunk of the body has come, or its end.
    pub fn take(
        &mut self,
        chunk: Option<Bytes>,
        ready: &mut VecDeque<Event>,
    ) -> Result<(), Trouble> {
        let Some(chunk) = chunk else {
            // Some end without a mark.
            if !self.reader.is_complete() {
                return Err(Trouble::Away("its answer broke off".into()));
            }
            self.is_over = true;
            return self.reader.end(ready);
        };
        self.events.take(&chunk).map_err(|error| Trouble::Broken(error.to_string()))?;
        while let Some(data) = self.events.pop() {
            if data == MARK {
                self.is_over = true;
                return self.reader.end(ready);
            }
            self.reader.chunk(&data, ready)?;
        }
        Ok(())
    }
}

/// Reads what follows the last word, if it comes at once.
fn rest(mut response: Response) {
    if let Some(Ok(None) | Err(_)) = response.chunk().now_or_never() {
        return;
    }
    tokio::spawn(timeout(REST, async move { while let Ok(Some(_)) = response.chunk().await {} }));
}
