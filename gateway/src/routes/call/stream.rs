//! A streamed answer as server-sent events. Rendering is pure; [`Sse::follow`] drives it.

use std::{collections::VecDeque, convert::Infallible};

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
pub enum SseEvent {
    Call(Event),
    /// Nothing came for a while: the connection must not look dead.
    Silence,
    /// The call's task is gone.
    Lost,
}

/// Renders events; knows what was sent before.
#[derive(Debug)]
pub struct Sse {
    facts: Facts,
    form: Form,
    started: Option<(Started, Box<dyn Events>)>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

impl Sse {
    pub fn new(facts: Facts, form: Form) -> Self {
        Self { facts, form, started: None, ready: VecDeque::new(), ended: false }
    }

    pub fn take(&mut self, event: SseEvent) {
        match (event, &mut self.started) {
            (SseEvent::Silence, _) => {
                self.ready.push_back(Bytes::from_static(self.form.silence().as_bytes()));
            }
            (SseEvent::Call(Event::Started(started)), _) => {
                let facts = Facts { model: started.model.clone(), ..self.facts.clone() };
                let mut events = self.form.events(facts);
                self.ready.extend(events.begin(started.tokens_in).iter().map(bytes_of));
                self.started = Some((started, events));
            }
            (SseEvent::Call(Event::Delta(delta)), Some((_, events))) => {
                self.ready.extend(events.delta(delta).iter().map(bytes_of));
            }
            (SseEvent::Call(Event::Finished { choice, reason, stop }), Some((_, events))) => {
                self.ready.extend(events.finish(choice, reason, stop).iter().map(bytes_of));
            }
            (SseEvent::Call(Event::Ended(ended)), Some((started, events))) => {
                let last = events.end(&usage(started, &ended));
                self.ready.extend(last.iter().map(bytes_of));
                self.ended = true;
            }
            (SseEvent::Call(Event::Failed(failure)), _) => {
                self.fail(&RouteError::call(failure, self.form.style.input()));
            }
            (SseEvent::Call(_) | SseEvent::Lost, _) => self.fail(&RouteError::Lost),
        }
    }

    fn fail(&mut self, error: &RouteError) {
        let error = error.to_api();
        let event = match &mut self.started {
            Some((_, events)) => events.fail(&error),
            None => self.form.failed(&error),
        };
        self.ready.push_back(bytes_of(&event));
        self.ended = true;
    }

    /// The events of an answer, one at a time. Dropping the stream drops the answer, and so ends
    /// the call.
    pub fn follow(self, answer: Answer) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold((self, answer), async |(mut sse, mut answer)| {
            loop {
                if let Some(event) = sse.ready.pop_front() {
                    return Some((Ok(event), (sse, answer)));
                }
                if sse.ended {
                    return None;
                }
                sse.take(match timeout(limits::KEEP_ALIVE_INTERVAL, answer.next()).await {
                    Ok(Some(event)) => SseEvent::Call(event),
                    Ok(None) => SseEvent::Lost,
                    Err(_) => SseEvent::Silence,
                });
            }
        })
    }
}

fn bytes_of(event: &StreamEvent) -> Bytes {
    let data = &event.data;
    Bytes::from(match event.name {
        Some(name) => format!("event: {name}\ndata: {data}\n\n"),
        None => format!("data: {data}\n\n"),
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

    fn render(include_usage: bool, events: Vec<SseEvent>) -> (Vec<String>, bool) {
        let facts = Facts { id: "chatcmpl-1".into(), created_unix_s: 1, model: "B".into() };
        let form = Form { style: Style::Chat, answers: 1, logprobs: None, include_usage };
        let mut sse = Sse::new(facts, form);
        for event in events {
            sse.take(event);
        }
        let lines = sse.ready.iter().map(|event| String::from_utf8(event.to_vec()).unwrap());
        (lines.collect(), sse.ended)
    }

    #[test]
    fn an_answer_is_role_text_finish_usage_done() {
        let calls = [started(), text("Hé"), text(""), text("y"), finished(), ended()];
        let (events, over) = render(true, calls.into_iter().map(SseEvent::Call).collect());
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
        let (events, over) = render(false, vec![SseEvent::Silence, SseEvent::Call(started())]);
        assert_eq!(events[0], ": keep-alive\n\n");
        assert!(events[1].contains("assistant") && !over);
    }

    #[test]
    fn an_error_after_the_first_token_is_an_event_and_the_end() {
        let failure = Failure { error: CallError::Unreachable("x".into()), costs: true };
        let calls = [started(), text("a"), Event::Failed(failure)];
        let (events, over) = render(true, calls.into_iter().map(SseEvent::Call).collect());
        assert!(events[2].starts_with("data: {\"error\":{\"message\":"));
        assert!(!events.concat().contains("[DONE]") && over);
    }

    #[test]
    fn a_lost_call_is_an_error_and_never_a_silent_end() {
        let (events, over) = render(false, vec![SseEvent::Call(started()), SseEvent::Lost]);
        assert!(events[1].contains("internal_error") && over);
    }
}
