//! A streamed answer, as server-sent events or for a socket. Rendering is pure; [`follow`] drives it.

use std::{collections::VecDeque, convert::Infallible, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use tokio::time::timeout;

use super::{error::RouteError, usage};
use crate::{
    limits,
    openai::{Events, Facts, Form, StreamEvent},
    settlement::{Answer, Event, Started},
};

/// What a stream reacts to.
#[derive(Debug)]
pub enum Heard {
    Call(Event),
    /// Nothing came for a while: the connection must not look dead.
    Silence,
    /// The call's task is gone.
    Lost,
}

/// What a client is sent.
#[derive(Debug)]
pub enum Piece {
    Event(StreamEvent),
    /// A sign of life.
    Silence,
}

/// Renders what is heard; knows what was told before.
#[derive(Debug)]
pub struct Rendering {
    facts: Facts,
    form: Form,
    started: Option<(Started, Box<dyn Events>)>,
    ready: VecDeque<Piece>,
    end: Option<End>,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    Failed,
}

impl Rendering {
    pub fn new(facts: Facts, form: Form) -> Self {
        Self { facts, form, started: None, ready: VecDeque::new(), end: None }
    }

    /// The next piece to send.
    pub fn pop(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// How it ended, once nothing will follow but what is ready.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    pub fn take(&mut self, heard: Heard) {
        match (heard, &mut self.started) {
            (Heard::Silence, _) => self.ready.push_back(Piece::Silence),
            (Heard::Call(Event::Started(started)), _) => {
                let facts = Facts { model: started.model.clone(), ..self.facts.clone() };
                let mut events = self.form.events(facts);
                let begin = events.begin(started.tokens_in);
                self.started = Some((started, events));
                self.tell(begin);
            }
            (Heard::Call(Event::Delta(delta)), Some((_, events))) => {
                let told = events.delta(delta);
                self.tell(told);
            }
            (Heard::Call(Event::Finished { choice, reason, stop }), Some((_, events))) => {
                let told = events.finish(choice, reason, stop);
                self.tell(told);
            }
            (Heard::Call(Event::Ended(ended)), Some((started, events))) => {
                let told = events.end(&usage(started, &ended));
                self.tell(told);
                self.end = Some(End::Complete);
            }
            (Heard::Call(Event::Failed(failure)), _) => {
                self.fail(&RouteError::call(failure, self.form.style.names()));
            }
            (Heard::Call(_) | Heard::Lost, _) => self.fail(&RouteError::Lost),
        }
    }

    fn tell(&mut self, events: Vec<StreamEvent>) {
        self.ready.extend(events.into_iter().map(Piece::Event));
    }

    fn fail(&mut self, error: &RouteError) {
        let error = error.to_api();
        let event = match &mut self.started {
            Some((_, events)) => events.fail(&error),
            None => self.form.failed(&error),
        };
        self.tell(vec![event]);
        self.end = Some(End::Failed);
    }

    /// All that is ready, as it is written.
    fn bytes(&mut self) -> Option<Bytes> {
        let data =
            |piece: &Piece| if let Piece::Event(event) = piece { event.data.len() } else { 0 };
        let mut text = String::with_capacity(self.ready.iter().map(|one| data(one) + 16).sum());
        while let Some(piece) = self.pop() {
            let parts = match &piece {
                Piece::Event(StreamEvent { name: Some(name), data }) => {
                    ["event: ", name, "\ndata: ", data, "\n\n"]
                }
                Piece::Event(StreamEvent { name: None, data }) => ["data: ", data, "\n\n", "", ""],
                Piece::Silence => [self.form.silence(), "", "", "", ""],
            };
            parts.into_iter().for_each(|part| text.push_str(part));
        }
        (!text.is_empty()).then(|| Bytes::from(text))
    }
}

/// What comes next, or silence.
pub async fn hear(answer: &mut Answer, patience: Duration) -> Heard {
    match timeout(patience, answer.next()).await {
        Ok(Some(event)) => Heard::Call(event),
        Ok(None) => Heard::Lost,
        Err(_) => Heard::Silence,
    }
}

/// The events of an answer as they come; what comes together goes on together. Dropping the stream drops the answer, and so ends the
/// call.
pub fn follow(
    rendering: Rendering,
    answer: Answer,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((rendering, answer), async |(mut rendering, mut answer)| {
        loop {
            while let Some(event) = answer.at_hand() {
                rendering.take(Heard::Call(event));
            }
            if let Some(bytes) = rendering.bytes() {
                return Some((Ok(bytes), (rendering, answer)));
            }
            if rendering.end().is_some() {
                return None;
            }
            rendering.take(hear(&mut answer, limits::KEEP_ALIVE_INTERVAL).await);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chainference_market::{Lamports, Totals};
    use chainference_protocol::{Delta, FinishReason};

    use super::*;
    use crate::{
        openai::Style,
        settlement::{CallError, Ended, Failure},
    };

    fn started() -> Event {
        Event::Started(Started {
            job: "J".into(),
            worker: "W".into(),
            model: "a/b".into(),
            choice: None,
            tokens_in: 3,
            overhead: Duration::from_millis(80),
        })
    }

    fn ended() -> Event {
        let totals = Totals { tokens_in: 3, tokens_out: 2 };
        Event::Ended(Ended { totals, tokens_cached: 1, tokens_reasoning: 0, cost: Lamports(2_000) })
    }

    fn text(text: &str) -> Event {
        Event::Delta(Delta { text: text.into(), tokens: vec![1], ..Delta::default() })
    }

    fn finished() -> Event {
        Event::Finished { choice: 0, reason: FinishReason::Stop, stop: None }
    }

    fn render(include_usage: bool, events: Vec<Heard>) -> (Vec<String>, bool) {
        let facts = Facts { id: "chatcmpl-1".into(), created_unix_s: 1, model: "B".into() };
        let form = Form { style: Style::Chat, answers: 1, logprobs: None, include_usage };
        let mut rendering = Rendering::new(facts, form);
        for event in events {
            rendering.take(event);
        }
        let bytes = rendering.bytes().unwrap_or_default();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let events = text.split_inclusive("\n\n").map(str::to_owned);
        (events.collect(), rendering.end().is_some())
    }

    #[test]
    fn an_answer_is_role_text_finish_usage_done() {
        let calls = [started(), text("Hé"), text(""), text("y"), finished(), ended()];
        let (events, over) = render(true, calls.into_iter().map(Heard::Call).collect());
        assert_eq!(events.len(), 6, "the piece without text makes no event: {events:#?}");
        assert!(events[0].contains("\"role\":\"assistant\""));
        assert!(events[1].contains("Hé") && events[1].contains("\"model\":\"a/b\""));
        assert!(events[3].contains("\"finish_reason\":\"stop\""));
        assert!(events[4].contains("\"cost_lamports\":2000"));
        assert!(events[4].contains("\"cached_tokens\":1"));
        assert_eq!(events[5], "data: [DONE]\n\n");
        assert!(over);
        for event in &events {
            assert!(event.starts_with("data: ") && event.ends_with("\n\n"), "{event}");
            assert_eq!(event.matches('\n').count(), 2, "one event has one line: {event}");
        }
    }

    #[test]
    fn a_client_that_waits_sees_comments() {
        let (events, over) = render(false, vec![Heard::Silence, Heard::Call(started())]);
        assert_eq!(events[0], ": keep-alive\n\n");
        assert!(events[1].contains("assistant") && !over);
    }

    #[test]
    fn an_error_after_the_first_token_is_an_event_and_the_end() {
        let failure = Failure { error: CallError::Unreachable("x".into()), costs: true };
        let calls = [started(), text("a"), Event::Failed(failure)];
        let (events, over) = render(true, calls.into_iter().map(Heard::Call).collect());
        assert!(events[2].starts_with("data: {\"error\":{\"message\":"));
        assert!(!events.concat().contains("[DONE]") && over);
    }

    #[test]
    fn a_lost_call_is_an_error_and_never_a_silent_end() {
        let (events, over) = render(false, vec![Heard::Call(started()), Heard::Lost]);
        assert!(events[1].contains("internal_error") && over);
    }
}
